"""The skeleton of a future frame, to be filled in by who knows the future covariates."""

from typing import Any, Unpack

import pandas as pd

from tsrnn.data.panel import Panel
from tsrnn.data.schema import Roles, Schema

__all__ = ["make_future_frame"]


def make_future_frame(
    data: "pd.DataFrame | pd.Series[Any] | Panel",
    horizon: int,
    *,
    freq: str | int | None = None,
    **roles: Unpack[Roles],
) -> pd.DataFrame:
    """The stamps ahead of every series, with empty columns for the future covariates.

    Parameters
    ----------
    data : DataFrame, Series or Panel
        The history, as in `Panel.from_frame`.
    horizon : int
        Steps ahead.
    freq : str or int, optional
        One step of the time axis; inferred when not given.
    **roles
        What the columns mean, as in `Schema`.

    Returns
    -------
    DataFrame
        ``id_col, time_col`` and the future covariates; ``horizon`` rows a series, series in the order of the history.

    Examples
    --------
    >>> df = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-30", periods=3), "y": 1.0, "price": 5.0})
    >>> make_future_frame(df, 2, future_covariates=["price"])
      unique_id         ds  price
    0         a 2024-02-02    NaN
    1         a 2024-02-03    NaN
    """
    return Panel.from_frame(data, Schema(**roles), freq).future_frame(horizon)
