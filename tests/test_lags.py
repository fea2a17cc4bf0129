"""Regressors of scikit-learn on lags: against least squares written out, and under the contract of forecasters."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tsrnn
from tests.strategies import frame_of, gap_free, grid
from tsrnn import Conformal, LagRegressor
from tsrnn.data import DataError, Panel
from tsrnn.forecasting.spec import SpecError, from_spec, to_spec
from tsrnn.testing import assert_no_leakage

STRATEGIES = ("direct", "recursive")
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def ridge(**params):
    return LagRegressor(Ridge(), **{"horizon": 3, "lags": 4} | params)


def least_squares(y, lags, steps):
    """Coefficients by the normal equations, windows laid out one by one."""
    back = np.asarray(lags)
    rows = range(back.max(), len(y) - steps + 1)
    x = np.asarray([[1.0, *(y[t - lag] for lag in back)] for t in rows])
    return np.linalg.lstsq(x, np.asarray([y[t : t + steps] for t in rows]), rcond=None)[0]


class TestForecasts:
    @settings(max_examples=15)
    @given(
        lags=st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True),
        horizon=st.integers(1, 4),
        seed=st.integers(0, 99),
    )
    def test_direct_equals_least_squares(self, lags, horizon, seed):
        y = np.random.default_rng(seed).normal(size=60).cumsum()
        model = LagRegressor(LinearRegression(), horizon=horizon, lags=lags, normalization="none").fit(y)
        read = np.asarray([1.0, *(y[-lag] for lag in lags)])
        np.testing.assert_allclose(model.predict(), read @ least_squares(y, lags, horizon), rtol=1e-6, atol=1e-8)

    def test_recursive_reads_its_own_forecasts(self):
        y = np.random.default_rng(0).normal(size=60).cumsum()
        beta, path = least_squares(y, [1, 2, 5], 1)[:, 0], list(y)
        for _ in range(7):
            path.append(beta @ [1.0, path[-1], path[-2], path[-5]])
        model = LagRegressor(
            LinearRegression(), horizon=7, lags=[5, 1, 2], strategy="recursive", normalization="none"
        ).fit(y)
        np.testing.assert_allclose(model.predict(), path[60:], rtol=1e-8)

    @every_strategy
    @pytest.mark.parametrize("normalization", ["standard", "last"])
    def test_level_and_scale_of_a_series_go_through(self, strategy, normalization):
        y = np.random.default_rng(1).normal(size=50).cumsum()
        model = ridge(strategy=strategy, normalization=normalization)
        np.testing.assert_allclose(model.fit(1e4 * y - 7e5).predict(), 1e4 * model.fit(y).predict() - 7e5, rtol=1e-9)

    @every_strategy
    def test_a_constant_series_stays(self, strategy):
        np.testing.assert_allclose(ridge(strategy=strategy).fit(np.full(20, 7.0)).predict(), 7.0)

    def test_a_regressor_of_one_target_gets_a_twin_for_each_step(self):
        model = LagRegressor(GradientBoostingRegressor(n_estimators=2), horizon=3, lags=4).fit(gap_free(lengths=(30,)))
        assert len(model.regressor_.estimators_) == 3

    def test_one_regressor_for_all_series_and_channels(self):
        df = gap_free(lengths=(30, 40), n_channels=2)
        model = ridge().fit(df, target_col=["y", "y1"])
        panel = model.history_.extend(3)
        values = model.forecast_panel(panel, np.array([1, 0, 1]), np.array([40, 20, 25]))
        assert values.shape == (3, 3, 2, 1)
        for b, (name, end) in enumerate((("b", 40), ("a", 20), ("b", 25))):
            own = df[df["unique_id"] == name][:end]
            alone = model.predict(own, level=[])["Ridge"].to_numpy()
            np.testing.assert_array_equal(values[b, :, :, 0].T.reshape(-1), alone)

    def test_equal_bits_whatever_else_is_forecast(self):
        df = gap_free(lengths=(30,) * 12)
        model = ridge().fit(df)
        together = model.predict()
        for name in ("a", "g", "l"):
            alone = model.predict(df[df["unique_id"] == name])
            pd.testing.assert_frame_equal(
                alone, together[together["unique_id"] == name].reset_index(drop=True), check_exact=True
            )


class TestMissingValues:
    def test_are_read_as_the_value_before_and_never_learned(self):
        y = np.random.default_rng(0).normal(size=40)
        y[[0, 7, 20, 21, 39]] = np.nan
        x, target = ridge(normalization="none")._examples(y)
        assert not np.isnan(x).any()
        assert not np.isnan(target).any()
        rows = [t for t in range(5, 38) if not np.isnan(y[t : t + 3]).any()]
        assert len(x) == len(rows)
        np.testing.assert_array_equal(target, [y[t : t + 3] for t in rows])
        seen = pd.Series(y).ffill().to_numpy()
        np.testing.assert_array_equal(x, [seen[t - 4 : t] for t in rows])

    @every_strategy
    def test_never_observed_is_not_forecast_and_short_histories_are_prolonged(self, strategy):
        df = frame_of({"a": (grid("D", 30), np.arange(30.0) % 5), "b": (grid("D", 30), np.nan)})
        model = ridge(strategy=strategy).fit(df)
        out = model.predict().set_index("unique_id")["Ridge"]
        assert out["b"].isna().all()
        assert out["a"].notna().all()
        short = model.predict(df[df["unique_id"] == "a"][:2])["Ridge"]
        padded = frame_of({"a": (grid("D", 4, "2023-12-28"), [0.0, 0.0, 0.0, 1.0])})
        np.testing.assert_allclose(short, model.predict(padded)["Ridge"], rtol=0.2, atol=0.2)
        assert short.notna().all()

    def test_nothing_to_learn_from(self):
        df = frame_of({"a": (grid("D", 30), np.where(np.arange(30) % 2, np.nan, 1.0))})
        with pytest.raises(DataError, match="nothing to learn from: no 3 neighbouring values"):
            ridge().fit(df)


class TestContract:
    @every_strategy
    @pytest.mark.parametrize("normalization", ["none", "standard", "last"])
    def test_no_leakage(self, strategy, normalization):
        df = gap_free(lengths=(30, 25)).assign(y=lambda d: d["y"].mask(np.arange(len(d)) % 9 == 4))
        assert_no_leakage(ridge(strategy=strategy, normalization=normalization), df)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"lags": 0}, "lags must be a positive integer"),
            ({"lags": []}, "lags must be"),
            ({"lags": [1, True]}, "lags must be"),
            ({"lags": 2.0}, "lags must be"),
            ({"strategy": "both"}, "strategy='both' is unknown; choose one of direct, recursive"),
            ({"normalization": "revin"}, "normalization='revin' is unknown"),
            ({"horizon": 0}, "horizon must be a positive integer"),
        ],
    )
    def test_parameters_are_checked_in_fit(self, wrong, message):
        model = ridge(**wrong)
        assert vars(model).keys() == model.get_params().keys()
        with pytest.raises((ValueError, TypeError), match=message):
            model.fit(gap_free(lengths=(30,)))

    @pytest.mark.parametrize("wrong", [StandardScaler(), Ridge, "Ridge"])
    def test_what_is_no_regressor_is_refused(self, wrong):
        with pytest.raises(TypeError, match="is no regressor"):
            LagRegressor(wrong, horizon=2, lags=2).fit(gap_free(lengths=(30,)))

    def test_too_short(self):
        with pytest.raises(DataError, match="4 lags and 3 ahead"):
            ridge().fit(gap_free(lengths=(6,)))

    def test_no_intervals_but_through_conformal(self):
        model = ridge().fit(gap_free(lengths=(40,)))
        assert model.predict().columns.tolist() == ["unique_id", "ds", "Ridge"]
        with pytest.raises(ValueError, match="wrap it, as in Conformal"):
            model.predict(level=[80])
        wide = Conformal(ridge(), n_windows=9).fit(gap_free(lengths=(40,))).predict()
        assert wide.columns.tolist()[2:] == ["Ridge", "Ridge-lo-90", "Ridge-hi-90"]

    def test_not_fitted_clone_and_forgetting(self):
        model = ridge(strategy="recursive")
        with pytest.raises(NotFittedError):
            model.predict()
        first, second = gap_free(lengths=(30, 30)), gap_free("MS", (25,), seed=3)
        again = clone(model.fit(first))
        assert not hasattr(again, "regressor_")
        assert repr(again) == repr(model)
        pd.testing.assert_frame_equal(model.fit(second).predict(), again.fit(second).predict())
        assert not hasattr(model.regressor, "coef_")

    def test_random_state_is_the_regressor_s_unless_it_has_one(self):
        df = gap_free(lengths=(40,))

        def forecast(random_state, own=None):
            forest = RandomForestRegressor(n_estimators=3, random_state=own)
            return (
                LagRegressor(forest, horizon=1, lags=3, random_state=random_state)
                .fit(df)
                .predict()["RandomForestRegressor"][0]
            )

        assert forecast(1) == forecast(1) != forecast(2)
        assert forecast(1, own=5) == forecast(2, own=5)

    @pytest.mark.parametrize("lags", [4, [1, 2, 7], np.int64(3)])
    def test_saved_and_loaded(self, tmp_path, lags):
        df = gap_free(lengths=(30, 25))
        model = LagRegressor(Ridge(alpha=0.5), horizon=2, lags=lags).fit(df)
        model.save(tmp_path / "m")
        loaded = tsrnn.load(tmp_path / "m")
        assert loaded.regressor.alpha == 0.5
        pd.testing.assert_frame_equal(loaded.predict(), model.predict(), check_exact=True)
        pd.testing.assert_frame_equal(loaded.predict(df[:9]), model.predict(df[:9]), check_exact=True)

    def test_a_pipeline_cannot_be_saved(self, tmp_path):
        pipeline = make_pipeline(StandardScaler(), Ridge())
        model = LagRegressor(pipeline, horizon=2, lags=3).fit(gap_free(lengths=(30,)))
        with pytest.raises(TypeError, match="cannot be saved"):
            model.save(tmp_path / "m")

    def test_the_caller_s_frame_and_panel_stay(self):
        panel = Panel.from_frame(gap_free(lengths=(30,)))
        before = panel.values.copy()
        ridge().fit(panel).predict()
        np.testing.assert_array_equal(panel.values, before)


class TestSpecification:
    def test_there_and_back(self):
        written = {"type": "LagRegressor", "regressor": {"type": "Ridge", "alpha": 2.0}, "lags": [1, 12]}
        model = from_spec(written, horizon=6, random_state=3)
        assert (model.regressor.alpha, model.lags, model.horizon, model.random_state) == (2.0, [1, 12], 6, 3)
        assert to_spec(from_spec(to_spec(model))) == to_spec(model)

    def test_regressors_inside_regressors(self):
        spec = {"type": "BaggingRegressor", "estimator": {"type": "Ridge", "alpha": 3.0}, "n_estimators": 2}
        model = from_spec({"type": "LagRegressor", "regressor": spec, "lags": 2}, horizon=1)
        assert model.regressor.estimator.alpha == 3.0
        assert to_spec(model)["regressor"]["estimator"]["type"] == "Ridge"

    @pytest.mark.parametrize(
        ("regressor", "where", "message"),
        [
            ("Rigde", ("regressor", "type"), "'Rigde' is not a known regressor of scikit-learn. Did you mean 'Ridge'"),
            (
                {"type": "Ridge", "alfa": 1},
                ("regressor", "alfa"),
                "not a known parameter of Ridge. Did you mean 'alpha'",
            ),
            ("LogisticRegression", ("regressor", "type"), "not a known regressor"),
        ],
    )
    def test_complaints_name_the_key(self, regressor, where, message):
        with pytest.raises(SpecError, match=message) as caught:
            from_spec({"type": "LagRegressor", "regressor": regressor, "lags": 2}, horizon=1)
        assert caught.value.where == where
