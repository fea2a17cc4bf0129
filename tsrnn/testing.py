"""Checks for your own models: that nothing after a cutoff reaches a forecast."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from tsrnn.data import Panel, Roles, Schema
from tsrnn.data.validation import check_lengths
from tsrnn.forecasting.base import AbstractForecaster, interval_columns

__all__ = ["assert_no_leakage"]

_UNSEEN = "(never seen)"


def assert_no_leakage(
    model: AbstractForecaster,
    df: "pd.DataFrame | pd.Series[Any] | Panel",
    *,
    n_after: int | None = None,
    freq: str | int | None = None,
    **roles: Unpack[Roles],
) -> None:
    """Require that forecasts do not change by a bit when everything after the cutoff is poisoned.

    As in a backtest without refits, clones of the model are fitted on the rows up to a cutoff, and forecast in one call
    from there and from a horizon before the end, on a panel that holds all rows. Targets and past covariates after the
    cutoff, and future covariates after the horizon, are replaced by 1e9, by NaN, and by categories never seen, which
    move the codes of all others. What is known ahead stays: stamps, and future covariates over the horizon. The model
    must give equal bits when fitted twice.

    Parameters
    ----------
    model : AbstractForecaster
        Any forecaster; it is cloned and stays as it is.
    df : DataFrame, Series or Panel
        As in `AbstractForecaster.fit`.
    n_after : int, optional
        Rows of each series after the cutoff, at least the horizon; by default two horizons.
    freq : str or int, optional
        One step of the time axis; inferred when not given.
    **roles
        What the columns mean, as in `tsrnn.data.Schema`.

    Raises
    ------
    AssertionError
        If a forecast changes; the message names the poison, the series, the step and both values.
    DataError
        If a series is too short.

    Examples
    --------
    >>> from tsrnn import Drift
    >>> y = pd.Series([3.0, 5.0, 4.0, 6.0, 8.0, 7.0], index=pd.date_range("2024-01-01", periods=6))
    >>> assert_no_leakage(Drift(horizon=2), y)
    """
    n_after = 2 * model.horizon if n_after is None else n_after
    if n_after < model.horizon:
        raise ValueError(f"n_after={n_after!r} must be at least the horizon, {model.horizon}.")
    panel = Panel.from_frame(df, Schema(**roles), freq)
    needed, why = model._rows_needed()
    check_lengths(panel.ids, panel.lengths, needed + n_after, f"{why}, and {n_after} after the cutoff")
    ends = panel.lengths - n_after
    clean = _forecast(model, panel, ends)
    for name, dirty in _poisoned(panel, ends, model.horizon):
        forecast = _forecast(model, dirty, ends)
        changed = np.argwhere(~((clean == forecast) | (np.isnan(clean) & np.isnan(forecast))))
        if len(changed):
            i, step, channel, column = (int(place) for place in changed[0])
            raise AssertionError(
                f"{type(model).__name__} {model.name!r} sees what comes after the cutoff: with {name} there, "
                f"{len({int(row[0]) for row in changed})} of {len(panel.ids)} series are forecast otherwise. The first "
                f"is {panel.labels[i, channel]!r}, step {step + 1}: {clean[i, step, channel, column]!r} before, "
                f"{forecast[i, step, channel, column]!r} after."
            )


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
