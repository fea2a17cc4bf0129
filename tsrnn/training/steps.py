"""Many optimizer steps as one compiled program, for one run or for members side by side."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from tsrnn.training.devices import apart, everywhere, split
from tsrnn.training.optimizer import Numbers, Optimizer
from tsrnn.training.state import TrainState

__all__ = ["LossFn", "Sampler", "Trace", "evaluate", "given", "groups", "padded", "run_members", "run_steps"]

LossFn = Callable[..., tuple[Float[Array, ""], Any]]
"""``(params, batch, key) -> (loss, aux)``, or ``(params, batch, key, settings)`` in runs that have them."""

Sampler = Callable[..., Any]
"""``(data, key) -> batch``, or ``(data, key, carry)`` in runs that have one."""


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
    settings: Any = None,
    *,
    loss_fn: LossFn,
    sample: Sampler,
    optimizer: Optimizer,
    n_steps: int,
) -> tuple[TrainState, Trace]:
    """Take ``n_steps`` steps; a step's randomness is a function of the run's key and the step's number alone."""

    def gradient(params: Any, carry: Any, key: PRNGKeyArray) -> tuple[Any, tuple[Array, Any]]:
        batch_key, loss_key = jax.random.split(key)
        batch = split(sample(data, batch_key, *given(carry)))
        derived = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, aux), grads = derived(params, batch, loss_key, *given(settings))
        grads = everywhere(grads)
        if carry is None:
            return None, (loss, grads)
        got, wanted = (str(jax.tree.structure(tree)) for tree in (aux, carry))
        if got != wanted:
            raise TypeError(f"with a carry, the loss must give the next one as aux: {wanted}, got {got}.")
        return everywhere(aux), (loss, grads)

    def step(state: TrainState, _: None) -> tuple[TrainState, Trace]:
        own = jax.random.fold_in(key, state.step)
        if optimizer.accumulate == 1:
            carry, (loss, grads) = gradient(state.params, state.carry, own)
        else:
            keys = jax.random.split(own, optimizer.accumulate)
            carry, (losses, parts) = jax.lax.scan(partial(gradient, state.params), state.carry, keys)
            loss, grads = losses.mean(), jax.tree.map(lambda g: g.mean(axis=0), parts)
        norm = optax.tree.norm(grads)
        params, opt_state = optimizer.update(grads, norm, state.opt_state, state.params, state.step, numbers)
        average = state.average
        if optimizer.average is not None:
            keep = optimizer.average
            average = jax.tree.map(lambda a, p: keep * a + (1 - keep) * p, average, params)
        fine = jnp.isfinite(loss) & jnp.isfinite(norm)
        changed = (params, opt_state, average, carry)
        before = (state.params, state.opt_state, state.average, state.carry)
        params, opt_state, average, carry = jax.tree.map(partial(jnp.where, fine), changed, before)
        bad = (~fine).astype(jnp.int32)
        counts = state.step + 1, state.skipped + bad, (state.streak + 1) * bad
        new = TrainState(params, opt_state, average, *counts, carry)
        layers = jnp.stack([optax.tree.norm(group) for group in groups(grads).values()])
        return new, Trace(loss, norm, optimizer.rate(state.step, numbers), layers)

    return jax.lax.scan(step, state, None, length=n_steps)


_compiled = partial(jax.jit, static_argnames=("loss_fn", "sample", "optimizer", "n_steps"), donate_argnames=("state",))

run_steps = _compiled(_steps)


@_compiled
def run_members(
    state: TrainState,
    data: Any,
    keys: PRNGKeyArray,
    numbers: Numbers,
    settings: Any = None,
    own_data: Any = None,
    **static: Any,
) -> tuple[TrainState, Trace]:
    """The same for members stacked along the first axis of state, keys, numbers, settings and data of their own."""

    def run(members: tuple[TrainState, Any, PRNGKeyArray, Numbers, Any], data: Any) -> tuple[TrainState, Trace]:
        def member(state: TrainState, own: Any, *rest: Any) -> tuple[TrainState, Trace]:
            return _steps(state, data if own is None else own, *rest, **static)

        return jax.vmap(member)(*members)

    result: tuple[TrainState, Trace] = apart(run)((state, own_data, keys, numbers, settings), data)
    return result


@partial(jax.jit, static_argnames=("loss_fn",))
def evaluate(params: Any, batches: Any, n: Any, settings: Any = None, *, loss_fn: LossFn) -> Array:
    """Mean loss over the first ``n`` of batches stacked along their first axis, dropout off.

    ``n`` is data, so that more or fewer of them do not compile again (`padded`).
    """

    def add(i: Array, total: Array) -> Array:
        batch = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, i, keepdims=False), batches)
        return total + loss_fn(params, batch, None, *given(settings))[0].astype(total.dtype)

    total: Array = jax.lax.fori_loop(0, n, add, jnp.zeros((), float))
    return total / jnp.asarray(n, total.dtype)


def padded(batches: Any) -> tuple[Any, np.int32]:
    """Batches padded to one of few sizes along their first axis, at least 16, and how many there are."""
    n = len(jax.tree.leaves(batches)[0])
    size = max(16, 1 << (n - 1).bit_length())
    return jax.tree.map(lambda leaf: np.resize(leaf, (size, *leaf.shape[1:])), batches), np.int32(n)


def given(tree: Any) -> tuple[Any, ...]:
    """The argument that a loss or sampler takes only where the run has it."""
    return () if tree is None else (tree,)


def groups(params: Any) -> dict[str, list[Array]]:
    """Leaves by the name of what holds them: ``encoder/layer_0`` for its kernel, its recurrent weights, its bias."""
    groups: dict[str, list[Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        names = [jax.tree_util.keystr((entry,), simple=True) for entry in path[:-1]]
        groups.setdefault("/".join(names).removeprefix("params/") or "weights", []).append(leaf)
    return groups
