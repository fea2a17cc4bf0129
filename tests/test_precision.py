"""Forecasters in bfloat16, float32 and float64."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import tsrnn
from tsrnn.forecasting.spec import SpecError, from_spec
from tsrnn.nn.model import ForecastLoss, Model
from tsrnn.training import loop
from tsrnn.types import Batch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def co2():
    df = tsrnn.read_csv(ROOT / "datasets" / "co2_weekly.csv").tail(300)
    return df.assign(load=np.sin(np.arange(300)), sky=np.where(np.arange(300) % 3, "clear", "rain"))


def fit(precision, df):
    training = tsrnn.Training(max_steps=60, batch_size=16, eval_every=30)
    model = tsrnn.Forecaster(
        tsrnn.GRU(hidden_size=8), horizon=4, context_length=9, training=training, precision=precision
    )
    return model.fit(df, past_covariates=["load", "sky"])


def types(tree):
    return {leaf.dtype.name for leaf in jax.tree.leaves(tree) if leaf.dtype.kind != "i"}


@pytest.fixture(scope="module")
def single(co2):
    return fit("float32", co2)


@pytest.mark.parametrize(("precision", "near"), [("bfloat16", 2e-2), ("float64", 1e-4)])
def test_a_fit_begins_alike_ends_close_and_is_saved(precision, near, co2, single, tmp_path, monkeypatch):
    seen, run_steps = [], loop.run_steps

    def spy(state, data, *args, **static):
        seen.extend([types(state), types(data)])
        return run_steps(state, data, *args, **static)

    monkeypatch.setattr(loop, "run_steps", spy)
    model, wanted = fit(precision, co2), {"bfloat16": "float32"}.get(precision, precision)
    assert seen == [{wanted}] * 4
    assert types(model.params_) == {wanted}
    losses, others = model.training_.valid_loss, single.training_.valid_loss
    assert model.training_.train_loss[0] == pytest.approx(single.training_.train_loss[0], rel=near / 10)
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(losses, others, rtol=near)
    got, want = (m.predict(level=[80]).iloc[:, 2:].to_numpy() for m in (model, single))
    np.testing.assert_allclose(got, want, atol=near * co2["y"].std())
    assert (got != want).any()
    model.save(tmp_path / "model")
    loaded = tsrnn.load(tmp_path / "model")
    assert (loaded.precision, types(loaded.params_)) == (precision, {wanted})
    pd.testing.assert_frame_equal(loaded.predict(), model.predict(), check_exact=True)


def test_jax_own_setting_is_neither_heeded_nor_changed(co2, single):
    programs = loop.run_steps._cache_size()
    with jax.enable_x64(True):
        pd.testing.assert_frame_equal(fit("float32", co2).predict(), single.predict(), check_exact=True)
        assert jnp.zeros(()).dtype == "float64"
    assert loop.run_steps._cache_size() == programs
    double = fit("float64", co2)
    assert jnp.zeros(()).dtype == "float32"
    flow = double.gradient_flow(co2, lags=[0, 3], trained=False)
    pd.testing.assert_frame_equal(flow, single.gradient_flow(co2, lags=[0, 3], trained=False), rtol=1e-3)


def test_in_bfloat16_every_product_of_the_network_is():
    model = Model(tsrnn.GRU(hidden_size=4), tsrnn.Quantiles(), "last", 1, precision="bfloat16")
    batch = Batch(
        context=jnp.ones((2, 5, 1)), context_observed=jnp.ones((2, 5, 1), bool), valid=jnp.ones((2, 5), bool),
        past=jnp.zeros((2, 5, 0)), future=jnp.zeros((2, 3, 0)), past_codes=jnp.zeros((2, 5, 0), int),
        future_codes=jnp.zeros((2, 3, 0), int), static=jnp.zeros((2, 0)), static_codes=jnp.zeros((2, 0), int),
        target=jnp.ones((2, 3, 1)), target_observed=jnp.ones((2, 3, 1), bool),
    )  # fmt: skip
    params = jax.eval_shape(model.init, jax.random.key(0), batch)
    loss = jax.value_and_grad(ForecastLoss(model), has_aux=True)
    program, given = jax.make_jaxpr(loss, return_shape=True)(params, batch, None)
    products = re.findall(r"(\w+)\[[^]]*\] = dot_general", str(program))
    assert len(products) > 8
    assert set(products) == {"bf16"}
    assert types((given, params)) == {"float32"}


def test_in_a_run_file(co2):
    spec = {"network": "GRU", "precision": "bfloat16"}
    assert from_spec(spec, horizon=3).precision == "bfloat16"
    with pytest.raises(SpecError, match="'float32', 'bfloat16' or 'float64'"):
        from_spec(spec | {"precision": "float16"}, horizon=3)
    with pytest.raises(ValueError, match="precision='float16' is unknown; choose float32, bfloat16, float64"):
        fit("float16", co2)
