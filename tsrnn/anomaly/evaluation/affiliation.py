"""Affiliation: how near alarms are to the events they belong to, against alarms at random."""

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from tsrnn.anomaly.evaluation.segments import Floats, as_rows, segments

__all__ = ["affiliation_metrics"]


def affiliation_metrics(alarms: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Precision, recall and F1 of distances in time, each distance as a probability.

    Every event owns the time that is nearest to it. In there, an alarm at distance d counts as the probability that an
    alarm at random would be farther off: 1 inside the event. An instant of the event counts as the probability that an
    alarm at random is farther from it than the nearest one that there is. Both are averaged over time, then over
    events; events without alarms count in recall only. A row lasts from its own time to the next row's.

    Alarms at random reach .5 to .65: quote it beside them.

    Parameters
    ----------
    alarms, labels : arrays of shape (n,)
        0 or 1.

    Returns
    -------
    dict
        ``precision`` (NaN without alarms), ``recall``, ``f1``; all NaN without events.

    References
    ----------
    A. Huet, J. M. Navarro and D. Rossi (2022), Local evaluation of time series anomaly detection algorithms, section 4.

    Examples
    --------
    >>> affiliation_metrics([0, 0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0])
    {'precision': 0.75, 'recall': 0.875, 'f1': 0.8076923076923077}
    """
    truth, flagged = as_rows(labels, alarms=np.asarray(alarms, dtype=bool))
    starts, stops = segments(truth)
    if not len(starts):
        return dict.fromkeys(("precision", "recall", "f1"), np.nan)
    cuts = np.r_[0, (stops[:-1] + starts[1:]) / 2, len(truth)]
    pieces = np.stack(segments(flagged)).astype(float)
    precisions, recalls = [], []
    for zone, event in zip(pairwise(cuts), zip(starts, stops, strict=True), strict=True):
        own = np.clip(pieces[:, (pieces[1] > zone[0]) & (pieces[0] < zone[1])], *zone)
        precisions.append(_nearness(own, event, zone) if own.size else np.nan)
        recalls.append(_reach(own, event, zone) if own.size else 0.0)
    precision, recall = (float(np.nanmean(precisions)) if pieces.size else np.nan), float(np.mean(recalls))
    f1 = 2 * precision * recall / (precision + recall) if recall else 0.0
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }


def _nearness(alarms: Floats, event: tuple[int, int], zone: tuple[float, float]) -> float:
    """Mean over the alarms' time of the probability that a random instant is farther from the event."""
    room = np.array([event[0] - zone[0], zone[1] - event[1]])  # beside the event, on either side

    def integral(distance: Floats) -> Floats:
        """Of the probability, from the event to a distance."""
        near = np.clip(distance[:, None], 0, room)
        return np.asarray((room * near - near**2 / 2).sum(axis=1) / (zone[1] - zone[0]))

    begin, end = alarms
    inside = np.clip(end, *event) - np.clip(begin, *event)
    before = integral(event[0] - begin) - integral(event[0] - end)
    after = integral(end - event[1]) - integral(begin - event[1])
    return float((inside + before + after).sum() / (end - begin).sum())


def _reach(alarms: Floats, event: tuple[int, int], zone: tuple[float, float]) -> float:
    """Mean over the event's time of the probability that a random instant is farther from it than the alarms are."""
    begin, end = alarms
    middles = np.r_[-np.inf, (end[:-1] + begin[1:]) / 2, np.inf]
    inside = np.clip(end, *event) - np.clip(begin, *event)
    before = _one_sided(-begin, -np.maximum(middles[:-1], event[0]), -event[1], (-zone[1], -zone[0]))
    after = _one_sided(end, np.minimum(middles[1:], event[1]), event[0], zone)
    return float((inside.sum() + (before + after).sum() / (zone[1] - zone[0])) / (event[1] - event[0]))


def _one_sided(nearest: Floats, until: Floats, since: float, zone: tuple[float, float]) -> Floats:
    """Integral, over the instants between ``since`` and ``until`` behind an alarm's end, of the time farther off."""
    first = np.maximum(nearest, since)
    last = np.maximum(until, first)
    ahead = np.maximum(zone[1] + nearest - 2 * np.stack([first, last]), 0) ** 2 / 4
    return np.asarray((nearest - zone[0]) * (last - first) + ahead[0] - ahead[1])
