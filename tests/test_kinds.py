"""What comes out of a forecaster has the kind that went in."""

import datetime as dt
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
from hypothesis import given, settings

import tsrnn
from tests.strategies import gap_free, grid, long_frames
from tsrnn import GRU, Forecaster, Naive, Training
from tsrnn.data import DataError, Panel, Schema
from tsrnn.data.kinds import Kind

DAYS = [dt.date(2024, 1, day) for day in range(1, 6)]


@pytest.fixture
def long():
    """Two series of five days in polars, a value missing."""
    return pl.DataFrame({"unique_id": ["a"] * 5 + ["b"] * 5, "ds": DAYS * 2, "y": [1.0, None, 3.0, 4.0, 5.0] * 2})


def forecast(df, horizon=2, **options):
    return Naive(horizon=horizon).fit(df).predict(**options)


class TestPolarsAndArrow:
    @settings(max_examples=40)
    @given(long_frames(freqs=("s", "h", "D", "MS", 3)))
    def test_the_panel_is_that_of_pandas(self, drawn):
        wanted = Panel.from_frame(drawn.df, freq=drawn.freq)
        table = pa.Table.from_pandas(drawn.df)
        for other in (table, pl.from_arrow(table)):
            before = other.clone() if isinstance(other, pl.DataFrame) else other
            panel = Panel.from_frame(other, freq=drawn.freq)
            for name in ("values", "times", "indptr", "ids", "rows"):
                np.testing.assert_array_equal(getattr(panel, name), getattr(wanted, name))
            assert other.equals(before)

    def test_predict_answers_in_kind(self, long):
        model = Naive(horizon=2).fit(long)
        in_polars, in_arrow = model.predict(), forecast(long.to_arrow())
        assert isinstance(in_polars, pl.DataFrame)
        assert isinstance(in_arrow, pa.Table)
        assert in_polars.columns == in_arrow.column_names == ["unique_id", "ds", "Naive", "Naive-lo-90", "Naive-hi-90"]
        in_pandas = forecast(long.to_pandas())
        pl.testing.assert_frame_equal(in_polars, pl.from_arrow(in_arrow))
        assert in_polars.drop("ds").equals(pl.from_pandas(in_pandas.drop(columns="ds")))
        assert in_polars["ds"].to_list() == [dt.date(2024, 1, 6), dt.date(2024, 1, 7)] * 2
        assert isinstance(model.predict(long.to_pandas()), pd.DataFrame)
        assert isinstance(model.predict(long.to_arrow()), pa.Table)

    @pytest.mark.parametrize("ids", [pl.String, pl.Categorical, pl.Enum(["b", "a", "never"])])
    @pytest.mark.parametrize("ds", [pl.Date, pl.Datetime("ns"), pl.Datetime("ms", "Europe/Berlin"), pl.Datetime("us")])
    def test_types_of_names_and_stamps_come_back(self, long, ids, ds):
        df = long.with_columns(pl.col("unique_id").cast(ids), pl.col("ds").cast(pl.Datetime("us")))
        if getattr(ds, "time_zone", None):
            df = df.with_columns(pl.col("ds").dt.replace_time_zone(ds.time_zone))
        df = df.with_columns(pl.col("ds").cast(ds))
        out = forecast(df)
        assert {name: out.schema[name] for name in ("unique_id", "ds")} == {
            name: df.schema[name] for name in ("unique_id", "ds")
        }
        actual = df.with_columns(pl.col("ds").dt.offset_by("2d"))
        assert out.join(actual, on=["unique_id", "ds"]).height == 4

    @pytest.mark.parametrize("integer", [pl.Int16, pl.UInt8, pl.Int64])
    def test_integers_come_back(self, integer):
        df = pl.DataFrame({"unique_id": [7, 7, 3, 3], "ds": [1, 2, 1, 2], "y": [1, 2, 3, 4]}).cast(integer)
        out = forecast(df)
        assert out.schema["unique_id"] == out.schema["ds"] == integer
        assert out["ds"].to_list() == [3, 4, 3, 4]
        assert out["unique_id"].to_list() == [7, 7, 3, 3]

    def test_days_become_stamps_where_the_forecast_needs_a_clock(self):
        out = Naive(horizon=2).fit(pl.DataFrame({"ds": DAYS[:1], "y": [1.0]}), freq="h").predict()
        assert out["ds"].to_list() == [dt.datetime(2024, 1, 1, hour) for hour in (1, 2)]

    def test_columns_of_other_types(self, long):
        df = long.with_columns(
            flag=pl.Series([True, None, False, True, True] * 2),
            price=pl.Series(["1.5"] * 10).cast(pl.Decimal(8, 2)),
            weather=pl.Series(["rain", "sun", None, "sun", "rain"] * 2).cast(pl.Categorical),
        )
        for data in (df, df.to_arrow()):
            panel = Panel.from_frame(data, Schema(past_covariates=["flag", "price", "weather"]))
            np.testing.assert_array_equal(panel.covariates[:4, 0], [1, np.nan, 0, 1])
            assert set(panel.covariates[:, 1]) == {1.5}
            assert panel.levels == {"weather": ("rain", "sun")}

    def test_wide_and_series(self):
        wide = pl.DataFrame({"ds": DAYS, "u": [1, 2, 3, 4, 5], "v": [1, 2, 3, 4, 6]})
        assert forecast(wide)["Naive"].to_list() == [5, 5, 6, 6]
        for series in (pl.Series([1.0, 2.0, 3.0]), pa.chunked_array([[1.0, 2.0, 3.0]])):
            out = forecast(series, level=[])
            assert list(out["ds"]) == [3, 4] if isinstance(series, pl.Series) else out["ds"].to_pylist() == [3, 4]

    def test_several_channels(self, long):
        df = long.with_columns(unique_id=pl.lit(1), z=pl.Series(range(10))).head(5)
        out = Naive(horizon=1).fit(df, target_col=["y", "z"]).predict()
        assert out["unique_id"].to_list() == ["y", "z"]

    @pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas, lambda df: df])
    def test_future_covariates_of_any_kind(self, convert):
        df = gap_free(lengths=(30, 30)).assign(price=np.arange(60.0))
        model = Forecaster(GRU(hidden_size=4), horizon=2, training=Training(max_steps=2, batch_size=4))
        known = df.groupby("unique_id").head(28)
        model.fit(pl.from_pandas(known), future_covariates="price")
        out = model.predict(future_df=convert(df[["unique_id", "ds", "price"]]))
        assert isinstance(out, pl.DataFrame)
        wanted = model.predict(known, future_df=df)
        np.testing.assert_array_equal(out["GRU"].to_numpy(), wanted["GRU"])

    def test_backtest(self, long):
        result = tsrnn.backtest(Naive(horizon=1), long, n_windows=2)
        wanted = tsrnn.backtest(Naive(horizon=1), long.to_pandas(), n_windows=2)
        pd.testing.assert_frame_equal(result.forecasts, wanted.forecasts, check_dtype=False)

    def test_a_name_twice(self):
        with pytest.raises(DataError, match="'y' stands twice"):
            forecast(pa.table([[1, 2], [1.0, 2.0], [1.0, 2.0]], names=["ds", "y", "y"]))

    def test_lazy_frames_are_refused(self, long):
        with pytest.raises(TypeError, match="got LazyFrame"):
            forecast(long.lazy())


class TestArrays:
    def test_one_series(self):
        y = np.array([1.0, np.nan, 3.0])
        assert forecast(y).tolist() == [3.0, 3.0]
        assert y.tolist()[0] == 1.0

    def test_a_column_a_series(self):
        y = np.array([[1, 10, 100], [2, 20, 200], [3, 30, 400]])
        out = forecast(y)
        assert out.tolist() == [[3, 30, 400]] * 2
        panel = Panel.from_frame(y)
        assert panel.ids.tolist() == ["0", "1", "2"]
        assert panel.times.tolist() == [0, 1, 2] * 3
        assert forecast(y[:, :1]).shape == (2, 1)

    def test_levels_and_quantiles_are_one_more_axis(self):
        y = gap_free(lengths=(20, 20))["y"].to_numpy().reshape(2, 20).T
        model = Naive(horizon=3).fit(y)
        named = model.predict(pd.DataFrame(y), level=[80, 95], quantiles=[0.5])
        assert named.columns[2:].tolist() == [
            f"Naive{end}" for end in ("", "-lo-80", "-hi-80", "-lo-95", "-hi-95", "-q-0.5")
        ]
        out = model.predict(level=[80, 95], quantiles=[0.5])
        assert out.shape == (3, 2, 6)
        np.testing.assert_array_equal(out.swapaxes(0, 1).reshape(6, 6), named.iloc[:, 2:])
        np.testing.assert_array_equal(out[..., 0], model.predict())
        assert model.predict(level=[]).shape == (3, 2)
        assert Naive(horizon=3).fit(y[:, 0]).predict(quantiles=[0.1]).shape == (3, 2)

    def test_channels_of_one_network(self):
        y = np.random.default_rng(0).normal(size=(30, 2))
        model = Forecaster(GRU(hidden_size=4), horizon=3, training=Training(max_steps=2, batch_size=4))
        assert model.fit(y, target_col=["0", "1"]).predict().shape == (3, 2)

    @pytest.mark.parametrize("shape", [(), (2, 2, 2)])
    def test_other_shapes(self, shape):
        with pytest.raises(DataError, match=r"neither one series.*nor a column a series"):
            forecast(np.zeros(shape))

    def test_objects_are_numbers_or_refused(self):
        assert forecast(np.array([1, None, "2.5"], dtype=object)).tolist() == [2.5, 2.5]
        with pytest.raises(DataError, match="row 1, column '0': 'x' is not a number"):
            forecast(np.array([[1, 2], ["x", 3]], dtype=object))


@pytest.mark.parametrize("make", [lambda df: df, pl.from_pandas, pa.Table.from_pandas, lambda df: df["y"].to_numpy()])
def test_the_kind_survives_on_disk(make, tmp_path):
    df = gap_free().astype({"unique_id": "category"}).assign(ds=grid("D", 5, unit="ms"))
    model = Naive(horizon=2).fit(make(df))
    model.save(tmp_path / "model")
    again = tsrnn.load(tmp_path / "model")
    assert again.history_.kind == model.history_.kind
    before, after = model.predict(), again.predict()
    assert type(before) is type(after)
    assert str(before) == str(after)


def test_polars_is_not_imported_for_others():
    code = "tsrnn.Naive(horizon=1).fit(numpy.ones(3)).predict(); assert 'polars' not in sys.modules"
    subprocess.run([sys.executable, "-c", f"import numpy, sys, tsrnn; {code}"], check=True)


def test_pandas_goes_through_untouched():
    df = gap_free()
    before = df.copy(deep=True)
    assert Panel.from_frame(df).kind == Kind()
    assert isinstance(forecast(df), pd.DataFrame)
    pd.testing.assert_frame_equal(df, before)


class TestPeriods:
    MONTHS = pd.period_range("2020-11", periods=5, freq="M")

    @pytest.mark.parametrize(
        "data",
        [
            pd.Series(np.arange(5.0), index=MONTHS),
            pd.DataFrame({"y": np.arange(5.0)}, index=MONTHS),
            pd.DataFrame({"unique_id": "a", "ds": MONTHS, "y": np.arange(5.0)}),
            pd.DataFrame({"unique_id": "a", "ds": MONTHS, "y": np.arange(5.0)}).set_index(["unique_id", "ds"]),
        ],
        ids=["series", "frame with an index", "column", "level of the index"],
    )
    def test_come_out_as_they_went_in(self, data, tmp_path):
        model = Naive(horizon=2).fit(data)
        model.save(tmp_path / "model")
        for fitted in (model, tsrnn.load(tmp_path / "model")):
            assert fitted.predict()["ds"].tolist() == [pd.Period("2021-04", "M"), pd.Period("2021-05", "M")]
