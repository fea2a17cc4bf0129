"""The loop on problems that are no forecasts: it takes any loss and any sampler."""

import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pandas as pd
import pytest

from tsrnn.training import loop
from tsrnn.training.checkpoint import CheckpointMismatch
from tsrnn.training.log import Record
from tsrnn.training.loop import train, train_members
from tsrnn.training.optimizer import Optimizer
from tsrnn.training.progress import progress_bar
from tsrnn.training.state import Training, TrainingDiverged

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Quadratic:
    centre: float = 3.0

    def __call__(self, params, batch, key):
        return ((params - self.centre) ** 2 * (1 + 0 * batch)).mean(), None


@dataclass(frozen=True)
class Noise:
    def __call__(self, data, key):
        return data + jax.random.normal(key, data.shape)


def run(loss=Quadratic(), valid=None, report=None, seed=0, optimizer=Optimizer(learning_rate=0.1), **settings):  # noqa: B008
    training = Training(**{"max_steps": 200, "eval_every": 20} | settings)
    return train(
        loss, Noise(), jnp.zeros(4), jnp.ones(4), key=jax.random.key(seed), training=training, optimizer=optimizer,
        valid_batches=valid, report=report,
    )  # fmt: skip


def test_a_quadratic_is_minimized():
    params, history = run()
    np.testing.assert_allclose(params, 3.0, atol=1e-2)
    assert history.steps == 200
    assert history.best_step == 200
    assert history.train_loss[-1] < 1e-3 < history.train_loss[0]
    assert history.stop_reason == "max_steps"


def test_a_short_last_chunk_completes_the_steps():
    assert run(max_steps=50, eval_every=20)[1].steps == 50


@dataclass(frozen=True)
class Overfits:
    """The training loss falls towards 3; the validation loss is least at 1, on the way."""

    def __call__(self, params, batch, key):
        return ((params - jnp.where(batch > 50, 1.0, 3.0)) ** 2).mean(), None


def test_early_stopping_restores_the_best_weights():
    params, history = run(
        Overfits(),
        valid=jnp.full((2, 4), 100.0),
        patience=3,
        optimizer=Optimizer(learning_rate=0.02, schedule="constant"),
        eval_every=5,
        max_steps=500,
    )
    assert history.stop_reason == "patience"
    assert history.steps == history.best_step + 3 * 5
    assert history.valid_loss.min() == history.valid_loss[history.valid_step == history.best_step][0]
    np.testing.assert_allclose(params, 1.0, atol=0.1)


def test_the_same_key_gives_the_same_bits_and_chunks_do_not_matter():
    (a, _), (b, _), (c, _) = run(Noisy()), run(Noisy()), run(Noisy(), seed=1)
    (d, _) = run(Noisy(), eval_every=40)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, d)
    assert (a != c).any()


def test_a_loss_that_is_not_finite_names_step_and_remedy():
    @dataclass(frozen=True)
    class Explodes:
        def __call__(self, params, batch, key):
            return jnp.where(params[0] > 0.3, jnp.nan, -params.sum()), None

    with pytest.raises(
        TrainingDiverged, match=r"not finite at step [2-9] .*learning rate too high \(it is 0\.1\).*Try a tenth"
    ):
        run(Explodes())


def test_ctrl_c_keeps_the_best_weights():
    def report(record):
        if record.step == 60:
            raise KeyboardInterrupt

    params, history = run(report=report)
    assert (history.stop_reason, history.steps, history.best_step) == ("interrupted", 60, 60)
    assert (np.asarray(params) > 0.5).all()


def test_ctrl_c_amid_a_chunk_of_steps_keeps_those_before_it(monkeypatch):
    """The state is handed over to the steps, and is gone when they are broken off."""
    scores, score = [], loop._score

    def stop_in_the_third(*arguments):
        scores.append(score(*arguments))
        if len(scores) == 3:
            raise KeyboardInterrupt
        return scores[-1]

    monkeypatch.setattr(loop, "_score", stop_in_the_third)
    params, history = run(eval_every=20, max_steps=100)
    assert (history.stop_reason, history.steps, history.best_step) == ("interrupted", 40, 40)
    assert (np.asarray(params) > 0.3).all()


def test_equal_losses_share_one_trace():
    traces = []

    @dataclass(frozen=True)
    class Counted:
        def __call__(self, params, batch, key):
            traces.append(1)
            return (params**2).mean(), None

    run(Counted())
    assert len(traces) == 1  # one for the whole run: value_and_grad traces the loss once
    run(Counted())
    run(Counted(), optimizer=Optimizer(learning_rate=0.3, weight_decay=0.1, warmup_steps=7), max_steps=100)
    assert len(traces) == 1  # an equal loss on data of equal shape reuses the program, whatever the numbers


def test_compilation_is_a_part_of_the_time_and_paid_once():
    @dataclass(frozen=True)
    class Nested:
        def __call__(self, params, batch, key):
            return jax.jit(lambda x: jax.jit(jnp.sin)(x).sum())(params), None

    (_, first), (_, again) = run(Nested()), run(Nested())
    assert 0 < first.compile_seconds < first.seconds
    assert again.compile_seconds == 0
    assert str(again) == f"200 steps in {again.seconds:.1f} s"


def test_the_bar_waits_for_compilation_and_leaves_two_lines(monkeypatch, capsys):
    _, history = run(max_steps=20)
    loud = Training(max_steps=20, progress=True)
    record = Record(20, 0.5, None, 0.1, 1.0, 0, 2.0)
    with progress_bar(loud, "GRU", lambda: "the data") as progress:
        progress.report(record)
        progress.done(history)
    assert capsys.readouterr().err.split("\n")[:2] == ["the data", f"GRU: {history}"]  # no terminal: what stays
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar(loud, "GRU", lambda: "the data") as progress:
        assert "compiling ..." in capsys.readouterr().err
        progress.report(record)
        progress.done(history)
    drawn = capsys.readouterr().err
    assert "compiling" not in drawn[drawn.index("loss 0.5000") :]
    assert drawn.endswith("\x1b[2K")  # the bar is wiped away


def test_epochs_are_for_those_who_count_windows():
    with pytest.raises(ValueError, match="max_epochs is for a Forecaster"):
        run(max_epochs=2.0)


@pytest.mark.parametrize(
    "bad",
    [
        {"max_steps": 0},
        {"validation": 1.0},
        {"patience": 0},
        {"log": "run.txt"},
        {"log": ("x.csv", "mlflow:")},
        {"max_epochs": 0.0},
    ],
)
def test_settings_are_checked(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Training(**bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"learning_rate": 0.0},
        {"schedule": "sine"},
        {"rule": "sdg"},
        {"average": 1.0},
        {"accumulate": 0},
        {"clip_norm": -1.0},
    ],
)
def test_the_optimizer_is_checked(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Optimizer(**bad)


def test_clipping_bounds_the_first_update():
    @dataclass(frozen=True)
    class Steep:
        def __call__(self, params, batch, key):
            return 1e6 * params.sum(), None

    _, history = run(Steep(), max_steps=1)
    np.testing.assert_allclose(history.gradient_norm, 2e6)


@dataclass(frozen=True)
class Noisy:
    def __call__(self, params, batch, key):
        return ((params - batch) ** 2).mean(), None


@pytest.mark.parametrize("rule", ["adam", "nadam", "sgd", "lion", "rmsprop", optax.adam(0.1)])
def test_every_rule_minimizes(rule):
    params, _ = run(optimizer=Optimizer(rule, learning_rate=0.05), max_steps=300, eval_every=100)
    np.testing.assert_allclose(params, 3.0, atol=0.05)


def test_adam_is_that_of_optax():
    rate = optax.cosine_decay_schedule(0.1, 60, 0.02)
    oracle = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=0.01))
    ours, _ = run(Noisy(), max_steps=60, optimizer=Optimizer(learning_rate=0.1, weight_decay=0.01))
    theirs, history = run(Noisy(), max_steps=60, optimizer=Optimizer(oracle, clip_norm=None))
    assert np.isnan(history.learning_rate).all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize(
    ("schedule", "at"),
    [
        ("constant", {0: 1.0, 100: 1.0}),
        ("plateau", {0: 1.0, 100: 1.0}),
        ("cosine", {0: 1.0, 50: 0.51, 100: 0.02, 150: 0.02}),
        ("linear", {0: 1.0, 50: 0.51, 100: 0.02}),
        ("one_cycle", {0: 0.04, 30: 1.0, 65: 0.5, 100: 0.0}),
    ],
)
def test_schedules(schedule, at):
    optimizer = Optimizer(learning_rate=1.0, schedule=schedule)
    rates = [float(optimizer.rate(jnp.asarray(step), optimizer.numbers(100))) for step in at]
    np.testing.assert_allclose(rates, list(at.values()), atol=1e-6)


def test_the_rate_warms_up():
    optimizer = Optimizer(learning_rate=1.0, schedule="constant", warmup_steps=4)
    rates = [float(optimizer.rate(jnp.asarray(step), optimizer.numbers(100))) for step in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_a_plateau_halves_the_rate():
    optimizer = Optimizer(learning_rate=0.02, schedule="plateau")
    _, history = run(Overfits(), valid=jnp.full((2, 4), 100.0), patience=4, optimizer=optimizer, eval_every=5)
    after = history.learning_rate[history.best_step :]
    np.testing.assert_allclose(after.reshape(4, 5)[:, 0], [0.02, 0.02, 0.01, 0.01])


def test_accumulated_gradients_are_those_of_a_larger_batch():
    @dataclass(frozen=True)
    class Rows:
        n: int

        def __call__(self, data, key):
            return jnp.stack([data] * self.n)

    @dataclass(frozen=True)
    class Square:
        def __call__(self, params, batch, key):
            return ((params[None] - batch) ** 2).mean(), None

    training = Training(max_steps=20, eval_every=10)
    one, many = (
        train(Square(), Rows(n), jnp.zeros(4), jnp.ones(4), key=jax.random.key(0), training=training, optimizer=o)[0]
        for n, o in [(6, Optimizer()), (2, Optimizer(accumulate=3))]
    )
    np.testing.assert_allclose(one, many, rtol=1e-6)


def test_averaged_weights_are_what_is_kept():
    optimizer = Optimizer("sgd", learning_rate=0.01, schedule="constant", average=0.9)
    averaged, history = run(Quadratic(), optimizer=optimizer, max_steps=2, eval_every=1)
    plain = [
        run(Quadratic(), optimizer=Optimizer("sgd", learning_rate=0.01, schedule="constant"), max_steps=n)[0]
        for n in (1, 2)
    ]
    want = 0.9 * (0.9 * 0 + 0.1 * plain[0]) + 0.1 * plain[1]
    np.testing.assert_allclose(averaged, want, rtol=1e-6)
    assert history.best_step == 2


@dataclass(frozen=True)
class Hiccups:
    """Not finite while the batch's mean is above a line."""

    line: float

    def __call__(self, params, batch, key):
        loss = ((params - 3) ** 2).mean()
        return jnp.where(batch.mean() > self.line, jnp.nan, 1.0) * loss, None


def test_steps_that_are_not_finite_are_skipped_and_counted():
    params, history = run(Hiccups(1.5))
    assert history.skipped == (~np.isfinite(history.train_loss)).sum() > 0
    np.testing.assert_allclose(params, 3.0, atol=1e-2)


def test_history_names_layers_and_draws_itself():
    @dataclass(frozen=True)
    class Layers:
        def __call__(self, params, batch, key):
            return (params["params"]["a"]["w"] ** 2).sum() + 2 * params["params"]["b"]["c"]["w"].sum(), None

    params = {"params": {"a": {"w": jnp.ones(3)}, "b": {"c": {"w": jnp.ones(4)}}}}
    training = Training(max_steps=3, eval_every=3)
    _, history = train(Layers(), Noise(), params, jnp.ones(4), key=jax.random.key(0), training=training)
    assert history.layers == ("a", "b/c")
    np.testing.assert_allclose(history.layer_norm[0], [2 * 3**0.5, 4.0])
    np.testing.assert_allclose(history.gradient_norm**2, (history.layer_norm**2).sum(axis=1), rtol=1e-6)
    assert [ax.get_title() for ax in history.plot()] == ["loss", "gradient norm before clipping", "learning rate"]
    plt.close("all")


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_a_log_has_a_row_for_each_evaluation(tmp_path, name):
    run(max_steps=60, log=str(tmp_path / name))
    read = pd.read_csv if name.endswith("csv") else partial(pd.read_json, lines=True)
    frame = read(tmp_path / name)
    assert frame["step"].tolist() == [20, 40, 60]
    assert frame["skipped"].tolist() == [0, 0, 0]
    assert frame["train_loss"].is_monotonic_decreasing


class TestMembers:
    OPTIMIZERS = tuple(Optimizer(learning_rate=r, weight_decay=d) for r, d in [(0.1, 0.0), (0.02, 0.0), (0.05, 0.1)])

    @pytest.mark.parametrize("loss", [Noisy(), Overfits()])
    def test_members_are_single_runs(self, loss):
        training = Training(max_steps=200, eval_every=5, patience=3)
        valid = jnp.full((2, 4), 100.0 if isinstance(loss, Overfits) else 1.0)
        keys = [jax.random.key(i) for i in range(3)]
        start = [jnp.full(4, float(i)) for i in range(3)]
        members = train_members(
            loss,
            Noise(),
            start,
            jnp.ones(4),
            keys=keys,
            training=training,
            optimizers=self.OPTIMIZERS,
            valid_batches=valid,
        )
        for k, (params, history) in enumerate(members):
            alone, own = train(
                loss, Noise(), start[k], jnp.ones(4), key=keys[k], training=training, optimizer=self.OPTIMIZERS[k],
                valid_batches=valid,
            )  # fmt: skip
            np.testing.assert_allclose(params, alone, rtol=1e-5)
            np.testing.assert_allclose(history.train_loss, own.train_loss, rtol=1e-4)
            assert (history.best_step, history.stop_reason, history.steps) == (
                own.best_step,
                own.stop_reason,
                own.steps,
            )
        assert len({history.steps for _, history in members}) > 1  # each stopped in its own time

    def test_what_members_cannot_have(self):
        keys, start = [jax.random.key(0)] * 2, [jnp.zeros(4)] * 2
        args = (Quadratic(), Noise(), start, jnp.ones(4))
        with pytest.raises(ValueError, match="differ only in"):
            train_members(*args, keys=keys, training=Training(), optimizers=[Optimizer(), Optimizer("sgd")])
        with pytest.raises(ValueError, match="single runs"):
            train_members(*args, keys=keys, training=Training(log="x.csv"))


class TestCheckpoints:
    SETTINGS = {"max_steps": 100, "eval_every": 10, "checkpoint_every": 10}  # noqa: RUF012
    VALID = jnp.full((2, 4), 1.0)

    def run(self, folder, **options):
        return run(Noisy(), valid=self.VALID, checkpoint=str(folder), **self.SETTINGS | options)

    def stop_at(self, step):
        def report(record):
            if record.step == step:
                raise KeyboardInterrupt

        return report

    def assert_same(self, one, other):
        np.testing.assert_array_equal(one[0], other[0])
        for name in ("train_loss", "gradient_norm", "learning_rate", "layer_norm", "valid_step", "valid_loss"):
            np.testing.assert_array_equal(getattr(one[1], name), getattr(other[1], name))
        assert (one[1].best_step, one[1].stop_reason) == (other[1].best_step, other[1].stop_reason)

    def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(self, tmp_path):
        whole = self.run(tmp_path / "whole")
        assert self.run(tmp_path / "parts", report=self.stop_at(30))[1].stop_reason == "interrupted"
        assert self.run(tmp_path / "parts", report=self.stop_at(70))[1].steps == 70
        self.assert_same(self.run(tmp_path / "parts"), whole)
        self.assert_same(self.run(tmp_path / "parts"), whole)  # finished: nothing is trained any more
        self.assert_same(run(Noisy(), valid=self.VALID, **self.SETTINGS), whole)

    def test_a_longer_run_begins_with_a_shorter_one(self, tmp_path):
        constant = Optimizer(learning_rate=0.1, schedule="constant", average=0.9)
        self.run(tmp_path, optimizer=constant, max_steps=50)
        self.assert_same(
            self.run(tmp_path, optimizer=constant), run(Noisy(), valid=self.VALID, optimizer=constant, **self.SETTINGS)
        )

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"seed": 1}, "the seed"),
            ({"optimizer": Optimizer(learning_rate=0.2)}, "the optimizer"),
            ({"max_steps": 200}, "the training settings"),
            ({"loss": Quadratic()}, "the model"),
            ({"valid": VALID + 1}, "the data"),
        ],
    )
    def test_another_run_is_refused(self, tmp_path, change, named):
        self.run(tmp_path)
        options = {"loss": Noisy(), "valid": self.VALID, "checkpoint": str(tmp_path)} | self.SETTINGS | change
        with pytest.raises(CheckpointMismatch, match=f"another run: {named} changed since"):
            run(**options)

    @pytest.mark.slow
    def test_sigkill_at_any_moment(self, tmp_path):
        """A child process trains and kills itself without warning, again and again, until it gets through."""
        deaths = 0
        for patience in range(60):
            child = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "parts"), str(patience)], cwd=ROOT)
            if child.returncode == 0:
                break
            assert child.returncode == -signal.SIGKILL
            deaths += 1
        assert deaths >= 2
        subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "whole"), "1000"], cwd=ROOT, check=True)
        parts, whole = (np.load(tmp_path / f"{name}.npy") for name in ("parts", "whole"))
        np.testing.assert_array_equal(parts, whole)


CHILD = """
import os, signal, sys, threading, time
import numpy as np
from tests.test_training import Noisy, run
from tsrnn.training.optimizer import Optimizer
folder, patience = sys.argv[1], float(sys.argv[2])
def die(record, first=[]):
    if not first:
        first.append(1)  # compiled: the clock starts
        threading.Timer(0.01 + 0.05 * patience, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
params, _ = run(Noisy(), max_steps=20000, eval_every=100, checkpoint=folder, checkpoint_every=100, report=die)
np.save(folder + ".npy", params)
os._exit(0)
"""
