"""What a network reads of a panel besides its targets: fitted on the rows to learn from, then read from any panel."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tsrnn.data import Panel
from tsrnn.data.validation import check_categories

__all__ = ["InputArrays", "Inputs"]

FloatArray = NDArray[np.float64]

_BLOCK = 1 << 18
"""Rows read at a time, so that what stands between a column and a network's input stays small."""


class InputArrays(NamedTuple):
    """A panel's inputs, row by row and series by series; the fields are those of `tsrnn.windows.batches.DevicePanel`.

    Attributes
    ----------
    past, future : arrays of float, shape (R, P) and (R, F)
        Numeric covariates, standardized, 0 where missing, then where they were observed; elapsed time, calendar.
    past_codes, future_codes : arrays of int32, shape (R, K)
        Categorical covariates.
    static : array of float, shape (N, S)
        Numeric static covariates, standardized, 0 where missing, then where they were observed.
    static_codes : array of int32, shape (N, K)
        Categorical static covariates.
    """

    past: NDArray[np.floating[Any]]
    future: NDArray[np.floating[Any]]
    past_codes: NDArray[np.int32]
    future_codes: NDArray[np.int32]
    static: NDArray[np.floating[Any]]
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
    series : tuple, default none
        Names of the series that a network has weights of its own for, in the order of their codes, which count from 1.

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
    series: tuple[Any, ...] = ()

    @classmethod
    def fit(cls, panel: Panel, as_they_are: Sequence[int] = (), *, by_series: bool = False) -> Self:
        """Learn from all rows of a panel; the caller cuts it to training rows.

        Parameters
        ----------
        panel : Panel
            The training rows.
        as_they_are : sequence of int
            Places of covariates that are not standardized, because a transform sees to them.
        by_series : bool, default False
            Whether the network has weights for each series.
        """
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
        location, scale = _stats(panel.covariates, panel)
        location[[*as_they_are]], scale[[*as_they_are]] = 0.0, 1.0
        series = tuple(sorted(panel.ids, key=lambda name: (str(type(name)), name))) if by_series else ()
        return cls(location, scale, *_stats(panel.static, panel), vocabularies, step, series)

    def read(
        self, panel: Panel, n_rows: int | None = None, n_series: int | None = None, dtype: type[Any] = np.float32
    ) -> InputArrays:
        """The inputs of a panel of the same schema.

        Parameters
        ----------
        panel : Panel
            The rows to read.
        n_rows, n_series : int, optional
            First axes of the arrays, by default the panel's; what lies beyond the panel is 0.
        dtype : type, default np.float32
            Type of the numbers.

        Raises
        ------
        DataError
            If a covariate held categories when this was fitted and holds numbers now, or the other way round.
        """
        schema, n = panel.schema, len(panel.schema.past_covariates)
        constant = panel.static if schema.static_covariates else np.zeros((len(panel.ids), 0))
        named = [*zip(schema.covariates, panel.covariates.T, strict=True)]
        named += zip(schema.static_covariates, constant.T, strict=True)
        filled = [name for name, column in named if not np.isnan(column).all()]
        check_categories(filled, set(panel.levels), set(self.vocabularies))
        elapsed = self._elapsed(panel)

        def rows(part: slice) -> tuple[NDArray[Any], ...]:
            known, at, to = panel.covariates[part], self.location, self.scale
            past, past_codes = self._split(panel, schema.past_covariates, known[:, :n], at[:n], to[:n])
            future, future_codes = self._split(panel, schema.future_covariates, known[:, n:], at[n:], to[n:])
            calendar = replace(panel, times=panel.times[part]).calendar()
            past, future = np.concatenate([past, elapsed[part]], axis=1), np.concatenate([future, calendar], axis=1)
            return past, future, past_codes, future_codes

        at, to = self.static_location, self.static_scale
        static = self._split(panel, schema.static_covariates, constant, at, to)
        filling = (rows(slice(a, a + _BLOCK)) for a in range(0, len(panel.times), _BLOCK))
        by_row = _filled(n_rows or len(panel.times), filling, dtype)
        return InputArrays(*by_row, *_filled(n_series or len(constant), [static], dtype))

    def codes(self, panel: Panel) -> NDArray[np.int32]:
        """Code of each series, shape (N,); 0 for those that were not there when this was fitted."""
        places = {name: code for code, name in enumerate(self.series, 1)}
        return np.array([places.get(name, 0) for name in panel.ids], np.int32)

    def measured(self, panel: Panel) -> NDArray[np.bool_]:
        """Where the columns of ``past`` hold what the panel holds, shape (R, P)."""
        numeric = [i for i, name in enumerate(panel.schema.past_covariates) if name not in self.vocabularies]
        there = ~np.isnan(panel.covariates[:, numeric])
        return np.concatenate([there, there, ~np.isnan(self._elapsed(panel))], axis=1)

    def sizes(self, names: Sequence[str]) -> tuple[int, ...]:
        """Codes of each categorical covariate among ``names``, 0 included."""
        return tuple(1 + len(self.vocabularies[name]) for name in names if name in self.vocabularies)

    def _split(
        self, panel: Panel, names: Sequence[str], columns: FloatArray, location: FloatArray, scale: FloatArray
    ) -> tuple[FloatArray, NDArray[np.int32]]:
        """Numeric columns with where they were observed, and the codes of the categorical ones."""
        numeric = [i for i, name in enumerate(names) if name not in self.vocabularies]
        kept = (columns[:, numeric] - location[numeric]) / scale[numeric]
        seen = ~np.isnan(kept)
        named = zip(names, columns.T, strict=True)
        codes = [self._codes(panel, name, column) for name, column in named if name in self.vocabularies]
        numbers = np.concatenate([np.where(seen, kept, 0), seen], axis=1)
        return numbers, np.stack([np.zeros(len(columns), np.int32), *codes], axis=1)[:, 1:]

    def _codes(self, panel: Panel, name: str, column: FloatArray) -> NDArray[np.int32]:
        place = {label: i for i, label in enumerate(self.vocabularies[name], 1)}
        table = np.asarray([*(place.get(label, 0) for label in panel.levels.get(name, ())), 0], np.int32)
        return table[np.where(np.isnan(column), -1, column).astype(np.int64)]

    def _elapsed(self, panel: Panel) -> FloatArray:
        """Time since the row before in typical steps, as log(1 + x): shape (R, 1), or (R, 0) on a regular grid.

        The first row of a series counts as one typical step after the one before.
        """
        if panel.freq.kind != "irregular":
            return np.zeros((len(panel.times), 0))
        steps = _distances(panel) / self.step
        steps[panel.indptr[:-1]] = 1
        return np.log1p(steps)[:, None]


def _filled(n: int, blocks: Iterable[tuple[NDArray[Any], ...]], dtype: type[Any]) -> list[NDArray[Any]]:
    """Arrays of ``n`` rows, floats of a type, from tuples of blocks that follow one another; the rest is 0."""
    out: list[NDArray[Any]] = []
    at = 0
    for block in blocks:
        out = out or [np.zeros((n, part.shape[1]), dtype if part.dtype.kind == "f" else part.dtype) for part in block]
        for whole, part in zip(out, block, strict=True):
            whole[at : at + len(part)] = part
        at += len(block[0])
    return out


def _stats(columns: FloatArray, panel: Panel) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of columns over rows or series; 1 for a constant one.

    Summed by series and then by the names of the series, so that their order does not change a bit.
    """
    by_name = np.argsort(panel.ids.astype(str), kind="stable")

    def total(x: NDArray[Any]) -> FloatArray:
        each = x if len(x) == len(by_name) else np.add.reduceat(x, panel.indptr[:-1], dtype=np.float64)
        return np.asarray(each[by_name].sum(axis=0))

    if not columns.shape[1]:
        return np.zeros(0), np.zeros(0)
    seen = ~np.isnan(columns)
    n = np.maximum(total(seen), 1)
    mean = total(np.where(seen, columns, 0)) / n
    deviation = np.sqrt(total(np.where(seen, (columns - mean) ** 2, 0)) / n)
    return mean, np.where(deviation > 0, deviation, 1.0)


def _distances(panel: Panel) -> FloatArray:
    """Time since the row before, in nanoseconds or units of integer time; meaningless at the first row of a series."""
    unit = 1 if panel.times.dtype.kind == "i" else np.timedelta64(1, "ns")
    return np.asarray(np.diff(panel.times, prepend=panel.times[:1]) / unit)
