"""Models of statsforecast under the contract: against statsforecast itself, and without it."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.base import clone

import tsrnn
from tests.strategies import frame_of, gap_free, grid
from tsrnn import Conformal, SeasonalNaive, StatsForecast
from tsrnn.data import DataError
from tsrnn.forecasting.spec import from_spec, to_spec
from tsrnn.testing import assert_no_leakage


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsforecast.models", None)
    with pytest.raises(ImportError, match=r"AutoETS needs statsforecast: pip install 'tsrnn\[baselines\]'"):
        StatsForecast(horizon=2).fit(gap_free())


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("statsforecast.models", reason="needs pip install 'tsrnn[baselines]'")


def monthly(n=60, seed=0, shift=0.0):
    season = 10 * np.sin(np.arange(n) * np.pi / 6)
    return 100 + shift + season + np.arange(n) / 5 + np.random.default_rng(seed).normal(size=n)


def arima(**params):
    """Quick, and with parameters to learn."""
    return StatsForecast("ARIMA", **{"horizon": 3, "options": {"order": [1, 0, 0]}} | params)


@pytest.mark.usefixtures("theirs")
class TestForecasts:
    @pytest.mark.parametrize("name", ["AutoTheta", "HoltWinters", "SeasonalNaive", "MSTL"])
    def test_equal_statsforecast_s_own(self, theirs, name):
        y = monthly()
        out = (
            StatsForecast(name, horizon=4)
            .fit(frame_of({"a": (grid("MS", 60), y)}))
            .predict(level=[80], quantiles=[0.5, 0.9])
        )
        wanted = getattr(theirs, name)(season_length=12).fit(y).predict(h=4, level=[80])
        for column, key in (
            (name, "mean"), (f"{name}-lo-80", "lo-80"), (f"{name}-hi-80", "hi-80"), (f"{name}-q-0.5", "mean"),
            (f"{name}-q-0.9", "hi-80"),
        ):  # fmt: skip
            np.testing.assert_array_equal(out[column], wanted[key])

    def test_a_later_cutoff_keeps_what_was_learned(self, theirs):
        y = monthly(80, shift=50.0)
        df = frame_of({"a": (grid("MS", 80), y)})
        model = arima().fit(df[:50])
        fitted = theirs.ARIMA(order=(1, 0, 0), season_length=12).fit(y[:50])
        np.testing.assert_array_equal(model.predict(df, level=[])["ARIMA"], fitted.forward(y, h=3)["mean"])
        anew = arima().fit(df).predict(level=[])["ARIMA"]
        assert (anew != fitted.forward(y, h=3)["mean"]).all()

    def test_models_that_cannot_be_continued_are_fitted_anew(self):
        df = frame_of({"a": (grid("MS", 80), monthly(80))})
        model = StatsForecast("CrostonOptimized", horizon=2)
        early = model.fit(df[:50])
        assert early.models_ == {}
        late = early.predict(df)
        pd.testing.assert_frame_equal(late, model.fit(df).predict())

    def test_a_new_series_is_fitted(self):
        old, new = (frame_of({name: (grid("MS", 60), monthly(seed=name == "b"))}) for name in "ab")
        pd.testing.assert_frame_equal(arima().fit(old).predict(new), arima().fit(new).predict())

    def test_season_and_options_reach_the_model(self):
        y = np.tile([1.0, 5.0, 3.0], 8)
        df = frame_of({"a": (grid("MS", 24), y)})
        out = StatsForecast("SeasonalNaive", horizon=4, season_length=3).fit(df).predict(level=[])
        assert out["SeasonalNaive"].tolist() == [1, 5, 3, 1]
        own = StatsForecast("WindowAverage", horizon=1, options={"window_size": 2}).fit(df).predict()
        assert own["WindowAverage"].tolist() == [4.0]

    def test_agrees_with_ours(self):
        df = frame_of({name: (grid("MS", 60), monthly(seed=ord(name))) for name in "abc"})
        theirs = StatsForecast("SeasonalNaive", horizon=14).fit(df).predict(level=[])
        ours = SeasonalNaive(horizon=14).fit(df).predict(level=[])
        pd.testing.assert_frame_equal(theirs, ours)


@pytest.mark.usefixtures("theirs")
class TestMissingValues:
    def test_inside_are_interpolated_and_at_the_end_are_further_steps(self, theirs):
        y = monthly()
        y[[0, 1, 20, 58, 59]] = np.nan
        out = arima().fit(frame_of({"a": (grid("MS", 60), y)})).predict(level=[])["ARIMA"]
        clean = pd.Series(y[2:58]).interpolate().to_numpy()
        wanted = theirs.ARIMA(order=(1, 0, 0), season_length=12).fit(clean).predict(h=5)["mean"]
        np.testing.assert_array_equal(out, wanted[2:])

    def test_a_series_never_observed_is_not_forecast(self):
        df = frame_of({"a": (grid("MS", 60), monthly()), "b": (grid("MS", 60), np.nan)})
        out = arima().fit(df).predict().set_index("unique_id")
        assert out.loc["b", ["ARIMA", "ARIMA-lo-90"]].isna().all(axis=None)
        assert out.loc["a", ["ARIMA", "ARIMA-lo-90"]].notna().all(axis=None)


@pytest.mark.usefixtures("theirs")
class TestContract:
    @pytest.mark.parametrize("model", [arima(), StatsForecast("CrostonSBA", horizon=3)], ids=lambda model: model.name)
    def test_no_leakage(self, model):
        df = frame_of({name: (grid("MS", 40), monthly(40, seed=ord(name))) for name in "ab"})
        assert_no_leakage(model, df.assign(y=df["y"].mask(np.arange(80) % 11 == 4)))

    def test_several_cutoffs_and_channels(self):
        df = gap_free("MS", (40, 30), n_channels=2)
        model = arima(horizon=2).fit(df, target_col=["y", "y1"])
        values = model.forecast_panel(model.history_.extend(2), np.array([1, 0, 1]), np.array([30, 40, 25]), (0.05,))
        assert values.shape == (3, 2, 2, 2)
        alone = arima(horizon=2).fit(df[df["unique_id"] == "b"], target_col="y1").predict()
        np.testing.assert_array_equal(values[0, :, 1], alone[["ARIMA", "ARIMA-lo-90"]])

    def test_without_intervals_there_is_conformal(self):
        df = frame_of({"a": (grid("MS", 60), monthly())})
        model = StatsForecast("SimpleExponentialSmoothing", horizon=2, options={"alpha": 0.3}).fit(df)
        assert model.predict().columns.tolist()[2:] == ["SimpleExponentialSmoothing"]
        with pytest.raises(ValueError, match="no intervals of its own; wrap it"):
            model.predict(level=[80])
        assert Conformal(clone(model), n_windows=9).fit(df).predict().shape == (2, 5)

    def test_saved_and_loaded(self, tmp_path):
        df = frame_of({name: (grid("MS", 40), monthly(40, seed=ord(name))) for name in "ab"})
        model = arima().fit(df[df["ds"] < "2026"])
        model.save(tmp_path / "m")
        loaded = tsrnn.load(tmp_path / "m")
        pd.testing.assert_frame_equal(loaded.predict(level=[50]), model.predict(level=[50]), check_exact=True)
        pd.testing.assert_frame_equal(loaded.predict(df), model.predict(df), check_exact=True)

    def test_specification(self):
        model = from_spec({"type": "StatsForecast", "model": "AutoETS", "options": {"damped": True}}, horizon=3)
        assert to_spec(model) == {
            "type": "StatsForecast", "model": "AutoETS", "horizon": 3, "season_length": None,
            "options": {"damped": True},
        }  # fmt: skip
        assert vars(model).keys() == model.get_params().keys()
        nested = from_spec({"type": "Conformal", "model": {"type": "StatsForecast", "model": "AutoETS"}}, horizon=3)
        assert nested.model.model == "AutoETS"

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"model": "AutoEst"}, "no model 'AutoEst'. Did you mean 'AutoETS'"),
            ({"options": {"ordr": 1}}, "unexpected keyword argument 'ordr'. It takes: order, "),
            ({"model": "WindowAverage", "options": None}, "window_size"),
        ],
    )
    def test_unknown_names(self, params, message):
        with pytest.raises(ValueError, match=message):
            StatsForecast(**{"model": "ARIMA", "horizon": 3, "options": {"order": [1, 0, 0]}} | params).fit(gap_free())

    def test_a_failure_names_the_series(self):
        df = frame_of({"long": (grid("MS", 60), monthly()), "short": (grid("MS", 2), [1.0, 2.0])})
        with pytest.raises(
            DataError, match="HoltWinters of statsforecast fails on series 'short' with 2 observed rows"
        ):
            StatsForecast("HoltWinters", horizon=2).fit(df)


def test_quantiles_are_those_of_a_normal_where_the_model_is_gaussian(theirs):
    out = arima(horizon=1).fit(frame_of({"a": (grid("MS", 60), monthly())})).predict(quantiles=[0.1, 0.975])
    spread = out.iloc[0, 3:].to_numpy(float) - out["ARIMA"][0]
    assert spread[1] / spread[0] == pytest.approx(norm.ppf(0.975) / norm.ppf(0.1), rel=1e-6)
