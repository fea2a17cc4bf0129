"""Alarm lines from peaks over a high level: a law of extremes that learns as healthy peaks go by, false discoveries."""

from collections import deque
from dataclasses import dataclass
from math import expm1, log, sqrt
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from tsrnn.anomaly.base import AbstractThreshold, Line, State
from tsrnn.anomaly.statistics import share_above

__all__ = ["DriftingPeaks", "FalseDiscovery", "PeaksOverThreshold", "fit_pareto"]

Floats = NDArray[np.float64]

_PEAKS, _REFIT = 500, 10
_ONE_SIDED = 1.645  # standard errors of an upper 95 % confidence bound
_FEW = 30  # peaks; below, moments are surer than the likelihood
_SHAPES = 0.5  # of Pareto laws, either side: lighter ones have no regular likelihood, heavier ones no variance
_FOUND = 100  # alarms remembered; what older ones earned is spent


@dataclass(frozen=True, eq=False)
class _AbstractPeaks(AbstractThreshold):
    level: float
    peaks: Floats
    """Peaks of the calibration rows less the level, at most 500."""
    counts: NDArray[np.int64]
    """(2,): how many rows were above the level, and how many there were."""
    apart: float
    """Share of the rows above the level that are no mere continuation of another one: the extremal index."""
    levels: Floats
    """(memory * span,): the last scores, against whose mean scores are held."""
    scores: Floats
    """Of the calibration rows, less such means, sorted."""
    every: float
    span: int
    memory: ClassVar[int]
    """Scores whose mean a score is held against, in spans."""

    @classmethod
    def fit(cls, scores: Floats, every: float, span: int) -> Self:
        """Choose the level, the 98 % quantile or a lower one with 100 rows above it, and gather the peaks."""
        seen = scores[~np.isnan(scores)]
        depth = min(cls.memory * span, len(seen) // 2)
        levels = seen[len(seen) - depth :]
        if depth:
            total = np.concatenate([[0.0], np.cumsum(seen)])
            seen = (seen - (total[:-1] - np.roll(total, depth)[:-1]) / depth)[depth:]
        share = max(0.5, min(0.98, 1 - 100 / max(1, len(seen)), 1 - 5 / every))
        level = float(np.quantile(seen, share, method="higher")) if len(seen) else np.inf
        above = seen > level
        peaks = (seen[above] - level)[-_PEAKS:]
        counts = np.array([above.sum(), len(seen)])
        return cls(level, peaks, counts, _extremal_index(np.flatnonzero(above)), levels, np.sort(seen), every, span)

    def start(self) -> State:
        """The law of the calibration rows."""
        above, rows = self.counts.tolist()
        law = fit_pareto(self.peaks)
        return {
            "law": np.array([*law, self._line(*law, above, rows)]),
            "peaks": np.concatenate([np.full(_PEAKS - len(self.peaks), np.nan), self.peaks]),
            "counts": np.array([*self.counts, self.span]),
            "levels": self.levels,
            "total": np.array(self.levels.sum()),
        }

    def step(self, state: State, scores: Floats) -> tuple[State, Line]:
        """The line before each row; p by the law above the level, by the calibration rows below it."""
        shape, scale, line = state["law"].tolist()
        above, rows, pause = state["counts"].tolist()
        peaks, levels = (deque(state[name].tolist(), state[name].size) for name in ("peaks", "levels"))
        total = float(state["total"])
        base = total / max(1, len(levels))
        lines, bases, laws = np.empty(len(scores)), np.empty(len(scores)), np.empty((len(scores), 3))
        for i, score in enumerate(scores.tolist()):
            lines[i], bases[i], laws[i] = line, base, (shape, scale, above / max(1, rows))
            if score != score:  # missing
                continue
            x, pause = score - base, pause + 1
            if x > line:
                known, pause = pause > self.span, 0
                if not known:
                    continue
            rows += 1
            if levels:
                total += min(score, base + line) - levels[0]
                levels.append(min(score, base + line))
                base = total / len(levels)
            if x > self.level:
                above += 1
                peaks.append(min(x, line) - self.level)
                if above % _REFIT == 0:
                    shape, scale = fit_pareto(np.array(peaks))
                line = self._line(shape, scale, above, rows)
        after = {
            "law": np.array([shape, scale, line]),
            "peaks": np.array(peaks),
            "counts": np.array([above, rows, pause]),
            "levels": np.array(levels),
            "total": np.array(total),
        }
        return after, Line(lines + bases, _pareto_p(scores - bases, self.level, laws, self.scores))

    def _line(self, shape: float, scale: float, above: int, rows: int) -> float:
        """An upper 95 % confidence bound."""
        # Clusters are smaller at the line than at the level: the root of their size there proved right (tests).
        rarity = above / max(1, rows) * sqrt(self.apart) * self.every  # rows above the level in ``every``
        line = _pareto_height(self.level, shape, scale, rarity)
        if line == self.level:
            return line
        steep = (line - self.level) / scale
        bend = (rarity**shape * log(rarity) - steep) / shape if abs(shape) > 1e-6 else log(rarity) ** 2 / 2
        effective = max(1, min(above, _PEAKS) * self.apart)
        variance = (1 + shape) * (2 * steep**2 - 2 * steep * bend + (1 + shape) * bend**2) + rarity ** (2 * shape)
        return line + _ONE_SIDED * scale * sqrt(variance / effective)


@dataclass(frozen=True, eq=False)
class PeaksOverThreshold(_AbstractPeaks):
    """SPOT: a generalized Pareto law of the peaks over a high level, refitted as healthy peaks go by.

    The line is where healthy scores come once in ``every`` rows, those that hang together counting as one: an upper
    95 % confidence bound of that height. The law is refitted to the last 500 peaks after every tenth, and the line
    drawn anew after each. Of alarms that are not more than ``span`` rows apart only the first is learned, as if it were
    at the line: if none were, as in the paper, what is cut off would make the tail look short and the line sink.

    References
    ----------
    A. Siffer et al. (2017), Anomaly detection in streams with extreme value theory, KDD, section 4; C. A. T. Ferro and
    J. Segers (2003), Inference for clusters of extreme values, section 2.3 (which scores hang together); S.
    Coles (2001), An Introduction to Statistical Modeling of Extreme Values, section 4.3.3 (the standard error).

    Examples
    --------
    >>> scores = np.random.default_rng(0).exponential(size=5000)
    >>> line = PeaksOverThreshold.fit(scores, every=10_000, span=1)
    >>> _, (height, p) = line.step(line.start(), np.array([0.5, 9.2]))
    >>> 7 < height.item(0) < 12  # an exponential value is above 9.2 once in 10,000 times
    True
    """

    memory: ClassVar[int] = 0


@dataclass(frozen=True, eq=False)
class DriftingPeaks(_AbstractPeaks):
    """DSPOT: as `PeaksOverThreshold`, of scores less the mean of the last ``10 span`` healthy ones.

    It follows a level that moves slowly; scores that rise slowly are therefore never found by it.

    References
    ----------
    A. Siffer et al. (2017), Anomaly detection in streams with extreme value theory, KDD, section 4.3.
    """

    memory: ClassVar[int] = 10


@dataclass(frozen=True, eq=False)
class FalseDiscovery(AbstractThreshold):
    """LORD: a line that keeps the share of false alarms among all alarms below ``alpha``, however many there are.

    Every row is a test at a level of its own. The levels sum up to ``alpha``, most of it in the first rows, and every
    alarm earns another ``alpha``; alarms closer than ``span`` rows are one. So the line creeps up while nothing is
    found and comes down after an alarm. Of ``every`` it takes no notice: shares and rates are different things. The
    p-values are those of `PeaksOverThreshold` as fitted.

    References
    ----------
    A. Ramdas et al. (2017), Online control of the false discovery rate with decaying memory, section 3.1 (LORD++);
    A. Javanmard and A. Montanari (2018), Online rules for control of false discovery rate and false discovery
    exceedance, equation 31 (the sequence of levels).
    """

    law: Floats
    """(3,): shape, scale, and the share of rows above the level."""
    level: float
    scores: Floats
    """Of the calibration rows, sorted."""
    span: int
    alpha: float = 0.1

    @classmethod
    def fit(cls, scores: Floats, every: float, span: int) -> Self:
        """Fit the law of peaks."""
        peaks = PeaksOverThreshold.fit(scores, every, span)
        law = np.array([*fit_pareto(peaks.peaks), peaks.counts[0] / max(1, peaks.counts[1])])
        return cls(law, peaks.level, peaks.scores, span)

    def start(self) -> State:
        """Nothing found yet."""
        return {"row": np.array(0), "found": np.full(_FOUND, -1), "first": np.array(-1)}

    def step(self, state: State, scores: Floats) -> tuple[State, Line]:
        """The height whose p-value is the level of each row's test."""
        shape, scale, share = self.law.tolist()
        row, first, found = int(state["row"]), int(state["first"]), state["found"].copy()
        lines = np.empty(len(scores))
        for i, score in enumerate(scores.tolist()):
            earned = np.append(found, [first, 0])
            amounts = np.append(np.where((found >= 0) & (found != first), 1.0, 0.0), [0.5 * (first >= 0), 0.5])
            spent = self.alpha * float((amounts * _level(row + 1 - earned)).sum())
            lines[i] = _pareto_height(self.level, shape, scale, share / spent)
            if score != score:  # missing
                continue
            row += 1
            if score > lines[i] and (found[-1] < 0 or row - found[-1] > self.span):
                found = np.append(found[1:], row)
                first = row if first < 0 else first
        p = _pareto_p(scores, self.level, np.tile(self.law, (len(scores), 1)), self.scores)
        return {"row": np.array(row), "found": found, "first": np.array(first)}, Line(lines, p)


def fit_pareto(peaks: Floats) -> tuple[float, float]:
    """Shape and scale of a generalized Pareto law, by maximum likelihood over one parameter; by moments for few peaks.

    With ``x = shape / scale`` given, the likelihood is highest at the shape ``mean(log(1 + x peak))``: what is left is
    a function of x alone, whose stationary points are Grimshaw's roots. It is searched on a grid and then refined,
    shapes between -0.5 and 0.5. Fewer than 30 peaks: probability-weighted moments.

    Parameters
    ----------
    peaks : array of shape (n,)
        Above 0; NaN are left out.

    Returns
    -------
    shape, scale : float
        Both 0 when there are no peaks.

    References
    ----------
    S. D. Grimshaw (1993), Computing maximum likelihood estimates for the generalized Pareto distribution,
    Technometrics 35; J. R. M. Hosking and J. R. Wallis (1987), Parameter and quantile estimation for the generalized
    Pareto distribution, Technometrics 29, section 3.

    Examples
    --------
    >>> shape, scale = fit_pareto(np.random.default_rng(0).exponential(2.0, size=1000))
    >>> abs(shape) < 0.1 and abs(scale - 2) < 0.2
    True
    """
    peaks = np.sort(peaks[~np.isnan(peaks)])
    if not len(peaks):
        return 0.0, 0.0
    mean = peaks.mean()
    y = peaks / mean
    if len(peaks) < _FEW:
        ranks = (np.arange(len(y)) + 0.65) / len(y)  # plotting positions of Hosking and Wallis
        weighted = float(((1 - ranks) * y).mean())
        shape = float(np.clip(2 - 1 / (1 - 2 * weighted), -_SHAPES, _SHAPES)) if weighted < 0.49 else -_SHAPES
        return shape, float((1 - shape) * mean)
    grid = np.concatenate([-np.linspace(0.995, 0.005, 60) / y[-1], np.geomspace(0.005, 5.0, 60)])
    shapes = np.log1p(np.outer(grid, y)).mean(axis=1)
    fits = np.where(np.abs(shapes) <= _SHAPES, -np.log(shapes / grid) - shapes, -np.inf)
    best = int(fits.argmax())
    if fits[best] <= 0:  # the exponential law's, with which the others merge at 0
        return 0.0, float(mean)
    ends = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
    root = minimize_scalar(lambda x: np.log(np.log1p(x * y).mean() / x) + np.log1p(x * y).mean(), bounds=ends).x
    shape = float(np.clip(np.log1p(root * y).mean(), -_SHAPES, _SHAPES))
    return shape, float(shape / root * mean)


def _extremal_index(rows: NDArray[np.int64]) -> float:
    """One over the mean size of the clusters that rows above a level come in, from the times between them."""
    pauses = np.diff(rows).astype(float)
    if len(pauses) < 2:
        return 1.0
    if pauses.max() > 2:
        return float(min(1, 2 * (pauses - 1).sum() ** 2 / (len(pauses) * ((pauses - 1) * (pauses - 2)).sum())))
    return float(min(1, 2 * pauses.sum() ** 2 / (len(pauses) * (pauses**2).sum())))


def _pareto_height(level: float, shape: float, scale: float, rarity: float) -> float:
    """What one in so many scores above the level is higher than; the level, if less than one."""
    if scale == 0 or rarity <= 1:
        return level
    return level + scale * (expm1(shape * log(rarity)) / shape if shape else log(rarity))


def _pareto_p(scores: Floats, level: float, laws: Floats, calibration: Floats) -> Floats:
    """P-values of scores above a level by laws (shape, scale, share of rows above), (n, 3); below it by rows seen."""
    shape, scale, share = np.ascontiguousarray(laws.T)
    excess = np.maximum(0, scores - level) / np.where(scale > 0, scale, 1)
    with np.errstate(divide="ignore"):
        logs = np.where(shape == 0, -excess, -np.log1p(np.maximum(-1, shape * excess)) / np.where(shape, shape, 1))
    by_law = np.where(scale > 0, share * np.exp(logs), 1 / (len(calibration) + 1))
    return np.where(scores > level, by_law, share_above(calibration, scores))


def _level(lag: NDArray[np.int64]) -> Floats:
    """The share of the budget for the test so many rows after it was earned; they sum to 1."""
    steps = np.maximum(1, lag)
    return np.asarray(0.0722 * np.log(np.maximum(2, steps)) / (steps * np.exp(np.sqrt(np.log(steps)))))
