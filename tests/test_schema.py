"""The JSON schema of run files takes what the commands take, and refuses what they refuse."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from tsrnn.cli import app
from tsrnn.config.editor import json_schema
from tsrnn.config.source import Source
from tsrnn.forecasting.artifact import encode
from tsrnn.forecasting.spec import MODELS, PARTS, from_spec, to_spec

pytestmark = pytest.mark.usefixtures("environment")

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
NEEDED = {
    "Conformal": {"model": "Naive"}, "Forecaster": {"network": "GRU"}, "StatsForecast": {"model": "AutoETS"},
    "LagRegressor": {"regressor": "Ridge", "lags": 3}, "Ensemble": {"model": {"network": "GRU"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def validators():
    return {kind: Draft202012Validator(json_schema(kind)) for kind in ("backtest", "detect")}


def test_the_command_prints_a_valid_schema():
    for kind in ("backtest", "detect"):
        printed = json.loads(CliRunner().invoke(app, ["schema", kind]).stdout)
        Draft202012Validator.check_schema(printed)
        assert printed == json_schema(kind)
    assert CliRunner().invoke(app, ["schema", "forecast"]).exit_code == 2


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_run_file_of_the_project_is_valid(path, validators):
    kind = "detect" if path.parent.name == "detect" else "backtest"
    validators[kind].validate(Source._read(path).tree)  # what it says itself, without its base


WHOLE = {"data": {"path": "a.csv"}, "backtest": {"horizon": 2}, "models": {"A": "Naive"}}


def model(**spec):
    return WHOLE | {"models": {"A": spec}}


@pytest.mark.parametrize(
    "right",
    [
        WHOLE,
        {"base": "a.yaml", "models": {"A": None, "B": {"season_length": 3}}, "backtest": {"refit": 2}},
        model(network="LSTM"),
        model(type="ESRNN", season_lengths=[24, 168], context_length=336, training={"max_steps": 5}),
        model(
            network={"hidden_size": 3}, transforms=["Log1p", {"type": "Difference"}], optimizer={"learning_rate": 0.1}
        ),
        model(network="GRU", output={"type": "ZeroInflated", "component": "Poisson"}, transforms=None),
        model(type="Conformal", model={"network": "RNN"}),
        model(type="DeepAR", hidden_size=8, training={"max_steps": 3}),
        model(type="LagRegressor", regressor={"type": "Ridge", "alpha": 2}),
    ],
)
def test_right(right, validators):
    validators["backtest"].validate(right)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        WHOLE | {"color": 1},
        WHOLE | {"backtest": {"horizon": "two"}},
        WHOLE | {"backtest": {"n_windows": 2}},
        WHOLE | {"backtest": {"horizon": 2, "metrics": ["mose"]}},
        WHOLE | {"data": {"path": "a.csv", "gaps": "fill"}},
        WHOLE | {"models": {"A": "Naiv"}},
        model(network="LSTN"),
        model(network={"type": "LSTM", "hidden": 3}),
        model(network={"type": "LSTM", "hidden_size": "many"}),
        model(type="Naive", network="LSTM"),
        model(context_length=3),
        model(type="SegRNN", segments=3),
        model(type="Conformal", model={"network": "RMM"}),
    ],
)
def test_wrong(wrong, validators):
    assert list(validators["backtest"].iter_errors(wrong))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_with_every_default_written_out_is_valid(name, validators):
    spec = to_spec(from_spec({"type": name} | NEEDED.get(name, {}), horizon=2))
    validators["backtest"].validate(model(**spec))


@pytest.mark.parametrize(("slot", "name"), [(slot, name) for slot, classes in PARTS.items() for name in classes])
def test_a_part_with_every_default_written_out_is_valid(slot, name, validators):
    given = {
        "Mixture": {"component": "Normal"},
        "ZeroInflated": {"component": "Poisson"},
        "Chain": {"steps": ["Log1p"]},
    }
    part = encode(
        getattr(from_spec({"network": "GRU"} | {slot: {"type": name} | given.get(name, {})}, horizon=2), slot)
    )
    validators["backtest"].validate(model(**({"network": "GRU"} | {slot: part})))


def test_every_key_says_what_it_means(validators):
    schema = validators["backtest"].schema
    sections = [
        schema["properties"],
        *(schema["$defs"][name]["properties"] for name in ("DataSection", "BacktestSection")),
    ]
    silent = [key for section in sections for key, value in section.items() if "description" not in value]
    assert not silent
