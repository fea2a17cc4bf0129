"""Reading tables by parts: files larger than memory, files that grow, and standard input.

The rows are those of `tsrnn.data.read_table`, a chunk at a time. A row is a line: no field holds a line break. The
layout of the stamps is that of the first chunk, and stamps with an offset are in UTC unless a time zone is named.
"""

import bz2
import glob
import gzip
import lzma
import os
import re
from collections.abc import Callable, Iterator
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple, Self, Unpack

import pandas as pd
import pyarrow.parquet as pq

from tsrnn.data import validation
from tsrnn.data.io import Dialect, Reading, find_files, is_parquet, plain, words_of

__all__ = ["Follower", "Place", "read_chunks"]

_BLOCK = 4 << 20  # bytes that are read at a time, and the longest line
_TAIL = 256  # bytes by which a place in a file is known again
_OPEN: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_INTEGERS = "integers"  # the layout of times that are no stamps
_BLANK, _HOLE = re.compile(rb"(?:[ \t\r]*\n)*"), re.compile(rb"\n[ \t\r]*\n")


class Place(NamedTuple):
    """Where the reading of a stream was left, in numbers and text, which any file can hold."""

    offset: int = 0
    """Bytes that were read: the header and complete rows."""
    line: int = 0
    """Lines that were."""
    tail: str = ""
    """The last bytes that were, as Latin-1, by which the file is known again."""
    header: str = ""
    """The line with the names of the columns, likewise."""
    layout: str | None = None
    """Of the stamps."""
    latest: str | None = None
    """The latest stamp, where a time zone was named."""


class Follower:
    r"""Reads the rows of a CSV file as they come, and knows its place.

    A half-written line is left until it is complete. A file that was cut off, or replaced by another, is read from its
    beginning, after what was left of the old one: that is found again, under its new name, by what was read last.

    Parameters
    ----------
    source : str, Path or binary stream
        A file, or standard input (``sys.stdin.buffer``).
    place : Place, optional
        Where an earlier run was left. A stream goes on where it is, and its header may be left out then.
    **reading
        ``time_col``, ``delimiter``, ``decimal``, ``time_format``, ``na_values``, ``encoding``, ``time_zone``, as in
        `tsrnn.data.read_table`.

    Attributes
    ----------
    place : Place
        After the rows that were given out last.
    ended : bool
        Whether a stream has come to its end; a file never does.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If it cannot be read line by line.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "pump.csv")
    >>> _ = file.write_text("ds,flow\n2024-01-01 00:00,1\n2024-01-01 00:01,2\n2024-01-")
    >>> with Follower(file) as follower:
    ...     follower.read()["flow"].tolist(), follower.place.line
    ([1, 2], 3)
    >>> with file.open("a") as log:
    ...     _ = log.write("01 00:02,3\n")
    >>> with Follower(file, follower.place) as follower:
    ...     follower.read()
                       ds  flow
    0 2024-01-01 00:02:00     3
    """

    def __init__(
        self, source: str | Path | BufferedReader, place: Place | None = None, **reading: Unpack[Reading]
    ) -> None:
        self.place = place or Place()
        self.ended = False
        self._reading = reading
        self._dialect: Dialect | None = None
        self._pipe = None if isinstance(source, (str, Path)) else source
        self._path = Path() if self._pipe else Path(source)  # type: ignore[arg-type]
        self._name = "standard input" if self._pipe else self._path.name
        self._pending = b""
        self._known = self._pipe is not None and bool(self.place.header)
        encoding = reading.get("encoding", "utf-8")
        try:
            by_line = "\n".encode(encoding) == b"\n"
        except LookupError:
            raise validation.DataError(f"encoding={encoding!r} is not known; name one as 'latin-1'.") from None
        if not by_line or self._path.suffix == ".zip":
            what = f"text in {encoding.upper()}" if not by_line else "a .zip file"
            raise validation.DataError(f"{self._name}: {what} cannot be read line by line; save it as CSV in UTF-8.")
        if not self._pipe:
            self._handle: IO[bytes] = self._found()

    def read(self, rows: int | None = None, *, end: bool = False) -> pd.DataFrame:
        """The complete rows that were not read yet.

        Parameters
        ----------
        rows : int, optional
            At most so many; by default those of the next 4 MiB.
        end : bool, default False
            Whether the file is finished: a last line without a line break is a row then.

        Returns
        -------
        DataFrame
            A default index; no rows if there are none yet. Waits for a row on a stream that has not ended.

        Raises
        ------
        DataError
            If a row cannot be read; the message names the line, and `place` is before these rows still.
        """
        while True:
            before = self.place
            frame = self._read(rows, end)
            if len(frame) or self.place == before:
                return frame

    def _read(self, rows: int | None, end: bool) -> pd.DataFrame:
        """The same; no rows, but another place, after a header and blank lines."""
        unread, last = self._unread()
        data = unread
        if (end or last or self.ended) and 0 < len(unread) < _BLOCK and not unread.endswith(b"\n"):
            data += b"\n"
        data = data[: data.rfind(b"\n") + 1]
        if not data and len(unread) >= _BLOCK:
            raise validation.DataError(f"line {self.place.line + 1} of {self._name} is no row: it does not end.")
        header, start = self.place.header.encode("latin-1"), _end(_BLANK, data, 0)
        first = data[start : data.find(b"\n", start) + 1]
        if not header or (self._known and first == header):
            header, start = first, _end(_BLANK, data, start + len(first))
        if not header:
            return pd.DataFrame()
        self._known = False
        stop = len(data) if rows is None else _after_lines(data, start, rows)
        hole = _HOLE.search(data, start, stop)
        stop = hole.start() + 1 if hole else stop
        frame, layout, latest = self._parse(header, data[start:stop], self.place.line + data.count(b"\n", 0, start))
        read = min(stop, len(unread))
        self._pending = unread[read:]
        self.place = Place(
            offset=self.place.offset + read,
            line=self.place.line + data.count(b"\n", 0, stop),
            tail=(self.place.tail[-_TAIL:] + data[max(0, read - _TAIL) : read].decode("latin-1"))[-_TAIL:],
            header=header.decode("latin-1"),
            layout=layout,
            latest=latest,
        )
        return frame

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._pipe:
            self._handle.close()

    def _unread(self) -> tuple[bytes, bool]:
        """Bytes after the place, and whether no more will come to them."""
        if b"\n" in self._pending:
            return self._pending, self.ended
        if self._pipe:
            more = b"" if self.ended else self._pipe.read1(_BLOCK)
            self.ended = not more
            self._pending += more
            return self._pending, self.ended
        data = self._after(self._handle)
        if data is None:
            data = self._begin_anew()
        if b"\n" not in data and self._replaced():
            if data.strip():
                return data, True
            self._handle.close()
            self._handle = _open(self._path)
            data = self._begin_anew()
        return data, False

    def _after(self, handle: IO[bytes]) -> bytes | None:
        """The bytes after the place; None if those before it are others than they were."""
        tail = self.place.tail.encode("latin-1")
        handle.seek(self.place.offset - len(tail))
        data = handle.read(len(tail) + _BLOCK)
        return data[len(tail) :] if data.startswith(tail) else None

    def _begin_anew(self) -> bytes:
        self.place = Place(layout=self.place.layout, latest=self.place.latest)
        self._dialect = None
        return self._after(self._handle) or b""

    def _found(self) -> IO[bytes]:
        """The file that the place is in: the path's, or one that was it and has got a longer name."""
        others = self._path.parent.glob(glob.escape(self._path.name) + "?*") if self.place.offset else ()
        newest = sorted((file for file in others if file.is_file()), key=lambda file: -file.stat().st_mtime)
        for file in (self._path, *newest):
            handle = _open(file)
            if self._after(handle) is not None:
                return handle
            handle.close()
        return _open(self._path)

    def _replaced(self) -> bool:
        """Whether the path is that of another file now."""
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._handle.fileno()))
        except FileNotFoundError:  # it was moved, and the next one has not begun
            return False

    def _parse(self, header: bytes, block: bytes, above: int) -> tuple[pd.DataFrame, str | None, str | None]:
        """Rows below ``above`` lines, the layout of their stamps, and the latest stamp so far."""
        reading, time_col = self._reading, self._reading.get("time_col", "ds")
        encoding = reading.get("encoding", "utf-8")
        if self._dialect is None:
            self._dialect = Dialect.read(
                BytesIO(header), self._name, delimiter=reading.get("delimiter"), decimal=reading.get("decimal", "."),
                words=words_of(reading.get("na_values", ())), encoding=encoding,
            )  # fmt: skip
            validation.check_columns(pd.DataFrame(columns=self._dialect.names), [time_col], "time_col")
        if not block:
            return pd.DataFrame(columns=self._dialect.names), self.place.layout, self.place.latest
        try:
            block.decode(encoding)
        except UnicodeDecodeError as error:
            line = above + 1 + block.count(b"\n", 0, error.start)
            raise validation.DataError(
                f"line {line} of {self._name} is not text in {encoding.upper()}: {error.reason}. Save it in that "
                "encoding, or name its own with encoding=..., as 'latin-1'."
            ) from None
        layout = self.place.layout or reading.get("time_format")
        as_text = [time_col] if layout not in (None, _INTEGERS) else []
        frame = self._dialect.parse(BytesIO(header + block), as_text, above - 1)
        lines = block.count(b"\n")
        if len(frame) != lines:
            raise validation.DataError(
                f"lines {above + 1} to {above + lines} of {self._name} are not a row each: a quote is not closed, or a "
                "field holds a line break."
            )
        frame.attrs[validation.SOURCE] = [[self._name, 1 - above]]
        return _stamped(frame, time_col, layout, reading.get("time_zone"), self.place.latest)


def read_chunks(
    path: str | Path, rows: int | None = None, place: Place | None = None, **reading: Unpack[Reading]
) -> Iterator[tuple[pd.DataFrame, Place]]:
    r"""Read a table chunk by chunk, in the memory of one.

    Parameters
    ----------
    path : str or Path
        A file, a pattern or a folder, CSV or Parquet, as in `tsrnn.data.read_table`; folder names give no columns.
    rows : int, optional
        Rows of a chunk, at most; by default those of 4 MiB of text, or 65,536 of a Parquet file.
    place : Place, optional
        At the end of the table that these rows follow: layout and latest of its stamps hold on.
    **reading
        As of `Follower`.

    Yields
    ------
    chunk : DataFrame
        A default index, in each chunk from 0. Error messages about it name the file and its line.
    place : Place
        After the chunk.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    DataError
        As of `tsrnn.data.read_table`.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "pump.csv")
    >>> _ = file.write_text("ds;flow\n2024-01-01;1,5\n2024-01-02;2\n2024-01-03;4,0\n")
    >>> [chunk["flow"].tolist() for chunk, _ in read_chunks(file, rows=2, decimal=",")]
    [[1.5, 2.0], [4.0]]
    """
    _, files = find_files(path)
    first, place = None, place or Place()
    for file in files:
        empty = True
        chunks = (_parquet if is_parquet(file) else _text)(file, rows, place, reading)
        for chunk, place in chunks:
            first = chunk[:0] if first is None else first
            validation.check_same_columns(files[0], first, file, chunk)
            empty = False
            yield chunk, place
        if empty:
            raise validation.DataError(f"{file} has no rows.")


def _text(file: Path, rows: int | None, place: Place, reading: Reading) -> Iterator[tuple[pd.DataFrame, Place]]:
    with Follower(file, Place(layout=place.layout, latest=place.latest), **reading) as follower:
        while len(chunk := follower.read(rows, end=True)):
            yield chunk, follower.place


def _parquet(file: Path, rows: int | None, place: Place, reading: Reading) -> Iterator[tuple[pd.DataFrame, Place]]:
    usual = {"delimiter": None, "decimal": ".", "encoding": "utf-8"}
    validation.check_parquet(file, [*usual], [reading.get(name, value) != value for name, value in usual.items()])
    time_col, start = reading.get("time_col", "ds"), 0
    try:
        batches = pq.ParquetFile(file).iter_batches(rows or 65_536)
    except ValueError as error:  # pyarrow's ArrowInvalid
        raise validation.DataError(f"{file} cannot be read as Parquet: {error}") from None
    for batch in batches:
        frame = plain(batch.to_pandas(), words_of(reading.get("na_values", ())))
        frame.attrs[validation.SOURCE] = [[file.name, -start]]
        validation.check_columns(frame, [time_col], "time_col")
        layout = place.layout or reading.get("time_format")
        frame, layout, latest = _stamped(frame, time_col, layout, reading.get("time_zone"), place.latest)
        place, start = Place(layout=layout, latest=latest), start + len(frame)
        yield frame, place


def _stamped(
    frame: pd.DataFrame, time_col: str, layout: str | None, zone: str | None, latest: str | None
) -> tuple[pd.DataFrame, str | None, str | None]:
    """A chunk with its stamps read, their layout, and the latest of them if they are in a time zone."""
    if layout is None:
        layout = validation.stamp_layout(frame[time_col])
    elif layout == _INTEGERS:
        validation.check_integers(frame, time_col)
    times = validation.parse_times(frame[time_col], frame, time_col, None if layout == _INTEGERS else layout)
    if pd.api.types.is_integer_dtype(times):
        layout = _INTEGERS
    frame[time_col] = times
    if zone is not None:
        before = None if latest is None else pd.Timestamp(latest)
        frame[time_col] = validation.on_running_clock(frame, time_col, zone, before)
        highest = frame[time_col].max()
        latest = str(highest if before is None else max(highest, before))
    elif getattr(times.dtype, "tz", None) is not None:
        frame[time_col] = times.dt.tz_convert("UTC")
    return frame, layout, latest


def _open(file: Path) -> IO[bytes]:
    opened: IO[bytes] = _OPEN[file.suffix](file) if file.suffix in _OPEN else file.open("rb")
    return opened


def _end(pattern: re.Pattern[bytes], data: bytes, start: int) -> int:
    """Where a match that begins there ends."""
    found = pattern.match(data, start)
    return found.end() if found else start


def _after_lines(data: bytes, start: int, lines: int) -> int:
    """The end of the last of so many lines."""
    for _ in range(lines):
        start = data.find(b"\n", start) + 1
        if not start:
            return len(data)
    return start
