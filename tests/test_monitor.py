"""The chart of sensors, expectations, scores and events: what it holds, and that a reader can work with it."""

import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.browser import CHROMIUM, Page
from tsrnn.report import charts, html
from tsrnn.report.charts import Monitor, outline
from tsrnn.report.sensors import plot_sensor

NASTY = "</script><b>flow"


def monitor_of(n=400, **options):
    """Two sensors a minute, out of order, one with a hole; a spike in row 100 and a drift of the other."""
    rng = np.random.default_rng(0)
    stamps = pd.Series(pd.date_range("2024-01-01", periods=n, freq="min"))
    table = pd.DataFrame({"ds": stamps, "temp": rng.normal(20, 1, n), NASTY: rng.normal(size=n)})
    table.loc[100, "temp"] = 40.0
    table.loc[50:59, NASTY] = np.nan
    expected = {f"{name}-expected": np.full(n, table[name].median()) for name in ("temp", NASTY)}
    scores = pd.DataFrame(expected | {f"{name}-scale": np.ones(n) for name in ("temp", NASTY)})
    scores["score"] = np.where(np.arange(n) == 100, 6.0, 0.3)
    events = pd.DataFrame(
        {
            "id": [1, 2], "kind": ["spike", "drift"],
            "start": stamps[[100, 200]].array, "end": stamps[[100, 260]].array,
            "severity": [86.0, 60.4], "sensors": ["temp 100 %", f"{NASTY} 80 %, temp 20 %"],
        }
    )  # fmt: skip
    order = rng.permutation(n)
    shuffled = table.iloc[order].reset_index(drop=True), scores.iloc[order].reset_index(drop=True)
    return Monitor(*shuffled, events, "ds", ("temp", NASTY), heading="Sensors", note="Drag to zoom.", **options), table


def test_all_rows_of_a_short_table_are_there_in_time_order():
    monitor, table = monitor_of()
    temp, flow = monitor.data["sensors"]
    assert temp["x"] == table["ds"].dt.strftime("%Y-%m-%d %H:%M:%S").tolist()
    np.testing.assert_allclose(temp["y"], table["temp"], rtol=1e-5)
    assert flow["y"][50:60] == [None] * 10
    assert temp["high"][0] - temp["low"][0] == pytest.approx(6, rel=1e-4)
    assert monitor.data["score"][100] == 6.0
    spike, drift = monitor.data["events"]
    assert spike == {
        "id": 1, "kind": "spike", "severity": 86, "sensors": "temp 100 %", "start": "2024-01-01 01:40:00",
        "end": "2024-01-01 01:40:00", "sensor": 0,
    }  # fmt: skip
    assert drift["sensor"] == 1
    assert monitor.caption == "Drag to zoom."


def test_of_a_long_table_extremes_and_what_is_near_events_are_kept(monkeypatch):
    monkeypatch.setattr(charts, "MAX_VALUES", 9000)
    monkeypatch.setattr(charts, "MAX_EVENTS", 1)
    monitor, table = monitor_of(20_000)
    temp = monitor.data["sensors"][0]
    assert 300 < len(temp["x"]) <= 600
    assert max(temp["y"]) == 40.0
    minutes = table["ds"].dt.strftime("%Y-%m-%d %H:%M:%S")
    assert set(minutes[:200]) <= set(temp["x"])
    assert [event["id"] for event in monitor.data["events"]] == [1]  # the most severe one
    assert "Of 20,000 rows the extremes" in monitor.caption
    assert "The 1 most severe of 2 events" in monitor.caption


@given(st.lists(st.floats(-9, 9) | st.just(np.nan), max_size=60), st.integers(1, 9))
def test_an_outline_keeps_the_extremes(values, n):
    rows = outline(values, n)
    assert (np.diff(rows) > 0).all()
    assert len(rows) <= max(4 * n, 2 * n)
    if not np.isnan(values).all():
        assert np.nanmax(np.array(values)[rows]) == np.nanmax(values)
        assert np.nanmin(np.array(values)[rows]) == np.nanmin(values)


def test_integer_time_and_no_events():
    monitor, table = monitor_of()
    numbered = monitor.table.assign(ds=np.argsort(np.argsort(monitor.table["ds"])))
    none = monitor.events.iloc[:0].assign(start=[], end=[])
    data = Monitor(numbered, monitor.scores, none, "ds", ("temp",)).data
    assert data["sensors"][0]["x"] == list(range(len(table)))
    assert data["events"] == []


def test_one_sensor_on_axes():
    monitor, table = monitor_of()
    ax = plot_sensor(monitor.table, monitor.scores, monitor.events, "temp")
    low, high = ax.get_ylim()
    assert low < table["temp"].min() < 40.0 < high
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["expected", "measured", "spike", "drift"]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), table["temp"])
    _, given = plt.subplots()
    first = monitor.table[monitor.table["ds"] < table["ds"][150]]
    assert plot_sensor(first, monitor.scores.loc[first.index], monitor.events, NASTY, ax=given) is given
    assert [text.get_text() for text in given.get_legend().get_texts()] == ["expected", "measured", "spike"]
    plt.close("all")


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Opens the page in a browser and waits until it is drawn."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    folder = tmp_path_factory.mktemp("monitor")
    file = folder / "report.html"
    file.write_text(html.render("Pump", [monitor_of()[0]]), encoding="utf-8")
    page = Page(file.as_uri(), folder / "profile")
    end = time.monotonic() + 60
    while page.run("document.documentElement.dataset.drawn") != "yes":
        assert time.monotonic() < end
        time.sleep(0.05)
    yield page
    page.close()


def pick(page, control, value):
    page.run(
        f"(() => {{const s = document.querySelectorAll('select')[{control}]; s.selectedIndex = {value};"
        " s.dispatchEvent(new Event('change'))})()"
    )


RANGE = "document.querySelector('.plot').layout.xaxis.range.join()"


def test_a_reader_chooses_a_sensor_and_an_event_and_zooms(browse):
    names = "document.querySelector('.plot').data.map((trace) => trace.name).filter(Boolean)"
    assert browse.run(names) == ["expected", "temp", "score", "spike", "drift"]
    assert browse.run(RANGE) == "2024-01-01 00:00:00,2024-01-01 06:39:00"
    browse.run("document.querySelector('button[aria-label=\"later event\"]').click()")
    assert browse.run(RANGE) == "2024-01-01 01:10:00,2024-01-01 02:10:00"
    pick(browse, 1, 2)
    assert browse.run(names)[1] == NASTY  # the sensor to blame comes up with its event
    assert browse.run(RANGE) == "2024-01-01 02:20:00,2024-01-01 05:20:00"
    pick(browse, 0, 0)
    assert browse.run(names)[1] == "temp"
    assert browse.run("document.querySelectorAll('.plot .shapelayer path').length") == 3
    zoom = "{'xaxis.range': ['2024-01-01 01:00:00', '2024-01-01 02:00:00']}"
    browse.run(f"Plotly.relayout(document.querySelector('.plot'), {zoom}).then(() => 0)")
    pick(browse, 0, 1)
    assert browse.run(RANGE) == "2024-01-01 01:00:00,2024-01-01 02:00:00"  # another sensor, the same time
    pick(browse, 1, 0)
    assert browse.run(RANGE) == "2024-01-01 00:00:00,2024-01-01 06:39:00"


def test_nothing_is_fetched_and_nothing_complained_about(browse):
    assert [url for url in browse.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert browse.complaints == []
