"""Which column of a strange table holds time, and how its stamps are written."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.data.calendar import Times

__all__ = ["ISO", "Stamps", "find_time"]

ISO = "ISO8601"
"""The layout of stamps such as 2024-01-31 13:30, which `tsrnn.data.read_csv` reads without being told."""

_ISO = r"\d{4}-\d\d(-\d\d([ T]\d\d(:?\d\d(:?\d\d([.,]\d+)?)?)?( ?(Z|[+-]\d\d(:?\d\d)?))?)?)?"
_MONTHS = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_DATES = (
    (r"\d{4}([-/.])\d{1,2}\1\d{1,2}", ("%Y{0}%m{0}%d",)),
    (r"\d{1,2}([-/.])\d{1,2}\1\d{4}", ("%m{0}%d{0}%Y", "%d{0}%m{0}%Y")),
    (r"\d{1,2}([-/.])\d{1,2}\1\d{2}", ("%m{0}%d{0}%y", "%d{0}%m{0}%y", "%y{0}%m{0}%d")),
    (rf"\d{{1,2}}([-/ ]){_MONTHS}\1\d{{4}}", ("%d{0}%b{0}%Y",)),
    (rf"\d{{1,2}}([-/ ]){_MONTHS}\1\d{{2}}", ("%d{0}%b{0}%y",)),
    (rf"{_MONTHS}( )\d{{1,2}}, \d{{4}}", ("%b %d, %Y",)),
    (rf"{_MONTHS}( )\d{{1,2}} \d{{4}}", ("%b %d %Y",)),
    (rf"\d{{4}}([-/ ]){_MONTHS}", ("%Y{0}%b",)),
    (rf"{_MONTHS}([-/ ])\d{{4}}", ("%b{0}%Y",)),
    (r"\d{4}([-/])\d{1,2}", ("%Y{0}%m",)),
    (r"\d{1,2}([-/])\d{4}", ("%m{0}%Y",)),
)  # the layouts of a date; what they share between the parts is filled in
_TIME = re.compile(
    r"(?P<gap>[ T:]|, ?)(?P<hour>\d{1,2})(?P<minute>:\d\d)?(?P<second>:\d\d)?(?P<part>\.\d{1,9})?"
    r"(?P<half> ?[AaPp][Mm])?(?P<zone> ?(?:Z|[+-]\d\d:?\d\d)| (?:UTC|GMT))?"
)
_OFFSET = r"\d:?\d\d(?:\.\d+)? ?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$"
_COMPACT = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_WORDS = {
    "ds",
    "dt",
    "ts",
    "t",
    "day",
    "month",
    "week",
    "quarter",
    "year",
    "period",
    "step",
    "index",
    "instant",
    "obs",
    "when",
}
_PARTS = ("date", "time", "stamp", "datum", "zeit", "epoch", "dte")
_TRIED = 200  # texts of a column by which it is judged whether it may hold time


@dataclass(frozen=True)
class Stamps:
    """A column of time stamps, read.

    Attributes
    ----------
    column : int
        Position of the column.
    layout : str
        Its strptime layout, `ISO`, "integer", or "unix s", "unix ms" ... for a count since 1970.
    times : array of datetime64 (UTC where there is an offset) or int64, shape (R,)
        What was read; NaT where it cannot be.
    zone : str or None
        The offsets of the stamps, None if they have none.
    evidence : str
        Why days and months stand in this order; empty where no doubt is possible.
    sure : bool
        Whether no other order of days and months would do as well.
    clock : int or None
        Position of a second column that holds the hour or the time of day.
    """

    column: int
    layout: str
    times: Times
    zone: str | None = None
    evidence: str = ""
    sure: bool = True
    clock: int | None = None

    @property
    def unreadable(self) -> NDArray[np.bool_]:
        """Which rows have no stamp, shape (R,)."""
        return np.isnat(self.times) if self.times.dtype.kind == "M" else np.zeros(len(self.times), bool)


def find_time(names: Sequence[str], codes: Sequence[NDArray[np.int64]], texts: Sequence[NDArray[Any]]) -> Stamps | None:
    """The column that most likely holds time, read; None if there is none.

    Stamps are preferred to counts since 1970, these to other whole numbers; then columns with a telling name; then
    the first one.

    Parameters
    ----------
    names : sequence of str, length C
        The columns' names.
    codes : sequence of int arrays of shape (R,)
        For each column, the position of each row's text among its texts.
    texts : sequence of arrays of str
        The distinct texts of each column.
    """
    ranked = []
    for i, (name, distinct) in enumerate(zip(names, texts, strict=True)):
        rank = _rank(name, distinct, codes[i])
        if rank is not None:
            ranked.append((rank, not _is_named(name), i))
    if not ranked:
        return None
    _, _, at = min(ranked)
    stamps = _read(at, codes[at], texts[at])
    if stamps.times.dtype.kind == "M" and stamps.layout[:4] != "unix":
        stamps = _with_clock(stamps, names, codes, texts)
    if stamps.clock is not None:  # unless a column holds both, perhaps made of the two
        both = [i for rank, _, i in sorted(ranked) if rank == 0 and len(texts[i]) > len(texts[at])]
        return _read(both[0], codes[both[0]], texts[both[0]]) if both else stamps
    return stamps


def _is_named(name: str) -> bool:
    lower = name.lower()
    return any(part in lower for part in _PARTS) or bool(_WORDS & set(re.split(r"[^a-z]+", lower)))


def _rank(name: str, texts: NDArray[Any], codes: NDArray[np.int64]) -> int | None:
    """How much a column looks like time, 0 the most; None if it does not."""
    sample = pd.Series([text.strip() for text in texts[:_TRIED] if text.strip()], dtype=object)
    if not len(sample):
        return None
    layouts = _layouts(sample.iloc[0])
    if any(_parse(sample, layout).notna().mean() >= 0.8 for layout in layouts):
        return 0
    if not sample.str.fullmatch(r"[-+]?\d+(\.0*)?").all():
        return None
    numbers = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(np.float64)
    if np.isnan(numbers).any() or np.abs(numbers).max() > 2**62:
        return None
    steps = np.diff(numbers[codes])
    rising = len(steps) > 0 and (steps > 0).mean() > 0.9
    ordered = rising or (len(texts) > 1 and ((steps >= 0).all() or (steps <= 0).all()))
    if (_compact(sample) is not None and (_is_named(name) or ordered)) or (
        _unit(numbers) is not None and (_is_named(name) or rising)
    ):
        return 1
    if _is_named(name) and len(texts) > 1 and len(texts) >= 0.01 * len(codes) ** 0.5:
        return 2
    return 3 if len(steps) > 2 and steps[0] > 0 and (steps == steps[0]).all() else None


def _layouts(text: str) -> list[str]:
    """The strptime layouts that a text may have, month first before day first."""
    if re.fullmatch(_ISO, text):
        return [ISO]
    for pattern, layouts in _DATES:
        match = re.match(pattern, text, re.IGNORECASE)
        if match is None:
            continue
        clock = _clock(text[match.end() :])
        if clock is not None:
            found = [layout.format(match.group(1)) + clock for layout in layouts]
            return found[1:2] if match.group(1) == "." and len(found) > 1 else found
    return []


def _clock(text: str) -> str | None:
    """The layout of what follows the date."""
    if not text:
        return ""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    half = match["half"]
    layout = match["gap"] + ("%I" if half else "%H")
    layout += (":%M" if match["minute"] else "") + (":%S" if match["second"] else "") + (".%f" if match["part"] else "")
    if half:
        layout += " %p" if half.startswith(" ") else "%p"
    zone = match["zone"] or ""
    if zone.strip() in ("UTC", "GMT"):
        return layout + " %Z"
    return layout + (" %z" if zone.startswith(" ") else "%z" if zone else "")


def _parse(texts: "pd.Series[Any]", layout: str) -> "pd.Series[Any]":
    """Texts as stamps, NaT where unreadable; in UTC where they have an offset."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zoned = "%z" in layout.lower() or (layout == ISO and _has_offsets(texts))
        parsed = pd.to_datetime(texts, format=layout, errors="coerce", utc=bool(zoned))
    return parsed.dt.tz_localize(None) if zoned else parsed


def _compact(texts: "pd.Series[Any]") -> str | None:
    """The layout of stamps without separators, such as 20240131."""
    lengths = set(texts.str.len())
    layout = _COMPACT.get(lengths.pop()) if len(lengths) == 1 else None
    if layout is None or not texts.str.fullmatch(r"(?:19|20)\d+").all():
        return None
    return layout if _parse(texts, layout).notna().all() else None


def _unit(numbers: NDArray[np.float64]) -> str | None:
    """The unit of whole numbers that count from 1970, by years between 1980 and 2100."""
    for power, unit in enumerate(_UNITS):
        if numbers.min() >= 315_532_800 * 1000.0**power and numbers.max() <= 4_102_444_800 * 1000.0**power:
            return unit
    return None


def _read(at: int, codes: NDArray[np.int64], texts: NDArray[Any]) -> Stamps:
    distinct = pd.Series([text.strip() for text in texts], dtype=object)
    first = distinct[distinct != ""].iloc[0]
    layouts = _layouts(first)
    if not layouts:
        compact = _compact(distinct)
        if compact is not None:
            return Stamps(at, compact, _parse(distinct, compact).to_numpy()[codes])
        numbers = pd.to_numeric(distinct).to_numpy(np.float64)
        unit = _unit(numbers)
        whole = numbers.astype(np.int64)[codes]
        if unit is None:
            return Stamps(at, "integer", whole)
        return Stamps(at, f"unix {unit}", whole.astype(f"datetime64[{unit}]"), zone="UTC")
    read = {layout: _parse(distinct, layout).to_numpy()[codes] for layout in layouts}
    zone = _zone(distinct)
    ranks = {layout: _disorder(times) for layout, times in read.items()}
    best = min(ranks, key=ranks.__getitem__)
    stamps = Stamps(at, best, read[best], zone)
    if len(ranks) == 1:
        return stamps
    return _explained(stamps, ranks, codes, texts)


def _disorder(times: Times) -> tuple[int, int, int]:
    """What speaks against a reading: unreadable stamps, steps back in time, steps unlike the most common one."""
    unread = np.isnat(times)
    read = times[~unread]
    steps = np.diff(read).astype(np.int64)
    back = int((steps < 0).sum())
    months = read.astype("datetime64[M]")
    if len(np.unique(read - months.astype(read.dtype))) == 1:  # always the same day and time: one step is a month
        steps = np.diff(months).astype(np.int64)
    counts = np.unique(steps[steps != 0], return_counts=True)[1]
    return int(unread.sum()), min(back, len(steps) - back), int(counts.sum() - counts.max()) if len(counts) else 0


def _explained(
    stamps: Stamps, ranks: dict[str, tuple[int, int, int]], codes: NDArray[np.int64], texts: NDArray[Any]
) -> Stamps:
    """Say why the best of several orders of day, month and year is the best."""
    rival = next(layout for layout in ranks if layout != stamps.layout)
    order, other = _order(stamps.layout), _order(rival)
    unread, back, odd = (theirs - ours for ours, theirs in zip(ranks[stamps.layout], ranks[rival], strict=True))
    if unread > 0:
        at = int(np.flatnonzero(~stamps.unreadable & np.isnat(_parse_rows(texts, codes, rival)))[0])
        others = f", nor can {unread - 1:,} others" if unread > 1 else ""
        why = f"{texts[codes[at]].strip()!r} in line {at + 2} cannot be {other}{others}"
        return replace(stamps, evidence=f"{order}: {why}")
    if back > 0:
        return replace(
            stamps,
            evidence=f"{order}: read {other} the stamps would run back {'once' if back == 1 else f'{back:,} times'}",
        )
    if odd > ranks[stamps.layout][2]:
        return replace(stamps, evidence=f"{order}: read {other} the steps would be less regular")
    return replace(stamps, evidence=f"{order}, but {other} is as likely", sure=False)


def _parse_rows(texts: NDArray[Any], codes: NDArray[np.int64], layout: str) -> Times:
    return np.asarray(_parse(pd.Series([text.strip() for text in texts], dtype=object), layout).to_numpy()[codes])


def _order(layout: str) -> str:
    return {"m": "month first", "d": "day first", "y": "year first"}[layout[1]]


def _has_offsets(texts: "pd.Series[Any]") -> bool:
    return bool(texts.head(_TRIED).str.extract(_OFFSET, expand=False).notna().any())


def _zone(texts: "pd.Series[Any]") -> str | None:
    if not _has_offsets(texts):
        return None
    found = texts.str.extract(_OFFSET, expand=False).dropna()
    offsets = sorted({"UTC" if mark in ("Z", "GMT", "+00:00", "+0000") else str(mark) for mark in found})
    return " and ".join(offsets) or None


def _with_clock(
    stamps: Stamps, names: Sequence[str], codes: Sequence[NDArray[np.int64]], texts: Sequence[NDArray[Any]]
) -> Stamps:
    """Dates that repeat, and beside them the hour or the time of day: both together are the stamp."""
    read = stamps.times[~stamps.unreadable]
    if (read != read.astype("datetime64[D]")).any() or len(np.unique(read)) == len(read):
        return stamps
    for i, (name, distinct) in enumerate(zip(names, texts, strict=True)):
        hours = re.fullmatch(r"(?i)hrs?|hours?|stunde|hour_?of_?day", name.strip()) and all(
            re.fullmatch(r"[01]?\d|2[0-3]", text.strip()) for text in distinct
        )
        clock = i != stamps.column and all(re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?", text.strip()) for text in distinct)
        if hours or clock:
            unit = [f"{text.strip()}:00:00" if hours else text.strip() for text in distinct]
            of_day = pd.to_timedelta(pd.Series([t if t.count(":") == 2 else f"{t}:00" for t in unit])).to_numpy()
            return replace(stamps, times=stamps.times + of_day[codes[i]], clock=i)
    return stamps
