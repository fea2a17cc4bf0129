"""Run files: strict, with the line of every complaint. The wording is held by test_malformed.py."""

import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tsrnn.anomaly import AnomalyDetector, Quality
from tsrnn.anomaly.scorers import SCORERS
from tsrnn.anomaly.thresholds import THRESHOLDS
from tsrnn.config import BacktestConfig, ConfigError, DetectConfig
from tsrnn.config.schema import BacktestSection, DataSection, DetectorSection
from tsrnn.data import Roles, Schema
from tsrnn.evaluation import backtest
from tsrnn.forecasting.spec import from_spec
from tsrnn.runs.detect import build_detector

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))

TEXT = """\
data:
  path: table.csv
backtest:
  horizon: 2
models:
  LSTM: {network: LSTM}
  Naive: Naive
"""


@pytest.fixture
def run_file(tmp_path):
    (tmp_path / "table.csv").write_text("ds,y\n")
    path = tmp_path / "my run.yaml"
    path.write_text(TEXT)
    return path


def complaint(path, *overrides):
    with pytest.raises(ConfigError) as caught:
        BacktestConfig.load(path, overrides)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_run_file_of_the_project_can_be_built(path, shared_data, monkeypatch):
    monkeypatch.setenv("TSRNN_DATA", str(shared_data))
    if path.parent.name == "detect":
        build_detector(DetectConfig.load(path))
        return
    config = BacktestConfig.load(path)
    for spec in config.models.values():
        from_spec(spec, horizon=config.backtest.horizon, random_state=config.seed)


def test_defaults(run_file):
    config = BacktestConfig.load(run_file)
    assert config.name == "my-run"
    assert config.seed == 0
    assert config.data.path == str(run_file.parent / "table.csv")
    assert config.models == {"LSTM": {"network": "LSTM"}, "Naive": "Naive"}


def test_a_run_file_says_all_that_a_call_can_say_of_columns():
    roles = Roles.__annotations__.keys()
    assert [field.name for field in fields(Schema)] == list(roles)
    assert roles <= DataSection.model_fields.keys()


@pytest.mark.parametrize(
    ("section", "function"),
    [(BacktestSection, backtest), (DetectorSection, AnomalyDetector), (DataSection, Schema)],
    ids=lambda f: f.__name__,
)
def test_defaults_of_a_section_are_those_of_the_function_it_is_for(section, function):
    parameters = inspect.signature(function).parameters
    shared = section.model_fields.keys() & parameters.keys()
    assert len(shared) >= 5
    for name in shared:
        if section.model_fields[name].is_required():
            continue
        default, wanted = section.model_fields[name].default, parameters[name].default
        assert (tuple(default) if isinstance(default, list) else default) == (
            tuple(wanted) if isinstance(wanted, (list, tuple)) else wanted
        ), name


@pytest.mark.parametrize(
    ("option", "read"),
    [
        ("backtest.n_windows=3", lambda c: c.backtest.n_windows == 3),
        ("backtest.refit=true", lambda c: c.backtest.refit is True),
        ("backtest.refit=2", lambda c: c.backtest.refit == 2),
        ("backtest.start=2024-01-31", lambda c: c.backtest.start == "2024-01-31"),
        ("backtest.end=17", lambda c: c.backtest.end == 17),
        ("backtest.skip_folds=3", lambda c: c.backtest.skip_folds == 3),
        ("backtest.skip_folds=[0, 2]", lambda c: c.backtest.skip_folds == [0, 2]),
        ("backtest.level=[80, 95]", lambda c: c.backtest.level == [80, 95]),
        ("backtest.level=", lambda c: c.backtest.level is None),
        ("data.target_col=load", lambda c: c.data.target_col == "load"),
        ("data.target_col=[load, heat]", lambda c: c.data.target_col == ["load", "heat"]),
        ("name=2024-01-01", lambda c: c.name == "2024-01-01"),
        (
            "models.LSTM.network.hidden_size=8",
            lambda c: c.models["LSTM"]["network"] == {"type": "LSTM", "hidden_size": 8},
        ),
        (
            "models.LSTM.optimizer.learning_rate=1e-3",
            lambda c: c.models["LSTM"]["optimizer"] == {"learning_rate": 0.001},
        ),
        ("models.Mean=HistoricAverage", lambda c: c.models["Mean"] == "HistoricAverage"),
        ("models={Naive: Naive}", lambda c: c.models == {"Naive": "Naive"}),
    ],
)
def test_override(run_file, option, read):
    assert read(BacktestConfig.load(run_file, [option]))


def test_the_last_override_counts(run_file):
    assert BacktestConfig.load(run_file, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("bakctest.n_windows=3", "bakctest: unknown key; did you mean 'backtest'?"),
        ("backtest.n_window=3", "backtest.n_window: unknown key; did you mean 'n_windows'?"),
        ("models.LSTN.network.hidden_size=3", "there is no model 'LSTN'; did you mean 'LSTM'?"),
        ("backtest.horizon=two", 'backtest.horizon: expected a whole number, found "two".'),
        ("backtest.horizon.x=2", "backtest.horizon holds 2, and no keys."),
        ("backtest.horizon", "not of the form key=value"),
        ("=2", "not of the form key=value"),
        ("seed=[1", "the value is not valid YAML"),
        ("name=a/b", "name: expected letters, digits, '.', '-' and '_', found \"a/b\"."),
    ],
)
def test_bad_override_is_named(run_file, option, said):
    message = complaint(run_file, option)
    assert message.startswith(f"--set {option}: ")
    assert said in message


def test_an_overridden_key_is_no_longer_blamed_on_the_file(run_file):
    run_file.write_text(TEXT.replace("horizon: 2", "horizon: two"))
    assert complaint(run_file).startswith("my run.yaml:4: ")
    assert BacktestConfig.load(run_file, ["backtest.horizon=3"]).backtest.horizon == 3


KEYS = [
    *((key,) for key in BacktestConfig.model_fields),
    *(("data", key) for key in DataSection.model_fields),
    *(("backtest", key) for key in BacktestSection.model_fields),
]


@given(st.sampled_from([where for where in KEYS if len(where[-1]) > 3]), st.data())
def test_a_slip_of_the_pen_names_the_key_that_was_meant(where, data):
    *above, key = where
    at = data.draw(st.integers(0, len(key) - 1))
    slip = key[:at] + data.draw(st.sampled_from(["", "x", key[at] * 2])) + key[at + 1 :]
    if slip in {key for *_, key in KEYS}:
        return
    with pytest.raises(ConfigError, match=rf"{slip}: unknown key; did you mean '{key}'\?"):
        BacktestConfig.load(None, [".".join([*above, slip]) + "=1"])


def test_complaints_stand_in_the_order_of_the_file(run_file):
    run_file.write_text(
        "color: 1\n" + TEXT.replace("horizon: 2", "horizon: two").replace("path", "paths") + "seed: x\n"
    )
    lines = [line.split(": ")[0] for line in complaint(run_file).splitlines()]
    assert lines == ["my run.yaml:1", "my run.yaml:3", "my run.yaml:5", "my run.yaml:9"]


def test_a_path_is_relative_to_what_names_it(run_file, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    (here / "other.csv").write_text("ds,y\n")
    monkeypatch.chdir(here)
    assert BacktestConfig.load(run_file).data.path == str(tmp_path / "table.csv")
    assert BacktestConfig.load(run_file, ["data.path=other.csv"]).data.path == str(here / "other.csv")


def test_data_folder(run_file, tmp_path, monkeypatch):
    run_file.write_text(TEXT.replace("table.csv", "${TSRNN_DATA}/table.csv"))
    monkeypatch.setenv("TSRNN_DATA", str(tmp_path))
    assert BacktestConfig.load(run_file).data.path == str(tmp_path / "table.csv")
    monkeypatch.setenv("TSRNN_DATA", str(tmp_path / "nowhere"))
    assert complaint(run_file).startswith("my run.yaml:2: data.path: no benchmark data in nowhere")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXT + "seed: 1_000.5.3\n", 'my run.yaml:8: seed: expected a whole number, found "1_000.5.3".'),
        (TEXT + "seed: true\n", "my run.yaml:8: seed: expected a whole number, found true."),
        (TEXT + "? [a, b]\n: 1\n", 'my run.yaml:8: the key ["a", "b"] is not text; put it into quotes.'),
        (TEXT + "2024: 1\n", "my run.yaml:8: the key 2024 is not text; put it into quotes."),
        (
            TEXT + "seed: !secret 1\n",
            "my run.yaml:8: not valid YAML: could not determine a constructor for the tag '!secret'.",
        ),
        (TEXT + "---\nseed: 1\n", "my run.yaml:8: not valid YAML: but found another document."),
        ("data: &a\n  b: *a\n", "nested more than 20 levels deep."),
        ("seed", "my run.yaml: is made of lines 'key: value', but holds \"seed\"."),
        (b"\xff\xfe\x00seed", "my run.yaml: not a text file in UTF-8"),
    ],
)
def test_odd_yaml(run_file, text, said):
    run_file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert said in complaint(run_file)


BASED = """\
base: ../my run.yaml
backtest: {n_windows: 3}
models:
  LSTM: {network: {hidden_size: 8}}
  Naive: null
  Drift: Drift
"""


@pytest.fixture
def based(run_file):
    """A run file in another folder that is based on the first."""
    path = run_file.parent / "below" / "based.yaml"
    path.parent.mkdir()
    path.write_text(BASED)
    return path


def test_a_base_gives_what_a_file_does_not_say(based, run_file):
    config = BacktestConfig.load(based)
    assert config.name == "based"
    assert config.data.path == str(run_file.parent / "table.csv")  # relative to the file that names it
    assert (config.backtest.horizon, config.backtest.n_windows) == (2, 3)
    assert config.models == {"LSTM": {"network": {"type": "LSTM", "hidden_size": 8}}, "Drift": "Drift"}


def test_a_base_may_have_one_too(based, run_file):
    top = run_file.parent / "top.yaml"
    top.write_text("base: below/based.yaml\nmodels: {LSTM: {network: GRU}}\ndata: {path: below/other.csv}\n")
    (based.parent / "other.csv").write_text("ds,y\n")
    config = BacktestConfig.load(top, ["models.Drift="])
    assert config.data.path == str(based.parent / "other.csv")
    assert (config.backtest.horizon, config.backtest.n_windows) == (2, 3)
    assert config.models == {"LSTM": {"network": "GRU"}}


def test_complaints_name_the_file_of_the_chain_that_holds_the_key(based, run_file):
    run_file.write_text(TEXT.replace("horizon: 2", "horizon: two") + "color: 1\n")
    based.write_text(BASED.replace("n_windows: 3", "n_windows: three"))
    assert [line.split(": ")[0] for line in complaint(based).splitlines()] == [
        "based.yaml:2", "../my run.yaml:4", "../my run.yaml:8"
    ]  # fmt: skip
    based.write_text(BASED.replace("n_windows: 3", "horizon: 4"))
    assert complaint(based, "color=1").startswith("--set color=1: color: unknown key;")


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("based.yaml", "based.yaml:1: base: goes round in a circle, based.yaml -> based.yaml; take one of them out."),
        ("absent.yaml", "based.yaml:1: base: no such file: absent.yaml; the path is relative to based.yaml."),
        ("[a.yaml]", 'based.yaml:1: base: expected the path of a run file, found ["a.yaml"].'),
    ],
)
def test_a_base_that_cannot_be_used(based, base, said):
    based.write_text(BASED.replace("../my run.yaml", base))
    assert complaint(based) == said


def test_a_circle_of_files_is_named_where_it_closes(based, run_file):
    run_file.write_text("base: below/based.yaml\n")
    circle = "my run.yaml -> below/based.yaml -> below/../my run.yaml"
    assert complaint(run_file).startswith(f"below/based.yaml:1: base: goes round in a circle, {circle};")


def test_a_file_that_is_based_on_the_one_a_run_wrote_down_is_that_run_with_a_change(based, run_file):
    written = BacktestConfig.load(based)
    run_file.write_text(yaml.safe_dump(written.model_dump()))
    based.write_text("base: ../my run.yaml\nseed: 5\n")
    assert BacktestConfig.load(based).model_dump() == written.model_dump() | {"seed": 5}


def test_missing_run_file(tmp_path):
    assert complaint(tmp_path / "absent.yaml") == "absent.yaml: cannot be read: No such file or directory."


def test_detect_defaults_can_be_changed_in_part():
    config = DetectConfig.load(None, ["predictor.max_steps=3", "detector.quality.max_gap=2h"])
    assert config.name == "detect"
    detector = build_detector(config)
    assert (detector.predictor.max_steps, detector.predictor.hidden_size) == (3, 32)
    assert detector.quality == Quality(max_gap="2h")


def test_every_scorer_and_threshold_can_be_named():
    fields = DetectorSection.model_fields
    assert set(get_args(fields["severity"].annotation)) == SCORERS.keys()
    assert set(get_args(fields["threshold"].annotation)) == THRESHOLDS.keys()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("predictor=Persistance", "'Persistance' is not a known predictor. Did you mean 'Persistence'?"),
        ("predictor.order=x", "predictor.order: Input should be a valid integer"),
        ("detector.quality.max_gape=1", "'max_gape' is not a known parameter of Quality. Did you mean 'max_gap'?"),
    ],
)
def test_what_a_detector_cannot_be_built_from(option, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        build_detector(DetectConfig.load(None, [option]))


def test_no_jax_is_imported_to_read_a_run_file():
    code = "import sys, tsrnn.config; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
