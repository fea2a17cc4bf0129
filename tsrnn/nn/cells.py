"""Recurrent cells: one step as a pure function, its parameters as a NamedTuple.

Layouts. ``x`` has shape (B, I), the state ``h`` (and ``c``) has shape (B, D). Gates lie side by side along the last
axis of the weights, in the order of the equations. Recurrent weights start orthogonal gate by gate, input weights
Glorot-uniform, biases at zero, the forget gate of the LSTM at one.

References
----------
J. L. Elman (1990), Finding structure in time, Cognitive Science 14.
S. Hochreiter and J. Schmidhuber (1997), Long short-term memory; F. Gers et al. (2000) for the forget gate.
K. Cho et al. (2014), arXiv 1406.1078, in the variant that resets after the product (cuDNN, PyTorch).
R. Jozefowicz et al. (2015), An empirical exploration of recurrent network architectures, for the forget bias.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import sigmoid
from jax.nn.initializers import glorot_uniform, orthogonal
from jaxtyping import Array, Float, PRNGKeyArray

__all__ = ["CELLS", "Cell", "CellParams", "State"]

State = tuple[Float[Array, "B D"], ...]
"""What a cell carries: ``(h,)`` or ``(h, c)``; ``h`` first, it is the output."""


class CellParams(NamedTuple):
    """Weights of one cell with G gates.

    Attributes
    ----------
    kernel : array of shape (I, G * D)
        Input weights.
    recurrent : array of shape (D, G * D)
        Recurrent weights.
    bias : array of shape (G * D,)
        Bias; the GRU's has a fourth part for the recurrent product of its candidate.
    """

    kernel: Float[Array, "I GD"]
    recurrent: Float[Array, "D GD"]
    bias: Float[Array, " GD"]


class Cell(NamedTuple):
    """A cell as a value: how to start and how to step."""

    init: Callable[[PRNGKeyArray, int, int], CellParams]
    step: Callable[[CellParams, State, Float[Array, "B I"]], State]
    n_states: int

    def zeros(self, like: Float[Array, "B *rest"], hidden_size: int) -> State:
        """The state before the first step."""
        return (jnp.zeros((like.shape[0], hidden_size), like.dtype),) * self.n_states


def rnn_step(p: CellParams, state: State, x: Float[Array, "B I"]) -> State:
    """``h' = tanh(W x + U h + b)``."""
    (h,) = state
    return (jnp.tanh(x @ p.kernel + h @ p.recurrent + p.bias[None]),)


def gru_step(p: CellParams, state: State, x: Float[Array, "B I"]) -> State:
    """Gated recurrent unit, gates in the order r, z, n.

    ``r = s(Wr x + Ur h + br)``, ``z = s(Wz x + Uz h + bz)``, ``n = tanh(Wn x + bn + r * (Un h + bu))``, ``h' = (1 -
    z) n + z h``.
    """
    (h,) = state
    b_rz, b_n, b_u = jnp.split(p.bias, [2 * h.shape[-1], 3 * h.shape[-1]])
    x_r, x_z, x_n = jnp.split(x @ p.kernel + jnp.concatenate([b_rz, b_n])[None], 3, axis=-1)
    h_r, h_z, h_n = jnp.split(h @ p.recurrent, 3, axis=-1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    n = jnp.tanh(x_n + r * (h_n + b_u[None]))
    return ((1 - z) * n + z * h,)


def lstm_step(p: CellParams, state: State, x: Float[Array, "B I"]) -> State:
    """Long short-term memory, gates in the order i, f, g, o.

    ``i, f, o = s(W x + U h + b)``, ``g = tanh(W x + U h + b)``, ``c' = f c + i g``, ``h' = o tanh(c')``.
    """
    h, c = state
    i, f, g, o = jnp.split(x @ p.kernel + h @ p.recurrent + p.bias[None], 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
    return sigmoid(o) * jnp.tanh(c), c


def _weights(key: PRNGKeyArray, n_inputs: int, hidden_size: int, n_gates: int) -> tuple[Array, Array]:
    k_in, *k_rec = jax.random.split(key, 1 + n_gates)
    kernels = [glorot_uniform()(k, (n_inputs, hidden_size)) for k in jax.random.split(k_in, n_gates)]
    recurrents = [orthogonal()(k, (hidden_size, hidden_size)) for k in k_rec]
    return jnp.concatenate(kernels, axis=-1), jnp.concatenate(recurrents, axis=-1)


def rnn_init(key: PRNGKeyArray, n_inputs: int, hidden_size: int) -> CellParams:
    """Weights of a plain recurrent cell."""
    return CellParams(*_weights(key, n_inputs, hidden_size, 1), jnp.zeros(hidden_size))


def gru_init(key: PRNGKeyArray, n_inputs: int, hidden_size: int) -> CellParams:
    """Weights of a GRU; its bias has four parts: r, z, n (input side), n (recurrent side)."""
    return CellParams(*_weights(key, n_inputs, hidden_size, 3), jnp.zeros(4 * hidden_size))


def lstm_init(key: PRNGKeyArray, n_inputs: int, hidden_size: int) -> CellParams:
    """Weights of an LSTM; the forget gate's bias is one."""
    bias = jnp.zeros(4 * hidden_size).at[hidden_size : 2 * hidden_size].set(1.0)
    return CellParams(*_weights(key, n_inputs, hidden_size, 4), bias)


CELLS = {"rnn": Cell(rnn_init, rnn_step, 1), "gru": Cell(gru_init, gru_step, 1), "lstm": Cell(lstm_init, lstm_step, 2)}
"""The cells by name."""
