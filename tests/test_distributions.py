"""Distributions as outputs: scipy is the oracle, in double precision; ours run in single precision."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import tsrnn
from tests.test_nn import make_batch
from tsrnn.data import DataError, Panel
from tsrnn.forecasting import forecaster
from tsrnn.forecasting.spec import PARTS, SpecError, from_spec, to_spec
from tsrnn.nn.distributions import (
    AbstractDistribution,
    Laplace,
    LogNormal,
    Mixture,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    Tweedie,
    ZeroInflated,
)
from tsrnn.nn.model import ForecastLoss, Model
from tsrnn.nn.networks import GRU
from tsrnn.nn.outputs import Point
from tsrnn.transforms import Log1p, MeanAbsScaler, MinMaxScaler, StandardScaler


@dataclass
class Weighted:
    """A mixture of scipy's frozen distributions."""

    weights: list
    parts: list

    def logp(self, x):
        return special.logsumexp(
            [np.log(w) + logp(d, x) for w, d in zip(self.weights, self.parts, strict=True)], axis=0
        )

    def cdf(self, x):
        return sum(w * d.cdf(x) for w, d in zip(self.weights, self.parts, strict=True))

    def mean(self):
        return sum(w * d.mean() for w, d in zip(self.weights, self.parts, strict=True))

    def var(self):
        squares = sum(w * (d.var() + d.mean() ** 2) for w, d in zip(self.weights, self.parts, strict=True))
        return squares - self.mean() ** 2


def logp(oracle, x):
    with np.errstate(divide="ignore"):
        if hasattr(oracle, "logp"):
            return oracle.logp(x)
        return oracle.logpmf(x) if hasattr(oracle, "logpmf") else oracle.logpdf(x)


@dataclass
class Compound:
    """A Poisson number of gamma amounts, which is what Tweedie's distribution is."""

    power: float
    m: float
    d: float

    def __post_init__(self):
        self.rate = self.m ** (2 - self.power) / ((2 - self.power) * self.d)
        self.n = np.arange(1, 3000)
        scale = self.d * (self.power - 1) * self.m ** (self.power - 1)
        self.sums = stats.gamma(self.n * (2 - self.power) / (self.power - 1), scale=scale)

    def logp(self, x):
        terms = stats.poisson(self.rate).logpmf(self.n) + self.sums.logpdf(np.maximum(x, 1e-9)[:, None])
        return np.where(x > 0, special.logsumexp(terms, axis=1), -self.rate)

    def cdf(self, x):
        amounts = self.sums.cdf(np.reshape(x, (-1, 1))) * stats.poisson(self.rate).pmf(self.n)
        return (np.exp(-self.rate) + amounts.sum(axis=1)).reshape(np.shape(x))

    def mean(self):
        return self.m

    def var(self):
        return self.d * self.m**self.power


def negative_binomial(mean, a):
    return stats.nbinom(1 / a, 1 / (1 + a * mean))


def logit(p):
    return np.log(p / (1 - p))


# Distribution, parameters, scipy's counterpart; tolerances of log_prob (relative to 1 + its size) and of the cdf.
CASES = {
    "Normal": (Normal(), [[0, 1], [5, 0.1], [-3e4, 200]], lambda m, s: stats.norm(m, s), 1e-5, 1e-4),
    "Laplace": (Laplace(), [[0, 1], [5, 0.1], [-3e4, 200]], lambda m, s: stats.laplace(m, s), 1e-5, 1e-4),
    "StudentT": (
        StudentT(), [[0, 1, 0.3], [5, 0.1, 2], [-3e4, 200, 10], [0, 1, 1e4]],
        lambda m, s, v: stats.t(2.01 + v, m, s), 1e-5, 5e-4,
    ),
    "LogNormal": (
        LogNormal(), [[0, 1], [-3, 0.1], [12, 2]], lambda m, s: stats.lognorm(s, scale=np.exp(m)), 1e-5, 1e-4,
    ),
    "Poisson": (
        Poisson(), [[0.01], [0.7], [4], [90], [990], [1010], [1e5], [1e9]], stats.poisson, 5e-4, 1e-3,
    ),
    "NegativeBinomial": (
        NegativeBinomial(),
        [[0.01, 1], [0.7, 5], [4, 0.1], [4, 1e-4], [90, 1e-3], [900, 0.5], [1010, 0.5], [1e6, 0.01], [1e9, 1]],
        negative_binomial, 1e-4, 3e-3,
    ),
    "ZeroInflated": (
        ZeroInflated(Poisson()), [[logit(0.7), 3], [logit(0.01), 0.5], [logit(0.4), 200]],
        lambda z, m: Weighted([special.expit(z), special.expit(-z)], [stats.poisson(0), stats.poisson(m)]), 1e-4, 1e-3,
    ),
    "Tweedie": (
        Tweedie(1.3), [[1, 10], [2, 1], [50, 0.8], [3, 0.01]], lambda m, d: Compound(1.3, m, d), 1e-4, 2e-3,
    ),
    "Mixture": (
        Mixture(Normal(), 2), [np.r_[np.log([0.3, 0.7]), 0, 1, 4, 0.5], np.r_[np.log([0.9, 0.1]), 0, 1, 300, 20]],
        lambda a, b, m, s, n, t: Weighted(np.exp([a, b]), [stats.norm(m, s), stats.norm(n, t)]), 1e-5, 1e-4,
    ),
}  # fmt: skip

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)

LEVELS = np.asarray([0.5, 0.95, 0.01, 0.2, 0.8], np.float32)  # the median, and those asked for, in any order


def crossed(params, oracle):
    """Every row of parameters with a grid of points around its mean, and scipy's distribution of each."""
    params = np.asarray(params, np.float32)
    oracles = [oracle(*row.astype(np.float64)) for row in params]
    away = np.asarray([-3, -1.5, -0.4, 0, 0.3, 1, 4])
    x = np.stack([o.mean() + away * np.sqrt(o.var()) for o in oracles])
    return np.repeat(params[:, None], len(away), axis=1), x, oracles


@every_case
def test_against_scipy(case):
    output, params, oracle, log_tolerance, tolerance = case
    params, x, oracles = crossed(params, oracle)
    count = output.domain == "count"
    if output.domain != "real":
        x = np.maximum(np.round(x) if count else x, 0)
    if output.domain == "positive":
        x = np.maximum(x, 1e-3 * np.median(x, axis=1, keepdims=True))
    x = x.astype(np.float32)

    @jax.jit
    def ours(params, x):
        own = params[:, 0]
        return (
            output.log_prob(params, x), output.cdf(params, x), output.mean(own), output.variance(own),
            output.forecast(own, jnp.asarray(LEVELS[1:])),
        )  # fmt: skip

    log_prob, cdf, mean, variance, quantiles = (np.asarray(a, np.float64) for a in ours(params, x))
    for i, o in enumerate(oracles):
        at = x[i].astype(np.float64)
        want = logp(o, at)
        assert (np.abs(log_prob[i] - want) <= log_tolerance * (1 + np.abs(want))).all(), (params[i, 0], at)
        np.testing.assert_allclose(cdf[i], o.cdf(at), atol=tolerance)
        np.testing.assert_allclose((mean[i], variance[i]), (o.mean(), o.var()), rtol=1e-4)
        own = quantiles[i]
        assert (np.diff(own[np.argsort(LEVELS)]) >= 0).all()  # intervals are nested and hold the median
        if count:
            np.testing.assert_array_equal(own, np.floor(own))
        rounding = 1e-6 * np.abs(own)  # of a float32
        before = own - 1 if count else own
        assert (o.cdf(own + rounding) >= LEVELS - 2 * tolerance).all()
        assert (
            o.cdf(before - rounding) <= np.where((own > 0) | (output.domain == "real"), LEVELS, 1) + 2 * tolerance
        ).all()


@every_case
def test_samples_have_the_moments_and_the_law(case):
    output, params, oracle, _, _ = case
    n, params = 4000, np.asarray(params, np.float32)[:3]
    draws = np.asarray(output.sample(jax.random.key(7), jnp.asarray(params), n), np.float64)
    assert draws.shape == (n, len(params))
    np.testing.assert_array_equal(draws, output.sample(jax.random.key(7), jnp.asarray(params), n))
    for own, row in zip(draws.T, params, strict=True):
        o = oracle(*row.astype(np.float64))
        assert abs(own.mean() - o.mean()) <= 4 * np.sqrt(o.var() / n)
        away = (own - o.mean()) ** 2
        if np.isfinite(stats.kurtosis(own)) and not isinstance(output, (LogNormal, StudentT)):  # fourth moments
            assert abs(away.mean() - o.var()) <= 4 * away.std() / np.sqrt(n)
        for x in np.quantile(own, [0.1, 0.5, 0.9]):
            p = o.cdf(x)
            assert abs((own <= x).mean() - p) <= 4 * np.sqrt(p * (1 - p) / n) + 1e-3


@every_case
def test_a_factor_and_a_shift_of_the_data_move_the_parameters(case):
    output, params, _, _, _ = case
    params = jnp.asarray(np.asarray(params)[:1], jnp.float32)
    location, scale = jnp.full(1, 3.0 if output.domain == "real" else 0.0), jnp.full(1, 4.0)
    moved = output.affine(params, location, scale)
    np.testing.assert_allclose(output.mean(moved), output.mean(params) * scale + location, rtol=1e-5)
    if output.domain != "count":  # a count times four is another count; of the others the law itself is stretched
        np.testing.assert_allclose(output.variance(moved), output.variance(params) * scale**2, rtol=1e-5)
        x = output.mean(params) + 0.5 * jnp.sqrt(output.variance(params))
        want = output.log_prob(params, x) - jnp.log(scale)
        np.testing.assert_allclose(output.log_prob(moved, x * scale + location), want, rtol=1e-4, atol=1e-5)


@every_case
def test_loss_and_gradient_are_finite_at_the_extremes(case):
    output = case[0]
    raw = jnp.asarray([-60.0, 0.0, 60.0])
    base = jnp.asarray([0.0, 1.0, 1e3]) if output.domain != "real" else jnp.asarray([-1e3, 0.0, 1e3])
    target = {"real": [-1e5, 0.0, 1e5], "positive": [1e-6, 1.0, 1e9]}.get(output.domain, [0.0, 1.0, 1e9])
    raw, base, target = (a.ravel() for a in jnp.meshgrid(raw, base, jnp.asarray(target)))
    raw = jnp.repeat(raw[:, None], output.size, axis=1)

    def loss(raw):
        return output.loss(output.params(raw, base), target)

    losses, gradient = jax.jit(lambda raw: (loss(raw), jax.grad(lambda r: loss(r).sum())(raw)))(raw)
    assert np.isfinite(losses).all()
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("output", [StudentT(), pytest.param(Tweedie(), marks=pytest.mark.slow)], ids=str)
def test_quantiles_do_not_depend_on_their_neighbours(output):
    raw = jax.random.normal(jax.random.key(0), (64, output.size))
    params, forecast = output.params(raw, jnp.full(64, 2.0)), jax.jit(output.forecast)
    want = forecast(params, jnp.asarray([0.05]))[:32]
    for strange in (1e9, 1e-6, jnp.nan):  # continued fractions of other lengths, or without an end
        np.testing.assert_array_equal(forecast(params.at[32:].set(strange), jnp.asarray([0.05]))[:32], want)


@pytest.mark.slow
def test_a_quantile_within_the_mass_at_zero_is_zero():
    params = jnp.asarray([np.log(0.5), np.log(0.5), 1.0, 4.0, 2.0, 4.0], jnp.float32)
    output = Mixture(Tweedie(), 2)
    zero = float(output.cdf(params, jnp.asarray(0.0)))
    np.testing.assert_allclose(zero, (np.exp(-0.5) + np.exp(-(0.5**0.5))) / 2, rtol=1e-5)
    below, above = (float(output.quantile(params, jnp.asarray(zero + d))) for d in (-0.01, 0.01))
    assert below == 0
    assert above > 0


@pytest.mark.parametrize(
    "bad",
    [
        (lambda: Normal(point="mode"), "point='mode' is unknown"),
        (lambda: Tweedie(2.5), r"power=2\.5 must lie in 1\.1 to 1\.9"),
        (lambda: ZeroInflated(Normal()), r"Normal.* has no zeros; choose Poisson\(\) or NegativeBinomial\(\)"),
        (lambda: Mixture("Normal"), "component='Normal' is no distribution"),
        (lambda: Mixture(n_components=0), "n_components must be a positive integer, got 0"),
    ],
    ids=["point", "power", "zeros", "family", "number"],
)
def test_nonsense_is_refused(bad):
    make, message = bad
    with pytest.raises(ValueError, match=message):
        make()


def test_counts_are_learned_in_their_own_units_and_scaled_like_their_window():
    batch = make_batch(c=1)
    counts = jnp.asarray(np.random.default_rng(0).poisson(30, batch.context.shape), jnp.float32)
    batch = batch._replace(context=jnp.where(batch.context_observed, counts, 0), target=jnp.full_like(batch.target, 27))
    model = Model(GRU(hidden_size=4), Poisson(), "mean", 1)
    silent = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0), batch))
    seen = np.asarray(batch.context_observed)[..., 0]
    sizes = np.asarray([np.mean(row[on]) for row, on in zip(np.asarray(batch.context)[..., 0], seen, strict=True)])
    mean = sizes * np.logaddexp(0, np.asarray(batch.context)[:, -1, 0] / sizes)  # softplus of the last value, unscaled
    np.testing.assert_allclose(model(silent, batch)[..., 0], np.broadcast_to(mean[:, None, None], (4, 3, 1)), rtol=1e-4)
    want = -stats.poisson(mean[:, None, None]).logpmf(np.asarray(batch.target))[np.asarray(batch.target_observed)]
    np.testing.assert_allclose(ForecastLoss(model)(silent, batch, None)[0], want.mean(), rtol=1e-4)
    empty = batch._replace(context=jnp.zeros_like(batch.context))
    np.testing.assert_allclose(model(silent, empty)[..., 0], np.log(2), rtol=1e-4)  # counts have a scale of 1 at least


def test_the_relative_loss_does_not_depend_on_the_scale():
    value, target = jnp.asarray([[3.0], [1.0], [0.0]]), jnp.asarray([1.0, 1.0, 0.0])
    np.testing.assert_allclose(Point("smape").loss(value, target), [1, 0, 0])
    np.testing.assert_allclose(Point("smape").loss(value * 50, target * 50), [1, 0, 0])
    gradient = jax.grad(lambda v: Point("smape").loss(v, target).sum())(value)
    np.testing.assert_allclose(gradient[0], [2 / 4])
    assert np.isfinite(gradient).all()


QUICK = tsrnn.Training(max_steps=6, batch_size=16, eval_every=3, validation=0)


def small(output, **params):
    shape = {"horizon": 2, "context_length": 4, "training": QUICK}
    if output.domain != "real":
        shape |= {"transforms": None, "normalization": "mean"}
    return tsrnn.Forecaster(tsrnn.GRU(hidden_size=4), output=output, **shape | params)


def extremes(positive):
    """Series of zeros, of threes, of billions, of zeros and then billions, of billions and noise, of rare ones."""
    rng, n = np.random.default_rng(0), 30
    late = np.where(np.arange(n) < 20, 0, 1e9)
    series = [np.zeros(n), np.full(n, 3), np.full(n, 1e9), late, np.round(rng.normal(1e9, 1e6, n)), rng.poisson(0.2, n)]
    stamps = pd.date_range("2024-01-01", periods=n)
    frames = [pd.DataFrame({"unique_id": f"s{i}", "ds": stamps, "y": y + positive}) for i, y in enumerate(series)]
    return pd.concat(frames, ignore_index=True)


OUTPUTS = [
    StudentT(),
    *(pytest.param(output, marks=pytest.mark.slow) for output in (
        NegativeBinomial(point="mean"),
        Normal(), Laplace(), LogNormal(), Poisson(), ZeroInflated(), ZeroInflated(Poisson()), Tweedie(), Mixture(),
        Mixture(Poisson(), 2),
        Point("smape"), Point("mse"), Point("mae"), Point("huber"), tsrnn.Quantiles(),
    )),
]  # fmt: skip


@pytest.mark.parametrize("output", OUTPUTS, ids=str)
def test_series_of_zeros_of_constants_and_of_billions_are_learned_forecast_and_saved(tmp_path, output):
    df = extremes(positive=output.domain == "positive")
    model = small(output).fit(df)
    assert model.training_.skipped == 0
    forecast = model.predict(level=[] if output.reach is None else [50, 90], quantiles=None)
    values = forecast.iloc[:, 2:].to_numpy()
    assert np.isfinite(values).all()
    if output.reach is not None:
        _, low, high, lowest, highest = values.T
        assert (lowest <= low).all()
        assert (low <= high).all()
        assert (high <= highest).all()
    if output.domain not in ("real", "ratio"):
        assert (values >= 0).all()
    model.save(tmp_path / "model")
    loaded = tsrnn.load(tmp_path / "model")
    assert loaded.output == output
    again = loaded.predict(level=[] if output.reach is None else [50, 90])
    pd.testing.assert_frame_equal(again, forecast, check_exact=True)


@pytest.mark.parametrize("kind", [c for c in PARTS["output"].values() if issubclass(c, AbstractDistribution)])
def test_specifications_name_every_distribution(kind):
    model = small(kind(point="mean"))
    assert from_spec(to_spec(model)).output == model.output
    assert from_spec({"network": "GRU", "output": kind.__name__}, horizon=2).output == kind()


def test_a_specification_names_the_component():
    spec = {"type": "Mixture", "component": {"type": "ZeroInflated", "component": "Poisson"}, "n_components": 2}
    assert from_spec({"network": "GRU", "output": spec}, horizon=2).output == Mixture(ZeroInflated(Poisson()), 2)
    with pytest.raises(SpecError, match=r"'Poison' is not a known output\. Did you mean 'Poisson'") as caught:
        from_spec({"network": "GRU", "output": {"type": "Mixture", "component": "Poison"}}, horizon=2)
    assert caught.value.where == ("output", "component", "type")


@pytest.mark.parametrize(
    ("output", "params", "message"),
    [
        (Poisson(), {"normalization": "last"}, "normalization='last' moves zero, but Poisson .* choose .*'mean'"),
        (Poisson(), {"transforms": MeanAbsScaler()}, "do not leave counts as they are, but Poisson .*transforms=None"),
        (Tweedie(), {"transforms": StandardScaler()}, r"do not leave zero .*=None or MeanAbsScaler\(\)"),
        (Tweedie(), {"transforms": MinMaxScaler()}, "do not leave zero as they are, but Tweedie"),
        (Point("smape"), {"transforms": StandardScaler()}, "do not leave zero as they are, but Point"),
        (LogNormal(), {}, "LogNormal takes numbers above 0, but series 'y' has 0 at row 0; 1 such"),
    ],
    ids=["normalization", "scaled counts", "moved zero", "least as zero", "smape", "zeros"],
)
def test_combinations_that_make_no_sense_are_refused_with_a_way_out(output, params, message):
    y = pd.Series(np.arange(20.0), index=pd.date_range("2024-01-01", periods=20))
    if output.domain != "positive":
        y = y + 1
    with pytest.raises(ValueError, match=message):
        small(output, **params).fit(y)


@pytest.mark.parametrize(("value", "shown"), [(-1.0, "-1"), (0.5, r"0\.5")])
def test_what_is_no_count_is_named(value, shown):
    y = pd.Series(np.arange(20.0), index=pd.date_range("2024-01-01", periods=20), name="sold")
    y.iloc[7] = value
    want = rf"NegativeBinomial takes whole numbers from 0 on, but series 'sold' has {shown} at row 7; 1 such"
    with pytest.raises(DataError, match=want):
        small(NegativeBinomial()).fit(y)


@pytest.mark.parametrize("transform", [MeanAbsScaler(), Log1p(), MeanAbsScaler("all")])
def test_transforms_that_leave_zero_where_it_is_go_with_amounts(transform):
    y = pd.Series(np.arange(20.0) / 2, index=pd.date_range("2024-01-01", periods=20))
    forecaster._check_output(Tweedie(), "mean", transform.fit(y), Panel.from_frame(y))  # raises nothing
