"""Forecasts that need no training, under the same contract: the bar that every network must clear.

Intervals are normal, with the standard deviation of the one-step (or one-season) residuals of the history before each
cutoff and the growth with the horizon that each method implies.

References
----------
R. J. Hyndman and G. Athanasopoulos (2021), Forecasting: Principles and Practice, 3rd ed., sections 5.2 and 5.5.
"""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tsrnn.data import Panel
from tsrnn.data.calendar import Frequency
from tsrnn.forecasting.base import AbstractForecaster

__all__ = ["Drift", "HistoricAverage", "Naive", "Naive2", "SeasonalNaive"]

FloatArray = NDArray[np.float64]


class AbstractBaseline(AbstractForecaster):
    """A forecast that is a formula over the history before the cutoff."""

    is_local = True

    def __init__(self, *, horizon: int) -> None:
        self.horizon = horizon

    @property
    def name(self) -> str:
        """The class name."""
        return type(self).__name__

    def _fit(self, panel: Panel) -> None:
        """Nothing is learned: the history is the model."""

    @abstractmethod
    def _formula(self, y: FloatArray, freq: Frequency) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation, each of shape (H,), from a history of shape (T,) that may hold NaN."""

    def forecast_panel(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], quantiles: Sequence[float] = ()
    ) -> FloatArray:
        """Forecast from any number of cutoffs; see `AbstractForecaster.forecast_panel`."""
        channels = panel.values.shape[1]
        out = np.empty((len(series), self.horizon, channels, 1 + len(quantiles)))
        z = norm.ppf(np.asarray(quantiles, dtype=np.float64))
        for b, (i, end) in enumerate(zip(series, ends, strict=True)):
            history = panel.known(i, end)
            for c in range(channels):
                mean, deviation = self._formula(history[:, c], panel.freq)
                out[b, :, c, 0] = mean
                out[b, :, c, 1:] = mean[:, None] + deviation[:, None] * z
        return out


class Naive(AbstractBaseline):
    """The last observed value.

    Parameters
    ----------
    horizon : int
        Steps ahead.

    Examples
    --------
    >>> import pandas as pd
    >>> sales = pd.Series([3.0, 5.0, 4.0], index=pd.date_range("2024-01-01", periods=3), name="sales")
    >>> Naive(horizon=2).fit(sales).predict(level=[])["Naive"].tolist()
    [4.0, 4.0]
    """

    def _formula(self, y: FloatArray, freq: Frequency) -> tuple[FloatArray, FloatArray]:
        return _last_season(y, 1, self.horizon)


class SeasonalNaive(AbstractBaseline):
    """The last observed value of the same season.

    Parameters
    ----------
    horizon : int
        Steps ahead.
    season_length : int, optional
        Steps in a season; by default the one usual at the data's frequency (12 for months, 24 for hours ...). Steps
        whose season was never observed are forecast as NaN.
    """

    def __init__(self, *, horizon: int, season_length: int | None = None) -> None:
        super().__init__(horizon=horizon)
        self.season_length = season_length

    def _fit(self, panel: Panel) -> None:
        season = self.season_length
        if season is not None and (not isinstance(season, (int, np.integer)) or season < 1):
            raise ValueError(f"season_length must be a positive integer or None, got {season!r}.")

    def _formula(self, y: FloatArray, freq: Frequency) -> tuple[FloatArray, FloatArray]:
        return _last_season(y, freq.season_length if self.season_length is None else self.season_length, self.horizon)


class Naive2(SeasonalNaive):
    """The last value of the seasonally adjusted history times the season's index: the M4 competition's yardstick.

    The history is adjusted where its autocorrelation at the season differs from 0 at the level of 90 %, and holds at
    least three seasons of positive values without gaps; otherwise this is `Naive`. Indices are those of the
    multiplicative classical decomposition.

    Parameters
    ----------
    horizon : int
        Steps ahead.
    season_length : int, optional
        Steps in a season; by default the one usual at the data's frequency.

    References
    ----------
    S. Makridakis, E. Spiliotis and V. Assimakopoulos (2020), The M4 Competition: 100,000 time series and 61 forecasting
    methods, International Journal of Forecasting 36(1), section 3.1.
    """

    def _formula(self, y: FloatArray, freq: Frequency) -> tuple[FloatArray, FloatArray]:
        season = freq.season_length if self.season_length is None else self.season_length
        if not _is_seasonal(y, season):
            return _last_season(y, 1, self.horizon)
        index = _seasonal_index(y, season)
        times = len(y) + np.arange(self.horizon)
        value, deviation = _last_season(y / index[np.arange(len(y)) % season], 1, self.horizon)
        return value * index[times % season], deviation * index[times % season]


class Drift(AbstractBaseline):
    """The line through the first and the last observed value, prolonged.

    Parameters
    ----------
    horizon : int
        Steps ahead.
    """

    def _formula(self, y: FloatArray, freq: Frequency) -> tuple[FloatArray, FloatArray]:
        seen = np.flatnonzero(~np.isnan(y))
        if len(seen) < 2:
            return _last_season(y, 1, self.horizon)
        first, last = seen[0], seen[-1]
        slope = (y[last] - y[first]) / (last - first)
        steps = len(y) - 1 - last + np.arange(1, self.horizon + 1)
        deviation = _spread(np.diff(y) - slope, 1)
        return y[last] + slope * steps, deviation * np.sqrt(steps * (1 + steps / (last - first)))


class HistoricAverage(AbstractBaseline):
    """The mean of all observed values.

    Parameters
    ----------
    horizon : int
        Steps ahead.
    """

    def _formula(self, y: FloatArray, freq: Frequency) -> tuple[FloatArray, FloatArray]:
        seen = y[~np.isnan(y)]
        mean = seen.mean() if len(seen) else np.nan
        deviation = _spread(seen - mean, 1) * np.sqrt(1 + 1 / max(1, len(seen)))
        return np.full(self.horizon, mean), np.full(self.horizon, deviation)


def _last_season(y: FloatArray, season: int, horizon: int) -> tuple[FloatArray, FloatArray]:
    """Repeat the last season; a missing value of it is taken from the season before, and so on back."""
    season = min(season, len(y) + horizon)  # seasons that much longer are forecast alike, without their memory
    padded = np.concatenate([np.full(-len(y) % season, np.nan), y]).reshape(-1, season)
    seen = ~np.isnan(padded)
    age = np.where(seen.any(axis=0), seen[::-1].argmax(axis=0), 0)
    last = padded[len(padded) - 1 - age, np.arange(season)]
    steps = np.arange(horizon)
    cycles = steps // season + 1 + age[steps % season]
    return last[steps % season], _spread(y[season:] - y[:-season], 0) * np.sqrt(cycles)


def _is_seasonal(y: FloatArray, season: int) -> bool:
    """Whether the autocorrelation at the season lies beyond 1.645 of its standard errors, the test of M4."""
    if season < 2 or len(y) < 3 * season or not (y > 0).all():
        return False
    centred = y - y.mean()
    r = np.array([(centred[k:] * centred[: len(y) - k]).sum() for k in range(season + 1)])
    if r[0] == 0:
        return False
    r = r / r[0]
    return bool(abs(r[season]) > 1.645 * np.sqrt((1 + 2 * (r[1:season] ** 2).sum()) / len(y)))


def _seasonal_index(y: FloatArray, season: int) -> FloatArray:
    """Indices of the multiplicative classical decomposition, of mean 1, for rows ``0 ... season - 1``."""
    window = np.ones(season + 1 - season % 2)
    if season % 2 == 0:
        window[[0, -1]] = 0.5
    half = len(window) // 2
    ratio = np.full(-(-len(y) // season) * season, np.nan)
    ratio[half : len(y) - half] = y[half : len(y) - half] / np.convolve(y, window / season, "valid")
    index = np.nanmean(ratio.reshape(-1, season), axis=0)
    return np.asarray(index / index.mean())


def _spread(residuals: FloatArray, ddof: int) -> float:
    """Standard deviation about zero of the residuals that are there; NaN when there are too few."""
    seen = residuals[~np.isnan(residuals)]
    return float(np.sqrt((seen**2).sum() / (len(seen) - ddof))) if len(seen) > ddof else np.nan
