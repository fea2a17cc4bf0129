"""The one place that complains about input.

Every message says what is wrong, where (series, row, column), what was found, and what to do. Rows are counted from 0
as in ``df.iloc``; for a frame that `tsrnn.data.read_table` made, the line of the file is named too.
"""

import difflib
import re
import warnings
import zoneinfo
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.api import guess_datetime_format

from tsrnn.data.calendar import Frequency, Times, holiday_feature

__all__ = ["DataError", "DataWarning"]

SOURCE = "tsrnn_source"
"""Key of ``df.attrs`` under which `tsrnn.data.read_table` notes the files that a frame came from: a list of
``[name, first row]``."""


_HOUR, _DAY = 3600 * 10**9, 86_400 * 10**9

Names = NDArray[Any]
"""Names of series, shape (N,)."""


class DataError(ValueError):
    """Input that cannot be used as it is; the message names the place and the way out."""


class DataWarning(UserWarning):
    """Input that was used otherwise than it stands; the message names the place and what was done.

    Examples
    --------
    >>> import warnings
    >>> from tsrnn import Panel
    >>> back = pd.DataFrame({"ds": [1, 3, 2], "y": [1.0, 3.0, 2.0]})
    >>> with warnings.catch_warnings(record=True, action="always") as said:
    ...     panel = Panel.from_frame(back)
    >>> print(said[0].message)
    series 'y' goes back in time, from 3 to 2 at row 2; 1 such in all. Its rows are read in time order.
    """


def row(frame: "pd.DataFrame | pd.Series[Any]", position: np.integer[Any] | int) -> str:
    """Name a row for people: ``row 12``, or ``row 12 (line 14 of sales.csv)``, and of a later chunk the line alone."""
    files = frame.attrs.get(SOURCE)
    if not files:
        return f"row {position}"
    name, start = files[bisect_right([start for _, start in files], position) - 1]
    own = int(position) - start
    place = f"{f'row {own}' if name.endswith(('.parquet', '.pq')) else f'line {own + 2}'} of {name}"
    return place if start < 0 else f"row {position} ({place})"


def check_columns(frame: pd.DataFrame, wanted: Iterable[str], role: str) -> None:
    """Raise if a column is absent, naming the nearest one that is there."""
    have = list(frame.columns)
    for name in wanted:
        if name not in have:
            near = difflib.get_close_matches(name, map(str, have), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"no column {name!r} ({role}).{hint} The columns are: {', '.join(map(repr, have))}. "
                f"Pass {role}=... to name another one."
            )
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise DataError(f"the column name {doubled[0]!r} stands twice; rename one of the two.")


def parse_times(
    column: "pd.Series[Any]", frame: pd.DataFrame, name: str, layout: str | None = None
) -> "pd.Series[Any]":
    """A time column as datetime or integer; text is parsed, and the first unreadable stamp is named.

    With a ``layout`` (as of strptime) integers are text too.
    """
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        raise DataError(f"{row(frame, missing[0])} has no time stamp in column {name!r}; fill it in or drop the row.")
    if isinstance(column.dtype, pd.PeriodDtype):
        return pd.Series(pd.PeriodIndex(column).to_timestamp(), index=column.index)
    if pd.api.types.is_datetime64_any_dtype(column):
        return column
    if layout not in (None, _ISO):
        return _read_layout(column, frame, name, layout)
    if pd.api.types.is_integer_dtype(column):
        return column
    if pd.api.types.is_float_dtype(column):
        odd = np.flatnonzero(~np.isfinite(column) | (np.trunc(column) != column))
        if not len(odd):
            return column.astype("int64")
        raise DataError(
            f"column {name!r} holds fractional times: {row(frame, odd[0])} has {column.iloc[odd[0]]!r}. "
            "Use integers or time stamps."
        )
    text = column.astype("str")
    parsed, _ = _read_stamps(text, layout)
    if parsed.dt.tz is not None:
        offset = text.str.contains(_OFFSET)
        odd = np.flatnonzero((offset != offset.iloc[0]).to_numpy())
        if len(odd):
            raise DataError(
                f"column {name!r} mixes stamps with and without an offset from UTC: {text.iloc[0]!r} at "
                f"{row(frame, 0)}, {text.iloc[odd[0]]!r} at {row(frame, odd[0])}; {len(odd)} unlike the first in all. "
                "Write all of them with the offset, or none."
            )
    bad = np.flatnonzero(parsed.isna().to_numpy())
    if len(bad):
        raise DataError(
            f"{row(frame, bad[0])}, column {name!r}: {column.iloc[bad[0]]!r} is not a time stamp like the others "
            f"(the first is {column.iloc[0]!r}); {len(bad)} such in all. Correct it, or convert the column with "
            "pd.to_datetime(..., format=...) first."
        )
    return parsed


_ISO = "ISO8601"

_OFFSET = r"(?:\d:\d\d.*[+-]\d\d(?::?\d\d)?|\d ?(?:Z|UTC|GMT))$"
"""The end of a stamp with a time of day and an offset from UTC."""


def _read_layout(column: "pd.Series[Any]", frame: pd.DataFrame, name: str, layout: str) -> "pd.Series[Any]":
    """Text or integers as stamps of a given layout."""
    text = column.astype("str")
    try:
        parsed = pd.to_datetime(text, errors="coerce", format=layout, utc="%z" in layout)
    except ValueError as error:
        raise DataError(f"time_format={layout!r} is no layout of stamps: {error}.") from None
    bad = np.flatnonzero(parsed.isna().to_numpy())
    if len(bad):
        raise DataError(
            f"{row(frame, bad[0])}, column {name!r}: {text.iloc[bad[0]]!r} does not have the layout "
            f"time_format={layout!r}; {len(bad)} such in all. Correct it, or give the layout that all rows have."
        )
    return parsed


def on_clock(frame: pd.DataFrame, time_col: str, id_col: str, zone: str) -> "pd.Series[Any]":
    """The time column in a time zone: stamps with an offset are converted, others are read from the zone's clock.

    Of an hour that the clock repeats, the stamp that stands first in its series is the earlier one.
    """
    column, tz = _clock_of(frame, time_col, zone)
    if column.dt.tz is not None:
        return pd.Series(column.dt.tz_convert(tz))
    keys = [c for c in (id_col, time_col) if c in frame.columns]
    first, twice = ~frame.duplicated(keys), frame.duplicated(keys, keep=False)
    placed = column.dt.tz_localize(tz, ambiguous=first.to_numpy(), nonexistent="NaT")
    unclear = column.dt.tz_localize(tz, ambiguous="NaT", nonexistent="NaT").isna() & ~twice
    _refuse_stamps(frame, time_col, zone, placed.isna(), "is skipped")
    _refuse_stamps(frame, time_col, zone, unclear, "comes twice")
    return pd.Series(placed)


def on_running_clock(frame: pd.DataFrame, time_col: str, zone: str, highest: pd.Timestamp | None) -> "pd.Series[Any]":
    """As `on_clock` for rows that come one after the other, of which ``highest`` was the latest so far.

    Of an hour that the clock repeats, a stamp is the earlier one as long as stamps rise.
    """
    column, tz = _clock_of(frame, time_col, zone)
    if column.dt.tz is not None:
        return pd.Series(column.dt.tz_convert(tz))
    early, late = (
        column.dt.tz_localize(tz, ambiguous=np.full(len(column), summer), nonexistent="NaT") for summer in (True, False)
    )
    _refuse_stamps(frame, time_col, zone, early.isna(), "is skipped")
    first = early.dt.as_unit("ns").astype("int64").to_numpy()
    before = np.maximum.accumulate(np.append(first[0] - 1 if highest is None else highest.value, first))[:-1]
    return pd.Series(early.where(first > before, late))


def _clock_of(frame: pd.DataFrame, time_col: str, zone: str) -> tuple["pd.Series[Any]", zoneinfo.ZoneInfo]:
    column = frame[time_col]
    try:
        tz = zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise DataError(f"time_zone={zone!r} is not known; give a name as 'Europe/Berlin' or 'UTC'.") from None
    if not pd.api.types.is_datetime64_any_dtype(column):
        raise DataError(f"column {time_col!r} holds integers; time_zone={zone!r} is for stamps. Leave it out.")
    return column, tz


def _refuse_stamps(frame: pd.DataFrame, time_col: str, zone: str, wrong: "pd.Series[bool]", what: str) -> None:
    bad = np.flatnonzero(wrong.to_numpy())
    if len(bad):
        raise DataError(
            f"{row(frame, bad[0])}, column {time_col!r}: {frame[time_col].iloc[bad[0]]} {what} on the clock of {zone}, "
            f"which is changed then; {len(bad)} such in all. Write the stamps with their offset from UTC, as "
            "2024-10-27 02:30+02:00, or name the zone that they were written in."
        )


def check_axes(shape: Sequence[int]) -> None:
    """Raise if an array is neither one series nor a column a series."""
    if len(shape) not in (1, 2):
        raise DataError(
            f"an array of shape {tuple(shape)} is neither one series, (rows,), nor a column a series, (rows, series). "
            "Reshape it."
        )


def check_parquet(file: Path, names: Sequence[str], given: Sequence[bool]) -> None:
    """Raise if options of CSV files were given for a Parquet file."""
    for name, was in zip(names, given, strict=True):
        if was:
            raise DataError(f"{file} is Parquet, for which {name} means nothing; leave it out.")


def check_stems(files: Sequence[Path], stems: Sequence[str]) -> None:
    """Raise if two files would give a series of the same name."""
    first: dict[str, Path] = {}
    for file, stem in zip(files, stems, strict=True):
        if first.setdefault(stem, file) is not file:
            raise DataError(
                f"{first[stem]} and {file} would both be the series {stem!r}. Rename one, or leave id_from out."
            )


def check_added(file: Path, frame: pd.DataFrame, added: Sequence[str]) -> None:
    """Raise if a column that the file's path gives stands in the file too."""
    for name in added:
        if name in frame.columns:
            raise DataError(
                f"{file} has a column {name!r}, which its path gives too. Drop one: read the file alone, leave id_from "
                "out, or choose another id_col."
            )


def check_same_columns(first: Path, one: pd.DataFrame, second: Path, other: pd.DataFrame) -> None:
    """Raise if two files do not have the same columns."""
    for name in [*one.columns, *other.columns]:
        if (name in one.columns) != (name in other.columns):
            has, lacks = (first, second) if name in one.columns else (second, first)
            raise DataError(f"{lacks} lacks the column {name!r}, which {has} has. Read them one by one, or add it.")


def check_integers(frame: pd.DataFrame, name: str) -> None:
    """Raise if times are no integers, where those before were."""
    bad = np.flatnonzero(pd.to_numeric(frame[name], errors="coerce").isna() & frame[name].notna())
    if len(bad):
        raise DataError(
            f"{row(frame, bad[0])}, column {name!r}: {frame[name].iloc[bad[0]]!r} is no integer as the times before it."
        )


def stamp_layout(column: "pd.Series[Any]") -> str | None:
    """The layout of a column of text that `parse_times` reads all of it by; None for numbers and for stamps."""
    return _read_stamps(column)[1] if pd.api.types.is_string_dtype(column) else None


def _read_stamps(text: "pd.Series[Any]", layout: str | None = None) -> tuple["pd.Series[Any]", str]:
    """Text as stamps, NaT where unreadable: ISO 8601, or the first row's layout, month first before day first.

    After a year that comes first nobody writes the day before the month: 2024-13-02 is a slip, not the 2nd of the 13th.
    """
    layouts = [layout]
    if layout is None:
        orders = (False,) if re.match(r"\d{4}", text.iloc[0]) else (False, True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # says which of the two orders was meant
            layouts = [_ISO, *(guess_datetime_format(text.iloc[0], dayfirst=first) for first in orders)]
    found = []
    for layout in dict.fromkeys(filter(None, layouts)):
        try:
            parsed = pd.to_datetime(text, errors="coerce", format=layout)
        except ValueError:  # offsets from UTC that change with the clocks
            parsed = pd.to_datetime(text, errors="coerce", format=layout, utc=True)
        found.append((parsed, layout))
        if parsed.notna().all():
            return parsed, layout
    return min(found, key=lambda stamps: stamps[0].isna().sum())


def numbers(column: "pd.Series[Any]", frame: pd.DataFrame, ids: "pd.Series[Any] | None" = None) -> NDArray[np.float64]:
    """A column as float64 with NaN where missing; text and infinities are refused with their place."""
    name, of = column.name, ""
    if not pd.api.types.is_numeric_dtype(column):
        dated = column.dtype.kind in "mM" or isinstance(column.dtype, pd.PeriodDtype)  # these would turn into counts
        values = pd.Series(np.nan, column.index) if dated else pd.to_numeric(column, errors="coerce")
        bad = np.flatnonzero((values.isna() & column.notna()).to_numpy())
        if len(bad):
            of, found = "" if ids is None else f" of series {ids.iloc[bad[0]]!r}", column.iloc[bad[0]]
            way_out = "Replace it by a number, or leave the field empty to mark it as missing."
            if re.fullmatch(r"[-+]?\d+,\d+", str(found)):
                way_out = "If the comma is the decimal mark, read the file with decimal=','."
            raise DataError(
                f"{row(frame, bad[0])}{of}, column {name!r}: {found!r} is not a number; {len(bad)} such in all. "
                f"{way_out}"
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


def warn_order(
    frame: pd.DataFrame, ids: "pd.Series[Any]", times: Times, codes: NDArray[np.int64], back: NDArray[np.int64], n: int
) -> None:
    """Say that rows run back in time and are read in time order; ``back`` holds them, ``n`` rows came in."""
    if not len(back):
        return
    at = back[0]
    before = np.flatnonzero(codes[:at] == codes[at])[-1]
    warnings.warn(
        f"series {ids.iloc[at]!r} goes back in time, from {_stamp(times[before])} to {_stamp(times[at])} at "
        f"{row(frame, at % n)}; {len(back)} such in all. Its rows are read in time order.",
        DataWarning,
        stacklevel=4,
    )


def check_repeats(
    frame: pd.DataFrame,
    ids: Names,
    indptr: NDArray[np.int64],
    times: Times,
    rows: NDArray[np.int64],
    repeated: NDArray[np.int64],
) -> None:
    """Raise on the first of the rows that have the stamp of the row before them."""
    at = repeated[0]
    raise DataError(
        f"series {ids[_series_of(indptr, at)]!r} has the stamp {_stamp(times[at])} twice, at "
        f"{row(frame, rows[at - 1])} and {row(frame, rows[at])}; {len(repeated)} such in all. Pass duplicates='last' "
        "or duplicates='mean' to make them one, or drop what is too much. Local times repeat an hour when the clocks "
        "go back: give such a column its time zone."
    )


def check_zone(column: "pd.Series[Any]", zone: str | None) -> None:
    """Raise if a time zone has no name by which it can be stored and found again."""
    if zone is None:
        return
    try:
        pd.DatetimeIndex([], tz="UTC").tz_convert(zone)
    except (ValueError, KeyError, TypeError, OSError):
        raise DataError(
            f"the time zone of column {column.name!r}, {zone}, has no name by which it can be stored. Convert it to "
            "one that has, for instance df['ds'].dt.tz_convert('Europe/Berlin')."
        ) from None


def check_resample(freq: Any, times: Times) -> None:
    """Raise if there is no step to resample to."""
    if freq is None or str(freq) == "irregular" or (isinstance(freq, str) and "-" in freq):
        got = "none is given" if freq is None else f"got freq={freq!r}"
        raise DataError(
            f"resample needs the step to resample to, {got}. Pass for instance freq='h'; weeks begin on Monday and "
            "quarters in January, so no other beginning can be named."
        )
    if (Frequency.parse(freq).kind == "integer") != (times.dtype.kind == "i"):
        check_kind(Frequency.parse(freq), times)


def check_holidays(place: str | None, freq: Frequency, times: Times) -> None:
    """Raise if steps are too long for a day to be a holiday, or no stamps, or the place is not known."""
    if place is None:
        return
    if times.dtype.kind == "i" or freq.kind == "month" or (freq.by_days and freq.step > _DAY):
        raise DataError(
            f"holidays={place!r} needs time stamps and steps of a day or less, got freq={freq!s}. Leave it out, or "
            "count the holidays of each step yourself and pass them as a future covariate."
        )
    holiday_feature(times[:1], place)


def check_gaps(
    frame: pd.DataFrame,
    ids: Names,
    indptr: NDArray[np.int64],
    times: Times,
    rows: NDArray[np.int64],
    steps: NDArray[np.int64],
    freq: Frequency,
) -> None:
    """Raise on the first gap in a series, for ``gaps="error"``."""
    missing = np.diff(steps) - 1
    missing[indptr[1:-1] - 1] = 0
    bad = np.flatnonzero(missing > 0)
    if len(bad):
        at = bad[0] + 1
        raise DataError(
            f"series {ids[_series_of(indptr, at)]!r} lacks {missing[at - 1]:,} steps of freq={freq!s} between "
            f"{_stamp(times[at - 1])} at {row(frame, rows[at - 1])} and {_stamp(times[at])} at {row(frame, rows[at])}; "
            f"{missing.sum():,} steps in {len(bad)} gaps in all. Add the rows, or choose gaps='mask', 'ffill' or "
            "'interpolate'."
        )


def check_kind(freq: Frequency, times: Times) -> None:
    """Raise if integers are to be counted in calendar steps, or stamps in integers."""
    if freq.kind != "irregular" and (freq.kind == "integer") != (times.dtype.kind == "i"):
        raise DataError(
            f"freq={freq!s} does not go with {'integers' if times.dtype.kind == 'i' else 'time stamps'} such as "
            f"{_stamp(times[0])}. Leave freq out to have it inferred, or convert the column, for instance with "
            "pd.to_datetime(...)."
        )


def check_grid(
    frame: pd.DataFrame,
    ids: Names,
    indptr: NDArray[np.int64],
    times: Times,
    rows: NDArray[np.int64],
    freq: Frequency,
    zone: str | None = None,
) -> NDArray[np.int64]:
    """Steps of every row from the first one of its series; raise if the stamps do not keep to ``freq``."""
    if freq.kind == "irregular":
        return np.arange(len(times)) - np.repeat(indptr[:-1], np.diff(indptr))
    check_kind(freq, times)
    firsts = np.repeat(times[indptr[:-1]], np.diff(indptr))
    steps, on_grid = freq.count(firsts, times)
    if freq.kind in ("month", "business"):
        on_grid &= freq.shift(firsts, np.zeros_like(steps)) == firsts
    bad = np.flatnonzero(~on_grid)
    if len(bad):
        at = bad[0]
        own = bad[bad < indptr[_series_of(indptr, at) + 1]]
        shown = ", ".join(f"{_stamp(times[i])} at {row(frame, rows[i])}" for i in own[:3])
        on_clock = freq.kind == "fixed" and zone is not None and freq.step > _HOUR
        raise DataError(
            f"series {ids[_series_of(indptr, at)]!r}: {shown}{' ...' * (len(own) > 3)} "
            f"{'lies' if len(own) == 1 else 'lie'} on no step of freq={freq!s} counted from {_stamp(firsts[at])}; "
            f"{len(bad)} of {len(times)} stamps do not. Mixed or irregular sampling: give the frequency meant with "
            "freq=..., make one row a step with resample='mean' and freq=..., or use the rows as they are with "
            "freq='irregular'."
            + on_clock
            * " Steps that keep to the clock on the wall when it is changed: drop the zone, with .dt.tz_localize(None)."
        )
    gaps = np.diff(steps)
    gaps[indptr[1:-1] - 1] = 0
    if gaps.sum() > max(10**6, 100 * len(times)):
        at = gaps.argmax() + 1
        raise DataError(
            f"series {ids[_series_of(indptr, at)]!r} lacks {gaps[at - 1] - 1:,} steps of freq={freq!s} between "
            f"{_stamp(times[at - 1])} and {_stamp(times[at])} at {row(frame, rows[at])}; the grid would have over 100 "
            "rows for each that is there. Correct the stamp, or give the frequency meant with freq=..."
        )
    if gaps.max(initial=0) > 1:
        most = np.maximum.reduceat(np.append(gaps, 0), indptr[:-1])
        gaps[indptr[1:-1] - 1] = np.iinfo(gaps.dtype).max  # between two series: below no minimum
        least = np.minimum.reduceat(np.append(gaps, np.iinfo(gaps.dtype).max), indptr[:-1])
        # Three gaps alike are no accident; months have 28 to 31 days.
        for i in np.flatnonzero((np.diff(indptr) > 3) & (least > 1) & (most <= 1.25 * least))[:1]:
            every = f"{least[i]}" if least[i] == most[i] else f"{least[i]} to {most[i]}"
            raise DataError(
                f"mixed frequencies: series {ids[i]!r} has a stamp every {every} steps of freq={freq!s}, which is the "
                "step of the others. Split the frame by frequency, or resample to a common one."
            )
    return steps


def check_constant(
    frame: pd.DataFrame,
    ids: Names,
    indptr: NDArray[np.int64],
    order: NDArray[np.int64],
    values: NDArray[np.float64],
    names: Iterable[str],
) -> None:
    """Raise if a static covariate changes inside a series; ``order`` puts the frame's rows one series after another."""
    for name, column in zip(names, values[order].T, strict=True):
        first = np.repeat(column[indptr[:-1]], np.diff(indptr))
        bad = np.flatnonzero((column != first) & ~(np.isnan(column) & np.isnan(first)))
        if len(bad):
            i = _series_of(indptr, bad[0])
            start, at = order[indptr[i]], order[bad[0]]
            raise DataError(
                f"series {ids[i]!r}: the static covariate {name!r} changes from {frame[name].iloc[start]!r} at "
                f"{row(frame, start)} to {frame[name].iloc[at]!r} at {row(frame, at)}. Give it one value for each "
                "series, or name it among past_covariates or future_covariates."
            )


def check_categories(names: Iterable[str], found: set[str], fitted: set[str]) -> None:
    """Raise if a covariate holds categories and held numbers when the model was fitted, or the other way round."""
    for name in names:
        if (name in found) != (name in fitted):
            now, then = ("categories", "numbers") if name in found else ("numbers", "categories")
            raise DataError(
                f"the covariate {name!r} holds {now}, but held {then} when the model was fitted. Give it the same "
                f"type, or name it among categorical=... in fit if its numbers are categories."
            )


def check_row_for_row(n_merged: int, channels: str) -> None:
    """Raise if a panel's rows are not those of the frame it was read from, one for one."""
    if n_merged or channels == "independent":
        what = f"{n_merged} rows were made of several" if n_merged else "channels='independent' splits the rows"
        raise DataError(f"{what}: a frame like the one given cannot be given back. Transform Panel.from_frame(...).")


def check_lengths(ids: Names, lengths: NDArray[np.int64], needed: int, why: str) -> None:
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


def check_end(ids: Names, last: "pd.Series[Any]", enough: NDArray[np.bool_], what: str) -> None:
    """Raise if a series ends too early for what is asked, naming the last row of some of them."""
    short = np.flatnonzero(~enough)
    if len(short):
        named = ", ".join(f"{ids[i]!r} (last row {last.iloc[i]})" for i in short[:5])
        more = "" if len(short) <= 5 else f" and {len(short) - 5} more"
        raise DataError(
            f"no room for {what}: series {named}{more} end too early. Leave these series out, place the cutoffs "
            "earlier, or keep folds that reach beyond the data with allow_incomplete_fold=True."
        )


def parse_stamp(value: Any, like: NDArray[Any], zone: str | None, *, by_days: bool) -> np.datetime64 | np.int64:
    """One stamp that somebody gave, in the terms of a panel's times."""
    if like.dtype.kind == "i":
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise DataError(f"{value!r} is not a stamp of these data, whose time goes in integers.")
        return np.int64(value)
    try:
        if isinstance(value, int | float | bool):
            raise ValueError("a number")
        stamp = pd.Timestamp(value)
    except ValueError:
        raise DataError(
            f"{value!r} cannot be read as a stamp; write it as '2024-01-31' or '2024-01-31 18:00'."
        ) from None
    if stamp.tz is not None and zone is None:
        raise DataError(f"{value!r} has a time zone, and the data have none; leave it out.")
    if zone is not None:
        stamp = stamp.tz_localize(zone) if stamp.tz is None else stamp.tz_convert(zone)
        stamp = stamp.tz_localize(None) if by_days else stamp.tz_convert(None)
    return stamp.to_datetime64()


def _stamp(time: Any) -> str:
    """A stamp as people write it."""
    return str(pd.Timestamp(time)) if isinstance(time, np.datetime64) else str(time)


def _series_of(indptr: NDArray[np.int64], at: np.integer[Any] | int) -> int:
    return int(np.searchsorted(indptr, at, side="right") - 1)


def check_observed(labels: Names, observed: NDArray[np.bool_]) -> None:
    """Raise if a series has no value at all among the rows to learn from."""
    empty = np.flatnonzero(~observed)
    if len(empty):
        named = ", ".join(repr(labels[i]) for i in empty[:5])
        raise DataError(
            f"series {named}{' ...' if len(empty) > 5 else ''} have no value in the rows to learn from "
            f"({len(empty)} such in all). Leave them out, or give them values."
        )


def check_above(
    ids: Names, owners: NDArray[np.int64], rows: NDArray[np.int64], values: NDArray[np.float64], bound: float, who: str
) -> None:
    """Raise on the first of the values (R, C) at or below a bound; ``owners`` says which series each row belongs to."""
    bad = np.argwhere(values <= bound)
    if len(bad):
        at, c = bad[0]
        raise DataError(
            f"{who} takes values above {bound:g}, but series {ids[owners[at]]!r} has {values[at, c]:g} at row "
            f"{rows[at]}; {len(bad)} such in all. Use YeoJohnson(), which takes any number, or leave the field empty "
            "if the value is not a measurement."
        )


def check_domain(
    ids: Names,
    owners: NDArray[np.int64],
    rows: NDArray[np.int64],
    values: NDArray[np.float64],
    domain: Literal["nonnegative", "positive", "count"],
    who: str,
) -> None:
    """Raise on the first of the values (R, C) that a distribution does not take; ``owners`` as in `check_above`."""
    low = values <= 0 if domain == "positive" else values < 0
    bad = np.argwhere(low | (np.mod(values, 1) > 0) if domain == "count" else low)
    if len(bad):
        at, c = bad[0]
        wanted = {"count": "whole numbers from 0 on", "nonnegative": "numbers from 0 on", "positive": "numbers above 0"}
        raise DataError(
            f"{who} takes {wanted[domain]}, but series {ids[owners[at]]!r} has {values[at, c]:g} at row {rows[at]}; "
            f"{len(bad)} such in all. Use Normal() or StudentT(), which take any number, or leave the field empty if "
            "the value is not a measurement."
        )


def check_fitted(ids: Names, fitted: NDArray[np.bool_]) -> None:
    """Raise if a series was not among those that a transform was fitted on."""
    new = np.flatnonzero(~fitted)
    if len(new):
        named = ", ".join(repr(i) for i in ids[new[:5]])
        raise DataError(
            f"the transform was not fitted on series {named}{' ...' if len(new) > 5 else ''} ({len(new)} such in all), "
            "so there is no way back for them. Fit it on all series first."
        )


def check_starts(ids: Names, same: NDArray[np.bool_]) -> None:
    """Raise if a series of differences does not begin at the stamp where the fitted one did."""
    other = np.flatnonzero(~same)
    if len(other):
        raise DataError(
            f"series {ids[other[0]]!r} does not begin at the stamp where the data that Difference was fitted on begin; "
            f"{len(other)} such in all. Differences are summed up from the first fitted value, so pass the rows from "
            "there on."
        )


def check_numeric(wanted: Iterable[str], names: Iterable[str], categorical: Iterable[str]) -> None:
    """Raise if a column to be transformed is no covariate, or holds categories."""
    names, categorical = list(names), list(categorical)
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"Covariates(columns=...) names {name!r}, which is no covariate.{hint} The covariates are: "
                f"{', '.join(map(repr, names)) or 'none'}."
            )
        if name in categorical:
            raise DataError(
                f"Covariates(columns=...) names {name!r}, which holds categories; they are not numbers to transform. "
                "Leave it out."
            )


def check_complete(names: Iterable[str], n: int) -> None:
    """Raise if no row has all of the columns that are to be transformed together."""
    if not n:
        raise DataError(
            f"no row to learn from has a value in all of the covariates {list(names)}, which Covariates is to "
            "transform together. Give each its own Covariates(transformer, columns=[...])."
        )
