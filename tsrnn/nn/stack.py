"""Recurrent layers one above the other, and what can be done between them."""

from dataclasses import dataclass

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from tsrnn.nn.cells import AbstractCell, Params, State
from tsrnn.nn.dropout import Dropout
from tsrnn.nn.scan import scan

__all__ = ["Stack", "dropout"]


class Stack(nn.Module):
    """Recurrent layers one above the other.

    Parameters
    ----------
    cell : AbstractCell
        The cell of every layer.
    hidden_size
        Width of a layer, of each direction.
    num_layers, dropout, recurrent_dropout, residual, layer_norm, dilations, bidirectional, truncate, remat
        As in `tsrnn.nn.networks.AbstractRecurrent`.

    Notes
    -----
    Layer ``i`` has the weights ``layer_{i}``, backward in time ``layer_{i}_back``, and its normalization ``norm_{i}``.
    An array ``layer_{i}`` of shape (B, T + 1, D) in the collection ``probes`` is added to the ``h`` that each step
    reads and, the last one, to the ``h`` that the layer ends with: its gradient is the one of these states.
    """

    cell: AbstractCell
    hidden_size: int
    num_layers: int = 1
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    residual: bool = False
    layer_norm: bool = False
    dilations: tuple[int, ...] | None = None
    bidirectional: bool = False
    truncate: int | None = None
    remat: int | None = None

    @nn.compact
    def __call__(
        self, xs: Float[Array, "B T I"], valid: Bool[Array, "B T"], *, train: bool
    ) -> tuple[Float[Array, "B W"], Float[Array, "B T W"]]:
        """Run all layers; give the last ``h`` of the uppermost one and all of them, W = D or, both ways, 2 D."""
        h = xs[:, -1]
        for i in range(self.num_layers):
            inputs = dropout(xs, self.dropout, train=train) if i else xs
            runs = [self._run(i, inputs, valid, back, train) for back in (False, True)[: 1 + self.bidirectional]]
            last, hs = (jnp.concatenate(parts, axis=-1) for parts in zip(*runs, strict=True))
            if self.residual and i:
                last, hs = last + h, hs + xs
            if self.layer_norm:
                norm = nn.LayerNorm(name=f"norm_{i}")
                last, hs = norm(last), norm(hs)
            h, xs = last, hs
        return h, xs

    def _run(
        self, i: int, xs: Float[Array, "B T I"], valid: Bool[Array, "B T"], back: bool, train: bool
    ) -> tuple[Float[Array, "B D"], Float[Array, "B T D"]]:
        """One direction of one layer."""
        (b, t, _), name = xs.shape, f"layer_{i}_back" if back else f"layer_{i}"
        p, cell = self.param(name, self.cell.init, xs.shape[-1], self.hidden_size), self.cell
        probe: Array | None = self.get_variable("probes", name)
        if probe is not None:
            xs, cell = jnp.concatenate([xs, probe[:, :-1]], axis=-1), _Probed(cell)
        dilation = self.dilations[i] if self.dilations else 1
        xs, valid = (_fold(a, dilation, dilation * (self.truncate or 1)) for a in (xs, valid))
        zeros = cell.zeros(p, len(xs))
        everything = jnp.ones_like(zeros[0])
        mask = dropout(everything, self.recurrent_dropout, train=train, name=f"{name}_mask")
        if dropped := mask is not everything:
            if "recurrent" not in p:
                raise ValueError(f"recurrent_dropout has nothing to drop: the gates of {cell} do not read the state.")
            p = p | {"mask": mask}
        state, hs = scan(
            cell, p, zeros, xs, valid, reverse=back, truncate=self.truncate, remat=self.remat,
            backend="plain" if dropped else None,
        )  # fmt: skip
        h = state[0].reshape(b, dilation, -1)[:, -1]
        return (h if probe is None else h + probe[:, -1]), _unfold(hs, dilation, t)


def dropout(x: Float[Array, "*axes"], rate: float, *, train: bool, name: str | None = None) -> Float[Array, "*axes"]:
    """In training a share of the numbers set to zero, the others scaled up; ``x`` itself where nothing is dropped.

    To be called inside a compact method. A name keeps the random numbers of the other calls as they are.
    """
    dropped: Array = Dropout(rate, deterministic=not train, name=name)(x)
    return dropped


@dataclass(frozen=True)
class _Probed(AbstractCell):
    """A cell that adds its last D inputs to the ``h`` it reads."""

    cell: AbstractCell

    def init(self, key: PRNGKeyArray, n_inputs: int, hidden_size: int) -> Params:
        """Those of the cell."""
        return self.cell.init(key, n_inputs - hidden_size, hidden_size)

    def zeros(self, p: Params, batch_size: int) -> State:
        """Those of the cell."""
        return self.cell.zeros(p, batch_size)

    def step(self, p: Params, state: State, x: Float[Array, "B I"]) -> State:
        """One step of the cell."""
        d = state[0].shape[-1]
        return self.cell.step(p, (state[0] + x[:, -d:], *state[1:]), x[:, :-d])


def _fold(a: Array, dilation: int, multiple: int) -> Array:
    """Every ``dilation``-th step a sequence of its own, (B, T, ...) to (B * dilation, T' / dilation, ...).

    Time is padded on the left to a multiple, so that sequences and chunks end with the newest step.
    """
    b, t, *rest = a.shape
    a = jnp.pad(a, ((0, 0), (-t % multiple, 0), *[(0, 0)] * len(rest)))
    return a.reshape(b, -1, dilation, *rest).swapaxes(1, 2).reshape(b * dilation, -1, *rest)


def _unfold(a: Array, dilation: int, t: int) -> Array:
    """The way back, to the last ``t`` steps."""
    n, steps, d = a.shape
    return a.reshape(n // dilation, dilation, steps, d).swapaxes(1, 2).reshape(n // dilation, -1, d)[:, -t:]
