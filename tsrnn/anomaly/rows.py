"""Sensor frames as rows of numbers, and what was unusual in them, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.anomaly.base import Flag, Rows
from tsrnn.data.calendar import to_times
from tsrnn.data.validation import DataError, check_columns, numbers, parse_times, row

__all__ = ["Columns", "Findings", "choose_sensors", "describe"]

_WORDS = {
    Flag.GAP: "Gaps in time: {n}, the first ends at {first}",
    Flag.DUPLICATE: "Rows with the stamp of the row before, which the model does not read: {n}, the first is {first}",
    Flag.BACKSTEP: "Rows that lie back in time, which the model does not read: {n}, the first is {first}",
    Flag.LEAP: "Rows that leap far ahead in time, which the model does not read: {n}, the first is {first}",
    Flag.STUCK: "Rows in which {name} stands still, masked: {n}, the first is {first}",
    Flag.RANGE: "Values of {name} out of range, masked: {n}, the first in {first}",
    Flag.SENTINEL: "Marks of missing values in {name}, masked: {n}, the first in {first}",
    Flag.RESET: "Resets of the counter {name}, masked: {n}, the first in {first}",
    Flag.UNIT: "Rows in which {name} is in another unit, masked: {n}, the first is {first}",
}
_OF_ROWS = Flag.GAP | Flag.DUPLICATE | Flag.BACKSTEP | Flag.LEAP


@dataclass(frozen=True)
class Columns:
    """Which columns of a frame hold stamps, sensors and inputs.

    Parameters
    ----------
    time_col : str
        Stamps or integers.
    sensors, inputs : tuple of str
        Columns that are judged, and columns that are read only.

    Examples
    --------
    >>> rows, _ = Columns("ds", ("a",)).read(pd.DataFrame({"ds": [3, 4], "a": [0.5, None]}))
    >>> rows.times.tolist(), rows.values[:, 0].tolist()
    ([3, 4], [0.5, nan])
    """

    time_col: str
    sensors: tuple[str, ...]
    inputs: tuple[str, ...] = ()

    def read(self, df: pd.DataFrame) -> "tuple[Rows, pd.Series[Any]]":
        """The rows as they stand in the frame, and their stamps parsed.

        Raises
        ------
        DataError
            If a column is absent or not numeric, or a stamp is missing or unreadable.
        """
        if not all(isinstance(name, str) for name in df.columns):
            df = df.rename(columns=str)
        for role, names in (("time_col", [self.time_col]), ("sensors", self.sensors), ("inputs", self.inputs)):
            if names:
                check_columns(df, names, role)
        if not len(df):
            raise DataError("the table has no rows.")
        stamps = parse_times(df[self.time_col], df, self.time_col)
        times, _ = to_times(stamps)
        if times.dtype.kind == "M":
            times = times.astype("datetime64[ns]")
        return Rows(times.astype(np.int64), _columns(df, self.sensors), _columns(df, self.inputs)), stamps


def choose_sensors(
    df: pd.DataFrame, time_col: str, sensors: Sequence[str] | None, inputs: Sequence[str] = ()
) -> tuple[Columns, list[str]]:
    """The columns, sensors being by default all numeric ones with a value, and a note on columns left out."""
    df = df.rename(columns=str)
    check_columns(df, [time_col], "time_col")
    if sensors is not None:
        return Columns(time_col, (sensors,) if isinstance(sensors, str) else tuple(sensors), tuple(inputs)), []
    numeric = [name for name in df.select_dtypes("number").columns if name not in (time_col, *inputs)]
    empty = [name for name in numeric if df[name].isna().all()]
    names = [name for name in numeric if name not in empty]
    if not names:
        others = ", ".join(map(repr, df.columns.drop(time_col)))
        raise DataError(f"no numeric column to watch besides {time_col!r}; the others are: {others or 'none'}.")
    notes = [f"Left out, because no training row has a value: {', '.join(empty)}."] if empty else []
    return Columns(time_col, tuple(names), tuple(inputs)), notes


class Findings:
    """What the rules of quality found in a table that comes in parts, a sentence each.

    Parameters
    ----------
    columns : Columns
        Of the table.

    Examples
    --------
    >>> findings = Findings(Columns("ds", ("a",)))
    >>> findings.add(pd.DataFrame({"ds": [3, 4], "a": [0.5, None]}), np.array([[0], [Flag.MISSING]], np.uint16))
    >>> findings.sentences()
    ['Empty values: a 1, the first in row 1. They are masked, not filled.']
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._found: dict[tuple[Flag | None, str], list[Any]] = {}

    def add(self, df: pd.DataFrame, flags: NDArray[np.uint16]) -> None:
        """Rows as they stand in a file, and their flags."""
        df = df.rename(columns=str)
        for flag in _WORDS:
            cells: NDArray[np.bool_] = (flags & flag.value) > 0
            if not cells.any():
                continue
            names = ("",) if flag in _OF_ROWS else self.columns.sensors
            for name, rows in zip(names, cells.T, strict=flag not in _OF_ROWS):  # of a row they stand in all cells
                self._count(flag, name, df, rows)
        for name in self.columns.sensors:
            self._count(None, name, df, df[name].isna().to_numpy())

    def sentences(self) -> list[str]:
        """With line numbers of files that were read, else of rows as in ``df.iloc``."""
        said = [
            words.format(n=f"{n:,}", name=name, first=f"{place} with {stamp}") + "."
            for flag, words in _WORDS.items()
            for name in ("", *self.columns.sensors)
            for n, place, stamp in [self._found.get((flag, name), (0, "", ""))]
            if n
        ]
        empty = {name: n_place for (flag, name), n_place in self._found.items() if flag is None}
        if empty:
            counts = ", ".join(f"{name} {empty[name][0]:,}" for name in self.columns.sensors if name in empty)
            first = next(iter(empty.values()))[1]
            said.append(f"Empty values: {counts}, the first in {first}. They are masked, not filled.")
        return said

    def _count(self, flag: Flag | None, name: str, df: pd.DataFrame, rows: NDArray[np.bool_]) -> None:
        if rows.any():
            at = int(rows.argmax())
            first = [0, row(df, at), df[self.columns.time_col].iloc[at]]
            self._found.setdefault((flag, name), first)[0] += int(rows.sum())


def describe(df: pd.DataFrame, flags: NDArray[np.uint16], columns: Columns) -> list[str]:
    """`Findings` of a whole table."""
    findings = Findings(columns)
    findings.add(df, flags)
    return findings.sentences()


def _columns(df: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    return np.stack([numbers(df[name], df) for name in names], axis=1) if names else np.zeros((len(df), 0))
