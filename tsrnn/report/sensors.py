"""Figures of sensor tables: what was measured, how abnormal it was, and where the events are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tsrnn.report.plots import COLOURS, INK, MUTED, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_events"]

_BUCKETS = 1500  # about the width of a figure in pixels


def plot_events(
    table: pd.DataFrame,
    scores: pd.DataFrame,
    events: pd.DataFrame,
    *,
    time_col: str,
    sensors: Sequence[str],
    fitted_until: Any = None,
    max_sensors: int = 8,
) -> "Figure":
    """Draw sensors and the joint score over time, one panel each, events shaded.

    Parameters
    ----------
    table : DataFrame
        ``time_col`` and a column a sensor.
    scores : DataFrame
        The rows of ``table``, with ``<sensor>-score`` and ``score`` in multiples of the alarm line.
    events : DataFrame
        ``start`` and ``end``.
    time_col : str
        Column with the stamps.
    sensors : sequence of str
        Sensors to draw.
    fitted_until : stamp, optional
        End of the rows that the detector was fitted on, to be marked.
    max_sensors : int, default 8
        Of more sensors, those with the highest scores are drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    highest = scores[[f"{name}-score" for name in sensors]].max().to_numpy()
    kept = np.sort(np.argsort(-np.nan_to_num(highest), kind="stable")[:max_sensors])
    order = table[time_col].argsort(kind="stable")
    panels = [(sensors[i], table[sensors[i]]) for i in kept] + [("score", scores["score"])]
    with styled():
        figure, axes = plt.subplots(
            len(panels), 1, sharex=True, squeeze=False, layout="constrained", figsize=(11, 1 + 1.5 * len(panels))
        )
        for ax, (name, column) in zip(axes[:, 0], panels, strict=True):
            colour = COLOURS[0] if name == "score" else INK
            ax.plot(*_thinned(table[time_col].iloc[order], column.iloc[order]), color=colour, linewidth=0.8)
            for start, end in zip(events["start"], events["end"], strict=True):
                ax.axvspan(start, end, color=COLOURS[1], alpha=0.25, linewidth=0.8)
            if fitted_until is not None:
                ax.axvline(fitted_until, color=MUTED, linestyle=(0, (4, 3)), linewidth=0.9)
            ax.set_ylabel(name, rotation=0, ha="right", va="center")
            ax.margins(x=0.01)
        ax.axhline(1.0, color=COLOURS[1], linewidth=0.9)
        top = max(2.0, float(np.nan_to_num(scores["score"]).max()))
        ticks = [t for t in (0, 1, 2, 5, 10, 20, 50, 100, 1000, 10_000) if t <= top]
        ax.set_yscale("symlog", linthresh=2.0)
        ax.set_yticks(ticks, labels=[f"{t:,}" for t in ticks])
        ax.set_ylim(0, 1.1 * top)
        ax.minorticks_off()
        marked = "" if fitted_until is None else "; left of the dashed line: rows fitted on"
        axes[0, 0].set_title(f"shaded: events; score in multiples of the alarm line{marked}")
    return figure


def _thinned(times: "pd.Series[Any]", values: "pd.Series[Any]") -> "tuple[pd.Series[Any], pd.Series[Any]]":
    """The lowest and the highest value of each stretch of rows: a line that looks the same with fewer points."""
    if len(values) <= 4 * _BUCKETS:
        return times, values
    bucket = np.arange(len(values)) * _BUCKETS // len(values)
    first = np.flatnonzero(np.diff(bucket, prepend=-1))
    heights = values.to_numpy(dtype=np.float64)
    extremes = [np.lexsort((sign * heights, bucket))[first] for sign in (1, -1)]  # missing ones come last
    rows = np.sort(np.concatenate(extremes))
    return times.iloc[rows], values.iloc[rows]
