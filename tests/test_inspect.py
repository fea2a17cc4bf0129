"""`tsrnn inspect`: each oddity is found where it is and not where it is not, and the printed lines read the file."""

import gzip
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import tsrnn
from tsrnn.anomaly.rows import choose_sensors
from tsrnn.cli import app
from tsrnn.config import BacktestConfig, DetectConfig
from tsrnn.data import DataError, Panel, Schema
from tsrnn.data.inspect import inspect_csv

ROOT = Path(__file__).resolve().parents[1]
RUN_FILE = "backtest: {horizon: 1}\nmodels: {Naive: Naive}\n"


def table(n=48, **columns):
    """An hourly table with one ordinary sensor, and the columns given."""
    wave = (5 + np.sin(np.arange(n) / 3)).round(3)
    return pd.DataFrame({"time": pd.date_range("2024-01-30", periods=n, freq="h"), "flow": wave} | columns)


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Write a frame or text to data.csv in the working folder, and inspect it."""
    monkeypatch.chdir(tmp_path)

    def look(content, encoding="utf-8", **options):
        text = content if isinstance(content, str) else content.to_csv(index=False, **options)
        Path("data.csv").write_bytes(text.encode(encoding))
        return inspect_csv("data.csv")

    return look


def read(found):
    """What the printed Python lines make of the file."""
    names = {"tsrnn": tsrnn, "pd": pd}
    exec(found.python, names)
    return names["df"]


def parse(command, folder):
    """The settings that a printed command stands for."""
    words = shlex.split(command)
    overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    if words[:2] == ["tsrnn", "detect"]:
        assert Path(words[2]).is_file()
        time_col = words[words.index("--time-col") + 1] if "--time-col" in words else "ds"
        return DetectConfig.load(None, [*overrides, f"data.time_col={json.dumps(time_col)}"])
    assert words[:3] == ["tsrnn", "backtest", "RUN.yaml"]
    (folder / "RUN.yaml").write_text(RUN_FILE)
    return BacktestConfig.load(folder / "RUN.yaml", overrides)


def about(found, kind):
    return [finding for finding in found.findings if finding.kind == kind]


def texts(found, kind):
    return [finding.text for finding in about(found, kind)]


def column(found, name):
    return next(column for column in found.columns if column.name == name)


def test_an_ordinary_file_has_no_findings_and_needs_no_options(look):
    found = look(table().rename(columns={"time": "ds"}))
    assert found.findings == ()
    assert (found.n_rows, found.n_series, found.encoding, found.delimiter, found.decimal) == (48, 1, "utf-8", ",", ".")
    assert found.python == 'df = tsrnn.read_csv("data.csv")'
    assert found.command == "tsrnn detect data.csv"
    assert (found.time.rate, found.time.regular, found.time.share_on_rate) == ("h", True, 1.0)
    assert (found.time.start, found.time.end) == ("2024-01-30", "2024-01-31 23:00:00")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter(look, tmp_path, delimiter):
    found = look(table(note="a,b; c"), sep=delimiter)
    assert found.delimiter == delimiter
    assert list(read(found)) == ["time", "flow", "note"]
    assert parse(found.command, tmp_path).data.delimiter == (None if delimiter == "," else delimiter)


def test_decimal_comma(look, tmp_path):
    found = look(table(), sep=";", decimal=",")
    assert (found.delimiter, found.decimal) == (";", ",")
    assert not about(found, "decimal")
    np.testing.assert_array_equal(read(found)["flow"], table()["flow"])
    assert parse(found.command, tmp_path).data.decimal == ","
    assert look(table(), sep=";").decimal == "."


def test_a_comma_that_may_stand_between_thousands_is_said(look):
    frame = table(power=[f"{i},125" for i in range(1, 49)]).drop(columns="flow")
    assert "may also stand between thousands" in texts(look(frame, sep=";"), "decimal")[0]
    assert not about(look(frame.assign(power=frame["power"] + "5"), sep=";"), "decimal")


def test_a_stray_decimal_comma_is_said(look):
    frame = table(level=["1,5", *["1.5"] * 47])
    assert "'level' has '1,5' in line 2" in texts(look(frame, sep=";"), "decimal")[0]


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("latin-1", "latin-1"),
        ("cp1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
    ],
)
def test_encoding(look, tmp_path, encoding, named):
    unit = "€/m³" if encoding not in ("latin-1",) else "m³/h"
    found = look(table().rename(columns={"flow": unit}), encoding)
    assert found.encoding == named
    assert bool(about(found, "encoding")) == (not named.startswith("utf-8"))
    assert list(read(found)) == ["time", unit]
    assert parse(found.command, tmp_path).data.encoding == ("utf-8" if named.startswith("utf-8") else named)


def test_compressed(tmp_path):
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(table().to_csv(index=False).encode()))
    assert inspect_csv(path).n_rows == 48


def test_blanks_around_names_of_columns(look):
    found = look(table().rename(columns={"flow": " flow "}))
    assert texts(found, "header_blanks") == ["Blanks around the names of columns: ' flow '."]
    with pytest.warns(UserWarning, match="stripped"):
        assert list(read(found)) == ["time", "flow"]


def test_names_that_are_doubled_or_absent(look):
    lines = "".join(f"2024-01-{day:02d},1,2,3\n" for day in range(1, 20))
    found = look("day,a,b,a\n" + lines)
    assert "'a'" in texts(found, "doubled_names")[0]
    assert about(found, "doubled_names")[0].blocks
    with pytest.raises(DataError, match="stands twice"):
        read(found)
    found = look(",a,b,c\n" + lines)
    assert texts(found, "nameless") == ["Names are absent in line 1: column 1 is called 'Unnamed: 0'."]
    assert list(read(found)) == ["Unnamed: 0", "a", "b", "c"]
    found = look(lines)
    assert about(found, "no_header")[0].blocks
    assert not about(look("day,a,b,c\n" + lines), "no_header")


LAYOUTS = [
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m-%d-%y",
    "%d/%m/%y %H",
    "%y/%m/%d %H:%M",
    "%m/%d/%Y %I:%M %p",
    "%d-%b-%Y",
    "%d %b %Y %H:%M",
    "%b %d, %Y",
    "%d/%m/%Y %H:%M:%S.%f",
    "%Y/%m/%d %H:%M%z",
    "%Y%m%d",
    "%Y%m%d%H%M",
    "%Y%m%d%H%M%S",
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_of_stamps(look, tmp_path, layout):
    frame = table(400).assign(time=pd.date_range("2024-01-05", periods=400, freq="D", tz="+01:00"))
    found = look(frame.assign(time=frame["time"].dt.strftime(layout)))
    assert found.time.layout == layout
    assert (found.time.rate, found.time.n_gaps, found.time.n_duplicates, found.time.n_back_steps) == ("D", 0, 0, 0)
    stamps = read(found)["time"]
    wanted = frame["time"] if "%z" in layout else frame["time"].dt.tz_localize(None)
    assert (stamps.to_numpy() == wanted.to_numpy()).all()
    assert parse(found.command, tmp_path).data.time_format == layout


@pytest.mark.parametrize(
    "stamp", ["2024-01-31", "2024-01-31 13", "2024-01-31T13:30", "2024-01-31 13:30:05.250", "2024-01"]
)
def test_iso_stamps_need_no_layout(look, stamp):
    found = look(f"time,y\n{stamp},1\n{stamp.replace('-01', '-02').replace('-31', '-28')},2\n")
    assert found.time.layout == "ISO8601"
    assert read(found)["time"].iloc[0] == pd.Timestamp(stamp)


def test_months_and_years(look):
    months = pd.date_range("2020-01-01", periods=30, freq="MS")
    found = look(pd.DataFrame({"Month": months.strftime("%Y %b"), "sales": range(30)}))
    assert (found.time.layout, found.time.rate) == ("%Y %b", "MS")
    years = look(pd.DataFrame({"Year": range(1990, 2020), "sales": range(30)}))
    assert (years.time.column, years.time.layout, years.time.start) == ("Year", "integer", "1990")


def stamps_of(found):
    return (found.time.layout, [f.kind for f in found.findings if "day_and_month" in f.kind])


def test_day_and_month_are_told_apart_by_the_numbers(look):
    days = pd.date_range("2024-01-05", periods=40)
    for layout, other, at in (("%d/%m/%Y", "month first", 10), ("%m/%d/%Y", "day first", 10)):
        found = look(pd.DataFrame({"date": days.strftime(layout), "y": range(40)}))
        assert stamps_of(found) == (layout, ["day_and_month"])
        assert re.search(rf"in line {at} cannot be {other}, nor can \d+ others", texts(found, "day_and_month")[0])


def test_day_and_month_are_told_apart_by_the_order(look):
    hours = pd.date_range("2024-05-02", periods=48, freq="h")
    found = look(pd.DataFrame({"date": hours.strftime("%d/%m/%Y %H:%M"), "y": range(48)}))
    assert stamps_of(found) == ("%d/%m/%Y %H:%M", ["day_and_month"])
    assert "less regular" in texts(found, "day_and_month")[0]
    days = pd.DatetimeIndex([*pd.date_range("2024-04-08", "2024-04-12"), *pd.date_range("2024-05-01", "2024-05-09")])
    found = look(pd.DataFrame({"date": days.strftime("%m/%d/%Y"), "y": range(len(days))}))
    assert stamps_of(found) == ("%m/%d/%Y", ["day_and_month"])
    assert "would run back once" in texts(found, "day_and_month")[0]


def test_day_and_month_that_cannot_be_told_apart_are_said(look):
    days = pd.date_range("2024-02-01", periods=12)  # or the second of each month
    found = look(pd.DataFrame({"date": days.strftime("%d/%m/%Y"), "y": range(12)}))
    assert stamps_of(found) == ("%m/%d/%Y", ["ambiguous_day_and_month"])
    assert "but day first is as likely" in texts(found, "ambiguous_day_and_month")[0]


def test_points_mean_day_first(look):
    days = pd.date_range("2024-02-01", periods=12)
    found = look(pd.DataFrame({"Datum": days.strftime("%d.%m.%Y"), "y": range(12)}))
    assert stamps_of(found) == ("%d.%m.%Y", [])


def test_unreadable_stamps_block_and_are_shown(look):
    frame = table(60).astype({"time": str})
    frame.loc[7, "time"] = "yesterday"
    found = look(frame)
    assert texts(found, "unreadable_stamps") == [
        "line 9, column 'time': 'yesterday' is no stamp like the others; 1 such in all. Correct them."
    ]
    assert about(found, "unreadable_stamps")[0].row == 7
    with pytest.raises(DataError, match="line 9"):
        read(found)


def test_the_time_column_is_found_by_content_before_name(look):
    frame = pd.DataFrame(
        {
            "runtime": range(48),
            "operator": ["ann", "bob"] * 24,
            "zz": table()["time"],
            "value": table()["flow"],
        }
    )
    assert look(frame).time.column == "zz"
    assert look(frame.rename(columns={"operator": "time"}).drop(columns="zz")).time.column == "runtime"
    found = look(frame[["operator", "value"]])
    assert found.time is None
    assert about(found, "no_time")[0].blocks
    assert (found.python, found.command) == ("", "")


@pytest.mark.parametrize(
    ("values", "unit", "layout"),
    [
        (["08", "09"], 'unit="h"', "hour"),
        (["8:00", "9:00"], '":00"', "clock"),
        (["08:00:00", "09:00:00"], "to_timedelta", "Zeit"),
    ],
)
def test_date_and_time_in_two_columns(look, tmp_path, values, unit, layout):
    days = pd.date_range("2024-01-01", periods=30).repeat(2)
    found = look(pd.DataFrame({"date": days.strftime("%d/%m/%Y"), layout: values * 30, "y": range(60)}))
    assert (found.time.column, found.time.clock, found.time.rate) == ("date", layout, "h")
    assert texts(found, "two_columns") == [f"Date and time stand in two columns, 'date' and {layout!r}."]
    assert unit in found.python
    frame = read(found)
    assert list(frame["ds"][:3]) == [
        pd.Timestamp("2024-01-01 08:00"),
        pd.Timestamp("2024-01-01 09:00"),
        pd.Timestamp("2024-01-02 08:00"),
    ]
    assert parse(found.command, tmp_path).data.time_col == "ds"
    assert found.command.startswith("tsrnn detect data_ready.csv")
    single = look(pd.DataFrame({"date": days[::2], layout: values[0], "y": range(30)}))
    assert single.time.clock is None


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_seconds_since_1970(look, unit):
    times = table()["time"]
    found = look(table().assign(time=times.astype(f"datetime64[{unit}]").astype("int64")))
    assert (found.time.layout, found.time.zone, found.time.rate) == (f"unix {unit}", "UTC", "h")
    assert (read(found)["time"] == times).all()
    assert look(table().assign(time=range(48))).time.layout == "integer"


def test_time_zones(look):
    local = pd.date_range("2024-10-26", periods=72, freq="h", tz="Europe/Berlin")
    written = [stamp.isoformat() for stamp in local]
    found = look(pd.DataFrame({"time": written, "y": range(72)}))
    assert found.time.zone == "+01:00 and +02:00"
    assert "change between +01:00 and +02:00" in texts(found, "offsets")[0]
    assert (found.time.rate, found.time.n_duplicates, found.time.n_gaps) == ("h", 0, 0)
    assert (read(found)["time"].dt.tz_convert("UTC") == local.tz_convert("UTC")).all()
    fixed = look(pd.DataFrame({"time": written[:20], "y": range(20)}))
    assert (fixed.time.zone, about(fixed, "offsets")) == ("+02:00", [])
    assert look(table().assign(time=table()["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))).time.zone == "UTC"
    assert look(table()).time.zone is None


def test_gaps(look):
    found = look(table().drop(index=[5, 20, 21, 22]))
    assert texts(found, "gaps") == [
        (
            "4 stamps are missing at 2 places, first before line 7; 3 at once between 2024-01-30 19:00:00 and "
            "2024-01-30 23:00:00, before line 21. One step is 1 h."
        )
    ]
    assert (found.time.n_gaps, found.time.n_missing, about(found, "gaps")[0].row) == (2, 4, 5)
    assert not about(look(table()), "gaps")
    months = pd.DataFrame({"month": pd.date_range("2020-01-01", periods=30, freq="MS"), "y": range(30)})
    assert not about(look(months), "gaps")
    assert look(months.drop(index=4)).time.n_missing == 1


def test_repeated_stamps(look):
    rows = [*range(10), 9, *range(10, 48)]
    whole = look(table().iloc[rows])
    assert texts(whole, "duplicates") == [
        "1 row has the stamp of another row, first line 12; all of them whole rows twice."
    ]
    other = look(table().iloc[rows].assign(flow=range(49)))
    assert texts(other, "duplicates") == ["1 row has the stamp of another row, first line 12, with other values."]
    assert other.time.n_duplicates == 1


def test_time_that_runs_back(look):
    found = look(table().iloc[[*range(10), *range(20, 30), *range(10, 20), *range(30, 48)]])
    assert texts(found, "back_steps") == ["Time runs back once, first at line 22. Sort it by time after reading."]
    assert (found.time.n_back_steps, found.time.n_gaps) == (1, 0)
    newest = look(table().iloc[::-1])
    assert [finding.kind for finding in newest.findings] == ["newest_first"]


def test_irregular_sampling(look, tmp_path):
    rng = np.random.default_rng(0)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(rng.integers(400, 800, 300)), unit="s")
    found = look(table(300).assign(time=times))
    assert not found.time.regular
    assert (found.time.n_gaps, found.time.n_missing) == (0, 0)
    assert re.search(r"irregular: \d+ % of the steps .* the median is \d+ min", texts(found, "irregular")[0])
    settings = parse(found.command, tmp_path)
    columns, _ = choose_sensors(read(found), settings.data.time_col, ["flow"])
    assert len(columns.read(read(found))[0].times) == 300
    assert look(table()).time.regular


def test_a_column_with_a_rate_of_its_own(look):
    slow = np.where(np.arange(400) % 4 == 0, np.arange(400) % 7, np.nan)
    found = look(table(400, lab=slow))
    assert (column(found, "lab").rate, column(found, "flow").rate) == ("4h", "h")
    assert texts(found, "rate") == ["'lab' has a value every 4 h; the file has a row every 1 h."]
    rng = np.random.default_rng(0)
    holey = look(table(400, lab=np.where(rng.random(400) < 0.6, np.nan, 1.5 + np.arange(400) % 7)))
    assert column(holey, "lab").rate == "h"


def test_held_values(look):
    found = look(table(200, slow=np.arange(200) // 5 % 11))
    assert column(found, "slow").note == "changes every 5 rows"
    assert column(found, "flow").note == ""


@pytest.mark.parametrize("code", ["-9999", "-9999.0", "999.9", "1e30", "-1e+30", "32767", "7999"])
def test_numbers_that_mark_missing_values(look, tmp_path, code):
    level = [f"{x:.2f}" for x in 3 + np.sin(np.arange(200))]
    marked = [code if 50 <= i < 70 else x for i, x in enumerate(level)]
    found = look(table(200, level=marked))
    assert column(found, "level").sentinels == {code: 20}
    assert f"'level' holds {code} in 20 rows, first in line 52" in texts(found, "sentinel")[0]
    assert (column(found, "level").maximum < 5, column(found, "level").n_missing) == (True, 20)
    assert read(found)["level"].isna().sum() == 20
    assert len(parse(found.command, tmp_path).data.na_values) == 1


def test_numbers_that_are_no_marks(look):
    level = np.arange(200.0)
    for values in (level * 100 - 9999, np.where(level == 7, 999, level * 6), np.where(level < 2, -99, level)):
        assert column(look(table(200, level=values)), "level").sentinels == {}


def test_a_mark_that_is_a_value_elsewhere_is_not_read_as_missing(look):
    level = np.where(np.arange(200) < 5, 9999, np.arange(200) % 9)
    found = look(table(200, level=level, energy=np.arange(200) * 50 + 49))
    assert found.python == 'df = tsrnn.read_csv("data.csv", time_col="time")'
    assert "9999" in texts(found, "sentinel_left_out")[0]


@pytest.mark.parametrize(
    ("mark", "told"), [("NULL", False), ("NA", False), ("?", True), ("-", True), (" ", True), ("OVER", True)]
)
def test_texts_that_mark_missing_values(look, mark, told):
    values = [mark if i in (3, 4) else f"{i / 7:.3f}" for i in range(48)]
    found = look(table(level=values))
    assert column(found, "level").sentinels == {mark: 2}
    assert column(found, "level").kind == "number"
    assert bool(about(found, "sentinel")) == told
    assert read(found)["level"].isna().sum() == 2


def test_empty_fields_are_missing_and_no_mark(look):
    found = look(table(level=[np.nan, 2.5] * 24))
    assert (column(found, "level").n_missing, column(found, "level").sentinels) == (24, {})


def test_infinities(look):
    found = look(table(level=[np.inf if i == 9 else -np.inf if i == 4 else i / 7 for i in range(48)]))
    assert "'level' is infinite in 1 row, first in line 6" in texts(found, "infinite")[0]
    assert np.isfinite(read(found)["level"].dropna()).all()
    assert read(found)["level"].isna().sum() == 2
    assert not about(look(table()), "infinite")


def test_constant_and_empty_columns(look):
    found = look(table(mode=3, spare=np.nan))
    assert texts(found, "constant") == ["One value throughout: 'mode'."]
    assert texts(found, "empty") == ["No value at all: 'spare'."]
    assert column(found, "mode").note == "constant 3"
    assert column(found, "spare").kind == "empty"


def test_counters(look):
    rows = np.arange(300)
    rising = np.cumsum(rows % 3)
    found = look(table(300, total=rising, meter=rising % 70, row_number=rows, season=rows // 75, noise=rows * 7 % 101))
    assert {c.name: c.note for c in found.columns if c.note} == {
        "total": "only rises", "meter": "counter, back 4 times", "row_number": "counts the rows",
    }  # fmt: skip
    assert f"first at line {int(np.argmax(np.diff(rising % 70) < 0)) + 3}" in texts(found, "counter")[1]


def test_stuck_sensor(look):
    rng = np.random.default_rng(0)
    level = rng.normal(size=500).round(3)
    stuck = np.where((np.arange(500) >= 100) & (np.arange(500) < 140), level[100], level)
    found = look(table(500, level=stuck))
    assert column(found, "level").stuck == {
        "value": level[100], "rows": 40, "row": 100, "span": "1 d 15 h", "usual": 1,
    }  # fmt: skip
    assert "for 40 rows (1 d 15 h) from line 102; it usually changes in every row." in texts(found, "stuck")[0]
    for usual in (
        level,
        np.repeat(level[:25], 20),
        np.where(level > 1, level, 0.0),
        rng.integers(0, 3, 500).cumsum() // 40,
    ):
        assert column(look(table(500, level=usual)), "level").stuck is None


def test_texts_and_categories(look):
    names = [f"order {i}" for i in range(48)]
    found = look(table(state=["on", "off", "on"] * 16, note=names, ok=[True, False] * 24, alarm=[0, 0, 1] * 16))
    assert [c.kind for c in found.columns] == ["stamp", "number", "category", "text", "boolean", "0/1"]
    assert column(found, "state").note == "on, off"
    assert column(found, "state").n_levels == 2


def long_table(**ids):
    days = pd.date_range("2024-01-01", periods=30)
    parts = [
        pd.DataFrame(dict(zip(ids, key, strict=True)) | {"day": days, "sold": range(30)})
        for key in zip(*ids.values(), strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("shuffled", [False, True])
def test_long_format(look, tmp_path, shuffled):
    frame = long_table(store=["a", "b", "c"])
    frame = frame.sort_values("day", kind="stable") if shuffled else frame
    found = look(frame)
    assert (found.series_columns, found.n_series, found.findings) == (("store",), 3, ())
    settings = parse(found.command, tmp_path).data
    assert (settings.id_col, settings.time_col, settings.target_col) == ("store", "day", "sold")
    assert Path(settings.path).name == "data.csv"
    panel = Panel.from_frame(read(found), Schema("store", "day", "sold"))
    assert len(panel.indptr) == 4


def test_series_named_by_two_columns(look, tmp_path):
    found = look(long_table(store=[1, 1, 2, 2], item=["x", "y", "x", "y"]))
    assert (found.series_columns, found.n_series) == (("store", "item"), 4)
    frame = read(found)
    assert set(frame["unique_id"]) == {"1/x", "1/y", "2/x", "2/y"}
    assert Path(parse(found.command, tmp_path).data.path).name == "data_ready.csv"


def test_a_wide_table_with_a_repeated_stamp_is_not_long(look):
    rows = [*range(10), 9, *range(10, 48)]
    found = look(table(state=["on", "off", "on", "off"] * 12).iloc[rows])
    assert (found.series_columns, found.n_series) == ((), 1)


def test_empty_lines(look):
    end = look(table().to_csv(index=False) + "\n\n")
    assert texts(end, "blank_end") == ["The file ends with 2 empty lines, which are no rows."]
    assert (end.n_rows, len(read(end))) == (48, 48)
    head, *lines = table().to_csv(index=False).splitlines()
    middle = look("\n".join([head, *lines[:5], "", *lines[5:]]))
    assert texts(middle, "blank_lines") == ["Empty lines: 1, first line 7; delete them."]
    assert about(middle, "blank_lines")[0].blocks
    with pytest.raises(DataError, match="line 7"):
        read(middle)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\na,b\n1,2\n", "line 1 is empty"),
        (b"a,b\n", "has a header and no rows"),
        (b"PAR1\x00\x01", "no text but a Parquet file"),
        (b"PK\x03\x04\x00\x00", "a spreadsheet or an archive"),
        (b"abc\x00\x01\x02def", "byte 3 is zero"),
        (b"a,b\n1,2\n1,2,3\n1,2\n", "line 3 has 3 fields, the lines above have 2"),
        (b"logger 7\nsite north\n" + b"2024-01-01,1,2\n" * 9, "Delete the lines above line 3"),
        (b"a,b\n" + b"2024-01-01,1,2\n" * 9, "Give every column a name"),
    ],
)
def test_no_table(tmp_path, content, message):
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        inspect_csv(path)
    result = CliRunner().invoke(app, ["inspect", str(path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_no_file(tmp_path):
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "absent.csv")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"no such file: {tmp_path / 'absent.csv'}\n"


def test_command(look):
    frame = table(level=[-9999.0 if i in (3, 4, 5) else i / 7 for i in range(48)]).drop(index=9)
    found = look(frame, sep=";", decimal=",")
    shown = CliRunner().invoke(app, ["inspect", "data.csv"])
    assert shown.exit_code == 0, shown.stderr
    lines = [line.rstrip() for line in shown.stdout.splitlines()]
    assert lines[:5] == [
        "data.csv: 47 rows, 3 columns",
        "text  UTF-8, fields between ';', decimal comma",
        "time  time: ISO 8601, no zone",
        "rate  1 h in 97.8 % of the steps",
        "span  2024-01-30 to 2024-01-31 23:00:00",
    ]
    assert lines[6].split() == ["column", "kind", "rate", "missing", "sentinels", "min", "median", "max"]
    for finding in found.findings:
        assert f"- {finding.text}" in lines
    assert f"  {found.python}" in lines
    assert lines[-1] == f"  {found.command}"


def test_command_without_time_says_what_to_correct(look):
    look("a,b\n" + "1.5,x\n2.5,y\n" * 9)
    shown = CliRunner().invoke(app, ["inspect", "data.csv"])
    assert shown.exit_code == 0
    assert "To be corrected first\n- No column holds time" in shown.stdout
    assert "In Python" not in shown.stdout


def test_json(look):
    found = look(table(level=[np.inf if i == 3 else i / 7 for i in range(48)], spare=np.nan).drop(index=9))
    shown = CliRunner().invoke(app, ["inspect", "data.csv", "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout, parse_constant=pytest.fail) == json.loads(json.dumps(found.to_dict()))
    assert json.loads(shown.stdout)["columns"][1]["name"] == "flow"
    assert json.loads(shown.stdout)["findings"][0]["kind"] == "gaps"


# Facts of real files: time column, layout, rate, regular, stamps missing, series, marks to be told, kinds of findings
REAL = {
    "anomaly/skab/valve1/0.csv": ("datetime", "ISO8601", "s", True, 53, 1, None, {"gaps"}),
    "anomaly/gecco2018/geccoIC2018Train.csv.gz": ("timestamp", "ISO8601", "min", True, 0, 1, None, {"stuck"}),
    "anomaly/lro_aquatic/FranklinBasin2014.csv.gz": (
        "datetime", "ISO8601", "15min", True, 0, 1, ["-9999"],
        {"blank_end", "sentinel", "stuck", "constant", "empty"},
    ),
    "anomaly/lro_aquatic/MainStreet2019.csv.gz": (
        "datetime", "ISO8601", "15min", True, 4, 1, ["-9999"], {"gaps", "sentinel", "stuck", "sentinel_left_out"},
    ),
    "anomaly/lro_aquatic/TonyGrove2019.csv.gz": (
        "datetime", "ISO8601", "15min", True, 38, 1, ["-9999"], {"gaps", "sentinel", "stuck", "constant"},
    ),
    "anomaly/oddwater/data_sandy_anom.csv": (
        "Timestamp", "%d/%m/%Y %H:%M", "90min", False, 0, 1, None, {"day_and_month", "irregular"},
    ),
    "anomaly/batadal/dataset03.csv": ("DATETIME", "%d/%m/%y %H", "h", True, 0, 1, None, {"day_and_month", "constant"}),
    "anomaly/batadal/dataset04.csv": (
        "DATETIME", "%d/%m/%y %H", "h", True, 0, 1, None, {"day_and_month", "constant", "stuck"},
    ),
    "anomaly/nab/data/realKnownCause/machine_temperature_system_failure.csv": (
        "timestamp", "ISO8601", "5min", True, 0, 1, None, {"back_steps", "duplicates"},
    ),
    "anomaly/nab/data/realAWSCloudwatch/iio_us-east-1_i-a2eb1cd9_NetworkIn.csv": (
        "timestamp", "ISO8601", "5min", True, 0, 1, None, set(),
    ),
    "anomaly/nab/data/artificialNoAnomaly/art_flatline.csv": (
        "timestamp", "ISO8601", "5min", True, 0, 1, None, {"constant"},
    ),
    "forecast/vic_elec/vic_elec.csv.gz": ("ds_utc", "ISO8601", "30min", True, 0, 1, None, set()),
    "forecast/bike_sharing/hour.csv": (
        "dteday", "%m/%d/%y", "h", True, 165, 1, None, {"two_columns", "day_and_month", "gaps"},
    ),
    "forecast/bike_sharing/day.csv": ("dteday", "ISO8601", "D", True, 0, 1, None, set()),
    "forecast/nn5/nn5.csv.gz": ("ds", "ISO8601", "D", True, 0, 111, None, set()),
    "forecast/exchange_rate/exchange_rate.csv": ("date", "%Y/%m/%d %H:%M", "D", True, 0, 1, None, {"stuck"}),
    "forecast/m3/m3.csv.gz": ("t", "integer", "1", True, 0, 3003, None, set()),
    "forecast/classics/us_gasoline.csv": (
        "Week", "%m/%d/%Y", "W", True, 0, 1, None, {"day_and_month", "newest_first"},
    ),
    "forecast/classics/solar.csv": ("datetime_gmt", "ISO8601", "30min", True, 0, 1, None, set()),
    "forecast/classics/seatbelts.csv": ("Unnamed: 0", "ISO8601", "MS", True, 0, 1, None, {"nameless"}),
    "forecast/classics/PBS_dataset.csv": ("Month", "%Y %b", "MS", True, 0, 1, None, set()),
}  # fmt: skip


@pytest.fixture
def shared_folder(shared_data, tmp_path, monkeypatch):
    """A working folder in which the shared data lie, and that may be written to."""
    for name in ("anomaly", "forecast"):
        (tmp_path / name).symlink_to(shared_data / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", REAL)
def test_real_files(path, shared_folder):
    found = inspect_csv(path)
    time = found.time
    frame = read(found)
    config = parse(found.command, shared_folder)
    marks = config.data.na_values or None
    kinds = {finding.kind for finding in found.findings}
    facts = (time.column, time.layout, time.rate, time.regular, time.n_missing, found.n_series, marks, kinds)
    assert facts == REAL[path]
    assert not any(finding.blocks for finding in found.findings)
    assert len(frame) == found.n_rows
    if found.series_columns:
        return
    columns, _ = choose_sensors(frame, config.data.time_col, None)
    assert len(columns.read(frame)[0].times) == found.n_rows
    for column in found.columns:
        told = set(column.sentinels) <= {*(marks or ()), "NULL"}
        assert told or "sentinel_left_out" in kinds
        if column.minimum is not None and told:
            values = frame[column.name].astype(float)
            assert (values.min(), values.max()) == (column.minimum, column.maximum), column.name
