"""A forecasting model as one value: network, output and window normalization, applied to a `Batch`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from tsrnn.nn.embedding import Categories, embed, init_tables
from tsrnn.nn.networks import AbstractNetwork
from tsrnn.nn.outputs import AbstractOutput
from tsrnn.nn.scaling import WindowNorm, running_stats, window_stats
from tsrnn.types import Batch

__all__ = ["ForecastLoss", "Model", "Params", "Precision"]

Params = Any
"""A pytree of weights."""

Precision = Literal["float32", "bfloat16", "float64"]
"""What the network computes in."""


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
    normalization : {"none", "mean", "standard", "last", "shift", "robust", "revin", "running"}
        How a window is normalized by its own history: as `tsrnn.nn.scaling.window_stats` says. With ``revin`` the
        network moreover reads the history times a learned gain plus a learned shift of each channel, and what it gives
        is divided by the gain, which is positive, so that quantiles do not cross. With ``running`` it reads every step
        normalized by the steps up to this one.
    season_length : int
        Steps in a season, at most the context's length; 1 repeats the last value.
    categories : Categories, default none
        Sizes of the categorical inputs. Their embeddings and the static inputs join the others before the network,
        which knows nothing of them; the weights of the embeddings stand beside the network's.
    precision : {"float32", "bfloat16", "float64"}, default "float32"
        What the network computes in. All else, weights, statistics and losses, has the type of the batch.
    """

    network: AbstractNetwork
    output: AbstractOutput
    normalization: WindowNorm
    season_length: int
    categories: Categories = Categories()  # noqa: RUF009  a frozen value
    precision: Precision = "float32"

    @property
    def loss(self) -> "ForecastLoss":
        """What training minimizes."""
        return ForecastLoss(self)

    def init(self, key: PRNGKeyArray, batch: Batch) -> Params:
        """Fresh weights for batches shaped like this one."""
        tables = init_tables(jax.random.fold_in(key, 1), self.categories)
        learned: dict[str, Any] = {"embeddings": tables} if tables else {}
        weights = self.network.init(key, *self.inputs(learned, batch), size=self.size(batch))
        if self.normalization == "revin":
            zeros = jnp.zeros(batch.target.shape[-1], batch.target.dtype)
            learned["revin"] = {"log_gain": zeros, "shift": zeros}
        return {**weights, **learned}

    def raw(
        self, params: Params, batch: Batch, key: PRNGKeyArray | None, settings: Mapping[str, Any] | None = None
    ) -> Float[Array, "B H C P"]:
        """Parameters of the normalized target; ``settings`` stand for the network's fields of these names."""
        rngs = None if key is None else {"dropout": key}
        past, valid, ahead = self.inputs(params, batch)
        weights, past, ahead = jax.tree.map(lambda a: a.astype(self.precision), (params, past, ahead))
        raw: Any = self.network.clone(**settings or {}).apply(
            weights, past, valid, ahead, size=self.size(batch), train=key is not None, rngs=rngs
        )
        return self.values(params, batch, raw.astype(batch.target.dtype))

    def values(self, params: Params, batch: Batch, raw: Float[Array, "B H size"]) -> Float[Array, "B H C P"]:
        """The same from what the network gives."""
        b, h, c = batch.target.shape
        season, _ = self._season(batch)
        raw = jnp.reshape(raw, (b, h, c, self.output.size))
        if "revin" in params:  # the shift is in the season that the values are added to, and goes out with it
            values = self.output.params(raw, jnp.zeros_like(season))
            return self.output.affine(values, season, jnp.exp(-params["revin"]["log_gain"])[None, None])
        return self.output.params(raw, season)

    def stats(self, batch: Batch) -> tuple[Float[Array, "B 1 C"], Float[Array, "B 1 C"]]:
        """Location and scale of each window; the scale of counts is at least their unit."""
        location, scale = window_stats(batch.context, batch.context_observed, self.normalization)
        return location, jnp.maximum(scale, 1) if self.output.domain == "count" else scale

    def __call__(self, params: Params, batch: Batch) -> Float[Array, "B H C P"]:
        """Parameters of the forecast in the units of ``batch.context``; `AbstractOutput.forecast` reads them."""
        return self.output.affine(self.raw(params, batch, None), *self.stats(batch))

    def states(self, params: Params, batch: Batch) -> Float[Array, "B T D"]:
        """What the network's decoder would read if the history ended after each of its steps."""
        past, valid, _ = self.inputs(params, batch)
        weights, past = jax.tree.map(lambda a: a.astype(self.precision), (params, past))
        network: Any = self.network
        states: Array = network.states(weights, past, valid)
        return states

    def decode(self, params: Params, batch: Batch, states: Float[Array, "B D"]) -> Float[Array, "B H C P"]:
        """Parameters of the forecast from such states, in the units of ``batch.context``."""
        _, _, ahead = self.inputs(params, batch)
        weights, ahead = jax.tree.map(lambda a: a.astype(self.precision), (params, ahead))
        network: Any = self.network
        raw: Array = network.decode(weights, states, ahead, self.size(batch))
        values = self.values(params, batch, raw.astype(batch.target.dtype))
        return self.output.affine(values, *self.stats(batch))

    def size(self, batch: Batch) -> int:
        """Numbers that the network gives for a step."""
        return batch.target.shape[-1] * self.output.size

    def _normalized(self, batch: Batch) -> Float[Array, "B T C"]:
        """The window in the units of the normalized target, 0 where missing."""
        location, scale = self.stats(batch)
        return jnp.where(batch.context_observed, (batch.context - location) / scale, 0)

    def _history(self, batch: Batch) -> Float[Array, "B T C"]:
        """The window as the network reads it, but for a learned gain and shift; 0 where missing."""
        if self.normalization != "running":
            return self._normalized(batch)
        location, scale, _ = running_stats(batch.context, batch.context_observed)
        return jnp.where(batch.context_observed, (batch.context - location) / scale, 0)

    def _season(self, batch: Batch) -> tuple[Float[Array, "B H C"], Float[Array, "B H C"]]:
        """The last season of the window, repeated over the horizon, and where it was observed."""
        behind = batch.context.shape[1] - self.season_length
        steps = behind + np.arange(batch.target.shape[1]) % self.season_length
        x = self._normalized(batch)
        return x[:, steps], batch.context_observed[:, steps].astype(x.dtype)

    def inputs(self, params: Params, batch: Batch) -> tuple[Array, Array, Array]:
        """History, where it is valid, and what is known ahead; what is constant in a window at each of their steps."""
        x = self._history(batch)
        observed = batch.context_observed.astype(x.dtype)
        season, seen = self._season(batch)
        if "revin" in params:
            gain, shift = jnp.exp(params["revin"]["log_gain"])[None, None], params["revin"]["shift"][None, None]
            x, season = x * gain + shift * observed, season * gain + shift * seen
        tables, constant = params.get("embeddings", {}), self.constant(params, batch)[:, None]

        def join(parts: list[Array], codes: Array, kinds: tuple[str, ...]) -> Array:
            steps = jnp.broadcast_to(constant, (*codes.shape[:2], constant.shape[-1]))
            return jnp.concatenate([*parts, embed(tables, kinds, codes), steps], axis=-1)

        past = join([x, observed, batch.past], batch.past_codes, ("past", "future"))
        return past, batch.valid, join([season, seen, batch.future], batch.future_codes, ("future",))

    def constant(self, params: Params, batch: Batch) -> Float[Array, "B S"]:
        """What is constant in a window: the static inputs."""
        codes = embed(params.get("embeddings", {}), ("static",), batch.static_codes)
        return jnp.concatenate([batch.static, codes], axis=-1)

    def known(self, params: Params, batch: Batch) -> Float[Array, "B TH F"]:
        """What is known ahead, over history and horizon."""
        past = batch.past[..., batch.past.shape[-1] - batch.future.shape[-1] :]
        codes = batch.past_codes[..., batch.past_codes.shape[-1] - batch.future_codes.shape[-1] :]
        codes = jnp.concatenate([codes, batch.future_codes], axis=1)
        known = jnp.concatenate([past, batch.future], axis=1)
        return jnp.concatenate([known, embed(params.get("embeddings", {}), ("future",), codes)], axis=-1)


@dataclass(frozen=True)
class ForecastLoss:
    """The loss of a model on a batch, as the training loop wants it: ``(params, batch, key) -> (loss, aux)``.

    The target is normalized like its window, so windows of all scales weigh alike, unless the output's loss is in units
    of the series (`AbstractOutput.of_series`); missing targets count nothing. With
    ``settings={"dropout": rate}`` the network's dropout is data: other rates do not compile again.
    """

    model: Model

    def __call__(
        self, params: Params, batch: Batch, key: PRNGKeyArray | None, settings: Mapping[str, Any] | None = None
    ) -> tuple[Float[Array, ""], None]:
        """Mean loss over the observed targets."""
        return self.mean(self.model.raw(params, batch, key, settings), batch), None

    def mean(self, values: Float[Array, "B H C P"], batch: Batch) -> Float[Array, ""]:
        """Mean of `each` over the observed targets."""
        losses, seen = self.each(values, batch), batch.target_observed
        return losses.sum() / jnp.maximum(seen.sum(), 1).astype(losses.dtype)

    def each(self, values: Float[Array, "B H C P"], batch: Batch) -> Float[Array, "B H C"]:
        """Loss of each value, in the units that the output asks for; 0 where it is missing."""
        (location, scale), output = self.model.stats(batch), self.model.output
        target = jnp.where(batch.target_observed, batch.target, 0)  # a NaN would reach the gradient
        if output.of_series:
            losses = output.loss(output.affine(values, location, scale), target)
        else:
            losses = output.loss(values, (target - location) / scale)
        return jnp.where(batch.target_observed, losses, 0)
