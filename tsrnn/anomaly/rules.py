"""Rules of quality: what an operator says of them, and what is learned from rows of training."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.anomaly.base import Rows
from tsrnn.anomaly.checks import NEVER, FittedQuality, leaping, standing
from tsrnn.data.inspect.profile import CODES, counter_resets
from tsrnn.data.validation import DataError, check_columns

__all__ = ["Quality", "duration"]

Duration = str | float
"""Text such as ``"2h"`` where rows have stamps, or a number of typical steps."""

Bounds = tuple[float | None, float | None] | list[float | None]

_GAP = 1.5  # usual pauses, beyond which one is a gap
_USUAL = 0.99  # share of the changes that are usual
_NO_NEWS = 3  # pauses of training: what happened so often may happen again
_LEVELS = 20  # different values, at least, of a sensor that can be said to be stuck
_STILL, _AT_LEAST = 3, 6  # longest standstills of training, and typical steps, after which a sensor is stuck
_RESTING = 0.1  # of the time of training: a sensor that stood still so long may do so for longer
_NEARLY_ALL = (0.01, 0.99)  # of the stamps of training, between which it took its time
_TAILS = 0.001  # of the values of training, that are no measure of the others


@dataclass(frozen=True)
class Quality:
    """Rules by which rows and values are believed, before a model reads them.

    Rows: gaps, repeated stamps, steps back in time (until the stamps pass the highest one that was seen), leaps ahead
    by more than all of training took that the next row does not go on from. Sensors: missing for longer than usual,
    standing still, out of range, marks of missing values, counters that fall back, and values in another unit. What is
    not given is learned; of labels nothing is.

    Parameters
    ----------
    max_gap : str or float, optional
        The longest time between two rows without a gap, as text (``"2h"``) or in typical steps. By default one and a
        half times the longest pause that training has three times.
    stuck : str, float, False or dict, optional
        The time after which a sensor that stands still is stuck; False for never; a dictionary says it of some of the
        sensors. By default three times its longest standstill in training and at least six of its steps; never for a
        sensor that had fewer than 20 different values, or once stood still for a tenth of the time.
    ranges : dict or "auto", default {}
        The least and the greatest value that a sensor can have, None for no bound. ``"auto"``, for all sensors or for
        one: as far beyond the values of training as these span; counters have no such range.
    sentinels : sequence of float, optional
        Numbers that stand for a missing value, wherever they are. By default customary ones such as -9999, in sensors
        from which they are further off than the values of training span.
    counters : sequence of str, optional
        Sensors that only rise and then fall back. By default those that did no other in training.
    units : bool, default True
        Whether to look for values that are in another unit from some row on: sensors of which a change by a factor such
        as 10 or 0.3048, or from Celsius to Fahrenheit, stands out.

    Examples
    --------
    >>> rows = Rows(np.arange(600) * 60, np.sin(np.arange(600.0))[:, None], np.zeros((600, 0)))
    >>> rules = Quality(max_gap=3, ranges={"flow": (None, 1.5)}).fit(rows, ["flow"])
    >>> rules.interval, rules.gap, rules.upper
    (60, 180, array([1.5]))
    """

    max_gap: Duration | None = None
    stuck: Duration | Literal[False] | Mapping[str, Duration | Literal[False] | None] | None = None
    ranges: Literal["auto"] | Mapping[str, Bounds | Literal["auto"]] = field(default_factory=dict)
    sentinels: Sequence[float] | None = None
    counters: Sequence[str] | None = None
    units: bool = True

    def fit(self, rows: Rows, sensors: Sequence[str]) -> FittedQuality:
        """Learn what is not given.

        Parameters
        ----------
        rows : Rows
            Of training, as they stand in the file.
        sensors : sequence of str
            Names of the C columns of values.

        Raises
        ------
        DataError
            If a sensor is named that is not there, or no two rows have stamps that rise.
        ValueError
            If a duration or a range cannot be read.
        """
        names = list(sensors)
        named = (("stuck", self.stuck), ("ranges", self.ranges), ("counters", self.counters))
        for role, given in named:
            if isinstance(given, Iterable) and not isinstance(given, str):
                check_columns(pd.DataFrame(columns=names), list(given), role)
        leap = int(np.ptp(np.quantile(rows.times, _NEARLY_ALL, method="nearest"))) if len(rows.times) else 0
        before, leaps = leaping(min(rows.times[:1].tolist(), default=0) - 1, rows.times, leap)
        counts = (rows.times > before) & ~leaps
        times, values = rows.times[counts], rows.values[counts]
        if len(times) < 2:
            raise DataError(
                f"the rules of quality learn from rows in time order, and there are {len(times)} of them. Sort the "
                "table by time, or give more of it."
            )
        interval = max(1, int(np.median(np.diff(times))))
        gap = int(_GAP * _repeated(np.diff(times)))
        if self.max_gap is not None:
            gap = duration(self.max_gap, interval, "max_gap")
        learned = [
            self._learn(name, times, column, interval, gap) for name, column in zip(names, values.T, strict=True)
        ]
        pause, stuck, lower, upper, low, high, change, counter = zip(*learned, strict=True)
        return FittedQuality(
            interval=interval,
            gap=gap,
            leap=max(leap, gap),
            pause=np.array(pause, np.int64),
            stuck=np.array(stuck, np.int64),
            lower=np.array(lower, float),
            upper=np.array(upper, float),
            low=np.array(low, float),
            high=np.array(high, float),
            change=np.array(change, float),
            counter=np.array(counter, bool),
            sentinels=CODES if self.sentinels is None else np.zeros(0),
            marks=np.array(self.sentinels or (), float),
        )

    def _learn(
        self, name: str, times: NDArray[np.int64], values: NDArray[np.float64], interval: int, gap: int
    ) -> tuple[int, int, float, float, float, float, float, bool]:
        """The limits of one sensor."""
        usable = np.isfinite(values) & ~np.isin(values, self.sentinels or ())
        low, high = _bulk(values[usable & ~np.isin(values, CODES)])
        if self.sentinels is None:
            usable &= ~(np.isin(values, CODES) & (np.maximum(low - values, values - high) > high - low))
            low, high = _bulk(values[usable])
        read, since = values[usable], np.diff(times[usable])
        pause = max(gap, int(_GAP * _repeated(since))) if len(since) else NEVER
        given = self.stuck.get(name) if isinstance(self.stuck, Mapping) else self.stuck
        if given is None:
            stuck = _longest_standstill(times[usable], read, pause)
        else:
            stuck = NEVER if given is False else duration(given, interval, "stuck")
        no_breaks = np.zeros(len(read), bool)
        counter = counter_resets(read, no_breaks) is not None if self.counters is None else name in self.counters
        lower, upper = self._range(name, low, high, counter)
        change = _usual(np.abs(np.diff(read))) if self.units and len(since) and not counter else np.nan
        return pause, stuck, lower, upper, low, high, change, counter

    def _range(self, name: str, low: float, high: float, counter: bool) -> tuple[float, float]:
        """The least and the greatest value to be believed."""
        given = self.ranges if isinstance(self.ranges, str) else self.ranges.get(name)
        if given is None or (given == "auto" and (counter or np.isnan(low))):
            return -np.inf, np.inf
        if given == "auto":
            return 2 * low - high, 2 * high - low
        try:
            lower, upper = (
                bound if value is None else float(value) for value, bound in zip(given, (-np.inf, np.inf), strict=True)
            )
        except (TypeError, ValueError):
            lower, upper = np.inf, -np.inf
        if lower > upper:
            raise ValueError(f"ranges: {name}={given!r} is no range; give the least and the greatest value, or 'auto'.")
        return lower, upper


def _repeated(pauses: NDArray[np.int64]) -> int:
    """The longest pause that came up several times."""
    return int(np.sort(pauses)[-min(_NO_NEWS, len(pauses))])


def _usual(amounts: NDArray[np.int64] | NDArray[np.float64]) -> float:
    """The amount that 99 in 100 are not greater than; one of them, so that a few odd ones do not count."""
    return float(np.quantile(amounts, _USUAL, method="lower"))


def _bulk(values: NDArray[np.float64]) -> tuple[float, float]:
    """Between which values nearly all lie; NaN where there are none."""
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(values, [_TAILS, 1 - _TAILS])
    return float(low), float(high)


def _longest_standstill(times: NDArray[np.int64], read: NDArray[np.float64], pause: int) -> int:
    """The time after which one may say that a sensor is stuck, from how it stood still before."""
    if len(np.unique(read)) < _LEVELS:
        return NEVER
    since = np.diff(times, prepend=times[:1])[:, None]
    changed = np.append(True, read[1:] != read[:-1])[:, None]
    still = standing(since, changed, np.ones_like(changed), np.array([pause]), np.zeros(1, np.int64))
    longest = int(still.max())
    if longest > _RESTING * (times[-1] - times[0]):
        return NEVER
    return max(_STILL * longest, _AT_LEAST * int(np.median(since[1:])))


def duration(given: Duration, interval: int, name: str) -> int:
    """A duration in nanoseconds, or in units of integer time."""
    try:
        found = pd.Timedelta(given).value if isinstance(given, str) else int(given * interval)
    except (TypeError, ValueError, OverflowError):
        found = 0
    if found <= 0:
        raise ValueError(f"{name}={given!r} is no duration; give text such as '2h', or a number of steps.")
    return found
