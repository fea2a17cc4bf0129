"""Windows gathered on the device, inside the compiled step, from a panel that lies there once."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from tsrnn.types import Batch
from tsrnn.windows.index import WindowIndex

__all__ = ["DevicePanel", "WindowSampler", "gather"]


class DevicePanel(NamedTuple):
    """The rows of a panel as the step reads them; a pytree.

    Attributes
    ----------
    values : array of shape (R, C)
        Transformed targets, NaN where missing.
    past : array of shape (R, P)
        Past covariates.
    future : array of shape (R, F)
        Future covariates and calendar features.
    measured : array of bool, shape (R, C + P), optional
        Where ``values`` and ``past`` hold what was measured; given if they hold filled gaps too.
    """

    values: Float[Array, "R C"]
    past: Float[Array, "R P"]
    future: Float[Array, "R F"]
    measured: Bool[Array, "R CP"] | None = None


def gather(
    panel: DevicePanel, start: Int[Array, " B"], known: Int[Array, " B"], *, context_length: int, horizon: int
) -> Batch:
    """Cut windows out of the panel.

    Parameters
    ----------
    panel : DevicePanel
        All rows.
    start : array of int, shape (B,)
        First row of each window's series.
    known : array of int, shape (B,)
        Rows of the series that are known.
    context_length, horizon : int
        Steps before and after the cutoff.

    Returns
    -------
    Batch
        History left-padded where the series begins inside it. From rows at and after the cutoff, the history holds
        nothing; a filled gap is shown if the value after it is known, so that it says nothing of what comes later.
    """
    cutoff = (start + known)[:, None]
    behind = cutoff + jnp.arange(-context_length, 0, dtype=cutoff.dtype)[None]
    ahead = cutoff + jnp.arange(horizon, dtype=cutoff.dtype)[None]
    valid = behind >= start[:, None]
    behind = jnp.maximum(behind, start[:, None])
    context, target = panel.values[behind], panel.values[ahead]
    observed = ~jnp.isnan(context) & valid[..., None]
    past, target_observed = panel.past[behind], ~jnp.isnan(target)
    if panel.measured is not None:
        channels = context.shape[-1]
        shown = jax.lax.cummax(panel.measured[behind].astype(jnp.int8), axis=1, reverse=True).astype(bool)
        observed &= shown[..., :channels]
        past = jnp.where(shown[..., channels:], past, 0)
        target_observed &= panel.measured[ahead][..., :channels]
    past = jnp.concatenate([past, panel.future[behind]], axis=-1)
    return Batch(
        context=jnp.where(observed, context, 0),
        context_observed=observed,
        valid=valid,
        past=jnp.where(valid[..., None], past, 0),
        future=panel.future[ahead],
        target=jnp.nan_to_num(target),
        target_observed=target_observed,
    )


@dataclass(frozen=True)
class WindowSampler:
    """Draw training windows uniformly over all windows of all series, with replacement.

    Long series are drawn from more often than short ones, in proportion to their windows.

    Parameters
    ----------
    context_length, horizon, batch_size : int
        Shape of the batches.
    """

    context_length: int
    horizon: int
    batch_size: int

    def __call__(self, data: tuple[DevicePanel, WindowIndex], key: PRNGKeyArray) -> Batch:
        """One batch."""
        panel, index = data
        below = jnp.asarray(index.below)
        k = jax.random.randint(key, (self.batch_size,), 0, below[-1])
        series = jnp.searchsorted(below, k, side="right") - 1
        known = jnp.asarray(index.first)[series] + k - below[series]
        return gather(
            panel, jnp.asarray(index.row)[series], known, context_length=self.context_length, horizon=self.horizon
        )
