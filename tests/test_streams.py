"""The engine's carry: truncated backpropagation through time on real series, against one pass over each of them."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

from tsrnn.nn.cells import LSTMCell
from tsrnn.nn.scan import scan
from tsrnn.training.checkpoint import CheckpointMismatch
from tsrnn.training.loop import train, train_members
from tsrnn.training.optimizer import Optimizer
from tsrnn.training.state import Training, TrainState
from tsrnn.training.steps import run_steps

CELL, CHUNK = LSTMCell(), 6
PARAMS = {"cell": CELL.init(jax.random.key(0), 1, 4), "read": jax.random.normal(jax.random.key(1), (4, 1))}
ZEROS = CELL.zeros(PARAMS["cell"], 3)
STREAMS = ({"series": jnp.asarray([0, 1, 1]), "at": jnp.zeros(3, jnp.int32)}, ZEROS)
FROZEN = Optimizer(optax.chain(optax.trace(1.0), optax.scale(0.0)), clip_norm=None)
"""Adds gradients up and leaves the weights as they are."""


class Chunk(NamedTuple):
    values: Any
    place: Any
    state: Any


@dataclass(frozen=True)
class Streams:
    """Each stream walks through a series chunk by chunk; at its end it draws one anew and begins from zeros."""

    def __call__(self, data, key, carry):
        values, indptr = data
        place, state = carry
        fresh = place["at"] + CHUNK >= (indptr[1:] - indptr[:-1])[place["series"]]
        series = jnp.where(fresh, jax.random.randint(key, fresh.shape, 0, len(indptr) - 1), place["series"])
        at = jnp.where(fresh, 0, place["at"])
        state = tuple(jnp.where(fresh[:, None], 0, s) for s in state)
        rows = (indptr[series] + at)[:, None] + jnp.arange(CHUNK + 1)[None]
        return Chunk(values[rows], {"series": series, "at": at + CHUNK}, state)


@dataclass(frozen=True)
class OneAhead:
    """An LSTM says every next value."""

    truncate: int | None = None

    def __call__(self, params, batch, key):
        state, hs = scan(CELL, params["cell"], batch.state, batch.values[:, :-1], truncate=self.truncate)
        return ((hs @ params["read"] - batch.values[:, 1:]) ** 2).mean(), (batch.place, state)


@pytest.fixture(scope="module")
def data(shared_data):
    """Airline passengers, 144 rows, and lynx trapped, 114, in units of their deviation."""
    files = [pd.read_csv(shared_data / "forecast" / "classics" / f"{name}.csv") for name in ("Airline", "Lynx")]
    series = [df.iloc[:, 1].to_numpy(np.float32) for df in files]
    values = np.concatenate([(y - y.mean()) / y.std() for y in series])[:, None]
    return jnp.asarray(values), jnp.asarray(np.cumsum([0, *map(len, series)]), jnp.int32)


def test_chunks_give_the_states_and_gradients_of_one_truncated_pass(data):
    values, indptr = data
    alone = CELL.zeros(PARAMS["cell"], 1)
    whole = [scan(CELL, PARAMS["cell"], alone, values[None, a:b])[1][0] for a, b in pairwise(indptr)]
    zero = jnp.zeros((), jnp.int32)
    state = TrainState(PARAMS, FROZEN.init(PARAMS), (), zero, zero, zero, STREAMS)
    starts, first_pass = 0, (len(whole[1]) - 1) // CHUNK
    for step in range(1, 46):
        state = jax.tree.map(jnp.copy, state)  # the step takes over what it is given
        state, _ = run_steps(
            state, data, jax.random.key(0), FROZEN.numbers(1),
            loss_fn=OneAhead(), sample=Streams(), optimizer=FROZEN, n_steps=1,
        )  # fmt: skip
        place, (h, _) = state.carry
        starts += (place["at"] == CHUNK).sum()
        for series, at, mine in zip(place["series"], place["at"], h, strict=True):
            np.testing.assert_allclose(mine, whole[series][at - 1], rtol=1e-5, atol=1e-6)
        if step == first_pass:
            summed = jax.tree.map(jnp.copy, state.opt_state[0].trace)
    assert starts == 3 + 3 + 3  # every stream began and came to an end twice

    rows = indptr[STREAMS[0]["series"]][:, None] + jnp.arange(first_pass * CHUNK + 1)[None]
    batch = Chunk(values[rows], None, ZEROS)
    cut, uncut = (
        jax.grad(lambda p, t=t: first_pass * OneAhead(t)(p, batch, None)[0])(PARAMS)["cell"] for t in (CHUNK, None)
    )
    for name, gradient in summed["cell"].items():
        np.testing.assert_allclose(gradient, cut[name], rtol=1e-4, atol=1e-4)
        assert np.abs(gradient - uncut[name]).max() > 1e-2


def run(data, max_steps=40, key=0, **options):
    training = Training(max_steps=max_steps, eval_every=10, checkpoint_every=10, **options.pop("training", {}))
    optimizer = Optimizer(learning_rate=0.02, schedule="constant")
    options = {"carry": STREAMS, "optimizer": optimizer} | options
    return train(OneAhead(), Streams(), PARAMS, data, key=jax.random.key(key), training=training, **options)


def test_a_run_that_goes_on_equals_one_that_never_stopped(data, tmp_path):
    """With the streams' places and states: another first carry is another run."""
    kept = {"training": {"checkpoint": str(tmp_path)}}
    run(data, max_steps=20, **kept)
    parts, whole = run(data, **kept), run(data)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), parts[0], whole[0]))
    np.testing.assert_array_equal(parts[1].train_loss, whole[1].train_loss)
    assert whole[1].train_loss[-10:].mean() < 0.8 * whole[1].train_loss[:10].mean()
    with pytest.raises(CheckpointMismatch, match="the first carry changed"):
        run(data, carry=(STREAMS[0], (ZEROS[0] + 1, ZEROS[1])), **kept)


def test_validation_begins_from_the_state_in_its_batches(data):
    batches = Chunk(data[0][None, None, :60], {"none": jnp.zeros(1)}, tuple(s[None, :1] for s in ZEROS))
    _, history = run(data, max_steps=20, optimizer=FROZEN, valid_batches=batches)
    one = jax.tree.map(lambda a: a[0], batches)
    np.testing.assert_allclose(history.valid_loss, OneAhead()(PARAMS, one, None)[0], rtol=1e-6)


def test_members_have_carries_of_their_own(data):
    keys = [jax.random.key(i) for i in range(2)]
    training = Training(max_steps=40, eval_every=10)
    optimizers = [Optimizer(learning_rate=0.02, schedule="constant")] * 2
    members = train_members(
        OneAhead(), Streams(), [PARAMS] * 2, data, keys=keys, training=training, optimizers=optimizers, carry=STREAMS
    )
    for k, (_, history) in enumerate(members):
        np.testing.assert_allclose(history.train_loss, run(data, key=k)[1].train_loss, rtol=1e-4)
    assert (members[0][1].train_loss[25:] != members[1][1].train_loss[25:]).all()  # other series at the same step


def test_a_loss_that_gives_no_carry_is_told_so(data):
    with pytest.raises(TypeError, match=r"must give the next one as aux: PyTreeDef\(.*'at'.*got PyTreeDef\(None\)"):
        train(
            lambda *args: (OneAhead()(*args)[0], None), Streams(), PARAMS, data, key=jax.random.key(0),
            training=Training(), carry=STREAMS,
        )  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """The loss is the number of batches before; it is not finite one time in three."""

    def __call__(self, params, batch, key):
        fine = jax.random.uniform(key) > 1 / 3
        return jnp.where(fine, 1.0, jnp.nan) * batch.astype(jnp.float32) + 0 * params.sum(), batch + 1


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_skipped_step_keeps_the_carry_and_accumulated_batches_pass_it_on(accumulate):
    _, history = train(
        Counts(), lambda data, key, carry: carry, jnp.ones(1), (), key=jax.random.key(0),
        carry=jnp.zeros((), jnp.int32), training=Training(max_steps=30), optimizer=Optimizer(accumulate=accumulate),
    )  # fmt: skip
    counted = history.train_loss[np.isfinite(history.train_loss)]
    assert 0 < history.skipped < 30
    np.testing.assert_array_equal(counted, accumulate * np.arange(len(counted)) + (accumulate - 1) / 2)
