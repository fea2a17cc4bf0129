"""Normalization of a window inside the graph: from its own observed history, mask-aware.

Not to be confused with `tsrnn.transforms`, which scales whole series before windows exist.
"""

from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

__all__ = ["WindowNorm", "window_stats"]

WindowNorm = Literal["none", "mean", "standard", "last"]

_FLOOR = 1e-2
"""Least scale of a window, in standard deviations of its series."""


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
    how : {"none", "mean", "standard", "last"}
        Location 0 and scale 1; 0 and the mean absolute value; mean and standard deviation; the last observed value
        and the standard deviation.

    Returns
    -------
    location, scale : arrays of shape (B, 1, C)
        ``(x - location) / scale`` is what the network reads.
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
    if how == "standard":
        return mean, deviation
    newest = x.shape[1] - 1 - jnp.argmax(observed[:, ::-1], axis=1, keepdims=True)
    last = jnp.take_along_axis(x, newest, axis=1)
    return jnp.where(observed.any(axis=1, keepdims=True), last, zero), deviation
