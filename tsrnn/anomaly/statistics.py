"""Row statistics for scorers: running averages, run lengths, robust scales, and distances split by sensor."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

__all__ = [
    "contributions",
    "ewma",
    "highest",
    "joint_score",
    "moments",
    "robust_scale",
    "run_lengths",
    "scale_floor",
    "shrunk_correlation",
]

Floats = NDArray[np.float64]


def contributions(deviations: Floats, correlation: Floats) -> Floats:
    """Split the squared Mahalanobis distance of each row into one part per sensor.

    The part of sensor ``c`` is ``z_c (P z)_c``, with ``P`` the inverse correlation of the sensors that are present;
    the parts of a row with all sensors sum to ``z' P z`` (negative parts, of sensors that excuse others, are set to
    0).

    Parameters
    ----------
    deviations : array of shape (R, C)
        Standardised; NaN where missing.
    correlation : array of shape (C, C)
        Positive definite.

    Returns
    -------
    array of shape (R, C)
        NaN where missing. With ``m`` of C sensors present the parts are scaled by C / m, so that rows compare.

    Examples
    --------
    >>> together = np.array([[1.0, 0.8], [0.8, 1.0]])
    >>> contributions(np.array([[2.0, 2.0], [2.0, -2.0], [2.0, np.nan]]), together).round(1)
    array([[ 2.2,  2.2],
           [20. , 20. ],
           [ 8. ,  nan]])
    """
    out = np.full_like(deviations, np.nan)
    present = ~np.isnan(deviations)
    patterns, pattern_of = np.unique(present, axis=0, return_inverse=True)
    for i, here in enumerate(patterns):
        if here.any():
            cells = np.ix_(pattern_of.reshape(-1) == i, here)
            precision = np.linalg.inv(correlation[np.ix_(here, here)])
            out[cells] = np.maximum(0, deviations[cells] * (deviations[cells] @ precision)) * (len(here) / here.sum())
    return out


def ewma(values: Floats, span: int) -> Floats:
    """Exponential averages down the rows, started at 0.

    Parameters
    ----------
    values : array of shape (R, C)
        A missing value leaves the average as it is, and is missing in the result.
    span : int
        Memory in rows: the newest value has weight 2 / (span + 1).

    Examples
    --------
    >>> ewma(np.array([[1.0], [np.nan], [1.0]]), span=3)[:, 0]
    array([0.5 ,  nan, 0.75])
    """
    start = np.zeros((1, values.shape[1]))
    average = (
        pd.DataFrame(np.concatenate([start, values])).ewm(span=span, adjust=False, ignore_na=True).mean().to_numpy()[1:]
    )
    return np.where(np.isnan(values), np.nan, average)


def run_lengths(values: Floats) -> Floats:
    """Measured rows since each sensor's last change, 1 in the row of the change; shape (R, C), NaN where missing.

    Examples
    --------
    >>> run_lengths(np.array([[5.0], [5.0], [np.nan], [5.0], [6.0]]))[:, 0]
    array([ 1.,  2., nan,  3.,  1.])
    """
    out = np.full_like(values, np.nan)
    for column, runs in zip(values.T, out.T, strict=True):
        seen = np.flatnonzero(~np.isnan(column))
        at = np.arange(len(seen))
        changed = np.append(True, np.diff(column[seen]) != 0)[: len(seen)]
        runs[seen] = at - np.maximum.accumulate(np.where(changed, at, 0)) + 1
    return out


def robust_scale(values: Floats, floor: Floats) -> tuple[Floats, Floats]:
    """Location and scale of each column that a few gross errors do not move.

    Parameters
    ----------
    values : array of shape (R, C)
        NaN are left out.
    floor : array of shape (C,)
        The least scale, for constant columns.

    Returns
    -------
    location, scale : arrays of shape (C,)
        The median; and the median absolute deviation or, if larger (columns that mostly rest and sometimes jump),
        the 99 % quantile of the absolute deviations, both in units in which a normal column has its standard
        deviation. Where both are 0, the largest absolute deviation. NaN for a column without values.
    """
    location, scale = np.full((2, values.shape[1]), np.nan)
    for c, column in enumerate(values.T):
        seen = column[~np.isnan(column)]
        if len(seen):
            location[c] = np.median(seen)
            off = np.abs(seen - location[c])
            spread = max(1.4826 * np.median(off), np.quantile(off, 0.99) / 2.576)
            scale[c] = max(spread if spread > 0 else off.max(), floor[c])
    return location, scale


def moments(values: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column, NaN left out; 1 for the deviation of a constant or empty column."""
    seen = ~np.isnan(values)
    n = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, values, 0).sum(axis=0) / n
    deviation = np.sqrt(np.where(seen, (values - mean) ** 2, 0).sum(axis=0) / n)
    return mean, np.where(deviation > 1e-9 * np.abs(mean), deviation, 1.0)


def shrunk_correlation(deviations: Floats) -> Floats:
    """Correlation of columns, shrunk so that it can be inverted; deviations count up to 4, missing ones as 0.

    References
    ----------
    O. Ledoit and M. Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices.
    """
    kept = np.clip(np.nan_to_num(deviations), -4, 4)
    covariance = LedoitWolf(assume_centered=True).fit(kept).covariance_ if kept.any() else np.eye(kept.shape[1])
    size = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
    correlation: Floats = covariance / np.outer(size, size)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def scale_floor(values: Floats) -> Floats:
    """The least scale of residuals: a ten-thousandth of a sensor's range, a millionth of its size."""
    seen = ~np.isnan(values)
    low, high = np.where(seen, values, np.inf).min(axis=0), np.where(seen, values, -np.inf).max(axis=0)
    spread, size = np.where(high >= low, high - low, 0.0), np.where(seen, np.abs(values), 0.0).max(axis=0, initial=1e-6)
    return np.asarray(np.maximum(1e-4 * spread, 1e-6 * size))


def joint_score(parts: Floats) -> Floats:
    """Square root of the sum of a row's parts; NaN where all are."""
    return np.where(np.isnan(parts).all(axis=1), np.nan, np.sqrt(np.nansum(parts, axis=1)))


def highest(scores: Floats) -> Floats:
    """The maximum along the first axis, NaN only where all are."""
    return np.where(np.isnan(scores).all(axis=0), np.nan, np.nan_to_num(scores, nan=-1.0).max(axis=0))
