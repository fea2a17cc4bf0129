"""Checkpoints: what it costs to keep the state of a training run on disk.

Fits one LSTM (hidden size 64, context 96, 128 windows a step, 600 steps) with a checkpoint every 100 steps and without,
in turns in one process, after both have run once. ``checkpoint_cost`` is what the median fit with checkpoints takes
more than the median fit without, as a share of the latter; a fit waits for the disk before it returns. ``cpu_cost`` is
the same in processor time of the whole process, which other work on the machine disturbs less; it knows no waiting.

    python benchmarks/checkpoint_cost.py [--quick] [--json FILE]
"""

import argparse
import dataclasses
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

EVERY = 100


def checkpoint_cost(steps: int = 600, pairs: int = 5) -> dict[str, float]:
    """Time the two fits in turns."""
    import tsrnn
    from tsrnn.data.synthetic import generate_series

    df = generate_series(20, freq="h", random_state=0, min_length=1000, max_length=1000)
    plain = tsrnn.Training(
        max_steps=steps, batch_size=128, eval_every=EVERY, patience=None, checkpoint_every=EVERY, progress=False
    )

    def seconds(training: tsrnn.Training) -> tuple[float, float]:
        model = tsrnn.Forecaster(tsrnn.LSTM(hidden_size=64), horizon=24, context_length=96, training=training)
        began = time.perf_counter(), time.process_time()
        model.fit(df)
        return time.perf_counter() - began[0], time.process_time() - began[1]

    def kept() -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as folder:
            return seconds(dataclasses.replace(plain, checkpoint=folder))

    short = dataclasses.replace(plain, max_steps=EVERY)
    seconds(short)
    with tempfile.TemporaryDirectory() as folder:
        seconds(dataclasses.replace(short, checkpoint=folder))  # compiles, and imports orbax
    without, with_them = zip(*((seconds(plain), kept()) for _ in range(pairs)), strict=True)
    (fit, fit_cpu), (more, more_cpu) = (
        map(statistics.median, zip(*runs, strict=True)) for runs in (without, with_them)
    )
    return {
        "checkpoint_cost": round(more / fit - 1, 4),
        "cpu_cost": round(more_cpu / fit_cpu - 1, 4),
        "fit_s": round(fit, 3),
        "fit_with_checkpoints_s": round(more, 3),
        "steps": steps,
        "steps_between": EVERY,
        "pairs": pairs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two pairs instead of five, of 200 steps each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    args = parser.parse_args()
    figures: dict[str, object] = {**(checkpoint_cost(200, 2) if args.quick else checkpoint_cost())}
    figures["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
