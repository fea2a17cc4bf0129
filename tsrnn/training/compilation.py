"""How long JAX compiles, as its own monitoring tells."""

import threading
import time
from typing import Any

import jax.monitoring

__all__ = ["compile_seconds"]


class _Spans(threading.local):
    """From when to when a thread was compiling."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []


_own = _Spans()


def compile_seconds() -> float:
    """Seconds that this thread has spent tracing, lowering and compiling since this module was imported."""
    return sum(end - start for start, end in _own.spans)


def _listen(event: str, duration_secs: float, **_: Any) -> None:
    if event.startswith("/jax/core/compile/"):
        end = time.perf_counter()
        while _own.spans and _own.spans[-1][1] > end - duration_secs:
            _own.spans.pop()  # a function traced inside of this one
        _own.spans.append((end - duration_secs, end))


jax.monitoring.register_event_duration_secs_listener(_listen)
