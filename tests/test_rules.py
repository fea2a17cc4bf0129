"""Rules of reading: gaps that are filled as far as a cutoff allows, rows made one, other orders of rows."""

import warnings

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tsrnn
from tests.strategies import frame_of, gap_free, grid, long_frames
from tsrnn.data import DataError, DataWarning, Panel, Schema, findings, make_future_frame
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
        none, codes = np.zeros((8, 0), np.float32), np.zeros((8, 0), np.int32)
        panel = DevicePanel(
            *rows, np.ones((8, 1), np.float32), none, codes, codes, none[:1], codes[:1], np.zeros(1, np.int32),
            np.c_[measured, measured],
        )  # fmt: skip
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


class TestOneRowAStamp:
    def test_duplicates(self):
        df = frame_of({"a": ([1, 2, 2, 2, 3], [1.0, 2, 6, NAN, 4]), "b": ([3, 1, 2], 5.0)}, sky=list("rrscrrrr"))
        df["x"], df["size"] = range(8), [4] * 5 + [7] * 3
        roles = {"past_covariates": ["sky", "x"], "static_covariates": "size"}
        df = df.iloc[[0, 1, 2, 3, 4, 6, 7, 5]]
        with pytest.raises(DataError, match="'a' has the stamp 2 twice, at row 1 and row 2; 2 such"):
            read(df, **roles)
        for rule, y, x in (("last", 6, 3), ("mean", 4, 2)):
            panel = read(df, duplicates=rule, **roles)
            assert panel.values[:, 0].tolist() == [1, y, 4, 5, 5, 5]
            assert panel.rows.tolist() == [0, 3, 4, 5, 6, 7]
            assert panel.merged.tolist() == [[3, 3]]
            back = panel.to_frame()
            assert back["x"].tolist() == [0, x, 4, 6, 7, 5]
            assert back["sky"].tolist() == list("rcrrrr")
            assert back["size"].tolist() == [4, 4, 4, 7, 7, 7]
            assert panel.describe() == f"2 series, 6 rows, freq=1, 1 rows made of several ({rule})"

    @pytest.mark.parametrize("rule", ["mean", "sum", "median", "min", "max", "first", "last"])
    def test_merged_as_pandas_resamples(self, rule):
        rng = np.random.default_rng(1)
        stamps = pd.Timestamp("2024-01-01 05:10") + pd.to_timedelta(np.sort(rng.integers(0, 3000, 80)), unit="min")
        df = frame_of({"a": (stamps, rng.normal(size=80)), "b": (stamps[:50], rng.normal(size=50))})
        df.loc[5:9, "y"] = NAN
        panel = read(df, "h", resample=rule, gaps="mask")
        for name, own in df.groupby("unique_id"):
            grouped = own.set_index("ds")["y"].resample("h")
            want = grouped.sum(min_count=1) if rule == "sum" else getattr(grouped, rule)()
            at = slice(*panel.indptr[["a", "b"].index(name) + np.arange(2)])
            np.testing.assert_array_equal(panel.times[at], want.index)
            np.testing.assert_allclose(panel.values[at, 0], want)

    @pytest.mark.parametrize(
        ("freq", "stamps", "steps"),
        [
            ("W", ["2024-01-03", "2024-01-07 23:00", "2024-01-08"], ["2024-01-01", "2024-01-08"]),
            ("QS", ["2024-02-03", "2024-03-31", "2024-05-01"], ["2024-01-01", "2024-04-01"]),
            ("ME", ["2024-02-03", "2024-02-29", "2024-03-01"], ["2024-02-29", "2024-03-31"]),
            ("B", ["2024-01-05", "2024-01-07", "2024-01-08 09:00"], ["2024-01-05", "2024-01-08"]),
            ("6h", ["2024-01-01 05:00", "2024-01-01 05:59", "2024-01-01 06:00"], ["2024-01-01", "2024-01-01 06:00"]),
            ("D", ["1969-12-30 01:00", "1969-12-30 23:00", "1969-12-31"], ["1969-12-30", "1969-12-31"]),
        ],
    )
    def test_steps_begin_where_the_calendar_says(self, freq, stamps, steps):
        panel = read(frame_of({"a": (pd.to_datetime(stamps, format="ISO8601"), [1.0, 3, 5])}), freq, resample="mean")
        assert list(panel.times) == [pd.Timestamp(s) for s in steps]
        assert panel.values[:, 0].tolist() == [2, 5]

    def test_days_and_hours_of_a_zone_begin_at_its_own_midnight(self):
        stamps = pd.date_range("2024-03-30 00:10", periods=72, freq="20min", tz="Asia/Kolkata")
        panel = read(frame_of({"a": (stamps, 1.0)}), "2h", resample="sum")
        assert panel.stamps(panel.times).dt.strftime("%H:%M").tolist() == [f"{h:02}:00" for h in range(0, 24, 2)]
        assert set(panel.values[:, 0]) == {6.0}
        assert read(frame_of({"a": (stamps, 1.0)}), "D", resample="sum").values.tolist() == [[72]]

    def test_integers_and_a_new_history(self):
        df = frame_of({"a": ([0, 1, 3, 5, 6, 8, 9, 10, 14], np.arange(9.0))})
        model = tsrnn.Naive(horizon=1).fit(df, freq=5, resample="mean")
        assert model.history_.values[:, 0].tolist() == [1, 4.5, 7.5]
        assert model.predict(df[:5], level=[])[["ds", "Naive"]].to_numpy().tolist() == [[10, 3.5]]

    @pytest.mark.parametrize(("freq", "got"), [(None, "none is given"), ("irregular", "irregular"), ("W-SUN", "W-SUN")])
    def test_a_step_is_needed(self, freq, got):
        with pytest.raises(DataError, match=f"resample needs the step.*{got}"):
            read(gap_free(), freq, resample="mean")

    def test_dates_and_integers(self):
        with pytest.raises(DataError, match="freq=5 does not go with time stamps"):
            read(gap_free(), 5, resample="mean")


class TestOrder:
    @settings(max_examples=80)
    @given(long_frames(), st.randoms(use_true_random=False))
    def test_there_and_back_whatever_the_order(self, drawn, random):
        df = drawn.df.assign(
            plan=np.arange(len(drawn.df)) % 2 == 0,
            sky=np.where(np.arange(len(drawn.df)) % 3 == 0, None, "rain"),
            size=pd.factorize(drawn.df["unique_id"])[0] + 1.0,
        )
        df = df.sample(frac=1, random_state=random.randint(0, 99)).reset_index(drop=True)
        before = df.copy(deep=True)
        roles = {"past_covariates": "sky", "future_covariates": "plan", "static_covariates": "size"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            panel = read(df, drawn.freq, categorical=["sky"], **roles)
        columns = ["unique_id", "ds", "y", "sky", "plan", "size"]
        back = panel.to_frame()
        pd.testing.assert_frame_equal(
            back.astype({"plan": bool, "sky": object}), df[columns].astype({"sky": object}), check_column_type=False
        )
        pd.testing.assert_frame_equal(df, before)

    @settings(max_examples=40)
    @given(long_frames(min_rows=2), st.randoms(use_true_random=False))
    def test_does_not_matter_to_forecasts(self, drawn, random):
        shuffled = drawn.df.sample(frac=1, random_state=random.randint(0, 99))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            one, other = (tsrnn.Drift(horizon=3).fit(df, freq=drawn.freq).predict() for df in (drawn.df, shuffled))
        assert other["unique_id"].drop_duplicates().tolist() == shuffled["unique_id"].drop_duplicates().tolist()
        place = {name: i for i, name in enumerate(one["unique_id"].drop_duplicates())}
        other = other.sort_values("unique_id", key=lambda ids: ids.map(place), kind="stable")
        pd.testing.assert_frame_equal(one, other.reset_index(drop=True), check_exact=True)

    def test_of_rows_does_not_matter_to_a_network(self, holey):
        shuffled = pd.concat([holey[:1], holey[1:].sample(frac=1, random_state=3)], ignore_index=True)
        model = small().fit(holey, freq="D")
        with pytest.warns(DataWarning, match="goes back in time"):
            again = small().fit(shuffled, freq="D")
        pd.testing.assert_frame_equal(again.predict(), model.predict(), check_exact=True)
        swapped = holey.sort_values("unique_id", ascending=False, kind="stable")
        by_name = model.predict(swapped).sort_values("unique_id", kind="stable").reset_index(drop=True)
        pd.testing.assert_frame_equal(by_name, model.predict(holey), check_exact=True)

    def test_is_said_aloud(self):
        df = gap_free(lengths=(3, 4)).iloc[[0, 3, 2, 1, 6, 5, 4]].reset_index(drop=True)
        with pytest.warns(DataWarning) as said:
            panel = read(df)
        assert str(said[0].message) == (
            "series 'a' goes back in time, from 2024-01-01 00:00:00 to 2023-12-31 00:00:00 at row 3; 3 such in all. "
            "Its rows are read in time order."
        )
        assert panel.rows.tolist() == [0, 3, 2, 1, 6, 5, 4]
        assert panel.describe() == "2 series, 7 rows, freq=D, put in time order"


def test_training_begins_with_a_line_on_the_data(holey, capsys):
    loud = small(training=tsrnn.Training(max_steps=2, batch_size=4, progress=True))
    loud.fit(holey, gaps="ffill")
    said = capsys.readouterr().err
    assert "2 series, 75 rows, freq=D, 7 missing stamps, 5 empty values (read as the last value)\n" in said


class TestFindings:
    def test_by_series_and_row(self):
        df = frame_of({"a": (grid("D", 8)[[0, 1, 1, 4, 5, 7]], [1, 2, 3, NAN, NAN, 4]), "b": (grid("D", 3), 5.0)})
        df = df.iloc[[0, 1, 2, 3, 4, 5, 8, 6, 7]].reset_index(drop=True)
        with pytest.warns(DataWarning):
            found = findings(read(df, duplicates="last"))
        day = pd.Timestamp("2023-12-30")
        want = [
            ["a", "duplicate", 2, 1, 1, 2], ["a", "missing", 3, 4, 5, 2], ["a", "gap", 3, 2, 3, 2],
            ["a", "gap", 5, 6, 6, 1], ["b", "disorder", 7, 0, 2, 1],
        ]  # fmt: skip
        columns = ["unique_id", "kind", "row", "start", "end", "n"]
        want = pd.DataFrame(want, columns=columns)
        for name in ("start", "end"):
            want[name] = (day + pd.to_timedelta(want[name], unit="D")).dt.as_unit("us")
        by = ["unique_id", "row", "kind"]
        pd.testing.assert_frame_equal(
            found.sort_values(by, ignore_index=True), want.sort_values(by, ignore_index=True), check_dtype=False
        )

    def test_of_a_sound_frame_there_are_none(self):
        for freq in ("D", 1):
            found = findings(read(gap_free(freq)))
            assert found.columns.tolist() == ["unique_id", "kind", "row", "start", "end", "n"]
            assert len(found) == 0

    @settings(max_examples=60)
    @given(long_frames())
    def test_counts(self, drawn):
        panel = read(drawn.df, drawn.freq)
        found = findings(panel)
        n = found.groupby("kind")["n"].sum()
        assert n.get("gap", 0) == panel.n_gap_rows
        assert n.get("missing", 0) == drawn.df["y"].isna().sum()
        assert set(found["kind"]) <= {"gap", "missing"}

    def test_missing_values_of_channels_are_told_apart(self):
        df = gap_free(lengths=(4,), n_channels=2)
        df.loc[2, "y1"] = NAN
        assert findings(read(df, target_col=["y", "y1"]))[["unique_id", "row"]].to_numpy().tolist() == [["y1", 2]]


ROLES = {"target_col": ("y", "y1"), "future_covariates": ("plan",), "static_covariates": ("size",)}


class TestChannels:
    @pytest.fixture
    def joint(self):
        df = gap_free(lengths=(20, 18), n_channels=2).assign(plan=np.arange(38) % 3 * 1.0)
        return df.assign(size=np.repeat([4.0, 7.0], [20, 18]))

    def test_independent_is_each_column_alone(self, joint):
        panel = read(joint, channels="independent", **ROLES)
        assert panel.ids.tolist() == ["a/y", "a/y1", "b/y", "b/y1"]
        assert panel.labels.tolist() == [["a/y"], ["a/y1"], ["b/y"], ["b/y1"]]
        assert panel.static[:, 0].tolist() == [4, 4, 7, 7]
        for c, column in enumerate(ROLES["target_col"]):
            alone = read(joint, **{**ROLES, "target_col": column})
            for i in range(2):
                mine = slice(*panel.indptr[2 * i + c :][:2])
                its = slice(*alone.indptr[i:][:2])
                for name in ("values", "covariates", "times", "rows"):
                    np.testing.assert_array_equal(getattr(panel, name)[mine], getattr(alone, name)[its])
        one = read(joint[:20], channels="independent", **ROLES)
        assert one.ids.tolist() == ["y", "y1"]
        back = panel.to_frame()
        assert back.columns.tolist() == ["unique_id", "ds", "y", "plan", "size"]
        assert len(back) == 2 * len(joint)

    def test_fit_predict_backtest_save_and_load(self, joint, tmp_path):
        past, ahead = joint.drop([18, 19, 36, 37]), joint.loc[[18, 19, 36, 37], ["unique_id", "ds", "plan"]]
        roles = {**ROLES, "channels": "independent"}
        model = small().fit(past, **roles)
        forecast = model.predict(future_df=ahead)
        assert forecast["unique_id"].tolist() == ["a/y", "a/y", "a/y1", "a/y1", "b/y", "b/y", "b/y1", "b/y1"]
        pd.testing.assert_frame_equal(model.predict(past, future_df=ahead), forecast, check_exact=True)
        model.save(tmp_path / "m")
        loaded = tsrnn.load(tmp_path / "m")
        pd.testing.assert_frame_equal(loaded.predict(future_df=ahead), forecast, check_exact=True)
        skeleton = loaded.make_future_frame()
        pd.testing.assert_frame_equal(skeleton.drop(columns="plan"), ahead.drop(columns="plan").reset_index(drop=True))
        both = tsrnn.backtest(tsrnn.Naive(horizon=2), joint, **roles)
        same = tsrnn.backtest(tsrnn.Naive(horizon=2), joint, **ROLES)
        pd.testing.assert_frame_equal(both.forecasts, same.forecasts)
        pd.testing.assert_frame_equal(both.metrics, same.metrics)

    def test_one_series_alone_needs_no_name_ahead(self, joint):
        model = tsrnn.Naive(horizon=2).fit(joint[:18], channels="independent", **ROLES)
        for ahead in (joint.loc[18:19, ["unique_id", "ds", "plan"]], joint.loc[18:19, ["ds", "plan"]]):
            assert model.predict(future_df=ahead, level=[])["unique_id"].tolist() == ["y", "y", "y1", "y1"]


class TestFutureFrames:
    def test_filled_in_it_is_what_predict_asks_for(self, holey):
        df = holey.assign(price=1.0, sky="rain")
        model = small().fit(df, future_covariates=["price", "sky"], past_covariates=["temp"])
        skeleton = model.make_future_frame()
        assert skeleton.columns.tolist() == ["unique_id", "ds", "price", "sky"]
        assert skeleton[["price", "sky"]].isna().all(axis=None)
        with pytest.raises(DataError, match=r"lacks \['price', 'sky'\] for series 'a' at 2024-02-08"):
            model.predict(future_df=skeleton)
        with pytest.raises(DataError, match=r"lacks .* for series 'b' at 2024-02-04 00:00:00 \(1 of 4 rows\)"):
            model.predict(future_df=skeleton.assign(price=2.0, sky=["rain", "hail", "snow", None]))
        forecast = model.predict(future_df=skeleton.assign(price=2.0, sky=["rain", "hail", "snow", "rain"]))
        pd.testing.assert_frame_equal(forecast[["unique_id", "ds"]], skeleton[["unique_id", "ds"]])

    @pytest.mark.parametrize(("freq", "zone"), [("h", "Europe/Berlin"), ("D", "Europe/Berlin"), ("ME", None)])
    def test_stamps_go_on(self, freq, zone):
        stamps = pd.date_range("2024-03-30 20:00", periods=8, freq=freq, tz=zone)
        future = make_future_frame(frame_of({7: (stamps[:5], 1.0)}), 3, freq=freq)
        assert future["ds"].tolist() == stamps[5:].tolist()
        assert future["unique_id"].tolist() == [7, 7, 7]

    def test_of_irregular_rows(self):
        future = make_future_frame(frame_of({"a": ([1, 2, 5, 9], 1.0)}), 2, freq="irregular", future_covariates=[])
        assert future["ds"].tolist() == [12, 15]


class TestHolidays:
    def test_are_known_ahead(self):
        days = pd.date_range("2023-11-01", periods=52)
        model = small(horizon=5).fit(pd.Series(np.arange(52.0), index=days), holidays="DE")
        assert np.isfinite(model.predict()["GRU"]).all()
        longer = model.history_.extend(5)
        flags = dict(zip(longer.times.astype("M8[D]").astype(str), longer.calendar()[:, -1], strict=True))
        assert [day for day, flag in flags.items() if flag] == ["2023-12-25", "2023-12-26"]

    def test_on_the_clock_of_the_zone(self):
        hours = pd.date_range("2012-11-05 12:00", periods=40, freq="h", tz="UTC").tz_convert("Australia/Melbourne")
        panel = read(frame_of({"a": (hours, 1.0)}), holidays="AU-VIC")
        want = hours.day == 6  # the first Tuesday of November, Melbourne Cup
        np.testing.assert_array_equal(panel.calendar()[:, -1], want)
        without = read(frame_of({"a": (hours, 1.0)}))
        np.testing.assert_array_equal(without.calendar(), panel.calendar()[:, :-1])
        local = frame_of({"a": (hours.tz_localize(None), 1.0)})
        np.testing.assert_array_equal(read(local, holidays="AU-VIC").calendar(), panel.calendar())

    def test_what_has_no_days_is_refused(self):
        for df in (gap_free("MS"), gap_free("W"), gap_free(1)):
            with pytest.raises(DataError, match="holidays='DE' needs time stamps and steps of a day or less"):
                read(df, holidays="DE")
        with pytest.raises(ValueError, match="holidays='DE-XX' is no place"):
            read(gap_free(), holidays="DE-XX")


class TestClocks:
    ZONE = "Europe/Berlin"

    def test_steps_below_a_day_are_time_elapsed(self):
        elapsed = pd.date_range("2024-03-30", periods=10, freq="6h", tz=self.ZONE)
        assert read(frame_of({"a": (elapsed, 1.0)})).n_gap_rows == 0
        on_the_wall = pd.date_range("2024-03-30", periods=10, freq="6h").tz_localize(self.ZONE)
        with pytest.raises(DataError, match=r"on no step of freq=6h.*keep to the clock.*drop the zone"):
            read(frame_of({"a": (on_the_wall, 1.0)}))
        assert read(frame_of({"a": (on_the_wall.tz_localize(None), 1.0)})).n_gap_rows == 0

    def test_features_of_the_hour_are_those_of_the_clock(self):
        stamps = pd.date_range("2024-03-30", periods=72, freq="h", tz=self.ZONE)
        features = read(frame_of({"a": (stamps, 1.0)})).calendar()
        noon = features[stamps.hour == 12]
        np.testing.assert_array_equal(noon[:, :4], noon[[0] * len(noon), :4])

    def test_local_stamps_without_a_zone_repeat_an_hour(self):
        stamps = pd.date_range("2024-10-26 12:00", periods=40, freq="30min", tz=self.ZONE).tz_localize(None)
        with (
            pytest.warns(DataWarning),
            pytest.raises(DataError, match=r"02:00:00 twice.*give such a column its time zone"),
        ):
            read(frame_of({"a": (stamps, 1.0)}))

    @pytest.mark.parametrize("zone", ["dateutil/Europe/Berlin", "dateutil/America/New_York"])
    def test_a_zone_without_a_name_is_refused(self, zone):
        stamps = pd.date_range("2024-03-30", periods=4, tz=zone)
        with pytest.raises(DataError, match=r"time zone of column 'ds', tzfile.*tz_convert\('Europe/Berlin'\)"):
            read(frame_of({"a": (stamps, 1.0)}))


class TestPublicData:
    def test_half_hours_through_the_changes_of_the_clocks(self, shared_data):
        df = pd.read_csv(shared_data / "forecast/vic_elec/vic_elec.csv.gz")
        df["ds"] = pd.to_datetime(df["ds_utc"]).dt.tz_localize("UTC").dt.tz_convert("Australia/Melbourne")
        roles = {"target_col": "demand_mw", "past_covariates": "temperature_c", "future_covariates": "holiday"}
        panel = read(df, holidays="AU-VIC", **roles)
        assert panel.describe() == "1 series, 52,608 rows, freq=30min, time zone Australia/Melbourne"
        assert len(findings(panel)) == 0
        assert (panel.to_frame()["ds"] == df["ds"]).all()
        assert (panel.calendar()[:, -1] == panel.covariates[:, 1]).mean() > 0.99  # some were moved or added later
        local = df.assign(ds=df["ds"].dt.tz_localize(None))
        with pytest.warns(DataWarning), pytest.raises(DataError, match="2012-04-01 02:00:00 twice, at row 4372"):
            read(local, **roles)
        days = read(df, "D", resample="mean", target_col="demand_mw")
        assert len(days.times) == 1096
        assert set(np.bincount(days.merged[:, 1]).nonzero()[0]) == {46, 48, 50}

    def test_missing_hours(self, shared_data):
        df = pd.read_csv(shared_data / "forecast/bike_sharing/hour.csv")
        df["ds"] = pd.to_datetime(df["dteday"], format="%m/%d/%y") + pd.to_timedelta(df["hr"], unit="h")
        roles = {"target_col": ["casual", "registered"], "future_covariates": ["weathersit"]}
        panel = read(df, gaps="interpolate", categorical=["weathersit"], **roles)
        assert (panel.n_gap_rows, panel.levels) == (165, {"weathersit": (1, 2, 3, 4)})
        assert not np.isnan(panel.filled().values).any()
        found = findings(panel)
        assert (set(found["kind"]), found["n"].sum(), found["row"].iloc[0]) == ({"gap"}, 165, 29)
        with pytest.raises(DataError, match="165 steps in 75 gaps"):
            read(df, gaps="error", **roles)
        with pytest.warns(DataWarning):
            shuffled = read(df.sample(frac=1, random_state=0), **roles)
        np.testing.assert_array_equal(shuffled.values, panel.values)

    def test_missing_values(self, shared_data):
        panel = read(pd.read_csv(shared_data / "forecast/nn5/nn5.csv.gz"), gaps="ffill")
        assert findings(panel).groupby("kind")["n"].sum().to_dict() == {"missing": 1677}
        assert np.isnan(panel.filled().values).sum() < 10
        weeks = read(panel.to_frame(), "W", resample="sum")
        assert np.nansum(weeks.values) == pytest.approx(np.nansum(panel.values))

    def test_sensors_at_odd_times(self, shared_data):
        df = tsrnn.read_csv(shared_data / "anomaly/oddwater/data_sandy_anom.csv", time_col="Timestamp")
        roles = {"time_col": "Timestamp", "target_col": ["Level", "Cond", "Tur"]}
        with pytest.raises(DataError, match=r"16:10:00 at row 74 .*17:40:00 at row 75 .*19:10:00 at row 76 "):
            read(df, **roles)
        panel = read(df, "irregular", **roles)
        assert (len(panel.times), panel.n_gap_rows) == (len(df), 0)
        hours = read(df, "2h", resample="mean", **roles)
        assert hours.merged[:, 1].sum() - len(hours.merged) + (hours.rows >= 0).sum() == len(df)
        forecast = small().fit(df[:300], freq="irregular", **roles).predict(level=[])
        assert np.isfinite(forecast["GRU"]).all()

    def test_hours_written_day_first(self, shared_data):
        df = pd.read_csv(shared_data / "anomaly/batadal/dataset04.csv").rename(columns=str.strip)
        df["ds"] = pd.to_datetime(df["DATETIME"], format="%d/%m/%y %H")
        panel = read(df, target_col=["L_T1", "F_PU1"])
        assert panel.describe() == "1 series x 2 channels, 4,177 rows, freq=h"
