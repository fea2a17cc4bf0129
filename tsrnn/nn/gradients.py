"""How far back learning reaches: the gradient of the loss with respect to the hidden state, by time lag."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tsrnn.nn.cells import State
from tsrnn.nn.model import ForecastLoss, Params
from tsrnn.nn.networks import DirectDecoder
from tsrnn.nn.scan import scan
from tsrnn.types import Batch

__all__ = ["hidden_gradients"]


@partial(jax.jit, static_argnames=("loss",))
def hidden_gradients(loss: ForecastLoss, params: Params, batch: Batch, lags: Int[Array, " L"]) -> Float[Array, " L"]:
    """Norm of the gradient with respect to the hidden states of all layers, a number of steps before the last one.

    The states are those carried from one step to the next; what a layer gives the one above at the same step is not.
    The loss reads the last state alone, so at lag ``k`` the gradient has come back through ``k`` steps: where it falls
    towards zero, what happened that long ago teaches nothing (vanishing gradients); where it grows, it rules every
    update (exploding gradients).

    Parameters
    ----------
    loss : ForecastLoss
        The loss of a model.
    params : pytree
        Its weights.
    batch : Batch
        Windows. One that is padded at a lag counts zero there.
    lags : array of int, shape (L,)
        Steps between the state and the last one, from 0; below the context's length.

    Returns
    -------
    array of shape (L,)
        Root mean square over the windows.

    References
    ----------
    Y. Bengio, P. Simard and P. Frasconi (1994), Learning long-term dependencies with gradient descent is difficult,
    IEEE Transactions on Neural Networks 5(2); R. Pascanu, T. Mikolov and Y. Bengio (2013), arXiv 1211.5063.
    """
    network = loss.model.network
    xs, valid, future = loss.model.inputs(params, batch)
    encoder, decoder = (params["params"][name] for name in ("encoder", "decoder"))
    layers = [encoder[f"layer_{i}"] for i in range(network.num_layers)]
    cell = network.cell

    def run(states: list[State], steps: Bool[Array, "B T"]) -> tuple[list[State], Array]:
        ends, hs = [], xs
        for layer, state in zip(layers, states, strict=True):
            end, hs = scan(cell, layer, state, hs, steps)
            ends.append(end)
        return ends, ends[-1][0]

    def total(hidden: list[Array], states: list[State], steps: Bool[Array, "B T"]) -> Array:
        _, last = run([(h, *state[1:]) for h, state in zip(hidden, states, strict=True)], steps)
        raw: Any = DirectDecoder(network.hidden_size).apply({"params": decoder}, last, future, loss.model.size(batch))
        return loss.each(loss.model.values(params, batch, raw), batch).sum()

    def norm(lag: Int[Array, ""]) -> Array:
        before = jnp.arange(xs.shape[1]) < xs.shape[1] - lag
        states, _ = run([cell.zeros(layer, len(xs)) for layer in layers], valid & before[None])
        grads = jax.grad(total)([state[0] for state in states], states, valid & ~before[None])
        squares = jnp.stack([jnp.square(g).sum(axis=-1) for g in grads]).sum(axis=0)
        there = jnp.take(valid, xs.shape[1] - 1 - lag, axis=1)
        return jnp.sqrt(jnp.where(there, squares, 0).mean())

    norms: Array = jax.lax.map(norm, lags)
    return norms
