"""Metrics of scores and alarms: golden values of other implementations, oracles by another road, edge cases."""

import json
import warnings
from csv import DictReader

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from tsrnn.anomaly import evaluation as ev

QUICK = settings(max_examples=40)


@st.composite
def alarms_and_labels(draw, max_rows=30):
    """Two rows of ones and zeros, in runs."""
    n = draw(st.integers(1, max_rows))
    edges = st.lists(st.integers(0, n), max_size=6).map(sorted)
    return tuple(np.searchsorted(draw(edges), np.arange(n), side="right") % 2 == 1 for _ in range(2))


@st.composite
def scores_and_labels(draw, max_rows=30):
    """Scores with ties and missing ones, and labels."""
    _, labels = draw(alarms_and_labels(max_rows))
    levels = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, np.nan]), min_size=len(labels), max_size=len(labels))
    return np.array(draw(levels)), labels


def runs(rows):
    """Sets of row numbers, one a run."""
    out = []
    for i, row in enumerate(rows):
        if row:
            out[-1].add(i) if i and rows[i - 1] else out.append({i})
    return out


# Runs and intervals


@QUICK
@given(alarms_and_labels())
def test_segments_are_the_runs(pair):
    starts, stops = ev.segments(pair[0])
    assert [set(range(a, b)) for a, b in zip(starts, stops, strict=True)] == runs(pair[0])


def test_intervals_become_rows_whatever_their_order_overlap_and_type():
    times = pd.date_range("2024-01-01", periods=6, freq="h")
    labels = pd.DataFrame(
        {"start": ["2024-01-01 03:30", "2024-01-01 01:00"], "end": ["2024-01-01 04:00", "2024-01-01 04:00"]}
    )
    np.testing.assert_array_equal(ev.label_rows(labels, times), [False, True, True, True, True, False])
    nested = pd.DataFrame({"start": [0, 2, 9], "end": [5, 3, 9]})
    np.testing.assert_array_equal(ev.label_rows(nested, [4, 6, 9, 10]), [True, False, True, False])
    assert not ev.label_rows(nested[:0], [4, 6]).any()


def test_what_is_no_label_is_refused():
    with pytest.raises(ValueError, match="0 or 1"):
        ev.roc_auc([1.0, 2.0], [0, 2])
    with pytest.raises(ValueError, match="alarms has 3 rows and labels 2"):
        ev.point_metrics([0, 1, 1], [0, 1])


# Alarms against loops over sets


def events_by_sets(alarms, labels):
    found, events = runs(alarms), runs(labels)
    hits = sum(any(event & run for run in found) for event in events)
    false = sum(not any(event & run for event in events) for run in found)
    firsts = {next((k for k, event in enumerate(events) if event & run), None) for run in found} - {None}
    return hits, false, len(firsts), len(events)


@QUICK
@given(alarms_and_labels())
def test_events_are_counted_as_by_sets(pair):
    hits, false, first, total = events_by_sets(*pair)
    assert ev.event_counts(*pair) == {"hits": hits, "false": false, "missed": total - hits}
    assert ev.event_counts(*pair, first_only=True) == {"hits": first, "false": false, "missed": total - first}


def range_by_sets(rows, cover, existence):
    parts = []
    for own in runs(rows):
        pieces = sum(bool(own & other) for other in runs(cover))
        share = len(own & set(np.flatnonzero(cover))) / len(own)
        parts.append(existence * (pieces > 0) + (1 - existence) * share / max(pieces, 1))
    return np.mean(parts) if parts else np.nan


@QUICK
@given(alarms_and_labels(), st.sampled_from([0.0, 0.2, 1.0]))
def test_range_metrics_are_those_of_the_definition(pair, existence):
    alarms, labels = pair
    found = ev.range_metrics(alarms, labels, existence)
    np.testing.assert_allclose(found["recall"], range_by_sets(labels, alarms, existence))
    np.testing.assert_allclose(found["precision"], range_by_sets(alarms, labels, 0))


@QUICK
@given(alarms_and_labels())
def test_point_adjustment_fills_events_and_stops_at_k(pair):
    alarms, labels = pair
    f1 = []
    for k in range(101):
        filled = alarms.copy()
        for event in runs(labels):
            if 100 * alarms[list(event)].sum() > k * len(event):
                filled[list(event)] = True
        f1.append(ev.point_metrics(filled, labels)["f1"])
    with pytest.warns(ev.MisleadingMetricWarning, match="random"):
        found = ev.point_adjusted(alarms, labels)
    np.testing.assert_allclose([found["pa_f1"], found["pa_k_auc"]], [f1[0], np.trapezoid(f1) / 100])
    np.testing.assert_allclose(f1[-1], ev.point_metrics(alarms, labels)["f1"])


def affiliation_on_a_grid(alarms, labels, per_row=40):
    """The definition on instants instead of integrals."""
    instants = (np.arange(len(labels) * per_row) + 0.5) / per_row
    fine, events = np.repeat(alarms, per_row), [sorted(event) for event in runs(labels)]
    off = np.stack([np.maximum(0, np.maximum(e[0] - instants, instants - e[-1] - 1)) for e in events])
    precision, recall = [], []
    for j, event in enumerate(events):
        zone = off.argmin(axis=0) == j
        inside = zone & (instants > event[0]) & (instants < event[-1] + 1)
        own = instants[zone & fine]
        if len(own):
            precision.append(np.mean([(off[j][zone] >= d).mean() for d in off[j][zone & fine]]))
            nearest = np.abs(instants[inside][:, None] - own).min(axis=1)
            recall.append(
                np.mean(
                    [(np.abs(instants[zone] - y) >= d).mean() for y, d in zip(instants[inside], nearest, strict=True)]
                )
            )
        else:
            recall.append(0.0)
    return np.mean(precision) if precision else np.nan, np.mean(recall)


@settings(max_examples=15)
@given(alarms_and_labels(max_rows=12).filter(lambda pair: pair[1].any()))
def test_affiliation_is_that_of_a_fine_grid(pair):
    found = ev.affiliation_metrics(*pair)
    np.testing.assert_allclose([found["precision"], found["recall"]], affiliation_on_a_grid(*pair), atol=0.02)


def test_delays_are_in_rows_steps_or_seconds():
    alarms, labels = [1, 0, 0, 1, 0, 1, 1], [0, 1, 1, 1, 0, 1, 0]
    np.testing.assert_array_equal(ev.delays(alarms, labels), [2, 0])
    np.testing.assert_array_equal(ev.delays(alarms, labels, np.arange(7) * 10), [20, 0])
    np.testing.assert_array_equal(ev.delays(alarms, labels, pd.date_range("2024", periods=7, freq="min")), [120, 0])
    np.testing.assert_array_equal(ev.delays(np.zeros(7), labels), [np.nan, np.nan])
    assert len(ev.delays(alarms, np.zeros(7))) == 0


def test_false_alarms_are_counted_by_the_time_that_was_watched():
    hours = pd.date_range("2024-01-01", periods=168, freq="h")
    alarms = np.isin(np.arange(168), [3, 4, 50, 60])
    labels = np.isin(np.arange(168), [60, 61])
    assert ev.false_alarms_per_week(alarms, np.zeros(168), hours) == 3
    assert ev.false_alarms_per_week(alarms, labels, hours) == pytest.approx(2 * 168 / 166)
    paused = hours + pd.to_timedelta(np.where(np.arange(168) > 100, 5000, 0), "h")
    assert ev.false_alarms_per_week(alarms, np.zeros(168), paused) == 3
    back = hours[np.r_[0:100, 90:100, 110:168]]
    assert 2.9 < ev.false_alarms_per_week(alarms, np.zeros(168), back) < 3.2
    with pytest.raises(ValueError, match="stamps"):
        ev.false_alarms_per_week(alarms, labels, np.arange(168))


# Scores


def vus_by_loops(scores, labels, window, n_thresholds=250):
    scores = np.where(np.isnan(scores), -np.inf, scores)
    lines = np.sort(scores)[::-1][np.linspace(0, len(scores) - 1, n_thresholds).astype(int)]
    areas = []
    for w in range(window + 1):
        soft, grown = labels.astype(float), []
        for event in runs(labels):
            wide = set(range(min(event) - w // 2, max(event) + w // 2 + 1)) & set(range(len(labels)))
            for i in wide - event:
                soft[i] += np.sqrt(1 - min(abs(i - k) for k in event) / w)
            if grown and grown[-1] & wide:
                grown[-1] |= wide
            else:
                grown.append(wide)
        soft = np.minimum(soft, 1)
        curve = [(0.0, 0.0)]
        pr = 0.0
        for line in lines:
            flagged = scores >= line
            found = np.where(labels, 1, soft * flagged)
            hits = (found * flagged).sum()
            positives = (labels.sum() + found.sum()) / 2
            events = [bool(flagged[list(event)].any()) for event in grown]
            recall = min(hits / positives, 1) * np.mean(events)
            pr += (recall - curve[-1][1]) * hits / flagged.sum()
            curve.append(((flagged.sum() - hits) / (len(labels) - positives), recall))
        curve.append((1.0, 1.0))
        areas.append((np.trapezoid([y for _, y in curve], [x for x, _ in curve]), pr))
    return np.mean(areas, axis=0)


@settings(max_examples=10)
@given(scores_and_labels().filter(lambda pair: pair[1].any() and not pair[1].all()), st.integers(0, 6))
def test_vus_is_that_of_the_definition(pair, window):
    np.testing.assert_allclose(ev.vus(*pair, window=window), vus_by_loops(*pair, window), atol=1e-12)


@QUICK
@given(scores_and_labels().filter(lambda pair: pair[1].any()))
def test_the_best_f1_is_that_of_some_threshold(pair):
    scores, labels = pair
    lines = np.unique(scores[~np.isnan(scores)])
    some = [ev.point_metrics(scores >= line, labels)["f1"] for line in lines] + [
        ev.point_metrics(labels | True, labels)["f1"]
    ]
    assert ev.best_f1(scores, labels) == pytest.approx(max(some))


def test_a_constant_score_is_chance_and_without_anomalies_nothing_is_defined():
    labels = np.repeat([1, 0, 1], (3, 14, 3))  # at both ends
    flat = np.full(20, 7.0)
    assert ev.roc_auc(flat, labels) == 0.5
    assert ev.pr_auc(flat, labels) == pytest.approx(0.3)
    assert ev.best_f1(flat, labels) == pytest.approx(2 * 6 / 26)
    assert np.isfinite(ev.vus(flat, labels)).all()
    assert np.isnan([ev.roc_auc(flat, labels * 0), ev.pr_auc(flat, labels * 0), *ev.vus(flat, labels * 0)]).all()
    assert np.isnan([ev.roc_auc(flat, labels | 1), ev.vus(flat, labels | 1)[0]]).all()
    assert ev.pr_auc(flat, labels | 1) == 1


@pytest.mark.parametrize("window", [10, 100])
def test_missing_scores_rank_lowest(window):
    rng = np.random.default_rng(0)
    labels, scores = np.repeat([0, 1, 0], (200, 30, 70)), rng.normal(size=300)
    scores[:20] = np.nan
    lowest = np.where(np.isnan(scores), -1e9, scores)
    assert ev.vus(scores, labels, window) == ev.vus(lowest, labels, window)
    assert ev.pr_auc(scores, labels) == ev.pr_auc(lowest, labels)


# The NAB score


def nab_by_loop(scores, windows, threshold, hit, false, missed):
    """Row after row, as the paper tells it."""
    n, raw, best, counted = len(scores), 0.0, {}, set()
    sigma = lambda y: -1.0 if y >= 3 else 2 / (1 + np.exp(5 * y)) - 1  # noqa: E731
    for i in range(int(min(np.floor(0.15 * n), 750)), n):
        if np.isnan(scores[i]):
            continue
        inside = [w for w in windows if w[0] <= i <= w[1]]
        counted.update(inside)
        if scores[i] < threshold:
            continue
        if inside:
            ((a, b),) = inside
            value = hit * sigma(-(b - i + 1) / (b - a + 1)) / sigma(-1.0)
            best[a] = max(best.get(a, -missed), value)
        else:
            over = [w for w in windows if w[1] < i]
            raw += false * (sigma((i - over[-1][1]) / max(over[-1][1] - over[-1][0], 1)) if over else -1.0)
    return raw + sum(best.values()) - missed * (len(counted) - len(best))


@QUICK
@given(scores_and_labels(), st.sampled_from(sorted(ev.PROFILES)))
def test_the_nab_score_is_that_of_a_loop_and_the_sweep_finds_the_best(pair, profile):
    scores, labels = pair
    starts, stops = ev.segments(labels)
    windows = list(zip(starts.tolist(), (stops - 1).tolist(), strict=True))
    raws = {}
    for line in [np.inf, *np.unique(scores[~np.isnan(scores)])[::-1]]:
        raws[line] = nab_by_loop(scores, windows, line, *ev.PROFILES[profile])
        np.testing.assert_allclose(ev.nab_score([scores], [windows], profile, line).raw, [raws[line]], atol=1e-12)
    best = ev.nab_score([scores], [windows], profile)
    np.testing.assert_allclose(best.raw, [max(raws.values())], atol=1e-12)


def test_nab_normalizes_and_refuses_strange_profiles():
    early = np.zeros(100)
    early[40] = 1
    assert ev.nab_score([early], [[(40, 49)]], threshold=1.0).score == pytest.approx(100)
    assert ev.nab_score([early], [[(40, 49)]], threshold=2.0).score == 0
    assert np.isnan(ev.nab_score([early], [[]]).score)
    assert ev.nab_score([early], [[]], threshold=1.0).raw == pytest.approx(-0.11)
    with pytest.raises(ValueError, match="standard, low_fp, low_fn"):
        ev.nab_score([early], [[]], "strict")


# Golden values


def windows_of(folder, file, windows):
    """First and last rows of the windows, found by their stamps as the benchmark finds them."""
    stamps = pd.read_csv(folder / "data" / file, usecols=["timestamp"])["timestamp"].tolist()
    limits = [[pd.Timestamp(t).strftime("%Y-%m-%d %H:%M:%S") for t in pair] for pair in windows[file]]
    return np.array([[stamps.index(a), stamps.index(b)] for a, b in limits]).reshape(-1, 2), len(stamps)


@pytest.fixture(scope="module")
def nab(shared_data):
    folder = shared_data / "anomaly" / "nab"
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text())
    return folder, windows, np.load(folder / "results" / "published_anomaly_scores.npz")


def damped_f1(scores, labels):
    """The best F1 as TSB-AD has it, which adds 1e-5 to the denominator; without that it is ours."""
    precision, recall, _ = precision_recall_curve(labels, scores)
    both = 2 * precision * recall
    assert ev.best_f1(scores, labels) == pytest.approx((both / np.maximum(precision + recall, 1e-9)).max(), abs=1e-12)
    return (both / (precision + recall + 1e-5)).max()


def compare_with_golden(nab, rows):
    folder, windows, published = nab
    for row in rows:
        bounds, n = windows_of(folder, row["file"], windows)
        labels = np.zeros(n, dtype=int)
        for first, last in bounds:
            labels[first : last + 1] = 1
        scores = published[f"{row['det']}/{row['file']}"]
        assert (n, labels.sum()) == (row["n"], row["pos"])
        alarms = scores > row["thr_q995"]
        with pytest.warns(ev.MisleadingMetricWarning):
            adjusted = ev.point_adjusted(alarms, labels)["pa_f1"]
        roc, pr = ev.vus(scores, labels, window=100)
        found = {
            "AUC-ROC": ev.roc_auc(scores, labels),
            "AUC-PR": ev.pr_auc(scores, labels),
            "VUS-ROC": roc,
            "VUS-PR": pr,
            "Standard-F1": damped_f1(scores, labels),
            "F1@q995": ev.point_metrics(alarms, labels)["f1"],
            "PA-F1@q995": adjusted,
            "Event-F1@q995": ev.composite_metrics(alarms, labels)["f1"],
            "R-F1@q995": ev.range_metrics(alarms, labels)["f1"],
            "Affiliation-F@q995": ev.affiliation_metrics(alarms, labels)["f1"],
        }
        for name, value in found.items():
            if row[name] is None:
                assert not alarms.any()  # nothing above the threshold: not computed there
            else:
                assert value == pytest.approx(row[name], abs=1e-6), (row["file"], row["det"], name)


def golden_rows(nab):
    return json.loads((nab[0] / "results" / "golden_metrics.json").read_text())


def test_metrics_equal_golden_values(nab):
    compare_with_golden(nab, golden_rows(nab)[::40])


@pytest.mark.slow
def test_metrics_equal_all_golden_values(nab):
    compare_with_golden(nab, golden_rows(nab))


def test_nab_scores_are_the_published_ones(nab):
    folder, windows, published = nab
    with (folder / "results" / "published_standard_per_file.csv").open() as file:
        rows = [row for row in DictReader(file) if row["Detector"] in ("numenta", "windowedGaussian", "knncad")]
    bounds = {row["File"]: windows_of(folder, row["File"], windows)[0] for row in rows}
    assert len(rows) == 3 * 39
    for row in rows:
        name = row["File"]
        found = ev.nab_score(
            [published[f"{row['Detector']}/{name}"]], [bounds[name]], "standard", float(row["Threshold"])
        )
        assert found.raw[0] == pytest.approx(float(row["Score"]), abs=0.005), row
    for name in ("numenta", "windowedGaussian"):  # a sweep finds a threshold at least as good
        scores = [published[f"{name}/{file}"] for file in bounds]
        swept = ev.nab_score(scores, list(bounds.values())).score
        used = next(float(row["Threshold"]) for row in rows if row["Detector"] == name)
        assert swept >= ev.nab_score(scores, list(bounds.values()), threshold=used).score > 30


# The table


def test_the_table_has_a_naive_and_a_random_row_and_says_less_without_alarms():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 0], (600, 40, 360))
    values = rng.normal(size=(1000, 2)) + 4 * labels[:, None]
    scores, times = np.abs(values).max(axis=1), pd.date_range("2024-01-01", periods=1000, freq="min")
    only = ev.evaluate(scores, labels)
    assert list(only.index) == ["detector", "random"]
    assert list(only.columns) == ["roc_auc", "pr_auc", "vus_roc", "vus_pr", "best_f1"]
    table = ev.evaluate(pd.Series(scores), pd.Series(labels), scores > 4, values=pd.DataFrame(values), times=times)
    assert list(table.index) == ["detector", "naive", "random"]
    pd.testing.assert_frame_equal(table.loc[["detector", "random"], only.columns], only)
    assert table.loc["detector", "f1"] > 0.8 > table.loc["random", "f1"]
    assert table.loc["detector", "delay"] % 60 == 0
    assert table.loc["random", "false_alarms_per_week"] > table.loc["detector", "false_alarms_per_week"]
    assert "false_alarms_per_week" not in ev.evaluate(scores, labels, scores > 4, times=np.arange(1000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nothing = ev.evaluate(
            np.full(50, np.nan), np.zeros(50), np.zeros(50), values=np.full((50, 1), np.nan), times=times[:50]
        )
    assert nothing.loc["detector", "false_alarms_per_week"] == 0


def test_the_naive_score_passes_over_what_is_missing_and_constant():
    values = np.column_stack([[0.0, 1, np.nan, 1, 3], [5.0] * 5])
    assert np.isfinite(ev.naive_score(values)).all()
    np.testing.assert_allclose(ev.naive_score(values[:2], span=1), [0, 1])
