"""Any regressor of scikit-learn as a forecaster: what came before is its input, what comes next its target."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.utils import get_tags

from tsrnn.data import DataError, Panel
from tsrnn.forecasting.artifact import Artifact
from tsrnn.forecasting.base import AbstractForecaster

__all__ = ["LagRegressor"]

FloatArray = NDArray[np.float64]

Strategy = Literal["direct", "recursive"]
Normalization = Literal["none", "standard", "last"]

_FLOOR = 1e-2  # least scale of a window, in standard deviations of its series

_CHUNK = (
    256  # windows that are forecast at once, always so many: equal bits, whatever else is forecast in the same call
)


class LagRegressor(AbstractForecaster):
    """A regressor of scikit-learn that reads the last values of a series, one for all series.

    The target alone is read. A missing value is read as the one before it, and never learned as a target.

    Parameters
    ----------
    regressor : scikit-learn regressor
        As ``Ridge()``; a clone of it is fitted.
    horizon : int
        Steps ahead.
    lags : int or sequence of int
        So many last values, or how far back each input lies: ``[1, 2, 12]``.
    strategy : {"direct", "recursive"}, default "direct"
        All steps ahead at once (by a regressor for each step where it knows one target only), or one step, whose
        forecast is then read as if it had been observed.
    normalization : {"none", "standard", "last"}, default "standard"
        What is taken from each window before the regressor reads it, and given back to its forecast: nothing; mean and
        standard deviation of the lags; the last value, and the standard deviation of the lags. As in
        `tsrnn.Forecaster`.
    random_state : int, default 0
        For a regressor that has a ``random_state`` and was given none.

    Attributes
    ----------
    regressor_ : scikit-learn regressor
        Fitted on the windows of all series.

    Notes
    -----
    There are no intervals: a regressor's errors on its own training rows say little. `tsrnn.Conformal` takes them from
    rows it had not learned from. A saved model holds its training data, and is fitted again when loaded.

    References
    ----------
    S. Ben Taieb, G. Bontempi, A. F. Atiya and A. Sorjamaa (2012), A review and comparison of strategies for multi-step
    ahead time series forecasting, Expert Systems with Applications 39(8).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> y = np.tile([1.0, 4.0, 2.0], 9) + np.arange(27.0)
    >>> LagRegressor(LinearRegression(), horizon=3, lags=6, normalization="last").fit(y).predict().round(6)
    array([28., 32., 31.])
    """

    def __init__(
        self,
        regressor: Any,
        *,
        horizon: int,
        lags: int | Sequence[int],
        strategy: Strategy = "direct",
        normalization: Normalization = "standard",
        random_state: int = 0,
    ) -> None:
        self.regressor = regressor
        self.horizon = horizon
        self.lags = lags
        self.strategy = strategy
        self.normalization = normalization
        self.random_state = random_state

    @property
    def name(self) -> str:
        """The regressor's class."""
        return type(self.regressor).__name__

    @property
    def default_level(self) -> tuple[float, ...]:
        """None."""
        return ()

    @property
    def _steps(self) -> int:
        """Steps that the regressor knows."""
        return self.horizon if self.strategy == "direct" else 1

    @property
    def _back(self) -> NDArray[np.int64]:
        """How far back each input lies, the farthest first."""
        lags = np.arange(1, self.lags + 1) if isinstance(self.lags, int | np.integer) else np.unique(list(self.lags))
        return np.asarray(lags[::-1], np.int64)

    def _rows_needed(self) -> tuple[int, str]:
        self._check()
        return int(self._back[0]) + self._steps, f"{self._back[0]} lags and {self._steps} ahead to learn from"

    def _check(self) -> None:
        lags = self.lags if isinstance(self.lags, Sequence | np.ndarray) else [self.lags]
        if not len(lags) or any(
            isinstance(lag, bool) or not isinstance(lag, int | np.integer) or lag < 1 for lag in lags
        ):
            raise ValueError(f"lags must be a positive integer or several of them, got {self.lags!r}.")
        for name, known in (("strategy", get_args(Strategy)), ("normalization", get_args(Normalization))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown; choose one of {', '.join(known)}.")
        if not (isinstance(self.regressor, BaseEstimator) and is_regressor(self.regressor)):
            raise TypeError(f"{self.regressor!r} is no regressor of scikit-learn; pass an instance, as Ridge().")

    def _fit(self, panel: Panel) -> None:
        histories = [y for i, n in enumerate(panel.lengths) for y in panel.known(i, n).T]
        x, y = (np.concatenate(part) for part in zip(*map(self._examples, histories), strict=True))
        if not len(x):
            raise DataError(
                f"there is nothing to learn from: no {self._steps} neighbouring values are observed with "
                f"{self._back[0]} rows before them. Give fewer lags, fill the gaps, or choose strategy='recursive'."
            )
        regressor = clone(self.regressor)
        if regressor.get_params().get("random_state", 0) is None:
            regressor.set_params(random_state=self.random_state)
        if self._steps > 1 and not get_tags(regressor).target_tags.multi_output:
            regressor = MultiOutputRegressor(regressor)
        self.regressor_ = regressor.fit(x, y if self._steps > 1 else y[:, 0])

    def _examples(self, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Inputs (n, lags) and targets (n, steps) of all windows of a series, as the regressor reads them."""
        reach, width = self._back[0], self._back[0] + self._steps
        targets = sliding_window_view(y, width)[:, reach:]
        lags = sliding_window_view(_last_seen(y), width)[:, :reach]
        learned = ~(np.isnan(targets).any(axis=1) | np.isnan(lags[:, 0]))
        lags, targets = lags[learned], targets[learned]
        location, scale = self._stats(lags, np.full((len(lags), 1), _deviation(y)))
        return ((lags - location) / scale)[:, reach - self._back], (targets - location) / scale

    def _stats(self, lags: FloatArray, usual: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Location and scale of windows, each (n, 1); ``usual`` is the deviation of the whole series."""
        if self.normalization == "none":
            return np.zeros_like(usual), np.ones_like(usual)
        location = lags[:, -1:] if self.normalization == "last" else lags.mean(axis=1, keepdims=True)
        scale = np.maximum(lags.std(axis=1, keepdims=True), _FLOOR * usual)
        return location, np.where(scale > 0, scale, 1.0)

    def forecast_panel(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], quantiles: Sequence[float] = ()
    ) -> FloatArray:
        """Forecast from any number of cutoffs; see `AbstractForecaster.forecast_panel`."""
        if quantiles:
            raise ValueError(f"{self.name} has no intervals of its own; wrap it, as in Conformal(LagRegressor(...)).")
        reach, channels = self._back[0], panel.values.shape[1]
        histories = [y for i, end in zip(series, ends, strict=True) for y in panel.known(i, end).T]
        window = np.stack([_padded(_last_seen(y)[-reach:], reach) for y in histories])
        usual = np.asarray([_deviation(y) for y in histories])[:, None]
        steps = []
        for _ in range(0, self.horizon, self._steps):
            location, scale = self._stats(window, usual)
            ahead = self._predict(((window - location) / scale)[:, reach - self._back]) * scale + location
            steps.append(ahead)
            window = np.concatenate([window, ahead], axis=1)[:, -reach:]
        ahead = np.concatenate(steps, axis=1).reshape(len(series), channels, self.horizon)
        return np.swapaxes(ahead, 1, 2)[..., None]

    def _predict(self, x: FloatArray) -> FloatArray:
        """The regressor's answer (n, steps); NaN where nothing was ever observed."""
        padded = np.concatenate([x, np.zeros((-len(x) % _CHUNK, x.shape[1]))])
        chunks = np.where(np.isnan(padded), 0.0, padded).reshape(-1, _CHUNK, x.shape[1])
        y = np.concatenate([self.regressor_.predict(chunk).reshape(_CHUNK, -1) for chunk in chunks])[: len(x)]
        return np.where(np.isnan(x).any(axis=1, keepdims=True), np.nan, y)

    def _restore(self, saved: Artifact) -> None:
        self._fit(saved.history)


def _last_seen(y: FloatArray) -> FloatArray:
    """Missing values as the last one before them; NaN before the first."""
    last = np.maximum.accumulate(np.where(np.isnan(y), -1, np.arange(len(y))))
    return np.where(last < 0, np.nan, y[last])


def _padded(lags: FloatArray, n: int) -> FloatArray:
    """The last ``n`` values, with the first that is known where there are none."""
    first = lags[np.flatnonzero(~np.isnan(lags))[:1]]
    padded = np.concatenate([np.full(n - len(lags), np.nan), lags])
    return np.where(np.isnan(padded), first, padded) if len(first) else padded


def _deviation(y: FloatArray) -> float:
    seen = y[~np.isnan(y)]
    return float(seen.std()) if len(seen) else 0.0
