"""Distributions of any number, each by a location and a scale; Student's t also by the weight of its tails."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import betaln
from jax.scipy.stats import laplace, norm
from jaxtyping import Array, Float, PRNGKeyArray

from tsrnn.nn.distributions.base import AbstractDistribution, positive
from tsrnn.nn.distributions.special import betainc
from tsrnn.nn.outputs import Domain

__all__ = ["AbstractLocationScale", "Laplace", "Normal", "StudentT"]

_LEAST_SCALE = 1e-3
"""In units of the normalized target: the likelihood of a series that can be told exactly stays finite."""


@dataclass(frozen=True)
class AbstractLocationScale(AbstractDistribution):
    """Base of those whose parameters are location, scale, and what does not change with either."""

    n_shapes: ClassVar[int] = 0
    domain: ClassVar[Domain] = "real"

    @property
    def size(self) -> int:
        """Location, scale and shapes."""
        return 2 + self.n_shapes

    def params(self, raw: Float[Array, "*axes size"], base: Float[Array, "*axes"]) -> Float[Array, "*axes P"]:
        """The location departs from the base; the scale is ``softplus(raw) + 0.001``, a shape ``softplus(raw)``."""
        location, scale = raw[..., :1] + base[..., None], positive(raw[..., 1:2], _LEAST_SCALE)
        return jnp.concatenate([location, scale, jax.nn.softplus(raw[..., 2:])], axis=-1)

    def affine(
        self, params: Float[Array, "*axes P"], location: Float[Array, "*axes"], scale: Float[Array, "*axes"]
    ) -> Float[Array, "*axes P"]:
        """Location and scale times ``scale``, the location moved; the shapes stay."""
        location, scale = location[..., None], scale[..., None]
        moved = params[..., :1] * scale + location
        return jnp.concatenate([moved, params[..., 1:2] * scale, params[..., 2:]], axis=-1)

    def mean(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """The location; all of them are symmetric."""
        return params[..., 0]


@dataclass(frozen=True)
class Normal(AbstractLocationScale):
    """Normal distribution; parameters mean and standard deviation.

    Parameters
    ----------
    point : {"median", "mean"}, default "median"
        The point forecast; here both are the same.

    Examples
    --------
    >>> params = jnp.asarray([10.0, 2.0])
    >>> round(float(Normal().quantile(params, jnp.asarray(0.975))), 2)
    13.92
    """

    def log_prob(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """``-z^2 / 2 - log(scale sqrt(2 pi))`` with ``z = (x - location) / scale``."""
        return norm.logpdf(_z(params, x)) - jnp.log(params[..., 1])

    def cdf(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Of the standard normal at ``z``."""
        return norm.cdf(_z(params, x))

    def variance(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``scale^2``."""
        return params[..., 1] ** 2

    def quantile(self, params: Float[Array, "*axes P"], q: Float[Array, ""]) -> Float[Array, "*axes"]:
        """In closed form."""
        return params[..., 0] + params[..., 1] * norm.ppf(q)

    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """Draws of the standard normal, moved."""
        return _moved(jax.random.normal(key, (n, *params.shape[:-1]), params.dtype), params)


@dataclass(frozen=True)
class Laplace(AbstractLocationScale):
    """Laplace's distribution, a density ``exp(-|z|) / (2 scale)``; parameters median and scale.

    Its likelihood is that of absolute errors, so few large ones weigh less than under `Normal`.

    Parameters
    ----------
    point : {"median", "mean"}, default "median"
        The point forecast; here both are the same.
    """

    def log_prob(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """``-|z| - log(2 scale)``."""
        return laplace.logpdf(_z(params, x)) - jnp.log(params[..., 1])

    def cdf(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """``exp(z) / 2`` below the median, ``1 - exp(-z) / 2`` above it."""
        return laplace.cdf(_z(params, x))

    def variance(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``2 scale^2``."""
        return 2 * params[..., 1] ** 2

    def quantile(self, params: Float[Array, "*axes P"], q: Float[Array, ""]) -> Float[Array, "*axes"]:
        """In closed form."""
        z = jnp.where(q < 0.5, jnp.log(2 * q), -jnp.log(2 * (1 - q)))
        return params[..., 0] + params[..., 1] * z

    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """Draws of the standard one, moved."""
        return _moved(jax.random.laplace(key, (n, *params.shape[:-1]), params.dtype), params)


@dataclass(frozen=True)
class StudentT(AbstractLocationScale):
    """Student's t; parameters location, scale and ``df - 2``, which is positive: the variance is finite.

    Parameters
    ----------
    point : {"median", "mean"}, default "median"
        The point forecast; here both are the same.

    References
    ----------
    D. Salinas, V. Flunkert, J. Gasthaus and T. Januschowski (2020), DeepAR, International Journal of Forecasting 36;
    the parameters as in GluonTS.
    """

    n_shapes: ClassVar[int] = 1

    def log_prob(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """``-(df + 1)/2 log(1 + z^2/df) - log(scale sqrt(df) B(1/2, df/2))``."""
        df, z = _df(params), _z(params, x)
        norming = betaln(jnp.full_like(df, 0.5), df / 2) + 0.5 * jnp.log(df) + jnp.log(params[..., 1])
        return -(df + 1) / 2 * jnp.log1p(z**2 / df) - norming

    def cdf(self, params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Half of one, and half of the regularized incomplete beta function on the side of ``z``."""
        df, z = _df(params), _z(params, x)
        within = betainc(jnp.full_like(df, 0.5), df / 2, 1 / (1 + df / jnp.maximum(z**2, 1e-30)))
        return 0.5 + 0.5 * jnp.sign(z) * within

    def variance(self, params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
        """``scale^2 df / (df - 2)``."""
        df = _df(params)
        return params[..., 1] ** 2 * df / (df - 2)

    def quantile(self, params: Float[Array, "*axes P"], q: Float[Array, ""]) -> Float[Array, "*axes"]:
        """By bisection."""
        return self.bisected(params, q)

    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """Draws of the standard one, moved."""
        df = jnp.broadcast_to(_df(params), (n, *params.shape[:-1]))
        return _moved(jax.random.t(key, df, df.shape, params.dtype), params)


def _z(params: Float[Array, "*axes P"], x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    return (x - params[..., 0]) / params[..., 1]


def _moved(z: Float[Array, "n *axes"], params: Float[Array, "*axes P"]) -> Float[Array, "n *axes"]:
    return params[None, ..., 0] + params[None, ..., 1] * z


def _df(params: Float[Array, "*axes P"]) -> Float[Array, "*axes"]:
    return 2.01 + params[..., 2]
