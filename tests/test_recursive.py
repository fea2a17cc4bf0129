"""The recursion: every step is learned from, paths hang together, and what is drawn depends on its own series alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import tsrnn
from tests.strategies import gap_free
from tests.test_nn import make_batch
from tsrnn.evaluation.metrics import crps
from tsrnn.nn.distributions import NegativeBinomial, Normal
from tsrnn.nn.model import Model
from tsrnn.nn.outputs import Point, Quantiles
from tsrnn.nn.recursive import Recursive, RecursiveModel

QUICK = tsrnn.Training(max_steps=3, batch_size=4, progress=False)


def model_of(output=Point(), normalization="last", season_length=3, **network):  # noqa: B008
    network = Recursive(**{"hidden_size": 5, "num_layers": 2, "lags": (1, 3, 4)} | network)
    return RecursiveModel(Model(network, output, normalization, season_length))


def weights(model, batch, seed=0):
    return model.init(jax.random.key(seed), batch)


def full(batch):
    """The same with nothing missing and no padding."""
    return batch._replace(
        context_observed=jnp.ones_like(batch.context_observed),
        target_observed=jnp.ones_like(batch.target_observed),
        valid=jnp.ones_like(batch.valid),
    )


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_a_path_read_as_the_truth_forecasts_itself(cell):
    """What teacher forcing gives for a path of points is the path: both walk over the same recursion."""
    batch, model = make_batch(), model_of(cell=cell)
    params, keys = weights(model, batch), jax.random.split(jax.random.key(0), 4)
    path = model.paths(params, batch, keys, 1)[:, 0]
    read = batch._replace(target=path, target_observed=jnp.ones_like(batch.target_observed))
    location, scale = model.model.stats(batch)
    forced, _ = model.forced(params, read, None)
    horizon = forced[:, batch.context.shape[1] :, :, 0] * scale + location
    np.testing.assert_allclose(horizon, path, rtol=1e-4, atol=1e-5)


def test_targets_are_not_read_in_forecasting():
    batch, model = make_batch(), model_of(Normal())
    params, keys = weights(model, batch), jax.random.split(jax.random.key(0), 4)
    other = batch._replace(target=batch.target * 1e9, target_observed=~batch.target_observed)
    np.testing.assert_array_equal(model.paths(params, batch, keys, 2), model.paths(params, other, keys, 2))


def test_every_observed_step_counts_whose_season_was_observed():
    batch, model = make_batch(), model_of()
    params, t = weights(model, batch), batch.context.shape[1]
    _, targets = model.forced(params, batch, None)
    seen = np.asarray(batch.context_observed)
    want = seen & np.concatenate([np.zeros((4, 3, 2), bool), seen[:, :-3]], axis=1)
    np.testing.assert_array_equal(targets.target_observed[:, :t], want)
    np.testing.assert_array_equal(targets.target_observed[:, t:], batch.target_observed)
    at = tuple(np.argwhere(want)[0])
    moved = batch._replace(context=batch.context.at[at].add(0.3))
    assert (
        model_of(normalization="none").loss(params, batch, None)[0]
        != model_of(normalization="none").loss(params, moved, None)[0]
    )


def test_the_newest_observation_reaches_the_first_step():
    batch, model = full(make_batch()), model_of(normalization="none")
    params, t = weights(model, batch), batch.context.shape[1]

    def first_step(context):
        return model.forced(params, batch._replace(context=context), None)[0][:, t].sum()

    grads = np.abs(jax.grad(first_step)(batch.context))
    assert (grads[:, -1] > 0).all()
    assert (grads.sum(axis=(0, 2)) > 0).all()  # and so does the whole history


def test_what_is_uncertain_adds_up_along_a_path():
    """With all weights zero a path is a random walk, so the variance grows by the same amount with every step."""
    batch = full(make_batch(b=1, h=12, c=1))
    model = model_of(Normal(), normalization="none", season_length=1)
    params = jax.tree.map(jnp.zeros_like, weights(model, batch))
    paths = np.asarray(model.paths(params, batch, jax.random.split(jax.random.key(1), 1), 4000))[0, :, :, 0]
    step = np.log(2) + 1e-3  # softplus of zero, above the floor
    np.testing.assert_allclose(paths.var(axis=0), step**2 * np.arange(1, 13), rtol=0.12)
    np.testing.assert_allclose(paths.mean(axis=0), batch.context[0, -1, 0], atol=4 * step * np.sqrt(12 / 4000))
    assert np.corrcoef(paths[:, 4], paths[:, 9])[0, 1] == pytest.approx(np.sqrt(5 / 10), abs=0.05)


def test_draws_of_quantiles_have_these_quantiles():
    output = Quantiles((0.1, 0.3, 0.5, 0.9))
    values = jnp.asarray([[-1.0, 0.0, 2.0, 3.0], [5.0, 6.0, 6.5, 9.0]])
    draws = np.asarray(output.sample(jax.random.key(0), values, 20_000))
    assert draws.shape == (20_000, 2)
    for i, q in enumerate(output.quantiles[1:-1], 1):
        np.testing.assert_allclose((draws <= np.asarray(values)[:, i]).mean(axis=0), q, atol=0.015)
    assert (draws.min(axis=0) == values[:, 0]).all()  # nothing is known beyond
    assert (draws.max(axis=0) == values[:, -1]).all()


def forecaster(output=Normal(), **parameters):  # noqa: B008
    settings = {"horizon": 3, "context_length": 6, "training": QUICK, "output": output, "n_paths": 20}
    return tsrnn.Forecaster(Recursive(hidden_size=4), **settings | parameters)


@pytest.fixture(scope="module")
def fitted():
    return forecaster().fit(gap_free(lengths=(30, 20, 25)))


def test_forecasts_do_not_depend_on_what_else_is_forecast(fitted):
    df = gap_free(lengths=(30, 20, 25))
    together = fitted.predict(df).set_index("unique_id")
    shuffled = fitted.predict(df.iloc[::-1].sort_values("ds", kind="stable")).set_index("unique_id")
    for name in "abc":
        alone = fitted.predict(df[df["unique_id"] == name]).set_index("unique_id")
        pd.testing.assert_frame_equal(alone, together.loc[[name]], check_exact=True)
        pd.testing.assert_frame_equal(alone, shuffled.loc[[name]], check_exact=True)


def test_series_and_cutoffs_draw_their_own(fitted):
    df = gap_free(lengths=(30,))
    twin = pd.concat([df, df.assign(unique_id="twin")])
    paths = fitted.sample(twin).set_index("unique_id").drop(columns="ds")
    assert not np.allclose(paths.loc["a"], paths.loc["twin"])
    later = df.assign(ds=df["ds"] + pd.Timedelta(days=7))  # the same weekdays
    assert not np.allclose(fitted.sample(later).iloc[:, 2:], paths.loc["a"])
    other = fitted.sample(twin, n_paths=5).set_index("unique_id").drop(columns="ds")
    assert other.shape == (6, 5)


def test_paths_from_a_single_start(fitted):
    """One to many: whole paths from one row a series; they go on from it, and are its own."""
    df = gap_free(lengths=(30, 20, 25))
    start = df.groupby("unique_id").tail(1)
    paths = fitted.sample(start)
    assert paths.shape == (9, 22)
    assert np.isfinite(paths.iloc[:, 2:]).all(axis=None)
    moved = fitted.sample(start.assign(y=start["y"] + 6)).iloc[:, 2:] - paths.iloc[:, 2:]
    np.testing.assert_allclose(moved, 6, rtol=0.5)


def test_predict_summarizes_the_paths(fitted):
    paths = fitted.sample()
    assert list(paths.columns) == ["unique_id", "ds", *(f"LSTM-path-{i}" for i in range(1, 21))]
    drawn, table = paths.iloc[:, 2:], fitted.predict(level=[80], quantiles=[0.3])
    np.testing.assert_allclose(table["LSTM"], drawn.median(axis=1))
    np.testing.assert_allclose(table[["LSTM-lo-80", "LSTM-hi-80"]], drawn.quantile([0.1, 0.9], axis=1).T)
    np.testing.assert_allclose(table["LSTM-q-0.3"], drawn.quantile(0.3, axis=1))
    mean = forecaster(Normal(point="mean")).fit(gap_free(lengths=(30, 20, 25)))
    np.testing.assert_allclose(mean.predict(level=[])["LSTM"], mean.sample().iloc[:, 2:].mean(axis=1))


def test_a_backtest_scores_the_paths(fitted):
    df = gap_free(lengths=(30, 20, 25))
    result = tsrnn.backtest([fitted, tsrnn.Naive(horizon=3)], df, n_windows=2, metrics=["crps_samples", "mae"])
    assert result.leaderboard()["crps_samples"].notna().tolist() == [True, False]
    known = df.groupby("unique_id").head(-6)
    paths = clone(fitted).fit(known).sample().iloc[:, 2:].to_numpy()
    first = result.forecasts.groupby("unique_id").head(3)
    np.testing.assert_allclose(first["LSTM-crps"], crps(first[["y"]].to_numpy(), paths[:, None]))


def test_points_are_fed_back_and_have_no_intervals():
    model = forecaster(Point()).fit(gap_free(lengths=(30,)))
    assert list(model.predict().columns) == ["unique_id", "ds", "LSTM"]
    with pytest.raises(ValueError, match=r"Recursive\(\) with Point\(\) draws no paths; fit a Forecaster"):
        model.sample()


def test_counts_stay_counts():
    rng = np.random.default_rng(0)
    df = gap_free(lengths=(40,)).assign(y=rng.poisson(0.7, 40).astype(float))
    model = forecaster(NegativeBinomial(), transforms=None, normalization="mean").fit(df)
    paths = model.sample().iloc[:, 2:].to_numpy()
    assert (paths >= 0).all()
    np.testing.assert_array_equal(paths, paths.round())


def test_a_saved_model_draws_the_same_bits(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = tsrnn.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.sample(), fitted.sample(), check_exact=True)
    assert loaded.get_params()["n_paths"] == 20


def test_arrays_come_back_as_arrays():
    y = np.random.default_rng(0).normal(size=(30, 2))
    model = forecaster().fit(y)
    assert model.sample(n_paths=7).shape == (3, 2, 7)


def test_one_value_is_enough_to_go_on_from():
    model = forecaster(context_length=1).fit(gap_free(lengths=(30,)))
    assert model.sample(gap_free(lengths=(1,))).iloc[:, 2:].notna().all(axis=None)


def test_what_cannot_be_done_is_said(fitted):
    df = gap_free(lengths=(30,)).assign(load=1.0)
    with pytest.raises(ValueError, match=r"would have to know past_covariates=\('load',\) ahead"):
        forecaster().fit(df, past_covariates=["load"])
    with pytest.raises(ValueError, match=r"normalization='revin' do not go together"):
        forecaster(normalization="revin").fit(df)
    with pytest.raises(ValueError, match=r"LSTM\(\) with Quantiles\(\) draws no paths"):
        tsrnn.Forecaster(tsrnn.LSTM(4), horizon=2, training=QUICK).fit(df).sample()
    with pytest.raises(ValueError, match="n_paths must be a positive integer, got 0"):
        fitted.sample(n_paths=0)
    with pytest.raises(ValueError, match="gradient_flow is for networks with one loss"):
        fitted.gradient_flow(df)
    with pytest.raises(ValueError, match="cell='lstm' is unknown"):
        Recursive(cell="lstm")
    with pytest.raises(ValueError, match="lags must be at least one number"):
        Recursive(lags=(0, 1))
    assert dataclasses.replace(Recursive(lags=[2, 1]), hidden_size=3).lags == (2, 1)
