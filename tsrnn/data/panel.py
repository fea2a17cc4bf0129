"""The panel: all series one after the other in flat arrays, on a regular time grid, missing values as NaN."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.data import covariates as encoding
from tsrnn.data import kinds, validation
from tsrnn.data.calendar import Frequency, Times, to_times
from tsrnn.data.schema import Schema

__all__ = ["Panel"]


@dataclass(frozen=True)
class Panel:
    """Series of any lengths on one time grid.

    Build it with `Panel.from_frame`. Rows that a series' grid has and the frame has not are kept as missing: they stand
    in ``values`` as NaN and in ``rows`` as -1. Nothing is filled in.

    Attributes
    ----------
    values : array of float64, shape (R, C)
        Target channels; NaN is missing.
    covariates : array of float64, shape (R, P)
        Past covariates first, then future covariates; of categorical ones the codes.
    times : array of datetime64 or int64, shape (R,)
        Stamps. If ``zone`` is set: UTC where a step is shorter than a day, else as on the wall clock.
    indptr : array of int64, shape (N + 1,)
        Series ``i`` is rows ``indptr[i]`` up to ``indptr[i + 1]``.
    ids : array of object, shape (N,)
        Names of the series.
    rows : array of int64, shape (R,)
        Position of the row in the frame it came from, as in ``df.iloc``; -1 for rows of a gap.
    freq : Frequency
        One step of the grid.
    schema : Schema
        The roles of the frame's columns.
    zone : str or None
        Time zone to give back.
    static : array of float64, shape (N, S)
        Static covariates; of categorical ones the codes.
    levels : dict of str to tuple
        The categories of each categorical covariate; a code is a place in it.
    kind : Kind
        What the data came as: the kind of frame or array that forecasts are given in.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-04"])
    >>> panel = Panel.from_frame(pd.DataFrame({"unique_id": "a", "ds": days, "y": [1.0, 2.0, 4.0]}))
    >>> panel.values[:, 0].tolist(), str(panel.freq), panel.n_gap_rows
    ([1.0, 2.0, nan, 4.0], 'D', 1)
    """

    values: NDArray[np.float64]
    covariates: NDArray[np.float64]
    times: Times
    indptr: NDArray[np.int64]
    ids: NDArray[np.object_]
    rows: NDArray[np.int64]
    freq: Frequency
    schema: Schema = field(default_factory=Schema)
    zone: str | None = None
    static: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    levels: encoding.Levels = field(default_factory=dict)
    kind: kinds.Kind = field(default_factory=kinds.Kind)

    @classmethod
    def from_frame(
        cls,
        data: "kinds.Tabular | Panel",
        schema: Schema | None = None,
        freq: str | int | Frequency | None = None,
    ) -> "Panel":
        """Read a long frame, a wide frame, a Series, or an array.

        Parameters
        ----------
        data : DataFrame, Series, Table, array or Panel
            Frames and Series of pandas or polars, and Arrow tables: a long frame with ``id_col, time_col,
            target_col``; a frame with a time column or a DatetimeIndex and the target alone (one series); a wide frame,
            each column a series; a Series with its index as time, integers from 0 where it has none. A NumPy array:
            time goes from 0; with two axes each column is a series, named ``"0"``, ``"1"`` ... A `Panel` is handed back
            as it is.
        schema : Schema, optional
            Roles of the columns.
        freq : str, int or Frequency, optional
            The step of the grid; inferred when not given.

        Raises
        ------
        DataError
            For anything that cannot be used as it is; see `tsrnn.data.validation`.
        """
        if isinstance(data, Panel):
            return data
        schema = schema or Schema()
        remembered = [schema.time_col] + [schema.id_col] * (
            len(schema.targets) == 1
        )  # channels have names of their own
        data, kind = kinds.to_pandas(data, remembered)
        frame, schema = _to_long(data, schema)
        if not len(frame):
            raise validation.DataError("the frame has no rows.")
        ids = frame[schema.id_col]
        missing = np.flatnonzero(ids.isna().to_numpy())
        if len(missing):
            raise validation.DataError(
                f"{validation.row(frame, missing[0])} has no series name in column {schema.id_col!r}; "
                "fill it in or drop the row."
            )
        column = validation.parse_times(frame[schema.time_col], frame, schema.time_col)
        codes, unique = pd.factorize(ids)
        order = np.argsort(codes, kind="stable")
        rows = order % len(data)  # the columns of a wide frame stand one below the other here
        indptr = np.concatenate([[0], np.cumsum(np.bincount(codes))]).astype(np.int64)
        names = np.asarray(unique, dtype=object)
        wall, zone = to_times(column, wall=True)
        step = Frequency.infer(wall[order], indptr) if freq is None else Frequency.parse(freq)
        step = step or Frequency.parse(1 if wall.dtype.kind == "i" else "D")
        times = to_times(column, wall=step.by_days)[0][order]
        validation.check_order(frame, names, indptr, times, rows)
        steps = validation.check_grid(frame, names, indptr, times, rows, step)
        values = np.stack([validation.numbers(frame[c], frame, ids) for c in schema.targets], axis=1)[order]
        categorical = schema.categorical
        covariates, levels = encoding.encode(frame, schema.covariates, ids, categorical=categorical)
        constant, more = encoding.encode(frame, schema.static_covariates, ids, categorical=categorical)
        validation.check_constant(frame, names, indptr, order, constant, schema.static_covariates)
        static = constant[order[indptr[:-1]]]
        panel = cls(
            values, covariates[order], times, indptr, names, rows, step, schema, zone, static, levels | more, kind
        )
        return panel._on_grid(steps)

    def _on_grid(self, steps: NDArray[np.int64]) -> "Panel":
        """Insert the rows that the grid has and the frame has not."""
        lengths = steps[self.indptr[1:] - 1] + 1
        if lengths.sum() == len(steps):
            return self
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        place = np.repeat(indptr[:-1], np.diff(self.indptr)) + steps

        def spread(array: NDArray[Any], fill: Any) -> NDArray[Any]:
            out = np.full((indptr[-1], *array.shape[1:]), fill, array.dtype)
            out[place] = array
            return out

        firsts = np.repeat(self.times[self.indptr[:-1]], lengths)
        times = self.freq.shift(firsts, np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths))
        return replace(
            self, values=spread(self.values, np.nan), covariates=spread(self.covariates, np.nan), times=times,
            indptr=indptr, rows=spread(self.rows, -1),
        )  # fmt: skip

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each series, shape (N,)."""
        return np.diff(self.indptr)

    @property
    def n_gap_rows(self) -> int:
        """Rows of the grid that the frame did not have."""
        return int((self.rows < 0).sum())

    def describe(self) -> str:
        """One line on what was read, gaps and missing values said aloud."""
        empty = int(np.isnan(self.values[self.rows >= 0]).sum())
        notes = f", {self.n_gap_rows:,} missing stamps" * (self.n_gap_rows > 0) + f", {empty:,} empty values" * (
            empty > 0
        )
        shape = f"{len(self.ids):,} series" + (
            f" x {self.values.shape[1]} channels" if self.values.shape[1] > 1 else ""
        )
        return f"{shape}, {len(self.times):,} rows, freq={self.freq!s}{notes}{' (masked)' if notes else ''}"

    def slice(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> "Panel":
        """Rows ``starts[i]`` up to ``stops[i]`` of every series, counted from its own first row."""
        lengths = stops - starts
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        take = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1] + starts - indptr[:-1], lengths)
        return replace(
            self, values=self.values[take], covariates=self.covariates[take], times=self.times[take],
            indptr=indptr, rows=self.rows[take],
        )  # fmt: skip

    def until(self, ends: NDArray[np.int64]) -> "Panel":
        """The first ``ends[i]`` rows of every series: what is known at a cutoff."""
        return self.slice(np.zeros_like(ends), ends)

    def tail(self, n: int) -> "Panel":
        """The last ``n`` rows of every series (all of a shorter one)."""
        return self.slice(np.maximum(self.lengths - n, 0), self.lengths)

    def extend(self, horizon: int, future: pd.DataFrame | None = None) -> "Panel":
        """Append ``horizon`` rows to every series: stamps, no values, and the future covariates found in ``future``.

        Raises
        ------
        DataError
            If there are future covariates and ``future`` lacks a series, a stamp or a value.
        """
        n = len(self.ids)
        ahead = np.tile(np.arange(1, horizon + 1), n)
        times = self.freq.shift(np.repeat(self.times[self.indptr[1:] - 1], horizon), ahead)
        block = np.full((n * horizon, self.covariates.shape[1]), np.nan)
        levels = self.levels
        if self.schema.future_covariates:
            block[:, len(self.schema.past_covariates) :], levels = self._read_future(times, horizon, future)
        at = np.repeat(self.indptr[1:], horizon)
        return replace(
            self,
            values=np.insert(self.values, at, np.nan, axis=0),
            covariates=np.insert(self.covariates, at, block, axis=0),
            times=np.insert(self.times, at, times),
            rows=np.insert(self.rows, at, -1),
            indptr=self.indptr + horizon * np.arange(n + 1),
            levels=levels,
        )

    def _read_future(
        self, times: Times, horizon: int, future: pd.DataFrame | None
    ) -> tuple[NDArray[np.float64], encoding.Levels]:
        names = self.schema.future_covariates
        if future is None:
            raise validation.DataError(
                f"the model reads the future covariates {list(names)}; pass future_df with them."
            )
        future = _index_to_columns(future, self.schema)
        validation.check_columns(future, names, "future_covariates")
        validation.check_columns(future, [self.schema.time_col], "time_col")
        column = validation.parse_times(future[self.schema.time_col], future, self.schema.time_col)
        stamps, zone = to_times(column, wall=self.freq.by_days)
        if len(future) and (zone is None) != (self.zone is None):
            raise validation.DataError(f"future_df has time zone {zone}, the history {self.zone}; give both the same.")
        known, levels = encoding.encode(future, names, levels=self.levels)
        known = np.concatenate([known, np.full((1, len(names)), np.nan)])  # for rows not found
        single = self.schema.id_col not in future.columns and len(self.ids) == 1
        if not single:
            validation.check_columns(future, [self.schema.id_col], "id_col")
        owners = np.repeat(self.ids, len(future)) if single else future[self.schema.id_col].to_numpy(dtype=object)
        have = pd.MultiIndex.from_arrays([owners, stamps])
        want = pd.MultiIndex.from_arrays([np.repeat(self.ids, horizon), times])
        if have.has_duplicates:
            raise validation.DataError(f"future_df holds {have[have.duplicated()][0]} twice.")
        at = have.get_indexer(want)
        absent = np.flatnonzero(np.isnan(known[at]).any(axis=1))
        if len(absent):
            named = ", ".join(f"{series!r} at {stamp}" for series, stamp in want[absent[:5]])
            raise validation.DataError(
                f"future_df lacks {list(names)} for series {named}{' ...' if len(absent) > 5 else ''} "
                f"({len(absent)} of {len(want)} rows). Give a value for every series and each of the {horizon} steps "
                "ahead."
            )
        return np.asarray(known[at]), {**self.levels, **levels}

    def stamps(self, times: Times) -> "pd.Series[Any]":
        """Stamps as a pandas Series, in the time zone that came in."""
        if self.zone is None:
            return pd.Series(times)
        index = pd.DatetimeIndex(times)
        if self.freq.by_days:  # a stamp that the clocks skip moves on; of one that they repeat, the second is meant
            second = np.zeros(len(index), bool)
            return pd.Series(index.tz_localize(self.zone, nonexistent="shift_forward", ambiguous=second))
        return pd.Series(index.tz_localize("UTC").tz_convert(self.zone))

    @property
    def labels(self) -> NDArray[np.object_]:
        """Names of all series and channels, shape (N, C): the series' own where there is one channel."""
        channels = self.schema.targets
        if len(channels) == 1:
            return self.ids[:, None]
        names = [[c if len(self.ids) == 1 else f"{i}/{c}" for c in channels] for i in self.ids]
        return np.asarray(names, dtype=object)

    def to_frame(self) -> pd.DataFrame:
        """Back to a long frame, rows of gaps left out."""
        kept = self.rows >= 0
        columns: dict[str, Any] = {
            self.schema.id_col: np.repeat(self.ids, self.lengths)[kept],
            self.schema.time_col: self.stamps(self.times[kept]),
        }
        columns |= dict(zip(self.schema.targets, self.values[kept].T, strict=True))
        columns |= encoding.decode(self.covariates[kept], self.schema.covariates, self.levels)
        static = np.repeat(self.static, self.lengths, axis=0)[kept] if self.schema.static_covariates else self.static
        columns |= encoding.decode(static, self.schema.static_covariates, self.levels)
        return pd.DataFrame(columns).infer_objects()


def _index_to_columns(data: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Levels of the index that carry time or the series' names, as columns."""
    if isinstance(data.index, (pd.DatetimeIndex, pd.PeriodIndex)) and schema.time_col not in data.columns:
        data = data.rename_axis(schema.time_col)
    wanted = {schema.id_col, schema.time_col}.difference(data.columns)
    named = [name for name in data.index.names if name in wanted]
    return data.reset_index(named) if named else data


def _to_long(data: "pd.DataFrame | pd.Series[Any]", schema: Schema) -> tuple[pd.DataFrame, Schema]:
    """Any accepted shape as a long frame and the schema that fits it. The caller's frame is not touched."""
    if isinstance(data, pd.Series):
        name = "y" if data.name is None else str(data.name)
        data = data.rename(name).to_frame()
        schema = replace(schema, target_col=name)
    data = _index_to_columns(data, schema)
    if schema.time_col not in data.columns:
        numeric = all(map(pd.api.types.is_numeric_dtype, data.dtypes))  # if not, the time may stand in a column
        if not (pd.api.types.is_integer_dtype(data.index) and numeric and schema.id_col not in data.columns):
            validation.check_columns(data, [schema.time_col], "time_col")
        data = data.rename_axis(schema.time_col).reset_index()
    known = (*schema.covariates, *schema.static_covariates)
    for role in ("past_covariates", "future_covariates", "static_covariates", "categorical"):
        validation.check_columns(data, getattr(schema, role), role)
    if schema.id_col in data.columns or schema.id_col != Schema.id_col:
        validation.check_columns(data, [schema.id_col], "id_col")
        validation.check_columns(data, schema.targets, "target_col")
        return data, schema
    if schema.target_col != Schema.target_col or schema.target_col in data.columns:
        validation.check_columns(data, schema.targets, "target_col")
        return data.assign(**{schema.id_col: "/".join(schema.targets)}), schema
    columns = [c for c in data.columns if c not in (schema.time_col, *known)]
    if not columns:
        validation.check_columns(data, schema.targets, "target_col")
    validation.check_columns(data, [], "")
    shared = data[[schema.time_col, *known]]
    blocks = [shared.assign(y=validation.numbers(data[c], data), **{schema.id_col: str(c)}) for c in columns]
    return pd.concat(blocks, ignore_index=True), schema
