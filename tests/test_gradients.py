"""Gradients through time, against a plain loop over steps."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import tsrnn
from tests.strategies import gap_free
from tsrnn.forecasting import forecaster as module
from tsrnn.nn.gradients import hidden_gradients
from tsrnn.nn.model import ForecastLoss
from tsrnn.nn.networks import DirectDecoder
from tsrnn.report.plots import plot_gradient_flow

QUICK = tsrnn.Training(max_steps=2, batch_size=4, eval_every=2)
CONTEXT, HORIZON = 6, 2


def fitted(network):
    df = gap_free("D", (30, 17))
    return tsrnn.Forecaster(network, horizon=HORIZON, context_length=CONTEXT, training=QUICK).fit(df), df


@pytest.mark.parametrize("network", [tsrnn.GRU(hidden_size=3), tsrnn.LSTM(hidden_size=3, num_layers=2)])
def test_equal_those_of_a_loop_over_steps(network):
    """What is added to a state on its way to the next step has the gradient of the state."""
    model, df = fitted(network)
    rows = model._device_panel(tsrnn.Panel.from_frame(df), model.transforms_)
    series, known = np.array([0, 0, 1], np.int32), np.array([20, 9, 3], np.int32)  # the last one is padded
    batch = module._gather(rows, series, known, context_length=CONTEXT, horizon=HORIZON)
    loss = ForecastLoss(model._model(model.history_.schema))
    params, cell = model.params_, network.cell
    encoder = params["params"]["encoder"]

    def total(added):
        xs, valid, future = loss.model.inputs(params, batch)
        for layer in range(network.num_layers):
            weights = encoder[f"layer_{layer}"]
            state, hs = cell.zeros(weights, 3), []
            for t in range(CONTEXT):
                new = cell.step(weights, state, xs[:, t])
                state = tuple(jnp.where(valid[:, t, None], a, b) for a, b in zip(new, state, strict=True))
                hs.append(state[0])  # for the layer above, at the same step
                state = (state[0] + added[layer, t], *state[1:])
            xs = jnp.stack(hs, axis=1)
        decoder = {"params": params["params"]["decoder"]}
        raw = DirectDecoder(3).apply(decoder, state[0], future, loss.model.size(batch))
        return loss.each(loss.model.values(params, batch, raw), batch).sum()

    grads = jax.grad(total)(jnp.zeros((network.num_layers, CONTEXT, 3, 3)))
    squares = jnp.square(grads).sum(axis=(0, 3))  # steps, windows
    valid = np.arange(CONTEXT)[:, None] >= CONTEXT - np.minimum(known, CONTEXT)[None]
    want = np.sqrt(np.where(valid, squares, 0).mean(axis=1))[::-1]
    got = hidden_gradients(loss, params, batch, jnp.arange(CONTEXT))
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_of_a_forecaster():
    model, df = fitted(tsrnn.RNN(hidden_size=4))
    flow = model.gradient_flow(df)
    assert flow["lag"].tolist() == list(range(CONTEXT))
    assert (flow["gradient_norm"] > 0).all()
    some = model.gradient_flow(df, lags=[0, 3])["gradient_norm"]
    np.testing.assert_allclose(some, flow["gradient_norm"][[0, 3]], rtol=1e-5)
    assert not np.allclose(model.gradient_flow(df, trained=False)["gradient_norm"], flow["gradient_norm"], rtol=1e-6)
    model.network = tsrnn.RNN(hidden_size=4, truncate=2)
    cut = model.gradient_flow(df)["gradient_norm"]
    np.testing.assert_allclose(cut, flow["gradient_norm"].where(flow["lag"] <= 2, 0), rtol=1e-4)
    ax = plot_gradient_flow({"trained": flow})
    np.testing.assert_allclose(ax.lines[0].get_ydata()[0], 1.0)
    plt.close(ax.figure)


@pytest.mark.parametrize("lags", [[CONTEXT], [-1], []])
def test_lags_lie_in_the_context(lags):
    model, df = fitted(tsrnn.RNN(hidden_size=4))
    with pytest.raises(ValueError, match=f"lags must lie in 0 to {CONTEXT - 1}"):
        model.gradient_flow(df, lags=lags)
