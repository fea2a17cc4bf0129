"""The Forecaster: where the frame wing and the array wing meet."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization, traverse_util
from jaxtyping import Array
from numpy.typing import NDArray

from tsrnn.data import Panel
from tsrnn.data.calendar import calendar_features
from tsrnn.data.validation import check_observed
from tsrnn.forecasting.artifact import Artifact
from tsrnn.forecasting.base import AbstractForecaster
from tsrnn.nn.model import ForecastLoss, Model, Params
from tsrnn.nn.networks import AbstractNetwork
from tsrnn.nn.outputs import AbstractOutput, Quantiles
from tsrnn.nn.scaling import WindowNorm
from tsrnn.training.loop import train
from tsrnn.training.optimizer import Adam
from tsrnn.training.progress import progress_bar
from tsrnn.training.state import History, Training
from tsrnn.transforms import AbstractTransform, Chain, Fitted, StandardScaler
from tsrnn.transforms.base import known_rows
from tsrnn.types import Batch
from tsrnn.windows.batches import DevicePanel, WindowSampler, gather
from tsrnn.windows.index import WindowIndex, tail_windows, training_windows, validation_rows

__all__ = ["Forecaster"]

_CHUNK = 256
"""Windows forecast in one call. Always this many, padded, so that a forecast does not depend on its neighbours."""

_MAX_VALID_BATCHES = 16

_LOSSES = ("train_loss", "gradient_norm", "valid_step", "valid_loss")
"""The fields of a `History` that are arrays."""


class Forecaster(AbstractForecaster):
    """A recurrent network trained on windows of one or many series, with scikit-learn's ``fit`` and ``predict``.

    Parameters
    ----------
    network : AbstractNetwork
        ``LSTM()``, ``GRU()``, ``RNN()``.
    horizon : int
        Steps ahead to forecast.
    context_length : int, optional
        Steps of history the network reads. By default two seasons or two horizons, whichever is longer, within 8 and
        256 and no longer than the series; see ``context_length_`` after `fit`.
    season_length : int, optional
        Steps in the season whose last run the network starts from, as `SeasonalNaive` does. By default the one usual at
        the data's frequency if the network reads that far back, otherwise 1: the last value.
    output : AbstractOutput, default Quantiles()
        What is forecast and by which loss it is learned.
    transforms : AbstractTransform, list of them, or None, default StandardScaler()
        What is done to each series before the network reads it, fitted on its training rows and undone in the forecast;
        a list is applied in order. See `tsrnn.transforms`.
    normalization : {"last", "standard", "robust", "revin", "running", "mean", "none"}, default "last"
        Normalization of each window by its own history, inside the graph; see `tsrnn.nn.scaling`.
    optimizer : Adam, default Adam()
        Learning rate, schedule, clipping.
    training : Training, default Training()
        Steps, batch size, validation, early stopping, progress.
    random_state : int, default 0
        Seed of the weights, the windows drawn and the dropout. Same seed, same machine: same bits.

    Attributes
    ----------
    history_ : Panel
        The end of the training data, as much of it as the network reads.
    context_length_, season_length_ : int
        Steps of history read, and of the season.
    params_ : pytree of arrays
        Trained weights.
    transforms_ : Fitted or None
        What the transforms learned.
    training_ : History
        Losses, best step, seconds, why training ended.

    Examples
    --------
    >>> import pandas as pd
    >>> from tsrnn import GRU, Training
    >>> y = pd.Series(range(60), index=pd.date_range("2020-01-01", periods=60, freq="MS"), dtype=float)
    >>> model = Forecaster(GRU(hidden_size=8), horizon=3, training=Training(max_steps=20, batch_size=8))
    >>> list(model.fit(y).predict().columns)
    ['unique_id', 'ds', 'GRU', 'GRU-lo-90', 'GRU-hi-90']
    """

    def __init__(
        self,
        network: AbstractNetwork,
        *,
        horizon: int,
        context_length: int | None = None,
        season_length: int | None = None,
        output: AbstractOutput = Quantiles(),  # noqa: B008  a frozen value
        transforms: AbstractTransform | Sequence[AbstractTransform] | None = StandardScaler(),  # noqa: B008  a frozen value
        normalization: WindowNorm = "last",
        optimizer: Adam = Adam(),  # noqa: B008  a frozen value
        training: Training = Training(),  # noqa: B008  a frozen value
        random_state: int = 0,
    ) -> None:
        self.network = network
        self.horizon = horizon
        self.context_length = context_length
        self.season_length = season_length
        self.output = output
        self.transforms = transforms
        self.normalization = normalization
        self.optimizer = optimizer
        self.training = training
        self.random_state = random_state

    @property
    def name(self) -> str:
        """The network's class name."""
        return type(self.network).__name__

    @property
    def default_level(self) -> tuple[float, ...]:
        """90, or the widest interval between learned quantiles if that is less; none for a point output."""
        levels = self.output.levels
        if len(levels) < 2:
            return ()
        return (min(90.0, round(100 * (1 - 2 * max(levels[0], 1 - levels[-1])), 6)),)

    def _rows_needed(self) -> tuple[int, str]:
        return self.horizon + 2, f"a horizon of {self.horizon} to learn and two rows of history"

    def _rows_kept(self, panel: Panel) -> int:
        spec = self._transform
        return self.context_length_ + (0 if spec is None else spec.lookback(panel.freq))

    @property
    def _transform(self) -> AbstractTransform | None:
        """The transforms as one."""
        if self.transforms is None or isinstance(self.transforms, AbstractTransform):
            return self.transforms
        return Chain(self.transforms if isinstance(self.transforms, (list, tuple)) else (self.transforms,))

    @property
    def _model(self) -> Model:
        return Model(self.network, self.output, self.normalization, self.season_length_)

    def _fit(self, panel: Panel) -> None:
        self.context_length_ = self._choose_context(panel)
        self.season_length_ = self._choose_season(panel)
        held = validation_rows(panel.lengths, self.horizon, self.training.validation)
        learned = panel.until(panel.lengths - held)
        check_observed(
            learned.labels.ravel(), np.add.reduceat(~np.isnan(learned.values), learned.indptr[:-1]).ravel() > 0
        )
        spec = self._transform
        self.transforms_ = None if spec is None else spec.fit(learned)
        self._covariate_stats = self._fit_covariates(learned)
        rows = self._device_panel(panel, self.transforms_)
        windows = training_windows(panel, learned.lengths, self.context_length_, self.horizon)
        shape = {"context_length": self.context_length_, "horizon": self.horizon}
        batch_size = self.training.batch_size
        valid = _valid_batches(rows, tail_windows(panel, held, self.horizon), batch_size, **shape)
        init_key, train_key = jax.random.split(jax.random.key(self.random_state))
        one = gather(rows, jnp.zeros(1, jnp.int32), jnp.ones(1, jnp.int32), **shape)
        model = self._model
        with progress_bar(self.training, f"{self.name}, {windows.total:,} windows") as report:
            params, self.training_ = train(
                ForecastLoss(model), WindowSampler(batch_size=batch_size, **shape), _init(model, init_key, one),
                (rows, _padded_index(windows)), key=train_key, training=self.training, optimizer=self.optimizer,
                valid_batches=valid, report=report,
            )  # fmt: skip
        self.params_ = jax.device_get(params)
        if self.training_.stop_reason == "interrupted":
            self.history_ = panel.tail(self._rows_kept(panel))  # fitted, as far as training got
            raise KeyboardInterrupt

    def forecast_panel(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], quantiles: Sequence[float] = ()
    ) -> NDArray[np.float64]:
        """Forecast from any number of cutoffs; see `AbstractForecaster.forecast_panel`."""
        take = _quantile_weights(self.output, quantiles)
        panel = known_rows(panel, series, ends)
        first = panel.lengths.copy()
        np.minimum.at(first, series, ends)
        fitted = None if self.transforms_ is None else self.transforms_.on(panel, first)
        rows = self._device_panel(panel, fitted)
        known, starts = ends.astype(np.int32), panel.indptr[series].astype(np.int32)
        parts = []
        for at in range(0, len(known), _CHUNK):
            pad = (0, max(0, at + _CHUNK - len(known)))
            parts.append(
                _forecast(
                    self._model,
                    self.params_,
                    rows,
                    np.pad(starts[at : at + _CHUNK], pad),
                    np.pad(known[at : at + _CHUNK], pad),
                    context_length=self.context_length_,
                    horizon=self.horizon,
                )
            )
        values = np.concatenate([np.asarray(part) for part in parts])[: len(known)].astype(np.float64) @ take
        return values if fitted is None else fitted.inverse_forecast(values, panel, series, ends)

    def _choose_context(self, panel: Panel) -> int:
        if self.context_length is not None:
            if self.context_length < 1 or self.context_length % 1:
                raise ValueError(f"context_length must be a positive integer or None, got {self.context_length!r}.")
            return self.context_length
        wanted = int(np.clip(2 * max(panel.freq.season_length, self.horizon), 8, 256))
        return max(1, min(wanted, int(panel.lengths.max()) - self.horizon))

    def _choose_season(self, panel: Panel) -> int:
        if self.season_length is None:
            usual = panel.freq.season_length
            return usual if usual <= self.context_length_ else 1
        if not 1 <= self.season_length <= self.context_length_:
            raise ValueError(
                f"season_length={self.season_length!r} must lie in 1 to context_length={self.context_length_}."
            )
        return self.season_length

    def _fit_covariates(self, learned: Panel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Location and scale of each covariate; 0 and 1 where a transform of the user's sees to it."""
        location, scale = _covariate_stats(learned)
        spec = self._transform
        own = [] if spec is None else spec.covariates(learned)
        location[own], scale[own] = 0.0, 1.0
        return location, scale

    def _device_panel(self, panel: Panel, fitted: Fitted | None) -> DevicePanel:
        """The panel's rows in network units, padded so that panels of similar size share a program."""
        panel = panel if fitted is None else fitted.transform(panel)
        location, scale = self._covariate_stats
        covariates = (panel.covariates - location) / scale
        observed = ~np.isnan(covariates)
        n_past = len(panel.schema.past_covariates)
        known = np.nan_to_num(covariates)
        past = np.concatenate([known[:, :n_past], observed[:, :n_past]], axis=1)
        future = np.concatenate(
            [known[:, n_past:], observed[:, n_past:], calendar_features(panel.times, panel.freq)], axis=1
        )
        return DevicePanel(_rows(panel.values, np.nan), _rows(past, 0), _rows(future, 0))

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        flat = traverse_util.flatten_dict(serialization.to_state_dict(self.params_), sep="/")  # type: ignore[no-untyped-call]
        arrays = {f"params/{name}": np.asarray(array) for name, array in flat.items()}
        arrays |= {"covariates/location": self._covariate_stats[0], "covariates/scale": self._covariate_stats[1]}
        if self.transforms_ is not None:
            arrays |= {f"transforms/{name}": array for name, array in self.transforms_.state.items()}
        run = dataclasses.asdict(self.training_)
        arrays |= {f"training/{name}": run.pop(name) for name in _LOSSES}
        values = {"context_length": self.context_length_, "season_length": self.season_length_, "training": run}
        return values, arrays

    def _restore(self, saved: Artifact) -> None:
        values, arrays = saved.values, saved.arrays
        self.context_length_, self.season_length_ = values["context_length"], values["season_length"]
        self._covariate_stats = arrays["covariates/location"], arrays["covariates/scale"]
        spec, history = self._transform, saved.history
        learned = _under(arrays, "transforms/")
        self.transforms_ = None
        if spec is not None:
            self.transforms_ = Fitted(spec, learned, history.ids, history.schema, history.freq)
        losses: dict[str, Any] = {name: arrays[f"training/{name}"] for name in _LOSSES}
        self.training_ = History(**losses, **values["training"])
        flat = _under(arrays, "params/")
        rows = self._device_panel(history, self.transforms_)
        one = gather(
            rows,
            jnp.zeros(1, jnp.int32),
            jnp.ones(1, jnp.int32),
            context_length=self.context_length_,
            horizon=self.horizon,
        )
        target = jax.eval_shape(lambda: self._model.init(jax.random.key(0), one))
        nested = traverse_util.unflatten_dict(flat, sep="/")  # type: ignore[no-untyped-call]
        self.params_ = serialization.from_state_dict(target, nested)


@partial(jax.jit, static_argnames=("model",))
def _init(model: Model, key: Array, batch: Batch) -> Params:
    return model.init(key, batch)


@partial(jax.jit, static_argnames=("model", "context_length", "horizon"))
def _forecast(
    model: Model, params: Params, rows: DevicePanel, starts: Array, known: Array, *, context_length: int, horizon: int
) -> Array:
    return model(params, gather(rows, starts, known, context_length=context_length, horizon=horizon))


def _valid_batches(
    rows: DevicePanel, windows: WindowIndex, batch_size: int, *, context_length: int, horizon: int
) -> Batch | None:
    """Batches of validation windows, evenly spread over all of them; None if there are none."""
    if not windows.total:
        return None
    n_batches = min(_MAX_VALID_BATCHES, 1 << (max(1, -(-windows.total // batch_size)) - 1).bit_length())
    spread = np.linspace(0, windows.total - 1, n_batches * batch_size).round().astype(np.int64)
    series, known = windows.locate(spread)
    cut = partial(gather, context_length=context_length, horizon=horizon)
    flat = jax.jit(cut)(rows, windows.row[series].astype(np.int32), known.astype(np.int32))
    return Batch(*(leaf.reshape(n_batches, batch_size, *leaf.shape[1:]) for leaf in flat))


def _quantile_weights(output: AbstractOutput, quantiles: Sequence[float]) -> NDArray[np.float64]:
    """Weights from the learned levels to the point forecast and the quantiles asked for, shape (Q, 1 + asked)."""
    levels = np.asarray(output.levels)
    if not len(levels):
        if quantiles:
            raise ValueError("a Point output has no intervals; train with output=Quantiles(), or ask for level=[].")
        return np.ones((1, 1))
    beyond = [q for q in quantiles if not levels[0] <= q <= levels[-1]]
    if beyond:
        raise ValueError(
            f"quantile {beyond[0]:g} (level {abs(100 - 200 * beyond[0]):g}) lies outside the learned ones, "
            f"{levels[0]:g} to {levels[-1]:g}. "
            "Train with output=Quantiles(quantiles=(...)) that reach so far."
        )
    grid = np.eye(len(levels))
    return np.stack([np.interp([0.5, *quantiles], levels, row) for row in grid])


def _under(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _covariate_stats(panel: Panel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each covariate over all training rows, (P,) each."""
    seen = ~np.isnan(panel.covariates)
    n = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, panel.covariates, 0).sum(axis=0) / n
    deviation = np.sqrt(np.where(seen, (panel.covariates - mean) ** 2, 0).sum(axis=0) / n)
    return mean, np.where(deviation > 0, deviation, 1.0)


def _bucket(n: int) -> int:
    """The next of eight sizes an octave."""
    step = 1 << max(0, (n - 1).bit_length() - 3)
    return -(-n // step) * step


def _rows(array: NDArray[Any], fill: float) -> Array:
    """An array on the device in single precision, rows padded to a bucketed number."""
    pad = _bucket(len(array)) - len(array)
    return jnp.asarray(np.pad(array.astype(np.float32), ((0, pad), (0, 0)), constant_values=fill))


def _padded_index(windows: WindowIndex) -> WindowIndex:
    """The index with its series padded to a bucketed number; the padding holds no windows."""
    pad = (0, _bucket(len(windows.row)) - len(windows.row))
    return WindowIndex(np.pad(windows.row, pad), np.pad(windows.first, pad), np.pad(windows.below, pad, mode="edge"))
