"""Charts of a page that are zoomed and switched: data for plotly.js, which draws them where the page is read."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

__all__ = ["Chart", "Curves", "Explorer", "Intervals", "Monitor", "library", "outline", "pack"]

MAX_VALUES = 600_000
"""Numbers that the charts on a page may hold: about four megabytes, of which packing leaves less than half."""

MAX_CUTOFFS, MAX_SERIES, MAX_EVENTS = 40, 200, 200


@dataclass(frozen=True, eq=False)
class Curves:
    """Lines over a common axis, one a model; a menu chooses what is drawn where there is a choice.

    Parameters
    ----------
    frame : DataFrame
        ``model``, the column ``x``, and a column for each choice.
    x : str
        Name of the common axis.
    heading, caption : str, default ""
        Above and below.
    label : str, optional
        What to write at the common axis; by default its name.
    diagonal : bool, default False
        Draw where both axes are equal.
    """

    frame: pd.DataFrame
    x: str
    heading: str = ""
    caption: str = ""
    label: str = ""
    diagonal: bool = False
    kind: str = field(default="chart", init=False)

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws."""
        choices = [str(column) for column in self.frame if column not in ("model", self.x)]
        lines = [
            {"model": str(model), "x": _axis(rows[self.x]), **{name: numbers(rows[name]) for name in choices}}
            for model, rows in self.frame.groupby("model", sort=False)
        ]
        return {
            "type": "curves", "choices": choices, "lines": lines, "label": self.label or self.x,
            "diagonal": self.diagonal,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Intervals:
    """A point and an interval of equal length for each model, one below the other.

    Parameters
    ----------
    frame : DataFrame
        ``model`` and a column of numbers, the best first.
    half : float
        Half the length of the intervals.
    heading, caption : str, default ""
        Above and below.
    """

    frame: pd.DataFrame
    half: float
    heading: str = ""
    caption: str = ""
    kind: str = field(default="chart", init=False)

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws."""
        label = str(self.frame.columns[1])
        models = [str(model) for model in self.frame["model"]]
        return {
            "type": "intervals", "models": models, "values": numbers(self.frame[label]), "half": self.half,
            "label": label,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Explorer:
    """Forecasts over the history they continue; series, cutoff and models are chosen on the page.

    Of more series and cutoffs than a page can hold, some are kept: cutoffs spread evenly, series spread evenly over
    ``quality``, the best and the worst among them.

    Parameters
    ----------
    history : DataFrame
        ``unique_id, ds, y``, in time order.
    forecasts : DataFrame
        ``unique_id, ds, cutoff, <Model>, <Model>-lo-90 ...``, in time order.
    models : dict of str to sequence of float
        Columns to draw, the best first, and the levels of their intervals.
    quality : DataFrame
        ``unique_id`` and a column of numbers, a row a series; shown beside the names.
    id_col, time_col : str
        Names of the columns.
    heading, note : str, default ""
        Above, and the first sentence of the caption, which goes on with what was left out.
    """

    history: pd.DataFrame
    forecasts: pd.DataFrame
    models: Mapping[str, Sequence[float]]
    quality: pd.DataFrame
    id_col: str = "unique_id"
    time_col: str = "ds"
    heading: str = ""
    note: str = ""
    kind: str = field(default="chart", init=False)

    @property
    def caption(self) -> str:
        """What is shown, and what was left out."""
        cutoffs = self._sizes[0]
        kept, all_series = len(self._names), self.quality.shape[0]
        left = [self.note]
        if kept < all_series:
            measure = self.quality.columns[1]
            left.append(
                f"{kept} of {all_series:,} series are here, spread evenly from the lowest {measure} to the highest."
            )
        if cutoffs > MAX_CUTOFFS:
            left.append(f"{MAX_CUTOFFS} of {cutoffs:,} cutoffs are here, spread evenly.")
        return " ".join(filter(None, left))

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws."""
        pasts, tables = self.history.groupby(self.id_col), self.forecasts.groupby(self.id_col)
        measure = self.quality.set_index(self.id_col).iloc[:, 0]
        series = [
            {"name": str(name), "quality": numbers([measure[name]])[0]}
            | self._one(pasts.get_group(name), tables.get_group(name))
            for name in self._names
        ]
        models = [{"name": name, "levels": [f"{p:g}" for p in sorted(of)[::-1]]} for name, of in self.models.items()]
        return {"type": "explorer", "measure": measure.name, "models": models, "series": series}

    @cached_property
    def _sizes(self) -> tuple[int, int]:
        """Cutoffs of a series, and numbers that one series takes here."""
        cutoffs = self.forecasts.groupby(self.id_col)["cutoff"].nunique()
        steps = int(self.forecasts.groupby([self.id_col, "cutoff"]).size().max())
        columns = sum(1 + 2 * len(of) for of in self.models.values())
        first = self.history[self.id_col].map(self.forecasts.groupby(self.id_col)["cutoff"].min())
        ahead = (self.history[self.time_col] > first).groupby(self.history[self.id_col]).sum().max()
        return int(cutoffs.max()), int(min(cutoffs.max(), MAX_CUTOFFS) * steps * columns + 2 * (ahead + _past(steps)))

    @cached_property
    def _names(self) -> list[Any]:
        """The series that are kept, in the order of the forecasts."""
        names = self.forecasts[self.id_col].unique()
        room = min(MAX_SERIES, max(1, MAX_VALUES // self._sizes[1]))
        if len(names) <= room:
            return list(names)
        ranked = self.quality.sort_values(str(self.quality.columns[1]), kind="stable")[self.id_col].tolist()
        kept = {ranked[i] for i in _spread(len(ranked), room)}
        return [name for name in names if name in kept]

    def _one(self, past: pd.DataFrame, forecasts: pd.DataFrame) -> dict[str, Any]:
        """One series: its stamps and values, and of each cutoff the place of its forecasts and what they are."""
        of_cutoff = list(forecasts.groupby("cutoff").indices.items())
        windows = [of_cutoff[i] for i in _spread(len(of_cutoff), MAX_CUTOFFS)]
        times = pd.Index(forecasts[self.time_col])
        first, last, steps = times[windows[0][1][0]], times[windows[-1][1][-1]], len(windows[0][1])
        known = past[past[self.time_col] <= last]
        known = known.iloc[max(0, int((known[self.time_col] < first).sum()) - _past(steps)) :]
        stamps = pd.Index(known[self.time_col]).union(times[windows[-1][1]])
        places = stamps.get_indexer(times)
        columns = {
            name: [name, *(f"{name}-{side}-{p:g}" for p in sorted(levels)[::-1] for side in ("lo", "hi"))]
            for name, levels in self.models.items()
        }
        tables = {name: forecasts[of].to_numpy(np.float64).T for name, of in columns.items()}
        cutoffs = _axis(pd.Series([cutoff for cutoff, _ in windows]))
        blocks = [
            {
                "cutoff": cutoff,
                "first": int(places[rows[0]]),
                "values": {name: [numbers(line) for line in table[:, rows]] for name, table in tables.items()},
            }
            for cutoff, (_, rows) in zip(cutoffs, windows, strict=True)
        ]
        y = known.set_index(self.time_col)["y"].reindex(stamps)
        return {"x": _axis(pd.Series(stamps)), "y": numbers(y), "windows": blocks}


@dataclass(frozen=True, eq=False)
class Monitor:
    """Sensors over time with what was expected of them, the score below, events shaded; sensor and event are chosen.

    Of more rows than a page can hold the lowest and the highest value of each stretch are kept, and all rows near the
    most severe events.

    Parameters
    ----------
    table : DataFrame
        ``time_col`` and a column a sensor.
    scores : DataFrame
        The rows of ``table``: ``<sensor>-expected``, ``<sensor>-scale``, and ``score`` in multiples of the alarm line.
    events : DataFrame
        ``id, kind, start, end, severity, sensors``, in time order.
    time_col : str
        Column with the stamps.
    sensors : sequence of str
        Sensors to choose from.
    width : float, default 3
        Scales on either side of what was expected that are shaded.
    heading, note : str, default ""
        Above, and the first sentence of the caption, which goes on with what was left out.
    """

    table: pd.DataFrame
    scores: pd.DataFrame
    events: pd.DataFrame
    time_col: str
    sensors: Sequence[str]
    width: float = 3.0
    heading: str = ""
    note: str = ""
    kind: str = field(default="chart", init=False)

    @property
    def caption(self) -> str:
        """What is shown, and what was left out."""
        left = [self.note]
        if len(self.table) > self._room:
            left.append(
                f"Of {len(self.table):,} rows the extremes of each stretch are here, and rows near severe events."
            )
        if len(self.events) > MAX_EVENTS:
            left.append(f"The {MAX_EVENTS} most severe of {len(self.events):,} events are here.")
        return " ".join(filter(None, left))

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws."""
        order = np.argsort(self.table[self.time_col].to_numpy(), kind="stable")
        times = self.table[self.time_col].iloc[order].reset_index(drop=True)
        worst = self.events.nlargest(MAX_EVENTS, "severity", keep="first")
        near = self._near(times, worst)
        shown = worst.sort_index()
        sensors = []
        for name in self.sensors:
            value = self.table[name].to_numpy(np.float64)[order]
            mean, scale = (self.scores[f"{name}-{what}"].to_numpy(np.float64)[order] for what in ("expected", "scale"))
            rows = np.union1d(outline(value, self._room // 4), near)
            lines = {"y": value, "mean": mean, "low": mean - self.width * scale, "high": mean + self.width * scale}
            sensors.append(
                {"name": name, "x": _axis(times.iloc[rows])} | {key: numbers(of[rows]) for key, of in lines.items()}
            )
        score = self.scores["score"].to_numpy(np.float64)[order]
        rows = np.union1d(outline(score, self._room // 4), near)
        events = shown[["id", "kind", "severity", "sensors"]].to_dict("records")
        for event, start, end in zip(events, _axis(shown["start"]), _axis(shown["end"]), strict=True):
            blamed = [i for i, name in enumerate(self.sensors) if event["sensors"].startswith(f"{name} ")]
            event |= {
                "start": start,
                "end": end,
                "severity": round(event["severity"]),
                "sensor": max(blamed, default=-1),
            }
        return {
            "type": "monitor", "sensors": sensors, "x": _axis(times.iloc[rows]), "score": numbers(score[rows]),
            "events": events,
        }  # fmt: skip

    @property
    def _room(self) -> int:
        """Rows of each sensor that a page can hold."""
        return max(200, MAX_VALUES // (5 * (len(self.sensors) + 1)))

    def _near(self, times: "pd.Series[Any]", worst: pd.DataFrame) -> NDArray[np.int64]:
        """Rows in and around events, the most severe ones first, as many as half of the room holds."""
        if len(times) <= self._room:
            return np.arange(len(times))
        kept: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        room = self._room // 2
        starts, ends = (np.searchsorted(times, worst[name]).tolist() for name in ("start", "end"))
        for start, end in zip(starts, ends, strict=True):
            around = np.arange(max(0, start - 100), min(len(times), end + 100))
            if len(around) <= room:
                kept.append(around)
                room -= len(around)
        return np.unique(np.concatenate(kept))


Chart = Curves | Intervals | Explorer | Monitor


def packed(text: str) -> str:
    """Text in few letters: gzip in base64, the same for the same text."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def pack(charts: Sequence[Chart]) -> str:
    """The data of the charts of a page, packed."""
    return packed(json.dumps([chart.data for chart in charts], separators=(",", ":")))


@cache
def library() -> str:
    """plotly.js, packed."""
    return packed(files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8"))


def numbers(values: ArrayLike) -> list[float | None]:
    """Numbers of six digits, None where they are missing."""
    array = np.asarray(values, np.float64)
    seen = np.isfinite(array).tolist()
    return [float(f"{value:.6g}") if known else None for value, known in zip(array.tolist(), seen, strict=True)]


def outline(heights: ArrayLike, n: int) -> NDArray[np.int64]:
    """Rows that draw the same line with fewer points: the lowest and the highest of each of n stretches, in order.

    Parameters
    ----------
    heights : array of shape (R,)
        NaN where missing; kept where a stretch has nothing else.
    n : int
        Stretches; rows are all kept if they are at most four times as many.

    Examples
    --------
    >>> outline([0, 1, 5, 1, 0, -3, 0, 0, 0, 7], n=2)
    array([0, 2, 5, 9])
    """
    heights = np.asarray(heights, np.float64)
    if len(heights) <= 4 * n:
        return np.arange(len(heights))
    bucket = np.arange(len(heights)) * n // len(heights)
    first = np.flatnonzero(np.diff(bucket, prepend=-1))
    return np.unique([np.lexsort((sign * heights, bucket))[first] for sign in (1, -1)])  # missing ones come last


def _axis(values: "pd.Series[Any]") -> list[Any]:
    """Stamps as text on the clock of their zone, numbers as they are, names as text."""
    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.to_timestamp()
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_localize(None)
    if pd.api.types.is_datetime64_any_dtype(values):
        whole = (values == values.dt.normalize()).all()
        return list(values.dt.strftime("%Y-%m-%d" if whole else "%Y-%m-%d %H:%M:%S"))
    return list(values if pd.api.types.is_numeric_dtype(values) else values.astype(str))


def _past(steps: int) -> int:
    """Rows to show before the first cutoff."""
    return max(400, 6 * steps)


def _spread(n: int, kept: int) -> NDArray[np.int64]:
    """Places of at most so many of n things, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, kept)).round().astype(np.int64))
