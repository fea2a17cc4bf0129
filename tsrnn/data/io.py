"""Reading files into frames: CSV and Parquet; one file, a pattern of names, a folder, or a partitioned folder."""

import csv
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack
from urllib.parse import unquote

import pandas as pd

from tsrnn.data import validation

__all__ = [
    "Dialect",
    "Reading",
    "find_files",
    "is_parquet",
    "no_table",
    "plain",
    "read_csv",
    "read_table",
    "words_of",
]

_PARQUET = (".parquet", ".pq")
_ENDINGS = (*_PARQUET, *(text + packed for text in (".csv", ".tsv") for packed in ("", ".gz", ".bz2", ".xz", ".zip")))
"""Files of a folder that are tables."""


class Reading(TypedDict, total=False):
    """The keywords by which a file is read; see `read_table` for their meaning and defaults."""

    time_col: str
    id_col: str
    id_from: Literal["file"] | None
    delimiter: str | None
    decimal: str
    time_format: str | None
    na_values: str | float | Sequence[str | float]
    encoding: str
    time_zone: str | None


def read_csv(path: str | Path, **reading: Unpack[Reading]) -> pd.DataFrame:
    r"""Read one file with a time column into a frame: `read_table` where there is no pattern and no folder.

    Parameters
    ----------
    path : str or Path
        The file.
    **reading
        ``time_col``, ``delimiter``, ``decimal``, ``time_format`` ... as in `read_table`.

    Returns
    -------
    DataFrame
        As of `read_table`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        As of `read_table`.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "pump.csv")
    >>> _ = file.write_text("when;flow\n31/01/24 00;1,5\n31/01/24 01;-9999\n")
    >>> read_csv(file, time_col="when", decimal=",", time_format="%d/%m/%y %H", na_values=-9999)
                     when  flow
    0 2024-01-31 00:00:00   1.5
    1 2024-01-31 01:00:00   NaN
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    return read_table(path, **reading)


def read_table(
    path: str | Path,
    *,
    time_col: str = "ds",
    id_col: str = "unique_id",
    id_from: Literal["file"] | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    time_format: str | None = None,
    na_values: str | float | Sequence[str | float] = (),
    encoding: str = "utf-8",
    time_zone: str | None = None,
) -> pd.DataFrame:
    r"""Read files with a time column into one frame, rows and order as they stand in the files.

    Parameters
    ----------
    path : str or Path
        A file, a pattern (``"data/*.csv"``), or a folder, whose files are read with those of its subfolders; several
        are put one below the other by name. Files that end in ``.parquet`` or ``.pq`` are Parquet, all
        others CSV, compressed ones (``.gz``, ``.zip`` ...) included. In a folder, and where a pattern begins, folder
        names such as ``store=12`` become columns.
    time_col : str, default "ds"
        The column with time stamps (ISO 8601, or another format used by every row) or integers.
    id_col : str, default "unique_id"
        The column with the series' names, if there is one: read as text, and as integers if all are plain ones.
    id_from : {"file"}, optional
        ``"file"``: each file is a series; its name without the ending becomes the column ``id_col``.
    delimiter : str, optional
        The character between fields of a CSV file; guessed from the header line when not given.
    decimal : str, default "."
        The decimal mark of a CSV file.
    time_format : str, optional
        The layout of the stamps, as in `datetime.datetime.strptime`: ``"%d/%m/%y %H"``. Needed to read integers such as
        20240131 as stamps.
    na_values : str, number or sequence of them, optional
        Values that stand for a missing one, as -9999, besides empty fields and pandas' own words such as ``NULL``.
    encoding : str, default "utf-8"
        How the text of a CSV file is written.
    time_zone : str, optional
        The zone of the stamps' clock, as ``"Europe/Berlin"``; stamps with an offset from UTC are converted to it.

    Returns
    -------
    DataFrame
        A default index; empty fields are missing values. Error messages about this frame name the file and its line.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    DataError
        If a file is empty, is not a table, lacks the time column, has an unreadable stamp, or other columns than the
        file before it.

    Warns
    -----
    UserWarning
        If blanks around the names of columns were stripped; where two names would become one, all stay as they are.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("north", "south"):
    ...     _ = (folder / f"{name}.csv").write_text("ds,y\n2024-01-01,1\n2024-01-02,2\n")
    >>> read_table(folder / "*.csv", id_from="file")
      unique_id         ds  y
    0     north 2024-01-01  1
    1     north 2024-01-02  2
    2     south 2024-01-01  1
    3     south 2024-01-02  2
    """
    if id_from not in (None, "file"):
        raise ValueError(f"id_from must be 'file' or None, got {id_from!r}.")
    words = words_of(na_values)
    root, files = find_files(path)
    if id_from:
        validation.check_stems(files, [_stem(file) for file in files])
    parts: list[pd.DataFrame] = []
    for file in files:
        if is_parquet(file):
            given = [delimiter is not None, decimal != ".", encoding != "utf-8"]
            validation.check_parquet(file, ("delimiter", "decimal", "encoding"), given)
            part = _read_parquet(file, words)
        else:
            dialect = Dialect.read(
                file, str(file), delimiter=delimiter, decimal=decimal, words=words, encoding=encoding
            )
            part = dialect.parse(file, [id_col, time_col] if time_format else [id_col])
            while len(part) and part.iloc[-1].isna().all():  # empty lines at the end of a file
                part = part.iloc[:-1]
        if not len(part):
            raise validation.DataError(f"{file} has a header and no rows.")
        added = ({id_col: _stem(file)} if id_from else {}) | _keys(file, root)
        validation.check_added(file, part, [*added])
        for at, (name, value) in enumerate(added.items()):
            part.insert(at, name, pd.Series(value, part.index, dtype="str"))
        validation.check_columns(part, [time_col], "time_col")
        if parts:
            validation.check_same_columns(files[0], parts[0], file, part)
        parts.append(part)
    starts = [0, *accumulate(map(len, parts))]
    frame = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
    frame.attrs[validation.SOURCE] = [
        [file.relative_to(root).as_posix(), start] for file, start in zip(files, starts[:-1], strict=True)
    ]
    for name in {id_col, *_keys(files[0], root)}.intersection(frame.columns):
        frame[name] = _plain_integers(frame[name])
    frame[time_col] = validation.parse_times(frame[time_col], frame, time_col, time_format)
    if time_zone is not None:
        frame[time_col] = validation.on_clock(frame, time_col, id_col, time_zone)
    return frame


def find_files(path: str | Path) -> tuple[Path, list[Path]]:
    """The files that a path stands for, by name, and the folder below which folder names are columns.

    Parameters
    ----------
    path : str or Path
        A file, a pattern or a folder, as in `read_table`.

    Returns
    -------
    root : Path
    files : list of Path

    Raises
    ------
    FileNotFoundError
        If nothing is there.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "store=12", "part-0.csv")
    >>> file.parent.mkdir()
    >>> file.touch()
    >>> find_files(file.parents[1]) == (file.parents[1], [file])
    True
    """
    path = Path(path)
    if path.is_file():
        return path.parent, [path]
    wild = next((i for i, part in enumerate(path.parts) if re.search(r"[*?\[]", part)), None)
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.name.endswith(_ENDINGS)]
    elif wild is None:
        raise FileNotFoundError(f"no such file: {path}")
    else:
        path, pattern = Path(*path.parts[:wild]), str(Path(*path.parts[wild:]))
        found = list(path.glob(pattern))
    hidden = (".", "_")  # what others wrote beside the data
    files = sorted(f for f in found if f.is_file() and not any(p.startswith(hidden) for p in f.relative_to(path).parts))
    if not files:
        what = "CSV or Parquet file in" if wild is None else "file that matches"
        raise FileNotFoundError(f"no {what} {path if wild is None else path / pattern}")
    return path, files


def words_of(na_values: str | float | Sequence[str | float]) -> list[Any]:
    """One value or several as a list."""
    return [na_values] if isinstance(na_values, (str, int, float)) else list(na_values)


def is_parquet(file: Path) -> bool:
    """Whether a file is Parquet, by its name."""
    return file.name.endswith(_PARQUET)


def _stem(file: Path) -> str:
    ending = max((e for e in (*_ENDINGS, file.suffix) if file.name.endswith(e)), key=len)
    return file.name.removesuffix(ending)


def _keys(file: Path, root: Path) -> dict[str, str | None]:
    """Columns that the folders between ``root`` and the file give, as ``store=12``; None is missing."""
    pairs = [folder.split("=", 1) for folder in file.relative_to(root).parts[:-1] if "=" in folder]
    return {key: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value) for key, value in pairs}


def _read_parquet(file: Path, words: list[Any]) -> pd.DataFrame:
    try:
        return plain(pd.read_parquet(file, engine="pyarrow", partitioning=None), words)
    except ValueError as error:  # pyarrow's ArrowInvalid
        raise validation.DataError(f"{file} cannot be read as Parquet: {error}") from None


def plain(frame: pd.DataFrame, words: list[Any]) -> pd.DataFrame:
    """A frame of a Parquet file with its index as columns, and without marks of missing values."""
    frame.attrs = {}
    named = [level for level in frame.index.names if level is not None]
    frame = frame.reset_index(named) if named else frame.reset_index(drop=True)
    return frame.mask(frame.isin(words)) if words else frame


@dataclass(frozen=True)
class Dialect:
    """How the text of a CSV file is written.

    Attributes
    ----------
    name : str
        Of the file, for messages.
    delimiter, decimal, words, encoding
        As `read_table` takes them, ``words`` for its ``na_values``.
    written, names : list of str
        Names of the columns as in the header, and without blanks around them.
    """

    name: str
    delimiter: str
    decimal: str
    words: list[Any]
    encoding: str
    written: list[str]
    names: list[str]

    @classmethod
    def read(
        cls, source: Path | BytesIO, name: str, *, delimiter: str | None, decimal: str, words: list[Any], encoding: str
    ) -> "Dialect":
        """Read the header line."""
        with _in_words(name, delimiter, encoding):
            first = pd.read_csv(
                source,
                header=None,
                nrows=1,
                sep="\x00",
                engine="python",
                dtype=str,
                quoting=csv.QUOTE_NONE,
                encoding=encoding,
            )
        header = str(first.iloc[0, 0])
        delimiter = delimiter or max(",;\t|", key=header.count)
        written = next(csv.reader([header], delimiter=delimiter))
        names = _strip(name, written)
        validation.check_columns(pd.DataFrame(columns=[name for name in names if name]), [], "")
        return cls(name, delimiter, decimal, words, encoding, written, names)

    def parse(self, source: Path | BytesIO, text: list[str], above: int = 0) -> pd.DataFrame:
        """All rows below a header line; the columns ``text`` as they are written.

        ``above`` are the lines of the file before that header, for messages.
        """
        with _in_words(self.name, self.delimiter, self.encoding, above), warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header would lose fields
            frame = pd.read_csv(
                source, sep=self.delimiter, decimal=self.decimal, low_memory=False, skip_blank_lines=False,
                dtype={old: "str" for old, new in zip(self.written, self.names, strict=True) if new in text},
                index_col=False, na_values=self.words, encoding=self.encoding,
            )  # fmt: skip
        return frame if self.names == self.written else frame.set_axis(self.names, axis=1)


@contextmanager
def _in_words(name: str, delimiter: str | None, encoding: str, above: int = 0) -> Iterator[None]:
    """What pandas says of a text that it cannot read, in our words."""
    try:
        yield
    except pd.errors.EmptyDataError:
        raise validation.DataError(f"{name} is empty.") from None
    except UnicodeDecodeError as error:
        raise validation.DataError(
            f"{name} is not text in {encoding.upper()}: {error.reason} at byte {error.start}. Save it in that "
            "encoding, or name its own with encoding=..., as 'latin-1'."
        ) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise no_table(name, error, delimiter, above) from None


def no_table(name: str | Path, error: Exception, delimiter: str | None, above: int = 0) -> validation.DataError:
    """What pandas says of a row with too many fields or of an open quote, in our words."""
    said, quoted = str(error).strip(), f"Correct it, or quote a field that holds {delimiter!r}"
    if many := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", said):
        said = f"line {int(many[2]) + above} has {many[3]} fields, the lines above have {many[1]}. {quoted}"
    elif isinstance(error, pd.errors.ParserWarning):  # only of the first row
        said = f"line {2 + above} has more fields than the header. {quoted}"
    elif open_quote := re.search(r"EOF inside string starting at row (\d+)", said):
        said = f"the quote that begins in line {int(open_quote[1]) + 1 + above} is not closed"
    return validation.DataError(f"{name} cannot be read as a table: {said}.")


def _strip(name: str, names: list[str]) -> list[str]:
    """Names of columns without blanks around them, unless two would become one."""
    stripped = [name.strip() for name in names]
    odd = [name for name, bare in zip(names, stripped, strict=True) if name != bare]
    if not odd or len(set(stripped)) < len(set(names)):
        return names
    warnings.warn(
        f"{Path(name).name}: blanks around the names of {len(odd)} columns were stripped, as in {odd[0]!r}.",
        stacklevel=4,
    )
    return stripped


def _plain_integers(names: "pd.Series[Any]") -> "pd.Series[Any]":
    """Text as integers if each one is written as Python would write it, ``7`` and not ``007``."""
    if pd.api.types.is_string_dtype(names) and bool(names.str.fullmatch(r"-?(0|[1-9]\d{0,17})").all()):
        return names.astype("int64")
    return names
