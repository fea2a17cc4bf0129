"""Logs of a training run: each step once, in every kind of log, also when the run dies on the way."""

import struct
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.test_training import Noisy, run
from tsrnn.forecasting.spec import from_spec, to_spec
from tsrnn.training.log import Record

NAMES = [name for name in Record._fields if name not in ("step", "valid_loss")]
SETTINGS = {"max_steps": 60, "eval_every": 10, "checkpoint_every": 20}


def died_and_went_on(log, folder):
    """A run whose last checkpoint, of step 40, is older than the last step it told of; and then the rest."""

    def die(record):
        if record.step == 50:
            raise RuntimeError("dead")

    options = SETTINGS | {"log": log, "checkpoint": str(folder)}
    with pytest.raises(RuntimeError, match="dead"):
        run(Noisy(), report=die, **options)
    return run(Noisy(), **options)[1]


def frame_of_events(folder):
    """What TensorBoard keeps of a folder: a session's start does away with what was told of its steps before."""
    events = pytest.importorskip("tensorboardX.proto.event_pb2", reason="needs tsrnn[tensorboard]")
    found = {}
    for file in sorted(Path(folder).iterdir()):
        raw = file.read_bytes()
        while raw:
            (size,) = struct.unpack_from("<Q", raw)
            event, raw = events.Event.FromString(raw[12 : 12 + size]), raw[16 + size :]
            if event.HasField("session_log"):
                found = {step: row for step, row in found.items() if step < event.step}
            if event.summary.value:
                assert event.step not in found
                found[event.step] = {value.tag: value.simple_value for value in event.summary.value}
    return pd.DataFrame([{"step": step} | row for step, row in found.items()])


READ = {
    "log.csv": pd.read_csv,
    "log.jsonl": lambda path: pd.read_json(path, lines=True),
    "tensorboard:events": lambda path: frame_of_events(path.removeprefix("tensorboard:")),
}


@pytest.mark.parametrize("log", READ)
def test_a_run_that_died_leaves_the_log_of_one_that_did_not(log, tmp_path, monkeypatch):
    if log.startswith("tensorboard"):
        pytest.importorskip("tensorboardX", reason="needs tsrnn[tensorboard]")
    monkeypatch.chdir(tmp_path)
    history = died_and_went_on(log, tmp_path / "state")
    frame = READ[log](log)
    assert frame["step"].tolist() == [10, 20, 30, 40, 50, 60]
    np.testing.assert_allclose(frame["train_loss"], history.train_loss.reshape(6, 10).mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(frame["gradient_norm"], history.gradient_norm[9::10], rtol=1e-6)
    assert frame["seconds"].is_monotonic_increasing
    assert set(frame) - {"valid_loss"} == {"step", *NAMES}
    run(Noisy(), max_steps=20, eval_every=10, log=log)  # another run, in the place of the first
    assert READ[log](log)["step"].tolist() == [10, 20]


def test_half_a_line_is_written_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    died_and_went_on("log.csv", tmp_path / "state")
    whole = (tmp_path / "log.csv").read_bytes()
    (tmp_path / "log.csv").write_bytes(whole[:-20])
    run(Noisy(), **SETTINGS, log="log.csv", checkpoint=str(tmp_path / "state"))
    assert (tmp_path / "log.csv").read_bytes() == whole[: whole.rindex(b"60,")]


def test_several_logs_tell_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(Noisy(), max_steps=20, eval_every=10, log=("log.csv", "log.jsonl"), valid=np.ones((2, 4), np.float32))
    one, other = READ["log.csv"]("log.csv"), READ["log.jsonl"]("log.jsonl")
    pd.testing.assert_frame_equal(one, other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "log.jsonl"]  # and nothing else


def test_several_logs_in_a_run_file():
    model = from_spec({"network": "GRU", "training": {"log": ["a.csv", "tensorboard:runs/a"]}}, horizon=3)
    assert model.training.log == ("a.csv", "tensorboard:runs/a")
    assert from_spec(to_spec(model)).training == model.training


@pytest.mark.parametrize("log", ["tensorboard:events", "mlflow"])
def test_a_library_that_is_missing_is_named(log, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for module in ("mlflow", "tensorboardX.event_file_writer"):
        monkeypatch.setitem(sys.modules, module, None)
    extra = log.split(":")[0]
    with pytest.raises(ImportError, match=rf"pip install 'tsrnn\[{extra}\]'"):
        run(Noisy(), max_steps=20, log=log)


@pytest.mark.filterwarnings("ignore")  # MLflow's own
class TestMlflow:
    @pytest.fixture
    def mlflow(self, tmp_path, monkeypatch):
        mlflow = pytest.importorskip("mlflow", reason="needs tsrnn[mlflow], which is large")
        monkeypatch.chdir(tmp_path)
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
        yield mlflow
        mlflow.set_tracking_uri(before)

    def steps(self, mlflow, run_id):
        return [metric.step for metric in mlflow.MlflowClient().get_metric_history(run_id, "train_loss")]

    def test_runs_go_on_and_active_ones_are_used(self, mlflow, tmp_path):
        history = died_and_went_on("mlflow", tmp_path / "state")
        (found,) = mlflow.search_runs(output_format="list")
        assert self.steps(mlflow, found.info.run_id) == [10, 20, 30, 40, 50, 60]
        assert found.info.status == "FINISHED"
        assert found.data.metrics["gradient_norm"] == history.gradient_norm[-1]
        wanted = {"training__max_steps": "60", "optimizer__learning_rate": "0.1", "loss": "Noisy", "windows": "Noise"}
        assert found.data.params.items() >= wanted.items()
        with mlflow.start_run() as own:
            run(Noisy(), max_steps=20, eval_every=10, log="mlflow")
            assert mlflow.active_run() is own
        assert self.steps(mlflow, own.info.run_id) == [10, 20]
        run(Noisy(), max_steps=20, eval_every=10, log="mlflow")
        assert len(mlflow.search_runs(output_format="list")) == 3
