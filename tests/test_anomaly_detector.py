"""The detector under scikit-learn's contract, on healthy and faulty tables, with any forecaster."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from tsrnn.anomaly import AnomalyDetector, event_hits, training_rows
from tsrnn.data import DataError, read_csv
from tsrnn.data.synthetic import pump
from tsrnn.forecasting.base import AbstractForecaster
from tsrnn.forecasting.baselines import Drift, Naive, SeasonalNaive
from tsrnn.forecasting.forecaster import Forecaster
from tsrnn.forecasting.spec import load
from tsrnn.nn.networks import GRU
from tsrnn.nn.outputs import Point
from tsrnn.training.state import Training


class Autoregression(AbstractForecaster):
    """The next change of every sensor, by ridge regression on the last changes of all; gaps repeat the last value."""

    name = "Autoregression"

    def __init__(self, *, horizon=1, order=5):
        self.horizon = horizon
        self.order = order

    def _changes(self, panel):
        levels = pd.DataFrame(panel.values).ffill().bfill().to_numpy()
        changes = np.diff(levels, axis=0, prepend=levels[:1])
        lagged = [np.roll(changes, lag, axis=0) for lag in range(self.order)]
        for lag, block in enumerate(lagged):
            block[:lag] = 0
        return levels, changes, np.concatenate(lagged, axis=1)

    def _fit(self, panel):
        _, changes, lagged = self._changes(panel)
        known, target = lagged[:-1], changes[1:]
        self.weights_ = np.linalg.solve(known.T @ known + np.eye(known.shape[1]), known.T @ target)

    def forecast_panel(self, panel, series, ends, quantiles=()):
        levels, _, lagged = self._changes(panel)
        step = (levels + lagged @ self.weights_)[ends - 1]
        return np.repeat(step[:, None, :, None], self.horizon, axis=1)


def machine(n=1500, seed=0):
    """Two sensors under one load, a third apart, at one-minute rate."""
    rng = np.random.default_rng(seed)
    load = 5 + np.sin(np.arange(n) / 40) + 0.05 * np.cumsum(rng.normal(size=n)) / 5
    return pd.DataFrame(
        {
            "ds": pd.date_range("2024-01-01", periods=n, freq="min"),
            "current": load + 0.05 * rng.normal(size=n),
            "flow": 2 * load + 0.05 * rng.normal(size=n),
            "ambient": 20 + np.cos(np.arange(n) / 90) + 0.05 * rng.normal(size=n),
        }
    )


FORECASTERS = (Naive(horizon=1), SeasonalNaive(horizon=2, season_length=3), Drift(horizon=1), Autoregression(order=3))


@pytest.fixture(scope="module")
def fitted():
    df = machine()
    return AnomalyDetector(Autoregression()).fit(df[:1000]), df


# scikit-learn's contract


def test_parameters_are_stored_as_given_nested_and_cloned():
    forecaster, scorers = Naive(horizon=1), ("mahalanobis", "unrest")
    detector = AnomalyDetector(forecaster, scorers=scorers, span=30, false_alarm_every="7D")
    assert detector.get_params(deep=False) == {
        "forecaster": forecaster, "scorers": scorers, "span": 30, "calibration": 0.3, "false_alarm_every": "7D",
        "merge_gap": 60, "min_rows": 1,
    }  # fmt: skip
    assert detector.forecaster is forecaster
    copy = clone(detector).set_params(forecaster__horizon=3)
    assert copy.forecaster.horizon == 3
    assert forecaster.horizon == 1
    assert repr(detector) == (
        "AnomalyDetector(false_alarm_every='7D', forecaster=Naive(horizon=1),\n"
        "                scorers=('mahalanobis', 'unrest'), span=30)"
    )


def test_fit_returns_self_forgets_and_leaves_table_and_forecaster_alone():
    df, other = machine(400), machine(400, seed=1)
    before, forecaster = df.copy(), Autoregression()
    detector = AnomalyDetector(forecaster)
    assert detector.fit(other).fit(df) is detector
    assert not hasattr(forecaster, "weights_")
    detector.score(df)
    pd.testing.assert_frame_equal(df, before)
    cold = AnomalyDetector(Autoregression()).fit(df)
    pd.testing.assert_frame_equal(detector.score(df), cold.score(df))


@pytest.mark.parametrize("method", ["score", "detect"])
def test_before_fit(method):
    with pytest.raises(NotFittedError):
        getattr(AnomalyDetector(Naive(horizon=1)), method)(machine(50))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scorers": ("mahalanobis", "spik")}, "'spik' is not a known scorer; choose from 'absolute', 'squared'"),
        ({"scorers": ()}, "no scorers are given"),
        ({"calibration": 1.0}, "calibration is a share"),
        ({"span": 0}, "span must be at least 1"),
        ({"merge_gap": -1}, "merge_gap must be at least 0"),
        ({"min_rows": 0}, "min_rows must be at least 1"),
        ({"false_alarm_every": 0}, "false_alarm_every must be at least one row"),
        ({"false_alarm_every": "10s"}, "false_alarm_every must be at least one row"),
    ],
)
def test_impossible_parameters_are_refused_in_fit(parameters, message):
    detector = AnomalyDetector(Naive(horizon=1), **parameters)
    with pytest.raises(ValueError, match=message):
        detector.fit(machine(300))


def test_a_duration_needs_steps_of_fixed_length():
    df = machine(300).assign(ds=np.arange(300))
    with pytest.raises(ValueError, match="give a number of rows"):
        AnomalyDetector(Naive(horizon=1), false_alarm_every="7D").fit(df)


def test_a_duration_is_counted_in_rows():
    df = machine(600)
    by_rows = AnomalyDetector(Naive(horizon=1), false_alarm_every=1440).fit(df)
    by_time = AnomalyDetector(Naive(horizon=1), false_alarm_every="1D").fit(df)
    assert by_rows.limits_ == by_time.limits_


def test_too_few_rows_to_calibrate():
    with pytest.raises(DataError, match="at least 100 rows are needed"):
        AnomalyDetector(Naive(horizon=1)).fit(machine(99))


# Scores


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=lambda f: type(f).__name__)
def test_scores_stand_beside_the_rows(forecaster):
    df = machine(500).set_index(np.arange(500)[::-1] * 7)
    detector = AnomalyDetector(forecaster, span=20).fit(df[:400])
    scores = detector.score(df)
    assert list(scores.columns) == [
        "ds",
        *(f"{name}-{what}" for name in ("current", "flow", "ambient") for what in ("expected", "residual", "score")),
        "score", "kind",
    ]  # fmt: skip
    assert scores.index.equals(df.index)
    assert scores["ds"].equals(df["ds"])
    known = scores["flow-expected"].notna()
    np.testing.assert_allclose((scores["flow-expected"] + scores["flow-residual"])[known], df["flow"][known])
    assert not known.iloc[0]
    assert known.iloc[3:].all()  # a season of 3 is the longest memory
    assert scores["score"].notna().all()
    assert (scores["score"] >= 0).all()
    assert set(scores["kind"]) <= set(detector.scorers_)


def test_expected_is_the_first_step_of_the_forecaster(fitted):
    detector, df = fitted
    at = 1200
    forecast = (
        clone(detector.forecaster).fit(df[:700], target_col=("current", "flow", "ambient")).predict(df[:at], level=[])
    )
    expected = detector.score(df).loc[at, ["current-expected", "flow-expected", "ambient-expected"]]
    np.testing.assert_allclose(expected.to_numpy(float), forecast["Autoregression"])


def test_the_forecaster_learns_from_the_first_rows_and_the_scale_from_the_last(fitted):
    detector, df = fitted
    alone = Autoregression().fit(df[:700], target_col=("current", "flow", "ambient"))
    np.testing.assert_allclose(detector.forecaster_.weights_, alone.weights_)
    rough = df[:1000].copy()
    rough.loc[700:, "ambient"] += np.random.default_rng(1).normal(0, 1, 300)
    before, after = (AnomalyDetector(Naive(horizon=1)).fit(table).scale_ for table in (df[:1000], rough))
    assert after[2] > 5 * before[2]
    np.testing.assert_array_equal(after[:2], before[:2])


def test_later_rows_do_not_touch_earlier_scores(fitted):
    detector, df = fitted
    spoilt = df.copy()
    spoilt.loc[1300:, ["current", "flow", "ambient"]] = 1e9
    pd.testing.assert_frame_equal(detector.score(spoilt)[:1300], detector.score(df)[:1300])
    pd.testing.assert_frame_equal(detector.score(df[:1300]), detector.score(df)[:1300])


def test_missing_values_have_no_score_and_others_keep_theirs(fitted):
    detector, df = fitted
    holed = df.copy()
    holed.loc[1100:1104, "flow"] = np.nan
    holed.loc[1102, ["current", "ambient"]] = np.nan
    scores = detector.score(holed)
    assert scores.loc[1100:1104, ["flow-score", "flow-residual"]].isna().all(axis=None)
    assert scores.loc[1100:1104, "flow-expected"].notna().all()
    assert scores["score"].isna().to_numpy().nonzero()[0].tolist() == [1102]
    assert scores.loc[1102, "kind"] == ""
    assert scores.drop(1102)["kind"].ne("").all()
    assert scores.attrs["notes"][0].startswith("Empty values: current 1, flow 5, ambient 1, the first in row 1100.")


def test_data_coming_back_after_an_outage_are_no_alarm():
    level = np.cumsum(np.random.default_rng(0).normal(size=4000))
    walk = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=4000, freq="min"), "level": level})
    detector = AnomalyDetector(Naive(horizon=1)).fit(walk[:2000])
    away = np.abs(level[2500:] - level[2499])
    back = 2500 + int(away.argmax())
    assert away.max() > 3 * detector.limits_["mahalanobis"] * detector.scale_[0]  # as one step it would be an alarm
    assert len(detector.detect(walk.drop(index=range(2500, back)))) == 0


def test_bad_stamps_are_scored_row_by_row_and_said(fitted):
    detector, df = fitted
    order = [*range(1200), *range(1190, 1500)]  # ten minutes twice, with a step back in time
    bad = df.iloc[order].reset_index(drop=True)
    bad.loc[1200:1209, "flow"] += 3.0  # the repeated rows differ
    scores = detector.score(bad)
    assert len(scores) == len(bad)
    assert scores["ds"].equals(bad["ds"])
    assert scores["score"].notna().all()
    tidy = detector.score(df)
    np.testing.assert_array_equal(scores["flow-expected"][1200:1210], tidy["flow-expected"][1190:1200])
    np.testing.assert_array_equal(scores["flow-residual"][:1200], tidy["flow-residual"][:1200])
    np.testing.assert_array_equal(scores["flow-residual"][1210:], tidy["flow-residual"][1200:])
    assert (scores["score"][1200:1210] > 1).all()
    back, repeated = scores.attrs["notes"]
    assert "back in time once, first at row 1200" in back
    assert repeated.startswith("10 rows have the time step of another row, the first is row 1200")
    (event,) = detector.detect(bad, scores).itertuples()
    assert event.start <= df["ds"][1190]
    assert event.sensors.startswith("flow")


def test_training_rows_with_bad_stamps_are_noted():
    df = machine(500).iloc[[*range(300), *range(290, 500)]]
    detector = AnomalyDetector(Naive(horizon=1)).fit(df)
    assert len(detector.notes_) == 2
    assert "first at row 300" in detector.notes_[0]


# Sensors of every kind


def test_sensors_left_out_constant_or_chosen():
    df = machine(600).assign(dead=np.nan, state="on", valve=1.0)
    detector = AnomalyDetector(Naive(horizon=1)).fit(df)
    assert detector.sensors_ == ["current", "flow", "ambient", "valve"]
    assert detector.notes_ == ["Left out, because no training row has a value: dead."]
    df.loc[550, "valve"] = 0.0
    event = detector.detect(df).iloc[0]
    assert event["sensors"] == "valve 100 %"
    assert AnomalyDetector(Naive(horizon=1)).fit(df, sensors=["flow"]).sensors_ == ["flow"]


def test_one_sensor_alone_is_not_judged_by_others():
    detector = AnomalyDetector(Naive(horizon=1)).fit(machine(400), sensors="flow")
    assert detector.limits_["disagreement"] == np.inf
    (note,) = detector.notes_
    assert note.startswith("The scorer 'disagreement' says nothing about flow.")
    assert detector.score(machine(400))["score"][1:].notna().all()


def test_a_sensor_that_appears_after_calibration_is_not_judged():
    df = machine(800)
    df.loc[200:599, "ambient"] = np.nan
    detector = AnomalyDetector(Naive(horizon=1)).fit(df[:600])
    scores = detector.score(df)
    assert scores["ambient-score"].isna().all()
    assert scores["flow-score"][1:].notna().all()
    assert any("says nothing about" in note and "ambient" in note for note in detector.notes_)


def test_column_names_that_are_numbers():
    df = machine(400).rename(columns={"current": 1, "flow": 2, "ambient": 3})
    assert list(AnomalyDetector(Naive(horizon=1)).fit(df).score(df).columns[:3]) == ["ds", "1-expected", "1-residual"]


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_time_zones_come_back(zone):
    df = machine(400)
    df["ds"] = df["ds"].dt.tz_localize(zone)
    df.loc[380, "flow"] += 9
    detector = AnomalyDetector(Naive(horizon=1)).fit(df[:300])
    assert detector.score(df)["ds"].equals(df["ds"])
    assert detector.detect(df)["start"].tolist() == [df["ds"][380]]


def test_a_column_that_is_gone_is_named(fitted):
    detector, df = fitted
    with pytest.raises(DataError, match="no column 'flow'"):
        detector.score(df.drop(columns="flow"))


# Events


def spike(df):
    df.loc[1200, "ambient"] += 2.0


def shift(df):
    df.loc[1200:1300, "current"] += 0.4


def slow(df):
    df.loc[1200:1400, "flow"] += np.linspace(0, 1.5, 201)


@pytest.mark.parametrize(
    ("fault", "kinds", "sensor"),
    [
        (spike, {"mahalanobis"}, "ambient"),
        (shift, {"mahalanobis", "disagreement"}, "current"),
        (slow, {"disagreement"}, "flow"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faults_of_each_kind_are_found_named_and_blamed(fitted, fault, kinds, sensor):
    detector, df = fitted
    assert len(detector.detect(df)) == 0
    broken = df.copy()
    fault(broken)
    events = detector.detect(broken)
    worst = events.loc[events["score"].idxmax()]
    assert worst["kind"] in kinds
    assert sensor in worst["sensors"]
    assert df["ds"][1200] <= worst["start"] <= df["ds"][1400]
    assert 0 < worst["severity"] < 100


def test_events_of_given_scores_are_the_same(fitted):
    detector, df = fitted
    broken = df.copy()
    shift(broken)
    pd.testing.assert_frame_equal(detector.detect(broken), detector.detect(broken, detector.score(broken)))


def test_healthy_rows_stay_below_the_line():
    n_events = sum(
        len(AnomalyDetector(Autoregression()).fit(df[:1500]).detect(df[1500:]))
        for df in (machine(4000, seed) for seed in range(4))
    )
    assert n_events <= 2  # one in 10,000 rows is asked for, and 10,000 were scored


def test_pump_with_a_plain_autoregression():
    sensors, labels = pump(days=14)
    detector = AnomalyDetector(Autoregression(order=10)).fit(
        sensors[: training_rows(len(sensors), 0.38)], time_col="timestamp"
    )
    hits = event_hits(detector.detect(sensors), labels)
    assert hits["n_hit"] >= 8
    assert hits["n_outside"] <= 8
    assert hits["outside_share"] < 0.2


def test_a_real_file_with_a_step_back(shared_data):
    name = "realKnownCause/machine_temperature_system_failure.csv"
    df = read_csv(shared_data / "anomaly/nab/data" / name, time_col="timestamp")
    windows = json.loads((shared_data / "anomaly/nab/labels/combined_windows.json").read_text())[name]
    labels = pd.DataFrame(windows, columns=["start", "end"]).apply(pd.to_datetime)
    detector = AnomalyDetector(Autoregression()).fit(df[: training_rows(len(df))], time_col="timestamp")
    scores = detector.score(df)
    assert len(scores) == len(df) == 22_695
    assert scores["score"][1:].notna().all()
    assert "first at row 10149 (line 10151 of" in scores.attrs["notes"][0]
    assert scores.attrs["notes"][1].startswith("12 rows have the time step of another row")
    assert event_hits(detector.detect(df, scores), labels)["n_hit"] >= 3


# Networks, saving


@pytest.fixture(scope="module")
def network():
    df = machine(700)
    forecaster = Forecaster(
        GRU(hidden_size=8), horizon=1, context_length=16, output=Point(), training=Training(max_steps=40, batch_size=32)
    )
    return AnomalyDetector(forecaster, span=30, scorers=("mahalanobis", "drift", "disagreement")).fit(df[:500]), df


def test_a_network_learns_all_sensors_jointly(network):
    detector, df = network
    assert detector.forecaster_.history_.values.shape[1] == 3
    assert detector.score(df)["score"].notna().all()
    assert detector.get_params()["forecaster__network"] == GRU(hidden_size=8)


@pytest.mark.parametrize("kind", ["network", "naive"])
def test_saved_and_loaded_scores_are_equal_to_the_bit(kind, network, tmp_path):
    detector, df = network
    if kind == "naive":
        df = df.assign(valve=1.0)
        detector = AnomalyDetector(Naive(horizon=1)).fit(df[:500])
    detector.save(tmp_path / "model")
    detector.save(tmp_path / "model")  # replaces
    again = AnomalyDetector.load(tmp_path / "model", load)
    pd.testing.assert_frame_equal(again.score(df), detector.score(df), check_exact=True)
    pd.testing.assert_frame_equal(again.detect(df), detector.detect(df), check_exact=True)
    assert again.limits_ == detector.limits_
    assert again.notes_ == detector.notes_
    assert again.get_params(deep=False).keys() == detector.get_params(deep=False).keys()
    pd.testing.assert_frame_equal(clone(again).fit(df[:500]).score(df), detector.score(df), check_exact=True)
    json.loads((tmp_path / "model/detector.json").read_text(), parse_constant=pytest.fail)  # strict JSON


def test_what_cannot_be_saved_or_loaded(network, tmp_path):
    detector, _ = network
    with pytest.raises(NotFittedError):
        AnomalyDetector(Naive(horizon=1)).save(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="no saved detector"):
        AnomalyDetector.load(tmp_path / "a", load)
    with pytest.raises(FileExistsError, match="is not a saved detector"):
        detector.save(tmp_path)
    detector.save(tmp_path / "new")
    file = tmp_path / "new" / "detector.json"
    file.write_text(file.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ValueError, match="Install a newer tsrnn"):
        AnomalyDetector.load(Path(tmp_path / "new"), load)


def test_training_rows():
    assert [training_rows(n) for n in (22_695, 4032, 1999, 10)] == [3404, 1000, 999, 5]
    assert training_rows(1000, 0.9) == 900
    with pytest.raises(ValueError, match="fraction is a share"):
        training_rows(100, 1.5)
