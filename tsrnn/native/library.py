"""The compiled kernels, loaded when first asked for; what is missing is a reason, never an error."""

import ctypes
import os
from collections.abc import Callable
from functools import cache

import jax

from tsrnn.native.build import LIBRARY

__all__ = ["BACKWARD", "FORWARD", "instructions", "why_not"]

FORWARD, BACKWARD = "tsrnn_forward", "tsrnn_backward"
"""Targets of `jax.ffi.ffi_call` once `why_not` is None."""


@cache
def why_not() -> str | None:
    """Why the kernels cannot be used in this process; None if they can.

    ``TSRNN_NATIVE=0`` switches them off; ``avx2`` or ``portable`` takes simpler instructions than the machine has.
    """
    if os.environ.get("TSRNN_NATIVE") == "0":
        return "switched off by TSRNN_NATIVE=0"
    if jax.default_backend() != "cpu" or jax.device_count() > 1:
        return f"for a single CPU device, not for {jax.device_count()} of the kind {jax.default_backend()}"
    if not LIBRARY.is_file():
        return "not built: python -m tsrnn.native.build does it, with a C++ compiler"
    capsule: Callable[..., object] = jax.ffi.pycapsule  # JAX has no types for it
    try:
        for name in (FORWARD, BACKWARD):
            jax.ffi.register_ffi_target(name, capsule(getattr(_loaded(), name)), platform="cpu")
    except Exception as error:  # whatever a library of another machine or another jaxlib may raise
        return f"{LIBRARY.name} cannot be loaded ({error}): python -m tsrnn.native.build builds it anew"
    return None


def instructions() -> str:
    """The set of instructions in use: avx512, avx2 or portable."""
    name = _loaded().tsrnn_instructions
    name.restype = ctypes.c_char_p
    text: bytes = name()
    return text.decode()


@cache
def _loaded() -> ctypes.CDLL:
    return ctypes.CDLL(str(LIBRARY))
