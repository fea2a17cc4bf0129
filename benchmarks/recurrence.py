"""Recurrence: LSTM and GRU over whole sequences, against torch, Flax and the matrix products inside.

Training is the loss (the sum of squares of the last ``h``) and its gradients with respect to all weights, without an
optimizer; inference is the last ``h``. float32, 8 input features, no padding, torch with 2 threads. For every shape the
variants take turns in one process; a figure is the median. ``*_vs_torch_*`` is torch's time over ours,
``train_vs_flax`` the time of the faster of ``flax.linen.RNN`` and ``flax.nnx.RNN`` over ours, ``train_vs_linen`` and
``train_vs_nnx`` that of each, all geometric means over shapes; ``least`` and ``most`` are the extremes. ``gemm_share``
is the time that the matrix products of a training step (per step and layer three of (B, I + D) with (I + D, G D)) take
alone, measured in the same run, over our time.

``--long`` adds time and memory of training on 1,000 to 100,000 steps, LSTM of 64, batch 8, with and without
rematerialization, and without ``--quick`` draws ``benchmarks/figures/recurrence.png``. Shapes of more than 40 GFLOP a
training step are left out.

``--padded`` gives every sequence a length of its own, half to all of the steps, and a first state that is not zero:
``valid`` for ours, ``seq_lengths`` for Flax, a packed sequence for torch; 24 shapes.

``--backends`` times the plain scan, the derivative by hand and the C++ kernels too, whichever of them
`tsrnn.nn.scan.choose` takes; ``native_train_vs_derivative`` and the like are the others' times over the kernels'.

    python benchmarks/recurrence.py [--quick] [--long] [--padded] [--backends plain derivative native] [--json FILE]
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from tsrnn.nn.cells import AbstractCell, GRUCell, LSTMCell
from tsrnn.nn.scan import Backend, scan

try:
    import torch
except ImportError:
    torch = None

FIGURE = Path(__file__).resolve().parent / "figures" / "recurrence.png"
CELLS: dict[str, AbstractCell] = {"lstm": LSTMCell(), "gru": GRUCell()}
GATES = {"lstm": 4, "gru": 3}
INPUTS = 8
LIMIT = 40e9

Call = Callable[[], object]


class Shape(NamedTuple):
    cell: str
    batch: int
    steps: int
    hidden: int
    layers: int
    padded: bool = False

    def lengths(self) -> Any:
        """Steps of each sequence."""
        lengths = np.random.default_rng(0).integers(self.steps // 2, self.steps + 1, self.batch)
        return lengths if self.padded else np.full(self.batch, self.steps)

    def first(self) -> Any:
        """First state of every layer and part of it."""
        size = (self.layers, 2, self.batch, self.hidden)
        return np.random.default_rng(1).normal(size=size).astype(np.float32) * self.padded

    def flops(self) -> float:
        """Of a training step; a product counts twice its numbers multiplied."""
        return sum(
            6.0 * float(self.lengths().sum()) * (i + self.hidden) * GATES[self.cell] * self.hidden
            for i in self.inputs()
        )

    def inputs(self) -> list[int]:
        """Input width of every layer."""
        return [INPUTS] + [self.hidden] * (self.layers - 1)


def shapes(quick: bool, padded: bool) -> list[Shape]:
    if quick:
        sizes = [(32, 24, 32, 1), (32, 96, 64, 1), (128, 24, 64, 2)]
    elif padded:
        sizes = [*product((32, 128), (24, 96), (32, 64, 128), (1,))]
    else:
        sizes = [*product((32, 128, 512), (24, 96, 336), (32, 64, 128, 256), (1,))]
        sizes += [*product((32, 128, 512), (96,), (32, 64, 128, 256), (2,))]
    return [s for cell in CELLS for s in (Shape(cell, *size, padded) for size in sizes) if s.flops() <= LIMIT]


def compiled(apply: Callable[..., jax.Array], params: Any, x: jax.Array) -> tuple[Call, Call]:
    """Training and inference."""
    train, infer = training(apply), jax.jit(apply)
    return lambda: jax.block_until_ready(train(params, x)), lambda: jax.block_until_ready(infer(params, x))


def training(apply: Callable[..., jax.Array]) -> Any:
    return jax.jit(jax.value_and_grad(lambda p, x: jnp.sum(apply(p, x) ** 2)))


def ours(shape: Shape, x: jax.Array, **options: Any) -> tuple[Callable[..., jax.Array], Any]:
    cell = CELLS[shape.cell]
    params = [cell.init(jax.random.key(i), n, shape.hidden) for i, n in enumerate(shape.inputs())]
    valid = jnp.arange(shape.steps) < jnp.asarray(shape.lengths())[:, None] if shape.padded else None

    def apply(params: Any, x: jax.Array) -> jax.Array:
        for p, first in zip(params, shape.first(), strict=True):
            zeros = cell.zeros(p, len(x))
            state, x = scan(cell, p, tuple(first[: len(zeros)]) if shape.padded else zeros, x, valid, **options)
        return state[0]

    return apply, params


def flax_padding(shape: Shape, first: Any) -> dict[str, Any]:
    if not shape.padded:
        return {}
    carry = tuple(first) if shape.cell == "lstm" else first[0]
    return {"seq_lengths": jnp.asarray(shape.lengths()), "initial_carry": carry}


def linen(shape: Shape, x: jax.Array) -> tuple[Callable[..., jax.Array], Any]:
    cell = {"lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell}[shape.cell]

    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            for first in shape.first():
                padding = flax_padding(shape, first)
                carry, x = nn.RNN(cell(shape.hidden), return_carry=True)(x, **padding)
            return carry[1] if shape.cell == "lstm" else carry

    return Stack().apply, Stack().init(jax.random.key(0), x)


def flax_nnx(shape: Shape, x: jax.Array) -> tuple[Callable[..., jax.Array], Any]:
    cell = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell}[shape.cell]
    layers = nnx.List([nnx.RNN(cell(n, shape.hidden, rngs=nnx.Rngs(0)), return_carry=True) for n in shape.inputs()])
    graph, params, rest = nnx.split(layers, nnx.Param, ...)

    def apply(params: Any, x: jax.Array) -> jax.Array:
        zeros = jnp.zeros((len(x), shape.hidden))
        nothing = {"initial_carry": (zeros, zeros) if shape.cell == "lstm" else zeros}
        for layer, first in zip(nnx.merge(graph, params, rest), shape.first(), strict=True):
            carry, x = layer(x, **nothing | flax_padding(shape, first))
        return carry[1] if shape.cell == "lstm" else carry

    return apply, params


def pytorch(shape: Shape, x: jax.Array) -> tuple[Call, Call]:
    """Training and inference."""
    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[shape.cell]
    module, x = layer(INPUTS, shape.hidden, shape.layers, batch_first=True), torch.from_numpy(np.array(x))
    first = None
    if shape.padded:
        x = torch.nn.utils.rnn.pack_padded_sequence(x, shape.lengths(), batch_first=True, enforce_sorted=False)
        h, c = torch.from_numpy(shape.first()).transpose(0, 1).contiguous()
        first = (h, c) if shape.cell == "lstm" else h

    def last() -> Any:
        state = module(x, first)[1]
        return (state[0] if shape.cell == "lstm" else state)[-1]

    def train() -> None:
        module.zero_grad()
        (last() ** 2).sum().backward()

    def infer() -> None:
        with torch.inference_mode():
            last()

    return train, infer


def products(shape: Shape) -> Call:
    """The matrix products of a training step without anything between them: two of three, there and back."""

    def pairs(z: jax.Array, weights: jax.Array) -> jax.Array:
        return lax.fori_loop(0, shape.steps, lambda _, z: (z @ weights) @ weights.T, z)

    run = jax.jit(pairs)
    width = GATES[shape.cell] * shape.hidden
    layers = [(jnp.ones((shape.batch, i + shape.hidden)), jnp.zeros((i + shape.hidden, width))) for i in shape.inputs()]
    return lambda: jax.block_until_ready([run(*layer) for layer in layers])


def race(calls: dict[str, Call], budget: float) -> dict[str, float]:
    """Median seconds of each, taking turns, torch last; at least three, and as many as the budget in seconds allows."""
    once = {}
    for name, call in calls.items():
        call()  # compiles
        once[name] = seconds(call, 1)
    turns = round(min(25, max(3, budget / sum(max(t, 0.05) for t in once.values()))))
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = [name for name in calls if name != "torch"]
    for turn in range(turns):
        time.sleep(0.05)  # torch's threads spin on for 10 ms and more, at the cost of whoever comes next
        k = turn % len(names)
        for name in [*names[k:], *names[:k], *calls.keys() - names]:
            repeats = math.ceil(0.02 / once[name])
            if repeats > 1:
                calls[name]()
            times[name].append(seconds(calls[name], repeats))
    return {name: statistics.median(t) for name, t in times.items()}


def seconds(call: Call, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats


def measure(shape: Shape, budget: float, backends: Sequence[Backend] = ()) -> dict[str, Any]:
    x = jax.random.normal(jax.random.key(0), (shape.batch, shape.steps, INPUTS))
    variants = {
        name: compiled(*make(shape, x), x) for name, make in [("ours", ours), ("linen", linen), ("nnx", flax_nnx)]
    }
    variants |= {name: compiled(*ours(shape, x, backend=name), x) for name in backends}
    if torch is not None:
        variants["torch"] = pytorch(shape, x)
    train = race({name: pair[0] for name, pair in variants.items()} | {"products": products(shape)}, budget)
    infer = race({name: pair[1] for name, pair in variants.items()}, budget / 2)
    share = 1.5 * train.pop("products") / train["ours"]
    row = shape._asdict() | {"gflops": round(shape.flops() / train["ours"] / 1e9, 1), "gemm_share": round(share, 3)}
    row |= {f"train_{name}_ms": round(1e3 * t, 3) for name, t in train.items()}
    return row | {f"infer_{name}_ms": round(1e3 * t, 3) for name, t in infer.items()}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def ratios(kind: str, cell: str) -> list[float]:
        return [
            r[f"{kind}_torch_ms"] / r[f"{kind}_ours_ms"] for r in rows if r["cell"] == cell and f"{kind}_torch_ms" in r
        ]

    values = {f"{kind}_vs_torch_{cell}": ratios(kind, cell) for kind, cell in product(("train", "infer"), CELLS)}
    flax = [min(r["train_linen_ms"], r["train_nnx_ms"]) / r["train_ours_ms"] for r in rows]
    values |= {"train_vs_flax": flax, "gemm_share": [r["gemm_share"] for r in rows]}
    values |= {
        f"train_vs_{name}": [r[f"train_{name}_ms"] / r["train_ours_ms"] for r in rows] for name in ("linen", "nnx")
    }
    for kind, name in product(("train", "infer"), ("plain", "derivative")):
        timed = [r for r in rows if {f"{kind}_native_ms", f"{kind}_{name}_ms"} <= r.keys()]
        values[f"native_{kind}_vs_{name}"] = [r[f"{kind}_{name}_ms"] / r[f"{kind}_native_ms"] for r in timed]
    figures: dict[str, Any] = {}
    for key, v in values.items():
        figures[key] = round(statistics.geometric_mean(v), 3) if v else None
        figures |= {f"{key}_least": round(min(v), 3) if v else None, f"{key}_most": round(max(v), 3) if v else None}
    slower = [list(r.values())[:5] for r, ratio in zip(rows, flax, strict=True) if ratio < 1]
    return figures | {"slower_than_flax": slower, "shapes": len(rows)}


def table(rows: list[dict[str, Any]]) -> str:
    """Training in markdown, a row for cell, layers, batch and steps, a column for a hidden size.

    Each entry: our milliseconds, then how many times as long the faster Flax and torch took.
    """
    widths = sorted({r["hidden"] for r in rows})
    lines = ["| cell, layers | batch | steps | " + " | ".join(f"hidden {w}" for w in widths) + " |"]
    lines.append("|---" * (3 + len(widths)) + "|")
    places = {(r["cell"], r["layers"], r["batch"], r["steps"]): {} for r in rows}
    for r in rows:
        ours = r["train_ours_ms"]
        entry = f"{ours:.3g} ms, {min(r['train_linen_ms'], r['train_nnx_ms']) / ours:.2f}"
        entry += f", {r['train_torch_ms'] / ours:.2f}" if "train_torch_ms" in r else ""
        places[r["cell"], r["layers"], r["batch"], r["steps"]][r["hidden"]] = entry
    for (cell, layers, batch, steps), entries in places.items():
        cells = [f"{cell.upper()}, {layers}", str(batch), str(steps), *(entries.get(w, "") for w in widths)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def long(quick: bool) -> list[dict[str, Any]]:
    """Time and temporary memory of training on long sequences."""
    rows = []
    for steps in (1_000, 3_000) if quick else (1_000, 3_000, 10_000, 30_000, 100_000):
        shape = Shape("lstm", 8, steps, 64, 1)
        x = jax.random.normal(jax.random.key(0), (shape.batch, steps, INPUTS))
        row: dict[str, Any] = {"steps": steps}
        for name, options in {
            "default": {},
            "remat": {"remat": round(math.sqrt(steps))},
            "plain": {"backend": "plain"},
        }.items():
            apply, params = ours(shape, x, **options)
            program = training(apply).lower(params, x).compile()
            call = partial(lambda *a: jax.block_until_ready(a[0](*a[1:])), program, params, x)
            call()
            row[f"{name}_s"] = round(statistics.median(seconds(call, 1) for _ in range(3)), 4)
            row[f"{name}_mib"] = round(program.memory_analysis().temp_size_in_bytes / 2**20, 2)
        print("long", row, file=sys.stderr)
        rows.append(row)
    return rows


def draw(rows: list[dict[str, Any]], longs: list[dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    names = {"ours": "tsrnn", "linen": "flax.linen", "nnx": "flax.nnx", "torch": "torch"}
    axes_of = {"steps": "time steps", "hidden": "hidden size", "batch": "batch"}
    centre = {"steps": 96, "hidden": 64, "batch": 128}
    figure, axes = plt.subplots(2, 4, figsize=(15, 6.8), layout="constrained")
    for line, cell in zip(axes, CELLS, strict=True):
        for ax, (axis, label) in zip(line, axes_of.items(), strict=False):
            fixed = {k: v for k, v in centre.items() if k != axis} | {"cell": cell, "layers": 1}
            chosen = [r for r in rows if all(r[k] == v for k, v in fixed.items())]
            for key, name in names.items():
                points = sorted((r[axis], r[f"train_{key}_ms"]) for r in chosen if f"train_{key}_ms" in r)
                ax.loglog(*zip(*points, strict=True) if points else ((), ()), marker="o", label=name)
            rest = ", ".join(f"{axes_of[k]} {v}" for k, v in centre.items() if k != axis)
            ax.set(title=f"{cell.upper()}, {rest}", xlabel=label, ylabel="training step, ms")
            ticks = sorted({r[axis] for r in chosen})
            ax.set_xticks(ticks, [str(t) for t in ticks])
    axes[0, 0].legend()
    for ax, unit, label in [(axes[0, 3], "mib", "temporary memory, MiB"), (axes[1, 3], "s", "training step, s")]:
        for key, name in {"default": "tsrnn", "remat": "tsrnn, remat", "plain": "plain scan"}.items():
            ax.loglog([r["steps"] for r in longs], [r[f"{key}_{unit}"] for r in longs], marker="o", label=name)
        ax.set(title="LSTM, hidden size 64, batch 8", xlabel="time steps", ylabel=label)
        ax.legend()
    for ax in axes.flat:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three small shapes a cell")
    parser.add_argument("--long", action="store_true", help="long sequences too; without --quick also the figure")
    parser.add_argument("--padded", action="store_true", help="sequences of different length, a first state")
    parser.add_argument(
        "--backends", nargs="+", default=(), choices=("plain", "derivative", "native"), help="time these too"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and a row a shape to FILE too")
    args = parser.parse_args()
    if torch is not None:
        torch.set_num_threads(2)

    grid = shapes(args.quick, args.padded)
    rows = []
    for i, shape in enumerate(grid):
        rows.append(measure(shape, 1.0 if args.quick else 2.0, args.backends))
        print(f"{i + 1}/{len(grid)}", rows[-1], file=sys.stderr, flush=True)
    print(table(rows), file=sys.stderr)
    figures = summary(rows)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {jax.default_backend()}"
    versions = f"Python {platform.python_version()}, jax {jax.__version__}, torch {torch and torch.__version__}"
    figures |= {"machine": f"{machine}, {versions}"}
    longs = long(args.quick) if args.long else []
    if longs and not args.quick:
        draw(rows, longs)
    if args.json:
        args.json.write_text(json.dumps(figures | {"rows": rows, "long": longs}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
