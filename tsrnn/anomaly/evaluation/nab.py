"""The score of the Numenta Anomaly Benchmark: early alarms in windows are rewarded, every other one costs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsrnn.anomaly.evaluation.segments import Floats

__all__ = ["PROFILES", "NabScore", "nab_score"]


class _Profile(NamedTuple):
    """Weights of what may happen."""

    hit: float
    false: float
    missed: float


PROFILES = {
    "standard": _Profile(1.0, 0.11, 1.0),
    "low_fp": _Profile(1.0, 0.22, 1.0),
    "low_fn": _Profile(1.0, 0.11, 2.0),
}
"""Weights of a window hit, of a row flagged in vain and of a window missed."""

_PROBATION, _MOST_ROWS = 0.15, 5000


class NabScore(NamedTuple):
    """Scores of recordings under one profile and one threshold."""

    score: float
    """0 for no alarm at all, 100 for an alarm at the beginning of every window and no other; NaN without windows."""
    threshold: float
    """Rows that score at least so high are flagged; infinity flags none."""
    raw: Floats
    """(recordings,): the sum of weights of each recording."""


def nab_score(
    scores: Sequence[ArrayLike],
    windows: Sequence[ArrayLike],
    profile: str = "standard",
    threshold: float | None = None,
) -> NabScore:
    """Score a detector on recordings, under one profile and one threshold for all of them.

    Parameters
    ----------
    scores : sequence of arrays of shape (n,)
        Of each recording, in float64; higher is more abnormal, NaN is never flagged. Give alarms as 0 and 1, and 1 as
        the threshold.
    windows : sequence of arrays of shape (m, 2)
        First and last row of each window, both inclusive, in time order and apart.
    profile : {"standard", "low_fp", "low_fn"}, default "standard"
        See `PROFILES`.
    threshold : float, optional
        By default the one that scores best, the highest of equals. The windows choose it: so the benchmark does, for
        every detector on its board.

    Returns
    -------
    NabScore

    Raises
    ------
    ValueError
        If the numbers of recordings differ, or for a profile that there is not.

    Notes
    -----
    With ``s(y) = 2 / (1 + exp(5 y)) - 1``, the first alarm in a window is worth ``s(y) / s(-1)``, where y runs from -1
    at the window's begin to about 0 at its end; a window without alarm costs the weight of a miss. Every other flagged
    row costs ``s(y)`` times the weight of a false alarm, where y is the distance from the end of the window before
    it, in windows; -1 times the weight from y = 3 on, and before the first window. The first 15 % of the rows, at most
    750, do not count.

    References
    ----------
    A. Lavin and S. Ahmad (2015), Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark,
    section II.

    Examples
    --------
    >>> score = np.zeros(100)
    >>> score[[52, 90]] = 0.8, 0.3
    >>> result = nab_score([score], [[(50, 59)]])
    >>> round(result.score, 1), result.threshold
    (98.9, 0.8)
    """
    if profile not in PROFILES:
        raise ValueError(f"there is no profile {profile!r}: take one of {', '.join(PROFILES)}.")
    weights = PROFILES[profile]
    parts = [
        _steps(np.asarray(own, dtype=float), np.asarray(limits, dtype=int).reshape(-1, 2), weights)
        for own, limits in zip(scores, windows, strict=True)
    ]
    heights, changes = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    n_windows = np.array([part[2] for part in parts])
    nothing = -weights.missed * n_windows.sum()
    if threshold is None:
        order = np.argsort(-heights, kind="stable")
        levels, totals = heights[order], np.cumsum(changes[order])
        last = np.flatnonzero(np.diff(levels, append=-np.inf))  # all rows of a level are flagged, or none is
        best = np.argmax(np.r_[0.0, totals[last]])
        threshold = float(np.r_[np.inf, levels[last]][best])
    raw = np.array([change[height >= threshold].sum() for height, change, _ in parts]) - weights.missed * n_windows
    perfect = weights.hit * n_windows.sum()
    score = 100 * (raw.sum() - nothing) / (perfect - nothing) if n_windows.any() else np.nan
    return NabScore(float(score), threshold, raw)


def _steps(scores: Floats, windows: NDArray[np.int64], weights: _Profile) -> tuple[Floats, Floats, int]:
    """Scores of the rows that count, what each adds once the threshold falls to it, and the number of windows."""
    rows, (first, last) = np.arange(len(scores)), windows.T
    counts = (rows >= min(int(_PROBATION * len(rows)), _PROBATION * _MOST_ROWS)) & ~np.isnan(scores)
    before = np.searchsorted(last, rows) - 1  # the last window that is over
    width = np.maximum(last - first, 1)
    past = (rows - last[before]) / width[before] if len(windows) else np.full(len(rows), np.inf)
    changes = weights.false * _value(np.where(before < 0, np.inf, past))
    n_windows = 0
    for begin, end in windows:
        inside = rows[begin : end + 1][counts[begin : end + 1]]
        inside = inside[np.argsort(-scores[inside], kind="stable")]
        values = weights.hit * _value((inside - end - 1) / (end - begin + 1)) / _value(np.array(-1.0))
        changes[inside] = np.diff(np.maximum.accumulate(np.r_[-weights.missed, values]))
        n_windows += len(inside) > 0
    return scores[counts], changes[counts], n_windows


def _value(y: Floats) -> Floats:
    return np.where(y >= 3, -1.0, 2 / (1 + np.exp(5 * np.minimum(y, 3))) - 1)
