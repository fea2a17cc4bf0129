"""The JSON schema of run files, by which editors complete and check them."""

from collections.abc import Sequence
from typing import Any, Literal

from tsrnn.anomaly import AnomalyDetector
from tsrnn.config.schema import BacktestConfig, DataSection, DetectConfig, RunFile, SensorSection
from tsrnn.data import Schema, read_table
from tsrnn.evaluation.backtest import METRICS, backtest
from tsrnn.forecasting.spec_schema import definitions, parameter_docs

__all__ = ["json_schema"]

_DESCRIBED = {
    "DataSection": (DataSection, Schema, read_table),
    "BacktestSection": (backtest,),
    "SensorSection": (SensorSection, read_table, AnomalyDetector.fit),
    "DetectorSection": (AnomalyDetector,),
}
"""Whose docstrings say what the keys of a section mean; the first that does counts."""


def json_schema(kind: Literal["backtest", "detect"] = "backtest") -> dict[str, Any]:
    """What may stand in a run file.

    Parameters
    ----------
    kind : {"backtest", "detect"}, default "backtest"
        The command that it is for.

    Returns
    -------
    dict
        A JSON schema, draft 2020-12.

    Examples
    --------
    >>> sorted(json_schema("detect")["properties"])
    ['base', 'data', 'detector', 'name', 'predictor', 'seed']
    """
    config: type[RunFile] = BacktestConfig if kind == "backtest" else DetectConfig
    schema = config.model_json_schema()
    properties, sections = schema["properties"], schema["$defs"]
    _describe(properties, (config,))
    for name, section in sections.items():
        _describe(section["properties"], _DESCRIBED[name])
        section.pop("description", None)
    whole, model = _whole(schema), {"$ref": "#/$defs/model"}
    part = {"type": "object"}  # over that of a base
    if kind == "backtest":
        properties["models"]["additionalProperties"] = {"anyOf": [model, {"type": "null"}, part]}
        whole["properties"]["models"] = {"additionalProperties": {"anyOf": [model, {"type": "null"}]}}
        asked = {"type": "array", "items": {"enum": list(METRICS)}}
        sections["BacktestSection"]["properties"]["metrics"]["anyOf"] = [asked, {"type": "null"}]
    else:
        predictor = {"$ref": "#/$defs/predictor"}
        properties["predictor"]["anyOf"] = [predictor, part]
        whole["properties"]["predictor"] = predictor
    base = "Another run file, which gives what this one does not say. The path is relative to this file."
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Run file of tsrnn {kind}",
        "type": "object",
        "properties": {"base": {"type": "string", "description": base}, **properties},
        "additionalProperties": False,
        "anyOf": [{"required": ["base"]}, whole],
        "$defs": sections | definitions(),
    }


def _describe(properties: dict[str, Any], described: Sequence[Any]) -> None:
    """Say what each key means, in the words of docstrings; the first that has any counts."""
    for key, value in properties.items():
        value.pop("title", None)
        texts = [text for docs in map(parameter_docs, described) if (text := docs.get(key))]
        if texts:
            value["description"] = texts[0]


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """What must be said without a base; takes it out of the sections."""
    below = {}
    for key, value in schema["properties"].items():
        section = schema["$defs"].get(str(value.get("$ref")).rpartition("/")[2], {})
        if needed := section.pop("required", None):
            below[key] = {"required": needed}
    return {"required": schema.get("required", []), "properties": below}
