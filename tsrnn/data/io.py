"""Reading files into frames."""

import csv
import re
import warnings
from pathlib import Path

import pandas as pd

from tsrnn.data import validation

__all__ = ["read_csv"]


def read_csv(
    path: str | Path, *, time_col: str = "ds", delimiter: str | None = None, decimal: str = "."
) -> pd.DataFrame:
    """Read a CSV file with a time column into a frame, rows and order as they stand in the file.

    Parameters
    ----------
    path : str or Path
        The file; compressed files (``.gz``, ``.zip`` ...) are read by their ending.
    time_col : str, default "ds"
        The column with time stamps (ISO 8601, or another format used by every row) or integers.
    delimiter : str, optional
        The character between fields; guessed from the header line when not given.
    decimal : str, default "."
        The decimal mark.

    Returns
    -------
    DataFrame
        A default index; empty fields are missing values. Error messages about this frame name the file and its line.

    Raises
    ------
    DataError
        If the file is empty, is not a table, lacks the time column, or has an unreadable stamp.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        first = pd.read_csv(path, header=None, nrows=1, sep="\x00", engine="python", dtype=str, quoting=csv.QUOTE_NONE)
        header = str(first.iloc[0, 0])
        delimiter = delimiter or max(",;\t|", key=header.count)
        names = [name for name in next(csv.reader([header], delimiter=delimiter)) if name]
        validation.check_columns(pd.DataFrame(columns=names), [time_col], "time_col")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header would lose fields
            frame = pd.read_csv(
                path, sep=delimiter, decimal=decimal, low_memory=False, skip_blank_lines=False, index_col=False
            )
    except pd.errors.EmptyDataError:
        raise validation.DataError(f"{path} is empty.") from None
    except UnicodeDecodeError as error:
        raise validation.DataError(
            f"{path} is not text in UTF-8: {error.reason} at byte {error.start}. Save it in that encoding."
        ) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        why = re.sub(
            r".*Expected (\d+) fields in line (\d+), saw (\d+)",
            rf"line \2 has \3 fields, the lines above have \1. Correct it, or quote a field that holds {delimiter!r}",
            str(error).strip(),
        )
        raise validation.DataError(f"{path} cannot be read as a table: {why}.") from None
    frame.attrs[validation.SOURCE] = path.name
    if not len(frame):
        raise validation.DataError(f"{path} has a header and no rows.")
    frame[time_col] = validation.parse_times(frame[time_col], frame, time_col)
    return frame
