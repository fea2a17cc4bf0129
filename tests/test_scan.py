"""The scan over time, whatever runs it: cuts, padding, direction, truncation and rematerialization; in float64.

Every shape is compiled afresh, so that properties draw few shapes and cells, and many masks.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tests.equations import CELLS, NATIVE, close, draw, evaluate, loop
from tsrnn.nn.scan import scan

FEW = [("lstm-peepholes-projection", "plain"), ("lstm", "derivative"), ("minlstm", "parallel"), *NATIVE[1:]]
"""One of each backend, the first with weights of every kind."""

SHAPES = [
    {"batch": 2, "time": 5, "inputs": 3, "hidden": 4},
    {"batch": 1, "time": 3, "inputs": 1, "hidden": 1},
]


@pytest.fixture(autouse=True, scope="module")
def _x64():
    with jax.enable_x64(True):
        yield


@st.composite
def problems(draw_from, shapes=SHAPES):
    """A cell, a problem of a drawn shape, a ragged mask, and the backend."""
    name, backend = draw_from(st.sampled_from(FEW))
    problem = draw(CELLS[name], **draw_from(st.sampled_from(shapes)), seed=draw_from(st.integers(0, 99)))
    steps = st.lists(st.booleans(), min_size=problem.xs.shape[1], max_size=problem.xs.shape[1])
    valid = np.array([draw_from(steps) for _ in problem.xs])
    return CELLS[name], problem, valid, backend


@settings(max_examples=20)
@given(problems(), st.sampled_from([1e6, np.inf, np.nan]))
def test_padding_changes_nothing_forward_or_backward_whatever_lies_there(drawn, garbage):
    cell, problem, valid, backend = drawn
    dirty = problem._replace(xs=np.where(valid[..., None], problem.xs, garbage))
    result, gradient = evaluate(cell, dirty, valid, backend=backend)
    close(result, loop(cell, problem, valid))
    jax.tree.map(assert_array_equal, gradient, evaluate(cell, problem, valid, backend=backend)[1])
    assert not gradient.xs[~valid].any()


@pytest.mark.parametrize(("name", "backend"), FEW)
def test_padded_equals_unpadded_forward_and_backward(name, backend):
    cell, problem = CELLS[name], draw(CELLS[name], **SHAPES[0])
    valid = np.array([False, True, False, True, True])

    def unpad(*args, **options):
        state, hs = scan(*args, **options)
        return state, hs[:, valid]

    result, gradient = evaluate(cell, problem, np.broadcast_to(valid, (2, 5)), run=unpad, backend=backend)
    gradient = gradient._replace(xs=gradient.xs[:, valid])
    close((result, gradient), evaluate(cell, problem._replace(xs=problem.xs[:, valid]), backend=backend))


@settings(max_examples=20)
@given(problems(), st.integers(0, 5))
def test_a_scan_cut_anywhere_and_resumed_equals_the_whole(drawn, cut):
    cell, problem, valid, backend = drawn
    before = np.arange(valid.shape[1]) < cut
    (state, hs_a), _ = evaluate(cell, problem, valid & before, backend=backend)
    (state, hs_b), _ = evaluate(cell, problem._replace(state=state), valid & ~before, backend=backend)
    close((state, np.where(before[:, None], hs_a, hs_b)), evaluate(cell, problem, valid, backend=backend)[0])


@settings(max_examples=4)
@given(problems(SHAPES[:1]), st.integers(0, 5))
def test_two_shorter_arrays_equal_the_whole(drawn, cut):
    cell, (p, state, xs), valid, backend = drawn
    run = jax.jit(partial(scan, cell), static_argnames="backend")
    whole = run(p, state, xs, valid, backend=backend)
    state, hs_a = run(p, state, xs[:, :cut], valid[:, :cut], backend=backend)
    state, hs_b = run(p, state, xs[:, cut:], valid[:, cut:], backend=backend)
    close((state, jnp.concatenate([hs_a, hs_b], axis=1)), whole)


@pytest.mark.parametrize(("name", "backend"), FEW)
def test_no_steps_hand_the_state_on(name, backend):
    cell, problem = CELLS[name], draw(CELLS[name], time=0)
    (state, hs), gradient = evaluate(cell, problem, backend=backend)
    close(state, problem.state)
    assert hs.shape == (3, 0, problem.state[0].shape[1])
    assert not any(a.any() for a in gradient.params.values())
    assert all(a.all() for a in gradient.state)


@settings(max_examples=10)
@given(problems(SHAPES[:1]))
def test_reverse_begins_at_the_end_and_keeps_the_order_of_the_inputs(drawn):
    cell, problem, valid, backend = drawn
    state, hs = loop(cell, problem._replace(xs=problem.xs[:, ::-1]), valid[:, ::-1])
    close(evaluate(cell, problem, valid, backend=backend, reverse=True)[0], (state, hs[:, ::-1]))


@settings(max_examples=10)
@given(problems(SHAPES[:1]))
def test_the_reverse_of_the_reverse_is_the_original(drawn):
    cell, problem, valid, backend = drawn
    flipped = problem._replace(xs=problem.xs[:, ::-1])
    (state, hs), _ = evaluate(cell, flipped, valid[:, ::-1], backend=backend, reverse=True)
    close((state, hs[:, ::-1]), evaluate(cell, problem, valid, backend=backend)[0])


@settings(max_examples=8)
@given(problems(SHAPES[:1]))
def test_rematerialization_changes_nothing(drawn):
    cell, problem, valid, backend = drawn
    plain = evaluate(cell, problem, valid, backend=backend)
    close(evaluate(cell, problem, valid, backend=backend, remat=2), plain)


def in_pieces(cell, p, state, xs, valid, *, truncate, backend):
    """Truncation as one would write it down: pieces in a Python loop, the state's gradient stopped between them."""
    hs = []
    for start in range(0, xs.shape[1], truncate):
        part = slice(start, start + truncate)
        if start:
            state = jax.lax.stop_gradient(state)
        state, h = scan(cell, p, state, xs[:, part], valid[:, part], backend=backend)
        hs.append(h)
    return state, jnp.concatenate(hs, axis=1)


@settings(max_examples=8)
@given(problems(SHAPES[:1]))
def test_truncation_stops_the_gradient_of_the_state_between_pieces_and_nothing_else(drawn):
    cell, problem, valid, backend = drawn
    pieces = evaluate(cell, problem, valid, run=in_pieces, truncate=2, backend=backend)
    close(evaluate(cell, problem, valid, truncate=2, backend=backend), pieces)


def test_pieces_go_together_and_may_be_longer_than_the_sequence():
    cell, problem, valid = CELLS["gru"], draw(CELLS["gru"], time=6), np.ones((3, 6), bool)
    plain = evaluate(cell, problem, valid)
    close(evaluate(cell, problem, valid, truncate=9, remat=8), plain)
    pieces = evaluate(cell, problem, valid, run=in_pieces, truncate=3, backend=None)
    close(evaluate(cell, problem, valid, truncate=3, remat=2, unroll=2), pieces)


def test_a_late_loss_reaches_back_to_the_piece_it_lies_in():
    cell, problem = CELLS["gru"], draw(CELLS["gru"], time=7)
    gradient = jax.jit(jax.grad(lambda p: scan(cell, *p, truncate=3)[1][:, 4].sum()))(problem)
    # The pieces are 0-2, 3-5 and 6.
    reached = np.abs(gradient.xs).sum(axis=(0, 2)) > 0
    assert_array_equal(reached, [False, False, False, True, True, False, False])
    assert not any(a.any() for a in gradient.state)


@pytest.mark.parametrize("backend", ["plain", "derivative"])
def test_rematerialization_saves_memory(backend):
    cell, problem = CELLS["lstm"], draw(CELLS["lstm"], time=1024)

    def memory(remat):
        gradient = jax.grad(lambda p: scan(cell, *p, remat=remat, backend=backend)[0][0].sum())
        return jax.jit(gradient).lower(problem).compile().memory_analysis().temp_size_in_bytes

    assert memory(32) < memory(None) / 3
