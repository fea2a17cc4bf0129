"""The time axis of a strange table: its rate, what is missing, what repeats and what runs back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.data.calendar import Frequency, Times
from tsrnn.data.inspect.stamps import Stamps

__all__ = ["Axis", "Finding", "TimeColumn", "duration", "findings", "line_of", "words"]


@dataclass(frozen=True)
class Finding:
    """Something odd.

    Attributes
    ----------
    kind : str
        In a word, such as ``"gaps"``.
    text : str
        A sentence.
    column : str or None
        The column, if it is about one.
    row : int or None
        Where it begins, counted from 0 as in ``df.iloc``; the text names the line of the file, which is 2 more.
    blocks : bool
        Whether this has to be corrected before the file can be read as intended.
    """

    kind: str
    text: str
    column: str | None = None
    row: int | None = None
    blocks: bool = False


@dataclass(frozen=True)
class TimeColumn:
    """The time axis of a file.

    Attributes
    ----------
    column : str
        The column with the stamps.
    clock : str or None
        A second column, with the hour or the time of day.
    layout : str
        ``"ISO8601"``, a strptime layout, ``"integer"``, or ``"unix s"``, ``"unix ms"`` ... for counts since 1970.
    zone : str or None
        Offsets from UTC that the stamps have; None if they have none.
    start, end : str
        The first and the last stamp; in UTC if there are offsets.
    rate : str or None
        The most common step, as a pandas alias; None if no series has two stamps.
    regular : bool
        Whether half of the steps are that one, and nine in ten are multiples of it.
    share_on_rate, share_on_grid : float
        Shares of the steps that are the most common one, and that are whole multiples of it.
    median_step, low_step, high_step : str or None
        Median, 5 % and 95 % quantiles of the steps.
    n_gaps, n_missing : int
        Places at which stamps are missing, and how many; 0 where the rate is not regular.
    n_duplicates, n_back_steps, n_unreadable : int
        Rows with the stamp of an earlier row, rows that run back in time, and rows without a readable stamp.
    """

    column: str
    clock: str | None
    layout: str
    zone: str | None
    start: str
    end: str
    rate: str | None
    regular: bool
    share_on_rate: float
    share_on_grid: float
    median_step: str | None
    low_step: str | None
    high_step: str | None
    n_gaps: int
    n_missing: int
    n_duplicates: int
    n_back_steps: int
    n_unreadable: int


@dataclass(frozen=True)
class Axis:
    """Stamps in the order of series and time.

    Attributes
    ----------
    order : array of int, shape (R,)
        Position in the file of each row with a readable stamp, one series after another, each in time order.
    times : array of datetime64 or int64, shape (R,)
        Their stamps.
    breaks : array of bool, shape (R,)
        Where a new series begins.
    freq : Frequency or None
        The most common step; None if no series has two different stamps.
    multiples : array of int, shape (R - 1,)
        How many of these there are between a stamp and the next one; 0 for a stamp that repeats, -1 beside the grid
        and between two series.
    backward : array of int, shape (K,)
        Positions in the file of rows that run back in time.
    """

    order: NDArray[np.int64]
    times: Times
    breaks: NDArray[np.bool_]
    freq: Frequency | None
    multiples: NDArray[np.int64]
    backward: NDArray[np.int64]

    @classmethod
    def of(cls, stamps: Stamps, series: Sequence[NDArray[np.int64]]) -> "Axis":
        """Put the rows in order; ``series`` are the codes of the columns that name the series."""
        rows = np.flatnonzero(~stamps.unreadable)
        codes = np.zeros(len(rows), np.int64)
        for column in series:
            codes = codes * (int(column.max()) + 1) + column[rows]
        times = stamps.times[rows]
        filed = np.argsort(codes, kind="stable")
        back = np.flatnonzero((np.diff(codes[filed]) == 0) & (np.diff(times[filed]).astype(np.int64) < 0))
        sort = np.lexsort((times, codes))
        breaks = np.append(True, np.diff(codes[sort]) != 0) if len(sort) else np.zeros(0, bool)
        ordered = times[sort]
        indptr = np.append(np.flatnonzero(breaks), len(sort)).astype(np.int64)
        forward = bool((~breaks[1:] & (ordered[1:] > ordered[:-1])).any())
        freq = Frequency.infer(ordered, indptr) if forward else None
        multiples = np.full(max(0, len(sort) - 1), -1, np.int64)
        if freq is not None:
            counts, on_step = freq.count(ordered[:-1], ordered[1:])
            multiples = np.where(on_step & ~breaks[1:], counts, -1)
        return cls(rows[sort], ordered, breaks, freq, multiples, np.sort(rows[filed[back + 1]]))

    @property
    def steps(self) -> NDArray[np.float64]:
        """Steps between neighbouring different stamps of a series: nanoseconds or whole numbers."""
        gaps = np.diff(self.times)
        steps = gaps.astype(np.float64)
        if self.dated:  # as floats, because 9999-12-31 is out of reach for nanoseconds
            steps *= np.ones(1, gaps.dtype) / np.timedelta64(1, "ns")
        return np.asarray(steps[~self.breaks[1:] & (steps > 0)])

    @property
    def dated(self) -> bool:
        """Whether the stamps are dates, not whole numbers."""
        return self.times.dtype.kind == "M"

    @property
    def share_on_rate(self) -> float:
        """Share of the steps that are the most common one."""
        return float((self.multiples == 1).sum() / max(1, len(self.steps)))

    @property
    def share_on_grid(self) -> float:
        """Share of the steps that are whole multiples of the most common one."""
        return float((self.multiples >= 1).sum() / max(1, len(self.steps)))

    @property
    def regular(self) -> bool:
        """Whether half of the steps are the most common one, and nine in ten are multiples of it."""
        return self.share_on_rate >= 0.5 and self.share_on_grid >= 0.9

    @property
    def gaps(self) -> NDArray[np.int64]:
        """Positions, in this order, of the rows before which stamps are missing."""
        return np.flatnonzero(self.multiples > 1) + 1 if self.regular else np.zeros(0, np.int64)

    @property
    def repeated(self) -> NDArray[np.int64]:
        """Positions, in this order, of rows with the stamp of the row before them."""
        return np.flatnonzero(~self.breaks[1:] & (self.times[1:] == self.times[:-1])) + 1

    def described(self, stamps: Stamps, names: Sequence[str]) -> TimeColumn:
        """In words and figures."""
        low, median, high = np.quantile(self.steps, [0.05, 0.5, 0.95]) if len(self.steps) else (0, 0, 0)
        known = bool(len(self.steps))
        return TimeColumn(
            column=names[stamps.column],
            clock=None if stamps.clock is None else names[stamps.clock],
            layout=stamps.layout,
            zone=stamps.zone,
            start=stamp(self.times.min()) if len(self.times) else "",
            end=stamp(self.times.max()) if len(self.times) else "",
            rate=str(self.freq) if known else None,
            regular=self.regular,
            share_on_rate=round(self.share_on_rate, 4),
            share_on_grid=round(self.share_on_grid, 4),
            median_step=duration(median, self.dated) if known else None,
            low_step=duration(low, self.dated) if known else None,
            high_step=duration(high, self.dated) if known else None,
            n_gaps=len(self.gaps),
            n_missing=int((self.multiples[self.gaps - 1] - 1).sum()),
            n_duplicates=len(self.repeated),
            n_back_steps=len(self.backward),
            n_unreadable=int(stamps.unreadable.sum()),
        )


def line_of(position: np.integer[Any] | int) -> str:
    """Name a row by its line in the file.

    Examples
    --------
    >>> line_of(0)
    'line 2'
    """
    return f"line {int(position) + 2}"


def stamp(time: np.generic) -> str:
    """A stamp as people write it; no time of day at midnight."""
    if not isinstance(time, np.datetime64):
        return str(time)
    return str(pd.Timestamp(time)).removesuffix(" 00:00:00")


def duration(step: float, dated: bool) -> str:
    """A length of time in the largest two units that it fills; whole numbers as steps.

    Examples
    --------
    >>> duration(90 * 60e9, True), duration(12, False)
    ('1 h 30 min', '12')
    """
    if not dated:
        return f"{step:g}"
    rest, parts = round(step), []
    for size, unit in ((86_400 * 10**9, "d"), (3600 * 10**9, "h"), (60 * 10**9, "min"), (10**9, "s"), (10**6, "ms")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:,} {unit}")
    return " ".join(parts[:2]) or "0 s"


def words(freq: Frequency | None) -> str:
    """One step as people say it.

    Examples
    --------
    >>> words(Frequency.parse("15min")), words(Frequency.parse("QS")), words(Frequency.parse(3))
    ('15 min', '3 months', '3')
    """
    if freq is None:
        return ""
    if freq.kind == "business":
        return "1 business day"
    if freq.kind == "month":
        years = freq.step % 12 == 0
        count = freq.step // 12 if years else freq.step
        return f"{count} {'year' if years else 'month'}{'s' if count > 1 else ''}"
    return duration(freq.step, freq.kind == "fixed")


def findings(axis: Axis, equal: int) -> list[Finding]:
    """What is odd about the stamps; ``equal`` rows repeat not only a stamp but a whole row."""
    found = []
    back = axis.backward
    if len(axis.steps) and len(back) >= 0.9 * (len(axis.times) - axis.breaks.sum()):
        text = "The newest row comes first; time runs backwards through the file. Sort it by time after reading."
        found.append(Finding("newest_first", text, row=int(back[0])))
    elif len(back):
        text = f"Time runs back {_times(len(back))}, first at {line_of(back[0])}. Sort it by time after reading."
        found.append(Finding("back_steps", text, row=int(back[0])))
    twice = axis.order[axis.repeated]
    if len(twice):
        text = f"{_rows(len(twice))} the stamp of another row, first {line_of(twice.min())}"
        whole = "all of them whole rows twice" if equal == len(twice) else f"{equal:,} of them whole rows twice"
        text += f"; {whole}." if equal else ", with other values."
        found.append(Finding("duplicates", text, row=int(twice.min())))
    if len(axis.gaps):
        found.append(_gaps(axis))
    elif axis.freq is not None and not axis.regular:
        found.append(_irregular(axis))
    return found


def _gaps(axis: Axis) -> Finding:
    lacking = axis.multiples[axis.gaps - 1] - 1
    first, longest = axis.order[axis.gaps].min(), axis.gaps[lacking.argmax()]
    n, at = int(lacking.max()), axis.order[longest]
    where = f"{len(axis.gaps):,} places, first before {line_of(first)}"
    between = f"between {stamp(axis.times[longest - 1])} and {stamp(axis.times[longest])}"
    long = f"; {n:,} at once {between}, before {line_of(at)}"
    if len(axis.gaps) == 1:
        where, long = f"one place, before {line_of(first)}", f", {between}"
    elif n == 1:
        long = ", one at each"
    missing = f"{lacking.sum():,} stamps are missing" if lacking.sum() > 1 else "1 stamp is missing"
    return Finding("gaps", f"{missing} at {where}{long}. One step is {words(axis.freq)}.", row=int(first))


def _irregular(axis: Axis) -> Finding:
    low, median, high = (duration(q, axis.dated) for q in np.quantile(axis.steps, [0.05, 0.5, 0.95]))
    inside = ~axis.breaks[1:]
    steps = np.where(inside, np.diff(axis.times).astype(np.int64), 0)
    longest = int(steps.argmax()) + 1
    at = axis.order[longest]
    span = duration(float(axis.steps.max()), axis.dated)
    text = (
        f"Sampling is irregular: {100 * axis.share_on_rate:.0f} % of the steps are {words(axis.freq)}, the most common "
        f"one; the median is {median}, nine in ten lie between {low} and {high}. The longest is {span}, "
        f"before {line_of(at)}."
    )
    return Finding("irregular", text, row=int(at))


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n:,} times"


def _rows(n: int) -> str:
    return "1 row has" if n == 1 else f"{n:,} rows have"
