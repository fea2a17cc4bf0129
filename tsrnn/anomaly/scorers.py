"""Scorers: from what was measured and what was expected to how abnormal every sensor is, by thirteen kinds of evidence.

A spike and a slow drift are seen by different eyes, and a sharp alarm and a smooth severity are different things, so
there are several scorers under one contract (`tsrnn.anomaly.base.AbstractScorer`). Most look at *errors*: deviations
from the predictor's mean, in its scales, standardised once more by their location and scale in the calibration rows,
which the predictor has not learned from. What a scorer remembers is a few averages or the last rows.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, ndtr, stdtr

from tsrnn.anomaly.base import AbstractScorer, Evidence, State
from tsrnn.anomaly.disagreement import Disagreement
from tsrnn.anomaly.statistics import (
    additive,
    contributions,
    ewma,
    highest,
    joint_score,
    last_seen,
    moments,
    robust_scale,
    scale_floor,
    shrunk_correlation,
)

__all__ = [
    "SCORERS",
    "Absolute",
    "Change",
    "Drift",
    "High",
    "Likelihood",
    "Low",
    "Mahalanobis",
    "NegativeLogLikelihood",
    "PValue",
    "Smooth",
    "Squared",
    "Unrest",
    "one_sided",
]

Floats = NDArray[np.float64]

_LEAST = 0.1  # scale of errors in calibration rows, in predictive scales: no predictor is that much too modest


def one_sided(evidence: Evidence, sides: ArrayLike) -> Evidence:
    """Evidence in which only one side of the expected value counts: what lies on the other is taken as expected.

    Parameters
    ----------
    evidence : Evidence
        Of C sensors.
    sides : array of int, shape (C,)
        1 where only high values are to be found, -1 where only low ones, 0 where both.

    Examples
    --------
    >>> level = np.zeros((2, 1))
    >>> seen = Evidence(np.array([[-3.0], [3.0]]), level, level + 1, np.array([np.inf]), np.ones(2))
    >>> one_sided(seen, [1]).deviations[:, 0]
    array([0., 3.])
    """
    sides = np.asarray(sides)
    values = np.where(sides > 0, np.maximum(evidence.values, evidence.mean), evidence.values)
    return evidence._replace(values=np.where(sides < 0, np.minimum(values, evidence.mean), values))


# Rows taken alone, by the predictive distribution


@dataclass(frozen=True, eq=False)
class NegativeLogLikelihood(AbstractScorer):
    """How much less likely a row is than the likeliest one: the excess of its negative log-likelihood, in nats.

    Student's t with `Evidence.df` degrees of freedom, sensors taken as independent; those that are missing do not
    count.
    """

    kind: ClassVar[str] = "spike"

    @classmethod
    def fit(cls, evidence: Evidence, calibration: NDArray[np.bool_], span: int) -> Self:
        """Nothing to learn: the predictor's distribution is taken at its word."""
        return cls()

    def step(self, state: State, evidence: Evidence) -> tuple[State, Floats]:
        """Half the squared deviation of a normal distribution, and what stands in its place for Student's t."""
        squared, df = evidence.deviations**2, evidence.df
        heavy = np.isfinite(df)
        tail = (df + 1) / 2 * np.log1p(squared / np.where(heavy, df, 1)) if heavy.any() else squared
        return state, additive(np.where(heavy, tail, squared / 2))


@dataclass(frozen=True, eq=False)
class PValue(AbstractScorer):
    """How rare so large a deviation is: minus the decimal logarithm of both tails of the predictive distribution.

    Sensors are taken as independent: their logarithms add up. It ends at 300 a sensor.

    References
    ----------
    R. A. Fisher (1925), Statistical Methods for Research Workers, section 21.1 (sums of logarithms of p-values).
    """

    kind: ClassVar[str] = "spike"

    @classmethod
    def fit(cls, evidence: Evidence, calibration: NDArray[np.bool_], span: int) -> Self:
        """Nothing to learn: the predictor's distribution is taken at its word."""
        return cls()

    def step(self, state: State, evidence: Evidence) -> tuple[State, Floats]:
        """Minus the logarithms."""
        low, heavy = -np.abs(evidence.deviations), np.isfinite(evidence.df)
        tail = np.where(heavy, stdtr(np.where(heavy, evidence.df, 1), low), ndtr(low))
        return state, additive(-np.log10(np.maximum(2 * tail, 1e-300)))


# Errors: deviations standardised in the calibration rows


@dataclass(frozen=True, eq=False)
class _AbstractErrors(AbstractScorer):
    location: Floats
    scale: Floats
    span: int

    @classmethod
    def fit(cls, evidence: Evidence, calibration: NDArray[np.bool_], span: int) -> Self:
        """Robust location and scale of the deviations in the calibration rows."""
        deviations = evidence.deviations[calibration]
        return cls(*robust_scale(deviations, np.full(deviations.shape[1], _LEAST)), span)

    def errors(self, evidence: Evidence) -> Floats:
        """Deviations in robust standard deviations; (n, C), NaN where missing."""
        return np.asarray((evidence.deviations - self.location) / self.scale)


@dataclass(frozen=True, eq=False)
class Absolute(_AbstractErrors):
    """The sum of the absolute errors of a row."""

    kind: ClassVar[str] = "spike"

    def step(self, state: State, evidence: Evidence) -> tuple[State, Floats]:
        """Absolute errors."""
        return state, additive(np.abs(self.errors(evidence)))


@dataclass(frozen=True, eq=False)
class Squared(_AbstractErrors):
    """The sum of the squared errors of a row: one large error counts for more than many small ones."""

    kind: ClassVar[str] = "spike"

    def step(self, state: State, evidence: Evidence) -> tuple[State, Floats]:
        """Squared errors."""
        return state, additive(self.errors(evidence) ** 2)


@dataclass(frozen=True, eq=False)
class Smooth(_AbstractErrors):
    """The exponential average of the absolute errors, all sensors added up: how bad it is rather than when it began.

    References
    ----------
    K. Hundman et al. (2018), Detecting spacecraft anomalies using LSTMs and nonparametric dynamic thresholding,
    section 3.2 (averaged errors).
    """

    kind: ClassVar[str] = "contextual"

    def start(self) -> State:
        """Averages of 0."""
        return {"average": np.zeros(len(self.scale))}

    def step(self, state: State, evidence: Evidence) -> tuple[State, Floats]:
        """Averages."""
        carry, averages = ewma(np.abs(self.errors(evidence)), self.span, state["average"])
        return {"average": carry}, additive(averages)


@dataclass(frozen=True, eq=False)
class Likelihood(_AbstractErrors):
    """How unlikely it is that recent rows are like those long before: sharp where something begins.

    The raw score of a row is the root of its mean squared error, at most 8. The mean of the last 10 raw scores is held
    against mean and standard deviation of the last ``100 span`` (fewer where there are fewer calibration rows, which
    are what a stream begins with); the score is minus the decimal logarithm of the normal tail.

    References
    ----------
    S. Ahmad et al. (2017), Unsupervised real-time anomaly detection for streaming data, Neurocomputing 262, section
    3.2.
    """

    recent: Floats
    """(W,): raw scores before the first row."""
    kind: ClassVar[str] = "spike"

    @classmethod
    def fit(cls, evidence: Evidence, calibration: NDArray[np.bool_], span: int) -> Self:
        """Scale the errors; keep the last raw scores of the calibration rows."""
        scaled = Absolute.fit(evidence, calibration, span)
        raw = _raw(scaled.errors(evidence)[calibration])
        raw = raw[~np.isnan(raw)][-_LONG * span :]
        return cls(scaled.location, scaled.scale, span, np.concatenate([np.zeros(max(0, 2 * _SHORT - len(raw))), raw]))

    def start(self) -> State:
        """The raw scores that the calibration rows ended with, and their sums."""
        sums = [self.recent.sum(), (self.recent**2).sum(), self.recent[-_SHORT:].sum()]
        return {"recent": self.recent, "sums": np.array(sums)}

    def step(self, state: State, evidence: Evidence) -> tuple[State, Floats]:
        """The logarithms of the tails, shared out by the squared errors of the row."""
        errors = self.errors(evidence)
        raw = _raw(errors)
        seen, width = ~np.isnan(raw), len(self.recent)
        known = np.concatenate([state["recent"], raw[seen]])
        new, old, older = known[width:], known[width - _SHORT : -_SHORT], known[:-width]
        sums = np.cumsum(np.vstack([state["sums"], np.stack([new - older, new**2 - older**2, new - old], 1)]), axis=0)
        mean = sums[1:, 0] / width
        spread = np.sqrt(np.maximum(sums[1:, 1] / width - mean**2, _LEAST**2))
        height = np.full(len(raw), np.nan)
        height[seen] = -log_ndtr((mean - sums[1:, 2] / _SHORT) / spread) / np.log(10)
        squared = errors**2 + 1e-12  # no error at all is shared out evenly
        shares = squared / np.nansum(np.ascontiguousarray(squared), axis=1)[:, None]
        return {"recent": known[-width:], "sums": sums[-1]}, np.asarray(shares * height[:, None] ** 2)


_SHORT, _LONG = 10, 100  # rows; spans


def _raw(errors: Floats) -> Floats:
    """Root of the mean squared error of each row, at most 8: one gross error shall not fill a long memory."""
    present = (~np.isnan(errors)).sum(axis=1)
    return np.asarray(np.minimum(8, joint_score(errors**2) / np.sqrt(np.maximum(1, present))))


# Vectors of errors


@dataclass(frozen=True, eq=False)
class _AbstractVectors(_AbstractErrors):
    correlation: Floats

    @classmethod
    def fit(cls, evidence: Evidence, calibration: NDArray[np.bool_], span: int) -> Self:
        """Robust location and scale of the deviations in the calibration rows, and the shrunk correlation of errors."""
        scaled = Absolute.fit(evidence, calibration, span)
        correlation = shrunk_correlation(scaled.errors(evidence)[calibration])
        return cls(scaled.location, scaled.scale, span, correlation)


@dataclass(frozen=True, eq=False)
class Mahalanobis(_AbstractVectors):
    """Sudden faults: the squared Mahalanobis distance of the errors of one row.

    It needs no memory, and knows how the errors of sensors hang together: an error that its neighbours do not share
    counts for more.

    References
    ----------
    H. Hotelling (1947), Multivariate quality control; P. Malhotra et al. (2015), Long short term memory networks for
    anomaly detection in time series, section 2 (errors of a recurrent network).
    """

    kind: ClassVar[str] = "spike"

    def step(self, state: State, evidence: Evidence) -> tuple[State, Floats]:
        """Contributions to the squared distance."""
        return state, contributions(self.errors(evidence), self.correlation)


@dataclass(frozen=True, eq=False)
class _AbstractAverages(_AbstractVectors):
    def start(self) -> State:
        """Averages of 0."""
        return {"average": np.zeros(len(self.scale))}

    def step(self, state: State, evidence: Evidence) -> tuple[State, Floats]:
        """Parts from averages."""
        carry, parts = self.averaged(self.errors(evidence), state["average"])
        return {"average": carry}, parts

    @abstractmethod
    def averaged(self, errors: Floats, carry: Floats) -> tuple[Floats, Floats]:
        """The next carry, and parts."""


@dataclass(frozen=True, eq=False)
class Unrest(_AbstractAverages):
    """Errors that stay too large: the exponential average of the squared distances of `Mahalanobis`.

    Errors count up to 4, so that a single spike does not ring on.

    References
    ----------
    K. Hundman et al. (2018), Detecting spacecraft anomalies using LSTMs and nonparametric dynamic thresholding,
    section 3.2 (averaged errors).
    """

    kind: ClassVar[str] = "contextual"

    def averaged(self, errors: Floats, carry: Floats) -> tuple[Floats, Floats]:
        """Averages of the contributions."""
        return ewma(contributions(np.clip(errors, -4, 4), self.correlation), self.span, carry)


@dataclass(frozen=True, eq=False)
class Drift(_AbstractAverages):
    """Errors that keep leaning to one side: the squared Mahalanobis distance of their exponential averages.

    Errors count up to 3, so that it is the persistence that counts.

    References
    ----------
    C. A. Lowry et al. (1992), A multivariate exponentially weighted moving average control chart, Technometrics 34.
    """

    kind: ClassVar[str] = "drift"

    def averaged(self, errors: Floats, carry: Floats) -> tuple[Floats, Floats]:
        """Contributions to the squared distance of the averages."""
        after, leaning = ewma(np.clip(errors, -3, 3), self.span, carry)
        return after, contributions(leaning * np.sqrt(self.span), self.correlation)


# Values, whatever was expected of them


@dataclass(frozen=True, eq=False)
class Change(AbstractScorer):
    """The exponential average of absolute changes, all sensors added up; the naive row that a model must beat.

    Changes are from one measured value to the next, in standard deviations of the sensor in the training rows.
    """

    scale: Floats
    span: int
    kind: ClassVar[str] = "contextual"

    @classmethod
    def fit(cls, evidence: Evidence, calibration: NDArray[np.bool_], span: int) -> Self:
        """Standard deviations of the sensors."""
        return cls(moments(evidence.values)[1], span)

    def start(self) -> State:
        """Averages of 0, no value seen."""
        return {"average": np.zeros(len(self.scale)), "last": np.full(len(self.scale), np.nan)}

    def step(self, state: State, evidence: Evidence) -> tuple[State, Floats]:
        """Averages of the absolute changes."""
        last = np.concatenate([state["last"][None], last_seen(evidence.values, state["last"])])
        changes = np.abs(evidence.values - last[:-1]) / self.scale
        carry, averages = ewma(changes, self.span, state["average"])
        return {"average": carry, "last": last[-1]}, additive(averages)


@dataclass(frozen=True, eq=False)
class _AbstractReach(AbstractScorer):
    low: Floats
    high: Floats
    width: Floats
    kind: ClassVar[str] = "level"

    @classmethod
    def fit(cls, evidence: Evidence, calibration: NDArray[np.bool_], span: int) -> Self:
        """Lowest and highest values of the rows to learn from."""
        values = evidence.values[~calibration]
        seen = ~np.isnan(values)
        low = np.where(seen.any(axis=0), values.min(axis=0, initial=np.inf, where=seen), np.nan)
        high = values.max(axis=0, initial=-np.inf, where=seen)
        return cls(low, high, np.maximum(high - low, scale_floor(values)))

    def step(self, state: State, evidence: Evidence) -> tuple[State, Floats]:
        """The square of the reach of the sensor that is farthest out; the others have no part."""
        reach = np.maximum(0, self.reach(evidence.values))
        farthest = reach == highest(reach.T)[:, None]
        return state, np.where(np.isnan(reach), np.nan, np.where(farthest, reach**2, 0))

    @abstractmethod
    def reach(self, values: Floats) -> Floats:
        """How far values reach, in learned ranges; (n, C)."""


@dataclass(frozen=True, eq=False)
class High(_AbstractReach):
    """How far the highest sensor is above the lowest value it was learned with, in learned ranges: 1 is their end.

    With the threshold "record" it finds values higher than any before.
    """

    def reach(self, values: Floats) -> Floats:
        """Above the lowest."""
        return np.asarray((values - self.low) / self.width)


@dataclass(frozen=True, eq=False)
class Low(_AbstractReach):
    """How far the lowest sensor is below the highest value it was learned with; see `High`."""

    def reach(self, values: Floats) -> Floats:
        """Below the highest."""
        return np.asarray((self.high - values) / self.width)


SCORERS: dict[str, type[AbstractScorer]] = {
    "absolute": Absolute,
    "squared": Squared,
    "nll": NegativeLogLikelihood,
    "p_value": PValue,
    "mahalanobis": Mahalanobis,
    "likelihood": Likelihood,
    "unrest": Unrest,
    "drift": Drift,
    "disagreement": Disagreement,
    "smooth": Smooth,
    "change": Change,
    "high": High,
    "low": Low,
}
"""Every scorer by its name."""
