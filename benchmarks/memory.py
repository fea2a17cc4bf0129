"""Memory: what training on a large panel takes beside the frame that it came from.

A child process makes a long frame of 10,000 series with 1,000 hourly steps, builds the panel and trains an LSTM for 100
steps (context 168, horizon 24); ``peak_bytes`` is its peak resident memory less what it had after the imports. Another
one only makes the frame. Beside it: the size of the frame, and what all windows of the panel would take if they were
written out in single precision, the target alone and the target with its history.

``peak_over_frame`` is the peak in units of the frame; ``limit_over_frame`` is three frames and 1 GB in the same units.

    python benchmarks/memory.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

CONTEXT, HORIZON = 168, 24


def resident() -> int:
    """Peak resident memory of this process so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def child(n_series: int, length: int, steps: int) -> None:
    """Measure in this process; ``steps=0`` stops when the frame is made."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import pandas as pd

    import tsrnn
    from tsrnn.forecasting.forecaster import Forecaster

    jax.block_until_ready(jnp.zeros(1))
    base = resident()
    stamps = pd.date_range("2024-01-01", periods=length, freq="h").to_numpy()
    rng = np.random.default_rng(0)
    df = pd.DataFrame(
        {
            "unique_id": pd.array([f"series_{i:06d}" for i in range(n_series)], dtype="str").repeat(length),
            "ds": np.tile(stamps, n_series),
            "y": rng.normal(size=n_series * length),
        }
    )
    frame = int(df.memory_usage(deep=True, index=True).sum())
    made = resident() - base
    windows = None
    if steps:
        training = tsrnn.Training(max_steps=steps, batch_size=64, progress=False)
        model = Forecaster(tsrnn.LSTM(hidden_size=32), horizon=HORIZON, context_length=CONTEXT, training=training)
        model.fit(df)
        windows = n_series * (length - CONTEXT - HORIZON + 1)
    print(json.dumps({"frame": frame, "made": made, "peak": resident() - base, "windows": windows}))


def measured(*sizes: int) -> dict[str, int]:
    command = [sys.executable, __file__, "--child", *map(str, sizes)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(out.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the series and of the steps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--child", type=int, nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child)
        return
    n_series, length, steps = (1_000, 1_000, 10) if args.quick else (10_000, 1_000, 100)
    run = measured(n_series, length, steps)
    frame = run["frame"]
    figures = {
        "peak_over_frame": round(run["peak"] / frame, 2),
        "limit_over_frame": round(3 + 1e9 / frame, 2),
        "peak_bytes": run["peak"],
        "frame_bytes": frame,
        "making_the_frame_bytes": run["made"],
        "windows": run["windows"],
        "windows_target_bytes": 4 * HORIZON * run["windows"],
        "windows_bytes": 4 * (CONTEXT + HORIZON) * run["windows"],
        "rows": n_series * length,
        "steps": steps,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
