"""What a backtest gives: forecasts, figures for each model, series and cutoff, and their summaries."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.data import Panel
from tsrnn.evaluation import metrics
from tsrnn.report import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BacktestInterrupted", "BacktestResult"]


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """Forecasts from past cutoffs and how good they were.

    Attributes
    ----------
    forecasts : DataFrame
        ``unique_id, ds, cutoff, y, <Model>, <Model>-lo-90, <Model>-hi-90 ...``, a row per series, cutoff and
        step; ``cutoff`` is the last stamp known, ``y`` the observed value (NaN where missing), whatever the
        target column was called.
    metrics : DataFrame
        ``model, unique_id, cutoff`` and a column a metric; NaN where a metric is not defined.
    timings : DataFrame
        ``model, fold, fit_s, predict_s``, a row a fit; ``fold`` is the first fold that it forecast, from 0.
    horizon, season_length : int
        Steps ahead, and the season of `mase` and `rmsse`.
    panel : Panel
        The data.
    scale : array of float64, shape (M,)
        What a seasonal naive forecast missed before each cutoff: a value for every ``horizon`` rows of
        ``forecasts``.
    """

    forecasts: pd.DataFrame = field(repr=False)
    metrics: pd.DataFrame = field(repr=False)
    timings: pd.DataFrame = field(repr=False)
    horizon: int
    season_length: int
    panel: Panel = field(repr=False)
    scale: NDArray[np.float64] = field(repr=False)

    @property
    def history(self) -> pd.DataFrame:
        """The data as ``unique_id, ds, y``, missing values and rows of gaps as NaN."""
        panel, schema = self.panel, self.panel.schema
        times = pd.concat([panel.stamps(panel.times)] * panel.values.shape[1], ignore_index=True)
        names = np.repeat(panel.labels, panel.lengths, axis=0)
        columns = {
            schema.id_col: names.T.reshape(-1),
            schema.time_col: times,
            "y": panel.values.T.reshape(-1),
        }
        return pd.DataFrame(columns).infer_objects()

    def leaderboard(self) -> pd.DataFrame:
        """Rank the models: a row a model, of every metric the mean over cutoffs and then over series.

        The best `mase` comes first. Values that are not defined are left out, and counted in `n_undefined`. ``wql`` is
        pooled over everything; ``owa``, of the M4 competition, is there where `smape` and `mase` are and a model is
        called ``Naive2``: the mean of their ratios to those of that model.
        """
        keys = ["model", self.panel.schema.id_col]
        per_series = self.metrics.drop(columns="cutoff").groupby(keys, sort=False).mean()
        board = per_series.groupby("model", sort=False).mean().reset_index()
        if "wql" in board:
            board["wql"] = [self._pooled_wql(name) for name in board["model"]]
        if {"smape", "mase"} <= set(board) and "Naive2" in set(board["model"]):
            yardstick = board.set_index("model").loc["Naive2"]
            board["owa"] = (board["smape"] / yardstick["smape"] + board["mase"] / yardstick["mase"]) / 2
        known = [name for name in ("mase", *board.columns[1:]) if name in board and board[name].notna().any()]
        return board.sort_values(known[0], kind="stable", ignore_index=True) if known else board

    def skill(self, reference: str) -> pd.DataFrame:
        """Every model against one of them.

        Parameters
        ----------
        reference : str
            Name of the model to compare with.

        Returns
        -------
        DataFrame
            The leaderboard with every metric divided by the reference's: below 1 where the error is smaller. Coverage
            and bias, of which less is not better, are left out.

        Raises
        ------
        ValueError
            If there is no such model.
        """
        board = self.leaderboard()
        board = board.loc[:, ~board.columns.str.startswith(("coverage", "bias"))].set_index("model")
        if reference not in board.index:
            raise ValueError(f"no model is called {reference!r}; there are {', '.join(board.index)}.")
        return (board / board.loc[reference]).reset_index()

    def _pooled_wql(self, name: str) -> float:
        """Weighted quantile loss of all series and cutoffs at once; NaN without observed values other than 0."""
        prefixes = {f"{name}-lo-": -1, f"{name}-hi-": 1}
        columns, levels = [name], [0.5]
        for column in self.forecasts.columns:
            for prefix, side in prefixes.items():
                if column.startswith(prefix):
                    columns.append(column)
                    levels.append(0.5 + side * float(column.removeprefix(prefix)) / 200)
        return float(metrics.wql(self.forecasts["y"], self.forecasts[columns], levels))

    @property
    def n_undefined(self) -> pd.DataFrame:
        """Pairs of series and cutoff for which a metric is not defined: a row a model, a column a metric."""
        missing = self.metrics.drop(columns=["model", self.panel.schema.id_col, "cutoff"]).isna()
        return missing.groupby(self.metrics["model"], sort=False).sum().reset_index()

    def by_step(self) -> pd.DataFrame:
        """Mean absolute scaled error at each step ahead: ``step`` from 1, a column a model, the best first.

        Where nothing is missing, the mean of a column is the model's `mase`.
        """
        ids = self.forecasts[self.panel.schema.id_col].to_numpy()[:: self.horizon]
        scale = np.where(self.scale == 0, np.nan, self.scale)[:, None]
        columns = {}
        for name in self.leaderboard()["model"]:
            error = (self.forecasts["y"] - self.forecasts[name]).abs().to_numpy()
            columns[name] = pd.DataFrame(error.reshape(-1, self.horizon) / scale).groupby(ids).mean().mean()
        steps = pd.RangeIndex(1, self.horizon + 1, name="step")
        return pd.DataFrame(columns).set_axis(steps, axis=0).reset_index()

    def plot(self, *, models: Sequence[str] | None = None, series: Sequence[Any] | None = None) -> "Figure":
        """Draw the newest forecasts against what was observed.

        Parameters
        ----------
        models : sequence of str, optional
            Which models; by default the best three of the leaderboard.
        series : sequence, optional
            Which series; by default up to three, spread evenly over the data.

        Returns
        -------
        matplotlib.figure.Figure
        """
        chosen = list(self.leaderboard()["model"][:3]) if models is None else list(models)
        schema = self.panel.schema
        return plots.plot_forecasts(
            self.history,
            self.forecasts,
            chosen,
            series=series,
            id_col=schema.id_col,
            time_col=schema.time_col,
        )


class BacktestInterrupted(KeyboardInterrupt):
    """Ctrl-C during a backtest; what was finished is not lost.

    Attributes
    ----------
    result : BacktestResult or None
        Of the models finished before; None if there is none.
    """

    def __init__(self, result: BacktestResult | None) -> None:
        super().__init__("backtest interrupted")
        self.result = result
