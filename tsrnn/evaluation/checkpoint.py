"""Finished units of a backtest on disk, so that one that was killed goes on where it stopped."""

import json
import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from tsrnn.data import Panel
from tsrnn.evaluation.splits import Folds
from tsrnn.evaluation.units import Part, Unit
from tsrnn.forecasting.base import AbstractForecaster

__all__ = ["Checkpoint"]


class Checkpoint:
    """A folder with a Parquet file for each finished unit, and a JSON file for the verdict of an audit.

    Its name is a hash of all that determines the unit: parameters of the model, its series, folds, levels, and the
    version of tsrnn. So what is found is what would be computed, whatever else has changed between two runs.

    Parameters
    ----------
    folder : Path
        Created when the first unit is kept.
    panel : Panel
        The data of all units.
    """

    def __init__(self, folder: Path, panel: Panel) -> None:
        self.folder, self.panel = folder, panel
        self._hashes: dict[tuple[int, int], str] = {}

    def load(self, unit: Unit) -> list[Part] | None:
        """What came of a unit; None if it was not finished."""
        file = self._file(unit)
        if not file.exists():
            return None
        frame = pd.read_parquet(file)
        shapes = frame.attrs["shapes"]
        parts, row = [], 0
        for told, shape in zip(frame.attrs["parts"], shapes, strict=True):
            rows = shape[0] * shape[1] * shape[2] * shape[3]
            parts.append(Part(values=frame.to_numpy()[row : row + rows].reshape(shape), **told))
            row += rows
        return parts

    def save(self, unit: Unit, parts: list[Part]) -> None:
        """Keep what came of a unit: the file is there as a whole, or not at all."""
        told = ("fold", "start", "fit_s", "predict_s")
        flat = [pd.DataFrame(part.values.reshape(-1, part.values.shape[-1])) for part in parts]
        frame = pd.concat(flat, ignore_index=True).rename(columns=str)
        frame.attrs = {
            "model": unit.name,
            "parts": [{name: getattr(part, name) for name in told} for part in parts],
            "shapes": [part.values.shape for part in parts],
        }
        self._write(self._file(unit), lambda file: frame.to_parquet(file, index=False))

    def load_verdict(self, model: AbstractForecaster, folds: Folds) -> dict[str, str | None] | None:
        """What an audit of a model said, as its ``leak``; None if there was none."""
        file = self._verdict(model, folds)
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def save_verdict(self, model: AbstractForecaster, folds: Folds, leak: str | None) -> None:
        """Keep what an audit of a model said."""
        self._write(self._verdict(model, folds), lambda file: file.write_text(json.dumps({"leak": leak}), "utf-8"))

    def _write(self, file: Path, write: Callable[[Path], object]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.part")
        write(part)
        part.replace(file)

    def _file(self, unit: Unit) -> Path:
        key = self._key(unit.model, unit.groups, unit.first, unit.last, unit.quantiles, unit.scored)
        return self.folder / f"{key}.parquet"

    def _verdict(self, model: AbstractForecaster, folds: Folds) -> Path:
        return self.folder / f"{self._key(model, [folds], 0, len(self.panel.ids), 'audit')}.json"

    def _key(self, model: AbstractForecaster, groups: Sequence[Folds], first: int, last: int, *asked: Any) -> str:
        folds = [(group.starts, group.ends, group.gap, group.horizon) for group in groups]
        try:
            parameters = model._plain()
        except TypeError:
            parameters = model.get_params(deep=False)
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        return str(joblib.hash((version("tsrnn"), kind, parameters, folds, asked, self._hash(first, last))))

    def _hash(self, first: int, last: int) -> str:
        """Hash of some series, found once for all models and folds."""
        if (first, last) not in self._hashes:
            self._hashes[first, last] = str(joblib.hash(self.panel.select(first, last)))
        return self._hashes[first, last]
