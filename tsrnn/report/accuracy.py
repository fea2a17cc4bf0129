"""Figures of how good forecasts were, drawn with matplotlib from plain frames."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tsrnn.report.plots import COLOURS, colours, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_by_cutoff", "plot_by_step", "plot_calibration", "plot_ranks"]


def plot_by_step(errors: pd.DataFrame, *, label: str = "mean absolute scaled error") -> "Axes":
    """Draw how the error grows with the distance from the cutoff.

    The axis is cut above the models near the best one, so that a hopeless one does not flatten the others.

    Parameters
    ----------
    errors : DataFrame
        ``step`` and a column a model.
    label : str
        What the columns hold.

    Returns
    -------
    matplotlib.axes.Axes
    """
    from matplotlib.ticker import MaxNLocator

    ax = _plot_lines(errors.set_index("step"), label)
    ax.set_xlabel("steps ahead")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def plot_by_cutoff(errors: pd.DataFrame, *, label: str = "mean absolute scaled error") -> "Axes":
    """Draw how the error changes from cutoff to cutoff, with the axis cut as in `plot_by_step`.

    Parameters
    ----------
    errors : DataFrame
        ``cutoff`` and a column a model.
    label : str
        What the columns hold.

    Returns
    -------
    matplotlib.axes.Axes
    """
    cutoffs = errors["cutoff"]
    times = cutoffs.dt.to_timestamp() if isinstance(cutoffs.dtype, pd.PeriodDtype) else cutoffs
    ax = _plot_lines(errors.assign(cutoff=times).set_index("cutoff"), label)
    ax.set_xlabel("cutoff")
    return ax


def plot_calibration(calibration: pd.DataFrame) -> "Axes":
    """Draw the shares of values at or below each quantile against what they should be: on the diagonal.

    A curve flatter than the diagonal is of intervals that are too narrow, a steeper one of intervals too wide; one that
    lies below it is of forecasts that are too low.

    Parameters
    ----------
    calibration : DataFrame
        ``model, level, below, above``: the level of an interval in percent, and the shares of values outside of it.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import matplotlib.pyplot as plt

    models = calibration["model"].unique()
    with styled():
        _, ax = plt.subplots(layout="constrained", figsize=(5, 5))
        ax.plot([0, 1], [0, 1], color="#8c959f", linestyle=(0, (4, 3)), linewidth=0.9)
        for (model, rows), colour in zip(calibration.groupby("model", sort=False), colours(len(models)), strict=True):
            curve = reliability(rows)
            ax.plot(curve["quantile"], curve["share"], color=colour, label=str(model), marker="o", markersize=4)
        ax.set(xlabel="quantile", ylabel="share of values at or below it", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.legend()
    return ax


def reliability(calibration: pd.DataFrame) -> pd.DataFrame:
    """The quantiles at the ends of intervals and the shares of values at or below them, in order.

    Examples
    --------
    >>> reliability(pd.DataFrame({"level": [80.0], "below": [0.2], "above": [0.1]})).round(6)
       quantile  share
    0       0.1    0.2
    1       0.9    0.9
    """
    tail = (100 - calibration["level"].to_numpy()) / 200
    quantile = np.concatenate([tail, 1 - tail])
    share = np.concatenate([calibration["below"], 1 - calibration["above"]])
    return pd.DataFrame({"quantile": quantile, "share": share}).sort_values("quantile", ignore_index=True)


def plot_ranks(ranks: pd.DataFrame, critical_difference: float) -> "Axes":
    """Draw mean ranks with intervals as long as the critical difference: models differ whose intervals do not meet.

    Parameters
    ----------
    ranks : DataFrame
        ``model`` and ``rank``, the best first.
    critical_difference : float
        The least difference that counts.

    Returns
    -------
    matplotlib.axes.Axes
        The best model on top; what its shaded band touches cannot be told from it.

    References
    ----------
    A. J. Koning, P. H. Franses, M. Hibon and H. O. Stekler (2005), The M3 competition: statistical tests of the
    results, International Journal of Forecasting 21(3).
    """
    import matplotlib.pyplot as plt

    half, rows = critical_difference / 2, np.arange(len(ranks))
    best = ranks["rank"].min()
    with styled():
        _, ax = plt.subplots(layout="constrained", figsize=(7, 1.2 + 0.35 * len(ranks)))
        ax.axvspan(best - half, best + half, color=COLOURS[0], alpha=0.1, linewidth=0)
        ax.errorbar(ranks["rank"], rows, xerr=half, fmt="o", color=COLOURS[0], capsize=3)
        ax.set_yticks(rows, ranks["model"])
        ax.invert_yaxis()
        ax.set_xlabel(f"mean rank, with the critical difference of {critical_difference:.2f}")
    return ax


def _plot_lines(values: pd.DataFrame, label: str) -> "Axes":
    import matplotlib.pyplot as plt

    means = values.mean()
    near = means.index if label.startswith(("coverage", "bias")) else means.index[means <= 4 * means.min()]
    low, top = min(0, values.min().min()), 1.08 * values[near].max().max()
    with styled():
        _, ax = plt.subplots(layout="constrained", figsize=(10, 3.6))
        for (model, column), colour in zip(values.items(), colours(values.shape[1]), strict=True):
            marker = "o" if len(column) <= 24 else ""
            note = " (above)" if column.min() > top else ""
            ax.plot(column.index, column, color=colour, label=f"{model}{note}", marker=marker, markersize=3.5)
        ax.set(ylabel=label, ylim=(low, top) if top > 0 else None)
        ax.margins(x=0.01)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0)
    return ax
