"""The detector under scikit-learn's contract, on healthy and faulty tables, cut anywhere, saved and loaded."""

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from tsrnn.anomaly import AnomalyDetector, Quality, event_hits, training_rows
from tsrnn.anomaly.events import EventRules
from tsrnn.anomaly.thresholds import THRESHOLDS
from tsrnn.data import DataError, read_csv
from tsrnn.data.synthetic import pump
from tsrnn.forecasting.online import AutoRegression, MovingAverage, Persistence, RecurrentPredictor
from tsrnn.forecasting.predictor import AbstractPredictor


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


PREDICTORS = (
    Persistence(), MovingAverage(), AutoRegression(order=3), RecurrentPredictor(hidden_size=4, max_steps=10, chunk=32)
)  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
    df = machine()
    return AnomalyDetector(AutoRegression(order=5)).fit(df[:1000]), df


# scikit-learn's contract


def test_parameters_are_stored_as_given_nested_and_cloned():
    predictor, scorers = AutoRegression(), ("mahalanobis", "unrest")
    detector = AnomalyDetector(predictor, scorers=scorers, span=30, hold=None)
    assert detector.predictor is predictor
    assert detector.get_params(deep=False)["scorers"] is scorers
    copy = clone(detector).set_params(predictor__order=3)
    assert copy.predictor.order == 3
    assert predictor.order == 10


def test_fit_returns_self_forgets_and_leaves_table_and_predictor_alone():
    df, other = machine(400), machine(400, seed=1)
    before, predictor = df.copy(), AutoRegression(order=2)
    detector = AnomalyDetector(predictor)
    assert detector.fit(other).fit(df) is detector
    assert not hasattr(predictor, "params_")
    detector.score(df)
    pd.testing.assert_frame_equal(df, before)
    pd.testing.assert_frame_equal(detector.score(df), AnomalyDetector(AutoRegression(order=2)).fit(df).score(df))


def test_outliers_have_scikit_learns_signs(fitted):
    detector, df = fitted
    broken = df.copy()
    broken.loc[1200, "ambient"] += 3.0
    score = detector.score(broken)["score"].to_numpy()
    np.testing.assert_array_equal(detector.score_samples(broken), -np.nan_to_num(score))
    np.testing.assert_array_equal(detector.predict(broken) == -1, detector.decision_function(broken) < 0)
    np.testing.assert_array_equal(detector.predict(broken) == -1, np.nan_to_num(score) > 1)
    assert detector.predict(broken)[1200] == -1
    assert detector.offset_ == -1
    share = AnomalyDetector(Persistence(), contamination=0.05).fit(df)
    assert (share.predict(df) == -1).mean() == pytest.approx(0.05, abs=0.002)
    np.testing.assert_array_equal(AnomalyDetector(Persistence(), contamination=0.05).fit_predict(df), share.predict(df))


@pytest.mark.parametrize("method", ["score", "detect", "predict"])
def test_before_fit(method):
    with pytest.raises(NotFittedError):
        getattr(AnomalyDetector(Persistence()), method)(machine(50))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scorers": ("mahalanobis", "spik")}, "'spik' is not a known scorer; choose from 'absolute'"),
        ({"scorers": ()}, "no scorers are given"),
        ({"severity": "rough"}, "'rough' is not a known scorer"),
        ({"threshold": "line"}, "'line' is not a known threshold; choose from 'quantile'"),
        ({"calibration": 1.0}, "calibration is a share"),
        ({"span": 0}, "span must be at least 1"),
        ({"false_alarms_per_week": 0}, "false_alarms_per_week must be above 0"),
        ({"contamination": 0.7}, "contamination is a share"),
        ({"side": "left"}, "'left' is no side; choose from 'both'"),
        ({"hold": "soon"}, "hold='soon' is no duration"),
    ],
)
def test_impossible_parameters_are_refused_in_fit(parameters, message):
    detector = AnomalyDetector(Persistence(), **parameters)
    with pytest.raises(ValueError, match=message):
        detector.fit(machine(300))


def test_too_few_rows_to_calibrate():
    with pytest.raises(DataError, match="has 99 rows; at least 100 are needed"):
        AnomalyDetector(Persistence()).fit(machine(99))


@pytest.mark.parametrize(
    "parameters", [{"hold": "6h"}, {"quality": Quality(stuck={"flow": "1h"})}, {"events": EventRules(merge="1h")}]
)
def test_integers_have_no_hours(parameters):
    detector = AnomalyDetector(Persistence(), **parameters)
    with pytest.raises(ValueError, match=r"h': the times of the table are integers; give a number of steps\."):
        detector.fit(machine(300).assign(ds=range(300)))


# Scores


@pytest.mark.parametrize("predictor", PREDICTORS[:3], ids=lambda p: type(p).__name__)
def test_scores_stand_beside_the_rows(predictor):
    df = machine(500).set_index(np.arange(500)[::-1] * 7)
    scores = AnomalyDetector(predictor, span=20).fit(df[:400]).score(df)
    assert list(scores.columns) == [
        "ds",
        *(f"{name}-{what}" for name in df.columns[1:] for what in ("expected", "scale", "score", "flags")),
        "score", "p", "severity", "kind",
    ]  # fmt: skip
    assert scores.index.equals(df.index)
    assert scores["ds"].equals(df["ds"])
    assert scores["score"][1:].notna().all()
    assert (scores["score"][1:] >= 0).all()
    assert scores["p"][1:].between(0, 1).all()
    assert scores["severity"][1:].between(0, 100).all()


@pytest.mark.parametrize(
    ("predictor", "threshold"),
    [(Persistence(), "dspot"), *((p, "return_level") for p in PREDICTORS)],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_stream_may_be_cut_anywhere(predictor, threshold):
    df = faulty()
    detector = AnomalyDetector(predictor, span=20, threshold=threshold).fit(df[:400])
    whole, events = detector.score(df), detector.detect(df)
    state, parts, found = detector.start(), [], []
    for begin, end in pairwise([0, 1, 2, 450, 451, 570, len(df)]):
        part = df[begin:end]
        rows, _ = detector.columns_.read(part)
        before = {name: array.copy() for name, array in state.items()}
        found.append(detector.follow(state, rows)[2])
        scored, scores = detector.step(state, part)
        np.testing.assert_equal(state, before)
        state = {**scored, **{k: v for k, v in detector.follow(state, rows)[0].items() if k.startswith("events/")}}
        parts.append(scores)
    pd.testing.assert_frame_equal(pd.concat(parts), whole, check_exact=True)
    found = detector.stamped([*found, detector.open_events(state)], df["ds"])
    pd.testing.assert_frame_equal(found, events, check_exact=True)
    assert len(events) >= 2


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(1, 579))
def test_a_saved_state_goes_on_where_it_was(cut, tmp_path_factory):
    df, path = faulty(), tmp_path_factory.mktemp("saved") / "model"
    detector = AnomalyDetector(Persistence(), span=20).fit(df[:400])
    state, _ = detector.step(detector.start(), df[:cut])
    detector.save(path, state)
    again, after = AnomalyDetector.load(path)
    pd.testing.assert_frame_equal(again.score(df[cut:], after), detector.score(df)[cut:], check_exact=True)


def faulty():
    df = machine(600)
    df.loc[430:432, "flow"] += 5
    df.loc[500:530, "ambient"] = np.nan
    df.loc[560:575, "current"] += 2
    return df.drop(index=range(460, 480)).reset_index(drop=True)


def test_the_predictor_learns_from_the_first_rows_and_scales_come_from_the_last(fitted):
    detector, df = fitted
    rough = df[:1000].copy()
    rough.loc[700:, "ambient"] += np.random.default_rng(1).normal(0, 1, 300)
    other = AnomalyDetector(AutoRegression(order=5)).fit(rough)
    np.testing.assert_equal(other.predictor_.weights(), detector.predictor_.weights())
    assert other.thresholds_["drift"].height != detector.thresholds_["drift"].height


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
    assert scores.loc[1100:1104, "flow-score"].isna().all()
    assert scores.loc[1100:1104, "flow-expected"].notna().all()
    assert scores["score"][1:].isna().to_numpy().nonzero()[0].tolist() == [1101]
    assert scores.loc[1102, "kind"] == ""


def test_data_coming_back_after_an_outage_are_no_alarm():
    level = np.cumsum(np.random.default_rng(0).normal(size=4000))
    walk = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=4000, freq="min"), "level": level})
    detector = AnomalyDetector(Persistence()).fit(walk[:2000])
    back = 2500 + int(np.abs(level[2500:] - level[2499]).argmax())
    events = detector.detect(walk.drop(index=range(2500, back)))
    assert events["kind"].tolist() == ["gap"]


def test_rows_out_of_time_are_said_and_not_scored(fitted):
    detector, df = fitted
    bad = df.iloc[[*range(1200), *range(1190, 1500)]].reset_index(drop=True)  # ten minutes twice
    scores, tidy = detector.score(bad), detector.score(df)
    assert scores["ds"].equals(bad["ds"])
    assert scores["score"][1200:1210].isna().all()
    np.testing.assert_array_equal(scores["score"][:1200], tidy["score"][:1200])
    np.testing.assert_array_equal(scores["score"][1210:], tidy["score"][1200:])
    said = AnomalyDetector(Persistence()).fit(bad).notes_
    assert any(
        "Rows that lie back in time, which the model does not read: 9, the first is row 1200" in note for note in said
    )


def test_one_side_of_a_sensor(fitted):
    _, df = fitted
    broken = df.copy()
    broken.loc[1200, ["flow", "ambient"]] += [-5.0, 5.0]
    detector = AnomalyDetector(Persistence(), side={"flow": "upper"}, scorers=("mahalanobis",)).fit(df[:1000])
    row = detector.score(broken).loc[1200]
    assert row["flow-score"] < 0.1
    assert row["ambient-score"] > 1


def test_a_fault_does_not_become_the_new_normal_before_its_time():
    df = machine(1500).drop(columns=["current", "ambient"])
    df.loc[1200:, "flow"] += 8
    held, believed = (AnomalyDetector(Persistence(), hold=hold).fit(df[:1000]) for hold in (100, None))
    expected = held.score(df)["flow-expected"]
    assert (expected[1201:1290] < df["flow"][1201:1290] - 6).all()
    assert (expected[1310:] > df["flow"][1310:] - 2).all()
    assert believed.score(df)["flow-expected"][1201] == pytest.approx(df["flow"][1200])


def test_many_tables_are_fitted_at_once():
    frames = [machine(400, seed) for seed in range(3)]
    detector = AnomalyDetector(PREDICTORS[-1])
    together, alone = detector.fit_each(frames), clone(detector).fit(frames[1])
    np.testing.assert_allclose(together[1].score(frames[1])["score"], alone.score(frames[1])["score"], rtol=1e-3)


def test_commands_are_read_and_not_judged():
    df = machine(900)
    rng = np.random.default_rng(0)
    valve = np.repeat(rng.integers(0, 2, 90), 10).astype(float)
    df["flow"] += 3 * np.roll(valve, 1)  # follows the command of the row before
    df["valve"] = valve
    blind, told = (
        AnomalyDetector(AutoRegression(order=3)).fit(df[:600], sensors=["flow"], inputs=inputs).score(df)
        for inputs in ([], ["valve"])
    )
    assert "valve-score" not in told
    off = [np.abs(scores["flow-expected"] - df["flow"])[600:].mean() for scores in (blind, told)]
    assert off[1] < 0.5 * off[0]


# Sensors of every kind


def test_sensors_left_out_constant_or_chosen():
    df = machine(600).assign(dead=np.nan, state="on", valve=1.0)
    detector = AnomalyDetector(Persistence()).fit(df)
    assert list(detector.columns_.sensors) == ["current", "flow", "ambient", "valve"]
    assert detector.notes_ == ["Left out, because no training row has a value: dead."]
    df.loc[550, "valve"] = 0.0
    assert detector.detect(df).iloc[0]["sensors"] == "valve 100 %"
    assert list(AnomalyDetector(Persistence()).fit(df, sensors=["flow"]).columns_.sensors) == ["flow"]


def test_one_sensor_alone_is_not_judged_by_others():
    detector = AnomalyDetector(Persistence()).fit(machine(400), sensors="flow")
    assert detector.notes_ == ["The scorer 'disagreement' says nothing about flow."]
    assert detector.score(machine(400))["score"][1:].notna().all()


def test_column_names_that_are_numbers():
    df = machine(400).rename(columns={"current": 1, "flow": 2, "ambient": 3})
    assert list(AnomalyDetector(Persistence()).fit(df).score(df).columns[:3]) == ["ds", "1-expected", "1-scale"]


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_time_zones_come_back(zone):
    df = machine(400)
    df["ds"] = df["ds"].dt.tz_localize(zone)
    df.loc[380, "flow"] += 9
    detector = AnomalyDetector(Persistence()).fit(df[:300])
    assert detector.score(df)["ds"].equals(df["ds"])
    assert df["ds"][380] in detector.detect(df)["start"].tolist()


def test_a_column_that_is_gone_is_named(fitted):
    detector, df = fitted
    with pytest.raises(DataError, match="no column 'flow'"):
        detector.score(df.drop(columns="flow"))


# Events


def spike(df):
    df.loc[1200, "ambient"] += 2.0


def freeze(df):
    df.loc[1200:1300, "ambient"] = df.loc[1200, "ambient"]


def shift(df):
    df.loc[1200:1300, "current"] += 0.4


def slow(df):
    df.loc[1200:1400, "flow"] += np.linspace(0, 1.5, 201)


@pytest.mark.parametrize(
    ("fault", "sensor"), [(spike, "ambient"), (freeze, "ambient"), (shift, "current"), (slow, "flow")],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_faults_of_each_kind_are_found_and_blamed(fitted, fault, sensor):
    detector, df = fitted
    assert len(detector.detect(df)) == 0
    broken = df.copy()
    fault(broken)
    events = detector.detect(broken)
    worst = events.loc[events["severity"].idxmax()]
    assert sensor in worst["sensors"]
    assert df["ds"][1200] <= worst["start"] <= df["ds"][1400]
    assert ("stuck" in set(events["kind"])) == (fault is freeze)


def test_rules_that_are_given_reach_the_events(fitted):
    _, df = fitted
    broken = df.copy()
    broken.loc[1300, "flow"] = 30.0
    detector = AnomalyDetector(Persistence(), quality=Quality(ranges={"flow": (0, 25)})).fit(df[:1000])
    events = detector.detect(broken)
    assert list(zip(events["kind"], events["sensors"], strict=True)) == [("range", "flow 100 %")]


@pytest.mark.parametrize("threshold", sorted(THRESHOLDS))
def test_healthy_rows_stay_below_the_line(threshold):
    n_events = 0
    for seed in range(3):
        df = machine(4000, seed)
        detector = AnomalyDetector(AutoRegression(order=5), threshold=threshold, scorers=("mahalanobis",))
        n_events += len(detector.fit(df[:2000]).detect(df[2000:]))
    assert n_events <= (2 if threshold in ("return_level", "dynamic", "spot") else 15)  # .6 are asked for


def test_pump_with_a_plain_autoregression():
    sensors, labels = pump(days=14)
    detector = AnomalyDetector(AutoRegression())
    detector.fit(sensors[: training_rows(len(sensors), 0.38)], time_col="timestamp")
    events = detector.detect(sensors)
    hits = event_hits(events[events["kind"] != "gap"], labels)
    assert hits["n_hit"] >= 11
    assert hits["n_outside"] <= 1


def test_a_real_file_with_a_step_back(shared_data):
    name = "realKnownCause/machine_temperature_system_failure.csv"
    df = read_csv(shared_data / "anomaly/nab/data" / name, time_col="timestamp")
    windows = json.loads((shared_data / "anomaly/nab/labels/combined_windows.json").read_text())[name]
    labels = pd.DataFrame(windows, columns=["start", "end"]).apply(pd.to_datetime)
    detector = AnomalyDetector(AutoRegression()).fit(df[: training_rows(len(df))], time_col="timestamp")
    scores = detector.score(df)
    assert len(scores) == len(df) == 22_695
    assert scores["score"].isna().sum() < 20  # twelve rows of an hour that comes twice
    assert event_hits(detector.detect(df), labels)["n_hit"] >= 3


# Saving


@pytest.mark.parametrize("predictor", PREDICTORS, ids=lambda p: type(p).__name__)
def test_saved_and_loaded_scores_are_equal_to_the_bit(predictor, tmp_path):
    df = faulty()
    detector = AnomalyDetector(predictor, span=20, quality=Quality(max_gap="2h")).fit(df[:400])
    detector.save(tmp_path / "model")
    detector.save(tmp_path / "model")  # replaces
    again, state = AnomalyDetector.load(tmp_path / "model")
    assert isinstance(again.predictor_, AbstractPredictor)
    np.testing.assert_equal(state, detector.start())
    pd.testing.assert_frame_equal(again.score(df), detector.score(df), check_exact=True)
    pd.testing.assert_frame_equal(again.detect(df), detector.detect(df), check_exact=True)
    assert again.notes_ == detector.notes_
    pd.testing.assert_frame_equal(clone(again).fit(df[:400]).score(df), detector.score(df), check_exact=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_cannot_be_saved_or_loaded(tmp_path):
    with pytest.raises(NotFittedError):
        AnomalyDetector(Persistence()).save(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="no saved detector"):
        AnomalyDetector.load(tmp_path / "a")
    (tmp_path / "b").write_text("no")
    with pytest.raises(ValueError, match="is not a saved detector"):
        AnomalyDetector.load(tmp_path / "b")

    class Own(Persistence):
        pass

    detector = AnomalyDetector(Own()).fit(machine(200))
    with pytest.raises(TypeError, match=r"Own, which cannot be saved: a file holds no code"):
        detector.save(tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_file_of_a_newer_version_or_with_foreign_names(tmp_path, monkeypatch):
    detector = AnomalyDetector(Persistence()).fit(machine(200))
    monkeypatch.setattr("tsrnn.anomaly.artifact.FORMAT", 99)
    detector.save(tmp_path / "new")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="Install a newer tsrnn"):
        AnomalyDetector.load(tmp_path / "new")
    monkeypatch.setattr("tsrnn.anomaly.artifact._ROOMS", ("tsrnn.forecasting.", "tsrnn.anomaly."))
    detector.save(tmp_path / "foreign")
    monkeypatch.setattr("tsrnn.anomaly.artifact._ROOMS", ("os.",))
    with pytest.raises(ValueError, match="which is no value of tsrnn"):
        AnomalyDetector.load(tmp_path / "foreign")


def test_training_rows():
    assert [training_rows(n) for n in (22_695, 4032, 1999, 10)] == [3404, 1000, 999, 5]
    assert training_rows(1000, 0.9) == 900
    with pytest.raises(ValueError, match="fraction is a share"):
        training_rows(100, 1.5)
