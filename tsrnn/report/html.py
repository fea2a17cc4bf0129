"""One HTML page that opens anywhere: figures are inside it, nothing is fetched.

Examples
--------
>>> import pandas as pd
>>> board = pd.DataFrame({"model": ["LSTM"], "mae": [0.5]})
>>> page = render("Sales", [Text("One model."), Table(board, heading="Result")])
>>> page.count("<table"), "://" in page
(1, False)
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import pandas as pd

from tsrnn.report import charts
from tsrnn.report.charts import Chart
from tsrnn.report.plots import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

__all__ = ["Code", "Figure", "Table", "Text", "render"]


@dataclass(frozen=True)
class Text:
    """Paragraphs, separated by empty lines.

    Parameters
    ----------
    text : str
        Plain text.
    heading : str, default ""
        A heading above.
    """

    text: str
    heading: str = ""
    kind: str = field(default="text", init=False)

    @property
    def paragraphs(self) -> list[str]:
        """The text cut at empty lines."""
        return [part for part in self.text.split("\n\n") if part.strip()]


@dataclass(frozen=True)
class Code:
    """Text in a fixed-width font, folded away until it is asked for.

    Parameters
    ----------
    text : str
        For instance a configuration.
    heading : str
        What it is, shown when folded.
    """

    text: str
    heading: str
    kind: str = field(default="code", init=False)


@dataclass(frozen=True)
class Table:
    """A frame as a table, without its index.

    Parameters
    ----------
    frame : DataFrame
        Fractional numbers are rounded column by column, to about four digits; missing ones are dashes.
    heading : str, default ""
        A heading above.
    caption : str, default ""
        A sentence below.
    lowest : sequence of str
        Columns whose lowest number is set in bold.
    """

    frame: pd.DataFrame
    heading: str = ""
    caption: str = ""
    lowest: Sequence[str] = ()
    kind: str = field(default="table", init=False)

    @property
    def columns(self) -> list[dict[str, Any]]:
        """Name of each column and whether it holds numbers."""
        return [{"name": name, "number": _is_number(self.frame[name])} for name in self.frame.columns]

    @property
    def rows(self) -> list[list[dict[str, Any]]]:
        """Cells as text, and whether they stand out."""
        texts = [_texts(self.frame[name]) for name in self.frame.columns]
        best = [
            (column == column.min()).tolist() if name in self.lowest else [False] * len(column)
            for name, column in self.frame.items()
        ]
        numbers = [column["number"] for column in self.columns]
        cells = [
            [{"text": t, "best": b, "number": number} for t, b in zip(text, bold, strict=True)]
            for text, bold, number in zip(texts, best, numbers, strict=True)
        ]
        return [list(row) for row in zip(*cells, strict=True)]


@dataclass(frozen=True)
class Figure:
    """A matplotlib figure, kept as a vector image.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        It is closed when the page is rendered.
    heading : str, default ""
        A heading above.
    caption : str, default ""
        A sentence below, also read out where images are not seen.
    """

    figure: "MatplotlibFigure"
    heading: str = ""
    caption: str = ""
    kind: str = field(default="figure", init=False)

    @property
    def source(self) -> str:
        """The image as a data address."""
        import matplotlib.pyplot as plt

        buffer = io.BytesIO()
        with plt.style.context({"svg.hashsalt": "tsrnn"}):  # the same figure gives the same bytes
            self.figure.savefig(buffer, format="svg", metadata={"Date": None})
        plt.close(self.figure)
        return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


Block = Text | Code | Table | Figure | Chart


def render(title: str, blocks: Sequence[Block], *, subtitle: str = "") -> str:
    """Lay out a page.

    Parameters
    ----------
    title : str
        Title of the page.
    blocks : sequence of Text, Table, Figure, Code or Chart
        What stands on it, top to bottom; charts are those of `tsrnn.report.charts`. With them the page is larger by two
        megabytes, for plotly.js.
    subtitle : str, default ""
        A line under the title.

    Returns
    -------
    str
        HTML in one piece; every text in it is escaped.
    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(_read("report.html.j2"))
    drawn = [block for block in blocks if isinstance(block, Chart)]
    code: dict[str, Any] = {"charts": drawn}
    if drawn:
        code |= {"library": charts.library(), "data": charts.pack(drawn), "script": _read("charts.js")}
    return template.render(title=title, subtitle=subtitle, blocks=blocks, colours=COLOURS, **code)


def _read(name: str) -> str:
    return files("tsrnn.report").joinpath(name).read_text(encoding="utf-8")


def _is_number(column: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _texts(column: "pd.Series[Any]") -> list[str]:
    """A column for people: the median number gets four digits, stamps at midnight no time of day."""
    missing = column.isna()
    if pd.api.types.is_float_dtype(column):
        sizes = column[np.isfinite(column) & (column != 0)].abs()
        decimals = int(np.clip(3 - np.floor(np.log10(sizes.median())), 0, 5)) if len(sizes) else 0
        texts = [f"{value:,.{decimals}f}" for value in column]
    elif pd.api.types.is_integer_dtype(column):
        texts = [f"{value:,}" for value in column]
    elif pd.api.types.is_datetime64_any_dtype(column):
        whole = (column.dropna() == column.dropna().dt.normalize()).all()
        texts = column.dt.strftime("%Y-%m-%d" if whole else "%Y-%m-%d %H:%M:%S").tolist()
    else:
        texts = [str(value) for value in column]
    return ["\N{EN DASH}" if gone else text for gone, text in zip(missing, texts, strict=True)]
