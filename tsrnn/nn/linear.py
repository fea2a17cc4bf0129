"""Recurrences that are linear in their state: ``h' = a h + b`` with ``a`` and ``b`` from the input alone.

Such a recurrence can be scanned in parallel over time. Both cells work with the logarithms of ``a`` in (0, 1) and
``b`` > 0, which keeps long products of gates in range.

References
----------
L. Feng et al. (2024), Were RNNs all we needed?, arXiv 2410.01201, sections 3.1 and 3.2, appendix B for the
logarithmic form.
"""

from abc import abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, softplus
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from tsrnn.nn.cells import AbstractCell, Params, State, input_weights

__all__ = ["AbstractLinearCell", "MinGRUCell", "MinLSTMCell", "parallel_scan"]


class AbstractLinearCell(AbstractCell):
    """Contract of linear cells: the logarithms of ``a`` and ``b`` for any number of steps at once."""

    @abstractmethod
    def log_gates(
        self, p: Params, x: Float[Array, "*axes I"]
    ) -> tuple[Float[Array, "*axes D"], Float[Array, "*axes D"]]:
        """``log a`` and ``log b``."""

    def zeros(self, p: Params, batch_size: int) -> State:
        """``(h,)`` of zeros."""
        return (jnp.zeros((batch_size, p["bias"].shape[0] // self.n_gates), p["bias"].dtype),)

    def init(self, key: PRNGKeyArray, n_inputs: int, hidden_size: int) -> Params:
        """Weights ``kernel`` (I, G * D) and ``bias`` (G * D,)."""
        kernel = input_weights(key, n_inputs, hidden_size, self.n_gates)
        return {"kernel": kernel, "bias": jnp.zeros(self.n_gates * hidden_size)}

    def step(self, p: Params, state: State, x: Float[Array, "B I"]) -> State:
        """One step; the state is ``(h,)``."""
        log_a, log_b = self.log_gates(p, x)
        return (jnp.exp(log_a) * state[0] + jnp.exp(log_b),)

    @property
    @abstractmethod
    def n_gates(self) -> int:
        """G."""


@dataclass(frozen=True)
class MinGRUCell(AbstractLinearCell):
    """``z = s(Wz x + bz)``, ``h' = (1 - z) h + z g(Wh x + bh)``; gates in the order z, h."""

    @property
    def n_gates(self) -> int:
        """Two."""
        return 2

    def log_gates(
        self, p: Params, x: Float[Array, "*axes I"]
    ) -> tuple[Float[Array, "*axes D"], Float[Array, "*axes D"]]:
        """``log (1 - z)`` and ``log z + log g``."""
        z, h = jnp.split(_affine(p, x), 2, axis=-1)
        return log_sigmoid(-z), log_sigmoid(z) + _log_g(h)


@dataclass(frozen=True)
class MinLSTMCell(AbstractLinearCell):
    """``f = s(..)``, ``i = s(..)``, ``h' = f / (f + i) h + i / (f + i) g(Wh x + bh)``; gates in the order f, i, h."""

    @property
    def n_gates(self) -> int:
        """Three."""
        return 3

    def log_gates(
        self, p: Params, x: Float[Array, "*axes I"]
    ) -> tuple[Float[Array, "*axes D"], Float[Array, "*axes D"]]:
        """``log f / (f + i)`` and ``log i / (f + i) + log g``."""
        f, i, h = jnp.split(_affine(p, x), 3, axis=-1)
        ratio = log_sigmoid(f) - log_sigmoid(i)
        return log_sigmoid(ratio), log_sigmoid(-ratio) + _log_g(h)


def parallel_scan(
    cell: AbstractLinearCell, p: Params, state: State, xs: Float[Array, "T B I"], valid: Bool[Array, "T B"] | None
) -> tuple[State, Float[Array, "T B D"]]:
    """All steps in a logarithmic number of rounds, by `jax.lax.associative_scan`; time-major."""
    log_a, log_b = cell.log_gates(p, xs)
    if valid is not None:
        keep = valid[..., None]
        log_a, log_b = jnp.where(keep, log_a, 0), jnp.where(keep, log_b, -jnp.inf)

    def join(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        (a1, b1), (a2, b2) = first, second
        return a1 + a2, _log_add(a2 + b1, b2)

    log_a, log_b = jax.lax.associative_scan(join, (log_a, log_b), axis=0)
    hs = jnp.concatenate([state[0][None], jnp.exp(log_a) * state[0][None] + jnp.exp(log_b)])
    return (hs[-1],), hs[1:]


def _affine(p: Params, x: Float[Array, "*axes I"]) -> Float[Array, "*axes GD"]:
    return x @ p["kernel"] + p["bias"].reshape((1,) * (x.ndim - 1) + (-1,))


def _log_g(v: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """``log g``, with ``g(v) = v + 1/2`` for ``v >= 0`` and ``s(v)`` below: continuous and positive."""
    return jnp.where(v >= 0, jnp.log(jnp.maximum(v, 0) + 0.5), -softplus(-v))


def _log_add(a: Float[Array, "*axes"], b: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """``log(exp a + exp b)``, with zero gradient rather than NaN where both are minus infinity."""
    empty = jnp.isneginf(a) & jnp.isneginf(b)
    return jnp.where(empty, -jnp.inf, jnp.logaddexp(jnp.where(empty, 0, a), jnp.where(empty, 0, b)))
