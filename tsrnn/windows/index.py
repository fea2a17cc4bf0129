"""Which windows exist, as integers. A window is a series and the number of its rows that are known: its cutoff.

No window is ever listed or copied here: a panel's training windows are two numbers a series, and the ``k``-th of all
windows is found by a search in their cumulative counts.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32
from numpy.typing import NDArray

from tsrnn.data import Panel

__all__ = ["WindowIndex", "training_windows", "validation_rows"]


class WindowIndex(NamedTuple):
    """All windows of a set of series; a pytree.

    Attributes
    ----------
    row : array of int32, shape (N,)
        First row of each series in the panel.
    first : array of int32, shape (N,)
        Known rows of each series' first window.
    below : array of int32, shape (N + 1,)
        Windows before each series; the last is their total.
    """

    row: Int32[np.ndarray, " N"]
    first: Int32[np.ndarray, " N"]
    below: Int32[np.ndarray, " N1"]

    @property
    def total(self) -> int:
        """Number of windows."""
        return int(self.below[-1])

    def locate(self, k: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Series and known rows of the ``k``-th windows."""
        series = np.searchsorted(self.below, k, side="right") - 1
        return series, self.first[series] + k - self.below[series]


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


def _index(panel: Panel, first: NDArray[np.int64], counts: NDArray[np.int64]) -> WindowIndex:
    below = np.concatenate([[0], np.cumsum(counts)])
    if max(below[-1], panel.indptr[-1]) > np.iinfo(np.int32).max:
        raise ValueError(
            f"{below[-1]:,} windows over {panel.indptr[-1]:,} rows are more than 32-bit integers can count."
        )
    return WindowIndex(panel.indptr[:-1].astype(np.int32), first.astype(np.int32), below.astype(np.int32))
