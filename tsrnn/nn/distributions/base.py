"""The contract of distributions, and the numerical inverse of those whose quantiles have no formula."""

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from tsrnn.nn.outputs import AbstractOutput

__all__ = ["AbstractDistribution", "positive"]


@dataclass(frozen=True)
class AbstractDistribution(AbstractOutput):
    """Base of the distributions; learned by their negative log-likelihood.

    The parameters of a distribution lie along the last axis of one array. Counts are modelled in units of the data;
    for the others the likelihood of the normalized target differs by a constant.

    Parameters
    ----------
    point : {"median", "mean"}, default "median"
        The point forecast. The median lies in every central interval and comes back from every transform; the mean is
        what sums of forecasts want, of rare demand say, whose median is zero.
    """

    point: Literal["median", "mean"] = field(default="median", kw_only=True)

    def __post_init__(self) -> None:
        """Refuse an unknown point forecast at once."""
        if self.point not in ("median", "mean"):
            raise ValueError(f"point={self.point!r} is unknown; choose median or mean.")

    @property
    def reach(self) -> tuple[float, float] | None:
        """All quantiles, as near to 0 and 1 as a float32 can tell."""
        return 1e-6, 1 - 1e-6

    @abstractmethod
    def log_prob(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Logarithm of the density, or of the probability of a count."""

    @abstractmethod
    def cdf(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Probability of ``x`` or less."""

    @abstractmethod
    def mean(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """Expected value."""

    @abstractmethod
    def variance(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """Expected square of the distance from the mean."""

    @abstractmethod
    def quantile(self, params: Float[Array, "*axes P"], q: Float[Array, ""]) -> Float[Array, "*axes"]:
        """The least number whose cdf is at least ``q``."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """``n`` independent draws."""

    def loss(self, params: Float[Array, "*axes P"], target: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Negative log-likelihood."""
        return -self.log_prob(params, target)

    def forecast(self, params: Float[Array, "*axes P"], quantiles: Float[Array, " Q"]) -> Float[Array, "*axes 1+Q"]:
        """The median or mean, then the quantiles."""
        q = jnp.concatenate([jnp.full(1, 0.5, quantiles.dtype), quantiles])
        values = jnp.moveaxis(jax.lax.map(partial(self.quantile, params), q), 0, -1)
        rank = jnp.argsort(jnp.argsort(q))  # sorted, for those found numerically may cross by a rounding
        values = jnp.take(jnp.sort(values, axis=-1), rank, axis=-1)
        return values.at[..., 0].set(self.mean(params)) if self.point == "mean" else values

    def bisected(self, params: Float[Array, "*axes P"], q: Float[Array, ""]) -> Float[Array, "*axes"]:
        """The quantile by bisection, between Cantelli's bounds: mean - s sqrt((1-q)/q) and mean + s sqrt(q/(1-q)).

        Of counts it is exact below 2^32; of other numbers the bracket shrinks to a 2^24th, the rounding of a float32.

        References
        ----------
        F. P. Cantelli (1928), Sui confini della probabilità, Atti del Congresso Internazionale dei Matematici 6.
        """
        mean, deviation, whole = self.mean(params), jnp.sqrt(self.variance(params)), self.domain == "count"
        low = mean - deviation * jnp.sqrt((1 - q) / q)
        high = mean + deviation * jnp.sqrt(q / (1 - q))
        if self.domain != "real":
            low = jnp.maximum(low, 0)
        if whole:
            low, high = jnp.floor(low) - 1, jnp.ceil(high)

        def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bracket
            middle = jnp.floor((low + high) / 2) if whole else (low + high) / 2
            enough = self.cdf(params, middle) >= q
            return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

        low, high = jax.lax.fori_loop(0, 32 if whole else 24, halve, (low, high))
        if self.domain == "nonnegative":
            high = jnp.where(low == 0, 0, high)  # every step went down: zero itself is as likely as that
        return high


def positive(raw: Float[Array, "*axes"], least: float) -> Float[Array, "*axes"]:
    """``log(1 + exp(raw))`` above a floor: a scale or a rate that never vanishes, and grows no faster than ``raw``."""
    return jax.nn.softplus(raw) + least
