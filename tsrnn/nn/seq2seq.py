"""Encoder and decoder, both recurrent, with or without attention between them."""

from typing import Literal, get_args

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from tsrnn.nn.networks import GRU, LSTM, RNN, SLSTM, AbstractRecurrent, MinGRU, MinLSTM
from tsrnn.nn.stack import Stack, dropout

__all__ = ["CellName", "Seq2Seq"]

CellName = Literal["LSTM", "GRU", "RNN", "SLSTM", "MinLSTM", "MinGRU"]
"""A cell by the name of the network that is made of it."""

CELLS = {network.__name__: network.cell for network in (LSTM, GRU, RNN, SLSTM, MinLSTM, MinGRU)}


class Seq2Seq(AbstractRecurrent):
    """A stack of recurrent layers reads the history, a recurrent layer walks over the horizon.

    At every step ahead the decoder reads what is known of that step and the summary of the history [1]_, and its state
    carries what it made of the steps before. It never reads its own forecasts, so that training and forecasting are the
    same computation, and there is nothing to force. The parameters beside these are those of `AbstractRecurrent`; they
    are about the encoder, of which the decoder has the cell and the width.

    Parameters
    ----------
    cell : {"LSTM", "GRU", "RNN", "SLSTM", "MinLSTM", "MinGRU"}, default "LSTM"
        Cell of both.
    attention : bool, default False
        Let every step ahead look at all steps of the history: a mean of the encoder's states, weighted by their
        products with a linear map of the decoder's state [2]_, scaled by the root of their size. Padding has no weight.

    Raises
    ------
    ValueError
        In use, if the cell is unknown.

    References
    ----------
    .. [1] K. Cho et al. (2014), Learning phrase representations using RNN encoder-decoder for statistical machine
       translation, arXiv 1406.1078, section 2.2.
    .. [2] M.-T. Luong, H. Pham and C. D. Manning (2015), Effective approaches to attention-based neural machine
       translation, arXiv 1508.04025, section 3.1, "general".

    Examples
    --------
    >>> Seq2Seq(cell="GRU", hidden_size=32, attention=True).attention
    True
    """

    cell: CellName = "LSTM"
    attention: bool = False

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
        if self.cell not in CELLS:
            raise ValueError(f"cell={self.cell!r} is unknown; choose one of {', '.join(get_args(CellName))}.")
        cell, ahead = CELLS[self.cell], future.shape[:2]
        h, hs = self.encoder(cell)(xs, valid, train=train)
        summary = jnp.broadcast_to(dropout(h, self.dropout, train=train)[:, None], (*ahead, h.shape[-1]))
        decoder = Stack(cell, self.width, name="decoder")
        _, steps = decoder(jnp.concatenate([future, summary], axis=-1), jnp.ones(ahead, bool), train=train)
        if self.attention:
            queries = nn.Dense(hs.shape[-1], use_bias=False, name="query")(steps)
            steps = jnp.concatenate([steps, _attend(queries, hs, valid)], axis=-1)
        hidden = nn.relu(nn.Dense(self.width, name="join")(dropout(steps, self.dropout, train=train)))
        return nn.Dense(size, name="read")(hidden)


def _attend(
    queries: Float[Array, "B H W"], states: Float[Array, "B T W"], valid: Bool[Array, "B T"]
) -> Float[Array, "B H W"]:
    """Means of the states, weighted by how well they go with each query."""
    scores = jnp.einsum("bhw,btw->bht", queries, states) / states.shape[-1] ** 0.5
    weights = nn.softmax(jnp.where(valid[:, None], scores, -1e30))
    return jnp.einsum("bht,btw->bhw", weights, states)
