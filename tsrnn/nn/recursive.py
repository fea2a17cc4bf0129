"""Forecasting one step at a time: every forecast is read again as the history of the next.

In training the true values take the place of the forecasts (teacher forcing), and **every** step of history and horizon
is forecast and counts. In forecasting whole paths are drawn, each step from the distribution given the path so far, so
that what is uncertain adds up along the path as it does in the data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from tsrnn.nn.cells import AbstractCell, State
from tsrnn.nn.embedding import init_tables
from tsrnn.nn.model import ForecastLoss, Model, Params
from tsrnn.nn.scan import scan
from tsrnn.nn.seq2seq import CELLS, CellName
from tsrnn.nn.stack import dropout
from tsrnn.types import Batch

__all__ = ["Recursive", "RecursiveLoss", "RecursiveModel"]


class Recursive(nn.Module):
    """A stack of recurrent layers that forecasts the next step from the steps before it.

    It reads values at some lags, and what is known ahead of the step that it forecasts; not the past covariates, which
    nobody knows once the forecasts are fed back.

    Parameters
    ----------
    cell : {"LSTM", "GRU", "RNN", "SLSTM", "MinLSTM", "MinGRU"}, default "LSTM"
        The cell of every layer.
    hidden_size : int, default 64
        Width of the recurrent state.
    num_layers : int, default 1
        Recurrent layers.
    dropout : float, default 0.0
        Share of the numbers set to zero in training, between layers and before the output.
    lags : tuple of int, optional
        How many steps ago the values lie that a step reads; by default 1 and a season.

    References
    ----------
    R. J. Williams and D. Zipser (1989), A learning algorithm for continually running fully recurrent neural networks,
    Neural Computation 1(2), for teacher forcing. D. Salinas, V. Flunkert, J. Gasthaus and T. Januschowski (2020),
    DeepAR: probabilistic forecasting with autoregressive recurrent networks, International Journal of Forecasting 36.

    Examples
    --------
    >>> Recursive(cell="GRU", lags=(1, 2, 24)).lags
    (1, 2, 24)
    """

    cell: CellName = "LSTM"
    hidden_size: int = 64
    num_layers: int = 1
    dropout: float = 0.0
    lags: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise ValueError(f"cell={self.cell!r} is unknown; choose one of {', '.join(CELLS)}.")
        if self.lags is not None:
            object.__setattr__(self, "lags", tuple(self.lags))  # a list has no hash
            if not self.lags or min(self.lags) < 1:
                raise ValueError(f"lags must be at least one number, and each at least 1, got {self.lags}.")
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        xs: Float[Array, "B T I"],
        valid: Bool[Array, "B T"],
        states: tuple[State, ...] | None = None,
        *,
        size: int,
        train: bool = False,
    ) -> tuple[tuple[State, ...], Float[Array, "B T size"]]:
        """Forecast every step from the inputs at it and before.

        Parameters
        ----------
        xs : array of shape (B, T, I)
            Inputs, oldest first.
        valid : array of bool, shape (B, T)
            False on padding.
        states : tuple of states, one a layer, optional
            To go on from; by default zeros.
        size : int
            Numbers to give per step.
        train : bool, default False
            Whether dropout is on.

        Returns
        -------
        states : tuple of states
            After the last step.
        raw : array of shape (B, T, size)
        """
        cell, ends = CELLS[self.cell], []
        for i in range(self.num_layers):
            xs = dropout(xs, self.dropout, train=train) if i else xs
            p = self.param(f"layer_{i}", cell.init, xs.shape[-1], self.hidden_size)
            end, xs = scan(cell, p, cell.zeros(p, len(xs)) if states is None else states[i], xs, valid)
            ends.append(end)
        return tuple(ends), nn.Dense(size, name="read")(dropout(xs, self.dropout, train=train))

    @nn.nowrap
    def states(self, weights: Any, xs: Float[Array, "B T I"], valid: Bool[Array, "B T"]) -> tuple[Any, ...]:
        """The states after every step, one of each layer, of arrays of shape (B, T, D)."""
        cell, states = CELLS[self.cell], []
        for i in range(self.num_layers):
            states.append(_every_state(cell, weights["params"][f"layer_{i}"], xs, valid))
            xs = states[-1][0]
        return tuple(states)


@dataclass(frozen=True)
class RecursiveModel:
    """A `Recursive` network with its output and the normalization of windows; a value, as `Model` is.

    A step's forecast departs from the value a season before it, which in the horizon is the path's own.

    Parameters
    ----------
    model : Model
        Its network is a `Recursive`.
    """

    model: Model

    def __post_init__(self) -> None:
        """Refuse what looks at the whole window at every step, or changes with the step."""
        if self.model.normalization in ("revin", "running"):
            raise ValueError(
                f"Recursive() and normalization={self.model.normalization!r} do not go together; choose last, mean, "
                "standard, robust or none."
            )

    @property
    def loss(self) -> "RecursiveLoss":
        """What training minimizes."""
        return RecursiveLoss(self)

    @property
    def lags(self) -> tuple[int, ...]:
        """How many steps ago the values lie that a step reads."""
        given: tuple[int, ...] | None = self.model.network.lags
        return given or tuple(sorted({1, self.model.season_length}))

    def init(self, key: PRNGKeyArray, batch: Batch) -> Params:
        """Fresh weights for batches shaped like this one."""
        tables = init_tables(jax.random.fold_in(key, 1), self.model.categories)
        learned: dict[str, Any] = {"embeddings": tables} if tables else {}
        z, seen = self._normalized(batch)
        xs = self._inputs(learned, batch, z, seen)
        return {**self.model.network.init(key, xs, self._valid(batch), size=self.model.size(batch)), **learned}

    def forced(
        self, params: Params, batch: Batch, key: PRNGKeyArray | None, settings: Mapping[str, Any] | None = None
    ) -> tuple[Float[Array, "B TH C P"], Batch]:
        """Parameters of the forecast of every step given the true values before it, and the targets of all steps.

        A step of the history counts if the value a season before it was observed. ``settings`` stand for the network's
        fields of these names.
        """
        z, seen = self._normalized(batch)
        xs = self._inputs(params, batch, z, seen)
        rngs = None if key is None else {"dropout": key}
        network: Any = self.model.network.clone(**settings or {})
        weights, xs = self._cast((params, xs))
        _, raw = network.apply(
            weights, xs, self._valid(batch), size=self.model.size(batch), train=key is not None, rngs=rngs
        )
        season, steps = self.model.season_length, batch.context.shape[1]
        known = batch.context_observed & (_lagged(seen, season)[:, :steps] > 0)
        targets = batch._replace(
            target=jnp.concatenate([batch.context, batch.target], axis=1),
            target_observed=jnp.concatenate([known, batch.target_observed], axis=1),
        )
        return self._values(raw, _lagged(z, season)), targets

    def states(self, params: Params, batch: Batch) -> tuple[Any, ...]:
        """What `paths` may start from after every step of the history; see `Recursive.states`."""
        z, seen = self._normalized(batch)
        weights, xs = self._cast((params, self._inputs(params, batch, z, seen)[:, : batch.context.shape[1]]))
        network: Any = self.model.network
        states: tuple[Any, ...] = network.states(weights, xs, batch.valid)
        return states

    def paths(
        self, params: Params, batch: Batch, keys: PRNGKeyArray, n_paths: int, states: Any | None = None
    ) -> Float[Array, "B n_paths H C"]:
        """Draw paths in the units of ``batch.context``, each window's by its own key.

        Parameters
        ----------
        params : pytree
            Weights.
        batch : Batch
            Windows; their targets are not read.
        keys : array of keys, shape (B,)
            Source of each window's randomness.
        n_paths : int
            Paths of each window.
        states : tuple of states, optional
            To start from, one a layer; by default those after the window.

        Returns
        -------
        array of shape (B, n_paths, H, C)
        """
        model, output = self.model, self.model.output
        b, t, c = batch.context.shape
        h, reach = batch.target.shape[1], max(*self.lags, model.season_length)
        location, scale = (jnp.repeat(a[:, 0], n_paths, axis=0) for a in model.stats(batch))
        z, seen = self._normalized(batch._replace(target=jnp.zeros_like(batch.target)))
        network: Any = model.network
        xs = self._inputs(params, batch, z, seen)[:, :t]
        weights, xs = self._cast((params, xs))
        if states is None:
            states, _ = network.apply(weights, xs, batch.valid, size=model.size(batch))
        states = jax.tree.map(lambda a: jnp.repeat(a, n_paths, axis=0), states)
        constant, known = self._constant(params, batch), self.model.known(params, batch)[:, t:]

        def tail(a: Array) -> Array:
            """The newest values that a lag can reach, then room for the path."""
            a = jnp.pad(a[:, :t], ((0, 0), (reach, h), (0, 0)))[:, t:]
            return jnp.repeat(a, n_paths, axis=0)

        def step(carry: tuple[Any, Array, Array], i: Array) -> tuple[tuple[Any, Array, Array], Array]:
            states, z, seen = carry
            at = reach + i - jnp.asarray(self.lags)
            ahead = jnp.concatenate([jax.lax.dynamic_index_in_dim(known, i, 1, keepdims=False), constant], axis=-1)
            n = z.shape[0]
            read = [z[:, at].reshape(n, -1), seen[:, at].reshape(n, -1), jnp.repeat(ahead, n_paths, axis=0)]
            x = self._cast(jnp.concatenate(read, axis=-1)[:, None])
            states, raw = network.apply(weights, x, jnp.ones((n, 1), bool), states, size=model.size(batch))
            base = jax.lax.dynamic_index_in_dim(z, reach + i - model.season_length, 1)
            values = output.affine(self._values(raw, base)[:, 0], location, scale)
            drawn = jax.vmap(lambda key, p: output.sample(jax.random.fold_in(key, i), p, 1)[0])(
                keys, values.reshape(b, n_paths, c, -1)
            ).reshape(n, c)
            z = jax.lax.dynamic_update_index_in_dim(z, (drawn - location) / scale, reach + i, 1)
            return (states, z, seen.at[:, reach + i].set(1)), drawn

        _, drawn = jax.lax.scan(step, (states, tail(z), tail(seen)), jnp.arange(h))
        return drawn.reshape(h, b, n_paths, c).transpose(1, 2, 0, 3)

    def _normalized(self, batch: Batch) -> tuple[Float[Array, "B TH C"], Float[Array, "B TH C"]]:
        """History and horizon in the units of the normalized target, 0 where missing; where they were observed."""
        location, scale = self.model.stats(batch)
        values = jnp.concatenate([batch.context, batch.target], axis=1)
        seen = jnp.concatenate([batch.context_observed, batch.target_observed], axis=1)
        return jnp.where(seen, (values - location) / scale, 0), seen.astype(values.dtype)

    def _inputs(
        self, params: Params, batch: Batch, z: Float[Array, "B TH C"], seen: Float[Array, "B TH C"]
    ) -> Float[Array, "B TH I"]:
        """What every step reads: values and whether they were observed, lag by lag; what is known of the step."""
        lagged = [_lagged(a, lag) for a in (z, seen) for lag in self.lags]
        constant = self._constant(params, batch)[:, None]
        constant = jnp.broadcast_to(constant, (*z.shape[:2], constant.shape[-1]))
        return jnp.concatenate([*lagged, self.model.known(params, batch), constant], axis=-1)

    def _constant(self, params: Params, batch: Batch) -> Float[Array, "B S"]:
        """What is constant in a window: static inputs, and the size of its numbers."""
        _, scale = self.model.stats(batch)
        return jnp.concatenate([self.model.constant(params, batch), jnp.log(scale[:, 0])], axis=-1)

    def _valid(self, batch: Batch) -> Bool[Array, "B TH"]:
        return jnp.concatenate([batch.valid, jnp.ones(batch.target.shape[:2], bool)], axis=1)

    def _cast(self, tree: Any) -> Any:
        """In the precision that the network computes in."""
        return jax.tree.map(lambda a: a.astype(self.model.precision), tree)

    def _values(self, raw: Float[Array, "B T size"], base: Float[Array, "B T C"]) -> Float[Array, "B T C P"]:
        return self.model.output.params(raw.astype(base.dtype).reshape(*base.shape, self.model.output.size), base)


@dataclass(frozen=True)
class RecursiveLoss:
    """Mean loss over all observed steps of history and horizon: ``(params, batch, key) -> (loss, aux)``."""

    model: RecursiveModel

    def __call__(
        self, params: Params, batch: Batch, key: PRNGKeyArray | None, settings: Mapping[str, Any] | None = None
    ) -> tuple[Float[Array, ""], None]:
        """Mean loss."""
        values, targets = self.model.forced(params, batch, key, settings)
        return ForecastLoss(self.model.model).mean(values, targets), None


def _every_state(cell: AbstractCell, p: Params, xs: Float[Array, "B T I"], valid: Bool[Array, "B T"]) -> State:
    """The whole state after every step; padding leaves it as it is."""

    def step(state: State, inputs: tuple[Array, Array]) -> tuple[State, State]:
        x, there = inputs
        new = jax.tree.map(partial(jnp.where, there[:, None]), cell.step(p, state, x), state)
        return new, new

    xs = jnp.where(valid[..., None], xs, 0)
    _, states = jax.lax.scan(step, cell.zeros(p, len(xs)), (jnp.swapaxes(xs, 0, 1), valid.T))
    every: State = jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), states)
    return every


def _lagged(a: Array, lag: int) -> Array:
    """What lies ``lag`` steps back, zeros before the first one; shape (B, T, ...)."""
    return jnp.pad(a, ((0, 0), (lag, 0), (0, 0)))[:, : a.shape[1]]
