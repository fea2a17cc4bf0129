"""Folds of a backtest: which rows of every series are learned from, known and tested at each cutoff."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tsrnn.data import Panel
from tsrnn.data.validation import check_end, check_lengths

__all__ = ["Folds", "make_folds"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Folds:
    """Rows of every series, counted from its first one; made by `make_folds`.

    Attributes
    ----------
    starts : array of int64, shape (K, N)
        The first row that fold ``k`` learns from.
    ends : array of int64, shape (K, N)
        How many rows are known: the cutoff is row ``ends[k, i] - 1``.
    gap : int
        Rows between the cutoff and the first row tested.
    horizon : int
        Rows tested.

    Examples
    --------
    >>> folds = Folds(np.zeros((3, 1), int), np.array([[4], [6], [8]]), gap=0, horizon=2)
    >>> [group.ends[:, 0].tolist() for group in folds.groups(refit=2)]
    [[4, 6], [8]]
    """

    starts: Ints
    ends: Ints
    gap: int
    horizon: int

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, which: "slice | NDArray[np.bool_]") -> Self:
        return type(self)(self.starts[which], self.ends[which], self.gap, self.horizon)

    def groups(self, refit: bool | int) -> list[Self]:
        """Folds that one fit forecasts, the fit being that of the first of them.

        Parameters
        ----------
        refit : bool or int
            False: one fit for all. True: one for each. n: one for n folds.
        """
        every = int(refit) or len(self)
        return [self[k : k + every] for k in range(0, len(self), every)]


def make_folds(
    panel: Panel,
    *,
    horizon: int,
    n_windows: int | None = None,
    start: Any = None,
    end: Any = None,
    step_size: int | None = None,
    gap: int = 0,
    initial_train_size: int | None = None,
    train_size: int | None = None,
    skip_folds: int | Sequence[int] | None = None,
    allow_incomplete_fold: bool = False,
    rows_needed: int = 1,
    why: str = "one to start from",
) -> Folds:
    """Place the cutoffs.

    Counted from the end of each series, so that the last of ``n_windows`` folds tests its newest rows (or lies at
    ``end``); or, with ``start`` or ``initial_train_size``, from the first cutoff on, as many as fit into every series
    up to ``end``, or ``n_windows``.

    Parameters
    ----------
    panel : Panel
        Series of any lengths, in rows of their grid.
    horizon : int
        Rows tested in each fold.
    n_windows : int, optional
        Folds; by default 1, or as many as fit where the first cutoff is given.
    start, end : str, int or timestamp, optional
        Stamps of the first and the last cutoff: the newest row that is known. Between two rows, the earlier one is.
    step_size : int, optional
        Rows between two cutoffs; by default ``horizon``, so that test windows touch and do not overlap.
    gap : int, default 0
        Rows between the cutoff and the first row tested.
    initial_train_size : int, optional
        Rows of each series up to the first cutoff, instead of ``start``.
    train_size : int, optional
        Learn from the newest so many rows before each cutoff (a sliding window; all rows of a series that has not so
        many); by default from all of them (an expanding window).
    skip_folds : int or sequence of int, optional
        n: every n-th fold alone is kept, from the first on. A sequence: the numbers, from 0, of folds to leave out.
    allow_incomplete_fold : bool, default False
        Whether the folds are kept, where the first cutoff or the ``end`` is given, of which only the first rows lie in
        the data.
    rows_needed : int, default 1
        Rows that must be learned from.
    why : str
        What they are needed for, for the message.

    Returns
    -------
    Folds

    Raises
    ------
    DataError
        If a series is too short for these folds; the shortest are named.
    ValueError
        If the options contradict each other.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.date_range("2024-01-01", periods=10)
    >>> panel = Panel.from_frame(pd.Series(range(10), index=days, dtype=float))
    >>> make_folds(panel, horizon=2, n_windows=3).ends[:, 0].tolist()
    [4, 6, 8]
    >>> folds = make_folds(panel, horizon=2, start="2024-01-05", step_size=1, gap=1, train_size=4)
    >>> folds.ends[:, 0].tolist(), folds.starts[:, 0].tolist()
    ([5, 6, 7], [1, 2, 3])
    """
    step = horizon if step_size is None else step_size
    _check_counts(1, horizon=horizon, n_windows=n_windows, step_size=step)
    _check_counts(1, initial_train_size=initial_train_size, train_size=train_size)
    _check_counts(0, gap=gap)
    if start is not None and initial_train_size is not None:
        raise ValueError("start and initial_train_size both place the first cutoff; give one of them.")
    onward = start is not None or initial_train_size is not None
    if onward and None not in (end, n_windows):
        raise ValueError("the first cutoff, end and n_windows say too much; leave one of them out.")
    if train_size is not None and train_size < rows_needed:
        raise ValueError(f"train_size={train_size} is too small: {rows_needed} rows are needed, {why}.")
    n = n_windows or 1
    room = panel.lengths - gap - (1 if allow_incomplete_fold else horizon)  # rows known at the last cutoff there can be
    spent = 0
    if onward:
        first = panel.rows_until(start) if start is not None else np.full_like(room, initial_train_size)
        stop = room if end is None else np.minimum(room, panel.rows_until(end))
        n = n_windows or max(1, int(((stop - first) // step).min()) + 1)
    elif end is None:
        spent = gap + horizon + (n - 1) * step
        first = stop = panel.lengths - spent
    else:
        spent, stop = (n - 1) * step, panel.rows_until(end)
        first = stop - spent
    given = {"start": start, "end": end, "initial_train_size": initial_train_size, "gap": gap or None}
    options = "".join(f", {name}={value}" for name, value in given.items() if value is not None)
    what = f"n_windows={n} folds of horizon={horizon}, step_size={step}{options}"
    text = (
        f"{spent} {'to test' if end is None else 'from cutoff to cutoff of'} {what}; before them {rows_needed}, {why}"
    )
    check_lengths(panel.ids, first + spent, rows_needed + spent, text if spent else f"{why}, up to the first of {what}")
    ends = first + step * np.arange(n)[:, None]
    check_end(panel.ids, panel.stamps(panel.times[panel.indptr[1:] - 1]), ends[-1] <= room, what)
    if onward and (ends[-1] > stop).any():
        raise ValueError(f"end={end} lies before the first cutoff.")
    starts = np.zeros_like(ends) if train_size is None else np.maximum(ends - train_size, 0)
    return Folds(starts, ends, gap, horizon)[_kept(n, skip_folds)]


def _check_counts(least: int, **counts: int | None) -> None:
    for name, value in counts.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            kind = "a positive integer" if least else "an integer of at least 0"
            raise ValueError(f"{name} must be {kind}, got {value!r}.")


def _kept(n_folds: int, skip: int | Sequence[int] | None) -> NDArray[np.bool_]:
    """Which folds are kept, shape (n_folds,)."""
    numbers = np.arange(n_folds)
    if skip is None:
        return np.ones(n_folds, bool)
    if isinstance(skip, int | np.integer):
        _check_counts(1, skip_folds=skip)
        return np.asarray(numbers % skip == 0)
    strange = [number for number in skip if number not in numbers]
    if strange:
        raise ValueError(f"skip_folds names fold {strange[0]!r}, but the folds are 0 to {n_folds - 1}.")
    kept = ~np.isin(numbers, list(skip))
    if not kept.any():
        raise ValueError(f"skip_folds leaves out all folds, 0 to {n_folds - 1}.")
    return kept
