"""Several networks, averaged: those that differ in nothing but their seed are trained as one program."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from tsrnn.data import Panel
from tsrnn.forecasting.artifact import Artifact
from tsrnn.forecasting.base import AbstractForecaster
from tsrnn.forecasting.forecaster import Forecaster

__all__ = ["Ensemble", "Several"]

FloatArray = NDArray[np.float64]

Average = Literal["mean", "median", "pool"]

Several = AbstractForecaster | list[AbstractForecaster]
"""What an ensemble is made of."""

_LEVELS = 200
"""Quantiles of each member that stand for its distribution in a pool."""


class Ensemble(AbstractForecaster):
    """A `Forecaster`, or several different ones, trained from several seeds; what it forecasts is their average.

    Networks that read the data differently (another normalization, say) miss differently, so that a few different ones
    are often better than as many seeds of one.

    Parameters
    ----------
    model : Forecaster or list of Forecaster
        The forecaster, or several of one horizon; the seeds of its clones go from ``n_members * random_state`` on, so
        that ensembles of different seeds have no member in common. Each of them is what it would be if it were fitted
        alone, up to rounding. Forecasts of several are called ``Ensemble``.
    n_members : int, default 5
        Networks of each forecaster.
    average : {"mean", "median", "pool"}, default "mean"
        ``mean`` and ``median`` are those of the members' point forecasts and of their quantiles, level by level
        (quantile averaging [1]_). ``pool`` is the distribution half of which is one member's and half the other's, and
        so on (linear pool [2]_), wider where the members disagree; the sample paths of `Recursive` networks are pooled
        as they are, other distributions by 200 quantiles each, which must not reach beyond what the output has learned.

    Attributes
    ----------
    members_ : list of Forecaster
        The fitted forecasters.

    References
    ----------
    .. [1] K. C. Lichtendahl, Y. Grushka-Cockayne and R. L. Winkler (2013), Is it better to average probabilities or
       quantiles?, Management Science 59(7).
    .. [2] M. Stone (1961), The opinion pool, Annals of Mathematical Statistics 32(4).

    Examples
    --------
    >>> import numpy as np
    >>> from tsrnn import GRU, Training
    >>> model = Forecaster(GRU(hidden_size=4), horizon=2, training=Training(max_steps=5, batch_size=4))
    >>> ensemble = Ensemble(model, n_members=2).fit(np.sin(np.arange(40.0)))
    >>> [member.random_state for member in ensemble.members_], ensemble.predict().shape
    ([0, 1], (2,))
    """

    def __init__(self, model: Several, *, n_members: int = 5, average: Average = "mean") -> None:
        self.model = model
        self.n_members = n_members
        self.average = average

    @property
    def models(self) -> list[AbstractForecaster]:
        """The forecasters that it is made of."""
        if self.model == []:
            raise ValueError("an Ensemble needs at least one model, got [].")
        return self.model if isinstance(self.model, list) else [self.model]

    @property
    def horizon(self) -> int:  # type: ignore[override]
        """The models'."""
        return int(self.models[0].horizon)

    @property
    def name(self) -> str:
        """The model's; of several ``Ensemble``."""
        return self.models[0].name if len(self.models) == 1 else "Ensemble"

    @property
    def default_level(self) -> tuple[float, ...]:
        """What all models give."""
        return min(model.default_level for model in self.models)

    def _rows_needed(self) -> tuple[int, str]:
        return max(model._rows_needed() for model in self.models)

    def _rows_held(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(np.min([model._rows_held(lengths) for model in self.models], axis=0))

    def _rows_kept(self, panel: Panel) -> int:
        return max(int(member._rows_kept(panel)) for member in self.members_)

    @property
    def _forecasters(self) -> list[Forecaster]:
        """The models, each of which must be one with a seed."""
        for model in self.models:
            if not isinstance(model, Forecaster):
                raise TypeError(f"Ensemble trains a Forecaster from several seeds; {type(model).__name__} has none.")
        return [model for model in self.models if isinstance(model, Forecaster)]

    def _seeds(self, model: Forecaster) -> list[int]:
        return [int(model.random_state) * self.n_members + k for k in range(self.n_members)]

    def _fit(self, panel: Panel) -> None:
        if self.n_members < 1 or self.n_members % 1:
            raise ValueError(f"n_members must be a positive integer, got {self.n_members!r}.")
        if self.average not in get_args(Average):
            raise ValueError(f"average={self.average!r} is unknown; choose one of {', '.join(get_args(Average))}.")
        if len({model.horizon for model in self.models}) != 1:
            raise ValueError(f"an Ensemble needs models of one horizon, got {[m.horizon for m in self.models]}.")
        each = [clone(model).fit_members(panel, self._seeds(model)) for model in self._forecasters]
        self.members_ = [member for members in each for member in members]
        if any(member.training_.stop_reason == "interrupted" for member in self.members_):
            self.history_ = panel.tail(self._rows_kept(panel))  # fitted, as far as training got
            raise KeyboardInterrupt

    def forecast_panel(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], quantiles: Sequence[float] = ()
    ) -> FloatArray:
        """Forecast from any number of cutoffs; see `AbstractForecaster.forecast_panel`."""
        if self.average == "pool":
            return self._pooled(panel, series, ends, quantiles)
        each = [member.forecast_panel(panel, series, ends, quantiles) for member in self.members_]
        average = np.mean if self.average == "mean" else np.median
        return np.asarray(average(each, axis=0))

    def _pooled(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], quantiles: Sequence[float]
    ) -> FloatArray:
        """Quantiles of the mixture of the members' distributions, and its median or mean."""
        if self.draws_paths:
            return self.summary(self.paths(panel, series, ends), quantiles)
        reaches = [model.output.reach or (1, 0) for model in self._forecasters]
        low, high = max(low for low, _ in reaches), min(high for _, high in reaches)
        if low > high:
            raise ValueError("a Point output has no distribution to pool; choose average='mean' or 'median'.")
        for q in quantiles:
            if not low <= q <= high:  # the members know how to say it
                for member in self.members_:
                    member.forecast_panel(panel, series[:1], ends[:1], [q])
        levels = np.clip((np.arange(_LEVELS) + 0.5) / _LEVELS, low, high).tolist()
        each = [member.forecast_panel(panel, series, ends, levels) for member in self.members_]
        values = self.summary(np.concatenate([member[..., 1:] for member in each], axis=-1), quantiles)
        if getattr(self._forecasters[0].output, "point", "median") == "mean":
            values[..., 0] = np.mean([member[..., 0] for member in each], axis=0)
        return values

    def summary(self, paths: FloatArray, quantiles: Sequence[float]) -> FloatArray:
        """Point forecast and quantiles of sample paths, shape (B, H, C, 1 + Q)."""
        return self._forecasters[0].summary(paths, quantiles)

    def check_draws(self) -> None:
        """Refuse to draw paths where a member has none; any of them can be drawn, whatever the average."""
        for model in self._forecasters:
            model.check_draws()

    @property
    def draws_paths(self) -> bool:  # type: ignore[override]
        """Whether all models do and their members are pooled: a mean or median of quantiles has no paths."""
        return self.average == "pool" and all(model.draws_paths for model in self._forecasters)

    def paths(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], n_paths: int | None = None
    ) -> FloatArray:
        """Sample paths, ``n_paths`` of every member, one member after the other; see `AbstractForecaster.paths`."""
        return np.concatenate([member.paths(panel, series, ends, n_paths) for member in self.members_], axis=-1)

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        states = [member._state() for member in self.members_]
        arrays = {f"{k}/{name}": a for k, (_, own) in enumerate(states) for name, a in own.items()}
        return {"members": [values for values, _ in states]}, arrays

    def _restore(self, saved: Artifact) -> None:
        specs = saved.spec["model"] if isinstance(self.model, list) else [saved.spec["model"]]
        pairs = zip(self._forecasters, specs, strict=True)
        seeded = [(model, spec, seed) for model, spec in pairs for seed in self._seeds(model)]
        self.members_ = []
        for k, (model, spec, seed) in enumerate(seeded):
            arrays = {name.removeprefix(f"{k}/"): a for name, a in saved.arrays.items() if name.startswith(f"{k}/")}
            inner = Artifact(spec, saved.values["members"][k], arrays, saved.history)
            self.members_.append(clone(model).set_params(random_state=seed).restore(inner))
