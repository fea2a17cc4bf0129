"""Mixtures: several distributions of one family, each with its weight."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, PRNGKeyArray

from tsrnn.nn.distributions.base import AbstractDistribution
from tsrnn.nn.distributions.real import Normal
from tsrnn.nn.outputs import Domain

__all__ = ["Mixture"]


@dataclass(frozen=True)
class Mixture(AbstractDistribution):
    """A mixture of a family, of normals say: for what has several modes, or tails of its own.

    The parameters are the logarithms of the weights, then those of the first component, of the second ...

    Parameters
    ----------
    component : AbstractDistribution, default Normal()
        The family; its ``point`` is not asked.
    n_components : int, default 3
        How many.
    point : {"median", "mean"}, default "median"
        The point forecast.

    References
    ----------
    C. M. Bishop (1994), Mixture density networks, Aston University NCRG/94/004.
    """

    component: AbstractDistribution = Normal()  # noqa: RUF009  a frozen value
    n_components: int = 3

    def __post_init__(self) -> None:
        """Check family and number."""
        super().__post_init__()
        if not isinstance(self.component, AbstractDistribution):
            raise ValueError(f"component={self.component!r} is no distribution; choose one such as Normal().")
        if not (isinstance(self.n_components, int) and self.n_components > 0):
            raise ValueError(f"n_components must be a positive integer, got {self.n_components!r}.")

    @property
    def domain(self) -> Domain:
        """The component's."""
        return self.component.domain

    @property
    def size(self) -> int:
        """A weight and the component's numbers, for each."""
        return self.n_components * (1 + self.component.size)

    def params(self, raw: Float[Array, "*axes size"], base: Float[Array, "*axes"]) -> Float[Array, "*axes P"]:
        """The weights by softmax; every component departs from the base."""
        logits, own = self._split(raw)
        return _joined(jax.nn.log_softmax(logits), self.component.params(own, base[..., None]))

    def affine(
        self, params: Float[Array, "*axes P"], location: Float[Array, "*axes"], scale: Float[Array, "*axes"]
    ) -> Float[Array, "*axes P"]:
        """The components'; the weights stay."""
        weights, own = self._split(params)
        return _joined(weights, self.component.affine(own, location[..., None], scale[..., None]))

    def log_prob(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Logarithm of the weighted sum of densities."""
        weights, own = self._split(params)
        return logsumexp(weights + self.component.log_prob(own, self._repeated(x)), axis=-1)

    def cdf(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Weighted sum."""
        weights, own = self._split(params)
        return (jnp.exp(weights) * self.component.cdf(own, self._repeated(x))).sum(axis=-1)

    def mean(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """Weighted sum."""
        weights, own = self._split(params)
        return (jnp.exp(weights) * self.component.mean(own)).sum(axis=-1)

    def variance(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """That within the components and that between them."""
        weights, own = self._split(params)
        away = self.component.mean(own) - self.mean(params)[..., None]
        return (jnp.exp(weights) * (self.component.variance(own) + away**2)).sum(axis=-1)

    def quantile(self, params: Float[Array, "*axes P"], q: Float[Array, ""]) -> Float[Array, "*axes"]:
        """By bisection."""
        return self.bisected(params, q)

    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """A draw of every component, of which one is taken."""
        which_key, draw_key = jax.random.split(key)
        weights, own = self._split(params)
        which = jax.random.categorical(which_key, weights, shape=(n, *weights.shape[:-1]))
        draws = self.component.sample(draw_key, own, n)
        return jnp.take_along_axis(draws, which[..., None], axis=-1)[..., 0]

    def _split(self, flat: Float[Array, "*axes F"]) -> tuple[Float[Array, "*axes K"], Float[Array, "*axes K P"]]:
        """Weights, and parameters by component."""
        weights, own = jnp.split(flat, [self.n_components], axis=-1)
        return weights, own.reshape(*own.shape[:-1], self.n_components, -1)

    def _repeated(self, x: Float[Array, "*axes"]) -> Float[Array, "*axes K"]:
        return jnp.broadcast_to(x[..., None], (*x.shape, self.n_components))


def _joined(weights: Float[Array, "*axes K"], own: Float[Array, "*axes K P"]) -> Float[Array, "*axes F"]:
    return jnp.concatenate([weights, own.reshape(*own.shape[:-2], -1)], axis=-1)
