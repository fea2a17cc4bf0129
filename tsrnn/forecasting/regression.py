"""Robust ridge regression on the last rows of a recording."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsrnn.forecasting.streams import LEAST_SCALE, Learned, move_units, spreads

__all__ = ["regressed"]

Floats = NDArray[np.float64]

_BLOCK = 1 << 14
"""Rows of a regression that are laid out at once."""

_ROUNDS, _TAIL = 4, 4.0
"""Rounds of a robust regression, and its degrees of freedom."""


def regressed(learned: Learned, order: int, ridge: float) -> tuple[dict[str, Any], Floats]:
    """Weights and bias of `tsrnn.nn.online.AutoRegressive`, and how much more it misses of rows not learned, (C,).

    The latter by generalized cross-validation.

    References
    ----------
    G. Golub, M. Heath and G. Wahba (1979), Generalized cross-validation as a method for choosing a good ridge
    parameter, Technometrics 21.
    """
    (n, columns), size = learned.x.shape, learned.n_sensors
    unit = move_units(learned).astype(float)
    units = np.concatenate([np.ones(columns), np.tile(unit, order - 1), np.ones(1)])
    moves = np.where(np.isnan(learned.x) | np.isinf(learned.age), 0, learned.x - learned.last)
    moves = np.concatenate([np.zeros((order - 1, columns), np.float32), moves])
    known = learned.known
    goal = np.where(known, learned.sensors - learned.last[:, :size], 0.0) / unit[:size]
    trust, shrinkage = known / learned.late, np.append(np.full(order * columns, ridge), 1e-6)
    alike, group = np.unique(trust, axis=1, return_inverse=True)

    def blocks() -> Iterator[tuple[slice, Floats]]:
        for first in range(0, n, _BLOCK):
            rows = slice(first, min(first + _BLOCK, n))
            back = [moves[order - 1 - k : n + order - 1 - k][rows] for k in range(1, order)]
            yield rows, np.concatenate([learned.last[rows], *back, np.ones((rows.stop - first, 1))], axis=1) / units

    likely, solution, share = np.ones(n), np.zeros((len(units), size)), np.zeros(size)
    for _ in range(_ROUNDS):
        for at, own in enumerate(alike.T):
            mine, weight = group == at, own * likely
            gram, cross = np.zeros((len(units), len(units))), np.zeros((len(units), int(mine.sum())))
            for rows, features in blocks():
                weighted = features.T * weight[rows]
                gram += weighted @ features
                cross += weighted @ goal[rows][:, mine]
            inverse = np.linalg.inv(gram + np.diag(shrinkage))
            solution[:, mine] = inverse @ cross
            share[mine] = np.sum(inverse * gram) / max(weight.sum(), 1e-6)
        missed = np.concatenate([goal[rows] - features @ solution for rows, features in blocks()]) * np.sqrt(trust)
        missed /= np.maximum(spreads(np.where(known, missed, np.nan)), LEAST_SCALE)
        likely = (_TAIL + known.sum(axis=1)) / (_TAIL + (missed**2).sum(axis=1))
    solution *= unit[:size] / units[:, None]
    params = {"weights": solution[:-1].astype(np.float32), "bias": solution[-1].astype(np.float32)}
    return params, 1 / (1 - np.minimum(share, 0.9))
