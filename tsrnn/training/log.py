"""What a training run reports while it runs, and files that keep it."""

import csv
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["Record", "Report", "log_file"]


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


@contextmanager
def log_file(path: str | None, *, more: bool) -> Iterator[Report | None]:
    """A writer of records to a CSV or JSONL file, after those that stand there or from the start."""
    if path is None:
        yield None
        return
    with Path(path).open("a" if more else "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        if path.endswith(".csv") and not file.tell():
            table.writerow(Record._fields)

        def write(record: Record) -> None:
            if path.endswith(".csv"):
                table.writerow(record)
            else:
                known = {k: None if v is not None and not math.isfinite(v) else v for k, v in record._asdict().items()}
                file.write(json.dumps(known) + "\n")
            file.flush()

        yield write
