"""LSTM and GRU in one call of our C++ kernels for the whole sequence, forward or backward; time-major.

Arrays are time-major by name only: their layout is asked for batch-major, which costs no transposition. The forward
pass keeps the activated gates for the backward pass; without a derivative it keeps nothing. Second derivatives are
those of `tsrnn.nn.derivatives`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero, custom_vjp_primal_tree_values
from jaxtyping import Array, Bool, Float

from tsrnn.native.library import BACKWARD, FORWARD
from tsrnn.nn.cells import Params, State
from tsrnn.nn.derivatives import gru_sequence, lstm_sequence

__all__ = ["sequence"]

Result = tuple[State, Float[Array, "T B D"]]
Valid = Bool[Array, "T B"] | None

# JAX has no types for these.
_values: Callable[..., Any] = custom_vjp_primal_tree_values
_like: Callable[..., Any] = jax.ShapeDtypeStruct

_LINE = 64
"""Bytes to whose multiple the kernels pad the hidden size of what they keep."""


def sequence(p: Params, state: State, xs: Float[Array, "T B I"], valid: Valid) -> Result:
    """Run `tsrnn.nn.cells.LSTMCell`, if the state is a pair, or `tsrnn.nn.cells.GRUCell`, without options.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    hidden, gates = state[0].shape[-1], 4 if len(state) == 2 else 3
    shapes = {"kernel": (xs.shape[2], gates * hidden), "recurrent": (hidden, gates * hidden), "bias": (4 * hidden,)}
    found = {name: p[name].shape for name in shapes}
    if found != shapes or any(s.shape != (xs.shape[1], hidden) for s in state):
        wanted = f"{shapes} and a state of {(xs.shape[1], hidden)}"
        raise ValueError(f"{xs.shape[2]} inputs and {hidden} hidden units need weights {wanted}, not {found}.")
    dtype = jnp.result_type(*jax.tree.leaves((p, state, xs)))
    p, state, xs = jax.tree.map(lambda a: a.astype(dtype), ({name: p[name] for name in shapes}, state, xs))
    if valid is not None:
        valid = jnp.broadcast_to(valid, xs.shape[:2]).astype(bool)
    return _sequence(p, state, xs, valid)


@jax.custom_vjp
def _sequence(p: Params, state: State, xs: Array, valid: Valid) -> Result:
    return _forward(p, state, xs, valid, keep=False)[0]


def _sequence_fwd(*primals: Any) -> tuple[Result, Any]:
    p, state, xs, valid = _values(primals)
    result, kept = _keeping(p, state, xs, valid)
    wants_dx = () if primals[2].perturbed else None  # the first layer's inputs mostly are data
    return result, (p, state, xs, valid, result[1], kept, wants_dx)


def _sequence_bwd(residuals: Any, cotangents: Any) -> tuple[Params, State, Array | None, None]:
    *arrays, wants_dx = residuals
    last, hs = cotangents
    last = tuple(jnp.zeros(d.shape, d.dtype) if isinstance(d, SymbolicZero) else d for d in last)
    d_p, d_state, d_xs = _gradients(wants_dx is not None, *arrays, last, None if isinstance(hs, SymbolicZero) else hs)
    return d_p, d_state, d_xs, None


_sequence.defvjp(_sequence_fwd, _sequence_bwd, symbolic_zeros=True)


@jax.custom_vjp
def _keeping(p: Params, state: State, xs: Array, valid: Valid) -> tuple[Result, Array]:
    """The result, and what the backward pass needs of the gates."""
    return _forward(p, state, xs, valid, keep=True)


def _keeping_fwd(p: Params, state: State, xs: Array, valid: Valid) -> tuple[tuple[Result, Array], Any]:
    result, kept = _keeping(p, state, xs, valid)
    return (result, kept), (p, state, xs, valid, result[1], kept)


def _keeping_bwd(residuals: Any, cotangents: Any) -> tuple[Params, State, Array | None, None]:
    d_p, d_state, d_xs = _gradients(True, *residuals, *cotangents[0])
    return d_p, d_state, d_xs, None


_keeping.defvjp(_keeping_fwd, _keeping_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _gradients(
    wants_dx: bool, p: Params, state: State, xs: Array, valid: Valid, hs: Array, kept: Array, d_last: State, d_hs: Any
) -> tuple[Params, State, Array | None]:
    """Derivatives of weights, state and, if wanted, inputs."""
    shapes = [p["kernel"], p["recurrent"], p["bias"], *state, *([xs] if wants_dx else [])]
    arrays = xs, _or_empty(valid, 2, bool), p["kernel"], p["recurrent"], hs, kept, _or_empty(d_hs, 3, xs.dtype)
    kernel, recurrent, bias, *rest = _call(BACKWARD, shapes, *arrays, *state, *d_last)
    d_p = {"kernel": kernel, "recurrent": recurrent, "bias": bias}
    return d_p, tuple(rest[: len(state)]), rest[-1] if wants_dx else None


def _gradients_fwd(wants_dx: bool, *arrays: Any) -> tuple[Any, Any]:
    return _gradients(wants_dx, *arrays), arrays


def _gradients_bwd(wants_dx: bool, residuals: Any, cotangents: Any) -> tuple[Any, ...]:
    p, state, xs, valid, hs, _, d_last, d_hs = residuals
    run = lstm_sequence if len(state) == 2 else gru_sequence

    def pull(p: Params, state: State, xs: Array, d_last: State, d_hs: Array | None) -> Any:
        _, pullback = jax.vjp(lambda p, state, xs: run(p, state, xs, valid, 1), p, state, xs)
        d_p, d_state, d_xs = pullback((d_last, jnp.zeros_like(hs) if d_hs is None else d_hs))
        return d_p, d_state, d_xs if wants_dx else None

    *d_primals, d_d_last, d_d_hs = jax.vjp(pull, p, state, xs, d_last, d_hs)[1](cotangents)
    return *d_primals, None, None, None, d_d_last, d_d_hs


_gradients.defvjp(_gradients_fwd, _gradients_bwd)


def _forward(p: Params, state: State, xs: Array, valid: Valid, *, keep: bool) -> tuple[Result, Any]:
    steps, batch, _ = xs.shape
    hidden, line = state[0].shape[1], _LINE // xs.dtype.itemsize
    size = steps * batch * (-(-hidden // line) * line) * (5 if len(state) == 2 else 4)
    shapes = [_like((steps, batch, hidden), xs.dtype), *state]
    shapes += [_like((size,), xs.dtype)] if keep else []
    arrays = xs, _or_empty(valid, 2, bool), p["kernel"], p["recurrent"], p["bias"], *state
    hs, *rest = _call(FORWARD, shapes, *arrays)
    return (tuple(rest[: len(state)]), hs), rest[-1] if keep else None


def _call(target: str, results: list[Any], *arrays: Array) -> Sequence[Array]:
    return jax.ffi.ffi_call(
        target,
        [_like(a.shape, a.dtype) for a in results],
        vmap_method="expand_dims",  # members lie beside each other, what they share stays alone
        input_layouts=[_layout(a) for a in arrays],
        output_layouts=[_layout(a) for a in results],
    )(*arrays)


def _layout(a: Any) -> tuple[int, ...] | None:
    """Batch-major for what has an axis of time."""
    return (1, 0, 2)[: a.ndim] if a.ndim == 3 or a.dtype == bool else None


def _or_empty(a: Array | None, ndim: int, dtype: Any) -> Array:
    return jnp.zeros((0,) * ndim, dtype) if a is None else a
