"""What the network reads besides the target: categories, static covariates, elapsed time."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import tsrnn
from tests.strategies import frame_of, gap_free
from tests.test_nn import make_batch
from tsrnn.data import DataError, Panel, Schema
from tsrnn.forecasting.inputs import Inputs
from tsrnn.nn.embedding import Categories, embed, init_tables
from tsrnn.nn.model import Model
from tsrnn.nn.networks import GRU
from tsrnn.nn.outputs import Point

QUICK = tsrnn.Training(max_steps=2, batch_size=4)
ROLES = {"past_covariates": ["sky", "load"], "future_covariates": ["day"], "static_covariates": ["region", "size"]}


def small(**params):
    return tsrnn.Forecaster(GRU(hidden_size=4), **{"horizon": 3, "context_length": 6, "training": QUICK} | params)


def weather(n=30, seed=0):
    """Two series with covariates of every kind, a category missing now and then."""
    rng = np.random.default_rng(seed)
    df = gap_free(lengths=(n, n), seed=seed)
    return df.assign(
        sky=rng.choice(["clear", "rain", None], len(df)),
        load=np.where(rng.random(len(df)) < 0.2, np.nan, rng.normal(5, 2, len(df))),
        day=rng.choice(["free", "work"], len(df)),
        region=df["unique_id"].map({"a": "N", "b": "S"}),
        size=df["unique_id"].map({"a": 1.0, "b": 3.0}),
    )


def ahead(model, **columns):
    panel = model.history_
    stamps = np.concatenate(
        [panel.times[[end - 1]] + np.arange(1, 4) * np.timedelta64(1, "D") for end in panel.indptr[1:]]
    )
    return pd.DataFrame({"unique_id": np.repeat(panel.ids, 3), "ds": stamps} | columns)


class TestInputs:
    def panel(self):
        return Panel.from_frame(weather(), Schema(**ROLES))

    def test_numbers_are_standardized_and_their_holes_are_seen(self):
        panel = self.panel()
        read = Inputs.fit(panel).read(panel)
        load = panel.covariates[:, 1]
        seen = ~np.isnan(load)
        np.testing.assert_allclose(read.past[seen, 0], (load[seen] - load[seen].mean()) / load[seen].std(), rtol=1e-5)
        assert (read.past[~seen, 0] == 0).all()
        np.testing.assert_array_equal(read.past[:, 1], seen)
        np.testing.assert_array_equal(read.static, [[-1, 1], [1, 1]])

    def test_codes_are_places_in_the_vocabulary(self):
        panel = self.panel()
        inputs = Inputs.fit(panel)
        assert inputs.vocabularies == {"sky": ("clear", "rain"), "day": ("free", "work"), "region": ("N", "S")}
        assert inputs.sizes(["load", "sky"]) == (3,)
        want = weather()["sky"].map({"clear": 1, "rain": 2}).fillna(0)
        np.testing.assert_array_equal(inputs.read(panel).past_codes[:, 0], want)
        assert inputs.read(panel).static_codes.tolist() == [[1], [2]]

    def test_a_label_keeps_its_code_whatever_else_was_read(self):
        panel = self.panel()
        inputs = Inputs.fit(panel)
        levels = {name: ("a storm", *labels) for name, labels in panel.levels.items()}
        moved = dataclasses.replace(
            panel,
            covariates=panel.covariates + np.array([1, 0, 1]),
            static=panel.static + np.array([1, 0]),
            levels=levels,
        )
        for ours, theirs in zip(inputs.read(panel), inputs.read(moved), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        moved.covariates[4, 0] = 0
        assert inputs.read(moved).past_codes[4, 0] == 0
        assert Inputs.fit(moved).vocabularies["sky"] == ("a storm", "clear", "rain")

    def test_categories_not_among_the_training_rows_are_unseen(self):
        panel = self.panel()
        sky = panel.covariates[:, 0]
        inputs = Inputs.fit(dataclasses.replace(panel, covariates=np.where([True, False, False], 1, panel.covariates)))
        assert inputs.vocabularies["sky"] == ("rain",)
        np.testing.assert_array_equal(inputs.read(panel).past_codes[:, 0], sky == 1)

    def test_larger_arrays_are_padded_and_blocks_follow_one_another(self, monkeypatch):
        panel = self.panel()
        inputs = Inputs.fit(panel)
        whole = inputs.read(panel)
        monkeypatch.setattr("tsrnn.forecasting.inputs._BLOCK", 7)
        for name, array in inputs.read(panel, 64, 5)._asdict().items():
            plain = getattr(whole, name)
            np.testing.assert_array_equal(array[: len(plain)], plain, err_msg=name)
            assert len(array) == (5 if "static" in name else 64)
            assert (array[len(plain) :] == 0).all()

    def test_elapsed_time_is_in_typical_steps(self):
        minutes = np.array([0, 10, 20, 50, 60, 5, 15])
        stamps = pd.Timestamp("2024-01-01") + pd.to_timedelta(minutes, unit="min")
        df = frame_of({"a": (stamps[:5], np.arange(5.0)), "b": (stamps[5:], np.arange(2.0))})
        panel = Panel.from_frame(df, freq="irregular")
        inputs = Inputs.fit(panel)
        np.testing.assert_allclose(np.expm1(inputs.read(panel).past[:, 0]), [1, 1, 1, 3, 1, 1, 1], rtol=1e-5)
        assert Inputs.fit(Panel.from_frame(gap_free())).read(Panel.from_frame(gap_free())).past.shape == (5, 0)

    @pytest.mark.parametrize("column", ["sky", "load"])
    def test_a_covariate_keeps_its_kind(self, column):
        df, model = weather(), small().fit(weather(), **ROLES)
        other = df.assign(**{column: 1.0 if column == "sky" else "high"})
        now, then = ("numbers", "categories") if column == "sky" else ("categories", "numbers")
        want = f"the covariate '{column}' holds {now}, but held {then} when the model was fitted"
        with pytest.raises(DataError, match=want):
            model.predict(other, future_df=ahead(model, day="free"))

    def test_a_column_with_nothing_in_it_is_neither(self):
        df, model = weather(), small().fit(weather(), **ROLES)
        forecast = model.predict(df.assign(sky=None), future_df=ahead(model, day="free"))
        assert np.isfinite(forecast["GRU"]).all()


class TestEmbeddings:
    def test_what_was_never_seen_adds_nothing(self):
        tables = init_tables(jax.random.key(0), Categories(past=(9, 3), future=(4,), static=(200,)))
        assert {name: table.shape for name, table in tables.items()} == {
            "past_0": (9, 5), "past_1": (3, 2), "future_0": (4, 2), "static_0": (200, 50),
        }  # fmt: skip
        for table in tables.values():
            assert (table[0] == 0).all()
            assert (jnp.abs(table[1:]).sum(axis=1) > 0).all()

    def test_vectors_stand_side_by_side_in_the_order_of_the_codes(self):
        tables = init_tables(jax.random.key(0), Categories(past=(9,), future=(4,)))
        codes = jnp.asarray([[[2, 3]], [[0, 1]]])
        want = jnp.concatenate([tables["past_0"][codes[..., 0]], tables["future_0"][codes[..., 1]]], axis=-1)
        np.testing.assert_array_equal(embed(tables, ("past", "future"), codes), want)

    def test_a_model_without_categories_has_the_weights_of_its_network_alone(self):
        batch = make_batch()
        batch = batch._replace(static=batch.static[:, :0])
        model = Model(GRU(hidden_size=4), Point(), "last", 2)
        none = batch._replace(
            past_codes=batch.past_codes[..., :0], future_codes=batch.future_codes[..., :0],
            static_codes=batch.static_codes[..., :0],
        )  # fmt: skip
        params = model.init(jax.random.key(0), none)
        assert set(params) == {"params"}
        assert params["params"]["encoder"]["layer_0"]["kernel"].shape[0] == 2 * 2 + 1

    @pytest.mark.parametrize("field", ["past_codes", "future_codes", "static", "static_codes"])
    def test_every_input_reaches_the_forecast_and_its_weights_learn(self, field):
        model = Model(GRU(hidden_size=4), Point(), "last", 2, Categories(past=(4,), future=(4,), static=(3,)))
        batch = make_batch()
        params = model.init(jax.random.key(0), batch)
        changed = batch._replace(**{field: 1 - getattr(batch, field)})
        assert (model(params, batch) != model(params, changed)).any()
        grads = jax.grad(lambda p: (model(p, batch) ** 2).sum())(params)
        assert all((jnp.abs(table).sum() > 0) for table in grads["embeddings"].values())


class TestForecaster:
    def test_categories_known_ahead_are_learned(self):
        rng = np.random.default_rng(0)
        kind = rng.choice(["none", "sale", "feast"], 600)
        effect = {"none": 0.0, "sale": 5.0, "feast": -5.0}
        y = 10 + np.array([effect[k] for k in kind]) + 0.1 * rng.normal(size=600)
        df = pd.DataFrame({"ds": pd.date_range("2023-01-01", periods=600), "y": y, "kind": kind})
        model = small(
            normalization="standard", training=tsrnn.Training(max_steps=300, batch_size=32),
            optimizer=tsrnn.Optimizer(learning_rate=1e-2),
        )  # fmt: skip
        model.set_params(network__hidden_size=8).fit(df, future_covariates=["kind"])
        future = pd.DataFrame({"ds": pd.date_range("2024-08-23", periods=3), "kind": ["sale", "feast", "none"]})
        forecast = model.predict(future_df=future, level=[])["GRU"].to_numpy()
        np.testing.assert_allclose(forecast, [15, 5, 10], atol=1.5)
        strange = model.predict(future_df=future.assign(kind="storm"), level=[])["GRU"]
        assert np.isfinite(strange).all()

    def test_a_model_with_every_kind_of_input_is_saved_and_loaded(self, tmp_path):
        df = weather()
        model = small().fit(df, **ROLES)
        future = ahead(model, day=["free", "work", "odd"] * 2)
        model.save(tmp_path / "model")
        loaded = tsrnn.load(tmp_path / "model")
        assert loaded.inputs_.vocabularies == model.inputs_.vocabularies
        pd.testing.assert_frame_equal(
            loaded.predict(future_df=future), model.predict(future_df=future), check_exact=True
        )
        newer = df.assign(sky="hail")
        pd.testing.assert_frame_equal(
            loaded.predict(newer, future_df=future), model.predict(newer, future_df=future), check_exact=True
        )

    def test_the_vocabulary_ends_before_the_validation_tail(self):
        df = weather()
        last = df.groupby("unique_id").cumcount(ascending=False)
        model = small(training=tsrnn.Training(max_steps=2, batch_size=4, validation=0.3))
        model.fit(df.assign(sky=df["sky"].where(last >= 9, "hail")), **ROLES)
        assert model.inputs_.vocabularies["sky"] == ("clear", "rain")

    def test_static_covariates_reach_the_forecast(self):
        df = weather()
        model = small().fit(df, **ROLES)
        future = ahead(model, day="free")
        plain = model.predict(df, future_df=future)["GRU"]
        for column, value in (("region", "S"), ("size", 9.0)):
            assert (model.predict(df.assign(**{column: value}), future_df=future)["GRU"] != plain)[:3].all()

    def test_an_unknown_sampling_law_is_named(self):
        with pytest.raises(ValueError, match="sampling='scales' is unknown; choose one of windows, series, scale"):
            tsrnn.Training(sampling="scales")
