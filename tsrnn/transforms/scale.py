"""Scaling of whole series, fitted on training rows, invertible.

Not to be confused with `tsrnn.nn.scaling`, which normalizes single windows inside the graph.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsrnn.data import Panel

__all__ = ["AbstractScaler", "RobustScaler", "Scaling", "StandardScaler"]


@dataclass(frozen=True)
class Scaling:
    """A fitted affine map per series and channel.

    Attributes
    ----------
    location, scale : arrays of float64, shape (N, C)
        ``(x - location) / scale``.
    ids : array of object, shape (N,)
        The series they belong to.
    """

    location: NDArray[np.float64]
    scale: NDArray[np.float64]
    ids: NDArray[np.object_]

    def transform(self, panel: Panel) -> NDArray[np.float64]:
        """The panel's values in scaled units, shape (R, C)."""
        spread = np.repeat(np.arange(len(panel.ids)), panel.lengths)
        return (panel.values - self.location[spread]) / self.scale[spread]

    def inverse(self, values: NDArray[np.float64], series: NDArray[np.int64]) -> NDArray[np.float64]:
        """Values of shape (B, H, C, K) of the given series, back in the units of the data."""
        return values * self.scale[series][:, None, :, None] + self.location[series][:, None, :, None]


class AbstractScaler(ABC):
    """Contract of scalers: a frozen specification whose ``fit`` gives a `Scaling`."""

    def fit(self, panel: Panel) -> Scaling:
        """Fit on all rows of a panel (the caller cuts it to training rows). Constant or empty series get scale 1."""
        parts = [self._stats(panel.values[a:b]) for a, b in zip(panel.indptr[:-1], panel.indptr[1:], strict=True)]
        location, scale = (np.stack(part) for part in zip(*parts, strict=True))
        floor = 1e-12 * np.abs(location)  # what rounding leaves of a constant
        return Scaling(location, np.where(scale > floor, scale, 1.0), panel.ids)

    def extend(self, fitted: Scaling, panel: Panel, known: NDArray[np.int64]) -> Scaling:
        """A fitted scaling in the order of another panel's series.

        A series that was not fitted is scaled by its own first ``known[i]`` rows.
        """
        at = {name: i for i, name in enumerate(fitted.ids)}
        rows = np.asarray([at.get(name, -1) for name in panel.ids], np.int64)
        ordered = Scaling(fitted.location[rows], fitted.scale[rows], panel.ids)
        if (rows >= 0).all():
            return ordered
        seen, own = (rows >= 0)[:, None], self.fit(panel.until(known))
        location = np.where(seen, ordered.location, own.location)
        return Scaling(location, np.where(seen, ordered.scale, own.scale), panel.ids)

    @abstractmethod
    def _stats(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Location and scale over the first axis of (T, C), NaN left out; 0 and 0 where nothing is observed."""


@dataclass(frozen=True)
class StandardScaler(AbstractScaler):
    """Mean zero and standard deviation one, per series and channel."""

    def _stats(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        seen = ~np.isnan(x)
        n = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, x, 0).sum(axis=0) / n
        return mean, np.sqrt(np.where(seen, (x - mean) ** 2, 0).sum(axis=0) / n)


@dataclass(frozen=True)
class RobustScaler(AbstractScaler):
    """Median zero and median absolute deviation one (times 1.4826, the normal's ratio), per series and channel."""

    def _stats(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        location, scale = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        for c, column in enumerate(x.T):
            seen = column[~np.isnan(column)]
            if len(seen):
                location[c] = np.median(seen)
                scale[c] = 1.4826 * np.median(np.abs(seen - location[c])) or seen.std()
        return location, scale
