"""The training loop: many steps in one dispatch, the host woken between chunks.

It knows no forecaster. It takes a loss ``(params, batch, key) -> (loss, aux)`` and a sampler ``(data, key) ->
batch``, both hashable values: equal losses and samplers on data of equal shapes share one compiled program, across
fits and across clones.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from tsrnn.training.optimizer import Adam
from tsrnn.training.state import History, Training, TrainingDiverged, TrainState

__all__ = ["train"]

LossFn = Callable[[Any, Any, PRNGKeyArray | None], tuple[Float[Array, ""], Any]]
Sampler = Callable[[Any, PRNGKeyArray], Any]
Report = Callable[[int, float, float | None], None]


@partial(jax.jit, static_argnames=("loss_fn", "sample", "optimizer", "max_steps", "n_steps"))
def _run(
    state: TrainState,
    data: Any,
    key: PRNGKeyArray,
    *,
    loss_fn: LossFn,
    sample: Sampler,
    optimizer: Adam,
    max_steps: int,
    n_steps: int,
) -> tuple[TrainState, Array, Array]:
    """Take ``n_steps`` steps; a step's randomness is a function of the run's key and the step's number alone."""
    transform = optimizer.build(max_steps)

    def step(state: TrainState, _: None) -> tuple[TrainState, tuple[Array, Array]]:
        batch_key, loss_key = jax.random.split(jax.random.fold_in(key, state.step))
        (loss, _), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params, sample(data, batch_key), loss_key)
        with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integer powers
            updates, opt_state = transform.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, state.step + 1), (loss, optax.tree.norm(grads))

    state, (losses, norms) = jax.lax.scan(step, state, None, length=n_steps)
    return state, losses, norms


@partial(jax.jit, static_argnames=("loss_fn",))
def _evaluate(params: Any, batches: Any, *, loss_fn: LossFn) -> Array:
    """Mean loss over batches stacked along their first axis, dropout off."""
    losses: Array = jax.lax.map(lambda batch: loss_fn(params, batch, None)[0], batches)
    return losses.mean()


def train(
    loss_fn: LossFn,
    sample: Sampler,
    params: Any,
    data: Any,
    *,
    key: PRNGKeyArray,
    training: Training,
    optimizer: Adam | None = None,
    valid_batches: Any | None = None,
    report: Report | None = None,
) -> tuple[Any, History]:
    """Train and give back the best weights.

    Parameters
    ----------
    loss_fn : callable
        ``(params, batch, key) -> (loss, aux)``; ``key`` is None in evaluation. Hashable.
    sample : callable
        ``(data, key) -> batch``, traced into the step. Hashable.
    params : pytree
        Initial weights.
    data : pytree
        What ``sample`` draws from; lies on the device for the whole run.
    key : key
        Source of all randomness.
    training : Training
        Settings.
    optimizer : Adam, optional
        The optimizer.
    valid_batches : pytree, optional
        Validation batches stacked along a new first axis. Without them the last weights are the best.
    report : callable, optional
        Called after every chunk with the step, the mean training loss of the chunk and the validation loss.

    Returns
    -------
    params : pytree
        Weights with the least validation loss (the last ones without validation).
    history : History
        What happened. After Ctrl-C its ``stop_reason`` is ``"interrupted"`` and the best weights so far are given.

    Raises
    ------
    TrainingDiverged
        If a loss is not finite.
    """
    optimizer = optimizer or Adam()
    began = time.perf_counter()
    state = TrainState(params, optimizer.build(training.max_steps).init(params), jnp.zeros((), jnp.int32))
    losses: list[Any] = []
    norms: list[Any] = []
    valid: list[tuple[int, float]] = []
    best, best_step, best_loss = params, 0, np.inf
    reason: Literal["max_steps", "patience", "interrupted"] = "max_steps"
    done = 0
    try:
        while done < training.max_steps:
            n_steps = min(training.eval_every, training.max_steps - done)
            state, chunk, chunk_norms = _run(
                state,
                data,
                key,
                loss_fn=loss_fn,
                sample=sample,
                optimizer=optimizer,
                max_steps=training.max_steps,
                n_steps=n_steps,
            )
            chunk = np.asarray(chunk, np.float64)
            _check_finite(chunk, np.asarray(chunk_norms), done, optimizer)
            losses.append(chunk)
            norms.append(np.asarray(chunk_norms, np.float64))
            done += n_steps
            score = None if valid_batches is None else float(_evaluate(state.params, valid_batches, loss_fn=loss_fn))
            if score is not None:
                valid.append((done, score))
            if score is None or score < best_loss:
                best, best_step, best_loss = state.params, done, np.inf if score is None else score
            if report is not None:
                report(done, float(chunk.mean()), score)
            if (
                training.patience is not None
                and score is not None
                and done - best_step >= training.patience * training.eval_every
            ):
                reason = "patience"
                break
    except KeyboardInterrupt:
        reason = "interrupted"
    history = History(
        train_loss=np.concatenate(losses) if losses else np.zeros(0),
        gradient_norm=np.concatenate(norms) if norms else np.zeros(0),
        valid_step=np.asarray([s for s, _ in valid], np.int64),
        valid_loss=np.asarray([v for _, v in valid], np.float64),
        best_step=best_step,
        seconds=time.perf_counter() - began,
        stop_reason=reason,
    )
    return best, history


def _check_finite(losses: Any, norms: Any, done: int, optimizer: Adam) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        at = int(bad[0])
        before = (
            f"the loss was {losses[at - 1]:.4g} and the gradient norm {norms[at - 1]:.4g} the step before"
            if at
            else "no step before"
        )
        raise TrainingDiverged(
            f"the loss is not finite at step {done + at} ({before}). Likely causes: a learning rate too high (it is "
            f"{optimizer.learning_rate:g}), clipping off (clip_norm={optimizer.clip_norm}), or values of extreme size "
            "without a scaling transform. Try a tenth of the learning rate, and clip_norm=1.0."
        )
