"""Whether one forecast is better than another, or luck: the tests of Diebold and Mariano, Friedman, and Nemenyi."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = ["Ranks", "critical_difference", "diebold_mariano", "friedman"]


def diebold_mariano(difference: ArrayLike, overlap: int = 1) -> tuple[float, float]:
    """Test whether two forecasts have the same expected loss, with the correction of Harvey, Leybourne and Newbold.

    Parameters
    ----------
    difference : array, shape (T,)
        Loss of the first forecast less that of the second at each cutoff, in time order; missing ones are left out.
    overlap : int, default 1
        How many consecutive differences are correlated by construction: the horizon, in cutoffs. It is 1 where the
        forecasts of one cutoff end before the next. Where the variance so estimated is not positive, the differences
        are taken for uncorrelated, which gives a greater one.

    Returns
    -------
    statistic, p_value : float
        The statistic is negative where the first forecast is better; the p-value is two-sided, of Student's t with
        T - 1 degrees of freedom. NaN where there are fewer than two differences, or they do not vary.

    References
    ----------
    F. X. Diebold and R. S. Mariano (1995), Comparing predictive accuracy, Journal of Business and Economic Statistics
    13(3). D. Harvey, S. Leybourne and P. Newbold (1997), Testing the equality of prediction mean squared errors,
    International Journal of Forecasting 13(2).

    Examples
    --------
    >>> statistic, p_value = diebold_mariano([-8.0, -35.0, -35.0, 4.0, -72.0])
    >>> round(statistic, 4), round(p_value, 4)
    (-2.223, 0.0903)
    """
    if overlap < 1:
        raise ValueError(f"overlap must be a positive integer, got {overlap!r}.")
    d = np.asarray(difference, np.float64)
    d = d[~np.isnan(d)]
    n, mean = len(d), d.mean() if len(d) else np.nan
    if n < 2 or (d == d[0]).all():
        return np.nan, np.nan
    for h in (overlap, 1):
        covariances = [float((d[k:] - mean) @ (d[: n - k] - mean)) / n for k in range(min(h, n))]
        variance = (2 * sum(covariances) - covariances[0]) / n
        correction = (n + 1 - 2 * h + h * (h - 1) / n) / n
        if variance > 0 and correction > 0:
            break
    statistic = float(mean / np.sqrt(variance) * np.sqrt(correction))
    return statistic, float(2 * stats.t.sf(abs(statistic), n - 1))


def friedman(scores: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Mean ranks of several models over many series, and the test whether they differ at all.

    Parameters
    ----------
    scores : array, shape (N, K)
        A figure of each series and model, less being better.

    Returns
    -------
    ranks : array of float64, shape (K,)
        Mean rank of each model, from 1; equal figures share theirs.
    p_value : float
        Of the chi-squared approximation, corrected for ties; 1 where all are equal.

    References
    ----------
    M. Friedman (1937), The use of ranks to avoid the assumption of normality implicit in the analysis of variance,
    Journal of the American Statistical Association 32.

    Examples
    --------
    >>> ranks, p_value = friedman([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [1.0, 2.0, 3.0]])
    >>> ranks.round(3).tolist(), round(p_value, 4)
    ([1.0, 2.333, 2.667], 0.097)
    """
    ranks = stats.rankdata(np.asarray(scores, np.float64), axis=1)
    n, k = ranks.shape
    mean = ranks.mean(axis=0)
    spread = ((ranks - (k + 1) / 2) ** 2).sum()  # less than without ties
    if spread == 0:
        return mean, 1.0
    statistic = (k - 1) * n**2 * ((mean - (k + 1) / 2) ** 2).sum() / spread
    return mean, float(stats.chi2.sf(statistic, k - 1))


def critical_difference(n_series: int, n_models: int, alpha: float = 0.05) -> float:
    """Least difference of mean ranks by which the test of Nemenyi tells two of several models apart.

    Parameters
    ----------
    n_series, n_models : int
        Over how many series how many models were ranked.
    alpha : float, default 0.05
        Probability of telling any two apart that are equal.

    Returns
    -------
    float

    References
    ----------
    J. Demsar (2006), Statistical comparisons of classifiers over multiple data sets, Journal of Machine Learning
    Research 7.

    Examples
    --------
    >>> round(critical_difference(14, 4), 2)
    1.25
    """
    quantile = stats.studentized_range.ppf(1 - alpha, n_models, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(n_models * (n_models + 1) / (6 * n_series)))


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of several models over many series.

    Attributes
    ----------
    table : DataFrame
        ``model, rank`` and ``among_best``: whether the model cannot be told from the one of the lowest mean rank; the
        best comes first.
    metric : str
        By which the models were ranked, series by series.
    n_series : int
        Series on which the metric is defined for all models.
    p_value : float
        Of the test of Friedman that all models are equal.
    critical_difference : float
        Of the test of Nemenyi: mean ranks that are further apart differ.
    """

    table: pd.DataFrame = field(repr=False)
    metric: str
    n_series: int
    p_value: float
    critical_difference: float

    @classmethod
    def of(cls, scores: pd.DataFrame, metric: str, alpha: float = 0.05) -> "Ranks":
        """Rank the columns of a frame with a row a series.

        Raises
        ------
        ValueError
            If there are fewer than two models, or fewer than two series on which all of them have a figure.
        """
        known = scores.dropna()
        if min(known.shape) < 2:
            raise ValueError(
                f"ranks need at least two models and two series with a {metric} of all of them, "
                f"got {known.shape[1]} and {len(known)}."
            )
        ranks, p_value = friedman(known.to_numpy())
        distance = critical_difference(*known.shape, alpha)
        table = pd.DataFrame({"model": list(scores), "rank": ranks}).sort_values(
            "rank", kind="stable", ignore_index=True
        )
        table["among_best"] = table["rank"] - table["rank"].min() <= distance
        return cls(table, metric, len(known), p_value, distance)
