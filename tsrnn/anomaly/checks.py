"""Rules of quality at work: what is wrong with the rows of a stream, before any model reads them.

Each rule looks at a row, at what was before it, and at limits that were given or learned (`tsrnn.anomaly.rules`). They
are a few operations on a whole chunk of rows; the state that is carried is as large as a row or two.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsrnn.anomaly.base import Flag, Rows, State, Verdict

__all__ = ["EVENT_KINDS", "NEVER", "UNITS", "FittedQuality", "in_order", "leaping", "standing"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

EVENT_KINDS = {
    Flag.GAP: "gap",
    Flag.DUPLICATE: "duplicate",
    Flag.BACKSTEP: "duplicate",
    Flag.MISSING: "gap",
    Flag.STUCK: "stuck",
    Flag.RANGE: "range",
    Flag.SENTINEL: "range",
    Flag.RESET: "level",
    Flag.UNIT: "level",
    Flag.LEAP: "duplicate",
}
"""The kind of event (`tsrnn.anomaly.base.KINDS`) of each finding. A row that steps back belongs to a time that is over,
as a repeated stamp does, and one that leaps ahead to a time that has not come; a mark of missing values is a number
that the sensor cannot have measured; a counter that fell back and values in another unit go on at another level."""

UNITS = tuple(
    (factor, offset)
    for scale, shift in ((10, 0), (100, 0), (1000, 0), (1.8, 32), (0.3048, 0), (6.894757, 0))
    for factor, offset in ((scale, shift), (1 / scale, -shift / scale))
)
"""Factor and offset of a value in another unit: powers of ten, Celsius to Fahrenheit, feet to metres, psi to kPa; each
both ways."""

NEVER = int(np.iinfo(np.int64).max)
"""A duration that is not reached."""

_BEFORE = np.iinfo(np.int64).min  # the highest stamp before the first row
_OVER = 2**62  # more readings than there ever are
_FELL = 0.1  # of what a counter has reached is left, at most, when it fell back; and of the span of training it fell
_SUSTAINED = 5  # readings in another unit that make it certain
_NEAR, _FAR = 1.0, 20.0  # usual changes: how near to the reading before it a value is in its old unit, how far as it is


@dataclass(frozen=True, eq=False)
class FittedQuality:
    """Rules with their limits, as `tsrnn.anomaly.rules.Quality.fit` makes them.

    Durations are in nanoseconds, or in units of integer time; those of a rule that is off are `NEVER`.

    Parameters
    ----------
    interval : int
        The typical time between two rows.
    gap : int
        Rows further apart have a gap between them.
    leap : int
        A stamp further ahead counts only if the next row goes on from it.
    pause : array of int64, shape (C,)
        A sensor without a reading for longer is missing.
    stuck : array of int64, shape (C,)
        A sensor that has stood still for so long is stuck.
    lower, upper : arrays of shape (C,)
        The least and the greatest value that is believed.
    low, high : arrays of shape (C,)
        Between them lay the values of training.
    change : array of shape (C,)
        By how much a sensor changes from reading to reading, hardly ever more; NaN where units are not watched.
    counter : array of bool, shape (C,)
        Whether it only rises, until it falls back.
    sentinels : array of shape (S,)
        Numbers that stand for a missing value in a sensor from which they are further off than its values span.
    marks : array of shape (M,)
        Numbers that do so in every sensor.

    Examples
    --------
    >>> from tsrnn.anomaly.rules import Quality
    >>> rows = Rows(np.arange(99), np.arange(99.0)[:, None] % 7, np.zeros((99, 0)))
    >>> rules = Quality().fit(rows, ["flow"])
    >>> late = Rows(np.array([100, 101, 101, 105]), np.array([[3.0], [-9999], [4], [5]]), np.zeros((4, 0)))
    >>> state, verdict = rules.step(rules.start(), late)
    >>> [Flag(flags).name for flags in verdict.flags[:, 0].tolist()]
    [None, 'SENTINEL', 'DUPLICATE', 'GAP']
    >>> verdict.usable[:, 0].tolist(), verdict.elapsed.tolist()
    ([True, False, False, True], [1.0, 1.0, 0.0, 4.0])
    """

    interval: int
    gap: int
    leap: int
    pause: Ints
    stuck: Ints
    lower: Floats
    upper: Floats
    low: Floats
    high: Floats
    change: Floats
    counter: Mask
    sentinels: Floats
    marks: Floats

    def start(self) -> State:
        """The state before the first row."""
        size = len(self.pause)
        return {
            "time": np.array(_BEFORE),
            "leapt": np.array(_BEFORE),
            "last": np.full(size, np.nan),
            "seen": np.zeros(size, np.int64),
            "still": np.zeros(size, np.int64),
            "unit": np.zeros((len(UNITS), size), np.int64),
        }

    def step(self, state: State, rows: Rows) -> tuple[State, Verdict]:
        """Judge rows; however a stream is cut into calls, what is found is the same, to the bit.

        Parameters
        ----------
        state : State
            From `start`, or what the call before gave.
        rows : Rows
            n rows as they stand in the file.

        Returns
        -------
        state : State
        verdict : Verdict
        """
        times, values = rows.times, rows.values
        if not len(times):
            none = np.zeros(values.shape, bool)
            return state, Verdict(none.astype(np.uint16), none, np.zeros(0, bool), np.zeros(0))
        if state["time"] == _BEFORE:
            first = times[0] - self.interval
            state = state | {"time": np.array(first), "seen": np.full_like(state["seen"], first)}
        before, leaps = leaping(int(state["time"]), times, self.leap, int(state["leapt"]))
        counts = (times > before) & ~leaps
        elapsed = np.where(counts, times - before, 0)
        marked = self._marked(values)
        reading = counts[:, None] & np.isfinite(values) & ~marked
        latest = _latest(reading)
        seen = _held(state["seen"], np.broadcast_to(times[:, None], values.shape), latest)
        last = _held(state["last"], values, latest)
        since, changed = times[:, None] - seen[:-1], values != last[:-1]
        still = standing(since, changed, reading, np.maximum(2 * self.interval, self.stuck // 2), state["still"])
        unit, moved = self._in_other_unit(state["unit"], values, last[:-1], since, reading)
        lowest = self.low + _FELL * (last[:-1] - self.low)
        fell = self.counter & (values <= lowest) & (last[:-1] - values >= _FELL * (self.high - self.low))
        inside = (values >= self.lower) & (values <= self.upper)
        of_cells = {
            Flag.MISSING: np.isnan(values) & (since > self.pause - self.interval),
            Flag.STUCK: reading & (still >= self.stuck),
            Flag.RANGE: np.isinf(values) | (reading & ~inside),
            Flag.SENTINEL: marked,
            Flag.RESET: reading & fell,
            Flag.UNIT: moved,
        }
        of_rows = {
            Flag.GAP: elapsed > self.gap,
            Flag.DUPLICATE: times == before,
            Flag.BACKSTEP: times < before,
            Flag.LEAP: leaps,
        }
        cells = sum(flag.value * where for flag, where in of_cells.items()) * counts[:, None]
        flags = cells + sum(flag.value * where for flag, where in of_rows.items())[:, None]
        verdict = Verdict(flags.astype(np.uint16), reading & (cells == 0), counts, elapsed / self.interval)
        clock = {
            "time": times[-1] if counts[-1] else before[-1],
            "leapt": times[-1] if leaps[-1] else np.array(_BEFORE),
        }
        return {**clock, "last": last[-1], "seen": seen[-1], "still": still[-1], "unit": unit}, verdict

    def _marked(self, values: Floats) -> Mask:
        """Which cells hold a mark of missing values."""
        span = self.high - self.low
        marked = (values < self.low - span) | (values > self.high + span)
        if marked.any():
            marked[marked] = np.isin(values[marked], self.sentinels)
        return marked | np.isin(values, self.marks) if len(self.marks) else marked

    def _in_other_unit(
        self, runs: Ints, values: Floats, before: Floats, since: Ints, reading: Mask
    ) -> tuple[Ints, Mask]:
        """Readings in another unit so far, of each unit and sensor, and the cells in which that is certain.

        In their old unit the first of them goes on from the reading before it, while it jumps as it stands; and all lie
        outside the values of training as they stand, and among them in the old unit.
        """
        outside = reading & ((values < self.low) | (values > self.high))
        known = outside & (before >= self.low) & (before <= self.high)
        known &= np.abs(values - before) >= _FAR * self.change
        moved = np.zeros(values.shape, bool)
        if not known.any() and not runs.any():
            return runs, moved
        after = np.zeros_like(runs)
        slack = (self.high - self.low) / 2
        near = _NEAR * self.change * np.sqrt(np.maximum(since / self.interval, 1))
        for i, (factor, offset) in enumerate(UNITS):
            old = (values - offset) / factor
            likely = outside & (old >= self.low - slack) & (old <= self.high + slack)
            first = likely & known & (np.abs(old - before) <= near)
            first &= np.abs(before * factor + offset - before) >= _FAR * self.change
            total = np.cumsum(likely, axis=0)
            begun = np.where(first, total - 1, _OVER)
            base = _held(np.where(runs[i] > 0, -runs[i], _OVER), begun, _latest(first | (reading & ~likely)))[1:]
            run = np.clip(total - base, 0, _SUSTAINED)
            moved |= likely & (run == _SUSTAINED)
            after[i] = run[-1]
        return after, moved


def in_order(highest: NDArray[np.int64] | int, times: Ints) -> Ints:
    """The highest stamp before each row, shape (n,), from that before the first."""
    return np.asarray(np.maximum.accumulate(np.append(highest, times))[:-1])


def leaping(highest: int, times: Ints, limit: int, leapt: int = _BEFORE) -> tuple[Ints, Mask]:
    """The highest stamp before each row, and which rows leap ahead of it and are not counted; (n,) each.

    A stamp more than ``limit`` ahead is a slip, or the end of a long outage. It is taken for a slip unless the next row
    goes on from it: that row counts, so that a single slip costs one row, and an outage one more than it took.

    Parameters
    ----------
    highest, leapt : int
        Before the first row: the highest stamp, and that of the row itself if it leapt.
    times : array of int64, shape (n,)
        Stamps.
    limit : int
        The farthest that a row may be ahead without a doubt.

    Examples
    --------
    >>> leaping(0, np.array([1, 99, 2, 50, 51]), limit=9)
    (array([0, 1, 1, 2, 2]), array([False,  True, False,  True, False]))
    """
    before = in_order(highest, times)
    leaps = times - before > limit
    if not leaps.any():
        return before, leaps
    for i, time in enumerate(times.tolist()):
        leaps[i] = time - highest > limit and not 0 < time - leapt <= limit
        before[i], leapt = highest, time if leaps[i] else _BEFORE
        highest = highest if leaps[i] else max(highest, time)
    return before, leaps


def standing(since: Ints, changed: Mask, reading: Mask, longest: Ints, start: Ints) -> Ints:
    """For how long each sensor has read the same at each row; a pause between readings counts as ``longest`` at most.

    Parameters
    ----------
    since : array of int64, shape (n, C)
        Time since the reading before.
    changed : array of bool, shape (n, C)
        Whether the value is another one than that.
    reading : array of bool, shape (n, C)
        Whether there is a value.
    longest, start : arrays of int64, shape (C,)
        The longest pause; the duration before the first row.
    """
    total = np.cumsum(np.where(reading & ~changed, np.minimum(since, longest), 0), axis=0)
    return np.asarray(total - _held(-start, total, _latest(reading & changed))[1:])


def _latest(marked: Mask) -> Ints:
    """The last marked row before each row and after all, (n + 1, C), counted from 1; 0 where there is none."""
    rows = np.where(marked, np.arange(1, len(marked) + 1)[:, None], 0)
    return np.maximum.accumulate(np.concatenate([np.zeros_like(rows[:1]), rows]), axis=0)


def _held(start: NDArray[Any], values: NDArray[Any], latest: Ints) -> NDArray[Any]:
    """The value of the last marked row before each row and after all; ``start`` where there is none."""
    return np.take_along_axis(np.concatenate([start[None], values]), latest, axis=0)
