"""Calibration: how often the truth lies within intervals of 50, 80 and 95 %, at every step ahead.

Two kinds of intervals on three public sets: quantiles of sample paths that a recursive LSTM draws, and those of a
direct LSTM, both corrected by the errors of all series on rows that were not learned from (``Conformal``, pooled).
Every forecaster is fitted before the first cutoff that is judged. A value on a bound counts half: the quantiles of
counts are counts, so that many values lie on them. ``paths`` and ``conformal`` are the largest distances, in points,
between a nominal level and the share that was covered, over sets, levels and, for paths, steps; ``conformal`` is that
of the mean over the steps, and ``conformal_step`` that of the worst step.

    python benchmarks/calibration.py [--quick] [--only NAME ...] [--validation] [--json FILE]
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from defaults import CASES as SETS

from tsrnn import LSTM, Conformal, Forecaster, NegativeBinomial, Recursive, StudentT, backtest
from tsrnn.data import Panel, Schema
from tsrnn.data.datasets import data_folder
from tsrnn.forecasting.base import AbstractForecaster

LEVELS = (50, 80, 95)


@dataclass(frozen=True)
class Case:
    """One set: how far ahead, which cutoffs are judged, and the two forecasters."""

    horizon: int
    n_windows: int
    step_size: int
    paths: Callable[[int], AbstractForecaster]
    errors: dict[str, Any]


def counts(horizon: int) -> AbstractForecaster:
    return Forecaster(Recursive(), horizon=horizon, output=NegativeBinomial(), transforms=None, normalization="mean")


def reals(horizon: int) -> AbstractForecaster:
    return Forecaster(Recursive(), horizon=horizon, output=StudentT())


# The cutoffs go through the whole season, so that no step is one hour or one month alone. Of a hundred cutoffs on
# ETTh1, chance alone would put the farthest of 24 steps 5 points off. Errors are counted over as long a time as is
# judged; on hospital, which is too short for it, on the rows that the models hold out themselves.
CASES = {
    "hospital": Case(12, 12, 1, counts, {"n_windows": 1}),
    "m4_hourly": Case(48, 5, 29, reals, {"n_windows": 5, "step_size": 29}),
    "etth1": Case(24, 300, 17, reals, {"n_windows": 300, "step_size": 17}),
}


def run(name: str, folder: Path, *, validation: bool) -> list[dict[str, Any]]:
    """A row for each kind of intervals and level: what was covered, and the step farthest from the level."""
    case, source = CASES[name], SETS[name]
    panel = Panel.from_frame(source.read(folder), Schema(**source.roles))
    if validation:
        panel = panel.until(panel.lengths - case.horizon - (case.n_windows - 1) * case.step_size)
    models = {
        "paths": case.paths(case.horizon),
        "conformal": Forecaster(LSTM(), horizon=case.horizon),
    }
    models = {kind: Conformal(model, method="pooled", **case.errors) for kind, model in models.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = backtest(models, panel, n_windows=case.n_windows, step_size=case.step_size, level=list(LEVELS))
    frame = result.forecasts
    step = frame.groupby(["unique_id", "cutoff"]).cumcount() + 1
    rows = []
    for kind in models:
        for level in LEVELS:
            bounds = frame[f"{kind}-lo-{level}"], frame[f"{kind}-hi-{level}"]
            inside = (frame["y"].between(*bounds) + 1.0 * frame["y"].between(*bounds, inclusive="neither")) / 2
            by_step = 100 * inside[frame["y"].notna()].groupby(step).mean()
            worst = (by_step - level).abs().idxmax()
            told = {"set": name, "intervals": kind, "level": level, "forecasts": len(frame) // case.horizon}
            told |= {"covered": round(by_step.mean(), 1), "worst_step": int(worst), "there": round(by_step[worst], 1)}
            rows.append(told)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest set")
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="NAME", help="these sets")
    parser.add_argument("--validation", action="store_true", help="judge on the rows before the test rows")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and all rows to FILE too")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in args.only or (["hospital"] if args.quick else CASES):
        found = run(name, data_folder(), validation=args.validation)
        print(pd.DataFrame(found).to_string(header=not rows, index=False), file=sys.stderr, flush=True)
        rows += found
    frame = pd.DataFrame(rows)
    mean, step = (frame["covered"] - frame["level"]).abs(), (frame["there"] - frame["level"]).abs()
    kind = frame["intervals"]
    figures = {
        "paths": round(float(step[kind == "paths"].max()), 1),
        "conformal": round(float(mean[kind == "conformal"].max()), 1),
        "conformal_step": round(float(step[kind == "conformal"].max()), 1),
    }
    if args.json:
        args.json.write_text(json.dumps(figures | {"rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
