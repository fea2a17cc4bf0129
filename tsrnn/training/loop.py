"""The training loop: many steps in one dispatch, the host woken between chunks.

It knows no forecaster. It takes a loss ``(params, batch, key) -> (loss, aux)`` and a sampler ``(data, key) ->
batch``, both hashable values: equal losses and samplers on data of equal shapes share one compiled program, across
fits, across clones, and across learning rates.
"""

import csv
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from tsrnn.training.checkpoint import Checkpoints, fingerprint
from tsrnn.training.optimizer import Numbers, Optimizer
from tsrnn.training.state import History, Training, TrainingDiverged, TrainState

__all__ = ["Record", "train"]

LossFn = Callable[[Any, Any, PRNGKeyArray | None], tuple[Float[Array, ""], Any]]
Sampler = Callable[[Any, PRNGKeyArray], Any]


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


class Trace(NamedTuple):
    """What every step of a run gave; arrays of shape (steps,) or (steps, layers)."""

    loss: Any
    norm: Any
    rate: Any
    layers: Any


class Run(NamedTuple):
    """All that a run needs to go on; a pytree of arrays."""

    state: TrainState
    best: Any
    best_step: NDArray[np.int64]
    best_loss: NDArray[np.float64]
    scale: NDArray[np.float64]
    stale: NDArray[np.int64]
    seconds: NDArray[np.float64]
    trace: Trace
    valid_step: NDArray[np.int64]
    valid_loss: NDArray[np.float64]


@partial(jax.jit, static_argnames=("loss_fn", "sample", "optimizer", "n_steps"), donate_argnames=("state",))
def _run(
    state: TrainState,
    data: Any,
    key: PRNGKeyArray,
    numbers: Numbers,
    *,
    loss_fn: LossFn,
    sample: Sampler,
    optimizer: Optimizer,
    n_steps: int,
) -> tuple[TrainState, Trace]:
    """Take ``n_steps`` steps; a step's randomness is a function of the run's key and the step's number alone."""

    def gradient(params: Any, key: PRNGKeyArray) -> tuple[Array, Any]:
        batch_key, loss_key = jax.random.split(key)
        (loss, _), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, sample(data, batch_key), loss_key)
        return loss, grads

    def step(state: TrainState, _: None) -> tuple[TrainState, Trace]:
        own = jax.random.fold_in(key, state.step)
        if optimizer.accumulate == 1:
            loss, grads = gradient(state.params, own)
        else:
            keys = jax.random.split(own, optimizer.accumulate)
            losses, parts = jax.lax.map(lambda key: gradient(state.params, key), keys)
            loss, grads = losses.mean(), jax.tree.map(lambda g: g.mean(axis=0), parts)
        norm = optax.tree.norm(grads)
        params, opt_state = optimizer.update(grads, norm, state.opt_state, state.params, state.step, numbers)
        average = state.average
        if optimizer.average is not None:
            keep = optimizer.average
            average = jax.tree.map(lambda a, p: keep * a + (1 - keep) * p, average, params)
        fine = jnp.isfinite(loss) & jnp.isfinite(norm)
        changed = (params, opt_state, average)
        before = (state.params, state.opt_state, state.average)
        params, opt_state, average = jax.tree.map(partial(jnp.where, fine), changed, before)
        bad = (~fine).astype(jnp.int32)
        counts = state.step + 1, state.skipped + bad, (state.streak + 1) * bad
        new = TrainState(params, opt_state, average, *counts)
        layers = jnp.stack([optax.tree.norm(group) for group in _groups(grads).values()])
        return new, Trace(loss, norm, optimizer.rate(state.step, numbers), layers)

    return jax.lax.scan(step, state, None, length=n_steps)


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
    optimizer: Optimizer | None = None,
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
    optimizer : Optimizer, optional
        The optimizer.
    valid_batches : pytree, optional
        Validation batches stacked along a new first axis. Without them the last weights are the best.
    report : callable, optional
        Called after every chunk with a `Record`.

    Returns
    -------
    params : pytree
        Weights with the least validation loss (the last ones without validation).
    history : History
        What happened. After Ctrl-C its ``stop_reason`` is ``"interrupted"`` and the best weights so far are given.

    Raises
    ------
    TrainingDiverged
        If loss or gradient are not finite for too many steps in a row.
    CheckpointMismatch
        If the checkpoint folder belongs to another run.
    """
    optimizer = optimizer or Optimizer()
    began = time.perf_counter()
    run = _fresh(params, optimizer)
    reason: Literal["max_steps", "patience", "interrupted"] = "max_steps"
    with ExitStack() as stack:
        store = stack.enter_context(
            _checkpoints(training, optimizer, loss_fn, sample, params, data, valid_batches, key)
        )
        if store is not None:
            run = store.restore(run) or run
        write = stack.enter_context(_log(training.log, more=int(run.state.step) > 0))
        before, saved = float(run.seconds), int(run.state.step)
        try:
            while (done := int(run.state.step)) < training.max_steps:
                if training.patience is not None and run.stale >= training.patience:
                    reason = "patience"
                    break
                n_steps = min(training.eval_every, training.max_steps - done)
                numbers = optimizer.numbers(training.max_steps)
                numbers["learning_rate"] *= run.scale.astype(np.float32)
                state, trace = _run(
                    run.state, data, key, numbers,
                    loss_fn=loss_fn, sample=sample, optimizer=optimizer.structure, n_steps=n_steps,
                )  # fmt: skip
                trace = Trace(*(np.asarray(a, np.float64) for a in trace))
                run = run._replace(state=state, trace=Trace(*map(np.concatenate, zip(run.trace, trace, strict=True))))
                _check_finite(run, optimizer)
                weights = state.params if optimizer.average is None else state.average
                score = None
                if valid_batches is not None:
                    score = float(_evaluate(weights, valid_batches, loss_fn=loss_fn))
                run = _judged(run, weights, score, optimizer, training)
                run = run._replace(seconds=np.asarray(before + time.perf_counter() - began))
                if store is not None and (run.state.step - saved >= training.checkpoint_every or _ended(run, training)):
                    saved = int(run.state.step)
                    store.save(saved, run)
                record = _record(run, trace, score)
                for tell in (write, report):
                    if tell is not None:
                        tell(record)
        except KeyboardInterrupt:
            reason = "interrupted"
    return run.best, _history(run, params, reason)


def _fresh(params: Any, optimizer: Optimizer) -> Run:
    """A run before its first step; the caller's arrays are copied, for the step takes over those it is given."""
    copy = partial(jax.tree.map, jnp.array)
    average = () if optimizer.average is None else copy(params)
    zero = [jnp.zeros((), jnp.int32) for _ in range(3)]
    state = TrainState(copy(params), optimizer.init(params), average, *zero)
    empty, none = np.zeros(0), np.zeros((), np.int64)
    trace = Trace(empty, empty, empty, np.zeros((0, len(_groups(params)))))
    inf, one, began = np.asarray(np.inf), np.ones(()), np.zeros(())
    return Run(state, copy(params), none, inf, one, none, began, trace, np.zeros(0, np.int64), empty)


def _judged(run: Run, weights: Any, score: float | None, optimizer: Optimizer, training: Training) -> Run:
    """The run with its validation loss taken into account."""
    done = np.asarray(run.state.step, np.int64)
    better = score is None or score < run.best_loss
    stale = np.asarray(0 if better else run.stale + 1, np.int64)
    scale = run.scale
    if optimizer.schedule == "plateau" and stale and stale % max(1, (training.patience or 8) // 2) == 0:
        scale = scale / 2
    if score is not None:
        run = run._replace(
            valid_step=np.append(run.valid_step, done), valid_loss=np.append(run.valid_loss, np.float64(score))
        )
    if better:
        best_loss = np.asarray(np.inf if score is None else score)
        run = run._replace(best=jax.tree.map(jnp.array, weights), best_step=done, best_loss=best_loss)
    return run._replace(stale=stale, scale=scale)


def _ended(run: Run, training: Training) -> bool:
    patient = training.patience is None or run.stale < training.patience
    return not patient or int(run.state.step) >= training.max_steps


def _record(run: Run, trace: Trace, score: float | None) -> Record:
    fine = trace.loss[np.isfinite(trace.loss)]
    loss = float(fine.mean()) if len(fine) else float("nan")
    rate, norm = float(trace.rate[-1]), float(trace.norm[-1])
    return Record(int(run.state.step), loss, score, rate, norm, int(run.state.skipped), float(run.seconds))


def _history(run: Run, params: Any, reason: Literal["max_steps", "patience", "interrupted"]) -> History:
    return History(
        train_loss=run.trace.loss,
        gradient_norm=run.trace.norm,
        learning_rate=run.trace.rate,
        layer_norm=run.trace.layers,
        valid_step=run.valid_step,
        valid_loss=run.valid_loss,
        best_step=int(run.best_step),
        seconds=float(run.seconds),
        stop_reason=reason,
        layers=tuple(_groups(params)),
        skipped=int(run.state.skipped),
    )


def _groups(params: Any) -> dict[str, list[Array]]:
    """Leaves by the name of what holds them: ``encoder/layer_0`` for its kernel, its recurrent weights, its bias."""
    groups: dict[str, list[Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        names = [jax.tree_util.keystr((entry,), simple=True) for entry in path[:-1]]
        groups.setdefault("/".join(names).removeprefix("params/") or "weights", []).append(leaf)
    return groups


def _check_finite(run: Run, optimizer: Optimizer) -> None:
    """Raise if the last steps were all skipped."""
    if int(run.state.streak) < optimizer.max_skipped:
        return
    at = int(run.state.step) - int(run.state.streak)
    loss, norm, rate = (array[at - 1] if at else np.nan for array in run.trace[:3])
    before = f"the loss was {loss:.4g} and the gradient norm {norm:.4g} the step before" if at else "no step before"
    raise TrainingDiverged(
        f"loss or gradient are not finite at step {at} and the {int(run.state.streak) - 1} after it ({before}, at a "
        f"learning rate of {rate:.3g}). Likely causes: a learning rate too high (it is {optimizer.learning_rate:g}), "
        f"clipping off (clip_norm={optimizer.clip_norm}), or values of extreme size without a scaling transform. Try a "
        "tenth of the learning rate, and clip_norm=1.0."
    )


@contextmanager
def _checkpoints(
    training: Training,
    optimizer: Optimizer,
    loss_fn: LossFn,
    sample: Sampler,
    params: Any,
    data: Any,
    valid_batches: Any,
    key: PRNGKeyArray,
) -> Iterator[Checkpoints | None]:
    if training.checkpoint is None:
        yield None
        return
    settings = asdict(training)
    for name in ("progress", "log", "checkpoint", "checkpoint_every"):  # these do not change what is learned
        del settings[name]
    if optimizer.schedule in ("constant", "plateau"):
        del settings["max_steps"]  # a longer run begins with the steps of a shorter one
    identity = {
        "the model": repr(loss_fn),
        "the windows": repr(sample),
        "the optimizer": repr(optimizer),
        "the training settings": json.dumps(settings),
        "the first weights": fingerprint(params),
        "the seed": fingerprint(jax.random.key_data(key)),
        "the data": fingerprint((data, valid_batches)),
    }
    store = Checkpoints(training.checkpoint, identity)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _log(path: str | None, *, more: bool) -> Iterator[Report | None]:
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
