"""``tsrnn anomaly watch``: a growing file or standard input in, JSON lines out, a state that outlives the process."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import pandas as pd

from tsrnn.config import ConfigError
from tsrnn.data.stream import Follower
from tsrnn.runs.carried import Carried, Model
from tsrnn.runs.detect import scored

__all__ = ["watch"]


def watch(
    source: str | Path | BufferedReader,
    model: str | Path,
    state: str | Path,
    *,
    out: str | Path | None = None,
    every: int = 1000,
    poll: float = 1.0,
    reading: Mapping[str, Any] | None = None,
) -> None:
    """Score rows as they come, until the stream ends or the process is asked to stop (SIGINT, SIGTERM).

    After each batch of rows their lines are written, and then the state file, whole or not at all. After whatever end
    a run with the same state goes on behind the last row that it knows of; lines in ``out`` that were written later
    are cut off, so that each row is told once. Standard output cannot be cut: there rows of one batch may come twice.

    Parameters
    ----------
    source : str, Path or binary stream
        A CSV file, or standard input.
    model : str or Path
        The detector's file.
    state : str or Path
        The state file. Without one yet, rows follow those that the model was saved after, in that file or in another.
    out : str or Path, optional
        Where lines are written; by default standard output. A line for each row, as in ``scores.csv`` of `run_score`;
        one with the key ``event`` behind the last row of an event, and when rows have not come for longer than usual.
    every : int, default 1000
        Rows of a batch, at most.
    poll : float, default 1.0
        Seconds between two looks at a file that did not grow.
    reading : mapping, optional
        What is read otherwise than by the model: keywords of `tsrnn.data.read_table`.

    Raises
    ------
    ConfigError
        If the state is of another model, or ``out`` holds something that it does not know of.
    DataError
        If a row cannot be read; what was before it is told, and the state is that after it.
    FileNotFoundError
        If there is no such file.
    """
    known = Model.load(model, reading or {})
    carried = _begun(Carried.load(state, known), out)
    carried.save(state, known)
    stamps, arrived, detector = None, time.monotonic_ns(), known.detector
    with (
        _patience() as stop,
        _lines(carried) as lines,
        Follower(source, carried.place, **known.reading) as follower,
    ):
        while not stop.asked:
            with stop.waiting():
                chunk = follower.read(every)
                if not len(chunk) and not follower.ended:
                    time.sleep(poll)
            if len(chunk):
                after, told, closed, _ = scored(known, carried.state, chunk)
                stamps, arrived = told[detector.columns_.time_col], time.monotonic_ns()
                ended = detector.stamped([closed], stamps) if len(closed) else closed
                _write(lines, _json_lines(told, ended), sync=out is not None)
                carried = replace(carried, state=after, place=follower.place, written=_length(lines, carried))
                carried.save(state, known)
            elif follower.ended:
                break
            elif stamps is not None and stamps.dtype.kind == "M":
                late = detector.overdue(carried.state, time.monotonic_ns() - arrived)
                if len(late):
                    _write(lines, _json_lines(None, detector.stamped([late], stamps)), sync=out is not None)
                    carried = replace(carried, written=_length(lines, carried))
                    carried.save(state, known)
                    stamps = None  # it is told once


def _json_lines(told: pd.DataFrame | None, events: pd.DataFrame) -> str:
    """Rows, and the events that ended in them."""
    how: Any = {"orient": "records", "lines": True, "date_format": "iso"}
    found = events.to_json(**how).splitlines() if len(events) else ()
    ended = (json.dumps({"event": json.loads(line)}) + "\n" for line in found)
    return "".join(["" if told is None else told.to_json(**how), *ended])


def _write(lines: IO[bytes], text: str, *, sync: bool) -> None:
    lines.write(text.encode())
    lines.flush()
    if sync:
        os.fsync(lines.fileno())


def _begun(carried: Carried, out: str | Path | None) -> Carried:
    """A state that knows where lines are written to."""
    if out is None:
        return replace(carried, out=None, written=0)
    path = Path(out).resolve()
    if carried.out == str(path):
        return carried
    if path.exists() and path.stat().st_size:
        raise ConfigError(f"{out} holds lines that the state does not know of; name another file, or remove it.")
    return replace(carried, out=str(path), written=0)


@contextmanager
def _lines(carried: Carried) -> Iterator[IO[bytes]]:
    """Where lines go on; in a file, behind those that the state knows of."""
    if carried.out is None:
        yield sys.stdout.buffer
        return
    path = Path(carried.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with path.open("r+b") as file:
        file.truncate(carried.written)
        file.seek(carried.written)
        yield file


def _length(lines: IO[bytes], carried: Carried) -> int:
    return 0 if carried.out is None else lines.tell()


class _Stop:
    """Whether someone has asked the process to stop: at once while it waits, else after the rows at hand."""

    def __init__(self) -> None:
        self.asked = False
        self._waits = False

    def ask(self, *signalled: Any) -> None:
        self.asked = True
        if self._waits:
            raise KeyboardInterrupt

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self._waits = not self.asked
        try:
            yield
        finally:
            self._waits = False


@contextmanager
def _patience() -> Iterator[_Stop]:
    stop = _Stop()
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    except KeyboardInterrupt:
        if not stop.asked:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
