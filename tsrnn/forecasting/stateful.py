"""Forecasts from a state that is carried through a series: one pass over it, and a decode at each cutoff.

Reading a window anew for each of K cutoffs takes K times its steps. A network that forecasts from its last state alone,
and whose inputs do not depend on where a window begins, has the states of all cutoffs after one pass.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from tsrnn.nn.model import Model, Params
from tsrnn.nn.networks import AbstractDirect
from tsrnn.nn.recursive import Recursive, RecursiveModel
from tsrnn.windows.batches import DevicePanel, gather

__all__ = ["carried", "check_stateful", "decode"]

_STEPS = 1 << 16
"""Steps of series that are read in one call: what bounds the memory."""


def check_stateful(network: Any, normalization: str, gaps: str) -> None:
    """Raise if the state after a step is not the same whatever the cutoff."""
    if not isinstance(network, AbstractDirect | Recursive) or getattr(network, "bidirectional", False):
        what = type(network).__name__ + "(bidirectional=True)" * getattr(network, "bidirectional", False)
        raise ValueError(
            "stateful=True is for networks that forecast from the last state of layers that go forward in time, LSTM() "
            f"or Recursive() say, not for {what}."
        )
    if normalization != "none":
        raise ValueError(
            f"stateful=True and normalization={normalization!r} do not go together: that looks at a window, and there "
            "is none; choose normalization='none', the transforms scale the series."
        )
    if gaps in ("ffill", "interpolate"):
        raise ValueError(
            f"stateful=True and gaps={gaps!r} do not go together: what fills a gap depends on the cutoff; choose "
            "gaps='mask'."
        )


def carried(
    model: Model | RecursiveModel,
    params: Params,
    lengths: NDArray[np.int64],
    longest: int,
    series: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> Callable[[DevicePanel, NDArray[np.int64]], Any]:
    """What is carried to each cutoff from the first row of its series on, all of it read when first asked for.

    Parameters
    ----------
    model : Model or RecursiveModel
        Its network is one that `check_stateful` lets pass.
    params : pytree
        Weights.
    lengths : array of int, shape (N,)
        Rows of each series.
    longest : int
        Steps of the pass, at least the longest of them; a size that similar panels share.
    series, ends : arrays of int, shape (B,)
        The cutoffs.

    Returns
    -------
    callable
        Of the rows on the device and of places among the cutoffs; it gives a pytree of arrays of shape (places, D).
        Nothing that lies after a cutoff is in it.
    """
    kept: list[Any] = []

    def states(rows: DevicePanel, at: NDArray[np.int64]) -> Any:
        if not kept:
            kept.append(_states_at(model, params, rows, lengths, longest, series, ends))
        return jax.tree.map(lambda leaf: leaf[at], kept[0])

    return states


def _states_at(
    model: Model | RecursiveModel,
    params: Params,
    rows: DevicePanel,
    lengths: NDArray[np.int64],
    longest: int,
    series: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> Any:
    which = np.unique(series)
    size = max(1, min(_STEPS // longest, len(lengths)))
    blocks, places = [], []
    for group in np.pad(which, (0, -len(which) % size), mode="edge").reshape(-1, size):
        whole = group.astype(np.int32), lengths[group].astype(np.int32)
        states = _read(model, params, rows, *whole, steps=longest)
        mine = np.flatnonzero(np.isin(series, group))
        at = np.searchsorted(group, series[mine]), longest - lengths[series[mine]] + ends[mine] - 1
        blocks.append(jax.tree.map(lambda leaf, at=at: np.asarray(leaf)[at], states))
        places.append(mine)
    order = np.argsort(np.concatenate(places), kind="stable")
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *blocks)


@partial(jax.jit, static_argnames=("model", "steps"))
def _read(
    model: Model | RecursiveModel, params: Params, rows: DevicePanel, series: Array, known: Array, *, steps: int
) -> Any:
    """States after every step of whole series."""
    return model.states(params, gather(rows, series, known, context_length=steps, horizon=1))


@partial(jax.jit, static_argnames=("model", "context_length", "horizon"))
def decode(
    model: Model, params: Params, rows: DevicePanel, series: Array, known: Array, states: Array,
    *, context_length: int, horizon: int,
) -> Array:  # fmt: skip
    """Parameters of the forecast from given states."""
    return model.decode(params, gather(rows, series, known, context_length=context_length, horizon=horizon), states)
