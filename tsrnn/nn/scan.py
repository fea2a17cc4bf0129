"""One recurrence over time. Batch-major outside; time-major exists only in this file."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from tsrnn.nn.cells import Cell, CellParams, State

__all__ = ["scan"]


def scan(
    cell: Cell, params: CellParams, state: State, xs: Float[Array, "B T I"], valid: Bool[Array, "B T"] | None = None
) -> tuple[State, Float[Array, "B T D"]]:
    """Run a cell over a sequence.

    Parameters
    ----------
    cell, params
        The cell and its weights.
    state : tuple of arrays, shape (B, D)
        State before the first step.
    xs : array of shape (B, T, I)
        Inputs.
    valid : array of bool, shape (B, T), optional
        False where a step is padding: the state passes through unchanged, forward and backward.

    Returns
    -------
    state : tuple of arrays, shape (B, D)
        State after the last step.
    hs : array of shape (B, T, D)
        ``h`` after every step.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from tsrnn.nn.cells import CELLS
    >>> lstm, xs = CELLS["lstm"], jnp.ones((2, 5, 3))
    >>> params = lstm.init(jax.random.key(0), 3, 4)
    >>> (h, c), hs = scan(lstm, params, lstm.zeros(xs, 4), xs)
    >>> h.shape, hs.shape, bool((hs[:, -1] == h).all())
    ((2, 4), (2, 5, 4), True)
    """

    def step(state: State, inputs: tuple[Array, Array | None]) -> tuple[State, Array]:
        x, keep = inputs
        new = cell.step(params, state, x)
        if keep is not None:
            new = tuple(jnp.where(keep[:, None], a, b) for a, b in zip(new, state, strict=True))
        return new, new[0]

    state, hs = lax.scan(step, state, (jnp.swapaxes(xs, 0, 1), None if valid is None else valid.T))
    return state, jnp.swapaxes(hs, 0, 1)
