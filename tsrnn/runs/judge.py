"""``tsrnn anomaly eval``: scores of a run and labels in, a table of metrics out."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.anomaly.base import Flag
from tsrnn.anomaly.evaluation import evaluate, label_rows
from tsrnn.data.validation import DataError, check_columns

__all__ = ["judge"]

_FOUND = Flag.STUCK | Flag.RANGE | Flag.SENTINEL | Flag.RESET | Flag.UNIT


def judge(scores: str | Path, labels: str | Path, *, series: str | None = None) -> pd.DataFrame:
    """Metrics of a detector beside those of a naive and of a random score; see `tsrnn.anomaly.evaluation.evaluate`.

    Alarms are the rows with a score above 1, and those in which a rule of quality did not believe a sensor.

    Parameters
    ----------
    scores : str or Path
        ``scores.csv``, or the run folder that it is in.
    labels : str or Path
        CSV with ``start`` and ``end`` of each fault, both inclusive, or with a column ``label``, 0 or 1 for each row;
        or JSON with a list of pairs, or several such lists by name.
    series : str, optional
        The name among those in a JSON file; by default the only one.

    Raises
    ------
    DataError
        If the files are not what they should be.
    FileNotFoundError
        If there is no such file.
    """
    scores, labels = Path(scores), Path(labels)
    table = pd.read_csv(scores / "scores.csv" if scores.is_dir() else scores)
    check_columns(table, ["score"], "scores")
    times = table[table.columns[0]]
    truth = _labels(labels, times, series)
    sensors = [name.removesuffix("-flags") for name in map(str, table) if name.endswith("-flags")]
    found = (table[[f"{name}-flags" for name in sensors]].to_numpy() & _FOUND.value).any(axis=1)
    heights = np.fmax(table["score"].to_numpy(float), np.where(found, np.nextafter(1.0, 2.0), np.nan))
    return evaluate(heights, truth, np.nan_to_num(heights) > 1, values=table[sensors], times=times)


def _labels(path: Path, times: "pd.Series[str]", series: str | None) -> NDArray[np.bool_]:
    """Which rows are faults."""
    if path.suffix == ".json":
        told = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(told, dict):
            if series is None and len(told) != 1:
                raise DataError(f"{path} has labels of {len(told)} series; name one of them with --series.")
            if series is not None and series not in told:
                raise DataError(f"{path} has no labels of {series!r}; it has those of {', '.join(map(repr, told))}.")
            told = told[series] if series is not None else next(iter(told.values()))
        return label_rows(pd.DataFrame(told, columns=["start", "end"]), times)
    frame = pd.read_csv(path)
    if "label" not in frame:
        check_columns(frame, ["start", "end"], "labels")
        return label_rows(frame, times)
    if len(frame) != len(times):
        raise DataError(f"{path} has {len(frame):,} rows and the scores {len(times):,}; a label is needed for each.")
    return frame["label"].to_numpy() > 0
