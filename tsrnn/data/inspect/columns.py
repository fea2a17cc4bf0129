"""The columns of a strange table: what each holds and what is odd about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsrnn.data.calendar import Frequency
from tsrnn.data.inspect import profile
from tsrnn.data.inspect.axis import Axis, Finding, duration, line_of, words
from tsrnn.data.inspect.profile import Field, Run
from tsrnn.data.inspect.stamps import Stamps

__all__ = ["Column", "describe", "some"]

_NAMED = 4  # columns named in one sentence


@dataclass(frozen=True)
class Column:
    """A column of a file.

    Attributes
    ----------
    name : str
        As in the header, without blanks around it.
    role : str
        ``"time"``, ``"series"`` (which series a row belongs to) or ``"value"``.
    kind : str
        ``"number"``, ``"whole"``, ``"0/1"``, ``"boolean"``, ``"category"``, ``"text"`` or ``"empty"``.
    rate : str or None
        The step between its values, where these are filled in regularly; as a pandas alias.
    n_missing : int
        Rows without a value, those with a sentinel among them.
    n_levels : int
        Different values.
    minimum, median, maximum : float or None
        Of the numbers, sentinels and infinities left out.
    sentinels : dict of str to int
        Texts and numbers that stand for a missing value, and the rows with each; empty fields are not among them.
    stuck : dict or None
        The longest stretch of one value, if it is much longer than the column's others: ``value``, ``rows``, ``row``
        (its first), ``span`` (elapsed time), ``usual`` (rows).
    note : str
        What else there is to say: constant, a counter, held values, levels of a category.
    """

    name: str
    role: str
    kind: str
    rate: str | None
    n_missing: int
    n_levels: int
    minimum: float | None
    median: float | None
    maximum: float | None
    sentinels: dict[str, int]
    stuck: dict[str, Any] | None
    note: str


def some(names: Iterable[str], shown: int = _NAMED) -> str:
    """The first few of many names.

    Examples
    --------
    >>> some(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    listed = list(names)
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more


def describe(
    fields: Sequence[Field], stamps: Stamps | None, line: Axis | None, series: Sequence[int]
) -> tuple[list[Column], list[Finding]]:
    """Every column, and what is odd about each; ``line`` puts the rows in the order of time."""
    columns, found = [], []
    timed = () if stamps is None else (stamps.column, stamps.clock)
    measured = [i for i in range(len(fields)) if i not in timed and i not in series]
    codes = dict(zip(measured, profile.outstanding([fields[i] for i in measured]), strict=True))
    for i, field in enumerate(fields):
        if i in timed or i in series:
            kind = "stamp" if stamps is not None and i == stamps.column else field.kind
            role = "time" if i in timed else "series"
            columns.append(Column(field.name, role, kind, None, 0, len(field.texts), None, None, None, {}, None, ""))
            continue
        column, about = _describe(field.without(codes[i]), line)
        columns.append(column)
        found += about
    constant = [f"{column.name!r}" for column in columns if column.note.startswith("constant")]
    if constant:
        found.append(Finding("constant", f"One value throughout: {some(constant, 8)}."))
    empty = [f"{column.name!r}" for column in columns if column.kind == "empty"]
    if empty:
        found.append(Finding("empty", f"No value at all: {some(empty, 8)}."))
    return columns, found


def _describe(field: Field, line: Axis | None) -> tuple[Column, list[Finding]]:
    found = [_mark(field, mark, n) for mark, n in field.marks().items() if mark in field.untold()]
    values = field.values
    order = np.arange(len(values)) if line is None else line.order
    breaks = np.zeros(len(order), bool) if line is None else line.breaks
    finite = values[np.isfinite(values)]
    levels = len(np.unique(finite)) if field.numeric else int((~field.missing).sum())
    note, run, rate = "", None, None
    if levels == 1:
        note = f"constant {field.texts[~field.missing][0].strip()}"
    elif field.numeric and levels > 2:
        resets = profile.counter_resets(values[order], breaks)
        held = profile.held_rows(values[order], breaks)
        if resets is not None:
            note, about = _counter(field, values, order, resets)
            found += about
        else:
            run = profile.longest_run(values[order], breaks)
            note = f"changes every {held} rows" if held > 1 else ""
    elif field.kind == "category":
        note = some([str(text).strip() for text in field.texts[~field.missing]], 6)
    stuck = None if run is None else _stuck(run, order, line)
    if run is not None and stuck is not None:
        found.append(_stuck_finding(field, stuck))
    if line is not None and line.freq is not None and line.regular and levels:
        rate = _rate(line, field.absent[order])
        if rate != str(line.freq):
            own, common = words(Frequency.parse(rate)), words(line.freq)
            text = f"{field.name!r} has a value every {own}; the file has a row every {common}."
            found.append(Finding("rate", text, field.name))
    low, mid, high = map(float, (finite.min(), np.median(finite), finite.max())) if len(finite) else (None, None, None)
    missing = int(field.absent.sum())
    return Column(
        field.name, "value", field.kind, rate, missing, levels, low, mid, high, field.marks(), stuck, note
    ), found


def _mark(field: Field, mark: str, n: int) -> Finding:
    at = int((field.codes == list(field.texts).index(mark)).argmax())
    where = f"in {_rows(n)}, first in {line_of(at)}"
    if mark.strip().lstrip("+-").lower() in ("inf", "infinity"):
        return Finding("infinite", f"{field.name!r} is infinite {where}; read it as missing.", field.name, at)
    shown = mark.strip() or "blanks"
    return Finding("sentinel", f"{field.name!r} holds {shown} {where}: a mark of missing values.", field.name, at)


def _counter(
    field: Field, values: NDArray[np.float64], order: NDArray[np.int64], resets: NDArray[np.int64]
) -> tuple[str, list[Finding]]:
    steps = np.diff(values[order])
    if not len(resets) and (steps == 1).all():
        return "counts the rows", []
    if not len(resets):
        return "only rises", [Finding("counter", f"{field.name!r} only rises: a counter, or a trend.", field.name)]
    first = int(order[resets].min())
    times = "once" if len(resets) == 1 else f"{len(resets):,} times"
    text = f"{field.name!r} rises like a counter and falls back {times}, first at {line_of(first)}."
    return f"counter, back {times}", [Finding("counter", text, field.name, first)]


def _stuck(run: Run, order: NDArray[np.int64], line: Axis | None) -> dict[str, Any]:
    span = None
    if line is not None:
        elapsed = line.times[run.last] - line.times[run.first]
        ns = elapsed.astype("timedelta64[ns]").astype(np.int64) if line.dated else elapsed
        span = duration(float(ns), line.dated)
    return {
        "value": run.value, "rows": run.rows, "row": int(order[run.first]), "span": span, "usual": run.usual,
    }  # fmt: skip


def _stuck_finding(field: Field, stuck: dict[str, Any]) -> Finding:
    span = f" ({stuck['span']})" if stuck["span"] else ""
    usual = (
        f"its usual stretches have {stuck['usual']} rows or fewer"
        if stuck["usual"] > 1
        else "it usually changes in every row"
    )
    text = (
        f"{field.name!r} stands at {stuck['value']:g} for {stuck['rows']:,} rows{span} from "
        f"{line_of(stuck['row'])}; {usual}."
    )
    return Finding("stuck", text, field.name, stuck["row"])


def _rate(line: Axis, absent: NDArray[np.bool_]) -> str:
    """The step between the values of a column that has one only every so many rows; else that of the rows."""
    own = str(line.freq)
    if absent.mean() < 0.3:
        return own
    times, series = line.times[~absent], np.cumsum(line.breaks)[~absent]
    indptr = np.concatenate([[0], np.flatnonzero(np.diff(series)) + 1, [len(times)]])
    freq = Frequency.infer(times, indptr)
    if freq is None or len(times) < 10:
        return own
    counts, on_step = freq.count(times[:-1], times[1:])
    return str(freq) if ((counts == 1) & on_step).mean() >= 0.8 else own


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"
