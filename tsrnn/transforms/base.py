"""The contract of transforms: a frozen specification whose ``fit`` gives a `Fitted` value that goes there and back."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.data import Panel, Roles, Schema
from tsrnn.data.calendar import Frequency
from tsrnn.data.validation import check_fitted, check_row_for_row

__all__ = ["AbstractPointwise", "AbstractTransform", "Fitted", "State", "known_rows"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

State = dict[str, Any]
"""What a transform has learned, by name: arrays whose first axis is the series."""


class AbstractTransform(ABC):
    """A specification; ``fit`` learns from all rows it is given, so the caller cuts them at the cutoff.

    A transform says what it learns (`learn`), how a panel goes there (`forward`) and back (`backward`), and how
    forecasts come back (`ahead`). States are in the order of the panel's series.
    """

    def fit(
        self, data: "pd.DataFrame | pd.Series[Any] | Panel", *, freq: str | int | None = None, **roles: Unpack[Roles]
    ) -> "Fitted":
        """Learn from all rows.

        Parameters
        ----------
        data : DataFrame, Series or Panel
            As in `tsrnn.data.Panel.from_frame`; missing values are left out.
        freq : str or int, optional
            One step of the time axis; inferred when not given.
        **roles
            What the columns mean, as in `tsrnn.data.Schema`.

        Raises
        ------
        DataError
            If the data cannot be used, or have values that the transform does not take.
        """
        panel = Panel.from_frame(data, Schema(**roles), freq)
        return Fitted(self, self.learn(panel), panel.ids, panel.schema, panel.freq)

    def fit_transform(
        self, data: "pd.DataFrame | pd.Series[Any] | Panel", *, freq: str | int | None = None, **roles: Unpack[Roles]
    ) -> Any:
        """The data transformed by what was learned from them; see `fit`."""
        return self.fit(data, freq=freq, **roles).transform(data)

    @abstractmethod
    def learn(self, panel: Panel) -> State:
        """What the panel's rows teach."""

    @abstractmethod
    def forward(self, state: State, panel: Panel) -> Panel:
        """The panel in transformed units; what is missing stays missing."""

    @abstractmethod
    def backward(self, state: State, panel: Panel) -> Panel:
        """The inverse of `forward`."""

    @abstractmethod
    def ahead(self, state: State, values: Floats, panel: Panel, series: Ints, ends: Ints) -> Floats:
        """Forecasts back in the units of ``panel``; see `Fitted.inverse_forecast`."""

    def lookback(self, freq: Frequency) -> int:
        """Rows before a step that its transformed value may depend on."""
        return 0

    def covariates(self, panel: Panel) -> list[int]:
        """Places of the covariates that are transformed."""
        return []

    def extend(self, state: State, at: Ints, panel: Panel, known: Ints) -> State:
        """The state in the order of another panel's series; ``at[i]`` is the place of series ``i``, -1 for a new one.

        A new series gets what its own first ``known[i]`` rows teach.
        """
        ordered = {name: array[at] for name, array in state.items()}
        if (at >= 0).all():
            return ordered
        own = self.learn(panel.until(known))
        return {
            name: np.where((at >= 0).reshape(-1, *[1] * (array.ndim - 1)), array, own[name])
            for name, array in ordered.items()
        }


class AbstractPointwise(AbstractTransform):
    """A transform of each value by itself: a rising function with parameters of the series and channel.

    Quantiles and sample paths of forecasts come back exactly. A point forecast comes back as the median does.
    """

    @abstractmethod
    def there(self, x: Floats, state: State) -> Floats:
        """The function; the state's arrays have the shape of ``x`` or broadcast to it."""

    @abstractmethod
    def back(self, x: Floats, state: State) -> Floats:
        """The inverse, finite for every finite number."""

    def forward(self, state: State, panel: Panel) -> Panel:
        """Every value by itself."""
        return replace(panel, values=self.there(panel.values, _by_row(state, panel)))

    def backward(self, state: State, panel: Panel) -> Panel:
        """Every value by itself."""
        return replace(panel, values=self.back(panel.values, _by_row(state, panel)))

    def ahead(self, state: State, values: Floats, panel: Panel, series: Ints, ends: Ints) -> Floats:
        """Every value by itself."""
        return self.back(values, {name: array[series][:, None, :, None] for name, array in state.items()})


@dataclass(frozen=True)
class Fitted:
    """A transform and what it has learned; made by `AbstractTransform.fit`.

    Attributes
    ----------
    spec : AbstractTransform
        The specification.
    state : dict of str to array, each of shape (N, ...)
        What was learned.
    ids : array of object, shape (N,)
        The series it was learned from.
    schema : Schema
        The roles of the columns, with which frames are read.
    freq : Frequency
        One step of the time axis.

    Examples
    --------
    >>> import pandas as pd
    >>> from tsrnn.transforms import StandardScaler
    >>> y = pd.Series([1.0, 2.0, 3.0], index=pd.date_range("2024-01-01", periods=3))
    >>> fitted = StandardScaler().fit(y)
    >>> fitted.transform(y).round(2).tolist()
    [-1.22, 0.0, 1.22]
    >>> fitted.inverse_transform(fitted.transform(y)).tolist()
    [1.0, 2.0, 3.0]
    """

    spec: AbstractTransform
    state: State
    ids: NDArray[np.object_]
    schema: Schema
    freq: Frequency

    def transform(self, data: "pd.DataFrame | pd.Series[Any] | Panel") -> Any:
        """The data in transformed units.

        Parameters
        ----------
        data : DataFrame, Series or Panel
            A series that was not fitted is transformed by what its own rows teach.

        Returns
        -------
        DataFrame, Series or Panel
            The same rows and columns as ``data``, in the same order.
        """
        panel = Panel.from_frame(data, self.schema, self.freq)
        fitted = self.on(panel, panel.lengths)
        return _like(data, self.spec.forward(fitted.state, panel))

    def inverse_transform(self, data: "pd.DataFrame | pd.Series[Any] | Panel") -> Any:
        """The inverse of `transform`, for the series that were fitted.

        Parameters
        ----------
        data : DataFrame, Series or Panel
            What `transform` gave.

        Raises
        ------
        DataError
            If a series was not fitted.
        """
        panel = Panel.from_frame(data, self.schema, self.freq)
        at = self._places(panel)
        check_fitted(panel.ids, at >= 0)
        return _like(data, self.spec.backward(self.spec.extend(self.state, at, panel, panel.lengths), panel))

    def inverse_forecast(self, values: Floats, panel: Panel, series: Ints, ends: Ints) -> Floats:
        """Forecasts back in the units of the data.

        Parameters
        ----------
        values : array of float64, shape (B, H, C, K)
            Point forecasts, quantiles or sample paths in transformed units, from the cutoff on.
        panel : Panel
            The untransformed data, series as in `on`.
        series, ends : array of int, shape (B,)
            Series ``series[b]`` is known up to its row ``ends[b] - 1``; nothing after that is read.

        Returns
        -------
        array of float64, shape (B, H, C, K)
        """
        return self.spec.ahead(self.state, values, panel, series, ends)

    def on(self, panel: Panel, known: Ints) -> "Fitted":
        """The fitted transform in the order of another panel's series.

        Parameters
        ----------
        panel : Panel
            Any series. One that was not fitted gets what its own first ``known[i]`` rows teach.
        known : array of int, shape (N,)
            Rows of each series that may be learned from.
        """
        at = self._places(panel)
        return Fitted(self.spec, self.spec.extend(self.state, at, panel, known), panel.ids, self.schema, self.freq)

    def _places(self, panel: Panel) -> Ints:
        place = {name: i for i, name in enumerate(self.ids)}
        return np.asarray([place.get(name, -1) for name in panel.ids], np.int64)


def known_rows(panel: Panel, series: Ints, ends: Ints) -> Panel:
    """The panel without the values of rows that no cutoff knows: row ``ends[b]`` of series ``series[b]`` and later."""
    last = np.zeros_like(panel.lengths)
    np.maximum.at(last, series, ends)
    ahead = np.arange(len(panel.times)) >= np.repeat(panel.indptr[:-1] + last, panel.lengths)
    return replace(panel, values=np.where(ahead[:, None], np.nan, panel.values))


def _by_row(state: State, panel: Panel) -> State:
    """The state of each row's series."""
    return {name: np.repeat(array, panel.lengths, axis=0) for name, array in state.items()}


def _like(data: "pd.DataFrame | pd.Series[Any] | Panel", panel: Panel) -> Any:
    """A panel's values in the rows and columns of the frame it was read from."""
    if isinstance(data, Panel):
        return panel
    if not isinstance(data, (pd.DataFrame, pd.Series)):
        raise TypeError(f"transforms take pandas frames and Series, or a Panel made of anything, not {type(data)}.")
    check_row_for_row(len(panel.merged), panel.schema.channels)
    kept = panel.rows >= 0
    rows, owners = panel.rows[kept], np.repeat(np.arange(len(panel.ids)), panel.lengths)[kept]
    if isinstance(data, pd.Series):
        return pd.Series(_placed(len(data), rows, panel.values[kept, 0]), index=data.index, name=data.name)
    out = data.copy()
    named = {str(column): column for column in data.columns}
    schema = panel.schema
    if set(schema.targets) <= set(data.columns):
        for i, column in enumerate(schema.targets):
            out[column] = _placed(len(data), rows, panel.values[kept, i])
    else:
        for i, column in enumerate(panel.ids):
            mine = owners == i
            out[named[column]] = _placed(len(data), rows[mine], panel.values[kept][mine, 0])
    for i, column in enumerate(schema.covariates):
        if column not in panel.levels:
            out[column] = _placed(len(data), rows, panel.covariates[kept, i])
    return out


def _placed(n: int, rows: Ints, values: Floats) -> Floats:
    out = np.full(n, np.nan)
    out[rows] = values
    return out
