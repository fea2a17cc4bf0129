"""The figures in ``datasets/`` and the readers of public benchmark formats."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsrnn.data.datasets import data_folder, load

DATASETS = Path(__file__).parents[1] / "datasets"
TABLE = re.findall(r"^\| `(\w+\.csv)` \| ([\d,]+) \|.*\| `(\w{64})` \|$", (DATASETS / "README.md").read_text(), re.M)


def read(name):
    return pd.read_csv(DATASETS / f"{name}.csv", parse_dates=["ds"] if name != "elnino" else None)


def test_readme_lists_every_file():
    assert sorted(name for name, _, _ in TABLE) == sorted(path.name for path in DATASETS.glob("*.csv"))


@pytest.mark.parametrize(("name", "rows", "sha256"), TABLE)
def test_readme_describes_the_file(name, rows, sha256):
    content = (DATASETS / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == sha256
    assert content.count(b"\n") - 1 == int(rows.replace(",", ""))


def test_air_passengers():
    frame = read("air_passengers")
    assert list(frame["ds"]) == list(pd.date_range("1949-01-01", periods=144, freq="MS"))
    assert frame["y"].iloc[[0, 11, 143]].tolist() == [112, 118, 432]
    assert frame["y"].sum() == 40363


def test_co2_weekly_keeps_its_gaps():
    frame = read("co2_weekly")
    assert list(frame["ds"]) == list(pd.date_range("1958-03-29", "2001-12-29", freq="W-SAT"))
    assert frame["y"].isna().sum() == 59
    assert frame["y"].iloc[[0, -1]].tolist() == [316.1, 371.5]
    assert frame["y"].dropna().between(313, 374).all()


def test_elnino_is_a_panel_of_calendar_months():
    frame = read("elnino")
    table = frame.pivot_table(index="ds", columns="unique_id", values="y")
    assert list(table) == [f"month_{month:02d}" for month in range(1, 13)]
    assert list(table.index) == list(range(1950, 2011))
    assert table.loc[1950, "month_01"] == 23.11
    assert table.loc[2010, "month_12"] == 22.07
    assert table.mean().idxmax() == "month_03"  # the end of the southern summer
    assert table.mean().idxmin() == "month_09"


def test_data_folder_is_the_one_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TSRNN_DATA", str(tmp_path))
    assert data_folder() == tmp_path


def test_data_folder_beside_the_current_one(tmp_path, monkeypatch):
    monkeypatch.delenv("TSRNN_DATA", raising=False)
    (tmp_path / "shared/data").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert data_folder() == tmp_path / "shared/data"


def test_named_folder_that_is_absent_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("TSRNN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"no benchmark data in .*nowhere; set .*TSRNN_DATA"):
        data_folder()


def test_unknown_name():
    with pytest.raises(ValueError, match=r"'tourism_montly'; did you mean 'tourism_monthly'\? Known: .*ettm1"):
        load("tourism_montly")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty benchmark folder to write small files into."""
    for name in ("tourism", "m4", "m3", "ett"):
        (tmp_path / "forecast" / name).mkdir(parents=True)
    monkeypatch.setenv("TSRNN_DATA", str(tmp_path))
    return tmp_path / "forecast"


def series(frame, name):
    rows = frame[frame["unique_id"] == name]
    return rows["ds"].astype(str).tolist(), rows["y"].tolist()


def test_tourism_format_with_periods(folder):
    (folder / "tourism/quarterly_in.csv").write_text("q1,q2\n3,2\n1999,2001\n4,1\n1.5,7\n2,8\n3,\n")
    (folder / "tourism/quarterly_oos.csv").write_text("q1,q2\n2,1\n2000,2001\n3,3\n4,9\n5,\n")
    frame = load("tourism_quarterly")
    stamps = ["1999-10-01", "2000-01-01", "2000-04-01", "2000-07-01", "2000-10-01"]
    assert series(frame, "q1") == (stamps, [1.5, 2, 3, 4, 5])
    assert series(frame, "q2") == (["2001-01-01", "2001-04-01", "2001-07-01"], [7, 8, 9])


def test_tourism_format_by_years_with_a_stray_value(folder):
    (folder / "tourism/yearly_in.csv").write_text("Y1,Y2\n2,3\n1999,2001\n1,7\n2,8\n,9\n,\n77,\n")
    (folder / "tourism/yearly_oos.csv").write_text("Y1,Y2\n1,1\n2001,2004\n3,10\n")
    frame = load("tourism_yearly")
    assert series(frame, "Y1") == (["1999-01-01", "2000-01-01", "2001-01-01"], [1, 2, 3])
    assert series(frame, "Y2")[1] == [7, 8, 9, 10]


def test_m4_format_joins_by_name(folder):
    (folder / "m4/Hourly-train.csv").write_text('"V1","V2","V3","V4"\n"H1","1","2","3"\n"H2","5",,\n')
    (folder / "m4/Hourly-test.csv").write_text('"V1","V2","V3"\n"H2","6","7"\n"H1","4","5"\n')
    frame = load("m4_hourly")
    assert series(frame, "H1") == (["1", "2", "3", "4", "5"], [1, 2, 3, 4, 5])
    assert series(frame, "H2") == (["1", "2", "3"], [5, 6, 7])
    assert frame["ds"].dtype == np.int64


def test_ett_format(folder):
    (folder / "ett/ETTh1.csv").write_text("date,HUFL,OT\n2016-07-01 00:00:00,1,3\n2016-07-01 01:00:00,2,4\n")
    frame = load("etth1")
    assert list(frame) == ["unique_id", "ds", "y"]
    assert series(frame, "HUFL") == (["2016-07-01 00:00:00", "2016-07-01 01:00:00"], [1, 2])
    assert series(frame, "OT")[1] == [3, 4]


def test_m3_format_with_what_a_series_is_about(folder):
    pd.DataFrame(
        {"unique_id": ["N1", "N1", "N2", "N3"], "t": [1, 2, 1, 1], "y": [5.0, 6.0, 7.0, 8.0], "split": "train"}
    ).to_csv(folder / "m3/m3.csv.gz", index=False)
    about = {"unique_id": ["N3", "N1", "N2"], "period": ["YEARLY", "YEARLY", "OTHER"], "type": ["MICRO", "MACRO", "X"]}
    pd.DataFrame(about).to_csv(folder / "m3/m3_meta.csv.gz", index=False)
    frame = load("m3_yearly")
    assert frame.to_dict("list") == {
        "unique_id": ["N1", "N1", "N3"], "ds": [1, 2, 1], "y": [5, 6, 8], "type": ["MACRO", "MACRO", "MICRO"],
    }  # fmt: skip


@pytest.fixture
def real(shared_data, monkeypatch):
    """The folder of the real benchmark data, which `load` then reads."""
    monkeypatch.setenv("TSRNN_DATA", str(shared_data))
    return shared_data / "forecast"


@pytest.mark.parametrize(
    ("name", "n_series", "rows", "step"),
    [
        ("tourism_monthly", 366, 109_280, "MS"),
        ("tourism_quarterly", 427, 42_544, "QS"),
        ("tourism_yearly", 518, 12_678, "YS"),
        ("m4_hourly", 414, 353_500 + 414 * 48, None),
        ("etth1", 7, 7 * 17_420, "h"),
        ("ettm1", 7, 7 * 69_680, "15min"),
        ("m3_quarterly", 756, 37_004, None),
    ],
)
def test_real_sets_are_complete_and_regular(real, name, n_series, rows, step):
    frame = load(name)
    assert frame["unique_id"].nunique() == n_series
    assert len(frame) == rows
    assert frame["y"].notna().all()
    for _, stamps in frame.groupby("unique_id", sort=False)["ds"]:
        if step is None:
            assert (stamps.to_numpy() == np.arange(1, len(stamps) + 1)).all()
        else:
            expected = pd.date_range(stamps.iloc[0], periods=len(stamps), freq=step)
            assert (stamps.to_numpy() == expected.to_numpy()).all()


@pytest.mark.parametrize(("period", "per_year"), [("monthly", 12), ("quarterly", 4), ("yearly", 1)])
def test_held_out_tourism_continues_the_history(real, period, per_year):
    past, future = (pd.read_csv(real / "tourism" / f"{period}_{part}.csv") for part in ("in", "oos"))
    begins = [frame.iloc[1] * per_year + (frame.iloc[2] - 1 if per_year > 1 else 0) for frame in (past, future)]
    off = begins[1] - begins[0] - past.iloc[0]
    assert off[off != 0].to_dict() == ({"Y18": -1} if period == "yearly" else {})


@pytest.mark.parametrize(
    ("name", "season_length", "horizon", "published"),
    [("tourism_monthly", 12, 24, 1.631), ("tourism_quarterly", 4, 8, 1.699)],
)
def test_seasonal_naive_scores_as_published(real, name, season_length, horizon, published):
    # Chronos zero-shot benchmark (Ansari et al. 2024), seasonal naive, MASE.
    scores = []
    for _, y in load(name).groupby("unique_id")["y"]:
        past, future = y.to_numpy()[:-horizon], y.to_numpy()[-horizon:]
        scale = np.abs(past[season_length:] - past[:-season_length]).mean()
        scores.append(np.abs(np.resize(past[-season_length:], horizon) - future).mean() / scale)
    assert np.mean(scores) == pytest.approx(published, abs=5e-4)
