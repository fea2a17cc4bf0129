from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.strategies import frame_of, gap_free, grid, long_frames
from tsrnn.data import Panel, Schema
from tsrnn.transforms import RobustScaler, StandardScaler

SCALERS = [StandardScaler(), RobustScaler()]

every_scaler = pytest.mark.parametrize("scaler", SCALERS, ids=lambda scaler: type(scaler).__name__)


def panel_of(*series):
    """A panel of daily series ``a``, ``b`` ..., given as values."""
    return Panel.from_frame(frame_of({chr(97 + i): (grid("D", len(y)), y) for i, y in enumerate(series)}))


def inverted(scaling, panel, scaled):
    """Scaled rows of a panel, back by `Scaling.inverse`, series by series."""
    parts = np.split(scaled, panel.indptr[1:-1])
    return np.concatenate([scaling.inverse(p[None, :, :, None], np.array([i]))[0, ..., 0] for i, p in enumerate(parts)])


@every_scaler
class TestEveryScaler:
    @settings(max_examples=40)
    @given(drawn=long_frames())
    def test_inverse_undoes_transform(self, scaler, drawn):
        panel = Panel.from_frame(drawn.df, freq=drawn.freq)
        scaling = scaler.fit(panel)
        back = inverted(scaling, panel, scaling.transform(panel))
        assert (np.isnan(back) == np.isnan(panel.values)).all()
        np.testing.assert_allclose(back, panel.values, rtol=1e-9, atol=1e-8)

    @settings(max_examples=30)
    @given(drawn=long_frames(missing=False), garbage=st.sampled_from([np.nan, 1e12, -1e12]), data=st.data())
    def test_later_rows_do_not_reach_a_scaling_of_the_first_ones(self, scaler, drawn, garbage, data):
        panel = Panel.from_frame(drawn.df, freq=drawn.freq)
        ends = np.array([data.draw(st.integers(1, n)) for n in panel.lengths])
        known = scaler.fit(panel.until(ends))
        spoilt = panel.values.copy()
        for start, stop, end in zip(panel.indptr[:-1], panel.indptr[1:], ends, strict=True):
            spoilt[start + end : stop] = garbage
        again = scaler.fit(replace(panel, values=spoilt).until(ends))
        np.testing.assert_array_equal(again.location, known.location)
        np.testing.assert_array_equal(again.scale, known.scale)

    @settings(max_examples=30)
    @given(values=arrays(float, 6, elements=st.floats(-1e3, 1e3)), factor=st.sampled_from([1e-14, 0.5, 1e9]))
    def test_the_unit_of_the_data_does_not_matter(self, scaler, values, factor):
        values = values.round(2)
        one, other = (panel_of(values * f) for f in (1, factor))
        np.testing.assert_allclose(
            scaler.fit(one).transform(one), scaler.fit(other).transform(other), rtol=1e-6, atol=1e-6
        )

    @pytest.mark.parametrize("values", [[0.1] * 9, [0.0] * 3, [1e9 / 3] * 7, [5.0], [np.nan, 2.5, np.nan, 2.5]])
    def test_a_constant_is_scaled_to_zero(self, scaler, values):
        panel = panel_of(values, [1.0, 2.0])
        scaling = scaler.fit(panel)
        assert scaling.scale[0] == 1
        scaled = scaling.transform(panel)[: len(values), 0]
        np.testing.assert_allclose(scaled[~np.isnan(values)], 0, atol=1e-6)

    def test_a_series_without_values_does_no_harm(self, scaler):
        scaling = scaler.fit(panel_of([np.nan, np.nan], [1.0, 3.0, 2.0]))
        assert (scaling.location[0], scaling.scale[0]) == (0, 1)
        assert np.isfinite(scaling.scale).all()

    def test_every_channel_of_every_series_for_itself(self, scaler):
        df = gap_free(lengths=(40, 30), n_channels=2)
        panel = Panel.from_frame(df, Schema(target_col=("y", "y1")))
        scaling = scaler.fit(panel)
        assert scaling.location.shape == scaling.scale.shape == (2, 2)
        alone = Panel.from_frame(df[df["unique_id"] == "b"], Schema(target_col="y1"))
        np.testing.assert_allclose(scaler.fit(alone).location[0], scaling.location[1, 1:])
        np.testing.assert_allclose(scaler.fit(alone).transform(alone)[:, 0], scaling.transform(panel)[40:, 1])

    def test_forecasts_go_back_series_by_series(self, scaler):
        scaling = scaler.fit(panel_of([1.0, 2, 3], [10.0, 30, 20]))
        forecasts = np.arange(24.0).reshape(4, 3, 1, 2)
        series = np.array([1, 0, 1, 1])
        back = scaling.inverse(forecasts, series)
        for b, i in enumerate(series):
            np.testing.assert_array_equal(back[b], forecasts[b] * scaling.scale[i] + scaling.location[i])


@every_scaler
class TestExtend:
    def test_known_series_keep_their_scaling_in_any_order(self, scaler):
        fitted = scaler.fit(panel_of([1.0, 2, 4], [10.0, 30, 20]))
        other = Panel.from_frame(frame_of({name: (grid("D", 2), [7.0, 99]) for name in ("b", "a")}))
        extended = scaler.extend(fitted, other, other.lengths)
        np.testing.assert_array_equal(extended.location, fitted.location[::-1])
        np.testing.assert_array_equal(extended.scale, fitted.scale[::-1])
        assert extended.ids.tolist() == ["b", "a"]

    @pytest.mark.parametrize("later", [1e9, np.nan])
    def test_a_new_series_is_scaled_by_its_own_known_rows(self, scaler, later):
        fitted = scaler.fit(panel_of([1.0, 2, 4]))
        other = Panel.from_frame(
            frame_of({"new": (grid("D", 5), [3.0, 5, 8, later, later]), "a": (grid("D", 4), [0.0, 1, 2, later])})
        )
        extended = scaler.extend(fitted, other, np.array([3, 2]))
        alone = scaler.fit(panel_of([3.0, 5, 8]))
        np.testing.assert_array_equal(extended.location[0], alone.location[0])
        np.testing.assert_array_equal(extended.scale[0], alone.scale[0])
        np.testing.assert_array_equal(extended.location[1], fitted.location[0])
        np.testing.assert_array_equal(extended.scale[1], fitted.scale[0])


class TestByHand:
    def test_standard(self):
        scaling = StandardScaler().fit(panel_of([1.0, np.nan, 3.0, 8.0]))
        assert scaling.location[0, 0] == 4
        assert scaling.scale[0, 0] == pytest.approx(np.std([1, 3, 8]))

    def test_robust(self):
        scaling = RobustScaler().fit(panel_of([1.0, 2.0, np.nan, 4.0, 8.0, 1e6]))
        assert scaling.location[0, 0] == 4
        assert scaling.scale[0, 0] == pytest.approx(1.4826 * 3)

    def test_robust_where_most_values_are_alike(self):
        scaling = RobustScaler().fit(panel_of([5.0, 5.0, 5.0, 9.0]))
        assert scaling.location[0, 0] == 5
        assert scaling.scale[0, 0] == pytest.approx(np.std([5, 5, 5, 9]))

    def test_normal_data_come_out_alike(self):
        panel = panel_of(np.random.default_rng(0).normal(3, 2, 20_000))
        for scaler in SCALERS:
            assert scaler.fit(panel).scale[0, 0] == pytest.approx(2, rel=0.03)
