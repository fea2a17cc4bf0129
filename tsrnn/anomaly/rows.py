"""Sensor frames as rows of numbers, and what was unusual in them, in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.anomaly.base import Flag, Rows
from tsrnn.data.calendar import to_times
from tsrnn.data.validation import DataError, check_columns, numbers, parse_times, row

__all__ = ["Columns", "choose_sensors", "describe"]

_WORDS = {
    Flag.GAP: "Gaps in time: {n}, the first ends at {first}",
    Flag.DUPLICATE: "Rows with the stamp of the row before, which the model does not read: {n}, the first is {first}",
    Flag.BACKSTEP: "Rows that lie back in time, which the model does not read: {n}, the first is {first}",
    Flag.STUCK: "Rows in which {name} stands still, masked: {n}, the first is {first}",
    Flag.RANGE: "Values of {name} out of range, masked: {n}, the first in {first}",
    Flag.SENTINEL: "Marks of missing values in {name}, masked: {n}, the first in {first}",
    Flag.RESET: "Resets of the counter {name}, masked: {n}, the first in {first}",
    Flag.UNIT: "Rows in which {name} is in another unit, masked: {n}, the first is {first}",
}
_OF_ROWS = Flag.GAP | Flag.DUPLICATE | Flag.BACKSTEP


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
        df = df.rename(columns=str)
        check_columns(df, [self.time_col], "time_col")
        check_columns(df, self.sensors, "sensors")
        check_columns(df, self.inputs, "inputs")
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


def describe(df: pd.DataFrame, flags: NDArray[np.uint16], columns: Columns) -> Iterator[str]:
    """What the rules of quality found, a sentence each, with row numbers as in ``df.iloc`` or lines of the file."""
    stamps = df.rename(columns=str)[columns.time_col]
    for flag, words in _WORDS.items():
        found = (flags & flag.value) > 0
        of = [("", found.any(axis=1))] if flag in _OF_ROWS else list(zip(columns.sensors, found.T, strict=True))
        for name, rows in of:
            if rows.any():
                at = int(rows.argmax())
                yield words.format(n=f"{rows.sum():,}", name=name, first=f"{row(df, at)} with {stamps.iloc[at]}") + "."
    empty = np.isnan(columns.read(df)[0].values)
    if empty.any():
        counts = ", ".join(f"{name} {n:,}" for name, n in zip(columns.sensors, empty.sum(axis=0), strict=True) if n)
        first = row(df, int(empty.any(axis=1).argmax()))
        yield f"Empty values: {counts}, the first in {first}. They are masked, not filled."


def _columns(df: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    return np.stack([numbers(df[name], df) for name in names], axis=1) if names else np.zeros((len(df), 0))
