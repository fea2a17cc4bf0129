"""Tests of significance against published examples, scipy, and plain loops."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tsrnn.evaluation import backtest
from tsrnn.evaluation.significance import Ranks, critical_difference, diebold_mariano, friedman
from tsrnn.forecasting.baselines import Drift, HistoricAverage, Naive, SeasonalNaive

H = 4


def test_a_published_example_of_diebold_and_mariano():
    """The worked example of the package `dieboldmariano`: one-sided 0.0451557, squared errors, one step ahead."""
    y, a, b = [10, 20, 30, 40, 50], [11, 21, 29, 42, 53], [13, 26, 24, 40, 59]
    statistic, p_value = diebold_mariano((np.subtract(y, a) ** 2 - np.subtract(y, b) ** 2).astype(float))
    assert statistic == pytest.approx(-2.2229922805746782)
    assert p_value / 2 == pytest.approx(0.04515565862099125)


@given(st.integers(0, 50), st.integers(8, 40), st.integers(1, 5))
def test_a_plain_loop_agrees(seed, n, overlap):
    d = np.random.default_rng(seed).normal(0.3, 1, n)
    mean, total = d.mean(), 0.0
    for i in range(n):
        for j in range(n):
            if abs(i - j) < overlap:
                total += (d[i] - mean) * (d[j] - mean)
    variance = total / n**2
    statistic, p_value = diebold_mariano(d, overlap)
    if variance <= 0:
        overlap, variance = 1, d.var() / n
    correction = np.sqrt((n + 1 - 2 * overlap + overlap * (overlap - 1) / n) / n)
    assert statistic == pytest.approx(correction * mean / np.sqrt(variance), rel=1e-9)
    assert p_value == pytest.approx(2 * stats.t(n - 1).cdf(-abs(statistic)), rel=1e-9)
    assert diebold_mariano(-d, overlap) == pytest.approx((-statistic, p_value))


def test_one_step_ahead_it_is_student_s_test():
    d = np.random.default_rng(0).normal(0.2, 1, 30)
    expected = stats.ttest_1samp(d, 0)
    assert diebold_mariano(d) == pytest.approx((expected.statistic, expected.pvalue))


@pytest.mark.parametrize("d", [[], [1.0], [2.0, 2.0, 2.0], [np.nan, 1.0]])
def test_too_little_to_test(d):
    assert np.isnan(diebold_mariano(d)).all()


def test_equal_forecasts_are_rejected_as_often_as_the_level_says():
    """Differences that overlap by three steps are a moving average of order 2; 5 % within four standard errors."""
    noise = np.random.default_rng(1).normal(0, 1, (2000, 62))
    d = noise[:, :-2] + noise[:, 1:-1] + noise[:, 2:]
    rejected = np.mean([diebold_mariano(row, 3)[1] < 0.05 for row in d])
    assert 0.03 < rejected < 0.075
    assert np.mean([diebold_mariano(row)[1] < 0.05 for row in d]) > 0.15  # as if they did not overlap


def test_the_best_models_are_those_whose_intervals_meet_that_of_the_first():
    """Four models on fourteen series, critical difference 1.25 as in Demsar (2006), section 3.2.3."""
    assert critical_difference(14, 4) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(14, 4, alpha=0.1) == pytest.approx(1.12, abs=0.005)
    scores = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]] * 11 + [[2.0, 1.0, 3.0, 4.0]] * 3, columns=list("abcd"))
    ranks = Ranks.of(scores, "mae")
    assert ranks.table["model"].tolist() == ["a", "b", "c", "d"]
    assert ranks.table["among_best"].tolist() == [True, True, False, False]


@given(st.integers(0, 100), st.integers(3, 6), st.integers(2, 12), st.booleans())
def test_scipy_agrees_ties_included(seed, k, n, tied):
    scores = np.random.default_rng(seed).normal(size=(n, k))
    scores = scores.round(0 if tied else 9)
    spread = np.ptp(scores, axis=1).max()
    expected = stats.friedmanchisquare(*scores.T).pvalue if spread > 0 else 1.0
    assert friedman(scores)[1] == pytest.approx(expected, rel=1e-9)


def test_nemenyi_has_the_quantiles_of_the_published_table():
    """Demsar (2006), table 5a: two to ten models at 5 %."""
    table = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    for k, q in enumerate(table, start=2):
        assert critical_difference(60, k) == pytest.approx(q * np.sqrt(k * (k + 1) / 360), rel=1e-3)


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(0)
    index = pd.date_range("2024-01-01", periods=120)
    season = 5 * np.sin(np.arange(120) * 2 * np.pi / 7)
    df = pd.DataFrame(season[:, None] + rng.normal(0, 1, (120, 6)), columns=list("abcdef"), index=index)
    models = [SeasonalNaive(horizon=H), Naive(horizon=H), Drift(horizon=H), HistoricAverage(horizon=H)]
    return backtest(models, df, n_windows=20, step_size=2, metrics=["mase", "rmse", "coverage"])


def test_losses_are_means_over_series_at_each_cutoff(result):
    metrics = result.metrics.pivot(index=["cutoff", "unique_id"], columns="model", values="mase")
    d = (metrics["SeasonalNaive"] - metrics["Naive"]).groupby("cutoff").mean()
    (row,) = result.diebold_mariano("SeasonalNaive", "Naive").to_dict("records")
    assert (row["n"], row["difference"]) == (20, pytest.approx(d.mean()))
    assert (row["statistic"], row["p_value"]) == pytest.approx(diebold_mariano(d, overlap=2))
    assert row["p_value"] < 0.01
    per_series = result.diebold_mariano("Naive", "SeasonalNaive", by="unique_id", metric="rmse")
    assert per_series["unique_id"].tolist() == list("abcdef")
    assert (per_series["statistic"] > 0).all()


def test_only_cutoffs_before_the_step_are_correlated(result):
    steps = result.diebold_mariano("SeasonalNaive", "Naive", by="step")
    per_step = result.summary("mase", by=["step", "cutoff", "unique_id"])
    wide = per_step.pivot(index=["step", "cutoff", "unique_id"], columns="model", values="mase")
    d = (wide["SeasonalNaive"] - wide["Naive"]).groupby(["step", "cutoff"]).mean()
    expected = [diebold_mariano(d[step], overlap)[0] for step, overlap in ((1, 1), (2, 1), (3, 2), (4, 2))]
    assert steps["statistic"].tolist() == pytest.approx(expected)


def test_a_gap_is_forecast_over_and_so_counts_as_horizon():
    y = pd.Series(np.random.default_rng(0).normal(size=80), index=pd.date_range("2024-01-01", periods=80), name="s")
    models = [Naive(horizon=7), HistoricAverage(horizon=7)]
    result = backtest(models, y, n_windows=12, step_size=2, horizon=5, gap=2, season_length=1)
    metrics = result.metrics.pivot(index="cutoff", columns="model", values="mase")
    expected = diebold_mariano(metrics["Naive"] - metrics["HistoricAverage"], overlap=4)  # 0, 2, 4, 6 < 7 steps
    found = result.diebold_mariano("Naive", "HistoricAverage")[["statistic", "p_value"]].iloc[0]
    assert tuple(found) == pytest.approx(expected)


def test_ranks_of_a_backtest(result):
    ranks = result.ranks()
    per_series = result.summary("mase", by="unique_id").pivot(index="unique_id", columns="model", values="mase")
    expected = per_series.rank(axis=1).mean().sort_values()
    assert dict(zip(ranks.table["model"], ranks.table["rank"], strict=True)) == pytest.approx(expected.to_dict())
    assert ranks.table["model"][0] == "SeasonalNaive"
    assert (ranks.n_series, ranks.metric) == (6, "mase")
    assert ranks.p_value < 0.05


def test_what_cannot_be_tested_is_said(result):
    with pytest.raises(ValueError, match="no model is called 'Theta'; there are SeasonalNaive, Naive"):
        result.diebold_mariano("Naive", "Theta")
    with pytest.raises(ValueError, match="there is no 'coverage-80'; there are coverage-90"):
        result.ranks("coverage-80")
    one = pd.Series(np.arange(30.0) ** 2, index=pd.date_range("2024-01-01", periods=30), name="s")
    with pytest.raises(ValueError, match="at least two models and two series with a mase of all of them, got 2 and 1"):
        backtest([Naive(horizon=2), Drift(horizon=2)], one).ranks()
