"""Puts together what came of the units of a backtest, and tells of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tsrnn.evaluation.judge import Run
from tsrnn.evaluation.units import Part, Unit
from tsrnn.forecasting.base import AbstractForecaster

__all__ = ["BacktestEvent", "Collector"]


@dataclass(frozen=True)
class BacktestEvent:
    """A fit begins, or its forecasts are done.

    Parameters
    ----------
    model : str
        Name of the model.
    fold : int
        The first fold that this fit forecasts, from 0.
    n_windows : int
        Folds in all.
    seconds : float, optional
        Time for fitting and forecasting; None when it begins, of which only fits in this process tell.
    fitted : forecaster, optional
        The fitted clone; None when it begins, and where shards of the series were fitted one by one.
    """

    model: str
    fold: int
    n_windows: int
    seconds: float | None = None
    fitted: AbstractForecaster | None = None


class Collector:
    """Takes the parts of all units, in any order, and tells of each fit when its last shard is there.

    Parameters
    ----------
    units : sequence of Unit
        All units of the backtest.
    tell : callable, optional
        Called with a `BacktestEvent`.
    """

    def __init__(self, units: Sequence[Unit], tell: Callable[[BacktestEvent], object] | None = None) -> None:
        self.listens = tell is not None
        self._tell = tell or (lambda event: None)
        self._parts: dict[tuple[str, int], dict[int, Part]] = {}
        self._begun: set[tuple[str, int]] = set()
        self._wanted: dict[str, dict[int, set[int]]] = {}
        for unit in units:
            for fold in unit.starts:
                self._wanted.setdefault(unit.name, {}).setdefault(fold, set()).add(unit.first)
        of_one = [unit for unit in units if unit.name == units[0].name and unit.first == 0]
        self.n_windows = sum(len(group) for unit in of_one for group in unit.groups)

    def begin(self, unit: Unit, fold: int) -> None:
        """A fit begins in this process."""
        if (unit.name, fold) not in self._begun:
            self._begun.add((unit.name, fold))
            self._tell(BacktestEvent(unit.name, fold, self.n_windows))

    def add(self, unit: Unit, part: Part, *, silent: bool = False) -> None:
        """Take a part; one that was there already is not counted twice."""
        shards = self._parts.setdefault((unit.name, part.fold), {})
        if unit.first in shards:
            return
        wanted, there = self._wanted[unit.name][part.fold], [*shards.values(), part]
        if not silent and len(there) == len(wanted):
            seconds = sum(shard.fit_s + shard.predict_s for shard in there)
            fitted = part.fitted if len(wanted) == 1 else None
            self._tell(BacktestEvent(unit.name, part.fold, self.n_windows, seconds, fitted))
        shards[unit.first] = replace(part, fitted=None)

    def runs(self, levels: Mapping[str, tuple[float, ...]]) -> list[Run]:
        """The models of which everything is there, in their order."""
        return [
            self._run(name, levels[name])
            for name, wanted in self._wanted.items()
            if all(self._parts.get((name, fold), {}).keys() == shards for fold, shards in wanted.items())
        ]

    def _run(self, name: str, levels: tuple[float, ...]) -> Run:
        """All of a model put together: shards side by side, folds one after the other."""
        blocks, timings = [], []
        for fold in sorted(self._wanted[name]):
            shards = [part for _, part in sorted(self._parts[name, fold].items())]
            blocks.append(np.concatenate([part.values for part in shards], axis=1))
            seconds = {key: sum(getattr(part, key) for part in shards) for key in ("fit_s", "predict_s")}
            timings.append({"model": name, "fold": fold, "start": shards[0].start, **seconds})
        return Run(name, levels, np.concatenate(blocks), timings)
