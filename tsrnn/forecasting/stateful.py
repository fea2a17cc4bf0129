"""Forecasts from a state that is carried through a series: one pass over it, and a decode at each cutoff.

Reading a window anew for each of K cutoffs takes K times its steps. A network that forecasts from its last state alone,
and whose inputs do not depend on where a window begins, has the states of all cutoffs after one pass.
"""

from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from tsrnn.nn.model import Model, Params
from tsrnn.nn.networks import AbstractDirect
from tsrnn.windows.batches import DevicePanel, gather

__all__ = ["check_stateful", "decode", "states_at"]

_STEPS = 1 << 16
"""Steps of series that are read in one call: what bounds the memory."""


def check_stateful(network: Any, normalization: str, gaps: str) -> None:
    """Raise if the state after a step is not the same whatever the cutoff."""
    if not isinstance(network, AbstractDirect) or network.bidirectional:
        what = type(network).__name__ + "(bidirectional=True)" * isinstance(network, AbstractDirect)
        raise ValueError(
            "stateful=True is for networks that forecast from the last state of layers that go forward in time, LSTM() "
            f"or GRU() say, not for {what}."
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


def states_at(
    model: Model,
    params: Params,
    rows: DevicePanel,
    lengths: NDArray[np.int64],
    longest: int,
    series: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[Any]:
    """What the decoder reads at each cutoff, from the first row of its series on.

    Parameters
    ----------
    model : Model
        Its network is one that `check_stateful` lets pass.
    params : pytree
        Weights.
    rows : DevicePanel
        The series; nothing of theirs is read at a cutoff that lies after it.
    lengths : array of int, shape (N,)
        Rows of each series.
    longest : int
        Steps of the pass, at least the longest of them; a size that similar panels share.
    series, ends : arrays of int, shape (B,)
        The cutoffs.

    Returns
    -------
    array of shape (B, D)
    """
    which = np.unique(series)
    size = max(1, min(_STEPS // longest, len(lengths)))
    groups = np.pad(which, (0, -len(which) % size), mode="edge").reshape(-1, size)
    blocks = []
    places = []
    for group in groups:
        hs = np.asarray(
            _read(model, params, rows, group.astype(np.int32), lengths[group].astype(np.int32), steps=longest)
        )
        mine = np.flatnonzero(np.isin(series, group))
        at = np.searchsorted(group, series[mine])
        blocks.append(hs[at, longest - lengths[series[mine]] + ends[mine] - 1])
        places.append(mine)
    states = np.concatenate(blocks)
    return states[np.argsort(np.concatenate(places), kind="stable")]


@partial(jax.jit, static_argnames=("model", "steps"))
def _read(model: Model, params: Params, rows: DevicePanel, series: Array, known: Array, *, steps: int) -> Array:
    """States after every step of whole series."""
    return model.states(params, gather(rows, series, known, context_length=steps, horizon=1))


@partial(jax.jit, static_argnames=("model", "context_length", "horizon"))
def decode(
    model: Model, params: Params, rows: DevicePanel, series: Array, known: Array, states: Array,
    *, context_length: int, horizon: int,
) -> Array:  # fmt: skip
    """Parameters of the forecast from given states."""
    return model.decode(params, gather(rows, series, known, context_length=context_length, horizon=horizon), states)
