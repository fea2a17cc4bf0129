"""The optimizer as a specification that can be compared, saved and written in a run file."""

from dataclasses import dataclass
from typing import Literal

import optax

__all__ = ["Adam"]


@dataclass(frozen=True)
class Adam:
    """Adam with gradient clipping and a learning-rate schedule; AdamW if ``weight_decay`` is set.

    Parameters
    ----------
    learning_rate : float, default 2e-3
        Peak learning rate.
    schedule : {"cosine", "constant"}, default "cosine"
        Cosine decays from the peak to 2 % of it over ``max_steps``.
    clip_norm : float or None, default 1.0
        Largest global norm of a gradient; None for no clipping.
    weight_decay : float, default 0.0
        Decoupled weight decay.

    References
    ----------
    D. Kingma and J. Ba (2015), arXiv 1412.6980; I. Loshchilov and F. Hutter (2019), arXiv 1711.05101 and 1608.03983.
    """

    learning_rate: float = 2e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    clip_norm: float | None = 1.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"schedule={self.schedule!r} is unknown; choose cosine or constant.")
        if self.learning_rate <= 0 or self.weight_decay < 0 or (self.clip_norm is not None and self.clip_norm <= 0):
            raise ValueError(f"learning_rate and clip_norm must be positive and weight_decay not negative: {self}.")

    def build(self, max_steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of ``max_steps`` steps."""
        rate = (
            optax.cosine_decay_schedule(self.learning_rate, max_steps, 0.02)
            if self.schedule == "cosine"
            else self.learning_rate
        )
        clip = optax.identity() if self.clip_norm is None else optax.clip_by_global_norm(self.clip_norm)
        return optax.chain(clip, optax.adamw(rate, weight_decay=self.weight_decay))
