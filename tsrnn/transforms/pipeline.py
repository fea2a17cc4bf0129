"""Several transforms as one, and scikit-learn's for the covariates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from tsrnn.data import Panel
from tsrnn.data.calendar import Frequency
from tsrnn.data.validation import check_complete, check_numeric
from tsrnn.transforms.base import AbstractTransform, State, known_rows

__all__ = ["Chain", "Covariates"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Chain(AbstractTransform):
    """One transform after the other; the inverse runs backwards.

    Parameters
    ----------
    steps : sequence of AbstractTransform
        In the order in which they are applied to the data; each learns from what the ones before it give.

    Examples
    --------
    >>> import pandas as pd
    >>> from tsrnn.transforms import Difference, Log1p
    >>> y = pd.Series([0.0, 1.0, 3.0], index=pd.date_range("2024-01-01", periods=3))
    >>> Chain([Log1p(), Difference()]).fit_transform(y).round(3).tolist()
    [nan, 0.693, 0.693]
    """

    steps: Sequence[AbstractTransform]

    def __post_init__(self) -> None:
        """Store the steps as a tuple, so that chains can be compared and hashed; refuse what is no transform."""
        object.__setattr__(self, "steps", tuple(self.steps))
        for step in self.steps:
            if not isinstance(step, AbstractTransform):
                raise ValueError(f"a chain is made of transforms such as StandardScaler(), got {step!r}.")

    def lookback(self, freq: Frequency) -> int:
        """The sum over the steps."""
        return sum(step.lookback(freq) for step in self.steps)

    def covariates(self, panel: Panel) -> list[int]:
        """Those of all steps."""
        return sorted({place for step in self.steps for place in step.covariates(panel)})

    def learn(self, panel: Panel) -> State:
        """The states of the steps, each name behind the step's number: ``0/location``."""
        parts = []
        for step in self.steps:
            parts.append(step.learn(panel))
            panel = step.forward(parts[-1], panel)
        return _joined(parts)

    def extend(self, state: State, at: Ints, panel: Panel, known: Ints) -> State:
        """As in `AbstractTransform.extend`; what a step learns of a new series comes from the steps before it."""
        parts = []
        panel = panel.until(known)
        for step, part in zip(self.steps, self._parts(state), strict=True):
            parts.append(step.extend(part, at, panel, known))
            if (at < 0).any():
                panel = step.forward(parts[-1], panel)
        return _joined(parts)

    def forward(self, state: State, panel: Panel) -> Panel:
        """The steps from the first on."""
        for step, part in zip(self.steps, self._parts(state), strict=True):
            panel = step.forward(part, panel)
        return panel

    def backward(self, state: State, panel: Panel) -> Panel:
        """The steps from the last on."""
        for step, part in zip(self.steps[::-1], self._parts(state)[::-1], strict=True):
            panel = step.backward(part, panel)
        return panel

    def ahead(self, state: State, values: Floats, panel: Panel, series: Ints, ends: Ints) -> Floats:
        """The steps from the last on, each with the panel as it reads it."""
        panels = [known_rows(panel, series, ends)]
        parts = self._parts(state)
        for step, part in zip(self.steps[:-1], parts, strict=False):
            panels.append(step.forward(part, panels[-1]))
        for step, part, read in zip(self.steps[::-1], parts[::-1], panels[::-1], strict=True):
            values = step.ahead(part, values, read, series, ends)
        return values

    def _parts(self, state: State) -> list[State]:
        parts: list[State] = [{} for _ in self.steps]
        for name, array in state.items():
            i, _, rest = name.partition("/")
            parts[int(i)][rest] = array
        return parts


def _joined(parts: list[State]) -> State:
    return {f"{i}/{name}": array for i, part in enumerate(parts) for name, array in part.items()}


@dataclass(frozen=True)
class Covariates(AbstractTransform):
    """A scikit-learn transformer for numeric covariates, fitted on all training rows of all series together.

    A `tsrnn.Forecaster` standardizes the covariates that no such transform names. A model with one cannot be saved: a
    folder holds plain values and arrays, never pickled objects.

    The transformer is fitted on the rows where all of the columns are observed, and never sees a missing value: the
    column's mean stands in for it, and what comes of it is missing again.

    Parameters
    ----------
    transformer : scikit-learn transformer
        It must give as many columns as it gets. A clone of it is fitted.
    columns : sequence of str, optional
        Past and future covariates to transform together; by default all numeric ones.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> df = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=3), "y": 1.0, "heat": [10.0, 30.0, 20.0]})
    >>> Covariates(MinMaxScaler()).fit_transform(df, past_covariates="heat")["heat"].tolist()
    [0.0, 1.0, 0.5]
    """

    transformer: Any
    columns: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Store the columns as a tuple."""
        if self.columns is not None:
            given = (self.columns,) if isinstance(self.columns, str) else tuple(self.columns)
            object.__setattr__(self, "columns", given)

    def covariates(self, panel: Panel) -> list[int]:
        """Places of the columns."""
        names = panel.schema.covariates
        if self.columns is None:
            return [i for i, name in enumerate(names) if name not in panel.levels]
        check_numeric(self.columns, names, panel.levels)
        return [names.index(name) for name in self.columns]

    def learn(self, panel: Panel) -> State:
        """The fitted transformer and the means of its columns."""
        places = self.covariates(panel)
        given = panel.covariates[:, places]
        complete = given[~np.isnan(given).any(axis=1)]
        if not places:
            return {"fitted": None, "means": np.zeros(0)}
        check_complete([panel.schema.covariates[i] for i in places], len(complete))
        return {"fitted": clone(self.transformer).fit(complete), "means": complete.mean(axis=0)}

    def extend(self, state: State, at: Ints, panel: Panel, known: Ints) -> State:
        """The state as it is: all series share it."""
        return state

    def forward(self, state: State, panel: Panel) -> Panel:
        """The covariates transformed, the target as it is."""
        return self._mapped("transform", state, panel)

    def backward(self, state: State, panel: Panel) -> Panel:
        """The covariates by the transformer's own ``inverse_transform``."""
        return self._mapped("inverse_transform", state, panel)

    def ahead(self, state: State, values: Floats, panel: Panel, series: Ints, ends: Ints) -> Floats:
        """Forecasts as they are."""
        return values

    def _mapped(self, method: str, state: State, panel: Panel) -> Panel:
        places = self.covariates(panel)
        if not places or not len(panel.times):
            return panel
        missing = np.isnan(panel.covariates[:, places])
        # The inverse, too, puts the means in: what comes of them is missing again, so any number would do.
        given = np.where(missing, state["means"], panel.covariates[:, places])
        out = np.asarray(getattr(state["fitted"], method)(given), np.float64)
        if out.shape != given.shape:
            raise ValueError(
                f"{type(self.transformer).__name__} makes an array of shape {out.shape} of one of shape {given.shape}; "
                "a transformer of covariates must keep their number."
            )
        covariates = panel.covariates.copy()
        covariates[:, places] = np.where(missing, np.nan, out)
        return replace(panel, covariates=covariates)
