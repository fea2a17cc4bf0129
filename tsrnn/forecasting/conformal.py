"""Intervals from the errors that a forecaster made on rows that it had not learned from."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.base import clone

from tsrnn.data import DataError, Panel
from tsrnn.forecasting.artifact import Artifact
from tsrnn.forecasting.base import AbstractForecaster

__all__ = ["Conformal"]

FloatArray = NDArray[np.float64]

Method = Literal["split", "adaptive", "pooled"]


class Conformal(AbstractForecaster):
    """Any forecaster, with intervals of the width that its own errors ask for.

    The forecaster is fitted without the last rows of every series, forecasts them from ``n_windows`` cutoffs, and is
    then fitted on all rows. An interval at a step ahead is the point forecast plus and minus the error at that step
    that the asked share of the cutoffs did not exceed, counted so that a new error of the same kind is covered with at
    least that probability. Each series, channel and step has its own, unless they are pooled.

    That holds over many stretches of time, not in each: errors of neighbouring cutoffs hang together, so that a year of
    large errors gives intervals that are too wide for the years after it. Cutoffs farther apart (``step_size``) help;
    so does ``method="pooled"``, which needs few of them.

    Parameters
    ----------
    model : AbstractForecaster
        The forecaster; it is cloned.
    n_windows : int, default 40
        Cutoffs whose errors are counted. A level of ``p`` percent needs at least ``p / (100 - p)`` of them: 9 for 90 %,
        19 for 95 %; pooled, of cutoffs, series and steps together.
    step_size : int, default 1
        Rows between two cutoffs.
    method : {"split", "adaptive", "pooled"}, default "split"
        Split conformal prediction [1]_ counts all errors alike. Adaptive goes through the second half of the cutoffs
        in order and moves the level up after an error that was not covered, down after one that was [2]_: wider
        intervals where errors have been growing. Pooled leaves to the model which series and steps are uncertain, and
        asks the errors of all of them together how much: they are counted in units of the distance from the model's
        median to the bound of its own interval on their side [3]_, and widen or narrow the intervals of every series, a
        new one too. Of a model that draws paths, the ranks of the truth among them are counted [4]_, and the paths
        themselves move to those values among them by which their intervals cover what they say. Their order at each
        step stays as it was [5]_, so that they hang together as they did, and counts remain counts. Where the model
        itself holds out as many rows as the cutoffs need (`Training.validation`), its errors on these are counted, and
        it is fitted once.
    rate : float, default 0.02
        By how much the adaptive method moves, in units of the level.

    Attributes
    ----------
    model_ : AbstractForecaster
        The forecaster fitted on all rows.
    errors_ : array of float64, shape (N, n_windows, H, C)
        Absolute errors, NaN where nothing was observed; pooled, shape (1, N * n_windows * H, 1, C), in units of the
        model's own interval or, of paths, distances from the middle rank in [0, 1].

    References
    ----------
    .. [1] V. Vovk, A. Gammerman and G. Shafer (2005), Algorithmic learning in a random world; J. Lei et al. (2018),
       Distribution-free predictive inference for regression, Journal of the American Statistical Association 113.
    .. [2] I. Gibbs and E. Candès (2021), Adaptive conformal inference under distribution shift, arXiv 2106.00170.
    .. [3] J. Lei et al. (2018), section 5.2; Y. Romano, E. Patterson and E. Candès (2019), Conformalized quantile
       regression, arXiv 1905.03222.
    .. [4] V. Chernozhukov, K. Wüthrich and Y. Zhu (2021), Distributional conformal prediction, Proceedings of the
       National Academy of Sciences 118(48).
    .. [5] R. Schefzik, T. Thorarinsdottir and T. Gneiting (2013), Uncertainty quantification in complex simulation
       models using ensemble copula coupling, Statistical Science 28(4).

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
    def draws_paths(self) -> bool:  # type: ignore[override]
        """Whether the model does, and its paths are moved."""
        return self.method == "pooled" and self.model.draws_paths

    @property
    def _own(self) -> tuple[float, float, float]:
        """The model's median and the bounds of its own interval, as quantiles."""
        half = self.model.default_level[0] / 200
        return 0.5, round(0.5 - half, 9), round(0.5 + half, 9)

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
        if self.method == "pooled" and not self.model.default_level:
            raise ValueError(
                f"method='pooled' counts errors in units of the model's own intervals, and {self.name} has none: "
                "choose method='split', or an output with quantiles, output=Quantiles() say."
            )
        back = self.horizon + self.step_size * np.arange(self.n_windows - 1, -1, -1)
        ends = panel.lengths[:, None] - back
        self.model_ = first = clone(self.model)
        if self.method == "pooled" and (self.model._rows_held(panel.lengths) >= self._tested).all():
            first.fit_panel(panel)
        else:
            first.fit_panel(panel.until(ends[:, 0]))
            self.model_ = clone(self.model).fit_panel(panel)
        series = np.repeat(np.arange(len(panel.ids)), self.n_windows)
        cutoffs = panel, series, ends.reshape(-1)
        y = panel.values[(panel.indptr[series] + ends.reshape(-1))[:, None] + np.arange(self.horizon)]
        if self.method == "pooled":
            errors = (
                _rank_errors(y, first.paths(*cutoffs))
                if self.draws_paths
                else _own_errors(y, first.forecast_panel(*cutoffs, self._own)[..., 1:])
            )
            self.errors_ = errors.reshape(1, -1, 1, errors.shape[-1])
        else:
            errors = np.abs(y - first.forecast_panel(*cutoffs)[..., 0])
            self.errors_ = errors.reshape(*ends.shape, *errors.shape[1:])

    def forecast_panel(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], quantiles: Sequence[float] = ()
    ) -> FloatArray:
        """Forecast from any number of cutoffs; see `AbstractForecaster.forecast_panel`."""
        if self.draws_paths:
            drawing: Any = self.model_
            summary: FloatArray = drawing.summary(self.paths(panel, series, ends), quantiles)
            return summary
        pooled = self.method == "pooled" and bool(quantiles)
        own = self.model_.forecast_panel(panel, series, ends, self._own if pooled else ())
        point, middle, sides = own[..., :1], own[..., 0], (-1.0, 1.0)
        if not quantiles:
            return np.asarray(point)
        if pooled:
            middle, sides = own[..., 1], (own[..., 2] - own[..., 1], own[..., 3] - own[..., 1])
        at = np.zeros(len(series), np.int64) if pooled else self._places(panel.ids[series])
        levels = [round(2 * q - 1, 9) for q in quantiles]
        widths = {level: self._width(level)[at] for level in set(map(abs, levels))}
        values: FloatArray = np.empty((*own.shape[:3], 1 + len(quantiles)))
        values[..., :1] = point
        for i, level in enumerate(levels):
            side = sides[level > 0]
            with np.errstate(invalid="ignore"):  # an interval of no width has no other, whatever the errors
                values[..., 1 + i] = middle + np.where(side == 0, 0, side * widths[abs(level)])
        return values

    def paths(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], n_paths: int | None = None
    ) -> FloatArray:
        """Sample paths of the model, moved; see `AbstractForecaster.paths`."""
        if not self.draws_paths:
            return super().paths(panel, series, ends, n_paths)
        drawn = self.model_.paths(panel, series, ends, n_paths)
        n = drawn.shape[-1]
        moved: FloatArray = np.empty_like(drawn)
        for c in range(drawn.shape[2]):
            errors = np.sort(self.errors_[0, :, 0, c])
            errors = np.append(0, errors[~np.isnan(errors)])
            rank = (rankdata(drawn[:, :, c], axis=-1) - 0.5) / n
            level = np.interp(np.abs(2 * rank - 1), np.arange(len(errors)) / len(errors), errors)
            place = np.rint((0.5 + np.sign(rank - 0.5) * level / 2) * n - 0.5).astype(np.int64)
            moved[:, :, c] = np.take_along_axis(np.sort(drawn[:, :, c], axis=-1), np.clip(place, 0, n - 1), axis=-1)
        return moved

    def _places(self, names: NDArray[Any]) -> NDArray[np.int64]:
        """Where the series stand in ``errors_``."""
        places = {name: i for i, name in enumerate(self.history_.ids)}
        strange = [name for name in names if name not in places]
        if strange:
            raise DataError(
                f"series {strange[0]!r} was not there in fit, so nothing is known of its errors: fit on a frame that "
                "holds it, choose method='pooled', or ask for level=[]."
            )
        return np.array([places[name] for name in names], np.int64)

    def _width(self, level: float) -> FloatArray:
        """Half the width of the intervals of a level in [0, 1), shape (N, H, C), or (1, 1, C) where pooled."""
        if self.method != "adaptive":
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


def _own_errors(y: FloatArray, own: FloatArray) -> FloatArray:
    """Errors in units of the distance from the median to the bound on their side.

    Parameters
    ----------
    y : array of shape (B, H, C)
        What came.
    own : array of shape (B, H, C, 3)
        Median, lower and upper bound of the model's own interval.

    Returns
    -------
    array of shape (B, H, C)
    """
    error, sides = y - own[..., 0], np.abs(own[..., 1:] - own[..., :1])
    side = np.where(error < 0, sides[..., 0], sides[..., 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(error == 0, 0, np.abs(error) / side))


def _rank_errors(y: FloatArray, paths: FloatArray) -> FloatArray:
    """How far from the middle the truth ranks among paths, 0 to 1; ties count half, NaN remains.

    Parameters
    ----------
    y : array of shape (B, H, C)
        What came.
    paths : array of shape (B, H, C, n)
        Sample paths.

    Returns
    -------
    array of shape (B, H, C)
    """
    above = (paths > y[..., None]).mean(axis=-1) - (paths < y[..., None]).mean(axis=-1)
    return np.asarray(np.where(np.isnan(y), np.nan, np.abs(above)))
