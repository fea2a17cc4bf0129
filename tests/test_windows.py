import jax
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.strategies import gap_free
from tsrnn.data import Panel
from tsrnn.windows.batches import DevicePanel, WindowSampler, gather
from tsrnn.windows.index import WindowIndex, sampling_odds, tail_windows, training_windows, validation_rows

lengths_lists = st.lists(st.integers(1, 25), min_size=1, max_size=4)
few = st.integers(1, 6)


def panel_of(lengths):
    return Panel.from_frame(gap_free(1, tuple(lengths)), freq=1)


def index_of(below):
    """Windows that begin at the first cutoff, in series one after the other."""
    n = len(below) - 1
    return WindowIndex(np.arange(n, dtype=np.int32), np.ones(n, np.int32), below, below)


def listed(index):
    """All windows as pairs of series and known rows."""
    return [tuple(map(int, pair)) for pair in zip(*index.locate(np.arange(index.total)), strict=True)]


class TestTrainingWindows:
    @settings(max_examples=80)
    @given(lengths=lengths_lists, context=few, horizon=few, data=st.data())
    def test_are_all_cutoffs_from_the_first_on(self, lengths, context, horizon, data):
        """Counted by the definition, one window after the other."""
        stops = np.array([data.draw(st.integers(0, n)) for n in lengths])
        index = training_windows(panel_of(lengths), stops, context, horizon)
        expected = []
        for i, stop in enumerate(stops):
            cutoffs = [known for known in range(1, stop + 1) if known + horizon <= stop]
            first = context if len(cutoffs) >= 2 * context else max(1, (len(cutoffs) + 1) // 2)
            expected += [(i, known) for known in cutoffs if known >= first]
        assert listed(index) == expected
        assert index.total == len(expected)
        np.testing.assert_array_equal(index.odds, index.below)

    @settings(max_examples=60)
    @given(lengths=lengths_lists, context=few, horizon=few)
    def test_every_series_with_a_cutoff_gives_a_window(self, lengths, context, horizon):
        panel = panel_of(lengths)
        index = training_windows(panel, panel.lengths, context, horizon)
        assert {i for i, _ in listed(index)} == {i for i, n in enumerate(lengths) if n > horizon}
        assert all(1 <= known <= lengths[i] - horizon for i, known in listed(index))

    @pytest.mark.parametrize(("length", "total"), [(20, 20 - 4 - 3 + 1), (3, 0), (4, 1), (5, 2), (6, 2)])
    def test_counts_by_hand(self, length, total):
        assert training_windows(panel_of([length]), np.array([length]), 4, 3).total == total

    def test_too_many_for_32_bits(self):
        class Large:
            indptr = np.array([0, 2**31])

        with pytest.raises(ValueError, match="32-bit"):
            training_windows(Large(), np.array([2**31]), 4, 3)


class TestValidationWindows:
    @settings(max_examples=80)
    @given(lengths=lengths_lists, horizon=few, share=st.sampled_from([0.0, 0.1, 0.3, 0.9]))
    def test_targets_lie_in_the_tail_and_no_training_window_sees_it(self, lengths, horizon, share):
        panel = panel_of(lengths)
        held = validation_rows(panel.lengths, horizon, share)
        tail = tail_windows(panel, held, horizon)
        expected = [
            (i, known) for i, n in enumerate(lengths) for known in range(n - held[i], n - horizon + 1) if held[i]
        ]
        assert listed(tail) == expected
        learned = training_windows(panel, panel.lengths - held, 4, horizon)
        assert all(known + horizon <= lengths[i] - held[i] for i, known in listed(learned))

    @pytest.mark.parametrize(
        ("length", "horizon", "share", "held"),
        [(100, 5, 0.2, 20), (100, 30, 0.2, 30), (100, 5, 0.0, 0), (15, 5, 0.1, 5), (14, 5, 0.1, 0), (100, 5, 0.95, 0)],
    )
    def test_how_many_rows_are_held_out(self, length, horizon, share, held):
        assert validation_rows(np.array([length]), horizon, share).tolist() == [held]


cut = jax.jit(gather, static_argnames=("context_length", "horizon"))


def device_panel(n_rows, n_channels=2, n_past=1, n_future=2, seed=0, first=(0,)):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_rows, n_channels)).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    past, future = (rng.normal(size=(n_rows, n)).astype(np.float32) for n in (n_past, n_future))
    codes = [rng.integers(0, 5, (n, 1), np.int32) for n in (n_rows, n_rows, len(first))]
    static = rng.normal(size=(len(first), 2)).astype(np.float32)
    first = np.asarray(first, np.int32)
    return DevicePanel(values, past, future, *codes[:2], static, codes[2], first)


def sliced(panel, series, known, context_length, horizon):
    """One window cut by plain slices, the oracle of `gather`."""
    start = panel.first[series]
    cutoff = start + known
    history = slice(max(start, cutoff - context_length), cutoff)
    pad = ((context_length - (history.stop - history.start), 0), (0, 0))
    values, target = panel.values[history], panel.values[cutoff : cutoff + horizon]
    covariates = np.concatenate([panel.past[history], panel.future[history]], axis=1)
    return {
        "context": np.pad(np.nan_to_num(values), pad),
        "context_observed": np.pad(~np.isnan(values), pad),
        "valid": np.pad(np.ones(len(values), bool), pad[0]),
        "past": np.pad(covariates, pad),
        "future": panel.future[cutoff : cutoff + horizon],
        "past_codes": np.pad(np.concatenate([panel.past_codes[history], panel.future_codes[history]], axis=1), pad),
        "future_codes": panel.future_codes[cutoff : cutoff + horizon],
        "static": panel.static[series],
        "static_codes": panel.static_codes[series],
        "target": np.nan_to_num(target),
        "target_observed": ~np.isnan(target),
    }


class TestGather:
    @settings(max_examples=40)
    @given(
        lengths=lengths_lists, shape=st.sampled_from([(5, 3), (1, 4), (8, 1)]), seed=st.integers(0, 9), data=st.data()
    )
    def test_equals_plain_slicing(self, lengths, shape, seed, data):
        context, horizon = shape
        starts = np.cumsum([0, *lengths])[:-1]
        panel = device_panel(110, seed=seed, first=np.pad(starts, (0, 4 - len(starts))))
        series = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=3, max_size=3)), np.int32)
        known = np.array([data.draw(st.integers(1, lengths[i])) for i in series], np.int32)
        batch = cut(panel, series, known, context_length=context, horizon=horizon)
        for b, i in enumerate(series):
            for name, expected in sliced(panel, i, known[b], context, horizon).items():
                np.testing.assert_array_equal(getattr(batch, name)[b], expected, err_msg=name)

    def test_a_panel_without_covariates(self):
        zeros, fours = np.zeros(2, np.int32), np.full(2, 4, np.int32)
        batch = cut(device_panel(9, 1, 0, 0), zeros, fours, context_length=3, horizon=2)
        assert batch.past.shape == (2, 3, 0)
        assert batch.future.shape == (2, 2, 0)

    @pytest.mark.parametrize("garbage", [1e9, np.nan])
    def test_the_history_holds_nothing_from_the_cutoff_on_nor_from_before_the_series(self, garbage):
        panel = device_panel(20, first=(0, 6))
        spoilt = jax.tree.map(np.copy, panel)
        for array in (spoilt.values, spoilt.past):
            array[:6], array[11:] = garbage, garbage
        spoilt.future[:6] = garbage
        spoilt.past_codes[:6], spoilt.past_codes[11:], spoilt.future_codes[:6] = 9, 9, 9
        window = {
            "series": np.array([1], np.int32),
            "known": np.array([5], np.int32),
        }
        clean, dirty = (cut(p, **window, context_length=8, horizon=4) for p in (panel, spoilt))
        for name in set(clean._fields) - {"target", "target_observed"}:
            np.testing.assert_array_equal(getattr(clean, name), getattr(dirty, name), err_msg=name)
        assert not np.array_equal(clean.target, dirty.target)


def numbered(n_rows, first):
    """A device panel whose values are row numbers, so that a batch tells where it came from."""
    rows = np.arange(n_rows, dtype=np.float32)[:, None]
    none, codes = rows[:, :0], np.zeros((n_rows, 0), np.int32)
    first = np.asarray(first, np.int32)
    return DevicePanel(rows, none, none, codes, codes, none[: len(first)], codes[: len(first)], first)


def shares(drawn, panel):
    """How often each series was drawn."""
    return np.bincount(np.searchsorted(panel.indptr, np.asarray(drawn), side="right") - 1) / len(drawn)


class TestSampler:
    draw = staticmethod(jax.jit(WindowSampler(context_length=3, horizon=2, batch_size=16)))

    @settings(max_examples=30)
    @given(lengths=st.lists(st.integers(1, 12), min_size=3, max_size=3), seed=st.integers(0, 99))
    def test_draws_windows_that_exist(self, lengths, seed):
        panel = panel_of(lengths)
        index = training_windows(panel, panel.lengths, 3, 2)
        assume(index.total)
        batch = self.draw((numbered(36, panel.indptr[:-1]), index), jax.random.key(seed))
        firsts = {panel.indptr[i] + known for i, known in listed(index)}
        assert set(np.asarray(batch.target)[:, 0, 0]) <= firsts
        np.testing.assert_array_equal(batch.target[:, 1], batch.target[:, 0] + 1)
        np.testing.assert_array_equal(batch.context[:, -1], batch.target[:, 0] - 1)
        assert batch.target_observed.all()
        assert batch.valid[:, -1].all()

    def test_draws_all_of_them_alike_and_none_of_the_padding(self):
        panel = panel_of([12, 2, 7])
        index = training_windows(panel, panel.lengths, 3, 2)
        below = np.pad(index.below, (0, 5), mode="edge")
        padded = WindowIndex(np.pad(index.series, (0, 5)), np.pad(index.first, (0, 5)), below, below)
        rows = numbered(21, np.pad(panel.indptr[:-1], (0, 5)))
        batch = WindowSampler(3, 2, batch_size=index.total * 400)((rows, padded), jax.random.key(0))
        drawn, counts = np.unique(np.asarray(batch.target[:, 0, 0]), return_counts=True)
        assert drawn.tolist() == [panel.indptr[i] + known for i, known in listed(index)]
        assert np.abs(counts / 400 - 1).max() < 0.25

    def test_the_key_decides(self):
        panel = panel_of([30])
        data = numbered(36, [0]), training_windows(panel, panel.lengths, 3, 2)
        one, same, other = (self.draw(data, jax.random.key(k)).target for k in (0, 0, 1))
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)

    @pytest.mark.parametrize(("law", "want"), [("series", [1, 0, 1, 1]), ("scale", [1, 0, 0, 8])])
    def test_laws_decide_how_often_a_series_is_drawn(self, law, want):
        panel = panel_of([12, 2, 7, 40])
        index = sampling_odds(training_windows(panel, panel.lengths, 3, 2), law, np.array([1.0, 5.0, 0.0, 8.0]))
        data = numbered(61, panel.indptr[:-1]), index
        drawn = WindowSampler(3, 2, batch_size=20_000)(data, jax.random.key(0)).target[:, 0, 0]
        np.testing.assert_allclose(shares(drawn, panel), np.array(want) / np.sum(want), atol=0.02)
        _, counts = np.unique(np.asarray(drawn), return_counts=True)
        of_last = counts[-int(np.diff(index.below)[-1]) :]  # within a series all windows are alike
        assert np.abs(of_last / of_last.mean() - 1).max() < 0.3


class TestOdds:
    @settings(max_examples=60)
    @given(
        counts=st.lists(st.integers(0, 10**6), min_size=1, max_size=6),
        law=st.sampled_from(["windows", "series", "scale"]),
        data=st.data(),
    )
    def test_are_multiples_of_the_windows_and_meet_the_law(self, counts, law, data):
        scale = np.array([data.draw(st.floats(0.1, 100)) for _ in counts])
        below = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        index = sampling_odds(
            index_of(below),
            law,
            scale,
        )
        odds, there = np.diff(index.odds), np.array(counts) > 0
        assert (odds >= 0).all()
        assert (odds[~there] == 0).all()
        assert (odds[there] % np.array(counts)[there] == 0).all()
        if there.any():
            weight = {"windows": np.array(counts), "series": there, "scale": scale * there}[law]
            np.testing.assert_allclose(odds / odds.sum(), weight / weight.sum(), atol=0.01)

    def test_series_of_zeros_are_drawn_alike(self):
        below = np.array([0, 4, 10], np.int32)
        index = sampling_odds(index_of(below), "scale", np.zeros(2))
        np.testing.assert_allclose(np.diff(index.odds) / index.odds[-1], 0.5, atol=1e-6)

    def test_stay_within_32_bits(self):
        below = np.array([0, 2**30, 2**31 - 9], np.int32)
        odds = sampling_odds(index_of(below), "series", np.ones(2)).odds
        assert (np.diff(odds) > 0).all()
