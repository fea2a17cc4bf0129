"""Metrics against hand values, scikit-learn and utilsforecast, and the laws that they obey."""

import numpy as np
import pandas as pd
import pytest
import utilsforecast.losses as nixtla
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    root_mean_squared_error,
)

from tsrnn.evaluation.metrics import (
    bias,
    coverage,
    mae,
    mape,
    mase,
    mse,
    msse,
    pinball,
    rmse,
    rmsse,
    seasonal_scale,
    smape,
    wape,
    winkler,
    wql,
)

POINT = [mae, mse, rmse, mape, smape, wape, bias]
NAN = np.nan

numbers = st.floats(-1e6, 1e6, width=32)
values = arrays(np.float64, 6, elements=numbers)
values_with_gaps = arrays(np.float64, 6, elements=st.one_of(numbers, st.just(NAN)))


def test_hand_values():
    y, forecast = [100.0, 50.0, NAN, 0.0], [110.0, 40.0, 7.0, 5.0]
    assert mae(y, forecast) == pytest.approx(25 / 3)
    assert rmse(y, forecast) == pytest.approx(np.sqrt(225 / 3))
    assert mape(y, forecast) == pytest.approx((0.1 + 0.2) / 2)  # y = 0 is left out
    assert smape(y, forecast) == pytest.approx((200 * 10 / 210 + 200 * 10 / 90 + 200) / 3)
    assert wape(y, forecast) == pytest.approx(25 / 150)
    assert pinball([10.0], [[8.0, 11.0]], [0.1, 0.9]) == pytest.approx((0.1 * 2 + 0.1 * 1) / 2)
    assert coverage([1.0, 2.0, 3.0, NAN], [1.0, 0.0, 4.0, 0.0], [2.0, 2.0, 5.0, 9.0]) == pytest.approx(2 / 3)


def test_scaled_errors_by_hand():
    train = [1.0, 4.0, 3.0, 8.0, NAN, 9.0]  # two steps apart: |3-1|, |8-4|, then a pair with NaN, then |9-8|
    assert mase([10.0, 12.0], [7.0, 11.0], seasonal_scale(train, 2)[-1]) == pytest.approx(2 / (7 / 3))
    root = seasonal_scale(train, 2, squared=True)[-1]
    assert rmsse([10.0, 12.0], [7.0, 11.0], root) == pytest.approx(np.sqrt(5) / np.sqrt(21 / 3))


def test_seasonal_scale_is_unknown_without_a_pair():
    assert np.isnan(seasonal_scale([1.0, 2.0, 3.0], 3)).all()
    assert np.isnan(seasonal_scale([1.0, 2.0, 3.0], 7)).all()
    assert np.isnan(seasonal_scale([1.0, NAN, 3.0, NAN], 1)).all()
    with pytest.raises(ValueError, match="season_length must be a positive integer, got 0"):
        seasonal_scale([1.0, 2.0], 0)


def test_what_is_not_defined_is_nan():
    missing, some = [NAN, NAN], [1.0, 2.0]
    for metric in POINT:
        assert np.isnan(metric(missing, some))
        assert np.isnan(metric(some, [1.0, NAN]))  # a missing forecast is no forecast
    assert np.isnan(mape([0.0, 0.0], some))
    assert np.isnan(wape([0.0, 0.0], some))
    for metric in (mase, rmsse):
        assert np.isnan(metric(some, [3.0, 4.0], 0.0))
        assert np.isnan(metric(some, some, 0.0))
        assert np.isnan(metric(some, [3.0, 4.0], NAN))
    assert np.isnan(pinball(some, np.empty((2, 0)), []))
    assert np.isnan(coverage(some, [0.0, NAN], [3.0, 3.0]))


def test_scikit_learn_agrees():
    rng = np.random.default_rng(0)
    y, forecast = rng.normal(50, 10, 40), rng.normal(50, 10, (40, 3))
    assert mae(y, forecast[:, 0]) == pytest.approx(mean_absolute_error(y, forecast[:, 0]))
    assert rmse(y, forecast[:, 0]) == pytest.approx(root_mean_squared_error(y, forecast[:, 0]))
    assert mape(y, forecast[:, 0]) == pytest.approx(mean_absolute_percentage_error(y, forecast[:, 0]))
    losses = [mean_pinball_loss(y, forecast[:, i], alpha=q) for i, q in enumerate((0.1, 0.5, 0.9))]
    assert pinball(y, forecast, [0.1, 0.5, 0.9]) == pytest.approx(np.mean(losses))


@pytest.fixture(scope="module")
def long_frames():
    """Three series of 8 test rows, missing values and zeros among them, and their training rows."""
    rng = np.random.default_rng(1)
    y, train = rng.integers(0, 9, (3, 8)).astype(float), rng.normal(20, 4, (3, 30))
    y[0, 3], y[1, :2], train[2, 5] = NAN, 0, NAN
    test = pd.DataFrame({"unique_id": np.repeat(["a", "b", "c"], 8), "ds": np.tile(range(30, 38), 3)})
    test["y"], test["M"] = y.ravel(), rng.normal(4, 2, 24)
    for level, width in ((50, 1.0), (90, 3.0)):
        test[f"M-lo-{level}"], test[f"M-hi-{level}"] = test["M"] - width, test["M"] + width
    rows = pd.DataFrame({"unique_id": np.repeat(["a", "b", "c"], 30), "ds": np.tile(range(30), 3), "y": train.ravel()})
    return test, rows


def test_utilsforecast_agrees(long_frames):
    test, rows = long_frames
    y, forecast, train = (frame.to_numpy().reshape(3, -1) for frame in (test["y"], test["M"], rows["y"]))
    plain = {mae: nixtla.mae, mse: nixtla.mse, bias: nixtla.bias, rmse: nixtla.rmse, mape: nixtla.mape, wape: nixtla.nd}
    for ours, theirs in plain.items():
        np.testing.assert_allclose(ours(y, forecast), theirs(test, ["M"])["M"], rtol=1e-12)
    np.testing.assert_allclose(smape(y, forecast), 200 * nixtla.smape(test, ["M"])["M"], rtol=1e-12)
    scale = seasonal_scale(train, 7)[:, -1]
    np.testing.assert_allclose(mase(y, forecast, scale), nixtla.mase(test, ["M"], 7, rows)["M"], rtol=1e-12)
    scale = seasonal_scale(train, 7, squared=True)[:, -1]
    np.testing.assert_allclose(rmsse(y, forecast, scale), nixtla.rmsse(test, ["M"], 7, rows)["M"], rtol=1e-12)
    np.testing.assert_allclose(msse(y, forecast, scale), nixtla.msse(test, ["M"], 7, rows)["M"], rtol=1e-12)


def test_utilsforecast_agrees_on_intervals(long_frames):
    test = long_frames[0].fillna({"y": 1.0})  # a missing value counts as uncovered there
    y = test["y"].to_numpy().reshape(3, 8)
    columns, quantiles = ["M-lo-90", "M-lo-50", "M-hi-50", "M-hi-90"], [0.05, 0.25, 0.75, 0.95]
    bounds = test[columns].to_numpy().reshape(3, 8, 4)
    expected = nixtla.mqloss(test, {"M": columns}, np.array(quantiles))
    np.testing.assert_allclose(pinball(y, bounds, quantiles), expected["M"], rtol=1e-12)
    ends = bounds[..., 0], bounds[..., 3]
    np.testing.assert_allclose(coverage(y, *ends), nixtla.coverage(test, ["M"], 90)["M"])
    np.testing.assert_allclose(winkler(y, *ends, 90), nixtla.winkler_score(test, ["M"], 90)["M"], rtol=1e-12)
    expected = nixtla.scaled_crps(test, {"M": columns}, np.array(quantiles))
    np.testing.assert_allclose(wql(y, bounds, quantiles), expected["M"], rtol=1e-12)


@given(values_with_gaps, values)
def test_pinball_at_the_median_is_half_the_absolute_error(y, forecast):
    np.testing.assert_allclose(pinball(y, forecast[:, None], [0.5]), mae(y, forecast) / 2, rtol=1e-12)


@given(values_with_gaps, values, arrays(np.float64, 12, elements=numbers), st.sampled_from([0.25, 3.0, 1024.0]))
def test_scaled_errors_have_no_unit(y, forecast, train, unit):
    for metric, squared in ((mase, False), (rmsse, True)):
        scale = seasonal_scale(train, 3, squared=squared)[-1]
        assume(scale == 0 or scale > 1e-6)
        other = seasonal_scale(unit * train, 3, squared=squared)[-1]
        np.testing.assert_allclose(metric(unit * y, unit * forecast, other), metric(y, forecast, scale), rtol=1e-9)


@given(values_with_gaps, values, values)
def test_what_is_forecast_for_missing_values_does_not_matter(y, forecast, garbage):
    other = np.where(np.isnan(y), garbage, forecast)
    for metric in POINT:
        np.testing.assert_array_equal(metric(y, forecast), metric(y, other))
    np.testing.assert_array_equal(pinball(y, forecast[:, None], [0.1]), pinball(y, other[:, None], [0.1]))
    np.testing.assert_array_equal(coverage(y, forecast, forecast + 1), coverage(y, other, other + 1))


@given(
    arrays(np.float64, (2, 3, 6), elements=st.one_of(numbers, st.just(NAN))),
    arrays(np.float64, (2, 3, 6), elements=numbers),
)
def test_leading_axes_are_a_loop(y, forecast):
    for metric in POINT:
        looped = [[metric(y[i, j], forecast[i, j]) for j in range(3)] for i in range(2)]
        np.testing.assert_array_equal(metric(y, forecast), looped)


@given(values_with_gaps, values)
def test_ranges(y, forecast):
    if np.isnan(y).all():
        return
    assert 0 <= smape(y, forecast) <= 200 + 1e-9
    assert 0 <= coverage(y, forecast, forecast) <= 1
    assert rmse(y, forecast) >= mae(y, forecast) * (1 - 1e-12)
    assert coverage(y, y, y) == 1  # bounds belong to the interval
    assert mae(y, y) == rmse(y, y) == smape(y, y) == pinball(y, y[:, None], [0.3]) == 0


@given(arrays(np.float64, 6), arrays(np.float64, 6), st.floats(0, allow_infinity=False))
def test_never_infinite(y, forecast, scale):
    with np.errstate(over="ignore", invalid="ignore"):
        results = [metric(y, forecast) for metric in POINT]
        results += [mase(y, forecast, scale), rmsse(y, forecast, scale), pinball(y, forecast[:, None], [0.9])]
    assert not np.isinf(results).any()


@given(st.lists(st.one_of(numbers, st.just(NAN)), min_size=1, max_size=12), st.integers(1, 5), st.integers(0, 12))
def test_the_scale_after_some_rows_is_that_of_these_rows(history, season_length, n):
    n = min(n, len(history))
    after = seasonal_scale(history, season_length)
    np.testing.assert_array_equal(after[n], seasonal_scale(history[:n], season_length)[-1])
    poisoned = history[:n] + [1e9] * (len(history) - n)
    np.testing.assert_array_equal(seasonal_scale(poisoned, season_length)[: n + 1], after[: n + 1])
