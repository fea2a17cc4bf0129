"""How good alarms are: rows that a detector flagged, against rows that are labelled.

What is not defined is NaN: the precision of no alarm, the recall of no event. An F1 is 0 as soon as there is either.
"""

import warnings

import numpy as np
from numpy.typing import ArrayLike

from tsrnn.anomaly.evaluation.segments import Bools, Floats, Rows, as_rows, overlaps, read_times, segments

__all__ = [
    "MisleadingMetricWarning",
    "composite_metrics",
    "delays",
    "event_counts",
    "event_metrics",
    "false_alarms_per_week",
    "point_adjusted",
    "point_metrics",
    "precision_recall_f1",
    "range_metrics",
]

_WIDE = 10  # typical steps; a longer pause was not watched


class MisleadingMetricWarning(UserWarning):
    """A metric that random scores do well on."""


def precision_recall_f1(hits: float, false: float, missed: float) -> dict[str, float]:
    """Precision, recall and F1 of counts, which may be sums over many recordings.

    Examples
    --------
    >>> precision_recall_f1(hits=6, false=2, missed=4)
    {'precision': 0.75, 'recall': 0.6, 'f1': 0.6666666666666666}
    """
    return {
        "precision": _ratio(hits, hits + false),
        "recall": _ratio(hits, hits + missed),
        "f1": _ratio(2 * hits, 2 * hits + false + missed),
    }


def point_metrics(alarms: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Precision, recall and F1 of rows.

    Parameters
    ----------
    alarms, labels : arrays of shape (n,)
        0 or 1.

    Examples
    --------
    >>> point_metrics([0, 1, 1, 0], [0, 0, 1, 1])
    {'precision': 0.5, 'recall': 0.5, 'f1': 0.5}
    """
    truth, flagged = as_rows(labels, alarms=np.asarray(alarms, dtype=bool))
    return precision_recall_f1((truth & flagged).sum(), (~truth & flagged).sum(), (truth & ~flagged).sum())


def event_counts(alarms: ArrayLike, labels: ArrayLike, *, first_only: bool = False) -> dict[str, int]:
    """Count events by overlap: those found, runs of alarms that meet none, events missed.

    Parameters
    ----------
    alarms, labels : arrays of shape (n,)
        0 or 1; a run of ones is an event.
    first_only : bool, default False
        Whether a run of alarms finds only the first of the events it meets, as telemanom counts; otherwise all of
        them, as Orion counts.

    References
    ----------
    K. Hundman et al. (2018), Detecting spacecraft anomalies using LSTMs and nonparametric dynamic thresholding,
    section 4.2.

    Examples
    --------
    >>> event_counts([1, 1, 1, 0, 1, 0], [1, 0, 1, 0, 0, 1])
    {'hits': 2, 'false': 1, 'missed': 1}
    >>> event_counts([1, 1, 1, 0, 1, 0], [1, 0, 1, 0, 0, 1], first_only=True)
    {'hits': 1, 'false': 1, 'missed': 2}
    """
    truth, flagged = as_rows(labels, alarms=np.asarray(alarms, dtype=bool))
    events, found = segments(truth), segments(flagged)
    right = overlaps(*found, events) > 0
    if first_only:
        hits = len(np.unique(np.searchsorted(events[1], found[0][right], side="right")))
    else:
        hits = int((overlaps(*events, found) > 0).sum())
    return {"hits": hits, "false": int((~right).sum()), "missed": len(events[0]) - hits}


def event_metrics(alarms: ArrayLike, labels: ArrayLike, *, first_only: bool = False) -> dict[str, float]:
    """Precision, recall and F1 of events, from `event_counts`.

    Examples
    --------
    >>> event_metrics([1, 1, 1, 0, 1, 0], [1, 0, 1, 0, 0, 0])["recall"]
    1.0
    """
    return precision_recall_f1(**event_counts(alarms, labels, first_only=first_only))


def composite_metrics(alarms: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Precision of rows, recall of events, and their F1.

    References
    ----------
    A. Garg et al. (2021), An evaluation of anomaly detection and diagnosis in multivariate time series, section 4;
    TSB-AD calls it event-based F1.

    Examples
    --------
    >>> composite_metrics([0, 1, 1, 0], [0, 0, 1, 1])
    {'precision': 0.5, 'recall': 1.0, 'f1': 0.6666666666666666}
    """
    return _with_f1(point_metrics(alarms, labels)["precision"], event_metrics(alarms, labels)["recall"])


def range_metrics(alarms: ArrayLike, labels: ArrayLike, existence: float = 0.2) -> dict[str, float]:
    """Range-based precision, recall and F1: the share of each run that is covered, less where it is in pieces.

    A run's part is ``existence`` if it is met at all, and the rest times its share of rows that are covered, divided by
    the number of runs that cover it. Every run counts the same, and every row in it. Existence counts in recall only.

    Parameters
    ----------
    alarms, labels : arrays of shape (n,)
        0 or 1.
    existence : float, default 0.2
        Weight of being met, 0 to 1.

    References
    ----------
    N. Tatbul et al. (2018), Precision and recall for time series, equations 1 to 7.

    Examples
    --------
    >>> range_metrics([1, 0, 1, 1], [1, 1, 1, 1])["recall"]
    0.5
    """
    truth, flagged = as_rows(labels, alarms=np.asarray(alarms, dtype=bool))
    return _with_f1(_covered(flagged, truth, 0.0), _covered(truth, flagged, existence))


def delays(alarms: ArrayLike, labels: ArrayLike, times: ArrayLike | None = None) -> Floats:
    """How long after an event began the first alarm in it came.

    Parameters
    ----------
    alarms, labels : arrays of shape (n,)
        0 or 1.
    times : array of shape (n,), optional
        Stamps or integers, of the rows.

    Returns
    -------
    array of shape (events,)
        Seconds for stamps, else differences of times, else rows; NaN for events without alarm.

    Examples
    --------
    >>> delays([0, 0, 1, 0, 0], [0, 1, 1, 0, 1])
    array([ 1., nan])
    """
    truth, flagged = as_rows(labels, alarms=np.asarray(alarms, dtype=bool))
    starts, stops = segments(truth)
    rows = np.append(np.flatnonzero(flagged), len(truth))
    first = rows[np.searchsorted(rows, starts)]
    clock = np.arange(len(truth)) if times is None else read_times(times, "times")
    passed = clock[np.where(first < stops, first, starts)] - clock[starts]
    return np.where(first < stops, _plain(passed), np.nan)


def false_alarms_per_week(alarms: ArrayLike, labels: ArrayLike, times: ArrayLike) -> float:
    """Runs of alarms that meet no event, by the weeks of rows without label.

    Parameters
    ----------
    alarms, labels : arrays of shape (n,)
        0 or 1.
    times : array of shape (n,)
        Stamps. A step back, and a pause of more than ten typical steps, count as one typical step.

    Raises
    ------
    ValueError
        If times are no stamps.

    Examples
    --------
    >>> import pandas as pd
    >>> hours = pd.date_range("2024-01-01", periods=14 * 24, freq="h")
    >>> false_alarms_per_week(hours.hour == 3, hours.day > 10, hours)
    7.0
    """
    truth, _, clock = as_rows(labels, alarms=alarms, times=read_times(times, "times"))
    if not np.issubdtype(clock.dtype, np.datetime64):
        raise ValueError("times must be stamps: integers do not say how long a week is.")
    steps = _plain(np.diff(clock))
    typical = np.median(steps[steps > 0]) if (steps > 0).any() else np.nan
    watched = np.r_[typical, np.where((steps < 0) | (steps > _WIDE * typical), typical, steps)]
    return _ratio(event_counts(alarms, truth)["false"], watched[~truth].sum() / (7 * 86_400))


def point_adjusted(alarms: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Point-adjusted F1, and the area under PA%K; to compare with papers, and for nothing else.

    An event in which one row is flagged counts as flagged whole, so random scores do well: it warns. PA%K adjusts only
    the events of which more than K percent is flagged, from K = 0, point adjustment, to K = 100, plain F1.

    Parameters
    ----------
    alarms, labels : arrays of shape (n,)
        0 or 1.

    Returns
    -------
    dict
        ``pa_f1``, ``pa_k_auc`` (mean of F1 over K = 0 .. 100).

    Warns
    -----
    MisleadingMetricWarning
        Always.

    References
    ----------
    S. Kim et al. (2022), Towards a rigorous evaluation of time-series anomaly detection, sections 3 and 4.

    Examples
    --------
    >>> with warnings.catch_warnings(action="ignore"):
    ...     found = point_adjusted([0, 1, 0, 0, 0], [1, 1, 1, 1, 0])
    >>> found["pa_f1"], round(found["pa_k_auc"], 3)
    (1.0, 0.547)
    """
    warnings.warn(
        "point-adjusted F1 is high for random scores: read it beside the row of random scores, and plain F1.",
        MisleadingMetricWarning,
        stacklevel=2,
    )
    truth, flagged = as_rows(labels, alarms=np.asarray(alarms, dtype=bool))
    starts, stops = segments(truth)
    found, sizes = _counts(flagged, starts, stops), stops - starts
    adjusted = np.where(100 * found > np.arange(101)[:, None] * sizes, sizes, found).sum(axis=1)
    f1 = [_ratio(2 * hits, hits + (flagged & ~truth).sum() + truth.sum()) for hits in adjusted]
    return {"pa_f1": f1[0], "pa_k_auc": float(np.trapezoid(f1) / 100)}


def _covered(rows: Bools, cover: Bools, existence: float) -> float:
    starts, stops = segments(rows)
    pieces = overlaps(starts, stops, segments(cover))
    share = _counts(cover, starts, stops) / (stops - starts) / np.maximum(pieces, 1)
    return float(np.mean(existence * (pieces > 0) + (1 - existence) * share)) if len(starts) else np.nan


def _counts(rows: Bools, starts: Rows, stops: Rows) -> Rows:
    """True rows in each run."""
    total = np.append(0, np.cumsum(rows))
    return np.asarray(total[stops] - total[starts])


def _with_f1(precision: float, recall: float) -> dict[str, float]:
    known = np.nan_to_num([precision, recall])
    f1 = np.nan if np.isnan([precision, recall]).all() else _ratio(2 * known.prod(), known.sum(), 0.0)
    return {"precision": precision, "recall": recall, "f1": f1}


def _ratio(part: float, whole: float, empty: float = np.nan) -> float:
    return float(part / whole) if whole else empty


def _plain(spans: ArrayLike) -> Floats:
    """Seconds of time differences; other numbers as they are."""
    spans = np.asarray(spans)
    return spans / np.timedelta64(1, "s") if np.issubdtype(spans.dtype, np.timedelta64) else spans.astype(float)
