"""What a specification may say, as JSON schema: the classes of `tsrnn.forecasting.spec`, parameters, docs."""

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from tsrnn.forecasting import artifact
from tsrnn.forecasting.base import AbstractForecaster
from tsrnn.forecasting.ensemble import Several
from tsrnn.forecasting.presets import PRESETS
from tsrnn.forecasting.spec import MODELS, PARTS, PREDICTORS, model_parameters
from tsrnn.transforms import Chain

__all__ = ["definitions", "parameter_docs"]

Schema = dict[str, Any]


def definitions() -> dict[str, Schema]:
    """The definitions of a JSON schema.

    Returns
    -------
    dict
        ``model`` is the specification of a model, ``predictor`` that of a one-step-ahead predictor; the others are what
        they refer to: ``network``, ``output`` ...

    Examples
    --------
    >>> definitions()["SeasonalNaive"]["properties"]["season_length"]["anyOf"]
    [{'type': 'integer'}, {'type': 'null'}]
    """
    found = {name: _object(name, _parameters(name), cls) for name, cls in MODELS.items()}
    presets = {f"{name} preset": _object(name, _parameters(name), preset) for name, preset in PRESETS.items()}
    models = [{"enum": [*MODELS, *PRESETS]}, *map(_ref, [*found, *presets])]  # a network may be called as its preset
    plain = found["Forecaster"]  # which is meant where a network is given
    plain = plain | {"properties": plain["properties"] | {"type": False}, "required": ["network"]}
    found |= presets | {"model": {"anyOf": [*models, plain]}}
    for slot, classes in PARTS.items():
        first = next(iter(classes))
        for name, cls in classes.items():
            fields = {key: _part_field(cls, key, hint) for key, hint in _fields(cls).items()}
            found[f"{slot}.{name}"] = _object(name, fields, cls, required=name != first)
        found[slot] = {"anyOf": [{"enum": list(classes)}, *(_ref(f"{slot}.{name}") for name in classes)]}
    for name, predictor in PREDICTORS.items():
        own = _plains(inspect.signature(predictor).parameters, get_type_hints(predictor.__init__))
        found[name] = _object(name, own, predictor, required=name != next(iter(PREDICTORS)))
    found["predictor"] = {"anyOf": [{"enum": list(PREDICTORS)}, *map(_ref, PREDICTORS)]}
    steps = {"type": "array", "items": _ref("transforms")}
    found["transforms"]["anyOf"] += [steps, {"type": "null"}]
    return found


def parameter_docs(described: Any) -> dict[str, str]:
    """What the docstring of a class or a function says of each of its parameters.

    Examples
    --------
    >>> parameter_docs(parameter_docs)
    {}
    >>> from tsrnn.forecasting.baselines import SeasonalNaive
    >>> list(parameter_docs(SeasonalNaive))
    ['horizon', 'season_length']
    """
    section = re.search(r"\nParameters\n-+\n(.*?)(\n\n\S[^\n]*\n-+\n|\Z)", inspect.getdoc(described) or "", re.DOTALL)
    docs: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", section[1]) if section else ():
        head, _, text = entry.partition("\n")
        for name in head.partition(" : ")[0].split(","):
            docs[name.strip()] = " ".join(textwrap.dedent(text).split())
    return docs


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _object(name: str, fields: Mapping[str, Schema], builder: Callable[..., Any], *, required: bool = True) -> Schema:
    """The mapping that stands for a class; ``type`` may be left out where that class is meant without it."""
    docs = (parameter_docs(MODELS["Forecaster"]) if builder in PRESETS.values() else {}) | parameter_docs(builder)
    described = {key: schema | ({"description": docs[key]} if key in docs else {}) for key, schema in fields.items()}
    summary = (inspect.getdoc(builder) or "").split("\n\n")[0]
    return {
        "type": "object",
        "description": " ".join(summary.split()),
        "properties": {"type": {"const": name}} | described,
        "required": ["type"] if required else [],
        "additionalProperties": False,
    }


def _fields(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {name: hints[name] for name in artifact.part_fields(cls)}


def _parameters(kind: str) -> dict[str, Schema]:
    """The parameters of a model, as `tsrnn.forecasting.spec.from_spec` reads them."""
    return _plains(*model_parameters(kind))


def _plains(parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any]) -> dict[str, Schema]:
    found = {}
    for key, parameter in parameters.items():
        if hints[key] is AbstractForecaster:
            found[key] = _ref("model")
        elif hints[key] == Several:
            found[key] = {"anyOf": [_ref("model"), {"type": "array", "items": _ref("model"), "minItems": 1}]}
        elif key == "regressor":  # any class of scikit-learn
            found[key] = {"type": ["string", "object"]}
        else:
            found[key] = _ref(key) if key in PARTS else _plain(hints[key])
        if parameter.default is None or isinstance(parameter.default, str | int | float):
            found[key] = found[key] | {"default": parameter.default}
    return found


def _part_field(cls: type, key: str, hint: Any) -> Schema:
    if cls is Chain:
        return _ref("transforms")
    return _ref("output") if key == "component" else _plain(hint)


def _plain(hint: Any) -> Schema:
    """Of a value that is no part; anything goes where the type has no schema."""
    schema = TypeAdapter(hint).json_schema()
    return {key: value for key, value in schema.items() if key != "title"}
