"""``tsrnn detect`` and ``tsrnn anomaly``: a sensor table in, its scores, events and pictures out."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from tsrnn.anomaly import AnomalyDetector, training_rows
from tsrnn.anomaly.events import EventRules
from tsrnn.anomaly.rows import Findings
from tsrnn.anomaly.rules import Quality
from tsrnn.config import DetectConfig
from tsrnn.config.schema import DetectorSection, SensorSection
from tsrnn.data import validation
from tsrnn.data.io import Reading
from tsrnn.data.stream import Place, read_chunks
from tsrnn.forecasting.spec import SpecError, predictor_from_spec, to_spec, value_from_spec
from tsrnn.report import html
from tsrnn.report.charts import Monitor
from tsrnn.report.envelope import Envelope
from tsrnn.report.sensors import plot_events
from tsrnn.runs.carried import Carried, Model
from tsrnn.runs.folder import run_folder, write
from tsrnn.runs.provenance import Content, provenance

__all__ = ["fit_model", "run_detect", "run_score", "scored"]

_SHOWN = 50  # events in the report
_AT_ONCE = 65_536  # rows in which those of training are gone through
_OF_THE_FIT = ("Left out", "The scorer")  # notes that are not about rows
MODEL = "model.tsrnn"
"""The detector in a run folder."""

Chunks = Iterator[tuple[pd.DataFrame, Place]]


def fit_model(table: str | Path, config: DetectConfig, out: str | Path, rows: int | None = None) -> Model:
    """Fit a detector to a sensor table and save it, with its state after these rows.

    Parameters
    ----------
    table : str or Path
        CSV or Parquet with a time column and a column a sensor: a file, a pattern, or a folder; see
        `tsrnn.data.read_table`.
    config : DetectConfig
        The columns and the detector.
    out : str or Path
        The model's file.
    rows : int, optional
        Rows to learn from, the first ones; by default all of the table.

    Raises
    ------
    ConfigError
        If the detector cannot be built from its specification.
    DataError
        If the table cannot be used.
    FileNotFoundError
        If there is no such table.
    """
    detector, data = build_detector(config), config.data
    reading: Reading = data.model_dump(include={*Reading.__annotations__})  # type: ignore[assignment]
    known, place = _first_rows(read_chunks(table, **reading), rows)
    detector.fit(known, time_col=data.time_col, sensors=data.sensors, inputs=data.inputs)
    state = detector.start()
    for start in range(0, len(known), _AT_ONCE):
        state, _, _ = detector.follow(state, detector.columns_.read(known[start : start + _AT_ONCE])[0])
    model = Model(Path(out), detector, state, reading, place)
    model.save()
    return model


def run_detect(table: str | Path, config: DetectConfig, out: str | Path | None = None) -> Path:
    """Fit a detector to the first rows of a sensor table, score all of them, and write the run folder.

    Parameters
    ----------
    table : str or Path
        As of `fit_model`.
    config : DetectConfig
        The columns, and the detector.
    out : str or Path, optional
        The run folder; by default ``runs/<name>-<date>-<time>``. Nothing is overwritten.

    Returns
    -------
    Path
        The run folder: ``scores.csv`` (a row for each one of the table, in its order), ``events.csv``, ``events.json``,
        ``summary.txt``, ``plots/``, ``report.html``, ``config.yaml`` (every default written out),
        ``provenance.json`` (software, machine, commit, data), and the detector with its state after the last row in
        ``model.tsrnn``.

    Raises
    ------
    ConfigError
        As of `fit_model`, or if ``out`` is taken.
    DataError
        If the table cannot be used.
    FileNotFoundError
        If there is no such table.
    """
    reading = config.data.model_dump(include={*Reading.__annotations__})
    with run_folder(config.name, out) as (folder, part):
        rows = sum(len(chunk) for chunk, _ in read_chunks(table, **reading))
        known = training_rows(rows, config.data.train_fraction)
        model = fit_model(table, config, part / MODEL, known)
        begin = Carried(model.detector.start(), Place(layout=model.place.layout))
        found = _score(part, table, model, begin, known)
        _write(part, table, model, config, found)
        replace(model, state=found.after.state, place=found.after.place).save()
    return folder


def run_score(
    table: str | Path,
    model: str | Path,
    out: str | Path | None = None,
    *,
    state: str | Path | None = None,
    name: str = "score",
    reading: Mapping[str, Any] | None = None,
) -> Path:
    """Score a sensor table by a saved detector, in the memory of a chunk of rows, and write the run folder.

    Parameters
    ----------
    table : str or Path
        As of `fit_model`.
    model : str or Path
        The detector's file.
    out : str or Path, optional
        The run folder, as of `run_detect`, without the model.
    state : str or Path, optional
        A state file: the rows follow those that it was written after, or those that the model was saved after if there
        is no such file yet. It is brought up to date. By default nothing is known of rows before the first.
    name : str, default "score"
        Of the run.
    reading : mapping, optional
        What is read otherwise than by the model: keywords of `tsrnn.data.read_table`.

    Raises
    ------
    ConfigError
        If ``out`` is taken, or the state is of another model.
    DataError
        If the table cannot be used.
    FileNotFoundError
        If there is no such table or model.
    """
    known = Model.load(model, reading or {})
    begin = Carried(known.detector.start(), Place(layout=known.place.layout))
    if state is not None:
        begin = Carried.load(state, known)
    with run_folder(name, out) as (folder, part):
        found = _score(part, table, known, begin)
        _write(part, table, known, DetectConfig(name=name, data=SensorSection.model_validate(known.reading)), found)
    if state is not None:
        found.after.save(state, known)
    return folder


def scored(model: Model, state: Any, chunk: pd.DataFrame) -> tuple[Any, pd.DataFrame, pd.DataFrame, Any]:
    """The state after a chunk, its rows with values and scores, the events that end in it (times as numbers), flags."""
    detector = model.detector
    rows, stamps = detector.columns_.read(chunk)
    state, judged, closed = detector.follow(state, rows)
    return state, detector.frame(judged, stamps, values=True), closed, judged.flags


class _Found(NamedTuple):
    """What a table gave besides its scores."""

    after: Carried
    events: pd.DataFrame
    drawn: pd.DataFrame
    summary: list[str]
    content: Content
    fitted_until: Any


def _score(part: Path, table: str | Path, model: Model, begin: Carried, known: int | None = None) -> _Found:
    """Write the scores of a table; ``known`` are the rows that the model was fitted on, if it was on these."""
    detector, columns = model.detector, model.detector.columns_
    envelope, findings, content = Envelope(columns.time_col), Findings(columns), Content()
    state, place, found, fitted_until = begin.state, begin.place, [], None
    with (part / "scores.csv").open("wb") as file:
        for chunk, place in read_chunks(table, place=begin.place, **model.reading):  # noqa: B007  of the last chunk
            state, told, closed, flags = scored(model, state, chunk)
            _append(file, told, header=not content.rows)
            if known is not None and content.rows < known <= content.rows + len(chunk):
                fitted_until = told[columns.time_col].iloc[known - content.rows - 1]
            envelope.add(told)
            findings.add(chunk, flags)
            content.add(chunk)
            found.append(closed)
    by = "Scored by a saved detector" if known is None else f"Fitted on the first {known:,} rows, up to {fitted_until}"
    summary = [f"{Path(table).name}: {content.rows:,} rows, {', '.join(columns.sensors)}. {by}."]
    summary += findings.sentences()
    if known is not None:
        summary += [note for note in detector.notes_ if note.startswith(_OF_THE_FIT)]
    unwatched = [c for c in content.columns if c not in (columns.time_col, *columns.sensors, *columns.inputs)]
    if unwatched:
        summary.append(f"Not watched: {', '.join(unwatched)}.")
    events = detector.stamped([*found, detector.open_events(state)], told[columns.time_col])
    return _Found(Carried(state, place), events, envelope.rows(), summary, content, fitted_until)


def _write(part: Path, table: str | Path, model: Model, config: DetectConfig, found: _Found) -> None:
    """Fill the run folder, in which the scores stand."""
    columns, events, drawn = model.detector.columns_, found.events, found.drawn
    (part / "summary.txt").write_text("\n".join(found.summary) + "\n", encoding="utf-8")
    events.to_json(part / "events.json", orient="records", date_format="iso", indent=1)
    worst = events.nlargest(_SHOWN, "severity").sort_index()
    caption = f"{len(events)} events" + (f"; the worst {_SHOWN}, in time order." if len(events) > _SHOWN else ".")
    figure = plot_events(
        drawn, drawn, events, time_col=columns.time_col, sensors=columns.sensors, fitted_until=found.fitted_until
    )
    write(
        part,
        config.name,
        config=_resolved(config, model.detector),
        origin=provenance(table, found.content, {"predictor": model.detector.predictor}),
        tables={"events.csv": events},
        figures={"events": figure},
        page=[
            html.Text("\n\n".join(found.summary)),
            Monitor(
                drawn,
                drawn,
                events,
                columns.time_col,
                columns.sensors,
                heading="Sensors and score",
                note="Shaded: what was expected, three scales to either side, and events. Drag to zoom.",
            ),
            html.Table(worst.drop(columns="peak"), heading="Events", caption=caption),
        ],
    )


def _append(file: IO[bytes], told: pd.DataFrame, *, header: bool) -> None:
    """Rows of a CSV file, as pandas would write them in ten times the time."""
    if header:
        file.write(told[:0].to_csv(index=False).encode())
    texts = {str(name): told[name].map(str) for name in told.select_dtypes(["datetime", "datetimetz"])}
    table = pa.Table.from_pandas(told.assign(**texts), preserve_index=False)
    pyarrow.csv.write_csv(table, file, pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed"))


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


def _first_rows(chunks: Chunks, rows: int | None) -> tuple[pd.DataFrame, Place]:
    """The first rows of a table, or all, that know the lines of their file."""
    parts, lines, n, place = [], [], 0, Place()
    for chunk, place in chunks:  # noqa: B007  of the last chunk
        parts.append(chunk if rows is None else chunk[: rows - n])
        lines += [[name, n + start] for name, start in chunk.attrs[validation.SOURCE]]
        n += len(parts[-1])
        if n == rows:
            break
    whole = pd.concat(parts, ignore_index=True)
    whole.attrs[validation.SOURCE] = lines
    return whole, place


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
