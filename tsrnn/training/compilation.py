"""How long JAX compiles, as its own monitoring tells, and room for what it compiles."""

import threading
import time
from pathlib import Path
from typing import Any

import jax
import jax.monitoring

__all__ = ["compile_seconds", "make_room"]


class _Spans(threading.local):
    """From when to when a thread was compiling."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []


_own = _Spans()


def compile_seconds() -> float:
    """Seconds that this thread has spent tracing, lowering and compiling since this module was imported."""
    return sum(end - start for start, end in _own.spans)


def make_room(share: float = 0.7) -> None:
    """Let go of all compiled programs before the process runs out of memory maps.

    On a CPU the programs of one forecaster hold about a thousand, and Linux gives a process 65,530. JAX keeps every
    program, and aborts the process when there are none left.

    Parameters
    ----------
    share : float, default 0.7
        Share of the maps that may be held.
    """
    try:
        limit = int(Path("/proc/sys/vm/max_map_count").read_text())
        held = Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return  # not Linux: no such limit is known
    if held > share * limit:
        jax.clear_caches()  # type: ignore[no-untyped-call]


def _listen(event: str, duration_secs: float, **_: Any) -> None:
    if event.startswith("/jax/core/compile/"):
        end = time.perf_counter()
        while _own.spans and _own.spans[-1][1] > end - duration_secs:
            _own.spans.pop()  # a function traced inside of this one
        _own.spans.append((end - duration_secs, end))


jax.monitoring.register_event_duration_secs_listener(_listen)
