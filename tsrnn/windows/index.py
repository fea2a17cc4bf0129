"""Which windows exist, as integers. A window is a series and the number of its rows that are known: its cutoff.

No window is ever listed or copied here: a panel's training windows are two numbers a series, and the ``k``-th of all
windows is found by a search in their cumulative counts.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32
from numpy.typing import NDArray

from tsrnn.data import Panel
from tsrnn.training.state import Sampling

__all__ = ["WindowIndex", "sampling_odds", "tail_windows", "training_windows", "validation_rows"]
_ODDS = 2**30
"""About what the odds of all series sum to, if there are fewer windows."""


class WindowIndex(NamedTuple):
    """All windows of a set of series, which stand here by name, in whatever order the panel has them; a pytree.

    Attributes
    ----------
    series : array of int32, shape (N,)
        Number in the panel of the series at each place.
    first : array of int32, shape (N,)
        Known rows of each series' first window.
    below : array of int32, shape (N + 1,)
        Windows before each series; the last is their total.
    odds : array of int32, shape (N + 1,)
        Odds before each series; those of a series are a multiple of its windows. By default the windows themselves.
    """

    series: Int32[np.ndarray, " N"]
    first: Int32[np.ndarray, " N"]
    below: Int32[np.ndarray, " N1"]
    odds: Int32[np.ndarray, " N1"]

    @property
    def total(self) -> int:
        """Number of windows."""
        return int(self.below[-1])

    def locate(self, k: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Series and known rows of the ``k``-th windows."""
        place = np.searchsorted(self.below, k, side="right") - 1
        return self.series[place], self.first[place] + k - self.below[place]


def validation_rows(lengths: NDArray[np.int64], horizon: int, share: float) -> NDArray[np.int64]:
    """Rows held out at the end of each series: the share, at least a horizon; none if under two would remain."""
    held = np.maximum((share * lengths).astype(np.int64), horizon)
    return np.where((share > 0) & (lengths - held >= 2 * horizon), held, 0)


def training_windows(panel: Panel, stops: NDArray[np.int64], context_length: int, horizon: int) -> WindowIndex:
    """Windows whose history and target lie in the first ``stops[i]`` rows of each series.

    The first window knows ``context_length`` rows; in a series shorter than two contexts, half of the rows that can
    be cutoffs, so that short series give windows too (left-padded). A series with ``stops[i] <= horizon`` gives none.
    """
    cutoffs = stops - horizon
    first = np.clip((cutoffs + 1) // 2, 1, context_length)
    return _index(panel, first, np.maximum(cutoffs - first + 1, 0))


def tail_windows(panel: Panel, held: NDArray[np.int64], horizon: int) -> WindowIndex:
    """Windows whose targets lie in the last ``held[i]`` rows of each series."""
    return _index(panel, panel.lengths - held, np.maximum(held - horizon + 1, 0))


def sampling_odds(index: WindowIndex, law: Sampling, scale: NDArray[np.float64]) -> WindowIndex:
    """The index with the odds of a sampling law.

    Odds are integers, a multiple of the windows of each series, so that a draw is one integer and all windows of a
    series are equally likely. Shares of series are met up to that rounding: to 1 % while there are fewer than ten
    million windows in series of about equal length.

    Parameters
    ----------
    index : WindowIndex
        Windows to draw from.
    law : {"windows", "series", "scale"}
        Uniform over all windows; uniform over the series that have windows; or a series in proportion to its scale.
    scale : array of shape (N,)
        Scale of each series of the panel, for instance its mean absolute value.

    References
    ----------
    D. Salinas, V. Flunkert, J. Gasthaus, T. Januschowski (2020), DeepAR: probabilistic forecasting with autoregressive
    recurrent networks, International Journal of Forecasting 36, section 3.3.

    Examples
    --------
    >>> counts = np.array([0, 9, 10], np.int32)
    >>> index = WindowIndex(np.arange(2, dtype=np.int32), np.ones(2, np.int32), counts, counts)
    >>> odds = sampling_odds(index, "series", np.ones(2)).odds
    >>> [round(float(share), 6) for share in np.diff(odds) / odds[-1]]
    [0.5, 0.5]
    """
    counts = np.diff(index.below.astype(np.int64))
    if law == "windows" or not index.total:
        return index._replace(odds=index.below)
    wanted = np.where(counts > 0, scale[index.series] if law == "scale" else 1.0, 0.0)
    if not wanted.sum() > 0:
        wanted = np.where(counts > 0, 1.0, 0.0)
    room = min(_ODDS, np.iinfo(np.int32).max - index.total)
    times = np.maximum(1, np.rint(room * (wanted / wanted.sum()) / np.maximum(counts, 1))).astype(np.int64)
    return index._replace(odds=np.concatenate([[0], np.cumsum(counts * times)]).astype(np.int32))


def _index(panel: Panel, first: NDArray[np.int64], counts: NDArray[np.int64]) -> WindowIndex:
    total = counts.sum()
    if max(total, panel.indptr[-1]) > np.iinfo(np.int32).max:
        raise ValueError(f"{total:,} windows over {panel.indptr[-1]:,} rows are more than 32-bit integers can count.")
    series = np.argsort(panel.ids.astype(str), kind="stable")
    below = np.concatenate([[0], np.cumsum(counts[series])]).astype(np.int32)
    return WindowIndex(series.astype(np.int32), first[series].astype(np.int32), below, below)
