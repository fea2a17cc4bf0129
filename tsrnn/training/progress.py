"""A progress bar for a training run, in the terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tsrnn.training.devices import is_first
from tsrnn.training.log import Record, Report
from tsrnn.training.state import Training

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(training: Training, label: str, about: Callable[[], str]) -> Iterator[Report | None]:
    """Give a ``report`` for `tsrnn.training.loop.train` that draws a bar; None where nothing is to be shown.

    Parameters
    ----------
    training : Training
        Its ``progress`` decides; None shows the bar in a terminal only.
    label : str
        What is trained, on how much.
    about : callable
        Gives a line on the data, which stays when the bar is gone.
    """
    if not ((sys.stderr.isatty() if training.progress is None else training.progress) and is_first()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    what, losses = TextColumn("{task.description}"), TextColumn("{task.fields[losses]}")
    columns = (what, BarColumn(), MofNCompleteColumn(), losses, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.console.print(about(), markup=False, highlight=False, soft_wrap=True)
        task = bar.add_task(label, total=training.max_steps, losses="compiling ...")

        def report(record: Record) -> None:
            valid = "" if record.valid_loss is None else f"  valid {record.valid_loss:.4f}"
            skipped = f"  {record.skipped} skipped" if record.skipped else ""
            bar.update(task, completed=record.step, losses=f"loss {record.train_loss:.4f}{valid}{skipped}")

        yield report
