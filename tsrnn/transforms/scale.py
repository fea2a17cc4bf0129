"""Scaling of whole series, fitted on training rows, invertible.

Not to be confused with `tsrnn.nn.scaling`, which normalizes single windows inside the graph.
"""

from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tsrnn.data import Panel
from tsrnn.transforms.base import AbstractPointwise, State

__all__ = ["AbstractScaler", "MeanAbsScaler", "MinMaxScaler", "RobustScaler", "SeasonalScaler", "StandardScaler"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AbstractScaler(AbstractPointwise):
    """Base of the scalers: ``(x - location) / scale`` with a location and a scale of each series and channel.

    Where the scale would be zero (a constant series, one without values) it is 1.

    Parameters
    ----------
    per : {"series", "all"}, default "series"
        Whether each series has its own scale, or all share one (per channel, over all rows).
    """

    per: Literal["series", "all"] = "series"

    def __post_init__(self) -> None:
        """Refuse an unknown ``per`` at once."""
        if self.per not in ("series", "all"):
            raise ValueError(f"per={self.per!r} is unknown; choose series or all.")

    def learn(self, panel: Panel) -> State:
        """Location and scale, (N, C) each."""
        bounds = panel.indptr if self.per == "series" else panel.indptr[[0, -1]]
        parts = [self._stats(panel.values[a:b]) for a, b in pairwise(bounds)]
        location, scale = (np.stack(part) for part in zip(*parts, strict=True))
        scale = np.where(scale > 1e-12 * np.abs(location), scale, 1.0)  # less is what rounding leaves of a constant
        shape = (len(panel.ids), panel.values.shape[1])
        return {"location": np.broadcast_to(location, shape).copy(), "scale": np.broadcast_to(scale, shape).copy()}

    def extend(self, state: State, at: NDArray[np.int64], panel: Panel, known: NDArray[np.int64]) -> State:
        """As in `AbstractTransform.extend`; a scale that all share is a new series' too."""
        return super().extend(state, at if self.per == "series" else np.zeros_like(at), panel, known)

    def there(self, x: Floats, state: State) -> Floats:
        """``(x - location) / scale``."""
        return np.asarray((x - state["location"]) / state["scale"])

    def back(self, x: Floats, state: State) -> Floats:
        """``x * scale + location``."""
        return np.asarray(x * state["scale"] + state["location"])

    @abstractmethod
    def _stats(self, x: Floats) -> tuple[Floats, Floats]:
        """Location and scale over the first axis of (T, C), NaN left out; 0 and 0 where nothing is observed."""


@dataclass(frozen=True)
class StandardScaler(AbstractScaler):
    """Mean zero and standard deviation one.

    Parameters
    ----------
    per : {"series", "all"}, default "series"
        Whether each series has its own scale, or all share one (per channel, over all rows).

    Examples
    --------
    >>> import pandas as pd
    >>> y = pd.Series([1.0, 3.0], index=pd.date_range("2024-01-01", periods=2))
    >>> StandardScaler().fit_transform(y).tolist()
    [-1.0, 1.0]
    """

    def _stats(self, x: Floats) -> tuple[Floats, Floats]:
        seen = ~np.isnan(x)
        n = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, x, 0).sum(axis=0) / n
        return mean, np.sqrt(np.where(seen, (x - mean) ** 2, 0).sum(axis=0) / n)


@dataclass(frozen=True)
class RobustScaler(AbstractScaler):
    """Median zero and median absolute deviation one (times 1.4826, the normal's ratio).

    Where more than half of the values are alike, the standard deviation stands in for the median deviation.

    Parameters
    ----------
    per : {"series", "all"}, default "series"
        Whether each series has its own scale, or all share one (per channel, over all rows).

    References
    ----------
    F. R. Hampel (1974), The influence curve and its role in robust estimation, JASA 69.

    Examples
    --------
    >>> import pandas as pd
    >>> y = pd.Series([1.0, 2.0, 3.0, 2.0, 900.0], index=pd.date_range("2024-01-01", periods=5))
    >>> RobustScaler().fit_transform(y).round(2).tolist()
    [-0.67, 0.0, 0.67, 0.0, 605.69]
    """

    def _stats(self, x: Floats) -> tuple[Floats, Floats]:
        location, scale = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        for c, column in enumerate(x.T):
            seen = column[~np.isnan(column)]
            if len(seen):
                location[c] = np.median(seen)
                scale[c] = 1.4826 * np.median(np.abs(seen - location[c])) or seen.std()
        return location, scale


@dataclass(frozen=True)
class MinMaxScaler(AbstractScaler):
    """Least value zero and greatest value one; later values may lie outside.

    Parameters
    ----------
    per : {"series", "all"}, default "series"
        Whether each series has its own scale, or all share one (per channel, over all rows).

    Examples
    --------
    >>> import pandas as pd
    >>> y = pd.Series([1.0, 3.0, 2.0], index=pd.date_range("2024-01-01", periods=3))
    >>> MinMaxScaler().fit_transform(y).tolist()
    [0.0, 1.0, 0.5]
    """

    def _stats(self, x: Floats) -> tuple[Floats, Floats]:
        seen = ~np.isnan(x)
        low = np.where(seen, x, np.inf).min(axis=0, initial=np.inf)
        high = np.where(seen, x, -np.inf).max(axis=0, initial=-np.inf)
        some = seen.any(axis=0)
        return np.where(some, low, 0), np.subtract(high, low, where=some, out=np.zeros(x.shape[1]))


@dataclass(frozen=True)
class MeanAbsScaler(AbstractScaler):
    """Mean absolute value one; zero stays zero, so counts and demand keep their zeros.

    Parameters
    ----------
    per : {"series", "all"}, default "series"
        Whether each series has its own scale, or all share one (per channel, over all rows).

    References
    ----------
    D. Salinas, V. Flunkert, J. Gasthaus and T. Januschowski (2020), DeepAR, International Journal of Forecasting 36,
    section 3.3.

    Examples
    --------
    >>> import pandas as pd
    >>> y = pd.Series([0.0, 4.0, 2.0], index=pd.date_range("2024-01-01", periods=3))
    >>> MeanAbsScaler().fit_transform(y).tolist()
    [0.0, 2.0, 1.0]
    """

    def _stats(self, x: Floats) -> tuple[Floats, Floats]:
        return np.zeros(x.shape[1]), np.nan_to_num(_mean_abs(x))


@dataclass(frozen=True)
class SeasonalScaler(AbstractPointwise):
    """What a seasonal naive forecast misses on average one: the unit of MASE; zero stays zero.

    Of a series that hardly differs from season to season the unit is a hundredth of its mean absolute value, so that it
    does not outweigh all others.

    Parameters
    ----------
    season_length : int, optional
        Steps in the season; by default that of the data's frequency. Series that are not longer are divided by their
        mean absolute value.

    Raises
    ------
    ValueError
        If the season is shorter than one step.

    References
    ----------
    R. J. Hyndman and A. B. Koehler (2006), Another look at measures of forecast accuracy, International Journal of
    Forecasting 22.

    Examples
    --------
    >>> import pandas as pd
    >>> y = pd.Series([0.0, 5.0, 2.0, 7.0, 6.0], index=pd.date_range("2024-01-01", periods=5))
    >>> SeasonalScaler(season_length=2).fit_transform(y).round(2).tolist()
    [0.0, 1.88, 0.75, 2.62, 2.25]
    """

    season_length: int | None = None

    def __post_init__(self) -> None:
        """Refuse a season without steps."""
        if self.season_length is not None and self.season_length < 1:
            raise ValueError(f"season_length must be at least 1 or None, got {self.season_length!r}.")

    def learn(self, panel: Panel) -> State:
        """The unit of each series and channel, (N, C)."""
        lag = self.season_length or panel.freq.season_length
        return {"scale": np.stack([self._unit(panel.values[a:b], lag) for a, b in pairwise(panel.indptr)])}

    def there(self, x: Floats, state: State) -> Floats:
        """``x / scale``."""
        return np.asarray(x / state["scale"])

    def back(self, x: Floats, state: State) -> Floats:
        """``x * scale``."""
        return np.asarray(x * state["scale"])

    def _unit(self, x: Floats, lag: int) -> Floats:
        """Mean absolute difference at a lag over the first axis of (T, C), as far as it can be told."""
        size, missed = _mean_abs(x), _mean_abs(x[lag:] - x[:-lag])
        unit = np.where(np.isnan(missed), size, np.maximum(missed, size / 100))
        return np.where(unit > 0, unit, 1.0)


def _mean_abs(x: Floats) -> Floats:
    """Mean absolute value over the first axis, NaN left out; NaN where nothing is observed."""
    seen = ~np.isnan(x)
    n = np.where(seen.any(axis=0), seen.sum(axis=0), np.nan)
    return np.asarray(np.where(seen, np.abs(x), 0).sum(axis=0) / n)
