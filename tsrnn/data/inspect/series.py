"""Which column of a strange table says the series that a row belongs to."""

import re
from collections.abc import Collection, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tsrnn.data.calendar import Times
from tsrnn.data.inspect.profile import Field

__all__ = ["find_series"]

_NAMED = re.compile(
    r"(.*[^a-z])?(id|ids|uid|uuid|key|series|name|names|sensor|station|store|shop|item|sku|product|unit|device|machine|"
    r"meter|site|location|city|region|country|state|tag|channel|symbol|ticker|code|category|customer|group)",
    re.IGNORECASE,
)


def find_series(times: Times, fields: Sequence[Field], but: Collection[int]) -> tuple[int, ...]:
    """Positions of the column, or the two, by which each series has every stamp once; empty if rows need none.

    Columns of text, and whole numbers with a telling name, are tried where stamps repeat or run back.

    Parameters
    ----------
    times : array of shape (R,)
        The stamps.
    fields : sequence of Field
        The columns.
    but : collection of int
        Columns that are not tried.
    """
    nothing = np.zeros(len(times), np.int64)
    found = _conflicts(times, nothing)
    if not found:
        return ()
    repeat = len(times) - len(np.unique(times)) > 0.2 * len(times)
    tried = [
        i
        for i, field in enumerate(fields)
        if i not in but and 1 < len(field.texts) <= len(times) / 2 and _may_name(field, repeat)
    ]
    tried.sort(key=lambda i: (not _is_named(fields[i]), i))
    for group in [*((i,) for i in tried), *combinations(tried[:6], 2)]:
        codes = nothing
        for i in group:
            codes = codes * len(fields[i].texts) + fields[i].codes
        levels = len(np.unique(codes))
        if _conflicts(times, codes) <= 0.05 * found and found >= levels - 1 and levels <= len(times) / 2:
            return group
    return ()


def _may_name(field: Field, repeat: bool) -> bool:
    if field.kind in ("text", "category"):
        return repeat or _is_named(field)
    return field.kind == "whole" and _is_named(field)


def _is_named(field: Field) -> bool:
    return _NAMED.fullmatch(field.name.strip()) is not None


def _conflicts(times: Times, codes: NDArray[np.int64]) -> int:
    """Rows that repeat a stamp of their series or run back in it."""
    order = np.argsort(codes, kind="stable")
    same = codes[order][1:] == codes[order][:-1]
    steps = np.diff(times[order]).astype(np.int64)
    sort = np.lexsort((times, codes))
    twice = (codes[sort][1:] == codes[sort][:-1]) & (times[sort][1:] == times[sort][:-1])
    return int((same & (steps < 0)).sum() + twice.sum())
