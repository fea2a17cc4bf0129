"""Run folders: whole or absent, repeatable from what stands in them."""

import json
import os
import re
import subprocess
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import tsrnn
from tsrnn.anomaly import AnomalyDetector
from tsrnn.config import BacktestConfig, ConfigError, DetectConfig
from tsrnn.data import DataError
from tsrnn.evaluation import backtest
from tsrnn.forecasting.baselines import Naive, SeasonalNaive
from tsrnn.forecasting.conformal import Conformal
from tsrnn.forecasting.forecaster import Forecaster
from tsrnn.nn.networks import GRU
from tsrnn.report.sensors import plot_events
from tsrnn.runs import RunInterrupted, run_backtest, run_detect, run_score
from tsrnn.runs.provenance import provenance

MODELS = "models={SeasonalNaive: {type: SeasonalNaive, season_length: 7}, Naive: Naive}"


def visits(n=60):
    """Two series with a week."""
    days = pd.date_range("2024-01-01", periods=n)
    week = np.resize([5.0, 6.0, 6.0, 7.0, 9.0, 3.0, 2.0], n)
    noise = np.random.default_rng(0).normal(0, 0.3, (2, n))
    frames = [
        pd.DataFrame({"unique_id": name, "ds": days, "y": size * week + row})
        for name, size, row in zip(("north", "south"), (1, 3), noise, strict=True)
    ]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def config(tmp_path):
    visits().to_csv(tmp_path / "visits.csv", index=False)
    options = [
        f"data.path={tmp_path / 'visits.csv'}",
        "backtest.horizon=7",
        "backtest.n_windows=3",
        MODELS,
        "name=visits",
    ]
    return BacktestConfig.load(None, options)


@pytest.mark.parametrize(
    ("option", "line", "message"),
    [
        ("start: 2024-02-01\n  initial_train_size: 9", 4, "backtest.start: start and initial_train_size both place"),
        ("start: soon", 4, "backtest.start: 'soon' cannot be read as a stamp"),
        ("n_windows: 2\n  skip_folds: [0, 2]", 5, "backtest.skip_folds: skip_folds names fold 2"),
        ("train_size: 1\n  gap: 1", 4, "backtest.train_size: train_size=1 is too small: "),
        ("start: 2024-02-01\n  end: 2024-01-01", 5, "backtest.end: end=2024-01-01 lies before"),
    ],
)
def test_folds_that_cannot_be_are_complained_of_by_line(tmp_path, option, line, message):
    visits().to_csv(tmp_path / "visits.csv", index=False)
    models = f"models: {{{'GRU: {network: GRU}' if 'train_size: 1' in option else 'Naive: Naive'}}}"
    text = f"data: {{path: visits.csv}}\nbacktest:\n  horizon: 7\n  {option}\n{models}\n"
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(f"run.yaml:{line}: {message}")):
        run_backtest(BacktestConfig.load(tmp_path / "run.yaml"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_backtest_folder(config, tmp_path):
    folder = run_backtest(config, tmp_path / "out")
    assert folder == tmp_path / "out"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == {
        "config.yaml", "provenance.json", "forecasts.parquet", "metrics.parquet", "leaderboard.csv", "timings.csv",
        "training.csv", "log.txt", "report.html", "plots/forecasts.png", "plots/error_by_step.png",
        *(f"models/{model}/{file}" for model in config.models for file in ("model.json", "arrays.safetensors")),
    }  # fmt: skip
    models = {"SeasonalNaive": SeasonalNaive(horizon=7, season_length=7), "Naive": Naive(horizon=7)}
    wanted = backtest(models, visits(), n_windows=3)
    board = pd.read_csv(folder / "leaderboard.csv")
    assert board.columns[0] == "model"
    pd.testing.assert_frame_equal(board, wanted.leaderboard())
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "forecasts.parquet"), wanted.forecasts)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "metrics.parquet"), wanted.metrics)


@pytest.mark.parametrize("until", ["2024-02-10", "2024-02-10 12:00:00"])
def test_rows_after_a_stamp_can_be_left_out(config, tmp_path, until):
    shorter = BacktestConfig.load(run_backtest(config, tmp_path / "all") / "config.yaml", [f"data.until={until}"])
    folder = run_backtest(shorter, tmp_path / "out")
    df = visits().loc[lambda df: df["ds"] <= "2024-02-10"]
    models = {"SeasonalNaive": SeasonalNaive(horizon=7, season_length=7), "Naive": Naive(horizon=7)}
    board = pd.read_csv(folder / "leaderboard.csv")
    pd.testing.assert_frame_equal(board, backtest(models, df, n_windows=3).leaderboard())


def test_a_stamp_that_is_none_is_blamed_on_its_line(config, tmp_path):
    with pytest.raises(ConfigError, match=r"data\.until: cannot be compared with 'ds'"):
        run_backtest(BacktestConfig.load(run_backtest(config, tmp_path / "a") / "config.yaml", ["data.until=soon"]))


def test_report_needs_no_network_and_says_what_was_done(config, tmp_path):
    page = (run_backtest(config, tmp_path / "out") / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//|@import|url\(""", page)
    for said in ("visits", "2 series, 120 rows, freq=D", "3 cutoffs", "SeasonalNaive", "sha256", "season_length: 7"):
        assert said in page


def test_the_written_configuration_gives_the_same_run_again(config, tmp_path):
    first = run_backtest(config, tmp_path / "first")
    again = run_backtest(BacktestConfig.load(first / "config.yaml"), tmp_path / "again")
    for name in ("forecasts.parquet", "metrics.parquet", "leaderboard.csv", "config.yaml"):
        assert (first / name).read_bytes() == (again / name).read_bytes(), name
    hashes = [json.loads((folder / "provenance.json").read_text())["data"]["sha256"] for folder in (first, again)]
    assert hashes[0] == hashes[1]


def test_the_written_configuration_has_every_default(config, tmp_path):
    written = yaml.safe_load((run_backtest(config, tmp_path / "out") / "config.yaml").read_text())
    assert written["backtest"].keys() == type(config.backtest).model_fields.keys()
    assert written["data"].keys() == type(config.data).model_fields.keys()
    assert written["models"] == {
        "SeasonalNaive": {"type": "SeasonalNaive", "season_length": 7},
        "Naive": {"type": "Naive"},
    }


def test_provenance(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def told():
        network = Forecaster(GRU(), horizon=7, random_state=3)
        models = {"GRU": network, "Naive": Naive(horizon=7), "Safe": Conformal(network)}
        return provenance("visits.csv", visits(), models)

    origin = told()
    assert origin.keys() == {"tsrnn", "python", "platform", "hardware", "git", "data", "seeds", "packages"}
    assert {"jax", "flax", "numpy", "pandas"} <= origin["packages"].keys()
    assert "pytest" not in origin["packages"]
    assert (origin["data"]["rows"], origin["data"]["columns"]) == (120, ["unique_id", "ds", "y"])
    assert origin["hardware"]["cores"] == os.cpu_count()
    assert origin["hardware"]["cpu"]
    assert (origin["git"], origin["seeds"]) == (None, {"GRU": 3, "Safe": 3})

    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    Path("notes.txt").write_text("first")
    for command in ("init -q", "add notes.txt", "commit -qm first"):
        subprocess.run([*git, *command.split()], check=True)
    clean = told()["git"]
    assert not clean["dirty"]
    assert re.fullmatch("[0-9a-f]{40}", clean["commit"])
    Path("notes.txt").write_text("second")
    assert told()["git"] == clean | {"dirty": True}


NETWORK = "{network: {type: GRU, hidden_size: 2}, context_length: 7, training: {max_steps: 4, eval_every: 2}}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with a network that is fitted in each of two folds, beside a baseline."""
    folder = tmp_path_factory.mktemp("trained")
    visits().to_csv(folder / "visits.csv", index=False)
    models = f"models={{GRU/2: {NETWORK}, Naive: Naive}}"
    options = [
        f"data.path={folder / 'visits.csv'}",
        "backtest={horizon: 7, n_windows: 2, refit: true}",
        models,
        "seed=3",
    ]
    said = []
    return run_backtest(BacktestConfig.load(None, options), folder / "out", say=said.append), said


def test_saved_models_are_those_of_the_last_fold(trained):
    folder, _ = trained
    model = tsrnn.load(folder / "models" / "GRU%2F2")
    forecasts = pd.read_parquet(folder / "forecasts.parquet")
    last = forecasts[forecasts["cutoff"] == forecasts["cutoff"].max()]
    np.testing.assert_array_equal(model.predict()["GRU"], last["GRU/2"])
    assert {path.name for path in (folder / "models").iterdir()} == {"GRU%2F2", "Naive"}


def test_training_is_told_for_every_fit(trained):
    folder, _ = trained
    courses = pd.read_csv(folder / "training.csv")
    assert courses[["model", "fold", "step"]].to_numpy().tolist() == [
        ["GRU/2", fold, step] for fold in (0, 1) for step in (2, 4)
    ]
    history = tsrnn.load(folder / "models" / "GRU%2F2").training_
    last = courses[courses["fold"] == 1]
    np.testing.assert_allclose(last["train_loss"], history.train_loss.reshape(2, 2).mean(axis=1))
    np.testing.assert_allclose(last["valid_loss"], history.valid_loss)
    assert last.loc[last["kept"], "step"].tolist() == [history.best_step]


def test_the_log_holds_what_was_said(trained):
    folder, said = trained
    lines = [line.split("  ", 1) for line in (folder / "log.txt").read_text().splitlines()]
    assert [line for _, line in lines] == said
    assert said[0] == "2 series, 120 rows, freq=D"
    assert re.match(r"GRU/2, fold 1 of 2: [\d.]+ s; 4 steps in ", said[1])
    stamps = [datetime.fromisoformat(stamp) for stamp, _ in lines]
    assert stamps == sorted(stamps)


def test_warnings_are_lines_of_the_log(config, tmp_path):
    table = Path(config.data.path)
    header, first, second, *rest = table.read_text().splitlines()
    table.write_text("\n".join([header, second, first, *rest]))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        log = (run_backtest(config, tmp_path / "out") / "log.txt").read_text().splitlines()
    assert "  Warning: " in log[0]
    assert "line 3" in log[0]


def test_models_need_not_be_kept(config, tmp_path):
    thin = config.model_copy(update={"save_models": False})
    assert not (run_backtest(thin, tmp_path / "out") / "models").exists()


def test_data_hash_tells_tables_apart(config, tmp_path):
    first = run_backtest(config, tmp_path / "first")
    table = Path(config.data.path)
    text = table.read_text()
    table.write_text(text.replace("north,2024-01-05,", "north,2024-01-05,1"))
    second = run_backtest(config, tmp_path / "second")
    table.write_text(text.replace(",", ";"))  # another file with the same content
    third = run_backtest(config, tmp_path / "third")
    hashes = [json.loads((f / "provenance.json").read_text())["data"]["sha256"] for f in (first, second, third)]
    assert hashes[0] == hashes[2] != hashes[1]


def test_nothing_is_overwritten(config, tmp_path, monkeypatch):
    taken = tmp_path / "taken"
    taken.mkdir()
    run_backtest(config, taken)  # empty: it may be used
    before = (taken / "provenance.json").read_bytes()
    with pytest.raises(ConfigError, match="exists, and nothing is overwritten"):
        run_backtest(config, taken)
    assert (taken / "provenance.json").read_bytes() == before
    monkeypatch.chdir(tmp_path)
    folders = [run_backtest(config) for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(re.fullmatch(r"runs/visits-\d{8}-\d{6}(-\d)?", f.as_posix()) and f.is_dir() for f in folders)


def test_a_run_that_fails_leaves_nothing(config, tmp_path, monkeypatch):
    short = BacktestConfig.model_validate(config.model_dump() | {"backtest": {"horizon": 60}})
    out = tmp_path / "deep" / "out"
    with pytest.raises(DataError, match="too short"):
        run_backtest(short, out)
    assert not out.parent.exists()  # found before anything is run
    monkeypatch.setattr(SeasonalNaive, "_fit", lambda self, panel: 1 / 0)  # the first model: no unit is finished
    with pytest.raises(ZeroDivisionError):
        run_backtest(config, out)
    assert not any(out.parent.iterdir())


@pytest.mark.parametrize("finished", [1, 2])
def test_ctrl_c(config, tmp_path, finished):
    """What was finished is written; if nothing was, no folder is left."""

    def stop(line):
        if len(said) == finished:
            raise KeyboardInterrupt
        said.append(line)

    said = []
    out = tmp_path / "runs" / "out"
    with pytest.raises(KeyboardInterrupt) as caught:
        run_backtest(config, out, say=stop)
    if finished == 1:
        assert not any(out.parent.iterdir())
        return
    assert isinstance(caught.value, RunInterrupted)
    assert caught.value.folder == out
    assert pd.read_csv(out / "leaderboard.csv")["model"].tolist() == ["SeasonalNaive"]
    assert "Interrupted: Naive did not finish." in (out / "report.html").read_text(encoding="utf-8")


def test_dataset(tmp_path, monkeypatch, shared_data):
    monkeypatch.setenv("TSRNN_DATA", str(shared_data))
    options = ["data.dataset=tourism_yearly", "backtest.horizon=4", "models={Naive: Naive}"]
    folder = run_backtest(BacktestConfig.load(None, options), tmp_path / "out")
    assert pd.read_parquet(folder / "metrics.parquet")["unique_id"].nunique() == 518


def sensors(n=1500):
    """Two sensors a minute, a spike at row 1200, a missing stamp, and a column of text."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2024-01-01", periods=n, freq="min"),
            "temp": rng.normal(20, 1, n),
            "flow": rng.normal(5, 0.2, n),
            "state": "on",
        }
    )
    frame.loc[1200, "temp"] = 60.0
    return frame.drop(700)


@pytest.fixture
def table(tmp_path):
    sensors().to_csv(tmp_path / "sensors.csv", index=False)
    return tmp_path / "sensors.csv"


DETECT = [
    "data.time_col=when",
    "predictor={cell: gru, hidden_size: 4, max_steps: 5, chunk: 32}",
]


def test_detect_folder(table, tmp_path):
    config = DetectConfig.load(None, DETECT)
    folder = run_detect(table, config, tmp_path / "out")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "scores.csv", "events.csv", "events.json", "summary.txt", "plots", "report.html", "config.yaml",
        "provenance.json", "model.tsrnn",
    }  # fmt: skip
    scores = pd.read_csv(folder / "scores.csv", parse_dates=["when"])
    assert scores["when"].tolist() == sensors()["when"].tolist()
    peak = sensors()["when"].loc[1200]
    highest = scores["when"].iloc[scores["score"].argmax()]
    assert abs(highest - peak) <= pd.Timedelta("1min")  # the forecast after the spike is far off too
    events = pd.read_csv(folder / "events.csv", parse_dates=["start", "end", "peak"])
    worst = events.loc[events["score"].idxmax()]
    assert worst["peak"] == highest
    assert worst["sensors"].startswith("temp ")  # the sensor with the greatest share comes first
    summary = (folder / "summary.txt").read_text()
    for said in (
        "1,499 rows, temp, flow.",
        "first 749 rows",
        "Gaps in time: 1, the first ends at row 700",
        "Not watched: state.",
    ):
        assert said in summary


def test_a_saved_detector_scores_to_the_bit_alike(table, tmp_path):
    first = run_detect(table, DetectConfig.load(None, DETECT), tmp_path / "first")
    again = run_score(table, first / "model.tsrnn", tmp_path / "again")
    for name in ("scores.csv", "events.csv"):
        assert (first / name).read_bytes() == (again / name).read_bytes(), name
    refit = run_detect(table, DetectConfig.load(first / "config.yaml"), tmp_path / "refit")
    assert (first / "scores.csv").read_bytes() == (refit / "scores.csv").read_bytes()
    with pytest.raises(ConfigError, match="reads the time column 'when', not 'ds'"):
        run_score(table, first / "model.tsrnn", tmp_path / "no", reading={"time_col": "ds"})


@pytest.mark.parametrize("n", [300, 20_000])
def test_plot_of_events_keeps_extremes(n):
    """Of a long table fewer points are drawn, but the highest and lowest values and the gaps stay."""
    values = np.sin(np.arange(n) / 50)
    values[n // 2], values[2 * n // 3] = 9.0, -9.0
    values[n // 4 : n // 4 + n // 10] = np.nan
    table = pd.DataFrame({"ds": np.arange(n), "temp": values})
    scores = pd.DataFrame({"temp-score": np.abs(values) / 3, "score": np.abs(values) / 3})
    events = pd.DataFrame({"start": [n // 2], "end": [n // 2]})
    figure = plot_events(table, scores, events, time_col="ds", sensors=["temp"])
    drawn = figure.axes[0].lines[0].get_ydata()
    assert len(drawn) <= 6000
    assert (np.nanmin(drawn), np.nanmax(drawn)) == (-9.0, 9.0)
    assert np.isnan(drawn).any()
    assert [ax.get_ylabel() for ax in figure.axes] == ["temp", "score"]


def test_detector_that_cannot_be_fitted_leaves_nothing(table, tmp_path):
    config = DetectConfig.load(None, [*DETECT, "data.sensors=[temp, pressure]"])
    with pytest.raises(DataError, match="no column 'pressure'"):
        run_detect(table, config, tmp_path / "out" / "run")
    assert not any((tmp_path / "out").iterdir())


def test_detector_parameters_reach_the_detector(table, tmp_path):
    options = [*DETECT, "detector={scorers: [drift], span: 30, calibration: 0.5, side: upper, threshold: spot}"]
    folder = run_detect(table, DetectConfig.load(None, options), tmp_path / "out")
    detector, _ = AnomalyDetector.load(folder / "model.tsrnn")
    wanted = {"scorers": ["drift"], "span": 30, "calibration": 0.5, "side": "upper", "threshold": "spot"}
    assert {name: value for name, value in detector.get_params(deep=False).items() if name in wanted} == wanted
