"""The contract of a one-step-ahead predictor: what a row should be, from a state that is carried from row to row.

A forecaster reads a window anew for each cutoff. A predictor reads a row once: its cost does not grow with what came
before, and a stream may be cut anywhere. Pure: `AbstractPredictor.step` changes no object and learns nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

__all__ = ["AbstractPredictor", "Expected", "Hold", "Observed", "State"]

Floats = NDArray[np.float64]

State = dict[str, NDArray[Any]]
"""What is carried from row to row: named arrays, of the same shapes and types from row to row."""


class Observed(NamedTuple):
    """Rows of a stream, in the order in which they came; n rows of C sensors and F inputs."""

    values: Floats
    """(n, C), in the units of the sensors; NaN where nothing was measured, or what was is not to be believed."""
    inputs: Floats
    """(n, F): columns that are read but not predicted, commands for instance; NaN where missing. F may be 0."""
    elapsed: Floats
    """(n,): time since the last row that counts, in typical steps: 1 where stamps are regular, and in the first row."""
    counts: NDArray[np.bool_]
    """(n,): False for a row out of time (a repeated stamp, a step back): it is neither read nor expected."""

    def part(self, rows: slice) -> "Observed":
        """Some of the rows."""
        return Observed(self.values[rows], self.inputs[rows], self.elapsed[rows], self.counts[rows])


class Expected(NamedTuple):
    """What a predictor expected of each row before it came."""

    mean: Floats
    """(n, C), in the units of the sensors; NaN in rows that do not count."""
    scale: Floats
    """(n, C): scale of the predictive distribution, a standard deviation if it is normal; NaN as the mean."""
    held: NDArray[np.bool_]
    """(n, C): True where the predictor read its own mean instead of the value; see `Hold`."""


class Hold(NamedTuple):
    """When a predictor does not believe a value and goes on from what it expected, sensor by sensor.

    So a fault does not become the new normal. A sensor that stays beyond the limit is accepted in the end.
    """

    limit: float = np.inf
    """Scales off the mean from which on a value is not read; infinity reads all."""
    steps: float = np.inf
    """Typical steps of time after which a sensor that was held all along is read again, until it once is within the
    limit."""


class AbstractPredictor(BaseEstimator, ABC):
    """Base of one-step-ahead predictors; scikit-learn's contract for parameters, cloning and fitted attributes.

    Attributes
    ----------
    df_ : array of shape (C,)
        Degrees of freedom of the predictive distributions, Student's t; infinity for a normal one.
    """

    df_: Floats

    @abstractmethod
    def fit_each(self, recordings: Sequence[Observed]) -> list[Self]:
        """Learn each recording alone, all of them together where that is faster; clones, fitted.

        Parameters
        ----------
        recordings : sequence of Observed
            Of the same number of sensors and inputs; lengths may differ.
        """

    def fit(self, observed: Observed) -> Self:
        """Learn from one recording; whatever was learned before is forgotten."""
        (fitted,) = self.fit_each([observed])
        self.__dict__.update(fitted.__dict__)
        return self

    @abstractmethod
    def start(self) -> State:
        """The state before the first row of a stream."""

    @abstractmethod
    def step(self, state: State, observed: Observed, hold: Hold = Hold()) -> tuple[State, Expected]:  # noqa: B008
        """Expect each row from those before it, then read it.

        However a stream is cut into calls, what is expected is the same, to the bit.
        """

    @abstractmethod
    def weights(self) -> dict[str, NDArray[Any]]:
        """All that was learned, as named arrays; `restore` takes them back."""

    @abstractmethod
    def restore(self, weights: dict[str, NDArray[Any]]) -> Self:
        """A fitted clone with these weights."""
