"""Sensor files as they are: rows put in time order, one row a stamp for the model, and every oddity said aloud."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.data import Frequency, Panel, Schema
from tsrnn.data.calendar import Times, to_times
from tsrnn.data.validation import DataError, check_columns, numbers, parse_times, row

__all__ = ["Recording", "choose_sensors"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Recording:
    """A sensor frame, read.

    Attributes
    ----------
    panel : Panel
        One series with the sensors as channels, on a regular grid: the first row of every stamp, in time order.
    stamps : Series
        The time column, parsed; rows as in the frame.
    values : array of float64, shape (R, C)
        All rows of the frame in time order (rows of one stamp as they stand in the frame); NaN is missing.
    order : array of int, shape (R,)
        Position in the frame of each of these rows.
    grid : array of int, shape (R,)
        Row of the panel's grid with the same stamp.
    notes : tuple of str
        What is unusual in the frame and how it is handled, a sentence each, with row numbers as in ``df.iloc``.
    """

    panel: Panel
    stamps: "pd.Series[pd.Timestamp]"
    values: NDArray[np.float64]
    order: Rows
    grid: Rows
    notes: tuple[str, ...]

    @classmethod
    def read(
        cls, df: pd.DataFrame, time_col: str, sensors: Sequence[str], freq: "str | int | Frequency | None" = None
    ) -> "Recording":
        """Read a wide frame, a column a sensor; stamps may repeat and run back, and nothing is dropped.

        Raises
        ------
        DataError
            If a column is absent or not numeric, a stamp is missing or unreadable, or stamps keep to no regular step.
        """
        check_columns(df, [time_col], "time_col")
        check_columns(df, sensors, "sensors")
        if not len(df):
            raise DataError("the table has no rows.")
        values = np.stack([numbers(df[name], df) for name in sensors], axis=1)
        column = parse_times(df[time_col], df, time_col)
        stamps, _ = to_times(column)
        order = np.argsort(stamps, kind="stable")
        times = _snapped(stamps[order], freq)
        first = np.append(True, times[1:] != times[:-1])
        feeds = order[first]
        tidy = pd.DataFrame(values[feeds], columns=list(sensors)).assign(**{time_col: times[first]})
        panel = Panel.from_frame(tidy, Schema(time_col=time_col, target_col=tuple(sensors)), freq)
        grid = np.flatnonzero(panel.rows >= 0)[np.cumsum(first) - 1]
        notes = (
            *_order_notes(df, column, stamps, order[~first]),
            *_step_notes(df, column, panel.freq, order[times != stamps[order]]),
            *_gap_notes(panel, df, feeds),
            *_empty_notes(df, sensors, values),
        )
        return cls(panel, column, values[order], order, grid, notes)

    def missing_before(self) -> Rows:
        """Steps of the grid that each sensor had been missing for just before each row, shape (R, C)."""
        seen = ~np.isnan(self.panel.values)
        steps = np.arange(len(seen))[:, None]
        last = np.maximum.accumulate(np.where(seen, steps, -1), axis=0)
        before = np.concatenate([np.full((1, seen.shape[1]), -1), last[:-1]])
        return np.asarray((steps - 1 - before)[self.grid])


def choose_sensors(df: pd.DataFrame, time_col: str, sensors: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Names of the sensors, by default all numeric columns with a value, and a note on columns left out."""
    check_columns(df, [time_col], "time_col")
    if sensors is not None:
        return [sensors] if isinstance(sensors, str) else list(sensors), []
    numeric = [name for name in df.select_dtypes("number").columns if name != time_col]
    empty = [name for name in numeric if df[name].isna().all()]
    names = [name for name in numeric if name not in empty]
    if not names:
        others = ", ".join(map(repr, df.columns.drop(time_col)))
        raise DataError(f"no numeric column to watch besides {time_col!r}; the others are: {others or 'none'}.")
    return names, [f"Left out, because no training row has a value: {', '.join(empty)}."] if empty else []


def _snapped(times: Times, freq: "str | int | Frequency | None") -> Times:
    """Stamps moved to the nearest step of a frequency that is given, or that all but a tenth of them keep to."""
    step = Frequency.infer(times, np.asarray([0, len(times)])) if freq is None else Frequency.parse(freq)
    if step is None or step.kind not in ("integer", "fixed"):
        return times
    steps, on_step = step.count(times[:1], times)
    if freq is None and on_step.mean() < 0.9:
        return times
    low, high = step.shift(times[:1], steps), step.shift(times[:1], steps + 1)
    return np.where(high - times < times - low, high, low)


def _order_notes(df: pd.DataFrame, column: "pd.Series[pd.Timestamp]", stamps: Times, repeated: Rows) -> list[str]:
    notes = []
    back = np.flatnonzero(stamps[1:] < stamps[:-1]) + 1
    if len(back):
        at = back[0]
        notes.append(
            f"The stamps run back in time {_times(len(back))}, first at {row(df, at)}: from {column.iloc[at - 1]} to "
            f"{column.iloc[at]}. The model reads the rows in time order; the scores keep the order of the file."
        )
    if len(repeated):
        at = repeated.min()
        notes.append(
            f"{_rows(len(repeated))} the time step of another row, the first is {row(df, at)} with "
            f"{column.iloc[at]}. The model reads the first row of each step; the others are scored against the same "
            "expected value."
        )
    return notes


def _step_notes(df: pd.DataFrame, column: "pd.Series[pd.Timestamp]", freq: Frequency, moved: Rows) -> list[str]:
    if not len(moved):
        return []
    at = moved.min()
    found = f"Stamps beside the steps of {freq!s}: {len(moved):,}, the first is {column.iloc[at]} in {row(df, at)}"
    return [f"{found}. The model reads them at the nearest step."]


def _gap_notes(panel: Panel, df: pd.DataFrame, feeds: Rows) -> list[str]:
    if not panel.n_gap_rows:
        return []
    kept = np.flatnonzero(panel.rows >= 0)
    gaps = np.diff(kept) - 1
    widest = int(gaps.argmax())
    place = row(df, feeds[widest + 1])
    found = f"{panel.n_gap_rows:,} stamps are missing (one step is {panel.freq!s})"
    return [f"{found}, {gaps[widest]:,} of them before {place}, the widest gap. They are masked, not filled."]


def _empty_notes(df: pd.DataFrame, sensors: Sequence[str], values: NDArray[np.float64]) -> list[str]:
    empty = np.isnan(values)
    if not empty.any():
        return []
    counts = ", ".join(f"{name} {n:,}" for name, n in zip(sensors, empty.sum(axis=0), strict=True) if n)
    place = row(df, int(empty.any(axis=1).argmax()))
    return [f"Empty values: {counts}, the first in {place}. They are masked, not filled."]


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n:,} times"


def _rows(n: int) -> str:
    return "1 row has" if n == 1 else f"{n:,} rows have"
