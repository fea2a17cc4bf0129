"""``tsrnn detect``: a sensor table in, its scores, events and pictures out."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from tsrnn.anomaly import AnomalyDetector, training_rows
from tsrnn.anomaly.base import Judged
from tsrnn.anomaly.events import EventRules
from tsrnn.anomaly.rows import describe
from tsrnn.anomaly.rules import Quality
from tsrnn.config import ConfigError, DetectConfig
from tsrnn.config.schema import DetectorSection
from tsrnn.data import read_table
from tsrnn.data.io import Reading
from tsrnn.forecasting.spec import SpecError, predictor_from_spec, to_spec, value_from_spec
from tsrnn.report import html
from tsrnn.report.charts import Monitor
from tsrnn.report.sensors import plot_events
from tsrnn.runs.folder import run_folder, write
from tsrnn.runs.provenance import provenance

__all__ = ["run_detect"]

_SHOWN = 50  # events in the report


def run_detect(
    table: str | Path, config: DetectConfig, out: str | Path | None = None, *, model: str | Path | None = None
) -> Path:
    """Score a sensor table, find its events, and write the run folder.

    Parameters
    ----------
    table : str or Path
        CSV or Parquet with a time column and a column a sensor: a file, a pattern, or a folder; see
        `tsrnn.data.read_table`.
    config : DetectConfig
        The columns, and the detector to fit on the first rows of the table.
    out : str or Path, optional
        The run folder; by default ``runs/<name>-<date>-<time>``. Nothing is overwritten.
    model : str or Path, optional
        A saved detector to use instead of fitting one.

    Returns
    -------
    Path
        The run folder: ``scores.csv`` (a row for each one of the table, in its order), ``events.csv``,
        ``summary.txt``, ``plots/``, ``report.html``, ``config.yaml`` (every default written out),
        ``provenance.json`` (software, machine, commit, data), and the detector with its state after the last row in
        ``model.tsrnn``.

    Raises
    ------
    ConfigError
        If the forecaster cannot be built from its specification, or ``out`` is taken.
    DataError
        If the table cannot be used.
    FileNotFoundError
        If there is no such table or model.
    """
    detector = build_detector(config) if model is None else _saved(model, config)
    time_col = config.data.time_col if model is None else detector.columns_.time_col
    options = config.data.model_dump(include={*Reading.__annotations__})
    frame = read_table(table, **options | {"time_col": time_col})
    with run_folder(config.name, out) as (folder, part):
        known = None
        if model is None:
            known = _first_rows(frame, time_col, config.data.train_fraction)
            detector.fit(known, time_col=time_col, sensors=config.data.sensors, inputs=config.data.inputs)
        rows, stamps = detector.columns_.read(frame)
        state, judged, closed = detector.follow(detector.start(), rows)
        detector.save(part / "model.tsrnn", state)
        scores = detector.frame(judged, stamps)
        events = detector.stamped([closed, detector.open_events(state)], stamps)
        summary = [f"{Path(table).name}: {_origin(frame, detector, known)}", *_notes(frame, detector, judged, known)]
        (part / "summary.txt").write_text("\n".join(summary) + "\n", encoding="utf-8")
        highest = events.nlargest(_SHOWN, "severity").sort_index()
        caption = f"{len(events)} events" + (f"; the worst {_SHOWN}, in time order." if len(events) > _SHOWN else ".")
        figure = plot_events(
            frame,
            scores,
            events,
            time_col=time_col,
            sensors=detector.columns_.sensors,
            fitted_until=None if known is None else known[time_col].iloc[-1],
        )
        write(
            part,
            config.name,
            config=_resolved(config, detector),
            origin=provenance(table, frame, {"predictor": detector.predictor}),
            tables={"scores.csv": scores, "events.csv": events},
            figures={"events": figure},
            page=[
                html.Text("\n\n".join(summary)),
                Monitor(
                    frame,
                    scores,
                    events,
                    time_col,
                    detector.columns_.sensors,
                    heading="Sensors and score",
                    note="Shaded: what was expected, three scales to either side, and events. Drag to zoom.",
                ),
                html.Table(highest.drop(columns="peak"), heading="Events", caption=caption),
            ],
        )
    return folder


def build_detector(config: DetectConfig) -> AnomalyDetector:
    """The detector of a run file, unfitted."""
    given = config.detector.model_dump()
    try:
        predictor = predictor_from_spec(config.predictor, where=("predictor",), random_state=config.seed)
        for name, cls in (("quality", Quality), ("events", EventRules)):
            if given[name] is not None:
                given[name] = value_from_spec(cls, given[name], ("detector", name))
    except SpecError as error:
        raise config.error(error.where, str(error)) from None
    return AnomalyDetector(predictor, **given)


def _saved(model: str | Path, config: DetectConfig) -> AnomalyDetector:
    detector, _ = AnomalyDetector.load(model)
    time_col = detector.columns_.time_col
    if "time_col" in config.data.model_fields_set and config.data.time_col != time_col:
        raise ConfigError(
            f"the detector in {model} reads the time column {time_col!r}, not {config.data.time_col!r}; "
            "rename the column of the table."
        )
    return detector


def _first_rows(frame: pd.DataFrame, time_col: str, fraction: float) -> pd.DataFrame:
    """The rows to fit on; the first ones in time, also where the file is out of order."""
    ordered = frame
    if not frame[time_col].is_monotonic_increasing:
        ordered = frame.sort_values(time_col, kind="stable", ignore_index=True)
        ordered.attrs = {}  # its rows are no longer lines of the file
    return ordered.head(training_rows(len(frame), fraction))


def _origin(frame: pd.DataFrame, detector: AnomalyDetector, known: pd.DataFrame | None) -> str:
    read = f"{len(frame):,} rows, {', '.join(detector.columns_.sensors)}."
    if known is None:
        return f"{read} Scored by a saved detector."
    return f"{read} Fitted on the first {len(known):,} rows, up to {known[detector.columns_.time_col].iloc[-1]}."


def _notes(frame: pd.DataFrame, detector: AnomalyDetector, judged: Judged, known: pd.DataFrame | None) -> list[str]:
    """What was unusual in the table, and of the fit what is not about its rows; a sentence each."""
    notes = list(describe(frame, judged.flags, detector.columns_))
    if known is not None:
        of_rows = [*describe(known, judged.flags[: len(known)], detector.columns_)]
        notes += [note for note in detector.notes_ if note not in of_rows]
    columns = detector.columns_
    unwatched = [str(c) for c in frame.columns if c not in (columns.time_col, *columns.sensors, *columns.inputs)]
    return [*notes, f"Not watched: {', '.join(unwatched)}."] if unwatched else notes


def _resolved(config: DetectConfig, detector: AnomalyDetector) -> dict[str, Any]:
    """The run file with every default written out, as far as the detector knows it."""
    given = detector.get_params(deep=False)
    columns = detector.columns_
    chosen = {"time_col": columns.time_col, "sensors": list(columns.sensors), "inputs": list(columns.inputs)}
    own = {name: given[name] for name in DetectorSection.model_fields}
    own |= {name: asdict(own[name]) for name in ("quality", "events") if own[name] is not None}
    return config.model_dump() | {
        "data": config.data.model_dump() | chosen,
        "predictor": to_spec(detector.predictor),
        "detector": own | {"scorers": list(detector.scorers)},
    }
