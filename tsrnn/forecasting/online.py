"""Predictors of the next row from a carried state: three that need no training, and a recurrent network.

All of them read sensors in units of a robust spread about the median of the rows they have learned, and all are run by
`tsrnn.nn.online.run`. Of a sensor that was never seen in these rows nothing can be said: its mean and scale are
NaN.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from tsrnn.forecasting.predictor import AbstractPredictor, Expected, Hold, Observed, State
from tsrnn.nn.online import AbstractOnline, AutoRegressive, ChunkLoss, Levels, Persistent, Recurrent, run
from tsrnn.training.loop import train_members
from tsrnn.training.optimizer import Optimizer
from tsrnn.training.state import Training
from tsrnn.training.steps import evaluate, padded

__all__ = ["AutoRegression", "MovingAverage", "Persistence", "RecurrentPredictor"]

Floats = NDArray[np.float64]

# Flax has no types for these.
_flatten: Callable[..., dict[str, Any]] = traverse_util.flatten_dict
_unflatten: Callable[..., dict[str, Any]] = traverse_util.unflatten_dict

_ROWS = 256
"""Rows that the program reads in one call."""

_FURTHEST = 1e9
"""Spreads off the median that a value counts at the most: squares of what is computed stay finite in float32."""

_LEAST_SCALE = 1e-3
"""Least scale of what is expected, in spreads of the sensor: what can be told exactly has one too."""


_BLOCK = 1 << 14
"""Rows of a regression that are laid out at once."""

_ROUNDS, _TAIL = 4, 4.0
"""Rounds of a robust regression, and its degrees of freedom."""


class _Learned(NamedTuple):
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
    """Base of predictors that `tsrnn.nn.online.run` runs.

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

    @property
    @abstractmethod
    def _model(self) -> AbstractOnline:
        """What is run."""

    @abstractmethod
    def _learn(self, learned: Sequence[_Learned]) -> list[dict[str, Any]]:
        """Parameters of each recording's model."""

    def fit_each(self, recordings: Sequence[Observed]) -> list[Self]:
        """Learn each recording alone; see `AbstractPredictor.fit_each`.

        Raises
        ------
        ValueError
            If a parameter has an impossible value, or a recording fewer than two rows that count.
        """
        fitted = [clone(self)._scaled(recording, at) for at, recording in enumerate(recordings)]
        learned = [one._read(recording) for one, recording in zip(fitted, recordings, strict=True)]
        for one, params in zip(fitted, self._learn(learned), strict=True):
            one._take(params)
        return fitted

    def start(self) -> State:
        """The state before the first row of a stream."""
        check_is_fitted(self, "params_")
        return _arrays(self._model.start(self.params_, len(self.location_)))

    def step(self, state: State, observed: Observed, hold: Hold = Hold()) -> tuple[State, Expected]:  # noqa: B008
        """Expect each row from those before it, then read it; see `AbstractPredictor.step`."""
        check_is_fitted(self, "params_")
        n_rows, size = observed.values.shape
        counted = np.flatnonzero(observed.counts)
        rows = self._rows(observed)[counted]
        carry, expected = _run(self._model, self.params_, state, rows, hold)
        out = np.full((3, n_rows, size), np.nan)
        out[:, counted] = expected.reshape(-1, 3, size).swapaxes(0, 1)
        location, spread = self.location_[:size], self.spread_[:size]
        return carry, Expected(location + spread * out[0], spread * out[1], out[2] == 1)

    def weights(self) -> dict[str, NDArray[Any]]:
        """All that was learned; `restore` takes it back."""
        check_is_fitted(self, "params_")
        params = _flatten({"params": self.params_}, sep="/")
        return {"location": self.location_, "spread": self.spread_} | _arrays(params)

    def restore(self, weights: dict[str, NDArray[Any]]) -> Self:
        """A fitted clone with these weights."""
        fitted: Self = clone(self)
        fitted.location_, fitted.spread_ = weights["location"], weights["spread"]
        params = _unflatten({name: weights[name] for name in weights.keys() - {"location", "spread"}}, sep="/")
        fitted._take(params["params"])
        return fitted

    def _take(self, params: dict[str, Any]) -> None:
        self.params_ = jax.device_put(params)
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
        spread = _spread(np.where(seen, columns - self.location_, np.nan))
        usual = np.where(self.location_ != 0, np.abs(self.location_), 1.0)
        self.spread_ = np.where(spread > 1e-12 * np.abs(self.location_), spread, usual)
        return self

    def _rows(self, observed: Observed) -> NDArray[np.float32]:
        """Time elapsed and columns as the model reads them, (n, 1 + K)."""
        columns = np.concatenate([observed.values, observed.inputs], axis=1)
        rows = np.empty((len(columns), 1 + columns.shape[1]), np.float32)
        rows[:, 0] = observed.elapsed
        rows[:, 1:] = np.clip((columns - self.location_) / self.spread_, -_FURTHEST, _FURTHEST)
        return rows

    def _read(self, recording: Observed) -> _Learned:
        """The recording, and what was known before each row of it."""
        rows = self._rows(recording)[recording.counts]
        elapsed, x = rows[:, 0], rows[:, 1:]
        time = np.cumsum(elapsed, dtype=np.float64)
        at = np.maximum.accumulate(np.where(np.isnan(x), -1, np.arange(len(x))[:, None]))
        at = np.concatenate([np.full((1, x.shape[1]), -1), at[:-1]])
        before = np.concatenate([[0.0], time[:-1]])[:, None]
        age = np.where(at < 0, np.inf, before - time[at]).astype(np.float32)
        last = np.where(at < 0, 0, np.take_along_axis(x, at, axis=0))
        return _Learned(x, elapsed, last, age, recording.values.shape[1])


class Persistence(AbstractOnlinePredictor):
    """The last value of each sensor.

    Examples
    --------
    >>> rows = Observed(np.array([[1.0], [3.0], [2.0]]), np.zeros((3, 0)), np.ones(3), np.ones(3, bool))
    >>> model = Persistence().fit(rows)
    >>> state, expected = model.step(model.start(), rows)
    >>> expected.mean[:, 0].round(4).tolist()
    [2.0, 1.0, 3.0]
    """

    @property
    def _model(self) -> AbstractOnline:
        return Persistent()

    def _learn(self, learned: Sequence[_Learned]) -> list[dict[str, Any]]:
        return [_with_scale(self._model, {}, one) for one in learned]


class MovingAverage(AbstractOnlinePredictor):
    """The exponential average of each sensor.

    Parameters
    ----------
    span : float, default 20.0
        Memory in typical steps: a value one step old weighs ``1 - 2 / (span + 1)`` times as much as the newest.

    Examples
    --------
    >>> rows = Observed(np.array([[1.0], [3.0], [2.0]]), np.zeros((3, 0)), np.ones(3), np.ones(3, bool))
    >>> model = MovingAverage(span=3).fit(rows)
    >>> state, expected = model.step(model.start(), rows)
    >>> expected.mean[:, 0].round(4).tolist()
    [2.0, 1.0, 2.0]
    """

    def __init__(self, span: float = 20.0) -> None:
        self.span = span

    @property
    def _model(self) -> AbstractOnline:
        if not self.span >= 1:
            raise ValueError(f"span is a number of typical steps, at least 1, got {self.span!r}.")
        return Levels(1 - 2 / (self.span + 1))

    def _learn(self, learned: Sequence[_Learned]) -> list[dict[str, Any]]:
        return [_with_scale(self._model, {}, one) for one in learned]


class AutoRegression(AbstractOnlinePredictor):
    """Ridge regression on the last rows of all sensors and inputs, shrunk to the last value of each sensor.

    Rows that do not fit count for less, as under a multivariate Student's t with 4 degrees of freedom, and so do those
    that come late.

    Parameters
    ----------
    order : int, default 10
        Rows that are looked at.
    ridge : float, default 10.0
        Weight of the shrinkage, in rows.

    References
    ----------
    K. Lange, R. Little and J. Taylor (1989), Robust statistical modeling using the t distribution, JASA 84, section 3.

    Examples
    --------
    >>> x = np.sin(np.arange(300) / 3)[:, None]
    >>> rows = Observed(x, np.zeros((300, 0)), np.ones(300), np.ones(300, bool))
    >>> model = AutoRegression(order=2, ridge=1e-3).fit(rows)
    >>> state, expected = model.step(model.start(), rows)
    >>> bool(np.abs(expected.mean - x)[2:].max() < 0.01)
    True
    """

    def __init__(self, order: int = 10, ridge: float = 10.0) -> None:
        self.order = order
        self.ridge = ridge

    @property
    def _model(self) -> AutoRegressive:
        if self.order < 1 or self.ridge <= 0:
            raise ValueError(f"order must be at least 1 and ridge positive, got {self.order!r} and {self.ridge!r}.")
        return AutoRegressive(self.order)

    def _learn(self, learned: Sequence[_Learned]) -> list[dict[str, Any]]:
        model = self._model
        fits = [_regressed(one, model.order, self.ridge) for one in learned]
        return [_with_scale(model, params, one, more) for (params, more), one in zip(fits, learned, strict=True)]


class RecurrentPredictor(AbstractOnlinePredictor):
    """An LSTM or GRU on top of an autoregression, learned by the likelihood of each row given those before it.

    The network reads values, moves and which columns were there, and the time elapsed; it says how the next row will
    depart from what the autoregression expects, and how surely. It is kept as it was before training if the last rows,
    which it does not learn from, are not more likely afterwards.

    Parameters
    ----------
    cell : {"lstm", "gru"}, default "lstm"
        The cell.
    hidden_size, num_layers : int, default 64 and 1
        Width and number of layers.
    order : int, default 10
        Rows that the autoregression looks at.
    output : {"student_t", "normal"}, default "student_t"
        Predictive distribution of each sensor; under Student's t gross errors in the learned rows count for less.
    trim : float, default 0.0
        Share of the learned rows, those expected worst after training, that training then goes on without.
    max_steps : int, default 500
        Optimizer steps at the most.
    batch_size, chunk : int, default 16 and 128
        Stretches of rows per step, and rows in each.
    learning_rate : float, default 2e-3
        Peak learning rate.
    validation : float, default 0.2
        Share of the rows, the last ones, by which training is stopped.
    random_state : int, default 0
        Seed of weights and draws.

    References
    ----------
    P. Malhotra, L. Vig, G. Shroff and P. Agarwal (2015), Long short term memory networks for anomaly detection in time
    series, ESANN, section 2; D. Salinas et al. (2020), DeepAR, for learned scales.

    Examples
    --------
    >>> x = np.sin(np.arange(300) / 3)[:, None]
    >>> rows = Observed(x, np.zeros((300, 0)), np.ones(300), np.ones(300, bool))
    >>> model = RecurrentPredictor(hidden_size=8, chunk=32, max_steps=20).fit(rows)
    >>> state, expected = model.step(model.start(), rows)
    >>> bool(np.abs(expected.mean - x)[20:].max() < 0.1)
    True
    """

    def __init__(
        self,
        cell: Literal["lstm", "gru"] = "lstm",
        hidden_size: int = 64,
        *,
        num_layers: int = 1,
        order: int = 10,
        output: Literal["student_t", "normal"] = "student_t",
        trim: float = 0.0,
        max_steps: int = 500,
        batch_size: int = 16,
        chunk: int = 128,
        learning_rate: float = 2e-3,
        validation: float = 0.2,
        random_state: int = 0,
    ) -> None:
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.order = order
        self.output = output
        self.trim = trim
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.chunk = chunk
        self.learning_rate = learning_rate
        self.validation = validation
        self.random_state = random_state

    @property
    def _model(self) -> Recurrent:
        return Recurrent(self.cell, self.hidden_size, self.num_layers, AutoRegressive(self.order))

    def _df(self, params: dict[str, Any]) -> Floats:
        if self.output == "normal":
            return super()._df(params)
        return np.asarray(2.01 + np.logaddexp(np.asarray(params["net"]["tail"], np.float64), 0))

    def _learn(self, learned: Sequence[_Learned]) -> list[dict[str, Any]]:
        self._check()
        linear = AutoRegression(self.order)
        base = linear._learn(learned)
        model, size = self._model, learned[0].n_sensors
        room = max(self.chunk, 1 << (max(len(one.x) for one in learned) - 1).bit_length())
        init_key, key = jax.random.split(jax.random.key(self.random_state))
        params = [
            one | {"unit": _units(rows), "net": model.init(init_key, rows.x.shape[1], size)}
            for one, rows in zip(base, learned, strict=True)
        ]
        settings = [
            _settings(linear._model, p, rows, room, self.validation) for p, rows in zip(params, learned, strict=True)
        ]
        params = self._train(params, settings, key)
        if self.trim > 0:
            kept = [
                _trimmed(model, p, rows, s, self.trim) for p, rows, s in zip(params, learned, settings, strict=True)
            ]
            params = self._train(params, kept, jax.random.fold_in(key, 1))
        return params

    def _train(self, params: list[dict[str, Any]], settings: list[dict[str, Any]], key: Any) -> list[dict[str, Any]]:
        loss = ChunkLoss(self._model, self.output, self.chunk)
        training = Training(max_steps=self.max_steps, batch_size=self.batch_size, eval_every=25)
        places = jnp.linspace(0, 1, 4 * self.batch_size, dtype=jnp.float32).reshape(4, -1)
        valid = (places, jnp.ones(places.shape, bool)) if self.validation > 0 else None
        nets = train_members(
            loss, _Places(self.batch_size), [p["net"] for p in params], (), keys=[key] * len(params),
            training=training, optimizers=[Optimizer(learning_rate=self.learning_rate)] * len(params),
            valid_batches=valid, settings=settings,
        )  # fmt: skip
        return [
            p | {"net": net} if valid is None or _better(loss, net, p["net"], valid, own) else p
            for p, own, (net, _) in zip(params, settings, nets, strict=True)
        ]

    def _check(self) -> None:
        if self.cell not in ("lstm", "gru") or self.output not in ("student_t", "normal"):
            raise ValueError(f"cell is lstm or gru and output student_t or normal, got {self.cell!r}, {self.output!r}.")
        for name, least in (("hidden_size", 1), ("num_layers", 1), ("order", 1), ("chunk", 8)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)!r}.")
        for name in ("trim", "validation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a share of the rows in [0, 1), got {getattr(self, name)!r}.")


@dataclass(frozen=True)
class _Places:
    """Where chunks are taken from a recording, drawn evenly."""

    batch_size: int

    def __call__(self, data: Any, key: Any) -> tuple[Any, Any]:
        return jax.random.uniform(key, (self.batch_size,), jnp.float32), jnp.zeros(self.batch_size, bool)


def _run(
    model: AbstractOnline, params: Any, carry: Any, rows: NDArray[np.float32], hold: Hold
) -> tuple[State, NDArray[np.float32]]:
    """What is carried after the rows, and their means, scales and whether they were held, (n, 3 C)."""
    limits, out = (np.float32(hold.limit), np.float32(hold.steps)), []
    for first in range(0, len(rows), _ROWS):
        part = rows[first : first + _ROWS]
        block = np.zeros((_ROWS, rows.shape[1]), np.float32)
        block[: len(part)] = part
        carry, expected = run(model, params, carry, block, np.int32(len(part)), *limits)
        out.append(np.asarray(expected)[: len(part)])
    return _arrays(carry), np.concatenate(out) if out else np.zeros((0, 3 * len(params["scale"])), np.float32)


def _passed(model: AbstractOnline, params: Any, learned: _Learned) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Means and scales of learned rows, and where a sensor that was seen before is seen; (n, C) each."""
    carry = model.start(params, learned.x.shape[1])
    rows = np.concatenate([learned.elapsed[:, None], learned.x], axis=1)
    _, expected = _run(model, params, carry, rows, Hold())
    mean, scale, _ = np.split(expected.astype(float), 3, axis=1)
    return mean, scale, learned.known


def _with_scale(
    model: AbstractOnline, params: dict[str, Any], learned: _Learned, more: Floats | float = 1.0
) -> dict[str, Any]:
    """The parameters with the scale of what the model misses, which is ``more`` times that in learned rows."""
    params = {**params, "scale": np.ones(learned.n_sensors, np.float32)}
    mean, _, known = _passed(model, params, learned)
    missed = np.where(known, (learned.sensors - mean) / np.sqrt(learned.late), np.nan)
    return {**params, "scale": np.maximum(more * _spread(missed), _LEAST_SCALE).astype(np.float32)}


def _units(learned: _Learned) -> NDArray[np.float32]:
    """Spread of the moves of each column."""
    moves = np.where(np.isfinite(learned.age), learned.x - learned.last, np.nan)
    return np.maximum(_spread(moves), _LEAST_SCALE).astype(np.float32)


def _regressed(learned: _Learned, order: int, ridge: float) -> tuple[dict[str, Any], Floats]:
    """Weights and bias of `tsrnn.nn.online.AutoRegressive`, and how much more it misses of rows not learned, (C,).

    The latter by generalized cross-validation.

    References
    ----------
    G. Golub, M. Heath and G. Wahba (1979), Generalized cross-validation as a method for choosing a good ridge
    parameter, Technometrics 21.
    """
    (n, columns), size = learned.x.shape, learned.n_sensors
    unit = _units(learned).astype(float)
    units = np.concatenate([np.ones(columns), np.tile(unit, order - 1), np.ones(1)])
    moves = np.where(np.isnan(learned.x) | np.isinf(learned.age), 0, learned.x - learned.last)
    moves = np.concatenate([np.zeros((order - 1, columns), np.float32), moves])
    known = learned.known
    goal = np.where(known, learned.sensors - learned.last[:, :size], 0.0) / unit[:size]
    trust, shrinkage = known / learned.late, np.append(np.full(order * columns, ridge), 1e-6)
    alike, group = np.unique(trust, axis=1, return_inverse=True)

    def blocks() -> Iterator[tuple[slice, Floats]]:
        for first in range(0, n, _BLOCK):
            rows = slice(first, min(first + _BLOCK, n))
            back = [moves[order - 1 - k : n + order - 1 - k][rows] for k in range(1, order)]
            yield rows, np.concatenate([learned.last[rows], *back, np.ones((rows.stop - first, 1))], axis=1) / units

    likely, solution, share = np.ones(n), np.zeros((len(units), size)), np.zeros(size)
    for _ in range(_ROUNDS):
        for at, own in enumerate(alike.T):
            mine, weight = group == at, own * likely
            gram, cross = np.zeros((len(units), len(units))), np.zeros((len(units), int(mine.sum())))
            for rows, features in blocks():
                weighted = features.T * weight[rows]
                gram += weighted @ features
                cross += weighted @ goal[rows][:, mine]
            inverse = np.linalg.inv(gram + np.diag(shrinkage))
            solution[:, mine] = inverse @ cross
            share[mine] = np.sum(inverse * gram) / max(weight.sum(), 1e-6)
        missed = np.concatenate([goal[rows] - features @ solution for rows, features in blocks()]) * np.sqrt(trust)
        missed /= np.maximum(_spread(np.where(known, missed, np.nan)), _LEAST_SCALE)
        likely = (_TAIL + known.sum(axis=1)) / (_TAIL + (missed**2).sum(axis=1))
    solution *= unit[:size] / units[:, None]
    params = {"weights": solution[:-1].astype(np.float32), "bias": solution[-1].astype(np.float32)}
    return params, 1 / (1 - np.minimum(share, 0.9))


def _settings(model: AbstractOnline, params: Any, learned: _Learned, room: int, validation: float) -> dict[str, Any]:
    """What `tsrnn.nn.online.ChunkLoss` reads of a recording."""
    mean, scale, known = _passed(model, params, learned)
    unit = np.asarray(params["scale"])
    arrays = {
        "x": learned.x,
        "last": learned.last,
        "age": learned.age,
        "elapsed": learned.elapsed,
        "miss": np.where(known, (learned.sensors - mean) / unit, np.nan),
        "wide": scale / unit,
    }
    missing = {"x": np.nan, "last": 0.0, "age": 0.0, "elapsed": 1.0, "miss": np.nan, "wide": 1.0}
    n = len(learned.x)
    longer: dict[str, Any] = {}
    for name, array in arrays.items():
        longer[name] = (
            jnp.asarray(np.full((room, *array.shape[1:]), missing[name], np.float32))
            .at[:n]
            .set(array.astype(np.float32))
        )
    ends = jnp.array([n - int(validation * n), n], jnp.int32)
    return longer | {"unit": jnp.asarray(params["unit"]), "ends": ends}


def _trimmed(
    model: AbstractOnline, params: Any, learned: _Learned, settings: dict[str, Any], share: float
) -> dict[str, Any]:
    """The settings without the share of the rows to learn from that was expected worst."""
    mean, scale, known = _passed(model, params, learned)
    off = np.where(known, np.abs(learned.sensors - mean) / scale, 0).max(axis=1)
    off[int(settings["ends"][0]) :] = 0
    worst = np.argsort(off, kind="stable")[len(off) - int(share * len(off)) :]
    return settings | {"miss": settings["miss"].at[worst].set(jnp.nan)}


def _better(loss: ChunkLoss, net: Any, than: Any, valid: Any, settings: dict[str, Any]) -> bool:
    """Whether validation rows are more likely under a network than under another."""
    new, old = (evaluate(weights, *padded(valid), settings, loss_fn=loss) for weights in (net, than))
    return bool(new < old)


def _spread(off: NDArray[Any]) -> Floats:
    """How far columns are off zero, in standard deviations of a normal one, a few gross errors not counted; (K,).

    The median or, if larger (columns that mostly rest and sometimes jump), the 99 % quantile of the absolute values;
    the largest where both are 0. NaN are left out; 0 where there is nothing else.
    """
    spread = np.zeros(off.shape[1])
    for k, column in enumerate(np.abs(off).T):
        seen = column[~np.isnan(column)]
        if len(seen):
            spread[k] = max(1.4826 * np.median(seen), np.quantile(seen, 0.99) / 2.576) or seen.max()
    return spread


def _arrays(tree: Any) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(leaf) for name, leaf in tree.items()}
