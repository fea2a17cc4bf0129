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

_WINDOW, _MAX_RUNS = 2100, 5


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
        return after, Line(heights, share_above(self.scores, scores))

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
