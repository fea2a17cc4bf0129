"""Folds of a backtest: how many rows of every series are known at each cutoff."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsrnn.data import Panel
from tsrnn.data.validation import check_lengths

__all__ = ["fold_ends"]


def fold_ends(
    panel: Panel,
    *,
    horizon: int,
    n_windows: int = 1,
    step_size: int | None = None,
    rows_needed: int = 1,
    why: str = "one to start from",
) -> NDArray[np.int64]:
    """Rows known at each cutoff, counted from the end of each series: the last fold tests the newest rows.

    Parameters
    ----------
    panel : Panel
        Series of any lengths, in rows of their grid.
    horizon : int
        Rows tested in each fold.
    n_windows : int, default 1
        Folds.
    step_size : int, optional
        Rows between two cutoffs; by default ``horizon``, so that test windows touch and do not overlap.
    rows_needed : int, default 1
        Rows that must lie before the first cutoff.
    why : str
        What they are needed for, for the message.

    Returns
    -------
    array of int64, shape (n_windows, N)
        Fold ``k`` knows the first ``ends[k, i]`` rows of series ``i`` and tests the ``horizon`` rows after
        them; the cutoff is row ``ends[k, i] - 1``.

    Raises
    ------
    DataError
        If a series is too short for so many folds; the shortest are named.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.date_range("2024-01-01", periods=10)
    >>> panel = Panel.from_frame(pd.Series(range(10), index=days, dtype=float))
    >>> fold_ends(panel, horizon=2, n_windows=3)[:, 0].tolist()
    [4, 6, 8]
    """
    step_size = horizon if step_size is None else step_size
    counts: dict[str, Any] = {"horizon": horizon, "n_windows": n_windows, "step_size": step_size}
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} must be a positive integer, got {value!r}.")
    tested = horizon + (n_windows - 1) * step_size
    check_lengths(
        panel.ids.tolist(),
        panel.lengths,
        rows_needed + tested,
        f"{tested} to test n_windows={n_windows} folds of horizon={horizon}, step_size={step_size}; "
        f"before them {rows_needed}, {why}",
    )
    back = horizon + step_size * np.arange(n_windows - 1, -1, -1)
    return panel.lengths[None, :] - back[:, None]
