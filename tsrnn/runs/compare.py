"""``tsrnn compare``: the leaderboards of several runs as one, and whether they may be compared."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tsrnn.config import ConfigError
from tsrnn.report import html

__all__ = ["Comparison", "compare"]

_JUDGED = ("horizon", "gap", "season_length", "unit_rows", "level")
"""Keys of ``backtest`` on which the metrics themselves depend."""


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side.

    Attributes
    ----------
    leaderboard : DataFrame
        ``run, model`` and a column a metric; the lowest value of the first metric that all have comes first.
    doubts : tuple of str
        Why the figures of the runs are not about the same forecasts, a sentence each; empty where they are.
    settings : DataFrame
        ``key`` and a column a run: what their configurations say differently.
    """

    leaderboard: pd.DataFrame
    doubts: tuple[str, ...]
    settings: pd.DataFrame

    def write(self, file: str | Path) -> None:
        """Write the leaderboard as CSV, or everything as an HTML page, by the ending of the name.

        Raises
        ------
        ConfigError
            If it ends otherwise, or is there already.
        """
        file = Path(file)
        if file.exists():
            raise ConfigError(f"{file} exists, and nothing is overwritten; name another file with --out.")
        if file.suffix == ".csv":
            self.leaderboard.to_csv(file, index=False)
        elif file.suffix == ".html":
            file.write_text(self._page(), encoding="utf-8")
        else:
            raise ConfigError(f"{file} ends neither in .csv nor in .html.")

    def _page(self) -> str:
        lowest = [name for name in self.leaderboard.columns[2:] if not name.startswith(("coverage", "bias"))]
        doubts = "\n\n".join(self.doubts) or "All runs have the same data and folds."
        blocks: list[html.Block] = [
            html.Text(doubts),
            html.Table(self.leaderboard, heading="Leaderboard", caption="Of each run, as it wrote it.", lowest=lowest),
        ]
        if len(self.settings):
            blocks.append(html.Table(self.settings, heading="Settings that differ"))
        return html.render("Comparison of runs", blocks, subtitle=f"tsrnn {version('tsrnn')}")


def compare(folders: Sequence[str | Path]) -> Comparison:
    """Put the leaderboards of runs of ``tsrnn backtest`` into one.

    Parameters
    ----------
    folders : sequence of str or Path
        Run folders, at least two.

    Raises
    ------
    ConfigError
        If there are fewer, or one is no run folder of a backtest.
    """
    if len(folders) < 2:
        raise ConfigError("two runs at least are compared; name another run folder.")
    paths = [Path(folder) for folder in folders]
    names = [path.resolve().name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"{min(twice)} is named twice.")
    runs = {name: _read(path) for name, path in zip(names, paths, strict=True)}
    boards = [run["leaderboard"].assign(run=name) for name, run in runs.items()]
    board = pd.concat(boards, ignore_index=True)
    board = board[["run", "model", *(column for column in board if column not in ("run", "model"))]]
    shared = [c for c in board.columns[2:] if all(c in one for one in boards)]
    if shared:
        board = board.sort_values(shared[0], kind="stable", ignore_index=True)
    first, *others = runs
    doubts = [text for other in others for text in _doubts(first, runs[first], other, runs[other])]
    return Comparison(board, tuple(doubts), _settings({name: run["config"] for name, run in runs.items()}))


def _read(folder: Path) -> dict[str, Any]:
    """What a comparison needs of a run folder."""
    try:
        return {
            "config": yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")),
            "data": json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["data"],
            "leaderboard": pd.read_csv(folder / "leaderboard.csv"),
            "windows": _windows(pd.read_parquet(folder / "metrics.parquet")),
        }
    except FileNotFoundError as error:
        raise ConfigError(f"{folder} is no folder of a backtest: there is no {error.filename}.") from None


def _windows(metrics: pd.DataFrame) -> pd.MultiIndex:
    """Pairs of series and cutoff that were tested."""
    at = list(metrics.columns).index("cutoff")
    pairs = metrics.iloc[:, at - 1 : at + 1].drop_duplicates()  # the series has the name that the data give it
    return pd.MultiIndex.from_frame(pairs.astype(str), names=["series", "cutoff"])


def _doubts(first: str, one: Mapping[str, Any], name: str, other: Mapping[str, Any]) -> list[str]:
    """Why two runs are not about the same forecasts."""
    found = []
    if one["data"]["sha256"] != other["data"]["sha256"]:
        sources = " and ".join(f"{run['data']['source']} ({run['data']['rows']:,} rows)" for run in (one, other))
        found.append(f"{first} and {name} were made from different data, {sources}.")
    mine, theirs = one["windows"], other["windows"]
    if len(mine) != len(theirs) or len(mine.difference(theirs)):
        common = len(mine.intersection(theirs))
        found.append(
            f"{first} tested {len(mine):,} pairs of series and cutoff, {name} {len(theirs):,}; {common:,} are the same."
        )
    for key in _JUDGED:
        values = [run["config"]["backtest"].get(key) for run in (one, other)]
        if values[0] != values[1]:
            found.append(f"{first} has {key} {_text(values[0])}, {name} has {_text(values[1])}.")
    return found


def _settings(configs: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Keys on which configurations differ; a model that one of them has not is a single key."""
    flat = {name: _flat(config, ()) for name, config in configs.items()}
    models = [set(config["models"]) for config in configs.values()]
    everywhere = set.intersection(*models)
    rows = []
    for key in dict.fromkeys(key for values in flat.values() for key in values):
        if key[0] == "name" or (key[0] == "models" and key[1] not in everywhere):
            continue
        values = [values.get(key) for values in flat.values()]
        if any(value != values[0] for value in values):
            rows.append([".".join(key), *map(_text, values)])
    rows += [
        [f"models.{model}", *("there" if model in own else "\N{EN DASH}" for own in models)]
        for model in sorted(set.union(*models) - everywhere)
    ]
    return pd.DataFrame(rows, columns=["key", *configs])


def _flat(value: Any, where: tuple[str, ...]) -> dict[tuple[str, ...], Any]:
    if not isinstance(value, Mapping) or not value:
        return {where: value}
    return {key: below for name, part in value.items() for key, below in _flat(part, (*where, str(name))).items()}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
