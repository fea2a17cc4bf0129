"""What a network reads of a panel besides its targets: fitted on the rows to learn from, then read from any panel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tsrnn.data import Panel
from tsrnn.data.calendar import calendar_features
from tsrnn.data.validation import check_categories

__all__ = ["InputArrays", "Inputs"]

FloatArray = NDArray[np.float64]


class InputArrays(NamedTuple):
    """A panel's inputs, row by row and series by series; the fields are those of `tsrnn.windows.batches.DevicePanel`.

    Attributes
    ----------
    past, future : arrays of float32, shape (R, P) and (R, F)
        Numeric covariates, standardized, 0 where missing, then where they were observed; elapsed time, calendar.
    past_codes, future_codes : arrays of int32, shape (R, K)
        Categorical covariates.
    static : array of float32, shape (N, S)
        Numeric static covariates, standardized, 0 where missing, then where they were observed.
    static_codes : array of int32, shape (N, K)
        Categorical static covariates.
    """

    past: NDArray[np.float32]
    future: NDArray[np.float32]
    past_codes: NDArray[np.int32]
    future_codes: NDArray[np.int32]
    static: NDArray[np.float32]
    static_codes: NDArray[np.int32]


@dataclass(frozen=True)
class Inputs:
    """Scales of the numeric covariates and vocabularies of the categorical ones.

    Categories are known by their labels, never by a panel's codes, which depend on all rows that were read.

    Attributes
    ----------
    location, scale : arrays of float64, shape (P,)
        Mean and standard deviation of the past and future covariates over all rows.
    static_location, static_scale : arrays of float64, shape (S,)
        Of the static covariates, over the series.
    vocabularies : dict of str to tuple
        Labels of each categorical covariate; a label's code is its place, counted from 1. Code 0 is for what is missing
        or was not seen.
    step : float, default 1.0
        Typical time between two rows, in nanoseconds or units of integer time, where sampling is irregular; otherwise
        not used.

    Examples
    --------
    >>> import pandas as pd
    >>> from tsrnn.data import Schema
    >>> days = pd.date_range("2024-01-01", periods=3)
    >>> df = pd.DataFrame({"ds": days, "y": 1.0, "sky": ["rain", "clear", None]})
    >>> panel = Panel.from_frame(df, Schema(past_covariates=["sky"]))
    >>> Inputs.fit(panel).read(panel).past_codes[:, 0].tolist()
    [2, 1, 0]
    """

    location: FloatArray
    scale: FloatArray
    static_location: FloatArray
    static_scale: FloatArray
    vocabularies: Mapping[str, tuple[Any, ...]]
    step: float = 1.0

    @classmethod
    def fit(cls, panel: Panel) -> Self:
        """Learn from all rows of a panel; the caller cuts it to training rows."""
        schema = panel.schema
        columns = [*zip(schema.covariates, panel.covariates.T, strict=True)]
        columns += zip(schema.static_covariates, panel.static.T, strict=True)
        vocabularies = {}
        for name, column in columns:
            if name in panel.levels:
                codes = np.unique(column[~np.isnan(column)]).astype(np.int64)
                labels = (panel.levels[name][code] for code in codes)
                vocabularies[name] = tuple(sorted(labels, key=lambda label: (str(type(label)), label)))
        step = 1.0
        if panel.freq.kind == "irregular":
            inside = np.delete(_distances(panel), panel.indptr[:-1])
            step = float(np.median(inside)) if len(inside) else 1.0
        return cls(*_stats(panel.covariates), *_stats(panel.static), vocabularies, step)

    def read(self, panel: Panel) -> InputArrays:
        """The inputs of a panel of the same schema.

        Raises
        ------
        DataError
            If a covariate held categories when this was fitted and holds numbers now, or the other way round.
        """
        schema = panel.schema
        names = (*schema.covariates, *schema.static_covariates)
        check_categories(names, set(panel.levels), set(self.vocabularies))
        n = len(schema.past_covariates)
        known, at, to = panel.covariates, self.location, self.scale
        past, past_codes = self._split(panel, schema.past_covariates, known[:, :n], at[:n], to[:n])
        future, future_codes = self._split(panel, schema.future_covariates, known[:, n:], at[n:], to[n:])
        constant = panel.static if schema.static_covariates else np.zeros((len(panel.ids), 0))
        at, to = self.static_location, self.static_scale
        static, static_codes = self._split(panel, schema.static_covariates, constant, at, to)
        calendar = calendar_features(panel.times, panel.freq)
        return InputArrays(
            np.concatenate([past, self._elapsed(panel)], axis=1), np.concatenate([future, calendar], axis=1),
            past_codes, future_codes, static, static_codes,
        )  # fmt: skip

    def sizes(self, names: Sequence[str]) -> tuple[int, ...]:
        """Codes of each categorical covariate among ``names``, 0 included."""
        return tuple(1 + len(self.vocabularies[name]) for name in names if name in self.vocabularies)

    def _split(
        self, panel: Panel, names: Sequence[str], columns: FloatArray, location: FloatArray, scale: FloatArray
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Numeric columns with where they were observed, and the codes of the categorical ones."""
        numeric = [i for i, name in enumerate(names) if name not in self.vocabularies]
        kept = (columns[:, numeric] - location[numeric]) / scale[numeric]
        seen = ~np.isnan(kept)
        named = zip(names, columns.T, strict=True)
        codes = [self._codes(panel, name, column) for name, column in named if name in self.vocabularies]
        numbers = np.concatenate([np.where(seen, kept, 0), seen], axis=1, dtype=np.float32)
        return numbers, np.stack([np.zeros(len(columns), np.int32), *codes], axis=1)[:, 1:]

    def _codes(self, panel: Panel, name: str, column: FloatArray) -> NDArray[np.int32]:
        place = {label: i for i, label in enumerate(self.vocabularies[name], 1)}
        table = np.asarray([*(place.get(label, 0) for label in panel.levels.get(name, ())), 0], np.int32)
        return table[np.where(np.isnan(column), -1, column).astype(np.int64)]

    def _elapsed(self, panel: Panel) -> NDArray[np.float32]:
        """Time since the row before in typical steps, as log(1 + x): shape (R, 1), or (R, 0) on a regular grid.

        The first row of a series counts as one typical step after the one before.
        """
        if panel.freq.kind != "irregular":
            return np.zeros((len(panel.times), 0), np.float32)
        steps = _distances(panel) / self.step
        steps[panel.indptr[:-1]] = 1
        return np.log1p(steps)[:, None].astype(np.float32)


def _stats(columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each column; 1 for a constant one."""
    seen = ~np.isnan(columns)
    n = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, columns, 0).sum(axis=0) / n
    deviation = np.sqrt(np.where(seen, (columns - mean) ** 2, 0).sum(axis=0) / n)
    return mean, np.where(deviation > 0, deviation, 1.0)


def _distances(panel: Panel) -> FloatArray:
    """Time since the row before, in nanoseconds or units of integer time; meaningless at the first row of a series."""
    unit = 1 if panel.times.dtype.kind == "i" else np.timedelta64(1, "ns")
    return np.asarray(np.diff(panel.times, prepend=panel.times[:1]) / unit)
