"""The report of a backtest: what its charts hold, and that a reader can work with them in a browser."""

import base64
import gzip
import json
import re
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.browser import CHROMIUM, Page
from tsrnn.evaluation import backtest
from tsrnn.evaluation.page import report
from tsrnn.forecasting.baselines import Drift, HistoricAverage, Naive, SeasonalNaive
from tsrnn.report import charts
from tsrnn.report.charts import Curves, Explorer, Intervals
from tsrnn.report.html import Table

H, W = 4, 9
MODELS = [SeasonalNaive(horizon=H), Naive(horizon=H), Drift(horizon=H), HistoricAverage(horizon=H)]
NASTY = "</script><b>\u2028 & 'quoted'"


@pytest.fixture(scope="module")
def result():
    """Six weekly-seasonal series, one with a nasty name and a missing value, nine cutoffs that overlap."""
    rng = np.random.default_rng(0)
    index = pd.date_range("2024-01-01", periods=80)
    season = 5 * np.sin(np.arange(80) * 2 * np.pi / 7)
    names = ["b", "c", "d", "e", "f", NASTY]
    df = pd.DataFrame(season[:, None] + rng.normal(20, 1, (80, 6)), columns=names, index=index)
    df.loc[index[70], NASTY] = np.nan
    metrics = ["mase", "rmse", "coverage", "bias"]
    return backtest(MODELS, df, n_windows=W, step_size=2, level=[50, 90], metrics=metrics)


@pytest.fixture(scope="module")
def training():
    rows = [("Naive", fold, 10 * (i + 1), 1 / (i + 1), 1.2 / (i + 1), i == 4) for fold in (0, 4) for i in range(5)]
    return pd.DataFrame(rows, columns=["model", "fold", "step", "train_loss", "valid_loss", "kept"])


def unpacked(page, name):
    text = re.search(rf'id="{name}">([^<]*)<', page)[1]
    return gzip.decompress(base64.b64decode(text)).decode()


def test_a_report_says_all_that_there_is(result, training):
    blocks = report(result, left_out=["GRU"], training=training)
    assert [block.heading for block in blocks if block.heading] == [
        "Leaderboard", "Forecasts", "Error by step ahead", "Error by cutoff", "Calibration", "Ranks over series",
        "SeasonalNaive against the others", "Training", "Time",
    ]  # fmt: skip
    assert "Interrupted: GRU did not finish." in blocks[0].text
    by_step = next(block for block in blocks if block.heading == "Error by step ahead")
    assert by_step.data["choices"] == ["mase", "rmse", "coverage-50", "coverage-90", "bias"]
    assert [line["model"] for line in by_step.data["lines"]] == result.leaderboard()["model"].tolist()
    lines = next(block for block in blocks if block.heading == "Training").data["lines"]
    assert [line["model"] for line in lines] == ["Naive, fold 0", "Naive, fold 4"]
    assert lines[0]["validation loss"] == [1.2, 0.6, 0.4, 0.3, 0.24]


def test_groups_of_series_have_a_table(result):
    df = result.history.assign(region=lambda df: np.where(df["unique_id"] < "d", "north", "south"), size=1.0)
    grouped = backtest(MODELS[:2], df, n_windows=2, static_covariates=["region", "size"], metrics=["mase"])
    (table,) = (block for block in report(grouped) if block.heading == "mase by region")
    assert table.frame[["region", "series"]].to_numpy().tolist() == [["north", 3], ["south", 3]]
    expected = grouped.summary(by="region").set_index(["model", "region"])["mase"]
    assert table.frame["Naive"].tolist() == expected["Naive"].tolist()


def test_of_little_little_is_said():
    series = pd.Series(np.arange(20.0) % 3, index=pd.date_range("2024-01-01", periods=20), name="s")
    blocks = report(backtest(Naive(horizon=1), series, level=[], metrics=["coverage", "mae"]))
    assert [block.heading for block in blocks if block.heading] == ["Leaderboard", "Forecasts", "Time"]


def test_an_explorer_holds_what_was_forecast(result):
    explorer = next(block for block in report(result) if isinstance(block, Explorer))
    data = json.loads(json.dumps(explorer.data, allow_nan=False))
    assert [one["name"] for one in data["series"]] == ["b", "c", "d", "e", "f", NASTY]
    assert data["models"][0] == {"name": "SeasonalNaive", "levels": ["90", "50"]}
    rows = result.forecasts[result.forecasts["unique_id"] == NASTY]
    shown = data["series"][-1]
    assert shown["y"].count(None) == 1
    assert len(shown["windows"]) == W
    for window, (cutoff, forecast) in zip(shown["windows"], rows.groupby("cutoff"), strict=True):
        assert window["cutoff"] == str(cutoff.date())
        stamps = shown["x"][window["first"] : window["first"] + H]
        assert stamps == forecast["ds"].dt.strftime("%Y-%m-%d").tolist()
        columns = ["Drift", "Drift-lo-90", "Drift-hi-90", "Drift-lo-50", "Drift-hi-50"]
        np.testing.assert_allclose(window["values"]["Drift"], forecast[columns].to_numpy().T, rtol=1e-5)
    quality = result.summary("mase", by="unique_id").set_index(["model", "unique_id"])["mase"]
    best = result.leaderboard()["model"][0]
    assert shown["quality"] == pytest.approx(quality[best, NASTY], rel=1e-5)


def test_of_too_many_series_and_cutoffs_some_are_kept_and_said(result, monkeypatch):
    monkeypatch.setattr(charts, "MAX_CUTOFFS", 3)
    monkeypatch.setattr(charts, "MAX_SERIES", 2)
    explorer = next(block for block in report(result) if isinstance(block, Explorer))
    data, cutoffs = explorer.data, sorted(result.labels["cutoff"].unique())
    quality = result.summary("mase", by="unique_id").query("model == 'SeasonalNaive'").sort_values("mase")["unique_id"]
    assert {one["name"] for one in data["series"]} == {quality.iloc[0], quality.iloc[-1]}
    shown = [window["cutoff"] for window in data["series"][0]["windows"]]
    assert shown == [str(cutoffs[i].date()) for i in (0, 4, 8)]
    assert "2 of 6 series are here, spread evenly from the lowest mase to the highest." in explorer.caption
    assert "3 of 9 cutoffs are here, spread evenly." in explorer.caption
    monkeypatch.setattr(charts, "MAX_VALUES", 1)
    assert len(next(block for block in report(result) if isinstance(block, Explorer)).data["series"]) == 1


@pytest.mark.parametrize("kind", ["integers", "periods", "zone", "incomplete"])
def test_any_time_axis_can_be_explored(kind):
    times = {
        "integers": pd.RangeIndex(30),
        "periods": pd.period_range("2020-01", periods=30, freq="M"),
        "zone": pd.date_range("2024-03-30", periods=30, freq="h", tz="Europe/Berlin"),
        "incomplete": pd.date_range("2024-01-01", periods=30),
    }[kind]
    df = pd.DataFrame({"ds": times, "y": np.arange(30.0)})
    folds = {"start": "2024-01-28", "allow_incomplete_fold": True} if kind == "incomplete" else {"n_windows": 2}
    result = backtest(Naive(horizon=3), df, **folds)
    data = next(block for block in report(result) if isinstance(block, Explorer)).data
    (series,) = data["series"]
    window = series["windows"][-1]
    assert window["first"] + 3 == len(series["x"]) == len(series["y"])
    expected = {"integers": 29, "periods": "2022-06-01", "zone": "2024-03-31 06:00:00", "incomplete": "2024-01-31"}
    assert series["x"][-1] == expected[kind]
    assert (series["y"][-1] is None) == (kind == "incomplete")
    assert "<script" in result.to_html()


def test_audits_are_shown_where_there_are(result):
    audited = replace(result, audit=pd.DataFrame({"model": ["Naive"], "verdict": ["nothing leaks"]}))
    assert [block.heading for block in report(audited) if isinstance(block, Table)][-2:] == ["Leakage", "Time"]


def test_intervals_and_curves_hold_their_frames():
    ranks = pd.DataFrame({"model": ["a", "b"], "mean rank": [1.25, 1.75]})
    assert Intervals(ranks, 0.5).data == {
        "type": "intervals", "models": ["a", "b"], "values": [1.25, 1.75], "half": 0.5, "label": "mean rank",
    }  # fmt: skip
    frame = pd.DataFrame(
        {"model": ["a", "a"], "cutoff": pd.to_datetime(["2024-01-01", "2024-01-02"]), "mae": [1, np.nan]}
    )
    assert Curves(frame, "cutoff").data["lines"] == [
        {"model": "a", "x": ["2024-01-01", "2024-01-02"], "mae": [1.0, None]}
    ]


def test_the_page_is_the_same_again_and_asks_nobody(result):
    page = result.to_html("Sales")
    assert page == result.to_html("Sales")
    assert len(page) < 3e6
    assert "default-src 'none'" in page
    assert NASTY not in page
    assert unpacked(page, "plotly").startswith("/**\n* plotly.js")
    assert [chart["type"] for chart in json.loads(unpacked(page, "data"))] == [
        "explorer", "curves", "curves", "curves", "intervals",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def browse(result, training, tmp_path_factory):
    """Opens the report in a browser and waits until it is drawn."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    folder = tmp_path_factory.mktemp("report")
    file = folder / "report.html"
    file.write_text(result.to_html("Sales", training=training), encoding="utf-8")
    page = Page(file.as_uri(), folder / "profile")
    until(lambda: page.run("document.documentElement.dataset.drawn") == "yes")
    yield page
    page.close()


def until(done):
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def traces(page, chart):
    return page.run(
        f"document.querySelectorAll('.plot')[{chart}].data.map(t => ({{name: t.name, x: [...t.x], y: [...t.y]}}))"
    )


def pick(page, control, value):
    page.run(
        f"(() => {{const s = document.querySelectorAll('select')[{control}]; s.selectedIndex = {value};"
        " s.dispatchEvent(new Event('change'))})()"
    )


def named(page, chart, name):
    return next(trace for trace in traces(page, chart) if trace.get("name") == name)


def test_a_reader_chooses_series_cutoff_and_models(browse, result):
    newest = result.forecasts.groupby("unique_id", sort=False).tail(H).set_index("unique_id")
    np.testing.assert_allclose(named(browse, 0, "SeasonalNaive")["y"], newest.loc["b", "SeasonalNaive"], rtol=1e-5)
    pick(browse, 0, 5)
    assert browse.run("document.querySelector('select').selectedOptions[0].textContent").startswith(NASTY)
    np.testing.assert_allclose(named(browse, 0, "Naive")["y"], newest.loc[NASTY, "Naive"], rtol=1e-5)
    browse.run("document.querySelector('button[aria-label=\"earlier cutoff\"]').click()")
    own = result.forecasts[result.forecasts["unique_id"] == NASTY]
    before = own[own["cutoff"] == sorted(own["cutoff"].unique())[-2]]
    np.testing.assert_allclose(named(browse, 0, "Naive")["y"], before["Naive"], rtol=1e-5)
    names = [trace.get("name") for trace in traces(browse, 0)]
    board = result.leaderboard()["model"].tolist()
    assert [name for name in names if name] == ["observed", *board[:3]]
    browse.run("document.querySelectorAll('.chip input')[3].click()")
    browse.run("document.querySelectorAll('.chip input')[0].click()")
    names = [trace.get("name") for trace in traces(browse, 0)]
    assert [name for name in names if name] == ["observed", *board[1:]]
    pick(browse, 1, W)  # all that do not overlap
    assert sum(trace.get("name") == "Naive" for trace in traces(browse, 0)) == (W + 1) // 2


def test_a_reader_chooses_what_is_shown_by_step(browse, result):
    board = result.leaderboard()["model"].tolist()
    assert [trace["name"].removesuffix(" (above)") for trace in traces(browse, 1)] == board
    np.testing.assert_allclose(named(browse, 1, board[0])["y"], result.by_step()[board[0]], rtol=1e-5)
    assert not [trace["name"] for trace in traces(browse, 3) if "above" in trace["name"]]  # of calibration
    pick(browse, 2, 3)
    np.testing.assert_allclose(named(browse, 1, "Naive")["y"], result.by_step("coverage-90")["Naive"], rtol=1e-5)
    assert len(browse.run("[...document.querySelectorAll('.plot')].map(plot => plot.data.length)")) == 6


def test_the_theme_of_the_reader_is_followed(browse):
    light = browse.run("document.querySelector('.plot').layout.font.color")
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browse.send("Emulation.setEmulatedMedia", features=dark)
    until(lambda: browse.run("document.querySelector('.plot').layout.font.color") != light)
    assert browse.run("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"


def test_it_fits_a_telephone(browse):
    browse.send("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    until(lambda: browse.run("document.documentElement.scrollWidth") <= 390)


def test_zooming_in_changes_the_axis_and_back(browse):
    shown = "document.querySelector('.plot').layout.xaxis.range.join()"
    pick(browse, 1, W)
    before = browse.run(shown)
    browse.run(
        "Plotly.relayout(document.querySelector('.plot'), {'xaxis.range': ['2024-03-01', '2024-03-05']}).then(() => 0)"
    )
    assert browse.run(shown) != before
    pick(browse, 1, W)
    assert browse.run(shown) == before


def test_nothing_was_asked_of_the_network_and_nothing_complained(browse):
    """The last one: whatever the others did is counted."""
    assert [request for request in browse.requests if not request.startswith(("file:", "data:", "blob:"))] == []
    assert sum(request.startswith("file:") for request in browse.requests) == 1
    assert browse.complaints == []
