"""Runs of rows, and what every metric asks of the arrays it is given."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tsrnn.data.calendar import Times, to_times
from tsrnn.data.validation import parse_times

__all__ = ["Bools", "Floats", "Rows", "as_rows", "label_rows", "overlaps", "read_times", "segments"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def segments(rows: ArrayLike) -> tuple[Rows, Rows]:
    """Where runs of True begin, and where they are over.

    Parameters
    ----------
    rows : array of bool, shape (n,)

    Returns
    -------
    starts, stops : arrays of int
        The first row of each run, and the one after its last.

    Examples
    --------
    >>> segments([True, True, False, True])
    (array([0, 3]), array([2, 4]))
    """
    edges = np.flatnonzero(np.diff(np.asarray(rows, dtype=np.int8), prepend=0, append=0))
    return edges[::2], edges[1::2]


def overlaps(starts: Rows, stops: Rows, others: tuple[Rows, Rows]) -> Rows:
    """How many of the other runs each run meets.

    Examples
    --------
    >>> overlaps(np.array([0, 7]), np.array([5, 9]), segments([0, 1, 0, 1, 0, 0, 0, 0]))
    array([2, 0])
    """
    return np.searchsorted(others[0], stops, side="left") - np.searchsorted(others[1], starts, side="right")


def label_rows(labels: pd.DataFrame, times: ArrayLike) -> Bools:
    """Intervals as rows: True where a row's time lies in one.

    Parameters
    ----------
    labels : DataFrame
        ``start`` and ``end``, both inclusive: stamps, text that reads as stamps (as from a CSV file), or integers.
    times : array of shape (n,)
        Times of the rows, of the same type.

    Examples
    --------
    >>> label_rows(pd.DataFrame({"start": [1], "end": [2]}), [0, 1, 2, 3])
    array([False,  True,  True, False])
    """
    stamps = read_times(times, "times")
    starts, ends = (np.sort(read_times(labels[name], name)) for name in ("start", "end"))
    begun, over = np.searchsorted(starts, stamps, side="right"), np.searchsorted(ends, stamps, side="left")
    return np.asarray(begun > over)


def read_times(values: Any, name: str) -> Times:
    """A column of stamps (or of text that reads as such) in UTC, or of integers."""
    column = pd.Series(values).reset_index(drop=True)
    return to_times(parse_times(column, column.to_frame(name), name))[0]


def as_rows(labels: ArrayLike, **others: ArrayLike) -> tuple[Any, ...]:
    """The labels as booleans, and arrays that must have as many rows.

    Raises
    ------
    ValueError
        If lengths differ, or if a label is neither 0 nor 1.
    """
    seen = np.asarray(labels)
    if seen.ndim != 1 or not np.isin(seen, (0, 1)).all():
        raise ValueError(
            "labels must be one value a row, 0 or 1 (False or True); `label_rows` makes them from intervals."
        )
    arrays = {name: np.asarray(values) for name, values in others.items()}
    for name, values in arrays.items():
        if len(values) != len(seen):
            raise ValueError(f"{name} has {len(values)} rows and labels {len(seen)}; give a label for each row.")
    return (seen.astype(bool), *arrays.values())
