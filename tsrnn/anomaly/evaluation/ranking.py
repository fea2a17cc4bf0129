"""How well scores order the rows: metrics that need no threshold.

Only the order of the scores counts. A row without a score (NaN) ranks lowest. What is not defined, because there is no
anomaly or nothing else, is NaN.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from tsrnn.anomaly.evaluation.segments import Bools, Floats, as_rows, segments

__all__ = ["best_f1", "pr_auc", "roc_auc", "vus"]

_N_THRESHOLDS = 250


def roc_auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the receiver operating characteristic: how often an anomalous row scores above a healthy one.

    Parameters
    ----------
    scores : array of shape (n,)
        Higher is more abnormal.
    labels : array of shape (n,)
        0 or 1.

    Examples
    --------
    >>> roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    truth, ranks = _ranked(scores, labels)
    return float(roc_auc_score(truth, ranks)) if truth.any() and not truth.all() else np.nan


def pr_auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the curve of precision over recall, as average precision; parameters as `roc_auc`.

    Examples
    --------
    >>> round(pr_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 3)
    0.833
    """
    truth, ranks = _ranked(scores, labels)
    return float(average_precision_score(truth, ranks)) if truth.any() else np.nan


def best_f1(scores: ArrayLike, labels: ArrayLike) -> float:
    """The highest F1 of any threshold; parameters as `roc_auc`.

    The labels choose the threshold: an upper bound on what the scores allow, not what a detector reaches.

    Examples
    --------
    >>> best_f1([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.8
    """
    truth, ranks = _ranked(scores, labels)
    hits, flagged = (np.cumsum(np.bincount(rows, minlength=ranks.max() + 1)[::-1]) for rows in (ranks[truth], ranks))
    return float((2 * hits / (flagged + truth.sum())).max()) if truth.any() else np.nan


def vus(scores: ArrayLike, labels: ArrayLike, window: int = 100) -> tuple[float, float]:
    """Volumes under the surfaces of the range-based curves: VUS-ROC and VUS-PR.

    Labels are extended on both sides of an event by ``w // 2`` rows, with weight ``sqrt(1 - k / w)`` at distance k, so
    that a detection near an event counts in part. The areas under both curves are averaged over w = 0 .. ``window``.

    Parameters
    ----------
    scores, labels : arrays of shape (n,)
        As of `roc_auc`.
    window : int, default 100
        The largest extension in rows, both sides together. Benchmarks take the period of the data.

    Returns
    -------
    roc, pr : float

    Notes
    -----
    As TSB-AD computes them: 250 thresholds evenly spaced in the ranks of the scores; recall is taken of the mean of the
    labels' weight and of the weight that was found, and times the share of events that were found.

    References
    ----------
    J. Paparrizos et al. (2022), Volume under the surface: a new accuracy evaluation measure for time-series anomaly
    detection, section 4.

    Examples
    --------
    >>> labels = np.repeat([0, 1, 0], (50, 10, 40))
    >>> [round(volume, 3) for volume in vus(np.roll(labels, 3), labels, window=20)]
    [0.911, 0.791]
    """
    truth, ranks = _ranked(scores, labels)
    if not truth.any():
        return np.nan, np.nan
    lines = np.sort(ranks)[::-1][np.linspace(0, len(ranks) - 1, _N_THRESHOLDS).astype(int)]
    first = np.searchsorted(-lines, -ranks)  # the first threshold that each row reaches
    n_flagged, n_hits = _reached(first), _reached(first[truth])
    starts, stops = segments(truth)
    near = _neighbours(truth, window // 2)
    slots, slot_of = np.unique(near, return_inverse=True)
    slot_of = slot_of.reshape(near.shape)
    found = np.zeros((_N_THRESHOLDS, 0))
    areas = []
    for w in range(window + 1):
        half = w // 2
        if w % 2 == 0:
            found = _events_found(first, starts - half, stops + half)
        weights = np.repeat(np.sqrt(1 - np.arange(1, half + 1) / max(w, 1)), near.shape[1])
        extra = np.minimum(np.bincount(slot_of[:half].ravel(), weights, minlength=len(slots)), 1)
        extended = n_hits + _reached(first[slots[slots >= 0]], extra[slots >= 0])
        positives = truth.sum() + (extended - n_hits) / 2
        recall = np.minimum(extended / positives, 1) * found
        with np.errstate(invalid="ignore"):  # all rows are anomalous
            fallout = (n_flagged - extended) / (len(truth) - positives)
        areas.append(
            (
                np.trapezoid(np.r_[0, recall, 1], np.r_[0, fallout, 1]),
                np.diff(recall, prepend=0) @ (extended / n_flagged),
            )
        )
    roc, pr = np.mean(areas, axis=0)
    return float(roc), float(pr)


def _ranked(scores: ArrayLike, labels: ArrayLike) -> tuple[Bools, NDArray[np.int64]]:
    truth, heights = as_rows(labels, scores=scores)
    return truth, np.unique(np.where(np.isnan(heights), -np.inf, heights), return_inverse=True)[1]


def _reached(first: NDArray[Any], weights: Floats | None = None) -> Floats:
    """How much has been flagged at each threshold."""
    return np.cumsum(np.bincount(first, weights, minlength=_N_THRESHOLDS)).astype(float)


def _neighbours(truth: Bools, reach: int) -> NDArray[np.int64]:
    """Healthy rows at distance 1, 2 ... of each event on both sides, (reach, 2 events); -1 where there is none."""
    starts, stops = segments(truth)
    away = np.arange(1, reach + 1)[:, None]
    rows = np.concatenate([starts - away, stops - 1 + away], axis=1)
    inside = (rows >= 0) & (rows < len(truth))
    return np.where(inside & ~truth[np.where(inside, rows, 0)], rows, -1)


def _events_found(first: NDArray[Any], starts: NDArray[Any], stops: NDArray[Any]) -> Floats:
    """Share of events with a flagged row at each threshold; events that touch are one."""
    apart = starts[1:] >= stops[:-1]
    begins, ends = starts[np.r_[True, apart]], stops[np.r_[apart, True]]
    edges = np.clip(np.stack([begins, ends], axis=1), 0, len(first)).ravel()
    reached = np.minimum.reduceat(np.r_[first, _N_THRESHOLDS], edges)[::2]
    return _reached(reached) / len(begins)
