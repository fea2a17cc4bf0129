"""A forecasting model as one value: network, output and window normalization, applied to a `Batch`."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from tsrnn.nn.networks import AbstractNetwork
from tsrnn.nn.outputs import AbstractOutput
from tsrnn.nn.scaling import WindowNorm, window_stats
from tsrnn.types import Batch

__all__ = ["ForecastLoss", "Model", "Params"]

Params = Any
"""A pytree of weights."""


@dataclass(frozen=True)
class Model:
    """Network, output and normalization. Equal values hash alike, so equal models share one compiled program.

    Parameters
    ----------
    network : AbstractNetwork
        From inputs to raw numbers.
    output : AbstractOutput
        What the raw numbers mean.
    normalization : {"none", "mean", "standard", "last"}
        How a window is normalized by its own history.
    """

    network: AbstractNetwork
    output: AbstractOutput
    normalization: WindowNorm

    def init(self, key: PRNGKeyArray, batch: Batch) -> Params:
        """Fresh weights for batches shaped like this one."""
        inputs, size = self._inputs(batch)[0], self._size(batch)
        return self.network.init(key, inputs, batch.valid, batch.future, size=size)

    def raw(self, params: Params, batch: Batch, key: PRNGKeyArray | None) -> tuple[Array, Array, Array]:
        """Values of the normalized target, shape (B, H, C, Q), and the location and scale of each window, (B, 1, C)."""
        inputs, location, scale = self._inputs(batch)
        rngs = None if key is None else {"dropout": key}
        raw: Any = self.network.apply(
            params, inputs, batch.valid, batch.future, size=self._size(batch), train=key is not None, rngs=rngs
        )
        b, h, c = batch.target.shape
        return self.output.values(jnp.reshape(raw, (b, h, c, self.output.size))), location, scale

    def __call__(self, params: Params, batch: Batch) -> Float[Array, "B H C Q"]:
        """Forecast in the units of ``batch.context``."""
        values, location, scale = self.raw(params, batch, None)
        return values * scale[..., None] + location[..., None]

    def _size(self, batch: Batch) -> int:
        return batch.target.shape[-1] * self.output.size

    def _inputs(self, batch: Batch) -> tuple[Array, Array, Array]:
        location, scale = window_stats(batch.context, batch.context_observed, self.normalization)
        x = jnp.where(batch.context_observed, (batch.context - location) / scale, 0)
        return jnp.concatenate([x, batch.context_observed.astype(x.dtype), batch.past], axis=-1), location, scale


@dataclass(frozen=True)
class ForecastLoss:
    """The loss of a model on a batch, as the training loop wants it: ``(params, batch, key) -> (loss, aux)``.

    The target is normalized like its window, so windows of all scales weigh alike; missing targets count nothing.
    """

    model: Model

    def __call__(self, params: Params, batch: Batch, key: PRNGKeyArray | None) -> tuple[Float[Array, ""], None]:
        """Mean loss over the observed targets."""
        values, location, scale = self.model.raw(params, batch, key)
        losses = self.model.output.loss(values, (batch.target - location) / scale)
        seen = batch.target_observed
        return jnp.where(seen, losses, 0).sum() / jnp.maximum(seen.sum(), 1).astype(losses.dtype), None


def count_params(params: Params) -> int:
    """Number of weights."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
