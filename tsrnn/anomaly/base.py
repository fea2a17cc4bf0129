"""What walks through a detector: rows, verdicts on them, evidence, and the contracts of the stages.

Every stage is a frozen value, fitted on rows of training and calibration, and a pure function of a carried state:
``start()`` gives the state before the first row, ``step(state, rows)`` the state after them and what it found. However
a stream is cut into calls, what is found is the same. States are flat dictionaries of arrays, so that one file holds
those of all stages. Nothing a stage is given holds a label.
"""

from abc import ABC, abstractmethod
from enum import IntFlag
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tsrnn.forecasting.predictor import State

__all__ = [
    "KINDS",
    "AbstractScorer",
    "AbstractThreshold",
    "Evidence",
    "Flag",
    "Judged",
    "Line",
    "Rows",
    "State",
    "Verdict",
]

Floats = NDArray[np.float64]

KINDS = ("gap", "duplicate", "stuck", "range", "spike", "level", "drift", "contextual", "multisensor")
"""Kinds of events: the first four come from the rules of quality, the others from the model."""


class Rows(NamedTuple):
    """Rows of a file as they stand in it, n rows of C sensors and F inputs."""

    times: NDArray[np.int64]
    """(n,): nanoseconds since 1970 in UTC, or integers as they are."""
    values: Floats
    """(n, C), in the units of the sensors; NaN where empty."""
    inputs: Floats
    """(n, F): columns that are read and not judged."""


class Flag(IntFlag):
    """Findings of the rules of quality in a cell, in one number."""

    GAP = 1
    DUPLICATE = 2
    BACKSTEP = 4
    MISSING = 8
    STUCK = 16
    RANGE = 32
    SENTINEL = 64
    RESET = 128
    UNIT = 256
    LEAP = 512


class Verdict(NamedTuple):
    """What the rules of quality say of each row."""

    flags: NDArray[np.uint16]
    """(n, C): `Flag` of each cell; a finding about the row as a whole stands in all of its cells."""
    usable: NDArray[np.bool_]
    """(n, C): False where a cell is empty or not to be believed; the model does not read it."""
    counts: NDArray[np.bool_]
    """(n,): False for a repeated stamp, a step back in time, and a leap ahead that no row has followed yet."""
    elapsed: Floats
    """(n,): time since the last row that counts, in typical steps; 1 in the first row."""


class Evidence(NamedTuple):
    """What is known of each row when it is scored."""

    values: Floats
    """(n, C), in the units of the sensors; NaN where not usable or not counted."""
    mean: Floats
    """(n, C): what the predictor expected."""
    scale: Floats
    """(n, C): scale of the predictive distribution."""
    df: Floats
    """(C,): its degrees of freedom (Student's t); infinity for a normal one."""
    elapsed: Floats
    """(n,): as in `Verdict`."""

    @property
    def deviations(self) -> Floats:
        """Values less means, in scales; (n, C), NaN where missing."""
        return np.asarray((self.values - self.mean) / self.scale)


class AbstractScorer(ABC):
    """A kind of evidence against a row; a frozen dataclass of what was fitted."""

    kind: ClassVar[str]
    """Which of `KINDS` an event is that this scorer leads."""

    @classmethod
    @abstractmethod
    def fit(cls, evidence: Evidence, calibration: NDArray[np.bool_], span: int) -> Self:
        """Learn scales and the like.

        Parameters
        ----------
        evidence : Evidence
            All rows of training, in order.
        calibration : array of bool, shape (n,)
            Those that the predictor has not learned from.
        span : int
            Memory of averages, in rows.
        """

    def start(self) -> State:
        """The state before the first row; nothing for a scorer that looks at a row alone."""
        return {}

    @abstractmethod
    def step(self, state: State, evidence: Evidence) -> tuple[State, Floats]:
        """Score rows.

        Returns
        -------
        state : State
        parts : array of shape (n, C)
            The part of each sensor in the score of its row, at least 0 and NaN where nothing can be said; the row's
            score is the square root of their sum (`tsrnn.anomaly.statistics.joint_score`). Higher is more abnormal.
        """


class Line(NamedTuple):
    """Where the alarm line stood at each row, and how rare so high a score is."""

    height: Floats
    """(n,): in the unit of the scores; above it is an alarm."""
    p: Floats
    """(n,): how often a healthy row scores at least so high; NaN where there is no score."""


class AbstractThreshold(ABC):
    """An alarm line for one stream of scores; a frozen dataclass of what was fitted."""

    @classmethod
    @abstractmethod
    def fit(cls, scores: Floats, every: float, span: int) -> Self:
        """Draw the line.

        Parameters
        ----------
        scores : array of shape (n,)
            Of calibration rows, in order; NaN are left out.
        every : float
            Rows between two false alarms on healthy rows.
        span : int
            Memory of the scores in rows: exceedances closer than that are one.
        """

    def start(self) -> State:
        """The state before the first row; nothing for a line that does not move."""
        return {}

    @abstractmethod
    def step(self, state: State, scores: Floats) -> tuple[State, Line]:
        """The line at each of these rows, drawn before the row's own score is known; NaN scores move nothing."""


class Judged(NamedTuple):
    """What a detector says of each row: what events and pictures are made of."""

    times: NDArray[np.int64]
    """(n,): as in `Rows`."""
    counts: NDArray[np.bool_]
    """(n,): as in `Verdict`."""
    flags: NDArray[np.uint16]
    """(n, C): as in `Verdict`."""
    values: Floats
    """(n, C): as they stand in the file."""
    mean: Floats
    """(n, C): what was expected."""
    scale: Floats
    """(n, C): scale of the predictive distribution."""
    held: NDArray[np.bool_]
    """(n, C): True where the predictor read its own mean instead."""
    heights: Floats
    """(n, C): of each sensor, in multiples of the alarm line of the scorer in which it stands highest."""
    score: Floats
    """(n,): in multiples of the alarm line, by the scorer that is highest above its own; above 1 is an alarm."""
    p: Floats
    """(n,): how often a healthy row scores so high by any scorer."""
    severity: Floats
    """(n,): 0 to 100, 50 at the alarm line of a smooth score."""
    lead: NDArray[np.int64]
    """(n,): which scorer leads, by position; -1 where none says anything."""
