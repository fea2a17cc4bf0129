"""Errors of point forecasts, in the unit of the data or as fractions."""

import numpy as np
from numpy.typing import ArrayLike

from tsrnn.evaluation.metrics.reduction import FloatArray, floats, mean, ratio

__all__ = ["bias", "mae", "mape", "mse", "rmse", "smape", "wape"]


def mae(y: ArrayLike, forecast: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Mean absolute error, in the unit of the data.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)

    Examples
    --------
    >>> float(mae([1.0, 2.0, np.nan], [2.0, 4.0, 9.0]))
    1.5
    """
    y, forecast = floats(y, forecast)
    return mean(np.abs(y - forecast), y, weights)


def bias(y: ArrayLike, forecast: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Mean of forecast less observed value, in the unit of the data: above 0 where too much was forecast.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)

    Examples
    --------
    >>> float(bias([1.0, 2.0], [2.0, 4.0]))
    1.5
    """
    y, forecast = floats(y, forecast)
    return mean(forecast - y, y, weights)


def mse(y: ArrayLike, forecast: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Mean squared error, in the squared unit of the data.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)

    Examples
    --------
    >>> float(mse([1.0, 2.0], [4.0, 6.0]))
    12.5
    """
    y, forecast = floats(y, forecast)
    return mean((y - forecast) ** 2, y, weights)


def rmse(y: ArrayLike, forecast: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Root of the mean squared error, in the unit of the data.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)

    Examples
    --------
    >>> float(rmse([1.0, 2.0], [4.0, 6.0]))
    3.5355339059327378
    """
    return np.sqrt(mse(y, forecast, weights=weights))


def mape(y: ArrayLike, forecast: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Mean absolute error as a fraction of the observed value; steps with ``y = 0`` are left out.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)
        0.1 is ten percent; NaN where every observed value is 0.

    Examples
    --------
    >>> float(mape([10.0, 0.0], [9.0, 5.0]))
    0.1
    """
    y, forecast = floats(y, forecast)
    return mean(ratio(np.abs(y - forecast), np.abs(y)), np.where(y == 0, np.nan, y), weights)


def smape(y: ArrayLike, forecast: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Symmetric mean absolute percentage error from 0 to 200, as in M4; ``0 / 0`` counts as 0.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)

    Examples
    --------
    >>> float(smape([10.0, 0.0], [30.0, 0.0]))
    50.0
    """
    y, forecast = floats(y, forecast)
    size = np.abs(y) + np.abs(forecast)
    return mean(np.where(size == 0, 0.0, 200 * ratio(np.abs(y - forecast), size)), y, weights)


def wape(y: ArrayLike, forecast: ArrayLike, *, weights: ArrayLike | None = None) -> FloatArray:
    """Sum of the absolute errors over the sum of the absolute observed values, as a fraction.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
    weights : array, shape (..., H), optional
        How much each step counts, 0 for not at all; by default all count the same.

    Returns
    -------
    array of float64, shape (...)
        NaN where every observed value is 0.

    Examples
    --------
    >>> float(wape([10.0, 30.0], [11.0, 27.0]))
    0.1
    """
    y, forecast = floats(y, forecast)
    return ratio(mean(np.abs(y - forecast), y, weights), mean(np.abs(y), y, weights))
