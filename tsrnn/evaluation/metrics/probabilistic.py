"""Scores of quantiles, intervals and samples."""

import numpy as np
from numpy.typing import ArrayLike

from tsrnn.evaluation.metrics.reduction import FloatArray, floats, mean, ratio

__all__ = ["calibration_error", "coverage", "crps", "crps_quantiles", "msis", "pinball", "winkler", "wql"]


def pinball(y: ArrayLike, forecast: ArrayLike, quantiles: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Mean pinball (quantile) loss, without a factor 2: at quantile 0.5 it is half the absolute error.

    Parameters
    ----------
    y : array, shape (..., H)
        Observed values, NaN where missing.
    forecast : array, shape (..., H, Q)
        Forecast quantiles.
    quantiles : array, shape (Q,)
        Their levels in (0, 1).
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)
        The mean over steps and quantiles; NaN without quantiles.

    References
    ----------
    R. Koenker and G. Bassett (1978), Regression quantiles, Econometrica 46(1).

    Examples
    --------
    >>> float(pinball([10.0], [[8.0, 11.0]], [0.1, 0.9]))
    0.15
    """
    y, forecast = floats(y, forecast)
    error = y[..., None] - forecast
    q = np.asarray(quantiles, np.float64)
    return mean(ratio(np.maximum(q * error, (q - 1) * error).sum(axis=-1), len(q)), y, weights)


def wql(y: ArrayLike, forecast: ArrayLike, quantiles: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Weighted quantile loss: twice the pinball loss over the mean absolute observed value, a fraction.

    Over several series it is pooled, as GluonTS's ``mean_wQuantileLoss`` and GIFT-Eval's CRPS are: the sums of the
    losses over the sum of the absolute values; see `tsrnn.evaluation.BacktestResult.leaderboard`.

    Parameters
    ----------
    y : array, shape (..., H)
        Observed values, NaN where missing.
    forecast : array, shape (..., H, Q)
        Forecast quantiles.
    quantiles : array, shape (Q,)
        Their levels in (0, 1).
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)
        NaN where every observed value is 0.

    References
    ----------
    Y. Park et al. (2022), Learning quantile functions without quantile crossing, arXiv 2111.06581.

    Examples
    --------
    >>> round(float(wql([10.0], [[8.0, 11.0]], [0.1, 0.9])), 6)
    0.03
    """
    (y,) = floats(y)
    return ratio(2 * pinball(y, forecast, quantiles, weights=weights), mean(np.abs(y), y, weights))


def crps_quantiles(
    y: ArrayLike, forecast: ArrayLike, quantiles: ArrayLike, *, weights: ArrayLike | None = None
) -> FloatArray:
    """Continuous ranked probability score as far as quantiles tell: twice the `pinball` loss.

    It depends on the grid of quantiles (of a normal distribution nine deciles give about a tenth more than `crps`), so
    it is compared only between forecasts of the same ones: backtests call it after their number, ``crps_q9``.

    Parameters
    ----------
    y : array, shape (..., H)
        Observed values, NaN where missing.
    forecast : array, shape (..., H, Q)
        Forecast quantiles.
    quantiles : array, shape (Q,)
        Their levels in (0, 1).
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)
        In the unit of the data.

    Examples
    --------
    >>> float(crps_quantiles([10.0], [[8.0, 11.0]], [0.1, 0.9]))
    0.3
    """
    return 2 * pinball(y, forecast, quantiles, weights=weights)


def crps(y: ArrayLike, samples: ArrayLike, *, fair: bool = False, weights: ArrayLike | None = None) -> FloatArray:
    """Continuous ranked probability score of samples, in the unit of the data; of one sample the absolute error.

    Parameters
    ----------
    y : array, shape (..., H)
        Observed values, NaN where missing.
    samples : array, shape (..., H, S)
        Draws from the forecast distribution of each step.
    fair : bool, default False
        The estimate whose expectation does not depend on the number of samples, instead of the score of the empirical
        distribution.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)

    References
    ----------
    T. Gneiting and A. E. Raftery (2007), Strictly proper scoring rules, prediction, and estimation, Journal of the
    American Statistical Association 102. C. A. T. Ferro (2014), Fair scores for ensemble forecasts, Quarterly Journal
    of the Royal Meteorological Society 140.

    Examples
    --------
    >>> float(crps([1.0], [[0.0, 1.0, 2.0]])), float(crps([1.0], [[0.0, 1.0, 2.0]], fair=True))
    (0.2222222222222222, 0.0)
    """
    y, samples = floats(y, samples)
    n = samples.shape[-1]
    spread = np.sort(samples, axis=-1) @ (2.0 * np.arange(n) - (n - 1))  # half the sum of |x - x'| over all pairs
    terms = np.abs(samples - y[..., None]).mean(axis=-1) - ratio(spread, n * (n - 1 if fair else n))
    return mean(terms, y, weights)


def winkler(
    y: ArrayLike, lo: ArrayLike, hi: ArrayLike, level: float, *, weights: ArrayLike | None = None
) -> FloatArray:
    """Mean interval score: width, plus what the interval missed by times ``2 / (1 - level / 100)``.

    Parameters
    ----------
    y, lo, hi : array, shape (..., H)
        Observed values, NaN where missing, and the bounds of their intervals.
    level : float
        Level of the intervals in percent.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)
        In the unit of the data.

    References
    ----------
    R. L. Winkler (1972), A decision-theoretic approach to interval estimation, Journal of the American Statistical
    Association 67.

    Examples
    --------
    >>> round(float(winkler([1.0, 6.0], [0.0, 3.0], [2.0, 5.0], level=90)), 6)
    12.0
    """
    y, lo, hi = floats(y, lo, hi)
    missed = np.maximum(lo - y, 0) + np.maximum(y - hi, 0)
    return mean(hi - lo + 2 / (1 - level / 100) * missed, y, weights)


def msis(
    y: ArrayLike, lo: ArrayLike, hi: ArrayLike, scale: ArrayLike, *, weights: ArrayLike | None = None
) -> FloatArray:
    """Mean scaled interval score of the M4 competition: `winkler` of the 95 % intervals over the scale of `mase`.

    Parameters
    ----------
    y, lo, hi : array, shape (..., H)
        Observed values, NaN where missing, and the bounds of their 95 % intervals.
    scale : array, shape (...)
        From `seasonal_scale`, of the rows up to the cutoff.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)
        NaN where the scale is 0 or not known.

    Examples
    --------
    >>> float(msis([1.0], [0.0], [2.0], scale=4.0))
    0.5
    """
    return ratio(winkler(y, lo, hi, 95, weights=weights), np.asarray(scale, np.float64))


def coverage(y: ArrayLike, lo: ArrayLike, hi: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Share of the observed values inside their intervals, bounds included.

    Parameters
    ----------
    y, lo, hi : array, shape (..., H)
        Observed values, NaN where missing, and the bounds of their intervals.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)

    Examples
    --------
    >>> float(coverage([1.0, 2.0], [1.0, 3.0], [2.0, 4.0]))
    0.5
    """
    y, lo, hi = floats(y, lo, hi)
    inside = ((lo <= y) & (y <= hi)).astype(np.float64)
    return mean(np.where(np.isnan(lo) | np.isnan(hi), np.nan, inside), y, weights)


def calibration_error(
    y: ArrayLike, forecast: ArrayLike, quantiles: ArrayLike, *, weights: ArrayLike | None = None
) -> FloatArray:
    """How far the shares of values at or below the quantiles are from their levels, on average over the quantiles.

    Unlike `coverage`, it also sees intervals that are too high or too low.

    Parameters
    ----------
    y : array, shape (..., H)
        Observed values, NaN where missing.
    forecast : array, shape (..., H, Q)
        Forecast quantiles.
    quantiles : array, shape (Q,)
        Their levels in (0, 1).
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)
        From 0 to 1; NaN without quantiles. Few values cannot be calibrated: of one series and cutoff it says little.

    Examples
    --------
    >>> round(float(calibration_error([1.0, 2.0], [[0.0, 3.0], [0.0, 3.0]], [0.1, 0.9])), 6)
    0.1
    """
    y, forecast = floats(y, forecast)
    q = np.asarray(quantiles, np.float64)
    below = np.where(np.isnan(forecast), np.nan, (y[..., None] <= forecast).astype(np.float64))
    shares = mean(
        np.swapaxes(below, -1, -2), y[..., None, :], None if weights is None else np.asarray(weights)[..., None, :]
    )
    return ratio(np.abs(shares - q).sum(axis=-1), len(q))
