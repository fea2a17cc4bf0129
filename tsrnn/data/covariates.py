"""Columns of covariates as numbers: categories become codes, everything else is read as a number."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.data import validation

__all__ = ["Levels", "decode", "encode"]

Levels = Mapping[str, tuple[Any, ...]]
"""The categories of each categorical column; the code of a category is its place."""


def is_categorical(column: "pd.Series[Any]") -> bool:
    """Whether a column holds categories by itself: dtype ``category``, or text of which nothing reads as a number."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return True
    if column.dtype.kind in "mMbiuf" or not pd.api.types.is_string_dtype(column.dropna()):
        return False
    text = column.dropna().astype(str).str.replace(",", ".")
    return bool(len(text)) and bool(pd.to_numeric(text, errors="coerce").isna().all())


def encode(
    frame: pd.DataFrame,
    names: Sequence[str],
    ids: "pd.Series[Any] | None" = None,
    *,
    categorical: Sequence[str] = (),
    levels: Levels | None = None,
) -> tuple[NDArray[np.float64], dict[str, tuple[Any, ...]]]:
    """Columns as float64, NaN where missing, and the categories of those that have some.

    Parameters
    ----------
    frame : DataFrame
        The frame.
    names : sequence of str
        The columns to read.
    ids : Series, optional
        Names of the series, for messages.
    categorical : sequence of str
        Columns that hold categories whatever their type.
    levels : mapping, optional
        Categories known before: they keep their codes, and which columns are categorical is decided already. New
        categories come after them.

    Returns
    -------
    values : array of shape (rows of the frame, len(names))
    levels : dict of str to tuple
        Categories of the categorical columns among ``names``, in order of their codes.
    """
    out = np.empty((len(frame), len(names)))
    found: dict[str, tuple[Any, ...]] = {}
    for i, name in enumerate(names):
        column = frame[name]
        if name in (levels or ()) or (levels is None and (name in categorical or is_categorical(column))):
            known = (levels or {}).get(name, ())
            given = [value.item() if isinstance(value, np.generic) else value for value in column.dropna().unique()]
            new = [value for value in given if value not in set(known)]
            found[name] = (*known, *sorted(new, key=lambda value: (str(type(value)), value)))
            codes = pd.Index(found[name], dtype=object).get_indexer(pd.Index(column, dtype=object))
            out[:, i] = np.where(codes < 0, np.nan, codes)
        else:
            out[:, i] = validation.numbers(column, frame, ids)
    return out, found


def decode(values: NDArray[np.float64], names: Sequence[str], levels: Levels) -> dict[str, Any]:
    """The inverse of `encode`: a column a name."""
    columns: dict[str, Any] = {}
    for name, column in zip(names, values.T, strict=True):
        if name in levels:
            labels = np.asarray([*levels[name], None], dtype=object)
            columns[name] = labels[np.where(np.isnan(column), -1, column).astype(np.int64)]
        else:
            columns[name] = column
    return columns
