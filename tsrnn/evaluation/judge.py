"""The judge of a backtest: turns forecasts from past cutoffs into frames and figures."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.data import Panel
from tsrnn.evaluation import metrics as formulas
from tsrnn.evaluation.result import BacktestResult
from tsrnn.evaluation.splits import Folds
from tsrnn.forecasting.base import forecast_frame, interval_columns

__all__ = ["METRICS", "USUAL", "Judge", "Run", "check_metrics"]

FloatArray = NDArray[np.float64]

USUAL = ("mase", "rmsse", "mae", "rmse", "smape", "mape", "wape", "pinball", "coverage")
"""The metrics taken when none are asked for."""

METRICS = (*USUAL, "bias", "mse", "msse", "wql", "winkler", "msis")
"""Names that ``metrics`` may hold; see `tsrnn.evaluation.metrics`."""


@dataclass(frozen=True)
class Run:
    """What a model gave: forecasts of shape (n_windows, N, H, C, 1 + Q)."""

    name: str
    levels: tuple[float, ...]
    values: FloatArray
    timings: list[dict[str, Any]]


class Judge:
    """Turns forecasts into frames and figures; everything goes by series, then cutoff, then channel."""

    def __init__(
        self,
        panel: Panel,
        folds: Folds,
        season_length: int,
        metrics: Sequence[str],
        unit_rows: int | None,
    ) -> None:
        self.panel, self.horizon, self.season_length, self.metrics = panel, folds.horizon, season_length, metrics
        n_windows, n_series = folds.ends.shape
        self.series = np.repeat(np.arange(n_series), n_windows)
        ends = folds.ends.T.reshape(-1)
        self.starts = ends + folds.gap
        tested = panel.indptr[self.series] + self.starts
        self.y = panel.values[tested[:, None] + np.arange(self.horizon)]
        self.cutoffs = np.repeat(panel.times[panel.indptr[self.series] + ends - 1], panel.values.shape[1])
        self.units = np.repeat(_units(panel, folds.ends, unit_rows), n_windows, axis=0).reshape(-1)
        self.scale = {name: self._scale(folds.ends, squared=name == "rmsse") for name in ("mase", "rmsse")}
        self.scale |= {"msis": self.scale["mase"], "msse": self.scale["rmsse"]}

    def _scale(self, ends: NDArray[np.int64], *, squared: bool) -> FloatArray:
        scales = []
        for start, stop, own in zip(self.panel.indptr[:-1], self.panel.indptr[1:], ends.T, strict=True):
            history = self.panel.values[start:stop].T
            scales.append(formulas.seasonal_scale(history, self.season_length, squared=squared)[:, own].T)
        return np.concatenate(scales).reshape(-1)

    def result(self, runs: Sequence[Run]) -> BacktestResult:
        """Put the runs side by side."""
        panel, schema = self.panel, self.panel.schema
        cells = {schema.id_col: panel.labels[self.series].reshape(-1), "cutoff": panel.stamps(self.cutoffs)}
        names, blocks, scores = ["y"], [self.y[..., None]], []
        for run in runs:
            values = np.swapaxes(run.values, 0, 1).reshape(len(self.series), *run.values.shape[2:])
            names += [run.name, *interval_columns(run.name, run.levels)[0]]
            blocks.append(values)
            scores.append(pd.DataFrame({"model": run.name, **cells, **self._score(run.levels, values)}))
        forecasts = forecast_frame(panel, self.series, self.starts, np.concatenate(blocks, axis=-1), names)
        forecasts.insert(2, "cutoff", panel.stamps(np.repeat(self.cutoffs, self.horizon)))
        return BacktestResult(
            forecasts=forecasts,
            metrics=pd.concat(scores, ignore_index=True).infer_objects(),
            timings=pd.DataFrame([row for run in runs for row in run.timings]),
            horizon=self.horizon,
            season_length=self.season_length,
            panel=panel,
            scale=self.scale["mase"],
        )

    def _score(self, levels: Sequence[float], values: FloatArray) -> dict[str, FloatArray]:
        """Figures of one model, each of shape (B * C,), from its forecasts of shape (B, H, C, 1 + Q)."""
        y = np.swapaxes(self.y, 1, 2).reshape(-1, self.horizon)
        flat = np.swapaxes(values, 1, 2).reshape(len(y), self.horizon, -1)
        point, bounds = flat[..., 0], flat[..., 1:]
        scores: dict[str, FloatArray] = {}
        for name in self.metrics:
            if name in ("coverage", "winkler", "msis"):
                for i, p in enumerate(levels):
                    lo, hi = bounds[..., 2 * i], bounds[..., 2 * i + 1]
                    if name == "coverage":
                        scores[f"coverage-{p:g}"] = formulas.coverage(y, lo, hi)
                    elif name == "winkler":
                        scores[f"winkler-{p:g}"] = formulas.winkler(y, lo, hi, p)
                    elif p == 95:
                        scores[name] = formulas.msis(y, lo, hi, self.scale[name])
            elif name == "pinball":
                scores[name] = formulas.pinball(y, bounds, interval_columns("", levels)[1])
            elif name == "wql":
                scores[name] = formulas.wql(y, flat, [0.5, *interval_columns("", levels)[1]])
            elif name in ("mae", "mse", "rmse", "bias"):
                unit = self.units[:, None]
                scores[name] = getattr(formulas, name)(y / unit, point / unit)
            else:
                scale = (self.scale[name],) if name in self.scale else ()
                scores[name] = getattr(formulas, name)(y, point, *scale)
        return scores


def _units(panel: Panel, folds: NDArray[np.int64], rows: int | None) -> FloatArray:
    """Unit of the errors of each series and channel, shape (N, C)."""
    if rows is None:
        return np.ones((len(panel.ids), panel.values.shape[1]))
    if not 2 <= rows <= folds[0].min():
        raise ValueError(f"unit_rows must lie in 2 to {folds[0].min()}, the rows before the first cutoff, got {rows}.")
    units = np.stack([np.nanstd(panel.values[start : start + rows], axis=0) for start in panel.indptr[:-1]])
    return np.where(units > 0, units, np.nan)


def check_metrics(metrics: Sequence[str] | None, level: Sequence[float] | None) -> tuple[str, ...]:
    """Names of the metrics to take, the usual ones if none are asked for."""
    asked = USUAL if metrics is None else tuple(metrics)
    for name in asked:
        if name not in METRICS:
            near = difflib.get_close_matches(name, METRICS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"no metric is called {name!r}.{hint} There are: {', '.join(METRICS)}.")
    if "msis" in asked and 95 not in (level or ()):
        raise ValueError("msis is a score of 95 % intervals; ask for them, as in level=[95].")
    return asked
