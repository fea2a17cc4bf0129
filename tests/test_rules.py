"""Rules of reading: gaps that are filled as far as a cutoff allows, rows made one, other orders of rows."""

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tsrnn
from tests.strategies import frame_of, gap_free, long_frames
from tsrnn.data import DataError, Panel, Schema
from tsrnn.data.rules import fill
from tsrnn.windows.batches import DevicePanel, gather

NAN = np.nan


def read(df, freq=None, **roles):
    return Panel.from_frame(df, Schema(**roles), freq)


def small(**params):
    training = tsrnn.Training(max_steps=2, batch_size=4)
    return tsrnn.Forecaster(
        tsrnn.GRU(hidden_size=4), **{"horizon": 2, "context_length": 6, "training": training} | params
    )


@pytest.fixture
def holey():
    """Two series of days with gaps and missing values, a past covariate with its own ones."""
    df = gap_free(lengths=(40, 35)).assign(temp=np.arange(75.0) % 7)
    df.loc[[7, 8, 36, 50, 70], "y"] = NAN
    df.loc[[9, 37, 38, 71], "temp"] = NAN
    return df.drop([3, 20, 21, 33, 34, 60, 61])


class TestGaps:
    def test_are_filled_inside_a_series_only(self):
        values = np.array([NAN, 2, NAN, NAN, 8, NAN, 5, NAN, 6.0])[:, None]
        indptr, at = np.array([0, 6, 9]), np.arange(9.0)
        np.testing.assert_array_equal(fill(values, indptr, "ffill", at)[:, 0], [NAN, 2, 2, 2, 8, NAN, 5, 5, 6])
        np.testing.assert_array_equal(fill(values, indptr, "interpolate", at)[:, 0], [NAN, 2, 4, 6, 8, NAN, 5, 5.5, 6])

    def test_of_irregular_rows_are_interpolated_in_time(self):
        df = frame_of({"a": ([0, 1, 10], [0.0, NAN, 10.0])})
        assert read(df, "irregular", gaps="interpolate").filled().values[:, 0].tolist() == [0, 1, 10]

    @pytest.mark.parametrize("rule", ["ffill", "interpolate"])
    def test_a_panel_keeps_what_came_in(self, holey, rule):
        panel = read(holey, gaps=rule, past_covariates=["temp"])
        pd.testing.assert_frame_equal(panel.to_frame(), holey.reset_index(drop=True))
        filled = panel.filled()
        assert not np.isnan(filled.values).any()
        assert not np.isnan(filled.covariates).any()
        assert panel.n_gap_rows == filled.n_gap_rows == 7

    def test_categories_and_the_future_are_not_filled(self, holey):
        df = holey.assign(sky="clear", plan=1.0)
        filled = read(df, gaps="ffill", past_covariates=["sky", "temp"], future_covariates=["plan"]).filled()
        assert np.isnan(filled.covariates).any(axis=0).tolist() == [True, False, True]

    @settings(max_examples=60)
    @given(long_frames(), st.sampled_from(["ffill", "interpolate"]), st.data())
    def test_a_filled_gap_is_known_only_with_both_of_its_ends(self, drawn, rule, data):
        panel = read(drawn.df, drawn.freq, gaps=rule)
        series = data.draw(st.integers(0, len(panel.ids) - 1))
        end = data.draw(st.integers(1, int(panel.lengths[series])))
        poisoned = panel.values.copy()
        poisoned[panel.indptr[series] + end : panel.indptr[series + 1]] = data.draw(st.sampled_from([1e9, NAN]))
        dirty = Panel(
            poisoned, panel.covariates, panel.times, panel.indptr, panel.ids, panel.rows, panel.freq, panel.schema
        )
        known = panel.known(series, end)
        np.testing.assert_array_equal(dirty.known(series, end), known)
        ends = panel.lengths.copy()
        ends[series] = end
        cut = panel.until(ends).filled()
        np.testing.assert_array_equal(cut.values[cut.indptr[series] : cut.indptr[series + 1]], known)

    def test_the_gathered_history_is_that_of_the_cut_panel(self):
        values = np.array([1, NAN, 3, NAN, NAN, 9, NAN, 7.0])[:, None]
        indptr = np.array([0, 8])
        rows = [np.asarray(fill(values, indptr, "interpolate", np.arange(8.0)), np.float32)]
        measured = ~np.isnan(values)
        panel = DevicePanel(*rows, np.ones((8, 1), np.float32), np.zeros((8, 0), np.float32), np.c_[measured, measured])
        for end in range(1, 7):
            batch = gather(
                jax.tree.map(jax.numpy.asarray, panel), np.zeros(1, np.int32), np.full(1, end, np.int32),
                context_length=6, horizon=2,
            )  # fmt: skip
            known = fill(values[:end], np.array([0, end]), "interpolate", np.arange(8.0)[:end])[-6:, 0]
            seen = np.asarray(batch.context_observed[0, -end:, 0])
            np.testing.assert_array_equal(seen, ~np.isnan(known))
            np.testing.assert_allclose(np.asarray(batch.context[0, -end:, 0]), np.nan_to_num(known))
            later = np.asarray(np.maximum.accumulate(measured[:end][::-1])[::-1])[-6:, 0]
            np.testing.assert_array_equal(batch.past[0, -end:, 0], later)
            np.testing.assert_array_equal(batch.target_observed[0], measured[end : end + 2])

    @pytest.mark.parametrize("rule", ["ffill", "interpolate"])
    @pytest.mark.parametrize("garbage", [1e9, NAN])
    def test_nothing_after_a_cutoff_touches_the_forecast(self, holey, rule, garbage):
        def forecasts(df):
            panel = read(df, "D", gaps=rule, past_covariates=["temp"])
            parts = []
            for model in (small(), tsrnn.SeasonalNaive(horizon=2)):
                fitted = model.fit_panel(panel.until(panel.lengths - 7))
                for back in range(8, 1, -1):  # through both gaps near the end
                    ends = panel.lengths - back
                    parts.append(fitted.forecast_panel(panel, np.arange(2), ends)[[0, 1]])
            return parts

        clean = forecasts(holey)
        late = holey["ds"] > holey.groupby("unique_id")["ds"].transform("max") - pd.Timedelta(days=2)
        dirty = forecasts(holey.assign(y=holey["y"].mask(late, garbage), temp=holey["temp"].mask(late, garbage)))
        for a, b in zip(clean, dirty, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_filling_is_what_the_network_reads(self, holey):
        forecasts = [
            small().fit(holey, gaps=rule, past_covariates=["temp"]).predict(level=[])["GRU"].to_numpy()
            for rule in ("mask", "ffill", "interpolate")
        ]
        assert all(np.isfinite(f).all() for f in forecasts)
        assert not np.allclose(forecasts[0], forecasts[1])
        assert not np.allclose(forecasts[1], forecasts[2])

    def test_refused(self, holey):
        want = r"'a' lacks 1 steps of freq=D between .*01-01 .* at row 2 and .*01-03 .* at row 3; 7 steps in 4 gaps"
        with pytest.raises(DataError, match=want):
            read(holey, gaps="error")
        read(gap_free(), gaps="error")

    def test_unknown_rules_are_refused(self):
        with pytest.raises(ValueError, match=r"gaps='drop' is not known; choose from 'mask', 'error', 'ffill'"):
            Schema(gaps="drop")
        with pytest.raises(ValueError, match=r"duplicates=None is not known"):
            Schema(duplicates=None)
