"""Window normalization, outputs and the model around a network."""

import dataclasses
from functools import partial
from typing import get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation
from sklearn.metrics import mean_pinball_loss

from tsrnn.nn.dropout import Dropout
from tsrnn.nn.embedding import Categories
from tsrnn.nn.model import ForecastLoss, Model
from tsrnn.nn.networks import GRU, LSTM, RNN
from tsrnn.nn.outputs import Point, Quantiles
from tsrnn.nn.scaling import RunningState, WindowNorm, running_stats, window_stats
from tsrnn.training.loop import train, train_members
from tsrnn.training.state import Training
from tsrnn.training.steps import run_members, run_steps
from tsrnn.types import Batch


def make_batch(b=4, t=9, h=3, c=2, f=1, seed=0):
    rng = np.random.default_rng(seed)
    observed = rng.random((b, t, c)) > 0.2
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    return Batch(
        context=jnp.where(observed, draw(b, t, c), 0),
        context_observed=jnp.asarray(observed),
        valid=jnp.asarray(np.arange(t) >= rng.integers(0, 4, b)[:, None]),
        past=draw(b, t, f),
        future=draw(b, h, f),
        past_codes=jnp.asarray(rng.integers(0, 4, (b, t, 2)), jnp.int32),
        future_codes=jnp.asarray(rng.integers(0, 4, (b, h, 1)), jnp.int32),
        static=draw(b, 1),
        static_codes=jnp.asarray(rng.integers(0, 3, (b, 1)), jnp.int32),
        target=draw(b, h, c),
        target_observed=jnp.asarray(rng.random((b, h, c)) > 0.3),
    )


every_norm = pytest.mark.parametrize("how", get_args(WindowNorm))


@every_norm
def test_window_stats_against_numpy(how):
    batch = make_batch()
    location, scale = window_stats(batch.context, batch.context_observed, how)
    for b in range(4):
        for c in range(2):
            seen = np.asarray(batch.context)[b, :, c][np.asarray(batch.context_observed)[b, :, c]]
            want = {
                "none": (0, 1),
                "mean": (0, np.abs(seen).mean()),
                "standard": (seen.mean(), seen.std()),
                "last": (seen[-1], seen.std()),
                "shift": (seen[-1], 1),
                "robust": (np.median(seen), median_abs_deviation(seen, scale="normal")),
                "revin": (seen.mean(), seen.std()),
                "running": (seen.mean(), seen.std()),
            }[how]
            np.testing.assert_allclose((location[b, 0, c], scale[b, 0, c]), want, rtol=1e-3, atol=1e-6)


@every_norm
def test_an_empty_or_constant_window_stays_finite(how):
    x = jnp.full((2, 5, 1), 3.0)
    location, scale = window_stats(x, jnp.asarray([[True] * 5, [False] * 5])[..., None], how)
    assert np.isfinite(location).all()
    assert (np.asarray(scale) > 0).all()


def test_an_unknown_normalization_is_named():
    with pytest.raises(ValueError, match="normalization='minmax' is unknown; choose one of none, mean"):
        window_stats(jnp.ones((1, 2, 1)), jnp.ones((1, 2, 1), bool), "minmax")


def test_quantiles_never_cross_and_their_loss_is_the_pinball_loss():
    output = Quantiles((0.1, 0.25, 0.5, 0.9))
    raw = 3 * jax.random.normal(jax.random.key(0), (50, 4))
    values = output.params(raw, jnp.zeros(50))
    assert (np.diff(values, axis=-1) > 0).all()
    np.testing.assert_array_equal(values[:, 2], raw[:, 2])
    target = jax.random.normal(jax.random.key(1), (50,))
    want = np.mean([mean_pinball_loss(target, values[:, i], alpha=q) for i, q in enumerate(output.quantiles)])
    np.testing.assert_allclose(output.loss(values, target).mean(), want, rtol=1e-5)


def test_point_losses_against_numpy():
    error = np.asarray([-3.0, -0.5, 0.0, 0.2, 2.0], np.float32)
    values, target = jnp.asarray(error)[:, None], jnp.zeros(5)
    np.testing.assert_allclose(Point("mse").loss(values, target), error**2)
    np.testing.assert_allclose(Point("mae").loss(values, target), np.abs(error))
    np.testing.assert_allclose(Point("huber").loss(values, target), [2.5, 0.125, 0, 0.02, 1.5], rtol=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Point("mbe"),
        lambda: Point(unit="data"),
        lambda: Quantiles((0.1, 0.9)),
        lambda: Quantiles((0.9, 0.5)),
        lambda: Quantiles((0.0, 0.5)),
        lambda: Quantiles(unit="data"),
    ],
)
def test_outputs_refuse_nonsense(bad):
    with pytest.raises(ValueError, match=r"choose (mse|window)|hold the median"):
        bad()


@pytest.mark.parametrize("network", [RNN, GRU, LSTM])
@pytest.mark.parametrize("layers", [1, 2])
def test_model_shapes_and_the_reach_of_the_newest_observation(network, layers):
    model = Model(network(hidden_size=6, num_layers=layers), Quantiles(), "standard", 1)
    batch = make_batch()
    params = model.init(jax.random.key(0), batch)
    forecast = model(params, batch)
    assert forecast.shape == (4, 3, 2, 9)

    def first_step(newest):
        context = batch.context.at[:, -1].set(newest)
        return model(
            params, batch._replace(context=context, context_observed=batch.context_observed.at[:, -1].set(True))
        )[:, 0]

    # Peers that decode from the last h states blind the first steps to the newest observations.
    assert (first_step(jnp.ones((4, 2))) != first_step(jnp.zeros((4, 2)))).all()


@partial(jax.jit, static_argnums=0)
def learned_from(model, batch):
    """Statistics of every kind, those of every step, and loss and gradient."""
    params = model.init(jax.random.key(0), batch)
    derived = jax.value_and_grad(lambda p: ForecastLoss(model)(p, batch, None)[0])
    seen = batch.context, batch.context_observed
    return [window_stats(*seen, how) for how in get_args(WindowNorm)], running_stats(*seen), derived(params)


@pytest.mark.parametrize("how", ["last", "revin", "running"])  # each has a graph of its own
@settings(max_examples=10)
@given(seed=st.integers(0, 99), garbage=st.sampled_from([1e9, np.inf, np.nan]))
def test_what_lies_under_a_mask_changes_no_statistic_no_loss_and_no_gradient(how, seed, garbage):
    batch = make_batch(b=3, seed=seed)
    steps = batch.valid[..., None]
    batch = batch._replace(context_observed=batch.context_observed & steps)

    def under(value, code):
        return batch._replace(
            context=jnp.where(batch.context_observed, batch.context, value),
            past=jnp.where(steps, batch.past, value),
            past_codes=jnp.where(steps, batch.past_codes, code),
            target=jnp.where(batch.target_observed, batch.target, value),
        )

    model = Model(RNN(hidden_size=3), Point(), how, 2, Categories(past=(4,), future=(4,)))
    clean, dirty = (jax.tree.leaves(learned_from(model, under(*what))) for what in [(0, 0), (garbage, 3)])
    assert all(np.isfinite(leaf).all() for leaf in clean)
    for a, b in zip(clean, dirty, strict=True):
        np.testing.assert_array_equal(a, b)


def test_dropout_acts_in_training_only():
    model = Model(GRU(hidden_size=16, num_layers=2, dropout=0.5), Point(), "last", 1)
    batch = make_batch()
    params = model.init(jax.random.key(0), batch)
    quiet, one, two = (model.raw(params, batch, key) for key in (None, jax.random.key(1), jax.random.key(2)))
    assert (one != two).any()
    np.testing.assert_array_equal(quiet, model.raw(params, batch, None))


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.6])
def test_dropout_is_that_of_flax_also_where_the_rate_is_data(rate):
    xs, keys = jax.random.normal(jax.random.key(0), (5, 7)), {"dropout": jax.random.key(1)}
    ours = lambda rate: Dropout(rate, deterministic=False).apply({}, xs, rngs=keys)  # noqa: E731
    oracle = nn.Dropout(rate, deterministic=False).apply({}, xs, rngs=keys)
    np.testing.assert_array_equal(ours(rate), oracle)
    np.testing.assert_allclose(jax.jit(ours)(rate), oracle, rtol=1e-6)


def test_members_of_other_dropout_are_single_runs_and_one_program():
    rates, batch, training = [0.0, 0.3, 0.6], make_batch(), Training(max_steps=20, eval_every=10)
    model, key = Model(GRU(hidden_size=5, num_layers=2, dropout=0.1), Point(), "last", 2), jax.random.key(0)
    params = model.init(key, batch)
    options = {"training": training, "valid_batches": jax.tree.map(lambda a: a[None], batch)}
    programs = run_members._cache_size()
    members = train_members(
        ForecastLoss(model), same_batch, [params] * 3, batch, keys=[key] * 3,
        settings=[{"dropout": rate} for rate in rates], **options,
    )  # fmt: skip
    assert run_members._cache_size() == programs + 1
    programs = run_steps._cache_size()
    for rate, (weights, history) in zip(rates, members, strict=True):
        settings = {"dropout": rate}
        alone, own = train(ForecastLoss(model), same_batch, params, batch, key=key, settings=settings, **options)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), weights, alone)
        np.testing.assert_allclose(history.train_loss, own.train_loss, rtol=1e-4)
        np.testing.assert_allclose(history.valid_loss, own.valid_loss, rtol=1e-4)
    assert run_steps._cache_size() == programs + 1
    fixed = ForecastLoss(dataclasses.replace(model, network=model.network.clone(dropout=0.6)))
    _, fixed_history = train(fixed, same_batch, params, batch, key=key, **options)
    np.testing.assert_allclose(own.train_loss, fixed_history.train_loss, rtol=1e-4)
    assert (members[0][1].train_loss != members[1][1].train_loss).all()


def same_batch(batch, key):
    return batch


@every_norm
def test_a_network_that_says_nothing_repeats_the_last_season(how):
    model = Model(GRU(hidden_size=4), Point(), how, 2)
    batch = make_batch()
    batch = batch._replace(context_observed=jnp.ones_like(batch.context_observed))
    silent = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0), batch))
    want = jnp.stack([batch.context[:, -2], batch.context[:, -1], batch.context[:, -2]], axis=1)
    np.testing.assert_allclose(model(silent, batch)[..., 0], want, atol=1e-5)


@pytest.mark.parametrize("how", ["mean", "last", "revin"])
def test_a_loss_in_units_of_the_series_is_that_of_the_forecast(how):
    """What a network is taught, whatever its windows are normalized by, is the error of what it forecasts."""
    batch = make_batch()
    seen = np.asarray(batch.target_observed)
    for output, error in ((Point("mae", unit="series"), 1.0), (Quantiles((0.5,), unit="series"), 0.5)):
        model = Model(GRU(hidden_size=4), output, how, 2)
        params = model.init(jax.random.key(0), batch)
        missed = np.abs(model(params, batch)[..., 0] - batch.target)[seen]
        np.testing.assert_allclose(model.loss(params, batch, None)[0], error * missed.mean(), rtol=1e-5)


@pytest.mark.parametrize("n_alike", [9, 6])
def test_a_robust_scale_is_never_zero(n_alike):
    x = jnp.asarray([3.0] * n_alike + [5.0] * (9 - n_alike))[None, :, None]
    location, scale = window_stats(x, jnp.ones_like(x, bool), "robust")
    assert location[0, 0, 0] == 3
    np.testing.assert_allclose(scale[0, 0, 0], np.sqrt(np.var(x) + 1e-4), rtol=1e-5)


@settings(max_examples=20)
@given(cut=st.integers(0, 12), seed=st.integers(0, 99), share=st.sampled_from([0.0, 0.3, 1.0]))
def test_a_running_scaler_cut_anywhere_and_carried_on_equals_the_whole(cut, seed, share):
    rng = np.random.default_rng(seed)
    x, seen = jnp.asarray(rng.normal(50, 9, (2, 12, 3)), jnp.float32), jnp.asarray(rng.random((2, 12, 3)) < share)
    *whole, end = running_stats(x, seen)
    *first, state = running_stats(x[:, :cut], seen[:, :cut])
    *second, last = running_stats(x[:, cut:], seen[:, cut:], state)
    for a, b, c in zip(whole, first, second, strict=True):
        np.testing.assert_array_equal(a, jnp.concatenate([b, c], axis=1))
    for a, b in zip(end, last, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_running_scaler_is_causal_and_ends_where_the_window_does():
    rng = np.random.default_rng(0)
    x, seen = jnp.asarray(1e3 + rng.normal(size=(2, 30, 1)), jnp.float32), jnp.asarray(rng.random((2, 30, 1)) < 0.7)
    location, scale, _ = running_stats(x, seen)
    garbage = jnp.where(jnp.arange(30)[None, :, None] > 14, 1e9, jnp.where(seen, x, -1e9))
    again = running_stats(garbage, seen)
    np.testing.assert_array_equal(location[:, :15], again[0][:, :15])
    np.testing.assert_array_equal(scale[:, :15], again[1][:, :15])
    for running, window in zip((location, scale), window_stats(x, seen, "standard"), strict=True):
        np.testing.assert_allclose(running[:, -1:], window, rtol=1e-4)
    for t in range(30):
        past = np.asarray(x)[0, : t + 1, 0][np.asarray(seen)[0, : t + 1, 0]].astype(float)
        if len(past):
            np.testing.assert_allclose(scale[0, t, 0], np.sqrt(past.var() + 1e-4), rtol=2e-3)


def test_a_constant_sequence_runs_without_harm():
    x = jnp.full((1, 8, 1), 1e9)
    location, scale, state = running_stats(x, jnp.ones_like(x, bool))
    np.testing.assert_array_equal(location, x)
    assert np.isfinite(scale).all()
    assert (scale > 0).all()
    assert isinstance(state, RunningState)


def test_revin_learns_a_gain_and_a_shift_and_takes_them_out_again():
    model, plain = (Model(GRU(hidden_size=4), Quantiles(), how, 2) for how in ("revin", "standard"))
    batch = make_batch()
    params = model.init(jax.random.key(0), batch)
    np.testing.assert_array_equal(model(params, batch), plain({"params": params["params"]}, batch))  # at the start
    gradient = jax.grad(lambda p: ForecastLoss(model)(p, batch, None)[0])(params)
    assert all((np.asarray(leaf) != 0).all() for leaf in jax.tree.leaves(gradient["revin"]))
    other = {**params, "revin": {"log_gain": jnp.asarray([-2.0, 1.0]), "shift": jnp.asarray([0.5, -3.0])}}
    assert (np.diff(model(other, batch), axis=-1) > 0).all()
    silent = {**other, "params": jax.tree.map(jnp.zeros_like, params["params"])}
    wanted = plain({"params": silent["params"]}, batch)[..., 4]
    np.testing.assert_allclose(model(silent, batch)[..., 4], wanted, atol=1e-5)  # the median says: as last season
