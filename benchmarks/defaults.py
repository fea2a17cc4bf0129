"""The defaults: ``Forecaster(LSTM(), horizon=h)`` untouched against `SeasonalNaive`, on every set of ``forecast/``.

Horizon and season are each set's own: those of its competition or benchmark, else two days, a month, a quarter of
weeks or a year; 1 where the convention knows no season. The last windows of every series are forecast, a tenth of the
shortest one but at least one and at most 20, from models that are fitted once, before the first of them. Figures are
ratios of MASE, mean over cutoffs and then over series; series of which MASE is not defined are left out for both, and
a set that `SeasonalNaive` forecasts without error (``undefined``: one ends in zeros) has no ratio.
``--validation`` judges on as many rows before those, for whoever changes the defaults.

    python benchmarks/defaults.py [--quick] [--only NAME ...] [--validation] [--json FILE]
"""

import argparse
import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from real_data import bike_sharing, csv, vic_elec

from tsrnn import LSTM, Forecaster, SeasonalNaive, backtest, read_csv
from tsrnn.data import Panel, Schema
from tsrnn.data.datasets import data_folder, load
from tsrnn.forecasting.base import AbstractForecaster

Read = Callable[[Path], pd.DataFrame]


@dataclass(frozen=True)
class Case:
    """One set: how it is read, how far ahead it is forecast, its season, and the roles of its columns."""

    read: Read
    horizon: int
    season: int
    roles: dict[str, Any] = field(default_factory=dict)
    quick: bool = False


def named(name: str) -> Read:
    return lambda folder: load(name)


def classic(file: str, time_col: str, target: str | list[str], horizon: int, season: int, **options: Any) -> Case:
    roles = {"time_col": time_col, "target_col": target}
    return Case(csv(f"forecast/classics/{file}.csv", time_col=time_col, **options), horizon, season, roles)


def counted(file: str) -> Read:
    """A file without stamps: its rows are counted."""

    def read(folder: Path) -> pd.DataFrame:
        return pd.read_csv(folder / f"forecast/classics/{file}.csv").rename_axis("ds").reset_index()

    return read


def prescriptions(folder: Path) -> pd.DataFrame:
    frame = read_csv(folder / "forecast/classics/PBS_dataset.csv", time_col="Scripts")
    return frame.assign(Month=pd.to_datetime(frame["Month"], format="%Y %b"))


def quarters(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "forecast/classics/Uschange.csv")
    return frame.assign(Quarter=pd.PeriodIndex(frame["Quarter"].str.replace(" ", ""), freq="Q").to_timestamp())


ECONOMY = ["Consumption", "Income", "Production", "Savings", "Unemployment"]

CASES = {
    "m3_yearly": Case(named("m3_yearly"), 6, 1),
    "m3_quarterly": Case(named("m3_quarterly"), 8, 4),
    "m3_monthly": Case(named("m3_monthly"), 18, 12),
    "m3_other": Case(named("m3_other"), 8, 1),
    "tourism_yearly": Case(named("tourism_yearly"), 4, 1),
    "tourism_quarterly": Case(named("tourism_quarterly"), 8, 4, quick=True),
    "tourism_monthly": Case(named("tourism_monthly"), 24, 12),
    "hospital": Case(csv("forecast/hospital/hospital.csv.gz"), 12, 12, quick=True),
    "carparts": Case(csv("forecast/carparts/carparts.csv.gz"), 12, 12),
    "nn5": Case(csv("forecast/nn5/nn5.csv.gz"), 56, 7),
    "m4_hourly": Case(named("m4_hourly"), 48, 24),
    "etth1": Case(named("etth1"), 48, 24),
    "ettm1": Case(named("ettm1"), 48, 96),
    "exchange_rate": Case(
        csv("forecast/exchange_rate/exchange_rate.csv", time_col="date"), 30, 1, {"time_col": "date"}
    ),
    "vic_elec": Case(
        vic_elec, 48, 48,
        {"time_col": "ds_utc", "target_col": "demand_mw", "past_covariates": "temperature_c",
         "future_covariates": "holiday"},
    ),
    "bike_hourly": Case(
        bike_sharing, 48, 24,
        {"time_col": "dteday", "target_col": "cnt", "past_covariates": ["weathersit", "temp", "hum", "windspeed"],
         "future_covariates": ["holiday", "workingday"], "categorical": "weathersit"},
    ),
    "bike_daily": Case(
        csv("forecast/bike_sharing/day.csv", time_col="dteday"), 30, 7,
        {"time_col": "dteday", "target_col": "cnt", "past_covariates": ["weathersit", "temp", "hum", "windspeed"],
         "future_covariates": ["holiday", "workingday"], "categorical": "weathersit"},
    ),
    "air_passengers": classic("AirPassengers", "Month", "#Passengers", 12, 12),
    "ausbeer": classic("ausbeer", "date", "Y", 8, 4),
    "gas_rate": Case(counted("gasrate_co2"), 24, 1, {"target_col": ["GasRate(ft3/min)", "CO2%"]}),
    "heart_rate": Case(counted("heart_rate"), 48, 1, {"target_col": "Heart rate"}),
    "ice_cream_heater": classic("ice_cream_heater", "Month", ["heater", "ice cream"], 12, 12),
    "ili": classic("ILINet", "DATE", "% WEIGHTED ILI", 13, 52),
    "lynx": classic("Lynx", "Unnamed: 0", "0", 6, 1),
    "milk": classic("monthly-milk", "Month", "Pounds per cow", 12, 12),
    "prescriptions": Case(prescriptions, 12, 12, {"time_col": "Month", "target_col": "Scripts"}),
    "seatbelts": classic("seatbelts", "Unnamed: 0", "KSI", 12, 12),
    "sunspots": classic("monthly-sunspots", "Month", "Sunspots", 12, 12),
    "taxi": classic("taxi_new_york_passengers", "time", "#Passengers", 48, 48),
    "taylor": Case(counted("taylor"), 48, 48, {"target_col": "Y"}, quick=True),
    "temperature": classic("temps", "Date", "Daily minimum temperatures", 30, 7, time_format="%m/%d/%Y"),
    "us_change": Case(quarters, 8, 4, {"time_col": "Quarter", "target_col": ECONOMY}),
    "us_gasoline": classic("us_gasoline", "Week", "Gasoline", 13, 52),
    "wine": classic("wineind", "date", "Y", 12, 12),
    "wool": classic("woolyrnq", "date", "Y", 8, 4, ),
}  # fmt: skip


def read(case: Case, folder: Path, *, validation: bool) -> tuple[Panel, int]:
    """The rows to be judged on and before, and how many windows are judged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = case.read(folder)
        if validation and "unique_id" in frame:  # leave out the series that are too short for it
            rows = frame.groupby("unique_id")["unique_id"].transform("size")
            frame = frame[rows >= 4 * case.horizon]
        panel = Panel.from_frame(frame, Schema(**case.roles))
    n_windows = min(20, math.ceil(0.1 * panel.lengths.min() / case.horizon))
    return (panel.until(panel.lengths - n_windows * case.horizon) if validation else panel), n_windows


def run(case: Case, model: AbstractForecaster, folder: Path, *, validation: bool) -> dict[str, Any]:
    panel, n_windows = read(case, folder, validation=validation)
    start = time.perf_counter()
    models = {"model": model, "naive": SeasonalNaive(horizon=case.horizon, season_length=case.season)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = backtest(models, panel, n_windows=n_windows, season_length=case.season, metrics=["mase"], level=[])
    wide = result.metrics.set_index(["model", *result.metrics.columns[1:3]])["mase"].unstack("model").dropna()
    mase = wide.groupby(level=0).mean().mean()
    return {
        "series": panel.labels.size,
        "horizon": case.horizon,
        "season": case.season,
        "windows": n_windows,
        "mase": round(mase["model"], 3),
        "seasonal_naive": round(mase["naive"], 3),
        "ratio": round(mase["model"] / mase["naive"], 3) if mase["naive"] > 0 else None,
        "seconds": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three small sets")
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="NAME", help="these sets")
    parser.add_argument("--validation", action="store_true", help="judge on the rows before the test rows")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and a row a set to FILE too")
    args = parser.parse_args()
    names = args.only or [name for name, case in CASES.items() if case.quick or not args.quick]
    folder, rows = data_folder(), []
    for name in names:
        case = CASES[name]
        rows.append(
            row := {
                "set": name,
                **run(case, Forecaster(LSTM(), horizon=case.horizon), folder, validation=args.validation),
            }
        )
        if len(rows) == 1:
            print("| " + " | ".join(row) + " |\n" + "|---" * len(row) + "|", file=sys.stderr)
        print("| " + " | ".join(map(str, row.values())) + " |", file=sys.stderr, flush=True)
    ratios = np.array([row["ratio"] for row in rows if row["ratio"] is not None])
    figures = {
        "geo_mean_mase_ratio": round(float(np.exp(np.log(ratios).mean())), 3),
        "worst": float(ratios.max()),
        "sets": len(ratios),
        "undefined": [row["set"] for row in rows if row["ratio"] is None],
    }
    if args.json:
        args.json.write_text(json.dumps(figures | {"rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
