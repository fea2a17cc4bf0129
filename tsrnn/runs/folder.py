"""The run folder, and what stands in every one: configuration, provenance, tables, figures, the report."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd
import yaml

from tsrnn.config import ConfigError
from tsrnn.report import html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["UNITS", "RunInterrupted", "file_name", "run_folder", "write"]


UNITS = "units"
"""Folder of what is finished in a run that is not."""


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C during a run that had finished something.

    Attributes
    ----------
    folder : Path
        Run folder with what was finished.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("run interrupted")
        self.folder = folder


@contextmanager
def run_folder(name: str, out: str | Path | None, *, resume: bool = False) -> Iterator[tuple[Path, Path]]:
    """Give the run folder to be, and ``.<name>.part`` beside it, which becomes it when the block ends well.

    What the block leaves in `UNITS` of the latter is kept when it does not end well.

    Parameters
    ----------
    name : str
        Name of the run.
    out : str, Path or None
        The run folder; None for ``runs/<name>-<date>-<time>``.
    resume : bool, default False
        Go on with what a run that was killed or interrupted has left, if it has.

    Raises
    ------
    ConfigError
        If ``out`` holds something.
    """
    if resume and out is None:
        raise ConfigError("--resume needs --out, the folder of the run that was broken off.")
    if out is None:
        stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
        choices = (Path("runs") / (stem if n == 1 else f"{stem}-{n}") for n in range(1, 1000))
        folder = next(path for path in choices if not path.exists() and not _part(path).exists())
    else:
        folder = Path(out)
        if resume and (folder / UNITS).is_dir():  # interrupted, and written down as far as it went
            folder.rename(_part(folder))
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                f"{folder} exists, and nothing is overwritten; name another folder with --out, or remove this one."
            )
    part = _part(folder)
    if part.exists() and not resume:
        raise ConfigError(
            f"a run into {folder} was broken off, or is still going on. Go on with --resume, or remove {part}."
        )
    part.mkdir(parents=True, exist_ok=True)
    try:
        yield folder, part
    except BaseException:
        if not (part / UNITS).is_dir():
            shutil.rmtree(part)
        raise
    if folder.exists():
        folder.rmdir()
    part.rename(folder)


def _part(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.part"


def file_name(name: str) -> str:
    """A name that files can have, another one for each other name.

    Examples
    --------
    >>> file_name("LSTM small"), file_name("a/b"), file_name("..")
    ('LSTM small', 'a%2Fb', '%2E.')
    """
    safe = quote(name, safe=" ")
    return f"%2E{safe[1:]}" if safe.startswith(".") else safe


def write(
    folder: Path,
    title: str,
    *,
    config: Mapping[str, Any],
    origin: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    figures: "Mapping[str, Figure]",
    page: Sequence[html.Block],
) -> None:
    """Fill a run folder.

    Parameters
    ----------
    folder : Path
        A folder.
    title : str
        Title of the report.
    config, origin : mapping
        For ``config.yaml`` and ``provenance.json``, and folded away at the end of the report.
    tables : mapping
        By file name, which ends in ``.csv`` or ``.parquet``.
    figures : mapping
        For ``plots/<name>.png``.
    page : sequence of blocks
        The report; it may hold the figures too.
    """
    settings = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    provenance = json.dumps(origin, indent=1, ensure_ascii=False) + "\n"
    (folder / "config.yaml").write_text(settings, encoding="utf-8")
    (folder / "provenance.json").write_text(provenance, encoding="utf-8")
    for name, table in tables.items():
        if name.endswith(".parquet"):
            table.to_parquet(folder / name, index=False, compression="zstd")
        else:
            table.to_csv(folder / name, index=False)
    import matplotlib.pyplot as plt

    (folder / "plots").mkdir(exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / "plots" / f"{name}.png")
        plt.close(figure)
    blocks = [*page, html.Code(settings, "Configuration"), html.Code(provenance, "Provenance")]
    report = html.render(title, blocks, subtitle=f"tsrnn {version('tsrnn')}, {datetime.now():%Y-%m-%d %H:%M}")
    (folder / "report.html").write_text(report, encoding="utf-8")
