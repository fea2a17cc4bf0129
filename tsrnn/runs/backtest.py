"""``tsrnn backtest``: models of a run file, judged and written down."""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import pandas as pd

from tsrnn.config import BacktestConfig
from tsrnn.data import DataError, Panel, Schema, datasets, read_table
from tsrnn.data.io import Reading
from tsrnn.evaluation import BacktestEvent, BacktestInterrupted, BacktestResult, backtest
from tsrnn.evaluation.backtest import plan_folds
from tsrnn.evaluation.page import report
from tsrnn.evaluation.splits import Folds, make_folds
from tsrnn.forecasting.base import AbstractForecaster
from tsrnn.forecasting.spec import SpecError, from_spec, to_spec
from tsrnn.runs.folder import UNITS, RunInterrupted, file_name, run_folder, write
from tsrnn.runs.log import Log, training_table
from tsrnn.runs.provenance import provenance
from tsrnn.training.progress import JOB

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run_backtest"]


def run_backtest(
    config: BacktestConfig,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    say: Callable[[str], object] | None = None,
) -> Path:
    """Backtest the models of a run file and write the run folder.

    Parameters
    ----------
    config : BacktestConfig
        What to run.
    out : str or Path, optional
        The run folder; by default ``runs/<name>-<date>-<time>``. Nothing is overwritten.
    resume : bool, default False
        Go on with a run into ``out`` that was killed or interrupted: what it had finished, of models, data and folds
        that are still the same, is not computed again.
    say : callable, optional
        Called with a line on what was read, and one whenever a model is done with a fit; ``log.txt`` has them too.

    Returns
    -------
    Path
        The run folder: ``config.yaml`` (every default written out), ``provenance.json`` (software, machine, commit,
        data, seeds), ``forecasts.parquet``, ``metrics.parquet``, ``leaderboard.csv``, ``timings.csv``,
        ``training.csv`` (losses of networks), ``log.txt``, ``plots/``, ``report.html``, and the models as fitted last
        in ``models/``, which `tsrnn.load` reads, unless the run file says ``save_models: false``.

    Raises
    ------
    ConfigError
        If a model cannot be built from its specification, or ``out`` is taken.
    DataError
        If the table cannot be used.
    RunInterrupted
        On Ctrl-C after the first model; the folder holds what was finished.
    """
    log = Log(say)
    with log.hearing_warnings():
        models = build_models(config)
        frame, panel = read_data(config)
        log(panel.describe())
        place_folds(config, models, panel)  # what is wrong with them is said before anything is run
        folds = config.backtest.model_dump()
        stopped = False
        with run_folder(config.name, out, resume=resume) as (folder, part):
            log.into(part / "log.txt")
            units = part / UNITS
            if resume:
                log(f"{sum(1 for _ in units.glob('*.parquet'))} units were finished before")
            if config.backtest.audit:
                log("looking for leaks of each model in the first fold")
            try:
                with _Watch(config, log, part) as watch:
                    result = backtest(models, panel, on_event=watch, checkpoint=units, **folds)
            except (BacktestInterrupted, Exception) as stop:
                if isinstance(stop, BacktestInterrupted) and stop.result is not None:
                    result, stopped = stop.result, True
                else:
                    if units.is_dir():
                        log(f"What was finished is kept; --out {folder} --resume goes on from there.")
                    raise
            if result.audit is not None:
                for name, verdict, detail in result.audit.itertuples(index=False):
                    log(f"audit of {name}: {verdict}" + (f": {detail}" if detail else ""))
            by_step = cast("Figure", result.plot_by_step().figure)
            training = watch.courses([*dict.fromkeys(result.metrics["model"])])
            figures = {"forecasts": result.plot(), "error_by_step": by_step}
            write(
                part,
                config.name,
                config=_resolved(config, models),
                origin=provenance(str(config.data.path or config.data.dataset), frame, models),
                tables={
                    "forecasts.parquet": result.forecasts,
                    "metrics.parquet": result.metrics,
                    "leaderboard.csv": result.leaderboard(),
                    "timings.csv": result.timings,
                    **({"seeds.csv": result.over_seeds()} if result.seeded else {}),
                    "training.csv": training,
                    **({} if result.audit is None else {"audit.csv": result.audit}),
                },
                figures=figures,
                page=report(result, left_out=_left_out(result, models), training=training),
            )
            if not stopped:
                shutil.rmtree(units)
    if stopped:
        raise RunInterrupted(folder)
    return folder


class _Watch:
    """Hears what a backtest tells: names the progress bar, says what is done, keeps courses and the last models."""

    def __init__(self, config: BacktestConfig, log: Log, folder: Path) -> None:
        self.config, self.log, self.folder = config, log, folder
        self.table = folder / "training.csv"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        JOB.set(None)

    def __call__(self, event: BacktestEvent) -> None:
        title = f"{event.model}, fold {event.fold + 1} of {event.n_windows}"
        if not self.config.backtest.refit:
            title = event.model
        if event.seconds is None:
            JOB.set(title)
            return
        course = getattr(event.fitted, "training_", None)
        self.log(f"{title}: {event.seconds:.1f} s" + ("" if course is None else f"; {course}"))
        if course is not None:
            rows = training_table(event.model, event.fold, course)
            rows.to_csv(self.table, mode="a", header=not self.table.exists(), index=False)
        every = int(self.config.backtest.refit) or event.n_windows
        if self.config.save_models and event.fitted is not None and event.fold + every >= event.n_windows:
            event.fitted.save(self.folder / "models" / file_name(event.model))

    def courses(self, models: list[str]) -> pd.DataFrame:
        """The courses of all fits, in the order of the models and folds; of one told twice the later one."""
        if not self.table.exists():
            return training_table("", 0, None)
        missing = {"train_loss": [""], "valid_loss": [""]}
        rows = pd.read_csv(self.table, dtype={"model": str}, keep_default_na=False, na_values=missing)
        rows = rows.drop_duplicates(["model", "fold", "step"], keep="last")
        rank = rows["model"].map({name: k for k, name in enumerate(models)})  # NaN, the last, of what is not finished
        return rows.iloc[np.lexsort((rows["step"], rows["fold"], rank))]


def build_models(config: BacktestConfig) -> dict[str, AbstractForecaster]:
    """The models of a run file, unfitted."""
    models = {}
    reach = config.backtest.gap + config.backtest.horizon
    shared = {"horizon": reach, "random_state": config.seed}
    for name, spec in config.models.items():
        where = ("models", name)
        try:
            models[name] = from_spec(spec, where=where, **shared)
        except SpecError as error:
            raise config.error(error.where, str(error)) from None
        if models[name].horizon < reach:
            raise config.error(
                (*where, "horizon"), f"is less than gap and horizon of the backtest, {reach}; leave it out."
            )
        if name in (config.data.id_col, config.data.time_col, "cutoff", "y"):
            raise config.error(where, "another column of the forecasts has this name; choose a different one.")
    return models


def place_folds(config: BacktestConfig, models: Mapping[str, AbstractForecaster], panel: Panel) -> Folds:
    """The folds of a run file; complaints about its keys name their lines."""
    section = config.backtest
    for key in ("start", "end"):
        if getattr(section, key) is not None:
            try:
                panel.rows_until(getattr(section, key))
            except DataError as error:
                raise config.error(("backtest", key), str(error)) from None
    try:
        return plan_folds(models, panel, **section.model_dump(include=set(signature(make_folds).parameters)))
    except DataError:
        raise
    except ValueError as error:
        named = [key for key in type(section).model_fields if re.match(rf"{key}\b", str(error))]
        raise config.error(("backtest", *named), str(error)) from None


def read_data(config: BacktestConfig) -> tuple[pd.DataFrame, Panel]:
    """The table of a run file, as a frame and as the panel that models are fitted on."""
    frame = _load(config)
    reading = {"path", "dataset", "freq", "until", *Reading.__annotations__} - {"id_col", "time_col"}
    schema = Schema(**config.data.model_dump(exclude=reading))
    return frame, Panel.from_frame(frame, schema, config.data.freq)


def _load(config: BacktestConfig) -> pd.DataFrame:
    data = config.data
    if data.path is not None:
        frame = read_table(data.path, **data.model_dump(include={*Reading.__annotations__}))
    else:
        try:
            frame = datasets.load(str(data.dataset))
        except (ValueError, FileNotFoundError) as error:
            raise config.error(("data", "dataset"), str(error)) from None
    if data.until is None or data.time_col not in frame:
        return frame
    try:
        last = pd.Timestamp(data.until) if isinstance(data.until, str) else data.until
        return frame[frame[data.time_col] <= last]
    except (TypeError, ValueError) as error:
        raise config.error(("data", "until"), f"cannot be compared with {data.time_col!r}: {error}.") from None


def _resolved(config: BacktestConfig, models: Mapping[str, AbstractForecaster]) -> dict[str, Any]:
    """The run file with every default written out; what stands once for all models is not repeated."""
    shared = [("horizon", config.backtest.gap + config.backtest.horizon), ("random_state", config.seed)]
    specs = {
        name: {key: value for key, value in to_spec(model).items() if (key, value) not in shared}
        for name, model in models.items()
    }
    return config.model_dump(exclude={"models"}) | {"models": specs}


def _left_out(result: BacktestResult, models: Iterable[str]) -> list[str]:
    """Models of which nothing was finished."""
    done = {result.seeded.get(name, name) for name in result.models}
    return [name for name in models if name not in done]
