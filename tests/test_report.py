"""Figures show what the frames hold; pages are one safe, well-formed, self-contained piece."""

import base64
from html.parser import HTMLParser

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from tsrnn.evaluation import backtest
from tsrnn.forecasting.baselines import Drift, HistoricAverage, Naive, SeasonalNaive
from tsrnn.report.accuracy import plot_by_step
from tsrnn.report.html import Code, Figure, Table, Text, render
from tsrnn.report.plots import plot_forecasts

H = 4
DASH = "\N{EN DASH}"
NASTY = "<script>alert('x')</script> & \"quotes\""


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def result():
    """Six series of 40 days, one value missing, five folds that overlap."""
    rng = np.random.default_rng(0)
    index = pd.date_range("2024-01-01", periods=40)
    df = pd.DataFrame(rng.normal(10, 2, (40, 6)), columns=list("abcdef"), index=index)
    df.loc[index[33], "a"] = np.nan
    models = [Naive(horizon=H), SeasonalNaive(horizon=H), Drift(horizon=H), HistoricAverage(horizon=H)]
    return backtest(models, df, n_windows=5, step_size=2, level=[50, 90])


class Tags(HTMLParser):
    """Collects tags and complains about one that is not closed."""

    VOID = ("meta", "img", "!doctype")

    def __init__(self, page):
        super().__init__()
        self.open, self.seen, self.text = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def lines(ax, label):
    return [line for line in ax.get_lines() if line.get_label() == label]


def test_a_panel_a_series_spread_over_the_data(result):
    figure = result.plot()
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "c", "f"]
    assert [ax.get_title(loc="left") for ax in result.plot(series=["b"]).axes] == ["b"]


def test_the_best_models_are_drawn(result):
    ax = result.plot().axes[0]
    best = result.leaderboard()["model"].tolist()
    assert [bool(lines(ax, name)) for name in best] == [True, True, True, False]
    legend = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert legend == ["observed", "cutoff", best[0], f"{best[0]} 50, 90 %", best[1], best[2]]


def test_windows_that_overlap_are_left_out(result):
    ax = result.plot(models=["Naive"], series=["b"]).axes[0]
    drawn = lines(ax, "Naive")
    own = result.forecasts[result.forecasts["unique_id"] == "b"]
    cutoffs = sorted(own["cutoff"].unique())
    newest = [cutoffs[0], cutoffs[2], cutoffs[4]]  # two steps apart, four steps long
    assert len(drawn) == 3
    for line, cutoff in zip(drawn, newest, strict=True):
        window = own[own["cutoff"] == cutoff]
        np.testing.assert_array_equal(line.get_ydata(), window["Naive"])
        np.testing.assert_array_equal(mdates.num2date(line.get_xdata(orig=False)), window["ds"].dt.tz_localize("UTC"))


def test_at_most_so_many_cutoffs(result):
    figure = plot_forecasts(result.history, result.forecasts, ["Naive"], series=["b"], max_cutoffs=2)
    assert len(lines(figure.axes[0], "Naive")) == 2


def test_history_is_drawn_to_the_last_forecast_and_broken_where_missing(result):
    (observed,) = lines(result.plot(series=["a"]).axes[0], "observed")
    own = result.history[result.history["unique_id"] == "a"]["y"].to_numpy()
    first = 40 - H - 4 * 2  # rows known at the first cutoff drawn
    np.testing.assert_array_equal(observed.get_ydata(), own[first - 3 * H :])
    assert np.isnan(observed.get_ydata()).sum() == 1


def test_intervals_are_shaded_for_two_models_or_the_first_of_more(result):
    for models, n_shaded in ((["Naive"], 1), (["Naive", "Drift"], 2), (["Naive", "Drift", "SeasonalNaive"], 1)):
        ax = result.plot(models=models, series=["b"]).axes[0]
        assert len(ax.collections) == n_shaded * 3 * 2  # windows, levels
    band = result.plot(models=["Naive"], series=["b"]).axes[0].collections[-1].get_paths()[0].vertices[:, 1]
    newest = result.forecasts[result.forecasts["unique_id"] == "b"].iloc[-H:]
    assert band.max() == newest["Naive-hi-90"].max()
    assert band.min() == newest["Naive-lo-90"].min()


def test_a_plain_forecast_can_be_drawn():
    series = pd.Series(np.arange(30.0), index=pd.date_range("2024-01-01", periods=30), name="s")
    history = series.rename_axis("ds").rename("y").reset_index().assign(unique_id="s")
    forecast = Drift(horizon=1).fit(series).predict()
    (ax,) = plot_forecasts(history, forecast, ["Drift"]).axes
    (line,) = lines(ax, "Drift")
    assert line.get_ydata().tolist() == [pytest.approx(30.0)]
    assert line.get_marker() == "o"  # a line through one point is invisible
    assert not lines(ax, "cutoff")


def test_other_names_and_integer_time():
    df = pd.DataFrame({"site": "s", "hour": range(30), "load": np.arange(30.0)})
    result = backtest(Naive(horizon=3), df, id_col="site", time_col="hour", target_col="load")
    (line,) = lines(result.plot().axes[0], "Naive")
    assert line.get_xdata().tolist() == [27, 28, 29]


def test_names_are_no_formulas():
    name = r"US$ \frac{$ < 3"
    series = pd.Series(np.arange(30.0), index=pd.date_range("2024-01-01", periods=30), name=name)
    figure = backtest({name: Naive(horizon=3)}, series).plot()
    assert figure.axes[0].get_title(loc="left") == name
    assert "svg" in Figure(figure).source


def test_an_unknown_series_is_refused(result):
    with pytest.raises(ValueError, match="no forecast of series 'z'; there are: a, b, c, d, e, f"):
        result.plot(series=["z"])


def test_error_by_step_is_drawn_and_a_hopeless_model_named():
    errors = pd.DataFrame(
        {"step": [1, 2, 3], "good": [0.5, 1.0, 1.5], "fair": [1.0, 1.5, 2.0], "bad": [30.0, 40.0, 50.0]}
    )
    ax = plot_by_step(errors)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["good", "fair", "bad (above)"]
    for name, line in zip(("good", "fair", "bad"), ax.get_lines(), strict=True):
        assert line.get_xdata().tolist() == [1, 2, 3]
        assert line.get_ydata().tolist() == errors[name].tolist()
    assert ax.get_ylim() == (0, pytest.approx(2.0, rel=0.1))


def test_error_by_step_without_any_error_or_value():
    assert plot_by_step(pd.DataFrame({"step": [1, 2], "exact": [0.0, 0.0]})).get_ylim()[1] > 0
    assert plot_by_step(pd.DataFrame({"step": [1, 2], "unknown": [np.nan, np.nan]})).get_lines()


def test_a_page_is_well_formed_and_asks_nobody(result):
    blocks = [
        Text("One.\n\nTwo.", heading="Words"),
        Table(result.leaderboard(), heading="Numbers", caption="Lower is better."),
        Figure(result.plot(), heading="Lines", caption="What was forecast."),
        Code("a: 1\nb: 2\n", heading="Configuration"),
    ]
    page = render("Backtest", blocks, subtitle="a line")
    tags = Tags(page)
    names = [tag for tag, _ in tags.seen]
    assert [names.count(tag) for tag in ("h1", "h2", "table", "img", "details")] == [1, 3, 1, 1, 1]
    assert names.count("tr") == 1 + 4
    assert "One." in tags.text
    assert "Two." in tags.text
    assert "script" not in names
    assert "link" not in names
    assert "://" not in page
    sources = [attrs[key] for _, attrs in tags.seen for key in ("src", "href") if key in attrs]
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert len(sources) == 1


def test_every_text_is_escaped():
    frame = pd.DataFrame({NASTY: [NASTY]})
    figure, _ = plt.subplots()
    blocks = [Text(NASTY, NASTY), Table(frame, NASTY, NASTY), Figure(figure, NASTY, NASTY), Code(NASTY, NASTY)]
    page = render(NASTY, blocks, subtitle=NASTY)
    tags = Tags(page)
    assert "script" not in [tag for tag, _ in tags.seen]
    assert NASTY in tags.text
    assert dict(tags.seen)["img"]["alt"] == NASTY


def test_figures_are_whole_repeatable_and_closed(result):
    figures = [result.plot(), result.plot()]
    pages = [render("Backtest", [Figure(figure)]) for figure in figures]
    assert pages[0] == pages[1]
    assert not plt.get_fignums()
    source = next(attrs["src"] for tag, attrs in Tags(pages[0]).seen if tag == "img")
    image = base64.b64decode(source.partition(",")[2])
    assert image.startswith(b"<?xml")
    assert image.rstrip().endswith(b"</svg>")


def cells(frame, **options):
    rows = Table(frame, **options).rows
    return [[cell["text"] for cell in row] for row in rows]


def test_numbers_are_readable():
    frame = pd.DataFrame(
        {
            "name": ["a", None, "c"],
            "small": [0.0123456, 0.02, np.nan],
            "large": [123456.789, 2500.5, 3.0],
            "count": [1, 20000, 3],
            "day": pd.to_datetime(["2024-01-01", "2024-02-01", None]),
            "time": pd.to_datetime(["2024-01-01 12:30", "2024-02-01 00:00", None]),
            "flag": [True, False, True],
        }
    )
    assert cells(frame) == [
        ["a", "0.01235", "123,457", "1", "2024-01-01", "2024-01-01 12:30:00", "True"],
        [DASH, "0.02000", "2,500", "20,000", "2024-02-01", "2024-02-01 00:00:00", "False"],
        ["c", DASH, "3", "3", DASH, DASH, "True"],
    ]
    assert cells(pd.DataFrame({"x": [0.0, np.nan]})) == [["0"], [DASH]]


def test_the_lowest_is_bold_ties_and_missing_ones_considered():
    frame = pd.DataFrame(
        {"model": ["a", "b", "c", "d"], "mae": [2.0, 1.0, 1.0, np.nan], "coverage": [0.1, 0.9, 0.8, 0.7]}
    )
    rows = Table(frame, lowest=["mae"]).rows
    assert [[cell["best"] for cell in row] for row in rows] == [
        [False, False, False],
        [False, True, False],
        [False, True, False],
        [False, False, False],
    ]
    page = render("Bold", [Table(frame, lowest=["mae"])])
    assert page.count('class="number best"') == 2


def test_an_empty_table_is_a_table():
    tags = Tags(render("Nothing", [Table(pd.DataFrame({"start": [], "peak": []}))]))
    names = [tag for tag, _ in tags.seen]
    assert names.count("th") == 2
    assert names.count("td") == 0


def test_periods_are_drawn_at_their_starts():
    months = pd.DataFrame({"unique_id": "a", "ds": pd.period_range("2020-01", periods=9, freq="M"), "y": range(9)})
    figure = plot_forecasts(months, Naive(horizon=2).fit(months).predict())
    assert [line.get_xdata()[-1] for line in figure.axes[0].lines[:1]] == [np.datetime64("2020-09-01")]
    plt.close(figure)


def test_error_by_cutoff_ranks_and_calibration_are_drawn(result):
    ax = result.plot_by_cutoff("rmse")
    errors = result.by_cutoff("rmse")
    for line, name in zip(ax.get_lines(), errors.columns[1:], strict=True):
        assert line.get_label().startswith(name)
        np.testing.assert_array_equal(line.get_ydata(), errors[name])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("cutoff", "root mean squared error")
    ranks = result.ranks()
    ax = result.plot_ranks()
    assert [label.get_text() for label in ax.get_yticklabels()] == ranks.table["model"].tolist()
    (bars,) = ax.containers[0][2]
    lengths = [np.ptp(segment[:, 0]) for segment in bars.get_segments()]
    np.testing.assert_allclose(lengths, ranks.critical_difference)
    ax = result.plot_calibration()
    (naive,) = lines(ax, "Naive")
    assert naive.get_xdata().tolist() == pytest.approx([0.05, 0.25, 0.75, 0.95])
    y, forecasts = result.forecasts["y"], result.forecasts
    seen = forecasts[y.notna()]
    share = [(seen["y"] < seen["Naive-lo-90"]).mean(), (seen["y"] <= seen["Naive-hi-90"]).mean()]
    assert naive.get_ydata()[[0, -1]].tolist() == pytest.approx(share)
    assert result.plot_by_step("coverage-90").get_ylabel() == "coverage-90"


def test_shares_inside_below_and_above_add_up(result):
    table = result.calibration()
    assert table[["model", "level"]].to_numpy().tolist() == [[m, p] for m in result.models for p in (50, 90)]
    np.testing.assert_allclose(table[["coverage", "below", "above"]].sum(axis=1), 1)
    pooled = result.summary("coverage", pooled=True).set_index("model")
    np.testing.assert_allclose(table.loc[table["level"] == 90, "coverage"], pooled.loc[result.models, "coverage-90"])
