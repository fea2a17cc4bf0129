"""The Forecaster: where the frame wing and the array wing meet."""

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import serialization, traverse_util
from jaxtyping import Array
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from tsrnn.data import Panel, Schema
from tsrnn.data.kinds import Tabular
from tsrnn.data.validation import check_domain, check_lengths, check_observed
from tsrnn.forecasting.artifact import Artifact, encode
from tsrnn.forecasting.attribution import attribute, check_transforms, labels
from tsrnn.forecasting.base import AbstractForecaster
from tsrnn.forecasting.baselines import SeasonalNaive
from tsrnn.forecasting.choices import LONGEST, choose_context, choose_season, choose_shrinkage, choose_width
from tsrnn.forecasting.inputs import Inputs
from tsrnn.forecasting.stateful import carried, check_stateful, decode
from tsrnn.nn.embedding import Categories
from tsrnn.nn.esrnn import ESRNN, SmoothedModel
from tsrnn.nn.gradients import hidden_gradients
from tsrnn.nn.model import Model, Params, Precision
from tsrnn.nn.networks import AbstractNetwork
from tsrnn.nn.outputs import AbstractOutput, Quantiles
from tsrnn.nn.recursive import Recursive, RecursiveModel
from tsrnn.nn.scaling import WindowNorm
from tsrnn.training.loop import train, train_members
from tsrnn.training.optimizer import Optimizer
from tsrnn.training.progress import progress_bar
from tsrnn.training.state import History, Training
from tsrnn.transforms import AbstractTransform, Chain, Fitted, StandardScaler
from tsrnn.transforms.base import known_rows
from tsrnn.types import Batch
from tsrnn.windows.batches import DevicePanel, WindowSampler, gather
from tsrnn.windows.index import WindowIndex, sampling_odds, tail_windows, training_windows, validation_rows

__all__ = ["Forecaster"]

AnyModel = Model | RecursiveModel | SmoothedModel

_CHUNK = 256
"""Windows forecast in one call. Always this many, padded, so that a forecast does not depend on its neighbours."""

_ROWS = 4096
"""Paths drawn in one call, of all its windows: what bounds the memory."""

_MAX_VALID_BATCHES = 16

_FEW = 500
"""Rows of training data from which on a forecast is the network's alone."""

_SHAPE = ("context_length", "season_length", "hidden_size", "shrinkage")
"""What is chosen where it is not given."""

_STATISTICS = ("location", "scale", "static_location", "static_scale")
"""The fields of `Inputs` that are arrays."""

_CURVES = ("train_loss", "gradient_norm", "learning_rate", "layer_norm", "valid_step", "valid_loss")
"""The fields of a `History` that are arrays."""

P = ParamSpec("P")
R = TypeVar("R")


def _in_its_precision(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """The method with JAX's 64-bit numbers on for float64 and off otherwise, whatever they are outside."""

    @wraps(method)
    def run(self: "Forecaster", /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision={self.precision!r} is unknown; choose {', '.join(get_args(Precision))}.")
        with jax.enable_x64(self.precision == "float64"):
            return method(self, *args, **kwargs)

    return run


class _Task(NamedTuple):
    """What there is to learn from a panel."""

    model: AnyModel
    sampler: WindowSampler
    data: tuple[DevicePanel, WindowIndex]
    valid: Batch | None
    training: Training
    fitted: Fitted | None
    about: Callable[[], str]


class Forecaster(AbstractForecaster):
    """A recurrent network trained on windows of one or many series, with scikit-learn's ``fit`` and ``predict``.

    Parameters
    ----------
    network : AbstractNetwork
        ``LSTM()``, ``GRU()``, ``RNN()``, ``SLSTM()``, ``MinGRU()``, ``MinLSTM()``; ``Seq2Seq()``, ``SegRNN()``;
        ``Recursive()``, which draws sample paths; ``ESRNN()``, exponential smoothing, which is its own normalization.
        One that does not say how wide it is gets 64 numbers a state, 32 for fewer than 2,000 rows of training data and
        16 for fewer than 500.
    horizon : int
        Steps ahead to forecast.
    context_length : int, optional
        Steps of history the network reads. By default two seasons or two horizons, whichever is longer, within 8 and
        256, but a whole season and no longer than the series; see ``context_length_`` after `fit`.
    season_length : int, optional
        Steps in the season whose last run the network starts from, as `SeasonalNaive` does. By default the one, no
        longer than the context, by which the training data were forecast best so: the one usual at their frequency or 1
        (the last value), or of any length where the frequency has no usual one; see `tsrnn.forecasting.choices`.
    shrinkage : float, optional
        How far the forecast and its quantiles are taken back to that last season, 0 to 1. By default not at all, but
        for fewer than 500 rows of training data, where the context is left to the data too, by what both missed on the
        rows held out for validation (`tsrnn.forecasting.choices.choose_shrinkage`); never of counts and amounts, of
        `ESRNN` and of sample paths.
    output : AbstractOutput, default Quantiles()
        What is forecast and by which loss it is learned: quantiles, a point, or a distribution of
        `tsrnn.nn.distributions`. Those of counts and amounts need ``normalization="mean"`` (or ``"none"``) and
        ``transforms=None`` (for amounts `MeanAbsScaler` will do), since their zero has a meaning.
    transforms : AbstractTransform, list of them, or None, default StandardScaler()
        What is done to each series before the network reads it, fitted on its training rows and undone in the forecast;
        a list is applied in order. See `tsrnn.transforms`.
    normalization : {"last", "standard", "shift", "robust", "revin", "running", "mean", "none"}, default "last"
        Normalization of each window by its own history, inside the graph; see `tsrnn.nn.scaling`.
    optimizer : Optimizer, default Optimizer()
        Update rule, learning rate, schedule, clipping.
    training : Training, default Training()
        Steps, batch size, validation, early stopping, progress.
    n_paths : int, default 200
        Sample paths that a `Recursive` network draws of every series, of which `predict` gives the median, or the mean
        if the output says so, and quantiles.
    stateful : bool, default False
        Forecast from the state that the network is in after reading a series from its first row on, instead of its last
        ``context_length`` rows; it learns from windows of these as otherwise. A backtest without refits is then one
        pass over each series, and `predict` needs all of its history. For direct networks (`LSTM`, `GRU` ...) and
        `Recursive` ones with ``normalization="none"`` and gaps that are masked.
    random_state : int, default 0
        Seed of the weights, the windows drawn, the dropout and the paths. Same seed, same machine: same bits.
    alias : str, optional
        Name of the forecast's columns; by default that of the network, or of the cell of a `Recursive` one.
    precision : {"float32", "bfloat16", "float64"}, default "float32"
        What is computed in. ``"float64"`` is everything: data, weights, optimizer. ``"bfloat16"`` is the network alone;
        its weights, the optimizer, the statistics of the windows and the loss stay in float32. In all of them a seed
        begins with the same weights (rounded) and draws the same windows. JAX's own setting is left as it is.

    Attributes
    ----------
    history_ : Panel
        The end of the training data, as much of it as the network reads.
    context_length_, season_length_, hidden_size_ : int
        Steps of history read, and of the season; width of the network.
    shrinkage_ : float
        How far forecasts are taken back to the last season.
    params_ : pytree of arrays
        Trained weights.
    inputs_ : Inputs
        Scales and vocabularies of the covariates.
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
        shrinkage: float | None = None,
        output: AbstractOutput = Quantiles(),  # noqa: B008  a frozen value
        transforms: AbstractTransform | Sequence[AbstractTransform] | None = StandardScaler(),  # noqa: B008  a frozen value
        normalization: WindowNorm = "last",
        optimizer: Optimizer = Optimizer(),  # noqa: B008  a frozen value
        training: Training = Training(),  # noqa: B008  a frozen value
        n_paths: int = 200,
        stateful: bool = False,
        random_state: int = 0,
        alias: str | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.network = network
        self.horizon = horizon
        self.context_length = context_length
        self.season_length = season_length
        self.shrinkage = shrinkage
        self.output = output
        self.transforms = transforms
        self.normalization = normalization
        self.optimizer = optimizer
        self.training = training
        self.n_paths = n_paths
        self.stateful = stateful
        self.random_state = random_state
        self.alias = alias
        self.precision = precision

    @property
    def name(self) -> str:
        """The alias, or the network's class name; of a `Recursive`, that of its cell."""
        usual = self.network.cell if isinstance(self.network, Recursive) else type(self.network).__name__
        return self.alias or usual

    @property
    def default_level(self) -> tuple[float, ...]:
        """90, or the widest interval between learned quantiles if that is less; none for a point output."""
        if self.output.reach is None:
            return ()
        low, high = self.output.reach
        widest = round(100 * (1 - 2 * max(low, 1 - high)), 6)
        return (min(90.0, widest),) if widest > 0 else ()

    def _rows_needed(self) -> tuple[int, str]:
        return self.horizon + 2, f"a horizon of {self.horizon} to learn and two rows of history"

    def _rows_held(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        return validation_rows(lengths, self.horizon, self.training.validation)

    def _rows_kept(self, panel: Panel) -> int:
        if self.stateful:
            return super()._rows_kept(panel)
        spec = self._transform
        return self.context_length_ + (0 if spec is None else spec.lookback(panel.freq))

    @property
    def _transform(self) -> AbstractTransform | None:
        """The transforms as one."""
        if self.transforms is None or isinstance(self.transforms, AbstractTransform):
            return self.transforms
        return Chain(self.transforms if isinstance(self.transforms, (list, tuple)) else (self.transforms,))

    @property
    def _network(self) -> Any:
        """The network, as wide as was chosen where it does not say."""
        if getattr(self.network, "hidden_size", self.hidden_size_) is not None:
            return self.network
        return self.network.clone(hidden_size=self.hidden_size_)

    @property
    def _dtype(self) -> type[np.floating[Any]]:
        """Type of data and weights."""
        return np.float64 if self.precision == "float64" else np.float32

    def _model(self, schema: Schema) -> AnyModel:
        """The model; its embedding tables have bucketed sizes, so that a few categories more share a program."""
        roles = (schema.past_covariates, schema.future_covariates, schema.static_covariates)
        categories = Categories(*(tuple(map(_bucket, self.inputs_.sizes(names))) for names in roles))
        model = Model(self._network, self.output, self.normalization, self.season_length_, categories, self.precision)
        if isinstance(self.network, ESRNN):
            return SmoothedModel(model, _bucket(1 + len(self.inputs_.series)))
        if not isinstance(self.network, Recursive):
            return model
        if schema.past_covariates:
            raise ValueError(
                f"Recursive() reads its own forecasts and would have to know past_covariates={schema.past_covariates} "
                "ahead. Leave them out, give them as future_covariates, or choose another network, Seq2Seq() say."
            )
        return RecursiveModel(model)

    def _fit(self, panel: Panel) -> None:
        self._choose_shape(panel)
        self._train(panel, None, self.training, self.optimizer)
        self._choose_shrinkage(panel)

    def fine_tune(
        self, df: "Tabular | Panel", *, training: Training | None = None, optimizer: Optimizer | None = None
    ) -> Self:
        """Go on training from the fitted weights, on new data.

        Context, season, vocabularies and scales of covariates stay as they are: a category that `fit` did not see is
        read as a missing one. So do the transforms of series that were fitted; those of new series are fitted on their
        own training rows. `predict` then starts from the end of the new data. `fit` forgets all this and starts cold.

        Parameters
        ----------
        df : DataFrame, Series, Table, array or Panel
            Data of the same columns and frequency as that of `fit`, of the same series or others.
        training : Training, optional
            Settings of this training, by default ``self.training``.
        optimizer : Optimizer, optional
            Its optimizer, by default ``self.optimizer``; often one with a tenth of the learning rate.

        Returns
        -------
        Self
            With new weights and a new ``training_``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        DataError
            If the frame cannot be used as it is.
        """
        check_is_fitted(self, "history_")
        panel = Panel.from_frame(df, self.history_.schema, self.history_.freq)
        check_lengths(panel.ids, panel.lengths, *self._rows_needed())
        self._train(panel, self.params_, training or self.training, optimizer or self.optimizer)
        self.history_ = panel.tail(self._rows_kept(panel))
        return self

    @_in_its_precision
    def _train(self, panel: Panel, params: Params | None, training: Training, optimizer: Optimizer) -> None:
        """Learn from given weights; without any, the scales of series and covariates and first weights too."""
        task = self._task(panel, params is None, training, optimizer)
        init_key, key = jax.random.split(jax.random.key(self.random_state))
        if params is None:
            params = self._first_weights(task.model, task.data[0], init_key)
        with progress_bar(task.training, self.name, task.about) as progress:
            params, history = train(
                task.model.loss, task.sampler, params, task.data, key=key,
                training=task.training, optimizer=optimizer, valid_batches=task.valid, report=progress.report,
            )  # fmt: skip
            progress.done(history)
        self._learned(task, params, history)
        if history.stop_reason == "interrupted":
            self.history_ = panel.tail(self._rows_kept(panel))  # fitted, as far as training got
            raise KeyboardInterrupt

    @_in_its_precision
    def fit_members(self, panel: Panel, seeds: Sequence[int]) -> list[Self]:
        """Clones with these seeds, fitted as one program; each is what its own `fit` gives, up to rounding."""
        self._choose_shape(panel)
        task = self._task(panel, True, self.training, self.optimizer)
        members = [clone(self).set_params(random_state=seed) for seed in seeds]
        for member in members:
            vars(member).update({name: value for name, value in vars(self).items() if name.endswith("_")})
        _train_members(members, [panel] * len(seeds), [task])
        return members

    @property
    def fits_together(self) -> bool:  # type: ignore[override]
        """Whether there is an accelerator, and neither log nor checkpoint, which are for single runs."""
        alone = self.training.log is not None or self.training.checkpoint is not None
        return jax.default_backend() != "cpu" and not alone

    @_in_its_precision
    def fit_folds(self, panels: Sequence[Panel]) -> list[Self]:
        """Clones fitted on each of these panels, as one program; each is what its own `fit` gives, up to rounding.

        Where the panels ask for models or arrays of different shapes, they are fitted one after the other.
        """
        members, tasks = [clone(self) for _ in panels], []
        for member, panel in zip(members, panels, strict=True):
            member._choose_shape(panel)
            tasks.append(member._task(panel, True, self.training, self.optimizer))
        arrays = [str(jax.eval_shape(lambda data=task.data: data)) for task in tasks]
        kinds = {(task.model, task.sampler, task.training, shapes) for task, shapes in zip(tasks, arrays, strict=True)}
        if len(kinds) > 1:
            return super().fit_folds(panels)
        _train_members(members, panels, tasks)
        if any(member.training_.stop_reason == "interrupted" for member in members):
            raise KeyboardInterrupt
        return members

    def _task(self, panel: Panel, cold: bool, training: Training, optimizer: Optimizer) -> "_Task":
        """What there is to learn from a panel; if cold, the scales of series and covariates are learned here."""
        if self.stateful:
            check_stateful(self.network, self.normalization, panel.schema.gaps)
        held = validation_rows(panel.lengths, self.horizon, training.validation)
        learned = panel.until(panel.lengths - held)
        check_observed(
            learned.labels.ravel(), np.add.reduceat(~np.isnan(learned.values), learned.indptr[:-1]).ravel() > 0
        )
        if cold:
            spec = self._transform
            fitted = None if spec is None else spec.fit(learned)
            at = () if spec is None else spec.covariates(learned)
            self.inputs_ = Inputs.fit(learned, at, by_series=isinstance(self.network, ESRNN))
        else:
            fitted = None if self.transforms_ is None else self.transforms_.on(learned, learned.lengths)
        _check_output(self.output, self.normalization, fitted, panel)
        windows = training_windows(panel, learned.lengths, self.context_length_, self.horizon)
        windows = sampling_odds(windows, training.sampling, _mean_size(learned))
        del learned  # its memory, before the panel is laid out again for the device
        rows = self._device_panel(panel, fitted)
        shape = {"context_length": self.context_length_, "horizon": self.horizon}
        batch_size = training.batch_size
        valid = _valid_batches(rows, tail_windows(panel, held, self.horizon), batch_size, **shape)
        epoch = -(-windows.total // (batch_size * optimizer.accumulate))
        training = training.in_steps(epoch)

        def about() -> str:
            return (
                f"{panel.describe()}\n{windows.total:,} windows, {epoch:,} steps an epoch\n{self.name}: reads "
                f"{self.context_length_} steps, starts from those a season of {self.season_length_} before, "
                f"normalizes by {self.normalization!r}, is {self.hidden_size_} wide, "
                f"learns for {training.max_steps:,} steps at most"
            )

        sampler = WindowSampler(batch_size=batch_size, **shape)
        data = rows, _padded_index(windows)
        return _Task(self._model(panel.schema), sampler, data, valid, training, fitted, about)

    def _learned(self, task: "_Task", params: Params, history: History) -> None:
        """Keep what training gave."""
        self.params_, self.training_ = jax.device_get(params), history
        self.transforms_: Fitted | None = task.fitted

    @_in_its_precision
    def forecast_panel(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], quantiles: Sequence[float] = ()
    ) -> NDArray[np.float64]:
        """Forecast from any number of cutoffs; see `AbstractForecaster.forecast_panel`."""
        if self.draws_paths:
            return self.summary(self.paths(panel, series, ends), quantiles)
        asked = _checked_quantiles(self.output, quantiles)
        if isinstance(self.network, Recursive):
            return self.paths(panel, series, ends, 1)

        model = self._model(panel.schema)
        assert not isinstance(model, RecursiveModel)
        shape = {"context_length": self.context_length_, "horizon": self.horizon}
        states = self._carried(model, panel, series, ends)

        def forecast(rows: DevicePanel, at: NDArray[np.int64]) -> Any:
            where = series[at].astype(np.int32), ends[at].astype(np.int32)
            if states is None:
                return _read(self.output, _forecast(model, self.params_, rows, *where, **shape), asked)
            assert isinstance(model, Model)
            return _read(self.output, decode(model, self.params_, rows, *where, states(rows, at), **shape), asked)

        values = self._in_chunks(panel, series, ends, forecast, _CHUNK)
        if not self.shrinkage_:
            return values
        back = self.shrinkage_ * (self._start(panel, series, ends) - values[..., :1])
        return values + np.where(np.isnan(back), 0, back)

    def check_draws(self) -> None:
        """Refuse to draw paths where there are none, and say how to get some."""
        if not self.draws_paths:
            raise ValueError(
                f"{type(self.network).__name__}() with {type(self.output).__name__}() draws no paths; fit a Forecaster "
                "with Recursive() and a distribution, output=StudentT() say."
            )

    @property
    def draws_paths(self) -> bool:  # type: ignore[override]
        """Whether there are sample paths: of a `Recursive` network whose output is no point."""
        return isinstance(self.network, Recursive) and self.output.reach is not None

    def summary(self, paths: NDArray[np.float64], quantiles: Sequence[float]) -> NDArray[np.float64]:
        """Point forecast and quantiles of sample paths, shape (B, H, C, 1 + Q)."""
        values = np.moveaxis(np.quantile(paths, (0.5, *quantiles), axis=-1), 0, -1)
        if getattr(self.output, "point", "median") == "mean":
            values[..., 0] = paths.mean(axis=-1)
        return values

    @_in_its_precision
    def paths(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], n_paths: int | None = None
    ) -> NDArray[np.float64]:
        """Sample paths from any number of cutoffs; see `AbstractForecaster.paths`."""
        n_paths = self.n_paths if n_paths is None else n_paths
        if n_paths < 1 or n_paths % 1:
            raise ValueError(f"n_paths must be a positive integer, got {n_paths!r}.")
        names = np.array([zlib.crc32(str(name).encode()) for name in panel.ids], np.uint32)
        stamps = panel.times[panel.indptr[series] + ends - 1].astype(np.int64).view(np.uint64)
        words = np.stack([names[series], stamps >> np.uint64(32), stamps & np.uint64(0xFFFFFFFF)], axis=1)
        words, key = words.astype(np.uint32), jax.random.key(self.random_state)

        model = self._model(panel.schema)
        states = self._carried(model, panel, series, ends)

        def forecast(rows: DevicePanel, at: NDArray[np.int64]) -> Any:
            return _sample(
                model, self.params_, rows, series[at].astype(np.int32), ends[at].astype(np.int32), key, words[at],
                None if states is None else states(rows, at),
                context_length=self.context_length_, horizon=self.horizon, n_paths=n_paths,
            )  # fmt: skip

        return self._in_chunks(panel, series, ends, forecast, max(1, _ROWS // n_paths))

    def _carried(
        self, model: Any, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> Callable[[DevicePanel, NDArray[np.int64]], Any] | None:
        """The states to forecast from, if they do not come from windows."""
        if not self.stateful:
            return None
        return carried(model, self.params_, panel.lengths, _bucket(int(panel.lengths.max())), series, ends)

    def _in_chunks(
        self,
        panel: Panel,
        series: NDArray[np.int64],
        ends: NDArray[np.int64],
        forecast: Callable[[DevicePanel, NDArray[np.int64]], Any],
        size: int,
    ) -> NDArray[np.float64]:
        """What ``forecast`` gives for chunks of so many cutoffs, the last one padded, back in units of the data."""
        rows, fitted = self._rows(panel, series, ends)
        chunks = np.pad(np.arange(len(ends)), (0, -len(ends) % size), mode="edge").reshape(-1, size)
        parts = [np.asarray(forecast(rows, at)) for at in chunks]
        values = np.concatenate(parts)[: len(ends)].astype(np.float64)
        return values if fitted is None else fitted.inverse_forecast(values, panel, series, ends)

    def _rows(self, panel: Panel, series: NDArray[Any], ends: NDArray[np.int64]) -> tuple[DevicePanel, Fitted | None]:
        """What is known at these cutoffs, on the device, and the transforms, which learn of new series from that."""
        panel = known_rows(panel, series, ends)
        first = panel.lengths.copy()
        np.minimum.at(first, series, ends)
        fitted = None if self.transforms_ is None else self.transforms_.on(panel, first)
        return self._device_panel(panel, fitted), fitted

    @_in_its_precision
    def attribute(
        self,
        df: "Tabular | Panel | None" = None,
        *,
        future_df: "Tabular | None" = None,
        steps: Sequence[int] | None = None,
        n_points: int = 32,
    ) -> pd.DataFrame:
        """What each input added to the forecast, by integrated gradients.

        The forecast is compared with that from a flat history, which stays at the mean of what was observed in the
        window, with numeric covariates at their means, calendar inputs at zero and no category known. The attributions
        of a series sum to the difference of both point forecasts, in units of the data. The normalization of the window
        is a part of what is attributed: where a forecast starts from the last value, the last value is given what that
        adds. Where transforms are not linear, the units are those between the two forecasts.

        Parameters
        ----------
        df, future_df
            As in `predict`.
        steps : sequence of int, optional
            Steps ahead to explain one by one, from 1; by default the mean of all.
        n_points : int, default 32
            Points of the integration; more of them bring the sum closer to the difference.

        Returns
        -------
        DataFrame
            ``unique_id``, the stamp ``ds`` of the input (none for what is constant, and for categories, which are
            summed over time), ``step`` if steps are asked for, ``input`` (the name of the column, or ``calendar`` or
            ``elapsed time``) and ``attribution``. `tsrnn.report.plots.plot_attributions` draws it.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError
            If a step lies beyond the horizon; of `Recursive` networks, whose forecasts are drawn; with `Difference`.

        References
        ----------
        M. Sundararajan, A. Taly and Q. Yan (2017), Axiomatic attribution for deep networks, ICML, arXiv 1703.01365.
        """
        check_is_fitted(self, "history_")
        if isinstance(self.network, Recursive):
            raise ValueError("attribute is for networks whose forecasts are computed; Recursive() draws its own.")
        if steps is not None and not all(1 <= step <= self.horizon and step % 1 == 0 for step in steps):
            raise ValueError(f"steps must lie in 1 to horizon={self.horizon}, got {steps!r}.")
        if self.stateful:
            raise ValueError("attribute is for forecasts from a window; with stateful=True they come from all rows.")
        check_transforms(self._transform)
        panel, longer = self._ahead(df, future_df)
        series = np.arange(len(panel.ids), dtype=np.int32)
        rows, fitted = self._rows(longer, series, panel.lengths)
        ends = panel.lengths.astype(np.int32)
        batch = _gather(rows, series, ends, context_length=self.context_length_, horizon=self.horizon)
        tables = sorted(self.params_.get("embeddings", {}))
        names = labels(panel, self.inputs_, batch.past.shape[-1], batch.future.shape[-1], tables)
        return attribute(self._model(panel.schema), self.params_, batch, names, panel, longer, fitted, steps, n_points)

    @_in_its_precision
    def gradient_flow(
        self, df: "Tabular | Panel", *, lags: Sequence[int] | None = None, n_windows: int = 64, trained: bool = True
    ) -> pd.DataFrame:
        """How far back in time learning reaches: the gradient of the loss with respect to the hidden state, by lag.

        Parameters
        ----------
        df : DataFrame, Series, Table, array or Panel
            Data with targets, as given to `fit`.
        lags : sequence of int, optional
            Steps between the state and the last one; by default all of the context, or 33 of them evenly spread.
        n_windows : int, default 64
            Windows of ``df`` to look at, evenly spread over all of them.
        trained : bool, default True
            Whether the weights are the trained ones, or those that training began with.

        Returns
        -------
        DataFrame
            ``lag`` and ``gradient_norm``, the root mean square over the windows; see `tsrnn.nn.gradients`.
            `tsrnn.report.plots.plot_gradient_flow` draws it.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError
            If a lag lies beyond the context, or the network does not read the history step by step.
        """
        check_is_fitted(self, "history_")
        panel = Panel.from_frame(df, self.history_.schema, self.history_.freq)
        check_lengths(panel.ids, panel.lengths, *self._rows_needed())
        fitted = None if self.transforms_ is None else self.transforms_.on(panel, panel.lengths)
        rows, model = self._device_panel(panel, fitted), self._model(panel.schema)
        shape = {"context_length": self.context_length_, "horizon": self.horizon}
        if not isinstance(model, Model):
            name = type(self.network).__name__
            raise ValueError(f"gradient_flow is for networks with one loss, at the end; {name}() has one a step.")
        windows = training_windows(panel, panel.lengths, **shape)
        spread = np.linspace(0, windows.total - 1, n_windows).round().astype(np.int64)
        series, known = (place.astype(np.int32) for place in windows.locate(spread))
        params = self.params_
        if not trained:
            params = self._first_weights(model, rows, jax.random.split(jax.random.key(self.random_state))[0])
        far = self.context_length_ - 1
        back = np.unique(np.linspace(0, far, min(33, far + 1)).round().astype(np.int32)) if lags is None else lags
        if not (len(back) and min(back) >= 0 and max(back) <= far):
            raise ValueError(f"lags must lie in 0 to {far}, the context's length less one, got {lags!r}.")
        norms = hidden_gradients(model.loss, params, _gather(rows, series, known, **shape), jnp.asarray(back, int))
        return pd.DataFrame({"lag": np.asarray(back), "gradient_norm": np.asarray(norms, np.float64)})

    def _first_weights(self, model: AnyModel, rows: DevicePanel, key: Array) -> Params:
        """Drawn in float32 in every precision, so that equal seeds begin alike."""
        cut = partial(gather, context_length=self.context_length_, horizon=self.horizon)
        one = jnp.ones(1, jnp.int32)
        batch = jax.eval_shape(cut, rows, one, one)
        with jax.enable_x64(False):
            weights = _init(model, key, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), batch))
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), weights)

    def _choose_shape(self, panel: Panel) -> None:
        """Context, season and width: those given, else what the data ask for."""
        season, context = self.season_length, self.context_length
        if context is not None and (context < 1 or context % 1):
            raise ValueError(f"context_length must be a positive integer or None, got {context!r}.")
        if season is None:
            season = choose_season(panel, self.horizon, min(LONGEST, context or LONGEST))
        if context is None:
            context = choose_context(panel, self.horizon, season)
        if not 1 <= season <= context:
            raise ValueError(f"season_length={season!r} must lie in 1 to context_length={context}.")
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise ValueError(f"shrinkage={self.shrinkage!r} must lie in 0 to 1, or be None.")
        given = getattr(self.network, "hidden_size", None)
        self.context_length_, self.season_length_ = context, season
        self.hidden_size_ = choose_width(int(panel.indptr[-1])) if given is None else given
        self.shrinkage_ = float(self.shrinkage or 0)

    def _choose_shrinkage(self, panel: Panel) -> None:
        """What the rows held out ask for, where there are few and nothing else was told."""
        told = self.shrinkage is not None or self.context_length is not None or panel.indptr[-1] >= _FEW
        windows = tail_windows(panel, self._rows_held(panel.lengths), self.horizon)
        other = self.output.domain != "real" or isinstance(self.network, (Recursive, ESRNN))
        if told or other or not windows.total:
            return
        series, ends = windows.locate(np.arange(windows.total))
        y = panel.values[(panel.indptr[series] + ends)[:, None] + np.arange(self.horizon)]
        forecast = self.forecast_panel(panel, series, ends)[..., 0]
        self.shrinkage_ = choose_shrinkage(forecast - y, self._start(panel, series, ends)[..., 0] - y, series)

    def _start(self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.float64]:
        """The last season repeated, shape (B, H, C, 1)."""
        start = SeasonalNaive(horizon=self.horizon, season_length=self.season_length_)
        return start.forecast_panel(panel, series, ends)

    def _device_panel(self, panel: Panel, fitted: Fitted | None) -> DevicePanel:
        """The rows in network units, padded so that cuts of one panel, and panels of similar size, share a program."""
        raw, panel = panel, panel.filled()
        filled = panel is not raw
        panel = panel if fitted is None else fitted.transform(panel)
        n_rows, n_series = _bucket(max(len(panel.times), panel.room)), _bucket(len(panel.ids))
        values = np.full((n_rows, panel.values.shape[1]), np.nan, self._dtype)
        values[: len(panel.times)] = panel.values
        first = np.pad(panel.indptr[:-1].astype(np.int32), (0, n_series - len(panel.ids)))
        inputs = self.inputs_.read(panel, n_rows, n_series, self._dtype)._asdict()
        arrays = {"values": values, "first": first} | inputs
        if filled:
            there = np.concatenate([~np.isnan(raw.values), self.inputs_.measured(raw)], axis=1)
            arrays["measured"] = np.pad(there, ((0, n_rows - len(there)), (0, 0)))
        if isinstance(self.network, ESRNN):
            numbers = {"codes": self.inputs_.codes(panel), "steps": self._steps(panel)}
            arrays |= {name: np.pad(array, (0, n_series - len(panel.ids))) for name, array in numbers.items()}
        return DevicePanel(**{name: jnp.asarray(array) for name, array in arrays.items()})

    def _steps(self, panel: Panel) -> NDArray[np.int32]:
        """Number of each series' first row on the grid of its time, up to whole rounds of all seasons."""
        model = self._model(panel.schema)
        assert isinstance(model, SmoothedModel)
        if panel.freq.kind == "irregular" and model.season_lengths:
            raise ValueError(
                f"seasons of {model.season_lengths} steps need steps of one length, and freq='irregular' has none; "
                "choose ESRNN(season_lengths=()), or bring the rows on a grid with resample='mean'."
            )
        first = panel.times[panel.indptr[:-1]]
        steps, _ = panel.freq.count(np.zeros(1, first.dtype), first)
        rounds = np.lcm.reduce(np.array([1, *model.season_lengths]))
        return np.asarray(steps % rounds, np.int32)

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        flat = traverse_util.flatten_dict(serialization.to_state_dict(self.params_), sep="/")  # type: ignore[no-untyped-call]
        arrays = {f"params/{name}": np.asarray(array) for name, array in flat.items()}
        arrays |= {f"covariates/{name}": getattr(self.inputs_, name) for name in _STATISTICS}
        if self.transforms_ is not None:
            arrays |= {f"transforms/{name}": array for name, array in self.transforms_.state.items()}
        run = dataclasses.asdict(self.training_)
        arrays |= {f"training/{name}": run.pop(name) for name in _CURVES}
        values = {name: getattr(self, f"{name}_") for name in _SHAPE} | {"training": run}
        values |= {"vocabularies": encode(self.inputs_.vocabularies), "step": self.inputs_.step}
        return values | {"series": encode(self.inputs_.series)}, arrays

    @_in_its_precision
    def _restore(self, saved: Artifact) -> None:
        values, arrays = saved.values, saved.arrays
        for name in _SHAPE:
            setattr(self, f"{name}_", values.get(name, 0.0))
        vocabularies = {name: tuple(labels) for name, labels in values["vocabularies"].items()}
        statistics = {name: arrays[f"covariates/{name}"] for name in _STATISTICS}
        series = tuple(values.get("series", ()))
        self.inputs_ = Inputs(**statistics, vocabularies=vocabularies, step=values["step"], series=series)
        spec, history = self._transform, saved.history
        learned = _under(arrays, "transforms/")
        self.transforms_ = None
        if spec is not None:
            self.transforms_ = Fitted(spec, learned, history.ids, history.schema, history.freq)
        curves: dict[str, Any] = {name: arrays[f"training/{name}"] for name in _CURVES}
        self.training_ = History(**curves, **values["training"] | {"layers": tuple(values["training"]["layers"])})
        flat = _under(arrays, "params/")
        rows, model = self._device_panel(history, self.transforms_), self._model(history.schema)
        target = jax.eval_shape(partial(self._first_weights, model, rows), jax.random.key(0))
        nested = traverse_util.unflatten_dict(flat, sep="/")  # type: ignore[no-untyped-call]
        self.params_ = serialization.from_state_dict(target, nested)


def _train_members(members: Sequence[Forecaster], panels: Sequence[Panel], tasks: Sequence[_Task]) -> None:
    """Train forecasters as one program, on one task that they share or on one each."""
    each, task = [*tasks] * (len(members) // len(tasks)), tasks[0]
    keys = [jax.random.split(jax.random.key(member.random_state)) for member in members]
    first = [members[0]._first_weights(task.model, task.data[0], key) for key, _ in keys]
    apart: dict[str, Any] = {"valid_batches": task.valid}
    if len(tasks) > 1:
        apart = {"valid_batches": [own.valid for own in tasks], "own_data": [own.data for own in tasks]}
    trained = train_members(
        task.model.loss, task.sampler, first, task.data, keys=[key for _, key in keys], training=task.training,
        optimizers=[member.optimizer for member in members], **apart,
    )  # fmt: skip
    for member, panel, own, (params, history) in zip(members, panels, each, trained, strict=True):
        member._learned(own, params, history)
        member._choose_shrinkage(panel)
        member.history_ = panel.tail(member._rows_kept(panel))


@partial(jax.jit, static_argnames=("model",))
def _init(model: AnyModel, key: Array, batch: Batch) -> Params:
    return model.init(key, batch)


_gather = jax.jit(gather, static_argnames=("context_length", "horizon"))


@partial(jax.jit, static_argnames=("model", "context_length", "horizon"))
def _forecast(
    model: Model | SmoothedModel, params: Params, rows: DevicePanel, series: Array, known: Array,
    *, context_length: int, horizon: int,
) -> Array:  # fmt: skip
    return model(params, gather(rows, series, known, context_length=context_length, horizon=horizon))


@partial(jax.jit, static_argnames=("model", "context_length", "horizon", "n_paths"))
def _sample(
    model: RecursiveModel, params: Params, rows: DevicePanel, series: Array, known: Array, key: Array, words: Array,
    states: Any, *, context_length: int, horizon: int, n_paths: int,
) -> Array:  # fmt: skip
    """Paths of each window, by a key that the words of its row are folded into."""

    def own(row: Array) -> Array:
        last: Array = jax.lax.fori_loop(0, len(row), lambda i, k: jax.random.fold_in(k, row[i]), key)
        return last

    batch = gather(rows, series, known, context_length=context_length, horizon=horizon)
    return jnp.moveaxis(model.paths(params, batch, jax.vmap(own)(words), n_paths, states), 1, -1)


@partial(jax.jit, static_argnames=("output",))
def _read(output: AbstractOutput, params: Array, quantiles: Array) -> Array:
    return output.forecast(params, quantiles)


def _valid_batches(
    rows: DevicePanel, windows: WindowIndex, batch_size: int, *, context_length: int, horizon: int
) -> Batch | None:
    """Batches of validation windows, evenly spread over all of them; None if there are none."""
    if not windows.total:
        return None
    n_batches = min(_MAX_VALID_BATCHES, 1 << (max(1, -(-windows.total // batch_size)) - 1).bit_length())
    spread = np.linspace(0, windows.total - 1, n_batches * batch_size).round().astype(np.int64)
    places = [place.astype(np.int32).reshape(n_batches, batch_size) for place in windows.locate(spread)]
    parts = [
        _gather(rows, *where, context_length=context_length, horizon=horizon) for where in zip(*places, strict=True)
    ]
    batches: Batch = jax.tree.map(lambda *leaves: np.stack(leaves), *parts)
    return batches


def _checked_quantiles(output: AbstractOutput, quantiles: Sequence[float]) -> Array:
    """The quantiles asked for, if the output has them."""
    if quantiles and output.reach is None:
        raise ValueError(
            "a Point output has no intervals; train with output=Quantiles() or a distribution, or ask for level=[]."
        )
    low, high = output.reach or (0, 1)
    beyond = [q for q in quantiles if not low <= q <= high]
    if beyond:
        raise ValueError(
            f"quantile {beyond[0]:g} (level {abs(100 - 200 * beyond[0]):g}) lies outside those of "
            f"{type(output).__name__}, {low:g} to {high:g}. Ask for less, or train with "
            "output=Quantiles(quantiles=(...)) that reach so far."
        )
    return jnp.asarray(quantiles, float)


def _check_output(output: AbstractOutput, normalization: str, fitted: Fitted | None, panel: Panel) -> None:
    """Refuse targets that the output is not made for, and a normalization or transforms that make such of them."""
    domain, name = output.domain, type(output).__name__
    if domain == "real":
        return
    if domain != "ratio":
        owners = np.repeat(np.arange(len(panel.ids)), panel.lengths)
        check_domain(panel.ids, owners, panel.rows, panel.values, domain, name)
    if normalization not in ("mean", "none"):
        raise ValueError(
            f"normalization={normalization!r} moves zero, but {name} needs it where it is; choose normalization='mean' "
            "or 'none'."
        )
    values = panel.values if fitted is None else fitted.transform(panel).values
    same = values == panel.values if domain == "count" else np.sign(values) == np.sign(panel.values)
    if not (same | np.isnan(panel.values)).all():
        what, choice = ("zero", "None or MeanAbsScaler()") if domain != "count" else ("counts", "None")
        raise ValueError(
            f"these transforms do not leave {what} as they are, but {name} needs it; choose transforms={choice}."
        )


def _under(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _mean_size(panel: Panel) -> NDArray[np.float64]:
    """Mean absolute value of each series over its channels, shape (N,)."""
    seen = ~np.isnan(panel.values)
    total = np.add.reduceat(np.where(seen, np.abs(panel.values), 0).sum(axis=1), panel.indptr[:-1])
    return np.asarray(total / np.maximum(np.add.reduceat(seen.sum(axis=1), panel.indptr[:-1]), 1))


def _bucket(n: int) -> int:
    """The next of eight sizes an octave."""
    step = 1 << max(0, (n - 1).bit_length() - 3)
    return -(-n // step) * step


def _padded_index(windows: WindowIndex) -> WindowIndex:
    """The index with its series padded to a bucketed number; the padding holds no windows."""
    pad = (0, _bucket(len(windows.first)) - len(windows.first))
    below, odds = (np.pad(array, pad, mode="edge") for array in (windows.below, windows.odds))
    return WindowIndex(np.pad(windows.series, pad), np.pad(windows.first, pad), below, odds)
