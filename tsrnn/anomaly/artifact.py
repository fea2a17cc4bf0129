"""Fitted detectors on disk: one safetensors file with the arrays, the parameters and a state; no pickle, no code."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tsrnn.forecasting.predictor import AbstractPredictor

__all__ = ["FORMAT", "read", "write"]

FORMAT = 2
"""Version of the layout; raised when older readers could not read it."""

_ROOMS = ("tsrnn.anomaly.", "tsrnn.forecasting.")
"""Where classes that a file names may come from."""

Arrays = dict[str, NDArray[Any]]


def write(path: str | Path, document: Mapping[str, Any]) -> None:
    """Write a file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Of the file; one that is there is replaced.
    document : mapping
        Texts, numbers, arrays, and values of tsrnn made of them (frozen dataclasses, named tuples, predictors), in
        lists and mappings.

    Raises
    ------
    TypeError
        If something else is in it.
    """
    path = Path(path)
    arrays: Arrays = {}
    text = json.dumps({"format": FORMAT} | _packed(dict(document), "", arrays), allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file({name: np.array(array, order="C") for name, array in arrays.items()}, part, {"tsrnn": text})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(path: str | Path) -> dict[str, Any]:
    """What `write` was given.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is something else, or was written by a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no saved detector at {path}.")
    try:
        with safe_open(path, "numpy") as file:
            document = json.loads((file.metadata() or {})["tsrnn"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a saved detector ({error}).") from None
    if document["format"] > FORMAT:
        raise ValueError(
            f"{path} has format {document['format']}; this version reads up to {FORMAT}. Install a newer tsrnn."
        )
    whole: dict[str, Any] = _unpacked(document, arrays)
    return whole


def _packed(value: Any, name: str, arrays: Arrays) -> Any:
    """A value as strict JSON that names its arrays."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
    if isinstance(value, np.generic):
        return _packed(value.item(), name, arrays)
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, Mapping):
        return (
            {"dict": {str(key): _packed(part, f"{name}/{key}", arrays) for key, part in value.items()}}
            if name
            else {key: _packed(part, key, arrays) for key, part in value.items()}
        )
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _object(value, value._asdict(), name, arrays)
    if isinstance(value, list | tuple):
        return [_packed(part, f"{name}/{i}", arrays) for i, part in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _object(value, {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, name, arrays)
    if isinstance(value, AbstractPredictor):
        packed = _object(value, value.get_params(deep=False), name, arrays)
        fitted = {"weights": _packed(value.weights(), f"{name}/weights", arrays)} if hasattr(value, "df_") else {}
        return packed | fitted
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{name} is {value!r}, which cannot be saved; use numbers, texts and values of tsrnn.")


def _object(value: Any, fields: dict[str, Any], name: str, arrays: Arrays) -> dict[str, Any]:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if not kind.startswith(_ROOMS):
        raise TypeError(f"{name} is a {kind}, which cannot be saved: a file holds no code, only values of tsrnn.")
    return {"type": kind, "fields": {key: _packed(part, f"{name}/{key}", arrays) for key, part in fields.items()}}


def _unpacked(value: Any, arrays: Arrays) -> Any:
    if isinstance(value, list):
        return [_unpacked(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"array"}:
        return arrays[value["array"]]
    if value.keys() == {"float"}:
        return float(value["float"])
    if value.keys() == {"dict"}:
        return {key: _unpacked(part, arrays) for key, part in value["dict"].items()}
    if "type" not in value:
        return {key: _unpacked(part, arrays) for key, part in value.items()}
    module, _, name = value["type"].rpartition(".")
    if not value["type"].startswith(_ROOMS):
        raise ValueError(f"the file names {value['type']}, which is no value of tsrnn.")
    whole = getattr(import_module(module), name)(
        **{key: _unpacked(part, arrays) for key, part in value["fields"].items()}
    )
    return whole.restore(_unpacked(value["weights"], arrays)) if "weights" in value else whole
