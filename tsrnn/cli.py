"""The command line: ``tsrnn backtest``, ``tsrnn detect``, ``tsrnn inspect`` and ``tsrnn doctor``.

Exit codes: 0, all done; 2, the command, its run file or its data cannot be used (the message says why); 130,
stopped by Ctrl-C (what was finished is written).

What a command needs is imported when it runs, so that ``tsrnn --help`` answers at once.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsrnn import __version__

if TYPE_CHECKING:
    import pandas as pd

    from tsrnn.data.inspect import Column, Inspection, TimeColumn

__all__ = ["app", "main"]

app = typer.Typer(
    help="Forecast time series and find anomalies in sensor data with recurrent networks.",
    epilog="Exit codes: 0 all done, 2 a run file or data that cannot be used, 130 stopped by Ctrl-C.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip

Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the run file; may be repeated.")
]
_SHOWN = 15  # events in the terminal

Out = Annotated[
    Path | None, typer.Option(help="Folder for the results [default: runs/<name>-<date>-<time>].", show_default=False)
]


def main() -> None:
    """Entry point of the ``tsrnn`` command."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None: ...


@app.command()
def backtest(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The run file; see configs/ for examples.")],
    overrides: Overrides = [],  # noqa: B006  typer copies it
    out: Out = None,
) -> None:
    """Rank models by forecasts from past cutoffs.

    Nothing after a cutoff is known to them. Prints the leaderboard and, as the last line, the folder with
    forecasts, metrics, plots and report.html.
    """
    with _exit_codes():
        import pandas as pd

        from tsrnn.config import BacktestConfig

        settings = BacktestConfig.load(config, overrides)
        _prepare()
        from tsrnn.evaluation import BacktestEvent
        from tsrnn.runs import run_backtest

        def say(event: BacktestEvent) -> None:
            if event.seconds is not None:
                fold = f", fold {event.fold + 1} of {event.n_windows}" if settings.backtest.refit else ""
                typer.echo(f"{event.model}{fold}: {event.seconds:.1f} s", err=True)

        folder = run_backtest(settings, out, on_event=say, on_read=lambda line: typer.echo(line, err=True))
        _print_table(pd.read_csv(folder / "leaderboard.csv"), folder / "leaderboard.csv")
        typer.echo(folder)


@app.command()
def detect(
    table: Annotated[Path, typer.Argument(metavar="SENSORS.csv", help="A time column and a column a sensor.")],
    time_col: Annotated[str | None, typer.Option(help="The time column [default: ds].")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="CONFIG.yaml", help="Run file: columns, forecaster, detector.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A detector saved by an earlier run, in its model/.")
    ] = None,
    overrides: Overrides = [],  # noqa: B006  typer copies it
    out: Out = None,
) -> None:
    """Find anomalies in a sensor table.

    Every row gets a score; rows above the alarm line are gathered into events. Unless --model is given, a
    detector is fitted on the first rows. Prints what is unusual about the table, the events and, as the last
    line, the folder with scores, events, plots and report.html.
    """
    with _exit_codes():
        import json

        import pandas as pd

        from tsrnn.config import ConfigError, DetectConfig

        if model is not None and (config is not None or overrides):
            raise ConfigError("--config and --set say what to fit, --model what to use instead; give one of them.")
        column = [] if time_col is None else [f"data.time_col={json.dumps(time_col)}"]
        settings = DetectConfig.load(config, [*overrides, *column])
        _prepare()
        from tsrnn.runs import run_detect

        folder = run_detect(table, settings, out, model=model)
        typer.echo((folder / "summary.txt").read_text(encoding="utf-8"))
        events = pd.read_csv(folder / "events.csv")
        shown = events.nlargest(_SHOWN, "score").sort_index()
        typer.echo(f"{len(events)} events" + (f", the highest {_SHOWN}:" if len(shown) < len(events) else ""))
        if len(shown):
            _print_table(shown[["start", "end", "score", "kind", "sensors"]], folder / "events.csv")
        typer.echo(folder)


@app.command()
def inspect(
    table: Annotated[Path, typer.Argument(metavar="DATA.csv", help="Any CSV file, as it came.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print all that was found as JSON.")] = False,
) -> None:
    """Say what is in a strange CSV file, and how to read it.

    Encoding, delimiter, decimal mark, time column and its format; rate, gaps, repeated stamps; marks of missing
    values, stuck, constant and counting columns; and the lines that read the file as intended. Changes nothing.
    """
    with _exit_codes():
        import json

        from tsrnn.data.inspect import inspect_csv

        found = inspect_csv(table)
        if as_json:
            typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
        else:
            _print_inspection(found)


@app.command()
def doctor() -> None:
    """Say what tsrnn computes with: versions, devices, and whether the C++ kernels are in use or why not."""
    import platform
    from importlib.metadata import version

    import jax

    from tsrnn.native.build import compiler
    from tsrnn.native.library import instructions, why_not

    why = why_not()
    packages = "jax", "jaxlib", "flax", "optax", "numpy", "pandas"
    devices = ", ".join(sorted({device.device_kind for device in jax.devices()}))
    rows = {
        "tsrnn": f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
        "devices": f"{jax.device_count()} of the kind {devices}; {os.cpu_count()} CPU cores",
        "kernels": f"in use, {instructions()}" if why is None else f"not in use, {why}",
        "compiler": compiler() or "none",
    }
    for name, text in rows.items():
        typer.echo(f"{name:<10}{text}")


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Say what went wrong in a line or two instead of a traceback."""
    try:
        yield
    except KeyboardInterrupt as stop:
        folder = getattr(stop, "folder", None)
        typer.echo("Stopped." if folder is None else "Stopped; what was finished is in", err=True)
        if folder is not None:
            typer.echo(folder)
        raise typer.Exit(130) from None
    except (ValueError, OSError, ArithmeticError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _prepare() -> None:
    """Settings of libraries that must stand before their import.

    Compiled programs are kept in the user's cache folder, and so a second run starts faster. The environment variable
    ``TSRNN_COMPILATION_CACHE`` names another folder, or is 0 for none.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    choice = os.environ.get("TSRNN_COMPILATION_CACHE") or "1"
    if choice != "0":
        folder = str(_user_cache() / "tsrnn" / "jax") if choice == "1" else choice
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", folder)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _print_table(frame: "pd.DataFrame", file: Path) -> None:
    """The first columns of a frame, as many as the terminal has room for, numbers with four digits."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    texts = frame.astype(object).map(_cell)
    numeric = [column.dtype.kind in "if" for _, column in frame.items()]
    widths = [max(len(str(name)), *map(len, texts[name])) + 2 for name in texts]
    room = [sum(widths[: i + 1]) <= console.width + 2 for i in range(len(widths))]  # text can be folded
    shown = [name for name, number, fits in zip(texts, numeric, room, strict=True) if fits or not number]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, number in zip(texts, numeric, strict=True):
        if name in shown:
            table.add_column(str(name), justify="right" if number else "left")
    for row in texts[shown].itertuples(index=False):
        table.add_row(*row)
    console.print(table)
    if len(shown) < len(texts.columns):
        typer.echo(f"({', '.join(texts.columns.difference(shown, sort=False))}: in {file.name})")


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return "\N{EN DASH}" if value != value else f"{value:.4g}"


def _print_inspection(found: "Inspection") -> None:
    """Head, columns, findings, and the lines to use."""
    from rich.console import Console
    from rich.table import Table

    series = f", {found.n_series:,} series by {' and '.join(found.series_columns)}" if found.series_columns else ""
    typer.echo(f"{found.path}: {found.n_rows:,} rows, {len(found.columns)} columns{series}")
    mark = {"\t": "tabs", ",": "commas"}.get(found.delimiter, repr(found.delimiter))
    decimal = "point" if found.decimal == "." else "comma"
    encoding = "UTF-8 with a byte order mark" if found.encoding == "utf-8-sig" else found.encoding.upper()
    typer.echo(f"text  {encoding}, fields between {mark}, decimal {decimal}")
    if found.time is not None:
        _print_time(found.time)
    rows = [_column_cells(column, found) for column in found.columns]
    shown = [name for name in rows[0] if any(row[name] for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in shown:
        right = name in ("missing", "min", "median", "max")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(row[name] for name in shown))
    typer.echo()
    Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False).print(table)
    blocking = [finding.text for finding in found.findings if finding.blocks]
    others = [finding.text for finding in found.findings if not finding.blocks]
    for heading, lines, sign in (
        ("To be corrected first", blocking, "- "),
        ("Found", others, "- "),
        ("In Python", found.python.splitlines(), "  "),
        ("On the command line", found.command.splitlines(), "  "),
    ):
        if lines:
            typer.echo("\n".join(["", heading, *(sign + line for line in lines)]))


def _print_time(time: "TimeColumn") -> None:
    from tsrnn.data.calendar import Frequency
    from tsrnn.data.inspect import words

    column = time.column if time.clock is None else f"{time.column} and {time.clock}"
    layout = {"ISO8601": "ISO 8601", "integer": "whole numbers"}.get(time.layout, time.layout)
    told = next((name for name in ("UTC", "GMT") if name in time.column.upper()), None)
    zone = time.zone or ("no zone" if told is None else f"no zone, but the name says {told}")
    typer.echo(f"time  {column}: {layout}" + ("" if time.layout == "integer" else f", {zone}"))
    if time.rate is not None:
        regular = "" if time.regular else f", irregular: nine in ten between {time.low_step} and {time.high_step}"
        typer.echo(f"rate  {words(Frequency.parse(time.rate))} in {_percent(time.share_on_rate)} of the steps{regular}")
    typer.echo(f"span  {time.start} to {time.end}")


def _column_cells(column: "Column", found: "Inspection") -> dict[str, str]:
    """A column's cells in the table, by heading; empty where there is nothing to say."""
    from tsrnn.data.calendar import Frequency
    from tsrnn.data.inspect import words

    numbers = (column.minimum, column.median, column.maximum)
    low, middle, high = ("" if number is None else _short(number) for number in numbers)
    stuck = column.stuck
    return {
        "column": column.name,
        "kind": column.role if column.role != "value" else column.kind,
        "rate": "" if column.rate is None else words(Frequency.parse(column.rate)),
        "missing": _percent(column.n_missing / found.n_rows) if column.n_missing else "",
        "sentinels": ", ".join(column.sentinels),
        "stuck": "" if stuck is None else f"{stuck['rows']:,} rows" + (f", {stuck['span']}" if stuck["span"] else ""),
        "min": low,
        "median": middle,
        "max": high,
        "note": column.note,
    }


def _short(number: float) -> str:
    """Whole numbers as they are, others with four digits."""
    return f"{number:,.0f}" if number == round(number) and abs(number) < 1e9 else f"{number:.4g}"


def _percent(share: float) -> str:
    """A share; 0 and 100 % only where it is none and all."""
    if 0 < share < 0.001:
        return "<0.1 %"
    return f"{100 * share:.0f} %" if share in (0, 1) else f"{min(99.9, 100 * share):.1f} %"
