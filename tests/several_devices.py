"""What holds on eight devices; `tests/test_devices.py` starts it, for their number is fixed before JAX begins."""

import re
from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest

import tsrnn
from tests.equations import CELLS
from tsrnn.data.synthetic import generate_series
from tsrnn.nn.scan import scan
from tsrnn.training import loop
from tsrnn.training.devices import batch_mesh
from tsrnn.training.optimizer import Optimizer

SETTINGS = tsrnn.Training(max_steps=20, batch_size=8, eval_every=10)
DATA = np.random.default_rng(0).normal(size=(50, 5, 2)).astype(np.float32)


def close(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@dataclass(frozen=True)
class Recurrent:
    """A cell learns the mean of its inputs: a loss and batches that know of no forecast."""

    name: str

    def __call__(self, params, batch, key):
        xs, cell = batch["xs"], CELLS[self.name]
        (h, *_), _ = scan(cell, params, cell.zeros(params, len(xs)), xs)
        return ((h - xs.mean(axis=(1, 2))[:, None]) ** 2).mean(), None


@dataclass(frozen=True)
class Draw:
    def __call__(self, data, key):
        return {"xs": data[jax.random.randint(key, (8,), 0, len(data))]}


def weights(name, seed):
    return CELLS[name].init(jax.random.key(seed), 2, 3)


def train(devices, name="lstm", optimizer=None, **settings):
    return loop.train(
        Recurrent(name), Draw(), weights(name, 0), DATA, key=jax.random.key(1), optimizer=optimizer,
        training=replace(SETTINGS, devices=devices, **settings), valid_batches={"xs": DATA[None, :16]},
    )  # fmt: skip


@pytest.mark.parametrize(("name", "devices"), [("lstm", None), ("gru", 2)])
def test_a_plain_loss(name, devices):
    want, alone = train(1, name)
    programs = loop.run_steps._cache_size()
    params, history = train(devices, name)
    assert loop.run_steps._cache_size() == programs + 1  # the same for both chunks
    assert {len(leaf.devices()) for leaf in jax.tree.leaves(params)} == {devices or 8}
    close(params, want)
    close((history.train_loss, history.valid_loss), (alone.train_loss, alone.valid_loss))


def members(devices):
    return loop.train_members(
        Recurrent("lstm"), Draw(), [weights("lstm", i) for i in range(3)], DATA,
        keys=[jax.random.key(i) for i in range(3)], training=replace(SETTINGS, devices=devices),
        valid_batches={"xs": DATA[None, :16]},
    )  # fmt: skip


@pytest.mark.parametrize("devices", [2, None])
def test_members(devices, monkeypatch):
    text, single = [], members(1)
    monkeypatch.setattr(loop, "run_members", reading(loop.run_members, text))
    for (params, history), (want, alone) in zip(members(devices), single, strict=True):
        close(params, want)
        close((history.train_loss, history.valid_loss), (alone.train_loss, alone.valid_loss))
    assert "num_partitions=2" in text[0] if devices else "num_partitions=3" in text[0]
    assert not collectives(text[0])


def reading(compiled, text):
    """The function, its programs in ``text``."""

    def call(*args, **static):
        program = compiled.lower(*args, **static).compile()
        text.append(program.as_text())
        return program(*args)

    return call


def collectives(text):
    """What travels between devices."""
    return set(re.findall(r" (all-\w+|collective-\w+|reduce-scatter)(?:-start)?\(", text))


def test_a_forecaster_and_where_its_rows_are(monkeypatch):
    df = generate_series(3, freq="D", random_state=1, min_length=40, max_length=50, missing=0.05)

    def fit(devices):
        training = replace(SETTINGS, devices=devices)
        return tsrnn.Forecaster(tsrnn.LSTM(hidden_size=5), horizon=3, context_length=7, training=training).fit(df)

    text, alone = [], fit(1)
    monkeypatch.setattr(loop, "run_steps", reading(loop.run_steps, text))
    spread = fit(4)
    close(spread.params_, alone.params_)
    np.testing.assert_allclose(spread.predict()["LSTM"], alone.predict()["LSTM"], rtol=1e-5)
    assert collectives(text[0]) == {"all-reduce"}  # gradients and losses are added up; no row travels
    assert re.search(r"f32\[(7,)?2,5\]", text[0])  # states of the two rows that a device has
    assert not re.search(r"\[(7,)?8,", text[0])  # nowhere those of all eight


def test_a_checkpoint_goes_on_with_other_numbers_of_devices(tmp_path):
    constant = Optimizer(schedule="constant")
    for devices, steps in [(2, 10), (1, 20), (2, 30)]:
        params, history = train(
            devices, optimizer=constant, checkpoint=str(tmp_path), checkpoint_every=10, max_steps=steps
        )
        assert history.steps == steps
    close(params, train(1, optimizer=constant, max_steps=30)[0])


def test_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match="devices=9 is not possible; choose one of 1, 2, 3, 4, 5, 6, 7, 8, or N"):
        train(9)
    with pytest.raises(ValueError, match="a batch of 8 rows cannot be shared evenly by 3 devices: give a batch_size"):
        train(3)
    rows = {"xs": jax.ShapeDtypeStruct((12, 3), np.float32)}
    assert batch_mesh(None, lambda: rows).size == 6
    assert batch_mesh(None, lambda: rows | {"one for all": jax.ShapeDtypeStruct((), np.float32)}) is None
