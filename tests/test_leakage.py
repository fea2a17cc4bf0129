"""Nothing after a cutoff touches a forecast, of any model, input, normalization or transform; the test of that test."""

import sys
from dataclasses import dataclass
from functools import partial
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import RobustScaler

import tsrnn
from tests.strategies import frame_of
from tsrnn.data import DataError
from tsrnn.data.synthetic import generate_series
from tsrnn.evaluation.engines import Engine
from tsrnn.forecasting.spec import PARTS
from tsrnn.nn.scaling import WindowNorm
from tsrnn.testing import assert_no_leakage
from tsrnn.transforms import Chain, Covariates, StandardScaler

QUICK = tsrnn.Training(max_steps=2, batch_size=4)


def small(network=tsrnn.GRU(hidden_size=4), **params):  # noqa: B008
    return tsrnn.Forecaster(network, **{"horizon": 3, "context_length": 6, "training": QUICK} | params)


def plain():
    return generate_series(3, freq="D", random_state=1, min_length=30, max_length=40, missing=0.05)


def covered():
    """A frame with covariates of every kind; the last category of `sky` is first seen after the cutoff."""
    df = plain()
    rng = np.random.default_rng(0)
    last = df.groupby("unique_id").cumcount(ascending=False)
    return df.assign(
        y=df["y"].abs() + 1,
        load=rng.normal(size=len(df)),
        sky=np.where(last < 5, "blizzard", rng.choice(["clear", "rain", "snow"], len(df))),
        promo=rng.random(len(df)) < 0.3,
        day=rng.choice(["work", "free"], len(df)),
        region=df["unique_id"].map({name: "NS"[i % 2] for i, name in enumerate(df["unique_id"].unique())}),
        size=df["unique_id"].map({name: 10.0 * i for i, name in enumerate(df["unique_id"].unique())}),
    )


KINDS = {
    "numeric past": {"past_covariates": ["load"]},
    "boolean future": {"future_covariates": ["promo"]},
    "categorical": {"past_covariates": ["sky"], "future_covariates": ["day"], "static_covariates": ["region"]},
    "all": {
        "past_covariates": ["sky", "load"],
        "future_covariates": ["promo", "day"],
        "static_covariates": ["region", "size"],
    },
}


@pytest.mark.parametrize("network", [tsrnn.RNN, tsrnn.GRU, tsrnn.LSTM, tsrnn.Seq2Seq, tsrnn.SegRNN, tsrnn.Recursive])
def test_networks(network):
    assert_no_leakage(small(network(hidden_size=4), n_paths=4), plain())


@pytest.mark.parametrize("baseline", ["Naive", "Naive2", "SeasonalNaive", "Drift", "HistoricAverage"])
def test_baselines(baseline):
    assert_no_leakage(getattr(tsrnn, baseline)(horizon=3), plain(), n_after=5)


@pytest.mark.slow
def test_distributions():
    assert_no_leakage(small(output=tsrnn.StudentT()), plain())


@pytest.mark.parametrize("roles", KINDS.values(), ids=KINDS)
def test_covariates(roles):
    assert_no_leakage(small(), covered(), **roles)


@pytest.mark.parametrize("how", get_args(WindowNorm))
def test_normalizations(how):
    assert_no_leakage(small(normalization=how), plain(), n_after=3)


@pytest.mark.parametrize("transform", [None, *PARTS["transforms"].values()])
def test_transforms(transform):
    steps = {"steps": (StandardScaler(),)} if transform is Chain else {}
    assert_no_leakage(small(transforms=transform and transform(**steps)), covered())


def test_transforms_of_covariates():
    transforms = [Covariates(RobustScaler(), columns=["load"]), StandardScaler()]
    assert_no_leakage(small(transforms=transforms), covered(), past_covariates=["load", "sky"])


@pytest.mark.parametrize("gaps", ["mask", "ffill", "interpolate"])
def test_gaps(gaps):
    df = covered()
    df = df.assign(load=df["load"].mask(np.arange(len(df)) % 5 == 2))
    assert_no_leakage(small(), df, gaps=gaps, past_covariates=["load", "sky"])


@pytest.mark.parametrize("law", ["series", "scale"])
def test_sampling_laws(law):
    assert_no_leakage(small(training=tsrnn.Training(max_steps=2, batch_size=4, sampling=law)), plain())


def test_bfloat16():
    assert_no_leakage(small(precision="bfloat16"), plain())


def test_irregular_time():
    rng = np.random.default_rng(0)
    stamps = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(rng.integers(1, 500, 40)), unit="min")
    df = frame_of({"a": (stamps, rng.normal(size=40))})
    assert_no_leakage(small(), df, freq="irregular")


@dataclass(frozen=True)
class LeakingScaler(StandardScaler):
    """Scales by all rows of the panel that it is applied to, those after the cutoff too."""

    def extend(self, state, at, panel, known):
        return self.learn(panel)


class LeakingForecaster(tsrnn.Naive):
    """Knows the value one step ahead."""

    def forecast_panel(self, panel, series, ends, quantiles=()):
        return super().forecast_panel(panel, series, ends + 1, quantiles)


class LeakingCategories(tsrnn.Naive):
    """Reads the code of a category, which depends on the categories that come later."""

    def forecast_panel(self, panel, series, ends, quantiles=()):
        forecast = super().forecast_panel(panel, series, ends, quantiles)
        return forecast + panel.covariates[panel.indptr[series] + ends - 1, :1, None, None]


class TestTheTest:
    def test_a_leaking_transform_is_found(self):
        with pytest.raises(AssertionError, match="sees what comes after the cutoff: with values of 1e9 there, 3 of 3"):
            assert_no_leakage(small(transforms=LeakingScaler()), plain())

    def test_a_leaking_forecaster_is_found_and_named(self):
        y = pd.Series(np.arange(9.0), index=pd.date_range("2024-01-01", periods=9), name="visits")
        want = r"LeakingForecaster 'LeakingForecaster' sees .* is 'visits', step 1: .*5\.0.* before, .*1000000000"
        with pytest.raises(AssertionError, match=want):
            assert_no_leakage(LeakingForecaster(horizon=2), y)

    def test_codes_that_move_are_found(self):
        with pytest.raises(AssertionError, match="categories never seen"):
            assert_no_leakage(LeakingCategories(horizon=3), covered(), past_covariates=["sky"])

    def test_the_frame_and_the_model_stay_as_they_are(self):
        df, model = covered(), small()
        before = df.copy(deep=True)
        assert_no_leakage(model, df, **KINDS["all"])
        pd.testing.assert_frame_equal(df, before)
        assert not hasattr(model, "history_")

    def test_too_short_series_and_too_few_rows_after_the_cutoff_are_refused(self):
        with pytest.raises(DataError, match=r"at least 10 rows are needed \(.*, and 5 after the cutoff\)"):
            assert_no_leakage(small(), plain().groupby("unique_id").head(9), n_after=5)
        with pytest.raises(ValueError, match="n_after=2 must be at least the horizon, 3"):
            assert_no_leakage(small(), plain(), n_after=2)


class TestAudit:
    def test_tells_models_that_leak_from_those_that_do_not(self):
        events, models = [], {"Naive": tsrnn.Naive(horizon=3), "Leaking": LeakingForecaster(horizon=3)}
        options = {"n_windows": 2, "refit": True, "audit": True, "train_size": 12}
        result = tsrnn.backtest(models, plain(), on_event=events.append, **options)
        assert result.audit["model"].tolist() == ["Naive", "Leaking"]
        assert result.audit["verdict"].tolist() == ["clean", "leaks"]
        assert result.audit["detail"][0] == ""
        assert "with values of 1e9 there, 3 of 3 series are forecast otherwise" in result.audit["detail"][1]
        assert len(events) == 8  # it is no part of the backtest
        unaudited = tsrnn.backtest(models, plain(), **options | {"audit": False})
        assert unaudited.audit is None
        pd.testing.assert_frame_equal(result.forecasts, unaudited.forecasts, check_exact=True)

    def test_of_the_last_rows_and_beyond(self):
        """There the data end within the horizon."""
        models = {"Naive": tsrnn.Naive(horizon=6), "Leaking": LeakingForecaster(horizon=6)}
        result = tsrnn.backtest(models, plain(), horizon=2, gap=1, audit=True)
        assert result.audit["verdict"].tolist() == ["clean", "leaks"]

    def test_a_network_with_covariates(self):
        result = tsrnn.backtest({"GRU": small()}, covered(), n_windows=2, audit=True, **KINDS["all"])
        assert result.audit["verdict"].tolist() == ["clean"]

    def test_what_was_audited_is_not_audited_again(self, monkeypatch, tmp_path):
        module, audited = sys.modules["tsrnn.evaluation.backtest"], []
        find = module.find_leak
        monkeypatch.setattr(module, "find_leak", lambda model, *where: audited.append(model) or find(model, *where))
        models = {"Naive": tsrnn.Naive(horizon=3), "Leaking": LeakingForecaster(horizon=3)}
        run = partial(tsrnn.backtest, audit=True, checkpoint=tmp_path)
        first, again = run(models, plain()), run(models | {"Drift": tsrnn.Drift(horizon=3)}, plain())
        assert [type(model).__name__ for model in audited] == ["Naive", "LeakingForecaster", "Drift"]
        pd.testing.assert_frame_equal(again.audit[:2], first.audit)
        run(models, plain(), n_windows=2)  # of another first fold
        assert len(audited) == 5

    def test_elsewhere(self, monkeypatch):
        threads = Engine("threading", n_jobs=2)
        monkeypatch.setattr(sys.modules["tsrnn.evaluation.backtest"], "find_engine", lambda name: threads)
        models = {"Naive": tsrnn.Naive(horizon=3), "Leaking": LeakingForecaster(horizon=3)}
        result = tsrnn.backtest(models, plain(), audit=True, engine="processes:2")
        assert dict(zip(result.audit["model"], result.audit["verdict"], strict=True)) == {
            "Naive": "clean",
            "Leaking": "leaks",
        }
