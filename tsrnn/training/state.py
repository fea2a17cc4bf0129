"""Values of a training run: its settings, its state on the device, and its history."""

import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Array, Int
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["History", "Sampling", "TrainState", "Training", "TrainingDiverged"]

Sampling = Literal["windows", "series", "scale"]
"""Laws by which training windows are drawn; see `Training`."""


StopReason = Literal["max_steps", "patience", "interrupted"]


@dataclass(frozen=True)
class Training:
    """How long to train, when to stop, and what to write down.

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
        Show a progress bar; None means only in a terminal, unless the environment says ``TSRNN_PROGRESS=0``.
    log : str, tuple of str, or None, default None
        Where losses, learning rate and gradient norm go after every evaluation: a file that ends in ``.csv`` or
        ``.jsonl``; ``"tensorboard:FOLDER"`` (extra ``tensorboard``); ``"mlflow"`` (extra ``mlflow``), together with the
        settings, to MLflow's active run, or one of its own where MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say; or
        several of these. A run that goes on from a checkpoint goes on in its logs. Nothing is written unasked.
    checkpoint : str or None, default None
        A folder that keeps the whole state of the run. Fitting again with the same settings on the same data goes on
        where the last run stopped, and ends with the bits of a run that never stopped; other settings or data are
        refused.
    checkpoint_every : int, default 100
        Least number of steps between two checkpoints, which are taken at evaluations.
    max_epochs : float or None, default None
        Epochs at the most, in place of ``max_steps``: an epoch is as many draws as there are windows.
    devices : int or None, default None
        Devices that share the rows of each batch (or the members of `tsrnn.training.loop.train_members`), those of all
        processes together; None for the most that JAX sees and that divide the batch evenly. What is learned on
        different numbers of devices agrees to rounding: in our tests weights to 1e-5 after 20 steps.
    """

    max_steps: int = 1000
    batch_size: int = 64
    eval_every: int = 50
    patience: int | None = 8
    validation: float = 0.1
    sampling: Sampling = "windows"
    progress: bool | None = None
    log: str | tuple[str, ...] | None = None
    checkpoint: str | None = None
    checkpoint_every: int = 100
    max_epochs: float | None = None
    devices: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("max_steps", "batch_size", "eval_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}.")
        if self.devices is not None and self.devices < 1:
            raise ValueError(f"devices must be at least 1 or None, got {self.devices!r}.")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation is a share of the rows in [0, 1), got {self.validation!r}.")
        if self.sampling not in get_args(Sampling):
            raise ValueError(f"sampling={self.sampling!r} is unknown; choose one of {', '.join(get_args(Sampling))}.")
        if self.max_epochs is not None and not self.max_epochs > 0:
            raise ValueError(f"max_epochs must be positive or None, got {self.max_epochs!r}.")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1 or None, got {self.patience!r}.")
        for log in self.logs:
            if not (log.endswith((".csv", ".jsonl")) or re.fullmatch("mlflow|tensorboard:.+", log)):
                raise ValueError(f"log={log!r} must end in .csv or .jsonl, or be 'tensorboard:FOLDER' or 'mlflow'.")

    @property
    def logs(self) -> tuple[str, ...]:
        """All that ``log`` names."""
        return (self.log,) if isinstance(self.log, str) else tuple(self.log or ())

    def in_steps(self, epoch: int) -> "Training":
        """The same settings with ``max_epochs`` said in ``max_steps``.

        Parameters
        ----------
        epoch : int
            Steps an epoch.

        Examples
        --------
        >>> Training(max_epochs=2.5).in_steps(100).max_steps
        250
        """
        if self.max_epochs is None:
            return self
        return replace(self, max_steps=math.ceil(self.max_epochs * epoch), max_epochs=None)


class TrainState(NamedTuple):
    """What changes from step to step; a pytree.

    Attributes
    ----------
    params, opt_state : pytrees
        Weights and the optimizer's state.
    average : pytree
        Moving average of the weights; empty where none is kept.
    step, skipped, streak : arrays of int32, shape ()
        Steps taken; steps skipped because loss or gradient were not finite, in all and in a row.
    carry : pytree
        What a step gives the next one's sampler; None in runs without.
    """

    params: Any
    opt_state: Any
    average: Any
    step: Int[Array, ""]
    skipped: Int[Array, ""]
    streak: Int[Array, ""]
    carry: Any = None


@dataclass(frozen=True)
class History:
    """What happened in a training run.

    Attributes
    ----------
    train_loss : array of shape (steps,)
        Loss of every step's batch; not finite where the step was skipped.
    gradient_norm : array of shape (steps,)
        Global norm of every step's gradient, before clipping.
    learning_rate : array of shape (steps,)
        Learning rate of every step; NaN under an optax object, which does not tell.
    layers : tuple of str
        Names of the groups of weights.
    layer_norm : array of shape (steps, layers)
        Norm of the gradient of each group.
    valid_step, valid_loss : arrays of shape (evaluations,)
        Validation loss and the number of steps taken by then; empty without validation.
    best_step : int
        Steps after which the weights that were kept stood.
    skipped : int
        Steps that changed nothing because loss or gradient were not finite.
    seconds : float
        Wall time, compilation included; of all sessions of a run that was resumed.
    compile_seconds : float
        Those of them in which JAX traced, lowered and compiled, or read compiled programs from its cache on disk, in
        the last session; 0 where this process had all programs already.
    stop_reason : {"max_steps", "patience", "interrupted"}
        Why training ended.
    """

    train_loss: NDArray[np.float64]
    gradient_norm: NDArray[np.float64]
    learning_rate: NDArray[np.float64]
    layer_norm: NDArray[np.float64]
    valid_step: NDArray[np.int64]
    valid_loss: NDArray[np.float64]
    best_step: int
    seconds: float
    stop_reason: StopReason
    layers: tuple[str, ...] = field(default=())
    skipped: int = 0
    compile_seconds: float = 0.0

    def __str__(self) -> str:
        """In a line: steps and seconds, and which weights were kept.

        Examples
        --------
        >>> empty = np.zeros(0)
        >>> loss, step = np.asarray([0.3, 0.2]), np.asarray([50, 100])
        >>> print(History(np.ones(1000), empty, empty, empty, step, loss, 100, 12.34, "patience", compile_seconds=4.1))
        1,000 steps in 12.3 s, compiled in 4.1 s, best at step 100 (valid 0.2000), out of patience
        """
        best = self.valid_loss[self.valid_step == self.best_step]
        valid = f", best at step {self.best_step:,} (valid {best[0]:.4f})" if len(best) else ""
        ended = {"max_steps": "", "patience": ", out of patience", "interrupted": ", interrupted"}[self.stop_reason]
        compiled = f", compiled in {self.compile_seconds:.1f} s" if self.compile_seconds >= 0.05 else ""
        return f"{self.steps:,} steps in {self.seconds:.1f} s{compiled}{valid}{ended}"

    @property
    def steps(self) -> int:
        """Steps taken."""
        return len(self.train_loss)

    def plot(self) -> "list[Axes]":
        """Draw losses, gradient norms and learning rate over the steps.

        Returns
        -------
        list of matplotlib Axes
            One for each of the three.
        """
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(1, 3, figsize=(13, 3.5), layout="constrained")
        step = np.arange(1, self.steps + 1)
        axes[0].plot(step, self.train_loss, lw=0.8, label="training, a batch each")
        if len(self.valid_step):
            axes[0].plot(self.valid_step, self.valid_loss, marker="o", ms=3, label="validation")
            axes[0].axvline(self.best_step, color="0.6", lw=0.8, label="kept")
        axes[0].set(title="loss", xlabel="step")
        axes[0].legend()
        for name, norms in zip(self.layers, self.layer_norm.T, strict=True):
            axes[1].semilogy(step, norms, lw=0.8, label=name)
        axes[1].semilogy(step, self.gradient_norm, lw=0.8, color="0.2", label="all")
        axes[1].set(title="gradient norm before clipping", xlabel="step")
        axes[1].legend(fontsize="small")
        axes[2].plot(step, self.learning_rate)
        axes[2].set(title="learning rate", xlabel="step")
        return list(axes)


class TrainingDiverged(FloatingPointError):
    """The loss is not finite, step after step; the message names the step and what to change."""
