"""The optimizer as a specification that can be compared, saved and written in a run file."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

__all__ = ["Numbers", "Optimizer"]

Schedule = Literal["cosine", "constant", "linear", "one_cycle", "plateau"]

Numbers = dict[str, Float[Array, ""]]
"""The settings that are data for the compiled step: another learning rate does not compile it again."""

_RULES = {
    "adam": optax.scale_by_adam,
    "nadam": lambda: optax.scale_by_adam(nesterov=True),
    "sgd": lambda: optax.trace(decay=0.9),
    "lion": optax.scale_by_lion,
    "rmsprop": optax.scale_by_rms,
}

_END = 0.02
"""Share of the peak that cosine and linear schedules end at."""


@dataclass(frozen=True)
class Optimizer:
    """Update rule, learning-rate schedule, clipping, weight decay, accumulation and averaging of weights.

    Parameters
    ----------
    rule : str or optax.GradientTransformation, default "adam"
        ``"adam"`` (AdamW with ``weight_decay``) [1]_, ``"nadam"``, ``"sgd"`` (momentum .9), ``"lion"`` [2]_ (wants a
        learning rate some ten times smaller) or ``"rmsprop"``. The updates of an optax transformation are taken as
        they are: it brings its own learning rate, and the schedule, warm-up and weight decay here do not touch it.
    learning_rate : float, default 2e-3
        Peak learning rate.
    schedule : {"cosine", "constant", "linear", "one_cycle", "plateau"}, default "cosine"
        Cosine and linear decay from the peak to 2 % of it over ``max_steps``. One-cycle rises from 4 % to the peak
        over the first three tenths and falls to nothing [3]_. Plateau halves the rate whenever half of the patience
        has passed without a better validation loss.
    warmup_steps : int, default 0
        Steps of linear growth from nothing at the start.
    clip_norm : float or None, default 1.0
        Largest global norm of a gradient; None for no clipping.
    weight_decay : float, default 0.0
        Decoupled weight decay [4]_.
    accumulate : int, default 1
        Batches whose gradients are averaged for one step.
    average : float or None, default None
        Decay of an exponential moving average of the weights, for instance .999, which is then what is evaluated and
        kept; None for the weights themselves.
    max_skipped : int, default 10
        A step whose loss or gradient is not finite changes nothing and is counted; so many in a row are an error.

    References
    ----------
    .. [1] D. Kingma and J. Ba (2015), Adam, arXiv 1412.6980.
    .. [2] X. Chen et al. (2023), Symbolic discovery of optimization algorithms, arXiv 2302.06675.
    .. [3] L. Smith and N. Topin (2018), Super-convergence, arXiv 1708.07120.
    .. [4] I. Loshchilov and F. Hutter (2019), Decoupled weight decay regularization, arXiv 1711.05101; the cosine
       schedule: arXiv 1608.03983.

    Examples
    --------
    >>> Optimizer("lion", learning_rate=2e-4, schedule="one_cycle").rule
    'lion'
    """

    rule: Any = "adam"
    learning_rate: float = 2e-3
    schedule: Schedule = "cosine"
    warmup_steps: int = 0
    clip_norm: float | None = 1.0
    weight_decay: float = 0.0
    accumulate: int = 1
    average: float | None = None
    max_skipped: int = 10

    def __post_init__(self) -> None:
        """Check the values."""
        if not isinstance(self.rule, optax.GradientTransformation) and self.rule not in _RULES:
            raise ValueError(f"rule={self.rule!r} is unknown; choose {', '.join(_RULES)}, or give an optax object.")
        if self.schedule not in get_args(Schedule):
            raise ValueError(f"schedule={self.schedule!r} is unknown; choose {', '.join(get_args(Schedule))}.")
        if self.learning_rate <= 0 or self.weight_decay < 0 or (self.clip_norm is not None and self.clip_norm <= 0):
            raise ValueError(f"learning_rate and clip_norm must be positive and weight_decay not negative: {self}.")
        if self.warmup_steps < 0 or self.accumulate < 1 or self.max_skipped < 1:
            raise ValueError(f"accumulate and max_skipped must be at least 1, warmup_steps at least 0: {self}.")
        if self.average is not None and not 0 < self.average < 1:
            raise ValueError(f"average is a decay between 0 and 1 or None, got {self.average!r}.")

    @property
    def structure(self) -> "Optimizer":
        """The optimizer without what `numbers` holds: equal structures share one compiled program."""
        return dataclasses.replace(self, learning_rate=1.0, weight_decay=0.0, warmup_steps=0)

    def numbers(self, max_steps: int) -> Numbers:
        """What the compiled step takes as data, for a run of ``max_steps`` steps."""
        values = {
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "warmup_steps": self.warmup_steps,
            "max_steps": max_steps,
        }
        return {name: jnp.asarray(value, float) for name, value in values.items()}

    def init(self, params: Any) -> Any:
        """State of the update rule before the first step."""
        return self._transformation.init(params)

    def rate(self, step: Int[Array, ""], numbers: Numbers) -> Float[Array, ""]:
        """Learning rate of a step, counted from 0; NaN for an optax object, which does not tell."""
        if isinstance(self.rule, optax.GradientTransformation):
            return jnp.asarray(jnp.nan, float)
        now = step.astype(float)
        t = jnp.minimum(now / numbers["max_steps"], 1.0)
        shape: Any = {
            "cosine": lambda: _END + (1 - _END) * 0.5 * (1 + jnp.cos(jnp.pi * t)),
            "linear": lambda: 1 - (1 - _END) * t,
            "one_cycle": lambda: jnp.where(
                t < 0.3,
                1 - 0.96 * 0.5 * (1 + jnp.cos(jnp.pi * t / 0.3)),
                0.5 * (1 + jnp.cos(jnp.pi * (t - 0.3) / 0.7)),
            ),
        }.get(self.schedule, lambda: jnp.ones(()))()
        warm = jnp.minimum((now + 1) / jnp.maximum(numbers["warmup_steps"], 1.0), 1.0)
        rate: Array = numbers["learning_rate"] * shape * warm
        return rate

    def update(self, grads: Any, norm: Float[Array, ""], state: Any, params: Any, step: Any, numbers: Numbers) -> Any:
        """New weights and state of the rule from a gradient and its global norm."""
        if self.clip_norm is not None:
            shrink = self.clip_norm / jnp.maximum(norm, self.clip_norm)
            grads = jax.tree.map(lambda g: g * shrink.astype(g.dtype), grads)
        with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integer powers
            direction, state = self._transformation.update(grads, state, params)
        if isinstance(self.rule, optax.GradientTransformation):
            return optax.apply_updates(params, direction), state
        rate, decay = self.rate(step, numbers), numbers["weight_decay"]
        return jax.tree.map(lambda p, d: p - (rate * (d + decay * p)).astype(p.dtype), params, direction), state

    @property
    def _transformation(self) -> Any:
        return _RULES[self.rule]() if isinstance(self.rule, str) else self.rule
