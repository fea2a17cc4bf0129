"""Runs that were killed go on where they stopped, and end as if nothing had happened."""

import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import yaml

import tsrnn
from tsrnn.config import BacktestConfig, ConfigError
from tsrnn.evaluation import backtest
from tsrnn.runs import RunInterrupted, run_backtest
from tsrnn.runs.backtest import build_models, read_data

COMMAND = [sys.executable, "-c", "from tsrnn.cli import main; main()"]
BASELINES = {"Naive": "Naive", "Theirs": {"type": "Conformal", "model": "Drift", "n_windows": 20}}
NETWORK = {"GRU": {"network": {"type": "GRU", "hidden_size": 4}, "training": {"max_steps": 4, "eval_every": 2}}}


def written(folder, models, n_series=3, **backtest):
    """A run file and its data."""
    days, rng = pd.date_range("2023-01-01", periods=70), np.random.default_rng(0)
    values = {f"s{i}": rng.normal(size=70).cumsum() for i in range(n_series)}
    pd.DataFrame(values, index=days).rename_axis("ds").to_csv(folder / "data.csv")
    content = {
        "data": {"path": "data.csv"},
        "backtest": {"horizon": 2, "n_windows": 6, "refit": True} | backtest,
        "models": models,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder / "run.yaml"


def assert_same_folders(one, other):
    names = {file.name for file in one.rglob("*")}
    assert names == {file.name for file in other.rglob("*")}
    for name in ("forecasts.parquet", "metrics.parquet", "leaderboard.csv", "training.csv", "config.yaml"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    times = [pd.read_csv(folder / "timings.csv")[["model", "fold", "start"]] for folder in (one, other)]
    pd.testing.assert_frame_equal(*times)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("models", "wanted"), [(BASELINES, 14), (BASELINES | NETWORK, 26)], ids=["baselines", "network"]
)
def test_killed_and_resumed(tmp_path, models, wanted):
    """Of 101 series, so that baselines have two shards: twelve units each."""
    run_file, out = written(tmp_path, models, n_series=101), tmp_path / "out"
    process = subprocess.Popen([*COMMAND, "backtest", run_file, "--out", out], stderr=subprocess.DEVNULL)
    part = tmp_path / ".out.part"
    while process.poll() is None and len(list(part.glob("units/*.parquet"))) < wanted:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    n_kept = len(list(part.glob("units/*.parquet")))
    assert not out.exists()

    lines = []
    config = BacktestConfig.load(run_file)
    with pytest.raises(ConfigError, match=r"was broken off, or is still going on. Go on with --resume"):
        run_backtest(config, out)
    run_backtest(config, out, resume=True, say=lines.append)
    assert f"{n_kept} units were finished before" in lines
    assert_same_folders(out, run_backtest(config, tmp_path / "whole"))
    assert not part.exists()
    assert not (out / "units").exists()
    assert "units were finished before" in (out / "log.txt").read_text()
    if "GRU" in models:
        ours, theirs = (tsrnn.load(folder / "models" / "GRU").predict() for folder in (out, tmp_path / "whole"))
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def test_interrupted_and_resumed(tmp_path):
    config = BacktestConfig.load(written(tmp_path, BASELINES, n_windows=2))

    def stop(line):
        if line.startswith("Theirs, fold 1"):
            raise KeyboardInterrupt

    with pytest.raises(RunInterrupted):
        run_backtest(config, tmp_path / "out", say=stop)
    assert pd.read_csv(tmp_path / "out" / "leaderboard.csv")["model"].tolist() == ["Naive"]
    lines = []
    out = run_backtest(config, tmp_path / "out", resume=True, say=lines.append)
    assert "2 units were finished before" in lines
    assert [line.split(":")[0] for line in lines if " s" in line][-2:] == ["Theirs, fold 1 of 2", "Theirs, fold 2 of 2"]
    models, (_, panel) = build_models(config), read_data(config)
    whole = backtest(models, panel, n_windows=2, refit=True)
    pd.testing.assert_frame_equal(pd.read_parquet(out / "forecasts.parquet"), whole.forecasts, check_exact=True)
    pd.testing.assert_frame_equal(pd.read_csv(out / "leaderboard.csv"), whole.leaderboard())
    assert {file.name for file in (out / "models").iterdir()} == {"Naive", "Theirs"}
    assert not (out / "units").exists()
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        run_backtest(config, out, resume=True)


def test_what_was_finished_before_an_error_is_kept(tmp_path):
    broken = {
        "Naive": "Naive",
        "Ridge": {"type": "LagRegressor", "regressor": {"type": "Ridge", "alpha": -1.0}, "lags": 2},
    }
    run_file, lines = written(tmp_path, broken, n_windows=1), []
    with pytest.raises(ValueError, match="alpha"):
        run_backtest(BacktestConfig.load(run_file), tmp_path / "out", say=lines.append)
    assert lines[-1].endswith("--out {} --resume goes on from there.".format(tmp_path / "out"))
    mended = BacktestConfig.load(run_file, ["models.Ridge.regressor.alpha=1.0"])
    run_backtest(mended, tmp_path / "out", resume=True, say=lines.append)
    assert "1 units were finished before" in lines
    assert sorted(pd.read_csv(tmp_path / "out" / "leaderboard.csv")["model"]) == ["Naive", "Ridge"]


def test_resume_needs_a_folder_and_none_is_needed_to_resume_from(tmp_path):
    config = BacktestConfig.load(written(tmp_path, {"Naive": "Naive"}, n_windows=1))
    with pytest.raises(ConfigError, match="--resume needs --out"):
        run_backtest(config, resume=True)
    assert run_backtest(config, tmp_path / "out", resume=True).is_dir()
