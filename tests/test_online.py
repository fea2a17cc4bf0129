import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from tsrnn.forecasting.online import AutoRegression, MovingAverage, Persistence, RecurrentPredictor
from tsrnn.forecasting.predictor import Expected, Hold, Observed
from tsrnn.forecasting.reconstruction import EncoderDecoder
from tsrnn.nn.online import ChunkLoss

SMALL = {"hidden_size": 6, "chunk": 32, "batch_size": 4, "order": 3, "max_steps": 25}
PREDICTORS = {
    "persistence": Persistence(),
    "average": MovingAverage(span=5),
    "autoregression": AutoRegression(order=3),
    "lstm": RecurrentPredictor(**SMALL),
    "gru": RecurrentPredictor("gru", output="normal", **SMALL),
}
ALL = PREDICTORS | {"reconstruction": EncoderDecoder(hidden_size=6, window=6, batch_size=8, max_steps=25)}
every = pytest.mark.parametrize("name", ALL)
foreseeing = pytest.mark.parametrize("name", PREDICTORS)

READ_ALL = Hold()
nan = np.nan


def rows(values, inputs=None, elapsed=None, counts=None):
    values = np.asarray(values, float)
    n = len(values)
    return Observed(
        values.reshape(n, -1),
        np.zeros((n, 0)) if inputs is None else inputs,
        np.ones(n) if elapsed is None else np.asarray(elapsed, float),
        np.ones(n, bool) if counts is None else np.asarray(counts),
    )


def recording(seed=0, n=400):
    """Two sensors that wave and answer a command, one that rests, one never seen; gaps, late rows, rows out of time."""
    rng = np.random.default_rng(seed)
    command = (np.arange(n) // 20 % 2).astype(float)
    wave = np.sin(np.arange(n) / 6) + 0.05 * rng.normal(size=n)
    values = np.stack([100 + 5 * wave, wave + 2 * command, np.full(n, 7.0), np.full(n, nan)], axis=1)
    values[rng.random((n, 4)) < 0.1] = nan
    elapsed = np.where(rng.random(n) < 0.1, 3.5, 1.0)
    return Observed(values, command[:, None], elapsed, rng.random(n) > 0.05)


@pytest.fixture(scope="module")
def fitted():
    return {name: predictor.fit(recording()) for name, predictor in ALL.items()}


def passed(predictor, observed, cuts=(), hold=READ_ALL):
    """All rows in calls that end at the cuts."""
    state, parts = predictor.start(), []
    for part in np.split(np.arange(len(observed.values)), sorted(cuts)):
        state, expected = predictor.step(
            state, observed.part(slice(*(part[[0, -1]] + [0, 1])) if len(part) else slice(0)), hold
        )
        parts.append(expected)
    return state, Expected(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@every
class TestContract:
    @settings(max_examples=8)
    @given(cuts=st.lists(st.integers(0, 900), max_size=6), limit=st.sampled_from([2.0, np.inf]))
    def test_a_stream_may_be_cut_anywhere(self, fitted, name, cuts, limit):
        observed = recording(1, 900)
        assert_same(
            passed(fitted[name], observed, cuts, Hold(limit, 5)), passed(fitted[name], observed, (), Hold(limit, 5))
        )

    def test_a_row_at_a_time(self, fitted, name):
        observed = recording(1, 40)
        assert_same(passed(fitted[name], observed, range(1, 40)), passed(fitted[name], observed))

    def test_states_keep_their_shapes_and_types(self, fitted, name):
        before = fitted[name].start()
        after, _ = fitted[name].step(before, recording())
        assert {n: (a.shape, a.dtype) for n, a in before.items()} == {n: (a.shape, a.dtype) for n, a in after.items()}

    def test_rows_that_do_not_count_are_not_read(self, fitted, name):
        observed = recording()
        state, expected = passed(fitted[name], observed)
        kept, without = passed(fitted[name], observed.part(observed.counts))
        assert_same(state, kept)
        assert_same([part[observed.counts] for part in expected], list(without))
        assert np.isnan(expected.mean[~observed.counts]).all()

    @pytest.mark.parametrize("t", [0, 17, 300])
    def test_what_comes_later_changes_nothing(self, fitted, name, t):
        observed = recording()
        garbage = observed.values.copy()
        garbage[t:] = 1e9
        for a, b in zip(
            passed(fitted[name], observed)[1], passed(fitted[name], observed._replace(values=garbage))[1], strict=True
        ):
            np.testing.assert_array_equal(a[:t], b[:t])

    def test_weights_come_back(self, fitted, name):
        again = clone(ALL[name]).restore(fitted[name].weights())
        assert_same(passed(again, recording(3)), passed(fitted[name], recording(3)))
        np.testing.assert_array_equal(again.df_, fitted[name].df_)
        assert all(isinstance(array, np.ndarray) for array in again.weights().values())

    def test_the_same_seed_the_same_bits(self, fitted, name):
        assert_same(clone(ALL[name]).fit(recording()).weights(), fitted[name].weights())

    def test_extreme_values_leave_it_sound(self, fitted, name):
        observed = recording()
        values = np.where(np.arange(400)[:, None] % 50 == 7, 1e9, observed.values)
        for hold in (Hold(), Hold(5.0, 10)):
            _, expected = passed(fitted[name], observed._replace(values=values), hold=hold)
            assert np.isfinite(expected.mean[observed.counts, :3]).all()
            assert np.isfinite(expected.scale[observed.counts, :3]).all()
        learned = clone(ALL[name]).fit(observed._replace(values=values))
        assert np.isfinite(passed(learned, recording())[1].mean[observed.counts, :3]).all()

    def test_without_fit_there_is_no_state(self, name):
        with pytest.raises(NotFittedError):
            clone(ALL[name]).start()

    def test_recordings_of_other_columns_are_refused(self, name):
        with pytest.raises(ValueError, match=r"numbers of sensors and inputs, \[\(1, 0\), \(4, 1\)\]"):
            clone(ALL[name]).fit_each([recording(), rows([1.0, 2.0])])

    def test_one_row_is_not_enough(self, name):
        with pytest.raises(ValueError, match="recording 1 has 1 row"):
            clone(ALL[name]).fit_each([recording(), recording().part(slice(1))])


@pytest.mark.parametrize("name", ["autoregression", "lstm"])
def test_recordings_fitted_together_are_each_its_own(fitted, name):
    both = clone(ALL[name]).fit_each([recording(5, 90), recording()])
    mean, alone = (passed(model, recording(4))[1].mean for model in (both[1], fitted[name]))
    np.testing.assert_allclose(mean, alone, atol=2e-3)


@foreseeing
class TestForesight:
    def test_the_first_value_is_expected_at_the_median(self, fitted, name):
        observed = recording()
        seen = observed.values[observed.counts]
        _, expected = fitted[name].step(fitted[name].start(), observed.part(slice(1)))
        np.testing.assert_allclose(expected.mean[0, :3], np.nanmedian(seen[:, :3], axis=0))
        assert (expected.scale[0, :2] > 0.5 * np.nanstd(seen[:, :2], axis=0)).all()

    def test_a_sensor_that_rests_and_one_never_seen(self, fitted, name):
        _, expected = passed(fitted[name], recording(2))
        counted = recording(2).counts
        np.testing.assert_allclose(expected.mean[counted, 2], 7.0, rtol=1e-3)
        assert (expected.scale[counted, 2] > 0).all()
        assert np.isnan(expected.mean[:, 3]).all()

    def test_longer_unseen_is_less_sure(self, fitted, name):
        late = rows(np.full((3, 4), nan), np.zeros((3, 1)), [1, 30, 100])
        state, _ = passed(fitted[name], recording())
        _, expected = fitted[name].step(state, late)
        assert (np.diff(expected.scale[:2, 0]) > 0).all()
        assert expected.scale[2, 0] >= expected.scale[1, 0]


@foreseeing
class TestHold:
    def shifted(self):
        values = recording(6, 300).values
        values[150:, 0] += 60
        return Observed(values, recording(6, 300).inputs, np.ones(300), np.ones(300, bool))

    def test_a_shift_is_not_absorbed(self, fitted, name):
        _, expected = passed(fitted[name], self.shifted(), hold=Hold(6.0))
        seen = ~np.isnan(self.shifted().values[150:, 0])
        assert (expected.held[150:, 0] == seen).all()
        assert np.abs(expected.mean[150:, 0] - 100).max() < 30

    def test_it_is_accepted_in_the_end(self, fitted, name):
        _, expected = passed(fitted[name], self.shifted(), hold=Hold(6.0, 20))
        seen = ~np.isnan(self.shifted().values[:, 0])
        assert expected.held[150:170][seen[150:170], 0].all()
        first = 170 + np.flatnonzero(seen[170:])[0]
        assert not expected.held[first, 0]
        if name in ("persistence", "average"):  # the others expect that it returns, and hold it anew
            assert not expected.held[first:, 0].any()
            np.testing.assert_allclose(expected.mean[200:, 0], 160, atol=10)


def test_gross_errors_do_not_draw_the_line():
    rng = np.random.default_rng(0)
    x = np.sin(np.arange(2000) / 5) + 0.02 * rng.normal(size=2000)
    dirty = np.where(rng.random(2000) < 0.004, 9999.0, x)
    clean, robust = (AutoRegression(order=6).fit(rows(values)) for values in (x, dirty))
    missed = [np.median(np.abs(passed(model, rows(x))[1].mean[:, 0] - x)[10:]) for model in (clean, robust)]
    assert missed[1] < 1.1 * missed[0]


def test_a_model_that_runs_away_is_kept_among_usual_values():
    growth = 1.02 ** np.arange(200)
    model = AutoRegression(order=2, ridge=1e-6).fit(rows(growth))
    _, expected = passed(model, rows(np.append(growth, np.full(5000, -1e6))), hold=Hold(5.0))
    assert expected.held[200:].all()
    assert np.isfinite(expected.mean).all()
    assert expected.mean.max() < 2 * growth[-1]


def test_time_out_of_limit_is_counted_in_typical_steps():
    model = Persistence().fit(rows([0.0, 1, 0, 1, 0, 1]))
    held = passed(model, rows([0.0, 99, 99, nan, 99, 99], elapsed=[1, 1, 2, 2, 1, 1]), hold=Hold(5.0, 5))[1].held[:, 0]
    assert held.tolist() == [False, True, True, False, False, False]


def test_persistence_and_average_are_what_pandas_says():
    values = recording().values[:, 0]
    walk = rows(values)
    filled = pd.Series(values).ffill()
    expected = passed(Persistence().fit(walk), walk)[1].mean[1:, 0]
    np.testing.assert_allclose(expected, filled[:-1], rtol=1e-6)
    complete = rows(filled)
    average = passed(MovingAverage(span=7).fit(complete), complete)[1].mean[1:, 0]
    np.testing.assert_allclose(average, filled.ewm(span=7, adjust=False).mean()[:-1], rtol=1e-6)


def test_autoregression_finds_the_process():
    rng, x = np.random.default_rng(0), np.zeros((3000, 2))
    noise = rng.normal(size=x.shape)
    for t in range(2, len(x)):
        x[t] = [1.2 * x[t - 1, 0] - 0.5 * x[t - 2, 0] + 0.3 * x[t - 1, 1], 0.6 * x[t - 1, 1]] + noise[t]
    x[rng.random(3000) < 0.003] += 30  # with the two rows after each: one in a hundred is not expected
    _, expected = passed(AutoRegression(order=2).fit(rows(x)), rows(x))
    missed = np.median(np.abs(x - expected.mean)[10:], axis=0)
    np.testing.assert_allclose(missed, np.median(np.abs(noise), axis=0), rtol=0.08)
    assert ((expected.scale[-1] > 0.9) & (expected.scale[-1] < 1.5)).all()


def test_a_chunk_is_read_in_training_as_it_is_in_a_stream(fitted):
    """The loss of one chunk, a whole recording, against that of the stream's means and scales."""
    from scipy.stats import t as student

    from tsrnn.forecasting.online import _settings

    model, observed = fitted["lstm"], recording(8, 120)
    learned, params = model._read(observed), model.params_
    setting = _settings(model._model.linear, params, learned, 120, 0.0)
    loss = ChunkLoss(model._model, "student_t", len(learned.x))
    batch = jnp.zeros(1), jnp.zeros(1, bool)
    trained = loss(params["net"], batch, None, setting)[0]
    start = model.start() | {"unread": np.array(0)}
    _, expected = model.step(start, observed.part(observed.counts))
    values, known = observed.values[observed.counts], learned.known
    unit = model.spread_[:4] * np.asarray(params["scale"])
    likelihood = student.logpdf(values / unit, model.df_, expected.mean / unit, expected.scale / unit)
    known[0] = False
    np.testing.assert_allclose(trained, -likelihood[known].mean(), rtol=2e-4)


def test_least_squares_are_those_of_scikit_learn():
    x = np.random.default_rng(3).normal(size=500).cumsum()
    model = AutoRegression(order=3, ridge=5.0, output="normal").fit(rows(x))
    z, unit = (x - model.location_) / model.spread_, float(model.params_["unit"][0])
    moves = np.diff(z, prepend=z[0]) / unit
    features = np.column_stack([z[:-1], moves[:-1], np.append(0, moves[:-2])])
    far = np.abs(features).max(axis=0)
    oracle = Ridge(alpha=5.0).fit(features / far, moves[1:])
    np.testing.assert_allclose(np.asarray(model.params_["weights"])[:, 0] * far, oracle.coef_, rtol=1e-4, atol=1e-5)


def test_until_a_model_has_read_what_it_looks_at_it_is_unsure():
    waves = rows(np.sin(np.arange(400) / 3))
    model = AutoRegression(order=10).fit(waves)
    scale = passed(model, waves)[1].scale[:, 0]
    assert (scale[:10] >= model.spread_[0]).all()
    assert (scale[10:] < 0.1).all()


def test_a_network_learns_what_a_line_cannot():
    t = np.arange(400)
    turn = np.where((t // 25) % 2 == 0, t % 25, 25 - t % 25) ** 2 / 100.0
    values = recording().values
    values[:, 0] = turn
    observed = recording()._replace(values=values, elapsed=np.ones(400), counts=np.ones(400, bool))
    errors = [
        np.abs(passed(predictor.fit(observed), observed)[1].mean[300:, 0] - turn[300:]).mean()
        for predictor in (RecurrentPredictor(**SMALL | {"max_steps": 400, "learning_rate": 2e-2}), AutoRegression(3))
    ]
    assert errors[0] < 0.9 * errors[1]


def test_rows_unlike_those_learned_are_not_reconstructed():
    wave = np.sin(np.arange(400) / 2)[:, None] * [1.0, -1.0, 1.0, -1.0]
    values = wave + 0.05 * np.random.default_rng(0).normal(size=(400, 4))
    observed = Observed(values, np.zeros((400, 1)), np.ones(400), np.ones(400, bool))
    model = clone(ALL["reconstruction"]).set_params(max_steps=300).fit(observed)
    values[300:330, 1:3] *= -1  # each sensor as it may be, but not all of them together
    _, expected = passed(model, observed)
    missed = np.abs((values - expected.mean) / expected.scale).max(axis=1)
    assert np.median(missed[300:330]) > 3 * np.median(missed[200:300])


def test_trimmed_rows_are_not_learned(fitted):
    observed = recording()
    trimmed = RecurrentPredictor(trim=0.1, **SMALL).fit(observed).weights()
    assert not np.array_equal(fitted["lstm"].weights()["params/net/head"], trimmed["params/net/head"])


@pytest.mark.parametrize(
    ("predictor", "message"),
    [
        (MovingAverage(span=0.5), "span is a number"),
        (AutoRegression(order=0), "order must be"),
        (EncoderDecoder(window=1), "window at least 2"),
        (AutoRegression(output="laplace"), "student_t or normal"),
        (RecurrentPredictor("mamba"), "cell is lstm or gru"),
        (RecurrentPredictor(chunk=2), "chunk must be at least 8"),
        (RecurrentPredictor(trim=1.0), "trim is a share"),
    ],
)
def test_impossible_parameters_are_named(predictor, message):
    with pytest.raises(ValueError, match=message):
        predictor.fit(recording())
