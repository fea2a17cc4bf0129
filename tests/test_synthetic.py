"""The made-up data: what its docstrings promise, and that the project's files are what the code writes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsrnn.data import synthetic
from tsrnn.data.synthetic import generate_series, pump

ROOT = Path(__file__).parents[1]
SENSORS = ["flow", "pressure_in", "pressure_out", "motor_current", "vibration", "bearing_temp"]


@pytest.fixture(scope="module")
def machine():
    """Readings and labels, and the readings that the same machine gives without faults."""
    readings, labels = pump()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "_damaged", lambda kind, values, size, twin: values)
        healthy, _ = pump()
    return readings.set_index("timestamp"), labels, healthy.set_index("timestamp")


def test_files_are_what_the_code_writes(tmp_path):
    subprocess.run([sys.executable, "-m", "tsrnn.data.synthetic", tmp_path], cwd=ROOT, check=True)
    for name in ("pump_sensors.csv", "pump_labels.csv"):
        assert (tmp_path / name).read_bytes() == (ROOT / "datasets" / name).read_bytes(), name


def test_pump_depends_on_its_seed_alone():
    first, labels = pump(3, days=7)
    again, _ = pump(3, days=7)
    other, other_labels = pump(4, days=7)
    pd.testing.assert_frame_equal(first, again)
    assert not first["flow"].head(100).equals(other["flow"].head(100))
    assert list(labels["kind"]) == list(other_labels["kind"])
    assert not labels["start"].equals(other_labels["start"])


def test_labels_leave_the_beginning_clean_and_stand_apart(machine):
    readings, labels, _ = machine
    assert 10 <= len(labels) <= 14
    kinds = labels["kind"].value_counts()
    assert set(kinds.index) == {"spike", "level_shift", "stuck", "drift", "correlation"}
    assert kinds.min() >= 2
    assert labels["start"].iloc[0] >= readings.index[0] + 0.4 * pd.Timedelta(days=28)
    assert (labels["start"] <= labels["end"]).all()
    assert (labels["start"].iloc[1:].array - labels["end"].iloc[:-1].array).min() > pd.Timedelta("2h")
    assert labels["end"].iloc[-1] < readings.index[-1]


def test_a_fault_changes_its_own_sensors_and_nothing_else(machine):
    readings, labels, healthy = machine
    rest = readings.copy()
    for fault in labels.itertuples():
        names = fault.sensors.split()
        rows = slice(fault.start, fault.end)
        n = (fault.end - fault.start) // pd.Timedelta("1min") + 1
        assert len(readings.loc[rows]) == n
        assert readings.loc[rows, names].notna().all(axis=None)
        assert (readings.loc[rows, names] != healthy.loc[rows, names]).mean(axis=None) > 0.9
        rest.loc[rows, names] = healthy.loc[rows, names]
    pd.testing.assert_frame_equal(rest, healthy)


def test_faults_are_of_the_kind_that_their_label_says(machine):
    readings, labels, healthy = machine
    for fault in labels.itertuples():
        for name in fault.sensors.split():
            found = readings.loc[fault.start : fault.end, name]
            true = healthy.loc[fault.start : fault.end, name]
            change = (found - true).to_numpy()
            if fault.kind == "spike":
                assert len(change) <= 3
                assert np.abs(change).min() > 5 * healthy[name].diff().std()
            elif fault.kind == "level_shift":
                assert np.ptp(change) <= 0.21 < 20 * np.abs(change).min()  # equal but for rounding
            elif fault.kind == "stuck":
                assert found.nunique() == 1 < true.nunique()
            elif fault.kind == "drift":
                line = np.linspace(0, change[-1], len(change))
                assert np.abs(change - line).max() < 0.11
                assert np.abs(change[-1]) > 0.5 * healthy[name].std()
            else:
                assert np.corrcoef(found, true)[0, 1] < 0.95
                assert found.between(healthy[name].min(), healthy[name].max()).all()


def test_load_drives_the_machine(machine):
    healthy = machine[2]
    together = healthy.corr()["motor_current"]
    assert together[["flow", "pressure_out", "vibration"]].min() > 0.85
    assert together["pressure_in"] < -0.5
    at_work = (healthy.index.day_of_week < 5) & (healthy.index.hour >= 7) & (healthy.index.hour < 22)
    assert healthy.loc[at_work, "motor_current"].mean() > 1.3 * healthy.loc[~at_work, "motor_current"].mean()


def test_bearing_warms_after_the_current(machine):
    healthy = machine[2].asfreq("1min")
    lags = [0, 30, 60, 120, 360]
    by_lag = [healthy["bearing_temp"].corr(healthy["motor_current"].shift(lag)) for lag in lags]
    assert 0 < np.argmax(by_lag) < len(lags) - 1


def test_logger_misses_stamps_and_single_values(machine):
    readings = machine[0]
    steps = readings.index.to_series().diff().dropna()
    assert (steps == pd.Timedelta("1min")).mean() > 0.99
    assert steps.max() > pd.Timedelta("30min")
    missing = readings.isna()
    assert list(readings) == SENSORS
    assert missing.any().all()
    assert missing.mean().max() < 0.02
    assert (missing.sum(axis=1) == 1).any()
    assert not np.isinf(readings).any(axis=None)


def test_pump_too_short_for_its_faults():
    with pytest.raises(ValueError, match="days=2 at freq='1h' leave 2 rows"):
        pump(days=2, freq="1h")


@pytest.mark.parametrize("freq", ["MS", "W", "h", 1, 5])
def test_generate_series(freq):
    frame = generate_series(12, min_length=20, max_length=30, freq=freq, random_state=5)
    assert list(frame) == ["unique_id", "ds", "y"]
    assert frame["unique_id"].is_monotonic_increasing
    by_id = frame.groupby("unique_id")["ds"]
    assert len(by_id) == 12
    assert by_id.size().between(20, 30).all()
    assert by_id.size().nunique() > 1
    assert by_id.max().nunique() == 1
    if isinstance(freq, int):
        assert (by_id.diff().dropna() == freq).all()
        assert frame["ds"].max() == 29 * freq
    else:
        longest = pd.date_range("2000-01-01", periods=30, freq=freq)
        assert all(list(stamps) == list(longest[-len(stamps) :]) for _, stamps in by_id)
    pd.testing.assert_frame_equal(frame, generate_series(12, min_length=20, max_length=30, freq=freq, random_state=5))


def test_generate_series_repeats_its_season():
    frame = generate_series(4, min_length=96, max_length=96, season_length=24, noise=0.0)
    for _, y in frame.groupby("unique_id")["y"]:
        steps = np.diff(y.to_numpy(), n=1)
        np.testing.assert_allclose(steps[24:], steps[:-24], atol=1e-9)  # the trend is a line
        assert np.ptp(steps) > 1


def test_generate_series_with_missing_values():
    frame = generate_series(20, min_length=100, max_length=100, missing=0.2)
    assert 0.15 < frame["y"].isna().mean() < 0.25
    assert generate_series(20)["y"].notna().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_series": 0}, "n_series=0"),
        ({"min_length": 10, "max_length": 9}, "max_length=9"),
        ({"min_length": 0}, "min_length=0"),
        ({"missing": 1.0}, "missing=1.0"),
    ],
)
def test_generate_series_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        generate_series(**wrong)
