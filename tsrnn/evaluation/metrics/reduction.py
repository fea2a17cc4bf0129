"""The one way in which all metrics average over steps, and divide."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def floats(*arrays: ArrayLike) -> tuple[FloatArray, ...]:
    """Arrays of float64."""
    return tuple(np.asarray(array, np.float64) for array in arrays)


def mean(terms: FloatArray, y: FloatArray, weights: ArrayLike | None) -> FloatArray:
    """Weighted mean over the last axis of the terms whose ``y`` is observed and whose weight is not 0."""
    seen = ~np.isnan(y)
    if weights is None:
        return ratio(np.where(seen, terms, 0.0).sum(axis=-1), seen.sum(axis=-1))
    given = np.asarray(weights, np.float64)
    if not (given >= 0).all():
        raise ValueError("weights must be 0 or more, and none of them missing.")
    sizes = np.where(seen, given, 0.0)
    return ratio((sizes * np.where(sizes > 0, terms, 0.0)).sum(axis=-1), sizes.sum(axis=-1))


def ratio(top: ArrayLike, bottom: ArrayLike) -> FloatArray:
    """Division that is NaN where it would be infinite or has no meaning."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        quotient = np.asarray(np.divide(top, bottom))
    return np.where(np.isfinite(quotient), quotient, np.nan)
