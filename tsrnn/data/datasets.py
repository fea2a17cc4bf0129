"""Public benchmark data, read from a local folder in the formats it was published in."""

import difflib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["data_folder", "load"]

_Series = tuple[str, NDArray[Any], NDArray[np.float64]]  # name, times, values


def data_folder() -> Path:
    """Find the folder with the benchmark data.

    Returns
    -------
    Path
        The folder named by the environment variable ``TSRNN_DATA``; without it, ``../shared/data`` as seen
        from the current folder or from the checkout of this package.

    Raises
    ------
    FileNotFoundError
        If there is none; the message lists the folders that were tried.
    """
    named = os.environ.get("TSRNN_DATA")
    roots = (Path.cwd(), Path(__file__).parents[2])
    tried = [Path(named)] if named else [(root / "../shared/data").resolve() for root in roots]
    for folder in tried:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"no benchmark data in {' or '.join(dict.fromkeys(map(str, tried)))}; "
        "set the environment variable TSRNN_DATA to the folder that holds 'forecast/'."
    )


def load(name: str) -> pd.DataFrame:
    """Read a public benchmark set as a long frame, history and held-out part joined.

    Parameters
    ----------
    name : str
        ``"tourism_monthly"`` (366 series, held-out horizon 24), ``"tourism_quarterly"`` (427, 8) and
        ``"tourism_yearly"`` (518, 4) [1]_; ``"m4_hourly"`` (414, 48; integer time from 1) [2]_; ``"etth1"``
        and ``"ettm1"`` (7 series, hourly and quarter-hourly) [3]_; ``"m3_monthly"`` (1,428, 18), ``"m3_quarterly"``
        (756, 8), ``"m3_yearly"`` (645, 6) and ``"m3_other"`` (174, 8), integer time from 1 [4]_.

    Returns
    -------
    DataFrame
        Columns ``unique_id``, ``ds`` (stamps at the beginning of a period, or integers) and ``y``, of M3 moreover
        ``type``, what a series is about (``MICRO``, ``FINANCE`` ...); series in the order of the file.

    Raises
    ------
    ValueError
        If the name is unknown.
    FileNotFoundError
        If the data folder or the file in it is missing.

    References
    ----------
    .. [1] Athanasopoulos, Hyndman, Song and Wu (2011), The tourism forecasting competition, International
       Journal of Forecasting 27(3), 822-844.
    .. [2] Makridakis, Spiliotis and Assimakopoulos (2020), The M4 competition: 100,000 time series and 61
       forecasting methods, International Journal of Forecasting 36(1), 54-74.
    .. [3] Zhou et al. (2021), Informer: beyond efficient transformer for long sequence time-series
       forecasting, AAAI 35(12), 11106-11115.
    .. [4] Makridakis and Hibon (2000), The M3-Competition: results, conclusions and implications, International
       Journal of Forecasting 16(4), 451-476.
    """
    if name not in _READERS:
        near = difflib.get_close_matches(name, _READERS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no benchmark set is named {name!r}; {hint}Known: {', '.join(_READERS)}.")
    return _READERS[name](data_folder() / "forecast")


def _tourism(folder: Path, period: Literal["monthly", "quarterly", "yearly"]) -> pd.DataFrame:
    """One column a series; above the values stand their number, the first year and, below a year, the period.

    Values beyond the stated number are left out: in the yearly file 79 columns have a stray figure far below
    their end. The held-out values follow the history without a step between them, also for the yearly series
    Y18, whose held-out header repeats the last year of its history.
    """
    months, header = {"monthly": (1, 3), "quarterly": (3, 3), "yearly": (12, 2)}[period]
    files = (folder / "tourism" / f"{period}_{part}.csv" for part in ("in", "oos"))
    past, future = (pd.read_csv(file, dtype=np.float64) for file in files)

    def values(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
        column = frame[name].to_numpy()
        return column[header : header + int(column[0])]

    def series() -> Iterable[_Series]:
        for name in map(str, past):
            y = np.concatenate([values(past, name), values(future, name)])
            year, first = past[name].iloc[1], past[name].iloc[2] if header == 3 else 1
            start = np.datetime64(int(year) - 1970, "Y").astype("datetime64[M]") + int(first - 1) * months
            yield name, (start + months * np.arange(len(y))).astype("datetime64[us]"), y

    return _long(series())


def _m4_hourly(folder: Path) -> pd.DataFrame:
    """One row a series in two files: its name, then its values, then empty fields up to the longest one."""
    files = (folder / "m4" / f"Hourly-{part}.csv" for part in ("train", "test"))
    past, future = (pd.read_csv(file, index_col=0) for file in files)
    rows = pd.concat([past, future.loc[past.index]], axis=1)

    def series() -> Iterable[_Series]:
        for name, row in zip(rows.index, rows.to_numpy(dtype=np.float64), strict=True):
            y = row[~np.isnan(row)]
            yield name, np.arange(1, len(y) + 1), y

    return _long(series())


def _m3(folder: Path, period: str) -> pd.DataFrame:
    """All periods in one long file, and what the series are in another one."""
    long, about = (pd.read_csv(folder / "m3" / f"m3{part}.csv.gz") for part in ("", "_meta"))
    kinds = about.loc[about["period"] == period].set_index("unique_id")["type"]
    own = long[long["unique_id"].isin(kinds.index)].rename(columns={"t": "ds"})
    return own.assign(type=own["unique_id"].map(kinds))[["unique_id", "ds", "y", "type"]].reset_index(drop=True)


def _ett(folder: Path, file: str) -> pd.DataFrame:
    """One column a series, the first one is the stamp."""
    wide = pd.read_csv(folder / "ett" / file, parse_dates=["date"])
    long = wide.rename(columns={"date": "ds"}).melt(id_vars="ds", var_name="unique_id", value_name="y")
    return long[["unique_id", "ds", "y"]]


def _long(series: Iterable[_Series]) -> pd.DataFrame:
    names, times, values = zip(*series, strict=True)
    return pd.DataFrame(
        {
            "unique_id": np.repeat(names, [len(y) for y in values]),
            "ds": np.concatenate(times),
            "y": np.concatenate(values),
        }
    )


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "tourism_monthly": lambda folder: _tourism(folder, "monthly"),
    "tourism_quarterly": lambda folder: _tourism(folder, "quarterly"),
    "tourism_yearly": lambda folder: _tourism(folder, "yearly"),
    "m4_hourly": _m4_hourly,
    "etth1": lambda folder: _ett(folder, "ETTh1.csv"),
    "ettm1": lambda folder: _ett(folder, "ETTm1.csv.gz"),
    "m3_monthly": lambda folder: _m3(folder, "MONTHLY"),
    "m3_quarterly": lambda folder: _m3(folder, "QUARTERLY"),
    "m3_yearly": lambda folder: _m3(folder, "YEARLY"),
    "m3_other": lambda folder: _m3(folder, "OTHER"),
}
