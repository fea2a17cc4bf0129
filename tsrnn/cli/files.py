"""Commands on run files and run folders: ``tsrnn init``, ``tsrnn validate``, ``tsrnn schema`` and ``tsrnn compare``."""

from pathlib import Path
from typing import Annotated

import typer

from tsrnn.cli.app import Overrides, app
from tsrnn.cli.session import exit_codes, prepare


@app.command()
def init(
    table: Annotated[Path, typer.Argument(metavar="DATA.csv", help="The series to forecast, in a CSV file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write it.")] = Path("run.yaml"),
) -> None:
    """Write a run file to begin with.

    Looks into the data (as tsrnn inspect does) for its columns, step and season, and writes a file that tsrnn
    backtest runs as it is. What there is to choose is in its comments.
    """
    with exit_codes():
        from tsrnn.config import ConfigError

        if out.exists():
            raise ConfigError(f"{out} exists, and nothing is overwritten; name another file with --out.")
        prepare()
        from tsrnn.runs.starter import starter

        text = starter(table, out)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
        typer.echo(out)


@app.command()
def validate(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The run file.")],
    overrides: Overrides = [],  # noqa: B006  typer copies it
) -> None:
    """Check a run file and say what it would run, without running it.

    Reads the file and the data, places the folds and builds the models. Exit code 0 if it can be run, else 2.
    """
    with exit_codes():
        prepare()
        from tsrnn.runs.check import check

        for name, text in check(config, overrides):
            typer.echo(f"{name:<10}{text}")
