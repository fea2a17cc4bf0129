"""What the tests of the recurrence share: all cells, random problems, and the equations once more in numpy."""

from functools import cache, partial
from typing import NamedTuple

import jax
import numpy as np
from numpy.testing import assert_allclose

from tsrnn.native.library import why_not
from tsrnn.nn.cells import GRUCell, LSTMCell, RNNCell, SLSTMCell
from tsrnn.nn.linear import MinGRUCell, MinLSTMCell
from tsrnn.nn.online import AbstractOnline, AutoRegressive, Recurrent, before
from tsrnn.nn.scan import scan

CELLS = {
    "rnn": RNNCell(),
    "rnn-relu": RNNCell("relu"),
    "gru": GRUCell(),
    "gru-before": GRUCell(reset="before"),
    "lstm": LSTMCell(),
    "lstm-peepholes": LSTMCell(peepholes=True),
    "lstm-projection": LSTMCell(projection=3),
    "lstm-peepholes-projection": LSTMCell(peepholes=True, projection=3),
    "slstm": SLSTMCell(),
    "mingru": MinGRUCell(),
    "minlstm": MinLSTMCell(),
}
"""Every cell with every option."""

NATIVE = [] if why_not() else [("gru", "native"), ("lstm", "native")]
"""What the C++ kernels run, where they are built."""

FAST = [("gru", "derivative"), ("lstm", "derivative"), ("mingru", "parallel"), ("minlstm", "parallel"), *NATIVE]
"""Every cell on every other backend that a CPU has."""

RUNS = [(name, "plain") for name in CELLS] + FAST
"""Every cell on every backend that a CPU has."""


QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Options of XLA for programs that run once: half the time to compile."""


class Problem(NamedTuple):
    """Arguments of a scan: weights, a state in the middle of something, inputs."""

    params: dict
    state: tuple
    xs: np.ndarray

    def astype(self, dtype):
        """The same in another dtype."""
        return jax.tree.map(lambda a: a.astype(dtype), self)


def draw(cell, *, batch=3, time=6, inputs=2, hidden=4, seed=0):
    """Random weights, state and inputs; float64, all of order one."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), inputs, hidden))
    params = {name: 0.7 * rng.normal(size=a.shape) for name, a in shapes.items()}
    zeros = jax.eval_shape(lambda p: cell.zeros(p, batch), params)
    state = tuple(rng.normal(size=a.shape) for a in zeros)
    if isinstance(cell, SLSTMCell):
        h, c, n, m = state
        state = h, c, np.exp(n), m
    return Problem(params, state, rng.normal(size=(batch, time, inputs)))


class Stream(NamedTuple):
    """Arguments of a stepper: a model, its parameters, and rows of columns some of which are sensors."""

    model: AbstractOnline
    params: dict
    rows: np.ndarray

    def read(self, stepper, limit=4.0, steps=5.0):
        """What is carried after the rows and what was expected of them."""
        columns = self.rows.shape[1] - 1
        return stepper(self.model, self.params, columns)(
            np.asarray(before(self.model, self.params, columns)), self.rows, limit, steps
        )


def draw_stream(cell=None, *, layers=1, hidden=5, order=3, sensors=2, columns=3, n=50, seed=0):
    """A random model, a linear one without a cell; rows that come late, miss values, and run away and return."""
    rng, model = np.random.default_rng(seed), AutoRegressive(order)
    normal = lambda *shape: 0.3 * rng.normal(size=shape).astype(np.float32)  # noqa: E731
    params = {"scale": 0.5 + normal(sensors) ** 2, "low": -1 + normal(sensors), "high": 1 + normal(sensors)}
    params |= {"unit": 0.5 + normal(columns) ** 2, "bias": normal(sensors), "weights": normal(order * columns, sensors)}
    if cell is not None:
        model = Recurrent(cell, hidden, layers, model)
        net = jax.eval_shape(lambda: model.init(jax.random.key(0), columns, sensors))
        params["net"] = jax.tree.map(lambda a: normal(*a.shape), net)
    rows = np.clip(normal(n, 1 + columns), -1, 1)
    rows[:, 0] = rng.choice([1.0, 3.5], n)
    rows[rng.random(rows.shape) < 0.1] *= np.nan
    rows[:, 0] = np.nan_to_num(rows[:, 0], nan=1.0)
    rows[n // 2 : n // 2 + 8, 1] = 50
    return Stream(model, params, rows)


def evaluate(cell, problem, valid=None, run=scan, **options):
    """``((state, hs), gradient)``: of weights, state and inputs, for a loss in which every number counts."""
    (_, result), gradient = compiled(cell, run, **options)(problem, valid)
    return result, gradient


@cache
def compiled(cell, run, **options):
    """The program of `evaluate`."""

    def value(problem, valid):
        result = run(cell, *problem, valid, **options)
        return loss(result), result

    return jax.jit(jax.value_and_grad(value, has_aux=True), compiler_options=QUICK)


def loss(result):
    """A weighted sum of all numbers."""
    return sum((a * np.cos(np.arange(a.size)).reshape(a.shape).astype(a.dtype)).sum() for a in jax.tree.leaves(result))


def central_differences(function, problem, step=1e-5):
    """Gradient of a function of numpy arrays, number by number; its error is of the order of 1e-9."""
    problem = jax.tree.map(np.copy, problem)  # JAX may still be reading the caller's arrays
    gradient = jax.tree.map(np.zeros_like, problem)
    for array, d in zip(jax.tree.leaves(problem), jax.tree.leaves(gradient), strict=True):
        for at in np.ndindex(array.shape):
            value = array[at]
            ends = []
            for array[at] in (value - step, value + step):
                ends.append(float(function(problem)))  # at once: JAX may read the array later
            array[at], d[at] = value, (ends[1] - ends[0]) / (2 * step)
    return gradient


def close(got, want, rtol=1e-10, atol=1e-12):
    """Trees of arrays are equal but for rounding."""
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(partial(assert_allclose, rtol=rtol, atol=atol), got, want)


def loop(cell, problem, valid=None):
    """``(state, hs)``, one row and one step at a time."""
    p, state, xs = problem
    rows = []
    for b, x in enumerate(xs):
        s, hs = tuple(a[b] for a in state), []
        for t, x_t in enumerate(x):
            if valid is None or valid[b, t]:
                s = STEPS[type(cell)](cell, p, s, x_t)
            hs.append(s[0])
        rows.append((s, np.stack(hs)))
    return tuple(map(np.stack, zip(*(s for s, _ in rows), strict=True))), np.stack([hs for _, hs in rows])


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def rnn(cell, p, state, x):
    a = p["kernel"].T @ x + p["recurrent"].T @ state[0] + p["bias"]
    return ({"tanh": np.tanh, "relu": lambda v: np.maximum(v, 0)}[cell.activation](a),)


def gru(cell, p, state, x):
    (h,) = state
    w_r, w_z, w_n = np.split(p["kernel"].T, 3)
    u_r, u_z, u_n = np.split(p["recurrent"].T, 3)
    b_r, b_z, b_n, b_u = np.split(p["bias"], 4)
    r, z = sigmoid(w_r @ x + u_r @ h + b_r), sigmoid(w_z @ x + u_z @ h + b_z)
    inner = r * (u_n @ h + b_u) if cell.reset == "after" else u_n @ (r * h) + b_u
    return ((1 - z) * np.tanh(w_n @ x + b_n + inner) + z * h,)


def lstm(cell, p, state, x):
    h, c = state
    v_i, v_f, v_o = p["peephole"] if cell.peepholes else (0, 0, 0)
    i, f, g, o = np.split(p["kernel"].T @ x + p["recurrent"].T @ h + p["bias"], 4)
    new = sigmoid(f + v_f * c) * c + sigmoid(i + v_i * c) * np.tanh(g)
    h = sigmoid(o + v_o * new) * np.tanh(new)
    return (p["projection"].T @ h if cell.projection else h), new


def slstm(cell, p, state, x):
    h, c, n, m = state
    i, f, z, o = np.split(p["kernel"].T @ x + p["recurrent"].T @ h + p["bias"], 4)
    m_new = np.maximum(np.log(sigmoid(f)) + m, i)
    i, f = np.exp(i - m_new), sigmoid(f) * np.exp(m - m_new)
    c, n = f * c + i * np.tanh(z), f * n + i
    return sigmoid(o) * c / n, c, n, m_new


def g(v):
    return np.where(v >= 0, v + 0.5, sigmoid(v))


def mingru(cell, p, state, x):
    z, h = np.split(p["kernel"].T @ x + p["bias"], 2)
    return ((1 - sigmoid(z)) * state[0] + sigmoid(z) * g(h),)


def minlstm(cell, p, state, x):
    f, i, h = np.split(p["kernel"].T @ x + p["bias"], 3)
    f, i = sigmoid(f), sigmoid(i)
    return (f / (f + i) * state[0] + i / (f + i) * g(h),)


STEPS = {RNNCell: rnn, GRUCell: gru, LSTMCell: lstm, SLSTMCell: slstm, MinGRUCell: mingru, MinLSTMCell: minlstm}
