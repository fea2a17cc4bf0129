"""Figures of forecasts, drawn with matplotlib from plain long frames.

They are made with pyplot, so that a script's ``plt.show()`` and a notebook show them; close what you do not
show.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "colours", "plot_attributions", "plot_forecasts", "plot_gradient_flow", "styled"]

INK, MUTED = "#24292f", "#8c959f"

# Okabe and Ito's palette, which colour-blind people can tell apart, less its yellow; black is for the data.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "date.converter": "concise",
    "figure.dpi": 110,
    "font.size": 9.5,
    "grid.color": "#eaeef2",
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold dollars
    "xtick.color": INK,
    "ytick.color": INK,
}
"""The look of all figures; see `styled`."""


def styled() -> AbstractContextManager[None]:
    """A context in which figures are made in the style of the house."""
    import matplotlib.pyplot as plt

    # Settle the backend now: made inside, its settings would be undone on leaving.
    plt.draw_if_interactive()  # type: ignore[no-untyped-call]
    return plt.style.context(STYLE)


def plot_forecasts(
    history: pd.DataFrame,
    forecasts: pd.DataFrame,
    models: Sequence[str] | None = None,
    *,
    series: Sequence[Any] | None = None,
    max_cutoffs: int = 4,
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
) -> "Figure":
    """Draw forecasts over the history they continue, one panel a series.

    Parameters
    ----------
    history : DataFrame
        ``unique_id, ds, y`` in time order; a missing value breaks the line.
    forecasts : DataFrame
        ``unique_id, ds, <Model>`` and, if there are, ``<Model>-lo-90, <Model>-hi-90 ...`` and ``cutoff``.
    models : sequence of str, optional
        Columns to draw; by default all forecasts. Up to two are drawn with their intervals, of more than two only
        the first.
    series : sequence, optional
        Series to draw; by default up to three, spread evenly over the ones in ``forecasts``.
    max_cutoffs : int, default 4
        Of many cutoffs, the newest whose forecasts do not overlap are drawn, this many at most.
    id_col, time_col, target_col : str
        Names of the columns.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    history, forecasts = (_stamped(frame, time_col) for frame in (history, forecasts))
    if models is None:
        roles = {id_col, time_col, target_col, "cutoff"}
        models = [c for c in forecasts.columns if c not in roles and not re.search(r"-(lo|hi|q)-[\d.]+$", c)]
    names = forecasts[id_col].unique()
    if series is None:
        series = names[np.unique(np.linspace(0, len(names) - 1, 3).round().astype(int))]
    unknown = [name for name in series if name not in names]
    if unknown:
        raise ValueError(
            f"there is no forecast of series {unknown[0]!r}; there are: {', '.join(map(str, names[:10]))}."
        )
    shaded = models if len(models) <= 2 else models[:1]
    with styled():
        figure, axes = plt.subplots(
            len(series), 1, squeeze=False, layout="constrained", figsize=(10, 1 + 2.8 * len(series))
        )
        for ax, name in zip(axes[:, 0], series, strict=True):
            own = forecasts[forecasts[id_col] == name]
            windows = _newest_windows(own, time_col, max_cutoffs)
            past = history[history[id_col] == name]
            _draw_history(ax, past[time_col], past[target_col], windows, time_col)
            for model, colour in zip(models, colours(len(models)), strict=True):
                for window in windows:
                    _draw_forecast(ax, window, time_col, model, colour, shade=model in shaded)
            ax.set_title(str(name))
        handles, labels = axes[0, 0].get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside upper left", ncols=len(unique))
    return figure


def plot_attributions(
    attributions: pd.DataFrame, series: Any = None, *, id_col: str = "unique_id", time_col: str = "ds"
) -> "Axes":
    """Draw what each input added to the forecast of a series, over time.

    Parameters
    ----------
    attributions : DataFrame
        What `Forecaster.attribute` gave; steps ahead are summed.
    series : optional
        Name of the series, by default the first.
    id_col, time_col : str
        Names of the columns.

    Returns
    -------
    matplotlib.axes.Axes
        A line for each input that has stamps; what the inputs add in all is in the legend.

    Raises
    ------
    ValueError
        If there is no such series.
    """
    import matplotlib.pyplot as plt

    name = attributions[id_col].iloc[0] if series is None else series
    own = _stamped(attributions[attributions[id_col] == name], time_col)
    if own.empty:
        known = ", ".join(map(str, attributions[id_col].unique()[:5]))
        raise ValueError(f"no attributions of a series {name!r}; there are those of {known}.")
    totals = own.groupby("input", sort=False)["attribution"].sum()
    with styled():
        _, ax = plt.subplots(figsize=(9, 4), layout="constrained")
        for label, colour in zip(totals.index, colours(len(totals)), strict=True):
            line = own[own["input"] == label].dropna(subset=time_col).groupby(time_col)["attribution"].sum()
            ax.plot(line.index, line, color=colour, label=f"{label}: {totals[label]:+.3g} in all", marker=".", ms=4)
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.set(title=str(name), ylabel="added to the forecast")
        ax.legend()
    return ax


def plot_gradient_flow(flows: "Mapping[str, pd.DataFrame]") -> "Axes":
    """Draw how the gradient fades or grows on its way back in time.

    Parameters
    ----------
    flows : mapping of str to DataFrame
        What `Forecaster.gradient_flow` gave, under the names to show.

    Returns
    -------
    matplotlib.axes.Axes
        Norms relative to lag 0, on a logarithmic scale; the newest step on the right.
    """
    import matplotlib.pyplot as plt

    with styled():
        _, ax = plt.subplots(figsize=(8, 4), layout="constrained")
        for (name, flow), colour in zip(flows.items(), colours(len(flows)), strict=True):
            norms = flow["gradient_norm"].to_numpy()
            share = norms / norms[flow["lag"].to_numpy().argmin()]
            ax.semilogy(-flow["lag"], np.where(share > 0, share, np.nan), color=colour, label=name)
        ax.set(xlabel="steps before the last one", ylabel="gradient norm, relative to the last step")
        ax.legend()
    return ax


def _stamped(frame: pd.DataFrame, time_col: str) -> pd.DataFrame:
    """The frame with the starts of its periods, if it has any."""
    times = frame[time_col]
    return frame.assign(**{time_col: times.dt.to_timestamp()}) if isinstance(times.dtype, pd.PeriodDtype) else frame


def _newest_windows(forecasts: pd.DataFrame, time_col: str, max_cutoffs: int) -> list[pd.DataFrame]:
    """Forecasts of the newest cutoffs, in time order, each ending before the next one begins."""
    if "cutoff" not in forecasts:
        return [forecasts]
    windows: list[pd.DataFrame] = []
    for _, window in reversed(list(forecasts.groupby("cutoff"))):
        if not windows or window[time_col].iloc[-1] < windows[-1][time_col].iloc[0]:
            windows.append(window)
    return windows[:max_cutoffs][::-1]


def _draw_history(
    ax: "Axes", times: "pd.Series[Any]", y: "pd.Series[Any]", windows: list[pd.DataFrame], time_col: str
) -> None:
    """Draw the observed values from three windows before the first cutoff, and mark the cutoffs."""
    first, last = windows[0][time_col].iloc[0], windows[-1][time_col].iloc[-1]
    known = int((times < first).sum())
    shown = slice(max(0, known - 3 * len(windows[0])), int((times <= last).sum()))
    ax.plot(times.iloc[shown], y.iloc[shown], color=INK, linewidth=1.2, label="observed")
    if "cutoff" in windows[0]:
        for i, window in enumerate(windows):
            label = "cutoff" if i == 0 else None
            ax.axvline(window["cutoff"].iloc[0], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label=label)
    ax.margins(x=0.01)


def _draw_forecast(ax: "Axes", window: pd.DataFrame, time_col: str, model: str, colour: str, *, shade: bool) -> None:
    single = "" if len(window) > 1 else "o"  # a line through one point is invisible
    ax.plot(window[time_col], window[model], color=colour, label=model, marker=single, markersize=3.5)
    prefix = f"{model}-lo-"
    levels = [str(column).removeprefix(prefix) for column in window if str(column).startswith(prefix)]
    for i, level in enumerate(levels if shade else []):
        lo, hi = window[f"{model}-lo-{level}"], window[f"{model}-hi-{level}"]
        label = f"{model} {', '.join(levels)} %" if i == 0 else None
        ax.fill_between(window[time_col], lo, hi, color=colour, alpha=0.16, linewidth=0, label=label)


def colours(n: int) -> list[str]:
    """A colour for each of n lines; after six they begin anew."""
    return [COLOURS[i % len(COLOURS)] for i in range(n)]
