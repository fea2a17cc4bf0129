"""Strict numerics, a compilation cache and the shared data: what every test can rely on."""

import os
from pathlib import Path

import hypothesis
import matplotlib
import pytest

try:
    import jax
except ImportError:  # the frame wing is testable without it
    jax = None

# Tests compile far more than they compute. JAX reads this when it starts, in the processes that tests start too. With
# `XLA_FLAGS=` set, as in `make slow`, programs are compiled as they are for users.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

ROOT = Path(__file__).resolve().parents[1]

# Doctest collection imports every file it finds; these are scripts, one of the Makefile, the others in need of PyTorch.
collect_ignore = ["smoke_wheel.py", "golden"]

matplotlib.use("Agg")

# The first example of a property compiles, so that time says nothing; in CI a seed fixed by the test's code.
hypothesis.settings.register_profile("tsrnn", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("tsrnn")


def pytest_configure(config):
    if jax is None:
        return
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_compilation_cache_dir", str(ROOT / ".pytest_cache" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture(scope="module", autouse=True)
def _programs_end_with_their_module():
    """Programs hold memory maps, of which Linux gives a process 65,530: without this the suite runs out of them."""
    yield
    if jax is not None:
        jax.clear_caches()


@pytest.fixture(scope="session")
def shared_data():
    """Folder of the real public data sets: `TSRNN_DATA`, else `../shared/data` beside the repository."""
    folder = Path(os.environ.get("TSRNN_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: set TSRNN_DATA to the one that holds forecast/ and anomaly/")
    return folder


@pytest.fixture
def environment():
    """Commands set environment variables; they shall not outlive a test, nor fill the user's cache."""
    before = os.environ.copy()
    os.environ["TSRNN_COMPILATION_CACHE"] = "0"
    yield
    os.environ.clear()
    os.environ.update(before)
