"""Exponential smoothing with a network: the recursion against a loop, weights of each series, seasons by time."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import tsrnn
from tests.equations import QUICK as COMPILER
from tests.strategies import frame_of
from tests.test_nn import make_batch
from tsrnn.data import DataError
from tsrnn.nn.distributions import Poisson
from tsrnn.nn.esrnn import ESRNN, SmoothedModel
from tsrnn.nn.model import Model
from tsrnn.nn.outputs import Point, Quantiles
from tsrnn.nn.smoothing import smooth
from tsrnn.testing import assert_no_leakage
from tsrnn.transforms import BoxCox

SMALL = {"hidden_size": 4, "dilations": (1, 2)}
QUICK = tsrnn.Training(max_steps=3, eval_every=3, batch_size=4, validation=0, progress=False)


def loop(y, a, bs, seasons, horizon):
    """The paper's recursion of one series, multiplicative; its means are geometric here, arithmetic there.

    Level and seasons of each step, and the seasons ahead of the last one.
    """
    runs = [list(season) for season in seasons]
    first = next(t for t, value in enumerate(y) if not np.isnan(value))
    level = y[first] / np.prod([run[first % len(season)] for run, season in zip(runs, seasons, strict=True)])
    levels, products = [], []
    for t, value in enumerate(y):
        own = [run[t] for run in runs]
        season = np.prod(own)
        if not np.isnan(value):
            level = (value / season) ** a * level ** (1 - a)
        for run, s, b in zip(runs, own, bs, strict=True):
            run.append(s if np.isnan(value) else (value / level / (season / s)) ** b * s ** (1 - b))
        levels.append(level)
        products.append(season)
    ahead = []
    for h in range(horizon):
        last = [run[len(y) :] for run in runs]
        ahead.append(np.prod([season[h % len(season)] for season in last]))
    return levels, products, ahead


@pytest.mark.parametrize("periods", [(), (4,), (3, 7)])
def test_smoothing_equals_the_recursion_of_the_paper_on_logarithms(periods):
    rng = np.random.default_rng(0)
    y = rng.lognormal(size=(23, 2))
    y[[0, 1, 9], 0] = np.nan
    a, bs = rng.uniform(0.1, 0.9, 2), rng.uniform(0.1, 0.9, (len(periods), 2))
    seasons = [rng.lognormal(0, 0.3, (m, 2)) for m in periods]
    seen = ~np.isnan(y)
    x, coefficients = np.where(seen, np.log(y), 0), np.concatenate([a[None], bs])
    begin = tuple(jnp.asarray(np.log(season), jnp.float32)[:, :, None] for season in seasons)
    got = smooth(jnp.float32(x)[..., None], seen[..., None], jnp.float32(coefficients)[..., None], begin, horizon=9)
    for b in range(2):
        want = loop(y[:, b], a[b], bs[:, b], [season[:, b] for season in seasons], 9)
        for array, values in zip((got.level[:, b], got.season[:, b], got.ahead[-1, :, b]), want, strict=True):
            np.testing.assert_allclose(np.exp(array[:, 0]), values, rtol=1e-4)


def problem(output=Quantiles((0.1, 0.5, 0.9)), t=12, **network):  # noqa: B008
    """A model, random weights, and a batch of two known series, a strange one and one more."""
    model = SmoothedModel(Model(ESRNN(**SMALL | {"season_lengths": (3,)} | network), output, "none", 1), 8)
    batch = make_batch(c=1, t=t)._replace(series=jnp.array([1, 2, 0, 1]), step=t + jnp.arange(4))
    batch = batch._replace(valid=jnp.ones_like(batch.valid))
    shapes = jax.eval_shape(model.init, jax.random.key(0), batch)
    rng = np.random.default_rng(0)
    return model, jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.5, a.shape), a.dtype), shapes), batch


def compiled(f):
    return jax.jit(f, compiler_options=COMPILER)


def full(batch):
    seen = {name: jnp.ones_like(getattr(batch, name)) for name in ("context_observed", "target_observed")}
    return batch._replace(**seen)


def test_the_newest_observation_and_the_whole_history_reach_the_first_step():
    model, params, batch = problem()
    batch = full(batch)
    first_step = jax.grad(lambda context: model(params, batch._replace(context=context))[:, 0].sum())
    context = np.asarray(compiled(first_step)(batch.context))
    assert (np.abs(context[:, -1]) > 0).all()
    assert (np.abs(context).sum(axis=(0, 2)) > 0).all()


def test_every_step_is_learned_from_and_the_cutoff_alone_is_judged():
    """In training the loss is the mean over histories that end at every step whose input is full: 4 to 7 of 7 steps."""
    model, params, batch = problem(level_penalty=0.0, t=7)
    batch = full(batch)
    y, known = (jnp.concatenate(parts, axis=1) for parts in ((batch.context, batch.target), (batch.past, batch.future)))

    def judged(n):
        cut = {
            name: getattr(batch, name)[:, :n] for name in ("context", "context_observed", "valid", "past", "past_codes")
        }
        cut |= {"target": y[:, n : n + 3], "future": known[:, n : n + 3], "step": batch.step - 7 + n}
        return compiled(lambda batch: model.loss(params, batch, None)[0])(batch._replace(**cut))

    learned = compiled(lambda key: model.loss(params, batch, key)[0])(jax.random.key(0))
    np.testing.assert_allclose(learned, np.mean([judged(n) for n in (4, 5, 6, 7)]), rtol=1e-4)
    values = compiled(lambda batch: model(params, batch))(batch)
    np.testing.assert_allclose(judged(7), model.model.output.loss(values, batch.target).mean(), rtol=1e-4)


def test_a_strange_series_has_what_all_share():
    model, params, batch = problem()
    smoothing = {name: table.at[1:].set(0) for name, table in jax.tree.map(jnp.asarray, params["smoothing"]).items()}
    forecast = compiled(model)
    shared, own = forecast(params | {"smoothing": smoothing}, batch), forecast(params, batch)
    np.testing.assert_array_equal(shared[2], own[2])
    assert (np.abs(shared - own)[jnp.array([0, 1, 3])].max(axis=(1, 2, 3)) > 0).all()
    grads = compiled(jax.grad(lambda p: model.loss(p, batch, jax.random.key(0))[0]))(params)["smoothing"]
    for table in grads.values():
        touched = np.abs(table).reshape(len(table), -1).sum(axis=1) > 0
        np.testing.assert_array_equal(touched, [True, True, True, *[False] * 5])


def test_roughness_is_the_mean_second_difference_squared():
    model, params, batch = problem(Point())
    batch = full(batch)
    level = np.asarray(compiled(model.smoothing)(params, batch).level)[..., 0]
    loose = SmoothedModel(Model(dataclasses.replace(model.model.network, level_penalty=0.0), Point(), "none", 1), 8)
    key = jax.random.key(0)
    extra = compiled(lambda key: model.loss(params, batch, key)[0] - loose.loss(params, batch, key)[0])(key)
    np.testing.assert_allclose(extra, 10 * np.mean(np.diff(level, 2, axis=0) ** 2), rtol=1e-4)


ROLES = {"future_covariates": ["promo"], "past_covariates": ["load"]}


def test_zeros_constants_and_billions_give_finite_gradients():
    model, params, batch = problem()
    gradient = compiled(jax.value_and_grad(lambda p, b: model.loss(p, b, jax.random.key(0))[0]))
    for value in (0.0, 1.0, 1e9):
        flat = {name: jnp.full_like(getattr(batch, name), value) for name in ("context", "target")}
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(params, batch._replace(**flat))))


def seasonal(n=90):
    """Panels of 81 to 96 rows a series share their programs."""
    rng = np.random.default_rng(0)
    stamps, steps = pd.date_range("2024-01-01", periods=n, freq="D"), np.arange(n)
    values = {name: 50 + 20 * np.exp(np.sin(2 * np.pi * steps / 7)) * rng.lognormal(0, 0.02, n) for name in "ab"}
    df = frame_of({name: (stamps, y) for name, y in values.items()})
    return df.assign(promo=np.tile(steps % 5 == 0, 2), load=rng.normal(size=2 * n))


def forecaster(steps=3, **parameters):
    settings = {
        "horizon": 7, "context_length": 28, "normalization": "none",
        "transforms": [BoxCox(power=0), tsrnn.StandardScaler()],
        "training": dataclasses.replace(QUICK, max_steps=steps), "optimizer": tsrnn.Optimizer(learning_rate=0.02),
    }  # fmt: skip
    return tsrnn.Forecaster(ESRNN(**SMALL), **settings | parameters)


@pytest.fixture(scope="module")
def fitted():
    return forecaster(60).fit(seasonal(), **ROLES)


@pytest.fixture(scope="module")
def promised(fitted):
    """Forecasts of both series, from the whole history."""
    return fitted.predict(seasonal(), future_df=ahead(fitted)).set_index("unique_id")


def ahead(model, promo=False):
    return model.make_future_frame().assign(promo=promo)


def test_it_learns_the_season_of_each_series(fitted, promised):
    df = seasonal(97)
    truth = df[df.groupby("unique_id").cumcount() >= 90]["y"].to_numpy()
    error = np.abs(promised["ESRNN"].to_numpy() - truth).mean()
    assert error < 0.25 * np.abs(truth - truth.mean()).mean()
    tables = fitted.params_["smoothing"]
    assert set(tables) == {"coefficients", "season_7"}
    assert (np.abs(tables["season_7"][:3]).max(axis=(1, 2)) > 0.1).all()


def test_weights_go_with_the_name_of_a_series_and_seasons_with_the_time(fitted, promised):
    df, future, same = seasonal(), ahead(fitted), partial(pd.testing.assert_frame_equal, check_exact=True)

    def forecast(df, future=future):
        return fitted.predict(df, future_df=future).set_index("unique_id")

    swapped = pd.concat([df[df["unique_id"] == name] for name in "ba"])
    same(forecast(swapped).loc[["a", "b"]], promised)
    for cut in (1, 5):  # histories that begin elsewhere in the season
        same(forecast(df[df.groupby("unique_id").cumcount() >= cut]), promised)
    other = {"unique_id": {"a": "c"}}
    strange = forecast(df.replace(other), future.replace(other))
    same(strange.loc[["b"]], promised.loc[["b"]])
    assert np.isfinite(strange.loc["c", "ESRNN"]).all()
    assert not np.allclose(strange.loc["c", "ESRNN"], promised.loc["a", "ESRNN"])


def test_it_is_kept_on_disk(fitted, promised, tmp_path):
    fitted.save(tmp_path / "model")
    again = tsrnn.load(tmp_path / "model").predict(seasonal(), future_df=ahead(fitted)).set_index("unique_id")
    pd.testing.assert_frame_equal(again, promised, check_exact=True)


def test_what_is_known_ahead_acts_on_its_step(fitted, promised):
    promo = fitted.predict(seasonal(), future_df=ahead(fitted, np.arange(14) == 2)).set_index("unique_id")
    assert (np.flatnonzero(promised["ESRNN"] != promo["ESRNN"]) == [2]).all()


@pytest.mark.parametrize("refit", [False, True])
def test_backtests_with_and_without_refitting(refit):
    result = tsrnn.backtest(forecaster(), seasonal(95), n_windows=2, step_size=3, refit=refit, **ROLES)
    assert np.isfinite(result.forecasts["ESRNN"]).all()


def test_no_leakage():
    assert_no_leakage(forecaster(), seasonal(95), n_after=10, **ROLES)


class TestRefusals:
    def test_zeros_have_no_logarithm(self):
        df = seasonal()
        df.loc[5, "y"] = 0
        with pytest.raises(DataError, match=r"BoxCox takes values above 0, but series 'a' has 0 at row 5.*YeoJohnson"):
            forecaster().fit(df)

    def test_another_normalization_and_counts(self):
        with pytest.raises(ValueError, match="give normalization='none', not 'last'"):
            forecaster(normalization="last").fit(seasonal())
        with pytest.raises(ValueError, match=r"for which Poisson\(\) is not made; choose Quantiles\(\), Normal\(\)"):
            SmoothedModel(Model(ESRNN(), Poisson(), "none", 1), 2)

    @pytest.mark.parametrize(
        "options", [{"dilations": ()}, {"input_length": 0}, {"season_lengths": (1,)}, {"dilations": (0,)}]
    )
    def test_numbers_that_make_no_sense(self, options):
        with pytest.raises(ValueError, match="at least"):
            ESRNN(**options)

    def test_seasons_of_irregular_steps(self):
        rng = np.random.default_rng(0)
        stamps = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(rng.integers(1, 500, 60)), unit="min")
        df = frame_of({"a": (stamps, rng.normal(size=60))})
        model = tsrnn.Forecaster(ESRNN(**SMALL, season_lengths=(3,)), horizon=2, normalization="none", training=QUICK)
        with pytest.raises(ValueError, match=r"seasons of \(3,\) steps need steps of one length"):
            model.fit(df, freq="irregular")

    def test_a_batch_that_does_not_say_of_which_series_it_is(self):
        model, params, batch = problem()
        with pytest.raises(ValueError, match="the batch must say which series and step it is of"):
            model(params, batch._replace(series=None))
