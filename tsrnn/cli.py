"""The command line: ``tsrnn backtest`` and ``tsrnn detect``.

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
