"""Judging events by labelled faults."""

from typing import Any

import numpy as np
import pandas as pd

from tsrnn.data.calendar import Times, to_times
from tsrnn.data.validation import parse_times

__all__ = ["event_hits"]


def event_hits(events: pd.DataFrame, labels: pd.DataFrame) -> dict[str, Any]:
    """Count labelled faults that an event overlaps, and events that overlap none.

    One long event can hit many faults, and an alarm that never ends hits them all: read the counts together with
    ``outside_share``.

    Parameters
    ----------
    events, labels : DataFrame
        ``start`` and ``end``, both inclusive: stamps, text that reads as stamps (as from a CSV file), or integers.

    Returns
    -------
    dict
        ``n_labels``, ``n_hit``, ``missed`` (positions of the labels that no event overlaps), ``n_events``,
        ``n_outside`` (events that overlap no label), ``outside_share`` (share of the events' time outside the
        labels, 0 to 1; NaN if they have no duration).

    References
    ----------
    K. Hundman et al. (2018), Detecting spacecraft anomalies using LSTMs and nonparametric dynamic thresholding,
    section 4.2 (hits and false positives by overlap).

    Examples
    --------
    >>> events = pd.DataFrame({"start": [0, 50], "end": [10, 60]})
    >>> labels = pd.DataFrame({"start": [5, 20], "end": [15, 30]})
    >>> event_hits(events, labels)
    {'n_labels': 2, 'n_hit': 1, 'missed': [1], 'n_events': 2, 'n_outside': 1, 'outside_share': 0.75}
    """
    begin, finish = (_times(events, name)[:, None] for name in ("start", "end"))
    first, last = (_times(labels, name)[None, :] for name in ("start", "end"))
    overlap = (begin <= last) & (finish >= first)
    inside = _seconds(_union_length(np.maximum(begin, first)[overlap], np.minimum(finish, last)[overlap]))
    total = _seconds(_union_length(begin[:, 0], finish[:, 0]))
    hit = overlap.any(axis=0)
    return {
        "n_labels": len(labels),
        "n_hit": int(hit.sum()),
        "missed": np.flatnonzero(~hit).tolist(),
        "n_events": len(events),
        "n_outside": int((~overlap.any(axis=1)).sum()),
        "outside_share": 1 - inside / total if total else float("nan"),
    }


def _times(frame: pd.DataFrame, name: str) -> Times:
    return to_times(parse_times(frame[name], frame, name))[0]


def _union_length(starts: Any, ends: Any) -> Any:
    """Length of the union of intervals."""
    if not len(starts):
        return 0
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    covered = np.concatenate([starts[:1], np.maximum(starts[1:], reach[:-1])])
    return (reach - np.minimum(covered, reach)).sum()


def _seconds(length: Any) -> float:
    return float(length / np.timedelta64(1, "s")) if isinstance(length, np.timedelta64) else float(length)
