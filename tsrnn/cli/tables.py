"""Frames in the terminal, as many columns as it has room for."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["print_events", "print_table"]

_SHOWN = 15  # events


def print_table(frame: "pd.DataFrame", file: Path) -> None:
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


def print_events(folder: Path, *, fail: bool) -> None:
    """What a run found: its summary, the worst events, and the folder; exit code 3 if there are any, when asked."""
    import pandas as pd

    typer.echo((folder / "summary.txt").read_text(encoding="utf-8"))
    events = pd.read_csv(folder / "events.csv")
    shown = events.nlargest(_SHOWN, "severity").sort_index() if len(events) else events
    typer.echo(f"{len(events)} events" + (f", the worst {_SHOWN}:" if len(shown) < len(events) else ""))
    if len(shown):
        print_table(shown[["start", "end", "severity", "kind", "sensors"]], folder / "events.csv")
    typer.echo(folder)
    if fail and len(events):
        raise typer.Exit(3)


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return "\N{EN DASH}" if value != value else f"{value:.4g}"
