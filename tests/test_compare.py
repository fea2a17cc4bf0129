"""``tsrnn compare``: several run folders as one leaderboard, and what stands against comparing them."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tsrnn.cli import app
from tsrnn.config import BacktestConfig
from tsrnn.evaluation import backtest
from tsrnn.runs.backtest import build_models, read_data
from tsrnn.runs.folder import write
from tsrnn.runs.provenance import provenance

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, the same with another model in the place of one, and others that are about something else."""
    folder = tmp_path_factory.mktemp("runs")
    days = pd.date_range("2024-01-01", periods=60)
    visits = np.resize([5.0, 6.0, 6.0, 7.0, 9.0, 3.0, 2.0], 60) + np.arange(60) / 20
    pd.DataFrame({"ds": days, "y": visits}).to_csv(folder / "visits.csv", index=False)
    pd.DataFrame({"ds": days, "y": visits + 1}).to_csv(folder / "other.csv", index=False)
    first = [
        f"data.path={folder / 'visits.csv'}", "backtest={horizon: 7, n_windows: 3, season_length: 7}",
        "models={Naive: Naive, Season: {type: SeasonalNaive, season_length: 7}}",
    ]  # fmt: skip
    options = {
        "first": [],
        "second": ["models.Season.season_length=14", "models.Naive=", "models.Drift=Drift", "seed=1"],
        "fewer": ["backtest.n_windows=2"],
        "scaled": ["backtest.season_length=1", "backtest.level=[80]"],
        "other": [f"data.path={folder / 'other.csv'}"],
    }
    for name, changes in options.items():
        _run(BacktestConfig.load(None, [*first, *changes]), folder / name)
    return folder


def _run(config, folder):
    """A run folder without its figures and its page, which take the time."""
    folder.mkdir()
    models, (frame, panel) = build_models(config), read_data(config)
    result = backtest(models, panel, **config.backtest.model_dump())
    tables = {"leaderboard.csv": result.leaderboard(), "metrics.parquet": result.metrics}
    origin = provenance(config.data.path, frame, models)
    write(folder, "run", config=config.model_dump(), origin=origin, tables=tables, figures={}, page=[])


def compare(runs, *names, **options):
    extra = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    return CliRunner().invoke(app, ["compare", *(str(runs / name) for name in names), *extra])


def test_one_leaderboard(runs, tmp_path):
    result = compare(runs, "first", "second", out=tmp_path / "board.csv")
    assert (result.exit_code, result.stderr) == (0, "")
    boards = [pd.read_csv(runs / name / "leaderboard.csv").assign(run=name) for name in ("first", "second")]
    wanted = pd.concat(boards).sort_values("mase", kind="stable", ignore_index=True)
    written = pd.read_csv(tmp_path / "board.csv")
    assert list(written.columns[:3]) == ["run", "model", "mase"]
    pd.testing.assert_frame_equal(written, wanted[written.columns])
    shown, settings = result.stdout.split("\n\n")
    assert [row.split()[:2] for row in shown.splitlines()[1:]] == wanted[["run", "model"]].to_numpy().tolist()
    assert [row.split() for row in settings.splitlines()] == [
        ["key", "first", "second"], ["seed", "0", "1"], ["models.Season.season_length", "7", "14"],
        ["models.Drift", "\N{EN DASH}", "there"], ["models.Naive", "there", "\N{EN DASH}"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("fewer", ["first tested 3 pairs of series and cutoff, fewer 2; 2 are the same."]),
        ("scaled", ["first has season_length 7, scaled has 1.", "first has level null, scaled has [80.0]."]),
        ("other", ["first and other were made from different data, "]),
    ],
)
def test_what_stands_against_it_is_said_aloud(runs, other, said):
    result = compare(runs, "first", other)
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert len(lines) == len(said)
    assert all(line.startswith(f"Not comparable: {text}") for line, text in zip(lines, said, strict=True))


def test_page(runs, tmp_path):
    compare(runs, "first", "fewer", out=tmp_path / "board.html")
    page = (tmp_path / "board.html").read_text()
    for text in ("first tested 3 pairs of series and cutoff", "Leaderboard", "backtest.n_windows"):
        assert text in page


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["first"], {}, "two runs at least are compared"),
        (["first", "first"], {}, "is named twice"),
        (["first", "absent"], {}, "is no folder of a backtest: there is no "),
        (["first", "other"], {"out": "board.xlsx"}, "board.xlsx ends neither in .csv nor in .html."),
        (["first", "other"], {"out": __file__}, "exists, and nothing is overwritten"),
    ],
)
def test_what_cannot_be_compared(runs, names, options, said):
    result = compare(runs, *names, **options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
