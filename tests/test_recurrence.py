"""Cells and the scan against other roads: jax's own LSTM reference, Python loops, and properties of masks and cuts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.experimental.rnn import lstm_ref

from tsrnn.nn.cells import CELLS
from tsrnn.nn.scan import scan


@pytest.fixture(params=sorted(CELLS))
def cell(request):
    return CELLS[request.param]


def make(cell, batch=3, time=7, inputs=2, hidden=5, seed=0):
    k_params, k_bias, k_x = jax.random.split(jax.random.key(seed), 3)
    params = cell.init(k_params, inputs, hidden)
    params = params._replace(bias=params.bias + 0.1 * jax.random.normal(k_bias, params.bias.shape))
    return params, jax.random.normal(k_x, (batch, time, inputs))


def test_lstm_scan_equals_jax_reference():
    lstm = CELLS["lstm"]
    params, xs = make(lstm, batch=4, time=11, inputs=3, hidden=6)
    # lstm_ref takes PyTorch's layout: (4D, I) and (4D, D) flattened, two biases, gates i, f, g, o, layer axes first.
    flat = jnp.concatenate(
        [params.kernel.T.ravel(), params.recurrent.T.ravel(), params.bias, jnp.zeros_like(params.bias)]
    )
    lengths = jnp.full(4, 11, jnp.int32)
    zeros = jnp.zeros((1, 4, 6))
    with jax.numpy_rank_promotion("allow"):
        hs_ref, h_ref, c_ref = lstm_ref(
            xs,
            zeros,
            zeros,
            *unpack(flat, 3, 6),
            lengths,
            input_size=3,
            hidden_size=6,
            num_layers=1,
            dropout=0.0,
            bidirectional=False,
        )
    (h, c), hs = scan(lstm, params, lstm.zeros(xs, 6), xs)
    np.testing.assert_allclose(hs, hs_ref, atol=1e-6)
    np.testing.assert_allclose(h, h_ref[0], atol=1e-6)
    np.testing.assert_allclose(c, c_ref[0], atol=1e-6)


def unpack(flat, inputs, hidden):
    sizes = np.cumsum([4 * hidden * inputs, 4 * hidden * hidden, 4 * hidden])
    w_ih, w_hh, b_ih, b_hh = jnp.split(flat, sizes)
    return {0: w_ih.reshape(4 * hidden, inputs)}, {0: w_hh.reshape(4 * hidden, hidden)}, {0: b_ih}, {0: b_hh}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loop(name, p, xs):
    """The equations again, in numpy and float64, one series and one step at a time."""
    w, u, b = (np.asarray(a, np.float64) for a in p)
    d = u.shape[0]
    hs = np.zeros((*xs.shape[:2], d))
    for n, series in enumerate(np.asarray(xs, np.float64)):
        h, c = np.zeros(d), np.zeros(d)
        for t, x in enumerate(series):
            if name == "rnn":
                h = np.tanh(w.T @ x + u.T @ h + b)
            elif name == "gru":
                r, z = (sigmoid(w[:, g].T @ x + u[:, g].T @ h + b[g]) for g in (slice(0, d), slice(d, 2 * d)))
                g = slice(2 * d, 3 * d)
                h = (1 - z) * np.tanh(w[:, g].T @ x + b[g] + r * (u[:, g].T @ h + b[3 * d :])) + z * h
            else:
                i, f, g, o = np.split(w.T @ x + u.T @ h + b, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            hs[n, t] = h
    return hs


@pytest.mark.parametrize("name", sorted(CELLS))
def test_scan_equals_a_python_loop(name):
    params, xs = make(CELLS[name])
    _, hs = scan(CELLS[name], params, CELLS[name].zeros(xs, 5), xs)
    np.testing.assert_allclose(hs, loop(name, params, xs), atol=2e-6)


@settings(max_examples=15)
@given(st.sampled_from(sorted(CELLS)), st.integers(0, 7))
def test_a_scan_cut_anywhere_and_resumed_equals_the_whole(name, cut):
    cell = CELLS[name]
    params, xs = make(cell)
    whole, hs = scan(cell, params, cell.zeros(xs, 5), xs)
    first, hs_a = scan(cell, params, cell.zeros(xs, 5), xs[:, :cut])
    second, hs_b = scan(cell, params, first, xs[:, cut:])
    np.testing.assert_array_equal(jnp.concatenate([hs_a, hs_b], axis=1), hs)
    for a, b in zip(whole, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_padding_changes_nothing_forward_or_backward(cell):
    params, xs = make(cell)
    pad = jnp.full((3, 4, 2), 1e6)
    valid = jnp.concatenate([jnp.zeros((3, 4), bool), jnp.ones((3, 7), bool)], axis=1)

    def last(params, xs, valid):
        return scan(cell, params, cell.zeros(xs, 5), xs, valid)[0][0]

    grad = jax.grad(lambda p, x, v: (last(p, x, v) ** 2).sum())
    padded = last(params, jnp.concatenate([pad, xs], 1), valid)
    np.testing.assert_array_equal(padded, last(params, jnp.concatenate([0 * pad, xs], 1), valid))
    np.testing.assert_allclose(padded, last(params, xs, None), atol=1e-6)  # another program: XLA may fuse otherwise
    padded, plain = grad(params, jnp.concatenate([pad, xs], 1), valid), grad(params, xs, None)
    for a, b in zip(padded, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_initialization_laws(cell):
    hidden, inputs = 8, 3
    params = cell.init(jax.random.key(1), inputs, hidden)
    for block in jnp.split(params.recurrent, params.recurrent.shape[1] // hidden, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(hidden), atol=1e-5)
    assert float(jnp.abs(params.kernel).max()) <= np.sqrt(6 / (inputs + hidden))
    forget = params.bias[hidden : 2 * hidden] if cell is CELLS["lstm"] else params.bias + 1
    np.testing.assert_array_equal(forget, jnp.ones_like(forget))
