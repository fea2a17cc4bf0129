"""Files that carry a detector from call to call: models, with how their tables are read, and states."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tsrnn.anomaly import AnomalyDetector, artifact
from tsrnn.anomaly.base import State
from tsrnn.config import ConfigError
from tsrnn.data.io import Reading
from tsrnn.data.stream import Place

__all__ = ["Carried", "Model"]


@dataclass(frozen=True)
class Model:
    """A fitted detector in a file.

    Attributes
    ----------
    path : Path
        Of the file.
    detector : AnomalyDetector
    state : dict of arrays
        After the rows that it was fitted on, or scored last.
    reading : dict
        How its table was read, as in `tsrnn.data.read_table`.
    place : Place
        At the end of that table.
    """

    path: Path
    detector: AnomalyDetector
    state: State
    reading: Reading
    place: Place

    @classmethod
    def load(cls, path: str | Path, options: Mapping[str, Any]) -> "Model":
        """Read a file; ``options`` are what is read otherwise now."""
        detector, state = AnomalyDetector.load(path)
        saved, time_col = artifact.read(path), detector.columns_.time_col
        if options.get("time_col", time_col) != time_col:
            raise ConfigError(
                f"the detector in {path} reads the time column {time_col!r}, not {options['time_col']!r}; rename the "
                "column of the table."
            )
        reading: Reading = {**saved.get("reading", {}), "time_col": time_col, **options}  # type: ignore[typeddict-item]
        return cls(Path(path), detector, state, reading, Place(**saved.get("place", {})))

    def save(self) -> None:
        """Write the file."""
        self.detector.save(self.path, self.state, reading=dict(self.reading), place=self.place._asdict())

    @cached_property
    def digest(self) -> str:
        """By which states know their model."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Carried:
    """Where a model stands in a stream: what a state file holds.

    Attributes
    ----------
    state : dict of arrays
    place : Place
        In what was read.
    out : str, optional
        The file in which it was told of these rows.
    written : int, default 0
        Bytes of that file that are about them.
    """

    state: State
    place: Place
    out: str | None = None
    written: int = 0

    @classmethod
    def load(cls, path: str | Path, model: Model) -> "Carried":
        """Read a state file; without one, the state is that which the model was saved with.

        Raises
        ------
        ConfigError
            If the state is of another model.
        """
        if not Path(path).exists():
            return cls(model.state, model.place)
        saved = artifact.read(path)
        if saved.get("model") != model.digest:
            raise ConfigError(
                f"the state in {path} was not made by the model in {model.path}. Name the model that it goes on from, "
                "or another file with --state to begin with the state that is saved in the model."
            )
        return cls(saved["state"], Place(**saved["place"]), saved["out"], saved["written"])

    def save(self, path: str | Path, model: Model) -> None:
        """Write the state file, whole or not at all."""
        fields = {"state": self.state, "place": self.place._asdict(), "out": self.out, "written": self.written}
        artifact.write(path, {"model": model.digest, **fields})
