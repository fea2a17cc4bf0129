"""What a column of a strange table holds: its kind, its marks of missing values, and where it behaves oddly."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Field", "Run", "counter_resets", "held_rows", "longest_run", "outstanding"]

_READ_AS_MISSING = frozenset(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"]
    + ["NULL", "NaN", "None", "n/a", "nan", "null"]
)  # by pandas.read_csv, without being told
_MARKS = frozenset(
    ["?", "-", "--", "---", ".", "*", "", "na", "n.a.", "nan", "none", "null", "nil", "missing", "error", "err", "bad"]
    + ["invalid", "no data", "nodata", "undefined", "#value!", "#div/0!", "#ref!", "#num!", "i/o timeout", "bad input"]
)  # in lower case, without blanks around
_ODD_TEXTS = 5  # distinct texts among numbers, at most, that are taken for marks of missing values
_LEVELS = 20  # distinct texts of a category, at most
_CODE = re.compile(r"-?9{3,}(\.9+)?|-99|-32768|32767|65535|-?2147483648|2147483647")
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
        few = odd.sum() <= _ODD_TEXTS and counts[odd].sum() <= 0.5 * counts[~missing].sum()
        numeric = bool(few and (~np.isnan(numbers)).any())
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
        return Field(
            self.name, self.codes, self.texts, np.where(missing, np.nan, self.numbers), missing, self.numeric
        )


def outstanding(field: Field) -> list[str]:
    """Texts of numbers that stand for a missing value: customary codes that lie far outside of the others.

    -9999, 999.9, the ends of integer types and numbers beyond 1e20, if the distance to the others is greater than what
    these span, and infinities. A code shorter than four digits has to stand in three rows at least.
    """
    finite = np.isfinite(field.numbers)
    coded = np.array([_CODE.fullmatch(re.sub(r"\.0*$", "", t.strip().replace(",", "."))) is not None for t in field.texts])
    coded = (finite & coded) | (finite & (np.abs(np.where(finite, field.numbers, 0)) >= _HUGE))
    short = np.array([len(re.sub(r"\.0*$|-", "", text.strip())) < 4 for text in field.texts])
    coded &= ~short | (field.counts >= 3)
    rest = field.numbers[finite & ~coded]
    found = np.isinf(field.numbers)
    if coded.any():
        low, high = (rest.min(), rest.max()) if len(rest) else (0.0, 0.0)
        away = np.maximum(low - field.numbers, field.numbers - high)
        found |= coded & (np.where(finite, away, 0) > max(high - low, 1e-12))
    return [str(text) for text in field.texts[found]]


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

    At least ten rows, and five times as long as the stretch that nine in ten of the other rows are in at most.

    Parameters
    ----------
    values : array of shape (R,)
        NaN where missing.
    breaks : array of bool, shape (R,)
        Rows at which a new series begins.
    """
    rows = np.flatnonzero(~np.isnan(values))
    starts, lengths = _runs(values[rows], np.cumsum(breaks)[rows])
    if len(lengths) < 3:
        return None
    longest = int(lengths.argmax())
    others = np.sort(np.delete(lengths, longest))
    usual = int(others[np.searchsorted(np.cumsum(others), 0.9 * others.sum())])
    n = int(lengths[longest])
    if n < max(10, 5 * usual):
        return None
    first, last = rows[starts[longest]], rows[starts[longest] + n - 1]
    return Run(float(values[first]), int(first), int(last), n, usual)


def held_rows(values: NDArray[np.float64], breaks: NDArray[np.bool_]) -> int:
    """Rows for which a value is held before the next one comes, if that is always the same number; else 1."""
    rows = np.flatnonzero(~np.isnan(values))
    _, lengths = _runs(values[rows], np.cumsum(breaks)[rows])
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

    A counter rises, over twenty values and ten different ones at least; it falls in at most one step of fifty, and
    then back to the lowest tenth of what it has reached.
    """
    rows = np.flatnonzero(np.isfinite(values))
    if len(rows) < 20:
        return None
    read, series = values[rows], np.cumsum(breaks)[rows]
    inside = series[1:] == series[:-1]
    steps = np.diff(read)
    falls = np.flatnonzero(inside & (steps < 0))
    if (inside & (steps > 0)).sum() < 10 or len(falls) > inside.sum() / 50:
        return None
    low, high = read.min(), read.max()
    if (read[falls + 1] > low + 0.1 * (high - low)).any() or (read[falls] < low + 0.2 * (high - low)).any():
        return None
    return rows[falls + 1]
