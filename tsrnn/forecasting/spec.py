"""Models as plain mappings: what a run file writes and what a saved model keeps."""

import difflib
import inspect
import json
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from sklearn.base import BaseEstimator, RegressorMixin

from tsrnn.forecasting import artifact
from tsrnn.forecasting.base import AbstractForecaster
from tsrnn.forecasting.baselines import Drift, HistoricAverage, Naive, Naive2, SeasonalNaive
from tsrnn.forecasting.classical import StatsForecast
from tsrnn.forecasting.conformal import Conformal
from tsrnn.forecasting.ensemble import Ensemble, Several
from tsrnn.forecasting.forecaster import Forecaster
from tsrnn.forecasting.lags import LagRegressor
from tsrnn.forecasting.online import AutoRegression, MovingAverage, Persistence, RecurrentPredictor
from tsrnn.forecasting.predictor import AbstractPredictor
from tsrnn.forecasting.presets import PRESETS
from tsrnn.forecasting.reconstruction import EncoderDecoder
from tsrnn.nn.distributions import (
    Laplace,
    LogNormal,
    Mixture,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    Tweedie,
    ZeroInflated,
)
from tsrnn.nn.esrnn import ESRNN
from tsrnn.nn.networks import GRU, LSTM, RNN, SLSTM, MinGRU, MinLSTM
from tsrnn.nn.outputs import Point, Quantiles
from tsrnn.nn.recursive import Recursive
from tsrnn.nn.segments import SegRNN
from tsrnn.nn.seq2seq import Seq2Seq
from tsrnn.training.optimizer import Optimizer
from tsrnn.training.state import Training
from tsrnn.transforms import (
    BoxCox,
    Chain,
    Difference,
    Log1p,
    MeanAbsScaler,
    MinMaxScaler,
    RobustScaler,
    SeasonalScaler,
    StandardScaler,
    YeoJohnson,
)

__all__ = ["SpecError", "from_spec", "load", "model_parameters", "predictor_from_spec", "to_spec", "value_from_spec"]

T = TypeVar("T")

MODELS: dict[str, type[AbstractForecaster]] = {
    m.__name__: m
    for m in (
        Forecaster,
        Naive,
        Naive2,
        SeasonalNaive,
        Drift,
        HistoricAverage,
        Conformal,
        Ensemble,
        StatsForecast,
        LagRegressor,
    )
}
"""Every forecaster that a specification can name."""

PREDICTORS: dict[str, type[AbstractPredictor]] = {
    p.__name__: p for p in (RecurrentPredictor, AutoRegression, MovingAverage, Persistence, EncoderDecoder)
}
"""Every one-step-ahead predictor that a specification can name; the first is meant where no type is given."""

PARTS: dict[str, dict[str, type]] = {
    slot: {c.__name__: c for c in classes}
    for slot, classes in {
        "network": (LSTM, GRU, RNN, SLSTM, MinGRU, MinLSTM, Seq2Seq, SegRNN, Recursive, ESRNN),
        "output": (
            Quantiles, Point, Normal, StudentT, Laplace, LogNormal, Poisson, NegativeBinomial, ZeroInflated, Tweedie,
            Mixture,
        ),
        "transforms": (
            StandardScaler, RobustScaler, MinMaxScaler, MeanAbsScaler, SeasonalScaler, Log1p, BoxCox, YeoJohnson,
            Difference, Chain,
        ),
        "optimizer": (Optimizer,),
        "training": (Training,),
    }.items()
}  # fmt: skip
"""The parts of a `Forecaster`, by parameter; the first is meant where no type is given."""


_SKLEARN = (
    "linear_model", "ensemble", "neighbors", "svm", "tree", "neural_network", "kernel_ridge", "gaussian_process",
    "cross_decomposition", "compose", "dummy",
)  # fmt: skip
"""Modules of scikit-learn that hold its regressors."""


class SpecError(ValueError):
    """A specification that names something unknown, or a value that does not fit.

    Attributes
    ----------
    where : tuple of str and int
        Path of the key; a number is a place in a list.
    """

    def __init__(self, where: Iterable[str | int], message: str) -> None:
        self.where = tuple(where)
        super().__init__(message)


def to_spec(model: AbstractForecaster | AbstractPredictor) -> dict[str, Any]:
    """A model's parameters as a plain mapping, every default written out.

    Examples
    --------
    >>> to_spec(SeasonalNaive(horizon=12))
    {'type': 'SeasonalNaive', 'horizon': 12, 'season_length': None}
    """
    spec: dict[str, Any] = artifact.encode(model)
    return spec


def from_spec(spec: Any, *, where: tuple[str | int, ...] = (), **defaults: Any) -> AbstractForecaster:
    """Build a model from a mapping.

    Parameters
    ----------
    spec : mapping or str
        ``{type: SeasonalNaive, season_length: 12}`` or ``{network: {type: LSTM, hidden_size: 32}, training:
        {max_steps: 300}}``. ``type`` is ``Forecaster`` where a network is given, or names a preset
        (`tsrnn.forecasting.presets`); a name alone stands for a type with its defaults.
    where : tuple of str
        Path of this mapping, for messages.
    **defaults
        Parameters such as ``horizon`` that the mapping need not repeat; those the model does not have are left out.

    Raises
    ------
    SpecError
        With the path of the key at fault and the nearest known name.

    Examples
    --------
    >>> from_spec({"network": {"type": "GRU", "hidden_size": 8}}, horizon=3).network.hidden_size
    8
    """
    kind, given = _split(spec, where)
    if not given and kind is None:
        types, networks = ", ".join([*MODELS, *PRESETS]), ", ".join(PARTS["network"])
        raise SpecError(where, f"give a type, one of {types}, or a network, one of {networks}.")
    kind = kind or "Forecaster"
    _known(kind, [*MODELS, *PRESETS], (*where, "type"), "model type")
    parameters, hints = model_parameters(kind)
    names = list(parameters)
    values: dict[str, Any] = {name: v for name, v in defaults.items() if name in names}
    for key, value in given.items():
        at = (*where, key)
        _known(key, names, at, f"parameter of {kind}")
        if hints[key] == Several and isinstance(value, list):
            values[key] = [from_spec(one, where=(*at, i), **defaults) for i, one in enumerate(value)]
        elif hints[key] in (AbstractForecaster, Several):
            values[key] = from_spec(value, where=at, **defaults)
        elif key == "regressor":
            values[key] = _regressor(value, at)
        else:
            values[key] = _part(key, value, at) if key in PARTS else _checked(hints[key], value, at)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in values:
            choices = f", one of {', '.join(PARTS[name])}" if name in PARTS else ""
            raise SpecError(where, f"{kind} needs a {name}{choices}.")
    return MODELS[kind](**values) if kind in MODELS else PRESETS[kind](**values)


def predictor_from_spec(spec: Any, *, where: tuple[str | int, ...] = (), **defaults: Any) -> AbstractPredictor:
    """Build a one-step-ahead predictor from a mapping, as `from_spec` does a forecaster.

    Examples
    --------
    >>> predictor_from_spec({"type": "AutoRegression", "order": 3})
    AutoRegression(order=3)
    """
    kind, given = _split(spec, where)
    cls = PREDICTORS[_known(kind or next(iter(PREDICTORS)), PREDICTORS, (*where, "type"), "predictor")]
    names = inspect.signature(cls).parameters
    return value_from_spec(cls, {name: v for name, v in defaults.items() if name in names} | given, where)


def value_from_spec(cls: type[T], given: Any, where: tuple[str | int, ...] = ()) -> T:
    """Build a value from a mapping of its parameters.

    Raises
    ------
    SpecError
        With the path of the key at fault and the nearest known name.
    """
    if not isinstance(given, Mapping):
        raise SpecError(where, f"expected a mapping, got {given!r}.")
    names, hints = list(inspect.signature(cls).parameters), get_type_hints(cls.__init__)
    values = {}
    for key, value in given.items():
        at = (*where, key)
        _known(key, names, at, f"parameter of {cls.__name__}")
        values[key] = _checked(hints[key], value, at)
    try:
        return cls(**values)
    except ValueError as error:
        raise SpecError(where, str(error)) from None


def load(path: str | Path) -> AbstractForecaster:
    """Read a forecaster that was saved with ``model.save(path)``; its predictions are equal to the bit.

    Parameters
    ----------
    path : str or Path
        The folder.

    Raises
    ------
    FileNotFoundError
        If there is no saved model.
    ValueError
        If it was written by a newer, incompatible version.
    """
    saved = artifact.read(path)
    return from_spec(saved.spec).restore(saved)


def model_parameters(kind: str) -> tuple[dict[str, inspect.Parameter], dict[str, Any]]:
    """Parameters of a model and their types; those of a preset, then of the `Forecaster` it makes."""
    if kind in MODELS:
        return dict(inspect.signature(MODELS[kind]).parameters), get_type_hints(MODELS[kind].__init__)
    own = dict(inspect.signature(PRESETS[kind]).parameters)
    del own["parameters"]
    parameters, hints = model_parameters("Forecaster")
    own["network"] = parameters["network"].replace(default=None)  # it brings its own
    return parameters | own, hints | get_type_hints(PRESETS[kind])


def _part(slot: str, spec: Any, where: tuple[str | int, ...]) -> Any:
    if spec is None and slot == "transforms":
        return None
    if isinstance(spec, list) and slot == "transforms":
        return [_part(slot, step, (*where, i)) for i, step in enumerate(spec)]
    choices = PARTS[slot]
    kind, given = _split(spec, where)
    cls = choices[
        next(iter(choices)) if kind is None else _known(kind, choices, (*where, "type"), slot.removesuffix("s"))
    ]
    names, hints = artifact.part_fields(cls), get_type_hints(cls)
    values = {}
    for key, value in given.items():
        _known(key, names, (*where, key), f"parameter of {cls.__name__}")
        if cls is Chain:
            values[key] = _part(slot, value if isinstance(value, list) else [value], (*where, key))
        elif key == "component":
            values[key] = _part(slot, value, (*where, key))
        else:
            values[key] = _checked(hints[key], value, (*where, key))
    try:
        return cls(**values)
    except ValueError as error:
        raise SpecError(where, str(error)) from None


def _regressor(spec: Any, where: tuple[str | int, ...]) -> Any:
    """A regressor of scikit-learn by the name of its class; its parameters may hold others."""
    kind, given = _split(spec, where)
    homes = [vars(import_module(f"sklearn.{name}")) for name in _SKLEARN]
    known = {name: cls for home in homes for name, cls in home.items() if _is_regressor(cls)}
    cls = known[_known(kind or "", sorted(known), (*where, "type"), "regressor of scikit-learn")]
    names = list(inspect.signature(cls).parameters)
    for key, value in given.items():
        _known(key, names, (*where, key), f"parameter of {cls.__name__}")
        given[key] = _regressor(value, (*where, key)) if isinstance(value, Mapping) and "type" in value else value
    return cls(**given)


def _is_regressor(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, RegressorMixin) and issubclass(cls, BaseEstimator)


def _split(spec: Any, where: tuple[str | int, ...]) -> tuple[str | None, dict[str, Any]]:
    """The type and the other keys."""
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping):
        raise SpecError(where, f"expected a mapping or the name of a type, got {spec!r}.")
    rest = dict(spec)
    kind = rest.pop("type", None)
    if kind is not None and not isinstance(kind, str):
        raise SpecError((*where, "type"), f"a type is a name, got {kind!r}.")
    return kind, rest


def _known(name: str, choices: Iterable[str], where: tuple[str | int, ...], what: str) -> str:
    choices = list(choices)
    if name in choices:
        return name
    near = difflib.get_close_matches(str(name), choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise SpecError(where, f"{name!r} is not a known {what}.{hint} Known: {', '.join(choices)}.")


def _checked(hint: Any, value: Any, where: tuple[str | int, ...]) -> Any:
    try:
        return TypeAdapter(hint).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise SpecError(where, f"{error.errors()[0]['msg']}, got {value!r}.") from None
    except TypeError:
        raise SpecError(where, f"{value!r} is not a plain value.") from None
