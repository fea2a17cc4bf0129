"""Streams: rows a second from a carried state, against reading a window of 100 rows anew for every row.

Eight sensors, an LSTM of 64 on top of an autoregression of order 10 (`RecurrentPredictor`), float32; each row is
expected, compared with the limit beyond which it would be held, and read. ``rows_per_second`` is for calls of 65,536
rows, ``row_us`` the microseconds of a call with one row; both are all that `AbstractPredictor.step` does, from NumPy
arrays to NumPy arrays. Read anew means: the network alone, from a state of zero over the 100 rows before each row, in
batches of 256 windows or one window a call, by our fastest scan and by torch where it is installed. What the network
reads of a row is computed once for these, not once a window, and neither scaling nor holding nor the autoregression is
in their time. ``stream_vs_reencode`` is the time of the faster of the two in batches over ours in calls of many rows,
``row_vs_reencode`` that of the faster one with one window a call over ours with one row a call;
``stream_vs_torch`` and ``row_vs_torch`` are the same for torch alone. Variants take turns; a figure is the median.

``memory_growth_bytes`` is by how much the peak memory of a process grows that scores five million rows as they come, in
chunks of 65,536, after the first five of them.

    python benchmarks/stream.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from tsrnn.forecasting.online import RecurrentPredictor
from tsrnn.forecasting.predictor import Hold, Observed
from tsrnn.nn.online import Recurrent

try:
    import torch
except ImportError:
    torch = None

SENSORS, HIDDEN, WINDOW, BATCH, CHUNK = 8, 64, 100, 256, 1 << 16
HOLD = Hold(8.0, 100)

Call = Callable[[], object]


def stream(n: int, seed: int = 0) -> Observed:
    """Sensors that wave, with noise."""
    rng, phase = np.random.default_rng(seed), np.arange(n)[:, None] / (5 + np.arange(SENSORS))
    values = np.sin(phase) + 0.1 * rng.normal(size=(n, SENSORS))
    return Observed(values, np.zeros((n, 0)), np.ones(n), np.ones(n, bool))


def fitted() -> RecurrentPredictor:
    """A network that has seen a little."""
    return RecurrentPredictor(hidden_size=HIDDEN, max_steps=25).fit(stream(2_000))


def carried(model: RecurrentPredictor, observed: Observed) -> Call:
    """All rows in one call."""
    return lambda: model.step(model.start(), observed, HOLD)


def row_by_row(model: RecurrentPredictor, observed: Observed) -> Call:
    """A row a call."""
    rows = [observed.part(slice(t, t + 1)) for t in range(len(observed.values))]

    def run() -> None:
        state = model.start()
        for row in rows:
            state, _ = model.step(state, row, HOLD)

    return run


def readings(model: RecurrentPredictor, n: int) -> np.ndarray:
    """What the network reads of so many rows, (n, I)."""
    network: Recurrent = model._model
    x = jnp.asarray(stream(n).values, jnp.float32)
    read = partial(network.reading, model.params_["unit"])
    last = jnp.concatenate([x[:1], x[:-1]])
    return np.asarray(jax.jit(jax.vmap(read))(last, jnp.zeros_like(x), x, jnp.ones(n)))


def windows(rows: np.ndarray, batch: int) -> list[np.ndarray]:
    """Batches of windows, one for each row that has one."""
    views = np.lib.stride_tricks.sliding_window_view(rows, WINDOW, axis=0).swapaxes(1, 2)
    return [np.ascontiguousarray(views[at : at + batch]) for at in range(0, len(views) - batch + 1, batch)]


def anew(model: RecurrentPredictor, batches: list[np.ndarray]) -> Call:
    """Every window from a state of zero, by our fastest scan."""
    network, net = model._model, model.params_["net"]

    @jax.jit
    def expect(net: dict, xs: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.vmap(lambda h: network.correction(net, h, jnp.ones(())))(network.hidden(net, xs)[:, -1])

    return lambda: [np.asarray(expect(net, xs)[0]) for xs in batches]


def anew_torch(batches: list[np.ndarray]) -> Call:
    """The same network in torch."""
    lstm = torch.nn.LSTM(batches[0].shape[2], HIDDEN, batch_first=True)
    head = torch.nn.Linear(HIDDEN, 2 * SENSORS)

    def run() -> None:
        with torch.inference_mode():
            for xs in batches:
                head(lstm(torch.tensor(xs))[0][:, -1]).numpy()

    return run


def in_turns(calls: dict[str, tuple[Call, int]], repeats: int) -> dict[str, list[float]]:
    """Microseconds a row of each, after a first call that compiles."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call, _ in calls.values():
        call()
    for _ in range(repeats):
        for name, (call, rows) in calls.items():
            began = time.perf_counter()
            call()
            taken[name].append(1e6 * (time.perf_counter() - began) / rows)
    return taken


def resident() -> int:
    """Peak resident memory of this process so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def child(n_chunks: int) -> None:
    """Score a stream that is never held as a whole."""
    model = fitted()
    state, before = model.start(), 0
    for at in range(n_chunks):
        state, _ = model.step(state, stream(CHUNK, seed=at), HOLD)
        if at == 4:
            before = resident()
    print(json.dumps({"memory_growth_bytes": resident() - before, "memory_peak_bytes": resident()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows and repeats")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child)
        return
    repeats, n_batches, n_rows, n_chunks = (3, 2, 200, 8) if args.quick else (7, 8, 1_000, 77)
    model = fitted()
    rows = readings(model, n_batches * BATCH + WINDOW)
    batched, single = windows(rows, BATCH), windows(rows[: n_rows // 10 + WINDOW - 1], 1)
    calls = {
        "stream": (carried(model, stream(CHUNK)), CHUNK),
        "row": (row_by_row(model, stream(n_rows)), n_rows),
        "reencode": (anew(model, batched), len(batched) * BATCH),
        "reencode_row": (anew(model, single), len(single)),
    }
    if torch is not None:
        calls["torch"] = anew_torch(batched), len(batched) * BATCH
        calls["torch_row"] = anew_torch(single), len(single)
    taken = in_turns(calls, repeats)
    us = {name: statistics.median(times) for name, times in taken.items()}
    command = [sys.executable, __file__, "--child", str(n_chunks)]
    memory = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    figures = {
        "rows_per_second": round(1e6 / us["stream"]),
        "row_us": round(us["row"], 1),
        "stream_vs_reencode": round(min(us["reencode"], us.get("torch", np.inf)) / us["stream"], 1),
        "row_vs_reencode": round(min(us["reencode_row"], us.get("torch_row", np.inf)) / us["row"], 1),
        **({"stream_vs_torch": round(us["torch"] / us["stream"], 1)} if torch else {}),
        **({"row_vs_torch": round(us["torch_row"] / us["row"], 1)} if torch else {}),
        "us_a_row": {name: round(value, 2) for name, value in us.items()},
        "least_us_a_row": {name: round(min(times), 2) for name, times in taken.items()},
        **memory,
        "memory_rows": n_chunks * CHUNK,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "jax": jax.__version__,
        "torch": torch.__version__ if torch else None,
    }
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
