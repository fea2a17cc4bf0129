"""Fitted detectors on disk: a folder with ``detector.json`` and the forecaster's own folder; no pickle, no code."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from tsrnn.forecasting.base import AbstractForecaster

__all__ = ["FORECASTER", "FORMAT", "arrays", "read", "write"]

FORMAT = 1
"""Version of the layout; raised when older readers could not read it."""

FORECASTER = "forecaster"
"""Name of the forecaster's folder."""

_DOCUMENT = "detector.json"


def write(path: str | Path, forecaster: AbstractForecaster, document: dict[str, Any]) -> None:
    """Write a folder, or replace one that holds a detector already.

    Raises
    ------
    FileExistsError
        If there is something else at ``path``.
    """
    path = Path(path)
    if path.exists() and not (path / _DOCUMENT).exists():
        raise FileExistsError(f"{path} exists and is not a saved detector; choose another path.")
    path.mkdir(parents=True, exist_ok=True)
    forecaster.save(path / FORECASTER)
    text = json.dumps({"format": FORMAT} | _plain(document), indent=1, allow_nan=False)
    (path / _DOCUMENT).write_text(text + "\n", encoding="utf-8")


def read(path: str | Path) -> dict[str, Any]:
    """The document of a folder that `write` made.

    Raises
    ------
    FileNotFoundError
        If there is no saved detector.
    ValueError
        If it was written by a newer version.
    """
    file = Path(path) / _DOCUMENT
    if not file.exists():
        raise FileNotFoundError(f"no saved detector at {path} (there is no {file}).")
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if document["format"] > FORMAT:
        raise ValueError(
            f"{path} has format {document['format']}; this version reads up to {FORMAT}. Install a newer tsrnn."
        )
    return document


def arrays(values: dict[str, Any]) -> dict[str, Any]:
    """A mapping read from JSON with its lists as arrays, null as NaN."""
    return {name: np.asarray(value, float) if isinstance(value, list) else value for name, value in values.items()}


def _plain(value: Any) -> Any:
    """Fitted values as strict JSON: arrays as lists, what is not finite as null; doubles come back to the bit."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
