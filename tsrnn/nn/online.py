"""One-step-ahead models that carry a state from row to row, and the one program that runs any of them over rows.

A row x holds K = C + F numbers, sensors before inputs, each in units of its own spread about its median, NaN where
missing. A model is a frozen value of two pure functions: `AbstractOnline.expect` says what the sensors of the next row
should be, and how surely, from what is carried; `AbstractOnline.feed` carries a row on. Both are functions of one row
and of parameters in a dict: ``scale`` (C,), that of what is missed one typical step ahead; ``low`` and ``high`` (C,),
the bounds of usual values; and a model's own.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from tsrnn.nn.cells import AbstractCell, GRUCell, LSTMCell
from tsrnn.nn.distributions import Normal, StudentT
from tsrnn.nn.scan import scan

__all__ = [
    "FAR",
    "AbstractOnline",
    "AutoRegressive",
    "Carry",
    "ChunkLoss",
    "Levels",
    "Persistent",
    "Recurrent",
    "before",
    "chunk_starts",
    "chunks",
    "first_weights",
    "run",
    "symlog",
]

Params = Any
"""A dict of arrays and of such dicts."""

Carry = dict[str, Array]
"""``last`` (K,): the value last seen, 0 before; ``age`` (K,): typical steps since then, infinite before; ``held`` (C,):
typical steps for which a sensor has been beyond the limit, -1 where it is not; and what a model carries."""

FAR = 100.0
"""Spreads off the median, and units of a move, that count at the most in a linear model."""

_WIDER, _NARROWER = 3.0, 1.5
"""Bounds of what a network may add to the logarithm of a scale, and take from it: what it has seen to be still for long
it may not take to be still for ever."""


class AbstractOnline(ABC):
    """Contract of models; see the module."""

    @property
    def context(self) -> int:
        """Rows of a stream that it must have read before it can be as sure as it says."""
        return 0

    def start(self, p: Params, n_columns: int) -> Carry:
        """What is carried before the first row."""
        zeros = jnp.zeros(n_columns, jnp.float32)
        return {"last": zeros, "age": jnp.full_like(zeros, jnp.inf), "held": -jnp.ones_like(p["scale"])}

    @abstractmethod
    def departure(
        self, p: Params, carry: Carry, elapsed: Float[Array, ""]
    ) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """By how much the sensors will depart from their last values, and the logarithm of a factor on the scale."""

    def feed(self, p: Params, carry: Carry, x: Float[Array, " K"], elapsed: Float[Array, ""]) -> Carry:
        """What is carried after a row."""
        seen = ~jnp.isnan(x)
        last, age = jnp.where(seen, x, carry["last"]), jnp.where(seen, 0, carry["age"] + elapsed)
        return {**carry, "last": last, "age": age}

    def expect(
        self, p: Params, carry: Carry, elapsed: Float[Array, ""]
    ) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """Mean and scale of the sensors in a row that comes so many typical steps after the last one.

        Scales grow as a random walk's with the time since a sensor was seen, up to its spread about its median, from
        which and from the median itself the first value of a stream is expected.
        """
        size = len(p["scale"])
        age, (departure, wider) = carry["age"][:size] + elapsed, self.departure(p, carry, elapsed)
        seen = jnp.isfinite(age)
        mean = jnp.where(seen, carry["last"][:size] + departure, 0)
        widest = jnp.maximum(p["scale"], 1)
        scale = jnp.minimum(p["scale"] * jnp.sqrt(jnp.maximum(age, 1)), widest)
        return mean, jnp.where(seen, scale * jnp.exp(wider), widest)

    def explain(
        self, p: Params, carry: Carry, x: Float[Array, " K"], elapsed: Float[Array, ""]
    ) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """Mean and scale of the sensors in a row; only a model that reconstructs rows looks at it."""
        return self.expect(p, carry, elapsed)


@dataclass(frozen=True)
class Persistent(AbstractOnline):
    """The last value."""

    def departure(
        self, p: Params, carry: Carry, elapsed: Float[Array, ""]
    ) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """None."""
        return jnp.zeros_like(p["scale"]), jnp.zeros_like(p["scale"])


@dataclass(frozen=True)
class Levels(AbstractOnline):
    """An exponential average, which carries ``level`` (C,); ``forget``: weight of a value one typical step old."""

    forget: float

    def start(self, p: Params, n_columns: int) -> Carry:
        """Levels of zero."""
        return super().start(p, n_columns) | {"level": jnp.zeros_like(p["scale"])}

    def departure(
        self, p: Params, carry: Carry, elapsed: Float[Array, ""]
    ) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """From the last value to the average."""
        return carry["level"] - carry["last"][: len(p["scale"])], jnp.zeros_like(p["scale"])

    def feed(self, p: Params, carry: Carry, x: Float[Array, " K"], elapsed: Float[Array, ""]) -> Carry:
        """An average is as old as its newest value; the first value is the average."""
        size = len(p["scale"])
        kept = jnp.asarray(self.forget, jnp.float32) ** (carry["age"][:size] + elapsed)
        level = jnp.where(jnp.isnan(x[:size]), carry["level"], x[:size] + kept * (carry["level"] - x[:size]))
        return super().feed(p, carry, x, elapsed) | {"level": level}


@dataclass(frozen=True)
class AutoRegressive(AbstractOnline):
    """Departures linear in the last values and in the last ``order - 1`` moves of all columns.

    A move is the difference of a value from the one before it, 0 where there is none. Values and moves, these in units
    of their own, count up to `FAR`, so that a gross error does not throw the rows after it off without bound.
    Parameters: ``weights`` (order * K, C), ``bias`` (C,) and ``unit`` (K,), that of the moves. Carried are
    the ``moves`` (order - 1, K), the newest first.
    """

    order: int

    @property
    def context(self) -> int:
        """Those it looks at."""
        return self.order

    def start(self, p: Params, n_columns: int) -> Carry:
        """Moves of zero."""
        return super().start(p, n_columns) | {"moves": jnp.zeros((self.order - 1, n_columns), jnp.float32)}

    def departure(
        self, p: Params, carry: Carry, elapsed: Float[Array, ""]
    ) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """The linear function."""
        features = jnp.concatenate([carry["last"], (carry["moves"] / p["unit"][None]).ravel()])
        departure = jnp.clip(features, -FAR, FAR) @ p["weights"] + p["bias"]
        return p["unit"][: len(departure)] * departure, jnp.zeros_like(p["scale"])

    def feed(self, p: Params, carry: Carry, x: Float[Array, " K"], elapsed: Float[Array, ""]) -> Carry:
        """The newest move in, the oldest out."""
        moves = jnp.concatenate([_move(carry["last"], carry["age"], x)[None], carry["moves"]])[: self.order - 1]
        return super().feed(p, carry, x, elapsed) | {"moves": moves}


@dataclass(frozen=True)
class Recurrent(AbstractOnline):
    """What a recurrent network adds to an `AutoRegressive` model, which it holds with its parameters.

    The network reads of every column its value and its move, both on a logarithmic scale, and
    whether it was there; and the logarithm of the time elapsed. From its ``h`` and the time that will have elapsed come
    a departure in units of ``scale`` and a factor on it, sensor by sensor; both are nothing at first. Its weights are
    ``net``: ``layer_0`` ..., ``head`` (2 D + 1, 2 C), ``head_bias``, and ``tail`` (C,), which gives the degrees of
    freedom. Carried are the states, ``layer_0`` (S, D) ....
    """

    cell: Literal["lstm", "gru"]
    hidden_size: int
    num_layers: int
    linear: AutoRegressive

    @property
    def context(self) -> int:
        """That of the linear model."""
        return self.linear.context

    @property
    def kind(self) -> AbstractCell:
        """The cell of every layer."""
        return LSTMCell() if self.cell == "lstm" else GRUCell()

    def init(self, key: PRNGKeyArray, n_columns: int, n_sensors: int) -> dict[str, Any]:
        """Fresh ``net``."""
        net: dict[str, Any] = {
            name: self.kind.init(layer_key, self.hidden_size if i else 3 * n_columns + 1, self.hidden_size)
            for i, (name, layer_key) in enumerate(
                zip(self._layers, jax.random.split(key, self.num_layers), strict=True)
            )
        }
        zeros = jnp.zeros(2 * n_sensors)
        return net | {"head": jnp.zeros((2 * self.hidden_size + 1, 2 * n_sensors)), "head_bias": zeros,
            "tail": jnp.full(n_sensors, 2.0, jnp.float32)}  # fmt: skip

    def start(self, p: Params, n_columns: int) -> Carry:
        """States of zero."""
        zeros = {name: jnp.concatenate(self.kind.zeros(p["net"][name], 1)) for name in self._layers}
        return self.linear.start(p, n_columns) | zeros

    def departure(
        self, p: Params, carry: Carry, elapsed: Float[Array, ""]
    ) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """The linear departure and the network's."""
        linear, _ = self.linear.departure(p, carry, elapsed)
        more, wider = self.correction(p["net"], carry[self._layers[-1]][0], elapsed)
        return linear + p["scale"] * more, wider

    def feed(self, p: Params, carry: Carry, x: Float[Array, " K"], elapsed: Float[Array, ""]) -> Carry:
        """One step of every layer."""
        xs, states = self.reading(p["unit"], carry["last"], carry["age"], x, elapsed)[None], {}
        for name in self._layers:
            state = self.kind.step(p["net"][name], tuple(carry[name][:, None]), xs)
            xs, states[name] = state[0], jnp.concatenate(state)
        return self.linear.feed(p, carry, x, elapsed) | states

    def correction(
        self, net: Params, h: Float[Array, " D"], elapsed: Float[Array, ""]
    ) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """The network's departure, in units of ``scale``, and the logarithm of its factor on the scale."""
        late = jnp.log(jnp.maximum(elapsed, 1e-3))
        raw = jnp.concatenate([h, late * h, late[None]]) @ net["head"] + net["head_bias"]
        more, wider = jnp.split(raw, 2)
        bound = jnp.where(wider > 0, _WIDER, _NARROWER)
        return more, bound * jnp.tanh(wider / bound)

    def reading(
        self,
        unit: Float[Array, " K"],
        last: Float[Array, " K"],
        age: Float[Array, " K"],
        x: Float[Array, " K"],
        elapsed: Float[Array, ""],
    ) -> Float[Array, " I"]:
        """What the network reads of a row."""
        seen = ~jnp.isnan(x)
        values, moves = jnp.where(seen, x, 0), _move(last, age, x) / unit
        late = jnp.log(jnp.maximum(elapsed, 1e-3))
        return jnp.concatenate([symlog(values), symlog(moves), seen.astype(jnp.float32), late[None]])

    def hidden(self, net: Params, xs: Float[Array, "B T I"]) -> Float[Array, "B T D"]:
        """``h`` of the uppermost layer after every row of sequences, from states of zero."""
        for name in self._layers:
            _, xs = scan(self.kind, net[name], self.kind.zeros(net[name], len(xs)), xs)
        return xs

    @property
    def _layers(self) -> list[str]:
        return [f"layer_{i}" for i in range(self.num_layers)]


@dataclass(frozen=True)
class ChunkLoss:
    """Mean negative log-likelihood of rows, given those before them in chunks of ``steps`` rows.

    A batch is places in [0, 1] of chunks (B,) and whether they are of validation (B,). The settings hold the recording,
    padded with missing rows: ``x`` (L, K), ``last`` and ``age`` (L, K) before each row, ``elapsed`` (L,), ``miss``
    (L, C) by how much the linear model missed in units of ``scale``, NaN where that is not known or not to be learned,
    ``wide`` (L, C) its scale in these units, ``unit`` (K,), and the numbers of rows to learn from and in all,
    ``ends`` (2,). Rows from the first end on are of validation.
    """

    model: Recurrent
    output: Literal["student_t", "normal"]
    steps: int

    def __call__(self, net: Params, batch: Any, key: Any, settings: Params) -> tuple[Float[Array, ""], None]:
        """The loss."""
        _, held_out = batch
        split, _ = settings["ends"]
        warm_up = self.steps // 8
        starts = chunk_starts(batch, settings["ends"], self.steps, warm_up)
        part = partial(chunks, starts=starts, steps=self.steps)
        elapsed, miss, wide = part(settings["elapsed"]), part(settings["miss"])[:, 1:], part(settings["wide"])[:, 1:]
        read = jax.vmap(jax.vmap(partial(self.model.reading, settings["unit"])))
        read_of = read(part(settings["last"]), part(settings["age"]), part(settings["x"]), elapsed)
        hs = self.model.hidden(net, read_of)
        more, wider = jax.vmap(jax.vmap(partial(self.model.correction, net)))(hs[:, :-1], elapsed[:, 1:])
        at = starts[:, None] + jnp.arange(1, self.steps, dtype=jnp.int32)[None]
        warm = (at - starts[:, None] >= warm_up) | (starts[:, None] == 0)
        counts = ((at >= split) == held_out[:, None]) & warm
        counts = counts[..., None] & ~jnp.isnan(miss)
        target, scale = jnp.where(counts, miss, 0), wide * jnp.exp(wider)
        if self.output == "normal":
            losses = -Normal().log_prob(jnp.stack([more, scale], axis=-1), target)
        else:
            tail = jnp.broadcast_to(jax.nn.softplus(net["tail"])[None, None], more.shape)
            losses = -StudentT().log_prob(jnp.stack([more, scale, tail], axis=-1), target)
        return jnp.where(counts, losses, 0).sum() / jnp.maximum(counts.sum(), 1).astype(losses.dtype), None


@partial(jax.jit, static_argnames=("model", "n_columns", "n_sensors"))
def first_weights(model: Any, seed: Int[Array, ""], n_columns: int, n_sensors: int) -> tuple[Params, PRNGKeyArray]:
    """Fresh ``net`` of a model, and a key for what is drawn in training; one program."""
    init_key, key = jax.random.split(jax.random.key(seed))
    return model.init(init_key, n_columns, n_sensors), key


def chunk_starts(batch: Any, ends: Int[Array, " 2"], steps: int, warm_up: int = 0) -> Int[Array, " B"]:
    """First rows of chunks of a recording, from a batch and ends as in `ChunkLoss`."""
    place, held_out = batch
    split, end = ends
    most = jnp.maximum(jnp.where(held_out, end, split) - steps, 0)
    least = jnp.minimum(jnp.where(held_out, jnp.maximum(split - warm_up, 0), 0), most)
    return jnp.minimum(least + (place * (most - least + 1).astype(place.dtype)).astype(jnp.int32), most)


def chunks(rows: Float[Array, "L *axes"], starts: Int[Array, " B"], steps: int) -> Float[Array, "B steps *axes"]:
    """So many rows from each of these places on."""
    return jax.vmap(lambda at: lax.dynamic_slice_in_dim(rows, at, steps))(starts)


def symlog(x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """The identity near zero, a logarithm far from it."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def before(model: AbstractOnline, p: Params, n_columns: int) -> Float[Array, " S"]:
    """What `run` carries to the first row of a stream of so many columns."""
    return ravel_pytree(model.start(p, n_columns))[0]


@partial(jax.jit, static_argnames="model")
def run(
    model: AbstractOnline,
    p: Params,
    carry: Float[Array, " S"],
    rows: Float[Array, "N 1+K"],
    told: Float[Array, " 3"],
) -> tuple[Float[Array, " S"], Float[Array, "N 3C"]]:
    """Expect each of the first rows, then read it.

    How many they are is data, and ``rows`` always of one size, so that there is one program whatever a stream is cut
    into. Few arrays go in and out, for each costs a call with a single row some microseconds.

    Parameters
    ----------
    model, p
        The model and its parameters.
    carry : array of shape (S,)
        What is carried to the first row, in one line; see `before`.
    rows : array of shape (N, 1 + K)
        The time elapsed, then the row.
    told : array of shape (3,)
        How many of them are to be read; and from how many scales off its mean a sensor is read as its mean instead, for
        so many typical steps.

    Returns
    -------
    carry : array of shape (S,)
        After the last of them.
    expected : array of shape (N, 3 C)
        Mean, scale, and 1 where the mean was read; zeros in rows that are not to be read.

    Examples
    --------
    >>> model, p = Persistent(), {"scale": jnp.ones(1), "low": -jnp.ones(1), "high": jnp.ones(1)}
    >>> rows, told = jnp.array([[1.0, 0.5], [1.0, 2.0]]), jnp.array([2, jnp.inf, jnp.inf])
    >>> carry, expected = run(model, p, before(model, p, 1), rows, told)
    >>> expected[:, 0].tolist()
    [0.0, 0.5]
    """
    size, (n, limit, steps) = len(p["scale"]), told
    _, unravel = ravel_pytree(model.start(p, rows.shape[1] - 1))

    def body(t: Array, loop: tuple[Carry, Array]) -> tuple[Carry, Array]:
        carry, out = loop
        elapsed, x = rows[t, 0], rows[t, 1:]
        mean, scale = model.explain(p, carry, x, elapsed)
        value = x[:size]
        missing, off = jnp.isnan(value), jnp.abs(value - mean) > limit * scale
        longer = jnp.where(carry["held"] < 0, jnp.where(off, 0, -1), carry["held"] + elapsed)
        since = jnp.where(missing | off, longer, -1)
        held = off & (since < steps)
        last = carry["last"][:size]  # where a model would run away on its own, it is kept among values that there were
        usual = jnp.clip(mean, jnp.minimum(p["low"], last), jnp.maximum(p["high"], last))
        carry = model.feed(p, carry, x.at[:size].set(jnp.where(held, usual, value)), elapsed) | {"held": since}
        return carry, out.at[t].set(jnp.concatenate([mean, scale, held.astype(mean.dtype)]))

    expected = jnp.zeros((len(rows), 3 * size), jnp.float32)
    carried, expected = lax.fori_loop(0, n.astype(jnp.int32), body, (unravel(carry), expected))
    return ravel_pytree(carried)[0], expected


def _move(last: Float[Array, " K"], age: Float[Array, " K"], x: Float[Array, " K"]) -> Float[Array, " K"]:
    """From the last value to this one, 0 where one of them is missing."""
    return jnp.where(jnp.isnan(x) | jnp.isinf(age), 0, x - last)
