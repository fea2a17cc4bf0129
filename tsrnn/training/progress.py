"""A progress bar for a training run, in the terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tsrnn.training.state import Training

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(
    training: Training, label: str, about: Callable[[], str]
) -> Iterator[Callable[[int, float, float | None], None] | None]:
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
    if not (sys.stderr.isatty() if training.progress is None else training.progress):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    what, losses = TextColumn("{task.description}"), TextColumn("{task.fields[losses]}")
    columns = (what, BarColumn(), MofNCompleteColumn(), losses, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.console.print(about(), markup=False, highlight=False, soft_wrap=True)
        task = bar.add_task(label, total=training.max_steps, losses="compiling ...")

        def report(step: int, loss: float, valid: float | None) -> None:
            bar.update(
                task, completed=step, losses=f"loss {loss:.4f}" + ("" if valid is None else f"  valid {valid:.4f}")
            )

        yield report
