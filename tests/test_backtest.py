"""The backtest against a naive double loop, against published figures, and against what must never happen."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import utilsforecast.losses as nixtla
from sklearn.base import clone
from sklearn.metrics import mean_pinball_loss
from utilsforecast.evaluation import evaluate

from tsrnn import LSTM, Conformal, Forecaster, Training
from tsrnn.data import DataError, Panel
from tsrnn.evaluation import BacktestEvent, BacktestInterrupted, backtest
from tsrnn.evaluation import metrics as formulas
from tsrnn.forecasting.base import AbstractForecaster
from tsrnn.forecasting.baselines import Drift, HistoricAverage, Naive, Naive2, SeasonalNaive

H = 5
TRAINED = Forecaster(LSTM(hidden_size=4), horizon=H, context_length=8, training=Training(max_steps=4, batch_size=4))
BASELINES = [Naive(horizon=H), SeasonalNaive(horizon=H), Drift(horizon=H), HistoricAverage(horizon=H)]


class TrainedMean(AbstractForecaster):
    """Forecasts the mean of the rows that it was fitted on, so that what it saw can be read off; no intervals."""

    def __init__(self, *, horizon):
        self.horizon = horizon

    @property
    def name(self):
        return type(self).__name__

    @property
    def default_level(self):
        return ()

    def _fit(self, panel):
        self.mean_ = np.nanmean(panel.values)

    def forecast_panel(self, panel, series, ends, quantiles=()):
        assert not quantiles
        return np.full((len(series), self.horizon, panel.values.shape[1], 1), self.mean_)


class Stopped(TrainedMean):
    """Ctrl-C in the middle of fitting."""

    def _fit(self, panel):
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def ragged():
    """Three daily series of 60, 43 and 51 days, one with missing stamps and values, one at a cutoff."""
    rng = np.random.default_rng(0)
    frames = []
    for name, length, start in (("c", 60, "2024-01-01"), ("a", 43, "2023-06-01"), ("b", 51, "2024-02-01")):
        days = pd.date_range(start, periods=length)
        y = 10 + 3 * np.sin(np.arange(length) * 2 * np.pi / 7) + rng.normal(0, 1, length)
        frames.append(pd.DataFrame({"unique_id": name, "ds": days, "y": y}))
    df = pd.concat(frames, ignore_index=True)
    df.loc[[20, 48, 70, 101], "y"] = np.nan  # 101 is the last row of "a", which is only ever tested
    return df.drop(index=[10, 11, 54, 80, 120]).reset_index(drop=True)  # 54 is a cutoff of "c"


def known_rows(df, horizon, n_windows, step_size):
    """Every (series, fold): the rows known at its cutoff and those to forecast, by plain pandas on a daily grid."""
    for name, rows in df.groupby("unique_id", sort=False):
        grid = rows.set_index("ds")["y"].asfreq("D")
        for fold in range(n_windows):
            end = len(grid) - horizon - (n_windows - 1 - fold) * step_size
            yield name, fold, grid.iloc[:end], grid.iloc[end : end + horizon]


@pytest.mark.parametrize("step_size", [H, 2, 8])
def test_a_naive_double_loop_agrees(ragged, step_size):
    result = backtest(BASELINES, ragged, n_windows=3, step_size=step_size, refit=True, level=[80])
    expected = []
    for name, _, known, tested in known_rows(ragged, H, 3, step_size):
        past = known.rename_axis("ds").reset_index().assign(unique_id=name)
        block = pd.DataFrame({"unique_id": name, "ds": tested.index, "cutoff": known.index[-1], "y": tested.to_numpy()})
        for model in BASELINES:
            forecast = type(model)(**model.get_params()).fit(past).predict(level=[80])
            block = block.merge(forecast, on=["unique_id", "ds"], validate="one_to_one")
        expected.append(block)
    pd.testing.assert_frame_equal(result.forecasts, pd.concat(expected, ignore_index=True), check_dtype=False)


def test_hand_made_forecasts_agree(ragged):
    result = backtest([Naive(horizon=H), SeasonalNaive(horizon=H, season_length=7)], ragged, n_windows=2)
    rows = iter(result.forecasts.itertuples(index=False))
    for name, _, known, tested in known_rows(ragged, H, 2, H):
        for day, y in tested.items():
            row = next(rows)
            assert (row.unique_id, row.ds, row.cutoff) == (name, day, known.index[-1])
            assert row.y == y or np.isnan([row.y, y]).all()
            assert row.Naive == known.dropna().iloc[-1]
            same_day = known[known.index.day_of_week == day.day_of_week].dropna()
            assert row.SeasonalNaive == same_day.iloc[-1]
    assert next(rows, None) is None


@pytest.mark.parametrize(("refit", "fits"), [(False, [0]), (True, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (9, [0])])
def test_refit_says_what_a_model_was_fitted_on(ragged, refit, fits):
    result = backtest(TrainedMean(horizon=H), ragged, n_windows=5, refit=refit)
    known = [pd.concat([rows for _, k, rows, _ in known_rows(ragged, H, 5, H) if k == fold]) for fold in range(5)]
    means = [known[max(fit for fit in fits if fit <= fold)].mean() for fold in range(5)]
    seen = result.forecasts["TrainedMean"].to_numpy().reshape(3, 5, H)
    np.testing.assert_allclose(seen, np.broadcast_to(np.array(means)[None, :, None], seen.shape), rtol=1e-12)
    assert result.timings["fold"].tolist() == fits


FIVE = {"n_windows": 5, "refit": True}


@pytest.mark.parametrize("train_size", [9, 30, 99])
def test_a_sliding_window_is_learned_from_alone(ragged, train_size):
    result = backtest([TrainedMean(horizon=H), HistoricAverage(horizon=H)], ragged, train_size=train_size, **FIVE)
    windows = {(name, k): rows.tail(train_size) for name, k, rows, _ in known_rows(ragged, H, 5, H)}
    pooled = [pd.concat([windows[name, k] for name in "cab"]).mean() for k in range(5)]
    seen = result.forecasts["TrainedMean"].to_numpy().reshape(3, 5, H)
    np.testing.assert_allclose(seen, np.broadcast_to(np.array(pooled)[None, :, None], seen.shape), rtol=1e-12)
    alone = [[windows[name, k].mean()] * H for name in "cab" for k in range(5)]
    np.testing.assert_allclose(result.forecasts["HistoricAverage"], np.ravel(alone), rtol=1e-12)


@pytest.mark.parametrize("refit", [False, True, 2])
def test_a_gap_leaves_out_the_first_steps(ragged, refit):
    whole = backtest(BASELINES, ragged, n_windows=3, refit=refit)
    late = backtest(BASELINES, ragged, n_windows=3, gap=2, step_size=H, refit=refit)
    assert late.horizon == H - 2
    columns = list(whole.forecasts)
    pd.testing.assert_frame_equal(
        late.forecasts[columns], whole.forecasts[np.arange(len(whole.forecasts)) % H >= 2].reset_index(drop=True)
    )


def test_longer_models_are_judged_by_the_steps_asked_for(ragged):
    models = {"short": Drift(horizon=4), "long": Drift(horizon=H + 20)}
    result = backtest(models, ragged, horizon=3, gap=1, n_windows=2, level=[])
    assert result.horizon == 3
    pd.testing.assert_series_equal(result.forecasts["short"], result.forecasts["long"], check_names=False)
    assert len(result.history) == 60 + 43 + 51
    with pytest.raises(ValueError, match="ask for models of a horizon of at least 5, got short: 4, long: 25"):
        backtest(models, ragged, horizon=4, gap=1)


def test_skipped_folds_change_nothing_in_the_others(ragged):
    models = [*BASELINES, TrainedMean(horizon=H)]
    whole = backtest(models, ragged, **FIVE)
    some = backtest(models, ragged, skip_folds=[0, 3], **FIVE)
    fold = np.arange(len(whole.forecasts)) // H % 5
    pd.testing.assert_frame_equal(
        some.forecasts, whole.forecasts[np.isin(fold, [1, 2, 4])].reset_index(drop=True), check_dtype=False
    )
    cell = np.arange(len(whole.metrics)) % 5
    pd.testing.assert_frame_equal(some.metrics, whole.metrics[np.isin(cell, [1, 2, 4])].reset_index(drop=True))


def test_incomplete_folds_are_judged_by_what_was_observed():
    y = pd.Series(np.arange(20.0) ** 2, index=pd.date_range("2024-01-01", periods=20))
    options = {"start": "2024-01-10", "step_size": 3}
    whole = backtest(Drift(horizon=5), y, **options)
    result = backtest(Drift(horizon=5), y, **options, allow_incomplete_fold=True)
    assert [str(c.date()) for c in result.metrics["cutoff"]] == [f"2024-01-{day}" for day in (10, 13, 16, 19)]
    pd.testing.assert_frame_equal(result.metrics.iloc[:2], whole.metrics)
    assert result.forecasts["y"].isna().to_numpy().reshape(4, 5).sum(axis=1).tolist() == [0, 0, 1, 4]
    last = result.forecasts.iloc[-5:]
    assert result.metrics["mae"].iloc[-1] == abs(last["y"] - last["Drift"]).iloc[0]
    assert last["ds"].tolist() == pd.date_range("2024-01-20", periods=5).tolist()
    assert len(result.history) == 20
    known = pd.DataFrame({"ds": y.index, "y": y.to_numpy(), "price": 1.0})
    with pytest.raises(DataError, match=r"4 steps beyond the data are forecast, .*\['price'\] are not known; place it"):
        backtest(Drift(horizon=5), known, **options, allow_incomplete_fold=True, future_covariates=["price"])


def test_a_warm_start_goes_on_where_a_model_can_and_is_stated(ragged):
    models = {"net": TRAINED, "Drift": Drift(horizon=H)}
    warm = backtest(models, ragged, n_windows=3, refit=True, warm_start=True)
    assert warm.timings["start"].tolist() == ["cold", "warm", "warm", "cold", "cold", "cold"]
    cold = backtest(models, ragged, n_windows=3, refit=True)
    assert set(cold.timings["start"]) == {"cold"}
    panel = Panel.from_frame(ragged)
    ends = panel.lengths - H * np.arange(3, 0, -1)[:, None]
    model = clone(TRAINED).fit_panel(panel.until(ends[0]))
    for k in (1, 2):
        model.fine_tune(panel.until(ends[k]))
    forecasts = model.forecast_panel(panel, np.arange(3), ends[2])[:, :, 0, 0]
    np.testing.assert_array_equal(warm.forecasts["net"].to_numpy().reshape(3, 3, H)[:, 2], forecasts)
    assert (warm.forecasts["net"] != cold.forecasts["net"]).any()
    pd.testing.assert_series_equal(warm.forecasts["Drift"], cold.forecasts["Drift"])


def test_a_fold_gives_what_fit_and_predict_give_on_the_rows_it_knows(ragged):
    """To the bit, though the backtest lays out every fold in the room of all rows."""
    result = backtest(TRAINED, ragged, n_windows=2, refit=True)
    ends = {(name, k): rows.index[-1] for name, k, rows, _ in known_rows(ragged, H, 2, H)}
    known = ragged[[ds <= ends[name, 0] for name, ds in zip(ragged["unique_id"], ragged["ds"], strict=True)]]
    own = clone(TRAINED).fit(known.reset_index(drop=True)).predict()
    fold = result.forecasts.groupby("unique_id", sort=False).head(H).reset_index(drop=True)
    pd.testing.assert_frame_equal(fold[own.columns], own, check_exact=True)


# Every forecaster belongs here: whatever stands after a cutoff must not change a bit of what is forecast from it.
LEAKAGE_MODELS = [*BASELINES, TrainedMean(horizon=H), TRAINED]


HOW = [{}, {"refit": True}, {"refit": True, "train_size": 30, "warm_start": True}]


@pytest.mark.parametrize("how", HOW, ids=["one fit", "refit", "sliding, warm"])
@pytest.mark.parametrize("poison", [1e9, np.nan])
@pytest.mark.parametrize("model", LEAKAGE_MODELS, ids=lambda model: model.name)
def test_nothing_after_a_cutoff_matters(ragged, model, poison, how):
    n_windows = 3
    clean = backtest(model, ragged, n_windows=n_windows, **how)
    columns = [column for column in clean.forecasts if column.startswith(model.name)]
    for fold in range(n_windows):
        poisoned = ragged.copy()
        for name, k, known, _ in known_rows(ragged, H, n_windows, H):
            if k == fold:
                poisoned.loc[(ragged["unique_id"] == name) & (ragged["ds"] > known.index[-1]), "y"] = poison
        dirty = backtest(model, poisoned, n_windows=n_windows, **how)
        shape = (3, n_windows, H, len(columns))
        before = clean.forecasts[columns].to_numpy().reshape(shape)[:, : fold + 1]
        after = dirty.forecasts[columns].to_numpy().reshape(shape)[:, : fold + 1]
        assert before.tobytes() == after.tobytes()
        scales = [
            result.scales["mase"].to_numpy().reshape(3, n_windows)[:, : fold + 1].tobytes() for result in (clean, dirty)
        ]
        assert scales[0] == scales[1]


def test_utilsforecast_takes_the_forecasts_as_they_are():
    rng = np.random.default_rng(3)
    ids, days = np.repeat(["u", "v"], 70), np.tile(pd.date_range("2024-01-01", periods=70), 2)
    df = pd.DataFrame({"unique_id": ids, "ds": days, "y": rng.normal(20, 5, 140)})
    result = backtest(BASELINES, df, n_windows=3, step_size=4, level=[50, 90])

    def mase(df, models, id_col, target_col, train_df, cutoff_col, time_col):
        return nixtla.mase(df, models, 7, train_df, id_col, target_col, cutoff_col, time_col)

    def rmsse(df, models, id_col, target_col, train_df, cutoff_col, time_col):
        return nixtla.rmsse(df, models, 7, train_df, id_col, target_col, cutoff_col, time_col)

    plain = [nixtla.mae, nixtla.rmse, nixtla.mape, nixtla.smape, nixtla.nd, mase, rmsse]
    theirs = evaluate(result.forecasts, [*plain, nixtla.mqloss, nixtla.coverage], train_df=df, level=[50, 90])
    wide = theirs.melt(["unique_id", "cutoff", "metric"], var_name="model").pivot(
        index=["model", "unique_id", "cutoff"], columns="metric", values="value"
    )
    wide["smape"] *= 200
    names = {"nd": "wape", "mqloss": "pinball", "coverage_level50": "coverage-50", "coverage_level90": "coverage-90"}
    ours = result.metrics.set_index(["model", "unique_id", "cutoff"]).sort_index()
    assert len(ours) == 4 * 2 * 3
    wide = wide.rename(columns=names).rename_axis(columns=None)[ours.columns]
    pd.testing.assert_frame_equal(ours, wide, rtol=1e-10, check_dtype=False, check_index_type=False)


@pytest.fixture(scope="module")
def m4_hourly(shared_data):
    folder = shared_data / "forecast" / "m4"
    halves = [pd.read_csv(folder / f"Hourly-{half}.csv", index_col=0) for half in ("train", "test")]
    values = [
        np.r_[train[~np.isnan(train)], test] for train, test in zip(*(half.to_numpy() for half in halves), strict=True)
    ]
    return pd.DataFrame(
        {
            "unique_id": np.repeat(halves[0].index, [len(y) for y in values]),
            "ds": np.concatenate([np.arange(len(y)) for y in values]),
            "y": np.concatenate(values),
        }
    )


def test_m4_hourly_gives_the_published_figures(m4_hourly):
    models = [m(horizon=48, season_length=24) for m in (SeasonalNaive, Naive2)]
    board = backtest(models, m4_hourly, season_length=24, metrics=["smape", "mase"]).leaderboard().set_index("model")
    assert board[["smape", "mase"]].round(3).to_numpy().tolist() == [[13.912, 1.193], [18.383, 2.395]]
    assert board["owa"].tolist() == pytest.approx([0.627, 1.0], abs=6e-4)  # .627 is of rounded figures


def test_naive2_is_the_competition_s_own(m4_hourly, shared_data):
    official = pd.read_csv(shared_data / "forecast" / "m4" / "Hourly-Naive2-official.csv.gz", index_col="id")
    ours = backtest(Naive2(horizon=48, season_length=24), m4_hourly, season_length=24).forecasts
    table = ours["Naive2"].to_numpy().reshape(-1, 48)
    np.testing.assert_allclose(table, official.loc[ours["unique_id"].to_numpy()[::48]], rtol=1e-9)


def test_etth1_gives_the_published_figures_of_repeat_last_and_of_last_day(shared_data):
    """All 2,785 windows of the last 2,880 rows, errors in units of the first 8,640 rows, mean over seven series."""
    df = pd.read_csv(shared_data / "forecast" / "ett" / "ETTh1.csv", parse_dates=["date"]).iloc[:14_400]
    models = [Naive(horizon=96), SeasonalNaive(horizon=96, season_length=24)]
    folds = {"n_windows": 2785, "step_size": 1, "unit_rows": 8640}
    board = backtest(models, df, time_col="date", metrics=["mse", "mae"], level=[], **folds).leaderboard()
    figures = board.set_index("model").round(3)
    assert figures.loc["Naive"].tolist() == [1.294, 0.713]
    assert figures.loc["SeasonalNaive"].tolist() == [0.512, 0.433]


def test_units_take_rows_before_the_first_cutoff_only():
    df = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=20), "y": np.arange(20.0)})
    with pytest.raises(ValueError, match="unit_rows must lie in 2 to 18, the rows before the first cutoff, got 19"):
        backtest(Naive(horizon=2), df, unit_rows=19)
    plain, scaled = (
        backtest(Naive(horizon=2), df, unit_rows=rows, metrics=["mae", "mse", "bias", "mase"]).leaderboard().iloc[0]
        for rows in (None, 5)
    )
    unit = np.arange(5.0).std()
    assert scaled[["mae", "bias"]].tolist() == pytest.approx((plain[["mae", "bias"]] / unit).tolist())
    assert scaled["mse"] == pytest.approx(plain["mse"] / unit**2)
    assert scaled["mase"] == plain["mase"]


def test_weighted_quantile_loss_is_pooled_over_series_and_cutoffs():
    rng = np.random.default_rng(0)
    df = pd.DataFrame(
        {
            "unique_id": np.repeat(["large", "small", "zero"], 30),
            "ds": np.tile(pd.date_range("2024-01-01", periods=30), 3),
            "y": np.r_[rng.normal(1e3, 1e2, 30), rng.normal(1, 0.3, 30), np.zeros(30)],
        }
    )
    level = [20, 40, 60, 80]
    result = backtest(Drift(horizon=4), df, n_windows=3, level=level, metrics=["wql", "mase"])
    table, y = result.forecasts, result.forecasts["y"].to_numpy()
    columns = [f"Drift-lo-{p}" for p in (80, 60, 40, 20)] + ["Drift"] + [f"Drift-hi-{p}" for p in level]
    deciles = np.arange(1, 10) / 10
    losses = [mean_pinball_loss(y, table[column], alpha=q) for column, q in zip(columns, deciles, strict=True)]
    expected = 2 * np.mean(losses) * len(y) / np.abs(y).sum()
    assert result.leaderboard()["wql"].item() == pytest.approx(expected, rel=1e-9)


def test_skill_is_a_ratio_to_one_of_the_models():
    df = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=20), "y": np.arange(20.0) ** 2})
    result = backtest([Naive(horizon=2), Drift(horizon=2)], df)
    board, skill = result.leaderboard().set_index("model"), result.skill("Naive").set_index("model")
    assert (skill.loc["Naive"] == 1).all()
    assert skill.loc["Drift", "mae"] == board.loc["Drift", "mae"] / board.loc["Naive", "mae"]
    assert not [name for name in skill if name.startswith("coverage")]
    with pytest.raises(ValueError, match="no model is called 'Theta'; there are Naive, Drift"):
        result.skill("Theta")


def test_the_scaled_interval_score_asks_for_its_level():
    df = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=20), "y": np.arange(20.0) % 3})
    with pytest.raises(ValueError, match=r"ask for them, as in level=\[95\]"):
        backtest(Naive(horizon=2), df, metrics=["msis"])
    metrics = backtest(Naive(horizon=2), df, metrics=["msis", "winkler"], level=[95], season_length=1).metrics
    step = np.abs(np.diff(np.arange(18.0) % 3)).mean()
    assert metrics["msis"].item() == pytest.approx(metrics["winkler-95"].item() / step)


def test_the_leaderboard_counts_every_series_the_same():
    """Mean over cutoffs, then over series; a missing cell must not shift the weight of its series."""
    days = pd.date_range("2024-01-01", periods=12)
    near, far = np.zeros(12), np.arange(12.0) * 10
    near[:10:2] = 1
    near[-2:] = np.nan  # nothing to judge in the last fold of "near"
    df = pd.DataFrame({"unique_id": np.repeat(["near", "far"], 12), "ds": np.tile(days, 2), "y": np.r_[near, far]})
    result = backtest(Naive(horizon=2), df, n_windows=2, metrics=["mae"])
    per_cell = result.metrics.set_index(["unique_id", "cutoff"])["mae"].unstack()
    near_mae = 0.5  # known ... 1, 0 | 1, 0: off by one and right
    assert per_cell.loc["near"].tolist() == [near_mae, pytest.approx(np.nan, nan_ok=True)]
    assert per_cell.loc["far"].tolist() == [15.0, 15.0]
    assert result.leaderboard()["mae"].tolist() == [(near_mae + 15.0) / 2]
    assert result.n_undefined[["model", "mae"]].to_numpy().tolist() == [["Naive", 1]]


def test_the_leaderboard_is_sorted_and_complete(ragged):
    board = backtest(BASELINES, ragged, n_windows=2).leaderboard()
    names = ["model", "mase", "rmsse", "mae", "rmse", "smape", "mape", "wape", "pinball", "coverage-90"]
    assert list(board) == names
    assert set(board["model"]) == {"Naive", "SeasonalNaive", "Drift", "HistoricAverage"}
    assert board["mase"].is_monotonic_increasing
    assert board["mase"].nunique() == 4
    by_mae = backtest(BASELINES, ragged, metrics=["rmse", "mae"]).leaderboard()
    assert by_mae["rmse"].is_monotonic_increasing


def test_a_constant_series_has_no_scale_and_is_counted():
    index = pd.date_range("2024-01-01", periods=40)
    df = pd.DataFrame({"flat": 3.0, "moving": np.arange(40.0) ** 2}, index=index)
    result = backtest(Naive(horizon=4), df, n_windows=2)
    flat = result.metrics[result.metrics["unique_id"] == "flat"]
    assert flat[["mase", "rmsse"]].isna().all(axis=None)
    assert (flat["mae"] == 0).all()
    assert np.isfinite(result.leaderboard()[["mase", "rmsse"]].to_numpy()).all()
    undefined = result.n_undefined.iloc[0]
    assert undefined["mase"] == undefined["rmsse"] == 2
    assert undefined["mae"] == 0
    assert result.by_step()["Naive"].notna().all()


def test_the_error_by_step_averages_to_mase():
    rng = np.random.default_rng(5)
    df = pd.DataFrame(rng.normal(0, 1, (80, 3)), columns=list("xyz"), index=pd.date_range("2024-01-01", periods=80))
    result = backtest(BASELINES, df, n_windows=4)
    steps = result.by_step()
    assert steps["step"].tolist() == [1, 2, 3, 4, 5]
    board = result.leaderboard()
    assert list(steps)[1:] == board["model"].tolist()
    np.testing.assert_allclose(steps.drop(columns="step").mean(), board["mase"], rtol=1e-12)
    first = result.forecasts.groupby(["unique_id", "cutoff"]).first()
    scale = result.scales["mase"]
    scaled = (first["y"] - first["Drift"]).abs() / scale.to_numpy()
    assert steps["Drift"][0] == pytest.approx(scaled.mean())


def test_models_have_intervals_or_have_none(ragged):
    models = [Naive(horizon=H), TrainedMean(horizon=H)]
    result = backtest(models, ragged, level=[80, 95])
    names = ["Naive", "Naive-lo-80", "Naive-hi-80", "Naive-lo-95", "Naive-hi-95", "TrainedMean"]
    assert list(result.forecasts) == ["unique_id", "ds", "cutoff", "y", *names]
    by_model = result.metrics.set_index("model")[["pinball", "coverage-80", "coverage-95"]]
    assert by_model.loc["Naive"].notna().all(axis=None)
    assert by_model.loc["TrainedMean"].isna().all(axis=None)
    assert "Naive-lo-90" in backtest(models, ragged).forecasts
    none = backtest(models, ragged, level=[])
    assert list(none.forecasts)[4:] == ["Naive", "TrainedMean"]
    assert not [name for name in none.metrics if name.startswith("coverage")]


def test_a_mapping_names_the_models(ragged):
    models = {"last week": SeasonalNaive(horizon=H, season_length=7), "last day": Naive(horizon=H)}
    result = backtest(models, ragged, level=[])
    assert list(result.forecasts)[4:] == ["last week", "last day"]
    assert set(result.leaderboard()["model"]) == {"last week", "last day"}


def test_the_callers_models_and_frame_are_left_alone(ragged):
    model, before = TrainedMean(horizon=H), ragged.copy()
    backtest([model], ragged, n_windows=2)
    assert vars(model) == {"horizon": H}
    pd.testing.assert_frame_equal(ragged, before)


def test_several_seeds_give_a_mean_and_a_spread(ragged):
    models = {"net": TRAINED, "banded": Conformal(TRAINED, n_windows=12), "Drift": Drift(horizon=H)}
    result = backtest(models, ragged, seeds=[3, 0], metrics=["mae", "mase"])
    assert result.models == ["net-seed3", "net-seed0", "banded-seed3", "banded-seed0", "Drift"]
    alone = backtest(clone(TRAINED).set_params(random_state=3), ragged).forecasts["LSTM"]
    assert (result.forecasts["net-seed3"] == alone).all()
    assert (result.forecasts["net-seed3"] == result.forecasts["banded-seed3"]).all()
    assert (result.forecasts["net-seed0"] != alone).all()
    board, over = result.leaderboard().set_index("model"), result.over_seeds()
    assert over["mase"].is_monotonic_increasing
    over = over.set_index("model")
    assert over["n_seeds"].to_dict() == {"net": 2, "banded": 2, "Drift": 1}
    pair = board.loc[["net-seed3", "net-seed0"], "mae"]
    assert over.loc["net", ["mae", "mae-std"]].tolist() == pytest.approx([pair.mean(), pair.std()])
    assert over.loc["Drift", "mae"] == board.loc["Drift", "mae"]
    with pytest.raises(ValueError, match=r"seeds must be different integers, at least one, got \[1, 1\]"):
        backtest(models, ragged, seeds=[1, 1])


def test_a_model_backtests_itself(ragged):
    model = Conformal(Drift(horizon=H), n_windows=12)
    own = model.backtest(ragged, n_windows=2, refit=True)
    pd.testing.assert_frame_equal(own.forecasts, backtest(model, ragged, n_windows=2, refit=True).forecasts)
    assert not hasattr(model, "model_")


def test_cross_validation_takes_nixtla_s_arguments_and_gives_its_frame(ragged):
    model = SeasonalNaive(horizon=H)
    got = model.cross_validation(ragged, 3, n_windows=2, step_size=2, refit=True, level=[80])
    assert list(got) == ["unique_id", "ds", "cutoff", "y", *(f"SeasonalNaive{end}" for end in ("", "-lo-80", "-hi-80"))]
    wanted = backtest(model, ragged, horizon=3, n_windows=2, step_size=2, refit=True, level=[80]).forecasts
    pd.testing.assert_frame_equal(got, wanted)
    pd.testing.assert_frame_equal(model.cross_validation(ragged, h=3, test_size=5, step_size=2, level=[80]), wanted)
    short = model.cross_validation(ragged, input_size=7, level=[])
    pd.testing.assert_frame_equal(short, backtest(model, ragged, train_size=7, level=[]).forecasts)
    for wrong in ({"test_size": 6, "step_size": 2}, {"test_size": 2}, {"test_size": 5, "n_windows": 2}):
        with pytest.raises(ValueError, match=r"test_size=\d must stand alone, without n_windows, and be h=3"):
            model.cross_validation(ragged, h=3, **wrong)
    days = pl.DataFrame({"ds": ragged["ds"][:40], "y": ragged["y"][:40]}).with_columns(pl.col("ds").cast(pl.Date))
    table = Naive(horizon=2).cross_validation(days, n_windows=2)
    assert isinstance(table, pl.DataFrame)
    assert table.schema["ds"] == table.schema["cutoff"] == pl.Date


def test_other_column_names_zones_and_integer_time():
    days = pd.date_range("2024-01-01", periods=30, tz="Europe/Berlin")
    df = pd.DataFrame({"site": "s", "time": days, "load": np.arange(30.0)})
    result = backtest(Naive(horizon=3), df, n_windows=2, id_col="site", time_col="time", target_col="load", level=[])
    assert list(result.forecasts) == ["site", "time", "cutoff", "y", "Naive"]
    assert list(result.metrics)[:3] == ["model", "site", "cutoff"]
    assert result.forecasts["time"].tolist() == days[-6:].tolist()
    assert result.forecasts["cutoff"].tolist() == [days[-7]] * 3 + [days[-4]] * 3
    assert result.history.columns.tolist() == ["site", "time", "y"]
    numbered = backtest(
        Naive(horizon=3), df.assign(time=range(30))[["time", "load"]], time_col="time", target_col="load"
    )
    assert numbered.forecasts["cutoff"].tolist() == [26] * 3


def test_joint_targets_are_series_of_their_own():
    rng = np.random.default_rng(2)
    df = pd.DataFrame(
        {"ds": pd.date_range("2024-01-01", periods=40), "p": rng.normal(size=40), "q": rng.normal(size=40)}
    )
    joint = backtest(BASELINES, df, n_windows=2, target_col=["p", "q"])
    order = ["unique_id", "cutoff", "ds"]
    for name in ("p", "q"):
        alone = backtest(BASELINES, df[["ds", name]], n_windows=2, target_col=name)
        own = joint.forecasts[joint.forecasts["unique_id"] == name].sort_values(order, ignore_index=True)
        pd.testing.assert_frame_equal(own, alone.forecasts)
        cells = joint.metrics[joint.metrics["unique_id"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(cells, alone.metrics)
        history = joint.history[joint.history["unique_id"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(history, alone.history)


def test_history_keeps_gaps(ragged):
    history = backtest(Naive(horizon=H), ragged).history
    assert len(history) == 60 + 43 + 51
    given = history.merge(ragged, on=["unique_id", "ds"], how="left", suffixes=("", "_given"))
    pd.testing.assert_series_equal(given["y"], given["y_given"], check_names=False)


def test_events_tell_what_goes_on(ragged):
    events = []
    backtest([Naive(horizon=H), Drift(horizon=H)], ragged, n_windows=4, refit=3, on_event=events.append)
    assert [(e.model, e.fold, e.seconds is None) for e in events] == [
        (model, fold, begins) for model in ("Naive", "Drift") for fold in (0, 3) for begins in (True, False)
    ]
    assert all(isinstance(e, BacktestEvent) and e.n_windows == 4 for e in events)
    assert all(e.seconds >= 0 for e in events[1::2])


def test_what_was_finished_survives_an_interrupt(ragged):
    models = [Naive(horizon=H), Drift(horizon=H), Stopped(horizon=H), SeasonalNaive(horizon=H)]
    with pytest.raises(BacktestInterrupted) as stopped:
        backtest(models, ragged, n_windows=2)
    assert isinstance(stopped.value, KeyboardInterrupt)
    whole = backtest(models[:2], ragged, n_windows=2)
    pd.testing.assert_frame_equal(stopped.value.result.forecasts, whole.forecasts)
    pd.testing.assert_frame_equal(stopped.value.result.leaderboard(), whole.leaderboard())
    with pytest.raises(BacktestInterrupted) as at_once:
        backtest(models[2:], ragged)
    assert at_once.value.result is None


def test_metrics_can_be_chosen(ragged):
    result = backtest(Naive(horizon=H), ragged, n_windows=2, metrics=["smape", "coverage"], season_length=1)
    assert list(result.metrics) == ["model", "unique_id", "cutoff", "smape", "coverage-90"]
    assert result.season_length == 1
    y, forecast = (result.forecasts[name].to_numpy().reshape(-1, H) for name in ("y", "Naive"))
    np.testing.assert_array_equal(result.metrics["smape"], formulas.smape(y, forecast))


@pytest.mark.parametrize(
    ("models", "arguments", "error", "message"),
    [
        ([], {}, ValueError, "no models"),
        ([Naive(horizon=3), Drift(horizon=4)], {}, ValueError, "same horizon, got Naive: 3, Drift: 4"),
        ([Naive(horizon=3), Naive(horizon=3)], {}, ValueError, "2 models are called 'Naive'; pass a mapping"),
        ([Naive], {}, TypeError, "is not a forecaster; pass an instance"),
        ({"y": Naive(horizon=3)}, {}, ValueError, "cannot be called 'y'"),
        ([Naive(horizon=3)], {"metrics": ["smap"]}, ValueError, "called 'smap'. Did you mean 'smape'"),
        ([Naive(horizon=3)], {"refit": -1}, ValueError, "refit must be True, False or the number of folds"),
        ([Naive(horizon=3)], {"refit": 1.5}, ValueError, "refit must be True, False or the number of folds"),
        ([Naive(horizon=3)], {"n_windows": 15}, DataError, r"'a' \(43 rows\); at least 46"),
        ([Naive(horizon=3)], {"n_windows": 0}, ValueError, "n_windows must be a positive integer"),
        ([Naive(horizon=0)], {}, ValueError, "horizon must be a positive integer"),
        ([Naive(horizon=3)], {"gap": 3}, ValueError, "gap=3 leaves no step to test of the models' horizon, Naive: 3"),
        ([Naive(horizon=3)], {"level": [100]}, ValueError, "level=100 is not a percentage"),
    ],
)
def test_what_cannot_be_done_is_said(ragged, models, arguments, error, message):
    with pytest.raises(error, match=message):
        backtest(models, ragged, **arguments)


def test_the_longest_need_of_all_models_is_asked_for():
    class Demanding(TrainedMean):
        def _rows_needed(self):
            return 30, "to see a month"

    series = pd.Series(np.arange(40.0), index=pd.date_range("2024-01-01", periods=40), name="s")
    models = [Naive(horizon=5), Demanding(horizon=5)]
    with pytest.raises(
        DataError, match=r"'s' \(40 rows\); at least 45 rows.*15 to test.*before them 30, to see a month"
    ):
        backtest(models, series, n_windows=3)
    assert len(backtest(models, series, n_windows=2).leaderboard()) == 2
