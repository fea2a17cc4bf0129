"""Published cases: each run file of ``configs/published/``, three times, with seeds of 0, 1 and 2.

The first model of the file is judged; the others are what it must be better than. ``mse``, ``mae`` (in units of the
training rows' standard deviation), ``smape``, ``mase``, ``wql``, ``owa``: those that the file asks for, the mean over
the seeds; ``spread`` is the range from the lowest to the highest. A run is ``tsrnn backtest FILE --set seed=S``.

    python benchmarks/published.py [--case NAME] [--seeds S ...] [--quick] [--json FILE]
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from tsrnn import backtest
from tsrnn.config import BacktestConfig
from tsrnn.data.datasets import data_folder
from tsrnn.evaluation import BacktestEvent
from tsrnn.runs.backtest import build_models, read_data

FOLDER = Path(__file__).parents[1] / "configs/published"
CASES = sorted(file.stem for file in FOLDER.glob("*.yaml"))


def tell(event: BacktestEvent) -> None:
    """Of a model that was trained, what its training says."""
    history = getattr(event.fitted, "training_", None)
    if history is not None:
        print(f"{event.model}: {history}", file=sys.stderr, flush=True)


def board(case: str, seed: int, *, all_models: bool) -> pd.DataFrame:
    """The leaderboard of one run, as ``tsrnn backtest`` gives it, in the order of the file."""
    config = BacktestConfig.load(FOLDER / f"{case}.yaml", [f"seed={seed}"])
    models, (_, panel) = build_models(config), read_data(config)
    names = list(models)[: None if all_models or "Naive2" in models else 1]  # the unit of OWA
    asked = config.backtest.model_dump()
    result = backtest({name: models[name] for name in names}, panel, on_event=tell, **asked)
    return result.leaderboard().set_index("model").loc[names]


def run(case: str, seeds: list[int]) -> dict[str, Any]:
    boards, minutes = [], []
    for seed in seeds:
        start = time.perf_counter()
        boards.append(board(case, seed, all_models=not boards))
        minutes.append(round((time.perf_counter() - start) / 60, 1))
        print(
            f"{case}, seed {seed}, {minutes[-1]} minutes\n{boards[-1].round(4).to_string()}",
            file=sys.stderr,
            flush=True,
        )
    ours = pd.DataFrame([rows.iloc[0] for rows in boards])
    spread = ours.max() - ours.min()
    return {
        "case": case,
        "model": boards[0].index[0],
        **ours.mean().round(4),
        "spread": spread.round(4).to_dict(),
        "others": boards[0].iloc[1:].round(4).T.to_dict(),
        "seeds": seeds,
        "minutes": minutes,
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, metavar="NAME", help=f"one of {', '.join(CASES)}; by default all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="S")
    parser.add_argument("--quick", action="store_true", help="the case that needs no training")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write a list of all figures to FILE too")
    args = parser.parse_args()
    os.environ.setdefault("TSRNN_DATA", str(data_folder()))
    cases, seeds = [args.case] if args.case else CASES, args.seeds
    if args.quick:
        cases, seeds = ["oracles_m4_hourly"], [0]
    figures = []
    for case in cases:
        figures.append(run(case, seeds))
        print(json.dumps(figures[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
