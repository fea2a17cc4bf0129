"""The command line: what it prints, its exit codes, and what it does not import."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import tsrnn
from tsrnn.cli import app
from tsrnn.cli.session import exit_codes, prepare
from tsrnn.cli.tables import print_table

COMMAND = [sys.executable, "-c", "from tsrnn.cli import main; main()"]


pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def run_file(tmp_path):
    days = pd.date_range("2024-01-01", periods=40)
    values = np.arange(40.0) + np.resize([0, 3, 1], 40)
    pd.DataFrame({"ds": days, "y": values}).to_csv(tmp_path / "table.csv", index=False)
    path = tmp_path / "run.yaml"
    path.write_text(
        "data: {path: table.csv}\n"
        "backtest: {horizon: 3, n_windows: 2}\n"
        "models: {Naive: Naive, SeasonalNaive: {type: SeasonalNaive, season_length: 3}}\n"
    )
    return path


def test_help_imports_no_jax_and_names_the_commands():
    code = (
        "import sys\n"
        "from tsrnn.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "heavy = {'jax', 'flax', 'pandas', 'sklearn', 'matplotlib', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "backtest" in shown
    assert "detect" in shown
    assert "inspect" in shown
    assert "doctor" in shown


@pytest.mark.parametrize("module", ["tsrnn", "tsrnn.data", "tsrnn.report.plots", "tsrnn.evaluation", "tsrnn.anomaly"])
def test_frame_wing_imports_no_jax(module):
    code = f"import sys, {module}; assert not {{'jax', 'flax', 'optax'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_version():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"{tsrnn.__version__}\n")


def test_backtest_prints_the_leaderboard_and_last_the_folder(run_file, tmp_path):
    out = tmp_path / ("a folder with a very long name " * 7).strip()
    result = CliRunner().invoke(app, ["backtest", str(run_file), "--out", str(out), "--set", "backtest.n_windows=3"])
    assert result.exit_code == 0, result.stderr
    *table, last = result.stdout.splitlines()
    assert last == str(out)
    board = pd.read_csv(out / "leaderboard.csv")
    assert table[0].split() == list(board.columns)
    assert [row.split()[:2] for row in table[1:]] == [
        [m, f"{v:.4g}"] for m, v in zip(board["model"], board["mase"], strict=True)
    ]
    assert re.fullmatch(r"1 series, 40 rows, freq=D\nNaive: [\d.]+ s\nSeasonalNaive: [\d.]+ s\n", result.stderr)
    assert pd.read_parquet(out / "forecasts.parquet")["cutoff"].nunique() == 3


def test_progress_of_refits(run_file, tmp_path):
    result = CliRunner().invoke(
        app, ["backtest", str(run_file), "--set", "backtest.refit=true", "--out", str(tmp_path / "out")]
    )
    assert re.sub(r"[\d.]+ s", "", result.stderr).splitlines()[1:] == [
        f"{name}, fold {fold} of 2: " for name in ("Naive", "SeasonalNaive") for fold in (1, 2)
    ]


def test_several_overrides(run_file, tmp_path):
    options = ["--set", "backtest.horizon=2", "--set", "models={Drift: Drift}", "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, ["backtest", str(run_file), *options]).exit_code == 0
    forecasts = pd.read_parquet(tmp_path / "out" / "forecasts.parquet")
    assert len(forecasts) == 4
    assert "Drift" in forecasts


def test_a_library_that_is_not_installed_is_named_with_the_way_to_it(run_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "holidays", None)  # as if it were not installed
    models = "models={GRU: {network: {type: GRU, hidden_size: 2}, context_length: 4, training: {max_steps: 2}}}"
    options = ["--set", "data.holidays=DE", "--set", models, "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["backtest", str(run_file), *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr.splitlines()[-1] == "holidays=... needs the library of that name: pip install 'tsrnn[holidays]'."
    )
    assert not (tmp_path / "out").exists()


def test_a_broken_module_keeps_its_traceback():
    with pytest.raises(ModuleNotFoundError), exit_codes():
        import tsrnn.absent  # noqa: F401


def test_ctrl_c_before_anything_is_finished(run_file, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("tsrnn.runs.run_backtest", stop)
    result = CliRunner().invoke(app, ["backtest", str(run_file), "--out", str(tmp_path / "out")])
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "Stopped.\n")


def test_a_real_ctrl_c_keeps_what_was_finished(run_file, tmp_path):
    """The GRU would train for hours; after SIGINT the folder has what was finished before it."""
    endless = "{network: GRU, training: {max_steps: 100000000, patience: null}}"
    models = f"models={{Naive: Naive, Drift: Drift, GRU: {endless}}}"
    out = tmp_path / "out"
    arguments = ["backtest", str(run_file), "--set", models, "--out", str(out)]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert [process.stderr.readline().split(":")[0] for _ in range(3)][1:] == ["Naive", "Drift"]
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout) == (130, f"{out}\n"), stderr
    assert stderr == f"Stopped; --out {out} --resume goes on from there. What was finished is in\n"
    finished = set(pd.read_csv(out / "leaderboard.csv")["model"])
    assert "Naive" in finished
    assert "GRU" not in finished


def test_network_from_the_command_line_fills_the_compilation_cache(run_file, tmp_path):
    cache = tmp_path / "cache"
    models = "models={GRU: {network: {type: GRU, hidden_size: 2}, context_length: 4, training: {max_steps: 2}}}"
    arguments = ["backtest", str(run_file), "--set", models, "--out", str(tmp_path / "out")]
    environment = os.environ | {"TSRNN_COMPILATION_CACHE": str(cache)}
    done = subprocess.run([*COMMAND, *arguments], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == str(tmp_path / "out")
    assert any(cache.iterdir())


@pytest.mark.parametrize(
    ("choice", "folder"),
    [(None, "CACHE/tsrnn/jax"), ("1", "CACHE/tsrnn/jax"), ("elsewhere", "elsewhere"), ("0", None)],
)
def test_compilation_cache(choice, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("JAX_COMPILATION_CACHE_DIR", "TSRNN_COMPILATION_CACHE"):
        os.environ.pop(name, None)
    os.environ["XDG_CACHE_HOME"] = str(tmp_path)
    if choice is not None:
        os.environ["TSRNN_COMPILATION_CACHE"] = choice
    prepare()
    wanted = None if folder is None else folder.replace("CACHE", str(tmp_path))
    assert os.environ.get("JAX_COMPILATION_CACHE_DIR") == wanted


def test_the_users_own_cache_setting_is_respected(monkeypatch):
    os.environ |= {"JAX_COMPILATION_CACHE_DIR": "mine", "TSRNN_COMPILATION_CACHE": "1"}
    prepare()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "mine"


def test_a_narrow_terminal_leaves_out_numbers_and_says_where_they_are(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    os.environ["COLUMNS"] = "25"
    frame = pd.DataFrame(
        {"model": ["Naive"], "mase": [1.23456], "mae": [float("nan")], "coverage-90": [0.5], "note": "a b"}
    )
    print_table(frame, Path("leaderboard.csv"))
    header, row, rest = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out).splitlines()
    assert header.split() == ["model", "mase", "mae", "note"]
    assert row.split() == ["Naive", "1.235", "\N{EN DASH}", "a", "b"]
    assert rest == "(coverage-90: in leaderboard.csv)"


def test_detect(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"timestamp": pd.date_range("2024-01-01", periods=1000, freq="min"), "temp": rng.normal(20, 1, 1000)}
    )
    table.loc[800, "temp"] = 60.0
    table.to_csv(tmp_path / "sensors.csv", index=False)
    arguments = ["detect", str(tmp_path / "sensors.csv")]
    fit = ["--time-col", "timestamp", "--set", "predictor=Persistence", "--out", str(tmp_path / "first")]
    result = CliRunner().invoke(app, [*arguments, *fit])
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith(
        "sensors.csv: 1,000 rows, temp. Fitted on the first 500 rows, up to 2024-01-01 08:19:00."
    )
    assert any(re.match(r"2024-01-01 13:20:00 .* spike +temp 100 %", line) for line in lines)
    assert lines[-1] == str(tmp_path / "first")
    assert len(pd.read_csv(tmp_path / "first" / "scores.csv")) == 1000

    saved = ["--model", str(tmp_path / "first" / "model.tsrnn"), "--out", str(tmp_path / "again")]
    again = CliRunner().invoke(app, [*arguments, *saved])
    assert again.exit_code == 0, again.stderr
    assert (tmp_path / "first" / "scores.csv").read_bytes() == (tmp_path / "again" / "scores.csv").read_bytes()

    both = CliRunner().invoke(app, [*arguments, *saved, "--set", "seed=1"])
    assert (both.exit_code, both.stdout) == (2, "")
    assert "give one of them" in both.stderr
    absent = CliRunner().invoke(app, [*arguments, "--model", str(tmp_path / "absent"), "--out", str(tmp_path / "no")])
    assert (absent.exit_code, absent.stdout) == (2, "")
    assert "no saved detector" in absent.stderr
