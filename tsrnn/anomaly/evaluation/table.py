"""All metrics of a detector in one table, beside a naive score and random ones."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tsrnn.anomaly.evaluation.affiliation import affiliation_metrics
from tsrnn.anomaly.evaluation.alarms import (
    composite_metrics,
    delays,
    event_metrics,
    false_alarms_per_week,
    point_metrics,
    range_metrics,
)
from tsrnn.anomaly.evaluation.nab import PROFILES, nab_score
from tsrnn.anomaly.evaluation.ranking import best_f1, pr_auc, roc_auc, vus
from tsrnn.anomaly.evaluation.segments import Bools, Floats, as_rows, read_times, segments

__all__ = ["evaluate", "naive_score"]


def evaluate(
    scores: ArrayLike,
    labels: ArrayLike,
    alarms: ArrayLike | None = None,
    *,
    values: ArrayLike | None = None,
    times: ArrayLike | None = None,
    window: int = 100,
    random_state: int = 0,
) -> pd.DataFrame:
    """Judge a detector by labels, beside what costs nothing.

    Parameters
    ----------
    scores : array of shape (n,)
        Higher is more abnormal; NaN ranks lowest.
    labels : array of shape (n,)
        0 or 1; see `label_rows` for intervals.
    alarms : array of shape (n,), optional
        0 or 1: the rows that the detector flagged. Without them only metrics of the scores are given.
    values : array of shape (n, C), optional
        What the sensors measured; with it comes the row of the naive score, `naive_score`.
    times : array of shape (n,), optional
        Stamps or integers; delays are in their unit, seconds for stamps. Without them, in rows.
    window : int, default 100
        Rows by which events are extended at most, for VUS.
    random_state : int, default 0
        Seed of the random scores.

    Returns
    -------
    DataFrame
        Rows ``detector``, ``naive`` and ``random``. The alarms of the last two are their highest scores, as many rows
        as the detector flagged. Columns of the scores: ``roc_auc, pr_auc, vus_roc, vus_pr, best_f1`` (whose threshold
        the labels choose). Columns of the alarms: precision, recall and F1 of rows (``precision, recall, f1``), of
        events (``event_...``), of rows and events (``composite_...``), range-based (``range_...``) and by affiliation
        (``affiliation_...``), the NAB score with the events as windows (``nab_standard, nab_low_fp, nab_low_fn``), the
        median ``delay``, and, for stamps, ``false_alarms_per_week``.

    Raises
    ------
    ValueError
        If lengths differ, or if labels are not 0 and 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat([0, 1, 0], (600, 40, 360))
    >>> values = rng.normal(size=(1000, 2)) + 4 * labels[:, None]
    >>> scores = np.abs(values).max(axis=1)
    >>> table = evaluate(scores, labels, scores > 4, values=values)
    >>> table[["pr_auc", "vus_pr", "f1", "event_f1", "affiliation_f1"]].round(2)
              pr_auc  vus_pr    f1  event_f1  affiliation_f1
    detector    0.98    0.98  0.86       1.0            1.00
    naive       0.07    0.25  0.00       0.0            0.83
    random      0.03    0.06  0.00       0.0            0.57
    """
    truth, heights = as_rows(labels, scores=np.asarray(scores, dtype=float))
    rows = {"detector": heights}
    if values is not None:
        rows["naive"] = naive_score(as_rows(labels, values=values)[1])
    rows["random"] = np.random.default_rng(random_state).random(len(truth))
    table = {name: _of_scores(row, truth, window) for name, row in rows.items()}
    if alarms is not None:
        flagged = as_rows(labels, alarms=np.asarray(alarms, dtype=bool))[1]
        clock = None if times is None else read_times(times, "times")
        for name, row in rows.items():
            own = flagged if name == "detector" else _highest(row, flagged.sum())
            table[name] |= _of_alarms(own, truth, clock)
    return pd.DataFrame.from_dict(table, orient="index")


def naive_score(values: ArrayLike, span: int = 50, n_train: int | None = None) -> Floats:
    """Running mean of absolute differences from row to row: what a detector must do better than.

    Parameters
    ----------
    values : array of shape (n,) or (n, C)
        NaN where missing.
    span : int, default 50
        Memory of the mean in rows: the newest one has weight 2 / (span + 1).
    n_train : int, optional
        How many of the first rows give the sensors their scales, standard deviations of the values; all by default.

    Returns
    -------
    array of shape (n,)
        Mean over sensors; 0 before there is any difference.

    Examples
    --------
    >>> naive_score([0.0, 0.0, 2.0, 2.0], span=1)
    array([0., 0., 2., 0.])
    """
    frame = pd.DataFrame(np.asarray(values, dtype=float))
    scale = frame[:n_train].std(ddof=0)
    changes = (frame.diff().abs() / scale.where(scale > 0, 1.0)).mean(axis=1)
    return changes.ewm(span=span, adjust=False).mean().fillna(0.0).to_numpy()


def _of_scores(scores: Floats, truth: Bools, window: int) -> dict[str, float]:
    volumes = dict(zip(("vus_roc", "vus_pr"), vus(scores, truth, window), strict=True))
    return (
        {"roc_auc": roc_auc(scores, truth), "pr_auc": pr_auc(scores, truth)}
        | volumes
        | {"best_f1": best_f1(scores, truth)}
    )


def _of_alarms(flagged: Bools, truth: Bools, times: ArrayLike | None) -> dict[str, float]:
    starts, stops = segments(truth)
    windows = np.stack([starts, stops - 1], axis=1)
    found = delays(flagged, truth, times)
    out = {
        **point_metrics(flagged, truth),
        **_named("event", event_metrics(flagged, truth)),
        **_named("composite", composite_metrics(flagged, truth)),
        **_named("range", range_metrics(flagged, truth)),
        **_named("affiliation", affiliation_metrics(flagged, truth)),
        **_named("nab", {name: nab_score([flagged], [windows], name, 1.0).score for name in PROFILES}),
        "delay": float(np.nanmedian(found)) if np.isfinite(found).any() else np.nan,
    }
    if times is not None and np.issubdtype(np.asarray(times).dtype, np.datetime64):
        out["false_alarms_per_week"] = false_alarms_per_week(flagged, truth, times)
    return out


def _named(prefix: str, metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in metrics.items()}


def _highest(scores: Floats, n: int) -> Bools:
    """The n rows that score highest."""
    rows = np.zeros(len(scores), dtype=bool)
    rows[np.argsort(-scores, kind="stable")[:n]] = True
    return rows
