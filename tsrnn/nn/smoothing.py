"""Exponential smoothing of a level and any number of seasons, as one scan over the history."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy.typing import NDArray

__all__ = ["Smoothing", "smooth", "steps_ahead"]


class Smoothing(NamedTuple):
    """A smoothed history; time first.

    Attributes
    ----------
    level : array of shape (T, B, C)
        After each step.
    season : array of shape (T, B, C)
        Sum of the seasons of each step, as known the step before.
    ahead : array of shape (T, H, B, C)
        Sum of the seasons of the steps ahead, as known at each step; the last season repeated.
    """

    level: Float[Array, "T B C"]
    season: Float[Array, "T B C"]
    ahead: Float[Array, "T H B C"]


def smooth(
    x: Float[Array, "T B C"],
    observed: Bool[Array, "T B C"],
    coefficients: Float[Array, "K B C"],
    seasons: tuple[Float[Array, "m B C"], ...],
    horizon: int,
) -> Smoothing:
    """Exponential smoothing of a level and any number of seasons, all added up.

    ``l' = a (x - s) + (1 - a) l`` and, for each season, ``s_k' = b_k (x - l' - (s - s_k)) + (1 - b_k) s_k``, where
    ``s`` is the sum of the seasons. A step that was not observed changes nothing.

    Parameters
    ----------
    x : array of shape (T, B, C)
        History, oldest first.
    observed : array of bool, shape (T, B, C)
        What counts. The level begins with the first observed value, without its seasons.
    coefficients : array of shape (1 + S, B, C)
        In (0, 1): of the level, then of each season.
    seasons : tuple of arrays of shape (m, B, C)
        What each season begins with, from the first step on.
    horizon : int
        Steps ahead.

    Returns
    -------
    Smoothing
        Level and seasons of every step.

    References
    ----------
    R. J. Hyndman, A. B. Koehler, J. K. Ord and R. D. Snyder (2008), Forecasting with Exponential Smoothing, chapter 2;
    for two seasons J. W. Taylor (2003), Short-term electricity demand forecasting using double seasonal exponential
    smoothing, Journal of the Operational Research Society 54.
    """
    steps = len(x)
    first = jnp.argmax(observed, axis=0, keepdims=True)
    begun = [jnp.take_along_axis(s, first % len(s), axis=0) for s in seasons]
    start = jnp.take_along_axis(x, first, axis=0)[0] - sum(begun, jnp.zeros_like(x[:1]))[0]

    def step(carry: tuple[Array, tuple[Array, ...]], inputs: tuple[Array, Array, Array]) -> tuple[Any, Any]:
        (level, rings), (t, value, seen) = carry, inputs
        places = [t % len(ring) for ring in rings]
        own = [ring[i] for ring, i in zip(rings, places, strict=True)]
        season = sum(own, jnp.zeros_like(level))
        level = jnp.where(seen, level + coefficients[0] * (value - season - level), level)
        away = jnp.where(seen, value - season - level, 0)
        own = [s + coefficient * away for s, coefficient in zip(own, coefficients[1:], strict=True)]
        rings = tuple(ring.at[i].set(s) for ring, i, s in zip(rings, places, own, strict=True))
        return (level, rings), (level, tuple(own))

    _, (level, updated) = jax.lax.scan(step, (start, seasons), (jnp.arange(steps), x, observed))
    runs = [jnp.concatenate([first, new]) for first, new in zip(seasons, updated, strict=True)]
    none = jnp.zeros_like(x)
    season = sum((run[:steps] for run in runs), none)
    ahead = sum((run[steps_ahead(steps, horizon, len(run) - steps)] for run in runs), none[:, None])
    return Smoothing(level, season, jnp.broadcast_to(ahead, (steps, horizon, *x.shape[1:])))


def steps_ahead(steps: int, horizon: int, period: int | None = None) -> NDArray[np.int64]:
    """Places of the steps ahead of each step, shape (steps, horizon); those beyond a period repeat the last one."""
    ahead = np.arange(horizon)
    return np.arange(steps)[:, None] + 1 + (ahead if period is None else ahead % period)
