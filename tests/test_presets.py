"""Presets are what could be written out by hand, in Python and in a run file."""

import numpy as np
import pandas as pd
import pytest

import tsrnn
from tests.conftest import ROOT
from tsrnn.forecasting import presets
from tsrnn.forecasting.spec import SpecError, from_spec, to_spec
from tsrnn.transforms import BoxCox, MeanAbsScaler, StandardScaler

BY_HAND = {
    "DeepAR": tsrnn.Forecaster(
        tsrnn.Recursive("LSTM", hidden_size=40, num_layers=2, dropout=0.1), horizon=6, output=tsrnn.StudentT(),
        transforms=MeanAbsScaler(), normalization="mean", alias="DeepAR",
        optimizer=tsrnn.Optimizer(learning_rate=1e-3, clip_norm=10.0), training=tsrnn.Training(sampling="scale"),
    ),
    "SegRNN": tsrnn.Forecaster(
        tsrnn.SegRNN(hidden_size=128, segment_length=24, dropout=0.5), horizon=6, output=tsrnn.Point("mse"),
        season_length=1, normalization="shift", optimizer=tsrnn.Optimizer(learning_rate=1e-3),
    ),
    "ESRNN": tsrnn.Forecaster(
        tsrnn.ESRNN(hidden_size=40, dilations=(1, 2, 4, 8)), horizon=6, transforms=[BoxCox(power=0), StandardScaler()],
        normalization="none", optimizer=tsrnn.Optimizer(learning_rate=1e-2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_is_the_composition_written_out(name):
    model = presets.PRESETS[name](horizon=6)
    assert to_spec(model) == to_spec(BY_HAND[name]) == to_spec(from_spec(name, horizon=6))
    assert model.name == name
    assert presets.PRESETS[name](6, context_length=30, random_state=3).context_length == 30
    with pytest.raises(TypeError, match="unexpected keyword argument 'context'"):
        presets.PRESETS[name](6, context=30)


def test_own_parameters_and_those_of_the_forecaster_in_a_run_file():
    spec = {"type": "ESRNN", "season_lengths": [24, 168], "multiplicative": False, "training": {"max_steps": 5}}
    model = from_spec(spec, horizon=48)
    wanted = presets.ESRNN(48, season_lengths=(24, 168), multiplicative=False, training=tsrnn.Training(max_steps=5))
    assert to_spec(model) == to_spec(wanted)
    assert model.network.dilations == (1, 4, 24, 168)
    assert model.transforms == StandardScaler()
    counts = from_spec({"type": "DeepAR", "counts": True, "lags": [1, 2]}, horizon=3)
    assert (counts.output, counts.transforms, counts.network.lags) == (tsrnn.NegativeBinomial(), None, (1, 2))
    with pytest.raises(SpecError, match="Did you mean 'season_length'") as error:
        from_spec({"type": "DeepAR", "season_lengths": [3]}, horizon=3)
    assert error.value.where == ("season_lengths",)


def test_an_alias_names_the_columns():
    model = tsrnn.Forecaster(tsrnn.LSTM(), horizon=2, alias="wide")
    assert (model.name, from_spec(to_spec(model)).name, model.set_params(alias=None).name) == ("wide", "wide", "LSTM")


@pytest.mark.slow
@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets_learn(name, tmp_path):
    df = tsrnn.read_csv(ROOT / "datasets" / "co2_weekly.csv").tail(300)
    training = tsrnn.Training(max_steps=40, batch_size=16, progress=False)
    model = presets.PRESETS[name](8, hidden_size=8, context_length=104, n_paths=20, training=training).fit(df)
    assert model.training_.train_loss[-10:].mean() < model.training_.train_loss[:10].mean()
    forecast = model.predict()
    assert list(forecast.columns)[:3] == ["unique_id", "ds", name]
    assert np.isfinite(forecast[name]).all()
    model.save(tmp_path / "model")
    pd.testing.assert_frame_equal(tsrnn.load(tmp_path / "model").predict(), forecast, check_exact=True)
