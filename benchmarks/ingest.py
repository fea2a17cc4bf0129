"""Ingest: building a panel from a long frame, as a ratio of reading the same rows from a CSV file.

Writes a long frame (series with names of text, hourly stamps, two columns of numbers) to a CSV file, then times in
turn, in one process, ``pandas.read_csv(engine="pyarrow")`` of that file and ``Panel.from_frame`` of the frame: with
the rows of each series together, and with all rows ordered by time. Figures are medians of five turns; the headline
``ingest_vs_read_csv`` is the first panel over read_csv. Needs pyarrow; the full size about 3 GB of memory and .5 GB of
disk.

    python benchmarks/ingest.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from tsrnn.data import Panel, Schema

SCHEMA = Schema(past_covariates=["x"])


def long_frame(n_series: int, n_rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2024-01-01", periods=n_rows, freq="h")
    return pd.DataFrame(
        {
            "unique_id": np.repeat([f"meter-{i:05d}" for i in range(n_series)], n_rows),
            "ds": np.tile(stamps.to_numpy(), n_series),
            "y": rng.normal(100, 15, n_series * n_rows).round(3),
            "x": rng.normal(size=n_series * n_rows).round(3),
        }
    )


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="500,000 rows instead of 10,000,000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    args = parser.parse_args()

    frame = long_frame(500 if args.quick else 10_000, 1000)
    by_time = frame.sort_values("ds", kind="stable", ignore_index=True)
    times: dict[str, list[float]] = {"read_csv": [], "panel": [], "panel_by_time": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.csv")
        frame.to_csv(path, index=False)
        for _ in range(5):
            times["read_csv"].append(seconds(lambda: pd.read_csv(path, engine="pyarrow")))
            times["panel"].append(seconds(lambda: Panel.from_frame(frame, SCHEMA)))
            times["panel_by_time"].append(seconds(lambda: Panel.from_frame(by_time, SCHEMA)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    figures = {
        "ingest_vs_read_csv": round(medians["panel"] / medians["read_csv"], 2),
        "by_time_vs_read_csv": round(medians["panel_by_time"] / medians["read_csv"], 2),
        **{f"{name}_s": round(value, 3) for name, value in medians.items()},
        "rows": len(frame),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
