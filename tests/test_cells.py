"""One step of every cell, by other roads: numpy, PyTorch's frozen values, JAX's own LSTM; how weights begin."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn
from numpy.testing import assert_allclose

from tests.equations import CELLS, RUNS, central_differences, close, draw, evaluate, loop, loss, sigmoid
from tsrnn.nn import cudnn
from tsrnn.nn.cells import GRUCell, LSTMCell, RNNCell, SLSTMCell
from tsrnn.nn.scan import scan


@pytest.fixture(autouse=True, scope="module")
def _x64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(("name", "backend"), RUNS)
def test_a_scan_and_its_gradient_equal_a_loop_over_the_equations(name, backend):
    cell, problem = CELLS[name], draw(CELLS[name], batch=2, time=4, hidden=3)
    valid = np.array([[False, True, True, True], [True, True, False, True]])
    result, gradient = evaluate(cell, problem, valid, backend=backend)
    close(result, loop(cell, problem, valid), rtol=1e-12)
    close(gradient, central_differences(lambda p: loss(loop(cell, p, valid)), problem), rtol=1e-6, atol=1e-7)


def test_the_stabiliser_of_slstm_changes_nothing():
    cell = CELLS["slstm"]
    p, (h, c, n, m), xs = draw(cell)
    _, hs = scan(cell, p, (h, c, n, m), xs)
    c, n = c * np.exp(m), n * np.exp(m)
    for t in range(xs.shape[1]):
        i, f, z, o = np.split(xs[:, t] @ p["kernel"] + h @ p["recurrent"] + p["bias"], 4, axis=1)
        c, n = sigmoid(f) * c + np.exp(i) * np.tanh(z), sigmoid(f) * n + np.exp(i)
        h = sigmoid(o) * c / n
        assert_allclose(hs[:, t], h, rtol=1e-12)


@pytest.mark.parametrize("shift", [-2000.0, 2000.0])
def test_exponential_gates_neither_overflow_nor_vanish(shift):
    cell = CELLS["slstm"]
    p, _, xs = draw(cell)
    p["bias"][:4] += shift

    def outputs(p):
        return scan(cell, p, cell.zeros(p, 3), xs)[1]

    # The input gate acts on the memory and on its norm: what moves all steps alike cancels.
    assert_allclose(outputs(p), outputs(draw(cell).params), rtol=1e-9)
    gradient = jax.grad(lambda p: outputs(p).sum())(p)
    assert all(np.isfinite(a).all() for a in gradient.values())


FROZEN = np.load(Path(__file__).parent / "golden" / "recurrence_torch.npz")
TORCH = {"rnn": RNNCell(), "gru": GRUCell(), "lstm": LSTMCell(), "lstm-projection": LSTMCell(projection=2)}


def from_torch(cell, flat, inputs, hidden):
    """Our weights out of torch's, and what is left: transposed, two biases made one where they are only added."""
    gates = {RNNCell: 1, GRUCell: 3, LSTMCell: 4}[type(cell)] * hidden
    size = getattr(cell, "projection", None)
    shapes = [(gates, inputs), (gates, size or hidden), (gates,), (gates,)] + [(size, hidden)] * (size is not None)
    *arrays, rest = jnp.split(flat, np.cumsum([np.prod(shape) for shape in shapes]))
    w_ih, w_hh, b_ih, b_hh, *w_hr = (a.reshape(shape) for a, shape in zip(arrays, shapes, strict=True))
    joint = 2 * hidden if isinstance(cell, GRUCell) else gates
    bias = jnp.concatenate([b_ih[:joint] + b_hh[:joint], b_ih[joint:], b_hh[joint:]])
    params = {"kernel": w_ih.T, "recurrent": w_hh.T, "bias": bias}
    if w_hr:
        params["projection"] = w_hr[0].T
    return params, rest


def like_torch(cell, flat, first, xs, valid, directions):
    """Outputs of the uppermost layer and the last states of all; ``first`` has an axis of layers and directions."""
    hidden, lasts, first = first[-1].shape[-1], [], list(zip(*first, strict=True))
    while first:
        outputs = []
        for back in range(directions):
            p, flat = from_torch(cell, flat, xs.shape[-1], hidden)
            last, hs = scan(cell, p, first.pop(0), xs, valid, reverse=bool(back))
            lasts.append(last)
            outputs.append(hs)
        xs = jnp.concatenate(outputs, axis=-1)
    assert flat.size == 0
    return xs, tuple(map(jnp.stack, zip(*lasts, strict=True)))


@pytest.mark.parametrize("case", sorted({name.split("/")[0] for name in FROZEN}))
def test_layers_equal_those_of_torch_forward_and_backward(case):
    frozen = {name.split("/")[1]: FROZEN[name] for name in FROZEN if name.startswith(case + "/")}
    cell = TORCH[case if case in TORCH else case.split("-")[0]]
    valid = np.arange(frozen["xs"].shape[1]) < frozen["lengths"][:, None]
    letters = ["h", "c"] if "c_0" in frozen else ["h"]
    directions = 2 if case.endswith(("bidirectional", "everything")) else 1

    @partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True)
    def run(flat, first, xs):
        hs, last = like_torch(cell, flat, first, xs, None if valid.all() else valid, directions)
        hs = jnp.where(valid[..., None], hs, 0)  # torch's padding; ours holds the state there
        return (hs * jnp.cos(jnp.arange(hs.size)).reshape(hs.shape)).sum() + sum(s.sum() for s in last), (hs, last)

    first = tuple(frozen[f"{letter}_0"] for letter in letters)
    (_, (hs, last)), (d_flat, d_first, d_xs) = jax.jit(run)(frozen["weights"], first, frozen["xs"])
    close = partial(assert_allclose, rtol=1e-10, atol=1e-12)
    close(hs, frozen["output"])
    close(d_flat, frozen["d_weights"])
    close(d_xs, frozen["d_xs"])
    for letter, state, gradient in zip(letters, last, d_first, strict=True):
        close(state, frozen[f"{letter}_n"])
        close(gradient, frozen[f"d_{letter}_0"])


def test_lstm_equals_jax_reference_through_the_weights_packed_for_cudnn():
    p, (h, c), xs = draw(CELLS["lstm"], inputs=3)
    sizes = {"input_size": 3, "hidden_size": 4, "num_layers": 1, "bidirectional": False}
    weights = rnn.unpack_lstm_weights(cudnn.pack(p), **sizes)
    with jax.numpy_rank_promotion("allow"):
        hs, h_n, c_n = rnn.lstm_ref(xs, h[None], c[None], *weights, np.full(3, 6, np.int32), **sizes, dropout=0.0)
    got = scan(CELLS["lstm"], p, (h, c), xs)
    jax.tree.map(partial(assert_allclose, rtol=1e-12), got, ((h_n[0], c_n[0]), hs))


@pytest.mark.parametrize("cell", [*CELLS.values(), LSTMCell(forget_bias=2.5)], ids=[*CELLS, "lstm-forget"])
def test_weights_begin_by_the_laws_stated(cell):
    inputs, hidden = 24, 16
    with jax.enable_x64(False):
        p = jax.jit(cell.init, static_argnums=(1, 2))(jax.random.key(0), inputs, hidden)
    assert {a.dtype for a in p.values()} == {np.dtype(np.float32)}

    gates = np.split(p["kernel"], p["kernel"].shape[1] // hidden, axis=1)
    for gate in gates:
        bound = np.sqrt(6 / (inputs + hidden))  # Glorot, each gate a matrix of its own
        assert 0.95 * bound < np.abs(gate).max() <= bound
        assert_allclose(gate.std(), bound / np.sqrt(3), rtol=0.1)
    recurrent = np.split(p["recurrent"], len(gates), axis=1) if "recurrent" in p else []
    for gate in recurrent:
        assert_allclose(gate @ gate.T, np.eye(len(gate)), atol=1e-5)
    for blocks in (gates, recurrent):
        assert len({block.tobytes() for block in blocks}) == len(blocks)

    match cell:
        case LSTMCell():
            parts = [0, cell.forget_bias, 0, 0]
        case SLSTMCell():
            parts = [0, np.linspace(3, 6, hidden), 0, 0]
        case GRUCell():
            parts = [0, 0, 0, 0]
        case _:
            parts = [0] * len(gates)
    assert_allclose(p["bias"], np.concatenate([np.broadcast_to(part, hidden) for part in parts]), rtol=1e-6)
    if "peephole" in p:
        assert not p["peephole"].any()
    if "projection" in p:
        assert 0.9 * np.sqrt(6 / (hidden + 3)) < np.abs(p["projection"]).max() <= np.sqrt(6 / (hidden + 3))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CELLS)
def test_a_state_begins_in_the_shape_and_dtype_that_steps_keep(name, dtype):
    cell, problem = CELLS[name], draw(CELLS[name]).astype(dtype)
    state = jax.eval_shape(lambda p: cell.zeros(p, 3), problem.params)
    assert state == jax.eval_shape(cell.step, problem.params, state, problem.xs[:, 0])
    assert [(a.shape, a.dtype) for a in state] == [(a.shape, a.dtype) for a in problem.state]
