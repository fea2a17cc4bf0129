"""What a network's last layer means, and the loss that teaches it.

An output is a frozen dataclass with ``size`` raw numbers per step and channel, a ``loss``, and the mapping from raw
numbers to values.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["AbstractOutput", "Point", "Quantiles"]


class AbstractOutput(ABC):
    """Contract of outputs."""

    @property
    @abstractmethod
    def levels(self) -> tuple[float, ...]:
        """The quantiles that ``values`` gives; ``()`` for a point."""

    @property
    def size(self) -> int:
        """Raw numbers per step and channel."""
        return max(1, len(self.levels))

    @abstractmethod
    def values(self, raw: Float[Array, "*axes Q"]) -> Float[Array, "*axes Q"]:
        """Raw numbers to forecasts in the units of the normalized target."""

    @abstractmethod
    def loss(self, values: Float[Array, "*axes Q"], target: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Loss of each single forecast."""


@dataclass(frozen=True)
class Point(AbstractOutput):
    """A point forecast: the mean under ``mse``, the median under ``mae``, something between under ``huber``.

    Parameters
    ----------
    loss_name : {"mse", "mae", "huber"}, default "mse"
        The loss; Huber's turns from quadratic to linear at 1, in units of the normalized target.
    """

    loss_name: Literal["mse", "mae", "huber"] = "mse"

    def __post_init__(self) -> None:
        """Refuse an unknown loss at once, before a network is built."""
        if self.loss_name not in ("mse", "mae", "huber"):
            raise ValueError(f"loss_name={self.loss_name!r} is unknown; choose mse, mae or huber.")

    @property
    def levels(self) -> tuple[float, ...]:
        """No quantiles."""
        return ()

    def values(self, raw: Float[Array, "*axes Q"]) -> Float[Array, "*axes Q"]:
        """The raw number itself."""
        return raw

    def loss(self, values: Float[Array, "*axes Q"], target: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Squared, absolute or Huber error."""
        error = values[..., 0] - target
        size = jnp.abs(error)
        if self.loss_name == "mae":
            return size
        if self.loss_name == "huber":
            return jnp.where(size < 1, 0.5 * error**2, size - 0.5)
        return error**2


@dataclass(frozen=True)
class Quantiles(AbstractOutput):
    """Quantiles that never cross, taught by the pinball loss; the point forecast is the median.

    The middle quantile is the raw number, every other one a positive step (softplus) away from its neighbour.

    Parameters
    ----------
    quantiles : tuple of float, default (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
        Ascending, in (0, 1), 0.5 among them. Intervals between two of them are interpolated at prediction.

    References
    ----------
    R. Koenker and G. Bassett (1978), Regression quantiles, Econometrica 46.
    """

    quantiles: tuple[float, ...] = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)

    def __post_init__(self) -> None:
        """Check the levels."""
        q = tuple(float(q) for q in self.quantiles)
        object.__setattr__(self, "quantiles", q)
        if 0.5 not in q or list(q) != sorted(set(q)) or not (q[0] > 0 and q[-1] < 1):
            raise ValueError(f"quantiles={q} must ascend inside (0, 1) and hold the median 0.5.")

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantiles learned."""
        return self.quantiles

    def values(self, raw: Float[Array, "*axes Q"]) -> Float[Array, "*axes Q"]:
        """Cumulative positive steps down and up from the median."""
        m = self.quantiles.index(0.5)
        middle, steps = raw[..., m : m + 1], jax.nn.softplus(raw)
        below = middle - jnp.cumsum(steps[..., :m][..., ::-1], axis=-1)[..., ::-1]
        above = middle + jnp.cumsum(steps[..., m + 1 :], axis=-1)
        return jnp.concatenate([below, middle, above], axis=-1)

    def loss(self, values: Float[Array, "*axes Q"], target: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Mean pinball loss over the quantiles: ``max(q e, (q - 1) e)`` with ``e = target - value``."""
        q = jnp.asarray(np.asarray(self.quantiles), values.dtype).reshape((1,) * target.ndim + (-1,))
        error = target[..., None] - values
        return jnp.maximum(q * error, (q - 1) * error).mean(axis=-1)
