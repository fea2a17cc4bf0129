"""Recurrent cells: one step as a pure function of parameters, state and input.

A cell is a frozen value that holds its options; parameters are a dict of arrays, the state a tuple of arrays whose
first one is the output ``h``. Shapes: ``x`` is (B, I), the state (B, D). Gates lie side by side along the last axis
of the weights, in the order of the equations.

Initialization: recurrent weights orthogonal gate by gate, input weights Glorot-uniform gate by gate, biases zero, the
forget gate's one.

References
----------
J. L. Elman (1990), Finding structure in time, Cognitive Science 14.
S. Hochreiter and J. Schmidhuber (1997), Long short-term memory; F. Gers and J. Schmidhuber (2000), Recurrent nets
that time and count, for the forget gate and peepholes; H. Sak et al. (2014), arXiv 1402.1128, for the projection. K.
Cho et al. (2014), arXiv 1406.1078: the GRU that resets before the product; resetting after it is the variant of cuDNN
and PyTorch. R. Jozefowicz et al. (2015), An empirical exploration of recurrent network architectures, for the forget
bias. A. Saxe et al. (2014), arXiv 1312.6120, for orthogonal weights. M. Beck et al. (2024), xLSTM, arXiv 2405.04517,
section 2.2 and appendix A, for the sLSTM.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jax.nn import sigmoid
from jax.nn.initializers import glorot_uniform, orthogonal
from jaxtyping import Array, Float, PRNGKeyArray

__all__ = ["AbstractCell", "GRUCell", "LSTMCell", "Params", "RNNCell", "SLSTMCell", "State"]

Params = dict[str, Array]
"""Weights of a cell by name: ``kernel`` (I, G * D), ``recurrent`` (D, G * D), ``bias`` (G * D,), and what an option
adds. Where ``mask`` (B, D) is among them, products with ``recurrent`` read the state times the mask."""

State = tuple[Float[Array, "B D"], ...]
"""What a cell carries; ``h`` first, it is the output."""


class AbstractCell(ABC):
    """Contract of cells."""

    @abstractmethod
    def init(self, key: PRNGKeyArray, n_inputs: int, hidden_size: int) -> Params:
        """Fresh weights, float32."""

    @abstractmethod
    def step(self, p: Params, state: State, x: Float[Array, "B I"]) -> State:
        """One step of time."""

    def zeros(self, p: Params, batch_size: int) -> State:
        """The state before the first step."""
        recurrent = p["recurrent"]
        return (jnp.zeros((batch_size, recurrent.shape[0]), recurrent.dtype),)


@dataclass(frozen=True)
class RNNCell(AbstractCell):
    """``h' = a(W x + U h + b)``.

    Parameters
    ----------
    activation : {"tanh", "relu"}, default "tanh"
        ``a``.
    """

    activation: Literal["tanh", "relu"] = "tanh"

    def init(self, key: PRNGKeyArray, n_inputs: int, hidden_size: int) -> Params:
        """Weights with G = 1."""
        return _weights(key, n_inputs, hidden_size, 1)

    def step(self, p: Params, state: State, x: Float[Array, "B I"]) -> State:
        """One step; the state is ``(h,)``."""
        (h,) = state
        act = jnp.tanh if self.activation == "tanh" else jax.nn.relu
        return (act(x @ p["kernel"] + _seen(p, h) @ p["recurrent"] + p["bias"][None]),)


@dataclass(frozen=True)
class GRUCell(AbstractCell):
    """Gated recurrent unit, gates in the order r, z, n.

    ``r = s(Wr x + Ur h + br)``, ``z = s(Wz x + Uz h + bz)``, ``h' = (1 - z) n + z h``, where ``n = tanh(Wn x + bn + r
    (Un h + bu))`` if the reset comes after the product, ``n = tanh(Wn x + bn + Un (r h) + bu)`` if before. The bias
    holds br, bz, bn, bu.

    Parameters
    ----------
    reset : {"after", "before"}, default "after"
        Where the reset gate acts.
    """

    reset: Literal["after", "before"] = "after"

    def init(self, key: PRNGKeyArray, n_inputs: int, hidden_size: int) -> Params:
        """Weights with G = 3 and a bias of four parts."""
        return _weights(key, n_inputs, hidden_size, 3) | {"bias": jnp.zeros(4 * hidden_size)}

    def step(self, p: Params, state: State, x: Float[Array, "B I"]) -> State:
        """One step; the state is ``(h,)``."""
        (h,) = state
        d = h.shape[-1]
        b_x, b_u = p["bias"][None, : 3 * d], p["bias"][None, 3 * d :]
        seen = _seen(p, h)
        x_r, x_z, x_n = jnp.split(x @ p["kernel"] + b_x, 3, axis=-1)
        if self.reset == "after":
            h_r, h_z, h_n = jnp.split(seen @ p["recurrent"], 3, axis=-1)
            r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
            n = jnp.tanh(x_n + r * (h_n + b_u))
        else:
            h_r, h_z = jnp.split(seen @ p["recurrent"][:, : 2 * d], 2, axis=-1)
            r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
            n = jnp.tanh(x_n + (r * seen) @ p["recurrent"][:, 2 * d :] + b_u)
        return ((1 - z) * n + z * h,)


@dataclass(frozen=True)
class LSTMCell(AbstractCell):
    """Long short-term memory, gates in the order i, f, g, o.

    ``i, f, o = s(W x + U h + b)``, ``g = tanh(W x + U h + b)``, ``c' = f c + i g``, ``h' = o tanh(c')``. Peepholes
    add ``v_i c`` and ``v_f c`` to the gates i and f, and ``v_o c'`` to o. With a projection, ``h' = (o tanh(c')) R``.

    Parameters
    ----------
    forget_bias : float, default 1.0
        Initial bias of the forget gate.
    peepholes : bool, default False
        Let the gates see the memory.
    projection : int, optional
        Size of ``h`` where it is to differ from that of ``c``.
    """

    forget_bias: float = 1.0
    peepholes: bool = False
    projection: int | None = None

    def init(self, key: PRNGKeyArray, n_inputs: int, hidden_size: int) -> Params:
        """Weights with G = 4; ``peephole`` (3, D) and ``projection`` (D, P) where asked for."""
        k_base, k_rec, k_out = jax.random.split(key, 3)
        p = _weights(k_base, n_inputs, hidden_size, 4)
        p["bias"] = p["bias"].at[hidden_size : 2 * hidden_size].set(self.forget_bias)
        if self.peepholes:
            p["peephole"] = jnp.zeros((3, hidden_size))
        if self.projection is not None:
            p["recurrent"] = _orthogonal(k_rec, self.projection, hidden_size, 4)
            p["projection"] = glorot_uniform()(k_out, (hidden_size, self.projection))
        return p

    def zeros(self, p: Params, batch_size: int) -> State:
        """``(h, c)`` of zeros."""
        d_h, d_c = p["recurrent"].shape[0], p["recurrent"].shape[1] // 4
        dtype = p["recurrent"].dtype
        return jnp.zeros((batch_size, d_h), dtype), jnp.zeros((batch_size, d_c), dtype)

    def step(self, p: Params, state: State, x: Float[Array, "B I"]) -> State:
        """One step; the state is ``(h, c)``."""
        h, c = state
        i, f, g, o = jnp.split(x @ p["kernel"] + _seen(p, h) @ p["recurrent"] + p["bias"][None], 4, axis=-1)
        if self.peepholes:
            v_i, v_f, v_o = p["peephole"][:, None]
            i, f = i + v_i * c, f + v_f * c
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        if self.peepholes:
            o = o + v_o * c
        h = sigmoid(o) * jnp.tanh(c)
        return (h @ p["projection"] if self.projection is not None else h), c


@dataclass(frozen=True)
class SLSTMCell(AbstractCell):
    """LSTM with exponential gates and a normalizer, gates in the order i, f, z, o; ``m`` keeps exponentials in range.

    ``m' = max(log f + m, i)``, ``i' = exp(i - m')``, ``f' = exp(log f + m - m')``, ``c' = f' c + i' z``,
    ``n' = f' n + i'``, ``h' = o c' / n'``, with ``log f = log s(W x + U h + b)``, ``z = tanh``, ``o = s``. The forget
    gate's bias starts between 3 and 6.
    """

    def init(self, key: PRNGKeyArray, n_inputs: int, hidden_size: int) -> Params:
        """Weights with G = 4."""
        p = _weights(key, n_inputs, hidden_size, 4)
        p["bias"] = p["bias"].at[hidden_size : 2 * hidden_size].set(jnp.linspace(3.0, 6.0, hidden_size))
        return p

    def zeros(self, p: Params, batch_size: int) -> State:
        """``(h, c, n, m)``: zeros and, where nothing has been seen, ``m`` of minus infinity."""
        (zeros,) = super().zeros(p, batch_size)
        return zeros, zeros, zeros, jnp.full_like(zeros, -jnp.inf)

    def step(self, p: Params, state: State, x: Float[Array, "B I"]) -> State:
        """One step; the state is ``(h, c, n, m)``."""
        h, c, n, m = state
        i, f, z, o = jnp.split(x @ p["kernel"] + _seen(p, h) @ p["recurrent"] + p["bias"][None], 4, axis=-1)
        log_f = jax.nn.log_sigmoid(f)
        m_new = jnp.maximum(log_f + m, i)
        i, f = jnp.exp(i - m_new), jnp.exp(log_f + m - m_new)
        c, n = f * c + i * jnp.tanh(z), f * n + i
        return sigmoid(o) * c / n, c, n, m_new


def input_weights(key: PRNGKeyArray, n_inputs: int, hidden_size: int, n_gates: int) -> Float[Array, "I GD"]:
    """Glorot-uniform, gate by gate."""
    keys = jax.random.split(key, n_gates)
    return jnp.concatenate([glorot_uniform()(k, (n_inputs, hidden_size)) for k in keys], axis=-1)


def _seen(p: Params, h: Float[Array, "B D"]) -> Float[Array, "B D"]:
    """What the products with the recurrent weights read of the state."""
    return h * p["mask"] if "mask" in p else h


def _orthogonal(key: PRNGKeyArray, rows: int, columns: int, n_gates: int) -> Float[Array, "rows GD"]:
    return jnp.concatenate([orthogonal()(k, (rows, columns)) for k in jax.random.split(key, n_gates)], axis=-1)


def _weights(key: PRNGKeyArray, n_inputs: int, hidden_size: int, n_gates: int) -> Params:
    k_in, k_rec = jax.random.split(key)
    return {
        "kernel": input_weights(k_in, n_inputs, hidden_size, n_gates),
        "recurrent": _orthogonal(k_rec, hidden_size, hidden_size, n_gates),
        "bias": jnp.zeros(n_gates * hidden_size),
    }
