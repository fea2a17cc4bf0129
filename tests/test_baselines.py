import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from tests.strategies import by_series, frame_of, gap_free, grid, long_frames
from tsrnn.data import DataError, Frequency, Panel
from tsrnn.forecasting.base import forecast_frame, interval_columns
from tsrnn.forecasting.baselines import Drift, HistoricAverage, Naive, Naive2, SeasonalNaive

BASELINES = [Naive, Naive2, SeasonalNaive, Drift, HistoricAverage]

nan = np.nan
every_baseline = pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.__name__)


def forecast(model, y, freq="D"):
    """Point forecast and deviation from a history, as arrays of length H."""
    df = frame_of({"a": (grid(freq, len(y)), y)})
    out = model.fit(df, freq=freq).predict(quantiles=[norm.cdf(1)])
    point, upper = out[model.name].to_numpy(), out.iloc[:, -1].to_numpy()
    return point, upper - point


class TestNaive:
    def test_the_last_value_with_the_random_walk_s_spread(self):
        point, deviation = forecast(Naive(horizon=3), [1.0, 4.0, 2.0, 3.0])
        assert point.tolist() == [3, 3, 3]
        np.testing.assert_allclose(deviation, np.sqrt((9 + 4 + 1) / 3) * np.sqrt([1, 2, 3]))

    def test_missing_last_values_are_further_steps(self):
        point, deviation = forecast(Naive(horizon=2), [1.0, 4.0, 2.0, nan, nan])
        assert point.tolist() == [2, 2]
        np.testing.assert_allclose(deviation, np.sqrt((9 + 4) / 2) * np.sqrt([3, 4]))


class TestSeasonalNaive:
    def test_the_last_season(self):
        point, deviation = forecast(SeasonalNaive(horizon=7, season_length=3), [9.0, 1, 2, 3, 5, 4, 3])
        assert point.tolist() == [5, 4, 3, 5, 4, 3, 5]
        residuals = np.array([3 - 9, 5 - 1, 4 - 2, 3 - 3])
        cycles = np.array([1, 1, 1, 2, 2, 2, 3])
        np.testing.assert_allclose(deviation, np.sqrt((residuals**2).mean() * cycles))

    def test_a_missing_value_is_taken_from_the_season_before(self):
        y = [1.0, 2, 3, 4, nan, 6, nan, nan, 9]
        point, deviation = forecast(SeasonalNaive(horizon=4, season_length=3), y)
        assert point.tolist() == [4, 2, 9, 4]
        np.testing.assert_allclose(deviation / deviation[2], np.sqrt([2, 3, 1, 3]))

    @pytest.mark.parametrize(
        ("freq", "season"), [("MS", 12), ("h", 24), ("D", 7), ("B", 5), ("QE", 4), ("W", 52), (1, 1)]
    )
    def test_by_default_the_season_of_the_frequency(self, freq, season):
        y = np.random.default_rng(0).normal(size=2 * season + 3)
        point, _ = forecast(SeasonalNaive(horizon=season + 2), y, freq)
        np.testing.assert_array_equal(point, np.resize(y[-season:], season + 2))

    def test_what_was_never_observed_is_not_forecast(self):
        point, deviation = forecast(SeasonalNaive(horizon=5, season_length=4), [1.0, 2.0, nan])
        np.testing.assert_array_equal(point, [nan, 1, 2, nan, nan])
        assert np.isnan(deviation).all()

    def test_a_season_beyond_all_bounds_costs_nothing(self):
        point, _ = forecast(SeasonalNaive(horizon=3, season_length=10**15), np.arange(9.0))
        assert np.isnan(point).all()

    @settings(max_examples=60)
    @given(
        y=st.lists(st.floats(-9, 9) | st.just(nan), min_size=1, max_size=25),
        season=st.integers(1, 30),
        horizon=st.integers(1, 12),
    )
    def test_equals_walking_back_season_by_season(self, y, season, horizon):
        def walked(step):
            at = len(y) + step - season
            while at >= len(y) or (at >= 0 and np.isnan(y[at])):
                at -= season
            return y[at] if at >= 0 else nan

        point, _ = forecast(SeasonalNaive(horizon=horizon, season_length=season), y, 1)
        np.testing.assert_array_equal(point, [walked(step) for step in range(horizon)])

    @pytest.mark.parametrize("season", [0, -3, 1.5, "12"])
    def test_a_season_must_be_a_positive_integer(self, season):
        with pytest.raises(ValueError, match=f"season_length.*{season!r}"):
            SeasonalNaive(horizon=2, season_length=season).fit(gap_free())


class TestDrift:
    def test_the_line_through_first_and_last(self):
        y = [1.0, 4.0, 2.0, 3.0, 9.0]
        point, deviation = forecast(Drift(horizon=3), y)
        np.testing.assert_allclose(point, [11, 13, 15])
        residuals = np.diff(y) - 2
        steps = np.array([1, 2, 3])
        np.testing.assert_allclose(deviation, np.sqrt((residuals**2).sum() / 3) * np.sqrt(steps * (1 + steps / 4)))

    def test_missing_ends_are_left_out(self):
        point, deviation = forecast(Drift(horizon=2), [nan, 1.0, nan, 2.0, 4.0, nan])
        np.testing.assert_allclose(point, [6, 7])
        assert np.isnan(deviation).all()  # one pair of neighbours cannot tell the spread around a fitted slope

    def test_one_value_is_a_level(self):
        assert forecast(Drift(horizon=2), [nan, 5.0, nan])[0].tolist() == [5, 5]


class TestHistoricAverage:
    def test_the_mean_and_what_it_leaves_open(self):
        y = [1.0, nan, 4.0, 2.0, 5.0]
        point, deviation = forecast(HistoricAverage(horizon=2), y)
        assert point.tolist() == [3, 3]
        np.testing.assert_allclose(deviation, np.nanstd(y, ddof=1) * np.sqrt(1 + 1 / 4))


@every_baseline
class TestEveryBaseline:
    def test_columns_stamps_and_order_of_series(self, baseline):
        df = by_series(gap_free("MS", (30, 25)).iloc[::-1].sort_values("ds", kind="stable"))
        out = baseline(horizon=3).fit(df).predict(level=[80, 95], quantiles=[0.1])
        name = baseline.__name__
        assert out.columns.tolist() == [
            "unique_id", "ds", name,
            f"{name}-lo-80", f"{name}-hi-80", f"{name}-lo-95", f"{name}-hi-95", f"{name}-q-0.1",
        ]  # fmt: skip
        assert out["unique_id"].tolist() == ["b"] * 3 + ["a"] * 3
        assert out["ds"].dtype == df["ds"].dtype
        ends = df.groupby("unique_id")["ds"].max()
        expected = [ends[i] + pd.DateOffset(months=h) for i in "ba" for h in (1, 2, 3)]
        assert out["ds"].tolist() == expected
        np.testing.assert_allclose(out[f"{name}-q-0.1"], out[f"{name}-lo-80"])
        widths = [out[f"{name}-hi-{p}"] - out[f"{name}-lo-{p}"] for p in (80, 95)]
        np.testing.assert_allclose(widths[1] / widths[0], norm.ppf(0.975) / norm.ppf(0.9))

    def test_default_level_and_none(self, baseline):
        model, name = baseline(horizon=2).fit(gap_free(lengths=(20,))), baseline.__name__
        assert model.predict().columns.tolist()[2:] == [name, f"{name}-lo-90", f"{name}-hi-90"]
        assert model.predict(level=[]).columns.tolist()[2:] == [name]
        asked = np.array([0.1, 0.5])
        assert model.predict(quantiles=asked).columns.tolist()[2:] == [name, f"{name}-q-0.1", f"{name}-q-0.5"]
        np.testing.assert_array_equal(model.predict(quantiles=[0.5])[f"{name}-q-0.5"], model.predict()[name])

    @pytest.mark.parametrize("asked", [{"level": [100]}, {"level": [0.0]}, {"quantiles": [1.0]}, {"quantiles": [-0.1]}])
    def test_levels_out_of_range(self, baseline, asked):
        with pytest.raises(ValueError, match="between 0 and 1"):
            baseline(horizon=2).fit(gap_free()).predict(**asked)

    @settings(max_examples=15)
    @given(drawn=long_frames(), data=st.data())
    def test_series_do_not_depend_on_their_neighbours_or_order(self, baseline, drawn, data):
        model = baseline(horizon=2)
        together = model.fit(drawn.df, freq=drawn.freq).predict().set_index("unique_id")
        names = data.draw(st.permutations(drawn.df["unique_id"].unique().tolist()))
        other = pd.concat([drawn.df[drawn.df["unique_id"] == name] for name in names])
        again = model.fit(other, freq=drawn.freq).predict()
        assert again["unique_id"].drop_duplicates().tolist() == names
        for name in names:
            alone = model.fit(drawn.df[drawn.df["unique_id"] == name], freq=drawn.freq).predict()
            pd.testing.assert_frame_equal(alone, again[again["unique_id"] == name].reset_index(drop=True))
            pd.testing.assert_frame_equal(alone.set_index("unique_id"), together.loc[[name]])

    @settings(max_examples=15)
    @given(drawn=long_frames(max_series=2, min_rows=3), garbage=st.sampled_from([1e9, nan]))
    def test_nothing_after_the_cutoff_is_read(self, baseline, drawn, garbage):
        panel = Panel.from_frame(drawn.df, freq=drawn.freq).extend(2)
        ends = panel.lengths - 3
        spoilt = panel.extend(0)
        for stop in panel.indptr[1:]:
            spoilt.values[stop - 3 : stop] = garbage
        model, series = baseline(horizon=2).fit_panel(panel), np.arange(len(ends))
        clean, dirty = (model.forecast_panel(p, series, ends, (0.1,)) for p in (panel, spoilt))
        np.testing.assert_array_equal(clean, dirty)

    def test_several_cutoffs_and_channels_at_once(self, baseline):
        df = gap_free(lengths=(30, 40), n_channels=2)
        model = baseline(horizon=3).fit(df, target_col=["y", "y1"])
        panel = model.history_.extend(3)
        series, ends = np.array([1, 0, 1]), np.array([40, 20, 25])
        values = model.forecast_panel(panel, series, ends)
        assert values.shape == (3, 3, 2, 1)
        for b, (i, end) in enumerate(zip(series, ends, strict=True)):
            own = df[df["unique_id"] == "ab"[i]][:end]
            for c, column in enumerate(["y", "y1"]):
                alone = baseline(horizon=3).fit(own, target_col=column).predict(level=[])
                np.testing.assert_array_equal(values[b, :, c, 0], alone[model.name])
        frame = forecast_frame(panel, series, ends, values, [model.name])
        assert frame["unique_id"].drop_duplicates().tolist() == ["b/y", "b/y1", "a/y", "a/y1"]
        assert frame["ds"].iloc[0] == df["ds"].max() + pd.Timedelta("1D")

    def test_new_history_without_refitting(self, baseline):
        old, new = gap_free(lengths=(30,)), gap_free(lengths=(25, 20), seed=1)
        model = baseline(horizon=2).fit(old)
        before = model.predict()
        pd.testing.assert_frame_equal(model.predict(new), baseline(horizon=2).fit(new).predict())
        pd.testing.assert_frame_equal(model.predict(), before)

    def test_frequency_and_columns_of_new_history_are_those_of_the_fit(self, baseline):
        df = gap_free(lengths=(20,)).rename(columns={"unique_id": "shop", "ds": "day", "y": "sales"})
        names = {"id_col": "shop", "time_col": "day", "target_col": "sales"}
        model = baseline(horizon=2).fit(df, freq="D", **names)
        assert model.predict(df[:1]).columns.tolist()[:2] == ["shop", "day"]
        with_gaps = df.iloc[[0, 3, 9, 18]]
        assert model.predict(with_gaps)["day"].tolist() == [df["day"][18] + pd.Timedelta(days=h) for h in (1, 2)]
        with pytest.raises(DataError, match="on no step of"):
            model.predict(df.assign(day=pd.date_range("2024", periods=20, freq="h")))

    def test_every_kind_of_time_goes_on(self, baseline):
        for freq in ("h", "B", "ME", "QS", 3):
            times = grid(freq, 22)
            out = baseline(horizon=2).fit(frame_of({"a": (times[:20], np.arange(20.0))})).predict()
            assert out["ds"].tolist() == pd.Series(times[20:]).tolist()

    def test_time_zone(self, baseline):
        stamps = pd.date_range("2024-03-25", periods=12, tz="Europe/Berlin")
        out = baseline(horizon=4).fit(frame_of({"a": (stamps[:8], np.arange(8.0))})).predict()
        assert out["ds"].tolist() == stamps[8:].tolist()

    def test_covariates_do_not_disturb(self, baseline):
        df = gap_free(lengths=(20,)).assign(price=1.0)
        future = pd.DataFrame({"ds": grid("D", 22)[20:], "price": 2.0})
        out = baseline(horizon=2).fit(df, future_covariates="price").predict(future_df=future)
        pd.testing.assert_frame_equal(out, baseline(horizon=2).fit(df).predict())

    def test_the_frame_is_left_alone(self, baseline):
        df = gap_free(lengths=(20,))
        before = df.copy(deep=True)
        model = baseline(horizon=2).fit(df)
        df.loc[:, "y"] = -1.0
        kept = model.predict()
        pd.testing.assert_frame_equal(kept, baseline(horizon=2).fit(before).predict())
        model.predict(before)
        pd.testing.assert_frame_equal(before, gap_free(lengths=(20,)))


@every_baseline
class TestContract:
    def test_nothing_happens_before_fit(self, baseline):
        model = baseline(horizon="soon")
        assert model.horizon == "soon"
        assert vars(model).keys() == model.get_params().keys()
        with pytest.raises(ValueError, match="horizon must be a positive integer, got 'soon'"):
            model.fit(gap_free())

    @pytest.mark.parametrize("horizon", [0, -1, 2.0, None])
    def test_horizon(self, baseline, horizon):
        with pytest.raises(ValueError, match="horizon"):
            baseline(horizon=horizon).fit(gap_free())
        assert len(baseline(horizon=np.int64(2)).fit(gap_free()).predict()) == 2

    def test_not_fitted(self, baseline, tmp_path):
        for call in (lambda m: m.predict(), lambda m: m.predict(gap_free()), lambda m: m.save(tmp_path / "m")):
            with pytest.raises(NotFittedError):
                call(baseline(horizon=2))

    def test_clone_is_unfitted_and_alike(self, baseline):
        model = baseline(horizon=4).fit(gap_free())
        copy = clone(model)
        assert copy.get_params() == model.get_params()
        assert repr(copy) == repr(model)
        assert not hasattr(copy, "history_")

    def test_parameters(self, baseline):
        model = baseline(horizon=4)
        assert model.set_params(horizon=2) is model
        assert model.get_params()["horizon"] == 2
        with pytest.raises(ValueError, match=r"no parameter 'horizn'.*horizon"):
            model.set_params(horizn=3)
        with pytest.raises(ValueError, match="no parameter"):
            model.set_params(horizon__size=3)

    def test_fit_returns_itself_and_forgets(self, baseline):
        first, second = gap_free(lengths=(30, 30)), gap_free("MS", (25,), seed=3)
        model = baseline(horizon=2)
        assert model.fit(first) is model
        pd.testing.assert_frame_equal(model.fit(second).predict(), baseline(horizon=2).fit(second).predict())


def test_interval_columns_in_the_order_asked_for():
    columns, quantiles = interval_columns("M", [95, 80.5])
    assert columns == ["M-lo-95", "M-hi-95", "M-lo-80.5", "M-hi-80.5"]
    np.testing.assert_allclose(quantiles, [0.025, 0.975, 0.0975, 0.9025])


def test_the_frequency_is_the_panel_s():
    assert Naive(horizon=1).fit(gap_free("W")).history_.freq == Frequency.parse("W")
