"""Where to draw the alarm line: eight ways, fitted on scores of rows that no model has learned from.

All are told the same thing, how many healthy rows shall pass from one false alarm to the next
(`tsrnn.anomaly.base.AbstractThreshold`). `Quantile`, `ReturnLevel` and `Conformal` stand still; `Record` is the highest
score so far; `PeaksOverThreshold` (SPOT) learns from the scores that pass below it, `DriftingPeaks` (DSPOT) also
follows their level; `Dynamic` splits recent scores where they fall apart best; `FalseDiscovery` spends a budget of
false alarms and earns it back.
"""

from collections import deque
from dataclasses import dataclass
from math import expm1, log, sqrt
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter1d
from scipy.optimize import minimize_scalar
from scipy.stats import false_discovery_control, gumbel_r

from tsrnn.anomaly.base import AbstractThreshold, Line, State

__all__ = [
    "THRESHOLDS",
    "Conformal",
    "DriftingPeaks",
    "Dynamic",
    "FalseDiscovery",
    "PeaksOverThreshold",
    "Quantile",
    "Record",
    "ReturnLevel",
    "discoveries",
    "fit_pareto",
]

Floats = NDArray[np.float64]


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
        return state, Line(np.full(len(scores), self.height), _share_above(self.scores, scores))


@dataclass(frozen=True, eq=False)
class ReturnLevel(AbstractThreshold):
    """The height that healthy scores exceed at most once in ``every`` rows: an upper 95 % confidence bound.

    The largest score of each block of rows is kept, so that one long excursion counts once; a block is ``span`` rows,
    fewer where there would be less than 8 of them. A law of extremes is fitted to these maxima by maximum likelihood:
    Gumbel's, for tails as light as a normal or exponential one, or Fréchet's, for heavy ones, whichever explains them
    better. ``every`` may be far more rows than there are scores: the level is then an extrapolation, and the fewer the
    blocks the wider the margin. It holds as far as later rows are like these; no bound covers a regime not seen.

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
        location, scale = gumbel_r.fit(maxima)
        if maxima.min() > 0:
            logs = np.log(maxima)
            of_logs = gumbel_r.fit(logs)
            likelihood = gumbel_r.logpdf(logs, *of_logs).sum() - logs.sum()
            if likelihood > gumbel_r.logpdf(maxima, location, scale).sum():
                location, scale = of_logs[0], min(of_logs[1], _HEAVIEST)
                return cls(location, scale, True, block, float(np.exp(location + scale * margin)))
        return cls(location, scale, False, block, float(location + scale * margin))

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
        p = _share_above(self.maxima, scores)
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
        return {"highest": heights[-1]}, Line(heights[:-1], _share_above(self.scores, scores))


# Peaks over a threshold


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


# Recent scores


@dataclass(frozen=True, eq=False)
class Dynamic(AbstractThreshold):
    """The line, among those so many standard deviations above the mean, beyond which recent scores fall apart most.

    Beyond the line scores should be few, high and together. Runs that hardly rise above the next lower one, or above
    what is normal, are pruned. It is made for averaged errors (`tsrnn.anomaly.scorers.Smooth`), needs no law, and has
    its own idea of what is rare: ``every`` only sets the floor. The line of a row is drawn with its score, since it
    lies where it parts high scores from low ones; of rows that are below all the lines in question, the lowest of
    these is given. Constants are in rows and those of the authors' code; `dataclasses.replace` sets others.

    References
    ----------
    K. Hundman et al. (2018), Detecting spacecraft anomalies using LSTMs and nonparametric dynamic thresholding,
    sections 3.2 and 3.3.
    """

    recent: Floats
    """(window,): scores before the first row; NaN where there were none."""
    floor: float
    """No line is lower."""
    scores: Floats
    """Of the calibration rows, sorted."""
    batch: int = 70
    """Rows until mean and deviation are taken again."""
    padding: int = 100
    """Rows on both sides of a high score that count with it."""
    fall: float = 0.13
    """A run is kept if its maximum is this share above the next lower one, or if a higher run's next is pruned."""
    lowest: float = 2.5
    highest: float = 12.0
    """Standard deviations above the mean, in steps of a half; the highest where nothing falls apart."""

    @classmethod
    def fit(cls, scores: Floats, every: float, span: int) -> Self:
        """Keep the last 2,100 scores; the floor is the height that a share ``1 / every``, or 1 %, was above."""
        seen = scores[~np.isnan(scores)]
        recent = np.concatenate([np.full(_WINDOW, np.nan), seen])[-_WINDOW:]
        floor = float(np.quantile(seen, max(0.0, 1 - max(0.01, 1 / every)))) if len(seen) else np.inf
        return cls(recent, floor, np.sort(seen))

    def start(self) -> State:
        """The scores that the calibration rows ended with."""
        return {"recent": self.recent, "gate": np.array(np.inf), "row": np.array(0)}

    def step(self, state: State, scores: Floats) -> tuple[State, Line]:
        """The line at each row; p is the share of calibration rows that are as high, the row itself included."""
        gate, row, width = float(state["gate"]), int(state["row"]), len(state["recent"])
        seen = ~np.isnan(scores)
        known = np.concatenate([state["recent"], scores[seen]])
        gates, lines = np.full(len(known) - width + 1, gate), np.empty(len(known) - width)
        for i in range(len(lines)):
            if row % self.batch == 0:
                gate = self._gate(known[i : i + width])
            lines[i] = gate if known[i + width] <= gate else max(gate, self._line(known[i + 1 : i + 1 + width]))
            gates[i + 1], row = gate, row + 1
        heights = gates[np.cumsum(seen)]
        heights[seen] = lines
        after = {"recent": known[-width:], "gate": np.array(gate), "row": np.array(row % self.batch)}
        return after, Line(heights, _share_above(self.scores, scores))

    def _gate(self, window: Floats) -> float:
        window = window[~np.isnan(window)]
        return max(self.floor, float(window.mean() + self.lowest * window.std())) if len(window) else self.floor

    def _line(self, window: Floats) -> float:
        window = window[~np.isnan(window)]
        mean, spread = window.mean(), window.std()
        heights = mean + np.arange(self.lowest, self.highest + 0.25, 0.5) * spread
        high = window > heights[:, None]
        wide = maximum_filter1d(high.view(np.uint8), 2 * self.padding + 1, axis=1, mode="constant")
        n_wide, n_runs = wide.sum(axis=1), (np.diff(wide.astype(np.int8), axis=1, prepend=0) == 1).sum(axis=1)
        n_low = np.maximum(1, (~high).sum(axis=1))
        low_mean = np.where(high, 0, window).sum(axis=1) / n_low
        low_spread = np.sqrt(np.where(high, 0, (window - low_mean[:, None]) ** 2).sum(axis=1) / n_low)
        gain = (mean - low_mean) / mean + (spread - low_spread) / max(spread, 1e-300)
        gain /= np.maximum(1, n_wide + n_runs**2.0)
        gain[(n_wide == 0) | (n_runs > _MAX_RUNS) | (n_wide >= 0.5 * len(window))] = -np.inf
        best = len(gain) - 1 - int(gain[::-1].argmax())
        if gain[best] == -np.inf:
            return float(heights[-1])
        inside = wide[best] == 1
        starts = np.flatnonzero(np.diff(inside, prepend=False) & inside)
        tops = np.sort(np.maximum.reduceat(np.where(inside, window, -np.inf), starts))[::-1]
        ladder = np.append(tops, window[~inside].max())
        kept = np.flatnonzero((ladder[:-1] - ladder[1:]) / ladder[:-1] >= self.fall)
        pruned = tops[kept[-1] + 1 :] if len(kept) else tops
        return float(max([heights[best], *pruned]))


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

_MIN_BLOCKS = 8
_ONE_SIDED = 1.645  # standard errors of an upper 95 % confidence bound
_HEAVIEST = 0.25  # a Fréchet tail with four finite moments; a few dozen maxima cannot tell heavier ones apart
_PEAKS, _REFIT = 500, 10
_FEW = 30  # peaks; below, moments are surer than the likelihood
_SHAPES = 0.5  # of Pareto laws, either side: lighter ones have no regular likelihood, heavier ones no variance
_FOUND = 100  # alarms remembered; what older ones earned is spent
_WINDOW, _MAX_RUNS = 2100, 5


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
    return np.where(scores > level, by_law, _share_above(calibration, scores))


def _level(lag: NDArray[np.int64]) -> Floats:
    """The share of the budget for the test so many rows after it was earned; they sum to 1."""
    steps = np.maximum(1, lag)
    return np.asarray(0.0722 * np.log(np.maximum(2, steps)) / (steps * np.exp(np.sqrt(np.log(steps)))))


def _share_above(ordered: Floats, scores: Floats) -> Floats:
    """Share of sorted scores that are at least so high, each score counted with them; NaN where missing."""
    above = len(ordered) - np.searchsorted(ordered, scores, "left")
    return np.where(np.isnan(scores), np.nan, (1 + above) / (len(ordered) + 1))


def _block_maxima(scores: Floats, span: int) -> tuple[Floats, int]:
    """The highest score of each block of rows, and the rows of a block: the span, fewer where blocks would be few."""
    seen = scores[~np.isnan(scores)]
    block = max(1, min(span, len(seen) // _MIN_BLOCKS))
    n_blocks = len(seen) // block
    return seen[len(seen) - n_blocks * block :].reshape(n_blocks, block).max(axis=1, initial=-np.inf), block
