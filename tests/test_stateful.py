"""One pass over a series and a decode at each cutoff, against reading all rows before each cutoff anew."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import tsrnn
from tsrnn.data import Panel
from tsrnn.data.synthetic import generate_series
from tsrnn.forecasting import stateful
from tsrnn.nn.esrnn import ESRNN
from tsrnn.testing import assert_no_leakage

H, CUTOFFS = 3, (20, 11, 7, 3)
TRAINING = tsrnn.Training(max_steps=5, batch_size=4, progress=False)


def forecaster(network=None, **options):
    options = {"normalization": "none", "stateful": True} | options
    network = network or tsrnn.GRU(hidden_size=4)
    return tsrnn.Forecaster(network, horizon=H, context_length=9, training=TRAINING, **options)


@pytest.fixture(scope="module")
def df():
    df = generate_series(3, freq="D", random_state=0, min_length=70, max_length=90)
    df.loc[[5, 30, 31, 100], "y"] = np.nan
    return df.assign(load=np.random.default_rng(0).normal(size=len(df)))


@pytest.fixture(scope="module")
def panel(df):
    return Panel.from_frame(df, tsrnn.data.Schema(past_covariates=["load"]))


@pytest.fixture(scope="module")
def model(panel):
    return forecaster().fit_panel(panel.until(panel.lengths - 20))


def places(panel):
    return np.tile(np.arange(3), len(CUTOFFS)), np.concatenate([panel.lengths - back for back in CUTOFFS])


def of_windows(model):
    """The same fitted model, which forecasts from windows."""
    window = clone(model).set_params(stateful=False)
    vars(window).update({name: value for name, value in vars(model).items() if name.endswith("_")})
    return window


def test_one_pass_is_reading_all_rows_before_each_cutoff(panel, model):
    series, ends = places(panel)
    got = model.forecast_panel(panel, series, ends, (0.1, 0.9))
    window = of_windows(model)
    window.context_length_ = int(panel.lengths.max())
    np.testing.assert_allclose(got, window.forecast_panel(panel, series, ends, (0.1, 0.9)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", ["LSTM", pytest.param("MinGRU", marks=pytest.mark.slow)])
def test_paths_of_a_recursive_network_start_from_the_carried_states(panel, cell):
    network = tsrnn.Recursive(cell=cell, hidden_size=4, num_layers=2)
    panel = replace(panel, covariates=panel.covariates[:, :0], schema=tsrnn.data.Schema())
    model = forecaster(network, output=tsrnn.Normal(), n_paths=8).fit_panel(panel.until(panel.lengths - 20))
    series, ends = places(panel)
    got = model.forecast_panel(panel, series, ends, (0.1, 0.9))
    window = of_windows(model)
    assert (window.forecast_panel(panel, series, ends, (0.1, 0.9)) != got).any()
    window.context_length_ = int(panel.lengths.max())
    np.testing.assert_allclose(got, window.forecast_panel(panel, series, ends, (0.1, 0.9)), rtol=1e-3, atol=1e-3)


def test_it_is_not_the_window_s_state(panel, model):
    series, ends = places(panel)
    assert (of_windows(model).forecast_panel(panel, series, ends) != model.forecast_panel(panel, series, ends)).any()


def test_groups_of_series_change_nothing(panel, model, monkeypatch):
    series, ends = places(panel)
    whole = model.forecast_panel(panel, series, ends)
    back = np.random.default_rng(0).permutation(len(series))
    monkeypatch.setattr(stateful, "_STEPS", 200)  # two series a pass, of three
    np.testing.assert_allclose(model.forecast_panel(panel, series[back], ends[back]), whole[back], rtol=1e-5, atol=1e-5)


def test_a_cutoff_is_forecast_to_the_bit_alike_alone_and_in_company(panel, model):
    series, ends = places(panel)
    whole = model.forecast_panel(panel, series, ends)
    for i in (0, 7, 11):
        alone = model.forecast_panel(panel, series[i : i + 1], ends[i : i + 1])
        np.testing.assert_array_equal(alone[0], whole[i])


def test_nothing_after_a_cutoff_matters(df):
    assert_no_leakage(forecaster(), df, past_covariates=["load"])


@pytest.mark.slow
def test_nothing_after_a_cutoff_matters_to_paths(df):
    assert_no_leakage(forecaster(tsrnn.Recursive(hidden_size=4), output=tsrnn.Normal(), n_paths=8), df)


def test_predict_starts_from_the_first_row_and_survives_the_disk(df, panel, model, tmp_path):
    known = df[df["ds"] < df["ds"].max() - pd.Timedelta(days=1)]
    full = forecaster().fit(known, past_covariates=["load"])
    assert (full.history_.lengths == Panel.from_frame(known, panel.schema).lengths).all()
    full.save(tmp_path / "model")
    again = tsrnn.load(tmp_path / "model")
    assert again.stateful
    pd.testing.assert_frame_equal(again.predict(), full.predict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalization": "last"}, "normalization='last' do not go together.*choose normalization='none'"),
        ({"network": tsrnn.Seq2Seq()}, r"LSTM\(\) or Recursive\(\) say, not for Seq2Seq"),
        ({"network": ESRNN()}, "not for ESRNN"),
        ({"network": tsrnn.GRU(bidirectional=True)}, r"not for GRU\(bidirectional=True\)"),
    ],
)
def test_what_cannot_carry_a_state_is_refused(df, options, message):
    with pytest.raises(ValueError, match=message):
        forecaster(**options).fit(df)


def test_filled_gaps_are_refused(df):
    with pytest.raises(ValueError, match="gaps='ffill' do not go together"):
        forecaster().fit(df, gaps="ffill")
