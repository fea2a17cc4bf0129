"""One contract for whatever is learned: a quadratic, an autoencoder of real data, a classifier of sequences.

A tenth of the steps of each have a loss that is not finite.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from flax import linen as nn

from tests.test_training import Noise, Quadratic
from tsrnn.training.loop import train, train_members
from tsrnn.training.optimizer import Optimizer
from tsrnn.training.state import Training

ROOT = Path(__file__).resolve().parents[1]


class EncoderDecoder(nn.Module):
    """The last state of one recurrence is all that the other one reads."""

    @nn.compact
    def __call__(self, x):
        _, code = nn.RNN(nn.GRUCell(8), return_carry=True)(x)[::-1]
        return nn.Dense(1)(nn.RNN(nn.GRUCell(8))(jnp.repeat(code[:, None], x.shape[1], axis=1)))


class LastState(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.RNN(nn.GRUCell(8))(x)[:, -1])


@dataclass(frozen=True)
class Reconstruction:
    def __call__(self, params, batch, key):
        guess = EncoderDecoder().apply(params, batch)
        return ((guess - batch) ** 2).mean(), guess


@dataclass(frozen=True)
class CrossEntropy:
    def __call__(self, params, batch, key):
        x, kind = batch
        logits = LastState().apply(params, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, kind).mean(), logits


@dataclass(frozen=True)
class Rows:
    """Sixteen rows of the data."""

    def __call__(self, data, key):
        return data[jax.random.randint(key, (16,), 0, len(data))]


@dataclass(frozen=True)
class Waves:
    """Noisy sines of random phase; which of the periods is the class."""

    def __call__(self, data, key):
        which, phase, noise = jax.random.split(key, 3)
        kind = jax.random.randint(which, (32,), 0, 3)
        angle = jnp.arange(12.0)[None] / data[kind][:, None] + jax.random.uniform(phase, (32, 1))
        return (jnp.sin(2 * jnp.pi * angle) + 0.1 * jax.random.normal(noise, (32, 12)))[:, :, None], kind


@dataclass(frozen=True)
class Spoiled:
    """A loss that is not finite, and no gradient of it either, where the batch says so."""

    loss: Any

    def __call__(self, params, batch, key):
        loss, aux = self.loss(params, batch[0], key)
        return jnp.where(batch[1], jnp.nan, 1.0) * loss, aux


@dataclass(frozen=True)
class Spoiling:
    sample: Any

    def __call__(self, data, key):
        return self.sample(data, key), jax.random.uniform(jax.random.fold_in(key, 1)) < 0.1


OPTIMIZER = Optimizer(learning_rate=0.03)
TRAINING = Training(max_steps=300, eval_every=50, checkpoint_every=50, patience=None)


class Problem:
    """``start`` is the loss of knowing nothing, ``bound`` the one to get below."""

    def __init__(self, loss, sample, data, params, *, start, bound):
        keys = jax.random.split(jax.random.key(99), 4)
        self.valid = jax.jit(jax.vmap(lambda key: sample(data, key)))(keys), jnp.zeros(4, bool)
        self.args, self.data, self.params = (Spoiled(loss), Spoiling(sample)), data, params
        self.start, self.bound = start, bound

    def run(self, training=TRAINING, report=None):
        key = jax.random.key(0)
        return train(
            *self.args, self.params(key), self.data, key=key, training=training, optimizer=OPTIMIZER,
            valid_batches=self.valid, report=report,
        )  # fmt: skip


def quadratic():
    return Problem(Quadratic(), Noise(), jnp.ones(4), lambda key: jax.random.uniform(key, 4), start=6.0, bound=0.01)


def autoencoder():
    """A year of air passengers at a time, each in units of itself: of variance 1."""
    y = np.log(pd.read_csv(ROOT / "datasets" / "air_passengers.csv")["y"].to_numpy(np.float32))
    years = np.lib.stride_tricks.sliding_window_view(y, 12)
    years = (years - years.mean(axis=1, keepdims=True)) / years.std(axis=1, keepdims=True)
    data, init = jnp.asarray(years[:, :, None]), jax.jit(EncoderDecoder().init)
    return Problem(Reconstruction(), Rows(), data, lambda key: init(key, data[:1]), start=1.0, bound=0.25)


def classifier():
    periods, init = jnp.asarray([3.0, 5.0, 9.0]), jax.jit(LastState().init)
    params = lambda key: init(key, jnp.zeros((1, 12, 1)))  # noqa: E731
    return Problem(CrossEntropy(), Waves(), periods, params, start=np.log(3), bound=0.2)


@cache
def trained(make):
    problem = make()
    return problem, problem.run()


contract = pytest.mark.parametrize("make", [quadratic, autoencoder, classifier])


@contract
def test_the_loss_falls_and_what_is_not_finite_is_skipped(make):
    problem, (params, history) = trained(make)
    fine = np.isfinite(history.train_loss)
    assert history.train_loss[fine][0] > 0.8 * problem.start
    assert history.valid_loss[-1] < problem.bound
    assert 10 < history.skipped == (~fine).sum() < 60
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


@contract
def test_a_run_goes_on_where_it_stopped(make, tmp_path):
    def stop(record):
        if record.step == 150:
            raise KeyboardInterrupt

    problem, (params, history) = trained(make)
    training = replace(TRAINING, checkpoint=str(tmp_path))
    assert problem.run(training, report=stop)[1].steps == 150
    again, own = problem.run(training)
    jax.tree.map(np.testing.assert_array_equal, again, params)
    np.testing.assert_array_equal(own.train_loss, history.train_loss)
    np.testing.assert_array_equal(own.valid_loss, history.valid_loss)


@contract
def test_members_are_single_runs(make):
    problem, (_, history) = trained(make)
    keys = [jax.random.key(0), jax.random.key(1)]
    start = [problem.params(key) for key in keys]
    (_, one), (_, other) = train_members(
        *problem.args, start, problem.data, keys=keys, training=TRAINING, optimizers=[OPTIMIZER] * 2,
        valid_batches=problem.valid,
    )  # fmt: skip
    np.testing.assert_allclose(one.train_loss[:100], history.train_loss[:100], rtol=1e-3)
    assert one.skipped == history.skipped != other.skipped
    assert max(one.valid_loss[-1], other.valid_loss[-1]) < problem.bound


def test_the_classifier_beats_chance_by_far():
    problem, (params, _) = trained(classifier)
    x, kind = Waves()(problem.data, jax.random.key(7))
    assert (LastState().apply(params, x).argmax(axis=-1) == kind).mean() > 0.9  # of 32, a third by chance
