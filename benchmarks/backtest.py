"""Backtests: twenty refits against NeuralForecast and Darts; two hundred cutoffs without refits, in one pass or not.

``refit``: 100 series of 1,000 hourly steps, 20 folds a day apart, horizon 24, context 96; in each fold an LSTM of 64
is trained for 100 steps of 128 windows on all series, everything else as in ``benchmarks/training.py``. Ours is
`backtest` with ``refit=True``, NeuralForecast's is ``cross_validation(refit=True)`` (which goes on from the last fold's
weights; the steps are the same), Darts' is ``historical_forecasts(retrain=True, apply_globally=True)``. Every run is a
process of its own, and they take turns; figures are medians. A run's time goes from the frame to the forecasts, without
imports, with compilation (no cache on disk). ``refit20_vs_*`` is the peer's time over ours.

``onepass``: one series of 20,000 hourly steps, the last 200 cutoffs, an hour apart, one and 24 steps ahead, an LSTM of
64 that is fitted once and whose fit is not counted, nor is compilation. ``onepass_vs_reencode`` is the time with
windows of 96 steps read anew at each cutoff over that of one pass (``stateful=True``), ``onepass_vs_reencode_1000``
that with windows of 1,000 steps, each the geometric mean of both horizons. Darts' ``BlockRNNModel`` reads windows of 96
steps. The cost of an additional cutoff, in microseconds, is what 2,000 of them take more than 200, over 1,800.

    python benchmarks/backtest.py [--quick] [--only PART] [--json FILE]
"""

import argparse
import json
import logging
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from training import BATCH, CONTEXT, HORIZON, PEERS, frame, measure, rounded

HIDDEN = 64
QUIET = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False, "enable_model_summary": False}


def refit_tsrnn(df: pd.DataFrame, folds: int, steps: int) -> dict[str, float]:
    from tsrnn import LSTM, Forecaster, Point, Training, backtest
    from tsrnn.training.compilation import compile_seconds

    training = Training(max_steps=steps, batch_size=BATCH, eval_every=steps, validation=0, progress=False)
    model = Forecaster(
        LSTM(hidden_size=HIDDEN), horizon=HORIZON, context_length=CONTEXT, output=Point("mae"), training=training
    )
    fits: list[Any] = []
    began = time.perf_counter()
    result = backtest(
        model, df, n_windows=folds, refit=True,
        on_event=lambda event: fits.append(event.fitted.training_) if event.fitted is not None else None,
    )  # fmt: skip
    total, compiled = time.perf_counter() - began, compile_seconds()
    assert len(result.forecasts) == folds * HORIZON * df["unique_id"].nunique()
    steps_s = sum(fit.seconds - fit.compile_seconds for fit in fits)
    return {"total_s": total, "compile_s": compiled, "steps_s": steps_s, "rest_s": total - compiled - steps_s}


def refit_neuralforecast(df: pd.DataFrame, folds: int, steps: int) -> dict[str, float]:
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM

    model = LSTM(
        h=HORIZON, input_size=CONTEXT, encoder_hidden_size=HIDDEN, encoder_n_layers=1, max_steps=steps,
        windows_batch_size=BATCH, val_check_steps=steps, **QUIET,
    )  # fmt: skip
    began = time.perf_counter()
    forecasts = NeuralForecast(models=[model], freq="h").cross_validation(
        df, n_windows=folds, step_size=HORIZON, refit=True
    )
    total = time.perf_counter() - began
    assert len(forecasts) == folds * HORIZON * df["unique_id"].nunique()
    return {"total_s": total}


def refit_darts(df: pd.DataFrame, folds: int, steps: int) -> dict[str, float]:
    from darts import TimeSeries
    from darts.models import RNNModel

    model = RNNModel(
        input_chunk_length=CONTEXT, training_length=CONTEXT + HORIZON, model="LSTM", hidden_dim=HIDDEN, n_rnn_layers=1,
        batch_size=BATCH, n_epochs=steps, pl_trainer_kwargs={"max_steps": steps, "accelerator": "cpu", **QUIET},
    )  # fmt: skip
    began = time.perf_counter()
    series = TimeSeries.from_group_dataframe(df, group_cols="unique_id", time_col="ds", value_cols="y")
    forecasts = model.historical_forecasts(
        [one.astype(np.float32) for one in series], start=-folds * HORIZON, start_format="position",
        forecast_horizon=HORIZON, stride=HORIZON, retrain=True, apply_globally=True, last_points_only=False,
    )  # fmt: skip
    total = time.perf_counter() - began
    assert sum(map(len, forecasts)) == folds * len(series)
    return {"total_s": total}


def refit(library: str, folds: int, steps: int) -> dict[str, float]:
    runs = {"tsrnn": refit_tsrnn, "neuralforecast": refit_neuralforecast, "darts": refit_darts}
    return runs[library](frame(), folds, steps)


def long_series(length: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    t = np.arange(length)
    y = 10 + 2 * np.sin(2 * np.pi * t / 24) + rng.normal(size=length)
    return pd.DataFrame({"unique_id": "s", "ds": pd.date_range("2020-01-01", periods=length, freq="h"), "y": y})


def seconds(run: Callable[[], Any], turns: int) -> float:
    """Median time, after a first run that may compile."""
    run()
    times = []
    for _ in range(turns):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def passes_tsrnn(df: pd.DataFrame, horizon: int, cutoffs: list[int], turns: int) -> dict[str, list[float]]:
    from tsrnn import LSTM, Forecaster, Panel, Point, Training
    from tsrnn.forecasting.base import forecast_frame

    panel = Panel.from_frame(df)
    figures = {}
    for name, context in {"one pass": CONTEXT, "windows of 96": CONTEXT, "windows of 1000": 1000}.items():
        model = Forecaster(
            LSTM(hidden_size=HIDDEN), horizon=horizon, context_length=context, output=Point("mae"),
            normalization="none", stateful=name == "one pass",
            training=Training(max_steps=2, batch_size=8, validation=0, progress=False),
        ).fit_panel(panel.until(panel.lengths - max(cutoffs) - horizon))  # fmt: skip

        def forecast(n: int, model: Any = model) -> None:
            ends = panel.lengths - horizon - np.arange(n)[::-1]
            series = np.zeros(n, np.int64)
            forecast_frame(panel, series, ends, model.forecast_panel(panel, series, ends), [model.name])

        figures[name] = [seconds(lambda n=n: forecast(n), turns) for n in cutoffs]  # type: ignore[misc]
    return figures


def passes_darts(df: pd.DataFrame, horizon: int, cutoffs: list[int], turns: int) -> dict[str, list[float]]:
    from darts import TimeSeries
    from darts.models import BlockRNNModel

    model = BlockRNNModel(
        input_chunk_length=CONTEXT, output_chunk_length=horizon, model="LSTM", hidden_dim=HIDDEN, n_rnn_layers=1,
        batch_size=BATCH, n_epochs=1, pl_trainer_kwargs={"max_steps": 2, "accelerator": "cpu", **QUIET},
    )  # fmt: skip
    series = TimeSeries.from_dataframe(df, time_col="ds", value_cols="y").astype(np.float32)
    model.fit(series[:-1000])

    def forecast(n: int) -> None:
        forecasts = model.historical_forecasts(
            series, start=-(n + horizon - 1), start_format="position", forecast_horizon=horizon, stride=1,
            retrain=False, last_points_only=False,
        )  # fmt: skip
        assert len(forecasts) == n

    return {"darts": [seconds(lambda n=n: forecast(n), turns) for n in cutoffs]}  # type: ignore[misc]


def passes(library: str, length: int, horizon: int, few: int, many: int, turns: int) -> dict[str, Any]:
    run = {"tsrnn": passes_tsrnn, "darts": passes_darts}[library]
    return run(long_series(length), horizon, [few, many], turns)


def child(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    if out.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{out.stderr}")
    return json.loads(out.stdout.splitlines()[-1])


def refits(quick: bool) -> dict[str, Any]:
    folds, steps, turns = (3, 10, 1) if quick else (20, 100, 2)
    libraries = ["tsrnn", *filter(find_spec, PEERS)]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in libraries}
    for _ in range(turns):
        for name in libraries:
            runs[name].append(child("refit", name, folds, steps))
            print(name, runs[name][-1], file=sys.stderr, flush=True)
    rows = {name: {key: statistics.median(r[key] for r in rs) for key in rs[0]} for name, rs in runs.items()}
    ratios = {
        f"refit{folds}_vs_{name}": rows[name]["total_s"] / rows["tsrnn"]["total_s"] if name in rows else None
        for name in PEERS
    }
    return ratios | {"refit": rows}


def one_pass(quick: bool) -> dict[str, Any]:
    length, few, many, turns = (3_000, 20, 300, 1) if quick else (20_000, 200, 2_000, 5)
    rows: dict[int, dict[str, Any]] = {}
    for horizon in (1, 24):
        times: dict[str, list[float]] = {}
        for name in ("tsrnn", *filter(find_spec, ["darts"])):
            times |= child("passes", name, length, horizon, few, many, turns)
        rows[horizon] = {
            name: {"ms": 1e3 * a, "us_a_cutoff": 1e6 * (b - a) / (many - few)} for name, (a, b) in times.items()
        }
        print(horizon, rounded(rows[horizon]), file=sys.stderr, flush=True)

    def ratio(name: str) -> float | None:
        if name not in rows[1]:
            return None
        return statistics.geometric_mean(row[name]["ms"] / row["one pass"]["ms"] for row in rows.values())

    return {
        "onepass_vs_reencode": ratio("windows of 96"),
        "onepass_vs_reencode_1000": ratio("windows of 1000"),
        "onepass_vs_darts": ratio("darts"),
        "onepass": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few folds, steps, rows and turns")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        warnings.filterwarnings("ignore")
        logging.disable(logging.WARNING)
        what, library, *rest = args.child
        if library != "tsrnn":
            import torch

            torch.set_num_threads(2)
        print(json.dumps({"refit": refit, "passes": passes}[what](library, *map(int, rest))))
        return
    measure(PARTS, args, PARTS)


PARTS: dict[str, Callable[[bool], dict[str, Any]]] = {"refit": refits, "onepass": one_pass}


if __name__ == "__main__":
    main()
