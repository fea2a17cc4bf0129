"""Embeddings: a learned vector for each category of a categorical input."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

__all__ = ["Categories", "Tables", "embed", "init_tables"]

Tables = dict[str, Float[Array, "rows width"]]
"""A table of vectors for each categorical input, as ``{"past_0": ...}``; row 0 is for what is missing or unseen."""


class Categories(NamedTuple):
    """How many rows the table of each categorical input has, row 0 included.

    Attributes
    ----------
    past, future, static : tuple of int
        In the order of the codes in a `tsrnn.types.Batch`, future ones counted under ``future`` alone.
    """

    past: tuple[int, ...] = ()
    future: tuple[int, ...] = ()
    static: tuple[int, ...] = ()


def width(rows: int) -> int:
    """Numbers per category: half as many as there are categories, within 2 and 50.

    Examples
    --------
    >>> [width(rows) for rows in (2, 7, 1000)]
    [2, 4, 50]
    """
    return min(50, max(2, (rows + 1) // 2))


def init_tables(key: PRNGKeyArray, categories: Categories) -> Tables:
    """Fresh tables: normal, of norm about 1; row 0 is zero, so that what was never seen adds nothing.

    Parameters
    ----------
    key : key
        Source of randomness.
    categories : Categories
        Rows of each table.

    Examples
    --------
    >>> tables = init_tables(jax.random.key(0), Categories(static=(5,)))
    >>> {name: table.shape for name, table in tables.items()}
    {'static_0': (5, 3)}
    """
    tables: Tables = {}
    for kind, sizes in categories._asdict().items():
        for i, rows in enumerate(sizes):
            drawn = jax.random.normal(jax.random.fold_in(key, len(tables)), (rows, width(rows)))
            tables[f"{kind}_{i}"] = (drawn / width(rows) ** 0.5).at[0].set(0)
    return tables


def embed(tables: Tables, kinds: tuple[str, ...], codes: Int[Array, "*axes K"]) -> Float[Array, "*axes E"]:
    """The vectors of all categorical inputs side by side.

    Parameters
    ----------
    tables : dict of arrays
        From `init_tables`.
    kinds : tuple of str
        The kinds of input whose codes these are, in their order, as ``("past", "future")``.
    codes : array of int, shape (..., K)
        A code for each table of these kinds.

    Returns
    -------
    array of shape (..., E)
        E is the sum of the widths.

    Examples
    --------
    >>> tables = init_tables(jax.random.key(0), Categories(past=(5, 3)))
    >>> embed(tables, ("past",), jnp.zeros((2, 7, 2), int)).shape
    (2, 7, 5)
    """
    names = [name for kind in kinds for name in tables if name.startswith(f"{kind}_")]
    found = [tables[name][codes[..., i]] for i, name in enumerate(names)]
    return jnp.concatenate([jnp.zeros((*codes.shape[:-1], 0)), *found], axis=-1)
