"""The backtest: every model forecasts from the same past cutoffs, and is judged by what came after them.

Nothing after a cutoff touches a model: it is cloned, so the caller's stays as it was, and fitted cold on the
rows up to the cutoff; the scales of `mase` and `rmsse` come from these rows too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Unpack

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from tsrnn.data import Panel, Roles, Schema
from tsrnn.data.kinds import Tabular
from tsrnn.evaluation.judge import METRICS, Judge, Run, check_metrics
from tsrnn.evaluation.result import BacktestInterrupted, BacktestResult
from tsrnn.evaluation.splits import fold_ends
from tsrnn.forecasting.base import AbstractForecaster, interval_columns

__all__ = ["METRICS", "BacktestEvent", "BacktestInterrupted", "BacktestResult", "backtest"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class BacktestEvent:
    """A fit begins, or its forecasts are done.

    Parameters
    ----------
    model : str
        Name of the model.
    fold : int
        The first fold that this fit forecasts, from 0.
    n_windows : int
        Folds in all.
    seconds : float, optional
        Time for fitting and forecasting; None when it begins.
    fitted : forecaster, optional
        The fitted clone; None when it begins.
    """

    model: str
    fold: int
    n_windows: int
    seconds: float | None = None
    fitted: AbstractForecaster | None = None


def backtest(
    models: AbstractForecaster | Sequence[AbstractForecaster] | Mapping[str, AbstractForecaster],
    df: "Tabular | Panel",
    *,
    n_windows: int = 1,
    step_size: int | None = None,
    refit: bool | int = False,
    level: Sequence[float] | None = None,
    season_length: int | None = None,
    metrics: Sequence[str] | None = None,
    unit_rows: int | None = None,
    freq: str | int | None = None,
    on_event: Callable[[BacktestEvent], object] | None = None,
    **roles: Unpack[Roles],
) -> BacktestResult:
    """Forecast from past cutoffs and compare with what came after them.

    Parameters
    ----------
    models : forecaster, sequence or mapping of forecasters
        All of one horizon. A mapping names them; otherwise each has its own name. They are cloned and stay
        unfitted.
    df : DataFrame, Series, Table, array or Panel
        As in `AbstractForecaster.fit`.
    n_windows : int, default 1
        Folds, counted from the end of each series.
    step_size : int, optional
        Steps between two cutoffs; by default the horizon.
    refit : bool or int, default False
        False: fitted once, on the rows up to the first cutoff. True: fitted anew, cold, in every fold. An
        integer n: in every n-th fold.
    level : sequence of float, optional
        Levels of central intervals in percent, as ``[80, 95]``; by default each model's own. A model without
        intervals has none. `pinball` is the mean over the bounds of the intervals: compare it only between
        models of the same levels.
    season_length : int, optional
        Season of the scale of `mase` and `rmsse`, in steps; by default the one usual at the data's frequency.
    metrics : sequence of str, optional
        Names from `METRICS`; by default `USUAL`. ``"coverage"`` and ``"winkler"`` give a column a level, as
        ``coverage-90``; ``"msis"`` needs the level 95. ``"wql"`` takes the bounds and, as their median, the point
        forecast: ``level=[20, 40, 60, 80]`` is the mean over nine deciles.
    unit_rows : int, optional
        Take `mae`, `mse`, `rmse` and `bias` in units of the standard deviation of so many first rows of each series, as
        the long-horizon benchmarks do with their training rows; by default in those of the data.
    freq : str or int, optional
        As in `AbstractForecaster.fit`.
    on_event : callable, optional
        Called with a `BacktestEvent` when a fit begins and when its forecasts are done.
    **roles
        What the columns mean, as in `tsrnn.data.Schema`.

    Returns
    -------
    BacktestResult
        Its frames are pandas, whatever kind came in.

    Raises
    ------
    DataError
        If the frame cannot be used, or a series is too short for so many folds.
    ValueError
        If the models have different horizons or equal names.
    BacktestInterrupted
        On Ctrl-C, with the result of the models finished.

    References
    ----------
    L. J. Tashman (2000), Out-of-sample tests of forecasting accuracy: an analysis and review, International
    Journal of Forecasting 16(4).

    Examples
    --------
    >>> import pandas as pd
    >>> from tsrnn.forecasting.baselines import Naive, SeasonalNaive
    >>> days = pd.date_range("2024-01-01", periods=42)
    >>> visits = pd.Series([5.0, 6.0, 6.0, 7.0, 9.0, 3.0, 2.0] * 6, index=days) + days.day_of_year
    >>> models = [Naive(horizon=7), SeasonalNaive(horizon=7)]
    >>> backtest(models, visits, n_windows=2, metrics=["mase", "mae"]).leaderboard().round(2)
               model  mase   mae
    0  SeasonalNaive  1.00  7.00
    1          Naive  1.06  7.43
    """
    named = _named(models)
    horizon = _common_horizon(named)
    asked = check_metrics(metrics, level)
    if refit < 0 or int(refit) != refit:
        raise ValueError(f"refit must be True, False or the number of folds from fit to fit, got {refit!r}.")
    panel = Panel.from_frame(df, Schema(**roles), freq)
    _check_names(named, panel.schema)
    needed, why = max(model._rows_needed() for model in named.values())
    folds = fold_ends(panel, horizon=horizon, n_windows=n_windows, step_size=step_size, rows_needed=needed, why=why)
    season = panel.freq.season_length if season_length is None else season_length
    judge = Judge(panel, folds, horizon, season, asked, unit_rows)
    every = int(refit) or n_windows
    runs: list[Run] = []
    try:
        for name, model in named.items():
            levels = model.default_level if level is None else tuple(level) if model.default_level else ()
            runs.append(_run(name, model, panel, folds, levels, every, on_event))
    except KeyboardInterrupt as stop:
        raise BacktestInterrupted(judge.result(runs) if runs else None) from stop
    return judge.result(runs)


def _run(
    name: str,
    model: AbstractForecaster,
    panel: Panel,
    folds: NDArray[np.int64],
    levels: tuple[float, ...],
    every: int,
    on_event: Callable[[BacktestEvent], object] | None,
) -> Run:
    """At every ``every``-th cutoff fit a clone on what is known; forecast from there to the next fit."""
    tell = on_event or (lambda event: None)
    _, quantiles = interval_columns(name, levels)
    n_windows, n_series = folds.shape
    blocks, timings = [], []
    for fold in range(0, n_windows, every):
        tell(BacktestEvent(name, fold, n_windows))
        start = perf_counter()
        ends = folds[fold : fold + every]
        fitted = clone(model).fit_panel(panel.until(ends[0]))
        ready = perf_counter()
        series = np.tile(np.arange(n_series), len(ends))
        values = fitted.forecast_panel(panel, series, ends.reshape(-1), quantiles)
        done = perf_counter()
        blocks.append(values.reshape(len(ends), n_series, *values.shape[1:]))
        timings.append({"model": name, "fold": fold, "fit_s": ready - start, "predict_s": done - ready})
        tell(BacktestEvent(name, fold, n_windows, done - start, fitted))
    return Run(name, levels, np.concatenate(blocks), timings)


def _named(
    models: AbstractForecaster | Sequence[AbstractForecaster] | Mapping[str, AbstractForecaster],
) -> dict[str, AbstractForecaster]:
    """Models by the name of their column."""
    if isinstance(models, AbstractForecaster):
        models = [models]
    if isinstance(models, Mapping):
        pairs = list(models.items())
    else:
        pairs = [(getattr(model, "name", ""), model) for model in models]
    if not pairs:
        raise ValueError("there are no models to backtest; pass at least one.")
    for _, model in pairs:
        if not isinstance(model, AbstractForecaster):
            raise TypeError(f"{model!r} is not a forecaster; pass an instance, and a network inside Forecaster(...).")
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"{names.count(twice)} models are called {twice!r}; pass a mapping to tell them apart, "
            f"as {{'{twice}-small': ..., '{twice}-large': ...}}."
        )
    return dict(pairs)


def _check_names(named: Mapping[str, AbstractForecaster], schema: Schema) -> None:
    taken = {schema.id_col, schema.time_col, "cutoff", "y"} & set(named)
    if taken:
        raise ValueError(f"a model cannot be called {min(taken)!r}: the forecasts have another column of that name.")


def _common_horizon(named: Mapping[str, AbstractForecaster]) -> int:
    horizons = {name: model.horizon for name, model in named.items()}
    if len(set(horizons.values())) > 1:
        listed = ", ".join(f"{name}: {horizon}" for name, horizon in horizons.items())
        raise ValueError(f"all models of a backtest must have the same horizon, got {listed}.")
    return next(iter(horizons.values()))
