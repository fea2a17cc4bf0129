"""The training loop: many steps in one dispatch, the host woken between chunks.

It knows no forecaster. It takes a loss ``(params, batch, key) -> (loss, aux)`` and a sampler ``(data, key) ->
batch``, both hashable values: equal losses and samplers on data of equal shapes share one compiled program, across
fits, across clones, and across learning rates and other numbers that the loss is given as ``settings``. With a
``carry``, ``aux`` is what the next step's sampler is given: truncated backpropagation through time.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from tsrnn.training.checkpoint import Checkpoints, fingerprint
from tsrnn.training.compilation import compile_seconds, make_room
from tsrnn.training.devices import batch_mesh, batches, check_alike, everywhere, is_first, member_mesh, shared, using
from tsrnn.training.log import Record, Report, open_log
from tsrnn.training.optimizer import Numbers, Optimizer
from tsrnn.training.state import History, StopReason, Training, TrainingDiverged, TrainState
from tsrnn.training.steps import LossFn, Sampler, Trace, evaluate, given, groups, padded, run_members, run_steps

__all__ = ["train", "train_members"]


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
    carry: Any | None = None,
    settings: Any | None = None,
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
        Settings; its ``devices`` share the rows of each batch, which is the first axis of all its arrays.
    optimizer : Optimizer, optional
        The optimizer.
    valid_batches : pytree, optional
        Validation batches stacked along a new first axis. Without them the last weights are the best. In a run with a
        carry each of them holds the state that it begins from, as the sampler's batches do.
    report : callable, optional
        Called after every chunk with a `Record`.
    carry : pytree of arrays, optional
        What the first batch is drawn with: the sampler is then ``(data, key, carry) -> batch``, and ``aux``, of the
        same shapes and types, is the carry of the next batch. No gradient flows through it; a step that is skipped
        keeps the old one; accumulated batches pass it on; checkpoints hold it.
    settings : pytree of arrays, optional
        Numbers that the loss reads and does not learn, a dropout rate for instance: the loss is then ``(params, batch,
        key, settings) -> (loss, aux)``. Other numbers do not compile again.

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
    TypeError
        If ``aux`` is not like the carry.
    CheckpointMismatch
        If the checkpoint folder belongs to another run.
    ValueError
        If the devices asked for cannot share a batch evenly, or several processes hold different data.

    Examples
    --------
    One series in chunks of eight steps. The carry is the next chunk's place and the hidden state there, which goes on
    from chunk to chunk while gradients stop, and is zero where the series begins anew.

    >>> def chunk(series, key, carry):
    ...     at, h = carry
    ...     return jax.lax.dynamic_slice(series, (at,), (9,)), at, jnp.where(at == 0, 0, h)
    >>> def loss(params, batch, key):
    ...     xs, at, h = batch
    ...     step = lambda h, x: (jnp.tanh(params["w"] * h + params["u"] * x),) * 2
    ...     h, hs = jax.lax.scan(step, h, xs[:-1])
    ...     return ((hs - xs[1:]) ** 2).mean(), ((at + 8) % 192, h)
    >>> params, start = {"w": jnp.zeros(()), "u": jnp.zeros(())}, (jnp.zeros((), jnp.int32), jnp.zeros(()))
    >>> run = {"training": Training(max_steps=200), "optimizer": Optimizer(learning_rate=0.01), "carry": start}
    >>> series = 0.5 * jnp.sin(jnp.arange(201) / 5)
    >>> params, history = train(loss, chunk, params, series, key=jax.random.key(0), **run)
    >>> bool(history.train_loss[-24:].mean() < 0.2 * history.train_loss[:24].mean())
    True
    """
    optimizer = optimizer or Optimizer()
    check_alike((params, data))
    make_room()
    began, compiling = time.perf_counter(), compile_seconds()
    run = _fresh(params, optimizer, training, carry)
    stopped = False
    arrays = {
        "the first weights": params,
        "the seed": jax.random.key_data(key),
        "the data": (data, valid_batches),
        "the first carry": carry,
        "the settings of the loss": settings,
    }
    with ExitStack() as stack:
        store = stack.enter_context(_checkpoints(training, optimizer, loss_fn, sample, arrays))
        if store is not None:
            run = store.restore(run) or run
        stack.enter_context(
            using(batch_mesh(training.devices, partial(jax.eval_shape, sample, data, key, *given(carry))))
        )
        run = run._replace(state=everywhere(run.state))
        data, valid = everywhere(data), _laid_out(valid_batches)
        parts = {"loss": loss_fn, "windows": sample, "optimizer": optimizer, "training": training}
        logs = [
            stack.enter_context(open_log(log, done=int(run.state.step), parts=parts, folder=training.checkpoint))
            for log in (training.logs if is_first() else ())
        ]
        before, saved = float(run.seconds), int(run.state.step)
        done = saved, int(run.state.skipped)
        try:
            while not _ended(run, training):
                done = int(run.state.step), int(run.state.skipped)
                n_steps = min(training.eval_every, training.max_steps - done[0])
                state, trace = run_steps(
                    run.state, data, key, _numbers(run, optimizer, training), settings,
                    loss_fn=loss_fn, sample=sample, optimizer=optimizer.structure, n_steps=n_steps,
                )  # fmt: skip
                score = _score(loss_fn, _weights(state, optimizer), valid, settings)
                run = _advanced(run, state, trace, score, optimizer, training)
                run = run._replace(seconds=np.asarray(before + time.perf_counter() - began))
                record = _record(run, n_steps, score)
                for write in logs:  # before the checkpoint, from which on nothing is written again
                    write(record)
                if store is not None and (run.state.step - saved >= training.checkpoint_every or _ended(run, training)):
                    saved = int(run.state.step)
                    store.save(saved, run)
                if report is not None:
                    report(record)
        except KeyboardInterrupt:
            stopped = True
            if run.state.step.is_deleted():  # handed to a chunk of steps that does not count
                step, skipped = map(jnp.asarray, done)
                run = run._replace(state=run.state._replace(step=step, skipped=skipped))
    return run.best, _history(run, training, stopped, compile_seconds() - compiling)


def train_members(
    loss_fn: LossFn,
    sample: Sampler,
    params: Sequence[Any],
    data: Any,
    *,
    keys: Sequence[PRNGKeyArray],
    training: Training,
    optimizers: Sequence[Optimizer] | None = None,
    valid_batches: Any | None = None,
    carry: Any | None = None,
    settings: Sequence[Any] | None = None,
    own_data: Sequence[Any] | None = None,
) -> list[tuple[Any, History]]:
    """Train several members as one program: of other seeds, data, learning rates, weight decays, settings of the loss.

    Each member stops by its own patience and keeps its own best weights, as if it had been trained alone with its key;
    the numbers agree to rounding. A member that has stopped is carried along until the last one has.

    Parameters
    ----------
    loss_fn, sample, data, training, valid_batches
        As in `train`; ``log`` and ``checkpoint`` are for single runs.
    params : sequence of K pytrees
        Initial weights of each member.
    keys : sequence of K keys
        Source of each member's randomness.
    optimizers : sequence of K Optimizer, optional
        They may differ in learning rate, weight decay and warm-up.
    carry : pytree of arrays, optional
        What all members begin with; from then on each has its own.
    settings : sequence of K pytrees of arrays, optional
        Numbers that the loss of each member reads.
    own_data : sequence of K pytrees of arrays, optional
        What each member draws from, instead of ``data``, in arrays of equal shapes. ``valid_batches`` then are a
        sequence too.

    Returns
    -------
    list of (params, history)
        One for each member. After Ctrl-C the members not finished are ``"interrupted"``.

    Raises
    ------
    ValueError
        If the optimizers differ in more, or ``training`` asks for a log or checkpoints.
    TrainingDiverged
        If loss or gradient of a member are not finite for too many steps in a row.
    """
    each, own_settings = list(optimizers or [Optimizer()] * len(keys)), list(settings or [None] * len(keys))
    if len({o.structure for o in each}) != 1 or len({len(part) for part in (params, keys, each, own_settings)}) != 1:
        raise ValueError("members need one set of weights, key, optimizer and settings each, and optimizers that "
            "differ only in learning_rate, weight_decay and warmup_steps.")  # fmt: skip
    if training.log is not None or training.checkpoint is not None:
        raise ValueError("log and checkpoint are for single runs; train the members one by one, or without them.")
    check_alike((params, data, own_data))
    make_room()
    began, compiling = time.perf_counter(), compile_seconds()
    runs = [_fresh(p, optimizer, training, carry) for p, optimizer in zip(params, each, strict=True)]
    stopped, done = False, 0
    try:
        with using(member_mesh(training.devices, len(runs))):
            state, own_keys, stacked = shared([run.state for run in runs]), shared(keys), shared(own_settings)
            if own_data is None:
                data, own, valid = everywhere(data), None, [_laid_out(valid_batches)] * len(runs)
            else:
                data, own, valid = None, shared(own_data), [*map(_laid_out, valid_batches or [None] * len(runs))]
            while done < training.max_steps and not all(_ended(run, training) for run in runs):
                n_steps = min(training.eval_every, training.max_steps - done)
                numbers = shared([_numbers(run, o, training) for run, o in zip(runs, each, strict=True)])
                state, traces = run_members(
                    state, data, own_keys, numbers, stacked, own,
                    loss_fn=loss_fn, sample=sample, optimizer=each[0].structure, n_steps=n_steps,
                )  # fmt: skip
                done += n_steps
                seen = everywhere((state, traces))
                for k, run in enumerate(runs):
                    if not _ended(run, training):
                        now, trace = (jax.tree.map(lambda a, k=k: a[k], tree) for tree in seen)
                        score = _score(loss_fn, _weights(now, each[k]), valid[k], own_settings[k])
                        run = _advanced(run, now, trace, score, each[k], training)
                        runs[k] = run._replace(seconds=np.asarray(time.perf_counter() - began))
    except KeyboardInterrupt:
        stopped = True
    compiled = compile_seconds() - compiling
    return [(run.best, _history(run, training, stopped, compiled)) for run in runs]


def _fresh(params: Any, optimizer: Optimizer, training: Training, carry: Any) -> Run:
    """A run before its first step; the caller's arrays are copied, for the step takes over those it is given."""
    if training.max_epochs is not None:
        raise ValueError("max_epochs is for a Forecaster, which counts its windows; give max_steps, or in_steps(...).")
    copy = partial(jax.tree.map, jnp.array)
    average = () if optimizer.average is None else copy(params)
    step, skipped, streak = (jnp.zeros((), jnp.int32) for _ in range(3))
    state = TrainState(copy(params), optimizer.init(params), average, step, skipped, streak, copy(carry))
    empty, none = np.zeros(0), np.zeros((), np.int64)
    trace = Trace(empty, empty, empty, np.zeros((0, len(groups(params)))))
    inf, one, began = np.asarray(np.inf), np.ones(()), np.zeros(())
    return Run(state, copy(params), none, inf, one, none, began, trace, np.zeros(0, np.int64), empty)


def _weights(state: TrainState, optimizer: Optimizer) -> Any:
    """What is evaluated and kept."""
    return state.params if optimizer.average is None else state.average


def _laid_out(valid_batches: Any) -> tuple[Any, Any] | None:
    """Validation batches as `evaluate` takes them, on the devices."""
    if valid_batches is None:
        return None
    whole, n = padded(valid_batches)
    return batches(whole), n


def _score(loss_fn: LossFn, weights: Any, valid: tuple[Any, Any] | None, settings: Any) -> float | None:
    return None if valid is None else float(evaluate(weights, *valid, settings, loss_fn=loss_fn))


def _numbers(run: Run, optimizer: Optimizer, training: Training) -> Numbers:
    numbers = optimizer.numbers(training.max_steps)
    return numbers | {"learning_rate": numbers["learning_rate"] * jnp.asarray(run.scale, float)}


def _advanced(
    run: Run, state: TrainState, trace: Trace, score: float | None, optimizer: Optimizer, training: Training
) -> Run:
    """The run after another chunk: what it gave, whether it is the best so far, whether the rate goes down."""
    parts = (np.concatenate([old, np.asarray(new, np.float64)]) for old, new in zip(run.trace, trace, strict=True))
    run = run._replace(state=state, trace=Trace(*parts))
    _check_finite(run, optimizer)
    done = np.asarray(state.step, np.int64)
    better = score is None or score < run.best_loss
    stale = np.asarray(0 if better else run.stale + 1, np.int64)
    scale = run.scale
    if optimizer.schedule == "plateau" and stale and stale % max(1, (training.patience or 8) // 2) == 0:
        scale = scale / 2
    if score is not None:
        losses = np.append(run.valid_loss, np.float64(score))
        run = run._replace(valid_step=np.append(run.valid_step, done), valid_loss=losses)
    if better:
        best = jax.tree.map(jnp.array, _weights(state, optimizer))
        run = run._replace(best=best, best_step=done, best_loss=np.asarray(np.inf if score is None else score))
    return run._replace(stale=stale, scale=scale)


def _ended(run: Run, training: Training) -> bool:
    return _impatient(run, training) or int(run.state.step) >= training.max_steps


def _impatient(run: Run, training: Training) -> bool:
    return training.patience is not None and bool(run.stale >= training.patience)


def _record(run: Run, n_steps: int, score: float | None) -> Record:
    losses = run.trace.loss[-n_steps:]
    fine = losses[np.isfinite(losses)]
    loss = float(fine.mean()) if len(fine) else float("nan")
    rate, norm = float(run.trace.rate[-1]), float(run.trace.norm[-1])
    return Record(int(run.state.step), loss, score, rate, norm, int(run.state.skipped), float(run.seconds))


def _history(run: Run, training: Training, stopped: bool, compiled: float) -> History:
    over: StopReason = "patience" if _impatient(run, training) else "max_steps"
    return History(
        train_loss=run.trace.loss,
        gradient_norm=run.trace.norm,
        learning_rate=run.trace.rate,
        layer_norm=run.trace.layers,
        valid_step=run.valid_step,
        valid_loss=run.valid_loss,
        best_step=int(run.best_step),
        seconds=float(run.seconds),
        stop_reason=over if _ended(run, training) or not stopped else "interrupted",
        layers=tuple(groups(run.best)),
        skipped=int(run.state.skipped),
        compile_seconds=compiled,
    )


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
    training: Training, optimizer: Optimizer, loss_fn: LossFn, sample: Sampler, arrays: Mapping[str, Any]
) -> Iterator[Checkpoints | None]:
    if training.checkpoint is None:
        yield None
        return
    settings = asdict(training)
    for name in ("progress", "log", "checkpoint", "checkpoint_every", "devices"):  # these do not change what is learned
        del settings[name]
    if optimizer.schedule in ("constant", "plateau"):
        del settings["max_steps"]  # a longer run begins with the steps of a shorter one
    identity = {
        "the model": repr(loss_fn),
        "the windows": repr(sample),
        "the optimizer": repr(optimizer),
        "the training settings": json.dumps(settings),
    } | {name: fingerprint(tree) for name, tree in arrays.items()}
    store = Checkpoints(training.checkpoint, identity)
    try:
        yield store
    finally:
        store.close()
