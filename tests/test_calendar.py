import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import CALENDAR, INTEGER, grid
from tsrnn.data import Frequency
from tsrnn.data.calendar import calendar_features, to_times

DAY = 86_400 * 10**9


def infer(*series):
    times = [np.asarray(s) for s in series]
    return Frequency.infer(np.concatenate(times), np.cumsum([0, *map(len, times)]))


class TestParse:
    @pytest.mark.parametrize(
        ("aliases", "season_length"),
        [
            (("ns", "N", "1ns"), 86_400 * 10**9),
            (("us", "U"), 86_400 * 10**6),
            (("ms", "L"), 86_400 * 10**3),
            (("s", "S", "1s"), 86_400),
            (("min", "T", "60s"), 1440),
            (("15min", "15T"), 96),
            (("h", "H", "60min"), 24),
            (("D", "d", "24h"), 7),
            (("B",), 5),
            (("W", "W-SUN", "W-MON", "7D"), 52),
            (("MS",), 12),
            (("ME", "M"), 12),
            (("QS", "QS-OCT", "3MS"), 4),
            (("QE", "Q", "QE-DEC", "Q-DEC", "3ME"), 4),
            (("YS", "AS", "YS-JAN", "AS-JAN", "12MS"), 1),
            (("YE", "Y", "A", "A-DEC", "12ME"), 1),
            ((1, "1", np.int64(1)), 1),
            (("2D",), 1),
            (("36h",), 1),
        ],
    )
    def test_spellings_old_and_new_mean_the_same(self, aliases, season_length):
        (freq,) = {Frequency.parse(alias) for alias in aliases}
        assert freq.season_length == season_length
        assert Frequency.parse(freq) is freq

    @pytest.mark.parametrize("alias", [*CALENDAR, *INTEGER, "ns", "us", "90s", "2W", "2MS", "5YE", "6h"])
    def test_printed_and_read_again(self, alias):
        freq = Frequency.parse(alias)
        assert Frequency.parse(str(freq)) == freq

    @pytest.mark.parametrize(
        ("alias", "near"),
        [("hr", "'h'"), ("mn", "'min'"), ("2B", "'B'"), ("BME", "'ME'"), ("0D", "0D"), (0, "0"), ("-1h", "-1h"),
         (-3, "-3"), (1.5, "1.5"), ("", "''"), (pd.Timedelta("1h"), "Timedelta"), (True, "True")],
    )  # fmt: skip
    def test_what_is_no_frequency_is_refused(self, alias, near):
        with pytest.raises(ValueError, match="not a known frequency") as error:
            Frequency.parse(alias)
        assert near in str(error.value)


class TestInfer:
    @pytest.mark.parametrize("alias", [*CALENDAR, *INTEGER, "2D", "2MS", "10min"])
    def test_every_kind(self, alias):
        assert infer(grid(alias, 24)) == Frequency.parse(alias)

    @pytest.mark.parametrize("alias", [*CALENDAR, *INTEGER])
    def test_most_common_step_wins_over_gaps_and_over_the_jump_between_series(self, alias):
        times = grid(alias, 40)
        assert infer(times[[*range(12), 14, *range(20, 30)]], times[:13], times[35:]) == Frequency.parse(alias)

    @pytest.mark.parametrize(
        ("days", "alias"),
        [
            (["2023-02-01", "2023-03-01"], "MS"),
            (["2023-02-01", "2023-03-01", "2023-04-01"], "MS"),
            (["2023-01-31", "2023-02-28", "2023-03-31"], "ME"),
            (["2024-01-31", "2024-02-29", "2024-03-31"], "ME"),
            (["2024-02-29", "2028-02-29"], "48ME"),
            (["2023-01-02", "2023-01-30", "2023-02-27"], "4W"),
            (["2024-03-28", "2024-03-29", "2024-04-01", "2024-04-02"], "D"),  # two days off prove no working week
        ],
    )
    def test_months_by_their_length_and_weeks_are_told_apart(self, days, alias):
        assert infer(pd.to_datetime(days).to_numpy()) == Frequency.parse(alias)

    def test_nothing_to_infer_from(self):
        assert infer(grid("h", 1)) is None
        assert infer(grid("h", 1), grid("h", 1)) is None

    def test_daily_stamps_with_a_weekend_are_no_business_days(self):
        assert infer(grid("D", 30)) == Frequency.parse("D")


class TestCountAndShift:
    @settings(max_examples=60)
    @given(
        alias=st.sampled_from([*CALENDAR, *INTEGER, "2MS", "6h"]),
        start=st.dates(datetime.date(1901, 1, 1), datetime.date(2199, 1, 1)),
        clock=st.sampled_from(["00:00", "00:30", "23:00"]),
        unit=st.sampled_from(["s", "us", "ns"]),
        steps=st.lists(st.integers(-30, 30), min_size=1, max_size=5),
    )
    def test_are_inverse(self, alias, start, clock, unit, steps):
        freq = Frequency.parse(alias)
        first = np.repeat(grid(alias, 1, f"{start} {clock}", unit), len(steps))
        moved = freq.shift(first, np.asarray(steps))
        assert moved.dtype == first.dtype
        counted, exact = freq.count(first, moved)
        assert counted.tolist() == steps
        assert exact.all()

    @pytest.mark.parametrize("alias", CALENDAR)
    def test_shift_walks_as_pandas_does(self, alias):
        times = grid(alias, 60, "2023-12-30 00:00")
        walked = Frequency.parse(alias).shift(np.repeat(times[0], 60), np.arange(60))
        np.testing.assert_array_equal(walked, times)

    def test_month_ends_keep_to_the_end_in_leap_years(self):
        ends = Frequency.parse("ME").shift(np.datetime64("2024-01-31", "us"), np.array([1, 2, 13, -1]))
        assert ends.astype("datetime64[D]").astype(str).tolist() == [
            "2024-02-29",
            "2024-03-31",
            "2025-02-28",
            "2023-12-31",
        ]

    @pytest.mark.parametrize(
        ("alias", "start", "stamp"),
        [
            ("h", "2024-01-01 00:00", "2024-01-01 01:30"),
            ("D", "2024-01-01 00:00", "2024-01-02 00:01"),
            ("2D", "2024-01-01", "2024-01-02"),
            ("MS", "2024-01-01", "2024-02-02"),
            ("MS", "2024-01-01", "2024-02-01 06:00"),
            ("ME", "2024-01-31", "2024-02-28"),
            ("QS", "2024-01-01", "2024-02-01"),
            ("B", "2024-01-05", "2024-01-06"),
            ("B", "2024-01-05", "2024-01-08 09:00"),
        ],
    )
    def test_off_the_grid_is_told(self, alias, start, stamp):
        _, exact = Frequency.parse(alias).count(np.datetime64(start, "us"), np.array([stamp], "datetime64[us]"))
        assert not exact.any()

    def test_integers_off_the_grid(self):
        steps, exact = Frequency.parse(3).count(np.array([1, 1, 1]), np.array([1, 5, 7]))
        assert steps.tolist() == [0, 1, 2]
        assert exact.tolist() == [True, False, True]

    @pytest.mark.parametrize("alias", ["D", "W", "h"])
    def test_five_centuries_do_not_overflow(self, alias):
        freq, start = Frequency.parse(alias), np.array(["1521-01-04"], "datetime64[us]")
        steps = 500 * 365 * DAY // freq.step * np.ones(1, np.int64)
        assert freq.count(start, freq.shift(start, steps))[0] == steps
        assert str(freq.shift(start, steps)[0])[:2] == "20"

    def test_a_step_finer_than_the_unit_of_the_stamps(self):
        steps, exact = Frequency.parse("500ms").count(
            *np.array([["2024-01-01T00:00:00"], ["2024-01-01T00:00:03"]], "datetime64[s]")
        )
        assert steps.tolist() == [6]
        assert exact.all()


class TestFeatures:
    @pytest.mark.parametrize(
        ("alias", "n_features"),
        [("min", 8), ("h", 8), ("36h", 8), ("D", 8), ("B", 8), ("W", 4), ("MS", 4), ("QE", 4), ("YS", 0), (1, 0)],
    )
    def test_shape_and_range(self, alias, n_features):
        features = calendar_features(grid(alias, 50), Frequency.parse(alias))
        assert features.shape == (50, n_features)
        assert features.dtype == np.float32
        assert np.abs(features).max(initial=0) <= 1

    @pytest.mark.parametrize(
        ("alias", "column", "period"), [("h", 0, 24), ("h", 4, 168), ("D", 0, 7), ("MS", 0, 12), ("B", 0, 5)]
    )
    def test_cycles_repeat_after_their_period_and_not_before(self, alias, column, period):
        features = calendar_features(grid(alias, 4 * period), Frequency.parse(alias))[:, column : column + 2]
        np.testing.assert_allclose(features[period:], features[:-period], atol=1e-6)
        assert len(np.unique(features[:period].round(4), axis=0)) == period

    def test_monday_and_midnight_are_zero(self):
        (features,) = calendar_features(np.array(["2024-01-01T00:00"], "datetime64[us]"), Frequency.parse("h"))
        np.testing.assert_allclose(features, [0, 1, 0, 1, 0, 1, 0, 1], atol=1e-6)

    def test_before_1970_too(self):
        early, late = (
            calendar_features(np.array([t], "datetime64[s]"), Frequency.parse("h"))
            for t in ("1964-02-05T18:00", "2020-02-05T18:00")
        )
        np.testing.assert_allclose(early, late, atol=1e-6)  # both a Wednesday


class TestTimes:
    def test_zone_in_utc_and_on_the_wall(self):
        column = pd.Series(pd.date_range("2024-03-30 12:00", periods=2, tz="Europe/Berlin"))
        utc, zone = to_times(column)
        wall, _ = to_times(column, wall=True)
        assert zone == "Europe/Berlin"
        assert utc.astype("datetime64[h]").astype(str).tolist() == ["2024-03-30T11", "2024-03-31T10"]
        assert wall.astype("datetime64[h]").astype(str).tolist() == ["2024-03-30T12", "2024-03-31T12"]

    @pytest.mark.parametrize("dtype", ["int32", "uint8", "Int64"])
    def test_integers_of_any_kind(self, dtype):
        times, zone = to_times(pd.Series([1, 2, 3], dtype=dtype))
        assert times.dtype == np.int64
        assert zone is None
