"""The one place that complains about input.

Every message says what is wrong, where (series, row, column), what was found, and what to do. Rows are counted from 0
as in ``df.iloc``; for a frame that `tsrnn.data.read_csv` made, the line of the file is named too.
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.api import guess_datetime_format

from tsrnn.data.calendar import Frequency, Times

__all__ = ["DataError"]

SOURCE = "tsrnn_source"
"""Key of ``df.attrs`` under which `tsrnn.data.read_csv` notes the file that a frame came from."""


class DataError(ValueError):
    """Input that cannot be used as it is; the message names the place and the way out."""


def row(frame: "pd.DataFrame | pd.Series[Any]", position: int) -> str:
    """Name a row for people: ``row 12``, or ``row 12 (line 14 of sales.csv)``."""
    source = frame.attrs.get(SOURCE)
    return f"row {position}" + (f" (line {position + 2} of {source})" if source else "")


def check_columns(frame: pd.DataFrame, wanted: Iterable[str], role: str) -> None:
    """Raise if a column is absent, naming the nearest one that is there."""
    have = [str(c) for c in frame.columns]
    for name in wanted:
        if name not in have:
            near = difflib.get_close_matches(name, have, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"no column {name!r} ({role}).{hint} The columns are: {', '.join(map(repr, have))}. Pass {role}=... to name another one."
            )
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise DataError(f"the column name {doubled[0]!r} stands twice; rename one of the two.")


def parse_times(column: "pd.Series[Any]", frame: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """A time column as datetime or integer; text is parsed, and the first unreadable stamp is named."""
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        raise DataError(f"{row(frame, missing[0])} has no time stamp in column {name!r}; fill it in or drop the row.")
    if isinstance(column.dtype, pd.PeriodDtype):
        return column.dt.to_timestamp()
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_integer_dtype(column):
        return column
    if pd.api.types.is_float_dtype(column):
        odd = np.flatnonzero(column.to_numpy() % 1 != 0)
        if not len(odd):
            return column.astype("int64")
        raise DataError(
            f"column {name!r} holds fractional times: {row(frame, odd[0])} has {column.iloc[odd[0]]!r}. "
            "Use integers or time stamps."
        )
    text = column.astype("str")
    parsed = pd.to_datetime(text, errors="coerce", format="ISO8601")
    layout = guess_datetime_format(text.iloc[0])
    if parsed.isna().any() and layout is not None:
        parsed = pd.to_datetime(text, errors="coerce", format=layout)
    bad = np.flatnonzero(parsed.isna().to_numpy())
    if len(bad):
        raise DataError(
            f"{row(frame, bad[0])}, column {name!r}: {column.iloc[bad[0]]!r} is not a time stamp like the others "
            f"(the first is {column.iloc[0]!r}); {len(bad)} such in all. Correct it, or convert the column with "
            "pd.to_datetime(..., format=...) first."
        )
    return parsed


def numbers(column: "pd.Series[Any]", frame: pd.DataFrame, ids: "pd.Series[Any] | None" = None) -> NDArray[np.float64]:
    """A column as float64 with NaN where missing; text and infinities are refused with their place."""
    name, of = column.name, ""
    if not pd.api.types.is_numeric_dtype(column):
        values = pd.to_numeric(column, errors="coerce")
        bad = np.flatnonzero((values.isna() & column.notna()).to_numpy())
        if len(bad):
            of = "" if ids is None else f" of series {ids.iloc[bad[0]]!r}"
            raise DataError(
                f"{row(frame, bad[0])}{of}, column {name!r}: {column.iloc[bad[0]]!r} is not a number; {len(bad)} such in all. "
                "Replace it by a number, or leave the field empty to mark it as missing."
            )
        column = values
    array = column.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(np.isinf(array))
    if len(bad):
        of = "" if ids is None else f" of series {ids.iloc[bad[0]]!r}"
        raise DataError(
            f"{row(frame, bad[0])}{of}, column {name!r} is infinite; {len(bad)} such in all. "
            "Replace infinities, for instance df.replace([np.inf, -np.inf], np.nan) to mark them as missing."
        )
    return array


def check_order(
    frame: pd.DataFrame, ids: Sequence[Any], indptr: NDArray[np.int64], times: Times, rows: NDArray[np.int64]
) -> None:
    """Raise on the first duplicate stamp or step back in time inside a series."""
    steps = np.diff(times)
    inside = np.ones(len(steps), bool)
    inside[indptr[1:-1] - 1] = False
    zero = np.zeros(1, steps.dtype)[0]
    for wrong, what, way_out in (
        (
            inside & (steps == zero),
            "has the stamp {0} twice",
            "Keep one row a stamp, for instance df.drop_duplicates(['unique_id', 'ds'], keep='last') or a groupby(...).mean().",
        ),
        (
            inside & (steps < zero),
            "goes back in time, from {1} to {0}",
            "Sort it, for instance df.sort_values(['unique_id', 'ds']), after checking why the stamps run backwards.",
        ),
    ):
        bad = np.flatnonzero(wrong)
        if len(bad):
            at = bad[0] + 1
            raise DataError(
                f"series {ids[_series_of(indptr, at)]!r} {what.format(times[at], times[at - 1])} at {row(frame, rows[at])}; "
                f"{len(bad)} such in all. {way_out}"
            )


def check_grid(
    frame: pd.DataFrame,
    ids: Sequence[Any],
    indptr: NDArray[np.int64],
    times: Times,
    rows: NDArray[np.int64],
    freq: Frequency,
) -> NDArray[np.int64]:
    """Steps of every row from the first one of its series; raise if the stamps do not keep to ``freq``."""
    firsts = np.repeat(times[indptr[:-1]], np.diff(indptr))
    steps, on_grid = freq.count(firsts, times)
    if freq.kind in ("month", "business"):
        on_grid &= freq.shift(firsts, np.zeros_like(steps)) == firsts
    bad = np.flatnonzero(~on_grid)
    if len(bad):
        at = bad[0]
        raise DataError(
            f"series {ids[_series_of(indptr, at)]!r}: the stamp {times[at]} at {row(frame, rows[at])} does not lie on a step of "
            f"freq={freq!s} counted from {firsts[at]}; {len(bad)} of {len(times)} stamps do not. Mixed or irregular sampling: give the "
            "frequency meant with freq=..., or resample, for instance df.groupby('unique_id').resample('1h', on='ds').mean()."
        )
    gaps = np.diff(steps)
    gaps[indptr[1:-1] - 1] = 0
    for i in np.flatnonzero(np.diff(indptr) > 2):
        own = gaps[indptr[i] : indptr[i + 1] - 1]
        if own.min() > 1 and (own == own[0]).all():
            raise DataError(
                f"mixed frequencies: series {ids[i]!r} has a stamp every {own[0]} steps of freq={freq!s}, which is the step of the "
                "others. Split the frame by frequency, or resample to a common one."
            )
    return steps


def check_lengths(ids: Sequence[Any], lengths: NDArray[np.int64], needed: int, why: str) -> None:
    """Raise if a series has fewer rows than needed, naming the shortest ones."""
    short = np.flatnonzero(lengths < needed)
    if len(short):
        named = ", ".join(
            f"{ids[i]!r} ({lengths[i]} rows)" for i in short[np.argsort(lengths[short], kind="stable")][:5]
        )
        more = "" if len(short) <= 5 else f" and {len(short) - 5} more"
        raise DataError(
            f"series too short: {named}{more}; at least {needed} rows are needed ({why}). "
            "Leave these series out, lengthen them, or ask for less (a shorter horizon, fewer windows)."
        )


def _series_of(indptr: NDArray[np.int64], at: int) -> int:
    return int(np.searchsorted(indptr, at, side="right") - 1)


def check_observed(labels: Sequence[Any], observed: NDArray[np.bool_]) -> None:
    """Raise if a series has no value at all among the rows to learn from."""
    empty = np.flatnonzero(~observed)
    if len(empty):
        named = ", ".join(repr(labels[i]) for i in empty[:5])
        raise DataError(
            f"series {named}{' ...' if len(empty) > 5 else ''} have no value in the rows to learn from ({len(empty)} such in all). "
            "Leave them out, or give them values."
        )
