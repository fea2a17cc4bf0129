"""Accuracy of forecasts, in plain NumPy, over the last axis.

Every metric takes observed values ``y`` and forecasts with the horizon as their last axis, leaves out the
steps where ``y`` is missing (NaN), and gives one number for each leading index. A number that is not defined
(nothing observed, a scale of zero, a forecast that is itself missing) is NaN, never infinite.

`tsrnn.evaluation.backtest` aggregates them in one way: a number for each pair of series and cutoff, then the
mean over the cutoffs of a series, then the mean over series; so every series counts the same.

References
----------
R. J. Hyndman and A. B. Koehler (2006), Another look at measures of forecast accuracy, International Journal
of Forecasting 22(4). S. Makridakis, E. Spiliotis and V. Assimakopoulos (2020), The M4 Competition: 100,000
time series and 61 forecasting methods, International Journal of Forecasting 36(1). S. Makridakis, E.
Spiliotis and V. Assimakopoulos (2022), M5 accuracy competition: results, findings, and conclusions,
International Journal of Forecasting 38(4).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "bias",
    "coverage",
    "mae",
    "mape",
    "mase",
    "mse",
    "msis",
    "msse",
    "pinball",
    "rmse",
    "rmsse",
    "seasonal_scale",
    "smape",
    "wape",
    "winkler",
    "wql",
]

FloatArray = NDArray[np.float64]


def mae(y: ArrayLike, forecast: ArrayLike) -> FloatArray:
    """Mean absolute error, in the unit of the data.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.

    Returns
    -------
    array of float64, shape (...)

    Examples
    --------
    >>> float(mae([1.0, 2.0, np.nan], [2.0, 4.0, 9.0]))
    1.5
    """
    y, forecast = _floats(y, forecast)
    return _mean(np.abs(y - forecast), y)


def bias(y: ArrayLike, forecast: ArrayLike) -> FloatArray:
    """Mean of forecast less observed value, in the unit of the data: above 0 where too much was forecast.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.

    Returns
    -------
    array of float64, shape (...)

    Examples
    --------
    >>> float(bias([1.0, 2.0], [2.0, 4.0]))
    1.5
    """
    y, forecast = _floats(y, forecast)
    return _mean(forecast - y, y)


def mse(y: ArrayLike, forecast: ArrayLike) -> FloatArray:
    """Mean squared error, in the squared unit of the data.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.

    Returns
    -------
    array of float64, shape (...)

    Examples
    --------
    >>> float(mse([1.0, 2.0], [4.0, 6.0]))
    12.5
    """
    y, forecast = _floats(y, forecast)
    return _mean((y - forecast) ** 2, y)


def rmse(y: ArrayLike, forecast: ArrayLike) -> FloatArray:
    """Root of the mean squared error, in the unit of the data.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.

    Returns
    -------
    array of float64, shape (...)

    Examples
    --------
    >>> float(rmse([1.0, 2.0], [4.0, 6.0]))
    3.5355339059327378
    """
    return np.sqrt(mse(y, forecast))


def mape(y: ArrayLike, forecast: ArrayLike) -> FloatArray:
    """Mean absolute error as a fraction of the observed value; steps with ``y = 0`` are left out.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.

    Returns
    -------
    array of float64, shape (...)
        0.1 is ten percent; NaN where every observed value is 0.

    Examples
    --------
    >>> float(mape([10.0, 0.0], [9.0, 5.0]))
    0.1
    """
    y, forecast = _floats(y, forecast)
    return _mean(_ratio(np.abs(y - forecast), np.abs(y)), np.where(y == 0, np.nan, y))


def smape(y: ArrayLike, forecast: ArrayLike) -> FloatArray:
    """Symmetric mean absolute percentage error from 0 to 200, as in M4; ``0 / 0`` counts as 0.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.

    Returns
    -------
    array of float64, shape (...)

    Examples
    --------
    >>> float(smape([10.0, 0.0], [30.0, 0.0]))
    50.0
    """
    y, forecast = _floats(y, forecast)
    size = np.abs(y) + np.abs(forecast)
    return _mean(np.where(size == 0, 0.0, 200 * _ratio(np.abs(y - forecast), size)), y)


def wape(y: ArrayLike, forecast: ArrayLike) -> FloatArray:
    """Sum of the absolute errors over the sum of the absolute observed values, as a fraction.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.

    Returns
    -------
    array of float64, shape (...)
        NaN where every observed value is 0.

    Examples
    --------
    >>> float(wape([10.0, 30.0], [11.0, 27.0]))
    0.1
    """
    y, forecast = _floats(y, forecast)
    return _ratio(_mean(np.abs(y - forecast), y), _mean(np.abs(y), y))


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
    scale[..., season_length + 1 :] = _ratio(total, np.cumsum(seen, axis=-1))
    return np.sqrt(scale) if squared else scale


def mase(y: ArrayLike, forecast: ArrayLike, scale: ArrayLike) -> FloatArray:
    """Mean absolute error in units of what a seasonal naive forecast missed in the training rows.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
    scale : array, shape (...)
        From `seasonal_scale`, of the rows up to the cutoff.

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
    return _ratio(mae(y, forecast), np.asarray(scale, np.float64))


def rmsse(y: ArrayLike, forecast: ArrayLike, scale: ArrayLike) -> FloatArray:
    """Root mean squared error in units of that of a seasonal naive forecast in the training rows.

    The M5 competition took ``season_length=1`` and left out the zeros before the first sale, which is not
    done here.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
    scale : array, shape (...)
        From `seasonal_scale` with ``squared=True``, of the rows up to the cutoff.

    Returns
    -------
    array of float64, shape (...)
        NaN where the scale is 0 or not known.

    Examples
    --------
    >>> float(rmsse([3.0, 5.0], [2.0, 4.0], scale=0.5))
    2.0
    """
    return _ratio(rmse(y, forecast), np.asarray(scale, np.float64))


def msse(y: ArrayLike, forecast: ArrayLike, scale: ArrayLike) -> FloatArray:
    """Mean squared error in units of that of a seasonal naive forecast in the training rows: `rmsse` squared.

    Parameters
    ----------
    y, forecast : array, shape (..., H)
        Observed values, NaN where missing, and what was forecast for them.
    scale : array, shape (...)
        From `seasonal_scale` with ``squared=True``, of the rows up to the cutoff.

    Returns
    -------
    array of float64, shape (...)
        NaN where the scale is 0 or not known.

    Examples
    --------
    >>> float(msse([3.0, 5.0], [2.0, 4.0], scale=0.5))
    4.0
    """
    return rmsse(y, forecast, scale) ** 2


def pinball(y: ArrayLike, forecast: ArrayLike, quantiles: ArrayLike) -> FloatArray:
    """Mean pinball (quantile) loss, without a factor 2: at quantile 0.5 it is half the absolute error.

    Parameters
    ----------
    y : array, shape (..., H)
        Observed values, NaN where missing.
    forecast : array, shape (..., H, Q)
        Forecast quantiles.
    quantiles : array, shape (Q,)
        Their levels in (0, 1).

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
    y, forecast = _floats(y, forecast)
    error = y[..., None] - forecast
    q = np.asarray(quantiles, np.float64)
    return _mean(_ratio(np.maximum(q * error, (q - 1) * error).sum(axis=-1), len(q)), y)


def wql(y: ArrayLike, forecast: ArrayLike, quantiles: ArrayLike) -> FloatArray:
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
    return _ratio(2 * pinball(y, forecast, quantiles), _mean(np.abs(*_floats(y)), *_floats(y)))


def winkler(y: ArrayLike, lo: ArrayLike, hi: ArrayLike, level: float) -> FloatArray:
    """Mean interval score: width, plus what the interval missed by times ``2 / (1 - level / 100)``.

    Parameters
    ----------
    y, lo, hi : array, shape (..., H)
        Observed values, NaN where missing, and the bounds of their intervals.
    level : float
        Level of the intervals in percent.

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
    y, lo, hi = _floats(y, lo, hi)
    missed = np.maximum(lo - y, 0) + np.maximum(y - hi, 0)
    return _mean(hi - lo + 2 / (1 - level / 100) * missed, y)


def msis(y: ArrayLike, lo: ArrayLike, hi: ArrayLike, scale: ArrayLike) -> FloatArray:
    """Mean scaled interval score of the M4 competition: `winkler` of the 95 % intervals over the scale of `mase`.

    Parameters
    ----------
    y, lo, hi : array, shape (..., H)
        Observed values, NaN where missing, and the bounds of their 95 % intervals.
    scale : array, shape (...)
        From `seasonal_scale`, of the rows up to the cutoff.

    Returns
    -------
    array of float64, shape (...)
        NaN where the scale is 0 or not known.

    Examples
    --------
    >>> float(msis([1.0], [0.0], [2.0], scale=4.0))
    0.5
    """
    return _ratio(winkler(y, lo, hi, 95), np.asarray(scale, np.float64))


def coverage(y: ArrayLike, lo: ArrayLike, hi: ArrayLike) -> FloatArray:
    """Share of the observed values inside their intervals, bounds included.

    Parameters
    ----------
    y, lo, hi : array, shape (..., H)
        Observed values, NaN where missing, and the bounds of their intervals.

    Returns
    -------
    array of float64, shape (...)

    Examples
    --------
    >>> float(coverage([1.0, 2.0], [1.0, 3.0], [2.0, 4.0]))
    0.5
    """
    y, lo, hi = _floats(y, lo, hi)
    inside = ((lo <= y) & (y <= hi)).astype(np.float64)
    return _mean(np.where(np.isnan(lo) | np.isnan(hi), np.nan, inside), y)


def _floats(*arrays: ArrayLike) -> tuple[FloatArray, ...]:
    return tuple(np.asarray(array, np.float64) for array in arrays)


def _mean(terms: FloatArray, y: FloatArray) -> FloatArray:
    """Mean over the last axis of the terms whose ``y`` is observed."""
    seen = ~np.isnan(y)
    return _ratio(np.where(seen, terms, 0.0).sum(axis=-1), seen.sum(axis=-1))


def _ratio(top: ArrayLike, bottom: ArrayLike) -> FloatArray:
    """Division that is NaN where it would be infinite or has no meaning."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.asarray(np.divide(top, bottom))
    return np.where(np.isfinite(ratio), ratio, np.nan)
