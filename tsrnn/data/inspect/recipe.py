"""The lines that read a strange file as intended: Python, and the command line."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsrnn.data.inspect import profile
from tsrnn.data.inspect.axis import Axis, Finding
from tsrnn.data.inspect.profile import Field
from tsrnn.data.inspect.stamps import ISO, Stamps

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """All that decides how a file is to be read.

    Parameters
    ----------
    path : str
        The file.
    encoding, delimiter, decimal : str
        How the text is written.
    fields : sequence of Field
        The columns.
    stamps : Stamps or None
        The time column.
    line : Axis or None
        The stamps in order.
    series : sequence of int
        Positions of the columns that say which series a row belongs to.
    """

    path: str
    encoding: str
    delimiter: str
    decimal: str
    fields: Sequence[Field]
    stamps: Stamps | None
    line: Axis | None
    series: Sequence[int]

    def options(self) -> dict[str, Any]:
        """Arguments of `tsrnn.read_csv` that differ from its defaults."""
        if self.stamps is None:
            return {}
        layout = self.stamps.layout
        time_col = self.fields[self.stamps.column].name
        marks = self._marks()[1]
        changed = {
            "time_col": time_col != "ds" and time_col,
            "delimiter": self.delimiter != "," and self.delimiter,
            "decimal": self.decimal != "." and self.decimal,
            "time_format": layout not in (ISO, "integer") and not layout.startswith("unix") and layout,
            "na_values": bool(marks) and marks,
            "encoding": not self.encoding.startswith("utf-8") and self.encoding,
        }
        return {key: value for key, value in changed.items() if value is not False}

    def python(self) -> str:
        """Lines that read the file into ``df``; empty without a time column."""
        if self.stamps is None:
            return ""
        given = "".join(f", {key}={_python(value)}" for key, value in self.options().items())
        lines = [f"df = tsrnn.read_csv({_python(self.path)}{given})"]
        date = _python(self.fields[self.stamps.column].name)
        if self.stamps.layout.startswith("unix"):
            lines.append(f"df[{date}] = pd.to_datetime(df[{date}], unit={_python(self.stamps.layout[5:])})")
        if self.stamps.clock is not None:
            field = self.fields[self.stamps.clock]
            clock = f"df[{_python(field.name)}]"
            if field.numeric:
                clock += ', unit="h"'
            elif field.texts[0].count(":") == 1:
                clock += ' + ":00"'
            lines.append(f"df[{_python(self._new_column)}] = df[{date}] + pd.to_timedelta({clock})")
        if len(self.series) > 1:
            joined = ' + "/" + '.join(f"df[{_python(self.fields[i].name)}].astype(str)" for i in self.series)
            lines.append(f'df["unique_id"] = {joined}')
        if self._made is not None:
            lines.append(f"df.to_csv({_python(self._made)}, index=False)")
        return "\n".join(lines)

    def command(self) -> str:
        """The command line that takes the file, or the one that the Python lines write; empty without a time column."""
        if self.stamps is None or self.line is None:
            return ""
        options = self.options()
        time_col = options.pop("time_col", "ds")
        path = self.path
        if self._made is not None:
            path, options = self._made, {}
            time_col = time_col if self.stamps.clock is None else self._new_column
        if self.series:
            options |= {"path": path, "time_col": time_col, "target_col": self._target()}
            options["id_col"] = "unique_id" if len(self.series) > 1 else self.fields[self.series[0]].name
            default = {"time_col": "ds", "target_col": "y", "id_col": "unique_id"}
            changed = {key: value for key, value in options.items() if value != default.get(key)}
            return " ".join(["tsrnn backtest RUN.yaml", *_set(changed)])
        column = [] if time_col == "ds" else ["--time-col", shlex.quote(time_col)]
        return " ".join(["tsrnn detect", shlex.quote(path), *column, *_set(options)])

    @property
    def _new_column(self) -> str:
        return "stamp" if any(field.name == "ds" for field in self.fields) else "ds"

    @property
    def _made(self) -> str | None:
        """The table that the Python lines write, where a command cannot read the file as it is."""
        if self.stamps is None or (self.stamps.clock is None and len(self.series) < 2):
            return None
        return re.sub(r"\.[\w.]+$", "", Path(self.path).name) + "_ready.csv"

    def _target(self) -> str:
        """The column to forecast: y, or the first with numbers."""
        timed = set() if self.stamps is None else {self.stamps.column, self.stamps.clock}
        names = [f.name for i, f in enumerate(self.fields) if f.numeric and i not in timed and i not in self.series]
        return "y" if "y" in names or not names else names[0]

    def left_out(self) -> list[Finding]:
        """Marks of missing values that the options do not name, because they are usual values of other columns."""
        marks, told = self._marks()
        left = [mark for mark in marks if mark not in told]
        if not left:
            return []
        text = f"Not read as missing by the lines below, because other columns hold it as a number: {', '.join(left)}."
        return [Finding("sentinel_left_out", text)]

    def _marks(self) -> tuple[list[str], list[str]]:
        """What means a missing value and is not read so by itself; and of this what no other column has as a value."""
        usual: set[float] = set()
        found: dict[str, None] = {}
        used = set(self.series) if self.stamps is None else {*self.series, self.stamps.column, self.stamps.clock}
        values = [field for i, field in enumerate(self.fields) if i not in used]
        for field, codes in zip(values, profile.outstanding(values), strict=True):
            usual |= set(field.without(codes).numbers)
            for text in codes:
                number = field.numbers[list(field.texts).index(text)]
                found[f"{number:.15g}" if self.decimal == "." else text] = None
            found |= dict.fromkeys(field.untold())
        return list(found), [text for text in found if not _is_one_of(text, usual)]


def _is_one_of(text: str, numbers: set[float]) -> bool:
    try:
        return float(text) in numbers
    except ValueError:
        return False


def _python(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _set(options: dict[str, Any]) -> list[str]:
    """Options of a command that change keys of its run file."""
    return [f"--set {shlex.quote(f'data.{key}={_yaml(value)}')}" for key, value in options.items()]


def _yaml(value: Any) -> str:
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z_/][\w./ -]*", value)
    return (
        str(value)
        if plain and value.lower() not in ("yes", "no", "on", "off", "true", "false", "null")
        else _python(value)
    )
