"""A strange file as it is: what is in it, what is odd about it, and the line that reads it."""

import csv
import dataclasses
import io
import re
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.data.inspect import axis, columns, dialect, recipe
from tsrnn.data.inspect.axis import Axis, Finding, TimeColumn, line_of
from tsrnn.data.inspect.columns import Column, some
from tsrnn.data.inspect.profile import Field
from tsrnn.data.inspect.series import find_series
from tsrnn.data.inspect.stamps import Stamps, find_time
from tsrnn.data.io import no_table
from tsrnn.data.validation import DataError

__all__ = ["Column", "Finding", "Inspection", "TimeColumn", "inspect_csv"]

_ENCODINGS = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8 with a byte order mark", "utf-16": "UTF-16"}
_NAMED = 4  # columns named in one sentence


@dataclass(frozen=True)
class Inspection:
    r"""What `inspect_csv` found.

    Attributes
    ----------
    path : str
        The file.
    n_rows, n_series : int
        Rows below the header, and series in them.
    encoding, delimiter, decimal : str
        How the text is written.
    series_columns : tuple of str
        Columns that say which series a row belongs to; empty for a table with one column a series or sensor.
    time : TimeColumn or None
        The time axis.
    columns : tuple of Column
        In the order of the file.
    findings : tuple of Finding
        What is odd, a sentence each; some have to be corrected before the file can be read (``blocks``).
    python : str
        Python lines that read the file as intended into ``df``; empty without a time column.
    command : str
        The command line that does; empty without a time column.
    reading : dict
        Arguments of `tsrnn.read_csv` that differ from its defaults.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "pump.csv"
    ...     lines = ["time;flow", *(f"{day:02d}.01.2024;{day % 3},5" for day in range(1, 15))]
    ...     _ = path.write_text("\n".join(lines))
    ...     found = inspect_csv(path)
    >>> found.delimiter, found.decimal, found.time.layout, found.time.rate
    (';', ',', '%d.%m.%Y', 'D')
    """

    path: str
    n_rows: int
    n_series: int
    encoding: str
    delimiter: str
    decimal: str
    series_columns: tuple[str, ...]
    time: TimeColumn | None
    columns: tuple[Column, ...]
    findings: tuple[Finding, ...]
    python: str
    command: str
    reading: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain dicts, lists, texts and numbers, which JSON can hold.

        Examples
        --------
        >>> Inspection("a.csv", 0, 1, "utf-8", ",", ".", (), None, (), (), "", "").to_dict()["delimiter"]
        ','
        """
        return dict(asdict(self))


@dataclass(frozen=True)
class _Table:
    """A file's fields as they stand, and how they are written."""

    path: str
    encoding: str
    delimiter: str
    decimal: str
    doubtful: str | None  # a number that may have another decimal mark
    headers: tuple[str, ...]
    fields: tuple[Field, ...]
    blank_end: int  # lines without any field at the end, which are not among the rows

    @property
    def n_rows(self) -> int:
        return len(self.fields[0].codes)

    @property
    def blank(self) -> NDArray[np.bool_]:
        """Rows without any field, shape (R,)."""
        blank = np.ones(self.n_rows, bool)
        for field in self.fields:
            blank &= (field.texts == "")[field.codes]
        return blank

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)


def inspect_csv(path: str | Path) -> Inspection:
    r"""Look into a CSV file: how it is written, which column is time, what is odd, and how to read it.

    Nothing is taken for granted and nothing is changed: the file is read as text, as a whole.

    Parameters
    ----------
    path : str or Path
        The file; ``.gz``, ``.bz2``, ``.xz`` and ``.zip`` are unpacked.

    Returns
    -------
    Inspection
        What was found.

    Raises
    ------
    DataError
        If the file is empty or cannot be read as a table.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "level.csv"
    ...     lines = ["day,level", *(f"2024-01-{day:02d},{-9999 if day == 3 else 2 + day % 4}" for day in range(1, 15))]
    ...     _ = path.write_text("\n".join(lines))
    ...     print(inspect_csv(path).findings[0].text)
    'level' holds -9999 in 1 row, first in line 4: a mark of missing values.
    """
    table = _read(Path(path), str(path))
    stamps = find_time(table.names, [f.codes for f in table.fields], [f.texts for f in table.fields])
    series: tuple[int, ...] = ()
    line, found = None, _header_findings(table)
    if stamps is None:
        text = "No column holds time stamps or counts steps; add one to use the file as a time series."
        found.append(Finding("no_time", text, blocks=True))
    else:
        timed = {i for i in (stamps.column, stamps.clock) if i is not None}
        series = find_series(stamps.times, table.fields, timed)
        line = Axis.of(stamps, [table.fields[i].codes for i in series])
        found += [*_stamp_findings(table, stamps), *axis.findings(line, _equal_rows(table, line))]
    described, about = columns.describe(table.fields, stamps, line, series)
    how = recipe.Recipe(table.path, table.encoding, table.delimiter, table.decimal, table.fields, stamps, line, series)
    return Inspection(
        path=table.path,
        n_rows=table.n_rows,
        n_series=1 if line is None else int(line.breaks.sum()),
        encoding=table.encoding,
        delimiter=table.delimiter,
        decimal=table.decimal,
        series_columns=tuple(table.names[i] for i in series),
        time=None if stamps is None or line is None else line.described(stamps, table.names),
        columns=tuple(described),
        findings=(*found, *about, *how.left_out()),
        python=how.python(),
        command=how.command(),
        reading=how.options(),
    )


def _read(path: Path, name: str) -> _Table:
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    data = dialect.read_bytes(path)
    encoding = dialect.encoding_of(data, name)
    text = data.decode(encoding)
    delimiter = dialect.delimiter_of(io.StringIO(text), name)
    headers = tuple(next(csv.reader(io.StringIO(text), delimiter=delimiter)))
    if not headers:
        raise DataError(f"{name} cannot be read as a table: line 1 is empty, the names of the columns belong there.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False, skip_blank_lines=False,
                index_col=False, header=None, skiprows=1, names=list(range(len(headers))),
            )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise no_table(name, error, delimiter) from None
    lines = len(frame)
    while len(frame) and (frame.iloc[-1].isna() | (frame.iloc[-1] == "")).all():
        frame = frame.iloc[:-1]
    if not len(frame):
        raise DataError(f"{name} has a header and no rows.")
    split = [pd.factorize(frame[i].fillna("")) for i in frame]
    texts = [np.asarray(distinct, dtype=object) for _, distinct in split]
    decimal, doubtful = dialect.decimal_mark(texts)
    names = [header.strip() for header in headers]
    if len(set(names)) < len(set(headers)):  # then read_csv keeps the blanks
        names = list(headers)
    fields = tuple(
        Field.read(header or f"Unnamed: {i}", codes.astype(np.int64), distinct, decimal)
        for i, (header, (codes, _), distinct) in enumerate(zip(names, split, texts, strict=True))
    )
    return _Table(name, encoding, delimiter, decimal, doubtful, headers, fields, lines - len(frame))


def _header_findings(table: _Table) -> list[Finding]:
    found = []
    if table.encoding not in ("utf-8", "utf-8-sig"):
        name = _ENCODINGS.get(table.encoding[:6], f"no UTF-8; read as {table.encoding}")
        found.append(Finding("encoding", f"The text is {name}."))
    padded = [header for header in table.headers if header != header.strip()]
    if padded:
        found.append(Finding("header_blanks", f"Blanks around the names of columns: {some(map(repr, padded))}."))
    nameless = [i for i, header in enumerate(table.headers) if not header.strip()]
    if nameless:
        called = some(f"column {i + 1} is called {table.names[i]!r}" for i in nameless)
        blocks = any(table.headers[i] for i in nameless)
        found.append(Finding("nameless", f"Names are absent in line 1: {called}.", blocks=blocks))
    names = [header.strip() for header in table.headers if header.strip()]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        text = f"The names of columns stand twice: {some(map(repr, doubled))}; rename all but one of each."
        found.append(Finding("doubled_names", text, blocks=True))
    if names and not any(re.search(r"[^\W\d_]", name) for name in names):
        text = "No name in line 1 has a letter, it looks like data; write a line with names above it."
        found.append(Finding("no_header", text, blocks=True))
    doubtful = table.doubtful
    if doubtful is not None and table.decimal == ",":
        text = f"The comma in {doubtful!r} is taken for the decimal mark; it may also stand between thousands."
        found.append(Finding("decimal", text))
    elif doubtful is not None:
        at = next(f for f in table.fields if doubtful in f.texts)
        line = line_of(int((at.codes == list(at.texts).index(doubtful)).argmax()))
        text = f"Most decimal marks are points, but {at.name!r} has {doubtful!r} in {line}."
        found.append(Finding("decimal", text, at.name))
    ends = table.blank_end
    if ends:
        text = f"{ends:,} empty lines, which are no rows" if ends > 1 else "an empty line, which is no row"
        found.append(Finding("blank_end", f"The file ends with {text}."))
    empty = np.flatnonzero(table.blank)
    if len(empty):
        text = f"Empty lines: {len(empty):,}, first {line_of(empty[0])}; delete them."
        found.append(Finding("blank_lines", text, row=int(empty[0]), blocks=True))
    return found


def _stamp_findings(table: _Table, stamps: Stamps) -> list[Finding]:
    found = []
    field = table.fields[stamps.column]
    if stamps.clock is not None:
        text = f"Date and time stand in two columns, {field.name!r} and {table.fields[stamps.clock].name!r}."
        found.append(Finding("two_columns", text, field.name))
    if stamps.evidence:
        kind = "day_and_month" if stamps.sure else "ambiguous_day_and_month"
        found.append(Finding(kind, f"The stamps of {field.name!r} are read {stamps.evidence}.", field.name))
    if stamps.zone and " and " in stamps.zone:
        text = f"The offsets of the stamps change between {stamps.zone}; they are read in UTC."
        found.append(Finding("offsets", text, field.name))
    bad = np.flatnonzero(stamps.unreadable & ~table.blank)
    if len(bad):
        written = field.texts[field.codes[bad[0]]]
        what = f"{written!r} is no stamp like the others" if written.strip() else "there is no stamp"
        text = f"{line_of(bad[0])}, column {field.name!r}: {what}; {len(bad):,} such in all. Correct them."
        found.append(Finding("unreadable_stamps", text, field.name, int(bad[0]), blocks=True))
    return found


def _equal_rows(table: _Table, line: Axis) -> int:
    """Rows that repeat the one before them in all columns."""
    later, earlier = line.order[line.repeated], line.order[line.repeated - 1]
    equal = np.ones(len(later), bool)
    for field in table.fields:
        equal &= field.codes[later] == field.codes[earlier]
    return int(equal.sum())
