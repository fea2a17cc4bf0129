"""Folds: where the cutoffs lie, for series of any length and every combination of options."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsrnn.data import DataError, Frequency, Panel
from tsrnn.evaluation.splits import Folds, make_folds


def panel_of(lengths, firsts=None):
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    firsts = np.zeros(len(lengths), np.int64) if firsts is None else np.asarray(firsts, np.int64)
    times = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - firsts, lengths)
    names = np.array([f"s{i}" for i in range(len(lengths))], dtype=object)
    rows = np.arange(len(times))
    return Panel(times[:, None] * 1.0, np.zeros((len(rows), 0)), times, indptr, names, rows, Frequency("integer"))


def ends(panel, **options):
    return make_folds(panel, **options).ends


def test_the_newest_rows_are_tested_last():
    assert ends(panel_of([20, 11]), horizon=3, n_windows=2).tolist() == [[14, 5], [17, 8]]


def test_step_size_may_be_shorter_or_longer_than_the_horizon():
    assert ends(panel_of([20]), horizon=3, n_windows=3, step_size=1)[:, 0].tolist() == [15, 16, 17]
    assert ends(panel_of([20]), horizon=3, n_windows=3, step_size=5)[:, 0].tolist() == [7, 12, 17]


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=5), horizon=st.integers(1, 9))
def test_steps_of_the_horizon_tile_the_series(lengths, horizon):
    """Every row after the first cutoff is the target of just one fold, of as many folds as fit."""
    lengths = [n + horizon for n in lengths]
    n_windows = (min(lengths) - 1) // horizon
    for own, length in zip(ends(panel_of(lengths), horizon=horizon, n_windows=n_windows).T, lengths, strict=True):
        targets = (own[:, None] + np.arange(horizon)).ravel()
        assert targets.tolist() == list(range(length - n_windows * horizon, length))


def naive(times, horizon, n_windows, start, end, step_size, gap, initial_train_size, allow_incomplete_fold):
    """The rows known at every cutoff of a series, found by trying all of them; None for no cutoff."""
    fits = [
        known
        for known in range(1, len(times) + 1)
        if known + gap + (1 if allow_incomplete_fold else horizon) <= len(times)
    ]
    if start is not None or initial_train_size is not None:
        (first,) = [k for k in fits if (k == initial_train_size if start is None else times[k - 1] == start)] or [None]
        found = [k for k in fits if first and k >= first and (k - first) % step_size == 0]
        return [k for k in found if end is None or times[k - 1] <= end][:n_windows]
    if end is None:
        last = max((k for k in fits if k + gap + horizon <= len(times)), default=None)
    else:
        (last,) = [k for k in fits if times[k - 1] == end] or [None]
    found = [k for k in fits if last and k <= last and (last - k) % step_size == 0]
    return found[-n_windows:] if len(found) >= n_windows else []


@st.composite
def cases(draw):
    """Series of different starts and ends, and any options that do not contradict each other."""
    n = draw(st.integers(1, 3))
    firsts, lengths = ([draw(st.integers(low, high)) for _ in range(n)] for low, high in ((0, 4), (12, 30)))
    options = {"horizon": draw(st.integers(1, 5)), "gap": draw(st.integers(0, 3))}
    options |= {"step_size": draw(st.integers(1, 7)), "allow_incomplete_fold": draw(st.booleans())}
    place = draw(st.sampled_from(["back", "back from end", "start", "initial_train_size"]))
    if place.startswith("back"):
        options["n_windows"] = draw(st.integers(1, 4))
        options |= {"end": draw(st.integers(8, 20))} if place != "back" else {}
    else:
        options[place] = draw(st.integers(5, 12))
        options |= draw(st.sampled_from([{}, {"n_windows": 2}, {"end": draw(st.integers(12, 20))}]))
    return lengths, firsts, options, draw(st.sampled_from([None, 3, 100])), draw(st.sampled_from([None, 2, [0]]))


NONE = dict.fromkeys(["n_windows", "start", "end", "initial_train_size"])


@given(cases())
def test_every_combination_of_options_against_trying_all_cutoffs(case):
    lengths, firsts, options, train_size, skip_folds = case
    panel = panel_of(lengths, firsts)
    own = [panel.times[a:b] for a, b in zip(panel.indptr[:-1], panel.indptr[1:], strict=True)]
    wanted = [naive(times, **NONE | options) for times in own]
    k = min(map(len, wanted))  # as many as fit into every series
    if options.get("n_windows", 1) > k:
        with pytest.raises((DataError, ValueError)):
            make_folds(panel, **options)
        return
    folds = make_folds(panel, **options, train_size=train_size)
    np.testing.assert_array_equal(folds.ends, np.array([cutoffs[:k] for cutoffs in wanted]).T)
    np.testing.assert_array_equal(folds.starts, np.maximum(0, folds.ends - (train_size or 999)))
    for end, start in zip(folds.ends.T, folds.starts.T, strict=True):  # learned, left out and tested rows are apart
        for known, first in zip(end, start, strict=True):
            tested = set(range(known + folds.gap, known + folds.gap + folds.horizon))
            assert not tested & set(range(first, known + folds.gap))
    kept = [i for i in range(k) if skip_folds is None or (i % 2 == 0 if skip_folds == 2 else i)]
    if kept:
        skipped = make_folds(panel, **options, skip_folds=skip_folds)
        np.testing.assert_array_equal(skipped.ends, folds.ends[kept])


@given(n=st.integers(1, 12), refit=st.one_of(st.booleans(), st.integers(1, 15)))
def test_groups_are_the_folds_in_order_and_each_but_the_last_is_full(n, refit):
    folds = make_folds(panel_of([40]), horizon=2, n_windows=n, step_size=1)
    groups = folds.groups(refit)
    assert [end for group in groups for end in group.ends[:, 0]] == folds.ends[:, 0].tolist()
    size = int(refit) or n
    assert [len(group) for group in groups[:-1]] == [size] * (len(groups) - 1)
    assert all(isinstance(group, Folds) and group.horizon == 2 for group in groups)


@pytest.mark.parametrize("options", [{}, {"gap": 2}])
def test_one_row_less_is_too_short(options):
    make_folds(panel_of([40, 7 + sum(options.values())]), horizon=2, n_windows=3, **options)
    with pytest.raises(DataError, match="'s1'"):
        make_folds(panel_of([40, 6 + sum(options.values())]), horizon=2, n_windows=3, **options)


def test_a_short_series_is_named_with_the_way_out():
    with pytest.raises(DataError) as error:
        make_folds(panel_of([40, 13]), horizon=4, n_windows=3, rows_needed=2, why="to take a difference")
    message = str(error.value)
    assert "'s1' (13 rows); at least 14 rows are needed" in message
    assert "12 to test n_windows=3 folds of horizon=4, step_size=4; before them 2, to take a difference" in message
    assert "fewer windows" in message
    assert "'s0'" not in message


@pytest.mark.parametrize("name", ["horizon", "n_windows", "step_size", "initial_train_size", "train_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_counts_must_be_positive_integers(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive integer, got {value!r}"):
        make_folds(panel_of([40]), **{"horizon": 2} | {name: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gap": -1}, "gap must be an integer of at least 0, got -1"),
        ({"start": 5, "initial_train_size": 5}, "start and initial_train_size both place the first cutoff"),
        ({"start": 5, "end": 9, "n_windows": 2}, "the first cutoff, end and n_windows say too much"),
        ({"start": 9, "end": 5}, "end=5 lies before the first cutoff"),
        ({"train_size": 3, "rows_needed": 4, "why": "for a window"}, "train_size=3 is too small: 4 rows are needed"),
        ({"n_windows": 3, "skip_folds": [3]}, "skip_folds names fold 3, but the folds are 0 to 2"),
        ({"n_windows": 2, "skip_folds": [0, 1]}, "skip_folds leaves out all folds, 0 to 1"),
        ({"skip_folds": 0}, "skip_folds must be a positive integer, got 0"),
        ({"start": 39}, r"no room for n_windows=1 folds of horizon=2, .*start=39: series 's0' \(last row 39\) end too"),
        ({"end": 39}, r"no room for n_windows=1 folds of .*end=39: series 's0' \(last row 39\).*allow_incomplete_fold"),
        ({"start": 2, "rows_needed": 5, "why": "to learn"}, r"'s0' \(3 rows\); at least 5 rows are needed \(to learn"),
        ({"end": 5, "n_windows": 4}, r"'s0' \(6 rows\); at least 7 .*6 from cutoff to cutoff of n_windows=4 folds"),
        ({"start": "2024-01-01"}, "'2024-01-01' is not a stamp of these data, whose time goes in integers"),
    ],
)
def test_what_cannot_be_done_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        make_folds(panel_of([40]), **{"horizon": 2} | options)


def test_gaps_count_as_rows():
    days = pd.date_range("2024-01-01", periods=10).delete([3, 8])
    panel = Panel.from_frame(pd.Series(np.arange(8.0), index=days))
    assert panel.times[ends(panel, horizon=2, n_windows=2)[:, 0] - 1].tolist() == (
        pd.to_datetime(["2024-01-06", "2024-01-08"]).to_numpy().astype(panel.times.dtype).tolist()
    )


@pytest.mark.parametrize("freq", ["h", "D"])
def test_a_stamp_is_read_in_the_zone_of_the_data(freq):
    stamps = pd.date_range("2024-03-29", periods=90, freq=freq, tz="Europe/Berlin")
    panel = Panel.from_frame(pd.Series(np.arange(90.0), index=stamps))
    want = np.flatnonzero(stamps <= pd.Timestamp("2024-04-01 05:30", tz="Europe/Berlin"))[-1] + 1
    for stamp in ("2024-04-01 05:30", pd.Timestamp("2024-04-01 03:30", tz="UTC")):
        assert panel.rows_until(stamp).tolist() == [want]
    with pytest.raises(DataError, match="'soon' cannot be read as a stamp; write it as '2024-01-31'"):
        panel.rows_until("soon")
    with pytest.raises(DataError, match="has a time zone, and the data have none"):
        Panel.from_frame(pd.Series([1.0], index=stamps[:1].tz_localize(None))).rows_until(stamps[0])
