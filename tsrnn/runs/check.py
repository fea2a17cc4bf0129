"""``tsrnn validate``: all of a run but the run."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tsrnn.config import BacktestConfig, DetectConfig
from tsrnn.config.source import Source
from tsrnn.data import Panel
from tsrnn.evaluation.splits import Folds
from tsrnn.evaluation.summary import check_metrics
from tsrnn.runs.backtest import build_models, place_folds, read_data
from tsrnn.runs.detect import build_detector

__all__ = ["check", "span"]


def check(path: str | Path, overrides: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Load a run file, build its models, read its data and place its folds.

    Parameters
    ----------
    path : str or Path
        The run file, of a backtest or of a detection.
    overrides : iterable of str
        As in `tsrnn.config.RunFile.load`.

    Returns
    -------
    list of (str, str)
        What would be run: a heading and a line each.

    Raises
    ------
    ConfigError, DataError, ValueError
        What the run would raise.
    """
    if Source.read(Path(path)).tree.keys() & {"detector", "predictor"}:
        detect = DetectConfig.load(path, overrides)
        detector = build_detector(detect)
        columns = ", ".join(detect.data.sensors or ["all columns of numbers"])
        share = f"the first {detect.data.train_fraction:.0%} of the rows"
        return [
            ("run", f"{detect.name}: detect"),
            ("sensors", f"{columns}, by {detect.data.time_col}; fitted on {share}"),
            ("model", _written(detect.predictor)),
            ("scorers", ", ".join(detector.scorers)),
        ]
    config = BacktestConfig.load(path, overrides)
    models = build_models(config)
    drawing = [name for name, model in models.items() if model.draws_paths]
    metrics = check_metrics(config.backtest.metrics, config.backtest.level, models, drawing)
    _, panel = read_data(config)
    folds = place_folds(config, models, panel)
    return [
        ("run", f"{config.name}: backtest of {_count(len(models), 'model')}, {_seeds(config)}"),
        ("data", f"{panel.describe()}, {span(panel)}"),
        ("folds", _folds(panel, folds)),
        ("fits", _fits(folds, config.backtest.refit)),
        *(("model", f"{name}: {_written(config.models[name])}") for name in models),
        ("metrics", ", ".join(metrics)),
    ]


def span(panel: Panel) -> str:
    """The first and the last stamp of a panel, in words."""
    first, last = panel.stamps(panel.times[[panel.times.argmin(), panel.times.argmax()]])
    return f"{_short(first)} to {_short(last)}"


def _folds(panel: Panel, folds: Folds) -> str:
    """Cutoffs, and what is tested from each."""
    cutoffs = panel.times[panel.indptr[:-1] + folds.ends - 1]
    first, last = panel.stamps(cutoffs.reshape(-1)[[cutoffs.argmin(), cutoffs.argmax()]])
    gap = f", after a gap of {folds.gap}" if folds.gap else ""
    rows = cutoffs.size * folds.horizon * panel.labels.shape[1]
    where = f"{_short(first)} to {_short(last)}" if first != last else f"at {_short(first)}"
    tested = f"{_count(folds.horizon, 'step')} tested from each{gap}"
    return f"{_count(len(folds), 'cutoff')} a series, {where}; {tested}: {rows:,} rows"


def _fits(folds: Folds, refit: bool | int) -> str:
    """How often each model is fitted, and on how many rows."""
    groups = folds.groups(refit)
    rows = [int((group.ends[0] - group.starts[0]).sum()) for group in groups]
    span = f"{min(rows):,} rows" if min(rows) == max(rows) else f"{min(rows):,} to {max(rows):,} rows"
    return f"{_count(len(groups), 'fit')} a model, on {span}"


def _seeds(config: BacktestConfig) -> str:
    seeds = config.backtest.seeds
    return f"seed {config.seed}" if seeds is None else f"each of the seeds {', '.join(map(str, seeds))}"


def _written(spec: Any) -> str:
    """A specification on one line, as a run file has it."""
    text: str = yaml.safe_dump(spec, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("s" if number != 1 else "")


def _short(stamp: Any) -> str:
    return str(stamp).removesuffix(" 00:00:00")
