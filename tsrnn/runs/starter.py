"""``tsrnn init``: a run file to begin with, from what is found in a table."""

import os
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tsrnn.config import BacktestConfig
from tsrnn.data import DataError, Panel
from tsrnn.data.inspect import Column, Inspection, inspect_csv, words
from tsrnn.evaluation.backtest import plan_folds
from tsrnn.runs.backtest import build_models, read_data
from tsrnn.runs.check import span

__all__ = ["starter"]

_WANTED = re.compile(
    r"(.*[^a-z])?(y|target|values?|sales|demand|load|consumption|cnt|counts?|passengers|visits|visitors|arrivals)([^a-z].*)?"
)
"""Names of columns that somebody will want to forecast."""

_MOST = 96  # steps of a horizon, and the longest season that a horizon covers
_FOLDS = 5
_DAY = 86_400 * 10**9  # nanoseconds
_WIDTH = 110


@dataclass(frozen=True)
class _Key:
    """A line of the run file; one that is not ``active`` is there as a comment, as something to choose."""

    name: str
    value: Any
    comment: str = ""
    active: bool = True

    def lines(self) -> Iterator[str]:
        text = yaml.safe_dump(self.value, default_flow_style=True, width=_WIDTH - 25, allow_unicode=True)
        first, *rest = f"{self.name}: {text}".removesuffix("...\n").rstrip().splitlines()
        mark = "" if self.active else "# "
        beside = not rest and len(first) + len(self.comment) < _WIDTH
        if self.comment and not beside:
            yield f"  # {self.comment}"
        yield f"  {mark}{first}" + (f"  # {self.comment}" if self.comment and beside else "")
        yield from (f"  {mark}  {line}" for line in rest)


def starter(table: str | Path, file: str | Path) -> str:
    """The text of a run file for a CSV file: it runs as it is, and says in comments what there is to choose.

    Parameters
    ----------
    table : str or Path
        The CSV file.
    file : str or Path
        Where the run file will stand; its paths are relative to that.

    Raises
    ------
    DataError
        If the table cannot be read as it is; the message says what to do first.
    FileNotFoundError
        If there is no such table.
    """
    found = inspect_csv(table)
    _check_readable(found)
    keys = [
        _Key("path", _path(Path(table).resolve(), Path(file).resolve().parent)),
        *_reading(found),
        *_roles(found),
        *_rules(found),
    ]
    data = {key.name: key.value for key in keys if key.active} | {"path": str(Path(table).resolve())}
    models = {"LSTM": {"network": "LSTM"}, "Naive": "Naive"}
    config = BacktestConfig.model_validate({"data": data, "backtest": {"horizon": 1}, "models": models})
    _, panel = read_data(config)
    usual = panel.freq.season_length
    season = usual if 3 * usual <= panel.lengths.min() else 1
    horizon, n_windows = _folds(config, panel, usual)
    name = Path(table).name
    lines = [
        f"# Forecasts of {name}, as begun by `tsrnn init`. Change what you know better; then",
        "#",
        f"#   tsrnn validate {Path(file).name}   # what would be run",
        f"#   tsrnn backtest {Path(file).name}   # runs it",
        "#",
        *_comment(f"Read: {panel.describe()}, {span(panel)}."),
        *(line for finding in found.findings for line in _comment(f"- {finding.text}")),
        "",
        "data:",
        *(line for key in keys for line in key.lines()),
        *(line for key in _more_data(panel) for line in key.lines()),
        "",
        "backtest:",
        f"  horizon: {horizon}  # steps ahead; {_step(panel)}",
        f"  n_windows: {n_windows}  # cutoffs, one horizon apart, the last one a horizon before the end",
        *[f"  season_length: 1  # of mase: the data are too short for the usual one, {usual:,}"] * (season < usual),
        "  # refit: true  # fitted anew at every cutoff; by default once, on all before the first",
        "  # level: [80, 95]  # intervals in percent",
        *_models(found, season),
    ]
    return "\n".join(lines) + "\n"


def _path(table: Path, folder: Path) -> str:
    """The table as seen from the run file, where it is not far off."""
    relative = Path(os.path.relpath(table, folder))
    return (table if relative.parts[:3] == ("..",) * 3 else relative).as_posix()


def _step(panel: Panel) -> str:
    """One step in words."""
    if panel.freq.kind == "irregular" or panel.times.dtype.kind != "M":
        return "a step is a row"
    return f"a step is {words(panel.freq)}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False)


def _check_readable(found: Inspection) -> None:
    """Raise if the file has to be corrected or rewritten before a run can read it."""
    blocking = [f"- {finding.text}" for finding in found.findings if finding.blocks]
    if blocking:
        raise DataError("\n".join([f"{found.path} has to be corrected first:", *blocking]))
    if len(found.series_columns) > 1 or (found.time is not None and found.time.clock is not None):
        what = "names of the series" if len(found.series_columns) > 1 else "stamps"
        lines = ["import pandas as pd", "import tsrnn", *found.python.splitlines()]
        head = f"the {what} of {found.path} stand in two columns. These lines write a table with one; begin from that:"
        raise DataError("\n".join([head, *(f"  {line}" for line in lines)]))


def _reading(found: Inspection) -> list[_Key]:
    """How the file is to be read, where that is not as usual."""
    comments = {"na_values": "read as missing"}
    return [_Key(name, value, comments.get(name, "")) for name, value in found.reading.items()]


def _roles(found: Inspection) -> list[_Key]:
    """Series, targets, and what might be inputs."""
    usable = [column for column in found.columns if _may_be_target(column, found.n_rows)]
    if not usable:
        raise DataError(f"{found.path} has no column of numbers to forecast.")
    named = [column for column in usable if _WANTED.fullmatch(column.name.lower())]
    targets = (named or usable)[:1] if named or found.series_columns else usable
    names = [column.name for column in targets]
    keys = [_Key("id_col", name) for name in found.series_columns if name != "unique_id"]
    if len(names) > 1:
        keys += [
            _Key("target_col", names, "or a single one; the others may then be past_covariates"),
            _Key("channels", "independent", "each column is a series; joint: one network forecasts them together"),
        ]
    elif names != ["y"]:
        keys.append(_Key("target_col", names[0]))
    others = [column for column in found.columns if column.role == "value" and column not in targets]
    flags = [c.name for c in others if c.kind in ("0/1", "boolean", "category") and not c.note.startswith("constant")]
    numbers = [c.name for c in others if c in usable]
    if numbers:
        keys.append(_Key("past_covariates", numbers, "inputs that are known up to the cutoff", active=False))
    if flags:
        keys.append(_Key("future_covariates", flags, "inputs that are known ahead, if they are", active=False))
    return keys


def _may_be_target(column: Column, n_rows: int) -> bool:
    """Numbers that are mostly there and do not merely count."""
    if column.role != "value" or column.kind not in ("number", "whole"):
        return False
    return column.n_missing <= n_rows / 2 and not column.note.startswith(("constant", "counts"))


def _rules(found: Inspection) -> list[_Key]:
    """What to do about rows that repeat or keep to no grid."""
    time, keys = found.time, list[_Key]()
    if time is None:
        return keys
    if time.n_duplicates:
        text = f"{time.n_duplicates:,} rows repeat a stamp; or last, or error"
        keys.append(_Key("duplicates", "mean", text))
    if not time.regular and time.rate is not None:
        rate: str | int = int(time.rate) if time.rate.isdigit() else time.rate
        keys.append(_Key("freq", rate, "the most common step; or irregular: rows as they are"))
        keys.append(_Key("resample", "mean", "of the rows within a step; or sum, last, max ..."))
    return keys


def _more_data(panel: Panel) -> list[_Key]:
    """What else could be said about the data."""
    keys = []
    if panel.n_gap_rows:
        text = f"{panel.n_gap_rows:,} stamps are missing; by default networks are told that nothing is there"
        keys.append(_Key("gaps", "interpolate", text, active=False))
    if panel.times.dtype.kind == "M" and panel.freq.kind == "fixed" and 900 * 10**9 <= panel.freq.step <= _DAY:
        keys.append(_Key("holidays", "DE", "public holidays of a country as an input", active=False))
    return keys


def _folds(config: BacktestConfig, panel: Panel, season: int) -> tuple[int, int]:
    """A season ahead, less where series are short; and folds in the last third of the shortest one."""
    shortest = int(panel.lengths.min())
    usual = season if 1 < season <= _MOST else 60 if season > _MOST else 12
    horizon = min(usual, max(1, shortest // 6))
    for n_windows in range(max(1, min(_FOLDS, shortest // (3 * horizon))), 0, -1):
        section = config.backtest.model_copy(update={"horizon": horizon})
        models = build_models(config.model_copy(update={"backtest": section}))
        try:
            plan_folds(models, panel, horizon=horizon, n_windows=n_windows)
        except DataError:
            if n_windows == 1:
                raise
        else:
            break
    return horizon, n_windows


def _models(found: Inspection, season: int) -> Sequence[str]:
    """Two networks and what they have to beat."""
    counts = any(c.kind == "whole" and (c.minimum or 0) >= 0 for c in found.columns if _may_be_target(c, found.n_rows))
    lines = [
        "",
        "models:",
        "  LSTM: {network: {type: LSTM, hidden_size: 64}}  # shorter: training: {max_steps: 300}",
        "  GRU: {network: {type: GRU, hidden_size: 64}}",
    ]
    if counts:
        lines.append("  # Counts: {network: LSTM, output: NegativeBinomial, transforms: null, normalization: mean}")
    if season > 1:
        lines.append(f"  SeasonalNaive: {{type: SeasonalNaive, season_length: {season}}}")
    return [*lines, "  Naive: Naive"]
