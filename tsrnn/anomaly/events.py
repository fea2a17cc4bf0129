"""Events: stretches of rows above the alarm line, with their peak, their kind and the sensors to blame."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["COLUMNS", "find_events"]

COLUMNS = ("start", "end", "peak", "severity", "score", "n_rows", "kind", "sensors")


def find_events(
    scores: pd.DataFrame, *, time_col: str = "ds", sensors: Sequence[str], merge_gap: int = 60, min_rows: int = 1
) -> pd.DataFrame:
    """Gather rows with a score above 1 into events.

    Parameters
    ----------
    scores : DataFrame
        ``time_col``, ``score``, ``kind`` and ``<sensor>-score`` columns as `AnomalyDetector.score` gives them; in
        any row order.
    time_col : str, default "ds"
        Column with the stamps.
    sensors : sequence of str
        Names of the sensors.
    merge_gap : int, default 60
        Alarms at most this many time steps apart are one event.
    min_rows : int, default 1
        Rows above the line that an event needs.

    Returns
    -------
    DataFrame
        One row an event, in time order: ``start``, ``end`` and ``peak`` (stamps of the first, last and highest
        alarm), ``severity`` (``100 (1 - 1 / score)``: 0 at the alarm line, 50 at twice, 90 at ten times its height),
        ``score`` (at the peak), ``n_rows`` (rows from start to end), ``kind`` (the scorer that leads at the peak),
        ``sensors`` (their shares of the squared sensor scores over the event's alarm rows; those with at least 10
        %).

    Examples
    --------
    >>> heights = [0.1, 2.0, 0.1, 4.0, 0.1]
    >>> scores = pd.DataFrame({"ds": range(5), "a-score": heights, "score": heights, "kind": "jump"})
    >>> find_events(scores, sensors=["a"])[["start", "end", "peak", "severity", "sensors"]].values.tolist()
    [[1, 3, 3, 75.0, 'a 100 %']]
    """
    ordered = scores.sort_values(time_col, kind="stable", ignore_index=True)
    height = ordered["score"].to_numpy()
    alarms = np.flatnonzero(np.nan_to_num(height) > 1)
    parts = ordered[[f"{name}-score" for name in sensors]].to_numpy() ** 2
    found = []
    for rows in np.split(alarms, _breaks(ordered[time_col], alarms, merge_gap)):
        if len(rows) < max(1, min_rows):
            continue
        peak = rows[height[rows].argmax()]
        start, end, top = ordered[time_col].iloc[[rows[0], rows[-1], peak]]
        shares = _name_shares(sensors, np.nansum(parts[rows], axis=0))
        found.append(
            (
                start,
                end,
                top,
                100 * (1 - 1 / height[peak]),
                height[peak],
                rows[-1] - rows[0] + 1,
                ordered["kind"].iloc[peak],
                shares,
            )
        )
    events = pd.DataFrame(found, columns=list(COLUMNS))
    if not found:
        stamps = dict.fromkeys(COLUMNS[:3], ordered[time_col].dtype)
        return events.astype(
            {**stamps, "severity": float, "score": float, "n_rows": "int64", "kind": "str", "sensors": "str"}
        )
    return events


def _breaks(stamps: "pd.Series[Any]", alarms: NDArray[np.int64], merge_gap: int) -> NDArray[np.int64]:
    """Where, in the list of alarms, a new event begins."""
    steps = stamps.diff().to_numpy()[1:]
    forward = steps[steps > np.zeros(1, steps.dtype)[0]]
    if not len(forward) or len(alarms) < 2:
        return np.zeros(0, np.int64)
    return np.flatnonzero(stamps.iloc[alarms].diff().to_numpy()[1:] > merge_gap * np.median(forward)) + 1


def _name_shares(sensors: Sequence[str], parts: NDArray[np.float64]) -> str:
    """Shares in words, largest first: ``bearing_temp 71 %, flow 20 %``."""
    shares = parts / max(parts.sum(), 1e-300)
    order = np.argsort(-shares, kind="stable")
    kept = [c for c in order if shares[c] >= 0.1] or list(order[:1])
    return ", ".join(f"{sensors[c]} {100 * shares[c]:.0f} %" for c in kept)


import dataclasses


@dataclasses.dataclass(frozen=True)
class EventRules:  # TEMPORARY
    def fit(self, **k):
        return self

    def start(self):
        return {}

    def step(self, state, judged):
        return {}, pd.DataFrame({"start": [], "end": [], "peak": [], "kind": [], "sensors": [], "severity": []})

    def finish(self, state):
        return self.step(state, None)[1]
