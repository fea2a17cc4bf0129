"""What a run says while it runs: to whoever listens, and into the run folder."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsrnn.training.state import History

__all__ = ["Log", "training_table"]


class Log:
    """Lines with the time at which they came; kept until there is a file for them, then written one by one.

    Parameters
    ----------
    say : callable, optional
        Called with every line.

    Examples
    --------
    >>> log = Log(print)
    >>> log("1 series")
    1 series
    """

    def __init__(self, say: Callable[[str], object] | None = None) -> None:
        self._say = say or (lambda line: None)
        self._lines: list[str] = []
        self._file: Path | None = None

    def __call__(self, line: str) -> None:
        """Say a line."""
        self._lines.append(f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}  {line}\n")
        self._say(line)
        if self._file is not None:
            self.into(self._file)

    def into(self, file: Path) -> None:
        """Write the lines that were said, and from now on every one, to the end of a file."""
        self._file = file
        with file.open("a", encoding="utf-8") as end:
            end.writelines(self._lines)
        self._lines.clear()

    @contextmanager
    def hearing_warnings(self) -> Iterator[None]:
        """Warnings of the block are lines, without the place in the code."""

        def show(message: Warning | str, *place: Any, **rest: Any) -> None:
            self(f"Warning: {message}")

        with warnings.catch_warnings():
            warnings.showwarning = show
            yield


def training_table(model: str, fold: int, history: History | None) -> pd.DataFrame:
    """The course of a training run, a row for each time that it was evaluated; none without a history.

    Returns
    -------
    DataFrame
        ``model, fold, step, train_loss`` (mean of the steps since the row above), ``valid_loss`` (NaN without
        validation), ``kept`` (whether the weights of this step are the ones that forecast).
    """
    columns = ["model", "fold", "step", "train_loss", "valid_loss", "kept"]
    if history is None:
        return pd.DataFrame(columns=columns)
    validated = len(history.valid_step) > 0
    steps = history.valid_step if validated else np.asarray([history.steps])
    parts = np.split(history.train_loss, steps)[: len(steps)]
    means = [part[np.isfinite(part)].mean() if np.isfinite(part).any() else np.nan for part in parts]
    valid = history.valid_loss if validated else np.nan
    return pd.DataFrame(dict(zip(columns, (model, fold, steps, means, valid, steps == history.best_step), strict=True)))
