"""Rules of quality: against a loop over rows, however a stream is cut, and on the documented dirty file of pecos."""

import gzip
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsrnn.anomaly import AnomalyDetector
from tsrnn.anomaly.base import KINDS, Flag, Rows
from tsrnn.anomaly.checks import EVENT_KINDS, NEVER, UNITS, FittedQuality
from tsrnn.anomaly.rules import Quality
from tsrnn.data import DataError
from tsrnn.forecasting.online import Persistence

LIMITS = FittedQuality(
    interval=2,
    gap=4,
    leap=7,
    pause=np.array([3, 7]),
    stuck=np.array([5, NEVER]),
    lower=np.array([-np.inf, 0.0]),
    upper=np.array([np.inf, 50.0]),
    low=np.array([10.0, 0.0]),
    high=np.array([20.0, 40.0]),
    change=np.array([1.0, np.nan]),
    counter=np.array([False, True]),
    sentinels=np.array([-9999.0, 999.0]),
    marks=np.array([13.0]),
)


def rows_of(times, *columns):
    return Rows(np.asarray(times, np.int64), np.array(columns, float).T, np.zeros((len(times), 0)))


def flags_of(rules, rows):
    return rules.step(rules.start(), rows)[1].flags


def by_hand(rules, rows):
    """Flags, usable, counts and elapsed from a loop over rows and cells."""
    size = rows.values.shape[1]
    highest, leapt, last, seen, still = None, -np.inf, [np.nan] * size, [0] * size, [0] * size
    runs = np.zeros((len(UNITS), size))
    out = []
    for time, values in zip(rows.times.tolist(), rows.values.tolist(), strict=True):
        if highest is None:
            highest = time - rules.interval
            seen = [highest] * size
        of_row = Flag.DUPLICATE if time == highest else Flag.BACKSTEP if time < highest else Flag(0)
        leapt, goes_on = time, 0 < time - leapt <= rules.leap
        if time - highest > rules.leap and not goes_on:
            of_row = Flag.LEAP
        else:
            leapt = -np.inf
        counts, elapsed = not of_row, 0 if of_row else max(time - highest, 0)
        if elapsed > rules.gap:
            of_row |= Flag.GAP
        found, usable = [of_row] * size, [False] * size
        for c, value in enumerate(values if counts else []):
            low, high = rules.low[c], rules.high[c]
            since = time - seen[c]
            flag = Flag(0)
            far = max(low - value, value - high) > high - low
            if np.isnan(value):
                flag |= Flag.MISSING if since + rules.interval > rules.pause[c] else 0
            elif value in rules.marks or (far and value in rules.sentinels):
                flag |= Flag.SENTINEL
            elif np.isinf(value):
                flag |= Flag.RANGE
            else:
                longest = max(rules.pause[c], rules.stuck[c] // 2)
                still[c] = still[c] + min(since, longest) if value == last[c] else 0
                flag |= Flag.STUCK if still[c] >= rules.stuck[c] else 0
                flag |= Flag.RANGE if not rules.lower[c] <= value <= rules.upper[c] else 0
                fell = last[c] - value >= 0.1 * (high - low)
                if rules.counter[c] and fell and value <= low + 0.1 * (last[c] - low):
                    flag |= Flag.RESET
                jump = abs(value - last[c]) >= 20 * rules.change[c] and low <= last[c] <= high
                for i, (factor, offset) in enumerate(UNITS):
                    old = (value - offset) / factor
                    middle, width = (low + high) / 2, high - low
                    likely = not low <= value <= high and abs(old - middle) <= width * (1 + 1e-12)
                    near = abs(old - last[c]) <= rules.change[c] * np.sqrt(max(since / rules.interval, 1))
                    near &= abs(last[c] * factor + offset - last[c]) >= 20 * rules.change[c]
                    runs[i, c] = (1 if jump and near else runs[i, c] + (runs[i, c] > 0)) if likely else 0
                flag |= Flag.UNIT if runs[:, c].max() >= 5 else 0
                last[c], seen[c] = value, time
                usable[c] = not flag
            found[c] = of_row | flag
        highest = time if counts else highest
        out.append((found, usable, counts, elapsed / rules.interval))
    return [np.array(part) for part in zip(*out, strict=True)]


cells = st.sampled_from(
    [np.nan, np.inf, -9999.0, 999.0, 13.0, 0.0, 11.0, 12.0, 41.0, 60.0, 110.0, 120.0, 111.0, 1200.0]
)
streams = st.lists(st.tuples(st.integers(-4, 9), cells, cells), min_size=1, max_size=40).map(
    lambda rows: rows_of(1000 + np.cumsum([row[0] for row in rows]), *list(zip(*rows, strict=True))[1:])
)


@given(streams)
def test_rules_are_those_of_a_loop_over_rows(rows):
    _, verdict = LIMITS.step(LIMITS.start(), rows)
    for got, want in zip(verdict, by_hand(LIMITS, rows), strict=True):
        np.testing.assert_array_equal(got, want)


@given(streams, st.lists(st.integers(0, 40), max_size=6))
def test_however_a_stream_is_cut_the_findings_are_the_same(rows, cuts):
    end, whole = LIMITS.step(LIMITS.start(), rows)
    state, parts = LIMITS.start(), []
    edges = [0, *sorted(min(cut, len(rows.times)) for cut in cuts), len(rows.times)]
    for first, stop in pairwise(edges):
        state, verdict = LIMITS.step(state, Rows(*(part[first:stop] for part in rows)))
        parts.append(verdict)
    for got, want in zip(zip(*parts, strict=True), whole, strict=True):
        got = np.concatenate(got)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    for name, value in end.items():
        assert state[name].dtype == value.dtype
        assert state[name].shape == LIMITS.start()[name].shape
        np.testing.assert_array_equal(state[name], value)


def test_every_finding_is_a_kind_of_event():
    assert set(EVENT_KINDS) == set(Flag)
    assert set(EVENT_KINDS.values()) <= set(KINDS)


def smooth(n=600, seed=0):
    """Training: an hourly sensor that wanders between 10 and 20."""
    times = pd.date_range("2024-01-01", periods=n, freq="h").as_unit("ns").asi8
    wave = 15 + 4 * np.sin(np.arange(n) / 30) + np.random.default_rng(seed).normal(0, 0.02, n)
    return rows_of(times, wave)


def test_a_gap_is_longer_than_the_pauses_that_are_usual():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.exponential(100, 5000)).astype(int)
    rules = Quality().fit(rows_of(times, rng.normal(size=5000)), ["y"])
    late = np.cumsum(rng.exponential(100, 50_000)).astype(int)
    assert (flags_of(rules, rows_of(late, rng.normal(size=50_000))) & Flag.GAP > 0).mean() < 0.003
    hour = 3600 * 10**9
    assert Quality().fit(smooth(), ["y"]).gap == 1.5 * hour
    assert Quality(max_gap="3h").fit(smooth(), ["y"]).gap == Quality(max_gap=3).fit(smooth(), ["y"]).gap == 3 * hour


def test_a_sensor_that_reads_every_fourth_row_is_not_missing_between():
    values = np.where(np.arange(400) % 4 == 0, np.random.default_rng(0).normal(size=400), np.nan)
    rules = Quality().fit(rows_of(range(400), values), ["y"])
    assert not flags_of(rules, rows_of(range(400), values)).any()
    values[40] = np.nan
    assert np.flatnonzero(flags_of(rules, rows_of(range(400), values)) & Flag.MISSING).tolist() == [42, 43]


def test_a_sensor_is_stuck_after_a_time_with_holes_inside():
    rules = Quality(stuck={"y": "6h"}).fit(smooth(), ["y"])
    rows = smooth(40)
    rows.values[10:25] = 14.0
    rows.values[12:24:3] = np.nan
    stuck = np.flatnonzero(flags_of(rules, rows) & Flag.STUCK)
    assert stuck.tolist() == [row for row in range(16, 25) if row not in range(12, 24, 3)]
    assert not (flags_of(Quality(stuck=False).fit(smooth(), ["y"]), rows) & Flag.STUCK).any()


def test_the_same_value_after_a_long_hole_is_not_stuck():
    rules = Quality(stuck="6h").fit(smooth(), ["y"])
    rows = smooth(60)
    rows.values[10:50] = np.nan
    rows.values[[9, 50]] = 14.0
    assert not (flags_of(rules, rows) & Flag.STUCK).any()


def test_sensors_that_rest_by_nature_are_not_stuck():
    switch = np.repeat([0.0, 1.0] * 10, 50)
    night = np.where(np.arange(1000) % 100 < 40, 0.0, np.random.default_rng(0).normal(5, 1, 1000))
    rules = Quality().fit(rows_of(range(1000), switch, night, np.zeros(1000)), ["switch", "night", "dead"])
    assert rules.stuck[0] == rules.stuck[2] == NEVER
    assert rules.stuck[1] == 3 * 39


def test_customary_marks_of_missing_values_count_only_far_from_the_values():
    values = 500 + 300 * np.sin(np.arange(500.0))
    training = rows_of(range(500), values, values / 100)
    training.values[50:60, 1] = -999
    rules = Quality().fit(training, ["a", "b"])
    assert rules.low[1] > 1
    assert (flags_of(rules, rows_of([500], [999], [999])) == [[0, Flag.SENTINEL]]).all()
    told = Quality(sentinels=[0.0]).fit(training, ["a", "b"])
    assert (flags_of(told, rows_of([500], [999], [0.0])) == [[0, Flag.SENTINEL]]).all()


def test_a_counter_is_learned_and_falls_back_once():
    counter = np.cumsum(np.random.default_rng(0).integers(0, 5, 900)).astype(float)
    rules = Quality(ranges="auto").fit(rows_of(range(900), counter), ["count"])
    assert rules.counter.all()
    assert np.isinf(rules.upper).all()
    new = np.append(counter[-1] + np.arange(5), [0.0, 3.0, 5.0, 4.9])
    assert np.flatnonzero(flags_of(rules, rows_of(range(900, 909), new))).tolist() == [5]
    assert Quality(counters=["count"]).fit(smooth()._replace(), ["count"]).counter.all()


@pytest.mark.parametrize(("factor", "offset"), UNITS)
def test_a_change_of_unit_is_certain_after_five_readings(factor, offset):
    rules = Quality().fit(smooth(), ["y"])
    rows = smooth(120)
    rows.values[50:80] = rows.values[50:80] * factor + offset
    assert np.flatnonzero(flags_of(rules, rows) & Flag.UNIT).tolist() == list(range(54, 80))


def test_a_spike_or_another_level_is_no_change_of_unit():
    rules = Quality().fit(smooth(), ["y"])
    rows = smooth(120)
    rows.values[50:53] *= 10
    rows.values[70:] += 60.0
    assert not (flags_of(rules, rows) & Flag.UNIT).any()


def test_ranges_are_given_or_learned():
    rules = Quality(ranges={"a": [None, 18.0], "b": "auto"}).fit(
        rows_of(range(600), *[smooth().values[:, 0]] * 3), "abc"
    )
    assert rules.lower[0] == -np.inf
    assert rules.upper[0] == 18
    assert rules.upper[1] == 2 * rules.high[1] - rules.low[1]
    assert rules.upper[2] == np.inf
    assert (flags_of(rules, rows_of([600], [18.5], [40.0], [np.inf])) == Flag.RANGE).all()


def test_what_cannot_be_used_is_said():
    with pytest.raises(DataError, match=r"no column 'flwo' \(stuck\)\. Did you mean 'flow'"):
        Quality(stuck={"flwo": "2h"}).fit(smooth(), ["flow"])
    with pytest.raises(DataError, match="rows in time order, and there are 0"):
        Quality().fit(rows_of([], []), ["y"])
    with pytest.raises(ValueError, match="max_gap='soon' is no duration"):
        Quality(max_gap="soon").fit(smooth(), ["y"])
    for bounds in ((2.0, 1.0), (1.0,), "wide"):
        with pytest.raises(ValueError, match="is no range"):
            Quality(ranges={"y": bounds}).fit(smooth(), ["y"])


def test_without_rows_nothing_happens():
    state, verdict = LIMITS.step(LIMITS.start(), rows_of([], [], []))
    assert verdict.flags.shape == (0, 2)
    assert state["time"] == LIMITS.start()["time"]


def pecos():
    """Three clean days, and the day of pecos's simple example with its documented faults."""
    stamps = pd.date_range("2014-12-29", "2015-01-01 23:45", freq="15min")
    day = (stamps - pd.Timestamp("2015-01-01")) / pd.Timedelta("1D")
    chance = np.random.default_rng(2015).random(len(stamps))
    wave = np.sin(10 * day)
    frame = pd.DataFrame({"A": day.round(2), "B": chance, "C": wave, "D": wave + (chance - 0.5) / 2}, index=stamps)
    known, dirty = frame[:"2014-12-31"], frame["2015-01-01":].copy()
    at = "2015-01-01 {}".format
    dirty.loc[at("12:00") : at("14:30"), "A"] = 0.5
    dirty.loc[at("06:30"), "B"], dirty.loc[at("15:30"), "B"] = -0.001, 1.001
    dirty.loc[at("07:30") : at("09:30"), "C"] = -999
    dirty.loc[at("13:00") : at("16:15"), "C"] += np.linspace(0.6, 0, 14)
    dirty.loc[at("17:45") : at("18:15"), "D"] = np.nan
    clocks = [str(stamp) for stamp in dirty.index.strftime("%H:%M")]
    clocks.remove("05:00")
    clocks.insert(clocks.index("17:00"), "17:00")
    clocks.remove("19:30")
    clocks.insert(clocks.index("19:45") + 1, "19:30")
    return known, dirty.loc[pd.to_datetime([at(clock) for clock in clocks])]


def as_rows(frame):
    return rows_of(pd.DatetimeIndex(frame.index).as_unit("ns").asi8, *frame.to_numpy().T)


def test_the_documented_faults_of_pecos_are_found_and_nothing_else():
    known, dirty = pecos()
    given = {"B": (0, 1), "C": (-1, 1), "D": (-1, 1)}
    rules = Quality(stuck={"A": "1h"}, ranges=given).fit(as_rows(known), list(dirty))
    flags = pd.DataFrame(flags_of(rules, as_rows(dirty)), dirty.index, dirty.columns)
    clock = dirty.index.strftime("%H:%M")
    want = pd.DataFrame(0, dirty.index, dirty.columns)
    want.loc[(clock >= "13:00") & (clock <= "14:30"), "A"] = Flag.STUCK.value  # it stands still from 12:00 on
    want.loc[clock.isin(["06:30", "15:30"]), "B"] = Flag.RANGE.value
    want.loc[(clock >= "07:30") & (clock <= "09:30"), "C"] = Flag.SENTINEL.value
    want.loc[(clock >= "17:45") & (clock <= "18:15"), "D"] = Flag.MISSING.value
    want.loc[dirty["D"].abs() > 1, "D"] = Flag.RANGE.value
    want[clock == "05:15"] |= Flag.GAP.value
    want[(clock == "17:00") & dirty.index.duplicated()] = Flag.DUPLICATE.value
    want[clock == "19:45"] |= Flag.GAP.value  # 19:30 is not where it should be
    want[clock == "19:30"] = Flag.BACKSTEP.value
    pd.testing.assert_frame_equal(flags, want.astype(np.uint16))
    assert (flags["D"] == Flag.RANGE.value).sum() > 5  # documented too


def test_a_slip_of_the_clock_costs_one_row_and_an_outage_one_more_than_it_took():
    minutes = 28_000_000 + np.arange(900)
    slipped = minutes.copy()
    slipped[[100, 700]] += 40_000_000
    late = np.append(minutes[:700], minutes[700:] + 10_000)
    values = np.random.default_rng(0).normal(size=900)
    tables = [pd.DataFrame({"ds": pd.to_datetime(times, unit="m"), "y": values}) for times in (minutes, slipped, late)]
    detectors = [AnomalyDetector(Persistence()).fit(table[:600]) for table in tables[:2]]
    assert detectors[1].quality_.leap < 600 * 60 * 10**9
    slip, outage = (detectors[0].score(table)["y-flags"] for table in tables[1:])
    assert slip[slip > 0].to_dict() == {100: Flag.LEAP, 101: Flag.GAP, 700: Flag.LEAP, 701: Flag.GAP}
    assert outage[outage > 0].to_dict() == {700: Flag.LEAP, 701: Flag.GAP}
    events = detectors[1].detect(tables[1])
    assert events["kind"].tolist() == ["duplicate", "gap", "duplicate", "gap"]
    assert events["end"].tolist() == tables[0]["ds"][[99, 101, 699, 701]].tolist()


def test_what_is_learned_of_the_day_before_finds_the_faults_of_pecos_too():
    known, dirty = pecos()
    flags = flags_of(Quality().fit(as_rows(known), list(dirty)), as_rows(dirty))
    found = [set(Flag(int(np.bitwise_or.reduce(column)))) for column in flags.T]
    of_rows = {Flag.GAP, Flag.DUPLICATE, Flag.BACKSTEP}
    assert [flags - of_rows for flags in found] == [{Flag.STUCK}, set(), {Flag.SENTINEL}, {Flag.MISSING}]


def test_a_detector_makes_an_event_of_each_documented_fault_of_pecos():
    known, dirty = (frame.reset_index(names="ds") for frame in pecos())
    quality = Quality(stuck={"A": "1h"}, ranges={"B": (0, 1), "C": (-1, 1)})
    detector = AnomalyDetector(Persistence(), quality=quality).fit(known)
    state, _ = detector.step(detector.start(), known)
    events = detector.detect(dirty, state)
    rules = events[events["score"].isna()].sort_values("start", kind="stable")
    clock = [rules[name].dt.strftime("%H:%M") for name in ("start", "end")]
    assert list(zip(rules["kind"], *clock, rules["sensors"].str.split().str[0], strict=True)) == [
        ("gap", "05:00", "05:15", "all"),
        ("range", "06:30", "06:30", "B"),
        ("range", "07:30", "09:30", "C"),
        ("stuck", "13:00", "14:30", "A"),
        ("range", "15:30", "15:30", "B"),
        ("duplicate", "17:00", "17:00", "all"),
        ("gap", "17:45", "18:15", "D"),
        ("gap", "19:30", "19:45", "all"),  # 19:30 is not where it should be
        ("duplicate", "19:30", "19:30", "all"),
    ]
    found = events[events["score"].notna()]
    assert len(found) == 1  # the abrupt change in C is the model's
    assert found["sensors"].iloc[0].startswith("C ")
    assert found["start"].iloc[0] <= pd.Timestamp("2015-01-01 13:00") <= found["end"].iloc[0]


def test_healthy_data_are_left_alone(shared_data):
    folder = shared_data / "anomaly"
    with gzip.open(folder / "gecco2018" / "geccoIC2018Train.csv.gz") as file:
        frame = pd.read_csv(file, parse_dates=["timestamp"], nrows=60_000)
    frame = frame.set_index("timestamp").drop(columns="EVENT")
    rules = Quality().fit(as_rows(frame[:20_000]), list(frame))
    flags = flags_of(rules, as_rows(frame))
    assert (flags & ~np.uint16(Flag.MISSING) > 0).mean() < 0.002
