"""What a Forecaster chooses from the data, against data whose season is known and a plain loop."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import tsrnn
from tsrnn.forecasting.choices import choose_context, choose_season, choose_shrinkage, choose_width, lag_errors

MONTHS = pd.date_range("2000-01-01", periods=120, freq="MS")


def panel(*series, freq=None):
    """Series of integer time, or of months where ``freq`` says so."""
    parts = [
        pd.DataFrame({"unique_id": f"s{i}", "ds": MONTHS[: len(y)] if freq else np.arange(len(y)), "y": y})
        for i, y in enumerate(series)
    ]
    return tsrnn.Panel.from_frame(pd.concat(parts))


def wave(n, season, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return np.tile(rng.normal(size=season), -(-n // season))[:n] + noise * rng.normal(size=n)


@pytest.mark.parametrize("season", [5, 24, 60])
def test_a_season_is_found_where_the_frequency_has_no_usual_one(season):
    assert choose_season(panel(wave(400, season), wave(300, season, seed=1)), horizon=10) == season


def test_the_shortest_of_equal_seasons_is_taken():
    assert choose_season(panel(wave(400, 6, noise=0)), horizon=20) == 6


@pytest.mark.parametrize("horizon", [1, 12, 30])
def test_a_random_walk_has_no_season(horizon):
    walks = [np.random.default_rng(i).normal(size=150).cumsum() for i in range(20)]
    assert choose_season(panel(*walks), horizon) == 1
    assert choose_season(panel(*(y[:120] for y in walks), freq="MS"), horizon) == 1


def test_the_usual_season_is_taken_unless_the_last_value_is_better():
    noise = np.random.default_rng(0).normal(size=(20, 120))
    assert choose_season(panel(*noise, freq="MS"), 6) == 12
    assert choose_season(panel(wave(120, 12), freq="MS"), 6) == 12


@pytest.mark.parametrize("y", [np.zeros(100), np.full(100, 1e9), np.arange(3.0)])
def test_series_that_say_nothing_have_no_season(y):
    assert choose_season(panel(y), horizon=2) == 1


def test_no_season_is_longer_than_asked_or_than_a_third_of_the_series():
    assert choose_season(panel(wave(400, 24)), 10, longest=23) < 24
    assert choose_season(panel(wave(70, 24)), 10) < 24


def test_series_of_large_values_do_not_rule_the_choice():
    walk = 1e6 * np.random.default_rng(0).normal(size=300).cumsum()
    assert choose_season(panel(walk, *(wave(300, 7, seed=i) for i in range(5))), 7) == 7


def test_lag_errors_equal_a_plain_loop_with_missing_values():
    y = np.random.default_rng(0).normal(size=40)
    y[[3, 4, 20]] = np.nan
    expected = [
        np.mean([abs(y[t] - y[t - k]) for t in range(k, 40) if not np.isnan(y[t] - y[t - k])]) for k in (1, 2, 3)
    ]
    np.testing.assert_allclose(lag_errors(panel(y), 3)[0], expected)


def test_context_holds_two_seasons_or_horizons_within_bounds():
    long = panel(np.zeros(2000))
    assert [choose_context(long, h, s) for h, s in [(2, 1), (24, 12), (12, 24), (200, 1), (5, 300)]] == [
        8, 48, 48, 256, 300,
    ]  # fmt: skip
    assert choose_context(panel(np.zeros(20)), 6, 12) == 14


def test_width_grows_with_the_data():
    assert [choose_width(n) for n in (100, 500, 2000, 10**6)] == [16, 32, 64, 64]


def test_the_shrinkage_weighs_by_what_the_other_missed():
    """By hand, with a gap, a series of which nothing is known, and one that both forecast without error."""
    errors, start = np.ones((8, 2, 1)), np.full((8, 2, 1), 2.0)
    errors[0, 0], start[1, 1], start[6:] = np.nan, np.nan, 1.0
    errors[2:4], errors[4:6], start[4:6] = np.nan, 0, 0
    assert choose_shrinkage(errors, start, np.repeat(np.arange(4), 2)) == pytest.approx((2 / (2 + 4) + 4 / 8) / 2)
    assert choose_shrinkage(errors[2:6], start[2:6], np.zeros(4, int)) == 0


def test_forecasts_are_taken_back_to_the_last_season_by_the_shrinkage():
    """Where rows are few and the context is left to the data, by a number between the two; the width stays."""
    training = tsrnn.Training(max_steps=1, batch_size=4, eval_every=1, progress=False)
    few = panel(wave(90, 7))
    model = tsrnn.Forecaster(tsrnn.LSTM(4), horizon=7, season_length=7, training=training).fit(few)
    assert 0 < model.shrinkage_ < 1
    start = tsrnn.SeasonalNaive(horizon=7, season_length=7).fit(few).predict(level=[])["SeasonalNaive"]
    chosen = model.shrinkage_
    own, back = (model.predict().iloc[:, 2:] for model.shrinkage_ in (0.0, chosen))
    np.testing.assert_allclose(back["LSTM"], (1 - chosen) * own["LSTM"] + chosen * start)
    np.testing.assert_allclose(back.diff(axis=1).iloc[:, 1:], own.diff(axis=1).iloc[:, 1:], atol=1e-9)
    assert clone(model).set_params(context_length=14).fit(few).shrinkage_ == 0
    with pytest.raises(ValueError, match="shrinkage=2 must lie in 0 to 1"):
        clone(model).set_params(shrinkage=2).fit(few)


def test_a_forecaster_says_what_it_chose_and_keeps_it_on_disk(capsys, tmp_path):
    training = tsrnn.Training(max_steps=1, batch_size=4, eval_every=1, progress=True)
    frame = pd.DataFrame({"unique_id": "a", "ds": np.arange(120), "y": wave(120, 7)})
    model = tsrnn.Forecaster(tsrnn.LSTM(), horizon=7, training=training).fit(frame)
    assert (model.season_length_, model.context_length_, model.hidden_size_) == (7, 14, 16)
    assert "reads 14 steps, starts from those a season of 7 before" in capsys.readouterr().err
    back = tsrnn.load(model.save(tmp_path / "model") or tmp_path / "model")
    assert (back.hidden_size_, back.network.hidden_size, back.shrinkage_) == (16, None, model.shrinkage_)
    pd.testing.assert_frame_equal(back.predict(), model.predict())
