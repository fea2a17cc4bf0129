"""Transforms that bend the scale: the logarithm, and powers chosen by maximum likelihood.

The inverses are finite for every forecast: what lies beyond the end of a transform's range comes back as that end, and
nothing comes back greater than 1e100 in magnitude (in units of the series' scale).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tsrnn.data import Panel
from tsrnn.data.validation import check_above
from tsrnn.transforms.base import AbstractPointwise, State

__all__ = ["BoxCox", "Log1p", "YeoJohnson"]

Floats = NDArray[np.float64]

_LARGEST = 100 * np.log(10.0)
"""Logarithm of the greatest value that an inverse gives."""

_GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Log1p(AbstractPointwise):
    """``log(1 + x)``, for counts and other data that are never below zero; takes every value above -1.

    Examples
    --------
    >>> import pandas as pd
    >>> y = pd.Series([0.0, 1.0], index=pd.date_range("2024-01-01", periods=2))
    >>> Log1p().fit_transform(y).round(4).tolist()
    [0.0, 0.6931]
    """

    def learn(self, panel: Panel) -> State:
        """Nothing."""
        return {}

    def forward(self, state: State, panel: Panel) -> Panel:
        """Refuse values of -1 and below, transform the others."""
        _check_above(panel, -1, self)
        return super().forward(state, panel)

    def there(self, x: Floats, state: State) -> Floats:
        """``log(1 + x)``."""
        return np.asarray(np.log1p(x))

    def back(self, x: Floats, state: State) -> Floats:
        """``exp(x) - 1``, at most 1e100."""
        return np.asarray(np.expm1(np.minimum(x, _LARGEST)))


@dataclass(frozen=True)
class BoxCox(AbstractPointwise):
    """``((x / g)^p - 1) / p`` with the geometric mean ``g`` and the power ``p`` of each series; ``log(x / g)`` at 0.

    By default the power is the most likely one in -1 to 2 if the transformed values are normal; 1, which only shifts,
    for a series with fewer than two different values. Dividing by ``g`` makes the result free of the data's unit.

    Parameters
    ----------
    power : float, optional
        The power of all series; by default each has its most likely one. ``BoxCox(power=0)`` is the logarithm.

    Notes
    -----
    The inverse of what lies below the range of a positive power is 0; of what lies above the range of a negative power
    1e100 times ``g``.

    References
    ----------
    G. E. P. Box and D. R. Cox (1964), An analysis of transformations, Journal of the Royal Statistical Society B 26,
    sections 2 and 3.

    Examples
    --------
    >>> import pandas as pd
    >>> y = pd.Series([1.0, 10.0, 100.0], index=pd.date_range("2024-01-01", periods=3))
    >>> BoxCox().fit_transform(y).round(3).tolist()
    [-2.303, -0.0, 2.303]
    """

    power: float | None = None

    def learn(self, panel: Panel) -> State:
        """Geometric mean and power, (N, C) each."""
        _check_above(panel, 0, self)
        logs = np.log(panel.values)
        scale = np.exp(_means(logs, panel))
        if self.power is not None:
            return {"scale": scale, "power": np.full_like(scale, self.power)}
        x = panel.values / np.repeat(scale, panel.lengths, axis=0)

        def unlikely(power: Floats) -> Floats:  # no Jacobian: it is 1 where the geometric mean is 1
            return _log_variance(special.boxcox(x, np.repeat(power, panel.lengths, axis=0)), panel)

        power = _best_power(unlikely, -1, 2, panel)
        return {"scale": scale, "power": power}

    def forward(self, state: State, panel: Panel) -> Panel:
        """Refuse values of 0 and below, transform the others."""
        _check_above(panel, 0, self)
        return super().forward(state, panel)

    def there(self, x: Floats, state: State) -> Floats:
        """The power of ``x / scale``."""
        return np.asarray(special.boxcox(x / state["scale"], state["power"]))

    def back(self, x: Floats, state: State) -> Floats:
        """The root, times the scale."""
        return np.asarray(np.exp(_log_root(x, state["power"])) * state["scale"])


@dataclass(frozen=True)
class YeoJohnson(AbstractPointwise):
    """Box-Cox's power transform of ``1 + x / s`` for positive and, mirrored, for negative values: takes any number.

    The scale ``s`` is the mean absolute value of the series; it makes the result free of the data's unit. The power
    ``p`` (``2 - p`` below zero) is the most likely one in -1 to 3 if the transformed values are normal; 1, which leaves
    ``x / s`` as it is, for a series with fewer than two different values.

    The inverse of what lies beyond the range (above it for a negative power, below it for one greater than 2) is 1e100
    times ``s`` in magnitude.

    References
    ----------
    I.-K. Yeo and R. A. Johnson (2000), A new family of power transformations to improve normality or symmetry,
    Biometrika 87.

    Examples
    --------
    >>> import pandas as pd
    >>> y = pd.Series([-1.0, 0.0, 1.0, 9.0], index=pd.date_range("2024-01-01", periods=4))
    >>> YeoJohnson().fit_transform(y).round(3).tolist()
    [-0.481, 0.0, 0.281, 0.941]
    """

    def learn(self, panel: Panel) -> State:
        """Mean absolute value and power, (N, C) each."""
        scale = _means(np.abs(panel.values), panel)
        scale = np.where(scale > 0, scale, 1.0)
        x = panel.values / np.repeat(scale, panel.lengths, axis=0)
        jacobian = _means(np.sign(x) * np.log1p(np.abs(x)), panel)

        def unlikely(power: Floats) -> Floats:
            bent = _yeo_johnson(x, np.repeat(power, panel.lengths, axis=0))
            return _log_variance(bent, panel) / 2 - (power - 1) * jacobian

        power = _best_power(unlikely, -1, 3, panel)
        return {"scale": scale, "power": power}

    def there(self, x: Floats, state: State) -> Floats:
        """The power of ``x / scale``."""
        return _yeo_johnson(x / state["scale"], state["power"])

    def back(self, x: Floats, state: State) -> Floats:
        """The root, times the scale."""
        power = np.where(x < 0, 2 - state["power"], state["power"])
        return np.asarray(np.sign(x) * np.expm1(_log_root(np.abs(x), power)) * state["scale"])


def _yeo_johnson(x: Floats, power: Floats) -> Floats:
    """Yeo and Johnson's function of ``x``, powers broadcast to it."""
    return np.asarray(np.sign(x) * special.boxcox1p(np.abs(x), np.where(x < 0, 2 - power, power)))


def _check_above(panel: Panel, bound: float, transform: AbstractPointwise) -> None:
    owners = np.repeat(np.arange(len(panel.ids)), panel.lengths)
    check_above(panel.ids, owners, panel.rows, panel.values, bound, type(transform).__name__)


def _log_root(x: Floats, power: Floats) -> Floats:
    """``log(1 + p x) / p``, for a power of 0 ``x``: the logarithm of Box-Cox's inverse, at most that of 1e100."""
    with np.errstate(divide="ignore", invalid="ignore"):  # the end of the range, and the power 0
        root = np.where(power == 0, x, np.log1p(np.maximum(power * x, -1)) / power)
    return np.asarray(np.minimum(root, _LARGEST))


def _means(x: Floats, panel: Panel) -> Floats:
    """Mean of every series and channel of (R, C), NaN left out, shape (N, C); 0 where nothing is observed."""
    owners, n = np.repeat(np.arange(len(panel.ids)), panel.lengths), len(panel.ids)
    seen = ~np.isnan(x)
    counts = np.stack([np.bincount(owners, column, n) for column in seen.T], axis=1)
    sums = np.stack([np.bincount(owners, column, n) for column in np.where(seen, x, 0).T], axis=1)
    return np.asarray(sums / np.maximum(counts, 1))


def _log_variance(x: Floats, panel: Panel) -> Floats:
    """Logarithm of the variance of every series and channel, shape (N, C)."""
    centred = x - np.repeat(_means(x, panel), panel.lengths, axis=0)
    return np.asarray(np.log(np.maximum(_means(centred**2, panel), 1e-300)))


def _best_power(unlikely: Callable[[Floats], Floats], low: float, high: float, panel: Panel) -> Floats:
    """The power of every series and channel at which a function of (N, C) is least, by golden section, to 1e-5.

    References
    ----------
    J. Kiefer (1953), Sequential minimax search for a maximum, Proceedings of the AMS 4.
    """
    shape = (len(panel.ids), panel.values.shape[1])
    a, b = np.full(shape, float(low)), np.full(shape, float(high))
    left, right = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    at_left, at_right = unlikely(left), unlikely(right)
    while (b - a).max(initial=0) > 1e-5:
        lower = at_left < at_right  # then the least value lies below `right`
        a, b = np.where(lower, a, left), np.where(lower, right, b)
        new = np.where(lower, b - _GOLDEN * (b - a), a + _GOLDEN * (b - a))
        at_new = unlikely(new)
        left, right = np.where(lower, new, right), np.where(lower, left, new)
        at_left, at_right = np.where(lower, at_new, at_right), np.where(lower, at_left, at_new)
    return np.where(_varied(panel), (a + b) / 2, 1.0)


def _varied(panel: Panel) -> NDArray[np.bool_]:
    """Where a series has two different values, shape (N, C)."""
    first = np.repeat(_means(panel.values, panel), panel.lengths, axis=0)
    return _means(np.abs(panel.values - first), panel) > 1e-12 * _means(np.abs(panel.values), panel)
