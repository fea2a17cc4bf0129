"""Window normalization, outputs and the model around a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import mean_pinball_loss

from tsrnn.nn.model import ForecastLoss, Model
from tsrnn.nn.networks import GRU, LSTM, RNN
from tsrnn.nn.outputs import Point, Quantiles
from tsrnn.nn.scaling import window_stats
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


@pytest.mark.parametrize("how", ["none", "mean", "standard", "last"])
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
            }[how]
            np.testing.assert_allclose((location[b, 0, c], scale[b, 0, c]), want, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("how", ["none", "mean", "standard", "last"])
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
    values = output.values(raw)
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
    [lambda: Point("mbe"), lambda: Quantiles((0.1, 0.9)), lambda: Quantiles((0.9, 0.5)), lambda: Quantiles((0.0, 0.5))],
)
def test_outputs_refuse_nonsense(bad):
    with pytest.raises(ValueError, match=r"choose|hold the median"):
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


def test_missing_targets_count_nothing_in_the_loss():
    model = Model(GRU(hidden_size=4), Point(), "last", 2)
    batch = make_batch()
    params = model.init(jax.random.key(0), batch)
    loss = jax.value_and_grad(lambda p, b: ForecastLoss(model)(p, b, None)[0])
    garbage = batch._replace(target=jnp.where(batch.target_observed, batch.target, 1e6))
    (a, grad_a), (b, grad_b) = loss(params, batch), loss(params, garbage)
    assert a == b
    assert jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), grad_a, grad_b))


def test_dropout_acts_in_training_only():
    model = Model(GRU(hidden_size=16, num_layers=2, dropout=0.5), Point(), "last", 1)
    batch = make_batch()
    params = model.init(jax.random.key(0), batch)
    quiet, one, two = (model.raw(params, batch, key) for key in (None, jax.random.key(1), jax.random.key(2)))
    assert (one != two).any()
    np.testing.assert_array_equal(quiet, model.raw(params, batch, None))


@pytest.mark.parametrize("how", ["none", "mean", "standard", "last"])
def test_a_network_that_says_nothing_repeats_the_last_season(how):
    model = Model(GRU(hidden_size=4), Point(), how, 2)
    batch = make_batch()
    batch = batch._replace(context_observed=jnp.ones_like(batch.context_observed))
    silent = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0), batch))
    want = jnp.stack([batch.context[:, -2], batch.context[:, -1], batch.context[:, -2]], axis=1)
    np.testing.assert_allclose(model(silent, batch)[..., 0], want, atol=1e-5)
