"""What ``tsrnn inspect`` prints."""

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from tsrnn.data.inspect import Column, Inspection, TimeColumn

__all__ = ["print_inspection"]


def print_inspection(found: "Inspection") -> None:
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
