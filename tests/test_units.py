"""Work units: cut and put together again they are the same backtest, whoever stops it in between."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

import tsrnn
from tests.strategies import gap_free
from tsrnn import Drift, LagRegressor, Naive, SeasonalNaive, backtest
from tsrnn.data import Panel
from tsrnn.evaluation import BacktestInterrupted, units
from tsrnn.evaluation.collector import Collector
from tsrnn.evaluation.engines import Engine, find_engine, spread
from tsrnn.evaluation.splits import make_folds
from tsrnn.training.steps import run_members

MODELS = {"SN": SeasonalNaive(horizon=2, season_length=3), "Ridge": LagRegressor(Ridge(), horizon=2, lags=3)}


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(units, "SHARD", 2)


@pytest.fixture(scope="module")
def panel():
    return Panel.from_frame(gap_free(lengths=(30, 25, 28, 31, 22)))


def assert_same(one, other):
    for name in ("forecasts", "metrics"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)
    pd.testing.assert_frame_equal(one.timings[["model", "fold", "start"]], other.timings[["model", "fold", "start"]])


class TestUnits:
    def made(self, panel, refit, **options):
        folds = make_folds(panel, horizon=2, n_windows=4)
        given = {"warm_start": False, "shards": True} | options
        return units.make_units(MODELS, folds.groups(refit), {"SN": (90.0,), "Ridge": ()}, **given)

    def test_model_x_shard_x_group(self, panel, small_shards):
        made = self.made(panel, refit=2)
        assert [(u.name, u.fold, u.first, u.last) for u in made] == [
            ("SN", 0, 0, 2), ("SN", 0, 2, 4), ("SN", 0, 4, 5), ("SN", 2, 0, 2), ("SN", 2, 2, 4), ("SN", 2, 4, 5),
            ("Ridge", 0, 0, 5), ("Ridge", 2, 0, 5),
        ]  # fmt: skip
        assert [u.quantiles for u in made[:1] + made[-1:]] == [(0.05, 0.95), ()]
        assert all(group.ends.shape == (2, u.last - u.first) for u in made for group in u.groups)

    def test_without_shards(self, panel):
        assert [(u.first, u.last) for u in self.made(panel, refit=True, shards=False)] == [(0, 5)] * 8

    def test_a_chain_of_warm_fits_is_one_unit(self, panel):
        folds = make_folds(panel, horizon=2, n_windows=4)
        models = {"net": tsrnn.Forecaster(tsrnn.GRU(hidden_size=2), horizon=2), "N": Naive(horizon=2)}
        made = units.make_units(models, folds.groups(3), {"net": (), "N": ()}, warm_start=True, shards=False)
        assert [(u.name, u.starts) for u in made] == [("net", [0, 3]), ("N", [0]), ("N", [3])]

    def test_any_order_gives_the_same_and_nothing_counts_twice(self, panel, small_shards):
        made, events = self.made(panel, refit=2), []
        collector = Collector(made, events.append)
        done = [(u, part) for u in made for part in units.run_unit(u, panel.select(u.first, u.last))]
        order = np.random.default_rng(0).permutation(len(done))
        assert collector.runs({"SN": (90.0,), "Ridge": ()}) == []
        for k in [*order, *order]:
            collector.add(*done[k])
        assert sorted((e.model, e.fold, e.fitted is None) for e in events) == [
            ("Ridge", 0, False), ("Ridge", 2, False), ("SN", 0, True), ("SN", 2, True),
        ]  # fmt: skip
        runs = collector.runs({"SN": (90.0,), "Ridge": ()})
        assert [run.name for run in runs] == ["SN", "Ridge"]
        wanted = backtest(MODELS, panel, n_windows=4, refit=2)
        columns = ["SN", "SN-lo-90", "SN-hi-90"]
        values = np.swapaxes(runs[0].values, 0, 1).reshape(-1, 3)
        np.testing.assert_array_equal(values, wanted.forecasts[columns])

    def test_blas_has_one_thread(self, panel, monkeypatch):
        from threadpoolctl import threadpool_info

        seen = []

        class Looks(Naive):
            def _fit(self, panel):
                seen.extend(pool["num_threads"] for pool in threadpool_info())

        backtest(Looks(horizon=2), panel)
        assert set(seen) == {1}


class TestFitsTogether:
    """As on an accelerator: the folds of a network are the members of one program."""

    @pytest.fixture(autouse=True)
    def _forced(self, monkeypatch):
        monkeypatch.setattr(tsrnn.Forecaster, "fits_together", True)

    def net(self, **given):
        training = tsrnn.Training(max_steps=8, eval_every=4, batch_size=4)
        return tsrnn.Forecaster(tsrnn.GRU(hidden_size=2), **{"horizon": 2, "training": training} | given)

    @pytest.mark.parametrize("options", [{}, {"train_size": 24}, {"level": [], "refit": 2}], ids=str)
    def test_each_is_what_it_would_be_alone(self, panel, monkeypatch, options):
        options = {"n_windows": 4, "refit": True} | options
        net, runs = self.net(context_length=6, season_length=1), run_members._cache_size()
        together = backtest([net, Naive(horizon=2)], panel, **options)
        assert run_members._cache_size() <= runs + 1
        monkeypatch.setattr(tsrnn.Forecaster, "fits_together", False)
        alone = backtest([net, Naive(horizon=2)], panel, **options)
        pd.testing.assert_frame_equal(together.forecasts, alone.forecasts, rtol=1e-3, atol=1e-3)
        pd.testing.assert_frame_equal(
            together.timings[["model", "fold", "start"]], alone.timings[["model", "fold", "start"]]
        )

    def test_units_hold_so_many_folds(self, panel, monkeypatch):
        monkeypatch.setattr(units, "TOGETHER", 3)
        groups = make_folds(panel, horizon=2, n_windows=4).groups(True)
        made = units.make_units(
            {"net": self.net(), "N": Naive(horizon=2)}, groups, {"net": (), "N": ()}, warm_start=False, shards=False
        )
        assert [(u.name, u.starts, u.together) for u in made[:3]] == [
            ("net", [0, 1, 2], True), ("net", [3], False), ("N", [0], False),
        ]  # fmt: skip

    def test_folds_that_ask_for_other_shapes_are_fitted_one_by_one(self, panel):
        cuts = [panel.until(np.full(5, n)) for n in (8, 20)]
        together = self.net(season_length=1).fit_folds(cuts)
        assert together[0].context_length_ < together[1].context_length_
        for model, cut in zip(together, cuts, strict=True):
            alone = self.net(season_length=1).fit(cut)
            pd.testing.assert_frame_equal(model.predict(), alone.predict(), check_exact=True)


class TestCheckpoint:
    def test_stopped_anywhere_it_goes_on_to_the_same(self, panel, small_shards, tmp_path):
        whole = backtest(MODELS, panel, n_windows=4, refit=2)
        for stop in range(1, 5):
            seen = []

            def interrupt(event, seen=seen, stop=stop):
                if event.seconds is not None:
                    seen.append(event.model)
                    if len(seen) == stop:
                        raise KeyboardInterrupt

            folder = tmp_path / str(stop)
            with pytest.raises(BacktestInterrupted) as caught:
                backtest(MODELS, panel, n_windows=4, refit=2, checkpoint=folder, on_event=interrupt)
            n_kept = len(list(folder.glob("*.parquet")))
            assert n_kept == [2, 5, 6, 7][stop - 1]  # who is stopped while it tells of a unit has not kept it
            assert (caught.value.result is not None) == (stop >= 3)
            resumed = []
            result = backtest(MODELS, panel, n_windows=4, refit=2, checkpoint=folder, on_event=resumed.append)
            assert_same(result, whole)
            assert len({(e.model, e.fold) for e in resumed}) == 5 - stop
            assert len(list(folder.glob("*"))) == 8

    def test_a_finished_one_computes_nothing_and_keeps_its_times(self, panel, tmp_path):
        first, events = backtest(MODELS, panel, n_windows=2, checkpoint=tmp_path), []
        again = backtest(MODELS, panel, n_windows=2, checkpoint=tmp_path, on_event=events.append)
        assert events == []
        assert_same(first, again)
        pd.testing.assert_frame_equal(first.timings, again.timings, check_exact=True)

    @pytest.mark.parametrize(
        ("change", "n_new"),
        [
            ({}, 0),
            ({"refit": 2}, 4),
            ({"n_windows": 3}, 2),
            ({"gap": 1, "horizon": 1}, 2),
            ({"train_size": 12}, 2),
            ({"level": [50]}, 1),  # Ridge has no intervals
            ({"metrics": ["mae"]}, 0),
            ({"season_length": 5}, 0),
        ],
    )
    def test_what_determines_a_unit(self, panel, tmp_path, change, n_new):
        backtest(MODELS, panel, n_windows=4, checkpoint=tmp_path)
        events = []
        backtest(MODELS, panel, **{"n_windows": 4} | change, checkpoint=tmp_path, on_event=events.append)
        assert sum(e.seconds is not None for e in events) == n_new

    def test_other_parameters_and_data_are_computed_and_names_do_not_matter(self, panel, tmp_path):
        def computed(models, data):
            events = []
            backtest(models, data, checkpoint=tmp_path, on_event=events.append)
            return [e.model for e in events if e.seconds is not None]

        assert computed(MODELS, panel) == ["SN", "Ridge"]
        other = {"a": LagRegressor(Ridge(alpha=2.0), horizon=2, lags=3), "b": SeasonalNaive(horizon=2, season_length=3)}
        assert computed(other, panel) == ["a"]
        changed = panel.slice(np.zeros(5, int), panel.lengths)
        changed.values[3] += 1e-9
        assert computed(MODELS, changed) == ["SN", "Ridge"]

    def test_models_of_one_s_own(self, panel, tmp_path):
        class Own(Drift):
            def __init__(self, *, horizon, weights):
                super().__init__(horizon=horizon)
                self.weights = weights

        def computed(weights):
            events = []
            backtest(Own(horizon=2, weights=weights), panel, checkpoint=tmp_path, on_event=events.append)
            return len(events)

        assert [computed(np.ones(2)), computed(np.ones(2)), computed(np.zeros(2))] == [2, 0, 2]

    def test_half_a_file_is_never_there(self, panel, tmp_path, monkeypatch):
        def killed(self, path, **options):
            path.write_bytes(b"PAR1")
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(pd.DataFrame, "to_parquet", killed)
            with pytest.raises(BacktestInterrupted):
                backtest(MODELS, panel, checkpoint=tmp_path)
        assert list(tmp_path.glob("*.parquet")) == []
        assert_same(backtest(MODELS, panel, checkpoint=tmp_path), backtest(MODELS, panel))


def doubled(x):
    return 2 * x


class TestEngines:
    @pytest.mark.parametrize("wrong", ["processes:0", "processes:two", "threads", "dask", "dask:", "ray:1", ""])
    def test_names_that_are_none(self, wrong):
        with pytest.raises(ValueError, match=rf"engine='{wrong}' is not known; give 'processes:2'"):
            find_engine(wrong)

    @pytest.mark.parametrize(("engine", "module"), [("dask://here:1", "distributed"), ("ray", "ray")])
    def test_without_the_extra(self, engine, module, monkeypatch):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=r"pip install 'tsrnn\[(dask|ray)\]'"):
            find_engine(engine)

    def test_processes(self):
        assert (find_engine("processes:3").n_jobs, find_engine("processes:3").backend) == (3, "loky")
        assert find_engine("processes").n_jobs >= 1

    @pytest.mark.parametrize("streams", [True, False])
    def test_every_result_comes_once(self, streams):
        threads = Engine("threading", n_jobs=2, streams=streams)
        results = list(spread({key: (n,) for n, key in enumerate("abcdefg")}, doubled, threads))
        assert sorted(results) == [(key, 2 * n) for n, key in enumerate("abcdefg")]

    def test_a_backtest_on_threads_of_joblib(self, panel, small_shards, monkeypatch):
        monkeypatch.setattr(
            sys.modules["tsrnn.evaluation.backtest"], "find_engine", lambda name: Engine("threading", n_jobs=2)
        )
        events = []
        result = backtest(MODELS, panel, n_windows=4, refit=2, engine="processes:2", on_event=events.append)
        assert_same(result, backtest(MODELS, panel, n_windows=4, refit=2))
        assert sorted((e.model, e.fold) for e in events) == [("Ridge", 0), ("Ridge", 2), ("SN", 0), ("SN", 2)]

    def test_the_engine_is_let_go_of_whatever_happens(self, panel, monkeypatch):
        closed = []
        engine = Engine("threading", n_jobs=1, close=lambda: closed.append(1))
        monkeypatch.setattr(sys.modules["tsrnn.evaluation.backtest"], "find_engine", lambda name: engine)
        backtest(Naive(horizon=2), panel, engine="ray")
        with pytest.raises(ValueError, match="lags must be"):
            backtest(LagRegressor(Ridge(), horizon=2, lags=0), panel, engine="ray")
        assert closed == [1]  # the second is refused before there is one
