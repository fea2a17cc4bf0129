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
    """The rows of a panel as the step reads them; a pytree. Nothing of a series is repeated row by row.

    Attributes
    ----------
    values : array of shape (R, C)
        Transformed targets, NaN where missing.
    past : array of shape (R, P)
        Past covariates.
    future : array of shape (R, F)
        Future covariates and calendar features.
    past_codes, future_codes : arrays of int, shape (R, K)
        Categorical past and future covariates; 0 where missing or unseen.
    static : array of shape (N, S)
        Static covariates.
    static_codes : array of int, shape (N, K)
        Categorical static covariates; 0 where missing or unseen.
    first : array of int, shape (N,)
        First row of each series.
    measured : array of bool, shape (R, C + P), optional
        Where ``values`` and ``past`` hold what was measured; given if they hold filled gaps too.
    codes, steps : arrays of int, shape (N,), optional
        Code of each series, 0 if it was not there in training, and the number of its first row, counted from a fixed
        time; given to networks that have weights for each series.
    """

    values: Float[Array, "R C"]
    past: Float[Array, "R P"]
    future: Float[Array, "R F"]
    past_codes: Int[Array, "R K"]
    future_codes: Int[Array, "R K"]
    static: Float[Array, "N S"]
    static_codes: Int[Array, "N K"]
    first: Int[Array, " N"]
    measured: Bool[Array, "R CP"] | None = None
    codes: Int[Array, " N"] | None = None
    steps: Int[Array, " N"] | None = None


def gather(
    panel: DevicePanel, series: Int[Array, " B"], known: Int[Array, " B"], *, context_length: int, horizon: int
) -> Batch:
    """Cut windows out of the panel.

    Parameters
    ----------
    panel : DevicePanel
        All rows.
    series : array of int, shape (B,)
        Number of each window's series.
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
    start = panel.first[series]
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

    def history(past: Array, future: Array) -> Array:
        return jnp.where(valid[..., None], jnp.concatenate([past, future[behind]], axis=-1), 0)

    return Batch(
        context=jnp.where(observed, context, 0),
        context_observed=observed,
        valid=valid,
        past=history(past, panel.future),
        future=panel.future[ahead],
        past_codes=history(panel.past_codes[behind], panel.future_codes),
        future_codes=panel.future_codes[ahead],
        static=panel.static[series],
        static_codes=panel.static_codes[series],
        target=jnp.nan_to_num(target),
        target_observed=target_observed,
        series=None if panel.codes is None else panel.codes[series],
        step=None if panel.steps is None else panel.steps[series] + known,
    )


@dataclass(frozen=True)
class WindowSampler:
    """Draw training windows, with replacement, by the odds of the index.

    Of one series all windows are equally likely. How likely a series is, the sampling law says
    (`tsrnn.windows.index.sampling_odds`): uniform over all windows, so that long series are drawn from more often;
    uniform over series; or in proportion to the scale of the series.

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
        odds, below = jnp.asarray(index.odds), jnp.asarray(index.below)
        k = jax.random.randint(key, (self.batch_size,), 0, odds[-1], odds.dtype)
        at = jnp.searchsorted(odds, k, side="right") - 1
        place = (k - odds[at]) % (below[at + 1] - below[at])  # the odds are a multiple of the windows
        series, known = jnp.asarray(index.series)[at], jnp.asarray(index.first)[at] + place
        return gather(panel, series, known, context_length=self.context_length, horizon=self.horizon)
