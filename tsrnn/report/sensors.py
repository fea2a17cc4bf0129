"""Figures of sensor tables: what was measured, how abnormal it was, and where the events are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tsrnn.report.charts import outline
from tsrnn.report.plots import COLOURS, INK, MUTED, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_events", "plot_sensor"]

_BUCKETS = 1500  # about the width of a figure in pixels


def plot_sensor(
    table: pd.DataFrame,
    scores: pd.DataFrame,
    events: pd.DataFrame,
    sensor: str,
    *,
    time_col: str = "ds",
    width: float = 3.0,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw one sensor with what was expected of it, events shaded.

    Parameters
    ----------
    table : DataFrame
        ``time_col`` and the sensor; rows of a table that was scored.
    scores : DataFrame
        The same rows, with ``<sensor>-expected`` and ``<sensor>-scale``.
    events : DataFrame
        ``start``, ``end`` and ``kind``; those within the rows are drawn.
    sensor : str
        Its column.
    time_col : str, default "ds"
        Column with the stamps.
    width : float, default 3
        Scales on either side of what was expected that are shaded.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> table = pd.DataFrame({"ds": [0, 1, 2], "flow": [1.0, 5.0, 1.0]})
    >>> scores = pd.DataFrame({"flow-expected": [1.0] * 3, "flow-scale": [0.1] * 3})
    >>> events = pd.DataFrame({"start": [1], "end": [1], "kind": ["spike"]})
    >>> plot_sensor(table, scores, events, "flow").get_ylabel()
    'flow'
    """
    import matplotlib.pyplot as plt

    with styled():
        if ax is None:
            _, ax = plt.subplots(layout="constrained", figsize=(10, 3.2))
        rows = np.argsort(table[time_col].to_numpy(), kind="stable")
        rows = rows[outline(table[sensor].iloc[rows], _BUCKETS)]
        times, mean, reach = (
            table[time_col].iloc[rows],
            scores[f"{sensor}-expected"].iloc[rows],
            width * scores[f"{sensor}-scale"].iloc[rows],
        )
        ax.fill_between(times, mean - reach, mean + reach, color=COLOURS[0], alpha=0.18, linewidth=0)
        ax.plot(times, mean, color=COLOURS[0], linewidth=1.0, label="expected")
        ax.plot(times, table[sensor].iloc[rows], color=INK, linewidth=1.0, label="measured")
        within = events[(events["end"] >= times.min()) & (events["start"] <= times.max())]
        kinds = list(dict.fromkeys(within["kind"]))
        for i, kind in enumerate(kinds):
            for j, (start, end) in enumerate(
                within.loc[within["kind"] == kind, ["start", "end"]].itertuples(index=False)
            ):
                colour, label = COLOURS[1 + i % (len(COLOURS) - 1)], kind if j == 0 else None
                ax.axvspan(start, end, color=colour, alpha=0.25, linewidth=0.8, label=label)
        values = table[sensor].iloc[rows]
        low, high = (float(of) for of in (min(values.min(), mean.min()), max(values.max(), mean.max())))
        if low < high:
            ax.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
        ax.set_ylabel(sensor)
        ax.margins(x=0.01)
        ax.legend(loc="upper left", bbox_to_anchor=(0, 1.15), ncols=6)
    return ax


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
    """A line that looks the same with fewer points."""
    rows = outline(values, _BUCKETS)
    return times.iloc[rows], values.iloc[rows]
