"""What every network keeps to; options of the recurrent layers against loops and against a run without them."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tsrnn
from tests.conftest import ROOT
from tests.equations import CELLS, QUICK, STEPS, draw
from tsrnn.forecasting.spec import PARTS, SpecError, from_spec
from tsrnn.nn.cells import GRUCell
from tsrnn.nn.gradients import hidden_gradients
from tsrnn.nn.model import ForecastLoss, Model
from tsrnn.nn.recursive import Recursive
from tsrnn.nn.stack import Stack

SMALL = {"hidden_size": 5}
EVERYTHING = SMALL | {
    "num_layers": 2, "dropout": 0.3, "recurrent_dropout": 0.3, "residual": True, "layer_norm": True,
    "dilations": (1, 2), "bidirectional": True, "truncate": 3, "remat": 2,
}  # fmt: skip
NETWORKS = {
    "RNN": tsrnn.RNN(**SMALL),
    "GRU": tsrnn.GRU(**SMALL),
    "LSTM": tsrnn.LSTM(**SMALL),
    "SLSTM": tsrnn.SLSTM(**SMALL, recurrent_dropout=0.5),
    "MinGRU": tsrnn.MinGRU(**SMALL),
    "MinLSTM": tsrnn.MinLSTM(**SMALL, dropout=0.5),
    "everything": tsrnn.GRU(**EVERYTHING),
    "Seq2Seq": tsrnn.Seq2Seq(**SMALL),
    "attention": tsrnn.Seq2Seq(**SMALL, cell="RNN", dropout=0.2, bidirectional=True, attention=True),
    "SegRNN": tsrnn.SegRNN(**SMALL, segment_length=4, dropout=0.2),
}
FITTED = ("attention", "SegRNN")  # a fit compiles for seconds; the others are slow tests
B, T, H, SIZE = 3, 10, 6, 2

every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def problem(seed=0):
    """Inputs, where they are valid, and what is known ahead; the first window is full, the others are padded."""
    rng = np.random.default_rng(seed)
    valid = np.arange(T) >= np.array([0, 3, 9])[:, None]
    xs = np.where(valid[..., None], rng.normal(size=(B, T, 3)), 0)
    return xs.astype(np.float32), valid, rng.normal(size=(B, H, 2)).astype(np.float32)


def drawn(init, *args, seed=0):
    """Random weights for a function that makes some; to compile it would take longer than most tests here."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(init, jax.random.key(0), *args)
    return jax.tree.map(lambda a: rng.normal(0.2, 0.6, a.shape).astype(a.dtype), shapes)


def started(network, seed=0):
    return drawn(partial(network.init, size=SIZE), *problem(), seed=seed)


def test_every_network_of_a_run_file_is_here():
    assert {type(network) for network in NETWORKS.values()} == {*PARTS["network"].values()} - {Recursive, tsrnn.ESRNN}


@every_network
def test_contract(network):
    """Two sets of weights at once, ``vmap``; the first one once more alone, with its derivatives."""
    params, (xs, valid, future) = [started(network, seed) for seed in range(2)], problem()
    both = jax.tree.map(lambda *a: jnp.stack(a), *params)
    apply = partial(network.apply, size=SIZE)
    members = jax.jit(jax.vmap(apply, (0, None, None, None)), compiler_options=QUICK)
    forecasts = members(both, xs, valid, future)
    assert forecasts.shape == (2, B, H, SIZE)
    assert np.isfinite(forecasts).all()
    dirty = np.where(valid[..., None], xs, 1e9).astype(np.float32)
    assert_array_equal(members(both, dirty, valid, future), forecasts)

    def first_window(xs, future):
        forecast = apply(params[0], xs, valid, future)
        return forecast[0].sum(axis=-1), forecast

    derivative = jax.jit(jax.jacrev(first_window, argnums=(0, 1), has_aux=True), compiler_options=QUICK)
    (by_xs, by_future), forecast = derivative(xs, future)
    assert_allclose(forecasts[0], forecast, rtol=1e-5, atol=1e-5)
    assert (by_xs[0, 0, -1] != 0).any()  # the newest step reaches the first one ahead
    assert all((by_future[h, 0, h] != 0).any() for h in range(H))  # what is known of a step reaches it
    assert not by_xs[:, 1:].any()  # other windows do not
    assert not by_future[:, 1:].any()


@pytest.mark.parametrize("name", ["everything", "attention", "SegRNN"])
def test_padded_equals_unpadded(name):
    params, (xs, valid, future) = started(NETWORKS[name]), problem()
    apply = jax.jit(partial(NETWORKS[name].apply, size=SIZE), compiler_options=QUICK)
    shorter = apply(params, xs[1:2, 3:], valid[1:2, 3:], future[1:2])
    assert_allclose(shorter, apply(params, xs, valid, future)[1:2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["SLSTM", "MinLSTM", "attention", "SegRNN"])
def test_dropout_acts_in_training(name):
    """In evaluation flax would miss a key."""
    params, inputs = started(NETWORKS[name]), problem()
    train = jax.jit(partial(NETWORKS[name].apply, size=SIZE, train=True), compiler_options=QUICK)
    one, two, again = (train(params, *inputs, rngs={"dropout": jax.random.key(k)}) for k in (0, 1, 0))
    assert (one != two).any(axis=(1, 2))[:2].all()  # the last window has one step, and no state before it
    assert_array_equal(again, one)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FITTED else pytest.mark.slow) for name in NETWORKS]
)
def test_it_learns_from_real_data_and_is_kept_on_disk(name, tmp_path):
    df = tsrnn.read_csv(ROOT / "datasets" / "co2_weekly.csv").tail(200)
    model = tsrnn.Forecaster(
        NETWORKS[name], horizon=H, context_length=T, season_length=1, output=tsrnn.Point("mae"),
        optimizer=tsrnn.Optimizer(learning_rate=0.02),
        training=tsrnn.Training(max_steps=40, batch_size=16, eval_every=40, validation=0),
    ).fit(df)  # fmt: skip
    losses = model.training_.train_loss
    assert losses[-10:].mean() < 0.9 * losses[:10].mean()
    model.save(tmp_path / "model")
    again = tsrnn.load(tmp_path / "model")
    assert again.network == model.network
    assert_array_equal(again.predict().iloc[:, 2], model.predict().iloc[:, 2])


def run_stack(stack, params, xs, valid):
    """The last ``h`` and all of them, one row and one step at a time."""
    width, h = stack.hidden_size, None
    for i in range(stack.num_layers):
        dilation = stack.dilations[i] if stack.dilations else 1
        lasts, parts = [], []
        for name in [f"layer_{i}", f"layer_{i}_back"][: 1 + stack.bidirectional]:
            p, hs = params[name], np.zeros((*xs.shape[:2], width))
            order = range(xs.shape[1])[:: -1 if name.endswith("back") else 1]
            last = np.zeros((len(xs), width))
            for b in range(len(xs)):
                states = {}
                for t in order:
                    before = t + dilation if name.endswith("back") else t - dilation
                    state = states.get(before, (np.zeros(width),))
                    states[t] = STEPS[type(stack.cell)](stack.cell, p, state, xs[b, t]) if valid[b, t] else state
                    hs[b, t] = states[t][0]
                ends = t if order[-1] else (xs.shape[1] - 1) % dilation
                last[b] = states[ends][0]
            lasts.append(last)
            parts.append(hs)
        last, hs = np.concatenate(lasts, axis=-1), np.concatenate(parts, axis=-1)
        if stack.residual and i:
            last, hs = last + h, hs + xs
        if stack.layer_norm:
            p = params[f"norm_{i}"]
            last, hs = (
                (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]
                for a in (last, hs)
            )
        h, xs = last, hs
    return h, xs


@pytest.mark.parametrize(
    "options",
    [{"dilations": (1, 3), "truncate": 2}, {"bidirectional": True},
     {"residual": True, "layer_norm": True, "dilations": (3, 2), "bidirectional": True, "remat": 2}],
    ids=lambda options: "-".join(options),
)  # fmt: skip
def test_layers_equal_a_loop_over_rows_and_steps(options):
    stack = Stack(CELLS["gru"], hidden_size=4, num_layers=2, **options)
    xs, valid, _ = problem()
    params = drawn(partial(stack.init, train=False), xs, valid)
    h, hs = jax.jit(partial(stack.apply, train=False), compiler_options=QUICK)(params, xs, valid)
    want_h, want_hs = run_stack(stack, params["params"], xs, valid)
    assert_allclose(h, want_h, rtol=1e-4, atol=1e-5)
    known = np.broadcast_to(valid[..., None], hs.shape)
    assert_allclose(np.asarray(hs)[known], want_hs[known], rtol=1e-4, atol=1e-5)


def affine(p, x):
    return x @ p["kernel"] + p.get("bias", 0)


def test_segments_equal_a_loop_over_them():
    network, (xs, valid, future) = NETWORKS["SegRNN"], problem()
    params = started(network)
    got, p, gru = network.apply(params, xs, valid, future, size=SIZE), params["params"], STEPS[GRUCell]
    xs, future = np.pad(xs, ((0, 0), (2, 0), (0, 0))), np.pad(future, ((0, 0), (0, 2), (0, 0)))
    for b in range(B):
        h = np.zeros(5)
        for t in range(0, T + 2, 4):
            if xs[b, t : t + 4].any():
                (h,) = gru(GRUCell(), p["gru"], (h,), np.maximum(affine(p["embed"], xs[b, t : t + 4].ravel()), 0))
        steps = []
        for k, t in enumerate(range(0, H + 2, 4)):
            query = np.concatenate([p["place"][k], affine(p["known"], future[b, t : t + 4].ravel())])
            steps.append(affine(p["read"], gru(GRUCell(), p["gru"], (h,), query)[0]).reshape(4, SIZE))
        assert_allclose(got[b], np.concatenate(steps)[:H], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", [False, True])
def test_encoder_and_decoder_equal_a_loop_over_steps(attention):
    network, (xs, valid, future) = tsrnn.Seq2Seq(**SMALL, cell="GRU", attention=attention), problem()
    params = started(network)
    got, p = network.apply(params, xs, valid, future, size=SIZE), params["params"]
    h, states = run_stack(Stack(GRUCell(), 5), p["encoder"], xs, valid)
    read = np.concatenate([future, np.repeat(h[:, None], H, axis=1)], axis=-1)
    _, steps = run_stack(Stack(GRUCell(), 5), p["decoder"], read, np.ones((B, H), bool))
    for b in range(B):
        for t in range(H):
            step = steps[b, t]
            if attention:
                weights = np.exp(states[b, valid[b]] @ affine(p["query"], step) / np.sqrt(5))
                step = np.concatenate([step, weights @ states[b, valid[b]] / weights.sum()])
            want = affine(p["read"], np.maximum(affine(p["join"], step), 0))
            assert_allclose(got[b, t], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["rnn", "gru", "gru-before", "lstm-peepholes-projection", "slstm"])
def test_a_masked_state_is_a_masked_row_of_the_recurrent_weights(name):
    p, state, xs = draw(CELLS[name], batch=1).astype(np.float32)
    mask = np.float32([2, 0, 0, 2])[: len(p["recurrent"])]
    rows = p | {"recurrent": mask[:, None] * p["recurrent"]}
    got = CELLS[name].step(p | {"mask": mask[None]}, state, xs[:, 0])
    jax.tree.map(partial(assert_allclose, rtol=1e-5), got, CELLS[name].step(rows, state, xs[:, 0]))


def test_recurrent_dropout_is_the_same_at_all_steps_and_differs_between_windows():
    stack, (xs, valid, _) = Stack(CELLS["rnn"], 16, recurrent_dropout=0.5), problem()

    @partial(jax.jit, compiler_options=QUICK)
    @jax.jacrev
    def by_weights(recurrent):
        p = {"layer_0": CELLS["rnn"].init(jax.random.key(0), 3, 16) | {"recurrent": recurrent}}
        h, _ = stack.apply({"params": p}, xs, valid, train=True, rngs={"dropout": jax.random.key(1)})
        return h.sum(axis=-1)

    unread = (by_weights(jnp.eye(16)) == 0).all(axis=2)[:2]  # rows of weights that no step of a window has read
    assert all(0 < n < 16 for n in unread.sum(axis=1))
    assert (unread[0] != unread[1]).any()


def test_truncation_changes_no_forecast_and_ends_the_gradient():
    params, (xs, valid, future) = started(NETWORKS["GRU"]), problem()

    def first_window(xs, network):
        forecast = network.apply(params, xs, valid, future, size=SIZE)
        return forecast[0].sum(), forecast

    derivative = jax.jit(jax.grad(first_window, has_aux=True), static_argnums=1, compiler_options=QUICK)
    whole, forecast = derivative(xs, NETWORKS["GRU"])
    cut, again = derivative(xs, NETWORKS["GRU"].clone(truncate=4))
    assert_allclose(again, forecast, rtol=1e-5, atol=1e-5)
    assert_allclose(cut[0, -4:], whole[0, -4:], rtol=1e-4, atol=1e-6)
    assert (whole[0, :-4] != 0).all()
    assert not cut[0, :-4].any()


def test_rematerialization_gives_the_same_gradient():
    network, inputs = tsrnn.LSTM(**SMALL), problem()
    params = started(network)

    def gradient(network):
        loss = lambda p: jnp.square(network.apply(p, *inputs, size=SIZE)).sum()  # noqa: E731
        return jax.jit(jax.grad(loss), compiler_options=QUICK)(params)

    close = partial(assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, gradient(network.clone(remat=3)), gradient(network))


class TestRefusals:
    def test_dilations_that_are_not_one_a_layer(self):
        with pytest.raises(ValueError, match=r"dilations=\(1, 2\) must be one a layer, num_layers=1"):
            tsrnn.GRU(dilations=[1, 2])
        with pytest.raises(SpecError, match="must be one a layer"):
            from_spec({"network": {"type": "Seq2Seq", "dilations": [1, 2]}, "horizon": 2})

    @pytest.mark.parametrize("option", [{"truncate": 0}, {"remat": -1}, {"dilations": (0,)}])
    def test_numbers_below_one(self, option):
        with pytest.raises(ValueError, match=f"{next(iter(option))} must be at least 1, or None"):
            tsrnn.GRU(**option)

    def test_recurrent_dropout_where_no_gate_reads_the_state(self):
        with pytest.raises(ValueError, match="recurrent_dropout has nothing to drop: the gates of MinGRUCell"):
            tsrnn.MinGRU(recurrent_dropout=0.5).init(jax.random.key(0), *problem(), size=SIZE, train=True)

    def test_an_unknown_cell(self):
        with pytest.raises(ValueError, match="cell='TCN' is unknown; choose one of LSTM, GRU"):
            started(tsrnn.Seq2Seq(cell="TCN"))

    def test_states_by_lag_of_a_network_without_steps(self):
        loss = ForecastLoss(Model(NETWORKS["SegRNN"], tsrnn.Point(), "last", 1))
        with pytest.raises(ValueError, match="SegRNN does not read the history step by step"):
            hidden_gradients(loss, {}, None, jnp.arange(2))


def test_options_read_from_a_run_file_are_the_ones_of_python():
    spec = {"type": "GRU"} | {k: list(v) if isinstance(v, tuple) else v for k, v in EVERYTHING.items()}
    assert from_spec({"network": spec}, horizon=2).network == NETWORKS["everything"]
    assert {f.name for f in dataclasses.fields(Stack)} >= set(EVERYTHING)
