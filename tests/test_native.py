"""The C++ kernels: any shape, any number of threads, any instructions; and that nothing needs them."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.special import expit

from tests.equations import CELLS, NATIVE, close, draw, draw_stream, evaluate, loss
from tsrnn.native import build, library
from tsrnn.nn.scan import scan
from tsrnn.nn.stepping import KernelStepper, ProgramStepper

ROOT = Path(__file__).resolve().parents[1]
SHAPES = {"batch": (1, 2, 7, 9, 33, 70), "time": (1, 2, 5), "inputs": (1, 2, 17), "hidden": (1, 5, 16, 17, 33)}
"""Sizes on both sides of those of vectors (4 to 16), tiles of rows (3 to 8), blocks and groups (4 to 64)."""

native = pytest.mark.skipif(not NATIVE, reason=f"the kernels are {library.why_not()}")


@native
@settings(max_examples=10)
@given(st.sampled_from(NATIVE or [("", "")]), *(st.sampled_from(sizes) for sizes in SHAPES.values()), st.integers(0, 9))
def test_any_shape_gives_what_the_plain_scan_gives(run, batch, time, inputs, hidden, seed):
    name, backend = run
    cell, rng = CELLS[name], np.random.default_rng(seed)
    problem = draw(cell, batch=batch, time=time, inputs=inputs, hidden=hidden, seed=seed).astype(np.float32)
    valid = rng.random((batch, time)) < rng.choice([0.0, 0.5, 1.0]) if seed % 3 else None
    with jax.enable_x64(True):
        double = problem.astype(np.float64)
        want = jax.tree.map(np.asarray, evaluate(cell, double, valid, backend="plain"))
        close(evaluate(cell, double, valid, backend=backend), want, rtol=1e-10, atol=1e-11)
    single = jax.tree.map(np.asarray, evaluate(cell, problem, valid, backend=backend))
    close(single[0], want[0], rtol=0, atol=1e-5)
    for got, exact in zip(jax.tree.leaves(single[1]), jax.tree.leaves(want[1]), strict=True):
        assert np.linalg.norm(got - exact) <= 1e-4 * np.linalg.norm(exact)


@native
@pytest.mark.parametrize(("name", "backend"), NATIVE)
def test_a_row_does_not_depend_on_the_rows_beside_it(name, backend):
    cell, problem = CELLS[name], draw(CELLS[name], batch=70, time=4, hidden=20).astype(np.float32)
    (_, whole), gradient = evaluate(cell, problem, backend=backend)
    row = problem._replace(state=tuple(a[[37]] for a in problem.state), xs=problem.xs[[37]])
    (_, alone), _ = evaluate(cell, row, backend=backend)
    assert_array_equal(alone[0], whole[37])
    xs = problem.xs + (np.arange(70) < 37).astype(np.float32)[:, None, None]
    (_, other), changed = evaluate(cell, problem._replace(xs=xs), backend=backend)
    assert_array_equal(other[37:], whole[37:])
    assert_array_equal(changed.xs[37:], gradient.xs[37:])


@native
@pytest.mark.parametrize(("name", "backend"), NATIVE)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_not_finite_stays_so_and_in_its_row(name, backend, value):
    cell, problem = CELLS[name], draw(CELLS[name]).astype(np.float32)
    clean = np.asarray(evaluate(cell, problem, backend=backend)[0][1])
    xs = problem.xs.copy()
    xs[1, 3, 0] = value
    problem = problem._replace(xs=xs)
    hs = np.asarray(evaluate(cell, problem, backend=backend)[0][1])
    (_, plain), _ = evaluate(cell, problem, backend="plain")
    assert_array_equal(np.isfinite(hs), np.isfinite(plain))
    assert_array_equal(hs[[0, 2]], clean[[0, 2]])
    assert_array_equal(hs[1, :3], clean[1, :3])


@native
@pytest.mark.parametrize("x", [1e-30, 1e-6, 0.01, 1.0, 4.0, 7.9, 8.0, 20.0, 1e30])
def test_gates_are_within_the_error_that_is_stated(x):
    """``h`` of a GRU whose gate z is shut is tanh of the bias; of one from ``h`` = 1 to n = 0, it is z."""
    xs = x * np.linspace(-1, 1, 101)
    zeros = {"kernel": np.zeros((1, 303), np.float32), "recurrent": np.zeros((101, 303), np.float32)}
    run = partial(scan, CELLS["gru"], backend="native")

    def h(z, n, start):
        parts = [np.zeros(101), np.broadcast_to(z, 101), np.broadcast_to(n, 101), np.zeros(101)]
        p = zeros | {"bias": np.concatenate(parts).astype(np.float32)}
        return np.asarray(run(p, (np.full((1, 101), start, np.float32),), np.zeros((1, 1, 1), np.float32))[0][0][0])

    inputs = xs.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(h(-1e9, xs, 0.0), np.tanh(inputs), rtol=2e-6, atol=3e-7 if x > 0.1 else 0)
    np.testing.assert_allclose(h(xs, 0.0, 1.0), expit(np.clip(inputs, -87, 87)), rtol=1e-5, atol=0)
    np.testing.assert_allclose(h(xs, 0.0, 1.0), expit(inputs), rtol=0, atol=1.5e-7)


@native
def test_an_open_gate_loses_nothing():
    """Forget gate at one, input gate at zero: the memory stays, to the bit."""
    p = {"kernel": np.zeros((1, 16)), "recurrent": np.zeros((4, 16)), "bias": np.repeat([-100.0, 100.0, 1.0, 0.0], 4)}
    problem = draw(CELLS["lstm"], time=500, inputs=1)._replace(params=p).astype(np.float32)
    (_, c), _ = scan(CELLS["lstm"], *problem, backend="native")
    np.testing.assert_allclose(c, problem.state[1], rtol=0, atol=1e-30)


@native
@pytest.mark.parametrize(("name", "backend"), NATIVE)
def test_members_of_members_are_one_call(name, backend):
    cell, problem = CELLS[name], draw(CELLS[name], batch=3, time=2).astype(np.float32)
    scales, starts = np.array([1, -1, 0.5], np.float32), np.array([0.0, 1.0], np.float32)

    def value(scale, start):
        p = {key: scale * a for key, a in problem.params.items()}
        state = tuple(a + start for a in problem.state)
        return jax.value_and_grad(lambda p: loss(scan(cell, p, state, problem.xs, backend=backend)))(p)

    one = jax.jit(value)
    program = jax.jit(jax.vmap(jax.vmap(value, (0, None)), (None, 0))).lower(scales, starts).compile()
    assert program.as_text().count('custom_call_target="tsrnn_') == 2
    together = program(scales, starts)
    for i, j in np.ndindex(2, 3):
        close(jax.tree.map(lambda a, at=(i, j): a[at], together), one(scales[j], starts[i]), rtol=1e-6, atol=1e-6)


@native
def test_a_mask_that_all_rows_share_is_read_within_its_bounds():
    problem, valid = draw(CELLS["lstm"]).astype(np.float32), np.arange(6)[None] % 3 > 0
    shared = scan(CELLS["lstm"], *problem, jnp.asarray(valid), backend="native")
    whole = scan(CELLS["lstm"], *problem, jnp.asarray(np.repeat(valid, 3, 0)), backend="native")
    jax.tree.map(assert_array_equal, shared, whole)


@native
def test_shapes_that_do_not_belong_together_are_refused():
    problem = draw(CELLS["lstm"]).astype(np.float32)
    with pytest.raises(ValueError, match=r"3 inputs and 4 hidden units .*'kernel': \(3, 16\).* not .*\(2, 16\)"):
        scan(CELLS["lstm"], problem.params, problem.state, jnp.zeros((3, 6, 3)), backend="native")
    with pytest.raises(ValueError, match=r"a state of \(5, 4\)"):
        scan(CELLS["lstm"], problem.params, problem.state, jnp.zeros((5, 6, 2)), backend="native")


@native
@pytest.mark.parametrize(
    ("cell", "shape"),
    [
        (None, {"order": 1, "sensors": 1, "columns": 1}),
        (None, {"order": 4, "sensors": 17, "columns": 19}),
        ("lstm", {"layers": 2, "hidden": 17, "order": 1}),
        ("gru", {"layers": 2, "sensors": 9, "columns": 16}),
    ],
)
def test_rows_of_a_stream_are_those_of_the_program(cell, shape):
    stream = draw_stream(cell, **shape)
    for limit in (np.inf, 4.0):
        (carry, got), (end, want) = (stream.read(stepper, limit) for stepper in (KernelStepper, ProgramStepper))
        close(got, want, rtol=1e-4, atol=1e-5)
        close(carry, end, rtol=1e-4, atol=1e-5)
        assert got[:, -len(want[0]) // 3 :].any() == (limit < np.inf)


RUN = """
import hashlib, jax, numpy as np
from tests.equations import CELLS, draw, draw_stream, evaluate
from tsrnn.native.library import instructions
from tsrnn.nn.stepping import KernelStepper

for name in ("lstm", "gru"):
    for batch in (1, 9, 70, 300):
        problem = draw(CELLS[name], batch=batch, time=5, inputs=3, hidden=20).astype(np.float32)
        valid = np.random.default_rng(1).random((batch, 5)) > 0.3
        for mask in (None, valid):
            found = jax.tree.leaves(evaluate(CELLS[name], problem, mask, backend="native"))
            bits = hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in found)).hexdigest()
            print(name, batch, sum(np.abs(np.asarray(a, np.float64)).sum() for a in found), bits)
    carry, rows = draw_stream(name, hidden=20).read(KernelStepper)
    print(name, "rows", np.abs(rows).sum(), hashlib.sha256(carry.tobytes() + rows.tobytes()).hexdigest())
print(instructions())
"""


def run(code, *arguments, **environment):
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", **environment}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert not ran.returncode, ran.stderr
    return ran.stdout.splitlines()


@native
def test_bits_are_the_same_on_any_number_of_threads_and_near_on_other_instructions():
    one = run(RUN, NPROC="1")
    assert run(RUN, NPROC="5") == one
    for asked in ("avx2", "portable"):
        others = run(RUN, TSRNN_NATIVE=asked)
        assert others.pop() in (asked, "portable")
        sums = [[float(line.split()[2]) for line in lines] for lines in (others, one[:-1])]
        np.testing.assert_allclose(*sums, rtol=1e-5)


SANITIZED = """
import sys
from pathlib import Path
import numpy as np
from tsrnn.native import library
library.LIBRARY = Path(sys.argv[1])
import jax
from tests.equations import CELLS, draw, draw_stream
from tsrnn.nn.scan import scan
from tsrnn.nn.stepping import KernelStepper

for shape in ({}, {"layers": 2, "hidden": 17, "sensors": 17, "columns": 30}, {"order": 1, "sensors": 1, "columns": 1}):
    for name in (None, "lstm", "gru"):
        draw_stream(name, **shape).read(KernelStepper)
for name in ("lstm", "gru"):
    for batch, time, inputs, hidden in [(1, 1, 1, 1), (3, 2, 17, 5), (9, 3, 2, 16), (33, 40, 3, 33), (130, 2, 1, 65)]:
        problem = draw(CELLS[name], batch=batch, time=time, inputs=inputs, hidden=hidden)
        for dtype in (np.float32, np.float64):
            for valid in (None, np.random.default_rng(1).random((batch, time)) > 0.3):
                # Operation by operation, so that every array has memory of its own.
                run = lambda *p: scan(CELLS[name], *p, valid, backend="native")
                results, pull = jax.vjp(run, *problem.astype(dtype))
                jax.block_until_ready(pull(results))
print("computed with", library.instructions())
"""


@native
@pytest.mark.slow
@pytest.mark.parametrize("instructions", ["avx512", "avx2", "portable"])
def test_no_read_or_write_out_of_bounds_and_nothing_undefined(instructions, tmp_path):
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sanitized = build.build(tmp_path / "lib.so", flags)
    find = [[build.compiler(), f"-print-file-name={name}"] for name in ("libasan.so", "libstdc++.so")]
    found = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for command in find]
    options = {"LD_PRELOAD": " ".join(found), "ASAN_OPTIONS": "detect_leaks=0", "JAX_ENABLE_X64": "1", "NPROC": "3"}
    shown = run(SANITIZED, str(sanitized), TSRNN_NATIVE=instructions, **options)
    assert shown[-1].startswith("computed with")


@pytest.mark.slow
def test_the_portable_source_compiles_for_arm64_without_a_warning(tmp_path, monkeypatch):
    pytest.importorskip("ziglang", reason="pip install ziglang: a compiler for other machines")
    cross = tmp_path / "cross"
    cross.write_text(f'#!/bin/sh\nexec {sys.executable} -m ziglang c++ -target aarch64-linux-gnu "$@"\n')
    cross.chmod(0o755)
    monkeypatch.setenv("CXX", str(cross))
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "_SETS", {"portable": []})
    made = build.build(tmp_path / "lib.so", ["-Wall", "-Wextra", "-Werror"])
    assert made.read_bytes()[18:20] == (183).to_bytes(2, "little")  # EM_AARCH64 in the header of an ELF file


@pytest.mark.parametrize(
    ("why", "environment", "code"),
    [
        ("switched off by TSRNN_NATIVE=0", {"TSRNN_NATIVE": "0"}, ""),
        ("not built: .* does it", {}, "library.LIBRARY = Path('nowhere.so')"),
        ("cannot be loaded .* builds it anew", {}, "library.LIBRARY = Path('README.md')"),
        ("cannot be loaded .*tsrnn_forward", {}, "library.ctypes.CDLL = lambda name: library.ctypes.PyDLL(None)"),
    ],
)
def test_without_the_kernels_everything_runs_and_the_reason_is_told(why, environment, code, monkeypatch):
    if code and not NATIVE:
        code = f"library.LIBRARY = Path('README.md'); {code}" if "CDLL" in code else code
    lines = (
        "from pathlib import Path",
        "from tsrnn.native import library",
        code,
        "from tests.equations import CELLS, draw",
        "from tsrnn.nn.scan import choose, scan",
        "problem = draw(CELLS['lstm'])",
        "print(choose(CELLS['lstm'], problem.xs, 4, masked=False), scan(CELLS['lstm'], *problem)[1].shape)",
        "print(library.why_not())",
    )
    used, reason = run("\n".join(lines), **environment)
    assert used == "derivative (3, 6, 4)"
    assert re.search(why, reason), reason


@pytest.mark.parametrize("off", [False, True])
def test_the_doctor_says_whether_they_are_in_use(off):
    code = "from tsrnn.cli import main; import sys; sys.argv = ['tsrnn', 'doctor']; main()"
    shown = "\n".join(run(code, **({"TSRNN_NATIVE": "0"} if off else {})))
    why = "switched off by TSRNN_NATIVE=0" if off else library.why_not()
    kernels = f"not in use, {why}" if why else f"in use, {library.instructions()}"
    assert f"kernels   {kernels}\n" in shown
    assert f"jax {jax.__version__}" in shown
    assert "devices   1 of the kind cpu" in shown


def test_the_library_is_not_loaded_by_an_import():
    code = "import tsrnn.nn.scan\nfrom tsrnn.native import library\nprint(library.why_not.cache_info().misses)"
    assert run(code) == ["0"]


def test_a_build_that_cannot_be_done_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(build.BuildError, match="no-such-compiler"):
        build.build(tmp_path / "lib.so")
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(build.BuildError, match=r"^false .*handlers.cpp"):
        build.build(tmp_path / "lib.so")
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildError, match=r"no C.. compiler: install"):
        build.build(tmp_path / "lib.so")
    assert not list(tmp_path.iterdir())
