"""Robust ridge regression on the last rows of a recording."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsrnn.forecasting.streams import LEAST_SCALE, Learned, move_units, spreads
from tsrnn.nn.online import FAR

__all__ = ["regressed"]

Floats = NDArray[np.float64]

_BLOCK = 1 << 14
"""Rows that are laid out at once."""

_EFFORT = 1e12
"""Products that a round may take; of longer recordings every second row is used, every third one, ...."""

_ROUNDS, _TAIL = 4, 4.0
"""Rounds, and the degrees of freedom by which rows that do not fit count for less."""

_USUAL = 10.0
"""Spreads, or units of a move, up to which a row counts in full; beyond, by the square of the ratio."""


def regressed(learned: Learned, order: int, ridge: float, robust: bool = True) -> tuple[dict[str, Any], Floats]:
    """Parameters of `tsrnn.nn.online.AutoRegressive`, and how much more it misses of rows not learned, (C,).

    The latter by generalized cross-validation. Without robustness the ridge counts rows in which a feature is as far
    off as it ever was, since these are what least squares heed.

    References
    ----------
    G. Golub, M. Heath and G. Wahba (1979), Generalized cross-validation as a method for choosing a good ridge
    parameter, Technometrics 21.
    """
    (n, columns), size = learned.x.shape, learned.n_sensors
    unit, n_features = move_units(learned), order * columns + 1
    moves = np.where(np.isnan(learned.x) | np.isinf(learned.age), 0, learned.x - learned.last) / unit
    moves = np.concatenate([np.zeros((order - 1, columns), np.float32), moves])
    alike, group = np.unique(learned.known / learned.late, axis=1, return_inverse=True)
    chosen = np.arange(0, n, max(1, int(alike.shape[1] * n * n_features**2 / _EFFORT)))
    known, alike = learned.known[chosen], alike[chosen]
    goal = np.where(known, learned.sensors[chosen] - learned.last[chosen, :size], 0.0) / unit[:size]
    goal, trust = np.clip(goal, -FAR, FAR), np.sqrt(alike[:, group])

    def blocks() -> Iterator[tuple[slice, Floats]]:
        for first in range(0, len(chosen), _BLOCK):
            rows = slice(first, first + _BLOCK)
            at = chosen[rows]
            features = np.concatenate([learned.last[at], *(moves[at + order - k] for k in range(2, order + 1))], axis=1)
            yield rows, np.append(np.clip(features, -FAR, FAR), np.ones((len(at), 1)), axis=1).astype(float)

    heed, far = np.ones(len(chosen)), np.ones(n_features - 1)
    if robust:
        reach = np.concatenate([np.abs(features).max(axis=1) for _, features in blocks()])
        heed = (_USUAL / np.maximum(reach, _USUAL)) ** 2
    else:
        far = np.max([np.abs(features).max(axis=0) for _, features in blocks()], axis=0)[:-1]
    shrinkage = np.append(ridge * np.maximum(far, 1e-9) ** 2, 1e-6)
    likely, solution, share = heed, np.zeros((n_features, size)), np.zeros(size)
    for _ in range(_ROUNDS if robust else 1):
        for of, own in enumerate(alike.T):
            mine, weight = group == of, own * likely
            gram, cross = np.zeros((n_features, n_features)), np.zeros((n_features, int(mine.sum())))
            for rows, features in blocks():
                weighted = features.T * weight[rows]
                gram += weighted @ features
                cross += weighted @ goal[rows][:, mine]
            inverse = np.linalg.inv(gram + np.diag(shrinkage))
            solution[:, mine] = inverse @ cross
            share[mine] = np.sum(inverse * gram) / max(weight.sum(), 1e-6)
        missed = np.concatenate([goal[rows] - features @ solution for rows, features in blocks()]) * trust
        missed /= np.maximum(spreads(np.where(known, missed, np.nan)), LEAST_SCALE)
        likely = heed * (_TAIL + known.sum(axis=1)) / (_TAIL + (missed**2).sum(axis=1))
    params = {"weights": solution[:-1], "bias": solution[-1], "unit": unit}
    return {name: array.astype(np.float32) for name, array in params.items()}, 1 / (1 - np.minimum(share, 0.9))
