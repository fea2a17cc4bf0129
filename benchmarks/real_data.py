"""Real data: read, fit for two steps and predict, on public sets of every awkward kind.

Each case is read by the package's own readers, the last ``horizon`` rows of every series are held back (they are the
future frame where covariates are known ahead), a small LSTM is fitted for two steps and forecasts them. The table says
what was found in the data; nothing is cleaned by hand. The data are not part of the package: the folder is
``TSRNN_DATA`` or ``../shared/data``.

    python benchmarks/real_data.py [--quick] [--only NAME ...] [--json FILE]
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tsrnn import LSTM, Forecaster, Training, read_csv
from tsrnn.data import Panel, Schema
from tsrnn.data.datasets import data_folder, load


@dataclass(frozen=True)
class Case:
    """One set: how it is read, what its columns mean, and how far ahead it is forecast."""

    read: Callable[[Path], pd.DataFrame]
    horizon: int
    roles: dict[str, Any] = field(default_factory=dict)
    quick: bool = False


def csv(path: str, **options: Any) -> Callable[[Path], pd.DataFrame]:
    return lambda folder: read_csv(folder / path, **options)


def vic_elec(folder: Path) -> pd.DataFrame:
    frame = read_csv(folder / "forecast/vic_elec/vic_elec.csv.gz", time_col="ds_utc", time_zone="UTC")
    return frame.assign(ds_utc=frame["ds_utc"].dt.tz_convert("Australia/Melbourne"))


def bike_sharing(folder: Path) -> pd.DataFrame:
    frame = read_csv(folder / "forecast/bike_sharing/hour.csv", time_col="dteday", time_format="%m/%d/%y")
    return frame.assign(dteday=frame["dteday"] + pd.to_timedelta(frame["hr"], unit="h"))


SKAB = [
    "Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature", "Thermocouple", "Voltage",
    "Volume Flow RateRMS",
]  # fmt: skip
GECCO = ["Tp", "Cl", "pH", "Redox", "Leit", "Trueb", "Cl_2", "Fm", "Fm_2"]
RIVER = ["temp", "cond", "ph", "do", "turb", "stage"]
TANKS = [f"L_T{i}" for i in range(1, 8)]

CASES = {
    "m4_hourly": Case(lambda folder: load("m4_hourly"), 48),
    "m3_yearly": Case(lambda folder: load("m3_yearly"), 6),
    "m3_quarterly": Case(lambda folder: load("m3_quarterly"), 8),
    "m3_monthly": Case(lambda folder: load("m3_monthly"), 18),
    "tourism_monthly": Case(lambda folder: load("tourism_monthly"), 24),
    "tourism_quarterly": Case(lambda folder: load("tourism_quarterly"), 8),
    "tourism_yearly": Case(lambda folder: load("tourism_yearly"), 4, quick=True),
    "hospital": Case(csv("forecast/hospital/hospital.csv.gz"), 12),
    "carparts": Case(csv("forecast/carparts/carparts.csv.gz"), 12),
    "nn5": Case(csv("forecast/nn5/nn5.csv.gz"), 56, quick=True),
    "vic_elec": Case(
        vic_elec, 48,
        {"time_col": "ds_utc", "target_col": "demand_mw", "past_covariates": "temperature_c",
         "future_covariates": "holiday"},
    ),
    "bike_sharing": Case(
        bike_sharing, 24,
        {"time_col": "dteday", "target_col": "cnt", "past_covariates": ["weathersit", "temp", "hum", "windspeed"],
         "future_covariates": ["holiday", "workingday"], "categorical": "weathersit"},
        quick=True,
    ),
    "exchange_rate": Case(csv("forecast/exchange_rate/exchange_rate.csv", time_col="date"), 96, {"time_col": "date"}),
    "air_passengers": Case(
        csv("forecast/classics/AirPassengers.csv", time_col="Month"), 12,
        {"time_col": "Month", "target_col": "#Passengers"},
    ),
    "sunspots": Case(
        csv("forecast/classics/monthly-sunspots.csv", time_col="Month"), 12,
        {"time_col": "Month", "target_col": "Sunspots"},
    ),
    "taxi": Case(
        csv("forecast/classics/taxi_new_york_passengers.csv", time_col="time"), 48,
        {"time_col": "time", "target_col": "#Passengers"},
    ),
    "us_gasoline": Case(
        csv("forecast/classics/us_gasoline.csv", time_col="Week"), 26, {"time_col": "Week", "target_col": "Gasoline"}
    ),
    "solar": Case(
        csv("forecast/classics/solar.csv", time_col="datetime_gmt"), 24,
        {"time_col": "datetime_gmt", "target_col": "solar_gen"},
    ),
    "skab": Case(
        csv("anomaly/skab/valve1/2.csv", time_col="datetime"), 10, {"time_col": "datetime", "target_col": SKAB}
    ),
    "gecco2018": Case(
        csv("anomaly/gecco2018/geccoIC2018Train.csv.gz", time_col="timestamp"), 60,
        {"time_col": "timestamp", "target_col": GECCO},
    ),
    "lro_aquatic": Case(
        csv("anomaly/lro_aquatic/FranklinBasin2014.csv.gz", time_col="datetime", na_values=["-9999"]), 96,
        {"time_col": "datetime", "target_col": RIVER},
    ),
    "oddwater": Case(
        csv("anomaly/oddwater/data_sandy_anom.csv", time_col="Timestamp", time_format="%d/%m/%Y %H:%M"), 16,
        {"time_col": "Timestamp", "target_col": ["Level", "Cond", "Tur"], "freq": "irregular"},
        quick=True,
    ),
    "oddwater_resampled": Case(
        csv("anomaly/oddwater/data_sandy_anom.csv", time_col="Timestamp", time_format="%d/%m/%Y %H:%M"), 16,
        {"time_col": "Timestamp", "target_col": ["Level", "Cond", "Tur"], "freq": "90min", "resample": "mean"},
    ),
    "batadal": Case(
        csv("anomaly/batadal/dataset04.csv", time_col="DATETIME", time_format="%d/%m/%y %H"), 24,
        {"time_col": "DATETIME", "target_col": TANKS},
    ),
    "nab_machine_temperature": Case(
        csv("anomaly/nab/data/realKnownCause/machine_temperature_system_failure.csv", time_col="timestamp"), 24,
        {"time_col": "timestamp", "target_col": "value", "duplicates": "last"},
    ),
    "nab_twitter": Case(
        csv("anomaly/nab/data/realTweets/Twitter_volume_AAPL.csv", time_col="timestamp"), 24,
        {"time_col": "timestamp", "target_col": "value"},
    ),
}  # fmt: skip


def run(case: Case, folder: Path) -> dict[str, Any]:
    start = time.perf_counter()
    frame = case.read(folder)
    roles = dict(case.roles)
    freq = roles.pop("freq", None)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        panel = Panel.from_frame(frame, Schema(**roles), freq)
    read_s = time.perf_counter() - start

    start = time.perf_counter()
    known = panel.until(panel.lengths - case.horizon)
    model = Forecaster(
        LSTM(hidden_size=8), horizon=case.horizon,
        training=Training(max_steps=2, batch_size=32, eval_every=2, progress=False),
    ).fit_panel(known)  # fmt: skip
    forecast = model.predict(future_df=frame if panel.schema.future_covariates else None, level=[])
    fit_s = time.perf_counter() - start
    want = len(panel.labels.ravel()) * case.horizon
    if len(forecast) != want or forecast[model.name].isna().any():
        raise AssertionError(f"{len(forecast)} rows of {want}, {forecast[model.name].isna().sum()} of them empty")
    return {
        "rows": len(frame),
        "series": len(panel.labels.ravel()),
        "freq": str(panel.freq),
        "gap_rows": panel.n_gap_rows,
        "empty_values": int(pd.isna(panel.values[panel.rows >= 0]).sum()),
        "read_s": round(read_s, 2),
        "fit_predict_s": round(fit_s, 2),
        "said": [str(w.message) for w in said],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four small sets")
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="NAME", help="these sets")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and a row a set to FILE too")
    args = parser.parse_args()
    folder = data_folder()
    names = args.only or [name for name, case in CASES.items() if case.quick or not args.quick]
    rows, failed = [], []
    columns = ("rows", "series", "freq", "gap_rows", "empty_values", "read_s", "fit_predict_s")
    print("| set | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|", file=sys.stderr)
    for name in names:
        try:
            row = run(CASES[name], folder)
        except (ValueError, AssertionError) as error:
            failed.append(name)
            print(f"{name}: {error}", file=sys.stderr)
            continue
        rows.append({"set": name, **row})
        print(
            f"| {name} | "
            + " | ".join(f"{row[c]:,}" if isinstance(row[c], int) else str(row[c]) for c in columns)
            + " |",
            file=sys.stderr,
        )
        for sentence in row["said"]:
            print(f"  {sentence}", file=sys.stderr)
    figures = {"sets": len(rows), "failed": failed, "rows_read": sum(r["rows"] for r in rows)}
    if args.json:
        args.json.write_text(json.dumps(figures | {"rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
