"""Where to draw the alarm line: a return level, read off scores of rows that no model has learned from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gumbel_r

__all__ = ["return_level"]

_MIN_BLOCKS = 8
_ONE_SIDED = 1.645  # standard errors of an upper 95 % confidence bound
_HEAVIEST = 0.25  # a Fréchet tail with four finite moments; a few dozen maxima cannot tell heavier ones apart


def return_level(scores: NDArray[np.float64], every: float, block: int) -> float:
    """The height that scores of healthy rows exceed at most once in ``every`` rows: an upper 95 % confidence bound.

    The largest score of each block of rows is kept, so that one long excursion counts once. A law of extremes is
    fitted to these maxima by maximum likelihood: Gumbel's, for tails as light as a normal or exponential one, or
    Fréchet's, for heavy ones, whichever explains them better. ``every`` may be far more rows than there are scores:
    the level is then an extrapolation, and the fewer the blocks the wider the margin. It holds as far as later rows
    are like these; no bound covers a regime not seen.

    Parameters
    ----------
    scores : array of shape (R,)
        In time order, higher is more abnormal; NaN are left out.
    every : float
        Rows between two exceedances.
    block : int
        Rows of a block; longer than the scores' memory. Fewer where there would be less than 8 blocks.

    Returns
    -------
    float
        In the unit of the scores; infinity when there are none.

    References
    ----------
    S. Coles (2001), An Introduction to Statistical Modeling of Extreme Values, section 3.1 (block maxima, return
    levels); N. L. Johnson, S. Kotz and N. Balakrishnan (1995), Continuous Univariate Distributions 2, chapter 22
    (standard errors of the maximum likelihood estimates of Gumbel's law).

    Examples
    --------
    >>> scores = np.abs(np.random.default_rng(0).normal(size=2000))
    >>> 4 < return_level(scores, every=10_000, block=50) < 5  # a normal value is 3.9 off once in 10,000 times
    True
    """
    seen = scores[~np.isnan(scores)]
    if not len(seen):
        return np.inf
    block = max(1, min(block, len(seen) // _MIN_BLOCKS))
    n_blocks = len(seen) // block
    maxima = seen[len(seen) - n_blocks * block :].reshape(n_blocks, block).max(axis=1)
    if np.ptp(maxima) == 0:
        return float(maxima[0])
    rarity = -np.log(-np.log1p(-min(block / every, 0.99)))
    error = np.sqrt((1.10867 + 0.51404 * rarity + 0.60793 * rarity**2) / n_blocks)
    location, scale = _gumbel(maxima)
    level, fit = location + scale * (rarity + _ONE_SIDED * error), gumbel_r.logpdf(maxima, location, scale).sum()
    if maxima.min() > 0:
        logs = np.log(maxima)
        location, scale = _gumbel(logs)
        if gumbel_r.logpdf(logs, location, scale).sum() - logs.sum() > fit:
            level = np.exp(location + min(scale, _HEAVIEST) * (rarity + _ONE_SIDED * error))
    return float(level)


def _gumbel(maxima: NDArray[Any]) -> tuple[float, float]:
    location, scale = gumbel_r.fit(maxima)
    return float(location), float(scale)
