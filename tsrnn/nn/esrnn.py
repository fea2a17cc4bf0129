"""Exponential smoothing with a recurrent network: level and seasons of each series are smoothed inside the graph.

Every series has smoothing coefficients and first seasons of its own, which are weights like all others. The network
reads the history without its seasons relative to its level, and forecasts how the steps ahead depart from both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from tsrnn.nn.cells import LSTMCell
from tsrnn.nn.embedding import embed, init_tables
from tsrnn.nn.model import Model, Params
from tsrnn.nn.smoothing import Smoothing, smooth, steps_ahead
from tsrnn.nn.stack import Stack
from tsrnn.types import Batch

__all__ = ["ESRNN", "SmoothedLoss", "SmoothedModel"]


class ESRNN(nn.Module):
    """Exponential smoothing and a stack of dilated LSTM layers, trained as one.

    The level of a series and its seasons are smoothed with coefficients of its own, from first seasons of its own, all
    learned. The LSTM reads the newest values without their seasons and relative to the level, and gives the steps
    ahead in the same terms. Every step of the history is forecast from, and counts.

    The smoothing is additive on the transformed scale. On logarithms (``transforms=BoxCox(power=0)``) seasons are
    multiplied, as in the paper, and the level is a weighted geometric mean, where the paper's is an arithmetic one. It
    is itself the normalization of the windows: give ``normalization="none"``. A series that was not there in training
    has the coefficients and the first seasons that all series share.

    Parameters
    ----------
    hidden_size : int, default 40
        Width of the recurrent state.
    dilations : tuple of int, default (1, 2, 4, 8)
        For each layer, how many steps ago the state was made that a step reads. From the second layer on, what a layer
        reads is added to what it gives.
    dropout : float, default 0.0
        Share of the numbers set to zero in training between layers.
    season_lengths : tuple of int, optional
        Steps in each season, ``(24, 168)`` for days and weeks of hours; by default the season of the data alone, and
        none if that is 1.
    input_length : int, optional
        Newest values that a step reads; by default the first season, at least 4.
    level_penalty : float, default 10.0
        Weight of the mean squared second difference of the level, which keeps it smooth.

    References
    ----------
    S. Smyl (2020), A hybrid method of exponential smoothing and recurrent neural networks for time series forecasting,
    International Journal of Forecasting 36(1).

    Examples
    --------
    >>> ESRNN(season_lengths=[24, 168]).season_lengths
    (24, 168)
    """

    hidden_size: int = 40
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    dropout: float = 0.0
    season_lengths: tuple[int, ...] | None = None
    input_length: int | None = None
    level_penalty: float = 10.0

    def __post_init__(self) -> None:
        for name, least in (("dilations", 1), ("season_lengths", 2)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))  # a list has no hash
                if min(value, default=least) < least:
                    raise ValueError(f"{name} must be at least {least} each, got {value}.")
        if not self.dilations or (self.input_length is not None and self.input_length < 1):
            raise ValueError("ESRNN needs at least one dilation, and an input_length of at least 1.")
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        xs: Float[Array, "B T I"],
        valid: Bool[Array, "B T"],
        known: Float[Array, "B TH F"],
        *,
        size: int,
        train: bool = False,
    ) -> Float[Array, "B T H size"]:
        """Forecast from every step of the history.

        Parameters
        ----------
        xs : array of shape (B, T, I)
            Inputs, oldest first.
        valid : array of bool, shape (B, T)
            False on padding.
        known : array of shape (B, T + H, F)
            What is known ahead, of history and horizon; a step of it acts on the forecasts of that step.
        size : int
            Numbers to give per step.
        train : bool, default False
            Whether dropout is on.

        Returns
        -------
        array of shape (B, T, H, size)
            The forecasts of the H steps after each step of the history.
        """
        b, t, _ = xs.shape
        horizon, layers = known.shape[1] - t, len(self.dilations)
        stack = Stack(
            LSTMCell(), self.hidden_size, layers, self.dropout, residual=True, dilations=self.dilations, name="encoder"
        )
        _, hs = stack(xs, valid, train=train)
        raw = nn.Dense(horizon * size, name="read")(hs).reshape(b, t, horizon, size)
        if not known.shape[-1]:
            return raw
        effect = nn.Dense(size, name="effect")(nn.relu(nn.Dense(self.hidden_size, name="known")(known)))
        return raw + effect[:, steps_ahead(t, horizon)]


@dataclass(frozen=True)
class SmoothedModel:
    """An `ESRNN` with its output; a value, as `Model` is.

    Parameters
    ----------
    model : Model
        Its network is an `ESRNN`.
    n_series : int
        Rows of the tables of what each series has of its own; row 0 is for series that are not known.
    """

    model: Model
    n_series: int

    def __post_init__(self) -> None:
        """Refuse another normalization of the windows, and outputs whose targets may not be shifted."""
        if self.model.normalization != "none":
            raise ValueError(
                "ESRNN() smooths level and seasons in place of a normalization of windows: give normalization='none', "
                f"not {self.model.normalization!r}."
            )
        if self.model.output.domain != "real":
            name = type(self.model.output).__name__
            raise ValueError(
                f"ESRNN() shifts what it forecasts by level and seasons, for which {name}() is not made; choose "
                "Quantiles(), Normal(), StudentT() or Laplace()."
            )

    @property
    def loss(self) -> "SmoothedLoss":
        """What training minimizes."""
        return SmoothedLoss(self)

    @property
    def season_lengths(self) -> tuple[int, ...]:
        """Steps in each season."""
        given: tuple[int, ...] | None = self.model.network.season_lengths
        usual = self.model.season_length
        return given if given is not None else (usual,) * (usual > 1)

    def init(self, key: PRNGKeyArray, batch: Batch) -> Params:
        """Fresh weights: level and seasons are smoothed by halves, and there are no seasons yet."""
        tables = init_tables(jax.random.fold_in(key, 1), self.model.categories)
        learned: dict[str, Any] = {"embeddings": tables} if tables else {}
        lengths, c = self.season_lengths, batch.target.shape[-1]
        shapes = {"coefficients": (1 + len(lengths), c)} | {f"season_{m}": (m, c) for m in lengths}
        learned["smoothing"] = {name: jnp.zeros((self.n_series, *shape)) for name, shape in shapes.items()}
        inputs = self._inputs(learned, batch, self.smoothing(learned, batch))
        return {**self.model.network.init(key, *inputs, size=self.model.size(batch)), **learned}

    def smoothing(self, params: Params, batch: Batch) -> Smoothing:
        """The history of each window smoothed, by what its series has of its own on top of what all series share."""
        own = {name: self._own(table, batch) for name, table in params["smoothing"].items()}
        _, step = _place(batch)
        first = (step - batch.context.shape[1])[:, None, None]
        seasons = []
        for m in self.season_lengths:
            places = (first + jnp.arange(m, dtype=first.dtype)[None, :, None]) % m
            seasons.append(jnp.moveaxis(jnp.take_along_axis(own[f"season_{m}"], places, axis=1), 1, 0))
        x, observed = (jnp.moveaxis(a, 1, 0) for a in (batch.context, batch.context_observed))
        coefficients = jax.nn.sigmoid(jnp.moveaxis(own["coefficients"], 1, 0))
        return smooth(x, observed, coefficients, tuple(seasons), batch.target.shape[1])

    def raw(
        self, params: Params, batch: Batch, key: PRNGKeyArray | None, smoothing: Smoothing, network: Any
    ) -> Float[Array, "B T H C P"]:
        """Parameters of the departure from level and seasons, of the steps after every step of the history."""
        rngs = None if key is None else {"dropout": key}
        xs, valid, known = self._inputs(params, batch, smoothing)
        weights, xs, known = jax.tree.map(lambda a: a.astype(self.model.precision), (params, xs, known))
        raw = network.apply(
            weights, xs, valid, known, size=self.model.size(batch), train=key is not None, rngs=rngs
        ).astype(batch.target.dtype)
        raw = raw.reshape(*raw.shape[:3], batch.target.shape[-1], self.model.output.size)
        return self.model.output.params(raw, jnp.zeros_like(raw[..., 0]))

    def __call__(self, params: Params, batch: Batch) -> Float[Array, "B H C P"]:
        """Parameters of the forecast in the units of ``batch.context``."""
        smoothing = self.smoothing(params, batch)
        last = self.raw(params, batch, None, smoothing, self.model.network)[:, -1]
        location = jnp.moveaxis(smoothing.level[-1][None] + smoothing.ahead[-1], 1, 0)
        return self.model.output.affine(last, location, jnp.ones_like(location))

    def input_length(self) -> int:
        """Newest values that a step reads."""
        given: int | None = self.model.network.input_length
        return given or max(4, *self.season_lengths[:1], 4)

    def _own(self, table: Float[Array, "N ..."], batch: Batch) -> Float[Array, "B ..."]:
        """Row 0, which all series share, plus that of each window's series."""
        series, _ = _place(batch)
        known = (series > 0).astype(table.dtype).reshape(-1, *[1] * (table.ndim - 1))
        return table[:1] + known * table[series]

    def _inputs(self, params: Params, batch: Batch, smoothing: Smoothing) -> tuple[Array, Array, Array]:
        """What every step reads, where it is valid, and what is known of history and horizon."""
        b, t, _ = batch.context.shape
        back = np.arange(t)[:, None] + np.arange(self.input_length())
        gone = ((self.input_length() - 1, 0), (0, 0), (0, 0))
        x, seen = (jnp.moveaxis(a, 1, 0) for a in (batch.context, batch.context_observed))
        read = jnp.pad(x - smoothing.season, gone)[back] - smoothing.level[:, None]
        read = jnp.where(jnp.pad(seen, gone)[back], read, 0)
        newest = jnp.moveaxis(read, 2, 0).reshape(b, t, -1)
        constant = self.model.constant(params, batch)[:, None]
        constant = jnp.broadcast_to(constant, (b, t, constant.shape[-1]))
        codes = embed(params.get("embeddings", {}), ("past", "future"), batch.past_codes)
        xs = [newest, batch.context_observed.astype(x.dtype), batch.past, codes, constant]
        return jnp.concatenate(xs, axis=-1), batch.valid, self.model.known(params, batch)


@dataclass(frozen=True)
class SmoothedLoss:
    """Mean loss of the forecasts from every step of the history, plus the penalty of the level.

    In evaluation (``key`` is None) the forecast from the cutoff alone counts: the others have been learned from.
    """

    model: SmoothedModel

    def __call__(
        self, params: Params, batch: Batch, key: PRNGKeyArray | None, settings: Mapping[str, Any] | None = None
    ) -> tuple[Float[Array, ""], None]:
        """Mean loss."""
        model = self.model
        network = model.model.network.clone(**settings or {})
        t, h = batch.context.shape[1], batch.target.shape[1]
        smoothing = model.smoothing(params, batch)
        values = model.raw(params, batch, key, smoothing, network)
        location = jnp.moveaxis(smoothing.level[:, None] + smoothing.ahead, 2, 0)
        target = jnp.concatenate([batch.context, batch.target], axis=1)[:, steps_ahead(t, h)]
        seen = jnp.concatenate([batch.context_observed, batch.target_observed], axis=1)[:, steps_ahead(t, h)]
        counts = jnp.cumsum(batch.valid, axis=1) >= model.input_length()
        counts = (counts if key is not None else jnp.zeros_like(counts)).at[:, -1].set(True)
        seen &= counts[..., None, None]
        losses = jnp.where(seen, model.model.output.loss(values, jnp.where(seen, target - location, 0)), 0)
        loss = losses.sum() / jnp.maximum(seen.sum(), 1).astype(losses.dtype)
        if key is None:
            return loss, None
        return loss + network.level_penalty * self._roughness(smoothing.level, batch), None

    def _roughness(self, level: Float[Array, "T B C"], batch: Batch) -> Float[Array, ""]:
        """Mean squared second difference of the level over the steps that are no padding."""
        bends = jnp.square(level[2:] - 2 * level[1:-1] + level[:-2])
        there = batch.valid.T[:-2, :, None]
        n = jnp.maximum(there.sum() * level.shape[-1], 1).astype(level.dtype)
        return jnp.where(there, bends, 0).sum() / n


def _place(batch: Batch) -> tuple[Array, Array]:
    """Code of each window's series, and the number of its first step ahead."""
    if batch.series is None or batch.step is None:
        raise ValueError("ESRNN() has weights for each series: the batch must say which series and step it is of.")
    return batch.series, batch.step
