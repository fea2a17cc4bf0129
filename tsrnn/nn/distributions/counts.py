"""Distributions of counts, in units of the data: Poisson, negative binomial, and either with extra zeros."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaincc
from jaxtyping import Array, Float, PRNGKeyArray

from tsrnn.nn.distributions.base import AbstractDistribution, positive
from tsrnn.nn.distributions.special import (
    betainc,
    cdf_by_moments,
    cdf_of_large_gamma,
    log_negative_binomial,
    log_poisson,
)
from tsrnn.nn.outputs import Domain

__all__ = ["NegativeBinomial", "Poisson", "ZeroInflated"]

_LEAST_MEAN = 1e-6

_MANY = 1e3
"""A mean from which on counts are as good as continuous."""


@dataclass(frozen=True)
class Poisson(AbstractDistribution):
    """Poisson distribution; its one parameter is the mean, which is the variance too.

    Parameters
    ----------
    point : {"median", "mean"}, default "median"
        The point forecast.
    """

    domain: ClassVar[Domain] = "count"

    @property
    def size(self) -> int:
        """The mean."""
        return 1

    def params(self, raw: Float[Array, "*axes size"], base: Float[Array, "*axes"]) -> Float[Array, "*axes P"]:
        """``softplus(raw + base)``."""
        return positive(raw + base[..., None], _LEAST_MEAN)

    def affine(
        self, params: Float[Array, "*axes P"], location: Float[Array, "*axes"], scale: Float[Array, "*axes"]
    ) -> Float[Array, "*axes P"]:
        """The mean times the scale."""
        return params * scale[..., None]

    def log_prob(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """``x log m - m - log x!``."""
        return log_poisson(x, params[..., 0])

    def cdf(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """One minus that of a gamma distribution of shape ``x + 1``, at ``m``."""
        mean, k = params[..., 0], jnp.floor(x)
        exact = gammaincc(jnp.clip(k + 1, 1, 2 * _MANY), jnp.minimum(mean, _MANY))
        smooth = 1 - cdf_of_large_gamma(jnp.maximum(k + 1, 1), mean)
        return jnp.where(k < 0, 0, jnp.where(mean < _MANY, exact, smooth))

    def mean(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``m``."""
        return params[..., 0]

    def variance(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``m``."""
        return params[..., 0]

    def quantile(self, params: Float[Array, "*axes P"], q: Float[Array, ""]) -> Float[Array, "*axes"]:
        """A whole number, by bisection."""
        return self.bisected(params, q)

    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """Whole numbers, as floats."""
        mean = params[..., 0]
        return jax.random.poisson(key, mean, (n, *mean.shape)).astype(params.dtype)


@dataclass(frozen=True)
class NegativeBinomial(AbstractDistribution):
    """Negative binomial distribution; parameters mean ``m`` and dispersion ``a``, the variance is ``m + a m^2``.

    A Poisson distribution whose mean is itself uncertain (gamma). A factor of the data multiplies the mean and leaves
    the dispersion, as in GluonTS.

    Parameters
    ----------
    point : {"median", "mean"}, default "median"
        The point forecast.

    References
    ----------
    D. Salinas, V. Flunkert, J. Gasthaus and T. Januschowski (2020), DeepAR, International Journal of Forecasting 36,
    section 3.1.
    """

    domain: ClassVar[Domain] = "count"

    @property
    def size(self) -> int:
        """Mean and dispersion."""
        return 2

    def params(self, raw: Float[Array, "*axes size"], base: Float[Array, "*axes"]) -> Float[Array, "*axes P"]:
        """``softplus(raw + base)``, and ``softplus(raw) + 0.0001``, at most 20."""
        dispersion = jnp.minimum(positive(raw[..., 1], 1e-4), 20)
        return jnp.stack([positive(raw[..., 0] + base, _LEAST_MEAN), dispersion], axis=-1)

    def affine(
        self, params: Float[Array, "*axes P"], location: Float[Array, "*axes"], scale: Float[Array, "*axes"]
    ) -> Float[Array, "*axes P"]:
        """The mean times the scale; the dispersion stays."""
        return params.at[..., 0].multiply(jnp.broadcast_to(scale, params.shape[:-1]))

    def log_prob(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """``log C(x + r - 1, x) + r log(r / (r + m)) + x log(m / (r + m))`` with ``r = 1 / a``."""
        return log_negative_binomial(x, params[..., 0], 1 / params[..., 1])

    def cdf(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Regularized incomplete beta function; by three moments for a mean, or a 50th of ``m r``, above 1000."""
        mean, r, k = params[..., 0], 1 / params[..., 1], jnp.floor(x)
        small = (mean < _MANY) & (mean * r < 5e4)
        m = jnp.where(small, mean, 1)
        exact = betainc(r, jnp.maximum(k + 1, 1), r / (r + m))
        skewness = (r + 2 * mean) / jnp.sqrt(r * (r + mean)) / jnp.sqrt(mean)
        smooth = cdf_by_moments(k + 0.5, mean, self.variance(params), skewness)
        return jnp.where(k < 0, 0, jnp.where(small, exact, smooth))

    def mean(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``m``."""
        return params[..., 0]

    def variance(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``m + a m^2``."""
        return params[..., 0] * (1 + params[..., 0] * params[..., 1])

    def quantile(self, params: Float[Array, "*axes P"], q: Float[Array, ""]) -> Float[Array, "*axes"]:
        """A whole number, by bisection."""
        return self.bisected(params, q)

    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """Poisson counts whose means are gamma; whole numbers, as floats."""
        mean_key, count_key = jax.random.split(key)
        mean, a = params[None, ..., 0], params[None, ..., 1]
        means = jax.random.gamma(mean_key, 1 / a, (n, *params.shape[:-1])) * (mean * a)
        return jax.random.poisson(count_key, means).astype(params.dtype)


@dataclass(frozen=True)
class ZeroInflated(AbstractDistribution):
    """Counts with more zeros than their distribution has: zero with a probability that is learned, else a count.

    The first parameter is the logit of that probability; then follow those of the counts.

    Parameters
    ----------
    component : Poisson or NegativeBinomial, default NegativeBinomial()
        The distribution of the counts; its ``point`` is not asked.
    point : {"median", "mean"}, default "median"
        The point forecast. Where zeros are the rule, the median is zero; the mean tells how much to expect.

    References
    ----------
    D. Lambert (1992), Zero-inflated Poisson regression, Technometrics 34.
    """

    component: AbstractDistribution = NegativeBinomial()

    domain: ClassVar[Domain] = "count"

    def __post_init__(self) -> None:
        """Refuse what does not count."""
        super().__post_init__()
        if not isinstance(self.component, (Poisson, NegativeBinomial)):
            raise ValueError(f"component={self.component!r} has no zeros; choose Poisson() or NegativeBinomial().")

    @property
    def size(self) -> int:
        """One more than the component's."""
        return 1 + self.component.size

    def params(self, raw: Float[Array, "*axes size"], base: Float[Array, "*axes"]) -> Float[Array, "*axes P"]:
        """The logit as it is."""
        return jnp.concatenate([raw[..., :1], self.component.params(raw[..., 1:], base)], axis=-1)

    def affine(
        self, params: Float[Array, "*axes P"], location: Float[Array, "*axes"], scale: Float[Array, "*axes"]
    ) -> Float[Array, "*axes P"]:
        """The component's; the logit stays."""
        return jnp.concatenate([params[..., :1], self.component.affine(params[..., 1:], location, scale)], axis=-1)

    def log_prob(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """``log(p + (1 - p) f(0))`` at zero, ``log(1 - p) + log f(x)`` elsewhere."""
        counted = jax.nn.log_sigmoid(-params[..., 0]) + self.component.log_prob(params[..., 1:], x)
        return jnp.where(x == 0, jnp.logaddexp(jax.nn.log_sigmoid(params[..., 0]), counted), counted)

    def cdf(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """``p + (1 - p) F(x)`` from zero on."""
        zero = jax.nn.sigmoid(params[..., 0])
        return jnp.where(x < 0, 0, zero + (1 - zero) * self.component.cdf(params[..., 1:], x))

    def mean(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``(1 - p) m``."""
        return jax.nn.sigmoid(-params[..., 0]) * self.component.mean(params[..., 1:])

    def variance(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``(1 - p) (v + p m^2)``."""
        zero, counted = jax.nn.sigmoid(params[..., 0]), params[..., 1:]
        return (1 - zero) * (self.component.variance(counted) + zero * self.component.mean(counted) ** 2)

    def quantile(self, params: Float[Array, "*axes P"], q: Float[Array, ""]) -> Float[Array, "*axes"]:
        """A whole number, by bisection."""
        return self.bisected(params, q)

    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """Zeros among the component's draws."""
        zero_key, count_key = jax.random.split(key)
        zero = jax.random.bernoulli(zero_key, jnp.broadcast_to(jax.nn.sigmoid(params[..., 0]), (n, *params.shape[:-1])))
        return jnp.where(zero, 0, self.component.sample(count_key, params[..., 1:], n))
