"""Events: which alarms and findings belong together, what they are, when they began, and which sensors are to blame.

An event may begin in one chunk of a stream and end in another: what is known of it is carried in the state. Findings of
the rules of quality make an event for each kind and sensor, alarms of the model make one at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.anomaly.base import Flag, Judged, State
from tsrnn.anomaly.checks import EVENT_KINDS, in_order
from tsrnn.anomaly.rules import Duration, duration

__all__ = ["COLUMNS", "EventRules", "FittedEvents"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COLUMNS = {
    "id": "int64",
    "kind": "str",
    "start": "int64",
    "end": "int64",
    "peak": "int64",
    "severity": "float64",
    "p_value": "float64",
    "score": "float64",
    "n_rows": "int64",
    "sensors": "str",
    "delay": "float64",
}
"""Columns of a table of events, with their types; see `FittedEvents`."""

_FOUND = tuple(dict.fromkeys(EVENT_KINDS.values()))  # kinds of events that the rules of quality make
_OF_ROWS = Flag.GAP | Flag.DUPLICATE | Flag.BACKSTEP | Flag.LEAP
_BEFORE = np.iinfo(np.int64).min  # the time before the first row
_FINDINGS = 10  # typical steps between findings of one event, at most
_SHORT = 3  # alarms of an event that is a spike
_ONE_SIDED = 0.8  # of the alarms, net, on one side of what was expected: another level
_ELEVATED = 0.8  # of the alarm line; healthy scores, the highest of several scorers, are seldom above


@dataclass(frozen=True)
class EventRules:
    """Which alarms are one event.

    Durations are text such as ``"1h"`` where rows have stamps, or numbers of typical steps.

    Parameters
    ----------
    merge : str or float, default 60
        Alarms no further apart are one event. Findings of the rules of quality are one event if they are no more than
        ten typical steps apart, or so far if that is shorter.
    min_duration : str or float, default 0
        Alarms that do not last so long are no event.
    padding : str or float, default 0
        What an event of the model is made longer by, on both sides.
    suppression : str or float, default 0
        For so long after an event no other one of the model begins.
    re_entry : str or float, default 10
        For so long after a gap alarms of the model do not count: the gap was the event.

    Examples
    --------
    >>> EventRules(merge="1h").fit(["a"], ["spike"], np.zeros(1), np.ones(1), interval=60 * 10**9).merge
    3600000000000
    """

    merge: Duration = 60
    min_duration: Duration = 0
    padding: Duration = 0
    suppression: Duration = 0
    re_entry: Duration = 10

    def fit(
        self, sensors: Sequence[str], kinds: Sequence[str], low: Floats, high: Floats, interval: int
    ) -> "FittedEvents":
        """Rules in the units of time of a stream.

        Parameters
        ----------
        sensors : sequence of str
            Names of the C sensors.
        kinds : sequence of str
            The kind of event of each scorer, by position (`Judged.lead`).
        low, high : arrays of shape (C,)
            Between them lay the values of training.
        interval : int
            The typical time between two rows, in nanoseconds or in units of integer time.

        Raises
        ------
        ValueError
            If a duration cannot be read.
        """
        given = {name: getattr(self, name) for name in ("merge", "min_duration", "padding", "suppression", "re_entry")}
        times = {name: 0 if value == 0 else duration(value, interval, name) for name, value in given.items()}
        return FittedEvents(tuple(sensors), tuple(kinds), np.asarray(low), np.asarray(high), interval, **times)


class _Slot(NamedTuple):
    """Where the event of a kind and sensor stands in the state; -1 as an id is none, 0 one that is no alarm yet."""

    id: int = -1
    start: int = 0
    end: int = 0
    peak: int = 0
    until: int = 0  # highest stamp at the last row of the event; repeated rows have an older one
    first: int = 0  # number of its first row
    last: int = 0
    confirmed: int = -1  # number of the row that made it an event
    since: int = 0  # what the delay is counted from
    delay: int = 0


class _Clock(NamedTuple):
    """What the state knows of the stream."""

    rows: int = 0
    now: int = _BEFORE
    next_id: int = 1
    ended: int = _BEFORE  # end of the last event of the model
    returned: int = _BEFORE  # last row of an outage
    since: int = 0  # first row of the elevated ones
    elevated: int = 0


class _Chunk(NamedTuple):
    """Rows with what the rules look at; (n,) each."""

    judged: Judged
    now: Ints
    """The highest stamp so far."""
    begin: Ints
    """The stamp, or the first one that is missing before a row after a gap."""
    since: Ints
    """When the score rose above four fifths of the alarm line, to stay there until this row."""
    quiet: NDArray[np.bool_]
    """Whether an outage was not long ago."""
    number: Ints


@dataclass(frozen=True, eq=False)
class FittedEvents:
    """Rules of events at work, a pure function of a carried state.

    A table of events has a row an event: ``id``, in the order in which they became events; ``kind``, one of
    `tsrnn.anomaly.base.KINDS`; ``start`` and ``end``, stamps of the first and last row (a gap starts when the first row
    was due, and a row that leaps ahead stands at the stamp before it); ``peak``, the stamp of the highest score;
    ``severity``, 0 to 100 and 50 at the alarm line, the highest of the sharp and the smooth one; ``p_value``, the
    lowest; ``score``, the highest, in multiples of the alarm line; ``n_rows``, from start to end; ``sensors``, their
    shares of the squared heights in alarm, those with at least 10 %, or ``all``; ``delay``, in typical steps from the
    row in which the score rose above four fifths of the alarm line, to stay there, to the one in which this was an
    event (from the first missing row, of a gap). Findings of the rules of quality have a severity of 50 and no score.

    The kind of an event of the model is that of the scorers ``drift`` and ``multisensor`` where these led in most of
    its alarms. Others of up to three alarms are a ``spike`` if the sensor to blame is beyond the values of training,
    and ``contextual`` if not; longer ones are another ``level`` if that sensor stays on one side of what was expected,
    and ``contextual`` if not.

    Parameters
    ----------
    sensors : tuple of str
        Names of the C sensors.
    kinds : tuple of str
        The kind of event of each scorer.
    low, high : arrays of shape (C,)
        Between them lay the values of training.
    interval, merge, min_duration, padding, suppression, re_entry : int
        The typical step and the durations of `EventRules`, in nanoseconds or in units of integer time.
    """

    sensors: tuple[str, ...]
    kinds: tuple[str, ...]
    low: Floats
    high: Floats
    interval: int
    merge: int
    min_duration: int
    padding: int
    suppression: int
    re_entry: int

    def start(self) -> State:
        """The state before the first row."""
        return {
            "clock": np.array(_Clock(), np.int64),
            "slots": np.array([_Slot()] * (len(_FOUND) * (len(self.sensors) + 1) + 1), np.int64),
            **self._nothing(),
        }

    def step(self, state: State, judged: Judged) -> tuple[State, pd.DataFrame]:
        """Gather rows into events; however a stream is cut into calls, what is found is the same.

        Parameters
        ----------
        state : State
            From `start`, or what the call before gave.
        judged : Judged
            Rows as a detector judged them.

        Returns
        -------
        state : State
        events : DataFrame
            Those that ended, so that no later row can belong to them.
        """
        if not len(judged.times):
            return state, _table([])
        chunk, clock = self._read(_Clock(*state["clock"].tolist()), judged)
        slots, model = state["slots"].copy(), {name: state[name] for name in self._nothing()}
        hits = np.column_stack([self._findings(judged), (judged.score > 1) & judged.counts & ~chunk.quiet])
        ended, begun, closed = clock.ended, [], []
        for i in np.flatnonzero(hits.any(axis=0) | (slots[:, 0] >= 0)).tolist():
            is_model = i == len(slots) - 1
            merge = max(self.merge, 2 * self.padding) if is_model else min(self.merge, _FINDINGS * self.interval)
            slot, rows = _Slot(*slots[i].tolist()), np.flatnonzero(hits[:, i])
            for run in [*np.split(rows, np.flatnonzero(np.diff(chunk.now[rows]) > merge) + 1), rows[:0]]:
                if slot.id >= 0 and chunk.now[run[0] if len(run) else -1] - slot.until > merge:
                    closed.append((slot, i, model))
                    if is_model:
                        ended, model = slot.until if slot.confirmed >= 0 else ended, self._nothing()
                    slot = _Slot()
                new = run[chunk.now[run] > ended + self.suppression] if is_model and slot.id < 0 else run
                if len(new):
                    known = slot.confirmed
                    if is_model:
                        slot, model = self._alarmed(slot, model, chunk, new)
                    else:
                        slot = _found(slot, chunk, new, chunk.begin if i == self._outage else chunk.judged.times)
                    begun += [(slot.confirmed, i)] if known < 0 <= slot.confirmed else []
            slots[i] = slot
        ids = {key: clock.next_id + k for k, key in enumerate(sorted(begun))}
        for i in np.flatnonzero(slots[:, 0] == 0).tolist():
            slots[i, 0] = ids.get((_Slot(*slots[i].tolist()).confirmed, i), 0)
        named = [(s._replace(id=ids.get((s.confirmed, i), s.id)), i, m) for s, i, m in closed if s.confirmed >= 0]
        clock = clock._replace(next_id=clock.next_id + len(begun), ended=ended)
        after = {"clock": np.array(clock, np.int64), "slots": slots, **model}
        return after, _table([self._event(*one) for one in sorted(named, key=lambda one: (one[0].until, one[1]))])

    def finish(self, state: State) -> pd.DataFrame:
        """The events that have begun and not ended, as they are so far; the state stays as it is."""
        model = {name: state[name] for name in self._nothing()}
        slots = [(_Slot(*slot), i, model) for i, slot in enumerate(state["slots"].tolist())]
        return _table([self._event(*one) for one in slots if one[0].id > 0])

    def overdue(self, state: State, now: int, gap: int) -> pd.DataFrame:
        """The gap that is open by the clock, before data return: a table of one event, or none.

        Parameters
        ----------
        state : State
            After the last row that came.
        now : int
            The time, in nanoseconds since 1970 in UTC or in units of integer time.
        gap : int
            Rows further apart have a gap between them (`tsrnn.anomaly.checks.FittedQuality.gap`).
        """
        clock = _Clock(*state["clock"].tolist())
        if clock.now == _BEFORE or now - clock.now <= gap:
            return _table([])
        since = clock.now + self.interval
        slot = _Slot(clock.next_id, since, now, since, now, clock.rows, clock.rows - 1, clock.rows, since, now - since)
        return _table([self._event(slot, self._outage, {})])

    def explain(self, judged: Judged, n: int = 5) -> pd.DataFrame:
        """The rows that were nearest to an alarm, and why there is or is not an event.

        Parameters
        ----------
        judged : Judged
            Rows as a detector judged them, from the start of a stream.
        n : int, default 5
            How many; of rows closer than ``merge`` only the highest.

        Returns
        -------
        DataFrame
            ``row`` (its position), ``time``, ``score`` (in multiples of the alarm line), ``margin`` (what was missing
            to the line, as a share of it; negative above), ``kind`` (of the scorer that leads), ``sensors``, ``why``.
        """
        state, events = self.step(self.start(), judged)
        events = pd.concat([events, self.finish(state)], ignore_index=True)
        events = events[~events["p_value"].isna()]
        rows: list[int] = []
        for row in np.argsort(-np.nan_to_num(judged.score, nan=-1.0), kind="stable"):
            if len(rows) == n or np.isnan(judged.score[row]):
                break
            if all(abs(judged.times[row] - judged.times[other]) > self.merge for other in rows):
                rows.append(int(row))
        found = []
        for row in rows:
            time, score = int(judged.times[row]), float(judged.score[row])
            within = events[(events["start"] <= time) & (time <= events["end"])]
            why = (
                f"part of event {within['id'].iloc[0]}" if len(within) else
                "below the alarm line" if score <= 1 else
                "an alarm that the rules of events leave out: too short, or too soon after a gap or another event"
            )  # fmt: skip
            shares = _name_shares(self.sensors, np.nan_to_num(judged.heights[row]) ** 2)
            found.append((row, time, score, 1 - score, self.kinds[judged.lead[row]], shares, why))
        return pd.DataFrame(found, columns=["row", "time", "score", "margin", "kind", "sensors", "why"])

    @property
    def _outage(self) -> int:
        """The slot of gaps in all sensors."""
        return _FOUND.index("gap") * (len(self.sensors) + 1) + len(self.sensors)

    def _nothing(self) -> State:
        """What is summed up of an event of the model before its first alarm."""
        size = len(self.sensors)
        return {
            "highest": np.array([0.0, 1.0, 0.0, 0.0]),  # score, p-value, severity, beyond training or not
            "squares": np.zeros(size),
            "sides": np.zeros(size, np.int64),
            "leads": np.zeros(len(self.kinds), np.int64),
        }

    def _read(self, clock: _Clock, judged: Judged) -> tuple[_Chunk, _Clock]:
        times = judged.times
        if clock.now == _BEFORE:
            clock = clock._replace(now=int(times[0]) - self.interval)
        counted = np.where(judged.counts, times, _BEFORE)
        before = in_order(clock.now, counted)
        now = np.maximum(before, counted)
        times = np.where((judged.flags[:, 0] & Flag.LEAP) > 0, now, times)
        gap = (judged.flags[:, 0] & Flag.GAP) > 0
        number = clock.rows + np.arange(len(times))
        seen = np.flatnonzero(~np.isnan(judged.score))
        high = judged.score[seen] > _ELEVATED
        rises = high & ~np.append(bool(clock.elevated), high[:-1])
        latest = np.maximum.accumulate(np.where(rises, np.arange(len(seen)), -1)) if len(seen) else seen
        since = np.zeros(len(times), np.int64)
        since[seen] = np.where(latest >= 0, times[seen][np.maximum(latest, 0)], clock.since) if len(seen) else 0
        outage = gap | ((judged.flags & Flag.MISSING) > 0).all(axis=1)
        returned = np.maximum.accumulate(np.append(clock.returned, np.where(outage, now, _BEFORE)))[1:]
        clock = clock._replace(
            rows=clock.rows + len(times),
            now=int(now[-1]),
            returned=int(returned[-1]),
            since=int(since[seen[-1]]) if len(seen) else clock.since,
            elevated=int(high[-1]) if len(seen) else clock.elevated,
        )
        begin, quiet = np.where(gap, before + self.interval, times), now <= returned + self.re_entry
        return _Chunk(judged._replace(times=times), now, begin, since, quiet, number), clock

    def _findings(self, judged: Judged) -> NDArray[np.bool_]:
        """Which rows belong to an event of each kind and sensor, and of each kind in the row as a whole."""
        columns: list[NDArray[np.bool_]] = []
        if not judged.flags.any():
            return np.zeros((len(judged.times), len(_FOUND) * (len(self.sensors) + 1)), bool)
        for kind in _FOUND:
            flags = [flag for flag, of in EVENT_KINDS.items() if of == kind]
            of_cells = sum(flag.value for flag in flags if not flag & _OF_ROWS)
            of_rows = sum(flag.value for flag in flags if flag & _OF_ROWS)
            cells = (judged.flags & of_cells) > 0
            whole = ((judged.flags[:, 0] & of_rows) > 0) | cells.all(axis=1)
            columns += [cells & ~whole[:, None], whole[:, None]]
        return np.concatenate(columns, axis=1)

    def _alarmed(self, slot: _Slot, model: State, chunk: _Chunk, rows: Ints) -> tuple[_Slot, State]:
        """An event of the model with more alarms."""
        judged, first = chunk.judged, int(rows[0])
        if slot.id < 0:
            begin, number, since = (int(of[first]) for of in (judged.times, chunk.number, chunk.since))
            slot = _Slot(0, begin, first=number, since=since)
        score, p, severity, beyond = model["highest"].tolist()
        top = rows[int(judged.score[rows].argmax())]
        if judged.score[top] > score:
            score, slot = float(judged.score[top]), slot._replace(peak=int(judged.times[top]))
            sensor = int(np.nan_to_num(judged.heights[top], nan=-1.0).argmax())
            beyond = float(not self.low[sensor] <= judged.values[top, sensor] <= self.high[sensor])
        lasting = rows[chunk.now[rows] - slot.start >= self.min_duration]
        if slot.confirmed < 0 and len(lasting):
            row = int(lasting[0])
            slot = slot._replace(confirmed=int(chunk.number[row]), delay=int(chunk.now[row]) - slot.since)
        last = int(rows[-1])
        slot = slot._replace(end=int(judged.times[last]), until=int(chunk.now[last]), last=int(chunk.number[last]))
        squares = np.nan_to_num(judged.heights[rows]) ** 2
        side = np.nan_to_num(np.sign(judged.values[rows] - judged.mean[rows])).astype(np.int64)
        lowest, worst = np.append(judged.p[rows], p), np.append(judged.severity[rows], severity)
        return slot, {
            "highest": np.array([score, np.nanmin(lowest), np.nanmax(worst), beyond]),
            "squares": np.cumsum(np.vstack([model["squares"], squares]), axis=0)[-1],
            "sides": model["sides"] + side.sum(axis=0),
            "leads": model["leads"] + np.bincount(judged.lead[rows], minlength=len(self.kinds)),
        }

    def _event(self, slot: _Slot, i: int, model: State) -> tuple[Any, ...]:
        """A row of the table of events."""
        rows, delay, size = slot.last - slot.first + 1, slot.delay / self.interval, len(self.sensors)
        if i < len(_FOUND) * (size + 1):
            kind, sensor = divmod(int(i), size + 1)
            name = "all" if sensor == size > 1 else f"{self.sensors[min(sensor, size - 1)]} 100 %"
            return slot.id, _FOUND[kind], slot.start, slot.end, slot.peak, 50.0, np.nan, np.nan, rows, name, delay
        score, p, smooth, beyond = model["highest"].tolist()
        severity = max(smooth, 100 * score / (1 + score) if np.isfinite(score) else 100.0)
        start, end = slot.start - self.padding, slot.end + self.padding
        shares = _name_shares(self.sensors, model["squares"])
        named = self._kind(model, bool(beyond))
        return slot.id, named, start, end, slot.peak, severity, p, score, rows, shares, delay

    def _kind(self, model: State, beyond: bool) -> str:
        alarms, kinds = int(model["leads"].sum()), np.array(self.kinds)
        for kind in ("multisensor", "drift"):
            if 2 * model["leads"][kinds == kind].sum() > alarms:
                return kind
        if alarms <= _SHORT:
            return "spike" if beyond else "contextual"
        blamed = int(model["squares"].argmax())
        return "level" if abs(model["sides"][blamed]) >= _ONE_SIDED * alarms else "contextual"


def _found(slot: _Slot, chunk: _Chunk, rows: Ints, begin: Ints) -> _Slot:
    """An event of the rules of quality with more findings, which began at these times."""
    times, begin, number = chunk.judged.times[rows], begin[rows], chunk.number[rows]
    if slot.id < 0:
        first, start = int(number[0]), int(begin[0])
        slot = _Slot(0, start, start, start, first=first, confirmed=first, since=start, delay=int(times[0]) - start)
    return slot._replace(
        start=min(slot.start, int(begin.min())),
        end=max(slot.end, int(times.max())),
        until=int(chunk.now[rows[-1]]),
        last=int(number[-1]),
    )


def _table(events: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(events, columns=list(COLUMNS)).astype(COLUMNS) if events else _NONE.copy(deep=False)


_NONE = pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)  # building it takes ten times as long as judging a row


def _name_shares(sensors: Sequence[str], parts: Floats) -> str:
    """Shares in words, largest first: ``bearing_temp 71 %, flow 20 %``."""
    shares = parts / max(parts.sum(), 1e-300)
    order = np.argsort(-shares, kind="stable")
    kept = [c for c in order if shares[c] >= 0.1] or list(order[:1])
    return ", ".join(f"{sensors[c]} {100 * shares[c]:.0f} %" for c in kept)
