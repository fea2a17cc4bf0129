"""Time axes: what one step is, how to count steps between stamps, and what the calendar says about a stamp."""

import difflib
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Frequency", "Times", "calendar_features", "holiday_feature"]

Times = NDArray[Any]
"""A 1-D array of datetime64 (any unit, no time zone) or of int64."""

_DAY = 86_400 * 10**9
# Both spellings of pandas' aliases, before and after its 2.2 renaming.
_FIXED_UNITS = {
    "ns": 1, "N": 1, "us": 10**3, "U": 10**3, "ms": 10**6, "L": 10**6, "s": 10**9, "S": 10**9,
    "min": 60 * 10**9, "T": 60 * 10**9,
    "h": 3600 * 10**9, "H": 3600 * 10**9, "D": _DAY, "d": _DAY, "W": 7 * _DAY,
}  # fmt: skip
_MONTH_UNITS: dict[str, tuple[int, Literal["start", "end"]]] = {
    "MS": (1, "start"), "ME": (1, "end"), "M": (1, "end"),
    "QS": (3, "start"), "QE": (3, "end"), "Q": (3, "end"),
    "YS": (12, "start"), "AS": (12, "start"), "YE": (12, "end"), "Y": (12, "end"), "A": (12, "end"),
}  # fmt: skip

_WORDS = {
    "minutely": "min", "hourly": "h", "daily": "D", "weekly": "W", "monthly": "MS", "quarterly": "QS", "yearly": "YS",
}  # fmt: skip


@dataclass(frozen=True)
class Frequency:
    """One step of a time axis.

    Parameters
    ----------
    kind : {"integer", "fixed", "month", "business", "irregular"}
        Integer time, a fixed duration, whole calendar months, Monday to Friday, or no grid at all: one row is one step,
        however far from the next.
    step : int
        Units per step: integers, nanoseconds, months, or 1 for business days. Of irregular rows the typical distance,
        in nanoseconds or integers, by which the future is stamped; 0 until it is read from data.
    anchor : {"start", "end"}, default "start"
        For months: whether stamps stand on the first or the last day.

    Examples
    --------
    >>> Frequency.parse("W").season_length
    52
    >>> Frequency.parse("ME") == Frequency.parse("M")
    True
    """

    kind: Literal["integer", "fixed", "month", "business", "irregular"]
    step: int = 1
    anchor: Literal["start", "end"] = "start"

    @classmethod
    def parse(cls, alias: "str | int | Frequency") -> "Frequency":
        """Read a pandas alias in its old or new spelling (``"M"``/``"ME"``), an integer step, or ``"irregular"``.

        Raises
        ------
        ValueError
            If the alias is unknown or the step not positive; the nearest known alias is named.
        """
        if isinstance(alias, Frequency):
            return alias
        if alias == "irregular":
            return cls("irregular", 0)
        match = re.fullmatch(r"(\d*)([A-Za-z]*)(-[A-Z]{3})?", str(alias))
        digits, unit = match.group(1, 2) if match else ("0", "")
        count = int(digits or 1)
        if digits and not unit and count > 0:
            return cls("integer", count)
        if unit in _FIXED_UNITS and count > 0:
            return cls("fixed", count * _FIXED_UNITS[unit])
        if unit in _MONTH_UNITS and count > 0:
            months, anchor = _MONTH_UNITS[unit]
            return cls("month", count * months, anchor)
        if unit == "B" and count == 1:
            return cls("business")
        known = [*_FIXED_UNITS, *_MONTH_UNITS, "B", "irregular"]
        near = difflib.get_close_matches(unit, [*_WORDS, *known], n=1, cutoff=0.3) or ["D"]
        raise ValueError(
            f"freq={alias!r} is not a known frequency; did you mean {_WORDS.get(near[0], near[0])!r}? "
            f"Known: {', '.join(known)}."
        )

    @classmethod
    def infer(cls, times: Times, indptr: NDArray[np.int64]) -> "Frequency | None":
        """The most common step between neighbouring stamps of a series; None if no series has two stamps."""
        steps = np.diff(times)
        steps = np.delete(steps, indptr[1:-1] - 1) if len(times) else steps
        if not len(steps):
            return None
        if times.dtype.kind == "i":
            return cls("integer", _mode(steps.astype(np.int64)))
        step = _mode(steps.astype("timedelta64[ns]").astype(np.int64))
        if step >= 28 * _DAY:
            days = times.astype("datetime64[D]")
            months = days.astype("datetime64[M]")
            gaps = np.delete(np.diff(_months(days)), indptr[1:-1] - 1)
            if (days == months.astype("datetime64[D]")).all():
                return cls("month", _mode(gaps))
            if (days + 1 == (months + 1).astype("datetime64[D]")).all():
                return cls("month", _mode(gaps), "end")
        if step == _DAY:
            days = times.astype("datetime64[D]")
            if np.ptp(days.astype(np.int64)) >= 14 and np.is_busday(days).all():
                return cls("business")
        return cls("fixed", step)

    @classmethod
    def typical(cls, times: Times, indptr: NDArray[np.int64]) -> "Frequency":
        """Irregular rows, with the median distance between neighbours of a series as the step."""
        steps = np.delete(np.diff(times), indptr[1:-1] - 1)
        if times.dtype.kind == "M":
            steps = steps.astype("timedelta64[ns]")
        return cls("irregular", max(1, int(np.median(steps.astype(np.int64)))) if len(steps) else 1)

    def count(self, start: Times, times: Times) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Steps from ``start`` to ``times`` (broadcast) and whether each stamp stands exactly on a step."""
        if start.dtype.kind == "i":
            steps, rest = np.divmod(times - start, self.step)
            return steps, rest == 0
        if self.kind in ("fixed", "irregular"):
            steps, rest = np.divmod(times - start, self._duration(start.dtype))
            return steps, rest.astype(np.int64) == 0
        first, days = start.astype("datetime64[D]"), times.astype("datetime64[D]")
        if self.kind == "business":
            return np.busday_count(first, days).astype(np.int64), (
                self._clock(times) == self._clock(start)
            ) & np.is_busday(days)
        steps, rest = np.divmod((_months(days) - _months(first)), self.step)
        return steps, (rest == 0) & (self.shift(start, steps) == times)

    def shift(self, start: Times, steps: NDArray[np.int64]) -> Times:
        """The stamps ``steps`` after ``start`` (broadcast), in the unit of ``start``."""
        if start.dtype.kind == "i":
            return np.asarray(start + steps * self.step)
        if self.kind in ("fixed", "irregular"):
            return np.asarray(start + steps * self._duration(start.dtype)).astype(start.dtype)
        days = start.astype("datetime64[D]")
        if self.kind == "business":
            moved = np.busday_offset(days, steps, roll="forward")
        else:
            month = days.astype("datetime64[M]") + steps * self.step
            moved = month.astype("datetime64[D]")
            if self.anchor == "end":
                moved = (month + 1).astype("datetime64[D]") - 1
        return np.asarray(moved.astype(start.dtype) + self._clock(start))

    def floor(self, times: Times, offset: int = 0) -> Times:
        """The beginning of the step that each stamp lies in.

        Parameters
        ----------
        times : array of datetime64 or int64, shape (R,)
            Stamps.
        offset : int, default 0
            Of a zone from UTC, in nanoseconds: days then begin at its midnight.

        Examples
        --------
        >>> Frequency.parse("W").floor(np.array(["2024-01-03T09:00"], "datetime64[s]"))
        array(['2024-01-01T00:00:00'], dtype='datetime64[s]')
        """
        if self.kind == "integer":
            return np.asarray(times - times % self.step)
        if self.kind == "fixed":
            monday = _DAY * 4 if self.step % (7 * _DAY) == 0 else 0  # 1970-01-01 was a Thursday
            step, start = self._duration(times.dtype), np.datetime64(monday - offset, "ns").astype(times.dtype)
            return np.asarray(times - (times - start) % step).astype(times.dtype)
        days = times.astype("datetime64[D]")
        if self.kind == "business":
            return np.asarray(np.busday_offset(days, 0, roll="backward").astype(times.dtype))
        month = days.astype("datetime64[M]")
        month = month - month.astype(np.int64) % self.step
        if self.anchor == "start":
            return np.asarray(month.astype(times.dtype))
        return np.asarray(((month + self.step).astype("datetime64[D]") - 1).astype(times.dtype))

    def _duration(self, dtype: "np.dtype[Any]") -> np.timedelta64:
        """A fixed step in the unit of the stamps, which reaches further than nanoseconds, unless the step is finer."""
        step = np.timedelta64(self.step, "ns")
        coarse = step.astype(f"timedelta64[{np.datetime_data(dtype)[0]}]")
        return coarse if coarse == step else step

    @staticmethod
    def _clock(times: Times) -> Times:
        return np.asarray(times - times.astype("datetime64[D]"))

    @property
    def by_days(self) -> bool:
        """Whether a step is whole days, which keep the time of day when the clocks are changed."""
        return self.kind in ("month", "business") or (self.kind == "fixed" and self.step % _DAY == 0)

    @property
    def season_length(self) -> int:
        """Steps in the season that people expect: a day below a day, a week of days, a year above; else 1."""
        if self.kind == "business":
            return 5
        if self.kind == "month":
            return max(1, 12 // self.step)
        if self.kind == "fixed":
            if self.step < _DAY and _DAY % self.step == 0:
                return _DAY // self.step
            return {_DAY: 7, 7 * _DAY: 52}.get(self.step, 1)
        return 1

    def __str__(self) -> str:
        if self.kind == "integer":
            return str(self.step)
        if self.kind == "irregular":
            return "irregular"
        if self.kind == "business":
            return "B"
        if self.kind == "month":
            months, name = next(unit for unit in ((12, "Y"), (3, "Q"), (1, "M")) if self.step % unit[0] == 0)
            count = self.step // months
            return f"{count if count > 1 else ''}{name}{'S' if self.anchor == 'start' else 'E'}"
        for unit in ("W", "D", "h", "min", "s", "ms", "us"):
            if self.step % _FIXED_UNITS[unit] == 0:
                count = self.step // _FIXED_UNITS[unit]
                return f"{count if count > 1 else ''}{unit}"
        return f"{self.step}ns"


def calendar_features(times: Times, freq: Frequency) -> NDArray[np.float32]:
    """Where each stamp stands in the cycles that matter at this frequency, as sines and cosines.

    Parameters
    ----------
    times : array of shape (R,)
        Stamps, datetime64 or integer.
    freq : Frequency
        Time of day and day of week below a day and for irregular rows; day of week and day of year for days; day of
        year for weeks; month of year for months; nothing for years and integer time.

    Returns
    -------
    array of float32, shape (R, F)
        In [-1, 1]; two harmonics a cycle.
    """
    phases = []
    if times.dtype.kind == "M" and not (freq.kind == "month" and freq.step % 12 == 0):
        days = times.astype("datetime64[D]")
        years = days.astype("datetime64[Y]")
        of_year = (days - years.astype("datetime64[D]")).astype(np.float64) / 365.25
        of_week = ((days.astype(np.int64) + 3) % 7) / 7
        if freq.kind == "month":
            phases = [(_months(days) % 12) / 12]
        elif freq.by_days:
            phases = [of_year] if freq.step >= 7 * _DAY else [of_week, of_year]
        else:
            of_day = (times - days).astype("timedelta64[ns]").astype(np.float64) / _DAY
            phases = [of_day, of_week + of_day / 7]
    columns = [f(2 * np.pi * k * phase) for phase in phases for k in (1, 2) for f in (np.sin, np.cos)]
    return np.stack(columns, axis=-1).astype(np.float32) if columns else np.zeros((len(times), 0), np.float32)


def holiday_feature(times: Times, place: str) -> NDArray[np.float32]:
    """Whether each stamp lies on a public holiday, shape (R, 1).

    Parameters
    ----------
    times : array of datetime64, shape (R,)
        Stamps as on the wall clock.
    place : str
        A country, as ``"DE"``, or a part of one, as ``"AU-VIC"``.

    Raises
    ------
    ImportError
        Without the ``holidays`` library.
    ValueError
        If the library does not know the place.

    Examples
    --------
    >>> holiday_feature(np.array(["2024-12-25", "2024-12-27"], "datetime64[us]"), "DE").ravel().tolist()
    [1.0, 0.0]
    """
    try:
        import holidays
    except ImportError:
        raise ImportError("holidays=... needs the library of that name: pip install 'tsrnn[holidays]'.") from None
    country, _, part = place.partition("-")
    days = times.astype("datetime64[D]")
    years = np.unique(days.astype("datetime64[Y]").astype(np.int64) + 1970)
    try:
        found = holidays.country_holidays(country, subdiv=part or None, years=years.tolist())
    except NotImplementedError:
        raise ValueError(
            f"holidays={place!r} is no place that the library of that name knows; give a country, as 'DE', or a part "
            "of one, as 'DE-BY'."
        ) from None
    return np.isin(days, np.asarray(list(found), "datetime64[D]")).astype(np.float32)[:, None]


def _months(days: Times) -> NDArray[np.int64]:
    return days.astype("datetime64[M]").astype(np.int64)


def _mode(values: NDArray[np.int64]) -> int:
    """The most common positive value, the smaller one of equals."""
    found, counts = np.unique(values[values > 0], return_counts=True)
    return int(found[counts.argmax()]) if len(found) else 1


def to_times(values: "pd.Series[Any] | pd.Index[Any]", *, wall: bool = False) -> tuple[Times, str | None]:
    """A pandas time column as a NumPy array, and its time zone: stamps then stand in UTC, or as on the wall clock."""
    zone = getattr(values.dtype, "tz", None)
    if zone is not None:
        index = pd.DatetimeIndex(values)
        values = index.tz_localize(None) if wall else index.tz_convert(None)
    array = values.to_numpy()
    return (array.astype(np.int64) if array.dtype.kind in "iu" else array), (None if zone is None else str(zone))


def standard_offset(values: "pd.Series[Any]") -> int:
    """Offset of a column's time zone from UTC, in nanoseconds, as in winter; 0 without a zone."""
    zone = getattr(values.dtype, "tz", None)
    if zone is None or not len(values):
        return 0
    first = values.iloc[0]
    return int(pd.Timedelta(first.utcoffset() - (first.dst() or pd.Timedelta(0))).value)
