"""The Forecaster: the contract, no leakage, equal bits, one trace, and that it learns."""

import copy
import dataclasses
import pickle
from contextlib import nullcontext

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import PowerTransformer

import tsrnn
from tsrnn import transforms
from tsrnn.data import DataError, Panel
from tsrnn.data.synthetic import generate_series
from tsrnn.forecasting import forecaster as module
from tsrnn.forecasting.spec import SpecError, from_spec, to_spec
from tsrnn.training import loop

QUICK = tsrnn.Training(max_steps=10, batch_size=8, eval_every=5)


def small(network=tsrnn.GRU(hidden_size=6), **params):  # noqa: B008
    return tsrnn.Forecaster(network, **{"horizon": 4, "context_length": 8, "training": QUICK} | params)


@pytest.fixture(scope="module")
def ragged():
    """Four series of 30 to 80 days with gaps and missing values."""
    return generate_series(4, freq="D", random_state=1, min_length=30, max_length=80, missing=0.05)


@pytest.fixture(scope="module")
def fitted(ragged):
    return small().fit(ragged)


@pytest.mark.parametrize("network", [tsrnn.RNN, tsrnn.GRU, tsrnn.LSTM])
def test_predict_gives_the_next_horizon_of_every_series(ragged, network):
    before = ragged.copy(deep=True)
    model = small(network(hidden_size=6))
    assert model.fit(ragged) is model
    forecast = model.predict()
    name = network.__name__
    assert list(forecast.columns) == ["unique_id", "ds", name, f"{name}-lo-90", f"{name}-hi-90"]
    last = ragged.groupby("unique_id")["ds"].max()
    for series, own in forecast.groupby("unique_id"):
        assert list(own["ds"]) == list(pd.date_range(last[series], periods=5, freq="D")[1:])
    values = forecast.iloc[:, 2:].to_numpy()
    assert np.isfinite(values).all()
    assert (values[:, 1] <= values[:, 0]).all()
    assert (values[:, 0] <= values[:, 2]).all()
    pd.testing.assert_frame_equal(ragged, before)


def test_it_learns_a_season_that_the_naive_forecast_cannot():
    t = np.arange(400)
    y = pd.Series(10 + np.sin(2 * np.pi * t / 20), index=pd.date_range("2024-01-01", periods=400, freq="h"))
    training = tsrnn.Training(max_steps=200, batch_size=32)
    forecast = (
        tsrnn.Forecaster(tsrnn.GRU(hidden_size=24), horizon=20, context_length=40, training=training)
        .fit(y)
        .predict(level=[])
    )
    truth = 10 + np.sin(2 * np.pi * (400 + np.arange(20)) / 20)
    assert np.abs(forecast["GRU"] - truth).mean() < 0.15


def test_before_fit_predict_refuses():
    with pytest.raises(NotFittedError):
        small().predict()


def test_level_and_quantiles(fitted):
    forecast = fitted.predict(level=[50, 80], quantiles=[0.3])
    assert list(forecast.columns[2:]) == ["GRU", "GRU-lo-50", "GRU-hi-50", "GRU-lo-80", "GRU-hi-80", "GRU-q-0.3"]
    ordered = forecast[["GRU-lo-80", "GRU-lo-50", "GRU-q-0.3", "GRU", "GRU-hi-50", "GRU-hi-80"]].to_numpy()
    assert (np.diff(ordered, axis=1) > 0).all()
    assert list(fitted.predict(level=[]).columns) == ["unique_id", "ds", "GRU"]
    with pytest.raises(
        ValueError, match=r"quantile 0\.005 \(level 99\) lies outside those of Quantiles, 0\.025 to 0\.975"
    ):
        fitted.predict(level=[99])
    with pytest.raises(ValueError, match=r"level=100\.9 is not a percentage"):
        fitted.predict(level=[100.9])


def test_a_point_output_has_no_intervals(ragged):
    model = small(output=tsrnn.Point("mae")).fit(ragged)
    assert list(model.predict().columns) == ["unique_id", "ds", "GRU"]
    with pytest.raises(ValueError, match="Point output has no intervals"):
        model.predict(level=[90])


def test_neither_the_order_of_rows_nor_that_of_series_matters(ragged):
    size = ragged["unique_id"].str.len() + ragged.groupby("unique_id")["y"].transform("size")
    df = ragged.assign(promo=np.arange(len(ragged)) % 3 + 0.1, size=size)
    roles = {"past_covariates": "promo", "static_covariates": "size"}
    names = df["unique_id"].unique()[::-1]
    others = [df.set_index("unique_id").loc[names].reset_index(), df.sample(frac=1, random_state=0)]
    want = small().fit(df, **roles).predict().set_index(["unique_id", "ds"]).sort_index()
    for i, other in enumerate(others):
        with pytest.warns(tsrnn.DataWarning, match="back in time") if i else nullcontext():
            got = small().fit(other, **roles).predict()
        assert got["unique_id"].unique().tolist() == other["unique_id"].unique().tolist()
        pd.testing.assert_frame_equal(got.set_index(["unique_id", "ds"]).sort_index(), want, check_exact=True)


def test_the_same_seed_gives_the_same_bits_and_fit_forgets(ragged, fitted):
    again = small().fit(ragged)
    pd.testing.assert_frame_equal(again.predict(), fitted.predict(), check_exact=True)
    pd.testing.assert_frame_equal(again.fit(ragged).predict(), fitted.predict(), check_exact=True)
    other = small(random_state=1).fit(ragged).predict()
    assert (other["GRU"] != fitted.predict()["GRU"]).any()


def test_save_and_load_predict_the_same_bits(tmp_path, ragged, fitted):
    fitted.save(tmp_path / "model")
    loaded = tsrnn.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.predict(), fitted.predict(), check_exact=True)
    newer = ragged[ragged["ds"] < ragged["ds"].max() - pd.Timedelta(days=3)]
    pd.testing.assert_frame_equal(loaded.predict(newer), fitted.predict(newer), check_exact=True)
    assert to_spec(loaded) == to_spec(fitted)
    assert loaded.training_.best_step == fitted.training_.best_step
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["arrays.safetensors", "model.json"]


def test_pickle_and_deepcopy_work_too(fitted):
    for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        pd.testing.assert_frame_equal(other.predict(), fitted.predict(), check_exact=True)


def test_new_history_is_forecast_without_refitting(ragged, fitted):
    params = jax.tree.leaves(fitted.params_)
    shifted = ragged.assign(ds=ragged["ds"] + pd.Timedelta(days=30))
    forecast = fitted.predict(shifted)
    assert (forecast["ds"] == fitted.predict()["ds"] + pd.Timedelta(days=30)).all()
    unseen = fitted.predict(ragged.assign(unique_id=ragged["unique_id"] + "_new"))
    assert np.isfinite(unseen["GRU"]).all()
    assert all((a == b).all() for a, b in zip(params, jax.tree.leaves(fitted.params_), strict=True))


def test_forecasts_do_not_depend_on_their_neighbours(ragged, fitted):
    alone = pd.concat([fitted.predict(own) for _, own in ragged.groupby("unique_id", sort=False)], ignore_index=True)
    pd.testing.assert_frame_equal(alone, fitted.predict(ragged), check_exact=True)


def test_the_newest_observation_reaches_the_first_step(ragged, fitted):
    one = ragged[ragged["unique_id"] == ragged["unique_id"].iloc[0]]
    moved = one.assign(y=one["y"].where(one["ds"] < one["ds"].max(), one["y"].mean() + 3 * one["y"].std()))
    assert fitted.predict(one)["GRU"].iloc[0] != fitted.predict(moved)["GRU"].iloc[0]


@pytest.mark.parametrize("garbage", [1e9, np.nan])
def test_nothing_after_a_cutoff_touches_the_forecast(ragged, garbage):
    panel = Panel.from_frame(ragged)
    ends = panel.lengths - 10
    poisoned = panel.values.copy()
    for i, end in enumerate(ends):
        poisoned[panel.indptr[i] + end : panel.indptr[i + 1]] = garbage
    dirty = Panel(
        poisoned, panel.covariates, panel.times, panel.indptr, panel.ids, panel.rows, panel.freq, panel.schema
    )
    forecasts = [small().fit_panel(p.until(ends)).forecast_panel(p, np.arange(4), ends, (0.1,)) for p in (panel, dirty)]
    np.testing.assert_array_equal(*forecasts)
    assert np.isfinite(forecasts[0]).all()


def test_scaling_is_fitted_before_the_validation_tail(ragged):
    model = small(training=tsrnn.Training(max_steps=1, validation=0.3)).fit(ragged)
    first = ragged[ragged["unique_id"] == ragged["unique_id"].iloc[0]].set_index("ds")["y"].asfreq("D").to_numpy()
    learned = first[: len(first) - max(4, int(0.3 * len(first)))]
    np.testing.assert_allclose(model.transforms_.state["location"][0], np.nanmean(learned))


def test_a_ragged_panel_and_its_refits_trace_once(monkeypatch):
    traces = []
    original = module.Model.raw

    def counted(self, *args):
        traces.append(1)
        return original(self, *args)

    monkeypatch.setattr(module.Model, "raw", counted)
    frames = [generate_series(n, freq="D", random_state=n, min_length=40, max_length=60) for n in (30, 31)]
    model = small(tsrnn.GRU(hidden_size=7)).fit(frames[0])  # a width of its own: nothing was compiled before
    assert len(traces) == 2  # the training step, the validation loss
    rows = [len(Panel.from_frame(f).times) for f in frames]
    assert rows[0] != rows[1]
    assert module._bucket(rows[0]) == module._bucket(rows[1])
    clone(model).fit(frames[1])
    assert len(traces) == 2  # another ragged panel of similar size: the same program
    clone(model).fit(frames[0][lambda d: d["ds"] < d["ds"].max()])
    assert len(traces) == 2  # and a fold that ends earlier


def test_params_of_parts_can_be_read_set_and_cloned():
    model = small()
    assert model.get_params()["network__hidden_size"] == 6
    assert "network__parent" not in model.get_params()
    model.set_params(network__hidden_size=9, training__max_steps=3, horizon=2)
    assert (model.network.hidden_size, model.training.max_steps, model.horizon) == (9, 3, 2)
    assert small().network.hidden_size == 6
    assert to_spec(clone(model)) == to_spec(model)
    with pytest.raises(ValueError, match="no parameter 'network__width'"):
        model.set_params(network__width=3)
    assert "hidden_size = 9" in repr(model)


def test_specs_round_trip_and_name_what_is_wrong():
    model = small(output=tsrnn.Point("huber"), transforms=None)
    assert to_spec(from_spec(to_spec(model))) == to_spec(model)
    cases = {
        ("network", "type"): {"network": {"type": "LSTMM"}},
        ("netwrk",): {"netwrk": "LSTM"},
        ("network", "hidden_size"): {"network": {"type": "LSTM", "hidden_size": "wide"}},
        ("output",): {"network": "LSTM", "output": {"quantiles": [0.1, 0.9]}},
        (): {},
    }
    for where, spec in cases.items():
        with pytest.raises(SpecError) as caught:
            from_spec(spec, horizon=3)
        assert caught.value.where == where
    with pytest.raises(SpecError, match=r"'hidden_sise' is not a known parameter of GRU\. Did you mean 'hidden_size'"):
        from_spec({"network": {"type": "GRU", "hidden_sise": 3}}, horizon=3)


def test_short_and_empty_series_are_named(ragged):
    short = pd.concat([ragged, pd.DataFrame({"unique_id": "tiny", "ds": pd.date_range("2024", periods=3), "y": 1.0})])
    with pytest.raises(DataError, match=r"series too short: 'tiny' \(3 rows\); at least 6 rows"):
        small().fit(short)
    empty = pd.concat(
        [ragged, pd.DataFrame({"unique_id": "void", "ds": pd.date_range("2024", periods=30), "y": np.nan})]
    )
    with pytest.raises(DataError, match="series 'void' have no value"):
        small().fit(empty)


@pytest.mark.parametrize("bad", [{"horizon": 0}, {"horizon": 2.5}, {"context_length": 0}, {"season_length": 9}])
def test_bad_sizes_are_refused_in_fit(ragged, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        small(**bad).fit(ragged)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e9])
def test_constant_and_huge_series_train_without_nan(scale):
    y = pd.Series(np.full(60, scale), index=pd.date_range("2024-01-01", periods=60))
    np.testing.assert_allclose(small().fit(y).predict(level=[])["GRU"], scale, atol=max(1, 0.1 * scale))


def test_covariates_known_ahead_are_used_and_asked_for():
    rng = np.random.default_rng(0)
    promo = rng.integers(0, 2, 900).astype(float)
    df = pd.DataFrame(
        {
            "ds": pd.date_range("2023-01-01", periods=900),
            "y": 10 + 5 * promo + 0.1 * rng.normal(size=900),
            "promo": promo,
        }
    )
    model = small(
        normalization="standard",
        training=tsrnn.Training(max_steps=400, batch_size=64),
        optimizer=tsrnn.Optimizer(learning_rate=5e-3),
    )
    model.fit(df, future_covariates=["promo"])
    ahead = pd.DataFrame({"ds": pd.date_range("2025-06-19", periods=6), "promo": [1.0, 0, 1, 0, 0, 0]})
    forecast = model.predict(future_df=ahead, level=[])["GRU"].to_numpy()
    np.testing.assert_allclose(forecast, [15, 10, 15, 10], atol=1.5)
    with pytest.raises(DataError, match="reads the future covariates"):
        model.predict()
    with pytest.raises(DataError, match=r"future_df lacks \['promo'\] for series 'y' at 2025-06-21"):
        model.predict(future_df=ahead.iloc[[0, 1, 3]])


def test_past_covariates_reach_the_forecast(ragged):
    df = ragged.assign(load=np.sin(np.arange(len(ragged))))
    model = small().fit(df, past_covariates=["load"])
    changed = df.assign(load=-df["load"])
    assert (model.predict(df)["GRU"] != model.predict(changed)["GRU"]).all()


def test_several_targets_are_learned_jointly():
    df = pd.DataFrame(
        {"ds": pd.date_range("2024-01-01", periods=80, freq="h"), "a": np.arange(80.0), "b": -np.arange(80.0)}
    )
    forecast = small().fit(df, target_col=["a", "b"]).predict()
    assert list(forecast["unique_id"].unique()) == ["a", "b"]
    assert len(forecast) == 8


def test_ctrl_c_leaves_a_fitted_model(ragged, monkeypatch):
    calls = []
    original = loop.run_steps

    def interrupted(*args, **kwargs):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(loop, "run_steps", interrupted)
    model = small()
    with pytest.raises(KeyboardInterrupt):
        model.fit(ragged)
    assert model.training_.stop_reason == "interrupted"
    assert np.isfinite(model.predict()["GRU"]).all()


TRANSFORMS = [
    tsrnn.StandardScaler("all"), transforms.RobustScaler(), transforms.MinMaxScaler(), transforms.MeanAbsScaler(),
    transforms.Log1p(), transforms.BoxCox(), transforms.YeoJohnson(), transforms.Difference(),
    transforms.Difference("season"), [transforms.Log1p(), transforms.Difference(4), tsrnn.StandardScaler()],
    transforms.Chain([transforms.BoxCox(), transforms.MinMaxScaler()]),
]  # fmt: skip


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
def test_every_transform_is_undone_saved_and_blind_to_the_future(tmp_path, ragged, transform):
    model = clone(small(transforms=transform, training=tsrnn.Training(max_steps=2, batch_size=16)))
    df = ragged.assign(y=1000 + ragged["y"].abs())
    forecast = model.fit(df).predict(level=[80])
    assert model.transforms == transform
    assert repr(transform)[:5].strip("[") in repr(model)
    lo, mid, hi = forecast[["GRU-lo-80", "GRU", "GRU-hi-80"]].to_numpy().T
    assert ((lo <= mid) & (mid <= hi)).all()
    top = df["y"].max() - df["y"].min()
    assert ((mid > 1000 - top) & (mid < df["y"].max() + top)).all()  # in the units of the data
    model.save(tmp_path / "model")
    loaded = tsrnn.load(tmp_path / "model")
    newer = df.assign(unique_id=df["unique_id"].replace(df["unique_id"].iloc[0], "new"))
    for data in (None, newer):
        pd.testing.assert_frame_equal(loaded.predict(data), model.predict(data), check_exact=True)
    pd.testing.assert_frame_equal(model.predict(df), model.predict(), check_exact=True)  # the end of the rows will do
    panel = Panel.from_frame(df)
    ends = panel.lengths - 10
    for garbage in (np.nan, -1e9):
        after = np.arange(len(panel.times)) >= np.repeat(panel.indptr[:-1] + ends, panel.lengths)
        dirty = dataclasses.replace(panel, values=np.where(after[:, None], garbage, panel.values))
        clean = [model.forecast_panel(p, np.arange(4), ends, (0.1,)) for p in (panel, dirty)]
        np.testing.assert_array_equal(*clean)


def test_a_transformer_of_scikit_learn_sees_to_the_covariates(tmp_path, ragged):
    df = ragged.assign(load=np.exp(np.sin(np.arange(len(ragged)))), heat=np.cos(np.arange(len(ragged))))
    df.loc[df.index[[2, 30]], "load"] = np.nan
    spec = [tsrnn.StandardScaler(), transforms.Covariates(PowerTransformer(), ["load"])]
    model = small(transforms=spec, training=tsrnn.Training(max_steps=2, batch_size=16))
    model = clone(model).fit(df, past_covariates=["load"], future_covariates=["heat"])
    last = df.groupby("unique_id", sort=False)["ds"].max()
    ahead = pd.concat(
        [pd.DataFrame({"unique_id": i, "ds": pd.date_range(d, periods=5)[1:], "heat": 0.0}) for i, d in last.items()]
    )
    assert np.isfinite(model.predict(future_df=ahead)["GRU"]).all()
    location, scale = model.inputs_.location, model.inputs_.scale
    assert (location[0], scale[0]) == (0, 1)  # not standardized once more
    assert scale[1] == pytest.approx(0.7, abs=0.1)
    with pytest.raises(TypeError, match=r"PowerTransformer\(\) cannot be saved: .* never pickled objects"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("how", ["robust", "revin", "running"])
def test_every_normalization_is_undone_and_saved(tmp_path, ragged, how):
    model = small(normalization=how, training=tsrnn.Training(max_steps=2, batch_size=16)).fit(ragged)
    forecast = model.predict()
    assert forecast["GRU"].between(0.5 * ragged["y"].min(), 1.5 * ragged["y"].max()).all()
    model.save(tmp_path / "model")
    pd.testing.assert_frame_equal(tsrnn.load(tmp_path / "model").predict(), forecast, check_exact=True)


def test_differences_learn_a_trend_beyond_the_values_seen():
    y = pd.Series(np.arange(200.0) ** 2, index=pd.date_range("2024-01-01", periods=200))
    model = small(transforms=[transforms.Difference(), tsrnn.StandardScaler()]).fit(y)
    np.testing.assert_allclose(model.predict(level=[])["GRU"], np.arange(200.0, 204) ** 2, rtol=0.01)


def test_a_list_of_transforms_is_a_chain_in_a_specification():
    spec = {"network": "GRU", "transforms": ["Log1p", {"type": "Difference", "lag": 12}]}
    model = from_spec(spec, horizon=3)
    assert model.transforms == [transforms.Log1p(), transforms.Difference(12)]
    assert from_spec(to_spec(model)).transforms == model.transforms


@pytest.mark.parametrize("bad", [tsrnn.StandardScaler, "Log1p", ["Log1p"]])
def test_what_is_no_transform_is_refused_in_fit(ragged, bad):
    with pytest.raises(ValueError, match=r"a chain is made of transforms such as StandardScaler\(\), got"):
        small(transforms=bad).fit(ragged)


@pytest.mark.parametrize(
    ("accumulate", "said"), [(1, "49 windows, 5 steps an epoch"), (2, "49 windows, 3 steps an epoch")]
)
def test_epochs_are_as_many_steps_as_windows_fill(capsys, accumulate, said):
    y = pd.Series(np.arange(60.0), index=pd.date_range("2024-01-01", periods=60))  # windows end at row 12, 13 ... 60
    training = tsrnn.Training(max_epochs=1.5, batch_size=10, eval_every=100, validation=0.0, progress=True)
    model = small(tsrnn.RNN(hidden_size=2), training=training, optimizer=tsrnn.Optimizer(accumulate=accumulate)).fit(y)
    assert model.training_.steps == {1: 8, 2: 5}[accumulate]
    lines = capsys.readouterr().err.split("\n")
    assert [*lines[:2], lines[3]] == ["1 series, 60 rows, freq=D", said, f"RNN: {model.training_}"]


class TestFineTuning:
    STILL = tsrnn.Optimizer(learning_rate=1e-30)  # weights stay what they are

    @pytest.fixture
    def other(self, ragged):
        """One series of the four is new, and ten times as large."""
        new = ragged["unique_id"] == ragged["unique_id"].iloc[0]
        return ragged.assign(
            unique_id=ragged["unique_id"].mask(new, "new"), y=ragged["y"].where(~new, 10 * ragged["y"])
        )

    def test_goes_on_from_the_fitted_weights_and_fit_forgets_it(self, ragged, fitted):
        tuned = copy.deepcopy(fitted)
        assert tuned.fine_tune(ragged) is tuned
        assert tuned.training_.train_loss[0] < fitted.training_.train_loss[0]  # on the same windows
        assert tuned.training_.valid_loss.min() < fitted.training_.valid_loss.min()
        assert (tuned.predict()["GRU"] != fitted.predict()["GRU"]).all()
        pd.testing.assert_frame_equal(tuned.fit(ragged).predict(), fitted.predict(), check_exact=True)

    def test_keeps_the_scales_of_known_series_and_learns_those_of_new_ones(self, ragged, fitted, other):
        tuned = copy.deepcopy(fitted).fine_tune(
            other, training=dataclasses.replace(QUICK, validation=0.0), optimizer=self.STILL
        )
        pd.testing.assert_frame_equal(tuned.predict(), fitted.predict(other), check_exact=True)
        tuned = copy.deepcopy(fitted).fine_tune(
            other, training=dataclasses.replace(QUICK, validation=0.3), optimizer=self.STILL
        )
        location = tuned.transforms_.state["location"]
        np.testing.assert_array_equal(location[1:], fitted.transforms_.state["location"][1:])
        new = other[other["unique_id"] == "new"].set_index("ds")["y"].asfreq("D").to_numpy()
        np.testing.assert_allclose(location[0], np.nanmean(new[: len(new) - max(4, int(0.3 * len(new)))]))

    def test_of_a_loaded_model_gives_the_same_bits(self, tmp_path, fitted, other):
        fitted.save(tmp_path / "model")
        models = [model.fine_tune(other) for model in (tsrnn.load(tmp_path / "model"), copy.deepcopy(fitted))]
        one, two = (model.predict() for model in models)
        pd.testing.assert_frame_equal(one, two, check_exact=True)
        np.testing.assert_array_equal(*(model.training_.train_loss for model in models))

    def test_a_category_that_fit_did_not_see_is_missing(self, ragged):
        df = ragged.assign(sky=np.where(np.arange(len(ragged)) % 3, "rain", "clear"))
        model = small(tsrnn.RNN(hidden_size=2), training=tsrnn.Training(max_steps=2, batch_size=4, eval_every=2))
        model.fit(df, past_covariates="sky")
        some = np.arange(len(df)) % 5 == 0
        tuned = [
            copy.deepcopy(model).fine_tune(df.assign(sky=df["sky"].mask(some, label))).predict()
            for label in ("snow", None)
        ]
        pd.testing.assert_frame_equal(*tuned, check_exact=True)
        assert model.inputs_.vocabularies == {"sky": ("clear", "rain")}

    def test_needs_a_fitted_model_and_its_columns(self, ragged, fitted):
        with pytest.raises(NotFittedError):
            small().fine_tune(ragged)
        with pytest.raises(DataError, match="'y'"):
            copy.deepcopy(fitted).fine_tune(ragged.rename(columns={"y": "sales"}))
