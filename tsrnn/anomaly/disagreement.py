"""Evidence from how sensors hang together: each one estimated from all others at the same time."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tsrnn.anomaly.base import AbstractScorer, Evidence, State
from tsrnn.anomaly.statistics import contributions, each_row, ewma, moments, robust_scale, shrunk_correlation

__all__ = ["Disagreement"]

Floats = NDArray[np.float64]

_MAX_WITH_PRODUCTS = 16  # sensors; the number of products grows with the square
_ROWS_A_FEATURE = 10  # that the learned rows must hold
_CLIPPED = 4.0  # scales of an estimate's error in calibration rows
_RIDGE = 10.0  # standardised values: the weight of ten more rows that say "no relation"


@dataclass(frozen=True, eq=False)
class Disagreement(AbstractScorer):
    """Sensors that no longer fit each other, whatever each of them did before.

    A forecast one step ahead follows a slow fault and forgives it. Here every sensor is estimated from the others at
    the same time, by ridge regression on their values, exponential averages and (up to 16 sensors, rows permitting)
    pairwise products; the averaged errors of these estimates are scored. An error counts for less where the others
    stand as they hardly ever stood in the learned rows: it is divided by ``sqrt(1 + span h)`` with ``h`` the
    leverage of the row, the standard deviation of an estimate whose errors hang together over ``span`` rows. The
    scorer is silent in rows where a sensor is missing, and altogether where there is no other sensor or too few rows
    in which all are present.

    References
    ----------
    D. M. Hawkins (1991), Multivariate quality control based on regression-adjusted variables, Technometrics 33.
    """

    center: Floats
    spread: Floats
    inverse: Floats
    """(C, F, F): of the regularised Gram matrix of the features that do not use the sensor; 0 for those that do."""
    weights: Floats
    """(F, C): of the features in the estimate of each sensor; NaN where there is none."""
    limit: Floats
    """(C,): errors count up to it, so that a single spike does not ring on."""
    location: Floats
    scale: Floats
    correlation: Floats
    span: int
    products: bool
    kind: ClassVar[str] = "multisensor"

    @classmethod
    def fit(cls, evidence: Evidence, calibration: NDArray[np.bool_], span: int) -> Self:
        """Regress every sensor on the others over the learned rows; measure the errors on the calibration rows."""
        learned = evidence.values[~calibration]
        center, spread = moments(learned)
        levels = (learned - center) / spread
        complete, size = ~np.isnan(levels).any(axis=1), levels.shape[1]
        products = size <= _MAX_WITH_PRODUCTS and complete.sum() >= _ROWS_A_FEATURE * (1 + size * (size + 5) // 2)
        features, uses = _features(levels, ewma(levels, span, np.zeros(size))[1], products)
        known, n_features = features[complete], features.shape[1]
        inverse, weights = np.zeros((size, n_features, n_features)), np.full((n_features, size), np.nan)
        if size > 1 and len(known) >= _ROWS_A_FEATURE * n_features:
            gram, cross = known.T @ known, known.T @ levels[complete]
            for c in range(size):
                others = np.flatnonzero(~uses[:, c])
                block = np.linalg.inv(gram[np.ix_(others, others)] + _RIDGE * np.eye(len(others)))
                inverse[c][np.ix_(others, others)] = block
                weights[:, c] = 0
                weights[others, c] = block @ cross[others, c]
        none, one = np.zeros(size), np.ones(size)
        unit = cls(center, spread, inverse, weights, np.inf * one, none, one, np.eye(size), span, products)
        _, raw = unit._estimated(unit.start(), evidence.values)
        unit = replace(unit, limit=_CLIPPED * np.nan_to_num(robust_scale(raw[calibration], 1e-9 * one)[1], nan=np.inf))
        _, errors = unit._errors(unit.start(), evidence.values)
        _, least = robust_scale(errors[~calibration], np.full(size, 1e-9))
        errors = errors[calibration]
        location, scale = robust_scale(errors, np.nan_to_num(least))
        return replace(
            unit, location=location, scale=scale, correlation=shrunk_correlation((errors - location) / scale)
        )

    def start(self) -> State:
        """Averages of 0."""
        return {"levels": np.zeros(len(self.center)), "errors": np.zeros(len(self.center))}

    def step(self, state: State, evidence: Evidence) -> tuple[State, Floats]:
        """Contributions to the squared Mahalanobis distance of the averaged errors."""
        state, errors = self._errors(state, evidence.values)
        return state, contributions((errors - self.location) / self.scale, self.correlation)

    def _errors(self, state: State, values: Floats) -> tuple[State, Floats]:
        carry, errors = self._estimated(state, values)
        after, averaged = ewma(np.clip(errors, -self.limit, self.limit), max(1, self.span // 3), state["errors"])
        return {"levels": carry, "errors": after}, averaged

    def _estimated(self, state: State, values: Floats) -> tuple[Floats, Floats]:
        levels = (values - self.center) / self.spread
        carry, averages = ewma(levels, self.span, state["levels"])
        features, _ = _features(levels, averages, self.products)
        errors = np.full_like(levels, np.nan)
        for c, (inverse, weights) in enumerate(zip(self.inverse, self.weights.T, strict=True)):
            leverage = (features * each_row(features, inverse)).sum(axis=1)
            estimate = (features * weights).sum(axis=1)
            errors[:, c] = (levels[:, c] - estimate) / np.sqrt(1 + self.span * leverage)
        errors[np.isnan(errors).any(axis=1)] = np.nan
        return carry, errors


def _features(levels: Floats, averages: Floats, products: bool) -> tuple[Floats, NDArray[np.bool_]]:
    """What the sensors offer to estimate each other by, (R, F), and which sensors each feature uses, (F, C)."""
    n_rows, size = levels.shape
    own = np.eye(size, dtype=bool)
    blocks, uses = [np.ones((n_rows, 1)), levels, averages], [np.zeros((1, size), bool), own, own]
    if products:
        first, second = np.triu_indices(size)
        blocks.append(levels[:, first] * levels[:, second])
        uses.append(own[first] | own[second])
    return np.ascontiguousarray(np.concatenate(blocks, axis=1)), np.concatenate(uses)
