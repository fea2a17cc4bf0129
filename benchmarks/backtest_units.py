"""Work units of a backtest: one process, two processes, two Dask workers; time and peak memory.

1,000 daily series of 400 steps, 10 folds of 14 steps, every model fitted anew in each: a seasonal naive forecast (a
hundred units, of 100 series each), a ridge regression on 28 lags (ten), an LSTM of 32 trained for 100 steps of 64
windows (ten). Every engine is measured in a process of its own, which makes the frame and runs the backtest once;
``*_s`` goes from the frame to the result, with starting workers and compilation (no cache on disk). ``*_peak_bytes`` is
the peak of that process less what it had after its imports, ``*_worker_bytes`` the peak of the largest worker, with its
imports. ``units_equal`` tells whether all forecasts are equal to the bit. A process that has not ended after an hour
says where it is and ends.

Dask is measured where it is installed (``pip install 'tsrnn[dask]'``).

    python benchmarks/backtest_units.py [--quick] [--json FILE]
"""

import argparse
import faulthandler
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

ENGINES = ("here", "processes", "dask")

LIMIT_S = 3600


def peak(who: int) -> int:
    return 1024 * resource.getrusage(who).ru_maxrss


def child(engine: str, n_series: int, folds: int, steps: int) -> None:
    """Measure in this process."""
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    import jax
    import jax.numpy as jnp
    from sklearn.linear_model import Ridge

    import tsrnn
    from tsrnn.data.synthetic import generate_series
    from tsrnn.forecasting.forecaster import Forecaster

    jax.block_until_ready(jnp.zeros(1))
    df = generate_series(n_series, freq="D", random_state=0, min_length=400, max_length=400)
    base = peak(resource.RUSAGE_SELF)
    training = tsrnn.Training(max_steps=steps, batch_size=64, progress=False)
    models = {
        "SeasonalNaive": tsrnn.SeasonalNaive(horizon=14),
        "Ridge": tsrnn.LagRegressor(Ridge(), horizon=14, lags=28),
        "LSTM": Forecaster(tsrnn.LSTM(hidden_size=32), horizon=14, context_length=28, training=training),
    }
    began = time.perf_counter()
    with ExitStack() as stack:
        where = {"here": None, "processes": "processes:2"}.get(engine)
        if engine == "dask":
            from distributed import LocalCluster

            cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
            where = stack.enter_context(cluster).scheduler_address.replace("tcp", "dask")
        result = tsrnn.backtest(models, df, n_windows=folds, refit=True, engine=where)
        seconds = time.perf_counter() - began
    if engine == "processes":
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)
    values = result.forecasts.iloc[:, 3:].to_numpy(float)
    fits = result.timings.groupby("model", sort=False)[["fit_s", "predict_s"]].sum().sum(axis=1).round(2)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "peak": peak(resource.RUSAGE_SELF) - base,
                "worker": peak(resource.RUSAGE_CHILDREN) if engine != "here" else None,
                "models": fits.to_dict(),
                "digest": hashlib.sha256(values.tobytes()).hexdigest(),
            }
        )
    )


def measured(*args: object) -> dict:
    command = [sys.executable, __file__, "--child", *map(str, args)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(out.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 series, 3 folds, 10 steps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], *map(int, args.child[1:]))
        return
    size = (100, 3, 10) if args.quick else (1_000, 10, 100)
    runs = {name: measured(name, *size) for name in ENGINES if name != "dask" or find_spec("distributed")}
    figures: dict[str, object] = {
        "units_equal": len({run["digest"] for run in runs.values()}) == 1,
        **{f"{name}_s": round(run["seconds"], 1) for name, run in runs.items()},
        **{f"{name}_peak_bytes": run["peak"] for name, run in runs.items()},
        **{f"{name}_worker_bytes": run["worker"] for name, run in runs.items() if run["worker"]},
        **{f"{name}_s_by_model": run["models"] for name, run in runs.items()},
        "size": dict(zip(("series", "folds", "steps"), size, strict=True)),
        "load": os.getloadavg()[0],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
