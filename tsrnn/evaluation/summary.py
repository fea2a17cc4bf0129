"""Metrics of a backtest by model, series, cutoff, step or group, aggregated in one way.

A metric is taken over the steps that are forecast for a series from a cutoff, or, by step, over the cutoffs of a
series; then comes the mean over cutoffs, then that over series, so that every series counts the same.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tsrnn.evaluation import metrics as formulas
from tsrnn.evaluation.metrics.reduction import mean, ratio
from tsrnn.forecasting.base import interval_columns

__all__ = ["METRICS", "USUAL", "Cells", "base", "check_metrics", "relative", "summarise"]

FloatArray = NDArray[np.float64]

USUAL = ("mase", "rmsse", "mae", "rmse", "smape", "mape", "wape", "pinball", "coverage")
"""The metrics taken when none are asked for."""

METRICS = (
    *USUAL, "bias", "mse", "msse", "owa", "wql", "crps_quantiles", "crps_samples", "winkler", "msis",
    "calibration_error",
)  # fmt: skip
"""Names that ``metrics`` may hold; see `tsrnn.evaluation.metrics`."""

POOLED = ("wql", "calibration_error")
"""Those that are always taken over all rows at once: the sums of the losses over the sum of the values."""

_SCALED = {"mase": ("mae", "mase"), "msse": ("mse", "rmsse"), "rmsse": ("rmse", "rmsse")}
_SCALED |= {name: (name, "unit") for name in ("mae", "mse", "rmse", "bias")}


@dataclass(frozen=True)
class Cells:
    """Forecasts of several models; a cell is a series and a cutoff.

    Parameters
    ----------
    labels : DataFrame
        What each of the M cells is of: the series in the column ``id_col``, ``cutoff``, ``fold`` and what else cells
        can be grouped by.
    id_col : str
        Where the series stand.
    y : array of float64, shape (M, H)
        Observed values, NaN where missing.
    values : dict of str to array of float64, shape (M, H, 1 + 2 L)
        Of each model the point forecast, then lower and upper bounds.
    levels : dict of str to tuple of float
        The L levels of each model's intervals in percent.
    scales : dict of str to array of float64, shape (M,)
        Units of errors: ``unit``, ``mase`` and ``rmsse``; not defined where 0 or NaN.
    crps : dict of str to array of float64, shape (M, H)
        The `tsrnn.evaluation.metrics.crps` of each step, of the models whose sample paths were scored.
    """

    labels: pd.DataFrame
    id_col: str
    y: FloatArray
    values: Mapping[str, FloatArray]
    levels: Mapping[str, tuple[float, ...]]
    scales: Mapping[str, FloatArray]
    crps: Mapping[str, FloatArray]


def summarise(
    cells: Cells,
    metrics: Sequence[str],
    by: Sequence[str] = (),
    *,
    weights: "ArrayLike | Mapping[Any, float] | None" = None,
    pooled: bool = False,
) -> pd.DataFrame:
    """Aggregate metrics; see `tsrnn.evaluation.BacktestResult.summary`."""
    for key in by:
        if key not in (*cells.labels, "step"):
            raise ValueError(
                f"there is nothing called {key!r} to summarise by; there are {', '.join([*cells.labels, 'step'])}."
            )
    of_rows = of_series = None
    if isinstance(weights, Mapping):
        of_series = _series_weights(cells, weights)
    elif weights is not None:
        of_rows = _row_weights(weights, cells.y.shape)
    keys = ["model", *by]
    at_once = [name for name in metrics if pooled or name in POOLED]
    apart = [name for name in metrics if name not in at_once]
    parts = []
    if at_once:
        of_all = of_rows if of_series is None else np.repeat(of_series[:, None], cells.y.shape[1], axis=1)
        parts.append(_figures(cells, at_once, by, of_all).set_index(keys))
    if apart:
        inner = dict.fromkeys([*by, cells.id_col] if "step" in by else [*by, cells.id_col, "cutoff"])
        figures = _figures(cells, apart, [*inner], of_rows)
        of_id = None if of_series is None else pd.Series(of_series, cells.labels[cells.id_col]).groupby(level=0).first()
        parts.append(_means(figures, keys, cells.id_col, of_id))
    table = pd.concat(parts, axis=1).reset_index()
    order = sorted(table.columns[len(keys) :], key=lambda column: metrics.index(base(column)))
    return table[[*keys, *order]]


def relative(table: pd.DataFrame, reference: str, by: Sequence[str]) -> pd.DataFrame:
    """The metrics of a summary over those that the reference has in the same place."""
    metrics = [column for column in table if column not in ("model", *by)]
    yardstick = table.loc[table["model"] == reference, [*by, *metrics]]
    pairs = table[list(by)].merge(yardstick, how="left") if by else yardstick.loc[yardstick.index.repeat(len(table))]
    ratios = ratio(table[metrics].to_numpy(), pairs[metrics].to_numpy())
    return pd.concat([table[["model", *by]], pd.DataFrame(ratios, table.index, metrics)], axis=1)


def check_metrics(
    metrics: Sequence[str] | None, level: Sequence[float] | None, models: Collection[str], scored: Collection[str]
) -> tuple[str, ...]:
    """Names of the metrics to take, the usual ones if none are asked for; ``owa`` is made of two others."""
    asked = USUAL if metrics is None else tuple(metrics)
    for name in asked:
        if name not in METRICS:
            near = difflib.get_close_matches(name, METRICS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"no metric is called {name!r}.{hint} There are: {', '.join(METRICS)}.")
    if "msis" in asked and 95 not in (level or ()):
        raise ValueError("msis is a score of 95 % intervals; ask for them, as in level=[95].")
    if "crps_samples" in asked and not scored:
        raise ValueError(
            "crps_samples is a score of sample paths, which none of these models was asked for or draws; run "
            "backtest(..., metrics=['crps_samples']) with Forecaster(Recursive(), ...) or another model that does."
        )
    if "owa" in asked and "Naive2" not in models:
        raise ValueError("owa compares with a model called 'Naive2'; add tsrnn.Naive2 to the models.")
    return tuple(dict.fromkeys(n for name in asked for n in (("smape", "mase") if name == "owa" else (name,))))


def _figures(cells: Cells, metrics: Sequence[str], keys: Sequence[str], weights: FloatArray | None) -> pd.DataFrame:
    """Metrics over all rows that have the same keys: a row a model and combination of keys, in order of appearance."""
    names, horizon = [key for key in keys if key != "step"], cells.y.shape[1]
    members = _members(cells.labels, names)

    def pool(values: FloatArray) -> FloatArray:
        """From (M, H, ...) to (groups, rows, ...), or by step to (groups, H, cells, ...); NaN where there is no row."""
        block = np.where((members < 0).reshape(*members.shape, *[1] * (values.ndim - 1)), np.nan, values[members])
        return np.swapaxes(block, 1, 2) if "step" in keys else block.reshape(len(members), -1, *values.shape[2:])

    y, units = pool(cells.y), {name: pool(np.repeat(of[:, None], horizon, axis=1)) for name, of in cells.scales.items()}
    rows = None if weights is None else np.nan_to_num(pool(weights))
    labels = cells.labels[names].iloc[members[:, 0]].reset_index(drop=True)
    if "step" in keys:
        labels = labels.loc[labels.index.repeat(horizon)].reset_index(drop=True)
        labels["step"] = np.tile(np.arange(1, horizon + 1), len(members))
    tables = []
    for model, values in cells.values.items():
        crps = pool(cells.crps.get(model, np.full_like(cells.y, np.nan)))
        figures = _score(metrics, cells.levels[model], y, pool(values), units, crps, rows)
        columns = {name: figure.reshape(-1) for name, figure in figures.items()}
        tables.append(labels[list(keys)].assign(**columns) if keys else pd.DataFrame(columns))
        tables[-1].insert(0, "model", model)
    return pd.concat(tables, ignore_index=True)


def _members(labels: pd.DataFrame, names: Sequence[str]) -> NDArray[np.int64]:
    """The cells of each group in a row of their own, padded by -1."""
    groups = labels.groupby(list(names), sort=False, dropna=False).ngroup() if names else np.zeros(len(labels))
    codes = np.asarray(groups, np.int64)
    counts, order = np.bincount(codes), np.argsort(codes, kind="stable")
    members = np.full((len(counts), counts.max()), -1)
    members[codes[order], np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)] = order
    return members


def _score(
    metrics: Sequence[str],
    levels: Sequence[float],
    y: FloatArray,
    values: FloatArray,
    units: Mapping[str, FloatArray],
    crps: FloatArray,
    weights: FloatArray | None,
) -> dict[str, FloatArray]:
    """Figures of one model over the last axis of ``y``."""
    point, bounds, quantiles = values[..., 0], values[..., 1:], interval_columns("", levels)[1]
    scores: dict[str, FloatArray] = {}
    for name in metrics:
        if name in _SCALED:
            metric, unit = _SCALED[name]
            size = np.where(units[unit] == 0, np.nan, units[unit])
            scores[name] = getattr(formulas, metric)(y / size, point / size, weights=weights)
        elif name in ("coverage", "winkler", "msis"):
            for i, p in enumerate(levels):
                lo, hi = bounds[..., 2 * i], bounds[..., 2 * i + 1]
                if name == "coverage":
                    scores[f"coverage-{p:g}"] = formulas.coverage(y, lo, hi, weights=weights)
                elif name == "winkler":
                    scores[f"winkler-{p:g}"] = formulas.winkler(y, lo, hi, p, weights=weights)
                elif p == 95:
                    size = np.where(units["mase"] == 0, np.nan, units["mase"])
                    scores[name] = formulas.winkler(y / size, lo / size, hi / size, p, weights=weights)
        elif name == "crps_samples":
            scores[name] = mean(crps, y, weights)
        elif name in ("pinball", "calibration_error"):
            scores[name] = getattr(formulas, name)(y, bounds, quantiles, weights=weights)
        elif name in ("wql", "crps_quantiles"):
            column = name if name == "wql" else f"crps_q{1 + len(quantiles)}"
            scores[column] = getattr(formulas, name)(y, values, [0.5, *quantiles], weights=weights)
        else:
            scores[name] = getattr(formulas, name)(y, point, weights=weights)
    return scores


def _means(figures: pd.DataFrame, keys: list[str], id_col: str, weights: "pd.Series[float] | None") -> pd.DataFrame:
    """Means over cutoffs, then over series; what is not defined is left out."""
    inner = [*dict.fromkeys([*keys, id_col])]
    metrics = figures.columns.drop([key for key in (*inner, "cutoff") if key in figures])
    per_series = figures.groupby(inner, sort=False, dropna=False)[list(metrics)].mean()
    if id_col in keys:
        return per_series
    if weights is None:
        return per_series.groupby(level=keys, sort=False, dropna=False).mean()
    sizes = weights.reindex(per_series.index.get_level_values(id_col)).to_numpy()[:, None]
    weighed = (per_series.fillna(0) * sizes).groupby(level=keys, sort=False, dropna=False).sum()
    total = (per_series.notna() * sizes).groupby(level=keys, sort=False, dropna=False).sum()
    return weighed / total.where(total > 0)


def _series_weights(cells: Cells, weights: Mapping[Any, float]) -> FloatArray:
    """The weight of each cell's series."""
    missing = [name for name in cells.labels[cells.id_col].unique() if name not in weights]
    if missing:
        raise ValueError(f"weights say nothing of series {missing[0]!r}; give every series one, 0 to leave it out.")
    return cells.labels[cells.id_col].map(dict(weights)).to_numpy(np.float64)


def _row_weights(weights: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    given = np.asarray(weights, np.float64)
    if given.shape != (shape[0] * shape[1],):
        raise ValueError(
            f"weights must be a mapping of series or a number for each of the {shape[0] * shape[1]} rows of forecasts, "
            f"got shape {given.shape}."
        )
    if not (given >= 0).all():
        raise ValueError("weights must be 0 or more, and none of them missing.")
    return given.reshape(shape)


def base(column: str) -> str:
    """The metric that a column is of."""
    return "crps_quantiles" if column.startswith("crps_q") else column.partition("-")[0]
