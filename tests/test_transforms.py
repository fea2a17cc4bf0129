"""The contract of all transforms, and what each is by another road."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import preprocessing

from tests.strategies import frame_of, gap_free, grid, long_frames
from tsrnn.data import DataError, Panel, Schema
from tsrnn.forecasting.artifact import encode
from tsrnn.forecasting.spec import SpecError, from_spec, to_spec
from tsrnn.transforms import (
    BoxCox,
    Chain,
    Covariates,
    Difference,
    Log1p,
    MeanAbsScaler,
    MinMaxScaler,
    RobustScaler,
    SeasonalScaler,
    StandardScaler,
    YeoJohnson,
)

SCALERS = [
    scaler(per) for scaler in (StandardScaler, RobustScaler, MinMaxScaler, MeanAbsScaler) for per in ("series", "all")
]
POINTWISE = [*SCALERS, SeasonalScaler(), Log1p(), BoxCox(), YeoJohnson(), Chain([Log1p(), StandardScaler()])]
DIFFERENCES = [Difference(), Difference(3), Difference("season"), Chain([BoxCox(), Difference(2), RobustScaler()])]
TRANSFORMS = [*POINTWISE, *DIFFERENCES]


def names(transform):
    return repr(transform).replace("transforms.", "")


every_transform = pytest.mark.parametrize("transform", TRANSFORMS, ids=names)
every_pointwise = pytest.mark.parametrize("transform", POINTWISE, ids=names)
every_scaler = pytest.mark.parametrize("scaler", SCALERS, ids=names)


def panel_of(*series, freq="D"):
    """A panel of series ``a``, ``b`` ..., given as values."""
    return Panel.from_frame(frame_of({chr(97 + i): (grid(freq, len(y)), y) for i, y in enumerate(series)}), freq=freq)


def positive(panel):
    """The panel with values that every transform takes: 0.001 at least."""
    return replace(panel, values=np.abs(panel.values) + 1e-3)


def poisoned(panel, ends, garbage):
    """The panel with garbage in all rows from ``ends`` on."""
    after = np.arange(len(panel.times)) >= np.repeat(panel.indptr[:-1] + ends, panel.lengths)
    return replace(panel, values=np.where(after[:, None], garbage, panel.values))


def assert_same_state(one, other):
    assert one.state.keys() == other.state.keys()
    for name, array in one.state.items():
        np.testing.assert_array_equal(array, other.state[name], err_msg=name)


def assert_close(found, wanted, rtol=1e-9):
    """Equal up to the rounding of the greatest value, which a sum of differences runs through."""
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * np.nanmax(np.abs(wanted), initial=0) + 1e-12)


@every_transform
class TestEveryTransform:
    @settings(max_examples=40)
    @given(drawn=long_frames())
    def test_inverse_undoes_transform(self, transform, drawn):
        panel = positive(Panel.from_frame(drawn.df, freq=drawn.freq))
        fitted = transform.fit(panel)
        there = fitted.transform(panel)
        back = fitted.inverse_transform(there)
        assert_close(back.values, panel.values)
        lost = np.isnan(there.values).sum() - np.isnan(panel.values).sum()  # the first value of each phase
        assert 0 <= lost <= len(panel.ids) * transform.lookback(panel.freq)

    @settings(max_examples=30)
    @given(drawn=long_frames(missing=False), garbage=st.sampled_from([np.nan, 1e12, -1e12]), data=st.data())
    def test_rows_after_a_cutoff_touch_nothing(self, transform, drawn, garbage, data):
        panel = positive(Panel.from_frame(drawn.df, freq=drawn.freq))
        ends = np.array([data.draw(st.integers(1, n)) for n in panel.lengths])
        fitted = transform.fit(panel.until(ends))
        spoilt = poisoned(panel, ends, garbage)
        assert_same_state(transform.fit(spoilt.until(ends)), fitted)
        assert_same_state(fitted.on(spoilt, ends), fitted)
        values = np.random.default_rng(0).normal(size=(len(ends), 4, 1, 3))
        series = np.arange(len(ends))
        back, again = (fitted.inverse_forecast(values, p.extend(4), series, ends) for p in (panel, spoilt))
        np.testing.assert_array_equal(back, again)

    @settings(max_examples=20)
    @given(drawn=long_frames(), data=st.data())
    def test_the_order_of_series_does_not_matter(self, transform, drawn, data):
        panel = positive(Panel.from_frame(drawn.df, freq=drawn.freq))
        turn = np.asarray(data.draw(st.permutations(range(len(panel.ids)))))
        blocks = np.split(np.arange(len(panel.times)), panel.indptr[1:-1])
        rows = np.concatenate([blocks[i] for i in turn])
        turned = replace(
            panel, values=panel.values[rows], covariates=panel.covariates[rows], times=panel.times[rows],
            rows=panel.rows[rows], ids=panel.ids[turn], indptr=np.concatenate([[0], np.cumsum(panel.lengths[turn])]),
        )  # fmt: skip
        fitted, other = transform.fit(panel), transform.fit(turned)
        assert_close(other.transform(turned).values, fitted.transform(panel).values[rows], 1e-6)
        np.testing.assert_array_equal(fitted.transform(turned).values, fitted.transform(panel).values[rows])

    def test_known_rows_come_back_as_forecasts(self, transform):
        rng = np.random.default_rng(1)
        panel = panel_of(*(np.exp(rng.normal(2, 0.5, (n, 1)))[:, 0] for n in (30, 20)))
        panel.values[[3, 8, 11, 39, 42]] = np.nan  # the last known row of two cutoffs among them
        fitted = transform.fit(panel)
        there = fitted.transform(panel).values
        series, ends, horizon = np.array([1, 0, 1, 0]), np.array([14, 12, 13, 20]), 6
        rows = (panel.indptr[series] + ends)[:, None] + np.arange(horizon)
        back = fitted.inverse_forecast(there[rows][..., None] * np.ones(2), panel, series, ends)
        np.testing.assert_allclose(back, panel.values[rows][..., None] * np.ones(2), rtol=1e-9)

    def test_quantiles_do_not_cross(self, transform):
        panel = panel_of(np.arange(1.0, 30), [5.0, 2.0, 9.0, 4.0])
        fitted = transform.fit(panel)
        values = np.sort(np.random.default_rng(0).normal(0, 30, (2, 5, 1, 9)), axis=-1)
        back = fitted.inverse_forecast(values, panel, np.arange(2), np.array([20, 4]))
        assert np.isfinite(back).all()
        assert (np.diff(back, axis=-1) >= 0).all()

    @pytest.mark.parametrize(
        "values", [[0.1] * 9, [0.0] * 4, [1e9 / 3] * 7, [5.0], [np.nan, 2.5, np.nan, 2.5], [np.nan] * 5, [1e9, 1e-9, 4]]
    )
    def test_constant_empty_huge_and_tiny_series_do_no_harm(self, transform, values):
        values = np.asarray(values)
        powers = [step for step in getattr(transform, "steps", [transform]) if isinstance(step, BoxCox)]
        panel = panel_of(values + 1.0 * bool(powers), [1.0, 2, 5, 3, 8, 9, 4, 2, 6])
        fitted = transform.fit(panel)
        there = fitted.transform(panel)
        assert np.isfinite(there.values[-1]).all()
        assert (np.isfinite(there.values) <= ~np.isnan(panel.values)).all()
        assert not np.isinf(there.values).any()
        assert_close(fitted.inverse_transform(there).values, panel.values)
        back = fitted.inverse_forecast(
            np.array([-1e3, 0, 1, 1e3]).reshape(1, 2, 1, 2), panel, np.array([0]), np.array([1])
        )
        assert np.isfinite(back).all()

    def test_every_channel_of_every_series_for_itself(self, transform):
        df = gap_free(lengths=(40, 30), n_channels=2).assign(y1=lambda d: np.exp(d["y1"]))
        if getattr(transform, "per", "series") == "all":
            df = df[df["unique_id"] == "b"]
        both = transform.fit_transform(df, target_col=["y", "y1"])
        alone = transform.fit_transform(df[df["unique_id"] == "b"], target_col="y1")
        assert_close(both.loc[both["unique_id"] == "b", "y1"], alone["y1"])

    def test_specification_survives_json_and_cannot_be_changed(self, transform):
        spec = {"network": "GRU", "transforms": json.loads(json.dumps(encode(transform)))}
        model = from_spec(spec, horizon=2)
        assert model.transforms == transform
        assert hash(model.transforms) == hash(transform)
        assert to_spec(from_spec(to_spec(model))) == to_spec(model)
        with pytest.raises(AttributeError):
            transform.other = 1

    def test_a_new_series_is_transformed_by_its_own_known_rows(self, transform):
        fitted = transform.fit(panel_of([1.0, 2, 4, 3, 7], [4.0, 1, 5, 6, 2]))
        known, own = np.array([4, 3]), [3.0, 5, 8, 4]
        frame = frame_of({"new": (grid("D", 6), [*own, 1e9, 1e9]), "b": (grid("D", 5), [4.0, 1, 5, 6, 2])})
        panel = Panel.from_frame(frame)
        extended = fitted.on(panel, known)
        again = fitted.on(poisoned(panel, known, 1.0), known)
        assert_same_state(extended, again)
        assert extended.ids.tolist() == ["new", "b"]
        there = extended.transform(panel).values[:, 0]
        np.testing.assert_array_equal(there[6:], fitted.transform(panel_of([1.0], [4.0, 1, 5, 6, 2])).values[1:, 0])
        if getattr(transform, "per", "series") == "series":
            np.testing.assert_array_equal(there[:4], transform.fit_transform(panel_of(own)).values[:, 0])

    def test_there_is_no_way_back_for_a_series_never_fitted(self, transform):
        fitted = transform.fit(panel_of([1.0, 2, 4, 3, 7]))
        with pytest.raises(DataError, match=r"not fitted on series 'b' \(1 such in all\)"):
            fitted.inverse_transform(panel_of([1.0, 2], [3.0, 4]))


class TestFrames:
    """What comes out has the shape, the order and the index of what went in."""

    def test_a_long_frame_keeps_rows_columns_and_index(self):
        df = gap_free(lengths=(6, 4)).assign(note="x").sample(frac=1, random_state=0).sort_values("ds")
        df.loc[df.index[3], "y"] = np.nan
        before = df.copy()
        fitted = StandardScaler().fit(df)
        there = fitted.transform(df)
        pd.testing.assert_frame_equal(df, before)
        pd.testing.assert_frame_equal(there.drop(columns="y"), df.drop(columns="y"))
        want = df["y"].groupby(df["unique_id"]).transform(lambda y: (y - y.mean()) / y.std(ddof=0))
        np.testing.assert_allclose(there["y"], want)
        pd.testing.assert_frame_equal(fitted.inverse_transform(there), df)

    def test_a_wide_frame_and_a_series(self):
        wide = pd.DataFrame({"u": [1.0, 2, 4], 7: [9.0, 3, 6]}, index=pd.date_range("2024-01-01", periods=3))
        there = MinMaxScaler().fit_transform(wide)
        pd.testing.assert_frame_equal(there, (wide - wide.min()) / (wide.max() - wide.min()))
        y = wide["u"].iloc[[0, 2]]
        pd.testing.assert_series_equal(Log1p().fit_transform(y, freq="D"), np.log1p(y), check_freq=False)

    def test_gaps_stay_out(self):
        df = frame_of({"a": (grid("D", 6)[[0, 1, 2, 5]], [1.0, 3, 2, 9])})
        fitted = Difference().fit(df)
        assert fitted.transform(df)["y"].fillna(-99).tolist() == [-99, 2, -1, 7]
        pd.testing.assert_frame_equal(fitted.inverse_transform(fitted.transform(df)), df)


class TestByAnotherRoad:
    X = np.random.default_rng(3).gamma(2, 3, (60, 1)) + 0.1

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            (StandardScaler(), preprocessing.StandardScaler()),
            (MinMaxScaler(), preprocessing.MinMaxScaler()),
            (Log1p(), preprocessing.FunctionTransformer(np.log1p)),
        ],
        ids=names,
    )
    @pytest.mark.parametrize("missing", [False, True])
    def test_as_scikit_learn_has_it(self, ours, theirs, missing):
        x = self.X.copy()
        x[[0, 7]] = np.nan if missing else 5.0
        np.testing.assert_allclose(ours.fit_transform(panel_of(x[:, 0])).values, theirs.fit_transform(x))

    @pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler])
    def test_all_together_is_as_one_column(self, scaler):
        theirs = getattr(preprocessing, scaler.__name__)().fit_transform(self.X)
        ours = scaler("all").fit_transform(panel_of(self.X[:25, 0], self.X[25:, 0]))
        np.testing.assert_allclose(ours.values, theirs)

    @pytest.mark.parametrize(
        ("ours", "theirs", "x"),
        [
            (BoxCox(), "box-cox", X),
            (BoxCox(), "box-cox", X**-0.7),
            (YeoJohnson(), "yeo-johnson", X),
            (YeoJohnson(), "yeo-johnson", 6 - X),
        ],
        ids=str,
    )
    def test_powers_are_the_most_likely_ones(self, ours, theirs, x):
        panel = panel_of(x[:, 0])
        fitted = ours.fit(panel)
        there = fitted.transform(panel).values
        oracle = preprocessing.PowerTransformer(theirs).fit(x / fitted.state["scale"])
        np.testing.assert_allclose(fitted.state["power"][0], oracle.lambdas_, atol=1e-4)
        assert -1 < fitted.state["power"][0, 0] < 2
        want = oracle.transform(x / fitted.state["scale"])
        np.testing.assert_allclose((there - there.mean()) / there.std(), want, atol=1e-3)

    def test_box_cox_is_scipys_but_for_the_unit(self):
        fitted = BoxCox().fit(panel_of(self.X[:, 0]))
        scale, power = fitted.state["scale"][0, 0], fitted.state["power"][0, 0]
        assert scale == pytest.approx(stats.gmean(self.X[:, 0]))
        assert power == pytest.approx(stats.boxcox_normmax(self.X[:, 0], method="mle"), abs=1e-4)
        there = fitted.transform(panel_of(self.X[:, 0])).values[:, 0]
        np.testing.assert_allclose(there, stats.boxcox(self.X[:, 0] / scale, power))

    @pytest.mark.parametrize("lag", [1, 4])
    def test_differences_are_those_of_pandas(self, lag):
        panel = panel_of(self.X[:20, 0], self.X[20:, 0])
        there = Difference(lag).fit_transform(panel).values[:, 0]
        want = [pd.Series(part[:, 0]).diff(lag) for part in (self.X[:20], self.X[20:])]
        np.testing.assert_array_equal(there, np.concatenate(want))

    def test_the_season_of_a_difference_is_that_of_the_frequency(self):
        panel = panel_of(np.arange(30.0), freq="MS")
        assert Difference("season").lookback(panel.freq) == 12
        np.testing.assert_array_equal(Difference("season").fit_transform(panel).values[12:], 12)

    def test_a_missing_value_costs_no_other_one(self):
        there = Difference().fit_transform(panel_of([1.0, np.nan, np.nan, 5.0, 6.0])).values[:, 0]
        np.testing.assert_array_equal(there, [np.nan, np.nan, np.nan, 4, 1])

    def test_sample_paths_of_differences_are_summed_path_by_path(self):
        panel = panel_of(np.arange(10.0))
        paths = np.random.default_rng(0).normal(size=(1, 7, 1, 5))
        back = Difference(2).fit(panel).inverse_forecast(paths, panel, np.array([0]), np.array([6]))
        for h in range(7):
            want = (4 + h % 2) + paths[0, h % 2 : h + 1 : 2, 0].sum(axis=0)
            np.testing.assert_allclose(back[0, h, 0], want)


class TestByHand:
    def test_standard(self):
        state = StandardScaler().fit(panel_of([1.0, np.nan, 3.0, 8.0])).state
        assert state["location"][0, 0] == 4
        assert state["scale"][0, 0] == pytest.approx(np.std([1, 3, 8]))

    def test_robust(self):
        state = RobustScaler().fit(panel_of([1.0, 2.0, np.nan, 4.0, 8.0, 1e6])).state
        assert state["location"][0, 0] == 4
        assert state["scale"][0, 0] == pytest.approx(1.4826 * 3)

    def test_robust_where_most_values_are_alike(self):
        state = RobustScaler().fit(panel_of([5.0, 5.0, 5.0, 9.0])).state
        assert state["location"][0, 0] == 5
        assert state["scale"][0, 0] == pytest.approx(np.std([5, 5, 5, 9]))

    def test_mean_abs(self):
        np.testing.assert_allclose(MeanAbsScaler().fit_transform(panel_of([-1.0, np.nan, 0, 5])).values[0], -0.5)

    def test_seasonal_is_the_unit_of_mase(self):
        y = np.random.default_rng(0).normal(5, 2, 40)
        panel = panel_of(y, np.where(np.arange(40) == 7, np.nan, y), np.full(9, 300.0), [0.0, 0.0, 4.0], np.zeros(9))
        units = SeasonalScaler(4).fit(panel).state["scale"][:, 0]
        missed = np.abs(y[4:] - y[:-4])
        seen = np.delete(missed, [3, 7])
        np.testing.assert_allclose(units, [missed.mean(), seen.mean(), 3, 4 / 3, 1])
        np.testing.assert_array_equal(
            SeasonalScaler().fit(panel).state["scale"], SeasonalScaler(7).fit(panel).state["scale"]
        )
        with pytest.raises(ValueError, match="season_length must be at least 1 or None, got 0"):
            SeasonalScaler(0)

    def test_normal_data_come_out_alike(self):
        panel = panel_of(np.random.default_rng(0).normal(3, 2, 20_000))
        for scaler in (StandardScaler(), RobustScaler()):
            assert scaler.fit(panel).state["scale"][0, 0] == pytest.approx(2, rel=0.03)

    @every_scaler
    @settings(max_examples=30)
    @given(
        values=st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 2)), min_size=6, max_size=6),
        factor=st.sampled_from([1e-14, 0.5, 1e9]),
    )
    def test_the_unit_of_the_data_does_not_matter_to_a_scaler(self, scaler, values, factor):
        one, other = (panel_of(np.asarray(values) * f) for f in (1, factor))
        a, b = (scaler.fit_transform(p).values for p in (one, other))
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("transform", [BoxCox(), YeoJohnson()], ids=names)
    def test_nor_to_a_power(self, transform):
        x = np.random.default_rng(2).gamma(2, 3, 40) + 0.1
        one, other = (transform.fit_transform(panel_of(x * f)).values for f in (1, 1e9))
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


class TestEnds:
    """What forecasts beyond the range of a transform come back as."""

    def ahead(self, transform, y, *values):
        panel = panel_of(y)
        values = np.asarray(values, float).reshape(1, -1, 1, 1)
        return transform.fit(panel).inverse_forecast(values, panel, np.array([0]), np.array([len(y)]))[0, :, 0, 0]

    def test_log1p(self):
        np.testing.assert_allclose(self.ahead(Log1p(), [0.0, 1], -1e9, 1e9), [-1, 1e100], rtol=1e-9)

    def test_box_cox_with_a_positive_power(self):
        y = np.random.default_rng(0).normal(10, 1, 50)
        assert BoxCox().fit(panel_of(y)).state["power"][0, 0] > 0
        back = self.ahead(BoxCox(), y, -1e9, -1e3, 1e9)
        assert back[0] == back[1] == 0
        assert 1e4 < back[2] < 1e100

    def test_box_cox_with_a_negative_power(self):
        y = 1 / np.random.default_rng(0).normal(10, 1, 50)
        fitted = BoxCox().fit(panel_of(y))
        assert fitted.state["power"][0, 0] < 0
        back = self.ahead(BoxCox(), y, -1e9, 1e3, 1e9)
        assert 0 < back[0] < 1e-4
        np.testing.assert_allclose(back[1:], 1e100 * fitted.state["scale"][0, 0], rtol=1e-9)

    def test_yeo_johnson_on_both_sides(self):
        y = np.random.default_rng(0).lognormal(0, 2, 200)
        fitted = YeoJohnson().fit(panel_of(y))
        assert fitted.state["power"][0, 0] < 0
        back = self.ahead(YeoJohnson(), y, -1e9, 0, 1e9)
        assert back[0] < -1e2
        assert back[1] == 0
        np.testing.assert_allclose(back[2], 1e100 * fitted.state["scale"][0, 0], rtol=1e-9)

    def test_differences_without_a_value_before_the_cutoff(self):
        panel = panel_of([np.nan, 5.0, 7.0])
        fitted = Difference(2).fit(panel)
        one = np.ones((1, 3, 1, 1))
        starts = [fitted.inverse_forecast(one, panel, np.array([0]), np.array([n]))[0, :, 0, 0] for n in (1, 2)]
        np.testing.assert_array_equal(starts[0], [7, 7, 8])  # the mean of the first values fitted, 5 and 7
        np.testing.assert_array_equal(starts[1], [6, 6, 7])  # one phase is known, the other starts from it


class TestRefusals:
    def test_values_out_of_the_domain_are_named(self):
        df = gap_free(lengths=(5, 4)).assign(y=[1.0, 2, 3, 4, 5, 6, 0, 8, -3])
        message = r"BoxCox takes values above 0, but series 'b' has 0 at row 6; 2 such in all\. Use YeoJohnson\(\)"
        with pytest.raises(DataError, match=message):
            BoxCox().fit(df)
        fitted = BoxCox().fit(df[df["y"] > 0].iloc[:5])
        with pytest.raises(DataError, match="series 'b' has 0 at row 6"):
            fitted.transform(df)
        with pytest.raises(DataError, match="Log1p takes values above -1, but series 'b' has -3 at row 8; 1 such"):
            Log1p().fit_transform(df)

    def test_differences_go_back_from_where_they_began_only(self):
        df = gap_free(lengths=(6,))
        fitted = Difference().fit(df)
        with pytest.raises(DataError, match="series 'a' does not begin at the stamp where the data that Difference"):
            fitted.inverse_transform(fitted.transform(df).iloc[2:])

    @pytest.mark.parametrize(
        "bad", [lambda: StandardScaler("row"), lambda: Difference(0), lambda: Difference(1.5), lambda: Chain(["x"])]
    )
    def test_nonsense(self, bad):
        with pytest.raises(ValueError, match=r"choose series or all|positive integer or 'season'|made of transforms"):
            bad()

    def test_a_run_file_names_the_step_at_fault(self):
        with pytest.raises(SpecError, match=r"'BoxCocks' is not a known transform\. Did you mean 'BoxCox'") as caught:
            from_spec({"network": "GRU", "transforms": ["Log1p", "BoxCocks"]}, horizon=2)
        assert caught.value.where == ("transforms", 1, "type")


ROLES = {"past_covariates": ["heat", "kind"], "future_covariates": "rain"}


class TestCovariates:
    @pytest.fixture
    def df(self):
        rng = np.random.default_rng(0)
        df = gap_free(lengths=(30, 20)).assign(heat=rng.normal(20, 5, 50), rain=rng.gamma(2, 1, 50), kind="dry")
        df.loc[[3, 40], "heat"] = np.nan
        return df.assign(kind=df["kind"].where(df["rain"] < 2, "wet"))

    def test_any_transformer_over_all_series_and_missing_values_stay(self, df):
        ours = Covariates(preprocessing.QuantileTransformer(n_quantiles=10), ["heat"])
        fitted = ours.fit(df, **ROLES)
        there = fitted.transform(df)
        seen = df["heat"].notna()
        want = preprocessing.QuantileTransformer(n_quantiles=10).fit_transform(df.loc[seen, ["heat"]].to_numpy())
        np.testing.assert_array_equal(there.loc[seen, "heat"], want[:, 0])
        assert there["heat"].isna().tolist() == (~seen).tolist()
        pd.testing.assert_frame_equal(there.drop(columns="heat"), df.drop(columns="heat"))
        pd.testing.assert_frame_equal(fitted.inverse_transform(there), df)
        assert not hasattr(ours.transformer, "quantiles_")

    def test_all_numeric_ones_by_default(self, df):
        there = Covariates(preprocessing.MinMaxScaler()).fit_transform(df, **ROLES)
        assert there["rain"].min() == 0
        assert there["heat"].max() <= 1
        assert there["kind"].tolist() == df["kind"].tolist()

    def test_without_covariates_nothing_happens(self):
        df = gap_free()
        pd.testing.assert_frame_equal(Covariates(preprocessing.MinMaxScaler()).fit_transform(df), df)

    @pytest.mark.parametrize(
        ("transformer", "columns", "message"),
        [
            (preprocessing.MinMaxScaler(), ["heet"], r"names 'heet', which is no covariate\. Did you mean 'heat'"),
            (preprocessing.MinMaxScaler(), ["kind"], "names 'kind', which holds categories"),
            (preprocessing.PolynomialFeatures(), ["heat"], r"of shape \(50, 3\) of one of shape \(50, 1\)"),
        ],
    )
    def test_what_does_not_fit_is_named(self, df, transformer, columns, message):
        with pytest.raises(ValueError, match=message):
            Covariates(transformer, columns).fit_transform(df, **ROLES)

    def test_columns_that_are_never_observed_together_are_named(self, df):
        with pytest.raises(DataError, match=r"in all of the covariates \['heat', 'rain'\]"):
            Covariates(preprocessing.MinMaxScaler()).fit(df.assign(heat=np.nan), **ROLES)


@every_transform
@pytest.mark.parametrize("name", ["carparts", "nn5"])
def test_real_demand_there_and_back(shared_data, transform, name):
    df = pd.read_csv(shared_data / "forecast" / name / f"{name}.csv.gz", parse_dates=["ds"])
    df = df[df["unique_id"].isin(df["unique_id"].unique()[:60])]
    if any(isinstance(step, BoxCox) for step in getattr(transform, "steps", [transform])):
        df = df[(df["y"] > 0).groupby(df["unique_id"]).transform("any")]
        with pytest.raises(DataError, match=r"BoxCox takes values above 0, but series .* has 0 at row"):
            transform.fit(df)
        df = df.assign(y=df["y"] + 1)
    panel = Panel.from_frame(df)
    assert np.isnan(panel.values).any()
    assert (panel.values <= 0).any() or not (df["y"] <= 0).any()
    fitted = transform.fit(panel.until(panel.lengths - 8))
    ends, series = panel.lengths - 8, np.arange(len(panel.ids))
    there = fitted.transform(panel)
    rows = (panel.indptr[:-1] + ends)[:, None] + np.arange(8)
    want = panel.values[rows]
    whole = ~np.isnan(there.values[rows]).any(axis=(1, 2))  # without a missing step all come back
    back = fitted.inverse_forecast(there.values[rows][..., None], panel, series, ends)[..., 0]
    np.testing.assert_allclose(back[whole], want[whole], rtol=1e-6, atol=1e-6)
    assert whole.any()


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        ({"duplicates": "mean"}, "1 rows were made of several"),
        ({"target_col": ["y", "y1"], "channels": "independent", "duplicates": "error"}, "splits the rows"),
    ],
)
def test_a_frame_comes_back_row_for_row_or_not_at_all(roles, said):
    df = gap_free(lengths=(5,), n_channels=2)
    if roles["duplicates"] == "mean":
        df = pd.concat([df, df.tail(1)], ignore_index=True)
    fitted = StandardScaler().fit(df, **roles)
    with pytest.raises(DataError, match=said):
        fitted.transform(df)
    panel = Panel.from_frame(df, Schema(**roles))
    assert fitted.transform(panel).values.shape == panel.values.shape
    with pytest.raises(TypeError, match="pandas frames and Series, or a Panel"):
        StandardScaler().fit(np.arange(5.0)).transform(np.arange(5.0))
