from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from tests.strategies import CALENDAR, INTEGER, by_series, frame_of, gap_free, grid, long_frames
from tsrnn.data import DataError, Frequency, Panel, Schema

BERLIN = "Europe/Berlin"


def read(df, freq=None, **schema):
    return Panel.from_frame(df, Schema(**schema), freq)


class TestLongFrames:
    @settings(max_examples=60)
    @given(long_frames())
    def test_there_and_back(self, drawn):
        before = drawn.df.copy(deep=True)
        panel = read(drawn.df, drawn.freq)
        pd.testing.assert_frame_equal(panel.to_frame(), by_series(drawn.df))
        pd.testing.assert_frame_equal(drawn.df, before)

    @settings(max_examples=60)
    @given(long_frames())
    def test_rows_point_into_the_frame_and_gaps_are_missing(self, drawn):
        panel = read(drawn.df, drawn.freq)
        there = panel.rows >= 0
        assert sorted(panel.rows[there]) == list(range(len(drawn.df)))
        np.testing.assert_array_equal(panel.times[there], drawn.df["ds"].to_numpy()[panel.rows[there]])
        np.testing.assert_array_equal(panel.values[there, 0], drawn.df["y"].to_numpy()[panel.rows[there]])
        assert np.isnan(panel.values[~there]).all()
        assert panel.n_gap_rows == (~there).sum() == len(panel.times) - len(drawn.df)

    @settings(max_examples=60)
    @given(long_frames())
    def test_every_series_stands_on_a_full_grid(self, drawn):
        panel = read(drawn.df, drawn.freq)
        assert panel.lengths.sum() == panel.indptr[-1] == len(panel.values) == len(panel.times)
        for a, b in zip(panel.indptr[:-1], panel.indptr[1:], strict=True):
            steps, exact = panel.freq.count(panel.times[a], panel.times[a:b])
            assert exact.all()
            assert steps.tolist() == list(range(b - a))
            assert panel.rows[a] >= 0
            assert panel.rows[b - 1] >= 0

    @pytest.mark.parametrize("freq", [*CALENDAR, *INTEGER])
    def test_frequency_is_inferred(self, freq):
        assert read(gap_free(freq, (24, 9))).freq == Frequency.parse(freq)

    def test_one_row_alone_has_a_step_of_a_day_or_of_one(self):
        assert str(read(gap_free("h", (1,))).freq) == "D"
        assert str(read(gap_free(1, (1,))).freq) == "1"

    def test_other_column_names_and_unused_columns(self):
        df = gap_free().rename(columns={"unique_id": "shop", "ds": "day", "y": "sales"}).assign(note="text")
        panel = read(df, id_col="shop", time_col="day", target_col="sales")
        pd.testing.assert_frame_equal(panel.to_frame(), df[["shop", "day", "sales"]])

    def test_several_targets_are_channels(self):
        df = gap_free(lengths=(4, 3), n_channels=3)
        panel = read(df, target_col=["y2", "y", "y1"])
        assert panel.values.shape == (7, 3)
        assert panel.labels.tolist() == [["a/y2", "a/y", "a/y1"], ["b/y2", "b/y", "b/y1"]]
        pd.testing.assert_frame_equal(panel.to_frame(), df[["unique_id", "ds", "y2", "y", "y1"]])

    def test_channels_of_a_single_series_are_named_by_their_columns(self):
        assert read(gap_free(n_channels=2), target_col=["y", "y1"]).labels.tolist() == [["y", "y1"]]

    def test_covariates_past_before_future(self):
        df = gap_free(lengths=(4, 3)).assign(price=1.0, holiday=[0, 1, 0, 0, 1, 0, 0])
        panel = read(df, past_covariates="holiday", future_covariates=["price"])
        np.testing.assert_array_equal(panel.covariates, df[["holiday", "price"]])
        assert panel.to_frame().columns.tolist() == ["unique_id", "ds", "y", "holiday", "price"]

    def test_gaps_of_covariates_are_missing_too(self):
        panel = read(gap_free(lengths=(4,)).assign(x=1.0).drop(1), "D", past_covariates=["x"])
        np.testing.assert_array_equal(panel.covariates[:, 0], [1, np.nan, 1, 1])

    @pytest.mark.parametrize("names", [[1, 2], ["1", "02"], [2.5, 1.5], [1, "1"]])
    def test_names_keep_their_type_and_order(self, names):
        df = frame_of({name: (grid("D", 2), [1.0, 2.0]) for name in names})
        panel = read(df)
        assert panel.ids.tolist() == names
        assert panel.to_frame()["unique_id"].tolist() == df["unique_id"].tolist()

    def test_categories_are_names(self):
        df = gap_free(lengths=(2, 2)).astype({"unique_id": "category"})
        assert read(df).ids.tolist() == ["a", "b"]

    def test_index_levels_with_the_right_names_are_columns(self):
        df = gap_free(lengths=(3, 2))
        for levels in (["unique_id", "ds"], ["ds"], ["unique_id"]):
            pd.testing.assert_frame_equal(read(df.set_index(levels)).to_frame(), df)

    def test_numbers_in_text_are_numbers(self):
        assert read(gap_free(lengths=(3,)).assign(y=["1", None, "2.5"])).values[[0, 2], 0].tolist() == [1, 2.5]

    def test_a_panel_is_handed_back(self):
        panel = read(gap_free())
        assert Panel.from_frame(panel) is panel

    def test_frozen(self):
        with pytest.raises(FrozenInstanceError):
            read(gap_free()).zone = "UTC"

    def test_describe_says_what_is_missing(self):
        df = gap_free(lengths=(6, 3)).drop([2, 3])
        df.loc[0, "y"] = np.nan
        assert read(df, "D").describe() == "2 series, 9 rows, freq=D, 2 missing stamps, 1 empty values (masked)"
        assert (
            read(gap_free(n_channels=2), target_col=["y", "y1"]).describe() == "1 series x 2 channels, 5 rows, freq=D"
        )


class TestOtherShapes:
    def test_series(self):
        sales = pd.Series([1.0, np.nan, 3.0], index=pd.DatetimeIndex(grid("D", 3)), name="sales")
        panel = Panel.from_frame(sales)
        assert (panel.ids.tolist(), panel.schema.targets, panel.labels.tolist()) == (["sales"], ("sales",), [["sales"]])
        np.testing.assert_array_equal(panel.values[:, 0], sales)

    def test_series_without_a_name_or_dates(self):
        panel = Panel.from_frame(pd.Series([1, 2, 3]))
        assert panel.ids.tolist() == ["y"]
        assert panel.times.tolist() == [0, 1, 2]

    def test_frame_with_the_target_alone(self):
        df = gap_free().drop(columns="unique_id")
        for given_as in (
            df,
            df.set_index("ds"),
            df.set_index("ds").rename_axis("when"),
            df.set_index("ds").rename_axis(None),
        ):
            panel = read(given_as)
            assert panel.ids.tolist() == ["y"]
            np.testing.assert_array_equal(panel.times, df["ds"])

    def test_wide_frame_equals_its_long_form(self):
        wide = pd.DataFrame({"b": [1.0, 2, 3], "a": [4, np.nan, 6]}, index=pd.DatetimeIndex(grid("MS", 3)))
        panel = read(wide)
        long = frame_of({name: (wide.index, wide[name]) for name in wide})
        pd.testing.assert_frame_equal(panel.to_frame(), long)
        assert panel.rows.tolist() == [0, 1, 2, 0, 1, 2]

    def test_wide_frame_with_a_time_column_and_shared_covariates(self):
        wide = pd.DataFrame({"day": grid("D", 3), "u": [1.0, 2, 3], "v": [4.0, 5, 6], "warm": [0, 1, 0]})
        panel = read(wide, time_col="day", past_covariates=["warm"])
        assert panel.ids.tolist() == ["u", "v"]
        assert panel.covariates[:, 0].tolist() == [0, 1, 0, 0, 1, 0]

    def test_wide_frame_of_numbers_on_a_default_index(self):
        panel = read(pd.DataFrame({"u": [1.0, 2], "v": [3, 4]}))
        assert panel.times.tolist() == [0, 1, 0, 1]

    @pytest.mark.parametrize("column", [["2024-01-01", "2024-01-02"], pd.to_datetime(["2024-01-01", "2024-01-02"])])
    def test_a_default_index_is_no_time_where_a_column_may_be(self, column):
        with pytest.raises(DataError, match=r"no column 'ds'.*'date', 'y'"):
            read(pd.DataFrame({"date": column, "y": [1.0, 2.0]}))

    @pytest.mark.parametrize(("alias", "stamps"), [("M", "MS"), ("Q", "QS"), ("Y", "YS"), ("D", "D"), ("h", "h")])
    def test_periods_stand_for_their_beginning(self, alias, stamps):
        periods = pd.period_range("2024-01-01", periods=20, freq=alias)
        for data in (pd.Series(range(20), index=periods), pd.DataFrame({"ds": periods, "y": range(20)})):
            panel = Panel.from_frame(data)
            np.testing.assert_array_equal(panel.times, periods.to_timestamp())
            assert panel.freq == Frequency.parse(stamps)

    def test_something_else(self):
        with pytest.raises(TypeError, match="a NumPy array, or a Panel, got list"):
            Panel.from_frame([1, 2, 3])


class TestTimeZones:
    @pytest.mark.parametrize("start", ["2024-03-30 20:00", "2024-10-26 20:00"])
    @pytest.mark.parametrize("freq", ["15min", "h", "D", "B", "W", "MS", "ME"])
    def test_there_and_back_through_a_change_of_the_clocks(self, freq, start):
        df = frame_of({"a": (pd.date_range(start, periods=60, freq=freq, tz=BERLIN), np.arange(60.0))})
        panel = read(df)
        assert panel.freq == Frequency.parse(freq)
        assert panel.n_gap_rows == 0
        pd.testing.assert_frame_equal(panel.to_frame(), df)

    @pytest.mark.parametrize(
        ("freq", "start"),
        [("h", "2024-03-31 00:00"), ("D", "2024-03-30 09:00"), ("MS", "2024-03-01"), ("W", "2024-10-20")],
    )
    def test_the_future_keeps_to_the_clocks(self, freq, start):
        stamps = pd.date_range(start, periods=8, freq=freq, tz=BERLIN)
        panel = read(frame_of({"a": (stamps[:4], 1.0)}), freq).extend(4)
        assert panel.stamps(panel.times).tolist() == stamps.tolist()

    def test_a_stamp_that_the_clocks_skip_moves_on(self):
        days = pd.date_range("2024-03-28 02:30", periods=3, tz=BERLIN)
        panel = read(frame_of({"a": (days, 1.0)})).extend(2)
        assert panel.stamps(panel.times).dt.strftime("%d %H:%M").tolist()[3:] == ["31 03:00", "01 02:30"]

    @pytest.mark.parametrize("zone", ["UTC", "+05:30", "America/New_York"])
    def test_other_zones(self, zone):
        df = frame_of({"a": (pd.date_range("2024-01-01", periods=5, freq="6h", tz=zone), 1.0)})
        assert (read(df).to_frame()["ds"] == df["ds"]).all()
        assert read(df).to_frame()["ds"].dt.tz.utcoffset(None) == df["ds"].dt.tz.utcoffset(None)


class TestCutting:
    def test_slice_until_and_tail_series_by_series(self):
        panel = read(gap_free(lengths=(5, 2, 4)))
        cut = panel.slice(np.array([1, 0, 4]), np.array([3, 2, 4]))
        assert cut.rows.tolist() == [1, 2, 5, 6]
        assert cut.lengths.tolist() == [2, 2, 0]
        assert panel.until(np.array([1, 2, 3])).rows.tolist() == [0, 5, 6, 7, 8, 9]
        assert panel.tail(3).rows.tolist() == [2, 3, 4, 5, 6, 8, 9, 10]

    @settings(max_examples=30)
    @given(long_frames())
    def test_what_was_extended_is_cut_off_again(self, drawn):
        panel = read(drawn.df, drawn.freq)
        longer = panel.extend(3)
        assert (longer.lengths == panel.lengths + 3).all()
        ahead = np.concatenate([np.arange(b - 3, b) for b in longer.indptr[1:]])
        assert np.isnan(longer.values[ahead]).all()
        assert (longer.rows[ahead] == -1).all()
        steps, exact = longer.freq.count(np.repeat(panel.times[panel.indptr[1:] - 1], 3), longer.times[ahead])
        assert exact.all()
        assert steps.tolist() == [1, 2, 3] * len(panel.ids)
        again = longer.until(panel.lengths)
        for name in ("values", "covariates", "times", "rows", "indptr"):
            np.testing.assert_array_equal(getattr(again, name), getattr(panel, name))


class TestFutureCovariates:
    @pytest.fixture
    def panel(self):
        df = gap_free(lengths=(4, 2)).assign(past=5.0, price=[1.0, 2, 3, 4, 5, 6])
        return read(df, past_covariates=["past"], future_covariates=["price"])

    @pytest.fixture
    def future(self):
        """Two days more than needed, in another order and unit."""
        df = frame_of({"b": (grid("D", 6)[2:], [30.0, 31, 32, 33]), "a": (grid("D", 8)[4:], [40.0, 41, 42, 43])})
        return (
            df.drop(columns="y")
            .assign(price=df["y"], ds=df["ds"].astype("datetime64[ns]"))
            .sample(frac=1, random_state=0)
        )

    def test_are_found_by_series_and_stamp(self, panel, future):
        longer = panel.extend(2, future)
        np.testing.assert_array_equal(
            longer.covariates[[4, 5, 8, 9]], [[np.nan, 40], [np.nan, 41], [np.nan, 30], [np.nan, 31]]
        )
        np.testing.assert_array_equal(longer.until(panel.lengths).covariates, panel.covariates)

    def test_one_series_needs_no_name_and_may_use_the_index(self):
        panel = read(gap_free().assign(price=1.0), future_covariates=["price"])
        future = pd.DataFrame({"price": [7.0, 8.0]}, index=pd.DatetimeIndex(grid("D", 7)[5:]))
        assert panel.extend(2, future).covariates[-2:, 0].tolist() == [7, 8]

    @pytest.mark.parametrize(("freq", "zone"), [("h", BERLIN), ("D", BERLIN), ("D", "UTC")])
    def test_in_a_time_zone(self, freq, zone):
        stamps = pd.date_range("2024-03-30", periods=40, freq=freq, tz=zone)
        df = frame_of({"a": (stamps, 1.0)}, price=np.arange(40.0))
        longer = read(df[:10], future_covariates=["price"]).extend(30, df[10:])
        assert longer.covariates[:, 0].tolist() == list(range(40))

    def test_a_zone_on_one_side_only(self, panel, future):
        with pytest.raises(DataError, match="time zone UTC, the history None"):
            panel.extend(2, future.assign(ds=future["ds"].dt.tz_localize("UTC")))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda df: None, r"reads the future covariates \['price'\]; pass future_df"),
            (lambda df: df.rename(columns={"price": "prize"}), r"no column 'price'.*mean 'prize'"),
            (lambda df: df.drop(columns="ds"), "no column 'ds'"),
            (lambda df: df.drop(columns="unique_id"), "no column 'unique_id'"),
            (lambda df: df[:0], r"'a' at 2024-01-03 00:00:00.*4 of 4 rows"),
            (lambda df: pd.DataFrame({"unique_id": [], "ds": [], "price": []}), "4 of 4 rows"),
            (lambda df: df[df["unique_id"] == "b"], r"'a' at 2024-01-03 00:00:00, 'a' at 2024-01-04 .*2 of 4 rows"),
            (lambda df: df.assign(price=df["price"].where(df["price"] != 31)), r"'b' at 2024-01-02 00:00:00 \(1 of 4"),
            (lambda df: df.assign(ds=df["ds"] + pd.Timedelta("1h")), "4 of 4 rows"),
            (lambda df: pd.concat([df, df]), "twice"),
            (lambda df: df.assign(price="dear"), "'dear' is not a number"),
            (lambda df: df.assign(ds=np.arange(len(df))), "4 of 4 rows"),
        ],
    )  # fmt: skip
    def test_what_is_missing_is_named(self, panel, future, change, words):
        with pytest.raises(DataError, match=words):
            panel.extend(2, change(future))
