"""The panel: all series one after the other in flat arrays, on a regular time grid, missing values as NaN."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.data import covariates as encoding
from tsrnn.data import kinds, rules, validation
from tsrnn.data.calendar import (
    Frequency,
    Times,
    calendar_features,
    holiday_feature,
    standard_offset,
    to_times,
)
from tsrnn.data.schema import Schema

__all__ = ["Panel"]


@dataclass(frozen=True)
class Panel:
    """Series of any lengths on one time grid.

    Build it with `Panel.from_frame`. Rows that a series' grid has and the frame has not are kept as missing: they stand
    in ``values`` as NaN and in ``rows`` as -1. Nothing is filled in here, whatever the schema says of gaps: what fills
    a gap depends on how much is known, so it is done for each cutoff (`Panel.known`, `Panel.filled`).

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
        One step of the grid, or ``"irregular"``: as many rows as the frame has.
    schema : Schema
        The roles of the frame's columns.
    zone : str or None
        Time zone to give back.
    static : array of float64, shape (N, S)
        Static covariates; of categorical ones the codes.
    levels : dict of str to tuple
        The categories of each categorical covariate; a code is a place in it.
    merged : array of int64, shape (M, 2)
        Of rows made of several rows of the frame: the position of the last one, as in ``rows``, and how many they were.
    kind : Kind
        What the data came as: the kind of frame or array that forecasts are given in.
    room : int
        Rows that whoever lays the panel out for a compiled program makes room for, so that all cuts of one panel share
        it; empty beyond the panel's own.

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
    merged: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    kind: kinds.Kind = field(default_factory=kinds.Kind)
    room: int = 0

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
            The step of the grid; inferred when not given. ``"irregular"`` for rows that keep to none: each row is a
            step, there are no gaps, and the future is stamped by the typical distance between rows.

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
        names = np.asarray(unique, dtype=object)
        utc, zone = to_times(column)
        validation.check_zone(column, zone)
        order, back = rules.time_order(codes, utc)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(codes))]).astype(np.int64)
        rows = order % len(data)  # the columns of a wide frame stand one below the other here
        validation.warn_order(frame, ids, utc, codes, back, len(data))
        wall = to_times(column, wall=True)[0]
        step = Frequency.infer(wall[order], indptr) if freq is None else Frequency.parse(freq)
        step = step or Frequency.parse(1 if wall.dtype.kind == "i" else "D")
        times = (wall if step.by_days else utc)[order]
        if schema.resample is not None:
            validation.check_resample(freq, times)
            times = step.floor(times, 0 if step.by_days else standard_offset(column))
        if step == Frequency("irregular", 0):
            step = Frequency.typical(times, indptr)
        validation.check_holidays(schema.holidays, step, times)
        values = np.stack([validation.numbers(frame[c], frame, ids) for c in schema.targets], axis=1)[order]
        categorical = schema.categorical
        covariates, levels = encoding.encode(frame, schema.covariates, ids, categorical=categorical)
        constant, more = encoding.encode(frame, schema.static_covariates, ids, categorical=categorical)
        validation.check_constant(frame, names, indptr, order, constant, schema.static_covariates)
        static = constant[order[indptr[:-1]]]
        panel = cls(
            values, covariates[order], times, indptr, names, rows, step, schema, zone, static, levels | more, kind=kind
        )
        panel = panel._one_row_a_stamp(frame)
        steps = validation.check_grid(frame, names, panel.indptr, panel.times, panel.rows, step, zone)
        if schema.gaps == "error":
            validation.check_gaps(frame, names, panel.indptr, panel.times, panel.rows, steps, step)
        panel = panel._on_grid(steps)
        return panel._split() if panel._is_split else panel

    def _one_row_a_stamp(self, frame: pd.DataFrame) -> "Panel":
        """Rows of one stamp made one by the schema's rule; refused if there is none."""
        new = np.append(True, self.times[1:] != self.times[:-1])
        new[self.indptr[:-1]] = True
        if new.all():
            return self
        rule = self.schema.resample or self.schema.duplicates
        if rule == "error":
            validation.check_repeats(frame, self.ids, self.indptr, self.times, self.rows, np.flatnonzero(~new))
        groups = np.cumsum(new) - 1
        sizes = np.bincount(groups)
        last = np.cumsum(sizes) - 1
        coded = [name in self.levels for name in self.schema.covariates]
        covariates = rules.merge(self.covariates, groups, rule)
        covariates[:, coded] = rules.merge(self.covariates[:, coded], groups, "last")
        rows = self.rows[last]
        return replace(
            self, values=rules.merge(self.values, groups, rule), covariates=covariates, times=self.times[last],
            indptr=np.searchsorted(last, self.indptr), rows=rows,
            merged=np.stack([rows, sizes], axis=1)[sizes > 1],
        )  # fmt: skip

    def _split(self) -> "Panel":
        """Each channel as a series of its own, the channels of a series one after the other."""
        channels = self.values.shape[1]
        lengths = np.repeat(self.lengths, channels)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        take = np.arange(indptr[-1]) + np.repeat(np.repeat(self.indptr[:-1], channels) - indptr[:-1], lengths)
        channel = np.repeat(np.tile(np.arange(channels), len(self.ids)), lengths)
        return replace(
            self, values=self.values[take, channel][:, None], covariates=self.covariates[take], times=self.times[take],
            indptr=indptr, ids=self.labels.reshape(-1), rows=self.rows[take],
            static=np.repeat(self.static, channels, axis=0),
        )  # fmt: skip

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
        """One line on what was read: step, zone, gaps, missing values, and what was done about them."""
        empty, n_merged = int(np.isnan(self.values[self.rows >= 0]).sum()), len(self.merged)
        kept, series = self.rows >= 0, np.repeat(np.arange(len(self.ids)), self.lengths)
        late = (np.diff(self.rows[kept]) < 0) & (np.diff(series[kept]) == 0)
        channels = f" x {self.values.shape[1]} channels" if self.values.shape[1] > 1 else ""
        found = [f"{self.n_gap_rows:,} missing stamps"] * (self.n_gap_rows > 0)
        found += [f"{empty:,} empty values"] * (empty > 0)
        how = {"ffill": "read as the last value", "interpolate": "interpolated where both ends are known"}
        notes = [
            f"time zone {self.zone}" * (self.zone is not None),
            ", ".join(found) + f" ({how.get(self.schema.gaps, 'masked')})" * (len(found) > 0),
            f"{n_merged:,} rows made of several ({self.schema.resample or self.schema.duplicates})" * (n_merged > 0),
            "put in time order" * bool(late.any()),
        ]
        parts = [f"{len(self.ids):,} series{channels}", f"{len(self.times):,} rows", f"freq={self.freq!s}", *notes]
        return ", ".join(filter(None, parts))

    @property
    def clock(self) -> Times:
        """Stamps as on the wall clock of the zone, shape (R,)."""
        if self.zone is None or self.freq.by_days:
            return self.times
        return to_times(self.stamps(self.times), wall=True)[0]

    def calendar(self) -> NDArray[np.float32]:
        """What the calendar says about every row, shape (R, F): `calendar_features`, then the holiday if asked for."""
        features = calendar_features(self.clock, self.freq)
        if self.schema.holidays is None:
            return features
        return np.concatenate([features, holiday_feature(self.clock, self.schema.holidays)], axis=1)

    def filled(self) -> "Panel":
        """Gaps filled by the schema's rule, as far as both of their ends lie in this panel.

        Targets and numeric past covariates are filled, with the same values at every cutoff that knows both ends. Who
        reads this at an earlier cutoff masks the rows after the last measured one, as `tsrnn.windows.batches.gather`.
        """
        rule = self.schema.gaps
        if rule not in ("ffill", "interpolate"):
            return self
        irregular = self.freq.kind == "irregular"
        at = (self.times - self.times[0]).astype(np.float64) if irregular else np.arange(len(self.times), dtype=float)
        past = [i for i, name in enumerate(self.schema.past_covariates) if name not in self.levels]
        covariates = self.covariates.copy()
        covariates[:, past] = rules.fill(covariates[:, past], self.indptr, rule, at)
        return replace(self, values=rules.fill(self.values, self.indptr, rule, at), covariates=covariates)

    def known(self, series: int, end: int) -> NDArray[np.float64]:
        """Target values of the first ``end`` rows of a series as a model may read them there, shape (end, C).

        Examples
        --------
        >>> y = pd.Series([1.0, np.nan, 3.0], name="y")
        >>> panel = Panel.from_frame(y, Schema(gaps="interpolate"))
        >>> panel.known(0, 3).ravel().tolist(), panel.known(0, 2).ravel().tolist()
        ([1.0, 2.0, 3.0], [1.0, nan])
        """
        start = self.indptr[series]
        rows, bounds = slice(start, start + end), np.asarray([0, end])
        cut = replace(
            self, values=self.values[rows], covariates=self.covariates[rows], times=self.times[rows], indptr=bounds
        )
        return cut.filled().values

    def rows_until(self, stamp: Any) -> NDArray[np.int64]:
        """How many rows of each series lie at or before a stamp, shape (N,).

        Parameters
        ----------
        stamp : str, int or timestamp
            Without a time zone, in that of the data.

        Raises
        ------
        DataError
            If it is no stamp of these data.

        Examples
        --------
        >>> days = pd.date_range("2024-01-01", periods=9)
        >>> Panel.from_frame(pd.Series(1.0, index=days)).rows_until("2024-01-03").tolist()
        [3]
        """
        last = validation.parse_stamp(stamp, self.times, self.zone, by_days=self.freq.by_days)
        return np.add.reduceat((self.times <= last).astype(np.int64), self.indptr[:-1])

    def slice(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> "Panel":
        """Rows ``starts[i]`` up to ``stops[i]`` of every series, counted from its own first row; with room for all."""
        lengths = stops - starts
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        take = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1] + starts - indptr[:-1], lengths)
        return replace(
            self, values=self.values[take], covariates=self.covariates[take], times=self.times[take],
            indptr=indptr, rows=self.rows[take], room=max(self.room, len(self.times)),
        )  # fmt: skip

    def until(self, ends: NDArray[np.int64]) -> "Panel":
        """The first ``ends[i]`` rows of every series: what is known at a cutoff."""
        return self.slice(np.zeros_like(ends), ends)

    def select(self, first: int, last: int) -> "Panel":
        """The series in the places ``first`` up to ``last``.

        Examples
        --------
        >>> Panel.from_frame(pd.DataFrame({"ds": [1, 2], "a": 1.0, "b": 2.0, "c": 3.0})).select(1, 3).ids.tolist()
        ['b', 'c']
        """
        if last - first == len(self.ids):
            return self
        rows = slice(self.indptr[first], self.indptr[last])
        return replace(
            self, values=self.values[rows], covariates=self.covariates[rows], times=self.times[rows],
            indptr=self.indptr[first : last + 1] - self.indptr[first], ids=self.ids[first:last], rows=self.rows[rows],
            static=self.static[first:last],
        )  # fmt: skip

    def tail(self, n: int) -> "Panel":
        """The last ``n`` rows of every series (all of a shorter one), with room for no more."""
        return replace(self.slice(np.maximum(self.lengths - n, 0), self.lengths), room=0)

    def extend(self, horizon: int, future: pd.DataFrame | None = None) -> "Panel":
        """Append ``horizon`` rows to every series: stamps, no values, and the future covariates found in ``future``.

        Raises
        ------
        DataError
            If there are future covariates and ``future`` lacks a series, a stamp or a value.
        """
        n = len(self.ids)
        times = self._ahead(horizon)
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

    def _ahead(self, horizon: int) -> Times:
        """The stamps of the ``horizon`` steps after each series, shape (N * H,)."""
        ahead = np.tile(np.arange(1, horizon + 1), len(self.ids))
        return self.freq.shift(np.repeat(self.times[self.indptr[1:] - 1], horizon), ahead)

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
        wanted, owners = self.owners, np.repeat(self.owners[:1], len(future))
        single = self.schema.id_col not in future.columns and len(set(wanted)) == 1
        if not single:
            validation.check_columns(future, [self.schema.id_col], "id_col")
            owners = future[self.schema.id_col].to_numpy(dtype=object)
            if self._is_split:  # names became text, that of a single series its columns'
                one = len(set(wanted)) == 1 and len(set(owners)) == 1
                owners = np.repeat(wanted[:1], len(future)) if one else owners.astype(str)
        have = pd.MultiIndex.from_arrays([owners, stamps])
        want = pd.MultiIndex.from_arrays([np.repeat(wanted, horizon), times])
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

    def future_frame(self, horizon: int) -> pd.DataFrame:
        """The frame that `extend` asks for, its covariates empty; see `tsrnn.data.make_future_frame`."""
        owners = np.asarray([*dict.fromkeys(self.owners), None], dtype=object)[:-1]
        first = np.append(True, self.owners[1:] != self.owners[:-1])  # of the channels of a series
        times = self._ahead(horizon)[np.repeat(first, horizon)]
        frame = pd.DataFrame({self.schema.id_col: np.repeat(owners, horizon), self.schema.time_col: self.stamps(times)})
        empty = {name: None if name in self.levels else np.nan for name in self.schema.future_covariates}
        return frame.assign(**empty).infer_objects()

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
    def _is_split(self) -> bool:
        """Whether the channels of the frame's series are series here."""
        return self.schema.channels == "independent" and len(self.schema.targets) > 1

    @property
    def owners(self) -> NDArray[np.object_]:
        """Names of the series of the frame that each series is of, shape (N,): its own, unless channels are split."""
        if not self._is_split:
            return self.ids
        targets = self.schema.targets
        if len(self.ids) == len(targets):
            return np.asarray(["/".join(targets)] * len(targets), dtype=object)
        ends = np.tile(np.asarray(targets, dtype=object), len(self.ids) // len(targets))
        return np.asarray([i.removesuffix(f"/{c}") for i, c in zip(self.ids, ends, strict=True)], dtype=object)

    @property
    def labels(self) -> NDArray[np.object_]:
        """Names of all series and channels, shape (N, C): the series' own where there is one channel."""
        channels = self.schema.targets
        if self.values.shape[1] == 1:
            return self.ids[:, None]
        names = [[c if len(self.ids) == 1 else f"{i}/{c}" for c in channels] for i in self.ids]
        return np.asarray(names, dtype=object)

    def static_frame(self) -> pd.DataFrame:
        """Static covariates: a row a series, a column a covariate, categories by their labels."""
        columns = encoding.decode(self.static, self.schema.static_covariates, self.levels)
        return pd.DataFrame(columns, index=pd.RangeIndex(len(self.ids))).infer_objects()

    def to_frame(self) -> pd.DataFrame:
        """Back to a long frame in the order of the rows that came in, rows of gaps left out.

        Numbers come back as float64, integers and booleans too; categories as they were, but not as dtype
        ``category``; stamps that were text or periods as stamps. Rows made of several stand where the last of them
        stood. Of a wide frame, and of independent channels (in a column ``y``), the series stand one below the other.
        """
        series = np.repeat(np.arange(len(self.ids)), self.lengths)
        kept = np.flatnonzero(self.rows >= 0)
        shared = len(np.unique(self.rows[kept])) < len(kept)  # by several series
        kept = kept[np.lexsort((self.rows[kept], series[kept])) if shared else np.argsort(self.rows[kept])]
        targets = ("y",) if self._is_split else self.schema.targets
        columns: dict[str, Any] = {
            self.schema.id_col: self.ids[series[kept]],
            self.schema.time_col: self.stamps(self.times[kept]),
        }
        columns |= dict(zip(targets, self.values[kept].T, strict=True))
        columns |= encoding.decode(self.covariates[kept], self.schema.covariates, self.levels)
        columns |= {str(name): column.to_numpy()[series[kept]] for name, column in self.static_frame().items()}
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
