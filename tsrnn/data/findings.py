"""What was found in a frame, by series and row: gaps, repeated stamps, rows out of order, missing values."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.data.panel import Panel

__all__ = ["findings"]


def findings(panel: Panel) -> pd.DataFrame:
    """A row for each irregularity that was met when a panel was read.

    Parameters
    ----------
    panel : Panel
        Made by `Panel.from_frame`.

    Returns
    -------
    DataFrame
        ``unique_id``, the series (and channel, as in `Panel.labels`); ``kind``, one of ``"gap"`` (stamps that the frame
        has not), ``"missing"`` (empty values of a target), ``"duplicate"`` (rows of one stamp made one) and
        ``"disorder"`` (a row earlier than the row before it); ``row``, a position as in ``df.iloc``: of the row after
        the gap, of the first empty value, of the last of the rows made one, of the row that runs back; ``start`` and
        ``end``, the first and last stamp concerned; ``n``, how many stamps, values or rows. By series, then by row.

    Examples
    --------
    >>> df = pd.DataFrame({"ds": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-05"]), "y": [1.0, None, 3.0]})
    >>> findings(Panel.from_frame(df))[["kind", "row", "start", "n"]]
          kind  row      start  n
    0  missing    1 2024-01-02  1
    1      gap    2 2024-01-03  2
    """
    parts = [_runs(panel, "gap", panel.rows < 0, panel.ids, after=True)]
    for c, labels in enumerate(panel.labels.T):
        empty = np.isnan(panel.values[:, c]) & (panel.rows >= 0)
        parts.append(_runs(panel, "missing", empty, labels, after=False))
    parts += [_merged(panel), _disorder(panel)]
    found = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    series = found.pop("series")
    found = found.assign(start=panel.stamps(panel.times[found["start"]]), end=panel.stamps(panel.times[found["end"]]))
    order = np.lexsort((found["row"], series))
    return found.iloc[order].reset_index(drop=True).infer_objects()


def _table(panel: Panel, kind: str, names: Any, row: Any, start: Any, end: Any, n: Any) -> pd.DataFrame:
    """Findings with the rows of the panel where they start and end, and the number of their series."""
    start = np.asarray(start, np.int64)
    series = np.searchsorted(panel.indptr, start, side="right") - 1
    columns = {"row": row, "start": start, "end": end, "n": n}
    frame = pd.DataFrame({name: np.asarray(column, np.int64) for name, column in columns.items()})
    frame.insert(0, "unique_id", np.asarray(names, dtype=object)[series])
    frame.insert(1, "kind", kind)
    return frame.assign(series=series)


def _runs(panel: Panel, kind: str, flags: NDArray[np.bool_], names: Any, *, after: bool) -> pd.DataFrame:
    """Stretches of flagged rows, each inside one series."""
    edge = np.zeros(len(flags), bool)
    edge[panel.indptr[:-1][panel.lengths > 0]] = True
    before = np.append(False, flags[:-1])
    starts = np.flatnonzero(flags & (edge | ~before))
    follows = np.append(flags[1:] & ~edge[1:], False)
    ends = np.flatnonzero(flags & ~follows)
    row = panel.rows[np.minimum(ends + 1, len(flags) - 1)] if after else panel.rows[starts]
    return _table(panel, kind, names, row, starts, ends, ends - starts + 1)


def _merged(panel: Panel) -> pd.DataFrame:
    asked = panel.schema.resample is not None
    at = np.flatnonzero(np.isin(panel.rows, [] if asked else panel.merged[:, 0]))
    sizes = dict(panel.merged.tolist())
    return _table(panel, "duplicate", panel.ids, panel.rows[at], at, at, [sizes[row] for row in panel.rows[at]])


def _disorder(panel: Panel) -> pd.DataFrame:
    kept = np.flatnonzero(panel.rows >= 0)
    series = np.searchsorted(panel.indptr, kept, side="right") - 1
    kept = kept[np.lexsort((panel.rows[kept], series))]  # as they stood in the frame
    back = np.flatnonzero((np.diff(kept) < 0) & (np.diff(np.sort(series)) == 0)) + 1
    at, last = kept[back], kept[back - 1]
    return _table(panel, "disorder", panel.ids, panel.rows[at], at, last, np.ones(len(at)))
