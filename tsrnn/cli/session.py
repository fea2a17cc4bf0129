"""Around every command: exit codes instead of tracebacks, and settings that must stand before an import."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

__all__ = ["exit_codes", "prepare"]


@contextmanager
def exit_codes() -> Iterator[None]:
    """Say what went wrong in a line or two instead of a traceback, and warnings without the place in the code."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    except KeyboardInterrupt as stop:
        folder = getattr(stop, "folder", None)
        goes_on = f"Stopped; --out {folder} --resume goes on from there. What was finished is in"
        typer.echo("Stopped." if folder is None else goes_on, err=True)
        if folder is not None:
            typer.echo(folder)
        raise typer.Exit(130) from None
    except (ValueError, OSError, ArithmeticError, ImportError) as error:
        if getattr(error, "name", None) is not None:  # a broken module, and not our sentence on an extra
            raise
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _show_warning(message: Warning | str, *place: Any, **rest: Any) -> None:
    typer.echo(f"Warning: {message}", err=True)


def prepare() -> None:
    """Settings of libraries that must stand before their import.

    Compiled programs are kept in the user's cache folder, and so a second run starts faster. The environment variable
    ``TSRNN_COMPILATION_CACHE`` names another folder, or is 0 for none.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    choice = os.environ.get("TSRNN_COMPILATION_CACHE") or "1"
    if choice != "0":
        folder = str(_user_cache() / "tsrnn" / "jax") if choice == "1" else choice
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", folder)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
