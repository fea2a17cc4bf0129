"""Many optimizer steps as one compiled program, for one run or for members side by side."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from tsrnn.training.devices import apart, everywhere, split
from tsrnn.training.optimizer import Numbers, Optimizer
from tsrnn.training.state import TrainState

__all__ = ["LossFn", "Sampler", "Trace", "evaluate", "groups", "run_members", "run_steps"]

LossFn = Callable[[Any, Any, PRNGKeyArray | None], tuple[Float[Array, ""], Any]]
Sampler = Callable[[Any, PRNGKeyArray], Any]


class Trace(NamedTuple):
    """What every step of a run gave; arrays of shape (steps,) or (steps, layers)."""

    loss: Any
    norm: Any
    rate: Any
    layers: Any


def _steps(
    state: TrainState,
    data: Any,
    key: PRNGKeyArray,
    numbers: Numbers,
    *,
    loss_fn: LossFn,
    sample: Sampler,
    optimizer: Optimizer,
    n_steps: int,
) -> tuple[TrainState, Trace]:
    """Take ``n_steps`` steps; a step's randomness is a function of the run's key and the step's number alone."""

    def gradient(params: Any, key: PRNGKeyArray) -> tuple[Array, Any]:
        batch_key, loss_key = jax.random.split(key)
        batch = split(sample(data, batch_key))
        (loss, _), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, batch, loss_key)
        return loss, everywhere(grads)

    def step(state: TrainState, _: None) -> tuple[TrainState, Trace]:
        own = jax.random.fold_in(key, state.step)
        if optimizer.accumulate == 1:
            loss, grads = gradient(state.params, own)
        else:
            keys = jax.random.split(own, optimizer.accumulate)
            losses, parts = jax.lax.map(lambda key: gradient(state.params, key), keys)
            loss, grads = losses.mean(), jax.tree.map(lambda g: g.mean(axis=0), parts)
        norm = optax.tree.norm(grads)
        params, opt_state = optimizer.update(grads, norm, state.opt_state, state.params, state.step, numbers)
        average = state.average
        if optimizer.average is not None:
            keep = optimizer.average
            average = jax.tree.map(lambda a, p: keep * a + (1 - keep) * p, average, params)
        fine = jnp.isfinite(loss) & jnp.isfinite(norm)
        changed = (params, opt_state, average)
        before = (state.params, state.opt_state, state.average)
        params, opt_state, average = jax.tree.map(partial(jnp.where, fine), changed, before)
        bad = (~fine).astype(jnp.int32)
        counts = state.step + 1, state.skipped + bad, (state.streak + 1) * bad
        new = TrainState(params, opt_state, average, *counts)
        layers = jnp.stack([optax.tree.norm(group) for group in groups(grads).values()])
        return new, Trace(loss, norm, optimizer.rate(state.step, numbers), layers)

    return jax.lax.scan(step, state, None, length=n_steps)


_compiled = partial(jax.jit, static_argnames=("loss_fn", "sample", "optimizer", "n_steps"), donate_argnames=("state",))

run_steps = _compiled(_steps)


@_compiled
def run_members(
    state: TrainState, data: Any, keys: PRNGKeyArray, numbers: Numbers, **static: Any
) -> tuple[TrainState, Trace]:
    """The same for members stacked along the first axis of state, keys and numbers."""

    def run(members: tuple[TrainState, PRNGKeyArray, Numbers], data: Any) -> tuple[TrainState, Trace]:
        return jax.vmap(lambda state, key, numbers: _steps(state, data, key, numbers, **static))(*members)

    result: tuple[TrainState, Trace] = apart(run)((state, keys, numbers), data)
    return result


@partial(jax.jit, static_argnames=("loss_fn",))
def evaluate(params: Any, batches: Any, *, loss_fn: LossFn) -> Array:
    """Mean loss over batches stacked along their first axis, dropout off."""
    losses: Array = jax.lax.map(lambda batch: loss_fn(params, batch, None)[0], batches)
    return losses.mean()


def groups(params: Any) -> dict[str, list[Array]]:
    """Leaves by the name of what holds them: ``encoder/layer_0`` for its kernel, its recurrent weights, its bias."""
    groups: dict[str, list[Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        names = [jax.tree_util.keystr((entry,), simple=True) for entry in path[:-1]]
        groups.setdefault("/".join(names).removeprefix("params/") or "weights", []).append(leaf)
    return groups
