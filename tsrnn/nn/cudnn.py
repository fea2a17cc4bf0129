"""The LSTM of NVIDIA's cuDNN, with our weights; time-major."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jax.experimental import rnn
from jaxtyping import Array, Float

from tsrnn.nn.cells import Params, State

__all__ = ["lstm", "pack"]


def pack(p: Params) -> Float[Array, " W"]:
    """Our weights in cuDNN's flat layout: transposed, input side before recurrent side, and a second bias of zeros."""
    bias = p["bias"]
    return jnp.concatenate([p["kernel"].T.ravel(), p["recurrent"].T.ravel(), bias, jnp.zeros_like(bias)])


def lstm(p: Params, state: State, xs: Float[Array, "T B I"]) -> tuple[State, Float[Array, "T B D"]]:
    """Run `tsrnn.nn.cells.LSTMCell` on an NVIDIA GPU."""
    steps, batch, inputs = xs.shape
    h, c = (s[None] for s in state)
    lengths = jnp.full((batch,), steps, jnp.int32)
    run = _batchable(inputs, p["recurrent"].shape[0])
    hs, h, c = run(jnp.swapaxes(xs, 0, 1), h, c, pack(p), lengths)
    return (h[0], c[0]), jnp.swapaxes(hs, 0, 1)


def _batchable(inputs: int, hidden: int) -> Callable[..., tuple[Array, Array, Array]]:
    """`jax.experimental.rnn.lstm`, which `vmap` cannot batch, with members taking turns forward and backward."""
    in_turn: Callable[..., Callable[..., Any]] = sequential_vmap  # JAX has no types for it
    options = inputs, hidden, 1, 0.0, False, None  # layers, dropout, bidirectional, precision
    forward = in_turn(lambda xs, h, c, weights, lengths: rnn.lstm_fwd(xs, h, c, weights, lengths, *options))
    run = jax.custom_vjp(lambda *arrays: forward(*arrays)[0])
    run.defvjp(forward, in_turn(lambda residuals, gradients: rnn.lstm_bwd(*options, residuals, gradients)))
    return run
