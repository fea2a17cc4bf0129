"""A forecasting model as one value: network, output and window normalization, applied to a `Batch`."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from tsrnn.nn.embedding import Categories, embed, init_tables
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

    The network's numbers are added to the forecast that repeats the last season of the window, which the decoder also
    reads: what is learned is how the future departs from the seasonal naive forecast.

    Parameters
    ----------
    network : AbstractNetwork
        From inputs to raw numbers.
    output : AbstractOutput
        What the raw numbers mean.
    normalization : {"none", "mean", "standard", "last"}
        How a window is normalized by its own history.
    season_length : int
        Steps in a season, at most the context's length; 1 repeats the last value.
    categories : Categories, default none
        Sizes of the categorical inputs. Their embeddings and the static inputs join the others before the network,
        which knows nothing of them; the weights of the embeddings stand beside the network's.
    """

    network: AbstractNetwork
    output: AbstractOutput
    normalization: WindowNorm
    season_length: int
    categories: Categories = Categories()  # noqa: RUF009  a frozen value

    def init(self, key: PRNGKeyArray, batch: Batch) -> Params:
        """Fresh weights for batches shaped like this one."""
        tables = init_tables(jax.random.fold_in(key, 1), self.categories)
        embeddings = {"embeddings": tables} if tables else {}
        weights = self.network.init(key, *self._inputs(embeddings, batch), size=self._size(batch))
        return {**embeddings, **weights}

    def raw(self, params: Params, batch: Batch, key: PRNGKeyArray | None) -> Float[Array, "B H C Q"]:
        """Values of the normalized target."""
        rngs = None if key is None else {"dropout": key}
        raw: Any = self.network.apply(
            params, *self._inputs(params, batch), size=self._size(batch), train=key is not None, rngs=rngs
        )
        b, h, c = batch.target.shape
        season, _ = self._season(batch)
        return self.output.values(jnp.reshape(raw, (b, h, c, self.output.size))) + season[..., None]

    def stats(self, batch: Batch) -> tuple[Float[Array, "B 1 C"], Float[Array, "B 1 C"]]:
        """Location and scale of each window."""
        return window_stats(batch.context, batch.context_observed, self.normalization)

    def __call__(self, params: Params, batch: Batch) -> Float[Array, "B H C Q"]:
        """Forecast in the units of ``batch.context``."""
        location, scale = self.stats(batch)
        return self.raw(params, batch, None) * scale[..., None] + location[..., None]

    def _size(self, batch: Batch) -> int:
        return batch.target.shape[-1] * self.output.size

    def _history(self, batch: Batch) -> Float[Array, "B T C"]:
        """The normalized window, 0 where missing."""
        location, scale = self.stats(batch)
        return jnp.where(batch.context_observed, (batch.context - location) / scale, 0)

    def _season(self, batch: Batch) -> tuple[Float[Array, "B H C"], Float[Array, "B H C"]]:
        """The last season of the window, repeated over the horizon, and where it was observed."""
        behind = batch.context.shape[1] - self.season_length
        steps = behind + np.arange(batch.target.shape[1]) % self.season_length
        x = self._history(batch)
        return x[:, steps], batch.context_observed[:, steps].astype(x.dtype)

    def _inputs(self, params: Params, batch: Batch) -> tuple[Array, Array, Array]:
        """History, where it is valid, and what is known ahead; what is constant in a window at each of their steps."""
        tables = params.get("embeddings", {})
        x = self._history(batch)
        constant = jnp.concatenate([batch.static, embed(tables, ("static",), batch.static_codes)], axis=-1)[:, None]

        def join(parts: list[Array], codes: Array, kinds: tuple[str, ...]) -> Array:
            steps = jnp.broadcast_to(constant, (*codes.shape[:2], constant.shape[-1]))
            return jnp.concatenate([*parts, embed(tables, kinds, codes), steps], axis=-1)

        past = [x, batch.context_observed.astype(x.dtype), batch.past]
        return (
            join(past, batch.past_codes, ("past", "future")),
            batch.valid,
            join([*self._season(batch), batch.future], batch.future_codes, ("future",)),
        )


@dataclass(frozen=True)
class ForecastLoss:
    """The loss of a model on a batch, as the training loop wants it: ``(params, batch, key) -> (loss, aux)``.

    The target is normalized like its window, so windows of all scales weigh alike; missing targets count nothing.
    """

    model: Model

    def __call__(self, params: Params, batch: Batch, key: PRNGKeyArray | None) -> tuple[Float[Array, ""], None]:
        """Mean loss over the observed targets."""
        location, scale = self.model.stats(batch)
        losses = self.model.output.loss(self.model.raw(params, batch, key), (batch.target - location) / scale)
        seen = batch.target_observed
        return jnp.where(seen, losses, 0).sum() / jnp.maximum(seen.sum(), 1).astype(losses.dtype), None


def count_params(params: Params) -> int:
    """Number of weights."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
