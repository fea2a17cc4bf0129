"""Where to draw the alarm line: eight ways, fitted on scores of rows that no model has learned from.

All are told the same thing, how many healthy rows shall pass from one false alarm to the next
(`tsrnn.anomaly.base.AbstractThreshold`). `Quantile`, `ReturnLevel` and `Conformal` stand still; `Record` is the highest
score so far; `PeaksOverThreshold` (SPOT) learns from the scores that pass below it, `DriftingPeaks` (DSPOT) also
follows their level; `Dynamic` splits recent scores where they fall apart best; `FalseDiscovery` spends a budget of
false alarms and earns it back.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control, gumbel_r, poisson

from tsrnn.anomaly.base import AbstractThreshold, Line, State
from tsrnn.anomaly.dynamic import Dynamic
from tsrnn.anomaly.peaks import DriftingPeaks, FalseDiscovery, PeaksOverThreshold
from tsrnn.anomaly.statistics import share_above

__all__ = ["THRESHOLDS", "Conformal", "Quantile", "Record", "ReturnLevel", "discoveries"]

Floats = NDArray[np.float64]

_MIN_BLOCKS = 8
_ONE_SIDED = 1.645  # standard errors of an upper 95 % confidence bound
_HEAVIEST = 0.25  # a Fréchet tail with four finite moments; a few dozen maxima cannot tell heavier ones apart


def discoveries(p: ArrayLike, alpha: float = 0.1) -> NDArray[np.bool_]:
    """Which of many p-values to call alarms so that the expected share of false ones among them is at most alpha.

    Parameters
    ----------
    p : array of shape (n,)
        P-values of all rows or events of a batch; NaN are no alarms.
    alpha : float, default 0.1
        The share, 0 to 1.

    References
    ----------
    Y. Benjamini and Y. Hochberg (1995), Controlling the false discovery rate, section 3.

    Examples
    --------
    >>> discoveries([0.001, 0.02, 0.03, 0.5], alpha=0.05)
    array([ True,  True,  True, False])
    """
    p = np.asarray(p, float)
    found = np.zeros(p.shape, bool)
    seen = ~np.isnan(p)
    if seen.any():
        found[seen] = false_discovery_control(p[seen]) <= alpha
    return found


# Lines that stand still


@dataclass(frozen=True, eq=False)
class Quantile(AbstractThreshold):
    """The height above which one calibration row in ``every`` was; the highest of them if they are fewer."""

    scores: Floats
    """Of the calibration rows, sorted."""
    height: float

    @classmethod
    def fit(cls, scores: Floats, every: float, span: int) -> Self:
        """Sort them."""
        seen = np.sort(scores[~np.isnan(scores)])
        return cls(seen, float(np.quantile(seen, max(0.0, 1 - 1 / every), method="higher")) if len(seen) else np.inf)

    def step(self, state: State, scores: Floats) -> tuple[State, Line]:
        """The same line for all rows; p is the share of calibration rows that are as high, the row itself included."""
        return state, Line(np.full(len(scores), self.height), share_above(self.scores, scores))


@dataclass(frozen=True, eq=False)
class ReturnLevel(AbstractThreshold):
    """The height that healthy scores exceed at most once in ``every`` rows: an upper 95 % confidence bound.

    The largest score of each block of rows is kept, so that one long excursion counts once; a block is ``span`` rows,
    fewer where there would be less than 8 of them. A law of extremes is fitted to these maxima by maximum likelihood:
    Gumbel's, for tails as light as a normal or exponential one, or Fréchet's, for heavy ones, whichever explains them
    better. ``every`` may be far more rows than there are scores: the level is then an extrapolation, and the fewer the
    blocks the wider the margin. A level that calibration rows were above more often than chance allows at 95 % is
    raised until they are not: a few rows, which may be faults themselves, do not raise it; a law that does not fit
    does. It holds as far as later rows are like these; no bound covers a regime not seen.

    References
    ----------
    S. Coles (2001), An Introduction to Statistical Modeling of Extreme Values, section 3.1 (block maxima, return
    levels); N. L. Johnson, S. Kotz and N. Balakrishnan (1995), Continuous Univariate Distributions 2, chapter 22
    (standard errors of the maximum likelihood estimates of Gumbel's law).

    Examples
    --------
    >>> scores = np.abs(np.random.default_rng(0).normal(size=2000))
    >>> line = ReturnLevel.fit(scores, every=10_000, span=50)
    >>> 4 < line.height < 5  # a normal value is 3.9 off once in 10,000 times
    True
    """

    location: float
    scale: float
    heavy: bool
    """Fréchet's law: location and scale are of logarithms."""
    block: int
    height: float

    @classmethod
    def fit(cls, scores: Floats, every: float, span: int) -> Self:
        """Fit both laws to the maxima of blocks."""
        maxima, block = _block_maxima(scores, span)
        if not len(maxima):
            return cls(np.nan, np.nan, False, 1, np.inf)
        if np.ptp(maxima) == 0:
            return cls(maxima[0], 0.0, False, block, maxima[0])
        rarity = -np.log(-np.log1p(-min(block / every, 0.99)))
        error = np.sqrt((1.10867 + 0.51404 * rarity + 0.60793 * rarity**2) / len(maxima))
        margin = rarity + _ONE_SIDED * error
        usual = poisson.ppf(0.95, len(maxima) * block / every)
        location, scale = gumbel_r.fit(maxima)
        if maxima.min() > 0:
            logs = np.log(maxima)
            of_logs = gumbel_r.fit(logs)
            likelihood = gumbel_r.logpdf(logs, *of_logs).sum() - logs.sum()
            if likelihood > gumbel_r.logpdf(maxima, location, scale).sum():
                location, scale = of_logs[0], min(of_logs[1], _HEAVIEST)
                return cls(location, scale, True, block, _borne_out(np.exp(location + scale * margin), maxima, usual))
        return cls(location, scale, False, block, _borne_out(location + scale * margin, maxima, usual))

    def step(self, state: State, scores: Floats) -> tuple[State, Line]:
        """The same line for all rows; p by the law of extremes, without the margin."""
        heights = np.log(np.maximum(scores, 1e-300)) if self.heavy else scores
        with np.errstate(over="ignore"):
            if self.scale == 0:
                p = np.where(heights > self.location, 1 / (self.block + 1), np.where(np.isnan(heights), np.nan, 1.0))
            else:
                p = -np.expm1(-np.exp((self.location - heights) / self.scale) / self.block)
        return state, Line(np.full(len(scores), self.height), np.asarray(p))


@dataclass(frozen=True, eq=False)
class Conformal(AbstractThreshold):
    """The height that no law is needed for: a block of rows is as high by chance with probability ``span / every``.

    P-values of single rows would be valid only if rows were exchangeable, which scores with a memory are not; so
    blocks of ``span`` rows are compared, by their maxima. With m blocks p-values end at ``1 / (m + 1)``: where that is
    above ``span / every`` the line is the highest calibration score, and false alarms come more often than asked.

    References
    ----------
    V. Vovk, A. Gammerman and G. Shafer (2005), Algorithmic Learning in a Random World, section 2.2 (p-values);
    V. Chernozhukov, K. Wüthrich and Y. Zhu (2018), Exact and robust conformal inference methods for predictive machine
    learning with dependent data, section 2 (blocks).
    """

    maxima: Floats
    """Of the blocks, sorted."""
    block: int
    height: float

    @classmethod
    def fit(cls, scores: Floats, every: float, span: int) -> Self:
        """Sort the maxima of blocks."""
        maxima, block = _block_maxima(scores, span)
        if not len(maxima):
            return cls(maxima, block, np.inf)
        above = int(min(1.0, block / every) * (len(maxima) + 1))  # blocks as high as the line, the new one included
        ordered = np.sort(maxima)
        return cls(ordered, block, float(ordered[-min(max(1, above), len(maxima))]))

    def step(self, state: State, scores: Floats) -> tuple[State, Line]:
        """The same line for all rows; p is that of a block, spread over its rows."""
        p = share_above(self.maxima, scores)
        return state, Line(np.full(len(scores), self.height), 1 - (1 - p) ** (1 / self.block))


@dataclass(frozen=True, eq=False)
class Record(AbstractThreshold):
    """The highest score so far: what is above it is an alarm, and the next one to beat.

    Among n exchangeable scores the next is the highest with probability 1 / (n + 1): the line is calibrated without
    a law or a constant, it follows scores that were too modest on the calibration rows, and false alarms become ever
    rarer, about ``log(1 + m / n)`` in m rows after n. Of ``every`` it takes no notice. What is smaller than a fault
    before it is not found.

    References
    ----------
    B. C. Arnold, N. Balakrishnan and H. N. Nagaraja (1998), Records, section 2.5 (number of records).

    Examples
    --------
    >>> line = Record.fit(np.array([1.0, 3.0]), every=100, span=1)
    >>> line.step(line.start(), np.array([2.0, 5.0, 4.0, 6.0]))[1].height
    array([3., 3., 5., 5.])
    """

    scores: Floats
    """Of the calibration rows, sorted."""

    @classmethod
    def fit(cls, scores: Floats, every: float, span: int) -> Self:
        """Sort them."""
        return cls(np.sort(scores[~np.isnan(scores)]))

    def start(self) -> State:
        """The highest of the calibration rows, at least 1, the unit of standardised scores."""
        return {"highest": np.array(max(self.scores[-1], 1.0) if len(self.scores) else np.inf)}

    def step(self, state: State, scores: Floats) -> tuple[State, Line]:
        """The highest score before each row; p is the share of calibration rows that are as high, itself included."""
        heights = np.fmax.accumulate(np.append(state["highest"], scores))
        return {"highest": heights[-1]}, Line(heights[:-1], share_above(self.scores, scores))


THRESHOLDS: dict[str, type[AbstractThreshold]] = {
    "quantile": Quantile,
    "return_level": ReturnLevel,
    "conformal": Conformal,
    "record": Record,
    "spot": PeaksOverThreshold,
    "dspot": DriftingPeaks,
    "fdr": FalseDiscovery,
    "dynamic": Dynamic,
}
"""Every threshold by its name."""


def _borne_out(height: float, maxima: Floats, usual: float) -> float:
    """The height, or the lowest maximum above it that no more runs of blocks than are usual were above."""

    def n_runs(line: float) -> int:
        above = maxima > line
        return int((above & ~np.append(False, above[:-1])).sum())

    return float(next(line for line in (height, *np.sort(maxima[maxima > height])) if n_runs(line) <= usual))


def _block_maxima(scores: Floats, span: int) -> tuple[Floats, int]:
    """The highest score of each block of rows, and the rows of a block: the span, fewer where blocks would be few."""
    seen = scores[~np.isnan(scores)]
    block = max(1, min(span, len(seen) // _MIN_BLOCKS))
    n_blocks = len(seen) // block
    return seen[len(seen) - n_blocks * block :].reshape(n_blocks, block).max(axis=1, initial=-np.inf), block
