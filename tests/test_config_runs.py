"""The run files of `configs/backtest`, on their real data, with networks that learn for two steps."""

from pathlib import Path

import pandas as pd
import pytest

from tsrnn.config import BacktestConfig
from tsrnn.runs import run_backtest

FOLDER = Path(__file__).resolve().parents[1] / "configs" / "backtest"
SMALL = {
    "training": {"max_steps": 2, "eval_every": 2, "batch_size": 8},
    "context_length": 8,
}


def small(spec):
    """The options that make a model small, whatever it is made of."""
    if not isinstance(spec, dict):
        return {}
    if "model" in spec:
        return {"model": small(spec["model"])}
    if "network" not in spec:
        return {}
    return SMALL | {"network": {"hidden_size": 4}}


def options(where, tree):
    for key, value in tree.items():
        yield from options(f"{where}.{key}", value) if isinstance(value, dict) else [f"{where}.{key}={value}"]


def test_there_are_six_at_least():
    assert len(list(FOLDER.glob("*.yaml"))) >= 6


QUICK = {"exchange"}  # a network compiles for seconds, so `make test` has one run and `make slow` all others
PATHS = [
    pytest.param(p, marks=() if p.stem in QUICK else pytest.mark.slow, id=p.stem) for p in sorted(FOLDER.glob("*"))
]


@pytest.mark.parametrize("path", PATHS)
def test_two_steps(path, shared_data, tmp_path, monkeypatch):
    monkeypatch.setenv("TSRNN_DATA", str(shared_data))
    models = BacktestConfig.load(path).models
    shrunk = [option for name, spec in models.items() for option in options(f"models.{name}", small(spec))]
    config = BacktestConfig.load(path, [*shrunk, "backtest.n_windows=1", "backtest.refit=false"])
    folder = run_backtest(config, tmp_path / "out")
    board = pd.read_csv(folder / "leaderboard.csv")
    assert set(board["model"]) == set(models)
    assert board.drop(columns="model").notna().any(axis=None)
    trained = pd.read_csv(folder / "training.csv").groupby("model")["step"].max()
    assert (trained == 2).all()
