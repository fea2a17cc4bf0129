"""Errors in units of what a seasonal naive forecast missed before."""

import numpy as np
from numpy.typing import ArrayLike

from tsrnn.evaluation.metrics.point import mae, rmse
from tsrnn.evaluation.metrics.reduction import FloatArray, ratio

__all__ = ["mase", "msse", "rmsse", "seasonal_scale"]


def seasonal_scale(history: ArrayLike, season_length: int, *, squared: bool = False) -> FloatArray:
    """The scale of `mase` and `rmsse`: what a seasonal naive forecast missed, after each row of a history.

    Parameters
    ----------
    history : array, shape (..., T)
        Values in time order, NaN where missing; only pairs of which both values are observed count.
    season_length : int
        Steps between the values compared.
    squared : bool, default False
        The root of the mean squared difference, for `rmsse`, instead of the mean absolute one.

    Returns
    -------
    array of float64, shape (..., T + 1)
        Element ``n`` is the scale of the first ``n`` rows and depends on no other; NaN where they hold no
        pair.

    Examples
    --------
    >>> seasonal_scale([1.0, 2.0, 4.0, 8.0], season_length=1).tolist()
    [nan, nan, 1.0, 1.5, 2.3333333333333335]
    """
    if season_length < 1:
        raise ValueError(f"season_length must be a positive integer, got {season_length!r}.")
    history = np.asarray(history, np.float64)
    steps = np.abs(history[..., season_length:] - history[..., :-season_length])
    seen = ~np.isnan(steps)
    scale = np.full((*history.shape[:-1], history.shape[-1] + 1), np.nan)
    total = np.cumsum(np.where(seen, steps**2 if squared else steps, 0.0), axis=-1)
    scale[..., season_length + 1 :] = ratio(total, np.cumsum(seen, axis=-1))
    return np.sqrt(scale) if squared else scale


def mase(y: ArrayLike, forecast: ArrayLike, scale: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Mean absolute error in units of what a seasonal naive forecast missed in the training rows.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
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
    >>> train = [1.0, 3.0, 2.0, 4.0]
    >>> float(mase([3.0, 5.0], [2.0, 4.0], seasonal_scale(train, season_length=2)[-1]))
    1.0
    """
    return ratio(mae(y, forecast, weights=weights), np.asarray(scale, np.float64))


def rmsse(y: ArrayLike, forecast: ArrayLike, scale: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Root mean squared error in units of that of a seasonal naive forecast in the training rows.

    The M5 competition took ``season_length=1`` and left out the zeros before the first sale, which is not
    done here.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
    scale : array, shape (...)
        From `seasonal_scale` with ``squared=True``, of the rows up to the cutoff.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)
        NaN where the scale is 0 or not known.

    Examples
    --------
    >>> float(rmsse([3.0, 5.0], [2.0, 4.0], scale=0.5))
    2.0
    """
    return ratio(rmse(y, forecast, weights=weights), np.asarray(scale, np.float64))


def msse(y: ArrayLike, forecast: ArrayLike, scale: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Mean squared error in units of that of a seasonal naive forecast in the training rows: `rmsse` squared.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
    scale : array, shape (...)
        From `seasonal_scale` with ``squared=True``, of the rows up to the cutoff.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)
        NaN where the scale is 0 or not known.

    Examples
    --------
    >>> float(msse([3.0, 5.0], [2.0, 4.0], scale=0.5))
    4.0
    """
    return rmsse(y, forecast, scale, weights=weights) ** 2
