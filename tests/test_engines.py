"""The same backtest in processes, on Dask and on Ray, with a worker killed in the middle.

Dask and Ray are large and no part of the test environment: ``pip install 'tsrnn[dask,ray]'`` and ``make slow`` run all.
"""

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from sklearn.linear_model import Ridge

import tsrnn
from tests.mortal import Doomed, Mortal
from tsrnn.data.synthetic import generate_series
from tsrnn.evaluation import backtest, units

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of the clusters


@pytest.fixture(scope="module")
def df():
    return generate_series(12, freq="D", random_state=1, min_length=60, max_length=90)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(units, "SHARD", 4)


@pytest.fixture(scope="module", params=["processes", "dask", "ray"])
def engine(request):
    if request.param == "processes":
        yield "processes:2"
    elif request.param == "dask":
        distributed = pytest.importorskip("distributed", reason="needs pip install 'tsrnn[dask]'")
        options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
        with distributed.LocalCluster(**options) as cluster:
            yield cluster.scheduler_address.replace("tcp", "dask")
    else:
        ray = pytest.importorskip("ray", reason="needs pip install 'tsrnn[ray]'")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200_000_000)
        yield "ray"
        ray.shutdown()


def models():
    quick = tsrnn.Training(max_steps=5, batch_size=8)
    return {
        "LSTM": tsrnn.Forecaster(tsrnn.LSTM(hidden_size=8), horizon=3, training=quick),
        "SN": tsrnn.SeasonalNaive(horizon=3),
        "Ridge": tsrnn.LagRegressor(Ridge(), horizon=3, lags=7),
    }


def test_equal_bits_wherever_it_runs(df, engine):
    events = []
    here = backtest(models(), df, n_windows=4, refit=2)
    there = backtest(models(), df, n_windows=4, refit=2, engine=engine, on_event=events.append)
    pd.testing.assert_frame_equal(there.forecasts, here.forecasts, check_exact=True)
    pd.testing.assert_frame_equal(there.metrics, here.metrics, check_exact=True)
    assert sorted((e.model, e.fold) for e in events) == [(m, k) for m in ("LSTM", "Ridge", "SN") for k in (0, 2)]
    fitted = {(e.model, e.fold): e.fitted for e in events}
    assert fitted["SN", 0] is None  # in shards
    assert fitted["LSTM", 2].training_.steps == 5


def test_a_worker_killed_in_the_middle(df, engine, tmp_path):
    events = []
    model = Mortal(horizon=3, folder=str(tmp_path / "fits"), last_fit=5)
    (tmp_path / "fits").mkdir()
    result = backtest(
        {"Mortal": model},
        df,
        n_windows=4,
        refit=True,
        engine=engine,
        checkpoint=tmp_path / "units",
        on_event=events.append,
    )
    assert (tmp_path / "fits" / "died").exists()
    wanted = backtest({"Mortal": tsrnn.Drift(horizon=3)}, df, n_windows=4, refit=True)
    pd.testing.assert_frame_equal(result.forecasts, wanted.forecasts, check_exact=True)
    assert sorted(e.fold for e in events) == [0, 1, 2, 3]
    assert result.timings["fold"].tolist() == [0, 1, 2, 3]
    assert len(list((tmp_path / "units").glob("*.parquet"))) == 12
    assert len(list((tmp_path / "fits").glob("*.fit"))) >= 13  # twelve units, and what died with the worker again


def test_units_that_no_worker_survives_end_the_run(df):
    with pytest.raises(RuntimeError, match=r"died 3 times in a row, and none of the 3 units left"):
        backtest(Doomed(horizon=3), df, engine="processes:2")


def test_workers_end_with_a_run_that_was_killed(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from tests.mortal import Slow\n"
        "import numpy as np, tsrnn\n"
        "tsrnn.backtest({'a': Slow(horizon=1, folder=sys.argv[1]), 'b': Slow(horizon=1, folder=sys.argv[1])},"
        " np.arange(20.0), engine='processes:2')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path, Path(__file__).parents[1]])
    while len(workers := list(tmp_path.glob("*.fit"))) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    alive, until = {int(file.name.split("-")[0]) for file in workers}, time.monotonic() + 60
    while alive and time.monotonic() < until:
        alive = {pid for pid in alive if Path(f"/proc/{pid}").exists()}
        time.sleep(0.2)
    assert not alive
