"""Predictors over the models of `tsrnn.nn.online`: what they have in common, and how the models are trained.

Sensors are read in units of a robust spread about the median of the rows that were learned, and every model is run by
`tsrnn.nn.stepping`. Of a sensor that was never seen in these rows nothing can be said: its mean and scale are NaN.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from tsrnn.forecasting.predictor import AbstractPredictor, Expected, Hold, Observed, State
from tsrnn.nn.online import AbstractOnline, before
from tsrnn.nn.stepping import AbstractStepper, stepper
from tsrnn.training.loop import train_members
from tsrnn.training.optimizer import Optimizer
from tsrnn.training.state import Training
from tsrnn.training.steps import LossFn, evaluate, padded

__all__ = [
    "LEAST_SCALE",
    "AbstractOnlinePredictor",
    "Learned",
    "move_units",
    "passed",
    "scale_of",
    "spreads",
    "trained",
    "unscaled",
]

Floats = NDArray[np.float64]

# Flax has no types for these.
_flatten: Callable[..., dict[str, Any]] = traverse_util.flatten_dict
_unflatten: Callable[..., dict[str, Any]] = traverse_util.unflatten_dict

_FURTHEST = 1e9
"""Spreads off the median that a value counts at the most: squares of what is computed stay finite in float32."""

LEAST_SCALE = 1e-3
"""Least scale of what is expected, in spreads of the sensor: what can be told exactly has one too."""


class Learned(NamedTuple):
    """A recording as a model reads it: n rows that count, K columns, C of them sensors."""

    x: NDArray[np.float32]
    """(n, K): in spreads about the median."""
    elapsed: NDArray[np.float32]
    """(n,)"""
    last: NDArray[np.float32]
    """(n, K): the value last seen before each row, 0 where there is none."""
    age: NDArray[np.float32]
    """(n, K): typical steps between that and the row before, infinite where there is none."""
    n_sensors: int

    @property
    def sensors(self) -> NDArray[np.float32]:
        """Those columns; (n, C)."""
        return self.x[:, : self.n_sensors]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where a sensor is seen that was seen before; (n, C)."""
        return np.asarray(~np.isnan(self.sensors) & np.isfinite(self.age[:, : self.n_sensors]))

    @property
    def late(self) -> Floats:
        """Typical steps since each sensor was seen, at least 1; (n, C)."""
        return np.asarray(np.maximum(self.age[:, : self.n_sensors] + self.elapsed[:, None], 1), float)


class AbstractOnlinePredictor(AbstractPredictor):
    """Base of predictors that `tsrnn.nn.stepping` runs.

    Attributes
    ----------
    location_, spread_ : arrays of shape (K,)
        Median of each sensor and input, and its spread about it; NaN where there was no value.
    params_ : dict of arrays
        Parameters of the model.
    df_ : array of shape (C,)
        Degrees of freedom.
    """

    location_: Floats
    spread_: Floats
    params_: Any
    _stepper: AbstractStepper

    @property
    @abstractmethod
    def _model(self) -> AbstractOnline:
        """What is run."""

    @abstractmethod
    def _learn(self, learned: Sequence[Learned]) -> list[dict[str, Any]]:
        """Parameters of each recording's model."""

    def fit_each(self, recordings: Sequence[Observed]) -> list[Self]:
        """Learn each recording alone; see `AbstractPredictor.fit_each`.

        Raises
        ------
        ValueError
            If a parameter has an impossible value, a recording fewer than two rows that count, or not all of them the
            same number of sensors and inputs.
        """
        shapes = {(one.values.shape[1], one.inputs.shape[1]) for one in recordings}
        if len(shapes) > 1:
            raise ValueError(
                f"recordings differ in their numbers of sensors and inputs, {sorted(shapes)}; fit them apart."
            )
        fitted = [clone(self)._scaled(recording, at) for at, recording in enumerate(recordings)]
        learned = [one._read(recording) for one, recording in zip(fitted, recordings, strict=True)]
        for one, params in zip(fitted, self._learn(learned), strict=True):
            one._take(params)
        return fitted

    def start(self) -> State:
        """The state before the first row of a stream."""
        check_is_fitted(self, "params_")
        carry = np.asarray(before(self._model, self.params_, len(self.location_)))
        return {"carry": carry, "unread": np.array(self._model.context)}

    def step(self, state: State, observed: Observed, hold: Hold = Hold()) -> tuple[State, Expected]:  # noqa: B008
        """Expect each row from those before it, then read it; see `AbstractPredictor.step`.

        In the first rows of a stream, until the model has read what it looks at, no scale is below the sensor's spread.
        """
        counts, size = observed.counts, observed.values.shape[1]
        rows = self._rows(observed)
        carry, expected = self._stepper(state["carry"], rows if counts.all() else rows[counts], *hold)
        unread = int(state["unread"])
        if unread:
            early = expected[:unread, size : 2 * size]
            early[:] = np.fmax(early, np.fmax(self.params_["scale"], 1))
            unread -= len(early)
        if len(expected) < len(counts):
            among = np.full((len(counts), 3 * size), np.nan, np.float32)
            among[counts] = expected
            expected = among
        mean, scale, held = np.split(expected, 3, axis=1)
        location, spread = self.location_[:size], self.spread_[:size]
        return {"carry": carry, "unread": np.array(unread)}, Expected(
            location + spread * mean, spread * scale, held == 1
        )

    def weights(self) -> dict[str, NDArray[Any]]:
        """All that was learned; `restore` takes it back."""
        check_is_fitted(self, "params_")
        params = _flatten({"params": self.params_}, sep="/")
        return {"location": self.location_, "spread": self.spread_} | {
            name: np.asarray(a) for name, a in params.items()
        }

    def restore(self, weights: dict[str, NDArray[Any]]) -> Self:
        """A fitted clone with these weights."""
        fitted: Self = clone(self)
        fitted.location_, fitted.spread_ = weights["location"], weights["spread"]
        params = _unflatten({name: weights[name] for name in weights.keys() - {"location", "spread"}}, sep="/")
        fitted._take(params["params"])
        return fitted

    def _take(self, params: dict[str, Any]) -> None:
        self.params_ = _on_cpu(params)
        self._stepper = stepper(self._model, self.params_, len(self.location_))
        self.df_ = self._df(params)

    def _df(self, params: dict[str, Any]) -> Floats:
        return np.full(len(params["scale"]), np.inf)

    def _scaled(self, recording: Observed, at: int) -> Self:
        """Learn the scales of the columns."""
        if (n := int(recording.counts.sum())) < 2:
            raise ValueError(f"recording {at} has {n} row(s) that count; at least 2 are needed to learn from.")
        columns = np.concatenate([recording.values, recording.inputs], axis=1)[recording.counts]
        seen = np.isfinite(columns)
        self.location_ = np.array(
            [np.median(x[s]) if s.any() else np.nan for x, s in zip(columns.T, seen.T, strict=True)]
        )
        spread = spreads(np.where(seen, columns - self.location_, np.nan))
        usual = np.where(self.location_ != 0, np.abs(self.location_), 1.0)
        self.spread_ = np.where(spread > 1e-12 * np.abs(self.location_), spread, usual)
        return self

    def _rows(self, observed: Observed) -> NDArray[np.float32]:
        """Time elapsed and columns as the model reads them, (n, 1 + K)."""
        columns = np.concatenate([observed.values, observed.inputs], axis=1)
        columns -= self.location_
        columns /= self.spread_
        rows = np.empty((len(columns), 1 + columns.shape[1]), np.float32)
        rows[:, 0] = observed.elapsed
        rows[:, 1:] = np.clip(columns, -_FURTHEST, _FURTHEST, out=columns)
        return rows

    def _read(self, recording: Observed) -> Learned:
        """The recording, and what was known before each row of it."""
        rows = self._rows(recording)[recording.counts]
        elapsed, x = rows[:, 0], rows[:, 1:]
        time = np.cumsum(elapsed, dtype=np.float64)
        at = np.maximum.accumulate(np.where(np.isnan(x), -1, np.arange(len(x))[:, None]))
        at = np.concatenate([np.full((1, x.shape[1]), -1), at[:-1]])
        before = np.concatenate([[0.0], time[:-1]])[:, None]
        age = np.where(at < 0, np.inf, before - time[at]).astype(np.float32)
        last = np.where(at < 0, 0, np.take_along_axis(x, at, axis=0))
        return Learned(x, elapsed, last, age, recording.values.shape[1])


@dataclass(frozen=True)
class _Places:
    """Where chunks are taken from a recording, drawn evenly."""

    batch_size: int

    def __call__(self, data: Any, key: Any) -> tuple[Any, Any]:
        return jax.random.uniform(key, (self.batch_size,), jnp.float32), jnp.zeros(self.batch_size, bool)


def trained(
    loss: LossFn,
    nets: Sequence[Any],
    settings: Sequence[dict[str, Any]],
    *,
    key: Any,
    max_steps: int,
    batch_size: int,
    learning_rate: float,
    validation: float,
) -> list[Any]:
    """Weights of networks, each trained on its own recording, all as one program.

    Parameters
    ----------
    loss : callable
        As `tsrnn.nn.online.ChunkLoss`.
    nets, settings : sequences
        First weights, and what the loss reads of each recording.
    key : key
        Source of what all of them draw.
    max_steps, batch_size, learning_rate : int, int, float
        Steps at the most, chunks in each, peak learning rate.
    validation : float
        Share of the rows that is held out, by which training stops; if 0 it does not, and the last weights are given.

    Returns
    -------
    list of pytrees
        The first weights where the rows held out are not explained better by others.
    """
    training = Training(max_steps=max_steps, batch_size=batch_size, eval_every=25)
    places = np.linspace(0, 1, 4 * batch_size, dtype=np.float32).reshape(4, -1)
    valid = (places, np.ones(places.shape, bool)) if validation > 0 else None
    results = train_members(
        loss, _Places(batch_size), nets, (), keys=[key] * len(nets), training=training,
        optimizers=[Optimizer(learning_rate=learning_rate)] * len(nets), valid_batches=valid, settings=settings,
    )  # fmt: skip
    if valid is None:
        return [net for net, _ in results]

    def missed(net: Any, own: dict[str, Any]) -> float:
        return float(evaluate(net, *padded(valid), own, loss_fn=loss))

    pairs = zip(nets, results, settings, strict=True)
    return [net if missed(net, own) < missed(first, own) else first for first, (net, _), own in pairs]


def _on_cpu(params: Any) -> Any:
    """Parameters where rows are read: one after the other, which takes an accelerator longer."""
    return jax.device_put(params, jax.local_devices(backend="cpu")[0])


def passed(model: AbstractOnline, params: Any, learned: Learned) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Means and scales of learned rows, and where a sensor that was seen before is seen; (n, C) each."""
    rows = np.concatenate([learned.elapsed[:, None], learned.x], axis=1)
    params = _on_cpu(params)
    n_columns = learned.x.shape[1]
    _, expected = stepper(model, params, n_columns)(np.asarray(before(model, params, n_columns)), rows, *Hold())
    mean, scale, _ = np.split(expected.astype(float), 3, axis=1)
    return mean, scale, learned.known


def scale_of(
    model: AbstractOnline, params: dict[str, Any], learned: Learned, more: Floats | float = 1.0
) -> dict[str, Any]:
    """The parameters with the scale of what the model misses, which is ``more`` times that in learned rows."""
    params = unscaled(params, learned)
    mean, _, known = passed(model, params, learned)
    missed = np.where(known, (learned.sensors - mean) / np.sqrt(learned.late), np.nan)
    return {**params, "scale": np.maximum(more * spreads(missed), LEAST_SCALE).astype(np.float32)}


def unscaled(params: dict[str, Any], learned: Learned) -> dict[str, Any]:
    """The parameters with scales of 1, and between which values all but one in five hundred of the learned ones lie."""
    seen = [column[~np.isnan(column)] for column in learned.sensors.T]
    usual = np.array([np.quantile(x, [0.001, 0.999]) if len(x) else [0, 0] for x in seen], np.float32)
    return {**params, "scale": np.ones(learned.n_sensors, np.float32), "low": usual[:, 0], "high": usual[:, 1]}


def move_units(learned: Learned) -> NDArray[np.float32]:
    """Spread of the moves of each column."""
    moves = np.where(np.isfinite(learned.age), learned.x - learned.last, np.nan)
    return np.maximum(spreads(moves), LEAST_SCALE).astype(np.float32)


def spreads(off: NDArray[Any]) -> Floats:
    """How far columns are off zero, in standard deviations of a normal one, a few gross errors not counted; (K,).

    The median or, if larger (columns that mostly rest and sometimes jump), the 99 % quantile of the absolute values;
    the largest where both are 0. NaN are left out; 0 where there is nothing else.
    """
    out = np.zeros(off.shape[1])
    for k, column in enumerate(np.abs(off).T):
        seen = column[~np.isnan(column)]
        if len(seen):
            out[k] = max(1.4826 * np.median(seen), np.quantile(seen, 0.99) / 2.576) or seen.max()
    return out
