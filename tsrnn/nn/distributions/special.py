"""Probabilities of counts and amounts that keep their digits in float32, from zero to a billion."""

import jax.numpy as jnp
from jax.scipy.special import gammainc, gammaln
from jax.scipy.stats import norm
from jaxtyping import Array, Float

__all__ = ["cdf_by_moments", "log_negative_binomial", "log_poisson"]


def log_poisson(k: Float[Array, "*axes"], rate: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """``log(rate^k exp(-rate) / k!)`` for ``k >= 0``, whole or not.

    Written as the deviance and Stirling's formula, no term is much larger than the result.

    References
    ----------
    C. Loader (2000), Fast and accurate computation of binomial probabilities, Bell Laboratories.
    """
    some = jnp.where(k > 0, k, 1)
    away = (rate - k) / some
    deviance = k * (away - jnp.log1p(jnp.where(k > 0, away, 0)))
    return -jnp.where(k > 0, deviance, rate) - _log_stirling(k)


def log_negative_binomial(
    k: Float[Array, "*axes"], mean: Float[Array, "*axes"], r: Float[Array, "*axes"]
) -> Float[Array, "*axes"]:
    """Logarithm of the probability of ``k >= 0`` where the variance is ``mean + mean^2 / r``.

    With ``n = k + r`` it is that of a binomial of ``r`` out of ``n``, times ``r / n``; see `log_poisson`.
    """
    some, n, away = jnp.where(k > 0, k, 1), k + r, (k - mean) / (r + mean)
    fit = r * jnp.log1p(away) + k * jnp.log1p(jnp.where(k > 0, -r * away / some, 0))
    return fit + _log_stirling(n) - _log_stirling(r) - _log_stirling(k) - jnp.log1p(k / r)


def cdf_by_moments(
    x: Float[Array, "*axes"],
    mean: Float[Array, "*axes"],
    variance: Float[Array, "*axes"],
    skewness: Float[Array, "*axes"],
) -> Float[Array, "*axes"]:
    """Probability of ``x`` or less by the shifted gamma distribution of these moments; the skewness is positive.

    A gamma distribution of a large shape is taken by Wilson and Hilferty's cube root of a normal.

    References
    ----------
    E. B. Wilson and M. M. Hilferty (1931), The distribution of chi-square, PNAS 17.
    """
    shape = 4 / skewness**2
    unit = jnp.sqrt(shape / variance)
    g = jnp.maximum(x * unit + (shape - mean * unit), 1e-30)
    small = jnp.minimum(shape, _LARGE_SHAPE)
    root = norm.cdf(3 * jnp.sqrt(shape) * (jnp.cbrt(g / shape) - 1 + 1 / (9 * shape)))
    return jnp.where(shape < _LARGE_SHAPE, gammainc(small, jnp.minimum(g, 4 * _LARGE_SHAPE)), root)


_LARGE_SHAPE = 100.0


def _log_stirling(x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """``log(x! / (x^x exp(-x)))``, about ``log(2 pi x) / 2``; 0 at zero."""
    many, few = jnp.maximum(x, 16), jnp.where(x > 0, jnp.minimum(x, 16), 1)
    series = 0.5 * jnp.log(2 * jnp.pi * many) + (1 / 12 - 1 / (360 * many**2)) / many
    exact = gammaln(few + 1) - few * jnp.log(few) + few
    return jnp.where(x > 16, series, jnp.where(x > 0, exact, 0))
