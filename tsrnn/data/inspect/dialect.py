"""How a text file is written: its encoding, the character between fields, the decimal mark."""

import bz2
import codecs
import csv
import gzip
import lzma
import re
import zipfile
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tsrnn.data.validation import DataError

__all__ = ["decimal_mark", "delimiter_of", "encoding_of", "read_bytes"]

_UNPACK = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
_DELIMITERS = ";\t|,"  # of equals the first: a comma also stands inside fields
_SAMPLE = 500  # lines that the delimiter is judged by; texts of a column for the decimal mark
_FOREIGN = {b"PAR1": "a Parquet file", b"PK": "a spreadsheet or an archive", b"\xd0\xcf\x11\xe0": "an old spreadsheet"}


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, those of its content where the ending says that it is compressed."""
    ending = path.suffix.lower()
    if ending == ".zip":
        with zipfile.ZipFile(path) as archive:
            return archive.read(archive.namelist()[0])
    data = path.read_bytes()
    return _UNPACK[ending](data) if ending in _UNPACK else data


def encoding_of(data: bytes, name: str) -> str:
    """The encoding of a text, as Python and pandas name it.

    UTF-8 and UTF-16 by their marks and by their bytes; whatever is neither is a western 8-bit text.
    """
    for mark, found in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return found
    head = data[:4096]
    for start, what in _FOREIGN.items():
        if head.startswith(start):
            raise DataError(f"{name} is no text but {what}. Save it as CSV.")
    if b"\0" in head:
        low, high = head[1::2].count(0), head[::2].count(0)
        if max(low, high) < 0.3 * len(head) / 2:
            raise DataError(f"{name} is no text: byte {head.index(0)} is zero. Save it as CSV.")
        return "utf-16-le" if low > high else "utf-16-be"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252" if re.search(rb"[\x80\x82-\x8c\x8e\x91-\x9c\x9e\x9f]", data) else "latin-1"
    return "utf-8"


def delimiter_of(lines: Iterable[str], name: str) -> str:
    """The character between fields: the one by which most lines have as many fields as the header.

    Raises
    ------
    DataError
        If the header has not as many fields as most lines, by no character.
    """
    sample = [line for line in islice(lines, _SAMPLE) if line.strip()]
    if not sample:
        raise DataError(f"{name} is empty.")
    widths = {mark: [len(fields) for fields in csv.reader(sample, delimiter=mark)] for mark in _DELIMITERS}
    agreeing = {mark: found.count(found[0]) / len(found) for mark, found in widths.items() if found[0] > 1}
    best = max(agreeing, key=lambda mark: (agreeing[mark], widths[mark][0]), default=None)
    if best is None or agreeing[best] < 0.5:
        _check_header(widths, name)
    return best or ","


def _check_header(widths: dict[str, list[int]], name: str) -> None:
    """Raise if most lines have a number of fields that the first line has not."""
    for mark, found in widths.items():
        width, count = Counter(found[1:]).most_common(1)[0] if len(found) > 1 else (1, 0)
        if width > 1 and width != found[0] and count >= 0.8 * (len(found) - found.index(width)):
            first = found.index(width)
            many = f"most lines have {width} fields (with {mark!r} between them), line 1 has {found[0]}"
            way_out = (
                f"Delete the lines above line {first + 1}, which is the first of that many"
                if first > 1
                else "Give every column a name in line 1"
            )
            raise DataError(f"{name} cannot be read as a table: {many}. {way_out}.")


def decimal_mark(texts: Iterable[NDArray[Any]]) -> tuple[str, str | None]:
    """The decimal mark by the columns' distinct texts, and a text that might be meant otherwise.

    A comma with three digits on its right in every field may also stand between thousands.
    """
    points = commas = 0
    odd = None
    sure = False
    for column in texts:
        for text in column[:_SAMPLE]:
            if re.fullmatch(r"\s*[-+]?\d*\.\d+(e[-+]?\d+)?\s*", text, re.IGNORECASE):
                points += 1
            elif re.fullmatch(r"\s*[-+]?\d*,\d+(e[-+]?\d+)?\s*", text, re.IGNORECASE):
                commas += 1
                sure |= not re.fullmatch(r"\s*[-+]?[1-9]\d{0,2},\d{3}\s*", text)
                odd = odd or text
    if commas <= points:
        return ".", odd
    return ",", None if sure else odd
