"""Intervals from the errors that a forecaster made on rows that it had not learned from."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from tsrnn.data import DataError, Panel
from tsrnn.forecasting.artifact import Artifact
from tsrnn.forecasting.base import AbstractForecaster

__all__ = ["Conformal"]

FloatArray = NDArray[np.float64]

Method = Literal["split", "adaptive"]


class Conformal(AbstractForecaster):
    """Any forecaster, with intervals of the width that its own errors ask for.

    The forecaster is fitted without the last rows of every series, forecasts them from ``n_windows`` cutoffs, and is
    then fitted on all rows. An interval at a step ahead is the point forecast plus and minus the error at that step
    that the asked share of the cutoffs did not exceed, counted so that a new error of the same kind is covered with at
    least that probability. Each series, channel and step has its own.

    That holds over many stretches of time, not in each: errors of neighbouring cutoffs hang together, so that a year of
    large errors gives intervals that are too wide for the years after it. Cutoffs farther apart (``step_size``) help.

    Parameters
    ----------
    model : AbstractForecaster
        The forecaster; it is cloned.
    n_windows : int, default 40
        Cutoffs whose errors are counted. A level of ``p`` percent needs at least ``p / (100 - p)`` of them: 9 for 90 %,
        19 for 95 %.
    step_size : int, default 1
        Rows between two cutoffs.
    method : {"split", "adaptive"}, default "split"
        Split conformal prediction [1]_ counts all errors alike. Adaptive goes through the second half of the cutoffs
        in order and moves the level up after an error that was not covered, down after one that was [2]_: wider
        intervals where errors have been growing.
    rate : float, default 0.02
        By how much the adaptive method moves, in units of the level.

    Attributes
    ----------
    model_ : AbstractForecaster
        The forecaster fitted on all rows.
    errors_ : array of float64, shape (N, n_windows, H, C)
        Absolute errors, NaN where nothing was observed.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman and G. Shafer (2005), Algorithmic learning in a random world; J. Lei et al. (2018),
       Distribution-free predictive inference for regression, Journal of the American Statistical Association 113.
    .. [2] I. Gibbs and E. Candès (2021), Adaptive conformal inference under distribution shift, arXiv 2106.00170.

    Examples
    --------
    >>> import numpy as np
    >>> from tsrnn.forecasting.baselines import Naive
    >>> y = np.arange(60.0) % 2
    >>> Conformal(Naive(horizon=2), n_windows=20).fit(y).predict(level=[90])
    array([[1., 0., 2.],
           [1., 1., 1.]])
    """

    def __init__(
        self,
        model: AbstractForecaster,
        *,
        n_windows: int = 40,
        step_size: int = 1,
        method: Method = "split",
        rate: float = 0.02,
    ) -> None:
        self.model = model
        self.n_windows = n_windows
        self.step_size = step_size
        self.method = method
        self.rate = rate

    @property
    def horizon(self) -> int:  # type: ignore[override]
        """The model's."""
        return int(self.model.horizon)

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    @property
    def default_level(self) -> tuple[float, ...]:
        """90, or what the cutoffs allow if that is less."""
        return (float(min(90, 100 * self.n_windows // (self.n_windows + 1))),)

    @property
    def is_local(self) -> bool:  # type: ignore[override]
        """The model's."""
        return self.model.is_local

    @property
    def _tested(self) -> int:
        """Rows that the errors are taken from."""
        return self.horizon + (self.n_windows - 1) * self.step_size

    def _rows_needed(self) -> tuple[int, str]:
        needed, why = self.model._rows_needed()
        return needed + self._tested, f"{self._tested} for the errors of n_windows={self.n_windows}, {needed} for {why}"

    def _rows_kept(self, panel: Panel) -> int:
        return int(self.model_._rows_kept(panel))

    def _fit(self, panel: Panel) -> None:
        for name in ("n_windows", "step_size"):
            if getattr(self, name) < 1 or getattr(self, name) % 1:
                raise ValueError(f"{name} must be a positive integer, got {getattr(self, name)!r}.")
        if self.method not in get_args(Method):
            raise ValueError(f"method={self.method!r} is unknown; choose one of {', '.join(get_args(Method))}.")
        back = self.horizon + self.step_size * np.arange(self.n_windows - 1, -1, -1)
        ends = panel.lengths[:, None] - back
        first = clone(self.model).fit_panel(panel.until(ends[:, 0]))
        series = np.repeat(np.arange(len(panel.ids)), self.n_windows)
        point = first.forecast_panel(panel, series, ends.reshape(-1))[..., 0]
        rows = (panel.indptr[series] + ends.reshape(-1))[:, None] + np.arange(self.horizon)
        self.errors_ = np.abs(panel.values[rows] - point).reshape(*ends.shape, *point.shape[1:])
        self.model_ = clone(self.model).fit_panel(panel)

    def forecast_panel(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], quantiles: Sequence[float] = ()
    ) -> FloatArray:
        """Forecast from any number of cutoffs; see `AbstractForecaster.forecast_panel`."""
        point = self.model_.forecast_panel(panel, series, ends)
        if not quantiles:
            return np.asarray(point)
        places = {name: i for i, name in enumerate(self.history_.ids)}
        names = panel.ids[series]
        strange = [name for name in names if name not in places]
        if strange:
            raise DataError(
                f"series {strange[0]!r} was not there in fit, so nothing is known of its errors: fit on a frame that "
                "holds it, or ask for level=[]."
            )
        at = np.array([places[name] for name in names], np.int64)
        levels = [round(abs(2 * q - 1), 9) for q in quantiles]
        widths = {level: self._width(level)[at] for level in set(levels)}
        sides = [np.sign(q - 0.5) * widths[level] for q, level in zip(quantiles, levels, strict=True)]
        bounds: FloatArray = np.concatenate([point, *(point + side[..., None] for side in sides)], axis=-1)
        return bounds

    def _width(self, level: float) -> FloatArray:
        """Half the width of the intervals of a level in [0, 1), shape (N, H, C)."""
        if self.method == "split":
            return _quantile(self.errors_, np.full(self.errors_[:, 0].shape, level))
        asked = np.full(self.errors_[:, 0].shape, level)
        for k in range(self.n_windows // 2, self.n_windows):
            error = self.errors_[:, k]
            covered = error <= _quantile(self.errors_[:, :k], asked, strict=False)
            asked = np.where(np.isnan(error), asked, asked + self.rate * (level - covered))
        return _quantile(self.errors_, np.clip(asked, 0, self.n_windows / (self.n_windows + 1)))

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        values, arrays = self.model_._state()
        return {"model": values}, {f"model/{name}": a for name, a in arrays.items()} | {"errors": self.errors_}

    def _restore(self, saved: Artifact) -> None:
        arrays = {name.removeprefix("model/"): a for name, a in saved.arrays.items() if name.startswith("model/")}
        self.errors_ = saved.arrays["errors"]
        inner = Artifact(saved.spec["model"], saved.values["model"], arrays, saved.history)
        self.model_ = clone(self.model).restore(inner)


def _quantile(errors: FloatArray, level: FloatArray, *, strict: bool = True) -> FloatArray:
    """The error that is not exceeded with at least this probability by one more of its kind.

    Parameters
    ----------
    errors : array of shape (N, n, H, C)
        Absolute errors, NaN where unknown.
    level : array of shape (N, H, C)
        In [0, 1).
    strict : bool, default True
        Refuse a level that so few errors cannot give; otherwise it is infinite.

    Returns
    -------
    array of shape (N, H, C)
        NaN where all errors are unknown.
    """
    known = (~np.isnan(errors)).sum(axis=1)
    rank = np.ceil((known + 1) * level - 1e-9).astype(np.int64)
    short = (rank > known) & (known > 0)
    if strict and short.any():
        n, asked = known[short].min(), level[short].max()
        needed = int(np.ceil(asked / (1 - asked) - 1e-9))
        raise ValueError(
            f"a level of {100 * asked:g} % needs at least {needed} errors of each step, and there are {n}: raise "
            "n_windows of Conformal, or ask for a lower level."
        )
    ordered = np.sort(errors, axis=1)  # NaN last
    value = np.take_along_axis(ordered, np.clip(rank - 1, 0, errors.shape[1] - 1)[:, None], axis=1)[:, 0]
    return np.asarray(np.where(short, np.inf, np.where(rank == 0, 0.0, value)))
