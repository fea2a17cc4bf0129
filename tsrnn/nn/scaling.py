"""Normalization of a window inside the graph: from its own observed history, mask-aware.

Not to be confused with `tsrnn.transforms`, which scales whole series before windows exist.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

__all__ = ["RunningState", "WindowNorm", "running_stats", "window_stats"]

WindowNorm = Literal["none", "mean", "standard", "last", "shift", "robust", "revin", "running"]

_FLOOR = 1e-2
"""Least scale of a window, in units of the transformed series (by default its standard deviations)."""


def window_stats(
    x: Float[Array, "B T C"], observed: Bool[Array, "B T C"], how: WindowNorm
) -> tuple[Float[Array, "B 1 C"], Float[Array, "B 1 C"]]:
    """Location and scale of every window and channel.

    Parameters
    ----------
    x : array of shape (B, T, C)
        History.
    observed : array of bool, shape (B, T, C)
        What counts. A window with nothing observed gets location 0.
    how : {"none", "mean", "standard", "last", "shift", "robust", "revin", "running"}
        Location 0 and scale 1; 0 and the mean absolute value; mean and standard deviation; the last observed value
        and the standard deviation; the last observed value and 1; median and median absolute deviation (times 1.4826;
        the standard deviation where that is 0). ``revin`` and ``running`` have those of ``standard``, at the cutoff:
        what else they do, a learned gain and shift or statistics of their own for every step, is up to the model.

    Returns
    -------
    location, scale : arrays of shape (B, 1, C)
        ``(x - location) / scale`` is what the network reads.

    References
    ----------
    T. Kim, J. Kim, Y. Tae, C. Park, J.-H. Choi and J. Choo (2022), Reversible instance normalization for accurate
    time-series forecasting against distribution shift, ICLR.

    Examples
    --------
    >>> x = jnp.asarray([1.0, 3.0, 5.0, 90.0]).reshape(1, 4, 1)
    >>> location, scale = window_stats(x, x < 10, "robust")
    >>> round(float(location[0, 0, 0]), 2), round(float(scale[0, 0, 0]), 2)
    (3.0, 2.97)
    """
    if how not in get_args(WindowNorm):
        raise ValueError(f"normalization={how!r} is unknown; choose one of {', '.join(get_args(WindowNorm))}.")
    zero, one = jnp.zeros_like(x[:, :1]), jnp.ones_like(x[:, :1])
    if how == "none":
        return zero, one
    n = jnp.maximum(observed.sum(axis=1, keepdims=True), 1).astype(x.dtype)
    if how == "mean":
        return zero, jnp.maximum(jnp.where(observed, jnp.abs(x), 0).sum(axis=1, keepdims=True) / n, _FLOOR)
    mean = jnp.where(observed, x, 0).sum(axis=1, keepdims=True) / n
    deviation = jnp.sqrt(jnp.where(observed, (x - mean) ** 2, 0).sum(axis=1, keepdims=True) / n + _FLOOR**2)
    if how in ("standard", "revin", "running"):
        return mean, deviation
    if how == "robust":
        median = _median(x, observed)
        spread = 1.4826 * _median(jnp.abs(x - median), observed)
        return median, jnp.where(spread > _FLOOR, spread, deviation)
    newest = x.shape[1] - 1 - jnp.argmax(observed[:, ::-1], axis=1, keepdims=True)
    last = jnp.take_along_axis(x, newest, axis=1)
    last = jnp.where(observed.any(axis=1, keepdims=True), last, zero)
    return last, one if how == "shift" else deviation


def _median(x: Float[Array, "B T C"], observed: Bool[Array, "B T C"]) -> Float[Array, "B 1 C"]:
    """Median of what is observed; 0 where nothing is."""
    ordered = jnp.sort(jnp.where(observed, x, jnp.inf), axis=1)
    n = observed.sum(axis=1, keepdims=True)
    low = jnp.take_along_axis(ordered, jnp.maximum(n - 1, 0) // 2, axis=1)
    high = jnp.take_along_axis(ordered, jnp.minimum(n // 2, x.shape[1] - 1), axis=1)
    return jnp.where(n > 0, (low + high) / 2, 0)


class RunningState(NamedTuple):
    """What a causal scaler knows of the steps so far, each of shape (B, C); zeros at the start.

    Attributes
    ----------
    n : array
        Observed steps.
    mean : array
        Their mean.
    squares : array
        Sum of their squared distances from it.
    """

    n: Float[Array, "B C"]
    mean: Float[Array, "B C"]
    squares: Float[Array, "B C"]


def running_stats(
    x: Float[Array, "B T C"], observed: Bool[Array, "B T C"], state: RunningState | None = None
) -> tuple[Float[Array, "B T C"], Float[Array, "B T C"], RunningState]:
    """Mean and standard deviation of all steps so far, for every step: those of step t know no later one.

    A sequence cut anywhere and continued from the state of its first part gives the same bits as the whole.

    Parameters
    ----------
    x : array of shape (B, T, C)
        A sequence.
    observed : array of bool, shape (B, T, C)
        What counts; the other steps repeat what was known before. Before the first observed step the location is 0.
    state : RunningState, optional
        What the steps before taught; by default nothing.

    Returns
    -------
    location, scale : arrays of shape (B, T, C)
        ``(x - location) / scale`` is what the network reads.
    state : RunningState
        To continue from. The last location and scale are those that invert a forecast from here.

    References
    ----------
    B. P. Welford (1962), Note on a method for calculating corrected sums of squares and products, Technometrics 4.

    Examples
    --------
    >>> x = jnp.asarray([2.0, 4.0, 9.0]).reshape(1, 3, 1)
    >>> location, scale, state = running_stats(x, x > 0)
    >>> [round(float(v), 2) for v in location.ravel()], [round(float(v), 2) for v in scale.ravel()]
    ([2.0, 3.0, 5.0], [0.01, 1.0, 2.94])
    """
    zero = jnp.zeros((x.shape[0], x.shape[2]), x.dtype)
    start = RunningState(zero, zero, zero) if state is None else state

    def step(
        carry: RunningState, inputs: tuple[Float[Array, "B C"], Bool[Array, "B C"]]
    ) -> tuple[RunningState, tuple[Float[Array, "B C"], Float[Array, "B C"]]]:
        value, seen = inputs
        n = carry.n + seen.astype(x.dtype)
        away = jnp.where(seen, value - carry.mean, 0)
        mean = carry.mean + away / jnp.maximum(n, 1)
        squares = carry.squares + away * jnp.where(seen, value - mean, 0)
        return RunningState(n, mean, squares), (mean, jnp.sqrt(squares / jnp.maximum(n, 1) + _FLOOR**2))

    steps = jnp.moveaxis(x, 1, 0), jnp.moveaxis(observed, 1, 0)
    end, (location, scale) = jax.lax.scan(step, start, steps)
    return jnp.moveaxis(location, 0, 1), jnp.moveaxis(scale, 0, 1), end
