"""Files in: options of CSV, Parquet, patterns, folders and partitions. Plain files: `tests/test_validation.py`."""

import datetime as dt
import gzip
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.strategies import gap_free
from tsrnn import Naive
from tsrnn.cli import app
from tsrnn.data import DataError, Panel, Schema, read_csv, read_table

DAY = "ds,y\n2024-01-01,1\n2024-01-02,2\n"


@pytest.fixture
def write(tmp_path):
    """Write a file below a folder of its own and say where; the folder when no name is given."""
    (tmp_path / "data").mkdir(exist_ok=True)

    def write(name="", content=DAY):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refused(words, path, **options):
    with pytest.raises(DataError, match=words):
        read_table(path, **options)


class TestOptions:
    def test_layout_of_stamps(self, write):
        path = write("a.csv", "ds,y\n03/04/14 00,1\n04/04/14 01,2\n")
        stamps = read_csv(path, time_format="%d/%m/%y %H")["ds"]
        assert stamps.tolist() == [pd.Timestamp("2014-04-03 00:00"), pd.Timestamp("2014-04-04 01:00")]

    @pytest.mark.parametrize(("first", "layout"), [("20240131", "%Y%m%d"), ("010224", "%d%m%y"), ("2024013", "%Y%j")])
    def test_stamps_without_separators_need_a_layout(self, write, first, layout):
        path = write("a.csv", f"ds,y\n{first},1\n")
        assert pd.api.types.is_integer_dtype(read_csv(path)["ds"])
        assert read_csv(path, time_format=layout)["ds"][0] == pd.to_datetime(first, format=layout)

    def test_another_layout_than_said(self, write):
        path = write("a.csv", "ds,y\n31/01/24,1\n02/13/24,2\n")
        refused(
            r"row 1 \(line 3 of a.csv\).*'02/13/24' does not have the layout.*'%d/%m/%y'; 1 such",
            path,
            time_format="%d/%m/%y",
        )

    @pytest.mark.parametrize("values", [-9999, "-9999", ["-", -9999], [-9999.0]])
    def test_missing_values(self, write, values):
        path = write("a.csv", "ds,y,z\n1,-9999,NULL\n2,5,-9999.0\n3,,7\n")
        df = read_csv(path, na_values=values)
        np.testing.assert_array_equal(df[["y", "z"]], [[np.nan, np.nan], [5, np.nan], [np.nan, 7]])
        assert read_csv(path)["y"].tolist()[0] == -9999

    def test_encoding(self, write):
        path = write("a.csv", "ds,Größe\n1,2\n".encode("latin-1"))
        refused("not text in UTF-8.*encoding=", path)
        assert read_csv(path, encoding="latin-1").columns.tolist() == ["ds", "Größe"]
        path = write("b.csv", "ds,Größe\n1,2\n".encode("utf-16"))
        assert read_csv(path, encoding="utf-16").columns.tolist() == ["ds", "Größe"]

    def test_blanks_around_names_are_stripped_and_it_is_said(self, write):
        path = write("a.csv", "ds, L_T1,L_T2 \n1,2,3\n")
        with pytest.warns(
            UserWarning, match="a.csv: blanks around the names of 2 columns were stripped, as in ' L_T1'"
        ):
            assert read_csv(path).columns.tolist() == ["ds", "L_T1", "L_T2"]

    def test_blanks_that_tell_two_names_apart_stay(self, write):
        assert read_csv(write("a.csv", "ds,y, y\n1,2,3\n")).columns.tolist() == ["ds", "y", " y"]

    @pytest.mark.parametrize(
        ("names", "wanted"),
        [(["7", "3"], [7, 3]), (["007", "7"], ["007", "7"]), (["1", "x"], ["1", "x"]), (["1.5", "2"], ["1.5", "2"])],
    )
    def test_names_of_series_are_as_written(self, write, names, wanted):
        path = write("a.csv", "unique_id,ds,y\n" + "".join(f"{name},1,2\n" for name in names))
        assert read_csv(path)["unique_id"].tolist() == wanted

    def test_stamps_with_and_without_offset(self, write):
        path = write("a.csv", "ds,y\n2024-01-01 00:00+01:00,1\n2024-01-01 01:00+01:00,2\n2024-01-01T02:00,3\n")
        refused(r"mixes stamps.*\+01:00' at row 0 \(line 2 of a.csv\), '2024-01-01T02:00' at row 2.*1 unlike", path)
        refused("mixes stamps", write("b.csv", "ds,y\n2024-01-01 00:00,1\n2024-01-01 01:00Z,2\n"))

    def test_a_file_that_is_not_there(self, write):
        with pytest.raises(FileNotFoundError, match="no such file"):
            read_csv(write() / "*.csv")


class TestTimeZone:
    def text(self, stamps, ids=None):
        names = [""] * len(stamps) if ids is None else [f",{i}" for i in ids]
        head = "ds,y" + ("" if ids is None else ",unique_id")
        return "\n".join([head, *(f"{stamp},1{name}" for stamp, name in zip(stamps, names, strict=True))]) + "\n"

    @pytest.mark.parametrize("start", ["2024-03-30 20:00", "2024-10-26 20:00"])
    @pytest.mark.parametrize("ids", [None, ["a", "b"]])
    def test_the_clock_is_changed(self, write, start, ids):
        stamps = pd.date_range(start, periods=40, freq="30min", tz="Europe/Berlin")
        if ids is None:
            path = write("a.csv", self.text(stamps.tz_localize(None)))
            wanted = stamps.tolist()
        else:  # rows of two series in turn
            path = write("a.csv", self.text(stamps.tz_localize(None).repeat(2), ids * len(stamps)))
            wanted = stamps.repeat(2).tolist()
        df = read_csv(path, time_zone="Europe/Berlin")
        assert df["ds"].tolist() == wanted
        assert Panel.from_frame(df).n_gap_rows == 0

    def test_offsets_are_converted(self, write):
        path = write("a.csv", self.text(["2024-03-31 01:00+01:00", "2024-03-31 03:00+02:00"]))
        assert read_csv(path, time_zone="Europe/Berlin")["ds"].dt.hour.tolist() == [1, 3]

    @pytest.mark.parametrize(
        ("stamps", "zone", "words"),
        [
            (
                ["2024-03-31 01:30", "2024-03-31 02:30"],
                "Europe/Berlin",
                r"row 1 \(line 3 of a.csv\).*is skipped.*Berlin",
            ),
            (["2024-10-27 01:30", "2024-10-27 02:30"], "Europe/Berlin", "row 1 .*comes twice on the clock.*offset"),
            (["1", "2"], "Europe/Berlin", "integers"),
            (["2024-01-01"], "Berlin", "'Berlin' is not known"),
        ],
    )
    def test_refused(self, write, stamps, zone, words):
        refused(words, write("a.csv", self.text(stamps)), time_zone=zone)


class TestParquet:
    @pytest.mark.parametrize("index", [None, "ds", ["unique_id", "ds"]])
    def test_there_and_back(self, write, index):
        df = gap_free(lengths=(4, 3))
        (df if index is None else df.set_index(index)).to_parquet(write() / "a.parquet")
        pd.testing.assert_frame_equal(read_table(write() / "a.parquet")[df.columns], df)

    def test_options_that_are_for_both(self, write):
        frame = pd.DataFrame({"day": [20240131, 20240201], "y": [1, -9999], "z": ["NULL", "x"]})
        frame.to_parquet(write() / "a.pq")
        df = read_table(
            write() / "a.pq", time_col="day", time_format="%Y%m%d", na_values=[-9999, "NULL"], time_zone="UTC"
        )
        assert df["day"].tolist() == [pd.Timestamp("2024-01-31", tz="UTC"), pd.Timestamp("2024-02-01", tz="UTC")]
        assert df["y"].isna().tolist() == [False, True]
        assert df["z"].isna().tolist() == [True, False]

    def test_refused(self, write):
        pd.DataFrame({"day": [1], "y": [1.0]}).to_parquet(write() / "a.parquet")
        refused("no column 'ds'", write() / "a.parquet")
        refused("a.parquet is Parquet, for which decimal means nothing", write() / "a.parquet", decimal=",")
        refused("b.parquet cannot be read as Parquet", write("b.parquet", b"ds,y\n"))
        pd.DataFrame({"ds": [], "y": []}).to_parquet(write() / "c.parquet")
        refused("c.parquet has a header and no rows", write() / "c.parquet")

    def test_messages_name_the_row_of_the_file(self, write):
        for name, y in (("a", [1.0, 2.0]), ("b", [3.0, np.inf])):
            pd.DataFrame({"unique_id": name, "ds": [1, 2], "y": y}).to_parquet(write() / f"{name}.parquet")
        with pytest.raises(DataError, match=r"row 3 \(row 1 of b.parquet\) of series 'b', column 'y' is infinite"):
            Panel.from_frame(read_table(write()))


class TestManyFiles:
    @pytest.mark.parametrize("what", ["*.csv", "", "?.csv", "**/*.csv"])
    def test_are_put_together_by_name(self, write, what):
        write("b.csv", "ds,y\n3,30\n")
        write("a.csv", "y,ds\n10,1\n20,2\n")
        df = read_table(write() / what if what else write())
        assert df.columns.tolist() == ["y", "ds"]
        assert df["y"].tolist() == [10, 20, 30]

    def test_a_folder_with_other_things_in_it(self, write):
        for name in ("a.csv", "deep/c.csv", "_SUCCESS", ".b.csv", "_tmp/d.csv", "README.md"):
            write(name)
        write("b.csv.gz", gzip.compress(DAY.encode()))
        found = read_table(write(), id_from="file")
        assert found["unique_id"].unique().tolist() == ["a", "b", "c"]

    def test_each_file_is_a_series(self, write):
        for name in ("north", "south"):
            write(f"{name}.csv")
        df = read_table(write() / "*.csv", id_from="file", id_col="site")
        assert Panel.from_frame(df, Schema(id_col="site")).ids.tolist() == ["north", "south"]
        assert read_table(write("north.csv"), id_from="file")["unique_id"].tolist() == ["north"] * 2

    def test_refused(self, write):
        write("x/a.csv", "unique_id,ds,y\n7,1,2\n")
        refused("a column 'unique_id', which its path gives too", write() / "x" / "a.csv", id_from="file")
        write("x/b.csv", "ds,y\n1,2\n")
        refused(r"b.csv lacks the column 'unique_id', which .*a.csv has", write() / "x")
        write("y/b.csv", "ds,y\n1,2\n")
        refused("x/b.csv and .*y/b.csv would both be the series 'b'", write() / "*" / "b.csv", id_from="file")
        write("z/a.csv", "ds,y\n1,2\n")
        write("z/b.csv", "ds,y,more\n1,2,3\n")
        refused(r"a.csv lacks the column 'more', which .*b.csv has", write() / "z")
        with pytest.raises(ValueError, match="id_from must be 'file' or None"):
            read_table(write() / "z", id_from="folder")

    @pytest.mark.parametrize("what", ["*.txt", "nothing", "empty"])
    def test_nothing_there(self, write, what):
        write("empty/_SUCCESS")
        with pytest.raises(FileNotFoundError, match=r"no .*file"):
            read_table(write() / what)

    def test_messages_name_the_file_and_its_line(self, write):
        write("a.csv", "unique_id,ds,y\na,2024-01-01,1\na,2024-01-02,2\n")
        write("b.csv", "unique_id,ds,y\nb,2024-01-01,1\nb,soon,2\n")
        refused(r"row 3 \(line 3 of b.csv\), column 'ds': 'soon'", write())
        write("b.csv", "unique_id,ds,y\nb,2024-01-01,1\nb,2024-01-02,many\n")
        with pytest.raises(DataError, match=r"row 3 \(line 3 of b.csv\) of series 'b', column 'y': 'many'"):
            Panel.from_frame(read_table(write()))
        write("a.csv", "unique_id,ds,y\na,2024-01-01,1\na,2024-01-02,few\n")
        with pytest.raises(DataError, match=r"row 1 \(line 3 of a.csv\).*'few' is not a number; 2 such"):
            Panel.from_frame(read_table(write()))

    def test_names_are_text_where_one_file_has_text(self, write):
        write("a.csv", "unique_id,ds,y\n7,1,2\n")
        write("b.csv", "unique_id,ds,y\nx,1,2\n")
        assert read_table(write())["unique_id"].tolist() == ["7", "x"]

    @given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5), data=st.data())
    def test_every_row_is_found_in_its_file(self, tmp_path_factory, sizes, data):
        folder = tmp_path_factory.mktemp("files")
        for i, size in enumerate(sizes):
            (folder / f"{i}.csv").write_text("ds,y\n" + "".join(f"{k},0\n" for k in range(size)))
        i = data.draw(st.integers(0, len(sizes) - 1))
        k = data.draw(st.integers(0, sizes[i] - 1))
        lines = ["ds,y", *(f"{j},{'bad' if j == k else 0}" for j in range(sizes[i]))]
        (folder / f"{i}.csv").write_text("\n".join(lines) + "\n")
        with pytest.raises(DataError) as error:
            Panel.from_frame(read_table(folder, id_from="file"))
        assert f"row {sum(sizes[:i]) + k} (line {k + 2} of {i}.csv)" in str(error.value)


class TestPartitions:
    def test_keys_become_columns(self, write):
        for store in (12, 3):
            for kind in ("a%20b", "c"):
                path = write(f"store={store}/kind={kind}/part-0.parquet", b"")
                gap_free().drop(columns="unique_id").to_parquet(path)
        df = read_table(write())
        assert df[["store", "kind"]].drop_duplicates().to_numpy().tolist() == [
            [12, "a b"], [12, "c"], [3, "a b"], [3, "c"],
        ]  # fmt: skip
        assert len(read_table(write() / "store=12" / "*" / "*.parquet")) == 10
        assert "store" not in read_table(write() / "store=12")
        assert Naive(horizon=2).fit(df[df["kind"] == "c"], id_col="store").predict()["store"].tolist() == [12, 12, 3, 3]

    def test_as_others_write_them(self, write):
        df = gap_free(lengths=(3, 2)).astype({"unique_id": "str"})
        df.to_parquet(write(), partition_cols=["unique_id"])
        pd.testing.assert_frame_equal(read_table(write())[df.columns], df)

    def test_a_key_without_a_value_is_missing(self, write):
        write("store=__HIVE_DEFAULT_PARTITION__/a.csv")
        write("store=5/a.csv")
        assert read_table(write())["store"].isna().tolist() == [False, False, True, True]

    def test_time_may_be_a_key(self, write):
        for day in (1, 2):
            write(f"ds=2024-01-0{day}/a.csv", f"y\n{day}\n")
        assert read_table(write())["ds"].tolist() == [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")]

    def test_a_key_that_is_a_column_too(self, write):
        for value in ("5", "__HIVE_DEFAULT_PARTITION__"):
            path = write(f"{value}/y={value}/a.csv")
            refused("a.csv has a column 'y', which its path gives too", path.parents[1])

    def test_another_depth(self, write):
        write("a.csv")
        write("store=5/b.csv")
        refused(r"a.csv lacks the column 'store'", write())


class TestRunFiles:
    def test_backtest_reads_patterns_and_options(self, write, tmp_path, monkeypatch):
        monkeypatch.setenv("TSRNN_COMPILATION_CACHE", "0")
        rows = [(f"{day:02}/01/24", day % 5) for day in range(1, 29)]
        for name in ("north", "south"):
            write(f"{name}.csv", "day;y\n" + "".join(f"{stamp};{y},5\n" for stamp, y in rows))
        data = {"path": "data/*.csv", "time_col": "day", "time_format": "%d/%m/%y", "decimal": ",", "id_from": "file"}
        data |= {"na_values": -9999}
        run = {"data": data, "backtest": {"horizon": 2}, "models": {"Naive": {"type": "Naive"}}}
        (tmp_path / "run.yaml").write_text(json.dumps(run))
        result = CliRunner().invoke(app, ["backtest", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out")])
        assert result.exit_code == 0, result.output
        assert pd.read_parquet(tmp_path / "out" / "metrics.parquet")["unique_id"].tolist() == ["north", "south"]

    @pytest.mark.parametrize("what", ["*.parquet", ""])
    def test_detect_reads_patterns_and_folders(self, write, what, monkeypatch):
        monkeypatch.setenv("TSRNN_COMPILATION_CACHE", "0")
        for name in ("a", "b"):
            pd.DataFrame({"ds": [1, 2], "flow": [1.0, 2.0]}).to_parquet(write() / f"{name}.parquet")
        result = CliRunner().invoke(app, ["detect", str(write() / what), "--time-col", "when"])
        assert result.exit_code == 2
        assert "no column 'when' (time_col)" in result.stderr

    def test_a_pattern_without_files(self, tmp_path):
        run = {"data": {"path": "*.csv"}, "backtest": {"horizon": 2}, "models": {"Naive": {"type": "Naive"}}}
        (tmp_path / "run.yaml").write_text(json.dumps(run))
        result = CliRunner().invoke(app, ["backtest", str(tmp_path / "run.yaml")])
        assert result.exit_code == 2
        assert "data.path: no file that matches" in result.stderr


class TestRealFiles:
    def test_batadal(self, shared_data):
        df = read_table(shared_data / "anomaly/batadal/dataset04.csv", time_col="DATETIME", time_format="%d/%m/%y %H")
        assert df["DATETIME"].iloc[0] == dt.datetime(2016, 7, 4)
        panel = Panel.from_frame(df[["DATETIME", "L_T1"]], Schema(time_col="DATETIME", target_col="L_T1"))
        assert (str(panel.freq), panel.n_gap_rows) == ("h", 0)

    def test_skab(self, shared_data):
        df = read_table(shared_data / "anomaly/skab/valve1/*.csv", time_col="datetime", id_from="file")
        assert df["unique_id"].nunique() == 16
        assert df["unique_id"].dtype.kind == "i"
