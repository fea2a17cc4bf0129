"""What a network's last layer means, and the loss that teaches it.

An output is a frozen dataclass with ``size`` raw numbers per step and channel, the mapping from raw numbers to
parameters of the forecast, and a ``loss``. The parameters of a point are the point, those of quantiles the quantiles;
those of a distribution are its own (`tsrnn.nn.distributions`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

__all__ = ["AbstractOutput", "Domain", "Point", "Quantiles"]

Domain = Literal["real", "ratio", "nonnegative", "positive", "count"]
"""Numbers that an output is made for: all; all, zero meaning none; those from zero on; above zero; 0, 1, 2 ..."""

Unit = Literal["window", "series"]
"""What errors are measured in; see `Point`."""


class AbstractOutput(ABC):
    """Contract of outputs; ``P`` is the number of parameters."""

    @property
    @abstractmethod
    def domain(self) -> Domain:
        """Which targets make sense. Those of any but ``real`` may be scaled, not shifted; counts may not be scaled."""

    @property
    @abstractmethod
    def reach(self) -> tuple[float, float] | None:
        """Least and greatest quantile that `forecast` gives; None for a point."""

    @property
    def of_series(self) -> bool:
        """Whether the loss is in units of the transformed series, as that of counts is, or of the window."""
        return self.domain == "count"

    @property
    @abstractmethod
    def size(self) -> int:
        """Raw numbers per step and channel."""

    @abstractmethod
    def params(self, raw: Float[Array, "*axes size"], base: Float[Array, "*axes"]) -> Float[Array, "*axes P"]:
        """Raw numbers, which say how the forecast departs from a base, to parameters in the units of the base."""

    @abstractmethod
    def affine(
        self, params: Float[Array, "*axes P"], location: Float[Array, "*axes"], scale: Float[Array, "*axes"]
    ) -> Float[Array, "*axes P"]:
        """Parameters of ``location + scale * x`` from those of ``x``; outside of ``real`` the location is zero."""

    @abstractmethod
    def loss(self, params: Float[Array, "*axes P"], target: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Loss of each single forecast, in the units that `of_series` says."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """``n`` independent draws; of a point, the point."""

    @abstractmethod
    def forecast(self, params: Float[Array, "*axes P"], quantiles: Float[Array, " Q"]) -> Float[Array, "*axes 1+Q"]:
        """The point forecast, then the quantiles; they ascend with their levels."""


@dataclass(frozen=True)
class Point(AbstractOutput):
    """A point forecast: the mean under ``mse``, the median under ``mae``, something between under ``huber``.

    Parameters
    ----------
    loss_name : {"mse", "mae", "huber", "smape"}, default "mse"
        The loss. Huber's turns from quadratic to linear at 1, in units of the normalized target. ``smape`` is
        ``2 |y - f| / max(|y| + |f|, 0.1)``, its denominator taken as a constant in the gradient; it does not depend on
        the scale of the data, and needs a normalization and transforms that leave zero where it is. Its floor of
        0.1, with ``normalization="mean"`` a tenth of the window's mean size, keeps zeros from ruling all else.
    unit : {"window", "series"}, default "window"
        What errors are measured in: units of the normalized window, in which windows of all sizes weigh alike, or those
        of the transformed series. With ``unit="series"``, ``transforms=SeasonalScaler()`` and ``mae`` the loss is the
        mean absolute scaled error (MASE) itself, whatever the normalization.

    References
    ----------
    P. J. Huber (1964), Robust estimation of a location parameter, Annals of Mathematical Statistics 35.
    S. Makridakis (1993), Accuracy measures: theoretical and practical concerns, International Journal of Forecasting 9.
    """

    loss_name: Literal["mse", "mae", "huber", "smape"] = "mse"
    unit: Unit = "window"

    def __post_init__(self) -> None:
        """Refuse an unknown loss or unit at once, before a network is built."""
        if self.loss_name not in ("mse", "mae", "huber", "smape"):
            raise ValueError(f"loss_name={self.loss_name!r} is unknown; choose mse, mae, huber or smape.")
        _check_unit(self.unit)

    @property
    def of_series(self) -> bool:
        """As ``unit`` says."""
        return self.unit == "series"

    @property
    def domain(self) -> Domain:
        """All numbers; for ``smape`` those where zero means none."""
        return "ratio" if self.loss_name == "smape" else "real"

    @property
    def reach(self) -> tuple[float, float] | None:
        """No quantiles."""
        return None

    @property
    def size(self) -> int:
        """One."""
        return 1

    def params(self, raw: Float[Array, "*axes size"], base: Float[Array, "*axes"]) -> Float[Array, "*axes P"]:
        """The raw number on top of the base."""
        return raw + base[..., None]

    def affine(
        self, params: Float[Array, "*axes P"], location: Float[Array, "*axes"], scale: Float[Array, "*axes"]
    ) -> Float[Array, "*axes P"]:
        """``location + scale * params``."""
        return params * scale[..., None] + location[..., None]

    def loss(self, params: Float[Array, "*axes P"], target: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Squared, absolute, Huber or relative error."""
        value = params[..., 0]
        error = value - target
        size = jnp.abs(error)
        if self.loss_name == "mae":
            return size
        if self.loss_name == "huber":
            return jnp.where(size < 1, 0.5 * error**2, size - 0.5)
        if self.loss_name == "smape":
            return 2 * size / jnp.maximum(jax.lax.stop_gradient(jnp.abs(value) + jnp.abs(target)), 0.1)
        return error**2

    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """The point, ``n`` times."""
        return jnp.broadcast_to(params[..., 0], (n, *params.shape[:-1]))

    def forecast(self, params: Float[Array, "*axes P"], quantiles: Float[Array, " Q"]) -> Float[Array, "*axes 1+Q"]:
        """The point."""
        return params


@dataclass(frozen=True)
class Quantiles(AbstractOutput):
    """Quantiles that never cross, taught by the pinball loss; the point forecast is the median.

    The middle quantile is the raw number, every other one a positive step (softplus) away from its neighbour.

    Parameters
    ----------
    quantiles : tuple of float, default (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
        Ascending, in (0, 1), 0.5 among them. Intervals between two of them are interpolated at prediction.
    unit : {"window", "series"}, default "window"
        What errors are measured in, as in `Point`.

    References
    ----------
    R. Koenker and G. Bassett (1978), Regression quantiles, Econometrica 46.
    """

    quantiles: tuple[float, ...] = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
    unit: Unit = "window"

    def __post_init__(self) -> None:
        """Check the levels and the unit."""
        _check_unit(self.unit)
        q = tuple(float(q) for q in self.quantiles)
        object.__setattr__(self, "quantiles", q)
        if 0.5 not in q or list(q) != sorted(set(q)) or not (q[0] > 0 and q[-1] < 1):
            raise ValueError(f"quantiles={q} must ascend inside (0, 1) and hold the median 0.5.")

    @property
    def of_series(self) -> bool:
        """As ``unit`` says."""
        return self.unit == "series"

    @property
    def domain(self) -> Domain:
        """All numbers."""
        return "real"

    @property
    def reach(self) -> tuple[float, float] | None:
        """The outermost quantiles learned."""
        return self.quantiles[0], self.quantiles[-1]

    @property
    def size(self) -> int:
        """One number for each quantile."""
        return len(self.quantiles)

    def params(self, raw: Float[Array, "*axes size"], base: Float[Array, "*axes"]) -> Float[Array, "*axes P"]:
        """Cumulative positive steps down and up from the median."""
        m = self.quantiles.index(0.5)
        middle, steps = raw[..., m : m + 1], jax.nn.softplus(raw)
        below = middle - jnp.cumsum(steps[..., :m][..., ::-1], axis=-1)[..., ::-1]
        above = middle + jnp.cumsum(steps[..., m + 1 :], axis=-1)
        return jnp.concatenate([below, middle, above], axis=-1) + base[..., None]

    def affine(
        self, params: Float[Array, "*axes P"], location: Float[Array, "*axes"], scale: Float[Array, "*axes"]
    ) -> Float[Array, "*axes P"]:
        """``location + scale * params``."""
        return params * scale[..., None] + location[..., None]

    def loss(self, params: Float[Array, "*axes P"], target: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Mean pinball loss over the quantiles: ``max(q e, (q - 1) e)`` with ``e = target - value``."""
        q = jnp.asarray(np.asarray(self.quantiles), params.dtype).reshape((1,) * target.ndim + (-1,))
        error = target[..., None] - params
        return jnp.maximum(q * error, (q - 1) * error).mean(axis=-1)

    def sample(self, key: PRNGKeyArray, params: Float[Array, "*axes P"], n: int) -> Float[Array, "n *axes"]:
        """Draws from the distribution whose quantiles are interpolated between the learned ones, and end with them."""
        learned = jnp.asarray(np.asarray(self.quantiles), params.dtype)
        u = jax.random.uniform(key, (n, *params.shape[:-1]), params.dtype)
        at = jnp.clip(jnp.searchsorted(learned, u) - 1, 0, len(learned) - 2)
        share = jnp.clip((u - learned[at]) / (learned[at + 1] - learned[at]), 0, 1)
        low, high = (jnp.take_along_axis(params[None], i[..., None], axis=-1)[..., 0] for i in (at, at + 1))
        return low + share * (high - low)

    def forecast(self, params: Float[Array, "*axes P"], quantiles: Float[Array, " Q"]) -> Float[Array, "*axes 1+Q"]:
        """The median, then the quantiles asked for, between two learned ones interpolated."""
        learned = jnp.asarray(np.asarray(self.quantiles), params.dtype)
        asked = jnp.concatenate([jnp.full(1, 0.5, params.dtype), quantiles])
        weights = jax.vmap(lambda row: jnp.interp(asked, learned, row))(jnp.eye(len(learned), dtype=params.dtype))
        return jnp.matmul(params, weights, precision="highest")


def _check_unit(unit: str) -> None:
    if unit not in get_args(Unit):
        raise ValueError(f"unit={unit!r} is unknown; choose window or series.")
