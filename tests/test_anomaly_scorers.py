"""Statistics and scorers: one contract for all, oracles by another road, and what each of them sees."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tsrnn.anomaly.base import KINDS, Evidence
from tsrnn.anomaly.disagreement import Disagreement
from tsrnn.anomaly.scorers import SCORERS, Change, Drift, Likelihood, Mahalanobis, Unrest, one_sided
from tsrnn.anomaly.statistics import (
    additive,
    contributions,
    ewma,
    highest,
    joint_score,
    last_seen,
    moments,
    robust_scale,
    scale_floor,
    shrunk_correlation,
)

N, LEARNED, CALIBRATED = 1200, 700, 1000
CALIBRATION = (np.arange(N) >= LEARNED) & (np.arange(N) < CALIBRATED)


def evidence_of(values, deviations, df=np.inf):
    """Means from what the deviations are to be, in scales of 0.05."""
    return Evidence(values, values - 0.05 * deviations, np.full(values.shape, 0.05), np.full(values.shape[1], df),
                    np.ones(len(values)))  # fmt: skip


def healthy_of(n=N, missing=0.01):
    """Three sensors: two follow one load, one is its square; a few values are missing."""
    rng = np.random.default_rng(0)
    load = 2 + np.sin(np.arange(n) / 30)
    values = np.stack([load, 3 * load, load**2], axis=1) + 0.05 * rng.normal(size=(n, 3))
    values[rng.random((n, 3)) < missing] = np.nan
    return evidence_of(values, rng.normal(size=(n, 3)), np.array([5.0, np.inf, 30.0]))


@pytest.fixture(scope="module")
def healthy():
    return healthy_of()


@pytest.fixture(scope="module")
def fitted(healthy):
    return {name: scorer.fit(healthy, CALIBRATION, 20) for name, scorer in SCORERS.items()}


def part_of(evidence, rows):
    values, mean, scale, df, elapsed = evidence
    return Evidence(values[rows], mean[rows], scale[rows], df, elapsed[rows])


def parts_of(scorer, evidence):
    return scorer.step(scorer.start(), evidence)[1]


def faulty(evidence, change):
    """After a change in place of values and deviations."""
    values, deviations = evidence.values.copy(), evidence.deviations.copy()
    change(values, deviations)
    return evidence._replace(values=values, mean=values - 0.05 * deviations)


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


def test_additive_parts_make_the_sum_of_costs():
    costs = np.array([[1.0, 2.0, 5.0], [1.0, np.nan, 1.0], [np.nan, np.nan, np.nan]])
    parts = additive(costs)
    np.testing.assert_allclose(joint_score(parts), [8, 3, np.nan])
    np.testing.assert_allclose(parts[0] / parts[0].sum(), costs[0] / 8)


def test_ewma_against_pandas():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(40, 3))
    values[:, :2][rng.random((40, 2)) < 0.3] = np.nan
    longer = pd.DataFrame(np.concatenate([np.zeros((1, 3)), values]))
    wanted = longer.ewm(span=7, adjust=False, ignore_na=True).mean().to_numpy()[1:]
    _, averages = ewma(values, 7, np.zeros(3))
    np.testing.assert_allclose(averages, np.where(np.isnan(values), np.nan, wanted), rtol=1e-12)


def test_last_seen_against_pandas():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(40, 2))
    values[rng.random((40, 2)) < 0.6] = np.nan
    np.testing.assert_array_equal(last_seen(values, np.full(2, np.nan)), pd.DataFrame(values).ffill())


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
def test_parts_are_shaped_non_negative_and_missing_with_the_sensor(name, healthy, fitted):
    parts = parts_of(fitted[name], healthy)
    assert parts.shape == healthy.values.shape
    assert np.nanmin(parts) >= 0
    assert np.isnan(parts[np.isnan(healthy.values)]).all()
    assert fitted[name].kind in KINDS
    if name not in ("disagreement", "change"):  # silent in rows that lack a sensor; before there is a change
        assert not np.isnan(parts[~np.isnan(healthy.values)]).any()


@given(st.lists(st.integers(0, 60), max_size=5).map(sorted))
@settings(max_examples=15)
def test_however_a_stream_is_cut_parts_and_state_have_the_same_bits(fitted, cuts):
    evidence = part_of(healthy_of(missing=0.1), slice(0, 60))
    evidence.values[20:24] = np.nan
    evidence.values[40, 1] = 1e9
    for scorer in fitted.values():
        state, whole = scorer.step(scorer.start(), evidence)
        after, parts = scorer.start(), []
        for start, end in zip([0, *cuts], [*cuts, 60], strict=True):
            after, some = scorer.step(after, part_of(evidence, slice(start, end)))
            parts.append(some)
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        assert state.keys() == after.keys() == scorer.start().keys()
        for key, array in state.items():
            np.testing.assert_array_equal(after[key], array)
            assert (after[key].shape, after[key].dtype) == (scorer.start()[key].shape, scorer.start()[key].dtype)


@pytest.mark.parametrize("size", [1, 9])
def test_row_by_row_is_the_whole_for_one_and_for_many_sensors(size):
    rng = np.random.default_rng(5)
    load = np.cumsum(rng.normal(size=(900, 1)), axis=0)
    evidence = evidence_of(load + rng.normal(size=(900, size)), rng.normal(size=(900, size)), 4.0)
    for scorer in (scorer.fit(evidence, np.arange(900) >= 800, 10) for scorer in SCORERS.values()):
        state, parts = scorer.start(), []
        for i in range(30):
            state, some = scorer.step(state, part_of(evidence, slice(i, i + 1)))
            parts.append(some)
        np.testing.assert_array_equal(np.concatenate(parts), parts_of(scorer, part_of(evidence, slice(0, 30))))


@pytest.mark.parametrize("name", SCORERS)
def test_parts_do_not_know_the_future(name, healthy, fitted):
    def garbage(values, deviations):
        values[1100:], deviations[1100:] = 1e9, -1e9

    later = parts_of(fitted[name], faulty(healthy, garbage))
    np.testing.assert_allclose(later[:1100], parts_of(fitted[name], healthy)[:1100], rtol=1e-9)  # means are rebuilt


@pytest.mark.parametrize("name", [name for name in SCORERS if name != "change"])
def test_nothing_is_learned_from_the_sizes_of_learned_errors(name, healthy, fitted):
    """But for the regressions of sensors on each other and the spread of sensors, which no predictor is in."""
    other = healthy._replace(mean=np.where(CALIBRATION[:, None], healthy.mean, 1e9))
    for field in dataclasses.fields(one := SCORERS[name].fit(other, CALIBRATION, 20)):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(fitted[name], field.name))


@pytest.mark.parametrize("name", SCORERS)
def test_scoring_changes_neither_rows_nor_state(name, healthy, fitted):
    state = fitted[name].start()
    before = [array.copy() for array in (*healthy, *state.values())]
    fitted[name].step(state, healthy)
    for array, copy in zip((*healthy, *state.values()), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("n", [0, 1, 3])
def test_constant_empty_and_few_rows_are_no_error(name, n):
    values = np.stack([np.full(40, 5.0), np.full(40, np.nan)], axis=1)
    evidence = evidence_of(values, 0 * values)
    scorer = SCORERS[name].fit(evidence, np.arange(40) >= 40 - n, 20)
    parts = parts_of(scorer, evidence)
    assert np.isnan(parts[:, 1]).all()
    if n and name not in ("likelihood", "disagreement"):  # no error is as likely as the others; there is one sensor
        np.testing.assert_array_equal(parts[1:, 0], 0)


# Scorers: what they are


def test_scores_of_single_rows_by_scipy(healthy, fitted):
    complete = part_of(healthy, ~np.isnan(healthy.values).any(axis=1))
    law = stats.t([5, 1e12, 30])
    d = complete.deviations
    wanted = {
        "nll": (law.logpdf(0) - law.logpdf(d)).sum(axis=1),
        "p_value": -np.log10(2 * law.sf(np.abs(d))).sum(axis=1),
        "absolute": np.abs((d - fitted["absolute"].location) / fitted["absolute"].scale).sum(axis=1),
        "squared": (((d - fitted["squared"].location) / fitted["squared"].scale) ** 2).sum(axis=1),
    }
    for name, scores in wanted.items():
        np.testing.assert_allclose(joint_score(parts_of(fitted[name], complete)), scores, rtol=1e-3)


def test_the_naive_row_is_the_average_of_absolute_changes():
    rng = np.random.default_rng(6)
    values = np.cumsum(rng.normal(size=(300, 1)), axis=0)
    evidence = evidence_of(values, 0 * values)
    scores = joint_score(parts_of(Change.fit(evidence, np.arange(300) >= 200, 50), evidence))
    changes = pd.Series(np.append(0, np.abs(np.diff(values[:, 0])) / values.std()))
    np.testing.assert_allclose(scores[1:], changes.ewm(span=50, adjust=False).mean()[1:], rtol=1e-10)


def test_the_likelihood_against_rolling_windows(healthy):
    scorer = Likelihood.fit(healthy, CALIBRATION, 1)  # a memory of 100 rows
    errors = (healthy.deviations - scorer.location) / scorer.scale
    raw = pd.Series(np.append(scorer.recent, np.sqrt(np.nanmean(errors**2, axis=1))))
    tail = (raw.rolling(10).mean() - raw.rolling(100).mean()) / raw.rolling(100).std(ddof=0)
    wanted = -stats.norm.logsf(tail[100:]) / np.log(10)
    np.testing.assert_allclose(joint_score(parts_of(scorer, healthy)), wanted, rtol=1e-8)


def test_one_sided_evidence_forgives_the_other_side(healthy):
    one = one_sided(healthy, [1, -1, 0])
    np.testing.assert_allclose(one.deviations[:, 0], np.maximum(0, healthy.deviations[:, 0]), atol=1e-12)
    np.testing.assert_allclose(one.deviations[:, 1], np.minimum(0, healthy.deviations[:, 1]), atol=1e-12)
    np.testing.assert_array_equal(one.deviations[:, 2], healthy.deviations[:, 2])


# Scorers: each sees its own fault


def peak(scorer_class, evidence, change, span=20):
    """How far the fault in rows 1100 to 1150 rises above the highest healthy score, and the sensor to blame."""
    scorer = scorer_class.fit(evidence, CALIBRATION, span)
    parts = parts_of(scorer, faulty(evidence, change))
    at = 1100 + int(np.nan_to_num(joint_score(parts))[1100:1150].argmax())
    ratio = joint_score(parts)[at] / np.nanmax(joint_score(parts_of(scorer, evidence)))
    return ratio, int(np.nan_to_num(parts[at]).argmax())


def test_mahalanobis_sees_a_spike_in_its_row_only(healthy, fitted):
    def spike(values, deviations):
        deviations[1120, 1] = 12.0

    ratio, sensor = peak(Mahalanobis, healthy, spike)
    assert ratio > 2
    assert sensor == 1
    parts = parts_of(fitted["mahalanobis"], faulty(healthy, spike))
    np.testing.assert_allclose(
        np.delete(parts, 1120, axis=0), np.delete(parts_of(fitted["mahalanobis"], healthy), 1120, axis=0), atol=1e-9
    )


def test_unrest_sees_errors_that_stay_large_without_a_sign(healthy):
    def noisy(values, deviations):
        deviations[1100:1150, 2] *= 3

    assert peak(Unrest, healthy, noisy)[0] > 1.3
    assert peak(Unrest, healthy, noisy)[1] == 2


def test_drift_sees_a_lean_too_small_to_be_a_spike(healthy):
    def lean(values, deviations):
        deviations[1100:1150, 0] += 1.5

    assert peak(Drift, healthy, lean)[0] > 1.5
    assert peak(Drift, healthy, lean)[1] == 0
    assert peak(Mahalanobis, healthy, lean)[0] < 1.3


def test_the_likelihood_rises_where_unrest_begins_and_falls_when_it_has_become_usual(healthy, fitted):
    def noisy(values, deviations):
        deviations[1000:] *= 4

    scorer = Likelihood.fit(healthy, CALIBRATION, 1)
    scores = joint_score(parts_of(scorer, faulty(healthy, noisy)))
    assert scores[1000:1020].max() > 2 * scores[:1000].max()
    assert scores[1150:].max() < 0.7 * scores[1000:1020].max()


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
    values, mean, scale, df, elapsed = healthy
    alone = Evidence(values[:, :1], mean[:, :1], scale[:, :1], df[:1], elapsed)
    assert np.isnan(parts_of(Disagreement.fit(alone, CALIBRATION, 20), alone)).all()
    few = part_of(healthy, slice(-320, None))
    assert np.isnan(parts_of(Disagreement.fit(few, np.arange(320) >= 20, 20), few)).all()


def test_disagreement_goes_without_products_where_rows_are_few(healthy):
    some = Disagreement.fit(healthy, np.arange(N) >= 100, 20)
    assert not some.products
    assert Disagreement.fit(healthy, CALIBRATION, 20).products
    assert not np.isnan(parts_of(some, healthy)).all()


def test_values_beyond_all_learned_ones_reach_out_of_their_range(healthy, fitted):
    learned = healthy.values[~CALIBRATION]
    low, high = np.nanmin(learned, axis=0), np.nanmax(learned, axis=0)

    def change(values, deviations):
        values[1100, 0], values[1150, 2] = high[0] + 2, low[2] - 3

    evidence = faulty(healthy, change)
    for name, row, sensor, off in (("high", 1100, 0, 2), ("low", 1150, 2, 3)):
        parts = parts_of(fitted[name], evidence)
        assert joint_score(parts)[row] == pytest.approx(1 + off / (high - low)[sensor])
        assert np.nanargmax(joint_score(parts)) == row
        assert np.nanargmax(parts[row]) == sensor
        assert np.nanmax(joint_score(parts)[:LEARNED]) == pytest.approx(1)
