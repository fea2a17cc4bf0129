"""What a `Forecaster` chooses from the data where it is told nothing: season, context, width, shrinkage."""

import numpy as np
from numpy.typing import NDArray

from tsrnn.data import Panel

__all__ = ["LONGEST", "choose_context", "choose_season", "choose_shrinkage", "choose_width", "lag_errors"]

LONGEST = 336
"""The longest season that is looked for where the frequency has no usual one: a week of half hours."""

_ROWS, _SERIES = 4096, 256
"""Newest rows of a series that are looked at, and of how many series."""

_MARGIN, _SEARCH_MARGIN = 0.03, 0.1
"""By how much a season must be better than a more usual one; and than a shorter one where all lengths are tried."""


def choose_width(n_rows: int) -> int:
    """Width of a recurrent network: 16, from 500 rows of training data on 32, from 2,000 on 64."""
    return 16 if n_rows < 500 else 32 if n_rows < 2000 else 64


def choose_shrinkage(
    errors: NDArray[np.float64], start_errors: NDArray[np.float64], series: NDArray[np.int64]
) -> float:
    """How far forecasts are taken back to the start of the network, by what both missed on rows not learned from.

    Each is weighed in proportion to the error of the other, as Bates and Granger weighed two forecasts [1]_, but by
    mean absolute errors instead of squared ones: weights from few rows had better not be extreme. Two that are as good
    get half each, and their mean is often better than either; one that is three times as good gets three quarters. The
    weight is the mean of those of all series and channels.

    Parameters
    ----------
    errors, start_errors : arrays of shape (B, H, C)
        Of the network, and of the last season repeated; NaN where nothing was observed.
    series : array of int, shape (B,)
        Whose they are.

    Returns
    -------
    float
        Weight of the last season, 0 to 1; 0 if nothing is known.

    References
    ----------
    .. [1] J. M. Bates and C. W. J. Granger (1969), The combination of forecasts, Operational Research Quarterly 20(4).

    Examples
    --------
    >>> errors = np.ones((5, 2, 1))
    >>> choose_shrinkage(errors, 3 * errors, np.zeros(5, int))
    0.25
    """
    owners = np.unique(series)
    sizes = np.where(np.isnan(errors + start_errors), 0, np.abs(np.stack([errors, start_errors])))
    missed, start_missed = np.stack([sizes[:, series == own].sum(axis=(1, 2)) for own in owners], axis=1)
    both = missed + start_missed
    return float((missed[both > 0] / both[both > 0]).mean()) if (both > 0).any() else 0.0


def choose_context(panel: Panel, horizon: int, season: int) -> int:
    """Steps of history to read.

    Two seasons or two horizons, whichever is longer, within 8 and 256, but a whole season and no more than there is.

    Parameters
    ----------
    panel : Panel
        All that is known.
    horizon : int
        Steps ahead.
    season : int
        Steps in the season.
    """
    wanted = max(season, int(np.clip(2 * max(season, horizon), 8, 256)))
    return max(1, min(wanted, int(panel.lengths.max()) - horizon))


def choose_season(panel: Panel, horizon: int, longest: int = LONGEST) -> int:
    """The season whose last run, repeated, has missed the steps ahead by least.

    Looked at are the season usual at the data's frequency and the last value alone (1), or all lengths where the
    frequency has no usual season. The last value alone must be better than the usual season by 3 %; where all lengths
    are tried, a longer one better than a shorter by 10 %. There must be room in half of the series for the horizon and
    two seasons, or three where all lengths are tried.

    Parameters
    ----------
    panel : Panel
        All that is known.
    horizon : int
        Steps ahead.
    longest : int, default 336
        The longest season that is looked for; a week of half hours.

    Returns
    -------
    int
        Steps in the season; 1 where there is none.
    """
    usual, room = panel.freq.season_length, int(np.median(panel.lengths)) - horizon
    if usual > 1:
        asked = [season for season in (usual, 1) if season <= max(1, min(longest, room // 2))]
    else:
        asked = [1, *range(2, min(longest, room // 3) + 1)]
    missed = lag_errors(panel, max(asked) + horizon)
    steps = np.arange(1, horizon + 1)
    scores = np.array([missed[:, season * -(-steps // season) - 1].mean(axis=1) for season in asked])
    known = np.isfinite(scores).all(axis=0) & (scores.mean(axis=0) > 0)
    if not known.any():
        return asked[0]
    score = (scores[:, known] / scores[:, known].mean(axis=0)).mean(axis=1)
    margin = _MARGIN if usual > 1 else _SEARCH_MARGIN
    return asked[int(np.argmax(score <= score.min() * (1 + margin)))]


def lag_errors(panel: Panel, longest: int) -> NDArray[np.float64]:
    """Mean absolute difference of each series and channel from itself so many steps before.

    Parameters
    ----------
    panel : Panel
        Series, of which the newest rows of some, evenly spread, are looked at.
    longest : int
        The longest lag.

    Returns
    -------
    array of float64, shape (M, longest)
        For lags of 1, 2, ...; NaN where no two such steps were observed.
    """
    spread = np.unique(np.linspace(0, len(panel.ids) - 1, _SERIES).round().astype(int))
    out = np.full((len(spread), panel.values.shape[1], longest), np.nan)
    for row, series in zip(out, spread, strict=True):
        y = panel.values[panel.indptr[series] : panel.indptr[series + 1]][-_ROWS:]
        for lag in range(1, min(longest, len(y) - 1) + 1):
            apart = np.abs(y[lag:] - y[:-lag])
            seen = ~np.isnan(apart)
            row[:, lag - 1] = np.where(seen, apart, 0).sum(axis=0) / np.where(
                seen.any(axis=0), seen.sum(axis=0), np.nan
            )
    return out.reshape(-1, longest)
