"""Networks from a window of history to all steps of the horizon at once.

A network reads the history step by step and decodes every step of the horizon from its **last** state, so the newest
observation reaches the first step ahead. Modules are frozen dataclasses: a network is at once a specification, a node
of a run file, and a parameter that scikit-learn can clone.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from tsrnn.nn.cells import AbstractCell, GRUCell, LSTMCell, RNNCell, SLSTMCell
from tsrnn.nn.linear import MinGRUCell, MinLSTMCell
from tsrnn.nn.stack import Stack, dropout

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SLSTM",
    "AbstractDirect",
    "AbstractNetwork",
    "AbstractRecurrent",
    "DirectDecoder",
    "MinGRU",
    "MinLSTM",
]


class AbstractNetwork(nn.Module, ABC):
    """Contract of networks: from a history and what is known ahead to raw numbers for every step ahead."""

    @abstractmethod
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
            False on padding, which is on the left.
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


class AbstractRecurrent(AbstractNetwork):
    """A network whose encoder is a stack of recurrent layers.

    Parameters
    ----------
    hidden_size : int, optional
        Width of the recurrent state. By default 64, in a `Forecaster` less where there are few data.
    num_layers : int, default 1
        Recurrent layers.
    dropout : float, default 0.0
        Share of the numbers set to zero in training, between layers and before the decoder.
    recurrent_dropout : float, default 0.0
        Share of the state that the gates do not see in training: drawn for each window, the same at all steps [1]_. The
        plain scan runs then, which is slower. Not for cells whose gates do not read the state, of `MinGRU` and
        `MinLSTM`.
    residual : bool, default False
        Add what a layer reads to what it gives, from the second layer on.
    layer_norm : bool, default False
        Normalize what each layer gives, step by step over its numbers, after the residual is added [2]_.
    dilations : tuple of int, optional
        For each layer, how many steps ago the state was made that a step reads [3]_, ``(1, 2, 4)`` say; 1 by default.
    bidirectional : bool, default False
        A second set of layers reads the history from its newest step to its oldest one; the decoder reads the last
        states of both. The window is known whole, and what is known ahead goes to the decoder alone.
    truncate : int, optional
        Truncated backpropagation through time: the state is carried on, and its gradient cut every so many steps of a
        layer, counted back from the newest one [4]_. With the same weights the forecasts are the same; what is learned
        is not.
    remat : int, optional
        Gradient checkpointing: keep the state every so many steps only, and compute those between again for the
        gradient, which changes by rounding alone [5]_. Memory falls, time rises; the square root of the context's
        length needs the least memory.

    Raises
    ------
    ValueError
        If a number is below 1, or there are not as many dilations as layers.

    References
    ----------
    .. [1] Y. Gal and Z. Ghahramani (2016), A theoretically grounded application of dropout in recurrent neural
       networks, arXiv 1512.05287.
    .. [2] J. L. Ba, J. R. Kiros and G. E. Hinton (2016), Layer normalization, arXiv 1607.06450.
    .. [3] S. Chang et al. (2017), Dilated recurrent neural networks, arXiv 1710.02224.
    .. [4] R. J. Williams and J. Peng (1990), An efficient gradient-based algorithm for on-line training of recurrent
       network trajectories, Neural Computation 2(4).
    .. [5] T. Chen, B. Xu, C. Zhang and C. Guestrin (2016), Training deep nets with sublinear memory cost, arXiv
       1604.06174.
    """

    hidden_size: int | None = None
    num_layers: int = 1
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    residual: bool = False
    layer_norm: bool = False
    dilations: tuple[int, ...] | None = None
    bidirectional: bool = False
    truncate: int | None = None
    remat: int | None = None

    def __post_init__(self) -> None:
        if self.dilations is not None:
            object.__setattr__(self, "dilations", tuple(self.dilations))  # a list has no hash
            if len(self.dilations) != self.num_layers:
                raise ValueError(f"dilations={self.dilations} must be one a layer, num_layers={self.num_layers}.")
        for name in ("truncate", "remat", "dilations"):
            value = getattr(self, name)
            if value is not None and np.min(value) < 1:
                raise ValueError(f"{name} must be at least 1, or None, got {value}.")
        super().__post_init__()

    @property
    def width(self) -> int:
        """Numbers in the recurrent state."""
        return 64 if self.hidden_size is None else self.hidden_size

    @nn.nowrap
    def encoder(self, cell: AbstractCell) -> Stack:
        """The encoder, inside a compact method or by itself."""
        return Stack(
            cell, self.width, self.num_layers, self.dropout, self.recurrent_dropout, self.residual,
            self.layer_norm, self.dilations, self.bidirectional, self.truncate, self.remat, name="encoder",
        )  # fmt: skip


class AbstractDirect(AbstractRecurrent):
    """A recurrent encoder and a direct decoder; the subclass names the cell."""

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
        """Forecast; see `AbstractNetwork`."""
        h, _ = self.encoder(self.cell)(xs, valid, train=train)
        h = dropout(h, self.dropout, train=train)
        return DirectDecoder(self.width, name="decoder")(h, future, size)

    @nn.nowrap
    def states(self, weights: Any, xs: Float[Array, "B T I"], valid: Bool[Array, "B T"]) -> Float[Array, "B T D"]:
        """What the decoder would read if the history ended after each of its steps."""
        hs: Any = self.encoder(self.cell).apply({"params": weights["params"]["encoder"]}, xs, valid, train=False)
        return hs[1]  # type: ignore[no-any-return]

    @nn.nowrap
    def decode(
        self, weights: Any, h: Float[Array, "B D"], future: Float[Array, "B H F"], size: int
    ) -> Float[Array, "B H size"]:
        """Forecast from such states."""
        raw: Any = DirectDecoder(self.width).apply({"params": weights["params"]["decoder"]}, h, future, size)
        return raw  # type: ignore[no-any-return]


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


class RNN(AbstractDirect):
    """Plain recurrent network (Elman, tanh); see `AbstractRecurrent` for the parameters."""

    cell: ClassVar[AbstractCell] = RNNCell()


class GRU(AbstractDirect):
    """Gated recurrent unit; see `AbstractRecurrent` for the parameters."""

    cell: ClassVar[AbstractCell] = GRUCell()


class LSTM(AbstractDirect):
    """Long short-term memory; see `AbstractRecurrent` for the parameters.

    Examples
    --------
    >>> LSTM(hidden_size=32).hidden_size
    32
    """

    cell: ClassVar[AbstractCell] = LSTMCell()


class SLSTM(AbstractDirect):
    """LSTM with exponential gates, of the xLSTM; see `AbstractRecurrent` for the parameters."""

    cell: ClassVar[AbstractCell] = SLSTMCell()


class MinGRU(AbstractDirect):
    """GRU whose gates read the input alone; see `AbstractRecurrent` for the parameters, `tsrnn.nn.linear` for it."""

    cell: ClassVar[AbstractCell] = MinGRUCell()


class MinLSTM(AbstractDirect):
    """LSTM whose gates read the input alone; see `AbstractRecurrent` for the parameters, `tsrnn.nn.linear` for it."""

    cell: ClassVar[AbstractCell] = MinLSTMCell()
