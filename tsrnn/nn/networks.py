"""Recurrent networks from a window of history to all steps of the horizon at once.

A network reads the history step by step and decodes every step of the horizon from its **last** state, so the newest
observation reaches the first step ahead. Modules are frozen dataclasses: a network is at once a specification, a node
of a run file, and a parameter that scikit-learn can clone.
"""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from tsrnn.nn.cells import AbstractCell, GRUCell, LSTMCell, RNNCell, State
from tsrnn.nn.dropout import Dropout
from tsrnn.nn.scan import scan

__all__ = ["GRU", "LSTM", "RNN", "AbstractNetwork", "DirectDecoder", "Stack"]


class Stack(nn.Module):
    """Recurrent layers one above the other, with dropout between them.

    Parameters
    ----------
    cell : AbstractCell
        The cell of every layer.
    hidden_size, num_layers : int
        Width and depth.
    dropout : float
        Share of a layer's outputs set to zero in training before the next layer reads them.
    """

    cell: AbstractCell
    hidden_size: int
    num_layers: int
    dropout: float

    @nn.compact
    def __call__(self, xs: Float[Array, "B T I"], valid: Bool[Array, "B T"], *, train: bool) -> Float[Array, "B D"]:
        """Run all layers; give the last ``h`` of the uppermost one, shape (B, D)."""
        state: State = ()
        for i in range(self.num_layers):
            if i:
                xs = Dropout(self.dropout, deterministic=not train)(xs)
            params = self.param(f"layer_{i}", self.cell.init, xs.shape[-1], self.hidden_size)
            state, xs = scan(self.cell, params, self.cell.zeros(params, xs.shape[0]), xs, valid)
        return state[0]


class DirectDecoder(nn.Module):
    """All steps ahead at once from one state.

    A linear map unfolds the state into a short code per step; a small network, the same for all steps, joins the code
    with what is known of that step (calendar, future covariates).

    Parameters
    ----------
    hidden_size : int
        Width of the small network.
    code_size : int, default 16
        Numbers per step that the state is unfolded into.
    """

    hidden_size: int
    code_size: int = 16

    @nn.compact
    def __call__(self, h: Float[Array, "B D"], future: Float[Array, "B H F"], size: int) -> Float[Array, "B H size"]:
        """Decode to ``size`` numbers a step, shape (B, H, size)."""
        horizon = future.shape[1]
        codes = nn.Dense(horizon * self.code_size, name="unfold")(h).reshape(-1, horizon, self.code_size)
        hidden = nn.relu(nn.Dense(self.hidden_size, name="join")(jnp.concatenate([codes, future], axis=-1)))
        return nn.Dense(size, name="read")(jnp.concatenate([hidden, codes], axis=-1))


class AbstractNetwork(nn.Module):
    """A recurrent encoder and a direct decoder; the subclass names the cell.

    Parameters
    ----------
    hidden_size : int, default 64
        Width of the recurrent state.
    num_layers : int, default 1
        Recurrent layers.
    dropout : float, default 0.0
        Dropout between layers and before the decoder, in training.
    """

    hidden_size: int = 64
    num_layers: int = 1
    dropout: float = 0.0

    cell: ClassVar[AbstractCell]

    @nn.compact
    def __call__(
        self,
        xs: Float[Array, "B T I"],
        valid: Bool[Array, "B T"],
        future: Float[Array, "B H F"],
        *,
        size: int,
        train: bool = False,
    ) -> Float[Array, "B H size"]:
        """Forecast.

        Parameters
        ----------
        xs : array of shape (B, T, I)
            Inputs, oldest first.
        valid : array of bool, shape (B, T)
            False on padding.
        future : array of shape (B, H, F)
            What is known of the steps ahead; its second axis is the horizon.
        size : int
            Numbers to give per step.
        train : bool, default False
            Whether dropout is on.

        Returns
        -------
        array of shape (B, H, size)
        """
        h = Stack(self.cell, self.hidden_size, self.num_layers, self.dropout, name="encoder")(xs, valid, train=train)
        h = Dropout(self.dropout, deterministic=not train)(h)
        return DirectDecoder(self.hidden_size, name="decoder")(h, future, size)


class RNN(AbstractNetwork):
    """Plain recurrent network (Elman, tanh); see `AbstractNetwork` for the parameters."""

    cell: ClassVar[AbstractCell] = RNNCell()


class GRU(AbstractNetwork):
    """Gated recurrent unit; see `AbstractNetwork` for the parameters."""

    cell: ClassVar[AbstractCell] = GRUCell()


class LSTM(AbstractNetwork):
    """Long short-term memory; see `AbstractNetwork` for the parameters.

    Examples
    --------
    >>> LSTM(hidden_size=32).hidden_size
    32
    """

    cell: ClassVar[AbstractCell] = LSTMCell()
