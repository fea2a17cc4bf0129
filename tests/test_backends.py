"""Every road to the same recurrence: which is taken, and that each goes through whatever JAX does to programs."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn
from jax.extend.core import Primitive
from jax.interpreters import mlir

from tests.equations import CELLS, FAST, NATIVE, QUICK, RUNS, central_differences, close, draw, evaluate, loop, loss
from tsrnn.nn import derivatives
from tsrnn.nn.cells import LSTMCell
from tsrnn.nn.linear import MinGRUCell, MinLSTMCell
from tsrnn.nn.scan import choose, scan

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(params=[None, "not built"], ids=["kernels", "no-kernels"])
def missing(request, monkeypatch):
    """Whether the C++ kernels are missing; what is chosen and refused then needs none of them."""
    monkeypatch.setattr("tsrnn.nn.scan.why_not", lambda: request.param)
    return request.param


CHOICE = {
    # cell: on cpu without the kernels, gpu, gpu with padding, gpu in bfloat16, tpu
    "rnn": ["plain", "plain", "plain", "plain", "plain"],
    "rnn-relu": ["plain", "plain", "plain", "plain", "plain"],
    "gru": ["plain", "plain", "plain", "plain", "plain"],
    "gru-before": ["plain", "plain", "plain", "plain", "plain"],
    "lstm": ["derivative", "cudnn", "derivative", "derivative", "derivative"],
    "lstm-peepholes": ["plain", "plain", "plain", "plain", "plain"],
    "lstm-projection": ["plain", "plain", "plain", "plain", "plain"],
    "lstm-peepholes-projection": ["plain", "plain", "plain", "plain", "plain"],
    "slstm": ["plain", "plain", "plain", "plain", "plain"],
    "mingru": ["plain", "parallel", "parallel", "parallel", "parallel"],
    "minlstm": ["plain", "parallel", "parallel", "parallel", "parallel"],
}


@pytest.mark.parametrize("name", CELLS)
def test_the_choice_by_cell_platform_padding_and_dtype(name, missing):
    def chosen(platform, masked=False, dtype="float32"):
        return choose(CELLS[name], jnp.zeros((1, 2, 1), dtype), 4, masked=masked, platform=platform)

    ways = [chosen("cpu"), chosen("gpu"), chosen("gpu", masked=True), chosen("gpu", dtype="bfloat16"), chosen("tpu")]
    native = name in ("gru", "lstm") and not missing
    assert ways == ["native" if native else CHOICE[name][0], *CHOICE[name][1:]]


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize(
    ("shape", "hidden", "backend"),
    [((1, 64, 8), 4, "derivative"), ((1, 63, 8), 4, "plain"), ((512, 32, 8), 64, "derivative")],
)
def test_a_long_or_large_gru_has_its_derivative_by_hand(platform, shape, hidden, backend, missing):
    backend = "native" if platform == "cpu" and not missing else backend
    xs = jax.ShapeDtypeStruct(shape, jnp.float32)
    assert choose(CELLS["gru"], xs, hidden, masked=True, platform=platform) == backend


def test_the_forget_bias_is_no_reason_for_another_backend():
    assert choose(LSTMCell(forget_bias=3.0), jnp.zeros((1, 2, 1)), 4, masked=False, platform="gpu") == "cudnn"


def test_cudnn_is_not_for_rows_on_several_devices():
    with jax.set_mesh(jax.sharding.Mesh(jax.devices()[:1], ("batch",))):
        assert choose(LSTMCell(), jnp.zeros((1, 2, 1)), 4, masked=False, platform="gpu") == "derivative"


@pytest.mark.parametrize(
    ("name", "backend", "masked", "others"),
    [
        ("rnn", "derivative", False, "choose one of plain"),
        ("gru-before", "derivative", False, "choose one of plain"),
        ("lstm-peepholes", "derivative", False, "choose one of plain"),
        ("lstm-projection", "cudnn", False, "choose one of plain"),
        ("lstm", "parallel", False, "choose one of cudnn, (native, )?derivative, plain"),
        ("lstm", "cudnn", True, "on padded float32 inputs; choose one of (native, )?derivative, plain"),
        ("gru", "cudnn", False, "choose one of (native, )?derivative, plain"),
        ("gru-before", "native", False, "choose one of plain"),
        ("lstm-peepholes", "native", True, "choose one of plain"),
        ("slstm", "parallel", False, "choose one of plain"),
        ("mingru", "fast", False, "backend='fast' does not run MinGRUCell.* choose one of parallel, plain"),
    ],
)
def test_a_backend_that_would_compute_something_else_is_refused(name, backend, masked, others):
    problem = draw(CELLS[name]).astype(np.float32)
    with pytest.raises(ValueError, match=others):
        scan(CELLS[name], *problem, np.ones((3, 6), bool) if masked else None, backend=backend)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("name", "backend"), FAST)
def test_every_road_leads_where_the_plain_scan_does(name, backend, masked):
    with jax.enable_x64(True):
        cell, problem = CELLS[name], draw(CELLS[name])
        valid = np.random.default_rng(1).random((3, 6)) > 0.3 if masked else None
        want = evaluate(cell, problem, valid, backend="plain")
        close(evaluate(cell, problem, valid, backend=backend), want, rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 4, 6, 100])  # in stretches of 1; 1 and a rest; 2; all steps
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_the_derivative_in_stretches_equals_the_plain_one(name, rows, monkeypatch):
    monkeypatch.setattr(derivatives, "SMALL", 0)
    monkeypatch.setattr(derivatives, "ROWS", rows)
    with jax.enable_x64(True):
        cell, problem = CELLS[name], draw(CELLS[name])
        valid = np.random.default_rng(1).random((3, 6)) > 0.3
        # A function of its own, for the constants are no part of what `evaluate` remembers programs by.
        got = evaluate(cell, problem, valid, run=partial(scan), backend="derivative")
        close(got, evaluate(cell, problem, valid, backend="plain"), rtol=1e-12)


@pytest.mark.parametrize("batch", [2, 2000])
def test_the_derivative_in_stretches_keeps_less(batch, monkeypatch):
    cell, problem = CELLS["lstm"], draw(CELLS["lstm"], batch=batch, time=2000 // batch * 8 + 64).astype(np.float32)

    def memory(limit):
        monkeypatch.setattr(derivatives, "SMALL", limit)
        gradient = jax.grad(lambda p: scan(cell, *p, backend="derivative")[0][0].sum())
        return jax.jit(gradient).lower(problem).compile().memory_analysis().temp_size_in_bytes

    assert memory(0) < memory(2**40) / 2


def small(name):
    """A problem in float32 and a ragged mask, the same for all tests below, which then share what is compiled."""
    valid = np.array([[True, True, False, True], [False, True, True, True]])
    return draw(CELLS[name], batch=2, time=4, hidden=3).astype(np.float32), valid


@pytest.mark.parametrize(("name", "backend"), RUNS)
def test_members_under_vmap_equal_one_after_the_other(name, backend):
    cell, (problem, valid) = CELLS[name], small(name)
    members = jax.tree.map(lambda a: np.stack([a, 0.5 * a, -a]), problem.params)

    def gradient(p):
        return jax.grad(lambda p: loss(scan(cell, p, *problem[1:], valid, backend=backend)))(p)

    together = jax.jit(jax.vmap(gradient), compiler_options=QUICK)(members)
    for k in range(3):
        alone = problem._replace(params={key: a[k] for key, a in members.items()})
        gradient = evaluate(cell, alone, valid, backend=backend)[1].params
        close({key: a[k] for key, a in together.items()}, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "backend"), [run for run in RUNS if run not in NATIVE])
def test_bfloat16_stays_bfloat16_and_near_float32(name, backend):
    cell, (problem, valid) = CELLS[name], small(name)
    single = evaluate(cell, problem, valid, backend=backend)
    half = evaluate(cell, problem.astype(jnp.bfloat16), valid, backend=backend)
    for part, tolerance in ((0, 0.02), (1, 0.1)):  # results; gradients
        for a, b in zip(jax.tree.leaves(half[part]), jax.tree.leaves(single[part]), strict=True):
            assert (a.dtype, b.dtype) == (jnp.bfloat16, jnp.float32)
            assert np.linalg.norm(a.astype(np.float32) - b) < tolerance * np.linalg.norm(b)


@pytest.mark.parametrize(("name", "backend"), FAST)
def test_rematerialized_as_a_whole(name, backend):
    cell, (problem, valid) = CELLS[name], small(name)

    def checkpointed(cell, *arrays, backend):
        return jax.checkpoint(partial(scan, cell, backend=backend))(*arrays)

    got = evaluate(cell, problem, valid, run=checkpointed, backend=backend)
    close(got, evaluate(cell, problem, valid, backend=backend), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "backend"), [run for run in FAST if run != ("minlstm", "parallel")])
def test_the_gradient_of_a_gradient(name, backend):
    with jax.enable_x64(True):
        cell, (problem, valid) = CELLS[name], small(name)
        problem = problem.astype(np.float64)

        def norm(gradient):
            return sum((a**2).sum() for a in jax.tree.leaves(gradient))

        def penalty(problem):
            return norm(jax.grad(lambda p: loss(scan(cell, *p, valid, backend=backend)))(problem))

        got = jax.jit(jax.grad(penalty), compiler_options=QUICK)(problem)
        want = central_differences(lambda p: norm(evaluate(cell, p, valid, backend=backend)[1]), problem)
        close(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shift", [-100.0, 0.0, 100.0])
@pytest.mark.parametrize("cell", [MinGRUCell(), MinLSTMCell()])
def test_long_products_of_gates_stay_in_range(cell, shift):
    problem = draw(cell, batch=2, time=100, hidden=2).astype(np.float32)
    problem.params["bias"][:2] += np.float32(shift)  # gates shut, half open, open
    valid = np.random.default_rng(1).random((2, 100)) > 0.3
    valid[0] = False
    (state, hs), gradient = evaluate(cell, problem, valid, backend="parallel")
    close((state, hs), loop(cell, problem.astype(np.float64), valid), rtol=2e-5, atol=1e-6)
    close(gradient, evaluate(cell, problem, valid, backend="plain")[1], rtol=1e-3, atol=1e-4)


SHARDED = """
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tests.equations import CELLS, close, compiled, draw, evaluate
from tsrnn.nn import derivatives
from tsrnn.nn.scan import choose, scan

derivatives.SMALL = 0  # in stretches
for kind in (AxisType.Auto, AxisType.Explicit):
    rows = NamedSharding(jax.make_mesh((2,), ("rows",), axis_types=(kind,)), PartitionSpec("rows"))
    whole = NamedSharding(rows.mesh, PartitionSpec())
    for name, backend in [("lstm", "derivative"), ("gru", "derivative"), ("minlstm", "parallel"), ("slstm", "plain")]:
        problem, valid = draw(CELLS[name], batch=4, time=3).astype(np.float32), np.arange(3) >= np.c_[[0, 2, 1, 0]]
        places = problem._replace(params=whole, state=rows, xs=rows)
        spread = jax.device_put(problem, places), jax.device_put(valid, rows)
        program = compiled(CELLS[name], scan, backend=backend).lower(*spread).compile()
        (_, (last, hs)), gradient = program(*spread)
        for a in (*last, hs, *gradient.state, gradient.xs):
            assert [part.data.shape[0] for part in a.addressable_shards] == [2, 2], a.sharding
        assert choose(CELLS[name], spread[0].xs, 4, masked=True) != "native", "the kernels are of one device"
        assert "all-gather" not in program.as_text(), "rows travel"
        close(((last, hs), gradient), evaluate(CELLS[name], problem, valid, backend=backend), rtol=1e-5, atol=1e-6)
print("equal on", jax.device_count(), "devices")
"""


def test_a_batch_spread_over_two_devices_gives_the_same():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "error", "-c", SHARDED]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | flags, cwd=ROOT, check=False)
    assert ran.stdout == "equal on 2 devices\n", ran.stderr


def opaque(function):
    """The function as one operation that JAX can compile but neither batch nor differentiate, as a call of cuDNN is."""
    operation = Primitive("opaque")
    operation.multiple_results = True

    def flat(*leaves, tree):
        return jax.tree.leaves(function(*jax.tree.unflatten(tree, leaves)))

    def types(*leaves, tree):
        return [jax.core.ShapedArray(a.shape, a.dtype) for a in jax.eval_shape(partial(flat, tree=tree), *leaves)]

    operation.def_abstract_eval(types)
    mlir.register_lowering(operation, mlir.lower_fun(flat, multiple_results=True))

    def call(*args):
        leaves, tree = jax.tree.flatten(args)
        return jax.tree.unflatten(
            jax.tree.structure(jax.eval_shape(function, *args)), operation.bind(*leaves, tree=tree)
        )

    return call


@pytest.fixture
def cudnn(monkeypatch):
    """JAX's own reference in the place of cuDNN, which needs a GPU."""

    def reference(xs, h, c, weights, lengths, inputs, hidden, *options):
        layers, dropout, bidirectional, precision = options
        assert precision is None
        weights = rnn.unpack_lstm_weights(weights, inputs, hidden, layers, bidirectional)
        with jax.numpy_rank_promotion("allow"):
            return rnn.lstm_ref(xs, h, c, *weights, lengths, inputs, hidden, layers, dropout, bidirectional)

    def forward(*args):
        arrays, options = args[:5], args[5:]
        return opaque(lambda *a: reference(*a, *options))(*arrays), arrays

    def backward(*args):
        *options, arrays, gradients = args

        def pull(arrays, gradients):
            *floats, lengths = arrays
            _, pullback = jax.vjp(lambda *a: reference(*a, lengths, *options), *floats)
            return (*pullback(gradients), jnp.zeros_like(lengths))

        return opaque(pull)(arrays, gradients)

    monkeypatch.setattr(rnn, "lstm_fwd", forward)
    monkeypatch.setattr(rnn, "lstm_bwd", backward)


@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize("options", [{}, {"reverse": True, "remat": 3}])
def test_cudnn_is_called_for_what_the_plain_scan_computes(options):
    cell, problem = CELLS["lstm"], draw(CELLS["lstm"]).astype(np.float32)
    got = evaluate(cell, problem, backend="cudnn", **options)
    close(got, evaluate(cell, problem, backend="plain", **options), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("cudnn")
def test_members_take_turns_on_cudnn():
    cell, problem = CELLS["lstm"], draw(CELLS["lstm"]).astype(np.float32)
    members = jax.tree.map(lambda a: np.stack([a, -a]), problem.params)

    def gradients(backend):
        gradient = jax.grad(lambda p: loss(scan(cell, p, *problem[1:], backend=backend)))
        return jax.jit(jax.vmap(gradient))(members)

    close(gradients("cudnn"), gradients("plain"), rtol=1e-4, atol=1e-5)
