"""Which parts pay: the untouched LSTM with one part changed at a time, on the validation rows of two sets.

Sets, rows and figures are those of ``benchmarks/defaults.py --validation``: ratios of MASE to `SeasonalNaive`, one seed
unless told otherwise, in which case the mean.

    python benchmarks/ablation.py [--quick] [--only SET ...] [--seeds S ...] [--json FILE]
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from defaults import CASES, run

from tsrnn import LSTM, Ensemble, Forecaster, Point, Recursive, SegRNN, Seq2Seq, StudentT
from tsrnn.data.datasets import data_folder

SETS = {"tourism_quarterly": 4, "hospital": 12}
"""The sets and their seasons."""


def parts(season: int, context: int) -> dict[str, dict[str, Any]]:
    """What is changed."""
    return {
        "as it is: LSTM, last, direct": {},
        "normalization: standard": {"normalization": "standard"},
        "normalization: mean, no transform": {"normalization": "mean", "transforms": None},
        "normalization: none": {"normalization": "none"},
        "start: last value, not last season": {"season_length": 1},
        "context: half": {"context_length": context // 2},
        "context: one and a half": {"context_length": 3 * context // 2},
        "decoding: recursive": {"network": Recursive(), "output": StudentT()},
        "decoding: encoder-decoder": {"network": Seq2Seq()},
        "segments: SegRNN of one season": {"network": SegRNN(segment_length=season)},
        "output: point by squared error": {"output": Point()},
        "width: 16": {"network": LSTM(hidden_size=16)},
        "ensemble: mean of five seeds": {},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two parts on one set")
    parser.add_argument("--only", nargs="+", choices=SETS, metavar="SET", help="these sets")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="S")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table to FILE too")
    args = parser.parse_args()
    table: dict[str, dict[str, float]] = {}
    for name in args.only or list(SETS)[: 1 if args.quick else None]:
        case = CASES[name]
        for part, changed in list(parts(SETS[name], 2 * case.horizon).items())[: 2 if args.quick else None]:
            ratios = []
            for seed in args.seeds:
                model = Forecaster(**{"network": LSTM(), "horizon": case.horizon, "random_state": seed} | changed)
                model = Ensemble(model) if part.startswith("ensemble") else model
                ratios.append(run(case, model, data_folder(), validation=True)["ratio"])
            table.setdefault(part, {})[name] = round(float(np.mean(ratios)), 3)
            print(f"{name:20} {part:44} {table[part][name]}", file=sys.stderr, flush=True)
    if args.json:
        args.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(table))


if __name__ == "__main__":
    main()
