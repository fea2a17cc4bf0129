"""Values of a training run: its settings, its state on the device, and its history."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Array, Int
from numpy.typing import NDArray

__all__ = ["History", "Sampling", "TrainState", "Training", "TrainingDiverged"]

Sampling = Literal["windows", "series", "scale"]
"""Laws by which training windows are drawn; see `Training`."""


@dataclass(frozen=True)
class Training:
    """How long to train and when to stop.

    Parameters
    ----------
    max_steps : int, default 1000
        Optimizer steps at the most.
    batch_size : int, default 64
        Windows per step, drawn with replacement.
    eval_every : int, default 50
        Steps per dispatch to the device; after each of them the validation loss is taken.
    patience : int or None, default 8
        Evaluations without a better validation loss before training stops; None to train to the end. Either way the
        best weights are kept.
    validation : float, default 0.1
        Share of every series' rows at its end that is held out for validation (at least one horizon); 0 for none.
    sampling : {"windows", "series", "scale"}, default "windows"
        Law by which windows are drawn: all windows of all series alike; all series alike, whatever their length; or
        each series in proportion to its mean absolute value, which suits counts of very different size (Salinas et al.
        2020).
    progress : bool or None, default None
        Show a progress bar; None means only in a terminal.
    """

    max_steps: int = 1000
    batch_size: int = 64
    eval_every: int = 50
    patience: int | None = 8
    validation: float = 0.1
    sampling: Sampling = "windows"
    progress: bool | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("max_steps", "batch_size", "eval_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}.")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation is a share of the rows in [0, 1), got {self.validation!r}.")
        if self.sampling not in get_args(Sampling):
            raise ValueError(f"sampling={self.sampling!r} is unknown; choose one of {', '.join(get_args(Sampling))}.")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1 or None, got {self.patience!r}.")


class TrainState(NamedTuple):
    """What changes from step to step; a pytree."""

    params: Any
    opt_state: Any
    step: Int[Array, ""]


@dataclass(frozen=True)
class History:
    """What happened in a training run.

    Attributes
    ----------
    train_loss : array of shape (steps,)
        Loss of every step's batch.
    gradient_norm : array of shape (steps,)
        Global norm of every step's gradient, before clipping.
    valid_step, valid_loss : arrays of shape (evaluations,)
        Validation loss and the number of steps taken by then; empty without validation.
    best_step : int
        Steps after which the weights that were kept stood.
    seconds : float
        Wall time, compilation included.
    stop_reason : {"max_steps", "patience", "interrupted"}
        Why training ended.
    """

    train_loss: NDArray[np.float64]
    gradient_norm: NDArray[np.float64]
    valid_step: NDArray[np.int64]
    valid_loss: NDArray[np.float64]
    best_step: int
    seconds: float
    stop_reason: Literal["max_steps", "patience", "interrupted"]

    @property
    def steps(self) -> int:
        """Steps taken."""
        return len(self.train_loss)


class TrainingDiverged(FloatingPointError):
    """The loss is not finite; the message names the step and what to change."""
