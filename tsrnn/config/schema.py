"""What may stand in a run file, as pydantic models; complaints name the line of the key."""

import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from tsrnn.config.source import ConfigError, Source, Where, nearest, show
from tsrnn.data.calendar import Frequency
from tsrnn.data.io import find_files
from tsrnn.data.schema import Channels, Duplicates, Gaps, Resample

__all__ = ["BacktestConfig", "DetectConfig", "RunFile"]

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "greater_than_equal": "a number of at least {ge:g}",
    "greater_than": "a number above {gt:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "literal_error": "{expected}",
    "string_too_short": "one character",
    "string_too_long": "one character",
    "string_pattern_mismatch": "letters, digits, '.', '-' and '_'",
    "too_short": "at least {min_length} in it",
}  # pydantic's names of errors, in words


def _is_frequency(freq: str | int | None) -> str | int | None:
    if freq is not None:
        Frequency.parse(freq)
    return freq


_Freq = Annotated[str | int | None, AfterValidator(_is_frequency)]

_Stamp = Annotated[str | int | None, BeforeValidator(lambda value: str(value) if isinstance(value, date) else value)]
"""YAML reads a date as one; a datetime is a date too."""


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RunFile(_Section):
    """What every run file has; see `BacktestConfig` and `DetectConfig`."""

    name: str = Field("backtest", pattern=r"^[\w.-]+$")
    seed: int = Field(0, ge=0)

    _source: Source = PrivateAttr(default_factory=Source)

    @classmethod
    def load(cls, path: str | Path | None, overrides: Iterable[str] = ()) -> Self:
        """Read a run file.

        Parameters
        ----------
        path : str, Path or None
            The YAML file. Its ``data.path`` is relative to it; ``${TSRNN_DATA}`` in that stands for the folder of
            `tsrnn.data.datasets.data_folder`. None for the defaults and what ``overrides`` say.
        overrides : iterable of str
            ``key.key=value`` each, applied in order; a ``data.path`` given here is relative to the working
            folder.

        Raises
        ------
        ConfigError
            If the file cannot be read, is not YAML, or says something that is not understood: the message has a
            line for each complaint, with file and line, key, what was found, and the nearest known key.
        """
        source = Source() if path is None else Source.read(Path(path))
        if path is not None:
            source.tree.setdefault("name", re.sub(r"[^\w.-]", "-", Path(path).stem))
        for name, field in cls.model_fields.items():
            if isinstance(field.default, dict):  # so that an override changes the default, and does not replace it
                source.tree.setdefault(name, deepcopy(field.default))
        for option in overrides:
            source.set(option)
        try:
            source.resolve(("data", "path"))
            config = cls.model_validate(source.tree)
        except ValidationError as error:
            raise ConfigError("\n".join(_complaints(cls, source, error))) from None
        config._source = source
        return config

    def error(self, where: Sequence[str | int], message: str) -> ConfigError:
        """A complaint about the key at ``where``, with its line if it came from a file."""
        return self._source.error(tuple(where), message)


class _FileSection(_Section):
    """How files are read, as in `tsrnn.data.read_table`."""

    time_col: str = "ds"
    delimiter: str | None = Field(None, min_length=1)
    decimal: str = Field(".", min_length=1, max_length=1)
    time_format: str | None = None
    na_values: str | int | float | list[str | int | float] = []
    encoding: str = "utf-8"
    time_zone: str | None = None


class DataSection(_FileSection):
    """Which table, and the roles of its columns: the ``data`` of a run file.

    Parameters
    ----------
    path : str, optional
        CSV or Parquet, long or wide: a file, a pattern, or a folder; see `tsrnn.data.read_table`. Either this or
        ``dataset``.
    dataset : str, optional
        A name that `tsrnn.data.datasets.load` knows.
    freq : str or int, optional
        One step of the time axis; inferred when not given.
    id_col, time_col, target_col, past_covariates, future_covariates, static_covariates, categorical, gaps, duplicates,
    resample, holidays, channels
        As in `tsrnn.data.Schema`.
    until : str or int, optional
        Leave out the rows after this stamp.
    delimiter, decimal, time_format, na_values, encoding, time_zone, id_from
        As in `tsrnn.data.read_table`.
    """

    path: str | None = None
    dataset: str | None = None
    id_col: str = "unique_id"
    target_col: str | list[str] = "y"
    freq: _Freq = None
    past_covariates: list[str] = []
    future_covariates: list[str] = []
    static_covariates: list[str] = []
    categorical: list[str] = []
    gaps: Gaps = "mask"
    duplicates: Duplicates = "error"
    resample: Resample | None = None
    holidays: str | None = None
    channels: Channels = "joint"
    id_from: Literal["file"] | None = None
    until: _Stamp = None

    @field_validator("path")
    @classmethod
    def _exists(cls, path: str | None) -> str | None:
        if path is not None:
            try:
                find_files(path)
            except FileNotFoundError as error:
                raise ValueError(f"{error}.") from None
        return path

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.dataset is None):
            raise ValueError("give either 'path', a file, or 'dataset', a name.")
        return self


class BacktestSection(_Section):
    """Folds and what is asked of each: the ``backtest`` of a run file; see `tsrnn.evaluation.backtest`.

    The models forecast ``horizon`` steps after the gap; one may be given a longer horizon of its own.
    """

    horizon: int = Field(ge=1)
    n_windows: int | None = Field(None, ge=1)
    start: _Stamp = None
    end: _Stamp = None
    step_size: int | None = Field(None, ge=1)
    gap: int = Field(0, ge=0)
    initial_train_size: int | None = Field(None, ge=1)
    train_size: int | None = Field(None, ge=1)
    skip_folds: int | list[int] | None = None
    allow_incomplete_fold: bool = False
    refit: bool | Annotated[int, Field(ge=1)] = False
    warm_start: bool = False
    seeds: list[Annotated[int, Field(ge=0)]] | None = Field(None, min_length=1)
    level: list[float] | None = None
    season_length: int | None = Field(None, ge=1)
    metrics: list[str] | None = None
    unit_rows: int | None = Field(None, ge=2)
    engine: str | None = None
    audit: bool = False


class BacktestConfig(RunFile):
    """The run file of ``tsrnn backtest``.

    Parameters
    ----------
    name : str
        Of the run folder; by default that of the file.
    seed : int, default 0
        The ``random_state`` of every model that has one and is given none.
    data : DataSection
        The table.
    backtest : BacktestSection
        The folds.
    models : dict
        A specification under each name; see `tsrnn.forecasting.spec`.
    save_models : bool, default True
        Whether the models as fitted last are kept in ``models/`` of the run folder, for `tsrnn.load`; except those that
        learn each series alone where there are more than 100, which are fitted in shards.
    """

    data: DataSection
    backtest: BacktestSection
    models: dict[str, Any] = Field(min_length=1)
    save_models: bool = True


class SensorSection(_FileSection):
    """The roles of a sensor table's columns, and what is learned from: the ``data`` of a run file.

    Parameters
    ----------
    time_col, sensors, inputs
        As in `tsrnn.anomaly.AnomalyDetector.fit`.
    delimiter, decimal, time_format, na_values, encoding, time_zone
        As in `tsrnn.data.read_table`.
    train_fraction : float, default 0.15
        Share of the rows, from the start, that the detector is fitted on; see `tsrnn.anomaly.training_rows`.
    """

    sensors: list[str] | None = None
    inputs: list[str] = []
    train_fraction: float = Field(0.15, gt=0, lt=1)


_Scorer = Literal[
    "absolute", "squared", "nll", "p_value", "mahalanobis", "likelihood", "unrest", "drift", "disagreement", "smooth",
    "change", "high", "low",
]  # fmt: skip
_Side = Literal["both", "upper", "lower"]


class DetectorSection(_Section):
    """The ``detector`` of a run file; see `tsrnn.anomaly.AnomalyDetector`, whose parameters and defaults these are."""

    scorers: list[_Scorer] = Field(["mahalanobis", "unrest", "drift", "disagreement"], min_length=1)
    severity: _Scorer = "smooth"
    threshold: Literal["quantile", "return_level", "conformal", "spot", "dspot", "fdr", "dynamic", "record"] = (
        "return_level"
    )
    quality: dict[str, Any] | None = None
    events: dict[str, Any] | None = None
    side: _Side | dict[str, _Side] = "both"
    span: int = Field(60, ge=1)
    calibration: float = Field(0.3, gt=0, lt=1)
    false_alarms_per_week: float = Field(1.0, gt=0)
    hold: str | float | None = 1440.0


class DetectConfig(RunFile):
    """The run file of ``tsrnn detect``; every key has a default.

    Parameters
    ----------
    name : str
        Of the run folder; by default that of the file.
    seed : int, default 0
        The predictor's ``random_state``.
    data : SensorSection
        The columns.
    predictor : dict
        Specification of the predictor; see `tsrnn.forecasting.spec`.
    detector : DetectorSection
        The detector's parameters.
    """

    name: str = Field("detect", pattern=r"^[\w.-]+$")
    data: SensorSection = SensorSection()
    predictor: Any = {"type": "RecurrentPredictor", "hidden_size": 32}
    detector: DetectorSection = DetectorSection()


def _complaints(model: type[BaseModel], source: Source, error: ValidationError) -> list[str]:
    """A line for each key that is wrong; what the branches of a union expect of one key is joined."""
    lines: dict[Where, str] = {}
    expected: dict[Where, dict[str, None]] = {}
    for item in error.errors():
        where, kind, context = item["loc"], item["type"], item.get("ctx", {})
        if kind == "extra_forbidden":
            lines[where] = _unknown(model, where)
        elif kind == "missing":
            lines[where] = "must be given."
        else:
            while where and where not in source.places:  # pydantic adds the branch of a union
                where = where[:-1]
            if kind == "value_error":
                lines[where] = str(context["error"])
                continue
            expected.setdefault(where, {})[_EXPECTED.get(kind, item["msg"]).format(**context)] = None
            lines[where] = f"expected {' or '.join(expected[where])}, found {show(item['input'])}."
    rank = {where: i for i, where in enumerate(source.places)}
    ordered = sorted(lines, key=lambda where: rank.get(where, len(rank)))
    return [str(source.error(where, lines[where])) for where in ordered]


def _unknown(model: type[BaseModel], where: Where) -> str:
    """What to say of a key that is not known: where it belongs, or the nearest key of its own section."""
    sections: dict[str, Iterable[str]] = {
        name: getattr(field.annotation, "model_fields", ()) for name, field in model.model_fields.items()
    }
    key, top = str(where[-1]), list(sections)
    home = [f"under {name}" for name in top if key in sections[name]] + ["at the top"] * (key in top)
    known = sections[str(where[0])] if len(where) > 1 else top
    return f"unknown key; it belongs {home[0]}." if home else f"unknown key; {nearest(key, known)}."
