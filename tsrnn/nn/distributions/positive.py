"""Distributions of amounts: log-normal above zero, Tweedie from zero on."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import gammainc, logsumexp
from jax.scipy.stats import norm
from jaxtyping import Array, Float, PRNGKeyArray

from tsrnn.nn.distributions.base import AbstractDistribution, positive
from tsrnn.nn.distributions.special import cdf_by_moments, log_poisson
from tsrnn.nn.outputs import Domain

__all__ = ["LogNormal", "Tweedie"]

_LEAST = 1e-6
"""Of a median or mean, in units of the normalized target."""

_MANY = 15
"""Expected number of amounts from which on the sum of them counts as smooth."""


@dataclass(frozen=True)
class LogNormal(AbstractDistribution):
    """Log-normal distribution, of positive numbers; parameters mean and standard deviation of the logarithm.

    The median is ``softplus(raw + base)``, so it grows no faster than the raw number. A factor moves the mean of the
    logarithm and nothing else.

    Parameters
    ----------
    point : {"median", "mean"}, default "median"
        The point forecast.
    """

    domain: ClassVar[Domain] = "positive"

    @property
    def size(self) -> int:
        """Median and deviation."""
        return 2

    def params(self, raw: Float[Array, "*axes size"], base: Float[Array, "*axes"]) -> Float[Array, "*axes P"]:
        """``log softplus(raw + base)``, and ``softplus(raw) + 0.001``."""
        return jnp.stack([jnp.log(positive(raw[..., 0] + base, _LEAST)), positive(raw[..., 1], 1e-3)], axis=-1)

    def affine(
        self, params: Float[Array, "*axes P"], location: Float[Array, "*axes"], scale: Float[Array, "*axes"]
    ) -> Float[Array, "*axes P"]:
        """The logarithm of the scale is added to the mean of the logarithm."""
        return params.at[..., 0].add(jnp.log(jnp.broadcast_to(scale, params.shape[:-1])))

    def log_prob(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """That of a normal at ``log x``, minus ``log x``."""
        log_x, m, s = jnp.log(x), params[..., 0], params[..., 1]
        return norm.logpdf((log_x - m) / s) - jnp.log(s) - log_x

    def cdf(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Of a normal at ``log x``."""
        log_x = jnp.log(jnp.maximum(x, 1e-37))
        return jnp.where(x > 0, norm.cdf((log_x - params[..., 0]) / params[..., 1]), 0)

    def mean(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``exp(m + s^2 / 2)``."""
        return jnp.exp(params[..., 0] + params[..., 1] ** 2 / 2)

    def variance(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``(exp(s^2) - 1) mean^2``."""
        return jnp.expm1(params[..., 1] ** 2) * self.mean(params) ** 2

    def quantile(self, params: Float[Array, "*axes P"], q: Float[Array, ""]) -> Float[Array, "*axes"]:
        """In closed form."""
        return jnp.exp(params[..., 0] + params[..., 1] * norm.ppf(q))

    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """Exponentials of a normal's draws."""
        z = jax.random.normal(key, (n, *params.shape[:-1]), params.dtype)
        return jnp.exp(params[None, ..., 0] + params[None, ..., 1] * z)


@dataclass(frozen=True)
class Tweedie(AbstractDistribution):
    """Tweedie's distribution of a power between 1 and 2, of amounts that are exactly zero now and then.

    A Poisson number of gamma amounts: rain in a day, sales in money. Parameters mean ``m`` and dispersion ``d``; the
    variance is ``d m^power``. A factor ``c`` makes them ``c m`` and ``c^(2 - power) d``, so any unit will do.

    Parameters
    ----------
    power : float, default 1.5
        In [1.1, 1.9]. Near 1 the amounts are much alike, near 2 the many small ones are gamma.
    point : {"median", "mean"}, default "median"
        The point forecast.

    References
    ----------
    B. Jørgensen (1987), Exponential dispersion models, Journal of the Royal Statistical Society B 49.
    P. K. Dunn and G. K. Smyth (2005), Series evaluation of Tweedie exponential dispersion model densities, Statistics
    and Computing 15; they sum the same series around its greatest term.
    """

    power: float = 1.5

    domain: ClassVar[Domain] = "nonnegative"

    def __post_init__(self) -> None:
        """Check the power."""
        super().__post_init__()
        if not 1.1 <= self.power <= 1.9:
            raise ValueError(f"power={self.power!r} must lie in 1.1 to 1.9.")

    @property
    def size(self) -> int:
        """Mean and dispersion."""
        return 2

    def params(self, raw: Float[Array, "*axes size"], base: Float[Array, "*axes"]) -> Float[Array, "*axes P"]:
        """``softplus(raw + base)``, and ``softplus(raw) + 0.001``."""
        return jnp.stack([positive(raw[..., 0] + base, _LEAST), positive(raw[..., 1], 1e-3)], axis=-1)

    def affine(
        self, params: Float[Array, "*axes P"], location: Float[Array, "*axes"], scale: Float[Array, "*axes"]
    ) -> Float[Array, "*axes P"]:
        """The mean times the scale, the dispersion times its power ``2 - power``."""
        return params * jnp.stack([scale, scale ** (2 - self.power)], axis=-1)

    def log_prob(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """At zero ``-rate``, the logarithm of its probability; above it the density, summed over the number of amounts.

        The terms are bell-shaped about a greatest one that is known. Where the bell is wide, a quarter of its standard
        deviation lies between the terms that are summed, and the sum is an integral by the trapezoidal rule.
        """
        rate, shape, scale = self._compound(params)
        some = jnp.where(x > 0, x, 1)
        peak = jax.lax.stop_gradient(some ** (2 - self.power) / ((2 - self.power) * params[..., 1]))
        step = jnp.maximum(jnp.sqrt(peak / (1 + shape)) / 4, 1)
        first = jnp.maximum(jnp.round(peak - 24 * step), 1)
        n = first[..., None] + step[..., None] * _steps(0, 49, x)
        size = (some / scale)[..., None]
        terms = log_poisson(n, rate[..., None]) + log_poisson(n * shape, size) + jnp.log(n * shape / some[..., None])
        return jnp.where(x > 0, logsumexp(terms, axis=-1) + jnp.log(step), -rate)

    def cdf(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Summed over the number of amounts, if 15 of them or fewer are expected; else by three moments."""
        rate, shape, scale = self._compound(params)
        few = jnp.where(rate < _MANY, rate, 1)[..., None]
        n = _steps(1, 41, x)
        size = jnp.broadcast_to((jnp.maximum(x, 0) / scale)[..., None], (*x.shape, 40))
        amounts = gammainc(jnp.broadcast_to(n * shape, size.shape), size)
        summed = jnp.exp(-few[..., 0]) + (jnp.exp(log_poisson(n, few)) * amounts).sum(axis=-1)
        variance = self.variance(params)
        skewness = rate * shape * (shape + 1) * (shape + 2) * (scale / jnp.sqrt(variance)) ** 3
        smooth = cdf_by_moments(x, self.mean(params), variance, skewness)
        return jnp.where(x < 0, 0, jnp.where(rate < _MANY, summed, smooth))

    def mean(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``m``."""
        return params[..., 0]

    def variance(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``d m^power``."""
        return params[..., 1] * params[..., 0] ** self.power

    def quantile(self, params: Float[Array, "*axes P"], q: Float[Array, ""]) -> Float[Array, "*axes"]:
        """By bisection."""
        return self.bisected(params, q)

    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """Numbers of amounts, then their sums, which are gamma too."""
        rate, shape, scale = self._compound(params)
        number_key, sum_key = jax.random.split(key)
        number = jax.random.poisson(number_key, rate, (n, *rate.shape)).astype(params.dtype)
        sums = jax.random.gamma(sum_key, jnp.maximum(number, 1) * shape) * scale[None]
        return jnp.where(number > 0, sums, 0)

    def _compound(self, params: Float[Array, "*axes P"]) -> tuple[Float[Array, "*axes"], float, Float[Array, "*axes"]]:
        """Expected number of amounts; shape and scale of the gamma distribution of one."""
        mean, dispersion, power = params[..., 0], params[..., 1], self.power
        rate = mean ** (2 - power) / ((2 - power) * dispersion)
        return rate, (2 - power) / (power - 1), dispersion * (power - 1) * mean ** (power - 1)


def _steps(first: int, last: int, x: Float[Array, "*axes"]) -> Float[Array, "*ones n"]:
    """The numbers from ``first`` to before ``last`` along a new last axis of ``x``."""
    return jnp.arange(first, last, dtype=x.dtype).reshape(*[1] * x.ndim, -1)
