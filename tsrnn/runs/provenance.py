"""What a result depends on besides its configuration: software, machine, commit, data, seeds."""

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import jax
import pandas as pd

from tsrnn.forecasting.base import AbstractForecaster
from tsrnn.forecasting.predictor import AbstractPredictor
from tsrnn.forecasting.spec import to_spec

__all__ = ["Content", "provenance"]


def provenance(
    source: str | Path, data: "pd.DataFrame | Content", models: Mapping[str, AbstractForecaster | AbstractPredictor]
) -> dict[str, Any]:
    """All that ``provenance.json`` of a run folder holds.

    Parameters
    ----------
    source : str or Path
        Where the data came from.
    data : DataFrame or Content
        The data as it was read.
    models : mapping of str to forecaster or predictor
        What was fitted.

    Returns
    -------
    dict
        ``tsrnn``, ``python``, ``platform``, ``packages``; ``hardware``; ``git``, the commit of the working folder and
        whether files that it tracks were changed since, None outside of a repository; ``data``, with a hash of its
        content; ``seeds``, the ``random_state`` of each model that has one.
    """
    if isinstance(data, pd.DataFrame):
        frame, data = data, Content()
        data.add(frame)
    lines = [line for line in requires("tsrnn") or [] if "extra ==" not in line]
    needed = sorted(re.split(r"[^\w.-]", line)[0] for line in lines)
    return {
        "tsrnn": version("tsrnn"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hardware": _hardware(),
        "git": _commit(),
        "data": {"source": str(source), "rows": data.rows, "columns": data.columns, "sha256": data.sha256()},
        "seeds": {name: seed for name, model in models.items() for seed in _seeds(to_spec(model))},
        "packages": {name: version(name) for name in needed},
    }


class Content:
    """Rows, columns and hash of a table that comes in parts.

    Examples
    --------
    >>> whole, parts = Content(), Content()
    >>> frame = pd.DataFrame({"y": [1.0, 2.0]})
    >>> whole.add(frame)
    >>> for part in (frame[:1], frame[1:]):
    ...     parts.add(part)
    >>> whole.sha256() == parts.sha256(), parts.rows
    (True, 2)
    """

    def __init__(self) -> None:
        self.rows = 0
        self.columns: list[str] = []
        self._digest = hashlib.sha256()

    def add(self, frame: pd.DataFrame) -> None:
        """Rows that follow those before."""
        if not self.columns:
            self.columns = [str(name) for name in frame.columns]
            self._digest.update("\x1f".join(self.columns).encode())
        self.rows += len(frame)
        self._digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())

    def sha256(self) -> str:
        """Over names, rows and values; the same for equal rows, whatever file they came from."""
        return self._digest.hexdigest()


def _seeds(spec: Any) -> list[int | None]:
    """The ``random_state`` of a specification, or of the one inside it; none where chance plays no part."""
    if isinstance(spec, list):
        return [seed for one in spec for seed in _seeds(one)]
    if not isinstance(spec, Mapping):
        return []
    below = [seed for value in spec.values() for seed in _seeds(value)]
    return [spec["random_state"]] if "random_state" in spec else below[:1]


def _hardware() -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": _memory(),
        "devices": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
    }


def _processor() -> str:
    """The name of the CPU; Linux does not tell it to `platform`."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    name = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    return name[1] if name else platform.processor() or platform.machine()


def _memory() -> float | None:
    """Main memory in GiB; None where the system does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf, others not these names
        return None


def _commit() -> dict[str, Any] | None:
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}


def _git(*arguments: str) -> str | None:
    """What git answers in the working folder; None without git, a repository or a commit."""
    try:
        told = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()
