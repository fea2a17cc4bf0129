"""Members are what they would be alone; averages against NumPy; pools against their mixture."""

import numpy as np
import pandas as pd
import pytest

import tsrnn
from tests.strategies import gap_free
from tsrnn.forecasting.spec import from_spec, to_spec
from tsrnn.testing import assert_no_leakage

QUICK = tsrnn.Training(max_steps=6, eval_every=3, batch_size=4, progress=False)


def forecaster(network=tsrnn.GRU(hidden_size=4), **parameters):  # noqa: B008
    settings = {"horizon": 3, "context_length": 6, "training": QUICK, "random_state": 3, "n_paths": 30}
    return tsrnn.Forecaster(network, **settings | parameters)


@pytest.fixture(scope="module")
def panel():
    return tsrnn.Panel.from_frame(gap_free(lengths=(30, 20)))


@pytest.fixture(scope="module")
def fitted(panel):
    return tsrnn.Ensemble(forecaster(), n_members=2).fit(panel)


def averaged(fitted, average):
    """The same members with another average."""
    other = tsrnn.Ensemble(fitted.model, n_members=2, average=average)
    other.members_, other.history_ = fitted.members_, fitted.history_
    return other


def numbers(model, **asked):
    return model.predict(**asked).iloc[:, 2:].to_numpy()


def test_members_are_what_they_would_be_alone(fitted, panel):
    for member in fitted.members_:
        alone = forecaster(random_state=member.random_state).fit(panel)
        np.testing.assert_allclose(numbers(member), numbers(alone), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(member.training_.valid_loss, alone.training_.valid_loss, rtol=1e-3)
    assert [member.random_state for member in fitted.members_] == [6, 7]
    assert not np.allclose(*(numbers(member) for member in fitted.members_))


@pytest.mark.parametrize("average", ["mean", "median"])
def test_averages_of_points_and_of_quantiles(fitted, average):
    each = [numbers(member, level=[80, 95]) for member in fitted.members_]
    got = averaged(fitted, average).predict(level=[80, 95])
    np.testing.assert_allclose(got.iloc[:, 2:], getattr(np, average)(each, axis=0))
    assert list(got.columns) == list(fitted.members_[0].predict(level=[80, 95]).columns)


def test_a_pool_covers_with_the_mean_of_the_members_probabilities(fitted):
    """At a quantile of the pool, the members' distribution functions have that mean."""
    levels = np.linspace(0.03, 0.97, 95)
    curves = [numbers(member, quantiles=levels, level=[])[:, 1:] for member in fitted.members_]
    for q, bound in zip((0.1, 0.6), numbers(averaged(fitted, "pool"), quantiles=[0.1, 0.6])[:, 1:].T, strict=True):
        below = [[np.interp(b, curve, levels) for b, curve in zip(bound, own, strict=True)] for own in curves]
        np.testing.assert_allclose(np.mean(below, axis=0), q, atol=0.02)
    with pytest.raises(ValueError, match=r"lies outside those of Quantiles, 0\.025 to 0\.975"):
        averaged(fitted, "pool").predict(level=[99])


def test_it_is_kept_on_disk_and_written_in_a_run_file(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    again = tsrnn.load(tmp_path / "model")
    pd.testing.assert_frame_equal(again.predict(), fitted.predict(), check_exact=True)
    assert [member.random_state for member in again.members_] == [6, 7]
    spec = {"type": "Ensemble", "n_members": 2, "average": "median", "model": {"type": "DeepAR", "counts": True}}
    model = from_spec(spec, horizon=4)
    assert (model.horizon, model.average, model.name) == (4, "median", "DeepAR")
    assert to_spec(from_spec(to_spec(model))) == to_spec(model)
    several = from_spec({"type": "Ensemble", "model": [{"network": "GRU"}, "DeepAR"]}, horizon=4)
    assert [model.horizon for model in several.model] == [4, 4]
    assert to_spec(from_spec(to_spec(several))) == to_spec(several)


def test_several_models_are_averaged_alike(panel, tmp_path):
    models = [forecaster(random_state=0, normalization=how) for how in ("last", "mean")]
    model = tsrnn.Ensemble(models, n_members=2).fit(panel)
    assert [(m.normalization, m.random_state) for m in model.members_] == [
        (n, k) for n in ("last", "mean") for k in (0, 1)
    ]
    got = model.predict(level=[80])
    assert list(got.columns[2:]) == ["Ensemble", "Ensemble-lo-80", "Ensemble-hi-80"]
    each = [numbers(member, level=[80]) for member in model.members_]
    np.testing.assert_allclose(got.iloc[:, 2:], np.mean(each, axis=0))
    model.save(tmp_path / "model")
    again = tsrnn.load(tmp_path / "model")
    pd.testing.assert_frame_equal(again.predict(level=[80]), got, check_exact=True)
    again.average = "pool"
    assert (np.diff(numbers(again, quantiles=[0.1, 0.5, 0.9], level=[])[:, 1:]) >= 0).all()
    seeded = tsrnn.backtest(model, panel, seeds=[3], metrics=["mae"]).forecasts["Ensemble-seed3"]
    alone = tsrnn.backtest(tsrnn.Ensemble([m.set_params(random_state=3) for m in models], n_members=2), panel)
    np.testing.assert_allclose(seeded, alone.forecasts["Ensemble"])
    for bad, why in (([], r"at least one model"), ([models[0], forecaster(horizon=2)], r"one horizon, got \[3, 2\]")):
        with pytest.raises(ValueError, match=why):
            tsrnn.Ensemble(bad).fit(panel)


@pytest.mark.slow
def test_sample_paths_are_pooled(panel):
    recursive = forecaster(tsrnn.Recursive(hidden_size=4), output=tsrnn.Normal())
    model = tsrnn.Ensemble(recursive, n_members=2, average="pool").fit(panel)
    paths = model.sample()
    assert list(paths.columns[2:]) == [f"LSTM-path-{i}" for i in range(1, 61)]
    each = [member.sample().iloc[:, 2:].to_numpy() for member in model.members_]
    np.testing.assert_array_equal(paths.iloc[:, 2:], np.concatenate(each, axis=1))
    table = model.predict(level=[80])
    np.testing.assert_allclose(table["LSTM"], paths.iloc[:, 2:].median(axis=1))
    np.testing.assert_allclose(table["LSTM-lo-80"], paths.iloc[:, 2:].quantile(0.1, axis=1))


def test_no_leakage():
    assert_no_leakage(tsrnn.Ensemble(forecaster(), n_members=2), gap_free(lengths=(30, 20)), n_after=3)


def test_refusals(panel):
    with pytest.raises(TypeError, match="Ensemble trains a Forecaster from several seeds; Naive has none"):
        tsrnn.Ensemble(tsrnn.Naive(horizon=2)).fit(panel)
    with pytest.raises(ValueError, match="n_members must be a positive integer, got 0"):
        tsrnn.Ensemble(forecaster(), n_members=0).fit(panel)
    with pytest.raises(ValueError, match="average='mode' is unknown; choose one of mean, median, pool"):
        tsrnn.Ensemble(forecaster(), average="mode").fit(panel)


def test_no_paths_of_a_network_that_forecasts_all_steps_at_once(fitted):
    with pytest.raises(ValueError, match=r"GRU\(\) with Quantiles\(\) draws no paths"):
        fitted.sample()
