"""Reading files into frames."""

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
    if delimiter is None:
        header = (
            pd.read_csv(path, header=None, nrows=1, sep="\x00", engine="python", dtype=str)
            if path.stat().st_size
            else None
        )
        first = "" if header is None or header.empty else str(header.iloc[0, 0])
        delimiter = max(",;\t|", key=first.count)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header would lose fields
            frame = pd.read_csv(
                path, sep=delimiter, decimal=decimal, low_memory=False, skip_blank_lines=False, index_col=False
            )
    except (pd.errors.EmptyDataError, pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError) as error:
        raise validation.DataError(f"{path} cannot be read as a table: {str(error).strip()}") from None
    frame.attrs[validation.SOURCE] = path.name
    validation.check_columns(frame, [time_col], "time_col")
    if not len(frame):
        raise validation.DataError(f"{path} has a header and no rows.")
    frame[time_col] = validation.parse_times(frame[time_col], frame, time_col)
    return frame
