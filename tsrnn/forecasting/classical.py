"""The models of statsforecast under the contract of this house: ETS, ARIMA, Theta, TBATS, Croston and their kin."""

import difflib
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsrnn.data import DataError, Panel
from tsrnn.forecasting.artifact import Artifact
from tsrnn.forecasting.base import AbstractForecaster

__all__ = ["StatsForecast"]

FloatArray = NDArray[np.float64]

_WITHOUT_INTERVALS = ("AutoMFLES", "MFLES", "SklearnModel")
"""Models that have no intervals, and no attribute that says so."""


class StatsForecast(AbstractForecaster):
    """A model of statsforecast, fitted to each series alone.

    The target alone is read. A missing value between two observed ones is interpolated; after the last observed value,
    so many steps more are forecast; a series that was never observed is forecast as NaN.

    From a cutoff after the end of the training data, the parameters of `fit` are applied to all that is known there
    (statsforecast calls it ``forward``); models that have no such way, among them Croston's and the plain exponential
    smoothers, are fitted anew at every cutoff, and so are series that were not there in `fit`.

    Parameters
    ----------
    model : str, default "AutoETS"
        Name of a class of ``statsforecast.models``: ``"AutoETS"``, ``"AutoARIMA"``, ``"AutoTheta"``, ``"AutoCES"``,
        ``"CrostonSBA"`` ...
    horizon : int
        Steps ahead.
    season_length : int, optional
        Steps in a season; by default the one usual at the data's frequency (12 for months, 24 for hours ...). Models
        without a season have no use for it.
    options : mapping, optional
        Other arguments of that class, as ``{"damped": True}``.

    Attributes
    ----------
    models_ : dict
        The fitted models by name of series; empty for those that are fitted anew at every cutoff.

    Notes
    -----
    Needs ``pip install "tsrnn[baselines]"``. A saved model holds its training data, and is fitted again when loaded.
    Models without intervals (``default_level`` is empty) get some from `tsrnn.Conformal`.

    References
    ----------
    R. J. Hyndman and G. Athanasopoulos (2021), Forecasting: Principles and Practice, 3rd ed., chapters 8 and 9.

    Examples
    --------
    >>> from tsrnn import StatsForecast
    >>> model = StatsForecast("AutoTheta", horizon=12, options={"decomposition_type": "additive"})
    >>> model.name
    'AutoTheta'
    """

    is_local = True

    def __init__(
        self,
        model: str = "AutoETS",
        *,
        horizon: int,
        season_length: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.horizon = horizon
        self.season_length = season_length
        self.options = options

    @property
    def name(self) -> str:
        """The model's."""
        return self.model

    @property
    def default_level(self) -> tuple[float, ...]:
        """90, or none if the model has no intervals."""
        without = self.model in _WITHOUT_INTERVALS or hasattr(self._build(1), "only_conformal_intervals")
        return () if without else (90.0,)

    def _fit(self, panel: Panel) -> None:
        fresh = self._build(panel.freq.season_length)
        self.models_: dict[Any, Any] = {}
        if hasattr(fresh, "forward"):
            for i, label, c in _each(panel):
                y = _observed(panel.known(i, panel.lengths[i])[:, c])[0]
                if len(y):
                    with self._blame(label, y):
                        self.models_[label] = fresh.new().fit(y)

    def forecast_panel(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], quantiles: Sequence[float] = ()
    ) -> FloatArray:
        """Forecast from any number of cutoffs; see `AbstractForecaster.forecast_panel`."""
        if quantiles and not self.default_level:
            raise ValueError(f"{self.name} has no intervals of its own; wrap it, as in Conformal({self.name}).")
        fresh = self._build(panel.freq.season_length)
        levels = sorted({_level(q) for q in quantiles} - {0.0})
        out = np.full((len(series), self.horizon, panel.values.shape[1], 1 + len(quantiles)), np.nan)
        for b, (i, end) in enumerate(zip(series, ends, strict=True)):
            known = panel.known(i, end)
            for c, label in enumerate(panel.labels[i]):
                y, late = _observed(known[:, c])
                if len(y):
                    with self._blame(label, y):
                        answer = self._answer(label, y, fresh, h=self.horizon + late, level=levels or None)
                    columns = [answer[column] for column in _columns(quantiles)]
                    out[b, :, c] = np.stack(columns, axis=-1)[late:]
        return out

    def _answer(self, label: Any, y: FloatArray, fresh: Any, **asked: Any) -> Any:
        """What the fitted model of a series says after these values, or one fitted to them."""
        fitted = self.models_.get(label)
        return fresh.new().fit(y).predict(**asked) if fitted is None else fitted.forward(y=y, **asked)

    def _build(self, usual: int) -> Any:
        """An unfitted model of statsforecast; ``usual`` is the season of the data's frequency."""
        try:
            known = import_module("statsforecast.models")
        except ImportError:
            raise ImportError(f"{self.model} needs statsforecast: pip install 'tsrnn[baselines]'.") from None
        if self.model not in known.__all__:
            near = difflib.get_close_matches(str(self.model), known.__all__, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"statsforecast has no model {self.model!r}.{hint} It has: {', '.join(known.__all__)}.")
        cls = getattr(known, self.model)
        parameters = inspect.signature(cls).parameters
        given = dict(self.options or {})
        if "season_length" in parameters:
            given.setdefault("season_length", usual if self.season_length is None else self.season_length)
        try:
            return cls(**given)
        except TypeError as error:
            raise ValueError(f"{self.model} of statsforecast: {error}. It takes: {', '.join(parameters)}.") from None

    @contextmanager
    def _blame(self, label: Any, y: FloatArray) -> Iterator[None]:
        """Complaints of statsforecast name the series; its warnings about figures stay out of sight."""
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                yield
        except Exception as error:  # statsforecast raises the bare class
            raise DataError(
                f"{self.model} of statsforecast fails on series {label!r} with {len(y)} observed rows: "
                f"{str(error) or type(error).__name__}. Leave the series out, or choose a simpler model."
            ) from error

    def _restore(self, saved: Artifact) -> None:
        self._fit(saved.history)


def _each(panel: Panel) -> list[tuple[int, Any, int]]:
    """Place, name and channel of all that is fitted alone."""
    return [(i, label, c) for i, labels in enumerate(panel.labels) for c, label in enumerate(labels)]


def _observed(y: FloatArray) -> tuple[FloatArray, int]:
    """From the first to the last observed value, gaps between them interpolated; and how many rows came after."""
    seen = np.flatnonzero(~np.isnan(y))
    if not len(seen):
        return y[:0], 0
    rows = np.arange(seen[0], seen[-1] + 1)
    return np.interp(rows, seen, y[seen]), int(len(y) - 1 - seen[-1])


def _level(q: float) -> float:
    return round(100 * abs(2 * q - 1), 9)


def _columns(quantiles: Sequence[float]) -> list[str]:
    """Keys of statsforecast's answer: the mean, then a bound for each quantile."""
    sides = [f"{'lo' if q < 0.5 else 'hi'}-{_level(q)}" if _level(q) else "mean" for q in quantiles]
    return ["mean", *sides]
