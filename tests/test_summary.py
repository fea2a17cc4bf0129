"""Summaries of a backtest against plain loops over the forecasts frame, utilsforecast and scoringrules."""

import numpy as np
import pandas as pd
import pytest
import scoringrules
import utilsforecast.losses as nixtla
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from tsrnn.evaluation import backtest
from tsrnn.evaluation import metrics as formulas
from tsrnn.forecasting.baselines import Drift, Naive, Naive2, SeasonalNaive

H, W = 4, 3
REGION = {"a": "north", "b": "south", "c": "north"}
SIZE = {"a": 1.0, "b": 3.0, "c": 0.5}


@pytest.fixture(scope="module")
def result():
    """Three weekly-seasonal series of two regions, one missing value, three cutoffs, two models with intervals."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=60)
    y = 20 + 5 * np.sin(np.arange(60) * 2 * np.pi / 7) + rng.normal(0, 2, (3, 60))
    df = pd.DataFrame({"unique_id": np.repeat(list(REGION), 60), "ds": np.tile(days, 3), "y": y.ravel()})
    df["region"] = df["unique_id"].map(REGION)
    df.loc[55, "y"] = np.nan
    models = [Naive(horizon=H), SeasonalNaive(horizon=H)]
    metrics = ["mase", "rmse", "wape", "coverage", "wql", "crps_quantiles", "calibration_error"]
    return backtest(models, df, n_windows=W, step_size=2, level=[50, 80], metrics=metrics, static_covariates=["region"])


def by_hand(result, figure, by):
    """Mean over cutoffs and then over series of what ``figure`` says of the rows, by a plain loop."""
    rows = result.forecasts.assign(
        step=np.tile(np.arange(1, H + 1), 3 * W), region=result.forecasts["unique_id"].map(REGION)
    )
    rows["scale"] = np.repeat(result.scales["mase"].to_numpy(), H)
    found = {}
    for key, group in rows.groupby(by) if by else [((), rows)]:
        cells = ["unique_id", *([] if "step" in by else ["cutoff"])]
        per_cell = group.groupby(cells)[list(group)].apply(figure)
        found[key] = per_cell.groupby("unique_id").mean().mean()
    return found


@pytest.mark.parametrize("by", [[], ["step"], ["cutoff"], ["region"], ["region", "step"], ["unique_id"]])
def test_a_plain_loop_agrees(result, by):
    table = result.summary(["mase", "rmse", "wape"], by=by)
    loops = {
        "mase": lambda rows: ((rows["y"] - rows["Naive"]).abs() / rows["scale"]).mean(),
        "rmse": lambda rows: np.sqrt(((rows["y"] - rows["Naive"]) ** 2).mean()),
        "wape": lambda rows: (rows["y"] - rows["Naive"]).abs().sum() / rows["y"].abs().sum(),
    }
    ours = table[table["model"] == "Naive"]
    assert list(table) == ["model", *by, "mase", "rmse", "wape"]
    for name, figure in loops.items():
        expected = by_hand(result, figure, by)
        keys = ours[by].itertuples(index=False, name=None) if by else [()]
        assert len(ours) == len(expected)
        for key, value in zip(keys, ours[name], strict=True):
            assert value == pytest.approx(expected[key], rel=1e-12), (name, key)


def test_the_leaderboard_metrics_and_errors_by_step_are_summaries(result):
    board = result.leaderboard()
    names = ["mase", "rmse", "wape", "coverage-50", "coverage-80", "wql", "crps_q5", "calibration_error"]
    assert list(board) == ["model", *names]
    pd.testing.assert_frame_equal(board, result.summary().sort_values("mase", ignore_index=True))
    assert len(result.metrics) == 2 * 3 * W
    coverage = result.by_cutoff("coverage-80")
    assert coverage["cutoff"].tolist() == sorted(result.labels["cutoff"].unique())
    pooled = result.summary("coverage", by="cutoff")
    assert coverage["Naive"].tolist() == pooled.loc[pooled["model"] == "Naive", "coverage-80"].tolist()


def test_a_mask_leaves_rows_out_and_weights_repeat_them(result):
    rows = result.forecasts
    weekend = rows["ds"].dt.day_of_week >= 5
    masked = result.summary(["rmse", "wql"], weights=weekend, pooled=True).set_index("model")
    kept = rows[weekend]
    assert masked.loc["Naive", "rmse"] == pytest.approx(np.sqrt(((kept["y"] - kept["Naive"]) ** 2).mean()))
    weights = np.random.default_rng(1).integers(0, 4, len(rows))
    weighted = result.summary(["mae", "wape", "coverage", "calibration_error"], weights=weights, pooled=True)
    repeated = rows.loc[rows.index.repeat(weights)].dropna()
    error = (repeated["y"] - repeated["Naive"]).abs()
    inside = repeated["y"].between(repeated["Naive-lo-80"], repeated["Naive-hi-80"])
    expected = [error.mean(), error.sum() / repeated["y"].abs().sum(), inside.mean()]
    assert weighted.loc[0, ["mae", "wape", "coverage-80"]].tolist() == pytest.approx(expected)
    assert not result.summary("mae", weights=np.zeros(len(rows)))["mae"].notna().any()


def test_weights_of_series_and_groups(result):
    per_series = result.summary("mase", by="unique_id")
    naive = per_series[per_series["model"] == "Naive"].set_index("unique_id")["mase"]
    weighted = result.summary("mase", weights=SIZE).set_index("model")["mase"]
    assert weighted["Naive"] == pytest.approx(np.average(naive, weights=naive.index.map(SIZE)))
    by_group = result.summary(["mase", "wql"], by="group", groups=REGION)
    assert by_group.rename(columns={"group": "region"}).equals(result.summary(["mase", "wql"], by="region"))
    alone = result.summary("wql", weights={"a": 0, "b": 2, "c": 0}).set_index("model")["wql"]
    of_b = result.summary("wql", by="unique_id").set_index(["model", "unique_id"])["wql"]
    assert alone["Naive"] == pytest.approx(of_b["Naive", "b"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "site"}, "nothing called 'site' to summarise by; there are unique_id, cutoff, fold, region, step"),
        ({"groups": {"a": 1}}, "groups say nothing of series 'b'"),
        ({"weights": {"a": 1}}, "weights say nothing of series 'b'"),
        ({"weights": [1.0, 2.0]}, r"a number for each of the 36 rows of forecasts, got shape \(2,\)"),
        ({"weights": -np.ones(36)}, "weights must be 0 or more"),
        ({"metrics": "rsme"}, "no metric is called 'rsme'. Did you mean 'rmse'"),
        ({"metrics": "owa"}, "owa compares with a model called 'Naive2'"),
    ],
)
def test_what_cannot_be_summarised_is_said(result, arguments, message):
    with pytest.raises(ValueError, match=message):
        result.summary(**arguments)


def test_a_metric_that_is_not_there_is_named(result):
    with pytest.raises(ValueError, match="there is no 'coverage-95'; there are coverage-50, coverage-80"):
        result.by_step("coverage-95")


def test_owa_compares_with_naive2_in_the_same_place():
    rng = np.random.default_rng(2)
    df = pd.DataFrame(rng.normal(20, 3, (60, 2)), columns=list("uv"), index=pd.date_range("2024-01-01", periods=60))
    models = [Naive(horizon=H), Naive2(horizon=H)]
    steps = backtest(models, df, n_windows=3, metrics=["owa"]).summary(by="step").set_index(["model", "step"])
    assert (steps.loc["Naive2", "owa"] == 1).all()
    ratios = steps.loc["Naive", ["smape", "mase"]] / steps.loc["Naive2", ["smape", "mase"]]
    np.testing.assert_allclose(steps.loc["Naive", "owa"], ratios.mean(axis=1))
    with pytest.raises(ValueError, match="owa compares"):
        backtest(Naive(horizon=H), df, metrics=["owa"])


def test_zero_scales_are_left_out_of_a_pool_and_counted():
    index = pd.date_range("2024-01-01", periods=40)
    df = pd.DataFrame({"flat": 3.0, "moving": np.arange(40.0) ** 2}, index=index)
    result = backtest(Drift(horizon=H), df, metrics=["mase", "rmsse", "msis"], level=[95])
    moving = result.summary(by="unique_id").set_index("unique_id").loc["moving", ["mase", "rmsse", "msis"]]
    assert result.summary(pooled=True).loc[0, ["mase", "rmsse", "msis"]].tolist() == pytest.approx(moving.tolist())
    assert result.n_undefined.loc[0, ["mase", "rmsse", "msis"]].tolist() == [1, 1, 1]


values = arrays(np.float64, (3, 5), elements=st.floats(-100, 100, width=32))


@given(values, arrays(np.float64, (3, 5, 7), elements=st.floats(-100, 100, width=32)))
def test_scoringrules_agrees_on_samples(y, samples):
    for fair, estimator in ((False, "nrg"), (True, "fair")):
        expected = scoringrules.crps_ensemble(y, samples, estimator=estimator).mean(axis=-1)
        np.testing.assert_allclose(formulas.crps(y, samples, fair=fair), expected, rtol=1e-9, atol=1e-9)


class Drawing(Naive):
    """Paths around the last value."""

    draws_paths = True

    def paths(self, panel, series, ends, n_paths=None):
        return self.forecast_panel(panel, series, ends)[..., :1] + np.arange(-3.0, 4.0)


def test_sample_paths_are_scored_where_that_is_asked_for():
    y = np.random.default_rng(5).normal(size=(40, 2)).cumsum(axis=0)
    y[-1, 0] = np.nan
    models = {"Drawing": Drawing(horizon=H), "Naive": Naive(horizon=H)}
    result = backtest(models, y, n_windows=2, horizon=3, gap=1, metrics=["mae", "crps_samples"])
    rows = result.forecasts
    expected = scoringrules.crps_ensemble(rows["y"], rows["Drawing"].to_numpy()[:, None] + np.arange(-3.0, 4.0))
    np.testing.assert_allclose(rows["Drawing-crps"], expected, rtol=1e-9)
    assert "Naive-crps" not in rows
    board = result.leaderboard().set_index("model")["crps_samples"]
    assert board["Drawing"] == pytest.approx(rows.groupby(["unique_id", "cutoff"])["Drawing-crps"].mean().mean())
    assert np.isnan(board["Naive"])
    masked = result.summary("crps_samples", by="step", weights=rows["cutoff"] == rows["cutoff"].min())
    first = rows["Drawing-crps"].to_numpy().reshape(2, 2, 3)[:, 0]
    np.testing.assert_allclose(masked["crps_samples"][:3], first.mean(axis=0))
    unasked = backtest(models, y, n_windows=2, horizon=3, gap=1)
    assert "Drawing-crps" not in unasked.forecasts
    for broken in (unasked.summary, lambda metrics: backtest(models["Naive"], y, metrics=metrics)):
        with pytest.raises(ValueError, match="crps_samples is a score of sample paths, which none of these models"):
            broken(["crps_samples"])


def test_scoringrules_agrees_on_quantiles_and_intervals():
    rng = np.random.default_rng(3)
    y, quantiles = rng.normal(0, 2, (4, 6)), np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    forecast = np.sort(rng.normal(0, 1, (4, 6, 5)), axis=-1)
    expected = scoringrules.crps_quantile(y, forecast, quantiles).mean(axis=-1)
    np.testing.assert_allclose(formulas.crps_quantiles(y, forecast, quantiles), expected, rtol=1e-12)
    lo, hi = forecast[..., 0], forecast[..., -1]
    expected = scoringrules.interval_score(y, lo, hi, 0.2).mean(axis=-1)
    np.testing.assert_allclose(formulas.winkler(y, lo, hi, 80), expected, rtol=1e-12)


def test_the_crps_of_nine_deciles_of_a_normal_distribution_is_a_tenth_too_high():
    """Figures of 200 standard normal values judged by the forecast N(0, 1); the exact score is in closed form."""
    y = np.random.default_rng(4).normal(size=200)
    exact = scoringrules.crps_normal(y, 0, 1).mean()
    grid = np.arange(1, 10) / 10
    deciles = formulas.crps_quantiles(y, np.broadcast_to(norm.ppf(grid), (200, 9)), grid)
    assert deciles / exact == pytest.approx(1.1, abs=0.03)
    samples = np.broadcast_to(norm.ppf((np.arange(999) + 0.5) / 999), (200, 999))
    assert formulas.crps(y, samples) == pytest.approx(exact, rel=1e-3)


def test_utilsforecast_agrees_on_calibration(result):
    rows = result.forecasts.dropna()
    columns = [f"Naive-{side}-{level}" for level in (50, 80) for side in ("lo", "hi")]
    quantiles = [0.25, 0.75, 0.1, 0.9]
    pool = rows.assign(unique_id="all").drop(columns="cutoff")
    shares = [nixtla.calibration(pool, {"Naive": column})["Naive"].item() for column in columns]
    expected = np.abs(np.array(shares) - quantiles).mean()
    ours = result.summary("calibration_error").set_index("model")["calibration_error"]
    assert ours["Naive"] == pytest.approx(expected)


@given(values, st.integers(0, 3))
def test_integer_weights_repeat_steps(y, seed):
    rng = np.random.default_rng(seed)
    forecast, weights = rng.normal(0, 50, (3, 5)), rng.integers(0, 3, 5)
    repeated = np.repeat(y, weights, axis=-1), np.repeat(forecast, weights, axis=-1)
    for metric in (formulas.mae, formulas.rmse, formulas.smape, formulas.mape, formulas.wape, formulas.bias):
        np.testing.assert_allclose(metric(y, forecast, weights=weights), metric(*repeated), rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="weights must be 0 or more"):
        formulas.mae(y, forecast, weights=weights - 5.0)
