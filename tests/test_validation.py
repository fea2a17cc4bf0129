import gzip

import numpy as np
import pandas as pd
import pytest

from tests.strategies import frame_of, gap_free, grid
from tsrnn.data import DataError, DataWarning, Panel, Schema, read_csv
from tsrnn.data.validation import check_columns, check_lengths, check_observed, parse_times


def refused(df, *words, freq=None, **schema):
    """The panel is refused with all of these words."""
    with pytest.raises(DataError) as error:
        Panel.from_frame(df, Schema(**schema), freq)
    for word in words:
        assert word in str(error.value)


def written(tmp_path, text, name="sales.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


class TestColumns:
    def test_the_nearest_one_is_named(self):
        refused(gap_free(), "'yy' (target_col)", "Did you mean 'y'?", "'unique_id', 'ds', 'y'", target_col="yy")
        refused(gap_free(), "'price' (past_covariates)", past_covariates=["price"])
        refused(gap_free(), "'price' (future_covariates)", future_covariates=["price"])
        refused(gap_free(), "'shop' (id_col)", id_col="shop")
        refused(gap_free(), "'day' (time_col)", "Pass time_col=", time_col="day")
        refused(gap_free(), "'z' (target_col)", target_col=["y", "z"])

    def test_twice(self):
        refused(pd.concat([gap_free(), gap_free()[["y"]]], axis=1), "'y' stands twice")
        refused(pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]), "'a' stands twice")

    def test_names_that_are_no_text(self):
        with pytest.raises(DataError, match="no column '0'"):
            check_columns(pd.DataFrame({0: [1.0]}), ["0"], "target_col")

    def test_no_rows_and_no_columns(self):
        refused(gap_free()[:0], "no rows")
        refused(gap_free()[["ds"]], "no column 'y'")

    def test_a_series_without_a_name(self):
        refused(gap_free().assign(unique_id=["a", "a", None, "a", "a"]), "row 2", "no series name", "'unique_id'")


class TestStamps:
    def test_missing(self):
        df = gap_free()
        df.loc[3, "ds"] = pd.NaT
        refused(df, "row 3", "no time stamp", "'ds'", "drop the row")

    def test_twice_in_a_series_but_not_in_two(self):
        df = gap_free(lengths=(3, 4))
        df.loc[5, "ds"] = df.loc[4, "ds"]
        refused(df, "'b'", "2023-12-31", "twice, at row 4 and row 5", "1 such", "duplicates='last'", "time zone")

    def test_backwards_even_where_series_are_mixed(self):
        df = gap_free(lengths=(3, 3)).iloc[[3, 0, 5, 1, 4, 2]]
        with pytest.warns(DataWarning, match=r"'b' goes back.*from 2024-01-01.*to 2023-12-31.* at row 4; 1 such"):
            Panel.from_frame(df)

    @pytest.mark.parametrize(("zone", "freq"), [("Europe/Berlin", "h"), ("Europe/Berlin", "D")])
    def test_twice_in_a_time_zone(self, zone, freq):
        stamps = pd.date_range("2024-10-26 12:00", periods=20, freq=freq, tz=zone)
        refused(frame_of({"a": (stamps[[*range(16), 15]], 1.0)}), "twice", "row 16")

    def test_a_wide_frame_counts_its_own_rows(self):
        wide = pd.DataFrame({"u": 1.0, "v": 2.0}, index=pd.DatetimeIndex(grid("D", 4)[[0, 1, 1, 2]]))
        refused(wide, "'u'", "twice", "row 2")
        refused(wide.iloc[[0, 1, 3]].assign(v=["1", "2", "x"]), "row 2", "'v'", "'x'")

    @pytest.mark.parametrize(
        ("stamps", "words"),
        [
            (["2024-01-01", "2024-01-02", "soon"], ("row 2", "'soon'", "'2024-01-01'", "1 such")),
            (["2024-01-01", "2024-02-30", "2024-13-01"], ("row 1", "'2024-02-30'", "2 such")),
            (["x", "y", "z"], ("row 0", "'x'", "3 such")),
            ([1.0, 2.0, 2.5], ("row 2", "2.5", "fractional")),
            ([1.0, 2.0, np.inf], ("row 2", "inf")),
            ([True, False, True], ("row 0", "True")),
        ],
    )
    def test_unreadable(self, stamps, words):
        refused(pd.DataFrame({"unique_id": "a", "ds": stamps, "y": 1.0}), *words)

    @pytest.mark.parametrize(
        "stamps",
        [
            ["2024-02-01", "2024-02-13"],
            ["2024-02-01 00:00:00", "2024-02-13 00:00:00.000"],
            ["20240201T00", "20240213T00"],
            ["02/01/2024", "02/13/2024"],
            ["01/02/2024", "13/02/2024"],
            ["01.02.2024 00:00", "13.02.2024 00:00"],
            ["2024/02/01", "2024/02/13"],
            ["1 Feb 2024", "13 Feb 2024"],
        ],
    )
    def test_layouts_of_text(self, stamps):
        for column in (pd.Series(stamps), pd.Series(stamps[::-1])):
            parsed = parse_times(column, column.to_frame("ds"), "ds")
            assert sorted(parsed) == [pd.Timestamp("2024-02-01"), pd.Timestamp("2024-02-13")]

    def test_offsets_that_change_with_the_clocks(self):
        column = pd.Series(["2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00"])
        assert parse_times(column, column.to_frame("ds"), "ds").diff()[1] == pd.Timedelta("1h")

    def test_whole_floats_are_integers(self):
        assert Panel.from_frame(pd.DataFrame({"unique_id": "a", "ds": [1.0, 2.0], "y": 1.0})).times.tolist() == [1, 2]


class TestGrid:
    def test_off_the_step(self):
        df = gap_free("h", (9,))
        df.loc[4, "ds"] += pd.Timedelta("7min")
        refused(df, "'a'", "2023-12-30 04:07:00 at row 4 lies on", "freq=h", "1 of 9", "resample=", "freq='irregular'")

    def test_the_first_three_stamps_off_the_step_are_shown(self):
        df = gap_free("h", (9, 9))
        df.loc[[2, 4, 5, 7, 12], "ds"] += pd.Timedelta("7min")
        refused(df, "02:07:00 at row 2, 2023-12-30 04:07:00 at row 4, 2023-12-30 05:07:00 at row 5 ...", "5 of 18")
        refused(df.drop([4, 5, 7]).reset_index(drop=True), "02:07:00 at row 2 lies on", "2 of 15")

    @pytest.mark.parametrize(("freq", "stamps"), [("B", "D"), ("MS", "15D"), ("ME", "MS"), ("W", "D")])
    def test_another_frequency_than_given(self, freq, stamps):
        refused(gap_free(stamps, (9,)), "'a'", "on no step of", f"freq={freq}", freq=freq)

    def test_dates_and_integers(self):
        refused(gap_free("D"), "freq=1", "time stamps", "2023-12-30", freq=1)
        refused(gap_free(1), "freq=D", "integers", "2023", freq="D")

    def test_mixed_frequencies(self):
        df = frame_of({"fine": (grid("h", 30), 1.0), "coarse": (grid("D", 5), 1.0)})
        refused(df, "mixed frequencies", "'coarse'", "every 24 steps", "freq=h")

    def test_few_rows_or_unequal_gaps_are_gaps(self):
        for rows in ([0, 2, 4], [0, 2, 4, 7]):
            df = frame_of({"a": (grid("h", 9), 1.0), "b": (grid("h", 9)[rows], 1.0)})
            assert Panel.from_frame(df).lengths[1] == rows[-1] + 1

    def test_a_stamp_far_off_makes_no_giant(self):
        df = gap_free("min", (5, 4))
        df.loc[4, "ds"] += pd.DateOffset(years=200)
        refused(df, "'a'", "lacks 105,", "2023-12-30 00:03", "2223-12-30", "row 4", "Correct the stamp")


class TestNumbers:
    @pytest.mark.parametrize("column", ["y", "temp"])
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            (["1", "2", "3", "n/k", "5"], ("row 3", "'n/k'", "1 such")),
            (["1,5", "2", "3", "4", "2,5"], ("row 0", "'1,5'", "2 such")),
            ([1, 2, 3, 4, -np.inf], ("row 4", "infinite")),
            (pd.date_range("2024-01-01", periods=5), ("row 0", "2024-01-01", "not a number")),
            (pd.date_range("2024-01-01", periods=5, tz="UTC"), ("row 0", "2024-01-01", "not a number")),
            (pd.to_timedelta(range(5), unit="s"), ("row 0", "not a number")),
            (pd.period_range("2024", periods=5, freq="Y"), ("row 0", "2024", "not a number")),
        ],
    )
    def test_refused_with_series_row_and_column(self, column, values, words):
        df = gap_free(lengths=(2, 3)).assign(temp=1.0).assign(**{column: values})
        series = "'a'" if "row 0" in words else "'b'"
        refused(df, *words, series, f"column '{column}'", past_covariates=["temp"])

    @pytest.mark.parametrize(
        "values",
        [[1, 0, 1], [True, False, True], ["1", "0.0", "1e0"], pd.array([1, 0, 1], "Int64"), pd.Categorical([1, 0, 1])],
    )
    def test_accepted(self, values):
        assert Panel.from_frame(gap_free(lengths=(3,)).assign(y=values)).values[:, 0].tolist() == [1, 0, 1]

    @pytest.mark.parametrize("hole", [None, np.nan, pd.NA])
    @pytest.mark.parametrize("dtype", [object, "Float64"])
    def test_missing_stays_missing(self, hole, dtype):
        df = gap_free(lengths=(3,)).assign(y=pd.Series([1.0, hole, 3.0], dtype=dtype))
        np.testing.assert_array_equal(Panel.from_frame(df).values[:, 0], [1, np.nan, 3])


class TestLengths:
    def test_the_shortest_are_named_first(self):
        ids = np.array([f"s{i}" for i in range(8)], dtype=object)
        with pytest.raises(
            DataError, match=r"'s7' \(2 rows\), 's6' \(3 rows\).*and 1 more.*at least 9 rows.*two seasons"
        ):
            check_lengths(ids, np.array([99, 98, *range(7, 1, -1)]), 9, "two seasons")
        check_lengths(ids, np.full(8, 9), 9, "two seasons")

    def test_series_without_a_value(self):
        with pytest.raises(DataError, match=r"'b'.*no value.*1 such"):
            check_observed(np.array(["a", "b"], object), np.array([True, False]))


class TestReadCsv:
    def test_as_it_stands(self, tmp_path):
        path = written(tmp_path, "unique_id,ds,y,note\nb,2024-01-02,1.5,x\na,2024-01-01,,y\n")
        df = read_csv(path)
        assert df["unique_id"].tolist() == ["b", "a"]
        assert df["ds"].tolist() == [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-01")]
        assert df["y"].isna().tolist() == [False, True]
        assert df.columns.tolist() == ["unique_id", "ds", "y", "note"]

    @pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
    def test_the_delimiter_is_guessed(self, tmp_path, mark):
        text = mark.join(["ds", "y", "z"]) + "\n" + mark.join(["2024-01-01", "1.5", "2"]) + "\n"
        assert read_csv(written(tmp_path, text))["y"].tolist() == [1.5]

    def test_as_a_spreadsheet_in_europe_writes_it(self, tmp_path):
        path = written(tmp_path, "\ufeffTag;Menge\r\n31.01.2024;1,5\r\n01.02.2024;\r\n")
        df = read_csv(path, time_col="Tag", decimal=",")
        assert df["Tag"].tolist() == [pd.Timestamp("2024-01-31"), pd.Timestamp("2024-02-01")]
        assert df["Menge"].tolist()[0] == 1.5

    def test_compressed(self, tmp_path):
        path = written(tmp_path, gzip.compress(b"ds;y\n1;2\n"), "sales.csv.gz")
        assert read_csv(path)["y"].tolist() == [2]

    def test_messages_name_the_file_and_its_line(self, tmp_path):
        with pytest.raises(DataError, match=r"row 1 \(line 3 of sales.csv\).*'soon'"):
            read_csv(written(tmp_path, "ds,y\n2024-01-01,1\nsoon,2\n"))
        refused(
            read_csv(written(tmp_path, "ds,y\n2024-01-01,1\n2024-01-02,many\n")),
            "row 1 (line 3 of sales.csv)",
            "'many'",
        )
        refused(read_csv(written(tmp_path, "ds,a,b\n2024-01-01,1,2\n2024-01-01,3,4\n")), "line 3 of sales.csv", "twice")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "empty"),
            ("ds,y\n", "header and no rows"),
            ("ds,y\n1,2\n1,2,3\n", "cannot be read as a table"),
            (b"ds,y\n1,\xff\xfe\n", "UTF-8"),
            ("date,y\n1,2\n", "no column 'ds'"),
        ],
    )
    def test_what_is_no_table(self, tmp_path, text, words):
        with pytest.raises(DataError, match=words):
            read_csv(written(tmp_path, text))

    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"nothing\.csv"):
            read_csv(tmp_path / "nothing.csv")
