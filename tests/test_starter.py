"""``tsrnn init`` and ``tsrnn validate``: a run file from a table as it came, and what it would run."""

import re

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from tsrnn.cli import app
from tsrnn.config import BacktestConfig
from tsrnn.evaluation import backtest
from tsrnn.runs.backtest import build_models, read_data

pytestmark = pytest.mark.usefixtures("environment")


def days(n=120, **columns):
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2024-01-01", periods=n)
    return pd.DataFrame(
        {"day": stamps, "visits": np.resize([5, 6, 6, 7, 9, 3, 2], n) + rng.integers(0, 3, n), **columns}
    )


def text_of(frame, **options):
    return frame.to_csv(index=False, **options)


def dirty():
    """German marks, a mark of missing values, the newest row first, repeated stamps and gaps."""
    frame = days(120, price=np.arange(120) / 3, open=np.resize([0, 1], 120)).drop(columns="visits")
    frame.loc[[7, 40], "price"] = -9999
    frame = pd.concat([frame.drop([20, 21]), frame.iloc[[50]]]).iloc[::-1]
    return text_of(frame, sep=";", decimal=",", date_format="%d.%m.%Y")


def panel():
    parts = [days(60).assign(shop=name) for name in ("north", "south")]
    return text_of(pd.concat(parts))


TABLES = {
    "one series": (text_of(days(open=1)), {"time_col": "day", "target_col": "visits"}),
    "wide": (
        text_of(days(north=np.arange(120.0) % 7, south=np.arange(120.0) % 5).drop(columns="visits")),
        {"time_col": "day", "target_col": ["north", "south"], "channels": "independent"},
    ),
    "a target among others": (text_of(days(temp=np.arange(120.0) % 9)), {"time_col": "day", "target_col": "visits"}),
    "panel": (panel(), {"time_col": "day", "target_col": "visits", "id_col": "shop"}),
    "dirty": (
        dirty(),
        {
            "time_col": "day", "delimiter": ";", "decimal": ",", "time_format": "%d.%m.%Y", "na_values": ["-9999,0"],
            "target_col": "price", "duplicates": "mean",
        },
    ),
    "irregular": (
        text_of(days().assign(day=lambda df: df["day"] + pd.to_timedelta(np.resize([0, 7, 95, 300], 120), "min"))),
        None,
    ),
}  # fmt: skip


@pytest.fixture
def table(tmp_path, request):
    path = tmp_path / "data" / "table.csv"
    path.parent.mkdir()
    path.write_text(request.param)
    return path


def init(table, out):
    return CliRunner().invoke(app, ["init", str(table), "--out", str(out)])


@pytest.mark.filterwarnings("default:.* goes back in time")
@pytest.mark.parametrize(("table", "data"), TABLES.values(), ids=TABLES, indirect=["table"])
def test_the_file_runs_as_it_is(table, data, tmp_path):
    out = tmp_path / "begun.yaml"
    result = init(table, out)
    assert (result.exit_code, result.stdout) == (0, f"{out}\n"), result.stderr
    written = yaml.safe_load(out.read_text())["data"]
    assert written.pop("path") == "data/table.csv"
    if data is None:
        assert (written["resample"], written["target_col"]) == ("mean", "visits")
    else:
        assert written == data
    season = ["SeasonalNaive"] if data else []
    assert list(BacktestConfig.load(out).models) == ["LSTM", "GRU", *season, "Naive"]
    assert CliRunner().invoke(app, ["validate", str(out)]).exit_code == 0
    config = BacktestConfig.load(out, ["models.LSTM=", "models.GRU="])
    result = backtest(build_models(config), read_data(config)[1], **config.backtest.model_dump())
    assert result.leaderboard()["mase"].notna().all()


@pytest.mark.filterwarnings("default:.* goes back in time")
@pytest.mark.parametrize("table", [dirty()], indirect=True)
def test_what_there_is_to_choose_stands_in_comments(table, tmp_path):
    init(table, tmp_path / "begun.yaml")
    text = (tmp_path / "begun.yaml").read_text()
    for said in (
        "# - The newest row comes first",
        "1 rows repeat a stamp",
        "# gaps: interpolate",
        "# future_covariates: [open]",
    ):
        assert said in text
    assert "Counts:" not in text
    chosen = re.sub("# (gaps|future_covariates|holidays|refit|level):", r"\1:", text)
    config = yaml.safe_load(chosen)
    assert config["data"]["future_covariates"] == ["open"]
    assert config["backtest"]["level"] == [80, 95]


@pytest.mark.parametrize("table", [text_of(days(9))], indirect=True)
def test_short_series_get_a_short_horizon(table, tmp_path):
    init(table, tmp_path / "begun.yaml")
    assert yaml.safe_load((tmp_path / "begun.yaml").read_text())["backtest"] == {
        "horizon": 1,
        "n_windows": 3,
        "season_length": 1,
    }


@pytest.mark.parametrize(
    "table", [text_of(days(200).assign(day=pd.date_range("2024-01-01", periods=200, freq="s")))], indirect=True
)
def test_a_season_that_does_not_fit_is_left_out(table, tmp_path):
    init(table, tmp_path / "begun.yaml")
    begun = yaml.safe_load((tmp_path / "begun.yaml").read_text())
    assert begun["backtest"] == {"horizon": 33, "n_windows": 2, "season_length": 1}
    assert "SeasonalNaive" not in begun["models"]


REFUSED = {
    "no column holds time": ("a,b\nx,1\ny,2\n", "has to be corrected first:\n- No column holds time stamps"),
    "no numbers": (text_of(days().assign(visits="many")), "has no column of numbers to forecast"),
    "stamps in two columns": (
        "date,hour,y\n" + "".join(f"2024-01-{1 + i // 24:02d},{i % 24},{i % 7}\n" for i in range(240)),
        "stand in two columns. These lines write a table with one; begin from that:\n  import pandas as pd\n",
    ),
}


@pytest.mark.parametrize(("table", "said"), REFUSED.values(), ids=REFUSED, indirect=["table"])
def test_what_cannot_be_begun_with(table, said, tmp_path):
    result = init(table, tmp_path / "begun.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert not (tmp_path / "begun.yaml").exists()


@pytest.mark.parametrize("table", [REFUSED["stamps in two columns"][0]], indirect=True)
def test_the_lines_that_are_given_lead_on(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [line[2:] for line in init(table, "begun.yaml").stderr.splitlines() if line.startswith("  ")]
    exec("\n".join(lines), {})
    result = init("table_ready.csv", "begun.yaml")
    assert result.exit_code == 0, result.stderr
    assert yaml.safe_load((tmp_path / "begun.yaml").read_text())["data"] == {"path": "table_ready.csv"}


@pytest.mark.parametrize("table", [text_of(days())], indirect=True)
def test_nothing_is_overwritten(table, tmp_path):
    (tmp_path / "begun.yaml").write_text("mine")
    result = init(table, tmp_path / "begun.yaml")
    assert (result.exit_code, result.stderr.split(";")[0]) == (
        2, f"{tmp_path / 'begun.yaml'} exists, and nothing is overwritten",
    )  # fmt: skip
    assert (tmp_path / "begun.yaml").read_text() == "mine"


RUN = """\
data: {path: data/table.csv, time_col: day, target_col: visits}
backtest: {horizon: 7, n_windows: 4, step_size: 5, gap: 2, refit: 2}
models: {Naive: Naive, GRU: {network: GRU}}
"""


@pytest.mark.parametrize("table", [text_of(days())], indirect=True)
def test_validate_says_what_would_be_run(table, tmp_path):
    (tmp_path / "run.yaml").write_text(RUN)
    result = CliRunner().invoke(app, ["validate", str(tmp_path / "run.yaml"), "--set", "seed=4"])
    assert result.exit_code == 0, result.stderr
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["run", "run: backtest of 2 models, seed 4"],
        ["data", "1 series, 120 rows, freq=D, 2024-01-01 to 2024-04-29"],
        ["folds", "4 cutoffs a series, 2024-04-05 to 2024-04-20; 7 steps tested from each, after a gap of 2: 28 rows"],
        ["fits", "2 fits a model, on 96 to 106 rows"],
        ["model", "Naive: Naive"],
        ["model", "GRU: {network: GRU}"],
        ["metrics", "mase, rmsse, mae, rmse, smape, mape, wape, pinball, coverage"],
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "run.yaml"]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("backtest.n_windows=40", "series too short: 'visits' (120 rows)"),
        ("models.GRU.network.hidden_size=many", "models.GRU.network.hidden_size: "),
        ("backtest.metrics=[mose]", "no metric is called 'mose'. Did you mean 'mse'?"),
        ("data.target_col=visit", "no column 'visit' (target_col). Did you mean 'visits'?"),
    ],
)
@pytest.mark.parametrize("table", [text_of(days())], indirect=True)
def test_validate_says_what_is_wrong(table, option, said, tmp_path):
    (tmp_path / "run.yaml").write_text(RUN)
    result = CliRunner().invoke(app, ["validate", str(tmp_path / "run.yaml"), "--set", option])
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_validate_of_a_run_file_of_detect(tmp_path):
    text = "data: {sensors: [temp]}\npredictor: Persistence\ndetector: {scorers: [mahalanobis]}\n"
    (tmp_path / "detect.yaml").write_text(text)
    result = CliRunner().invoke(app, ["validate", str(tmp_path / "detect.yaml")])
    assert result.stdout.splitlines() == [
        "run       detect: detect", "sensors   temp, by ds; fitted on the first 15% of the rows",
        "model     Persistence", "scorers   mahalanobis",
    ]  # fmt: skip
    wrong = CliRunner().invoke(app, ["validate", str(tmp_path / "detect.yaml"), "--set", "predictor=Persistenc"])
    assert (wrong.exit_code, "Did you mean 'Persistence'?" in wrong.stderr) == (2, True)
