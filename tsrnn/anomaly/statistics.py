"""Row statistics for scorers: carried averages, robust scales, and distances split by sensor.

What is said of a row has the same bits whatever rows are handed over with it: sums run along rows of one length, and
products with a matrix are taken a row at a time (`each_row`), since those of BLAS depend on how many rows there are.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from sklearn.covariance import LedoitWolf

__all__ = [
    "additive",
    "contributions",
    "each_row",
    "ewma",
    "highest",
    "joint_score",
    "last_seen",
    "moments",
    "robust_scale",
    "scale_floor",
    "share_above",
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
    if present.all():
        patterns, pattern_of = np.ones((1, present.shape[1]), bool), np.zeros(len(present), np.int64)
    else:
        patterns, pattern_of = np.unique(present, axis=0, return_inverse=True)
    for i, here in enumerate(patterns):
        if here.any():
            cells = np.ix_(pattern_of.reshape(-1) == i, here)
            precision = np.asarray(np.linalg.inv(correlation[np.ix_(here, here)]), np.float64)
            together: Floats = each_row(deviations[cells], precision) * deviations[cells]
            out[cells] = np.maximum(0, together) * (len(here) / here.sum())
    return out


def each_row(rows: Floats, matrix: Floats) -> Floats:
    """The product of each row with a matrix, one by one; shape (R, F) and (F, K) to (R, K).

    Examples
    --------
    >>> each_row(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    return np.asarray(np.matmul(np.ascontiguousarray(rows)[:, None, :], matrix)[:, 0])


def additive(costs: Floats) -> Floats:
    """Parts of a score that is the sum of what each sensor costs.

    Parameters
    ----------
    costs : array of shape (R, C)
        At least 0; NaN where missing.

    Returns
    -------
    array of shape (R, C)
        Their sum is the square of the sum of the costs, as `joint_score` wants it. With ``m`` of C sensors present the
        costs are scaled by C / m, so that rows compare.

    Examples
    --------
    >>> joint_score(additive(np.array([[1.0, 3.0], [np.nan, 2.0]])))
    array([4., 4.])
    """
    scaled = np.ascontiguousarray(costs * (costs.shape[1] / np.maximum(1, (~np.isnan(costs)).sum(axis=1)))[:, None])
    return np.asarray(scaled * np.nansum(scaled, axis=1)[:, None])


def ewma(values: Floats, span: int, carry: Floats) -> tuple[Floats, Floats]:
    """Exponential averages down the rows.

    Parameters
    ----------
    values : array of shape (R, C)
        A missing value leaves the average as it is, and is missing in the result.
    span : int
        Memory in rows: the newest value has weight 2 / (span + 1).
    carry : array of shape (C,)
        What the last call gave for it; zeros at first, so that averages begin at 0.

    Returns
    -------
    carry : array of shape (C,)
        The averages so far, as the newest value of the next row will meet them.
    averages : array of shape (R, C)

    Examples
    --------
    >>> carry, averages = ewma(np.array([[1.0], [np.nan], [1.0]]), span=3, carry=np.zeros(1))
    >>> averages[:, 0]
    array([0.5 ,  nan, 0.75])
    """
    weight = 2 / (span + 1)
    seen = ~np.isnan(values)
    out, after = np.full_like(values, np.nan), carry.copy()
    alike = [slice(None)] if seen.all() else [slice(c, c + 1) for c in range(values.shape[1])]
    for columns in alike:
        rows = seen[:, columns].all(axis=1)
        if rows.any():
            out[rows, columns], end = lfilter(
                [weight], [1, weight - 1], values[rows, columns], axis=0, zi=carry[None, columns]
            )
            after[columns] = end[0]
    return after, out


def last_seen(values: Floats, before: Floats) -> Floats:
    """The last value of each sensor up to and with each row; shape (R, C).

    Parameters
    ----------
    values : array of shape (R, C)
        NaN where missing.
    before : array of shape (C,)
        The last values before the first row; NaN where there is none.

    Examples
    --------
    >>> last_seen(np.array([[np.nan], [5.0], [np.nan]]), np.array([3.0]))[:, 0]
    array([3., 5., 5.])
    """
    longer = np.concatenate([before[None], values])
    at = np.maximum.accumulate(np.where(np.isnan(longer), 0, np.arange(len(longer))[:, None]), axis=0)
    return np.asarray(np.take_along_axis(longer, at, axis=0)[1:])


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
    total = np.nansum(np.ascontiguousarray(parts), axis=1)
    return np.where(np.isnan(parts).all(axis=1), np.nan, np.sqrt(total))


def highest(scores: Floats) -> Floats:
    """The maximum along the first axis, NaN only where all are."""
    return np.where(np.isnan(scores).all(axis=0), np.nan, np.nan_to_num(scores, nan=-1.0).max(axis=0))


def share_above(ordered: Floats, scores: Floats) -> Floats:
    """Share of sorted scores that are at least so high, each score counted with them; NaN where missing.

    Examples
    --------
    >>> share_above(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.5, np.nan]))
    array([1. , 0.5, nan])
    """
    above = len(ordered) - np.searchsorted(ordered, scores, "left")
    return np.where(np.isnan(scores), np.nan, (1 + above) / (len(ordered) + 1))
