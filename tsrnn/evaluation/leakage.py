"""Whether a forecast knows what comes after its cutoff: all of that is poisoned, and no bit may change."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from tsrnn.data import Panel
from tsrnn.forecasting.base import AbstractForecaster, interval_columns

__all__ = ["find_leak"]

_UNSEEN = "(never seen)"


def find_leak(model: AbstractForecaster, panel: Panel, ends: NDArray[np.int64]) -> str | None:
    """What a model shows to know of the rows after a cutoff.

    Clones of the model are fitted on the rows up to the cutoff, and forecast in one call from there and from a horizon
    before the end, on a panel that holds all rows. Targets and past covariates after the cutoff, and future covariates
    after the horizon, are replaced by 1e9, by NaN, and by categories never seen, which move the codes of all others.
    What is known ahead stays: stamps, and future covariates over the horizon.

    Parameters
    ----------
    model : AbstractForecaster
        Any forecaster that gives equal bits when fitted twice; it stays as it is.
    panel : Panel
        With at least a horizon of rows after the cutoff.
    ends : array of int64, shape (N,)
        How many rows of each series are known.

    Returns
    -------
    str or None
        A sentence that names the poison, the series, the step and both values; None if nothing changed.
    """
    clean = _forecast(model, panel, ends)
    for name, dirty in _poisoned(panel, ends, model.horizon):
        forecast = _forecast(model, dirty, ends)
        changed = np.argwhere(~((clean == forecast) | (np.isnan(clean) & np.isnan(forecast))))
        if len(changed):
            i, step, channel, column = (int(place) for place in changed[0])
            return (
                f"with {name} there, {len({int(row[0]) for row in changed})} of {len(panel.ids)} series are forecast "
                f"otherwise. The first is {panel.labels[i, channel]!r}, step {step + 1}: "
                f"{clean[i, step, channel, column]!r} before, {forecast[i, step, channel, column]!r} after."
            )
    return None


def _forecast(model: AbstractForecaster, panel: Panel, ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """Point forecasts and bounds from the cutoffs, the model fitted on what is known there, the panel holding more."""
    quantiles = interval_columns(model.name, model.default_level)[1]
    fitted: AbstractForecaster = clone(model).fit_panel(panel.until(ends))
    series, later = np.arange(len(panel.ids)), panel.lengths - model.horizon
    with np.errstate(all="ignore"):  # from the later cutoff, poison is forecast
        values = fitted.forecast_panel(panel, np.tile(series, 2), np.concatenate([ends, later]), quantiles)
    return values[: len(series)]


def _poisoned(panel: Panel, ends: NDArray[np.int64], horizon: int) -> Iterator[tuple[str, Panel]]:
    """The panel with poison after the cutoff, in three ways."""
    place = np.arange(len(panel.times)) - np.repeat(panel.indptr[:-1] + ends, panel.lengths)
    hidden = np.tile(place[:, None] >= 0, panel.covariates.shape[1])
    hidden[:, len(panel.schema.past_covariates) :] = place[:, None] >= horizon
    categorical = np.asarray([name in panel.levels for name in panel.schema.covariates], bool)

    def spoil(value: float, levels: Any = None, shift: int = 0) -> Panel:
        covariates = panel.covariates + shift * categorical
        covariates = np.where(hidden, np.where(categorical, 0 if shift else np.nan, value), covariates)
        values = np.where(place[:, None] >= 0, value, panel.values)
        return dataclasses.replace(panel, values=values, covariates=covariates, levels=levels or panel.levels)

    yield "values of 1e9", spoil(1e9)
    yield "missing values", spoil(np.nan)
    if categorical.any():
        read = {name for name, is_one in zip(panel.schema.covariates, categorical, strict=True) if is_one}
        levels = {name: ((_UNSEEN,) if name in read else ()) + tuple(own) for name, own in panel.levels.items()}
        yield "categories never seen", spoil(1e9, levels, 1)
