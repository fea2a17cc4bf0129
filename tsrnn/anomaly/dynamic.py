"""An alarm line without a law: where recent scores fall apart into few high ones and the rest."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from tsrnn.anomaly.base import AbstractThreshold, Line, State
from tsrnn.anomaly.statistics import share_above

__all__ = ["Dynamic"]

Floats = NDArray[np.float64]

_WINDOW, _MAX_RUNS, _LEAST = 2100, 5, 1e-300


@dataclass(frozen=True, eq=False)
class Dynamic(AbstractThreshold):
    """The line, among those so many standard deviations above the mean, beyond which recent scores fall apart most.

    Beyond the line scores should be few, high and together. Runs that hardly rise above the next lower one, or above
    what is normal, are pruned. It is made for averaged errors (`tsrnn.anomaly.scorers.Smooth`), needs no law, and has
    its own idea of what is rare: of ``every`` it takes no notice, but no line is lower than the highest calibration
    score. Unusually low scores are as suspect as high ones: a fault may be easier to expect than what is usual.

    A line parts scores only when it has seen them, so it is drawn after every ``batch`` rows, and its verdict on them
    stands for the rows after them, until the next one: an alarm comes up to ``batch`` rows late, and lasts as many at
    the least. The height at a row is such that the row is as many times above it as the farthest of the batch was above
    the line. Constants are in rows and those of the authors' code; `dataclasses.replace` sets others.

    References
    ----------
    K. Hundman et al. (2018), Detecting spacecraft anomalies using LSTMs and nonparametric dynamic thresholding,
    sections 3.2 and 3.3.
    """

    recent: Floats
    """(window,): scores before the first row; NaN where there were none."""
    scores: Floats
    """Of the calibration rows, sorted."""
    batch: int = 70
    """Rows from one verdict to the next."""
    padding: int = 100
    """Rows on both sides of a high score that count with it."""
    fall: float = 0.13
    """A run is kept if its maximum is this share above the next lower one, or if a higher run's next is pruned."""
    lowest: float = 2.5
    highest: float = 12.0
    """Standard deviations above the mean, in steps of a half; the highest where nothing falls apart."""

    @classmethod
    def fit(cls, scores: Floats, every: float, span: int) -> Self:
        """Keep the last 2,100 scores."""
        seen = scores[~np.isnan(scores)]
        return cls(np.concatenate([np.full(_WINDOW, np.nan), seen])[-_WINDOW:], np.sort(seen))

    def start(self) -> State:
        """The scores that the calibration rows ended with, and no alarm."""
        return {"recent": self.recent, "rise": np.array(0.0), "row": np.array(0)}

    def step(self, state: State, scores: Floats) -> tuple[State, Line]:
        """The line at each row; p is the share of calibration rows that are as high, the row itself included."""
        row, width, seen = int(state["row"]), len(self.recent), ~np.isnan(scores)
        known = np.concatenate([state["recent"], scores[seen]])
        rises = np.full(len(known) - width + 1, float(state["rise"]))
        for end in range(self.batch - row, len(rises), self.batch):
            rises[end:] = self._rise(known[end : end + width])
        with np.errstate(divide="ignore", invalid="ignore"):
            heights = np.nan_to_num(scores / rises[np.cumsum(seen)], nan=np.inf, posinf=np.inf)
        after = {
            "recent": known[-width:],
            "rise": np.array(rises[-1]),
            "row": np.array((row + len(rises) - 1) % self.batch),
        }
        return after, Line(heights, share_above(self.scores, scores))

    def _rise(self, window: Floats) -> float:
        """How many times the line the farthest score of the last batch is."""
        window = window[~np.isnan(window)]
        floor = self.scores[-1] if len(self.scores) else np.inf
        mirrored = 2 * window.mean() - window
        high = window[-self.batch :].max() / max(self._line(window), floor, _LEAST)
        return float(max(high, mirrored[-self.batch :].max() / max(self._line(mirrored), _LEAST)))

    def _line(self, window: Floats) -> float:
        mean, spread = window.mean(), window.std()
        heights = mean + np.arange(self.lowest, self.highest + 0.25, 0.5) * spread
        high = window > heights[:, None]
        wide = maximum_filter1d(high.view(np.uint8), 2 * self.padding + 1, axis=1, mode="constant")
        n_wide, n_runs = wide.sum(axis=1), (np.diff(wide.astype(np.int8), axis=1, prepend=0) == 1).sum(axis=1)
        n_low = np.maximum(1, (~high).sum(axis=1))
        low_mean = np.where(high, 0, window).sum(axis=1) / n_low
        low_spread = np.sqrt(np.where(high, 0, (window - low_mean[:, None]) ** 2).sum(axis=1) / n_low)
        gain = (mean - low_mean) / max(mean, _LEAST) + (spread - low_spread) / max(spread, _LEAST)
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
