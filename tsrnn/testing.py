"""Checks for your own models: that nothing after a cutoff reaches a forecast."""

from typing import TYPE_CHECKING, Any, Unpack

from tsrnn.data import Panel, Roles, Schema
from tsrnn.data.validation import check_lengths
from tsrnn.evaluation.leakage import find_leak
from tsrnn.forecasting.base import AbstractForecaster

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["assert_no_leakage"]


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
    >>> import pandas as pd
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
    leak = find_leak(model, panel, ends)
    if leak is not None:
        raise AssertionError(f"{type(model).__name__} {model.name!r} sees what comes after the cutoff: {leak}")
