"""Predictors of the next row from a carried state: three that need no training, and a recurrent network."""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from tsrnn.forecasting.regression import regressed
from tsrnn.forecasting.streams import AbstractOnlinePredictor, Learned, passed, scale_of, trained
from tsrnn.nn.online import AbstractOnline, AutoRegressive, ChunkLoss, Levels, Persistent, Recurrent, first_weights

__all__ = ["AutoRegression", "MovingAverage", "Persistence", "RecurrentPredictor"]

Floats = NDArray[np.float64]


class Persistence(AbstractOnlinePredictor):
    """The last value of each sensor.

    Examples
    --------
    >>> from tsrnn.forecasting.predictor import Observed
    >>> rows = Observed(np.array([[1.0], [3.0], [2.0]]), np.zeros((3, 0)), np.ones(3), np.ones(3, bool))
    >>> model = Persistence().fit(rows)
    >>> state, expected = model.step(model.start(), rows)
    >>> expected.mean[:, 0].round(4).tolist()
    [2.0, 1.0, 3.0]
    """

    @property
    def _model(self) -> AbstractOnline:
        return Persistent()

    def _learn(self, learned: Sequence[Learned]) -> list[dict[str, Any]]:
        return [scale_of(self._model, {}, one) for one in learned]


class MovingAverage(AbstractOnlinePredictor):
    """The exponential average of each sensor.

    Parameters
    ----------
    span : float, default 20.0
        Memory in typical steps: a value one step old weighs ``1 - 2 / (span + 1)`` times as much as the newest.

    Examples
    --------
    >>> from tsrnn.forecasting.predictor import Observed
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

    def _learn(self, learned: Sequence[Learned]) -> list[dict[str, Any]]:
        return [scale_of(self._model, {}, one) for one in learned]


class AutoRegression(AbstractOnlinePredictor):
    """Ridge regression on the last rows of all sensors and inputs, shrunk to the last value of each sensor.

    Rows that come late count for less, and by default also those that do not fit, as under a multivariate Student's t
    with 4 degrees of freedom, or follow values that are far off.

    Parameters
    ----------
    order : int, default 10
        Rows that are looked at.
    ridge : float, default 10.0
        Weight of the shrinkage, in rows.
    output : {"student_t", "normal"}, default "student_t"
        Predictive distribution that is fitted. With "normal" these are least squares, in which all rows count alike:
        for rows without gross errors.

    References
    ----------
    K. Lange, R. Little and J. Taylor (1989), Robust statistical modeling using the t distribution, JASA 84, section 3;
    F. Hampel et al. (1986), Robust Statistics, section 6.3 (Mallows' weights).

    Examples
    --------
    >>> from tsrnn.forecasting.predictor import Observed
    >>> x = np.sin(np.arange(300) / 3)[:, None]
    >>> rows = Observed(x, np.zeros((300, 0)), np.ones(300), np.ones(300, bool))
    >>> model = AutoRegression(order=2, ridge=1e-3).fit(rows)
    >>> state, expected = model.step(model.start(), rows)
    >>> bool(np.abs(expected.mean - x)[2:].max() < 0.01)
    True
    """

    def __init__(
        self, order: int = 10, ridge: float = 10.0, output: Literal["student_t", "normal"] = "student_t"
    ) -> None:
        self.order = order
        self.ridge = ridge
        self.output = output

    @property
    def _model(self) -> AutoRegressive:
        if self.order < 1 or self.ridge <= 0:
            raise ValueError(f"order must be at least 1 and ridge positive, got {self.order!r} and {self.ridge!r}.")
        if self.output not in ("student_t", "normal"):
            raise ValueError(f"output is student_t or normal, got {self.output!r}.")
        return AutoRegressive(self.order)

    def _learn(self, learned: Sequence[Learned]) -> list[dict[str, Any]]:
        model = self._model
        fits = [regressed(one, model.order, self.ridge, self.output == "student_t") for one in learned]
        return [scale_of(model, params, one, more) for (params, more), one in zip(fits, learned, strict=True)]


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
    >>> from tsrnn.forecasting.predictor import Observed
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

    def _learn(self, learned: Sequence[Learned]) -> list[dict[str, Any]]:
        self._check()
        linear = AutoRegression(self.order, output=self.output)
        base = linear._learn(learned)
        model = self._model
        room = max(self.chunk, 1 << (max(len(one.x) for one in learned) - 1).bit_length())
        net, key = first_weights(model, np.uint32(self.random_state), learned[0].x.shape[1], learned[0].n_sensors)
        params = [one | {"net": net} for one in base]
        settings = [
            _settings(linear._model, p, rows, room, self.validation) for p, rows in zip(base, learned, strict=True)
        ]
        params = self._train(params, settings, key)
        if self.trim > 0:
            kept = [
                _trimmed(model, p, rows, s, self.trim) for p, rows, s in zip(params, learned, settings, strict=True)
            ]
            params = self._train(params, kept, jax.random.fold_in(key, 1))
        return params

    def _train(self, params: list[dict[str, Any]], settings: list[dict[str, Any]], key: Any) -> list[dict[str, Any]]:
        nets = trained(
            ChunkLoss(self._model, self.output, self.chunk), [p["net"] for p in params], settings, key=key,
            max_steps=self.max_steps, batch_size=self.batch_size, learning_rate=self.learning_rate,
            validation=self.validation,
        )  # fmt: skip
        return [p | {"net": net} for p, net in zip(params, nets, strict=True)]

    def _check(self) -> None:
        if self.cell not in ("lstm", "gru") or self.output not in ("student_t", "normal"):
            raise ValueError(f"cell is lstm or gru and output student_t or normal, got {self.cell!r}, {self.output!r}.")
        for name, least in (("hidden_size", 1), ("num_layers", 1), ("order", 1), ("chunk", 8)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)!r}.")
        for name in ("trim", "validation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a share of the rows in [0, 1), got {getattr(self, name)!r}.")


def _settings(model: AbstractOnline, params: Any, learned: Learned, room: int, validation: float) -> dict[str, Any]:
    """What `tsrnn.nn.online.ChunkLoss` reads of a recording."""
    mean, scale, known = passed(model, params, learned)
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
    n, longer = len(learned.x), {}
    for name, array in arrays.items():
        longer[name] = np.full((room, *array.shape[1:]), missing[name], np.float32)
        longer[name][:n] = array
    ends = np.array([n - int(validation * n), n], np.int32)
    settings: dict[str, Any] = jax.device_put(longer | {"unit": params["unit"], "ends": ends})
    return settings


def _trimmed(
    model: AbstractOnline, params: Any, learned: Learned, settings: dict[str, Any], share: float
) -> dict[str, Any]:
    """The settings without the share of the rows to learn from that was expected worst."""
    mean, scale, known = passed(model, params, learned)
    off = np.where(known, np.abs(learned.sensors - mean) / scale, 0).max(axis=1)
    n = int(settings["ends"][0])
    off[n:] = 0
    worst = np.argsort(off, kind="stable")[len(off) - int(share * n) :]
    return settings | {"miss": settings["miss"].at[worst].set(jnp.nan)}
