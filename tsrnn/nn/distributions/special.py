"""Probabilities of counts and amounts that keep their digits in float32, from zero to a billion."""

import jax
import jax.numpy as jnp
from jax.scipy.special import betaln, gammainc, gammaln
from jax.scipy.stats import norm
from jaxtyping import Array, Float

__all__ = ["betainc", "cdf_by_moments", "cdf_of_large_gamma", "log_negative_binomial", "log_poisson"]


def log_poisson(k: Float[Array, "*axes"], rate: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """``log(rate^k exp(-rate) / k!)`` for ``k >= 0``, whole or not.

    Written as the deviance and Stirling's formula, no term is much larger than the result.

    References
    ----------
    C. Loader (2000), Fast and accurate computation of binomial probabilities, Bell Laboratories.
    """
    some = jnp.where(k > 0, k, 1)
    away = (rate - k) / some
    deviance = k * (away - _log1p(away, jnp.log(rate) - jnp.log(some)))
    return -jnp.where(k > 0, deviance, rate) - _log_stirling(k)


def log_negative_binomial(
    k: Float[Array, "*axes"], mean: Float[Array, "*axes"], r: Float[Array, "*axes"]
) -> Float[Array, "*axes"]:
    """Logarithm of the probability of ``k >= 0`` where the variance is ``mean + mean^2 / r``.

    With ``n = k + r`` it is that of a binomial of ``r`` out of ``n``, times ``r / n``; see `log_poisson`.
    """
    some, n, away = jnp.where(k > 0, k, 1), k + r, (k - mean) / (r + mean)
    log_ratio = jnp.log(n) - jnp.log(r + mean)
    zeros, ones = _log1p(away, log_ratio), _log1p(-r * away / some, log_ratio + jnp.log(mean) - jnp.log(some))
    fit = r * zeros + k * ones
    return fit + _log_stirling(n) - _log_stirling(r) - _log_stirling(k) - jnp.log1p(k / r)


def betainc(a: Float[Array, "*axes"], b: Float[Array, "*axes"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """Regularized incomplete beta function by its continued fraction, in the manner of Lentz.

    JAX's own goes on with every element until the last one is done, so its last bits depend on the neighbours; here
    each stays as it is once it has converged.

    References
    ----------
    W. H. Press et al. (2007), Numerical recipes, 3rd edition, section 6.4.
    """
    swap = x > (a + 1) / (a + b + 2)
    a, b, x = jnp.where(swap, b, a), jnp.where(swap, a, b), jnp.where(swap, 1 - x, x)

    def away(number: Array) -> Array:
        return jnp.where(jnp.abs(number) < 1e-30, 1e-30, number)

    def more(state: tuple[Array, Array, Array, Array, Array]) -> Array:
        return (state[0] < 200) & ~state[4].all()

    def step(state: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
        i, c, d, h, done = state
        m, new = i.astype(x.dtype), h
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            c, d = away(1 + term / c), 1 / away(1 + term * d)
            new = new * c * d
        return i + 1, c, d, jnp.where(done, h, new), done | (jnp.abs(c * d - 1) < 2e-7)

    d = 1 / away(1 - (a + b) * x / (a + 1))
    start = (jnp.asarray(1, jnp.int32), jnp.ones_like(d), d, d, jnp.zeros_like(d, bool))
    fraction = jax.lax.while_loop(more, step, start)[3]
    tail = jnp.exp(a * jnp.log(x) + b * jnp.log1p(-x) - betaln(a, b)) / a * fraction
    return jnp.where(swap, 1 - tail, tail)


def cdf_by_moments(
    x: Float[Array, "*axes"],
    mean: Float[Array, "*axes"],
    variance: Float[Array, "*axes"],
    skewness: Float[Array, "*axes"],
) -> Float[Array, "*axes"]:
    """Probability of ``x`` or less by the shifted gamma distribution of these moments; the skewness is positive."""
    shape = 4 / skewness**2
    unit = jnp.sqrt(shape / variance)
    g = jnp.maximum(x * unit + (shape - mean * unit), 1e-30)
    exact = gammainc(jnp.minimum(shape, 100), jnp.minimum(g, 400))
    return jnp.where(shape < 100, exact, cdf_of_large_gamma(shape, g))


def cdf_of_large_gamma(shape: Float[Array, "*axes"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """Of the gamma distribution of scale 1, for shapes of 100 and more: its cube root is nearly normal.

    References
    ----------
    E. B. Wilson and M. M. Hilferty (1931), The distribution of chi-square, PNAS 17.
    """
    root = jnp.expm1(jnp.log1p((x - shape) / shape) / 3)
    return norm.cdf(3 * jnp.sqrt(shape) * (root + 1 / (9 * shape)))


def _log1p(x: Float[Array, "*axes"], plain: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """``log(1 + x)`` for small ``x``, where its digits matter; else the same as written by the caller."""
    small = jnp.abs(x) < 0.5
    return jnp.where(small, jnp.log1p(jnp.where(small, x, 0)), plain)


def _log_stirling(x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """``log(x! / (x^x exp(-x)))``, about ``log(2 pi x) / 2``; 0 at zero."""
    many, few = jnp.maximum(x, 16), jnp.where(x > 0, jnp.minimum(x, 16), 1)
    series = 0.5 * jnp.log(2 * jnp.pi * many) + (1 / 12 - 1 / (360 * many**2)) / many
    exact = gammaln(few + 1) - few * jnp.log(few) + few
    return jnp.where(x > 16, series, jnp.where(x > 0, exact, 0))
