"""Work units of a backtest, model x shard of series x group of folds: what one is, and running it.

A unit needs nothing from another one, so units may run anywhere and in any order, and what came of one can be kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import accumulate
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from tsrnn.data import Panel
from tsrnn.evaluation import metrics as formulas
from tsrnn.evaluation.splits import Folds
from tsrnn.forecasting.base import AbstractForecaster, interval_columns

__all__ = ["Part", "Unit", "make_units", "run_unit", "run_whole"]

FloatArray = NDArray[np.float64]

SHARD = 100
"""Series of one unit, of a model that learns each series alone."""

TOGETHER = 16
"""Fits of one unit at the most, of a model that fits them together: each has its own data on the device."""


@dataclass(frozen=True, eq=False)
class Unit:
    """A model, series, and the folds to fit and forecast.

    Attributes
    ----------
    name : str
        Of the model.
    model : AbstractForecaster
        Unfitted.
    groups : sequence of Folds
        One fit each, of these series alone. Several where each goes on from the one before, or all learn together.
    fold : int
        Number of the first fold.
    first, last : int
        The series: places ``first`` up to ``last`` in the panel.
    quantiles : tuple of float
        What is forecast besides the point.
    scored : bool, default False
        Whether the `crps` of the model's sample paths at each step follows.
    together : bool, default False
        Whether several groups are fitted as one program, none going on from another.
    """

    name: str
    model: AbstractForecaster
    groups: Sequence[Folds]
    fold: int
    first: int
    last: int
    quantiles: tuple[float, ...]
    scored: bool = False
    together: bool = False

    @property
    def starts(self) -> list[int]:
        """The number of each group's first fold."""
        return [*accumulate(map(len, self.groups[:-1]), initial=self.fold)]


@dataclass(frozen=True, eq=False)
class Part:
    """What came of one group of a unit.

    Attributes
    ----------
    fold : int
        Number of the first fold.
    values : array of float64, shape (K, N, H, C, 1 + Q), or 2 + Q where scored
        Forecasts of the rows tested.
    start : {"cold", "warm"}
        Whether the fit began anew or went on from another.
    fit_s, predict_s : float
        Seconds.
    fitted : AbstractForecaster or None
        The model; None if it was not asked for, or forgotten.
    """

    fold: int
    values: FloatArray
    start: str
    fit_s: float
    predict_s: float
    fitted: AbstractForecaster | None = None


def make_units(
    models: Mapping[str, AbstractForecaster],
    groups: Sequence[Folds],
    levels: Mapping[str, Sequence[float]],
    *,
    warm_start: bool,
    shards: bool,
    scored: bool = False,
) -> list[Unit]:
    """The units of a backtest, model by model.

    Parameters
    ----------
    models : mapping of forecasters
        By name.
    groups : sequence of Folds
        The folds of each fit.
    levels : mapping
        Levels of the intervals of each model.
    warm_start : bool
        Whether a fit goes on from the one before, so that all of a model are one unit.
    shards : bool
        Whether models that learn each series alone get `SHARD` series at once.
    scored : bool, default False
        Whether the sample paths of models that draw them are scored.
    """
    units = []
    n_series = groups[0].ends.shape[1]
    firsts = [*accumulate(map(len, groups[:-1]), initial=0)]
    for name, model in models.items():
        _, quantiles = interval_columns(name, levels[name])
        width = SHARD if shards and model.is_local else n_series
        goes_on = warm_start and hasattr(model, "fine_tune")
        size = len(groups) if goes_on else TOGETHER if model.fits_together else 1
        for fold, chain in [(firsts[k], groups[k : k + size]) for k in range(0, len(groups), size)]:
            together = len(chain) > 1 and not goes_on
            for first in range(0, n_series, width):
                last = min(first + width, n_series)
                own = [replace(g, starts=g.starts[:, first:last], ends=g.ends[:, first:last]) for g in chain]
                drawn = scored and model.draws_paths
                units.append(Unit(name, model, own, fold, first, last, tuple(quantiles), drawn, together))
    return units


def run_unit(unit: Unit, panel: Panel) -> Iterator[Part]:
    """Fit at the first cutoff of each group, and forecast from all of its cutoffs.

    BLAS and OpenMP have one thread meanwhile: units may run beside each other, and sums do not depend on where they do.

    Parameters
    ----------
    unit : Unit
        What to do.
    panel : Panel
        The series of the unit.
    """
    fits = _fits(unit, panel)
    for fold, group in zip(unit.starts, unit.groups, strict=True):
        with threadpool_limits(1):
            fitted, start, seconds = next(fits)
            ready = perf_counter()
            values = _forecast(fitted, panel, group, unit.quantiles, unit.scored)
        yield Part(fold, values, start, seconds, perf_counter() - ready, fitted)


def run_whole(unit: Unit, panel: Panel, fitted: bool) -> list[Part]:
    """All parts of a unit, with the fitted models or without."""
    return [part if fitted else replace(part, fitted=None) for part in run_unit(unit, panel)]


def _fits(unit: Unit, panel: Panel) -> Iterator[tuple[Any, str, float]]:
    """Models that have learned what is known in the first fold of each group, how they began, and seconds."""
    known = (panel.slice(group.starts[0], group.ends[0]) for group in unit.groups)
    fitted: Any = None
    began = perf_counter()
    if unit.together:
        several = unit.model.fit_folds([*known])
        seconds = (perf_counter() - began) / len(several)
        yield from ((fitted, "cold", seconds) for fitted in several)
        return
    for rows in known:
        start = "cold" if fitted is None else "warm"
        fitted = clone(unit.model).fit_panel(rows) if fitted is None else copy(fitted).fine_tune(rows)
        yield fitted, start, perf_counter() - began
        began = perf_counter()


def _forecast(
    fitted: AbstractForecaster, panel: Panel, group: Folds, quantiles: Sequence[float], scored: bool
) -> FloatArray:
    """Forecasts of the rows tested as in `Part.values`, read from the first row that was learned from on."""
    first, (n_windows, n_series) = group.starts[0], group.ends.shape
    seen = panel.slice(first, panel.lengths) if first.any() else panel
    series = np.tile(np.arange(n_series), n_windows)
    ends = (group.ends - first).reshape(-1)
    values = fitted.forecast_panel(seen, series, ends, quantiles)
    if scored:
        y = seen.values[(seen.indptr[series] + ends)[:, None] + np.arange(fitted.horizon)]
        scores = formulas.crps(y[..., None], fitted.paths(seen, series, ends)[..., None, :])
        values = np.concatenate([values, scores[..., None]], axis=-1)
    values = values[:, group.gap : group.gap + group.horizon]
    return values.reshape(n_windows, n_series, *values.shape[1:])
