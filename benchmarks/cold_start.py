"""Cold start: what a new process pays before tsrnn answers.

Times whole processes from outside, the median of several: ``import tsrnn``, the import of the forecaster (jax and
flax with it), ``tsrnn --help``, and a 50-step LSTM fit on 144 months, first with an empty compilation cache, then with
the cache that the first one filled. ``python_s`` is an empty Python process, the floor of all the others.

    python benchmarks/cold_start.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIT = """
import tsrnn
df = tsrnn.read_csv({path!r})
training = tsrnn.Training(max_steps=50, progress=False)
tsrnn.Forecaster(tsrnn.LSTM(), horizon=12, training=training).fit(df).predict()
"""


def seconds(command: list[str], **environment: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env=os.environ | environment, cwd=tempfile.gettempdir()
    )
    return time.perf_counter() - began


def median(command: list[str], runs: int, **environment: str) -> float:
    return round(statistics.median(seconds(command, **environment) for _ in range(runs)), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one run of each instead of five")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    args = parser.parse_args()
    runs = 1 if args.quick else 5

    python = [sys.executable, "-c"]
    fit = [*python, FIT.format(path=str(ROOT / "datasets" / "air_passengers.csv"))]
    command = shutil.which("tsrnn", path=Path(sys.executable).parent) or "tsrnn"
    seconds([command, "--help"])  # the first start writes byte code; a user pays it once

    colds, warms = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as cache:
            environment = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
            colds.append(seconds(fit, **environment))
            warms.append(seconds(fit, **environment))
    figures = {
        "python_s": median([*python, ""], runs),
        "import_s": median([*python, "import tsrnn"], runs),
        "import_forecaster_s": median([*python, "import tsrnn; tsrnn.Forecaster"], runs),
        "help_s": median([command, "--help"], runs),
        "fit_cold_s": round(statistics.median(colds), 3),
        "fit_warm_s": round(statistics.median(warms), 3),
        "runs": runs,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
