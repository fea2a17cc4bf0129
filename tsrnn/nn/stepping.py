"""Models of rows at work on NumPy arrays: by the program `tsrnn.nn.online.run`, or by the C++ kernels.

Whichever it is, it is one for calls of many rows and of one, so that a stream may be cut anywhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tsrnn.native.library import missing, read_rows
from tsrnn.nn.online import FAR, AbstractOnline, AutoRegressive, Params, Recurrent, run

__all__ = ["AbstractStepper", "stepper"]

Singles = NDArray[np.float32]

_ROWS = 512
"""Rows that the program reads in one call."""

_LANES = 16
"""Numbers to which the kernels want rows of weights padded (``kLanes`` in C++)."""


class AbstractStepper(ABC):
    """What runs a model with its parameters over rows."""

    def __init__(self, model: AbstractOnline, p: Params, n_columns: int) -> None:
        self.model = model
        self.p = p
        self.n_columns = n_columns

    @abstractmethod
    def __call__(self, carry: Any, rows: Singles, limit: float, steps: float) -> tuple[Any, Singles]:
        """What is carried after rows (N, 1 + K), and what was expected of them (N, 3 C); see `tsrnn.nn.online.run`."""

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        return type(self), (self.model, self.p, self.n_columns)


class _Program(AbstractStepper):
    """Any model, a block of rows at a time."""

    def __call__(self, carry: Any, rows: Singles, limit: float, steps: float) -> tuple[Any, Singles]:
        out = np.empty((len(rows), 3 * len(self.p["scale"])), np.float32)
        block = np.zeros((_ROWS, rows.shape[1]), np.float32)
        for first in range(0, len(rows), _ROWS):
            part = rows[first : first + _ROWS]
            block[: len(part)] = part
            told = np.array([len(part), limit, steps], np.float32)
            carry, expected = run(self.model, self.p, carry, block, told)
            out[first : first + _ROWS] = np.asarray(expected)[: len(part)]
        return np.asarray(carry), out


class _Kernel(AbstractStepper):
    """An autoregression, and a recurrent network on top of it."""

    def __init__(self, model: AutoRegressive | Recurrent, p: Params, n_columns: int) -> None:
        super().__init__(model, p, n_columns)
        network = model if isinstance(model, Recurrent) else None
        order = network.linear.order if network else model.order  # type: ignore[union-attr]
        cells = (network.num_layers, 4 if network.cell == "lstm" else 3, network.hidden_size) if network else (0, 0, 0)
        self._sensors = len(p["scale"])
        self._sizes = np.array([self._sensors, n_columns, order, *cells], np.int64)
        parts = [np.ravel(part) for part in self._weights(*cells)]
        whole = np.empty(sum(map(len, parts)) + _LANES, np.float32)
        begin = -whole.ctypes.data % 64 // 4  # in lines of the cache
        self._packed = whole[begin : begin + len(whole) - _LANES]
        np.concatenate(parts, out=self._packed)

    def _weights(self, layers: int, gates: int, hidden: int) -> Iterator[Singles]:
        """All that the kernel reads, in its order."""
        p = self.p
        yield _padded(np.full(1, FAR))
        yield _padded(p["scale"], 1)
        yield _padded(p["low"])
        yield _padded(p["high"])
        yield _padded(p["unit"], 1)
        yield _padded(p["bias"])
        yield _padded(p["weights"])
        if layers:
            net = p["net"]
            yield _padded(net["head_bias"])
            yield _padded(net["head"])
            for i in range(layers):
                layer = net[f"layer_{i}"]
                rows = np.concatenate([layer["kernel"], layer["recurrent"]])
                units = _padded(rows.reshape(len(rows), gates, hidden))
                yield units.reshape(len(rows), gates, -1, _LANES).transpose(2, 0, 1, 3)
                yield _padded(np.reshape(layer["bias"], (4, hidden))).reshape(4, -1, _LANES).swapaxes(0, 1)

    def __call__(self, carry: Any, rows: Singles, limit: float, steps: float) -> tuple[Any, Singles]:
        carry, rows = np.array(carry, np.float32), np.ascontiguousarray(rows)
        out = np.empty((len(rows), 3 * self._sensors), np.float32)
        read_rows(self._sizes, self._packed, carry, rows, limit, steps, out)
        return carry, out


def stepper(model: AbstractOnline, p: Params, n_columns: int) -> AbstractStepper:
    """The fastest way to run a model in this process."""
    by_kernel = isinstance(model, AutoRegressive | Recurrent) and missing() is None
    return (_Kernel if by_kernel else _Program)(model, p, n_columns)  # type: ignore[arg-type]


def _padded(array: Any, value: float = 0) -> Singles:
    """Rows of a length that the kernels can read."""
    array = np.asarray(array, np.float32)
    width = [(0, 0)] * (array.ndim - 1) + [(0, -array.shape[-1] % _LANES)]
    return np.pad(array, width, constant_values=value)
