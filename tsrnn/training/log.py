"""What a training run reports while it runs, and where that is written: tables, TensorBoard, MLflow."""

import csv
import dataclasses
import importlib
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Record", "Report", "open_log"]


class Record(NamedTuple):
    """What is reported after every chunk.

    Attributes
    ----------
    step : int
        Steps taken.
    train_loss : float
        Mean loss of the chunk's steps that were not skipped.
    valid_loss : float or None
        Validation loss after it.
    learning_rate, gradient_norm : float
        Of its last step.
    skipped : int
        Steps skipped so far.
    seconds : float
        Wall time so far.
    """

    step: int
    train_loss: float
    valid_loss: float | None
    learning_rate: float
    gradient_norm: float
    skipped: int
    seconds: float


Report = Callable[[Record], None]


def open_log(target: str, *, done: int, parts: Mapping[str, Any], folder: str | None) -> AbstractContextManager[Report]:
    """Open one log of a run.

    Parameters
    ----------
    target : str
        As in `tsrnn.training.state.Training`.
    done : int
        Steps that a checkpoint holds. What the log holds of them stays, what it holds beyond them is replaced, for it
        comes again; with 0 the log starts afresh.
    parts : mapping of str to object
        What the run is, for logs that keep it.
    folder : str or None
        The checkpoint's folder, by which MLflow's run is found again.

    Raises
    ------
    ImportError
        If the library that it needs is not installed.
    """
    if target == "mlflow":
        return _mlflow(done, parts, folder)
    kind, _, path = target.partition(":")
    return _tensorboard(path, done) if kind == "tensorboard" else _table(target, done)


@contextmanager
def _table(path: str, done: int) -> Iterator[Report]:
    """A CSV or JSONL file."""
    with Path(path).open("a+" if done else "w+", encoding="utf-8", newline="") as file:
        file.seek(0)
        end = 0
        while (line := file.readline()).endswith("\n") and _step(line) <= done:
            end = file.tell()
        file.truncate(end)
        table = csv.writer(file)
        if path.endswith(".csv") and not end:
            table.writerow(Record._fields)

        def write(record: Record) -> None:
            if path.endswith(".csv"):
                table.writerow(record)
            else:
                known = {k: None if v is not None and not math.isfinite(v) else v for k, v in record._asdict().items()}
                file.write(json.dumps(known) + "\n")
            file.flush()

        yield write


@contextmanager
def _tensorboard(folder: str, done: int) -> Iterator[Report]:
    """Events for TensorBoard; written at once, where the library's own writer would lose some to a kill."""
    events = _library("tensorboardX.event_file_writer", "tensorboard")
    proto, values = (_library(f"tensorboardX.proto.{name}_pb2", "tensorboard") for name in ("event", "summary"))
    Path(folder).mkdir(parents=True, exist_ok=True)
    file = events.EventsWriter(str(Path(folder) / "events"), f".{time.time_ns()}")

    def put(step: int, **what: Any) -> None:
        file.write_event(proto.Event(wall_time=time.time(), step=step, **what))
        file.flush()

    def write(record: Record) -> None:
        scalars = [values.Summary.Value(tag=name, simple_value=value) for name, value in _numbers(record).items()]
        put(record.step, summary=values.Summary(value=scalars))

    put(done + 1, session_log=proto.SessionLog(status=proto.SessionLog.START))  # what came after is forgotten
    try:
        yield write
    finally:
        file.close()


@contextmanager
def _mlflow(done: int, parts: Mapping[str, Any], folder: str | None) -> Iterator[Report]:
    """The active run of MLflow, or else the one that a checkpoint goes on with, or a new one."""
    mlflow = _library("mlflow", "mlflow")
    client, active, found = mlflow.MlflowClient(), mlflow.active_run(), []
    where = folder and str(Path(folder).resolve())
    if done and active is None:
        same = f'tags.tsrnn_checkpoint = "{where}"'
        found = mlflow.search_runs(filter_string=same, max_results=1, output_format="list")
    own = mlflow.start_run(found[0].info.run_id if found else None) if active is None else nullcontext(active)
    with own as run:
        name, known, last = run.info.run_id, {}, 0
        if done:  # nothing is written twice: a run that goes on comes to the same numbers
            known = client.get_run(name).data.params
            last = max((metric.step for metric in client.get_metric_history(name, "train_loss")), default=0)
        settings = {key: text for part in parts.items() for key, text in _flat(*part).items()}
        mlflow.log_params({key: text for key, text in settings.items() if key not in known})
        if where:
            mlflow.set_tag("tsrnn_checkpoint", where)

        def write(record: Record) -> None:
            if record.step > last:
                mlflow.log_metrics(_numbers(record), step=record.step, run_id=name)

        yield write


def _library(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(f"a log for {extra} needs {module.split('.')[0]}: pip install 'tsrnn[{extra}]'.") from None


def _numbers(record: Record) -> dict[str, float]:
    """The finite numbers of a record, without the step."""
    pairs = zip(record._fields[1:], record[1:], strict=True)
    return {name: float(value) for name, value in pairs if value is not None and math.isfinite(value)}


def _step(line: str) -> int:
    """The step that a line of a table tells of; 0 for its header."""
    number = re.search(r"\d+", line)
    return int(number[0]) if number else 0


def _flat(name: str, part: Any) -> dict[str, str]:
    """A part and all that it is made of as text, named as scikit-learn names them."""
    found = {name: type(part).__name__ if dataclasses.is_dataclass(part) else str(part)}
    for field in dataclasses.fields(part) if dataclasses.is_dataclass(part) else ():
        if field.name not in ("parent", "name"):  # those are flax's own
            found |= _flat(f"{name}__{field.name}", getattr(part, field.name))
    return found
