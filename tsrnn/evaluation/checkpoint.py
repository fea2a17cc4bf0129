"""Finished units of a backtest on disk, so that one that was killed goes on where it stopped."""

import os
from importlib.metadata import version
from pathlib import Path

import joblib
import pandas as pd

from tsrnn.data import Panel
from tsrnn.evaluation.units import Part, Unit

__all__ = ["Checkpoint"]


class Checkpoint:
    """A folder with a Parquet file for each finished unit.

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
        self.folder.mkdir(parents=True, exist_ok=True)
        told = ("fold", "start", "fit_s", "predict_s")
        flat = [pd.DataFrame(part.values.reshape(-1, part.values.shape[-1])) for part in parts]
        frame = pd.concat(flat, ignore_index=True).rename(columns=str)
        frame.attrs = {
            "model": unit.name,
            "parts": [{name: getattr(part, name) for name in told} for part in parts],
            "shapes": [part.values.shape for part in parts],
        }
        file = self._file(unit)
        written = file.with_suffix(f".{os.getpid()}.part")
        frame.to_parquet(written, index=False)
        written.replace(file)

    def _file(self, unit: Unit) -> Path:
        folds = [(group.starts, group.ends, group.gap, group.horizon) for group in unit.groups]
        try:
            model = unit.model._plain()
        except TypeError:
            model = unit.model.get_params(deep=False)
        kind = f"{type(unit.model).__module__}.{type(unit.model).__qualname__}"
        data = self._hash(unit.first, unit.last)
        return self.folder / f"{joblib.hash((version('tsrnn'), kind, model, folds, unit.quantiles, data))}.parquet"

    def _hash(self, first: int, last: int) -> str:
        """Hash of some series, found once for all models and folds."""
        if (first, last) not in self._hashes:
            self._hashes[first, last] = str(joblib.hash(self.panel.select(first, last)))
        return self._hashes[first, last]
