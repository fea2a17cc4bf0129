"""The report of a backtest: what was done and how it went, as blocks of a page."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tsrnn.evaluation.summary import base
from tsrnn.report import html
from tsrnn.report.accuracy import reliability
from tsrnn.report.charts import Curves, Explorer, Intervals

if TYPE_CHECKING:
    from tsrnn.evaluation.result import BacktestResult

__all__ = ["report"]

_FEW_SERIES, _FEW_CUTOFFS = 5, 8  # with fewer, tests of significance tell nothing
_MANY_GROUPS = 20  # with more, a static covariate is a number or a name rather than a group


def report(
    result: "BacktestResult", *, left_out: Sequence[str] = (), training: pd.DataFrame | None = None
) -> list[html.Block]:
    """Lay out a result.

    Parameters
    ----------
    result : BacktestResult
        What to report.
    left_out : sequence of str
        Models that did not finish.
    training : DataFrame, optional
        How the networks learned: ``model, fold, step, train_loss, valid_loss``.

    Returns
    -------
    list of blocks
        For `tsrnn.report.html.render`.
    """
    board = result.leaderboard()
    metric = _ranked_by(board)
    blocks: list[html.Block] = [html.Text(_summary(result, left_out)), _leaderboard(result, board)]
    if result.seeded:
        blocks.append(html.Table(result.over_seeds(), heading="Mean and spread over seeds"))
    blocks += [
        _explorer(result, board, metric),
        *_errors(result, board, metric),
        *_groups(result, board, metric),
        *_calibration(result, list(board["model"])),
    ]
    blocks += [*_significance(result, board, metric), *_training(training, list(board["model"]))]
    if result.audit is not None:
        note = (
            "Whether forecasts of the first fold stay equal, to the bit, when everything after the cutoff is changed."
        )
        blocks.append(html.Table(result.audit, heading="Leakage", caption=note))
    note = "Seconds for each fit and the forecasts from it."
    return [*blocks, html.Table(result.timings.round(2), heading="Time", caption=note)]


def _ranked_by(board: pd.DataFrame) -> str:
    """The metric that the models are ranked by, an error."""
    errors = [
        str(c) for c in board.columns[1:] if not str(c).startswith(("coverage", "bias")) and board[c].notna().any()
    ]
    return "mase" if "mase" in errors or not errors else errors[0]


def _summary(result: "BacktestResult", left_out: Sequence[str]) -> str:
    cutoffs = result.labels["cutoff"]
    first, last = (str(stamp).removesuffix(" 00:00:00") for stamp in (cutoffs.min(), cutoffs.max()))
    n_windows = int(result.labels["fold"].max()) + 1
    after = f" after a gap of {result.gap}" if result.gap else ""
    text = (
        f"{result.panel.describe()}. For each series {n_windows} cutoffs, from {first} to {last}, and {result.horizon} "
        f"steps forecast from them{after}. MASE and RMSSE are scaled by a season of {result.season_length}."
    )
    return f"{text}\n\nInterrupted: {', '.join(left_out)} did not finish." if left_out else text


def _leaderboard(result: "BacktestResult", board: pd.DataFrame) -> html.Block:
    note = "Means over cutoffs, then over series."
    undefined = result.n_undefined.set_index("model").sum().loc[lambda n: n > 0]
    if len(undefined):
        counts = ", ".join(f"{n} values of {name}" for name, n in undefined.items())
        note += f" Not defined and left out: {counts}."
    lowest = [name for name in board.columns[1:] if not name.startswith(("coverage", "bias"))]
    return html.Table(board, heading="Leaderboard", caption=note, lowest=lowest)


def _explorer(result: "BacktestResult", board: pd.DataFrame, metric: str) -> html.Block:
    schema, best = result.panel.schema, board["model"].iloc[0]
    quality = result.summary(base(metric), by=schema.id_col)
    levels = sorted({p for of in result.levels.values() for p in of})
    note = f"Shaded: intervals of {', '.join(f'{p:g}' for p in levels)} %. " if levels else ""
    return Explorer(
        result.history,
        result.forecasts,
        {name: result.levels[name] for name in board["model"]},
        quality.loc[quality["model"] == best, [schema.id_col, metric]],
        id_col=schema.id_col,
        time_col=schema.time_col,
        heading="Forecasts",
        note=f"{note}Beside each series the {metric} of {best}. Drag to zoom, double-click to go back.",
    )


def _errors(result: "BacktestResult", board: pd.DataFrame, metric: str) -> list[html.Block]:
    """Every metric by step and by cutoff, where there are several, the one that models are ranked by first."""
    apart = result.labels["cutoff"].nunique() > result.labels["fold"].nunique()  # series that do not end together
    keys = {
        "step": ("Error by step ahead", "steps ahead"),
        "fold" if apart else "cutoff": ("Error by cutoff", "fold, from 0" if apart else "cutoff"),
    }
    if result.horizon == 1:
        del keys["step"]
    if result.labels["fold"].nunique() == 1:
        keys = {key: text for key, text in keys.items() if key == "step"}
    blocks: list[html.Block] = []
    for key, (heading, label) in keys.items():
        table = _sorted(result.summary(by=key), list(board["model"]))
        names = sorted(table.columns[2:], key=lambda name: name != metric)
        blocks.append(Curves(table[["model", key, *names]], key, heading, label=label))
    return blocks


def _groups(result: "BacktestResult", board: pd.DataFrame, metric: str) -> list[html.Block]:
    """The metric that models are ranked by, for the series of each value of a static covariate that has a few."""
    blocks: list[html.Block] = []
    id_col, models = result.panel.schema.id_col, list(board["model"])
    for name in result.panel.schema.static_covariates:
        if name not in result.labels or not 1 < result.labels[name].nunique() <= _MANY_GROUPS:
            continue
        table = result.summary(base(metric), by=name).pivot(index=name, columns="model", values=metric)[models]
        table.insert(0, "series", result.labels.groupby(name)[id_col].nunique())
        heading = f"{metric} by {name}"
        blocks.append(html.Table(table.rename_axis(columns=None).reset_index(), heading=heading))
    return blocks


def _sorted(table: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    return table.sort_values("model", key=lambda names: names.map(order.index), kind="stable", ignore_index=True)


def _calibration(result: "BacktestResult", order: list[str]) -> list[html.Block]:
    table = _sorted(result.calibration(), order)
    if table.empty:
        return []
    curves = [
        reliability(rows).assign(model=name).rename(columns={"share": "share of values at or below it"})
        for name, rows in table.groupby("model", sort=False)
    ]
    note = (
        "On the dotted line, as many values lie at or below a quantile as should. Flatter: intervals are too narrow; "
        "steeper: too wide; all below the line: forecasts are too low."
    )
    chart = Curves(pd.concat(curves), "quantile", "Calibration", note, label="quantile", diagonal=True)
    note = "Shares of the values inside, below and above the intervals of each level, in percent."
    whole = (table["level"] % 1 == 0).all()
    table = table.assign(level=table["level"].astype(int if whole else float))
    shares = table.assign(**{name: 100 * table[name] for name in ("coverage", "below", "above")})
    return [chart, html.Table(shares, caption=note)]


def _significance(result: "BacktestResult", board: pd.DataFrame, metric: str) -> list[html.Block]:
    blocks: list[html.Block] = []
    n_windows, models = result.labels["fold"].nunique(), list(board["model"])
    if len(models) < 2:
        return blocks
    per_series = result.summary(base(metric), by=result.panel.schema.id_col)
    if per_series.groupby("model")[metric].count().min() >= _FEW_SERIES:
        ranks = result.ranks(metric)
        note = (
            f"By {metric} of each of {ranks.n_series:,} series. Models differ, at 5 %, whose intervals do not meet; "
            "those that reach the shaded band cannot be told from the best (Nemenyi). That all models are equal has a "
            f"p-value of {ranks.p_value:.2g} (Friedman)."
        )
        frame = ranks.table[["model", "rank"]].rename(columns={"rank": "mean rank"})
        blocks.append(Intervals(frame, ranks.critical_difference / 2, "Ranks over series", note))
    if n_windows >= _FEW_CUTOFFS:
        tests = [result.diebold_mariano(models[0], other, metric=metric) for other in models[1:]]
        table = pd.concat(tests, ignore_index=True)
        table.insert(0, "against", models[1:])
        note = (
            f"Losses of {models[0]} less those of the others, by {metric} at each cutoff; a p-value near 0 says that "
            "the difference is not luck (Diebold and Mariano, with the correction of Harvey, Leybourne and Newbold)."
        )
        blocks.append(html.Table(table, heading=f"{models[0]} against the others", caption=note))
    return blocks


def _training(training: pd.DataFrame | None, order: list[str]) -> list[html.Block]:
    """Losses of the networks, a line a fit."""
    if training is None or training.empty:
        return []
    training = _sorted(training[training["model"].isin(order)], order)
    several = training.groupby("model")["fold"].nunique().max() > 1
    fits: Any = training["model"].astype(str) + (", fold " + training["fold"].astype(str) if several else "")
    table = training.assign(model=fits).rename(columns={"train_loss": "training loss", "valid_loss": "validation loss"})
    names = [name for name in ("validation loss", "training loss") if table[name].notna().any()]
    return [Curves(table[["model", "step", *names]], "step", "Training", "A line a fit.", label="step")]
