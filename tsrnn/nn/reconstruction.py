"""An encoder and a decoder that reconstruct the rows of a window: a row that they cannot is unlike those they learned.

The encoder reads the newest row first; from its last state the decoder gives the rows in the opposite order, the oldest
first. So the newest row has the longest way through the state, which is smaller than the window. This is the scheme of
Malhotra et al. with time reversed, and with a decoder that reads nothing but how far the rows are apart, as that of
Srivastava et al., so that it does when it is used what it did in training.

References
----------
P. Malhotra et al. (2016), LSTM-based encoder-decoder for multi-sensor anomaly detection, arXiv 1607.00148, section 2.1.
N. Srivastava, E. Mansimov and R. Salakhutdinov (2015), Unsupervised learning of video representations using LSTMs,
arXiv 1502.04681, section 2.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import glorot_uniform
from jaxtyping import Array, Float, PRNGKeyArray

from tsrnn.nn.cells import AbstractCell
from tsrnn.nn.online import AbstractOnline, Carry, Params, chunk_starts, chunks, symlog
from tsrnn.nn.scan import choose, scan

__all__ = ["Reconstructing", "WindowLoss"]


@dataclass(frozen=True)
class Reconstructing(AbstractOnline):
    """What a row should be, given itself and the rows before it; see the module.

    Beside ``scale`` its parameters are ``net``: ``encoder`` and ``decoder``, ``head`` (D, C) and ``head_bias``. Carried
    is the ``window`` (window, 1 + K) of the last rows, the newest last: the time elapsed, then the row; missing rows
    before the first. Values are read and reconstructed on a logarithmic scale (`tsrnn.nn.online.symlog`).
    """

    cell: AbstractCell
    hidden_size: int
    window: int

    @property
    def context(self) -> int:
        """All but the newest row."""
        return self.window - 1

    def init(self, key: PRNGKeyArray, n_columns: int, n_sensors: int) -> dict[str, Any]:
        """Fresh ``net``."""
        encoder, decoder, head = jax.random.split(key, 3)
        return {
            "encoder": self.cell.init(encoder, 2 * n_columns + 1, self.hidden_size),
            "decoder": self.cell.init(decoder, 1, self.hidden_size),
            "head": glorot_uniform()(head, (self.hidden_size, n_sensors)),
            "head_bias": jnp.zeros(n_sensors),
        }

    def start(self, p: Params, n_columns: int) -> Carry:
        """A window of missing rows."""
        empty = jnp.full((self.window, 1 + n_columns), jnp.nan, jnp.float32).at[:, 0].set(1)
        return super().start(p, n_columns) | {"window": empty}

    def departure(
        self, p: Params, carry: Carry, elapsed: Float[Array, ""]
    ) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """None: nothing is said of a row before it is there."""
        return jnp.zeros_like(p["scale"]), jnp.zeros_like(p["scale"])

    def explain(
        self, p: Params, carry: Carry, x: Float[Array, " K"], elapsed: Float[Array, ""]
    ) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """The row as reconstructed with its window."""
        newest = self.reconstructed(p["net"], _slid(carry["window"], x, elapsed)[None], platform="cpu")[0, -1]
        return jnp.sign(newest) * jnp.expm1(jnp.abs(newest)), p["scale"]

    def feed(self, p: Params, carry: Carry, x: Float[Array, " K"], elapsed: Float[Array, ""]) -> Carry:
        """The window, a row further."""
        return super().feed(p, carry, x, elapsed) | {"window": _slid(carry["window"], x, elapsed)}

    def reconstructed(
        self, net: Params, rows: Float[Array, "B T 1+K"], *, platform: str | None = None
    ) -> Float[Array, "B T C"]:
        """The sensors of windows, on a logarithmic scale; ``platform`` as in `tsrnn.nn.scan.choose`."""
        late, x = jnp.log(jnp.maximum(rows[..., :1], 1e-3)), rows[..., 1:]
        seen = ~jnp.isnan(x)
        read = jnp.concatenate([symlog(jnp.where(seen, x, 0)), seen.astype(x.dtype), late], axis=-1)
        backend = choose(self.cell, read, self.hidden_size, masked=False, platform=platform)
        zeros = self.cell.zeros(net["encoder"], len(rows))
        state, _ = scan(self.cell, net["encoder"], zeros, read, reverse=True, backend=backend)
        _, hs = scan(self.cell, net["decoder"], state, late, backend=backend)
        given: Array = hs @ net["head"] + net["head_bias"][None, None]
        return given


@dataclass(frozen=True)
class WindowLoss:
    """Mean squared error of reconstructed sensors, on a logarithmic scale, over windows of a recording.

    A batch is as in `tsrnn.nn.online.ChunkLoss`; the settings are ``rows`` (L, 1 + K), the times elapsed and the rows,
    and ``ends``.
    """

    model: Reconstructing

    def __call__(self, net: Params, batch: Any, key: Any, settings: Params) -> tuple[Float[Array, ""], None]:
        """The loss."""
        steps = self.model.window
        rows = chunks(settings["rows"], chunk_starts(batch, settings["ends"], steps, steps // 2), steps)
        given = self.model.reconstructed(net, rows)
        sensors = rows[..., 1 : 1 + given.shape[-1]]
        seen = ~jnp.isnan(sensors)
        missed = jnp.where(seen, given - symlog(jnp.where(seen, sensors, 0)), 0)
        return (missed**2).sum() / jnp.maximum(seen.sum(), 1).astype(missed.dtype), None


def _slid(window: Float[Array, "T 1+K"], x: Float[Array, " K"], elapsed: Float[Array, ""]) -> Float[Array, "T 1+K"]:
    """The window with this row as its newest."""
    return jnp.concatenate([window[1:], jnp.concatenate([elapsed[None], x])[None]])
