"""Made-up data with known truth: small panels for examples and tests, and a pump with labelled faults.

``python -m tsrnn.data.synthetic FOLDER`` writes ``pump_sensors.csv`` and ``pump_labels.csv``.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["generate_series", "pump"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def generate_series(
    n_series: int = 3,
    *,
    min_length: int = 60,
    max_length: int = 120,
    freq: str | int = "MS",
    season_length: int = 12,
    noise: float = 1.0,
    missing: float = 0.0,
    start: str = "2000-01-01",
    random_state: int = 0,
) -> pd.DataFrame:
    """Draw a panel of series with a level, a linear trend, a season of two harmonics and white noise.

    Parameters
    ----------
    n_series : int, default 3
        Number of series, named ``series_0``, ``series_1`` ... (zero-padded, so that they sort).
    min_length, max_length : int, default 60 and 120
        Rows of a series, drawn uniformly; all series end at the same stamp, the short ones start later.
    freq : str or int, default "MS"
        A pandas frequency, or the step of integer time that starts at 0.
    season_length : int, default 12
        Rows in one season.
    noise : float, default 1.0
        Standard deviation of the noise; levels lie in 50-150, seasonal amplitudes in 5-15.
    missing : float, default 0.0
        Share of values that are NaN; ``dropna()`` turns them into gaps in time.
    start : str, default "2000-01-01"
        First stamp of the longest possible series.
    random_state : int, default 0
        The same seed gives the same frame.

    Returns
    -------
    DataFrame
        Columns ``unique_id, ds, y``, sorted.

    Raises
    ------
    ValueError
        If the lengths or the missing share make no panel.

    Examples
    --------
    >>> frame = generate_series(2, min_length=24, max_length=36)
    >>> list(frame), frame["unique_id"].nunique()
    (['unique_id', 'ds', 'y'], 2)
    """
    if n_series < 1 or not 1 <= min_length <= max_length:
        raise ValueError(
            f"n_series={n_series}, min_length={min_length}, max_length={max_length} make no panel; "
            "give n_series >= 1 and 1 <= min_length <= max_length."
        )
    if not 0 <= missing < 1:
        raise ValueError(f"missing={missing} is not a share; give a number from 0 to below 1.")
    rng = np.random.default_rng(random_state)
    if isinstance(freq, int):
        stamps: pd.Index = pd.RangeIndex(0, freq * max_length, freq)
    else:
        stamps = pd.date_range(start, periods=max_length, freq=freq)
    frames = []
    for i in range(n_series):
        n = int(rng.integers(min_length, max_length, endpoint=True))
        t = np.arange(n)
        angle = 2 * np.pi * (t / season_length + rng.random())
        y = rng.uniform(50, 150) + rng.normal(0, 0.2) * t
        y += rng.uniform(5, 15) * (np.sin(angle) + 0.3 * np.cos(2 * angle))
        y += noise * rng.normal(size=n)
        y[rng.random(n) < missing] = np.nan
        name = f"series_{i:0{len(str(n_series - 1))}d}"
        frames.append(pd.DataFrame({"unique_id": name, "ds": stamps[-n:], "y": y}))
    return pd.concat(frames, ignore_index=True)


# Sensors in the order of their columns, with the digits that the logger writes.
_DIGITS = {
    "flow": 1,  # m3/h
    "pressure_in": 3,  # bar
    "pressure_out": 3,  # bar
    "motor_current": 2,  # A
    "vibration": 2,  # mm/s
    "bearing_temp": 1,  # degrees Celsius
}
_CLEAN = 0.4  # the share at the beginning without faults


class _Fault(NamedTuple):
    kind: str
    size: dict[str, float]  # sensor -> change in its unit (unused by the kinds that replace values)
    length: float  # minutes for a spike, else a share of the time that each fault has to itself


_FAULTS = (
    _Fault("spike", {"motor_current": 14.0}, 2),
    _Fault("level_shift", {"flow": -7.0}, 0.12),
    _Fault("stuck", {"flow": 0.0}, 0.08),
    _Fault("drift", {"bearing_temp": 14.0, "vibration": 0.9}, 0.6),
    _Fault("spike", {"pressure_in": -0.25}, 1),
    _Fault("correlation", {"motor_current": 0.0}, 0.25),
    _Fault("level_shift", {"pressure_in": 0.12}, 0.15),
    _Fault("stuck", {"bearing_temp": 0.0}, 0.15),
    _Fault("spike", {"flow": -45.0, "pressure_out": 0.8}, 3),
    _Fault("drift", {"pressure_out": -0.45}, 0.5),
    _Fault("stuck", {"vibration": 0.0}, 0.1),
    _Fault("correlation", {"flow": 0.0, "vibration": 0.0}, 0.2),
    _Fault("level_shift", {"bearing_temp": 5.0}, 0.15),
)


def pump(random_state: int = 0, days: int = 28, freq: str = "1min") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate a centrifugal pump with its motor, and the faults of its sensors and parts.

    The speed follows shifts, weekends and a duty cycle. Flow and pressures solve pump curve = system curve,
    current follows hydraulic power, vibration follows speed (with a resonance), and the bearing warms with
    the current, slowly, above an ambient temperature with a daily cycle. The filter clogs and the bearing
    ages a little: benign drift. The logger misses stamps, and single sensors miss values, though never
    during a fault.

    Parameters
    ----------
    random_state : int, default 0
        The same seed gives the same frames.
    days : int, default 28
        Length of the record; all faults but spikes become longer with it.
    freq : str, default "1min"
        Sampling interval.

    Returns
    -------
    sensors : DataFrame
        ``timestamp``, ``flow`` (m3/h), ``pressure_in`` and ``pressure_out`` (bar), ``motor_current`` (A),
        ``vibration`` (mm/s) and ``bearing_temp`` (degrees Celsius); a missing stamp has no row, a missing
        value is NaN.
    labels : DataFrame
        One row a fault, in order of time: ``start`` and ``end`` (inclusive stamps), ``kind`` (``spike``,
        ``level_shift``, ``stuck``, ``drift``, or ``correlation``: readings that come from a twin pump) and
        ``sensors``, separated by spaces. The first 40 % of the time is free of faults.

    Raises
    ------
    ValueError
        If the record is too short to hold the faults apart.

    Examples
    --------
    >>> sensors, labels = pump(days=7)
    >>> list(labels)
    ['start', 'end', 'kind', 'sensors']
    >>> sorted(set(labels["kind"]))
    ['correlation', 'drift', 'level_shift', 'spike', 'stuck']
    """
    start = pd.Timestamp("2024-01-01")
    stamps = pd.date_range(start, start + pd.Timedelta(days=days), freq=freq, inclusive="left")
    slot = int((1 - _CLEAN) * len(stamps)) // len(_FAULTS)
    if slot < 60:
        raise ValueError(
            f"days={days} at freq={freq!r} leave {slot} rows for each of the {len(_FAULTS)} faults, "
            "and 60 are needed; give more days or a shorter freq."
        )
    rng, twin_rng, fault_rng, gap_rng = np.random.default_rng(random_state).spawn(4)
    sensors, twin = _machine(rng, stamps), _machine(twin_rng, stamps)
    faulty = np.zeros(len(stamps), dtype=bool)
    labels = []
    for i, fault in enumerate(_FAULTS):
        if fault.kind == "spike":
            n = max(1, round(fault.length / (pd.Timedelta(freq) / pd.Timedelta("1min"))))
        else:
            n = int(fault.length * slot)
        begin = len(stamps) - slot * (len(_FAULTS) - i)
        begin += int(fault_rng.integers(slot // 10, slot - n - slot // 10))
        rows = slice(begin, begin + n)
        for name, size in fault.size.items():
            sensors[name][rows] = _damaged(fault.kind, sensors[name][rows], size, twin[name][rows])
        faulty[rows] = True
        labels.append((stamps[begin], stamps[begin + n - 1], fault.kind, " ".join(fault.size)))
    frame = pd.DataFrame({"timestamp": stamps})
    for name, digits in _DIGITS.items():
        frame[name] = sensors[name].round(digits)
        frame.loc[_holes(gap_rng, faulty, runs=2, longest=90, share=0.001), name] = np.nan
    frame = frame[~_holes(gap_rng, faulty, runs=6, longest=240, share=0.0005)].reset_index(drop=True)
    return frame, pd.DataFrame(labels, columns=["start", "end", "kind", "sensors"])


def _machine(rng: np.random.Generator, stamps: pd.DatetimeIndex) -> dict[str, Floats]:
    """The readings of a healthy pump, sensor by sensor."""
    n = len(stamps)
    minutes = np.asarray((stamps - stamps[0]) / pd.Timedelta("1min"), dtype=np.float64)
    step = minutes[1]
    day, age = 2 * np.pi * minutes / 1440, minutes / minutes[-1]
    shift = (stamps.hour >= 6) & (stamps.hour < 22) & (stamps.day_of_week < 5)
    changes = np.cumsum(rng.random(n) < step / 45)  # a new set point every 45 minutes or so
    duty = rng.normal(0, 0.05, n + 1)[changes]
    speed = _lag(np.clip(np.where(shift, 0.86, 0.66) + duty, 0.5, 1.0), 4 / step)
    ambient = 18 + 4 * np.sin(day - 2.2) + 1.5 * _wander(rng, n, 1440 / step)

    # Pump curve 7 s^2 - 1.1 q^2 equals system curve 0.4 + k q^2, pressures in bar, q relative to 100 m3/h.
    demand = 1.8 - 0.15 * np.sin(day - 1.0) + 0.12 * _wander(rng, n, 240 / step)
    q = np.sqrt((7 * speed**2 - 0.4) / (1.1 + demand))
    head = 7 * speed**2 - 1.1 * q**2
    tank = 1.5 + 0.05 * np.sin(day + 0.5) + 0.03 * _wander(rng, n, 480 / step)
    pressure_in = tank - 0.12 * q**2 - 0.05 * age
    current = 11 + 6.2 * q * head
    resonance = np.exp(-(((speed - 0.76) / 0.025) ** 2))
    vibration = (0.7 + 2.0 * speed**2 + 0.5 * resonance) * (1 + 0.08 * age)
    warmth = _lag((current / 40) ** 2, 80 / step)
    return {
        "flow": 100 * q + rng.normal(0, 0.8, n),
        "pressure_in": pressure_in + rng.normal(0, 0.008, n),
        "pressure_out": pressure_in + head + rng.normal(0, 0.02, n),
        "motor_current": current + rng.normal(0, 0.25, n),
        "vibration": vibration * np.exp(rng.normal(0, 0.05, n)),
        "bearing_temp": ambient + 9 + 24 * warmth + 1.5 * age + rng.normal(0, 0.15, n),
    }


def _lag(values: Floats, rows: float) -> Floats:
    """First-order lag with a time constant in rows."""
    return np.asarray(pd.Series(values).ewm(alpha=1 - np.exp(-1 / rows), adjust=False).mean())


def _wander(rng: np.random.Generator, n: int, rows: float) -> Floats:
    """A first-order autoregression with mean 0, variance about 1 from the first row on, memory in rows."""
    shocks = rng.normal(size=n) * np.sqrt(2 * rows)
    shocks[0] /= np.sqrt(2 * rows)
    return _lag(shocks, rows)


def _damaged(kind: str, values: Floats, size: float, twin: Floats) -> Floats:
    if kind == "stuck":
        return np.full_like(values, values[0])
    if kind == "correlation":
        return twin
    return values + size * (np.linspace(0, 1, len(values)) if kind == "drift" else 1.0)


def _holes(rng: np.random.Generator, keep: Mask, *, runs: int, longest: int, share: float) -> Mask:
    """Rows to lose: scattered ones and a few runs, none of them in ``keep``."""
    lost = rng.random(len(keep)) < share
    for begin in rng.integers(0, len(keep), runs):
        lost[begin : begin + int(rng.integers(5, longest))] = True
    return lost & ~keep


def _write_pump(folder: Path) -> None:
    for name, frame in zip(("pump_sensors", "pump_labels"), pump(), strict=True):
        frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tsrnn.data.synthetic FOLDER")
    _write_pump(Path(sys.argv[1]))
