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


class Walks(Naive):
    """Naive, by paths of random walks with steps of 3.2, in whole numbers where asked."""

    draws_paths = True

    def __init__(self, *, horizon, whole=False):
        super().__init__(horizon=horizon)
        self.whole = whole

    def paths(self, panel, series, ends, n_paths=None):
        steps = np.random.default_rng(0).normal(size=(len(ends), self.horizon, 1, n_paths or 200))
        drawn = panel.values[panel.indptr[series] + ends - 1][:, None, :, None] + 3.2 * steps.cumsum(axis=1)
        return np.rint(drawn) if self.whole else drawn

    def summary(self, paths, quantiles):
        return np.moveaxis(np.quantile(paths, (0.5, *quantiles), axis=-1), 0, -1)

    def forecast_panel(self, panel, series, ends, quantiles=()):
        return self.summary(self.paths(panel, series, ends), quantiles)


@pytest.mark.parametrize("whole", [False, True])
def test_paths_are_moved_so_that_they_cover_what_they_say(whole):
    """To values among them, and their order at each step stays as it was."""
    df = walk(90, names=40, step=4)
    df["y"] = df["y"].round()
    plain = Walks(horizon=2, whole=whole)
    model = Conformal(plain, n_windows=10, step_size=2, method="pooled")
    options = {"n_windows": 15, "step_size": 2, "level": [50, 80, 95], "metrics": ["coverage", "crps_samples"]}
    before, after = (backtest(m, df, **options).leaderboard().iloc[0] for m in (plain, model))
    assert before["coverage-80"] < 0.74
    for level in (50, 80, 95):
        assert after[f"coverage-{level}"] == pytest.approx(level / 100, abs=0.05 if whole else 0.035)
    assert after["crps_samples"] < before["crps_samples"]
    panel, place = tsrnn.Panel.from_frame(df), (np.arange(3), np.full(3, 80))
    own, moved = (m.fit_panel(panel).paths(panel, *place) for m in (plain, model))
    order = np.argsort(own, axis=-1)
    assert (np.diff(np.take_along_axis(moved, order, -1), axis=-1) >= 0).all()
    assert set(np.unique(moved)) < set(np.unique(own))
    assert list(model.fit(df).sample(n_paths=2).columns[2:]) == ["Walks-path-1", "Walks-path-2"]
    with pytest.raises(ValueError, match=r"Conformal draws no paths here; .* and Conformal\(method='pooled'\)"):
        Conformal(plain, n_windows=10).fit(df).sample()


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


def test_pooled_errors_are_counted_in_units_of_the_models_own_interval():
    """By hand: the interval of each series is its own one, times the error that so many of all series' were below."""
    df = pd.concat([walk(60, names=2), walk(60, seed=1, step=50.0).assign(unique_id="wild")])
    model = Conformal(Naive(horizon=2), n_windows=5, method="pooled").fit(df)
    first = Naive(horizon=2).fit(df.groupby("unique_id", sort=False).head(54))
    scores = np.zeros((15, 2))
    for i, (_, own) in enumerate(df.groupby("unique_id", sort=False)):
        for k in range(5):
            own_interval = first.predict(own.head(54 + k), level=[90])
            error = own["y"].to_numpy()[54 + k : 56 + k] - own_interval["Naive"]
            scores[5 * i + k] = error.abs() / (own_interval["Naive-hi-90"] - own_interval["Naive"])
    factor = np.sort(scores, axis=None)[15]  # half of 30 and one more are at least 16
    table, plain = model.predict(level=[50]), Naive(horizon=2).fit(df).predict(level=[90])
    expected = plain["Naive"] + (plain["Naive-hi-90"] - plain["Naive"]) * factor
    np.testing.assert_allclose(table["Naive-hi-50"], expected)
    new = model.predict(df[df["unique_id"] == "wild"].assign(unique_id="new"), level=[50])
    assert new["Naive-lo-50"].tolist() == pytest.approx(table["Naive-lo-50"].tolist()[-2:])


def test_a_constant_series_keeps_an_interval_of_no_width():
    df = pd.concat([walk(60, names=9), walk(60, step=0.0).assign(unique_id="flat")])
    table = Conformal(Naive(horizon=2), n_windows=20, method="pooled").fit(df).predict(level=[95])
    assert (table.loc[table["unique_id"] == "flat", ["Naive-lo-95", "Naive-hi-95"]] == 0).all(axis=None)


def test_missing_values_count_nothing():
    df = walk(60)
    df.loc[[52, 55], "y"] = np.nan
    for method in ("split", "pooled"):
        model = Conformal(Naive(horizon=1), n_windows=20, method=method).fit(df)
        assert np.isnan(model.errors_).sum() >= 2
        assert model.predict(level=[90]).notna().all(axis=None)


def test_an_unfinished_fit_teaches_nothing_of_the_errors():
    """The errors are those of a model that had not seen the rows it is judged on."""
    df = walk(80)
    poisoned = df.assign(y=df["y"].where(df.index < 40, df["y"] + 1e6))
    first = Conformal(tsrnn.HistoricAverage(horizon=2), n_windows=20, step_size=2).fit(poisoned)
    assert first.errors_.min() > 1e5  # the average of the first rows, though the model fitted on all rows knows better


def test_no_leakage():
    for method in ("split", "pooled"):
        model = Conformal(SeasonalNaive(horizon=2, season_length=3), n_windows=10, method=method)
        assert_no_leakage(model, gap_free(lengths=(60, 50)))


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
    """Pooled, from the errors of one fit on the rows that it held out itself."""
    df = walk(80)
    training = tsrnn.Training(max_steps=2, batch_size=4, validation=0.2, progress=False)
    network = tsrnn.Forecaster(tsrnn.GRU(4), horizon=2, context_length=6, training=training)
    split, pooled = (Conformal(network, n_windows=12, method=method).fit(df) for method in ("split", "pooled"))
    for model in (split, pooled):
        model.save(tmp_path / "model")
        table = model.predict()
        assert list(table.columns[2:]) == ["GRU", "GRU-lo-90", "GRU-hi-90"]
        pd.testing.assert_frame_equal(tsrnn.load(tmp_path / "model").predict(), table, check_exact=True)
    own = pooled.model_.predict(df.head(67), level=[90]).set_index("ds")
    error = df.set_index("ds").loc[own.index, "y"] - own["GRU"]
    side = np.where(error > 0, own["GRU-hi-90"] - own["GRU"], own["GRU"] - own["GRU-lo-90"])
    np.testing.assert_allclose(pooled.errors_[0, :2, 0, 0], error.abs() / side)


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
    with pytest.raises(ValueError, match="own intervals, and GRU has none"):
        Conformal(tsrnn.Forecaster(tsrnn.GRU(4), horizon=2, output=tsrnn.Point()), n_windows=9, method="pooled").fit(df)
    with pytest.raises(NotImplementedError, match="Conformal draws no paths"):
        model.paths(tsrnn.Panel.from_frame(df), np.zeros(1, int), np.array([20]))
    with pytest.raises(ValueError, match="method='cv' is unknown"):
        Conformal(Naive(horizon=2), method="cv").fit(df)
