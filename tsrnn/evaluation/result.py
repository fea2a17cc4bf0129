"""What a backtest gives: forecasts, figures for each model, series and cutoff, and their summaries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tsrnn.data import Panel
from tsrnn.evaluation import page
from tsrnn.evaluation.significance import Ranks, diebold_mariano
from tsrnn.evaluation.summary import Cells, base, check_metrics, relative, summarise
from tsrnn.forecasting.base import interval_columns
from tsrnn.report import accuracy, html, plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BacktestInterrupted", "BacktestResult"]

_LABELS = {"mase": "mean absolute scaled error", "mae": "mean absolute error", "rmse": "root mean squared error"}


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """Forecasts from past cutoffs and how good they were.

    Attributes
    ----------
    forecasts : DataFrame
        ``unique_id, ds, cutoff, y, <Model>, <Model>-lo-90, <Model>-hi-90 ...``, a row per series, cutoff and
        step; ``cutoff`` is the last stamp known, ``y`` the observed value (NaN where missing), whatever the
        target column was called. ``<Model>-crps`` are scores of sample paths, where ``crps_samples`` was asked for.
    timings : DataFrame
        ``model, fold, start, fit_s, predict_s``, a row a fit; ``fold`` is the first fold that it forecast, from 0, and
        ``start`` says whether it began cold or went on from the fit before.
    horizon, season_length : int
        Steps ahead, and the season of `mase` and `rmsse`.
    panel : Panel
        The data.
    labels : DataFrame
        ``unique_id, cutoff, fold`` and the static covariates of the M pairs of series and cutoff: a row for every
        ``horizon`` rows of ``forecasts``.
    scales : DataFrame
        ``unit, mase, rmsse``: what the errors of these pairs are divided by. The last two are what a seasonal naive
        forecast missed before the cutoff, as a mean absolute and a root mean squared error.
    levels : dict of str to tuple of float
        The models in the order in which they ran, and the levels of their intervals in percent.
    asked : tuple of str
        The metrics that were asked for.
    gap : int, default 0
        Steps between a cutoff and the first one that is tested, which counts as step 1.
    seeded : dict of str to str
        The models that ran with several seeds, by the names that they ran under: ``{"LSTM-seed0": "LSTM", ...}``.
    audit : DataFrame or None
        ``model, verdict, detail``: ``clean``, or ``leaks`` and what changed with what came after the cutoff; None if no
        audit was asked for.
    """

    forecasts: pd.DataFrame = field(repr=False)
    timings: pd.DataFrame = field(repr=False)
    horizon: int
    season_length: int
    panel: Panel = field(repr=False)
    labels: pd.DataFrame = field(repr=False)
    scales: pd.DataFrame = field(repr=False)
    levels: dict[str, tuple[float, ...]]
    asked: tuple[str, ...]
    gap: int = 0
    seeded: dict[str, str] = field(default_factory=dict)
    audit: pd.DataFrame | None = field(default=None, repr=False)

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order in which they ran."""
        return list(self.levels)

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

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """``model, unique_id, cutoff`` and a column a metric; NaN where a metric is not defined."""
        return self.summary(by=[self.panel.schema.id_col, "cutoff"])

    def summary(
        self,
        metrics: str | Sequence[str] | None = None,
        by: str | Sequence[str] = (),
        *,
        groups: Mapping[Any, Any] | None = None,
        weights: ArrayLike | Mapping[Any, float] | None = None,
        pooled: bool = False,
    ) -> pd.DataFrame:
        """Metrics of every model, by step, cutoff, series or group.

        A metric is taken over the steps that are forecast for a series from a cutoff, or, by step, over the cutoffs of
        a series; then comes the mean over cutoffs, then that over series. What is not defined is left out of these
        means; `n_undefined` counts it. ``wql`` and ``calibration_error`` are always pooled.

        Parameters
        ----------
        metrics : str or sequence of str, optional
            Names from `tsrnn.evaluation.METRICS`; by default those that the backtest was asked for.
        by : str or sequence of str, optional
            ``"step"`` (of those tested, from 1), ``"cutoff"``, ``"fold"`` (from 0), the column of the series' names, a
            static covariate, or ``"group"``.
        groups : mapping, optional
            The group of each series, for ``by="group"``.
        weights : array or mapping, optional
            An array as long as `forecasts` weighs its rows: a mask, for instance, of 0 and 1, or of False and True. A
            mapping weighs series in the mean over them.
        pooled : bool, default False
            Take every metric over all rows at once, so that long errors of one series outweigh those of others.

        Returns
        -------
        DataFrame
            ``model``, a column for each of ``by``, and a column a metric; ``owa`` where `smape` and `mase` are and a
            model is called ``Naive2``, and series are not told apart.

        Raises
        ------
        ValueError
            If there is no such metric, nothing called so to summarise by, or weights do not fit.

        Examples
        --------
        >>> import numpy as np
        >>> from tsrnn import Naive, backtest
        >>> days = pd.date_range("2024-01-01", periods=20)
        >>> result = backtest(Naive(horizon=2), pd.Series(np.arange(20.0), index=days), n_windows=3)
        >>> result.summary("mae", by="step")
           model  step  mae
        0  Naive     1  1.0
        1  Naive     2  2.0
        >>> result.summary("mae", weights=result.forecasts["ds"] < "2024-01-20")
           model       mae
        0  Naive  1.333333
        """
        names = self.asked if metrics is None else (metrics,) if isinstance(metrics, str) else tuple(metrics)
        scored = [name for name in self.levels if f"{name}-crps" in self.forecasts]
        asked = check_metrics(names, [p for levels in self.levels.values() for p in levels], self.levels, scored)
        keys = [key for key in ((by,) if isinstance(by, str) else by) if key != "model"]
        id_col, labels = self.panel.schema.id_col, self.labels
        if groups is not None:
            missing = [name for name in labels[id_col].unique() if name not in groups]
            if missing:
                raise ValueError(f"groups say nothing of series {missing[0]!r}; give every series one.")
            labels = labels.assign(group=labels[id_col].map(dict(groups)))
        table = summarise(self._cells(labels), asked, keys, weights=weights, pooled=pooled)
        if {"smape", "mase"} <= set(table) and "Naive2" in self.levels and id_col not in keys:
            ratios = relative(table, "Naive2", keys)
            table["owa"] = (ratios["smape"] + ratios["mase"]) / 2
        return table

    def _cells(self, labels: pd.DataFrame) -> Cells:
        def block(columns: list[str]) -> NDArray[np.float64]:
            return self.forecasts[columns].to_numpy(np.float64).reshape(len(labels), self.horizon, -1)

        values = {name: block([name, *interval_columns(name, levels)[0]]) for name, levels in self.levels.items()}
        crps = {name: block([f"{name}-crps"])[..., 0] for name in values if f"{name}-crps" in self.forecasts}
        scales = {str(name): column.to_numpy() for name, column in self.scales.items()}
        return Cells(labels, self.panel.schema.id_col, block(["y"])[..., 0], values, self.levels, scales, crps)

    def leaderboard(self) -> pd.DataFrame:
        """Rank the models: a row a model, the `summary` over everything.

        The best `mase` comes first, or the best of the first metric if there is no `mase`.
        """
        board = self.summary()
        known = [name for name in ("mase", *board.columns[1:]) if name in board and board[name].notna().any()]
        return board.sort_values(known[0], kind="stable", ignore_index=True) if known else board

    def over_seeds(self) -> pd.DataFrame:
        """The leaderboard over models that ran with several seeds.

        Returns
        -------
        DataFrame
            ``model``, ``n_seeds``, and for every metric its mean over the seeds and, as ``mase-std``, the standard
            deviation of one of them (NaN of a single one). The best mean comes first.
        """
        board = self.leaderboard().set_index("model")
        groups = board.groupby([self.seeded.get(name, name) for name in board.index], sort=False)
        means, spread = groups.mean(), groups.std()
        columns: dict[str, Any] = {"n_seeds": groups.size()}
        for name in map(str, board):
            columns |= {name: means[name], f"{name}-std": spread[name]}
        first = next((name for name in ("mase", *board) if name in board and board[name].notna().any()), "n_seeds")
        return pd.DataFrame(columns).rename_axis("model").sort_values(first, kind="stable").reset_index()

    def skill(self, reference: str, by: str | Sequence[str] = ()) -> pd.DataFrame:
        """Every model against one of them.

        Parameters
        ----------
        reference : str
            Name of the model to compare with.
        by : str or sequence of str, optional
            As in `summary`.

        Returns
        -------
        DataFrame
            The leaderboard, or summary, with every metric divided by the reference's: below 1 where the error is
            smaller. Coverage and bias, of which less is not better, are left out.

        Raises
        ------
        ValueError
            If there is no such model.
        """
        self._check_model(reference)
        keys = [by] if isinstance(by, str) else list(by)
        board = self.summary(by=keys) if keys else self.leaderboard()
        return relative(board.loc[:, ~board.columns.str.startswith(("coverage", "bias"))], reference, keys)

    def _check_model(self, name: str) -> None:
        if name not in self.levels:
            raise ValueError(f"no model is called {name!r}; there are {', '.join(self.levels)}.")

    def _check_metric(self, name: str, table: pd.DataFrame) -> None:
        if name not in table:
            known = [str(column) for column in table if base(str(column)) == base(name)]
            raise ValueError(f"there is no {name!r}; there are {', '.join(known)}.")

    @property
    def n_undefined(self) -> pd.DataFrame:
        """Pairs of series and cutoff for which a metric is not defined: a row a model, a column a metric."""
        missing = self.metrics.drop(columns=["model", self.panel.schema.id_col, "cutoff"]).isna()
        return missing.groupby(self.metrics["model"], sort=False).sum().reset_index()

    def by_step(self, metric: str = "mase") -> pd.DataFrame:
        """A metric at each step ahead: ``step`` from 1, a column a model, the best first.

        Parameters
        ----------
        metric : str, default "mase"
            A column of the `summary`, as ``"rmse"`` or ``"coverage-90"``.

        Returns
        -------
        DataFrame
            Where nothing is missing, the mean of a column is the model's figure if the metric is a mean, as `mase` is.
        """
        return self._wide(metric, "step")

    def by_cutoff(self, metric: str = "mase") -> pd.DataFrame:
        """A metric at each cutoff: ``cutoff``, a column a model, the best first.

        Parameters
        ----------
        metric : str, default "mase"
            A column of the `summary`, as ``"rmse"`` or ``"coverage-90"``.
        """
        return self._wide(metric, "cutoff")

    def _wide(self, metric: str, key: str) -> pd.DataFrame:
        name = base(metric)
        table = self.summary(name, by=key)
        self._check_metric(metric, table)
        order = self.summary(name).sort_values(metric, kind="stable", ascending=not name.startswith("coverage"))[
            "model"
        ]
        wide = table.pivot(index=key, columns="model", values=metric)[list(order)].rename_axis(columns=None)
        return wide.reset_index()

    def diebold_mariano(
        self, first: str, second: str, *, metric: str = "mase", by: str | Sequence[str] = ()
    ) -> pd.DataFrame:
        """Test whether two models differ, by their losses at the cutoffs in time order.

        The loss of a series at a cutoff is its figure of the metric; over several series, the mean of them at each
        cutoff is taken first, so that series that err together do not count as several observations. Cutoffs of which
        the forecasts overlap are treated as correlated. It takes ten cutoffs or more to tell much; of many series and
        few cutoffs, `ranks` does.

        Parameters
        ----------
        first, second : str
            Names of models.
        metric : str, default "mase"
            A column of the `summary`, less of which is better.
        by : str or sequence of str, optional
            Test each series, step, static covariate ... apart, as in `summary`.

        Returns
        -------
        DataFrame
            A column for each of ``by``; ``n``, the number of cutoffs; ``difference``, the mean loss of the first less
            that of the second; ``statistic``, negative where the first is better; the two-sided ``p_value``. See
            `tsrnn.evaluation.significance.diebold_mariano`.

        Raises
        ------
        ValueError
            If there is no such model or metric.
        """
        for name in (first, second):
            self._check_model(name)
        keys, id_col = [by] if isinstance(by, str) else list(by), self.panel.schema.id_col
        losses = self.summary(base(metric), by=list(dict.fromkeys([*keys, id_col, "fold"])))
        self._check_metric(metric, losses)
        wide = losses.pivot(index=[c for c in losses if c in (*keys, id_col, "fold")], columns="model", values=metric)
        mean = (wide[first] - wide[second]).dropna().groupby(level=[*dict.fromkeys([*keys, "fold"])]).mean()
        groups: Any = mean.groupby(level=keys, sort=False) if keys else [((), mean)]
        rows = []
        for key, d in groups:
            step = dict(zip(keys, key, strict=True)).get("step", self.horizon)
            rows.append([*key, len(d), d.mean(), *diebold_mariano(d, self._overlap(step))])
        return pd.DataFrame(rows, columns=[*keys, "n", "difference", "statistic", "p_value"])

    def _overlap(self, step: int) -> int:
        """How many consecutive cutoffs lie before what is forecast ``step`` steps ahead from the first of them."""
        schema, first = self.panel.schema, self.labels[self.panel.schema.id_col] == self.labels.iloc[0, 0]
        cutoffs = self.labels.loc[first, "cutoff"].to_numpy()
        ahead = self.forecasts[schema.time_col].iloc[step - 1 :: self.horizon][first.to_numpy()].to_numpy()
        return int((np.searchsorted(cutoffs, ahead) - np.arange(len(cutoffs))).max())

    def ranks(self, metric: str = "mase", *, alpha: float = 0.05) -> Ranks:
        """Rank the models on every series, and test whether their mean ranks differ.

        Parameters
        ----------
        metric : str, default "mase"
            A column of the `summary`, less of which is better.
        alpha : float, default 0.05
            Probability of telling any two models apart that are equal.

        Returns
        -------
        Ranks
            Mean ranks, the p-value of Friedman's test, and the critical difference of Nemenyi's.

        Raises
        ------
        ValueError
            If there is no such metric, or there are fewer than two models or series.
        """
        id_col = self.panel.schema.id_col
        table = self.summary(base(metric), by=id_col)
        self._check_metric(metric, table)
        return Ranks.of(table.pivot(index=id_col, columns="model", values=metric)[self.models], metric, alpha)

    def calibration(self) -> pd.DataFrame:
        """How many of the observed values lie inside, below and above the intervals.

        Returns
        -------
        DataFrame
            ``model, level`` (in percent), ``coverage, below, above`` (shares of all values, which add up to 1); no
            rows if no model has intervals.
        """
        y, rows = self.forecasts["y"], []
        for model, levels in self.levels.items():
            for level in levels:
                lo, hi = (self.forecasts[f"{model}-{side}-{level:g}"] for side in ("lo", "hi"))
                seen = y.notna() & lo.notna() & hi.notna()
                below, above = (y < lo)[seen].mean(), (y > hi)[seen].mean()
                rows.append((model, level, 1 - below - above, below, above))
        return pd.DataFrame(rows, columns=["model", "level", "coverage", "below", "above"])

    def plot_by_step(self, metric: str = "mase") -> "Axes":
        """Draw `by_step`."""
        return accuracy.plot_by_step(self.by_step(metric), label=_LABELS.get(metric, metric))

    def plot_by_cutoff(self, metric: str = "mase") -> "Axes":
        """Draw `by_cutoff`."""
        return accuracy.plot_by_cutoff(self.by_cutoff(metric), label=_LABELS.get(metric, metric))

    def plot_calibration(self) -> "Axes":
        """Draw `calibration`: the shares of values at or below each quantile against what they should be."""
        return accuracy.plot_calibration(self.calibration())

    def plot_ranks(self, metric: str = "mase", *, alpha: float = 0.05) -> "Axes":
        """Draw `ranks`: models differ whose intervals, as long as the critical difference, do not meet."""
        ranks = self.ranks(metric, alpha=alpha)
        return accuracy.plot_ranks(ranks.table, ranks.critical_difference)

    def to_html(self, title: str = "Backtest", *, training: pd.DataFrame | None = None) -> str:
        """The report: one page that asks no network, with charts to zoom and to choose series, cutoff and model from.

        Parameters
        ----------
        title : str, default "Backtest"
            Title of the page.
        training : DataFrame, optional
            How networks learned, as in ``training.csv`` of a run folder.

        Returns
        -------
        str
            HTML of two to five megabytes, of which plotly.js takes two.
        """
        return html.render(title, page.report(self, training=training))

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
