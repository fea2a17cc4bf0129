"""Conformal intervals: what they promise, what they are made of, and what they refuse."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import tsrnn
from tests.strategies import gap_free
from tsrnn import Conformal, DataError, Drift, Naive, SeasonalNaive, backtest
from tsrnn.forecasting.spec import from_spec, to_spec
from tsrnn.testing import assert_no_leakage


def walk(n, seed=0, names=1, step=1.0):
    rng = np.random.default_rng(seed)
    days = pd.date_range("2024-01-01", periods=n)
    parts = [pd.DataFrame({"unique_id": i, "ds": days, "y": step * rng.normal(size=n).cumsum()}) for i in range(names)]
    return pd.concat(parts, ignore_index=True)


def test_the_width_is_an_error_that_was_made():
    """By hand: of nine errors at each step, the 90 % interval takes the largest, the 50 % interval the fifth."""
    df = walk(60)
    model = Conformal(Naive(horizon=2), n_windows=9).fit(df)
    y = df["y"].to_numpy()
    table = model.predict(level=[50, 90])
    for h in (1, 2):
        errors = np.sort([abs(y[e - 1 + h] - y[e - 1]) for e in range(60 - 2 - 8, 60 - 1)])
        row = table.iloc[h - 1]
        assert row["Naive"] == y[-1]
        assert row[["Naive-lo-90", "Naive-hi-90"]].tolist() == pytest.approx([y[-1] - errors[8], y[-1] + errors[8]])
        assert row[["Naive-lo-50", "Naive-hi-50"]].tolist() == pytest.approx([y[-1] - errors[4], y[-1] + errors[4]])


@pytest.mark.parametrize("method", ["split", "adaptive"])
def test_coverage_is_what_was_asked_for(method):
    df = walk(700, names=40)
    model = Conformal(Naive(horizon=4), n_windows=100, step_size=4, method=method)
    board = backtest(model, df, n_windows=40, step_size=4, level=[50, 80, 95]).leaderboard().iloc[0]
    for level in (50, 80, 95):
        assert board[f"coverage-{level}"] == pytest.approx(level / 100, abs=0.03)


def test_the_adaptive_method_follows_errors_that_grow():
    df = walk(160)
    grown = df.assign(y=df["y"].diff().fillna(0).mul(np.r_[np.ones(125), np.full(35, 4.0)]).cumsum())
    models = [Conformal(Naive(horizon=1), n_windows=60, method=m, rate=0.05).fit(grown) for m in ("split", "adaptive")]
    split, adaptive = (m.predict(level=[80]).eval("`Naive-hi-80` - `Naive-lo-80`").item() for m in models)
    assert adaptive > 1.2 * split


def test_intervals_are_nested_and_hold_the_forecast():
    df = walk(120, names=3)
    model = Conformal(Drift(horizon=3), n_windows=40, method="adaptive").fit(df)
    table = model.predict(level=[20, 50, 80, 95])
    columns = [f"Drift-lo-{p}" for p in (95, 80, 50, 20)] + ["Drift"] + [f"Drift-hi-{p}" for p in (20, 50, 80, 95)]
    assert (np.diff(table[columns], axis=1) >= 0).all()


def test_missing_values_count_nothing():
    df = walk(60)
    df.loc[[52, 55], "y"] = np.nan
    model = Conformal(Naive(horizon=1), n_windows=20).fit(df)
    assert np.isnan(model.errors_).sum() == 2
    assert model.predict(level=[90]).notna().all(axis=None)


def test_an_unfinished_fit_teaches_nothing_of_the_errors():
    """The errors are those of a model that had not seen the rows it is judged on."""
    df = walk(80)
    poisoned = df.assign(y=df["y"].where(df.index < 40, df["y"] + 1e6))
    first = Conformal(tsrnn.HistoricAverage(horizon=2), n_windows=20, step_size=2).fit(poisoned)
    assert first.errors_.min() > 1e5  # the average of the first rows, though the model fitted on all rows knows better


def test_no_leakage():
    assert_no_leakage(Conformal(SeasonalNaive(horizon=2, season_length=3), n_windows=10), gap_free(lengths=(60, 50)))


def test_comes_back_from_disk_and_from_a_specification(tmp_path):
    df = walk(60, names=2)
    model = Conformal(SeasonalNaive(horizon=2, season_length=3), n_windows=12, method="adaptive").fit(df)
    model.save(tmp_path / "model")
    loaded = tsrnn.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.predict(), model.predict(), check_exact=True)
    again = from_spec({"type": "Conformal", "model": {"type": "Naive"}, "n_windows": 5}, horizon=3)
    assert to_spec(again)["model"] == {"type": "Naive", "horizon": 3}
    assert clone(again).horizon == 3


def test_a_network_gets_intervals(tmp_path):
    df = walk(80)
    training = tsrnn.Training(max_steps=2, batch_size=4, progress=False)
    network = tsrnn.Forecaster(tsrnn.GRU(4), horizon=2, context_length=6, output=tsrnn.Point(), training=training)
    model = Conformal(network, n_windows=12).fit(df)
    model.save(tmp_path / "model")
    table = model.predict()
    assert list(table.columns[2:]) == ["GRU", "GRU-lo-90", "GRU-hi-90"]
    pd.testing.assert_frame_equal(tsrnn.load(tmp_path / "model").predict(), table, check_exact=True)


def test_what_cannot_be_done_is_said():
    df = walk(60)
    model = Conformal(Naive(horizon=2), n_windows=8).fit(df)
    assert list(model.predict().columns[-2:]) == ["Naive-lo-88", "Naive-hi-88"]
    with pytest.raises(ValueError, match="a level of 90 % needs at least 9 errors of each step, and there are 8"):
        model.predict(level=[90])
    with pytest.raises(DataError, match="series 'new' was not there in fit"):
        model.predict(df.assign(unique_id="new"))
    assert len(model.predict(df.assign(unique_id="new"), level=[])) == 2
    with pytest.raises(DataError, match="at least 102"):
        Conformal(Naive(horizon=2), n_windows=100).fit(df)
    with pytest.raises(ValueError, match="n_windows must be a positive integer, got 0"):
        Conformal(Naive(horizon=2), n_windows=0).fit(df)
    with pytest.raises(ValueError, match="method='cv' is unknown"):
        Conformal(Naive(horizon=2), method="cv").fit(df)
