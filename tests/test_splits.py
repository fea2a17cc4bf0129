"""Folds: where the cutoffs lie, for series of any length."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsrnn.data import DataError, Frequency, Panel
from tsrnn.evaluation.splits import fold_ends


def panel_of(lengths):
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.arange(indptr[-1])
    names = np.array([f"s{i}" for i in range(len(lengths))], dtype=object)
    return Panel(rows[:, None] * 1.0, np.zeros((len(rows), 0)), rows, indptr, names, rows, Frequency("integer"))


def test_the_newest_rows_are_tested_last():
    ends = fold_ends(panel_of([20, 11]), horizon=3, n_windows=2)
    assert ends.tolist() == [[14, 5], [17, 8]]


def test_step_size_may_be_shorter_or_longer_than_the_horizon():
    assert fold_ends(panel_of([20]), horizon=3, n_windows=3, step_size=1)[:, 0].tolist() == [15, 16, 17]
    assert fold_ends(panel_of([20]), horizon=3, n_windows=3, step_size=5)[:, 0].tolist() == [7, 12, 17]


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=5), horizon=st.integers(1, 9))
def test_steps_of_the_horizon_tile_the_series(lengths, horizon):
    """Every row after the first cutoff is the target of just one fold, of as many folds as fit."""
    lengths = [n + horizon for n in lengths]
    n_windows = (min(lengths) - 1) // horizon
    ends = fold_ends(panel_of(lengths), horizon=horizon, n_windows=n_windows)
    for own, length in zip(ends.T, lengths, strict=True):
        targets = (own[:, None] + np.arange(horizon)).ravel()
        assert targets.tolist() == list(range(length - n_windows * horizon, length))


@st.composite
def cases(draw):
    horizon, n_windows = draw(st.integers(1, 9)), draw(st.integers(1, 6))
    step_size = draw(st.one_of(st.none(), st.integers(1, 12)))
    tested = horizon + (n_windows - 1) * (step_size or horizon)
    lengths = draw(st.lists(st.integers(tested + 1, tested + 40), min_size=1, max_size=5))
    return lengths, horizon, n_windows, step_size


@given(cases())
def test_laws(case):
    lengths, horizon, n_windows, step_size = case
    ends = fold_ends(panel_of(lengths), horizon=horizon, n_windows=n_windows, step_size=step_size)
    assert ends.shape == (n_windows, len(lengths))
    assert (ends[-1] + horizon == lengths).all()  # the last fold ends with the series
    assert (np.diff(ends, axis=0) == (step_size or horizon)).all()
    assert (ends >= 1).all()
    for k in range(n_windows):
        for i, length in enumerate(lengths):
            train, test = set(range(ends[k, i])), set(range(ends[k, i], ends[k, i] + horizon))
            assert not train & test
            assert max(test) < length
    if step_size is None:  # test windows touch and do not overlap
        tested = ends.T[:, :, None] + np.arange(horizon)
        assert all(len(np.unique(own)) == own.size for own in tested)


@given(cases())
def test_one_row_less_is_too_short(case):
    lengths, horizon, n_windows, step_size = case
    lengths[0] = horizon + (n_windows - 1) * (step_size or horizon)
    with pytest.raises(DataError, match="'s0'"):
        fold_ends(panel_of(lengths), horizon=horizon, n_windows=n_windows, step_size=step_size)


def test_a_short_series_is_named_with_the_way_out():
    with pytest.raises(DataError) as error:
        fold_ends(panel_of([40, 13]), horizon=4, n_windows=3, rows_needed=2, why="to take a difference")
    message = str(error.value)
    assert "'s1' (13 rows); at least 14 rows are needed" in message
    assert "12 to test n_windows=3 folds of horizon=4, step_size=4; before them 2, to take a difference" in message
    assert "fewer windows" in message
    assert "'s0'" not in message


@pytest.mark.parametrize("name", ["horizon", "n_windows", "step_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_counts_must_be_positive_integers(name, value):
    counts = {"horizon": 2, "n_windows": 2, "step_size": 2} | {name: value}
    with pytest.raises(ValueError, match=f"{name} must be a positive integer, got {value!r}"):
        fold_ends(panel_of([40]), **counts)


def test_gaps_count_as_rows():
    days = pd.date_range("2024-01-01", periods=10).delete([3, 8])
    panel = Panel.from_frame(pd.Series(np.arange(8.0), index=days))
    assert panel.times[fold_ends(panel, horizon=2, n_windows=2)[:, 0] - 1].tolist() == (
        pd.to_datetime(["2024-01-06", "2024-01-08"]).to_numpy().astype(panel.times.dtype).tolist()
    )
