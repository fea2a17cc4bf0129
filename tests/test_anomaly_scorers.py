"""Statistics, scorers and the alarm line."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import gumbel_r

from tsrnn.anomaly.scorers import SCORERS, Disagreement, Drift, Jump, Rows, Stuck, Unrest
from tsrnn.anomaly.statistics import (
    contributions,
    ewma,
    highest,
    joint_score,
    moments,
    robust_scale,
    run_lengths,
    scale_floor,
    shrunk_correlation,
)
from tsrnn.anomaly.thresholds import return_level

N, LEARNED, CALIBRATED = 1200, 700, 1000


def rows_of(values, deviations):
    at = np.arange(len(values))
    return Rows(values, deviations, at < LEARNED, (at >= LEARNED) & (at < CALIBRATED))


@pytest.fixture
def healthy():
    """Three sensors: two follow one load, one is their product; a few values are missing."""
    rng = np.random.default_rng(0)
    load = 2 + np.sin(np.arange(N) / 30)
    values = np.stack([load, 3 * load, load**2], axis=1) + 0.05 * rng.normal(size=(N, 3))
    values[rng.random((N, 3)) < 0.01] = np.nan
    return rows_of(values, np.where(np.isnan(values), np.nan, rng.normal(size=(N, 3))))


def faulty(rows, change):
    values, deviations = rows.values.copy(), rows.deviations.copy()
    change(values, deviations)
    return rows._replace(values=values, deviations=deviations)


# Statistics


def test_contributions_sum_to_the_squared_mahalanobis_distance():
    rng = np.random.default_rng(1)
    correlation = np.array([[1.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 1.0]])
    z = np.abs(rng.normal(2, 0.3, size=(50, 3)))  # one sign, weak correlation: no part is negative
    direct = [row @ np.linalg.solve(correlation, row) for row in z]
    np.testing.assert_allclose(contributions(z, correlation).sum(axis=1), direct, rtol=1e-12)


def test_contributions_use_only_the_sensors_that_are_there():
    correlation = np.array([[1.0, 0.9, 0.2], [0.9, 1.0, 0.2], [0.2, 0.2, 1.0]])
    z = np.array([[1.0, np.nan, 2.0], [np.nan, np.nan, np.nan]])
    parts = contributions(z, correlation)
    alone = contributions(z[:1, [0, 2]], correlation[np.ix_([0, 2], [0, 2])])
    np.testing.assert_allclose(parts[0, [0, 2]], alone[0] * 3 / 2)
    assert np.isnan(parts[0, 1])
    assert np.isnan(parts[1]).all()


def test_a_fault_of_one_sensor_is_blamed_on_it_alone():
    correlation = np.array([[1.0, 0.95], [0.95, 1.0]])
    parts = contributions(np.array([[6.0, 0.0]]), correlation)[0]
    assert parts[0] > 36  # the neighbour, which did not move, makes it worse
    assert parts[1] == 0


def test_ewma_against_a_loop():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(40, 2))
    values[rng.random((40, 2)) < 0.3] = np.nan
    for c in range(2):
        state, wanted = 0.0, []
        for value in values[:, c]:
            state = state if np.isnan(value) else state + 2 / 8 * (value - state)
            wanted.append(np.nan if np.isnan(value) else state)
        np.testing.assert_allclose(ewma(values, span=7)[:, c], wanted, rtol=1e-12)


@given(hnp.arrays(np.float64, st.integers(1, 20), elements=st.sampled_from([0.0, 1.0, np.nan])))
def test_run_lengths_against_a_loop(column):
    last, length, wanted = None, 0, []
    for value in column:
        if np.isnan(value):
            wanted.append(np.nan)
            continue
        length = length + 1 if value == last else 1
        last = value
        wanted.append(length)
    np.testing.assert_array_equal(run_lengths(column[:, None])[:, 0], wanted)


def test_robust_scale_is_the_standard_deviation_of_normal_columns_and_ignores_gross_errors():
    rng = np.random.default_rng(3)
    values = rng.normal(5, 2, size=(5000, 1))
    values[:20] = 1e6
    values[20:40] = np.nan
    location, scale = robust_scale(values, np.zeros(1))
    assert location[0] == pytest.approx(5, abs=0.1)
    assert scale[0] == pytest.approx(2, rel=0.1)


def test_robust_scale_of_columns_that_rest():
    resting = np.zeros((1000, 4))
    resting[::20, 0] = 8.0  # jumps in 5 % of the rows
    resting[5, 1] = 8.0  # once
    resting[:, 3] = np.nan
    location, scale = robust_scale(resting, np.full(4, 0.5))
    np.testing.assert_allclose(scale[:3], [8 / 2.576, 8, 0.5])
    np.testing.assert_array_equal(location[:3], 0)
    assert np.isnan([location[3], scale[3]]).all()


def test_scale_floor_and_moments_of_constant_and_empty_columns():
    values = np.stack([np.full(10, 300.0), np.full(10, np.nan), np.arange(10.0)], axis=1)
    np.testing.assert_allclose(scale_floor(values), [300e-6, 1e-12, 9e-4])
    mean, deviation = moments(values)
    np.testing.assert_allclose(mean, [300, 0, 4.5])
    np.testing.assert_allclose(deviation, [1, 1, np.std(np.arange(10))])


def test_shrunk_correlation_can_always_be_inverted():
    same = np.repeat(np.random.default_rng(4).normal(size=(200, 1)), 5, axis=1)
    same[:, 4] = np.nan
    correlation = shrunk_correlation(same)
    np.testing.assert_array_equal(np.diag(correlation), 1)
    assert correlation[0, 1] > 0.9
    assert abs(correlation[0, 4]) < 1e-12
    assert np.isfinite(np.linalg.inv(correlation)).all()


def test_joint_and_highest_are_missing_only_where_all_is():
    parts = np.array([[9.0, 16.0], [4.0, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(joint_score(parts), [5, 2, np.nan])
    np.testing.assert_array_equal(highest(parts.T), [16, 4, np.nan])


# Scorers: one contract


@pytest.mark.parametrize("name", SCORERS)
def test_parts_are_shaped_non_negative_and_missing_with_the_sensor(name, healthy):
    parts = SCORERS[name].fit(healthy, 20)(healthy)
    assert parts.shape == healthy.values.shape
    assert np.nanmin(parts) >= 0
    assert np.isnan(parts[np.isnan(healthy.values)]).all()
    if name != "disagreement":  # which is silent in rows that lack a sensor
        assert not np.isnan(parts[~np.isnan(healthy.values)]).any()


@pytest.mark.parametrize("name", SCORERS)
def test_parts_do_not_know_the_future(name, healthy):
    scorer = SCORERS[name].fit(healthy, 20)

    def garbage(values, deviations):
        values[1100:], deviations[1100:] = 1e9, -1e9

    np.testing.assert_array_equal(scorer(faulty(healthy, garbage))[:1100], scorer(healthy)[:1100])


@pytest.mark.parametrize("name", SCORERS)
def test_nothing_is_learned_from_rows_that_are_not_marked(name, healthy):
    def garbage(values, deviations):
        values[CALIBRATED:], deviations[CALIBRATED:] = 1e9, 1e9

    one, other = SCORERS[name].fit(healthy, 20), SCORERS[name].fit(faulty(healthy, garbage), 20)
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@pytest.mark.parametrize("name", SCORERS)
def test_scoring_rows_does_not_change_them(name, healthy):
    before = [array.copy() for array in healthy]
    SCORERS[name].fit(healthy, 20)(healthy)
    for array, copy in zip(healthy, before, strict=True):
        np.testing.assert_array_equal(array, copy)


# Scorers: each sees its own fault


def peak(scorer_class, rows, change, span=20):
    """How far the fault in rows 1100 to 1150 rises above the highest healthy score, and the sensor to blame."""
    scorer = scorer_class.fit(rows, span)
    scores = scorer(faulty(rows, change))
    at = 1100 + int(np.nan_to_num(joint_score(scores))[1100:1150].argmax())
    return joint_score(scores)[at] / np.nanmax(joint_score(scorer(rows))), int(np.nan_to_num(scores[at]).argmax())


def test_jump_sees_a_spike_in_its_row_only(healthy):
    def spike(values, deviations):
        deviations[1120, 1] = 12.0

    ratio, sensor = peak(Jump, healthy, spike)
    assert ratio > 2
    assert sensor == 1
    parts = Jump.fit(healthy, 20)(faulty(healthy, spike))
    np.testing.assert_array_equal(
        np.delete(parts, 1120, axis=0), np.delete(Jump.fit(healthy, 20)(healthy), 1120, axis=0)
    )


def test_unrest_sees_residuals_that_stay_large_without_a_sign(healthy):
    def noisy(values, deviations):
        deviations[1100:1150, 2] *= 3

    assert peak(Unrest, healthy, noisy)[0] > 1.3
    assert peak(Unrest, healthy, noisy)[1] == 2


def test_drift_sees_a_lean_too_small_to_be_a_jump(healthy):
    def lean(values, deviations):
        deviations[1100:1150, 0] += 1.5

    assert peak(Drift, healthy, lean)[0] > 1.5
    assert peak(Drift, healthy, lean)[1] == 0
    assert peak(Jump, healthy, lean)[0] < 1.3


def test_stuck_counts_rows_through_gaps(healthy):
    def freeze(values, deviations):
        values[1100:1150, 2] = values[1099, 2]
        values[1120:1123, 2] = np.nan

    values = healthy.values.copy()
    values[1099, 2] = 4.0
    rows = healthy._replace(values=values)
    parts = Stuck.fit(rows, 20)(faulty(rows, freeze))
    assert np.sqrt(parts[1149, 2]) == pytest.approx((51 - 3) / 10)  # no run in the calibration rows reaches 10
    assert np.sqrt(parts[1149, 0]) < 0.3


def test_stuck_does_not_judge_a_sensor_that_rests(healthy):
    values = healthy.values.copy()
    values[:, 1] = 7.0
    parts = Stuck.fit(healthy._replace(values=values), 20)(healthy._replace(values=values))
    assert np.isnan(parts[:, 1]).all()
    assert not np.isnan(parts[:, 0]).all()


@pytest.mark.parametrize("sensor", range(3))
def test_disagreement_sees_a_level_that_the_other_sensors_do_not_share(healthy, sensor):
    def shift(values, deviations):
        values[1100:1150, sensor] += 0.5

    ratio, blamed = peak(Disagreement, healthy, shift)
    assert ratio > 1.5
    assert blamed == sensor


def test_disagreement_forgives_what_all_sensors_share_even_out_of_range(healthy):
    def surge(values, deviations):
        load = 4.0  # the learned rows end at 3
        values[1100:1150] = [load, 3 * load, load**2]

    def same_size_alone(values, deviations):
        values[1100:1150, 0] = 4.0

    assert peak(Disagreement, healthy, surge)[0] < 0.5 * peak(Disagreement, healthy, same_size_alone)[0]


def test_disagreement_is_silent_without_other_sensors_or_enough_rows(healthy):
    alone = healthy._replace(values=healthy.values[:, :1], deviations=healthy.deviations[:, :1])
    assert np.isnan(Disagreement.fit(alone, 20)(alone)).all()
    few = Rows(*(array[-320:] for array in healthy[:2]), np.arange(320) < 20, np.arange(320) >= 20)
    assert np.isnan(Disagreement.fit(few, 20)(few)).all()


def test_disagreement_goes_without_products_where_rows_are_few(healthy):
    some = healthy._replace(learned=np.arange(N) < 100)
    scorer = Disagreement.fit(some, 20)
    assert not scorer.products
    assert Disagreement.fit(healthy, 20).products
    assert not np.isnan(scorer(some)).all()


# The alarm line


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: np.abs(rng.normal(size=n)),
        lambda rng, n: rng.exponential(size=n),
        lambda rng, n: np.abs(np.convolve(rng.normal(size=n + 19), np.full(20, 0.05), "valid")),  # with a memory
    ],
)
def test_healthy_scores_cross_the_line_no_more_often_than_asked(draw):
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(20):
        line = return_level(draw(rng, 1500), every=10_000, block=50)
        above = np.flatnonzero(draw(rng, 20_000) > line)
        alarms += len(above) and 1 + int((np.diff(above) > 50).sum())
    assert alarms <= 40  # 20 draws, 20,000 rows each, one in 10,000


def test_rarer_alarms_need_a_higher_line():
    scores = np.abs(np.random.default_rng(6).normal(size=2000))
    lines = [return_level(scores, every, 50) for every in (100, 1000, 10_000, 1_000_000)]
    assert (np.diff(lines) > 0).all()


def test_the_line_of_gumbel_maxima_is_near_the_true_one():
    rng = np.random.default_rng(7)
    scores = np.zeros(50 * 400)
    scores[::50] = gumbel_r.rvs(5, 0.5, size=400, random_state=rng)
    true = gumbel_r.isf(50 / 10_000, 5, 0.5)
    assert true < return_level(scores, 10_000, 50) < true * 1.1  # an upper bound, and not far above


def test_heavy_tails_get_a_higher_line_and_one_gross_error_does_not_blind():
    rng = np.random.default_rng(8)
    light, heavy = np.abs(rng.normal(size=3000)), np.abs(rng.standard_t(3, size=3000))
    assert return_level(heavy, 10_000, 50) > 3 * return_level(light, 10_000, 50)
    spoilt = light.copy()
    spoilt[1234] = 1e6
    assert return_level(spoilt, 10_000, 50) < 5 * return_level(light, 10_000, 50)


def test_the_line_of_few_equal_or_no_scores():
    assert return_level(np.full(100, np.nan), 1000, 10) == np.inf
    assert return_level(np.full(100, 2.0), 1000, 10) == 2.0
    assert np.isfinite(return_level(np.array([1.0, 2.0, 3.0]), 1000, 10))
    assert np.isfinite(return_level(np.abs(np.random.default_rng(9).normal(size=100)), every=1, block=10))
