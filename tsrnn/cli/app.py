"""The command line: ``tsrnn backtest``, ``tsrnn inspect`` and ``tsrnn doctor``.

Exit codes: 0, all done; 2, the command, its run file or its data cannot be used (the message says why); 3, there are
events, where that was asked to be a failure; 130, stopped by Ctrl-C (what was finished is written).

What a command needs is imported when it runs, so that ``tsrnn --help`` answers at once.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from tsrnn import __version__
from tsrnn.cli.inspection import print_inspection
from tsrnn.cli.session import exit_codes, prepare
from tsrnn.cli.tables import print_table

__all__ = ["app", "main"]

app = typer.Typer(
    help="Forecast time series and find anomalies in sensor data with recurrent networks.",
    epilog="Exit codes: 0 all done, 2 a run file or data that cannot be used, 3 events, 130 stopped by Ctrl-C.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip

Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the run file; may be repeated.")
]
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
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run into --out that was broken off.")] = False,
    engine: Annotated[
        str | None, typer.Option(metavar="NAME", help="processes:2, dask://host:port, ray or ray://host:port.")
    ] = None,
) -> None:
    """Rank models by forecasts from past cutoffs.

    Nothing after a cutoff is known to them. Prints the leaderboard and, as the last line, the folder with
    forecasts, metrics, plots and report.html.
    """
    with exit_codes():
        import pandas as pd

        from tsrnn.config import BacktestConfig

        where = [] if engine is None else [f"backtest.engine={engine}"]
        settings = BacktestConfig.load(config, [*overrides, *where])
        prepare()
        from tsrnn.runs import run_backtest

        folder = run_backtest(settings, out, resume=resume, say=lambda line: typer.echo(line, err=True))
        print_table(pd.read_csv(folder / "leaderboard.csv"), folder / "leaderboard.csv")
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
    with exit_codes():
        import json

        from tsrnn.data.inspect import inspect_csv

        found = inspect_csv(table)
        if as_json:
            typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
        else:
            print_inspection(found)


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
