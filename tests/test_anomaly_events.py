"""Reading tables with bad stamps, gathering alarms into events, judging events by labels."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsrnn.anomaly import event_hits
from tsrnn.anomaly.events import COLUMNS, find_events
from tsrnn.anomaly.quality import Recording, choose_sensors
from tsrnn.data import DataError, read_csv

MINUTES = pd.date_range("2024-01-01", periods=8, freq="min")


def table(stamps, **sensors):
    sensors = sensors or {"a": np.arange(len(stamps), dtype=float)}
    return pd.DataFrame({"ds": stamps, **sensors})


# Reading


def test_a_tidy_table_is_read_as_it_is_and_needs_no_note():
    recording = Recording.read(table(MINUTES), "ds", ["a"])
    assert recording.notes == ()
    np.testing.assert_array_equal(recording.order, np.arange(8))
    np.testing.assert_array_equal(recording.grid, np.arange(8))
    np.testing.assert_array_equal(recording.panel.values[:, 0], np.arange(8))


def test_a_step_back_repeats_stamps_and_no_row_is_lost():
    stamps = MINUTES[[0, 1, 2, 3, 2, 3, 4]]
    recording = Recording.read(table(stamps), "ds", ["a"])
    np.testing.assert_array_equal(recording.panel.values[:, 0], [0, 1, 2, 3, 6])  # the first row of each stamp
    np.testing.assert_array_equal(recording.order, [0, 1, 2, 4, 3, 5, 6])
    np.testing.assert_array_equal(recording.grid, [0, 1, 2, 2, 3, 3, 4])
    np.testing.assert_array_equal(recording.values[:, 0], recording.order)
    back, repeated = recording.notes
    assert back.startswith("The stamps run back in time once, first at row 4: from 2024-01-01 00:03:00 to")
    assert repeated.startswith("2 rows have the time step of another row, the first is row 4 with 2024-01-01 00:02:00")


def test_notes_name_the_line_of_the_file(tmp_path):
    table(MINUTES[[0, 1, 1, 2]]).to_csv(tmp_path / "pump.csv", index=False)
    (note,) = Recording.read(read_csv(tmp_path / "pump.csv"), "ds", ["a"]).notes
    assert note.startswith("1 row has the time step of another row, the first is row 2 (line 4 of pump.csv)")


def test_missing_stamps_and_values_are_masked_and_said():
    df = table(MINUTES[[0, 1, 4, 5, 7]], a=[1.0, 2.0, 3.0, 4.0, 5.0], b=[1.0, np.nan, 1.0, np.nan, 1.0])
    recording = Recording.read(df, "ds", ["a", "b"])
    np.testing.assert_array_equal(recording.grid, [0, 1, 4, 5, 7])
    assert np.isnan(recording.panel.values[[2, 3, 6]]).all()
    gaps, empty = recording.notes
    assert gaps.startswith("3 stamps are missing (one step is min), 2 of them before row 2, the widest gap.")
    assert empty.startswith("Empty values: b 2, the first in row 1.")
    np.testing.assert_array_equal(recording.missing_before(), [[0, 0], [0, 0], [2, 3], [0, 0], [1, 2]])


def test_few_stamps_beside_the_grid_are_read_at_the_nearest_step():
    stamps = pd.Series(pd.date_range("2024-01-01", periods=40, freq="min"))
    stamps[20] += pd.Timedelta("20s")
    stamps[30] += pd.Timedelta("40s")  # nearer to the step of row 31
    recording = Recording.read(table(stamps), "ds", ["a"])
    assert recording.grid[recording.order == 20] == 20
    assert recording.grid[recording.order == 30] == 31
    beside = recording.notes[1]
    assert beside.startswith("Stamps beside the steps of min: 2, the first is 2024-01-01 00:20:20 in row 20.")


def test_irregular_stamps_are_refused_unless_the_step_is_given():
    seconds = np.cumsum([60, 61, 59, 60, 62, 58, 63, 57, 60, 61])
    df = table(pd.Timestamp("2024-01-01") + pd.to_timedelta(seconds, unit="s"))
    with pytest.raises(DataError, match="freq="):
        Recording.read(df, "ds", ["a"])
    np.testing.assert_array_equal(Recording.read(df, "ds", ["a"], "min").grid, np.arange(10))


@given(st.permutations([0, 1]).flatmap(lambda first: st.lists(st.integers(0, 30)).map(lambda more: [*first, *more])))
def test_every_row_finds_its_stamp_whatever_the_order(steps):
    recording = Recording.read(table(np.asarray(steps), a=np.arange(len(steps), dtype=float)), "ds", ["a"], 1)
    assert sorted(recording.order) == list(range(len(steps)))
    np.testing.assert_array_equal(recording.panel.times[recording.grid], np.asarray(steps)[recording.order])
    firsts = {step: row for row, step in reversed(list(enumerate(steps)))}
    seen = recording.panel.rows >= 0
    np.testing.assert_array_equal(
        recording.panel.values[seen, 0], [firsts[step] for step in recording.panel.times[seen]]
    )


def test_time_zones_and_text_stamps_are_read():
    text = Recording.read(table([str(stamp) for stamp in MINUTES]), "ds", ["a"])
    zoned = Recording.read(table(MINUTES.tz_localize("Europe/Berlin")), "ds", ["a"])
    assert pd.api.types.is_datetime64_any_dtype(text.stamps)
    assert str(zoned.stamps.dt.tz) == "Europe/Berlin"
    np.testing.assert_array_equal(text.grid, zoned.grid)


@pytest.mark.parametrize(
    ("df", "message"),
    [
        (table(MINUTES).iloc[:0], "no rows"),
        (table(MINUTES, a=["1", "2", "x", "4", "5", "6", "7", "8"]), "row 2, column 'a': 'x' is not a number"),
        (table(MINUTES, a=np.r_[np.zeros(7), np.inf]), "row 7, column 'a' is infinite"),
        (table([*MINUTES[:7], pd.NaT]), "row 7 has no time stamp"),
        (table(MINUTES, b=np.zeros(8)), "no column 'a'"),
    ],
)
def test_unusable_tables_are_refused_with_their_place(df, message):
    with pytest.raises(DataError, match=message):
        Recording.read(df, "ds", ["a"])


def test_sensors_are_the_numeric_columns_that_hold_a_value():
    df = table(MINUTES, a=range(8), note=list("abcdefgh"), dead=np.full(8, np.nan))
    assert choose_sensors(df, "ds", None) == (["a"], ["Left out, because no training row has a value: dead."])
    assert choose_sensors(df, "ds", ["dead"]) == (["dead"], [])
    assert choose_sensors(df, "ds", "a") == (["a"], [])
    with pytest.raises(DataError, match="no numeric column to watch besides 'ds'; the others are: 'note'"):
        choose_sensors(df[["ds", "note"]], "ds", None)
    with pytest.raises(DataError, match="no column 'time'"):
        choose_sensors(df, "time", None)


# Events


def scores_of(heights, stamps=None, **sensors):
    stamps = pd.date_range("2024-01-01", periods=len(heights), freq="min") if stamps is None else stamps
    sensors = sensors or {"a": heights}
    parts = {f"{name}-score": np.asarray(values, float) for name, values in sensors.items()}
    return pd.DataFrame({"ds": stamps, **parts, "score": np.asarray(heights, float), "kind": "jump"})


def test_events_are_the_stretches_above_one():
    events = find_events(scores_of([0, 1.0, 1.5, 3.0, 0.9, 0, 0, 5, np.nan]), sensors=["a"], merge_gap=1)
    assert list(events.columns) == list(COLUMNS)
    assert events["start"].dt.minute.tolist() == [2, 7]
    assert events["end"].dt.minute.tolist() == [3, 7]
    assert events["peak"].dt.minute.tolist() == [3, 7]
    assert events["score"].tolist() == [3.0, 5.0]
    assert events["severity"].tolist() == pytest.approx([100 * 2 / 3, 80])
    assert events["n_rows"].tolist() == [2, 1]


def test_alarms_merge_by_time_not_by_rows():
    heights = [2, 0, 2, 2]
    near, far = ([0, 1, 2, 3], [0, 1, 2, 60])
    origin = pd.Timestamp("2024-01-01")
    for minutes, wanted in ((near, 1), (far, 2)):
        stamps = origin + pd.to_timedelta(minutes, unit="min")
        assert len(find_events(scores_of(heights, stamps), sensors=["a"], merge_gap=2)) == wanted
    assert len(find_events(scores_of(heights), sensors=["a"], merge_gap=1)) == 2
    assert len(find_events(scores_of(heights), sensors=["a"], merge_gap=0)) == 3


def test_min_rows_counts_rows_above_the_line():
    scores = scores_of([2, 0, 2, 0, 0, 0, 2])
    assert len(find_events(scores, sensors=["a"], merge_gap=2, min_rows=2)) == 1
    assert len(find_events(scores, sensors=["a"], merge_gap=2, min_rows=3)) == 0


def test_kind_is_that_of_the_peak_and_shares_are_of_squared_scores():
    scores = scores_of([2.0, 5.0, 2.0], a=[2.0, 4.0, 2.0], b=[0.0, 3.0, 0.0], c=[0.1, 0.1, 0.1])
    scores["kind"] = ["unrest", "stuck", "unrest"]
    event = find_events(scores, sensors=["a", "b", "c"]).iloc[0]
    assert event["kind"] == "stuck"
    assert event["sensors"] == "a 73 %, b 27 %"  # 24 and 9 of 33.03


def test_rows_out_of_order_and_integer_time():
    scores = scores_of([2, 0, 3, 0], stamps=[7, 8, 6, 9])
    event = find_events(scores, sensors=["a"]).iloc[0]
    assert (event["start"], event["end"], event["peak"], event["n_rows"]) == (6, 7, 6, 2)


@pytest.mark.parametrize("stamps", [None, [1, 2, 3], pd.date_range("2024", periods=3, tz="UTC")])
def test_no_events_keep_the_columns_and_their_types(stamps):
    scores = scores_of([0, 0.5, np.nan], stamps)
    none = find_events(scores, sensors=["a"])
    some = find_events(scores.assign(score=2.0), sensors=["a"])
    assert len(none) == 0
    assert none.dtypes.equals(some.dtypes)


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
