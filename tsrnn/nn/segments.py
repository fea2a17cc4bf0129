"""A network that reads and writes segments of time instead of steps."""

import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import normal
from jaxtyping import Array, Bool, Float

from tsrnn.nn.cells import GRUCell
from tsrnn.nn.networks import AbstractNetwork
from tsrnn.nn.scan import scan
from tsrnn.nn.stack import dropout

__all__ = ["SegRNN"]


class SegRNN(AbstractNetwork):
    """A GRU that walks over segments of the history and decodes the segments of the horizon all at once.

    Each segment of the history becomes a vector, ``relu(W x + b)``, and a GRU reads these. One more step of the same
    GRU, from its last state, makes each segment of the horizon: its input is a learned vector for the place of the
    segment and, in the other half of the numbers, a linear map of what is known of its steps. A linear map reads the
    steps of a segment from the result. There are as many steps of the recurrence as segments, so that long windows are
    cheap.

    The paper's model is this on one series a channel (``channels="independent"`` in `Forecaster.fit`) with
    ``normalization="shift"``, ``season_length=1``, ``output=Point("mse")``, and the name of the channel as a
    categorical static covariate for its channel embedding; 512 numbers wide, with segments of 24 hours or 48 quarters
    of an hour.

    Parameters
    ----------
    hidden_size : int, default 128
        Width of the state and of a segment's vector.
    segment_length : int, default 24
        Steps in a segment. A history that is no multiple of it is padded at its old end, a horizon cut.
    dropout : float, default 0.5
        Share of the numbers set to zero in training before the segments are read.

    References
    ----------
    S. Lin, W. Lin, W. Wu, F. Zhao, R. Mo and H. Zhang (2023), SegRNN: segment recurrent neural network for long-term
    time series forecasting, arXiv 2308.11200.

    Examples
    --------
    >>> SegRNN(segment_length=12).segment_length
    12
    """

    hidden_size: int = 128
    segment_length: int = 24
    dropout: float = 0.5

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
        (b, t, _), horizon, d, cell = xs.shape, future.shape[1], self.hidden_size, GRUCell()
        behind, beyond = -t % self.segment_length, -horizon % self.segment_length
        past = self._segments(jnp.where(valid[..., None], xs, 0), (behind, 0))
        there = self._segments(valid[..., None], (behind, 0)).any(axis=-1)
        p = self.param("gru", cell.init, d, d)
        (h,), _ = scan(cell, p, cell.zeros(p, b), nn.relu(nn.Dense(d, name="embed")(past)), there)

        known = nn.Dense(d // 2, name="known")(self._segments(future, (0, beyond)))
        n = known.shape[1]
        place = self.param("place", normal(1.0), (n, d - d // 2))
        queries = jnp.concatenate([jnp.broadcast_to(place, (b, *place.shape)), known], axis=-1)
        (h,) = cell.step(p, (jnp.repeat(h, n, axis=0),), queries.reshape(b * n, d))
        steps = nn.Dense(self.segment_length * size, name="read")(dropout(h, self.dropout, train=train))
        return steps.reshape(b, -1, size)[:, :horizon]

    def _segments(self, a: Array, pad: tuple[int, int]) -> Array:
        """Padded, and the steps of a segment side by side: (B, T, I) to (B, n, segment_length * I)."""
        a = jnp.pad(a, ((0, 0), pad, (0, 0)))
        return a.reshape(len(a), -1, self.segment_length * a.shape[-1])
