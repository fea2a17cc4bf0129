"""What holds on several devices. Run by `tests/test_devices.py`, for their number is fixed before JAX starts."""

import re
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tsrnn
from tests.equations import CELLS
from tsrnn.data.synthetic import generate_series
from tsrnn.nn.scan import scan
from tsrnn.training import loop, steps
from tsrnn.training.loop import train, train_members

SETTINGS = tsrnn.Training(max_steps=20, batch_size=8, eval_every=10)


def close(one, other, rtol=1e-5):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)


@dataclass(frozen=True)
class Recurrent:
    """A cell learns the mean of its inputs; a plain loss on a pytree that is no batch of windows."""

    name: str

    def __call__(self, params, batch, key):
        xs, cell = batch["xs"], CELLS[self.name]
        (h, *_), _ = scan(cell, params, cell.zeros(params, len(xs)), xs)
        return ((h - xs.mean(axis=(1, 2))[:, None]) ** 2).mean(), None


@dataclass(frozen=True)
class Draw:
    rows: int

    def __call__(self, data, key):
        return {"xs": data[jax.random.randint(key, (self.rows,), 0, len(data))]}


DATA = np.random.default_rng(0).normal(size=(50, 5, 2)).astype(np.float32)


def weights(name, seed):
    return CELLS[name].init(jax.random.key(seed), 2, 3)


def plain(devices, name="lstm", **settings):
    return train(
        Recurrent(name), Draw(8), weights(name, 0), DATA, key=jax.random.key(1), valid_batches={"xs": DATA[None, :16]},
        training=replace(SETTINGS, devices=devices, **settings),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_plain_loss_is_minimized_alike(name):
    alone, history = plain(1, name)
    for n in (2, 8, None):
        params, other = plain(n, name)
        assert {len(leaf.devices()) for leaf in jax.tree.leaves(params)} == {n or 8}
        close(params, alone)
        close((other.train_loss, other.valid_loss), (history.train_loss, history.valid_loss))


def test_members():
    def members(devices, name="lstm"):
        return train_members(
            Recurrent(name), Draw(8), [weights(name, i) for i in range(3)], DATA,
            keys=[jax.random.key(i) for i in range(3)], training=replace(SETTINGS, devices=devices),
            valid_batches={"xs": DATA[None, :16]},
        )
    alone = members(1)
    for n in (2, None):
        for (params, history), (want, other) in zip(members(n), alone, strict=True):
            close(params, want)
            close(history.valid_loss, other.valid_loss)
