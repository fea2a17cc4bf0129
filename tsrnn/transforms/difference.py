"""Differences of a series to its own past."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tsrnn.data import Panel
from tsrnn.data.calendar import Frequency
from tsrnn.data.validation import check_starts
from tsrnn.transforms.base import AbstractTransform, State

__all__ = ["Difference"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Difference(AbstractTransform):
    """Difference to the value ``lag`` steps before; if that one is missing, to the last one before it a multiple away.

    The first value in each of the ``lag`` phases has nothing before it and becomes missing. Other values are missing
    only where they were. (A `tsrnn.Forecaster` keeps ``lag`` rows of history beyond what its network reads; where
    the value to subtract lies further back still, `predict` without data takes the difference for missing.)

    Forecasts come back as sums that start from the last values observed at or before the cutoff. With a lag of at least
    the horizon nothing is summed, and quantiles come back exactly; sample paths always do. With a shorter lag the sum
    of the steps' quantiles is given: the quantile if all steps deviate together, so intervals are too wide rather than
    too narrow unless the errors of the steps are fully dependent.

    Parameters
    ----------
    lag : int or "season", default 1
        Steps between the two values; ``"season"`` for the season usual at the data's frequency.

    References
    ----------
    G. E. P. Box and G. M. Jenkins (1970), Time Series Analysis: Forecasting and Control, chapters 4 and 9.

    Examples
    --------
    >>> import pandas as pd
    >>> y = pd.Series([1.0, 3.0, None, 8.0], index=pd.date_range("2024-01-01", periods=4))
    >>> Difference().fit_transform(y).tolist()
    [nan, 2.0, nan, 5.0]
    """

    lag: int | Literal["season"] = 1

    def __post_init__(self) -> None:
        """Refuse an impossible lag at once."""
        if self.lag != "season" and (not isinstance(self.lag, (int, np.integer)) or self.lag < 1):
            raise ValueError(f"lag={self.lag!r} must be a positive integer or 'season'.")

    def lookback(self, freq: Frequency) -> int:
        """The lag."""
        return freq.season_length if isinstance(self.lag, str) else self.lag

    def learn(self, panel: Panel) -> State:
        """The first observed value of each phase and its row, (N, C, lag) each, and the first stamp, (N,)."""
        lag, n, c = self.lookback(panel.freq), len(panel.ids), panel.values.shape[1]
        start, row = np.full((n, c, lag), np.nan), np.full((n, c, lag), -1)
        for i, x in enumerate(_series(panel.values, panel)):
            phases = _phases(x, lag)
            first = np.argmax(~np.isnan(phases), axis=0)  # (lag, C)
            start[i] = np.take_along_axis(phases, first[None], axis=0)[0].T
            row[i] = (first * lag + np.arange(lag)[:, None]).T
        return {"start": start, "row": row, "origin": _origins(panel)}

    def forward(self, state: State, panel: Panel) -> Panel:
        """The differences."""
        lag = self.lookback(panel.freq)
        parts = []
        for x in _series(panel.values, panel):
            before = np.full((lag, x.shape[1]), np.nan)
            parts.append(x - np.concatenate([before, _filled(x, lag)])[: len(x)])
        return replace(panel, values=np.concatenate(parts))

    def backward(self, state: State, panel: Panel) -> Panel:
        """Sums of the differences from the first values on; the panel must begin where the fitted one did."""
        check_starts(panel.ids, _origins(panel) == state["origin"])
        lag = self.lookback(panel.freq)
        parts = []
        for x, start, row in zip(_series(panel.values, panel), state["start"], state["row"], strict=True):
            x = x.copy()
            for c, phase in zip(*np.nonzero(~np.isnan(start) & (row < len(x))), strict=True):
                x[row[c, phase], c] = start[c, phase]
            seen = ~np.isnan(x)
            total = np.cumsum(_phases(np.where(seen, x, 0), lag), axis=0).reshape(-1, x.shape[1])[: len(x)]
            parts.append(np.where(seen, total, np.nan))
        return replace(panel, values=np.concatenate(parts))

    def ahead(self, state: State, values: Floats, panel: Panel, series: Ints, ends: Ints) -> Floats:
        """Sums of the steps from the last observed value of each phase on.

        A phase without a value before the cutoff starts from the last value of any phase; a history without any value
        from the mean of the first values that were fitted.
        """
        lag, (b, h, c, k) = self.lookback(panel.freq), values.shape
        latest = np.concatenate([_filled(x, 1) for x in _series(panel.values, panel)])
        phased = np.concatenate([_filled(x, lag) for x in _series(panel.values, panel)])
        at = ends[:, None] + np.arange(-lag, 0)
        rows = panel.indptr[series][:, None] + np.maximum(at, 0)
        base = np.where((at >= 0)[..., None], phased[rows], np.nan)  # (B, lag, C)
        newest = np.where((ends > 0)[:, None], latest[rows[:, -1]], np.nan)
        count = np.maximum((~np.isnan(state["start"])).sum(axis=-1), 1)
        usual = (np.nansum(state["start"], axis=-1) / count)[series]
        newest = np.where(np.isnan(newest), usual, newest)[:, None]
        base = np.where(np.isnan(base), newest, base)
        steps = np.zeros((b, -(-h // lag) * lag, c, k))
        steps[:, :h] = values
        total = np.cumsum(steps.reshape(b, -1, lag, c, k), axis=1) + base[:, None, ..., None]
        return total.reshape(b, -1, c, k)[:, :h]


def _series(values: Floats, panel: Panel) -> list[Floats]:
    """The rows of each series."""
    return np.split(values, panel.indptr[1:-1])


def _phases(x: Floats, lag: int) -> Floats:
    """(T, C) as (at least 1, lag, C), the end filled up with NaN."""
    pad = max(lag, -(-len(x) // lag) * lag) - len(x)
    return np.pad(x, ((0, pad), (0, 0)), constant_values=np.nan).reshape(-1, lag, x.shape[1])


def _filled(x: Floats, lag: int) -> Floats:
    """Every row's last observed value of its phase, its own included, shape (T, C)."""
    phases = _phases(x, lag)
    cycle = np.arange(len(phases))[:, None, None]
    last = np.maximum.accumulate(np.where(np.isnan(phases), 0, cycle), axis=0)
    return np.take_along_axis(phases, last, axis=0).reshape(-1, x.shape[1])[: len(x)]


def _origins(panel: Panel) -> Ints:
    """First stamp of each series as an integer (microseconds for time stamps); 0 for a series without rows."""
    times = panel.times.astype("datetime64[us]") if panel.times.dtype.kind == "M" else panel.times
    first = np.minimum(panel.indptr[:-1], max(len(times) - 1, 0))
    return np.where(panel.lengths > 0, times[first].astype(np.int64), 0)
