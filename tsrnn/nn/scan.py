"""One recurrence over time, whatever runs it. Batch-major outside; time-major exists only here and below.

`scan` is the plain scan over any cell, which stays the reference. Where something faster gives the same result it is
used instead; `choose` is the one place that decides, by what ``benchmarks/recurrence.py`` measured.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType, get_abstract_mesh
from jaxtyping import Array, Bool, Float

from tsrnn.native.library import why_not
from tsrnn.nn import cudnn, native
from tsrnn.nn.cells import AbstractCell, GRUCell, LSTMCell, Params, State
from tsrnn.nn.derivatives import gru_sequence, lstm_sequence
from tsrnn.nn.linear import AbstractLinearCell, parallel_scan

__all__ = ["Backend", "choose", "scan"]

Backend = Literal["plain", "derivative", "parallel", "cudnn", "native"]
"""The plain scan; the same with a derivative by hand; in parallel over time; NVIDIA's cuDNN; our C++ on one CPU."""

Run = Callable[[State, Array, Array | None], tuple[State, Array]]


_SHORT, _LARGE = 64, 2**20
"""The GRU's derivative by hand pays from so many steps on (1.0-1.5 times), and on short sequences from so many numbers
of all ``h``, B * T * D (1.4 times); elsewhere it takes .8-1.1 times the plain scan's speed."""


def choose(
    cell: AbstractCell, xs: Float[Array, "B T I"], hidden_size: int, *, masked: bool, platform: str | None = None
) -> Backend:
    """The fastest backend that gives the plain scan's result on this device.

    Parameters
    ----------
    cell : AbstractCell
        The cell.
    xs : array of shape (B, T, I)
        Inputs; shape and dtype count.
    hidden_size : int
        D.
    masked : bool
        Whether there are padded steps.
    platform : str, optional
        ``"cpu"``, ``"gpu"`` or ``"tpu"``; by default where JAX computes.
    """
    platform = platform or jax.default_backend()
    unfit = {"gpu": ["native"], "cpu": ["cudnn", "parallel"]}.get(platform, ["cudnn", "native"])
    batch, steps, _ = xs.shape
    if AxisType.Auto in get_abstract_mesh().axis_types:
        unfit.append("cudnn")  # the rows are spread over devices, and XLA cannot divide a call of it
    if isinstance(cell, GRUCell) and steps < _SHORT and batch * steps * hidden_size < _LARGE:
        unfit.append("derivative")
    return next(backend for backend in _able(cell, xs.dtype, masked=masked) if backend not in unfit)


def scan(
    cell: AbstractCell,
    params: Params,
    state: State,
    xs: Float[Array, "B T I"],
    valid: Bool[Array, "B T"] | None = None,
    *,
    reverse: bool = False,
    truncate: int | None = None,
    remat: int | None = None,
    unroll: int = 1,
    backend: Backend | None = None,
) -> tuple[State, Float[Array, "B T D"]]:
    """Run a cell over a sequence.

    Parameters
    ----------
    cell, params
        The cell and its weights.
    state : tuple of arrays, shape (B, D)
        State before the first step; ``cell.zeros(params, B)`` to begin with.
    xs : array of shape (B, T, I)
        Inputs.
    valid : array of bool, shape (B, T), optional
        False where a step is padding: the state passes through unchanged, forward and backward.
    reverse : bool, default False
        From the last step to the first. Outputs stay in the order of the inputs.
    truncate : int, optional
        Truncated backpropagation: gradients of the state are cut every so many steps.
    remat : int, optional
        Keep the state every so many steps only, and compute the steps between again in the backward pass: memory
        for time on long sequences.
    unroll : int, default 1
        Steps per iteration of the loop; more than one did not pay in what we measured on CPUs.
    backend : {"plain", "derivative", "parallel", "cudnn", "native"}, optional
        What runs; by default `choose` says.

    Returns
    -------
    state : tuple of arrays, shape (B, D)
        State after the last step.
    hs : array of shape (B, T, D)
        ``h`` after every step.

    Raises
    ------
    ValueError
        If the backend asked for does not run this cell on these inputs.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> cell, xs = LSTMCell(), jnp.ones((2, 5, 3))
    >>> params = cell.init(jax.random.key(0), 3, 4)
    >>> (h, c), hs = scan(cell, params, cell.zeros(params, 2), xs)
    >>> h.shape, hs.shape, bool((hs[:, -1] == h).all())
    ((2, 4), (2, 5, 4), True)
    """
    backend = backend or choose(cell, xs, state[0].shape[-1], masked=valid is not None)
    able = _able(cell, xs.dtype, masked=valid is not None)
    if backend not in able:
        what = f"{'padded ' if valid is not None else ''}{xs.dtype} inputs"
        raise ValueError(f"backend={backend!r} does not run {cell} on {what}; choose one of {', '.join(able)}.")
    if valid is not None:
        xs = jnp.where(valid[..., None], xs, 0)  # what lies under padding is not even multiplied by zero
    xs_t, valid_t = jnp.swapaxes(xs, 0, 1), None if valid is None else valid.T
    if reverse:
        xs_t, valid_t = jnp.flip(xs_t, 0), None if valid_t is None else jnp.flip(valid_t, 0)

    run: Run = lambda state, xs, valid: _run(cell, params, state, xs, valid, unroll, backend)  # noqa: E731
    if remat is not None:
        run = _chunked(run, remat, cut=False)
    if truncate is not None:
        run = _chunked(run, truncate, cut=True)
    state, hs = run(state, xs_t, valid_t)
    return state, jnp.swapaxes(jnp.flip(hs, 0) if reverse else hs, 0, 1)


def _able(cell: AbstractCell, dtype: jnp.dtype, *, masked: bool) -> list[Backend]:
    """What gives the plain scan's result, the fastest on its own device first."""
    lstm = isinstance(cell, LSTMCell) and cell == LSTMCell(cell.forget_bias)  # without options
    gated = lstm or cell == GRUCell()
    able: dict[Backend, bool] = {
        "cudnn": lstm and dtype == jnp.float32 and not masked,
        "native": gated and dtype in (jnp.float32, jnp.float64) and why_not() is None,
        "parallel": isinstance(cell, AbstractLinearCell),
        "derivative": gated,
        "plain": True,
    }
    return [backend for backend, yes in able.items() if yes]


def _run(
    cell: AbstractCell, params: Params, state: State, xs: Array, valid: Array | None, unroll: int, backend: Backend
) -> tuple[State, Array]:
    """One stretch of time on a backend; time-major."""
    if backend == "parallel" and isinstance(cell, AbstractLinearCell):
        return parallel_scan(cell, params, state, xs, valid)
    if backend == "derivative":
        sequence = lstm_sequence if isinstance(cell, LSTMCell) else gru_sequence
        return sequence(params, state, xs, valid, unroll)
    if backend == "native":
        return native.sequence(params, state, xs, valid)
    if backend == "cudnn":
        return cudnn.lstm(params, state, xs)

    def step(state: State, inputs: tuple[Array, Array | None]) -> tuple[State, Array]:
        x, keep = inputs
        new = cell.step(params, state, x)
        if keep is not None:
            new = tuple(jnp.where(keep[:, None], a, b) for a, b in zip(new, state, strict=True))
        return new, new[0]

    return lax.scan(step, state, (xs, valid), unroll=unroll)


def _chunked(run: Run, size: int, *, cut: bool) -> Run:
    """The same run in chunks: the state's gradient cut between them, or the steps inside computed again."""
    inner = run if cut else jax.checkpoint(run)

    def whole(state: State, xs: Array, valid: Array | None) -> tuple[State, Array]:
        n = xs.shape[0] // size

        def step(state: State, part: Any) -> tuple[State, Array]:
            first, xs, valid = part
            if cut:
                state = tuple(jnp.where(first, s, lax.stop_gradient(s)) for s in state)
            return inner(state, xs, valid)

        def fold(a: Array) -> Array:
            return a[: n * size].reshape(n, size, *a.shape[1:])

        state, hs = lax.scan(step, state, (jnp.arange(n) == 0, fold(xs), None if valid is None else fold(valid)))
        hs = hs.reshape(n * size, *hs.shape[2:])
        if n * size < xs.shape[0]:
            rest = xs[n * size :], None if valid is None else valid[n * size :]
            state, tail = step(state, (jnp.asarray(n == 0), *rest))
            hs = jnp.concatenate([hs, tail])
        return state, hs

    return whole
