"""Training: whole runs from a frame to a fitted model, against NeuralForecast and Darts; and what the engine costs.

100 series of 1,000 hourly steps, horizon 24, context 96, 128 windows a step, Adam, no validation; an LSTM of 64 and of
128 in one layer, everything else as each library has it by default (our loss is the absolute error, as it is
NeuralForecast's; Darts' ``RNNModel`` learns on all 120 steps of context and horizon). Every run is a process of its
own, and they take turns; figures are medians. A run's time goes from the frame to the fitted model, without imports,
with compilation (no cache on disk). The time per step is that between the end of the first fifth and the last step.
``*_vs_*`` is the peer's time over ours, the geometric mean over the cases; ``memory_vs_*`` is our peak memory over the
peer's.

``engine_overhead`` is what a step of ``fit`` takes over forward and backward of its recurrence alone, as a share of it,
the geometric mean over hidden sizes of 64 and 128. ``members_K`` is the time that K members trained as one program take
a member, over that of one. ``cold_s`` and ``warm_s`` are the seconds of a new process that fits for 200 steps, with the
compilation cache on disk empty and full.

    python benchmarks/training.py [--quick] [--only PART] [--json FILE]
"""

import argparse
import json
import logging
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HORIZON, CONTEXT, BATCH = 24, 96, 128
PEERS = ("neuralforecast", "darts")

Marks = list[float]
"""Seconds at which steps ended."""

Fit = Callable[[pd.DataFrame], tuple[Any, Marks]]
"""From a frame to a fitted model."""


def frame() -> pd.DataFrame:
    """100 series with a daily season, a level and noise of their own."""
    n_series, length = 100, 1_000
    rng = np.random.default_rng(0)
    t = np.arange(length)
    level, size = rng.normal(10, 3, (n_series, 1)), rng.uniform(1, 3, (n_series, 1))
    y = (
        level
        + size * np.sin(2 * np.pi * (t / 24 + rng.uniform(size=(n_series, 1))))
        + rng.normal(size=(n_series, length))
    )
    stamps = pd.date_range("2024-01-01", periods=length, freq="h")
    ids = np.array([f"s{i:03d}" for i in range(n_series)]).repeat(length)
    return pd.DataFrame({"unique_id": ids, "ds": np.tile(stamps, n_series), "y": y.ravel()})


def fit_tsrnn(hidden: int, layers: int, steps: int) -> Fit:
    from tsrnn import LSTM, Forecaster, Point, Training

    def fit(df: pd.DataFrame) -> tuple[Any, Marks]:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log.csv"
            training = Training(
                max_steps=steps, batch_size=BATCH, eval_every=max(1, min(50, steps // 5)), validation=0,
                progress=False, log=str(log),
            )  # fmt: skip
            model = Forecaster(
                LSTM(hidden_size=hidden, num_layers=layers), horizon=HORIZON, context_length=CONTEXT,
                output=Point("mae"), training=training,
            ).fit(df)  # fmt: skip
            rows = pd.read_csv(log)
        return model, list(np.interp(np.arange(1, steps + 1), rows["step"], rows["seconds"]))

    return fit


def fit_neuralforecast(hidden: int, layers: int, steps: int) -> Fit:
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM

    marks, ticks = clock()
    model = LSTM(
        h=HORIZON, input_size=CONTEXT, encoder_hidden_size=hidden, encoder_n_layers=layers, max_steps=steps,
        windows_batch_size=BATCH, val_check_steps=steps, enable_progress_bar=False, logger=False,
        enable_checkpointing=False, enable_model_summary=False, callbacks=[ticks],
    )  # fmt: skip

    def fit(df: pd.DataFrame) -> tuple[Any, Marks]:
        NeuralForecast(models=[model], freq="h").fit(df)
        return model, marks

    return fit


def fit_darts(hidden: int, layers: int, steps: int) -> Fit:
    from darts import TimeSeries
    from darts.models import RNNModel

    marks, ticks = clock()
    quiet = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False, "callbacks": [ticks]}
    model = RNNModel(
        input_chunk_length=CONTEXT, training_length=CONTEXT + HORIZON, model="LSTM", hidden_dim=hidden,
        n_rnn_layers=layers, batch_size=BATCH, n_epochs=steps,
        pl_trainer_kwargs={"max_steps": steps, "accelerator": "cpu", "enable_model_summary": False, **quiet},
    )  # fmt: skip

    def fit(df: pd.DataFrame) -> tuple[Any, Marks]:
        series = TimeSeries.from_group_dataframe(df, group_cols="unique_id", time_col="ds", value_cols="y")
        return model.fit([one.astype(np.float32) for one in series]), marks

    return fit


def clock() -> tuple[Marks, Any]:
    """A list, and a callback of Lightning that writes the time into it after every step."""
    try:
        from pytorch_lightning import Callback
    except ImportError:
        from lightning.pytorch import Callback
    marks: Marks = []

    class Ticks(Callback):
        def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
            marks.append(time.perf_counter())

    return marks, Ticks()


def run(library: str, hidden: int, layers: int, steps: int) -> None:
    """One fit in this process."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if library != "tsrnn":
        import torch

        torch.set_num_threads(2)
    df = frame()
    makers = {"tsrnn": fit_tsrnn, "neuralforecast": fit_neuralforecast, "darts": fit_darts}
    fit = makers[library](hidden, layers, steps)
    began = time.perf_counter()
    _, marks = fit(df)
    total, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"total_s": total, "step_ms": 1e3 * step_seconds(marks), "mib": peak}))


def engine(quick: bool) -> dict[str, Any]:
    """A step of ``fit`` against forward and backward of the recurrence inside; they take turns."""
    import jax
    import jax.numpy as jnp

    from tsrnn import LSTM
    from tsrnn.nn.scan import scan

    df, rows = frame(), {}
    for hidden in (64, 128):
        steps, turns = (50, 2) if quick else (150, 7)
        model, _ = fit_tsrnn(hidden, 1, 1)(df)
        weights, cell = model.params_["params"]["encoder"]["layer_0"], LSTM.cell
        x = jnp.ones((BATCH, CONTEXT, weights["kernel"].shape[0]))

        @jax.jit
        def bare(weights: Any, x: jax.Array, cell: Any = cell) -> Any:
            zeros = cell.zeros(weights, BATCH)
            return jax.value_and_grad(lambda w: jnp.sum(scan(cell, w, zeros, x)[0][0] ** 2))(weights)

        times: dict[str, list[float]] = {"fit": [], "bare": []}
        for _ in range(turns):
            times["fit"].append(step_seconds(fit_tsrnn(hidden, 1, steps)(df)[1]))
            jax.block_until_ready(bare(weights, x))
            began = time.perf_counter()
            for _ in range(steps):
                jax.block_until_ready(bare(weights, x))
            times["bare"].append((time.perf_counter() - began) / steps)
        rows[hidden] = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    over = statistics.geometric_mean(row["fit"] / row["bare"] for row in rows.values()) - 1
    return {"engine_overhead": over, "engine": rows}


def members(quick: bool) -> dict[str, Any]:
    """Members of `tsrnn.training.loop.train_members`, an LSTM of 32 on windows of 48 steps, 32 windows a step each."""
    import jax
    import jax.numpy as jnp

    from tsrnn import LSTM, Point, Training
    from tsrnn.nn.model import ForecastLoss, Model
    from tsrnn.training.loop import train_members
    from tsrnn.windows.batches import DevicePanel, WindowSampler, gather
    from tsrnn.windows.index import WindowIndex

    y = frame()["y"].to_numpy(np.float32).reshape(100, 1_000)
    none = {name: jnp.zeros((y.size, 0)) for name in ("past", "future")}
    codes = {name: jnp.zeros((y.size, 0), jnp.int32) for name in ("past_codes", "future_codes")}
    static = {"static": jnp.zeros((100, 0)), "static_codes": jnp.zeros((100, 0), jnp.int32)}
    first = jnp.arange(0, y.size, 1_000, dtype=jnp.int32)
    panel = DevicePanel(values=jnp.asarray(y).reshape(-1, 1), first=first, **none, **codes, **static)
    counts = np.arange(101, dtype=np.int32) * (1_000 - 48 - 24 + 1)
    index = WindowIndex(np.arange(100, dtype=np.int32), np.full(100, 48, np.int32), counts, counts)
    shape = {"context_length": 48, "horizon": 24}
    model, sample = Model(LSTM(hidden_size=32), Point("mae"), "last", 1), WindowSampler(batch_size=32, **shape)
    at = jnp.zeros(1, jnp.int32)
    steps, turns = (20, 1) if quick else (100, 5)
    times: dict[int, list[float]] = {k: [] for k in (1, 2, 4, 8)}
    for turn in range(turns + 1):  # the first one compiles
        for k, values in times.items():
            keys = list(jax.random.split(jax.random.key(0), k))
            params = [model.init(key, gather(panel, at, at + 48, **shape)) for key in keys]
            training = Training(max_steps=steps, eval_every=steps)
            began = time.perf_counter()
            train_members(ForecastLoss(model), sample, params, (panel, index), keys=keys, training=training)
            if turn:
                values.append((time.perf_counter() - began) / k)
    one = statistics.median(times[1])
    return {f"members_{k}": statistics.median(values) / one for k, values in times.items()}


def cold() -> None:
    """A fit of 200 steps as a new process, its seconds by what it does."""
    began = time.perf_counter()
    from jax import monitoring

    spent = {"trace": 0.0, "compile": 0.0}

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event.endswith(("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration")):
            spent["trace"] += seconds
        elif event.endswith("backend_compile_duration"):
            spent["compile"] += seconds

    monitoring.register_event_duration_secs_listener(listen)
    fit = fit_tsrnn(64, 1, 200)
    imported = time.perf_counter() - began
    df, began = frame(), time.perf_counter()
    fit(df)
    total = time.perf_counter() - began
    print(json.dumps({"import": imported} | spent | {"rest": total - sum(spent.values()), "fit": total}))


def step_seconds(marks: Marks) -> float:
    """Seconds a step, those before the first fifth of them left out."""
    first = len(marks) // 5
    return (marks[-1] - marks[first]) / (len(marks) - 1 - first)


def child(*arguments: object, **environment: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    out = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)
    if out.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{out.stderr}")
    return json.loads(out.stdout.splitlines()[-1])


def against_peers(quick: bool) -> dict[str, Any]:
    """Whole runs, a process each; for every case the libraries take turns."""
    libraries = ["tsrnn", *filter(find_spec, PEERS)]
    steps, turns = (50, 1) if quick else (500, 2)
    rows = []
    for hidden, layers in [(64, 1)] if quick else [(64, 1), (128, 1)]:
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in libraries}
        for _ in range(turns):
            for name in libraries:
                runs[name].append(child("run", name, hidden, layers, steps))
        row: dict[str, Any] = {"hidden": hidden, "layers": layers}
        for name, results in runs.items():
            row[name] = {key: statistics.median(r[key] for r in results) for key in results[0]}
        print(row, file=sys.stderr, flush=True)
        rows.append(row)

    def ratio(key: str, name: str) -> float | None:
        if name not in libraries:
            return None
        return statistics.geometric_mean(row[name][key] / row["tsrnn"][key] for row in rows)

    figures: dict[str, Any] = {"rows": rows}
    for name in PEERS:
        memory = ratio("mib", name)
        figures |= {f"step_vs_{name}": ratio("step_ms", name), f"run{steps}_vs_{name}": ratio("total_s", name)}
        figures[f"memory_vs_{name}"] = memory and 1 / memory
    return figures


def cold_starts(quick: bool) -> dict[str, Any]:
    runs: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    for _ in range(1 if quick else 3):
        with tempfile.TemporaryDirectory() as cache:
            cached = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
            for name in runs:
                began = time.perf_counter()
                parts = child("cold", **cached)
                runs[name].append(parts | {"process": time.perf_counter() - began})
    parts = {name: {key: statistics.median(r[key] for r in rs) for key in rs[0]} for name, rs in runs.items()}
    return {f"{name}_s": part["process"] for name, part in parts.items()} | {"cold_start": parts}


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(value, 3) if isinstance(value, float) else value


def measure(
    parts: Mapping[str, Callable[[bool], dict[str, Any]]], args: argparse.Namespace, long: Collection[str]
) -> None:
    """Measure the parts asked for; write all figures to the file asked for, and print them without the long ones."""
    figures: dict[str, Any] = {}
    for name, part in parts.items():
        if args.only in (None, name):
            figures |= rounded(part(args.quick))
    figures["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in figures.items() if key not in long}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one case, 50 steps, few turns")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        what, *rest = args.child
        {"run": run, "cold": cold}[what](*(int(a) if a.isdigit() else a for a in rest))
        return
    measure(PARTS, args, ("rows", "engine", "cold_start"))


PARTS: dict[str, Callable[[bool], dict[str, Any]]] = {
    "peers": against_peers, "engine": engine, "members": members, "cold": cold_starts,
}  # fmt: skip


if __name__ == "__main__":
    main()
