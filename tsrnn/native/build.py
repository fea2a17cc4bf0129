"""Compile the C++ sources beside this file: ``python -m tsrnn.native.build``.

The package build does the same (``hatch_build.py``). What is needed: a C++17 compiler, the one that ``CXX`` names or
else ``c++``, ``g++`` or ``clang++``, and the headers that come with jaxlib.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARY = HERE / "libtsrnn.so"

_FLAGS = ["-std=c++17", "-O3", "-fPIC", "-pthread", "-fvisibility=hidden", "-fno-math-errno", "-ffp-contract=fast"]
_SETS: dict[str, list[str]] = {"portable": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    _AVX2 = ["-mavx2", "-mfma"]
    _SETS |= {"avx2": _AVX2, "avx512": [*_AVX2, "-mavx512f", "-mprefer-vector-width=512"]}


class BuildError(Exception):
    """The library cannot be built; the message says why."""


def compiler() -> str | None:
    """The C++ compiler that would be used."""
    return os.environ.get("CXX") or next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)


def build(library: Path = LIBRARY, extra: Sequence[str] = ()) -> Path:
    """Compile the sources into a shared library.

    Parameters
    ----------
    library : Path, optional
        Where to; by default where `tsrnn.native.library` looks for it.
    extra : sequence of str, optional
        More flags for the compiler.

    Raises
    ------
    BuildError
        If there is no compiler, no header, or the compiler fails.
    """
    spec = find_spec("jaxlib")
    include = Path(spec.origin).parent / "include" if spec and spec.origin else Path("jaxlib/include")
    command = compiler()
    if command is None:
        raise BuildError("no C++ compiler: install g++ or clang++, or name one in CXX")
    if not (include / "xla/ffi/api/ffi.h").is_file():
        raise BuildError("no jaxlib with the header xla/ffi/api/ffi.h")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [("handlers", ["-isystem", str(include), str(HERE / "handlers.cpp")])]
        jobs += [(key, [*flags, str(HERE / "kernels.cpp")]) for key, flags in _SETS.items()]
        objects = []
        for key, arguments in jobs:
            objects.append(str(folder / f"{key}.o"))
            _run([command, *_FLAGS, *extra, *arguments, "-c", "-o", objects[-1]])
        whole = folder / library.name
        _run([command, *_FLAGS, *extra, "-shared", *objects, "-o", str(whole)])
        shutil.copy(whole, library.with_suffix(".new"))
    library.with_suffix(".new").replace(library)  # a running process keeps the old one
    return library


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{done.stderr}")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build()}\n")
    except BuildError as error:
        sys.exit(str(error))
