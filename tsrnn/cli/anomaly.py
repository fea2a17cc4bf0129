"""``tsrnn detect`` and ``tsrnn anomaly``: detectors, new ones and saved ones, on tables and on streams."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsrnn.cli.app import Out, Overrides, app
from tsrnn.cli.session import exit_codes, prepare
from tsrnn.cli.tables import print_events, print_table

if TYPE_CHECKING:
    from tsrnn.config import DetectConfig

anomaly = typer.Typer(
    help="Fit a detector once; score tables, or follow a stream, from a state that goes on.", no_args_is_help=True
)
app.add_typer(anomaly, name="anomaly")

Table = Annotated[Path, typer.Argument(metavar="SENSORS.csv", help="A time column and a column a sensor.")]
ModelFile = Annotated[Path, typer.Option("--model", "-m", metavar="MODEL", help="A detector's file.")]
TimeCol = Annotated[str | None, typer.Option(help="The time column [default: ds, or the model's].", show_default=False)]
Delimiter = Annotated[str | None, typer.Option(help="Character between fields [default: guessed].", show_default=False)]
Decimal = Annotated[str | None, typer.Option(help="Decimal mark [default: .].", show_default=False)]
TimeFormat = Annotated[str | None, typer.Option(help="Layout of the stamps, as %d/%m/%Y %H:%M.", show_default=False)]
TimeZone = Annotated[str | None, typer.Option(help="Zone of the stamps, as Europe/Berlin.", show_default=False)]
FailOnEvents = Annotated[bool, typer.Option("--fail-on-events", help="Exit with 3 if there are events.")]


Sensors = Annotated[
    list[str], typer.Option("--sensor", help="A column to watch; may be repeated [default: all].", show_default=False)
]
Inputs = Annotated[
    list[str], typer.Option("--input", help="A column to read and not to watch; may be repeated.", show_default=False)
]
Config = Annotated[Path | None, typer.Option(metavar="CONFIG.yaml", help="Run file: columns, predictor, detector.")]


@app.command()
def detect(
    table: Table,
    config: Config = None,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", metavar="MODEL", help="A saved detector, instead of a new one.")
    ] = None,
    overrides: Overrides = [],  # noqa: B006  typer copies it
    out: Out = None,
    fail_on_events: FailOnEvents = False,
    sensors: Sensors = [],  # noqa: B006
    inputs: Inputs = [],  # noqa: B006
    time_col: TimeCol = None,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    time_format: TimeFormat = None,
    time_zone: TimeZone = None,
) -> None:
    """Find anomalies in a sensor table.

    Every row gets a score; rows above the alarm line are gathered into events. Unless --model is given, a
    detector is fitted on the first rows. Prints what is unusual about the table, the events and, as the last
    line, the folder with scores, events, plots and report.html.
    """
    with exit_codes():
        from tsrnn.config import ConfigError

        if model is not None and (config is not None or overrides or sensors or inputs):
            raise ConfigError(
                "--config, --set, --sensor and --input say what to fit, --model what to use instead; give one of them."
            )
        reading = _given(time_col, delimiter, decimal, time_format, time_zone)
        settings = _settings(config, overrides, sensors, inputs, reading)
        prepare()
        from tsrnn.runs import run_detect, run_score

        if model is None:
            folder = run_detect(table, settings, out)
        else:
            folder = run_score(table, model, out, name="detect", reading=reading)
        print_events(folder, fail=fail_on_events)


@anomaly.command()
def fit(
    table: Table,
    model: Annotated[Path, typer.Option("--out", "-o", metavar="MODEL", help="The detector's file, to be written.")],
    config: Config = None,
    overrides: Overrides = [],  # noqa: B006  typer copies it
    sensors: Sensors = [],  # noqa: B006
    inputs: Inputs = [],  # noqa: B006
    time_col: TimeCol = None,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    time_format: TimeFormat = None,
    time_zone: TimeZone = None,
) -> None:
    """Learn from all rows of a table what is usual, and save it.

    The rows should be of a time without faults, as far as possible.
    """
    with exit_codes():
        reading = _given(time_col, delimiter, decimal, time_format, time_zone)
        settings = _settings(config, overrides, sensors, inputs, reading)
        prepare()
        from tsrnn.runs import fit_model

        for note in fit_model(table, settings, model).detector.notes_:
            typer.echo(note, err=True)
        typer.echo(model)


@anomaly.command()
def score(
    table: Table,
    model: ModelFile,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the results [default: runs/score-<date>-<time>].")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Go on from this state, and bring it up to date.", show_default=False)
    ] = None,
    fail_on_events: FailOnEvents = False,
    time_col: TimeCol = None,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    time_format: TimeFormat = None,
    time_zone: TimeZone = None,
) -> None:
    """Score a table of any size by a saved detector.

    With --state the rows follow those that it was written after; if there is no such file yet, those that the
    detector was fitted on. Prints the events and, as the last line, the folder with scores, events, plots and
    report.html.
    """
    with exit_codes():
        prepare()
        from tsrnn.runs import run_score

        reading = _given(time_col, delimiter, decimal, time_format, time_zone)
        folder = run_score(table, model, out, state=state, reading=reading)
        print_events(folder, fail=fail_on_events)


@anomaly.command("eval")
def evaluate(
    scores: Annotated[Path, typer.Argument(metavar="SCORES", help="A run folder, or its scores.csv.")],
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="CSV with start and end, or label; or JSON with pairs.")
    ],
    series: Annotated[str | None, typer.Option(help="Name among several in a JSON file.", show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write it to a .csv file too.", show_default=False)
    ] = None,
) -> None:
    """Judge scores by labelled faults, beside a naive score and a random one."""
    with exit_codes():
        prepare()
        from tsrnn.runs.judge import judge

        found = judge(scores, labels, series=series).T.rename_axis("metric").reset_index()
        if out is not None:
            found.to_csv(out, index=False)
        print_table(found, out or Path("the .csv that --out names"))


@anomaly.command()
def watch(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A CSV file that grows; - for standard input.")],
    model: ModelFile,
    state: Annotated[Path, typer.Option(help="The state file: where to go on after whatever end.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write to a file [default: standard output].", show_default=False)
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Rows after which the state is saved, at most.")] = 1000,
    poll: Annotated[float, typer.Option(min=0, help="Seconds between two looks at the file.")] = 1.0,
    time_col: TimeCol = None,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    time_format: TimeFormat = None,
    time_zone: TimeZone = None,
) -> None:
    """Score rows as they come; a line of JSON for each, and for each event.

    Stops when standard input ends, or by Ctrl-C. Started again with the same state it goes on behind the last row;
    in a file that --out names each row is told once, even after a crash.
    """
    with exit_codes():
        import sys

        prepare()
        from tsrnn.runs.watch import watch

        reading = _given(time_col, delimiter, decimal, time_format, time_zone)
        stream: Any = sys.stdin.buffer if source == "-" else source
        watch(stream, model, state, out=out, every=every, poll=poll, reading=reading)


def _settings(
    config: Path | None, overrides: list[str], sensors: list[str], inputs: list[str], reading: dict[str, Any]
) -> "DetectConfig":
    """A run file, and what options say otherwise."""
    from tsrnn.config import DetectConfig

    given = reading | {name: names for name, names in (("sensors", sensors), ("inputs", inputs)) if names}
    return DetectConfig.load(config, [*overrides, *(f"data.{name}={json.dumps(v)}" for name, v in given.items())])


def _given(*reading: str | None) -> dict[str, Any]:
    """The options by which a table is read that were given."""
    names = ("time_col", "delimiter", "decimal", "time_format", "time_zone")
    return {name: value for name, value in zip(names, reading, strict=True) if value is not None}
