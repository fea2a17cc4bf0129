"""What a column of a strange table holds: its kind, its marks of missing values, and where it behaves oddly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["CODES", "Field", "Run", "counter_resets", "held_rows", "longest_run", "outstanding"]

_READ_AS_MISSING = frozenset(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
     "NULL", "NaN", "None", "n/a", "nan", "null"]
)  # by pandas.read_csv, without being told  # fmt: skip
_MARKS = frozenset(
    ["?", "-", "--", "---", ".", "*", "", "na", "n.a.", "nan", "none", "null", "nil", "missing", "error", "err", "bad",
     "invalid", "no data", "nodata", "undefined", "#value!", "#div/0!", "#ref!", "#num!", "i/o timeout", "bad input"]
)  # in lower case, without blanks around  # fmt: skip
_ODD_TEXTS = 5  # distinct texts among numbers, at most, that are taken for marks of missing values
_MANY = 20  # different numbers, at least, among which a text is odd and a long stretch of one of them too
_LEVELS = 20  # distinct texts of a category, at most
CODES = np.array(
    [*(sign * (10.0**k - 1) for k in range(3, 10) for sign in (-1, 1)), -99, -99.9, -99.99, -999.9, 999.9, -999.99,
     999.99, -9999.9, 9999.9, -9999.99, 9999.99, -32768, 32767, 65535, -(2**31), 2**31 - 1, 2**32 - 1]
)  # what loggers write for a missing value  # fmt: skip
_HUGE = 1e20


@dataclass(frozen=True)
class Field:
    """A column's texts, understood.

    Attributes
    ----------
    name : str
        As in the header.
    codes : array of int, shape (R,)
        Position of each row's text among ``texts``.
    texts : array of str, shape (L,)
        The distinct texts, in the order in which they appear.
    numbers : array of float64, shape (L,)
        These as numbers; NaN where missing or no number.
    missing : array of bool, shape (L,)
        Which of them mean that nothing was measured.
    numeric : bool
        Whether the column holds numbers.
    """

    name: str
    codes: NDArray[np.int64]
    texts: NDArray[Any]
    numbers: NDArray[np.float64]
    missing: NDArray[np.bool_]
    numeric: bool

    @classmethod
    def read(cls, name: str, codes: NDArray[np.int64], texts: NDArray[Any], decimal: str) -> "Field":
        """Tell numbers from texts, and marks of missing values from both."""
        counts = np.bincount(codes, minlength=len(texts))
        stripped = [text.strip() for text in texts]
        missing = np.array([text in _READ_AS_MISSING or text.lower() in _MARKS for text in stripped], bool)
        written = pd.Series([text.replace(decimal, ".") for text in stripped], dtype=object)
        comma = decimal == "," and written.str.count(r"\.") > 1
        numbers = pd.to_numeric(written.mask(missing | comma), errors="coerce").to_numpy(np.float64)
        odd = np.isnan(numbers) & ~missing
        n_numbers = int((~np.isnan(numbers)).sum())
        few = odd.sum() <= _ODD_TEXTS and counts[odd].sum() <= 0.5 * counts[~missing].sum() and n_numbers >= _MANY
        numeric = n_numbers > 0 and (few or not odd.any())
        if numeric:
            missing = missing | odd
        else:
            numbers = np.full(len(texts), np.nan)
        return cls(name, codes, texts, numbers, missing, numeric)

    @property
    def values(self) -> NDArray[np.float64]:
        """The numbers of all rows, shape (R,)."""
        return self.numbers[self.codes]

    @property
    def absent(self) -> NDArray[np.bool_]:
        """Which rows have no value, shape (R,)."""
        return self.missing[self.codes]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows with each of the texts, shape (L,)."""
        return np.bincount(self.codes, minlength=len(self.texts))

    @property
    def kind(self) -> str:
        """In a word."""
        present = self.texts[~self.missing]
        if not len(present):
            return "empty"
        if not self.numeric:
            if {text.strip().lower() for text in present} <= {"true", "false"}:
                return "boolean"
            repeats = len(self.codes) > 2 * len(present)
            return "category" if len(present) <= _LEVELS and repeats else "text"
        numbers = self.numbers[~self.missing]
        if set(numbers) <= {0.0, 1.0}:
            return "0/1" if len(set(numbers)) > 1 else "whole"
        finite = numbers[np.isfinite(numbers)]
        return "whole" if len(finite) and (finite == np.trunc(finite)).all() else "number"

    def marks(self) -> dict[str, int]:
        """Texts that stand for a missing value, and the rows of each; the empty text is not among them."""
        return {
            str(text): int(n) for text, n, no in zip(self.texts, self.counts, self.missing, strict=True) if no and text
        }

    def untold(self) -> list[str]:
        """Those of the marks that `pandas.read_csv` has to be told of."""
        return [text for text in self.marks() if text not in _READ_AS_MISSING]

    def without(self, numbers: list[str]) -> "Field":
        """The same with some of its texts read as missing."""
        missing = self.missing | np.isin(self.texts, numbers)
        return Field(self.name, self.codes, self.texts, np.where(missing, np.nan, self.numbers), missing, self.numeric)


def outstanding(fields: Sequence[Field]) -> list[list[str]]:
    """For each column, texts of numbers that stand for a missing value: they lie far outside of the others.

    Customary codes (-9999, 999.9, the ends of integer types, whatever is beyond 1e20) further off than the others span,
    and other extremes that repeat and are ten times as far off; what is a code in one column is customary in all.
    Infinities too.
    """
    codes = CODES
    for field in fields:
        codes = np.append(codes, _far_repeated(field))
    return [[str(text) for text in field.texts[_is_code(field, codes)]] for field in fields]


def _far_repeated(field: Field) -> list[float]:
    """The smallest and the greatest number, if it stands in many rows and very far from the others."""
    distinct, at = np.unique(field.numbers[np.isfinite(field.numbers)], return_inverse=True)
    counts = np.bincount(at, weights=field.counts[np.isfinite(field.numbers)], minlength=len(distinct))
    found = []
    if len(distinct) > _MANY:
        for end, rest in ((0, distinct[1:]), (-1, distinct[:-1])):
            rest = rest[~np.isin(rest, CODES)]
            away = np.abs(rest - distinct[end]).min()
            if counts[end] >= 10 and away > 10 * np.ptp(rest):
                found.append(float(distinct[end]))
    return found


def _is_code(field: Field, codes: NDArray[np.float64]) -> NDArray[np.bool_]:
    finite = np.isfinite(field.numbers)
    numbers = np.where(finite, field.numbers, 0.0)
    coded = finite & (np.isin(numbers, codes) | (np.abs(numbers) >= _HUGE))
    coded &= (np.abs(numbers) >= 1000) | (field.counts >= 3)
    found = np.isinf(field.numbers)
    if coded.any():
        rest = field.numbers[finite & ~coded]
        low, high = (rest.min(), rest.max()) if len(rest) else (0.0, 0.0)
        found |= coded & (np.maximum(low - numbers, numbers - high) > max(high - low, 1e-12))
    return np.asarray(found)


@dataclass(frozen=True)
class Run:
    """A stretch of rows with one value.

    Attributes
    ----------
    value : float
        The value.
    first, last : int
        Its first and last row, positions in what was searched.
    rows : int
        How many.
    usual : int
        Length of the stretch that nine in ten of the other rows are in at most.
    """

    value: float
    first: int
    last: int
    rows: int
    usual: int


def longest_run(values: NDArray[np.float64], breaks: NDArray[np.bool_]) -> Run | None:
    """The longest stretch of one value if the column usually changes much sooner; rows without value are passed over.

    At least twenty rows, and ten times as long as the stretch that nine in ten of the other rows are in at most; in a
    column of more than twenty different values.

    Parameters
    ----------
    values : array of shape (R,)
        NaN where missing.
    breaks : array of bool, shape (R,)
        Rows at which a new series begins.
    """
    rows = np.flatnonzero(~np.isnan(values))
    starts, lengths = _runs(values[rows], breaks.cumsum(dtype=np.int64)[rows])
    if len(np.unique(values[rows])) <= _MANY:
        return None
    longest = int(lengths.argmax())
    others = np.sort(np.delete(lengths, longest))
    usual = int(others[np.searchsorted(np.cumsum(others), 0.9 * others.sum())])
    n = int(lengths[longest])
    if n < max(20, 10 * usual):
        return None
    first, last = rows[starts[longest]], rows[starts[longest] + n - 1]
    return Run(float(values[first]), int(first), int(last), n, usual)


def held_rows(values: NDArray[np.float64], breaks: NDArray[np.bool_]) -> int:
    """Rows for which a value is held before the next one comes, if that is always the same number; else 1."""
    rows = np.flatnonzero(~np.isnan(values))
    _, lengths = _runs(values[rows], breaks.cumsum(dtype=np.int64)[rows])
    inner = lengths[1:-1]
    if len(inner) < 10:
        return 1
    found, counts = np.unique(inner, return_counts=True)
    every = int(found[counts.argmax()])
    return every if (inner % every == 0).mean() >= 0.95 and counts.max() >= 0.5 * len(inner) else 1


def _runs(values: NDArray[np.float64], series: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    new = np.flatnonzero((values[1:] != values[:-1]) | (series[1:] != series[:-1])) + 1
    starts = np.concatenate([[0], new])
    return starts, np.diff(np.append(starts, len(values)))


def counter_resets(values: NDArray[np.float64], breaks: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Rows at which a counter falls back; None if the column does not only rise in between.

    A counter has sixty different values at least, more than the hours, days or weeks of a calendar; it falls in at
    most one step of fifty, and then back to the lowest tenth of what it has reached.
    """
    rows = np.flatnonzero(np.isfinite(values))
    if len(np.unique(values[rows])) < 60:
        return None
    read, series = values[rows], np.cumsum(breaks)[rows]
    inside = series[1:] == series[:-1]
    steps = np.diff(read)
    falls = np.flatnonzero(inside & (steps < 0))
    if len(falls) > inside.sum() / 50:
        return None
    low, high = read.min(), read.max()
    if (read[falls + 1] > low + 0.1 * (high - low)).any() or (read[falls] < low + 0.2 * (high - low)).any():
        return None
    return rows[falls + 1]
