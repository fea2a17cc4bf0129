"""How far back learning reaches: the gradient of the loss with respect to the hidden state, by time lag."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tsrnn.nn.model import ForecastLoss, Params
from tsrnn.nn.networks import AbstractRecurrent
from tsrnn.types import Batch

__all__ = ["hidden_gradients"]


@partial(jax.jit, static_argnames=("loss",))
def hidden_gradients(loss: ForecastLoss, params: Params, batch: Batch, lags: Int[Array, " L"]) -> Float[Array, " L"]:
    """Norm of the gradient with respect to the hidden states of all layers, a number of steps before the last one.

    The states are those carried from one step to the next; what a layer gives the one above at the same step is not.
    A direct decoder reads the last state alone, so at lag ``k`` the gradient has come back through ``k`` steps: where
    it falls towards zero, what happened that long ago teaches nothing (vanishing gradients); where it grows, it rules
    every update (exploding gradients). Of a layer that runs both ways the states forward count.

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
    if not isinstance(network, AbstractRecurrent):
        raise ValueError(f"{type(network).__name__} does not read the history step by step; it has no states by lag.")
    xs, valid, future = loss.model.inputs(params, batch)
    b, t, _ = xs.shape

    def total(probes: dict[str, Array]) -> Array:
        probed = {**params, "probes": {"encoder": probes}}
        raw: Any = network.apply(probed, xs, valid, future, size=loss.model.size(batch))
        return loss.each(loss.model.values(params, batch, raw), batch).sum()

    nothing = jnp.zeros((b, t + 1, network.width), xs.dtype)
    grads = jax.grad(total)({f"layer_{i}": nothing for i in range(network.num_layers)})
    squares = jnp.stack([jnp.square(g[:, 1:]).sum(axis=-1) for g in grads.values()]).sum(axis=0)
    norms = jnp.sqrt(jnp.where(valid, squares, 0).mean(axis=0))
    return norms[t - 1 - lags]
