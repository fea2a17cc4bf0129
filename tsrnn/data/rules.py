"""Rules by which rows become a panel: time order, one row a step, gaps filled as far as a cutoff allows."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["fill", "merge", "time_order"]

Flags = NDArray[np.bool_]


def time_order(codes: NDArray[np.int64], times: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows one series after another, each in time order; rows of one stamp as they stand.

    Parameters
    ----------
    codes : array of int64, shape (R,)
        Number of each row's series.
    times : array of datetime64 or int64, shape (R,)
        Stamps.

    Returns
    -------
    order : array of int64, shape (R,)
        Positions of the rows.
    back : array of int64
        Positions of rows that are earlier than the row of their series before them.

    Examples
    --------
    >>> time_order(np.array([0, 1, 0, 1]), np.array([5, 1, 4, 2]))
    (array([2, 0, 1, 3]), array([2]))
    """
    order = np.argsort(codes, kind="stable")
    own, stamps = codes[order], times[order]
    back = np.flatnonzero((stamps[1:] < stamps[:-1]) & (own[1:] == own[:-1])) + 1
    return (np.lexsort((times, codes)) if len(back) else order), order[back]


def merge(values: NDArray[np.float64], groups: NDArray[np.int64], rule: str) -> NDArray[np.float64]:
    """Rows of one group as one row, missing values left out.

    Parameters
    ----------
    values : array of shape (R, K)
        Rows, those of a group together.
    groups : array of int64, shape (R,)
        Number of each row's group, from 0 without a hole.
    rule : str
        ``"mean"``, ``"sum"``, ``"median"``, ``"min"``, ``"max"``, ``"first"`` or ``"last"``.

    Returns
    -------
    array of shape (groups, K)

    Examples
    --------
    >>> merge(np.array([[1.0], [3.0], [np.nan]]), np.array([0, 0, 1]), "mean").ravel().tolist()
    [2.0, nan]
    """
    if not values.shape[1]:
        return np.zeros((groups[-1] + 1, 0))
    grouped = pd.DataFrame(values).groupby(groups)
    return (grouped.sum(min_count=1) if rule == "sum" else getattr(grouped, rule)()).to_numpy(copy=True)


def fill(
    values: NDArray[np.float64], indptr: NDArray[np.int64], rule: str, at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values with the gaps between two values of a series filled; before its first and after its last nothing is.

    Parameters
    ----------
    values : array of shape (R, K)
        Rows of all series; NaN is missing.
    indptr : array of int64, shape (N + 1,)
        Where the series begin and end.
    rule : {"ffill", "interpolate"}
        The value before the gap, or the line from it to the value after.
    at : array of shape (R,)
        Place of each row in time, for the line.

    Returns
    -------
    array of shape (R, K)

    Examples
    --------
    >>> y = np.array([[np.nan], [2.0], [np.nan], [4.0], [np.nan]])
    >>> fill(y, np.array([0, 5]), "interpolate", np.arange(5.0)).ravel().tolist()
    [nan, 2.0, 3.0, 4.0, nan]
    """
    seen = ~np.isnan(values)
    rows = np.arange(len(values))[:, None]
    before = np.maximum.accumulate(np.where(seen, rows, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, rows, len(values))[::-1], axis=0)[::-1]
    first, stop = (np.repeat(ends, np.diff(indptr))[:, None] for ends in (indptr[:-1], indptr[1:]))
    row, column = np.nonzero(~seen & (before >= first) & (after < stop))
    left, right = before[row, column], after[row, column]
    out = values.copy()
    out[row, column] = values[left, column]
    if rule == "interpolate":
        share = (at[row] - at[left]) / (at[right] - at[left])
        out[row, column] += share * (values[right, column] - values[left, column])
    return out
