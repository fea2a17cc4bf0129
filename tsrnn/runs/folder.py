"""The run folder, and what stands in every one: versions, figures, the report."""

import hashlib
import json
import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import pandas as pd
import yaml

from tsrnn.config import ConfigError
from tsrnn.report import html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RunInterrupted", "run_folder", "versions", "write"]


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
def run_folder(name: str, out: str | Path | None) -> Iterator[tuple[Path, Path]]:
    """Give the run folder to be, and ``.<name>.part`` beside it, which becomes it when the block ends well.

    Parameters
    ----------
    name : str
        Name of the run.
    out : str, Path or None
        The run folder; None for ``runs/<name>-<date>-<time>``.

    Raises
    ------
    ConfigError
        If ``out`` holds something.
    """
    if out is None:
        stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
        choices = (Path("runs") / (stem if n == 1 else f"{stem}-{n}") for n in range(1, 1000))
        folder = next(path for path in choices if not path.exists() and not _part(path).exists())
    else:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                f"{folder} exists, and nothing is overwritten; name another folder with --out, or remove this one."
            )
    part = _part(folder)
    part.mkdir(parents=True)
    try:
        yield folder, part
    except BaseException:
        shutil.rmtree(part)
        raise
    if folder.exists():
        folder.rmdir()
    part.rename(folder)


def _part(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.part"


def versions(source: str | Path, frame: pd.DataFrame) -> dict[str, Any]:
    """What a result depends on besides its configuration: software, device, data."""
    lines = [line for line in requires("tsrnn") or [] if "extra ==" not in line]
    needed = sorted(re.split(r"[^\w.-]", line)[0] for line in lines)
    device = jax.devices()[0]
    return {
        "tsrnn": version("tsrnn"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": f"{len(jax.devices())} x {device.device_kind} ({device.platform})",
        "data": {
            "source": str(source),
            "rows": len(frame),
            "columns": [str(name) for name in frame.columns],
            "sha256": _content_hash(frame),
        },
        "packages": {name: version(name) for name in needed},
    }


def _content_hash(frame: pd.DataFrame) -> str:
    """SHA-256 over names, rows and values; the same for equal frames, whatever file they came from."""
    digest = hashlib.sha256("\x1f".join(map(str, frame.columns)).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def write(
    folder: Path,
    title: str,
    *,
    config: Mapping[str, Any],
    software: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    figures: "Mapping[str, Figure]",
    page: Sequence[html.Block],
) -> None:
    """Fill a run folder.

    Parameters
    ----------
    folder : Path
        An empty folder.
    title : str
        Title of the report.
    config, software : mapping
        For ``config.yaml`` and ``versions.json``, and folded away at the end of the report.
    tables, figures : mapping
        For ``<name>.csv`` and ``plots/<name>.png``.
    page : sequence of blocks
        The report; it may hold the figures too, which are closed when it is rendered.
    """
    settings = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    origin = json.dumps(software, indent=1) + "\n"
    (folder / "config.yaml").write_text(settings, encoding="utf-8")
    (folder / "versions.json").write_text(origin, encoding="utf-8")
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    (folder / "plots").mkdir()
    for name, figure in figures.items():
        figure.savefig(folder / "plots" / f"{name}.png")
    blocks = [*page, html.Code(settings, "Configuration"), html.Code(origin, "Versions and data")]
    report = html.render(title, blocks, subtitle=f"tsrnn {version('tsrnn')}, {datetime.now():%Y-%m-%d %H:%M}")
    (folder / "report.html").write_text(report, encoding="utf-8")
