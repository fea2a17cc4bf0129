"""Fitted models on disk: a folder with ``model.json`` and ``arrays.safetensors``; no pickle, no code.

``model.json`` holds the format's version, the specification of the model, the roles and the time axis of its data,
and small values; ``arrays.safetensors`` the weights, the fitted scaling and the end of the training history that
`predict` starts from.
"""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.base import RegressorMixin

from tsrnn.data import Frequency, Panel, Schema
from tsrnn.data.kinds import Kind
from tsrnn.forecasting.predictor import AbstractPredictor

__all__ = ["FORMAT", "Artifact", "encode", "read", "write"]

FORMAT = 2
"""Version of the layout; raised when older readers could not read it, or when older folders cannot be read."""

_FILES = ("model.json", "arrays.safetensors")

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Artifact:
    """What an artifact folder holds.

    Attributes
    ----------
    spec : dict
        Specification of the model; `tsrnn.forecasting.spec.from_spec` builds it.
    values : dict
        Small fitted values.
    arrays : dict of arrays
        Fitted arrays by name.
    history : Panel
        The end of the training data.
    """

    spec: dict[str, Any]
    values: dict[str, Any]
    arrays: Arrays
    history: Panel


def encode(value: Any) -> Any:
    """A parameter as plain JSON; a part (any dataclass), forecaster or regressor becomes a mapping with its ``type``.

    Raises
    ------
    TypeError
        If the value is neither plain nor made of plain ones.

    Examples
    --------
    >>> from tsrnn.training.state import Training
    >>> encode(Training(max_steps=5))["max_steps"]
    5
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__} | {name: encode(getattr(value, name)) for name in part_fields(value)}
    if hasattr(value, "forecast_panel") or isinstance(value, AbstractPredictor):
        return {"type": type(value).__name__} | encode(value.get_params(deep=False))
    if isinstance(value, (list, tuple)):
        return [encode(v) for v in value]
    if isinstance(value, Mapping):
        return {str(name): encode(v) for name, v in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, RegressorMixin) and type(value).__module__.startswith("sklearn."):
        return {"type": type(value).__name__} | encode(value.get_params(deep=False))
    if hasattr(value, "get_params"):
        raise TypeError(
            f"{value!r} cannot be saved: it is an object of scikit-learn, and a saved model holds plain values and "
            "arrays, never pickled objects. Transform the covariates before you pass them, or have them standardized; "
            "of regressors take one of scikit-learn's own."
        )
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written to JSON.")


def part_fields(part: Any) -> list[str]:
    """Names of the parameters of a part (a dataclass; flax's own two fields left out); none for a plain value."""
    if not dataclasses.is_dataclass(part):
        return []
    return [f.name for f in dataclasses.fields(part) if f.init and f.name not in ("parent", "name")]


def write(path: str | Path, artifact: Artifact) -> None:
    """Write a folder, replacing one that holds a model already; written beside it first, so a crash leaves no half."""
    path = Path(path)
    if path.exists() and not (path.is_dir() and {file.name for file in path.iterdir()} <= set(_FILES)):
        raise FileExistsError(f"{path} exists and holds more than a saved model; choose another path.")
    panel = artifact.history
    dated = panel.times.dtype.kind == "M"
    arrays = artifact.arrays | {
        "history/values": panel.values, "history/covariates": panel.covariates, "history/indptr": panel.indptr,
        "history/rows": panel.rows, "history/static": panel.static, "history/times": panel.times.astype(np.int64),
    }  # fmt: skip
    document = {
        "format": FORMAT,
        "tsrnn": version("tsrnn"),
        "model": artifact.spec,
        "values": artifact.values,
        "data": {
            "ids": [encode(i) for i in panel.ids],
            "schema": dataclasses.asdict(panel.schema),
            "freq": dataclasses.asdict(panel.freq),
            "time_unit": np.datetime_data(panel.times.dtype)[0] if dated else None,
            "zone": panel.zone,
            "levels": encode(panel.levels),
            "kind": encode(dataclasses.asdict(panel.kind)),
        },
    }
    text = json.dumps(document, indent=1) + "\n"
    part = path.with_name(path.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    (part / _FILES[0]).write_text(text, encoding="utf-8")
    save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, part / _FILES[1])
    if path.exists():
        shutil.rmtree(path)
    part.rename(path)


def read(path: str | Path) -> Artifact:
    """Read a folder that `write` made.

    Raises
    ------
    FileNotFoundError
        If there is no saved model.
    ValueError
        If it was written by a newer version, or by something else.
    """
    path = Path(path)
    for name in _FILES:
        if not (path / name).exists():
            raise FileNotFoundError(f"no saved model at {path} (there is no {path / name}).")
    document = json.loads((path / _FILES[0]).read_text(encoding="utf-8"))
    if not isinstance(document, dict) or "format" not in document:
        raise ValueError(f"{path / _FILES[0]} was not written by tsrnn.")
    if document["format"] != FORMAT:
        way_out = "Install a newer tsrnn." if document["format"] > FORMAT else "Fit and save the model again."
        raise ValueError(
            f"{path} was written by tsrnn {document['tsrnn']} in format {document['format']}; this version reads "
            f"{FORMAT}. {way_out}"
        )
    arrays = load_file(path / _FILES[1])
    data = document["data"]
    times = arrays.pop("history/times")
    history = Panel(
        values=arrays.pop("history/values"),
        covariates=arrays.pop("history/covariates"),
        times=times if data["time_unit"] is None else times.astype(f"datetime64[{data['time_unit']}]"),
        indptr=arrays.pop("history/indptr"),
        ids=np.asarray(data["ids"] + [None], dtype=object)[:-1],
        rows=arrays.pop("history/rows"),
        freq=Frequency(**data["freq"]),
        schema=Schema(**data["schema"]),
        zone=data["zone"],
        static=arrays.pop("history/static"),
        levels={name: tuple(labels) for name, labels in data["levels"].items()},
        kind=Kind(**data["kind"]),
    )
    return Artifact(document["model"], document["values"], arrays, history)
