"""Attributions sum to the difference between two forecasts, which a frame can be made for, and find what matters."""

import numpy as np
import pandas as pd
import pytest

import tsrnn
from tests.strategies import frame_of, gap_free
from tsrnn.report.plots import plot_attributions
from tsrnn.transforms import BoxCox, Difference, StandardScaler

H, T = 3, 6
ROLES = {
    "past_covariates": ["load"], "future_covariates": ["promo", "day"], "static_covariates": ["size", "region"],
}  # fmt: skip


def data(n=60):
    """Integer time, which has no calendar. What `y` depends on is the promotion, which is known ahead."""
    rng = np.random.default_rng(0)
    df = frame_of({name: (np.arange(n), rng.normal(size=n)) for name in "ab"})
    df = df.assign(promo=rng.normal(size=2 * n), load=rng.normal(size=2 * n), day=rng.choice(["work", "free"], 2 * n))
    df = df.assign(size=df["unique_id"].map({"a": 1.0, "b": 3.0}), region=df["unique_id"])
    return df.assign(y=30 + df["y"] + 5 * df["promo"])


def forecaster(**parameters):
    settings = {
        "horizon": H, "context_length": T, "season_length": 1, "output": tsrnn.Point("mae"),
        "transforms": [BoxCox(power=1), StandardScaler(per="all")], "optimizer": tsrnn.Optimizer(learning_rate=0.02),
        "training": tsrnn.Training(max_steps=200, eval_every=50, batch_size=16, validation=0, progress=False),
    }  # fmt: skip
    return tsrnn.Forecaster(tsrnn.GRU(hidden_size=6), **settings | parameters)


@pytest.fixture(scope="module")
def fitted():
    return forecaster().fit(data(), **ROLES)


@pytest.fixture(scope="module")
def ahead(fitted):
    future = fitted.make_future_frame()
    return future.assign(promo=np.linspace(-1, 1, len(future)), day="work")


@pytest.fixture(scope="module")
def found(fitted, ahead):
    return fitted.attribute(future_df=ahead, steps=[1, 2, 3])


def test_they_sum_to_the_difference_from_the_forecast_of_a_flat_history(fitted, ahead, found):
    """The baseline as a frame: the mean of the newest rows, covariates at their means, categories never seen."""
    df = data()
    neutral = {"promo": df["promo"].mean(), "load": df["load"].mean(), "size": 2.0, "day": "?", "region": "?"}
    newest = df.groupby("unique_id")["y"].transform(lambda y: y.iloc[-T:].mean())
    flat = fitted.predict(df.assign(y=newest, **neutral), future_df=ahead.assign(promo=neutral["promo"], day="?"))
    difference = (fitted.predict(future_df=ahead)["GRU"] - flat["GRU"]).to_numpy()
    assert np.abs(difference).max() > 3
    sums = found.groupby(["unique_id", "step"])["attribution"].sum()
    np.testing.assert_allclose(sums, difference, atol=0.02 * np.abs(difference).max())
    mean = fitted.attribute(future_df=ahead).groupby("unique_id")["attribution"].sum()
    np.testing.assert_allclose(mean, difference.reshape(2, H).mean(axis=1), atol=0.02 * np.abs(difference).max())


def test_every_input_has_its_place(found):
    assert list(found.columns) == ["unique_id", "ds", "step", "input", "attribution"]
    one = found[(found["unique_id"] == "b") & (found["step"] == 2)]
    stamps = {name: list(part["ds"]) for name, part in one.groupby("input")}
    behind, beyond = list(range(60 - T, 60)), list(range(60, 60 + H))
    constant = {name: times for name, times in stamps.items() if name not in ("y", "load", "promo")}
    assert (stamps["y"], stamps["load"], stamps["promo"]) == (behind, behind, behind + beyond)
    assert set(constant) == {"size", "day", "region"}
    assert all(len(times) == 1 and pd.isna(times[0]) for times in constant.values())


def test_they_find_what_the_data_were_made_of(found):
    promo = found[(found["input"] == "promo") & (found["ds"] == 59 + found["step"])]
    promo = promo.sort_values(["unique_id", "step"])["attribution"]
    assert np.corrcoef(promo, np.linspace(-1, 1, 2 * H))[0, 1] > 0.98
    sizes = found.groupby(["unique_id", "step", "input"])["attribution"].sum().abs().groupby("input").mean()
    assert sizes["promo"] > 2 * sizes[["load", "day", "size", "region"]].max()


def test_a_plot(found):
    ax = plot_attributions(found, "b")
    assert [line.get_label().split(":")[0] for line in ax.lines[:3]] == ["y", "load", "promo"]
    with pytest.raises(ValueError, match="no attributions of a series 'z'; there are those of a, b"):
        plot_attributions(found, "z")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "parameters"),
    [(tsrnn.LSTM(hidden_size=4), {"output": tsrnn.StudentT()}), (tsrnn.SegRNN(hidden_size=4), {}),
     (tsrnn.Seq2Seq(hidden_size=4), {"normalization": "revin"}),
     (tsrnn.ESRNN(hidden_size=4, dilations=(1, 2)), {"normalization": "none"})],
    ids=["LSTM", "SegRNN", "Seq2Seq", "ESRNN"],
)  # fmt: skip
def test_other_networks_and_two_channels(network, parameters):
    df = gap_free(lengths=(40, 40), n_channels=2)
    quick = tsrnn.Training(max_steps=3, batch_size=4, progress=False)
    model = forecaster(transforms=StandardScaler(), training=quick).set_params(network=network, **parameters)
    model.fit(df, target_col=["y", "y1"])
    found = model.attribute(n_points=64)
    assert set(found["input"]) == {"y", "y1", "calendar"}
    assert found["unique_id"].nunique() == 4
    again = model.attribute(n_points=128)
    sums, finer = (part.groupby("unique_id")["attribution"].sum() for part in (found, again))
    np.testing.assert_allclose(sums, finer, atol=0.02 * np.abs(found["attribution"]).max())


def test_refusals(fitted):
    with pytest.raises(ValueError, match="steps must lie in 1 to horizon=3, got"):
        fitted.attribute(steps=[0])
    differenced = forecaster(transforms=[Difference(), StandardScaler()])
    differenced.history_ = fitted.history_
    with pytest.raises(ValueError, match=r"with Difference\(\) a step of the forecast is made of the steps before it"):
        differenced.attribute()
    drawn = forecaster().set_params(network=tsrnn.Recursive())
    drawn.history_ = fitted.history_
    with pytest.raises(ValueError, match=r"Recursive\(\) draws its own"):
        drawn.attribute()
