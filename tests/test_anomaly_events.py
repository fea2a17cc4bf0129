"""Gathering alarms and findings into events, whatever the cuts; judging events by labels."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tsrnn.anomaly import event_hits
from tsrnn.anomaly.base import KINDS, Flag, Judged
from tsrnn.anomaly.events import COLUMNS, EventRules

SENSORS, SCORERS = ("a", "b"), ("spike", "drift", "multisensor")
MINUTE = 60 * 10**9


def fitted(sensors=SENSORS, interval=1, **rules):
    size = len(sensors)
    return EventRules(**{"re_entry": 0} | rules).fit(sensors, SCORERS, np.full(size, -1.0), np.ones(size), interval)


def judged_of(score, times=None, *, flags=None, heights=None, values=None, lead=0, severity=0.0):
    """Rows of two sensors, expected at 0; the first stands as high as the row's score."""
    score = np.asarray(score, float)
    n = len(score)
    times = np.arange(n) if times is None else np.asarray(times)
    flags = np.zeros((n, 2), np.uint16) if flags is None else flags
    heights = np.stack([score, 0 * score], axis=1) if heights is None else np.asarray(heights, float)
    values = np.full((n, 2), 2.0) if values is None else np.asarray(values, float)
    zero = np.zeros((n, 2))
    return Judged(
        times=times,
        counts=(flags[:, 0] & (Flag.DUPLICATE | Flag.BACKSTEP)) == 0,
        flags=flags,
        values=values,
        mean=zero,
        scale=zero + 1,
        held=zero > 0,
        heights=heights,
        score=score,
        p=np.where(np.isnan(score), np.nan, 1 / (1 + np.nan_to_num(score) ** 2)),
        severity=np.full(n, severity),
        lead=np.broadcast_to(np.asarray(lead), n),
    )  # fmt: skip


def flagged(n, **found):
    """Flags by name: rows in which both sensors have it, or a pair of rows and sensor."""
    flags = np.zeros((n, 2), np.uint16)
    for name, rows in found.items():
        rows, sensor = rows if isinstance(rows, tuple) else (rows, slice(None))
        flags[rows, sensor] |= Flag[name.upper()].value
    return flags


def part_of(judged, rows):
    return Judged(*(array[rows] for array in judged))


def events_of(rules, judged):
    state, closed = rules.step(rules.start(), judged)
    return pd.concat([closed, rules.finish(state)]).sort_values("start", kind="stable", ignore_index=True)


def intervals_of(events):
    return list(zip(events["start"], events["end"], strict=True))


# Alarms


def test_events_are_the_stretches_above_one():
    events = events_of(fitted(merge=1), judged_of([0, 1.0, 1.5, 3.0, 0.9, 0, 0, 5, np.nan]))
    assert {name: str(dtype) for name, dtype in events.dtypes.items()} == COLUMNS
    assert intervals_of(events) == [(2, 3), (7, 7)]
    assert events["id"].tolist() == [1, 2]
    assert events["peak"].tolist() == [3, 7]
    assert events["score"].tolist() == [3.0, 5.0]
    assert events["severity"].tolist() == pytest.approx([75, 100 * 5 / 6])
    assert events["p_value"].tolist() == pytest.approx([1 / 10, 1 / 26])
    assert events["n_rows"].tolist() == [2, 1]
    assert events["sensors"].tolist() == ["a 100 %", "a 100 %"]


def test_alarms_merge_by_time_not_by_rows():
    for times, wanted in (([0, 1, 2, 3], 1), ([0, 1, 2, 60], 2)):
        assert len(events_of(fitted(merge=2), judged_of([2, 0, 2, 2], times))) == wanted
    minutes = MINUTE * np.array([0, 1, 2, 60])
    for merge, wanted in (("58min", 1), ("57min", 2), (58, 1)):
        assert len(events_of(fitted(merge=merge, interval=MINUTE), judged_of([2, 0, 2, 2], minutes))) == wanted


def test_alarms_that_do_not_last_are_no_event():
    scores = [2, 0, 0, 0, 2, 2, 2, 2, 0, 0, 2, 0, 2]
    events = events_of(fitted(merge=1, min_duration=2), judged_of(scores))
    assert intervals_of(events) == [(4, 7)]
    assert events["id"].tolist() == [1]
    assert events["delay"].tolist() == [2]  # the third alarm of the stretch makes it an event
    assert intervals_of(events_of(fitted(merge=2, min_duration=2), judged_of(scores))) == [(4, 7), (10, 12)]


def test_padding_widens_events_and_merges_those_that_would_touch():
    scores = [0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 2]
    assert intervals_of(events_of(fitted(merge=1, padding=2), judged_of(scores))) == [(1, 5), (6, 10), (13, 17)]
    assert intervals_of(events_of(fitted(merge=1, padding=3), judged_of(scores))) == [(0, 11), (12, 18)]


def test_no_event_begins_shortly_after_another_one():
    scores = [2, 0, 0, 2, 2, 0, 0, 2, 2, 2]
    assert intervals_of(events_of(fitted(merge=1, suppression=7), judged_of(scores))) == [(0, 0), (8, 9)]
    assert intervals_of(events_of(fitted(merge=1), judged_of(scores))) == [(0, 0), (3, 4), (7, 9)]


def test_the_delay_counts_from_near_the_line():
    events = events_of(fitted(), judged_of([0, 0.9, 0.7, 0.9, np.nan, 0.85, 2, 0]))
    assert events["delay"].tolist() == [3]
    assert events_of(fitted(), judged_of([0, 2.0]))["delay"].tolist() == [0]


def test_a_smooth_severity_can_be_above_that_of_the_score():
    assert events_of(fitted(), judged_of([0, 3, 0], severity=80.0))["severity"].tolist() == [80]
    assert events_of(fitted(), judged_of([0, 1e9, 0]))["severity"].tolist() == pytest.approx([100])


def test_shares_are_of_squared_heights():
    heights = [[2, 0], [4, 3], [2, 0]]
    events = events_of(fitted(), judged_of([2, 5, 2], heights=heights))
    assert events["sensors"].tolist() == ["a 73 %, b 27 %"]  # 24 and 9 of 33


@pytest.mark.parametrize(
    ("n", "value", "lead", "kind"),
    [
        (2, 2.0, 0, "spike"),
        (2, 0.5, 0, "contextual"),  # as the values of training are
        (8, 2.0, 0, "level"),
        (8, -0.5, 0, "level"),
        (8, [2.0, -2.0], 0, "contextual"),
        (8, 2.0, 1, "drift"),
        (2, 2.0, 2, "multisensor"),
        (9, 2.0, [2, 1, 1], "drift"),
    ],
)
def test_kinds_of_the_model(n, value, lead, kind):
    values = np.stack([np.resize(value, n), np.zeros(n)], axis=1)
    (event,) = events_of(fitted(), judged_of(np.full(n, 2.0), values=values, lead=np.resize(lead, n))).itertuples()
    assert event.kind == kind


# Findings of the rules of quality


def test_findings_are_an_event_for_each_kind_and_sensor():
    flags = flagged(40, range=([3, 5, 30], 0), sentinel=([4, 6], 1), stuck=(slice(3, 20), 1))
    events = events_of(fitted(), judged_of(np.zeros(40), flags=flags))
    assert events[["id", "kind", "start", "end", "sensors"]].values.tolist() == [
        [2, "range", 3, 5, "a 100 %"],
        [1, "stuck", 3, 19, "b 100 %"],
        [3, "range", 4, 6, "b 100 %"],
        [4, "range", 30, 30, "a 100 %"],
    ]
    assert (events["severity"] == 50).all()
    assert events["p_value"].isna().all()


def test_what_all_sensors_have_is_one_event():
    flags = flagged(20, missing=slice(3, 8), duplicate=[12])
    events = events_of(fitted(), judged_of(np.where(flags.any(axis=1), np.nan, 0), flags=flags))
    assert events[["kind", "start", "end", "sensors"]].values.tolist() == [
        ["gap", 3, 7, "all"],
        ["duplicate", 12, 12, "all"],
    ]
    alone = judged_of(np.zeros(20), flags=flags)
    alone = alone._replace(**{name: getattr(alone, name)[:, :1] for name in ("flags", "values", "mean", "heights")})
    assert events_of(fitted(("a",)), alone)["sensors"].tolist() == ["a 100 %", "a 100 %"]


def test_a_gap_begins_when_the_first_row_was_due_and_its_end_is_no_second_event():
    times = np.append(np.arange(10), np.arange(30, 50))
    score = np.where(np.arange(30) == 10, 9.0, np.where(np.isin(np.arange(30), [12, 25]), 3.0, 0.0))
    judged = judged_of(score, times, flags=flagged(30, gap=[10]))
    events = events_of(fitted(re_entry=5, merge=1), judged)
    assert events[["kind", "start", "end", "delay"]].values.tolist() == [["gap", 10, 30, 20], ["spike", 45, 45, 0]]
    assert len(events_of(fitted(merge=1), judged)) == 3  # the third row after it counts, its end does not
    flags = flagged(30, gap=[10]) | flagged(30, stuck=(slice(10, 12), 1))
    assert events_of(fitted(re_entry=5, merge=1), judged._replace(flags=flags))["start"].tolist() == [10, 30, 45]
    silent = judged_of(score[:12], flags=flagged(12, missing=slice(4, 10)))
    assert events_of(fitted(re_entry=5), silent)["kind"].tolist() == ["gap"]  # rows without values are no better


def test_an_outage_is_known_by_the_clock_before_data_return():
    rules = fitted(interval=MINUTE)
    state, _ = rules.step(rules.start(), judged_of([0, 3, 0], MINUTE * np.arange(3)))
    assert len(rules.overdue(state, 4 * MINUTE, gap=2 * MINUTE)) == 0
    (event,) = rules.overdue(state, 7 * MINUTE, gap=2 * MINUTE).itertuples()
    assert (event.kind, event.start, event.end, event.delay) == ("gap", 3 * MINUTE, 7 * MINUTE, 4)
    later = judged_of([0], [9 * MINUTE], flags=flagged(1, gap=[0]))
    state, _ = rules.step(state, later)
    assert event.id in rules.finish(state)["id"].tolist()
    assert len(rules.overdue(rules.start(), 7 * MINUTE, gap=0)) == 0


def test_rows_that_run_back_do_not_tear_an_event():
    times = [0, 1, 2, 0, 1, 2, 3, 4]
    judged = judged_of([0, 0, 0, np.nan, np.nan, np.nan, 0, 0], times, flags=flagged(8, backstep=[3, 4], duplicate=[5]))
    (event,) = events_of(fitted(merge=1), judged).itertuples()
    assert (event.kind, event.start, event.end, event.n_rows) == ("duplicate", 0, 2, 3)


# However a stream is cut


@st.composite
def streams(draw):
    n = draw(st.integers(1, 60))
    scores = draw(hnp.arrays(float, n, elements=st.sampled_from([0.0, 0.3, 0.9, 1.5, 3.0, np.nan])))
    flags = draw(hnp.arrays(np.uint16, (n, 2), elements=st.sampled_from([0, 0, 0, 0, 8, 16, 32, 64])))
    times = np.cumsum(draw(hnp.arrays(np.int64, n, elements=st.sampled_from([1, 1, 1, 1, 9, 0, -2]))))
    before = np.maximum.accumulate(np.append(times[0] - 1, times))[:-1]
    of_rows = np.select([times - before > 2, times == before, times < before], [1, 2, 4], 0).astype(np.uint16)
    heights = np.stack([scores, draw(st.sampled_from([0.1, 0.7])) * scores], axis=1)
    values = draw(hnp.arrays(float, (n, 2), elements=st.sampled_from([-2.0, 0.5, 2.0])))
    lead = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 2)))
    scores = np.where(of_rows > 1, np.nan, scores)
    return judged_of(scores, times, flags=flags | of_rows[:, None], heights=heights, values=values, lead=lead)


@given(
    streams(),
    st.lists(st.integers(0, 60), max_size=6).map(sorted),
    st.sampled_from([
        {}, {"merge": 2}, {"merge": 2, "min_duration": 3}, {"merge": 1, "suppression": 6, "re_entry": 3},
        {"merge": 1, "padding": 1, "min_duration": 1, "suppression": 2},
    ]),
)  # fmt: skip
@settings(max_examples=40)
def test_events_and_state_are_the_same_however_a_stream_is_cut(judged, cuts, rules):
    rules = fitted(**rules)
    state, whole = rules.step(rules.start(), judged)
    after, found = rules.start(), []
    for start, end in zip([0, *cuts], [*cuts, len(judged.times)], strict=True):
        after, some = rules.step(after, part_of(judged, slice(start, end)))
        found.append(some)
    order = ["start", "id"]
    pd.testing.assert_frame_equal(
        pd.concat(found).sort_values(order, ignore_index=True), whole.sort_values(order, ignore_index=True)
    )
    assert state.keys() == after.keys() == rules.start().keys()
    for key, array in state.items():
        np.testing.assert_array_equal(after[key], array)
        assert (after[key].shape, after[key].dtype) == (rules.start()[key].shape, rules.start()[key].dtype)
    every = pd.concat([whole, rules.finish(state)])
    assert sorted(every["id"]) == list(range(1, len(every) + 1))
    assert every["kind"].isin(KINDS).all()
    assert (every["start"] <= every["end"]).all()
    assert every["severity"].between(0, 100).all()


@given(st.lists(st.sampled_from([0.0, 2.0]), min_size=1, max_size=40), st.integers(1, 4))
@settings(max_examples=40)
def test_alarms_are_gathered_as_a_loop_would(scores, merge):
    wanted = []
    for time, score in enumerate(scores):
        if score > 1 and wanted and time - wanted[-1][1] <= merge:
            wanted[-1] = (wanted[-1][0], time)
        elif score > 1:
            wanted.append((time, time))
    assert intervals_of(events_of(fitted(merge=merge), judged_of(scores))) == wanted


def test_no_rows_and_nothing_found():
    rules = fitted()
    state, events = rules.step(rules.start(), judged_of([]))
    assert len(events) == 0
    assert {name: str(dtype) for name, dtype in events.dtypes.items()} == COLUMNS
    assert len(rules.finish(state)) == 0


# Why there is no alarm


def test_explain_says_how_far_from_an_alarm():
    scores = np.zeros(200)
    scores[[20, 22, 80, 140]] = 0.5, 0.8, 3.0, 2.0
    rows = fitted(merge=10, min_duration=2).explain(judged_of(scores), n=3)
    assert rows["time"].tolist() == [80, 140, 22]
    assert rows["margin"].tolist() == pytest.approx([-2, -1, 0.2])
    assert rows["why"].tolist()[2] == "below the alarm line"
    assert rows["why"].str.contains("too short")[:2].all()
    assert fitted(merge=10).explain(judged_of(scores), n=2)["why"].tolist() == ["part of event 1", "part of event 2"]


@pytest.mark.parametrize("given", [{"merge": "soon"}, {"padding": -1}, {"re_entry": "-1h"}])
def test_durations_that_cannot_be_read(given):
    (name,) = given
    with pytest.raises(ValueError, match=f"{name}=.* is no duration"):
        fitted(**given)


# Labels


def intervals(*pairs):
    return pd.DataFrame(list(pairs), columns=["start", "end"])


def test_hits_and_events_outside():
    labels = intervals((10, 20), (30, 40), (50, 50))
    hits = event_hits(intervals((0, 5), (18, 32), (50, 60)), labels)
    assert (hits["n_labels"], hits["n_hit"], hits["missed"]) == (3, 3, [])
    assert (hits["n_events"], hits["n_outside"]) == (3, 1)
    assert hits["outside_share"] == pytest.approx(1 - (2 + 2) / (5 + 14 + 10))


def test_an_alarm_that_never_ends_hits_all_and_is_mostly_outside():
    hits = event_hits(intervals((0, 1000)), intervals((10, 20), (30, 40)))
    assert (hits["n_hit"], hits["n_outside"]) == (2, 0)
    assert hits["outside_share"] == pytest.approx(0.98)


def test_overlapping_labels_count_their_time_once():
    assert event_hits(intervals((0, 10)), intervals((0, 8), (2, 4), (3, 10)))["outside_share"] == 0


def test_stamps_nothing_found_and_nothing_labelled():
    day = pd.Timestamp("2024-01-01")
    labels = intervals((day, day + pd.Timedelta("2h")))
    events = intervals((day + pd.Timedelta("1h"), day + pd.Timedelta("5h")))
    assert event_hits(events, labels)["outside_share"] == pytest.approx(0.75)
    nothing = event_hits(events[:0], labels)
    assert (nothing["n_hit"], nothing["missed"], nothing["n_events"]) == (0, [0], 0)
    assert np.isnan(nothing["outside_share"])
    assert event_hits(events, labels[:0])["n_outside"] == 1
    assert np.isnan(event_hits(intervals((3, 3)), intervals((3, 3)))["outside_share"])


def test_event_hits_reads_stamps_from_text():
    events = pd.DataFrame({"start": ["2024-01-01 00:00"], "end": ["2024-01-01 02:00"]})
    labels = pd.DataFrame(
        {"start": ["2024-01-01T01:00:00.000", "2024-01-05"], "end": ["2024-01-01T03:00:00.000", "2024-01-06"]}
    )
    hits = event_hits(events, labels)
    assert (hits["n_hit"], hits["missed"], hits["outside_share"]) == (1, [1], 0.5)
