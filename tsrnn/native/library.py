"""The compiled kernels, loaded when first asked for; what is missing is a reason, never an error."""

import ctypes
import os
from collections.abc import Callable
from functools import cache

import jax
import numpy as np
from numpy.typing import NDArray

from tsrnn.native.build import LIBRARY

__all__ = ["BACKWARD", "FORWARD", "instructions", "missing", "read_rows", "why_not"]

Singles = NDArray[np.float32]

FORWARD, BACKWARD = "tsrnn_forward", "tsrnn_backward"
"""Targets of `jax.ffi.ffi_call` once `why_not` is None."""


@cache
def why_not() -> str | None:
    """Why JAX cannot use the kernels in this process; None if it can.

    ``TSRNN_NATIVE=0`` switches them off; ``avx2`` or ``portable`` takes simpler instructions than the machine has.
    """
    if _off():
        return missing()
    if jax.default_backend() != "cpu" or jax.device_count() > 1:
        return f"for a single CPU device, not for {jax.device_count()} of the kind {jax.default_backend()}"
    return missing()


@cache
def missing() -> str | None:
    """Why they cannot be used at all; None if they can, on rows of a stream whatever devices there are."""
    if _off():
        return "switched off by TSRNN_NATIVE=0"
    if not LIBRARY.is_file():
        return "not built: python -m tsrnn.native.build does it, with a C++ compiler"
    capsule: Callable[..., object] = jax.ffi.pycapsule  # JAX has no types for it
    try:
        for name in (FORWARD, BACKWARD):
            jax.ffi.register_ffi_target(name, capsule(getattr(_loaded(), name)), platform="cpu")
        _rows()
    except Exception as error:  # whatever a library of another machine or another jaxlib may raise
        return f"{LIBRARY.name} cannot be loaded ({error}): python -m tsrnn.native.build builds it anew"
    return None


def instructions() -> str:
    """The set of instructions in use: avx512, avx2 or portable."""
    name = _loaded().tsrnn_instructions
    name.restype = ctypes.c_char_p
    text: bytes = name()
    return text.decode()


def read_rows(
    sizes: NDArray[np.int64],
    weights: Singles,
    carry: Singles,
    rows: Singles,
    limit: float,
    steps: float,
    out: Singles,
) -> None:
    """Read rows of a stream and write what was expected of them, see ``rows.h``; ``carry`` becomes that after them."""
    at = (sizes.ctypes.data, weights.ctypes.data, carry.ctypes.data, rows.ctypes.data)
    _rows()(*at, len(rows), limit, steps, out.ctypes.data)


def _off() -> bool:
    return os.environ.get("TSRNN_NATIVE") == "0"


@cache
def _rows() -> Callable[..., None]:
    function = _loaded().tsrnn_rows
    address, single = ctypes.c_void_p, ctypes.c_float
    function.argtypes = [address, address, address, address, ctypes.c_longlong, single, single, address]
    function.restype = None
    return function


@cache
def _loaded() -> ctypes.CDLL:
    return ctypes.CDLL(str(LIBRARY))
