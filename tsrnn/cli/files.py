"""Commands on run files and run folders: ``tsrnn init``, ``tsrnn validate``, ``tsrnn schema`` and ``tsrnn compare``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tsrnn.cli.app import Overrides, app
from tsrnn.cli.session import exit_codes, prepare
from tsrnn.cli.tables import print_table


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


class Kind(StrEnum):
    """Commands that have run files."""

    backtest = "backtest"
    detect = "detect"


@app.command()
def schema(
    kind: Annotated[Kind, typer.Argument(help="The command that the run files are for.")] = Kind.backtest,
) -> None:
    """Print the JSON schema of run files, by which editors complete and check them.

    An editor with YAML support (as that of Red Hat for VS Code) reads a first line such as
    "# yaml-language-server: $schema=tsrnn.schema.json".
    """
    with exit_codes():
        import json

        prepare()
        from tsrnn.config.editor import json_schema

        typer.echo(json.dumps(json_schema(kind.value), indent=1))


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Run folders of tsrnn backtest.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write it to a .csv or .html file too.", show_default=False)
    ] = None,
) -> None:
    """Print one leaderboard of several runs.

    Says aloud where they were made from other data, other folds, or other definitions of the metrics, and lists the
    settings in which they differ.
    """
    with exit_codes():
        prepare()
        from tsrnn.runs.compare import compare

        found = compare(runs)
        if out is not None:
            found.write(out)
        for doubt in found.doubts:
            typer.echo(f"Not comparable: {doubt}", err=True)
        print_table(found.leaderboard, out or Path("the .csv that --out names"))
        if len(found.settings):
            typer.echo()
            print_table(found.settings, Path("config.yaml"))
