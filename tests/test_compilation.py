"""How often the training step and the forecast are compiled: once for panels of similar size, whatever their inputs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

import tsrnn
from tsrnn.data import Panel
from tsrnn.data.synthetic import generate_series
from tsrnn.forecasting import forecaster
from tsrnn.training import loop
from tsrnn.training.compilation import make_room

ROOT = Path(__file__).resolve().parents[1]

ROLES = {
    "past_covariates": ["load", "sky"],
    "future_covariates": ["promo", "day"],
    "static_covariates": ["shop", "size"],
}


def frame(n_series, seed, covariates):
    df = generate_series(n_series, freq="D", random_state=seed, min_length=52, max_length=58)
    if not covariates:
        return df
    rng = np.random.default_rng(seed)
    return df.assign(
        load=rng.normal(size=len(df)),
        sky=rng.choice(["clear", "rain", "snow"], len(df)),
        promo=rng.random(len(df)) < 0.3,
        day=rng.choice(["work", "free"], len(df)),
        shop=df["unique_id"].astype(str) + "!",
        size=1.0,
    )


def compiled():
    """Programs in use: training steps, validation losses, forecasts, first weights, windows cut."""
    return [
        f._cache_size()
        for f in (loop.run_steps, loop.evaluate, forecaster._forecast, forecaster._init, forecaster._gather)
    ]


@pytest.mark.parametrize("covariates", [False, True], ids=["plain", "covariates of every kind"])
def test_panels_of_similar_size_share_every_program(covariates):
    frames = [frame(n, n, covariates) for n in (29, 30, 31)]
    roles = ROLES if covariates else {}
    assert len({len(df) for df in frames}) == 3
    assert len({forecaster._bucket(len(Panel.from_frame(df).times)) for df in frames}) == 1
    training = tsrnn.Training(max_steps=2, batch_size=4, eval_every=2)
    # A width of its own: nothing was compiled before.
    network = tsrnn.GRU(hidden_size=5 if covariates else 3)
    sizes = []
    for df in frames:
        model = tsrnn.Forecaster(network, horizon=4, context_length=9, training=training).fit(df, **roles)
        panel = Panel.from_frame(df, model.history_.schema)
        model.forecast_panel(panel, np.arange(len(panel.ids)), panel.lengths - 4)
        sizes.append(compiled())
    assert sizes[0] == sizes[1] == sizes[2]


def test_refits_of_a_backtest_compile_nothing_after_the_first():
    """From 60 rows to 140, with 1 to 4 batches to validate on; then over sliding windows of any place."""
    parts = (frame(3, 0, False).assign(ds=lambda d, at=at: d["ds"] + pd.Timedelta(days=at)) for at in (0, 52, 104))
    df = pd.concat(parts).drop_duplicates(["unique_id", "ds"])
    training = tsrnn.Training(max_steps=4, batch_size=8, eval_every=2)
    model = tsrnn.Forecaster(tsrnn.GRU(hidden_size=6), horizon=4, context_length=9, training=training)
    seen, ready = [], []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: ready.append(event) if event.endswith("backend_compile_duration") else None
    )
    for how in ({}, {"train_size": 50}):
        tsrnn.backtest(
            model, df, n_windows=6, step_size=18, refit=True, **how,
            on_event=lambda event: seen.append((len(ready), *compiled())),
        )  # fmt: skip
    assert seen[1] > seen[0]  # the first fit
    assert seen[2:] == seen[1:2] * (len(seen) - 2)


CHILD = """
import jax
from tests.test_training import run
missed = []
jax.monitoring.register_event_listener(lambda event, **_: missed.append(event.endswith("cache_misses")))
{line}
run(max_steps=20)
print(sum(missed))
"""


def test_the_line_in_the_readme_keeps_programs_for_the_next_process(tmp_path):
    (line,) = re.findall(r"`(jax\.config\.update\(.*?\))`", (ROOT / "README.md").read_text(encoding="utf-8"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # whatever the machine takes
    command = [sys.executable, "-c", CHILD.format(line=line.replace("FOLDER", str(tmp_path)))]
    missed = [
        int(subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout)
        for _ in range(2)
    ]
    assert missed[0] > missed[1] == 0
    assert [path for path in tmp_path.iterdir() if path.name.startswith("jit__steps")]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux counts memory maps")
def test_programs_are_let_go_before_memory_maps_run_out():
    double = jax.jit(lambda x: 2 * x)
    double(1.0)
    make_room()
    assert double._cache_size() == 1
    make_room(share=0.0)
    assert double._cache_size() == 0
    assert double(2.0) == 4.0
