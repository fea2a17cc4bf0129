"""The judge of a backtest: puts forecasts from past cutoffs beside what came after them."""

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
from tsrnn.evaluation.summary import METRICS, USUAL, check_metrics
from tsrnn.forecasting.base import forecast_frame, interval_columns

__all__ = ["METRICS", "USUAL", "Judge", "Run", "check_metrics"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """What a model gave: forecasts of shape (n_windows, N, H, C, 1 + Q), or 2 + Q with scores of sample paths."""

    name: str
    levels: tuple[float, ...]
    values: FloatArray
    timings: list[dict[str, Any]]


class Judge:
    """Turns forecasts into a result; everything goes by series, then cutoff, then channel."""

    def __init__(
        self,
        panel: Panel,
        folds: Folds,
        season_length: int,
        metrics: Sequence[str],
        unit_rows: int | None,
    ) -> None:
        self.panel, self.horizon, self.gap, self.season_length = panel, folds.horizon, folds.gap, season_length
        self.metrics = tuple(metrics)
        n_windows, n_series = folds.ends.shape
        self.series = np.repeat(np.arange(n_series), n_windows)
        self.folds = np.tile(np.arange(n_windows), n_series)
        ends = folds.ends.T.reshape(-1)
        self.starts = ends + folds.gap
        tested = panel.indptr[self.series] + self.starts
        self.y = panel.values[tested[:, None] + np.arange(self.horizon)]
        self.cutoffs = np.repeat(panel.times[panel.indptr[self.series] + ends - 1], panel.values.shape[1])
        units = np.repeat(_units(panel, folds.ends, unit_rows), n_windows, axis=0).reshape(-1)
        scales = {name: self._scale(folds.ends, squared=name == "rmsse") for name in ("mase", "rmsse")}
        self.scales = pd.DataFrame({"unit": units, **scales})

    def _scale(self, ends: NDArray[np.int64], *, squared: bool) -> FloatArray:
        scales = []
        for start, stop, own in zip(self.panel.indptr[:-1], self.panel.indptr[1:], ends.T, strict=True):
            history = self.panel.values[start:stop].T
            scales.append(formulas.seasonal_scale(history, self.season_length, squared=squared)[:, own].T)
        return np.concatenate(scales).reshape(-1)

    def _labels(self) -> pd.DataFrame:
        """Of each cell the series, the cutoff, the fold, and the series' static covariates."""
        panel, channels = self.panel, self.panel.values.shape[1]
        of_series = panel.static_frame().iloc[np.repeat(self.series, channels)].reset_index(drop=True)
        labels = {
            panel.schema.id_col: panel.labels[self.series].reshape(-1),
            "cutoff": panel.stamps(self.cutoffs),
            "fold": np.repeat(self.folds, channels),
        }
        return pd.DataFrame(labels | {str(c): of_series[c] for c in of_series if c not in labels}).infer_objects()

    def result(self, runs: Sequence[Run]) -> BacktestResult:
        """Put the runs side by side."""
        panel, labels = self.panel, self._labels()
        names, blocks = ["y"], [self.y[..., None]]
        for run in runs:
            blocks.append(np.swapaxes(run.values, 0, 1).reshape(len(self.series), *run.values.shape[2:]))
            names += [run.name, *interval_columns(run.name, run.levels)[0], f"{run.name}-crps"][: run.values.shape[-1]]
        forecasts = forecast_frame(panel, self.series, self.starts, np.concatenate(blocks, axis=-1), names)
        forecasts.insert(2, "cutoff", panel.stamps(np.repeat(self.cutoffs, self.horizon)))
        return BacktestResult(
            forecasts=forecasts,
            timings=pd.DataFrame([row for run in runs for row in run.timings]),
            horizon=self.horizon,
            season_length=self.season_length,
            panel=panel,
            labels=labels,
            scales=self.scales,
            levels={run.name: run.levels for run in runs},
            asked=self.metrics,
            gap=self.gap,
        )


def _units(panel: Panel, folds: NDArray[np.int64], rows: int | None) -> FloatArray:
    """Unit of the errors of each series and channel, shape (N, C)."""
    if rows is None:
        return np.ones((len(panel.ids), panel.values.shape[1]))
    if not 2 <= rows <= folds[0].min():
        raise ValueError(f"unit_rows must lie in 2 to {folds[0].min()}, the rows before the first cutoff, got {rows}.")
    units = np.stack([np.nanstd(panel.values[start : start + rows], axis=0) for start in panel.indptr[:-1]])
    return np.where(units > 0, units, np.nan)
