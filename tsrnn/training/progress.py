"""A progress bar for a training run, in the terminal."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from tsrnn.training.devices import is_first
from tsrnn.training.log import Record, Report
from tsrnn.training.state import History, Training

__all__ = ["JOB", "Progress", "progress_bar"]

JOB: ContextVar[str | None] = ContextVar("job", default=None)
"""What the bar is to be called where training is a part of something larger, which says the lines that stay."""


class Progress(NamedTuple):
    """What a bar is told.

    Attributes
    ----------
    report : callable or None
        The ``report`` of `tsrnn.training.loop.train`; None where nothing is to be shown.
    done : callable
        Says the line that stays when training is over.
    """

    report: Report | None
    done: Callable[[History], None]


@contextmanager
def progress_bar(training: Training, label: str, about: Callable[[], str]) -> Iterator[Progress]:
    """A bar that goes away, between a line on the data and one on the training that stay.

    Parameters
    ----------
    training : Training
        Its ``progress`` decides; None shows the bar in a terminal only, and not where ``TSRNN_PROGRESS=0`` stands in
        the environment, as in the workers of a backtest, whose bars would run into each other.
    label : str
        What is trained.
    about : callable
        Gives the lines on the data.
    """
    by_itself = sys.stderr.isatty() and os.environ.get("TSRNN_PROGRESS") != "0"
    if not ((by_itself if training.progress is None else training.progress) and is_first()):
        yield Progress(None, lambda history: None)
        return
    from rich import progress as rich
    from rich.console import Console

    what, losses = rich.TextColumn("{task.description}"), rich.TextColumn("{task.fields[losses]}")
    columns = (what, rich.BarColumn(), rich.MofNCompleteColumn(), losses, rich.TimeElapsedColumn())
    job = JOB.get()
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:

        def say(line: str) -> None:
            if job is None:
                bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

        say(about())
        task = bar.add_task(job or label, total=training.max_steps, losses="compiling ...")

        def report(record: Record) -> None:
            valid = "" if record.valid_loss is None else f"  valid {record.valid_loss:.4f}"
            skipped = f"  {record.skipped} skipped" if record.skipped else ""
            bar.update(task, completed=record.step, losses=f"loss {record.train_loss:.4f}{valid}{skipped}")

        yield Progress(report, lambda history: say(f"{label}: {history}"))
