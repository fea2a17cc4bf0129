"""Scorers: from measured values and forecast residuals to how abnormal every sensor is, by five kinds of evidence.

A spike and a slow drift are seen by different eyes, so there are several scorers under one contract
(`AbstractScorer`): each is fitted on training rows and gives every sensor of every row a non-negative part; the
parts of a row add up to the square of its joint score. All are causal: a row's parts depend on that row and on rows
before it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tsrnn.anomaly.statistics import (
    contributions,
    ewma,
    moments,
    robust_scale,
    run_lengths,
    shrunk_correlation,
)

__all__ = ["SCORERS", "AbstractScorer", "Disagreement", "Drift", "Jump", "Rows", "Stuck", "Unrest"]

Floats = NDArray[np.float64]


class Rows(NamedTuple):
    """What a scorer sees: one row after the other in time order.

    Attributes
    ----------
    values : array of shape (R, C)
        The sensors as measured, NaN where missing.
    deviations : array of shape (R, C)
        Forecast residuals in robust standard deviations of the calibration rows, NaN where missing.
    learned : array of bool, shape (R,)
        Rows that the forecaster was fitted on; all False when scoring.
    calibration : array of bool, shape (R,)
        Training rows that it did not see; all False when scoring.
    """

    values: Floats
    deviations: Floats
    learned: NDArray[np.bool_]
    calibration: NDArray[np.bool_]


class AbstractScorer(ABC):
    """One kind of evidence. Subclasses are frozen dataclasses of arrays and numbers."""

    blind: ClassVar[str] = "it has no value in the calibration rows"
    """Why the parts of a sensor can be all missing."""

    @classmethod
    @abstractmethod
    def fit(cls, rows: Rows, span: int) -> Self:
        """Fit to the rows marked ``learned`` and ``calibration``; ``span`` is the memory of averages, in rows."""

    @abstractmethod
    def __call__(self, rows: Rows) -> Floats:
        """Parts of shape (R, C), at least 0; NaN where the sensor is missing or cannot be judged."""


@dataclass(frozen=True, eq=False)
class Jump(AbstractScorer):
    """Sudden faults: the squared Mahalanobis distance of the residuals of one row.

    It needs no memory, and knows how the residuals of sensors hang together: a residual that its neighbours do not
    share counts for more.

    References
    ----------
    H. Hotelling (1947), Multivariate quality control; P. Malhotra et al. (2015), Long short term memory networks for
    anomaly detection in time series, section 2 (residuals of a recurrent network).
    """

    correlation: Floats

    @classmethod
    def fit(cls, rows: Rows, span: int) -> Self:
        """Estimate the correlation of the residuals."""
        return cls(shrunk_correlation(rows.deviations[rows.calibration]))

    def __call__(self, rows: Rows) -> Floats:
        """Contributions to the squared distance."""
        return contributions(rows.deviations, self.correlation)


@dataclass(frozen=True, eq=False)
class Unrest(AbstractScorer):
    """Residuals that stay too large: the exponential average of the squared distances of `Jump`.

    Deviations count up to 4, so that a single spike does not ring on.

    References
    ----------
    K. Hundman et al. (2018), Detecting spacecraft anomalies using LSTMs and nonparametric dynamic thresholding,
    section 3.2 (averaged errors).
    """

    correlation: Floats
    span: int

    @classmethod
    def fit(cls, rows: Rows, span: int) -> Self:
        """Estimate the correlation of the residuals."""
        return cls(shrunk_correlation(rows.deviations[rows.calibration]), span)

    def __call__(self, rows: Rows) -> Floats:
        """Averages of the contributions."""
        return ewma(contributions(np.clip(rows.deviations, -4, 4), self.correlation), self.span)


@dataclass(frozen=True, eq=False)
class Drift(AbstractScorer):
    """Residuals that keep leaning to one side: the squared Mahalanobis distance of their exponential averages.

    Deviations count up to 3, so that it is the persistence that counts.

    References
    ----------
    C. A. Lowry et al. (1992), A multivariate exponentially weighted moving average control chart, Technometrics 34.
    """

    correlation: Floats
    span: int

    @classmethod
    def fit(cls, rows: Rows, span: int) -> Self:
        """Estimate the correlation of the residuals."""
        return cls(shrunk_correlation(rows.deviations[rows.calibration]), span)

    def __call__(self, rows: Rows) -> Floats:
        """Contributions to the squared distance of the averages."""
        leaning = ewma(np.clip(rows.deviations, -3, 3), self.span) * np.sqrt(self.span)
        return contributions(leaning, self.correlation)


@dataclass(frozen=True, eq=False)
class Stuck(AbstractScorer):
    """Values that do not change: rows since the last change, over the longest such run in the calibration rows.

    That run counts as 10 rows at least.
    """

    limit: Floats
    blind: ClassVar[str] = "it hardly changes, or has no value, in the calibration rows"

    @classmethod
    def fit(cls, rows: Rows, span: int) -> Self:
        """Find the longest run; a sensor that stands still for a tenth of the calibration rows is not judged."""
        runs = run_lengths(rows.values[rows.calibration])
        longest = np.nan_to_num(runs).max(axis=0, initial=0)
        return cls(np.where((longest == 0) | (longest > 0.1 * len(runs)), np.nan, np.maximum(longest, 10)))

    def __call__(self, rows: Rows) -> Floats:
        """Squared run lengths in units of the limit."""
        return np.asarray((run_lengths(rows.values) / self.limit) ** 2)


@dataclass(frozen=True, eq=False)
class Disagreement(AbstractScorer):
    """Sensors that no longer fit each other, whatever each of them did before.

    A forecast one step ahead follows a slow fault and forgives it. Here every sensor is estimated from the others at
    the same time, by ridge regression on their values, exponential averages and (up to 16 sensors, rows permitting)
    pairwise products; the averaged errors of these estimates are scored. An error counts for less where the others
    stand as they hardly ever stood in the learned rows: it is divided by ``sqrt(1 + span h)`` with ``h`` the
    leverage of the row, the standard deviation of an estimate whose errors hang together over ``span`` rows. The
    scorer is silent in rows where a sensor is missing.

    References
    ----------
    D. M. Hawkins (1991), Multivariate quality control based on regression-adjusted variables, Technometrics 33.
    """

    center: Floats
    spread: Floats
    gram: Floats
    cross: Floats
    location: Floats
    scale: Floats
    correlation: Floats
    span: int
    products: bool
    blind: ClassVar[str] = "there is no other sensor, or there are too few rows in which all are present"

    @classmethod
    def fit(cls, rows: Rows, span: int) -> Self:
        """Regress every sensor on the others over the learned rows; measure the errors on the calibration rows."""
        center, spread = moments(rows.values[rows.learned])
        levels = (rows.values[rows.learned] - center) / spread
        complete, size = ~np.isnan(levels).any(axis=1), levels.shape[1]
        products = (
            size <= _MAX_WITH_PRODUCTS
            and complete.sum() >= _ROWS_A_FEATURE * _features(levels[:0], span, True)[0].shape[1]
        )
        known = _features(levels, span, products)[0][complete]
        enough = size > 1 and len(known) >= _ROWS_A_FEATURE * known.shape[1]
        gram = known.T @ known if enough else np.full((known.shape[1], known.shape[1]), np.nan)
        unit = cls(
            center,
            spread,
            gram,
            known.T @ levels[complete],
            np.zeros(size),
            np.ones(size),
            np.eye(size),
            span,
            products,
        )
        errors = unit._errors(rows.values)
        _, least = robust_scale(errors[rows.learned], np.full(size, 1e-9))
        errors = errors[rows.calibration]
        location, scale = robust_scale(errors, np.nan_to_num(least))
        return replace(
            unit, location=location, scale=scale, correlation=shrunk_correlation((errors - location) / scale)
        )

    def __call__(self, rows: Rows) -> Floats:
        """Contributions to the squared Mahalanobis distance of the averaged errors."""
        return contributions((self._errors(rows.values) - self.location) / self.scale, self.correlation)

    def _errors(self, values: Floats) -> Floats:
        levels = (values - self.center) / self.spread
        features, uses = _features(levels, self.span, self.products)
        errors = np.full_like(levels, np.nan)
        for c in range(levels.shape[1] if np.isfinite(self.gram).all() else 0):
            others = np.flatnonzero(~uses[:, c])
            inverse = np.linalg.inv(self.gram[np.ix_(others, others)] + _RIDGE * np.eye(len(others)))
            known = features[:, others]
            leverage = np.einsum("ij,ij->i", known @ inverse, known)
            errors[:, c] = (levels[:, c] - known @ (inverse @ self.cross[others, c])) / np.sqrt(
                1 + self.span * leverage
            )
        return ewma(np.where(np.isnan(errors).any(axis=1, keepdims=True), np.nan, errors), max(1, self.span // 3))


SCORERS: dict[str, type[AbstractScorer]] = {
    "jump": Jump,
    "unrest": Unrest,
    "drift": Drift,
    "stuck": Stuck,
    "disagreement": Disagreement,
}
"""Every scorer by the name that events carry as their kind."""

_MAX_WITH_PRODUCTS = 16  # sensors; the number of products grows with the square
_ROWS_A_FEATURE = 10  # that the learned rows must hold
_RIDGE = 10.0  # standardised values: the weight of ten more rows that say "no relation"


def _features(levels: Floats, span: int, products: bool) -> tuple[Floats, NDArray[np.bool_]]:
    """What the sensors offer to estimate each other by, (R, F), and which sensors each feature uses, (F, C)."""
    n_rows, size = levels.shape
    own = np.eye(size, dtype=bool)
    blocks, uses = [np.ones((n_rows, 1)), levels, ewma(levels, span)], [np.zeros((1, size), bool), own, own]
    if products:
        first, second = np.triu_indices(size)
        blocks.append(levels[:, first] * levels[:, second])
        uses.append(own[first] | own[second])
    return np.concatenate(blocks, axis=1), np.concatenate(uses)
