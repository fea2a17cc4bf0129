"""The backtest: every model forecasts from the same past cutoffs, and is judged by what came after them.

Nothing after a cutoff touches a model: it is cloned, so the caller's stays as it was, and fitted on rows up to
the cutoff, cold unless a warm start is asked for; the scales of `mase` and `rmsse` come from these rows too.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack, cast

import pandas as pd
from sklearn.base import clone

from tsrnn.data import DataError, Panel, Roles, Schema
from tsrnn.data.kinds import Tabular
from tsrnn.evaluation.checkpoint import Checkpoint
from tsrnn.evaluation.collector import BacktestEvent, Collector
from tsrnn.evaluation.engines import Engine, find_engine, spread
from tsrnn.evaluation.judge import METRICS, Judge, check_metrics
from tsrnn.evaluation.leakage import find_leak
from tsrnn.evaluation.result import BacktestInterrupted, BacktestResult
from tsrnn.evaluation.splits import Folds, make_folds
from tsrnn.evaluation.units import Part, Unit, make_units, run_unit, run_whole
from tsrnn.forecasting.base import AbstractForecaster

__all__ = ["METRICS", "BacktestEvent", "BacktestInterrupted", "BacktestResult", "backtest", "plan_folds"]


def backtest(
    models: AbstractForecaster | Sequence[AbstractForecaster] | Mapping[str, AbstractForecaster],
    df: "Tabular | Panel",
    *,
    horizon: int | None = None,
    n_windows: int | None = None,
    start: Any = None,
    end: Any = None,
    step_size: int | None = None,
    gap: int = 0,
    initial_train_size: int | None = None,
    train_size: int | None = None,
    skip_folds: int | Sequence[int] | None = None,
    allow_incomplete_fold: bool = False,
    refit: bool | int = False,
    warm_start: bool = False,
    seeds: Sequence[int] | None = None,
    level: Sequence[float] | None = None,
    season_length: int | None = None,
    metrics: Sequence[str] | None = None,
    unit_rows: int | None = None,
    freq: str | int | None = None,
    engine: Any = None,
    checkpoint: str | Path | None = None,
    audit: bool = False,
    on_event: Callable[[BacktestEvent], object] | None = None,
    **roles: Unpack[Roles],
) -> BacktestResult:
    """Forecast from past cutoffs and compare with what came after them.

    Parameters
    ----------
    models : forecaster, sequence or mapping of forecasters
        All of one horizon, unless ``horizon`` is given. A mapping names them; otherwise each has its own name. They are
        cloned and stay unfitted.
    df : DataFrame, Series, Table, array or Panel
        As in `AbstractForecaster.fit`.
    horizon : int, optional
        Rows tested in each fold; by default all that the models forecast, less the gap. Models that forecast further
        are judged by these steps alone.
    n_windows : int, optional
        Folds; by default 1, or as many as fit where the first cutoff is given. Counted from the end of each series, or
        from ``end``, or from the first cutoff on.
    start, end : str, int or timestamp, optional
        Stamps of the first and the last cutoff; see `tsrnn.evaluation.splits.make_folds`.
    step_size : int, optional
        Steps between two cutoffs; by default the horizon.
    gap : int, default 0
        Steps between the cutoff and the first one tested, as when data come in late. The models forecast over it: the
        first ``gap`` steps of their horizon are left out, so that a horizon of 30 and a gap of 6 test 24 steps.
    initial_train_size : int, optional
        Rows of each series up to the first cutoff, instead of ``start``.
    train_size : int, optional
        Learn from the newest so many rows before a cutoff: a sliding window instead of an expanding one. From a fit to
        the next, forecasts read nothing from before its window.
    skip_folds : int or sequence of int, optional
        n: every n-th fold alone is kept. A sequence: the numbers, from 0, of folds to leave out.
    allow_incomplete_fold : bool, default False
        Whether the folds are kept, where the first cutoff or the ``end`` is given, of which only the first rows lie in
        the data. Of the others ``y`` is NaN, and metrics leave them out.
    refit : bool or int, default False
        False: fitted once, on the rows up to the first cutoff. True: fitted anew in every fold. An integer n: in every
        n-th fold of those that are kept. On an accelerator, networks learn up to 16 of these fits as one program, each
        as if it were alone, up to rounding.
    warm_start : bool, default False
        Whether a refit goes on from the weights of the fit before, by ``fine_tune``, in models that have it. All
        others, and by default all, are fitted cold; the column ``start`` of the timings tells.
    seeds : sequence of int, optional
        Run every model that has a ``random_state`` (or is made of one that has) once for each of these, as
        ``LSTM-seed0``, ``LSTM-seed1`` ...; `BacktestResult.over_seeds` has the mean and the spread.
    level : sequence of float, optional
        Levels of central intervals in percent, as ``[80, 95]``; by default each model's own. A model without
        intervals has none. `pinball` is the mean over the bounds of the intervals: compare it only between
        models of the same levels.
    season_length : int, optional
        Season of the scale of `mase` and `rmsse`, in steps; by default the one usual at the data's frequency.
    metrics : sequence of str, optional
        Names from `METRICS`; by default `USUAL`. ``"coverage"`` and ``"winkler"`` give a column a level, as
        ``coverage-90``; ``"msis"`` needs the level 95. ``"wql"`` takes the bounds and, as their median, the point
        forecast: ``level=[20, 40, 60, 80]`` is the mean over nine deciles; so does ``"crps_quantiles"``, whose column
        has their number in its name, as ``crps_q9``. ``"crps_samples"`` is the `crps` of the sample paths that a
        `Recursive` network forecasts by, and NaN of other models. ``"owa"`` is made of `smape` and `mase`, and needs a
        model called ``Naive2``.
    unit_rows : int, optional
        Take `mae`, `mse`, `rmse` and `bias` in units of the standard deviation of so many first rows of each series, as
        the long-horizon benchmarks do with their training rows; by default in those of the data.
    freq : str or int, optional
        As in `AbstractForecaster.fit`.
    engine : str or dask.distributed.Client, optional
        Where the fits run, with equal results: by default one after the other in this process. ``"processes:2"`` for
        two processes of this machine, ``"dask://host:port"``, ``"ray"`` or ``"ray://host:port"``; see
        `tsrnn.evaluation.engines.find_engine`. Fits run beside each other if they know nothing of one another: of
        several models, of cold refits, and of every 100 series where a model learns each series alone.
    checkpoint : str or Path, optional
        A folder for what is finished, from which a backtest that was stopped goes on: what it finds there of equal
        models, data and folds is not computed again, nor audited.
    audit : bool, default False
        Whether each model is fitted three or four times more in the first fold, on data that are poisoned after the
        cutoff: `BacktestResult.audit` says whether its forecasts stay the same to the bit, as
        `tsrnn.testing.assert_no_leakage` requires.
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
        If the frame cannot be used, or a series is too short for these folds.
    ValueError
        If the models have equal names, different horizons or one too short, or the options contradict each other.
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
    named, seeded = _with_seeds(_named(models), seeds)
    asked = check_metrics(metrics, level, named, [name for name, model in named.items() if model.draws_paths])
    if refit < 0 or int(refit) != refit:
        raise ValueError(f"refit must be True, False or the number of folds from fit to fit, got {refit!r}.")
    panel = Panel.from_frame(df, Schema(**roles), freq)
    _check_names(named, panel.schema)
    folds = plan_folds(
        named, panel, horizon=horizon, n_windows=n_windows, start=start, end=end, step_size=step_size, gap=gap,
        initial_train_size=initial_train_size, train_size=train_size, skip_folds=skip_folds,
        allow_incomplete_fold=allow_incomplete_fold,
    )  # fmt: skip
    longer = _extended(panel, folds, max(model.horizon for model in named.values()))
    season = panel.freq.season_length if season_length is None else season_length
    judge = Judge(longer, folds, season, asked, unit_rows)
    levels = {
        name: model.default_level if level is None else tuple(level) if model.default_level else ()
        for name, model in named.items()
    }
    kept = None if checkpoint is None else Checkpoint(Path(checkpoint), longer)
    where = None if engine is None else find_engine(engine)
    shards = where is not None or kept is not None
    scored = "crps_samples" in asked
    units = make_units(named, folds.groups(refit), levels, warm_start=warm_start, shards=shards, scored=scored)
    collector = Collector(units, on_event)

    verdicts: dict[str, str | None] = {}

    def result() -> BacktestResult | None:
        runs, told = collector.runs(levels), _told(named, verdicts) if audit else None
        return replace(judge.result(runs), panel=panel, seeded=seeded, audit=told) if runs else None

    try:
        if audit:
            _audit(named, longer, folds[:1], where, kept, verdicts)
        _run_all(units, longer, collector, where, kept)
    except KeyboardInterrupt as stop:
        raise BacktestInterrupted(result()) from stop
    finally:
        if where is not None:
            where.close()
    return cast("BacktestResult", result())


def plan_folds(
    models: Mapping[str, AbstractForecaster], panel: Panel, *, horizon: int | None = None, gap: int = 0, **placed: Any
) -> Folds:
    """The folds of a backtest, without fitting anything.

    Parameters
    ----------
    models : mapping of forecasters
        By name.
    panel : Panel
        The data.
    horizon, gap : int
        As in `backtest`.
    **placed
        ``n_windows``, ``start`` ... as in `tsrnn.evaluation.splits.make_folds`.
    """
    tested = _tested(models, horizon, gap)
    needed, why = max(model._rows_needed() for model in models.values())
    return make_folds(panel, horizon=tested, gap=gap, rows_needed=needed, why=why, **placed)


def _audit(
    models: Mapping[str, AbstractForecaster],
    panel: Panel,
    folds: Folds,
    engine: Engine | None,
    checkpoint: Checkpoint | None,
    verdicts: dict[str, str | None],
) -> None:
    """Look for a leak of each model in a fold, where that was not done before."""
    first = folds.starts[0]
    seen, ends, left = panel.slice(first, panel.lengths), folds.ends[0] - first, {}
    for name, model in models.items():
        told = None if checkpoint is None else checkpoint.load_verdict(model, folds)
        if told is None:
            left[name] = model, seen, ends
        else:
            verdicts[name] = told["leak"]
    here = ((name, find_leak(*task)) for name, task in left.items())
    for name, leak in here if engine is None else spread(left, find_leak, engine):
        verdicts[name] = leak
        if checkpoint is not None:
            checkpoint.save_verdict(models[name], folds, leak)


def _told(models: Iterable[str], verdicts: Mapping[str, str | None]) -> pd.DataFrame:
    rows = [(name, "leaks" if verdicts[name] else "clean", verdicts[name] or "") for name in models]
    return pd.DataFrame(rows, columns=["model", "verdict", "detail"])


def _run_all(
    units: Sequence[Unit], panel: Panel, collector: Collector, engine: Engine | None, checkpoint: Checkpoint | None
) -> None:
    """Run the units that are not finished, and keep what comes of each."""
    left = []
    for unit in units:
        parts = None if checkpoint is None else checkpoint.load(unit)
        if parts is None:
            left.append(unit)
        for part in parts or ():
            collector.add(unit, part, silent=True)
    if engine is None:
        done = ((unit, _run_here(unit, panel, collector)) for unit in left)
    else:
        tasks = {k: (unit, panel.select(unit.first, unit.last), collector.listens) for k, unit in enumerate(left)}
        done = ((left[k], parts) for k, parts in spread(tasks, run_whole, engine))
    for unit, parts in done:
        for part in parts:
            collector.add(unit, part)
        if checkpoint is not None:  # after the event: who hears it has what belongs to a finished unit
            checkpoint.save(unit, parts)


def _run_here(unit: Unit, panel: Panel, collector: Collector) -> list[Part]:
    """Run a unit in this process, and tell of every fit."""
    steps, parts = run_unit(unit, panel.select(unit.first, unit.last)), []
    for fold in unit.starts:
        collector.begin(unit, fold)
        parts.append(next(steps))
        collector.add(unit, parts[-1])
    return parts


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


def _with_seeds(
    named: Mapping[str, AbstractForecaster], seeds: Sequence[int] | None
) -> tuple[dict[str, AbstractForecaster], dict[str, str]]:
    """The models, those with a random state once for each seed; and by the names of these, the models they are of."""
    if seeds is None:
        return dict(named), {}
    if not len(seeds) or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be different integers, at least one, got {seeds!r}.")
    runs: dict[str, AbstractForecaster] = {}
    seeded: dict[str, str] = {}
    for name, model in named.items():
        own = {f"{name}-seed{seed}": _seeded(model, seed) for seed in seeds}
        one_each = {key: again for key, again in own.items() if again is not None}
        runs |= one_each or {name: model}
        seeded |= dict.fromkeys(one_each, name)
    return runs, seeded


def _seeded(model: AbstractForecaster, seed: int) -> AbstractForecaster | None:
    """A clone with this seed, or with a model of this seed inside; None if nothing in it is random."""
    parameters = model.get_params(deep=False)
    if "random_state" in parameters:
        return clone(model).set_params(random_state=seed)  # type: ignore[no-any-return]
    inner = parameters.get("model")
    if isinstance(inner, list):
        each = [_seeded(one, seed) or one for one in inner]
        return clone(model).set_params(model=each)  # type: ignore[no-any-return]
    again = _seeded(inner, seed) if isinstance(inner, AbstractForecaster) else None
    return None if again is None else clone(model).set_params(model=again)


def _check_names(named: Mapping[str, AbstractForecaster], schema: Schema) -> None:
    taken = {schema.id_col, schema.time_col, "cutoff", "y"} & set(named)
    if taken:
        raise ValueError(f"a model cannot be called {min(taken)!r}: the forecasts have another column of that name.")


def _tested(named: Mapping[str, AbstractForecaster], horizon: int | None, gap: int) -> int:
    """Rows to test: those asked for, if all models forecast so far, or all that they forecast."""
    reach = {name: model.horizon for name, model in named.items()}
    listed = ", ".join(f"{name}: {steps}" for name, steps in reach.items())
    if horizon is None:
        if len(set(reach.values())) > 1:
            raise ValueError(
                f"all models of a backtest must have the same horizon, got {listed}; or say how many steps are tested, "
                "as horizon=12."
            )
        horizon = next(iter(reach.values())) - gap
        if horizon < 1 and gap > 0:
            raise ValueError(
                f"gap={gap} leaves no step to test of the models' horizon, {listed}; give them a longer one."
            )
    elif min(reach.values()) < gap + horizon:
        raise ValueError(f"a gap of {gap} and {horizon} steps to test ask for models of a horizon of at least "
            f"{gap + horizon}, got {listed}.")  # fmt: skip
    return horizon


def _extended(panel: Panel, folds: Folds, horizon: int) -> Panel:
    """The panel with rows for all that is forecast from the last cutoff."""
    beyond = int((folds.ends[-1] + horizon - panel.lengths).max())
    if beyond <= 0:
        return panel
    if panel.schema.future_covariates:
        raise DataError(
            f"from the last cutoff {beyond} steps beyond the data are forecast, where the future covariates "
            f"{list(panel.schema.future_covariates)} are not known; place it earlier, with end=..., or test complete "
            "folds over all of the models' horizon."
        )
    return panel.extend(beyond)
