"""Frames of other libraries: what came in is turned into pandas, and what goes out into the kind that came in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from narwhals.stable.v2.typing import IntoDataFrame, IntoSeries
from numpy.typing import NDArray

from tsrnn.data import validation

__all__ = ["Kind", "Tabular", "from_pandas", "to_pandas"]

Tabular: TypeAlias = "pd.DataFrame | pd.Series[Any] | NDArray[Any] | IntoDataFrame | IntoSeries"
"""A frame or Series of pandas or polars, an Arrow table, or a NumPy array of one or two axes."""


@dataclass(frozen=True)
class Kind:
    """What data came as.

    Parameters
    ----------
    library : {"pandas", "numpy", "polars", "pyarrow"}, default "pandas"
        Whose frame or array it was.
    ndim : int, default 2
        Axes of an array: 1 for one series, 2 for a column a series.
    dtypes : mapping of str to sequence of str
        Types that are not those of the forecast's frame, by column: a type's name, and the categories of an ``Enum`` or
        the frequency of a ``Period``.
    """

    library: str = "pandas"
    ndim: int = 2
    dtypes: Mapping[str, Sequence[str]] = field(default_factory=dict)


def to_pandas(data: Tabular, names: Sequence[str] = ()) -> "tuple[pd.DataFrame | pd.Series[Any], Kind]":
    """Data as a pandas frame or Series, and the kind it was.

    Parameters
    ----------
    data : DataFrame, Series, Table or array
        Of pandas (handed back as it is), polars, pyarrow or NumPy. Row i of an array is time i; the columns of one
        with two axes are series named ``"0"``, ``"1"`` ...
    names : sequence of str
        Columns whose type is to be remembered for the way back, that of the time first.

    Returns
    -------
    data : DataFrame or Series
    kind : Kind

    Raises
    ------
    TypeError
        If it is something else.
    DataError
        If an array has no axis, or more than two, or holds something that is no number; if a table has a column name
        twice.

    Examples
    --------
    >>> to_pandas(np.zeros((2, 3)))[0]
         0    1    2
    0  0.0  0.0  0.0
    1  0.0  0.0  0.0
    """
    if isinstance(data, (pd.DataFrame, pd.Series)):
        return data, Kind(dtypes={name: ["Period", freq] for name in names[:1] if (freq := _periods(data, name))})
    if isinstance(data, np.ndarray):
        validation.check_axes(data.shape)
        columns = ["y"] if data.ndim == 1 else [str(i) for i in range(data.shape[1])]
        frame = pd.DataFrame(data, columns=columns)
        if data.dtype.kind not in "biuf":
            frame = frame.assign(**{name: validation.numbers(frame[name], frame) for name in columns})
        return (frame["y"] if data.ndim == 1 else frame), Kind("numpy", data.ndim)
    header = pd.DataFrame(columns=list(getattr(data, "column_names", ())))  # Arrow allows a name twice
    validation.check_columns(header, [], "")
    table = nw.from_native(data, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(table, nw.Series):
        return table.to_pandas().rename(table.name or None), Kind(table.implementation.value)
    if not isinstance(table, nw.DataFrame):
        raise TypeError(
            "expected a DataFrame or Series of pandas or polars, an Arrow table, a NumPy array, or a Panel, got "
            f"{type(data).__name__}."
        )
    schema = table.schema
    dtypes = {name: _written(schema[name]) for name in names if name in schema and schema[name] != nw.Datetime}
    plain: dict[Any, Any] = {nw.Date: nw.Datetime("ms"), nw.Decimal: nw.Float64()}  # these would become Python objects
    casts = [nw.col(name).cast(plain[type(dtype)]) for name, dtype in schema.items() if type(dtype) in plain]
    return table.with_columns(casts).to_pandas(), Kind(table.implementation.value, 2, dtypes)


def from_pandas(frame: pd.DataFrame, kind: Kind, horizon: int) -> Any:
    """Forecasts in the kind that came in.

    Parameters
    ----------
    frame : DataFrame
        Two columns of names and stamps, then K of numbers; a row per series and step.
    kind : Kind
        What came in.
    horizon : int
        H, the rows of each series.

    Returns
    -------
    DataFrame, Table or array
        A frame of the library; of NumPy an array of shape (H,), or (H, N) for N series, with one more axis of length K
        at the end if K is above 1.

    Examples
    --------
    >>> frame = pd.DataFrame({"unique_id": list("aabb"), "ds": [7, 8, 7, 8], "Naive": [1.0, 1.0, 5.0, 5.0]})
    >>> from_pandas(frame, Kind("numpy"), horizon=2)
    array([[1., 5.],
           [1., 5.]])
    """
    if kind.library == "pandas":
        return frame.assign(**{name: pd.PeriodIndex(frame[name], freq=freq) for name, (_, freq) in kind.dtypes.items()})
    if kind.library == "numpy":
        return _array(frame, kind.ndim, horizon)
    table = nw.from_native(frame, eager_only=True)
    into = nw.from_native(table.to_polars() if kind.library == "polars" else table.to_arrow(), eager_only=True)
    casts = [
        nw.col(name).cast(_read(dtype))
        for name, dtype in kind.dtypes.items()
        if name in frame and not (dtype[0] == "Date" and _has_clock(frame[name]))
    ]
    return into.with_columns(casts).to_native()


def _array(frame: pd.DataFrame, ndim: int, horizon: int) -> NDArray[np.float64]:
    values = frame.iloc[:, 2:].to_numpy(np.float64).reshape(-1, horizon, frame.shape[1] - 2).swapaxes(0, 1)
    values = values[..., 0] if values.shape[-1] == 1 else values
    return values[:, 0] if ndim == 1 else values


def _periods(data: "pd.DataFrame | pd.Series[Any]", name: str) -> str | None:
    """The frequency of the periods in a column or in the index, if that is what tells the time."""
    levels = [data.index.get_level_values(i) for i in range(data.index.nlevels)]
    times = [data[name]] if isinstance(data, pd.DataFrame) and name in data.columns else levels
    found = [str(t.dtype)[len("period[") : -1] for t in times if isinstance(t.dtype, pd.PeriodDtype)]
    return found[0] if found else None


def _written(dtype: Any) -> list[str]:
    """A type as text, in lists that JSON can hold."""
    return [type(dtype).__name__, *(dtype.categories if isinstance(dtype, nw.Enum) else ())]


def _read(dtype: Sequence[str]) -> Any:
    name, *categories = dtype
    return nw.Enum(categories) if categories else getattr(nw, name)()


def _has_clock(stamps: "pd.Series[Any]") -> bool:
    """Whether stamps say more than the day."""
    return bool((stamps != stamps.dt.normalize()).any())
