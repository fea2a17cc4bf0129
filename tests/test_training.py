"""The loop on problems that are no forecasts: it takes any loss and any sampler."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tsrnn.training.loop import train
from tsrnn.training.optimizer import Adam
from tsrnn.training.state import Training, TrainingDiverged


@dataclass(frozen=True)
class Quadratic:
    centre: float = 3.0

    def __call__(self, params, batch, key):
        return ((params - self.centre) ** 2 * (1 + 0 * batch)).mean(), None


@dataclass(frozen=True)
class Noise:
    def __call__(self, data, key):
        return data + jax.random.normal(key, data.shape)


def run(loss=Quadratic(), valid=None, report=None, seed=0, optimizer=Adam(learning_rate=0.1), **settings):  # noqa: B008
    training = Training(**{"max_steps": 200, "eval_every": 20} | settings)
    return train(
        loss, Noise(), jnp.zeros(4), jnp.ones(4), key=jax.random.key(seed), training=training, optimizer=optimizer,
        valid_batches=valid, report=report,
    )  # fmt: skip


def test_a_quadratic_is_minimized():
    params, history = run()
    np.testing.assert_allclose(params, 3.0, atol=1e-2)
    assert history.steps == 200
    assert history.best_step == 200
    assert history.train_loss[-1] < 1e-3 < history.train_loss[0]
    assert history.stop_reason == "max_steps"


def test_a_short_last_chunk_completes_the_steps():
    assert run(max_steps=50, eval_every=20)[1].steps == 50


@dataclass(frozen=True)
class Overfits:
    """The training loss falls towards 3; the validation loss is least at 1, on the way."""

    def __call__(self, params, batch, key):
        return ((params - jnp.where(batch > 50, 1.0, 3.0)) ** 2).mean(), None


def test_early_stopping_restores_the_best_weights():
    params, history = run(
        Overfits(),
        valid=jnp.full((2, 4), 100.0),
        patience=3,
        optimizer=Adam(0.02, "constant"),
        eval_every=5,
        max_steps=500,
    )
    assert history.stop_reason == "patience"
    assert history.steps == history.best_step + 3 * 5
    assert history.valid_loss.min() == history.valid_loss[history.valid_step == history.best_step][0]
    np.testing.assert_allclose(params, 1.0, atol=0.1)


def test_the_same_key_gives_the_same_bits_and_chunks_do_not_matter():
    @dataclass(frozen=True)
    class Noisy:
        def __call__(self, params, batch, key):
            return ((params - batch) ** 2).mean(), None

    (a, _), (b, _), (c, _) = run(Noisy()), run(Noisy()), run(Noisy(), seed=1)
    (d, _) = run(Noisy(), eval_every=40)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, d)
    assert (a != c).any()


def test_a_loss_that_is_not_finite_names_step_and_remedy():
    @dataclass(frozen=True)
    class Explodes:
        def __call__(self, params, batch, key):
            return jnp.where(params[0] > 0.3, jnp.nan, -params.sum()), None

    with pytest.raises(
        TrainingDiverged, match=r"not finite at step [2-9] .*learning rate too high \(it is 0\.1\).*Try a tenth"
    ):
        run(Explodes())


def test_ctrl_c_keeps_the_best_weights():
    def report(step, loss, valid):
        if step == 60:
            raise KeyboardInterrupt

    params, history = run(report=report)
    assert (history.stop_reason, history.steps, history.best_step) == ("interrupted", 60, 60)
    assert (np.asarray(params) > 0.5).all()


def test_equal_losses_share_one_trace():
    traces = []

    @dataclass(frozen=True)
    class Counted:
        def __call__(self, params, batch, key):
            traces.append(1)
            return (params**2).mean(), None

    run(Counted())
    assert len(traces) == 1  # one for the whole run: value_and_grad traces the loss once
    run(Counted())
    assert len(traces) == 1  # an equal loss on data of equal shape reuses the program


@pytest.mark.parametrize("bad", [{"max_steps": 0}, {"validation": 1.0}, {"patience": 0}])
def test_settings_are_checked(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Training(**bad)


@pytest.mark.parametrize("bad", [{"learning_rate": 0.0}, {"schedule": "linear"}, {"clip_norm": -1.0}])
def test_the_optimizer_is_checked(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Adam(**bad)


def test_clipping_bounds_the_first_update():
    @dataclass(frozen=True)
    class Steep:
        def __call__(self, params, batch, key):
            return 1e6 * params.sum(), None

    _, history = run(Steep(), max_steps=1)
    np.testing.assert_allclose(history.gradient_norm, 2e6)
