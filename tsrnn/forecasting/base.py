"""The contract of a forecaster: frames in and out for people, panels and arrays for the code that judges them.

A model says how it learns (`AbstractForecaster._fit`) and how it forecasts from given cutoffs (`forecast_panel`);
reading frames, checking, naming columns and stamping the future happen here, once for all models.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

import tsrnn
from tsrnn.data import Panel, Roles, Schema
from tsrnn.data.kinds import Tabular, from_pandas, to_pandas
from tsrnn.data.validation import check_lengths
from tsrnn.forecasting import artifact

__all__ = ["AbstractForecaster", "forecast_frame", "interval_columns"]


class AbstractForecaster(BaseEstimator, ABC):
    """Base of every forecaster; scikit-learn's contract for parameters, cloning and fitted attributes.

    Attributes
    ----------
    history_ : Panel
        The end of the training data, as much of it as `predict` needs.
    """

    horizon: int
    history_: Panel

    is_local: bool = False
    """Whether each series is learned alone, so that shards of a panel may be fitted one by one."""

    fits_together: bool = False
    """Whether `fit_folds` is faster than one fit after the other."""

    draws_paths: bool = False
    """Whether it forecasts by sample paths, which `paths` gives."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the forecast column."""

    @property
    def default_level(self) -> tuple[float, ...]:
        """Levels of the intervals that `predict` gives when none are asked for, in percent."""
        return (90.0,)

    @abstractmethod
    def _fit(self, panel: Panel) -> None:
        """Learn from all rows of the panel; whatever was learned before is forgotten."""

    @abstractmethod
    def forecast_panel(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], quantiles: Sequence[float] = ()
    ) -> NDArray[np.float64]:
        """Forecast from any number of cutoffs, without refitting.

        Parameters
        ----------
        panel : Panel
            Must hold ``ends + horizon`` rows of each series (see `Panel.extend`), of which only the covariates known
            ahead are read beyond ``ends``.
        series : array of int, shape (B,)
            Which series to forecast.
        ends : array of int, shape (B,)
            How many rows of that series are known: the cutoff is its row ``ends - 1``.
        quantiles : sequence of float
            Levels in (0, 1).

        Returns
        -------
        array of float64, shape (B, H, C, 1 + Q)
            The point forecast, then the quantiles in the order asked for.
        """

    def paths(
        self, panel: Panel, series: NDArray[np.int64], ends: NDArray[np.int64], n_paths: int | None = None
    ) -> NDArray[np.float64]:
        """Sample paths from any number of cutoffs, of a forecaster that `draws_paths`.

        Parameters
        ----------
        panel, series, ends
            As in `forecast_panel`, whose point and quantiles are those of these paths.
        n_paths : int, optional
            How many; by default those that it forecasts by.

        Returns
        -------
        array of float64, shape (B, H, C, n_paths)
        """
        raise NotImplementedError(f"{type(self).__name__} draws no paths.")

    def _rows_needed(self) -> tuple[int, str]:
        """Rows a series must have to learn from, and why."""
        return 1, "one to start from"

    def _rows_held(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows at the end of series of these lengths that it would not learn from."""
        return np.zeros_like(lengths)

    def _rows_kept(self, panel: Panel) -> int:
        """Rows of each series to keep as `history_`."""
        return int(panel.lengths.max())

    def fit(
        self,
        df: "Tabular | Panel",
        *,
        freq: str | int | None = None,
        **roles: Unpack[Roles],
    ) -> Self:
        """Learn from a frame; always cold, whatever was fitted before.

        Parameters
        ----------
        df : DataFrame, Series, Table, array or Panel
            Long frame, wide frame with a DatetimeIndex or time column, or one Series, of pandas, polars or Arrow; or a
            NumPy array, a column a series. See `tsrnn.data.Panel.from_frame`. `predict` answers in the same kind.
        freq : str or int, optional
            One step of the time axis; inferred when not given.
        **roles
            What the columns mean, as in `tsrnn.data.Schema`: ``id_col``, ``time_col``, ``target_col``,
            ``past_covariates``, ``future_covariates``, ``static_covariates`` ...

        Returns
        -------
        Self
            The fitted forecaster.

        Raises
        ------
        DataError
            If the frame cannot be used as it is; the message names series, row and column.
        """
        return self.fit_panel(Panel.from_frame(df, Schema(**roles), freq))

    def fit_panel(self, panel: Panel) -> Self:
        """Learn from a panel; see `fit`."""
        if not isinstance(self.horizon, (int, np.integer)) or self.horizon < 1:
            raise ValueError(f"horizon must be a positive integer, got {self.horizon!r}.")
        check_lengths(panel.ids, panel.lengths, *self._rows_needed())
        self._fit(panel)
        self.history_ = panel.tail(self._rows_kept(panel))
        return self

    def fit_folds(self, panels: Sequence[Panel]) -> list[Self]:
        """Clones fitted on each of these panels, which are cuts of one."""
        return [clone(self).fit_panel(panel) for panel in panels]

    def predict(
        self,
        df: "Tabular | Panel | None" = None,
        *,
        future_df: "Tabular | None" = None,
        level: Iterable[float] | None = None,
        quantiles: Iterable[float] | None = None,
    ) -> Any:
        """Forecast the ``horizon`` steps after the end of every series.

        Parameters
        ----------
        df : DataFrame, Series, Table, array or Panel, optional
            New history to forecast from, without refitting; by default the end of the training data.
        future_df : DataFrame or Table, optional
            Future covariates for the steps ahead; more rows than needed do no harm. `make_future_frame` gives its
            skeleton.
        level : iterable of float, optional
            Levels of central intervals in percent, as ``[80, 95]``. By default `default_level` (90 for models that have
            intervals), unless ``quantiles`` are asked for; ``[]`` for none.
        quantiles : iterable of float, optional
            Quantiles in (0, 1), given as columns ``<Model>-q-0.1``.

        Returns
        -------
        DataFrame, Table or array
            ``unique_id, ds, <Model>, <Model>-lo-90, <Model>-hi-90``, a row per series and step, as a frame of the
            library that the history came from: ``df``, or the data of `fit`. If that was a NumPy array, an array of
            the point forecasts alone, of shape (H,), or (H, N) where it had two axes; if levels or quantiles are asked
            for, one more axis at the end holds the point forecast, then lower and upper bound of each level, then the
            quantiles.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from tsrnn.forecasting.baselines import Naive
        >>> model = Naive(horizon=3).fit(np.array([[1.0, 10.0], [2.0, 20.0]]))
        >>> model.predict()
        array([[ 2., 20.],
               [ 2., 20.],
               [ 2., 20.]])
        >>> model.predict(level=[80]).shape
        (3, 2, 3)
        """
        panel, longer = self._ahead(df, future_df)
        asked = () if quantiles is None else tuple(quantiles)
        for q in asked:
            if not 0 < q < 1:
                raise ValueError(f"quantile {q!r} does not lie between 0 and 1, as in quantiles=[0.1, 0.9].")
        usual = () if asked or panel.kind.library == "numpy" else self.default_level
        levels = usual if level is None else tuple(level)
        columns, probabilities = interval_columns(self.name, levels)
        columns += [f"{self.name}-q-{q:g}" for q in asked]
        series = np.arange(len(panel.ids))
        values = self.forecast_panel(longer, series, panel.lengths, (*probabilities, *asked))
        frame = forecast_frame(longer, series, panel.lengths, values, [self.name, *columns])
        return from_pandas(frame, panel.kind, self.horizon)

    def sample(
        self,
        df: "Tabular | Panel | None" = None,
        *,
        future_df: "Tabular | None" = None,
        n_paths: int | None = None,
    ) -> Any:
        """Draw paths of the ``horizon`` steps after the end of every series, of a forecaster that draws them.

        A path is one future that could be: its steps hang together, so that the distribution of anything that is
        computed from a path, its sum or its highest value say, is that of the same over all paths. A history of one row
        will do, the single start that a path is generated from.

        Parameters
        ----------
        df, future_df
            As in `predict`.
        n_paths : int, optional
            Paths of each series, and of each member of an `Ensemble`; by default the model's own parameter.

        Returns
        -------
        DataFrame, Table or array
            ``unique_id, ds, <Model>-path-1, <Model>-path-2 ...``, a row per series and step, as a frame of the library
            that the history came from; of a NumPy array an array of shape (H, n_paths) or (H, N, n_paths). The paths of
            a series depend on ``random_state``, its name and its last stamp, not on what else is forecast.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError
            If it draws none: each step is forecast by itself, or the output is a `Point`.

        References
        ----------
        D. Salinas, V. Flunkert, J. Gasthaus and T. Januschowski (2020), DeepAR: probabilistic forecasting with
        autoregressive recurrent networks, International Journal of Forecasting 36, section 3.2.
        """
        check_is_fitted(self, "history_")
        self.check_draws()
        panel, longer = self._ahead(df, future_df)
        values = self.paths(longer, np.arange(len(panel.ids)), panel.lengths, n_paths)
        columns = [f"{self.name}-path-{i}" for i in range(1, values.shape[-1] + 1)]
        frame = forecast_frame(longer, np.arange(len(panel.ids)), panel.lengths, values, columns)
        return from_pandas(frame, panel.kind, self.horizon)

    def check_draws(self) -> None:
        """Refuse to draw paths where there are none."""
        if not self.draws_paths:
            raise ValueError(
                f"{type(self).__name__} draws no paths here; a Forecaster with Recursive() and a distribution does, "
                "and Conformal(method='pooled') around one."
            )

    def _ahead(self, df: "Tabular | Panel | None", future_df: "Tabular | None") -> tuple[Panel, Panel]:
        """The history to forecast from, and the same with room for the horizon."""
        check_is_fitted(self, "history_")
        panel = self.history_ if df is None else Panel.from_frame(df, self.history_.schema, self.history_.freq)
        return panel, panel.extend(self.horizon, None if future_df is None else pd.DataFrame(to_pandas(future_df)[0]))

    def make_future_frame(self) -> pd.DataFrame:
        """The frame that `predict` asks for as ``future_df``, its covariates empty.

        Returns
        -------
        DataFrame
            The stamps of the ``horizon`` steps after the training data, and the future covariates; see
            `tsrnn.data.make_future_frame`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.

        Examples
        --------
        >>> from tsrnn import Naive
        >>> df = pd.DataFrame({"ds": pd.date_range("2024-01-30", periods=3), "y": 1.0, "price": 5.0})
        >>> Naive(horizon=1).fit(df, future_covariates=["price"]).make_future_frame()
          unique_id         ds  price
        0         y 2024-02-02    NaN
        """
        check_is_fitted(self, "history_")
        return self.history_.future_frame(self.horizon)

    def backtest(self, df: "Tabular | Panel", **options: Any) -> "tsrnn.BacktestResult":
        """Forecast from past cutoffs and compare with what came after them; see `tsrnn.backtest`.

        Parameters
        ----------
        df : DataFrame, Series, Table, array or Panel
            As in `fit`.
        **options
            Those of `tsrnn.backtest`: ``n_windows=5``, ``refit=True``, ``gap=6`` ...

        Returns
        -------
        BacktestResult
            Of a clone; this forecaster stays as it is.

        Examples
        --------
        >>> from tsrnn import Naive
        >>> y = pd.Series([3.0, 5.0, 4.0, 6.0], index=pd.date_range("2024-01-01", periods=4))
        >>> Naive(horizon=1).backtest(y, n_windows=2, metrics=["mae"]).leaderboard()
           model  mae
        0  Naive  1.5
        """
        return tsrnn.backtest(self, df, **options)

    def cross_validation(
        self,
        df: "Tabular | Panel",
        h: int | None = None,
        *,
        n_windows: int | None = None,
        step_size: int | None = None,
        test_size: int | None = None,
        input_size: int | None = None,
        refit: bool | int = False,
        level: Iterable[float] | None = None,
        **options: Any,
    ) -> Any:
        """Forecasts from past cutoffs, with the arguments and the frame of Nixtla's libraries.

        Parameters
        ----------
        df : DataFrame, Series, Table, array or Panel
            As in `fit`.
        h : int, optional
            Steps tested in each fold, at most the horizon; by default the horizon.
        n_windows : int, optional
            Folds, by default 1, counted from the end of each series.
        step_size : int, optional
            Steps between two cutoffs, by default ``h``.
        test_size : int, optional
            Rows that all folds test together, ``h + step_size * (n_windows - 1)``, instead of ``n_windows``.
        input_size : int, optional
            Learn from the newest so many rows before a cutoff; by default from all.
        refit : bool or int, default False
            Whether to fit, cold, in every fold, or every so many; else once, before the first.
        level : iterable of float, optional
            Levels of the intervals in percent.
        **options
            Further ones of `tsrnn.backtest`: ``gap``, ``start``, ``warm_start`` ...; ``id_col``, ``time_col``,
            ``target_col`` and the other roles of columns.

        Returns
        -------
        DataFrame or Table
            ``unique_id, ds, cutoff, y, <Model>, <Model>-lo-90 ...``, a row per series, cutoff and step, as a frame of
            the library that the data came from (pandas for an array). `backtest` gives metrics too.

        Raises
        ------
        ValueError
            If ``n_windows`` and ``test_size`` are both given, or the latter is not a whole number of steps.

        Examples
        --------
        >>> from tsrnn import Naive
        >>> df = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=4), "y": [3.0, 5.0, 4.0, 6.0]})
        >>> Naive(horizon=1).cross_validation(df, h=1, n_windows=2, level=[])
          unique_id         ds     cutoff    y  Naive
        0         y 2024-01-03 2024-01-02  4.0    5.0
        1         y 2024-01-04 2024-01-03  6.0    4.0
        """
        if test_size is not None:
            tested = self.horizon if h is None else h
            steps, rest = divmod(test_size - tested, step_size or tested)
            if n_windows is not None or steps < 0 or rest:
                raise ValueError(
                    f"test_size={test_size} must stand alone, without n_windows, and be h={tested} and a multiple of "
                    f"step_size={step_size or tested}."
                )
            n_windows = steps + 1
        result = self.backtest(
            df, horizon=h, n_windows=n_windows, step_size=step_size, train_size=input_size, refit=refit,
            level=None if level is None else list(level), **options,
        )  # fmt: skip
        kind, time_col = result.panel.kind, result.panel.schema.time_col
        if kind.library == "numpy":
            return result.forecasts
        if time_col in kind.dtypes:  # the cutoff is a stamp of the same type
            kind = dataclasses.replace(kind, dtypes={**kind.dtypes, "cutoff": kind.dtypes[time_col]})
        return from_pandas(result.forecasts, kind, result.horizon)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with ``deep``, those of the parts too, as ``network__hidden_size``."""
        params: dict[str, Any] = super().get_params(deep=False)
        if deep:
            for name, part in list(params.items()):
                params |= {f"{name}__{key}": getattr(part, key) for key in artifact.part_fields(part)}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters; a part is a value, so setting one of its own parameters replaces the part.

        Raises
        ------
        ValueError
            If a parameter does not exist.
        """
        known = self.get_params(deep=True)
        for name, value in sorted(params.items(), key=lambda item: "__" in item[0]):  # a part before its parameters
            part, _, key = name.partition("__")
            if name not in known and not (key and key in artifact.part_fields(getattr(self, part, None))):
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}. It has: {', '.join(sorted(known))}."
                )
            setattr(self, part, dataclasses.replace(getattr(self, part), **{key: value}) if key else value)
        return self

    def _plain(self) -> Any:
        """The parameters as plain values, which are equal for equal models.

        Raises
        ------
        TypeError
            If they hold something that is not plain.
        """
        return artifact.encode(self)

    def save(self, path: str | Path) -> None:
        """Write the fitted forecaster to a folder; `tsrnn.load` reads it and predicts the same bits.

        Parameters
        ----------
        path : str or Path
            A new folder, or one that holds a saved model, which is replaced.
        """
        check_is_fitted(self, "history_")
        values, arrays = self._state()
        artifact.write(path, artifact.Artifact(artifact.encode(self), values, arrays, self.history_))

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What was learned besides `history_`: small values, and arrays by name."""
        return {}, {}

    def restore(self, saved: artifact.Artifact) -> Self:
        """Take over what a saved model had learned."""
        self.history_ = saved.history
        self._restore(saved)
        return self

    def _restore(self, saved: artifact.Artifact) -> None:
        """The inverse of `_state`."""


def interval_columns(name: str, level: Iterable[float]) -> tuple[list[str], list[float]]:
    """Columns of central intervals and the quantiles they stand for.

    Examples
    --------
    >>> interval_columns("LSTM", [90])
    (['LSTM-lo-90', 'LSTM-hi-90'], [0.05, 0.95])
    """
    columns: list[str] = []
    quantiles: list[float] = []
    for p in level:
        if not 0 < p < 100:
            raise ValueError(f"level={p!r} is not a percentage between 0 and 100, as in level=[80, 95].")
        columns += [f"{name}-lo-{p:g}", f"{name}-hi-{p:g}"]
        quantiles += [round((100 - p) / 200, 9), round((100 + p) / 200, 9)]
    return columns, quantiles


def forecast_frame(
    panel: Panel,
    series: NDArray[np.int64],
    ends: NDArray[np.int64],
    values: NDArray[np.float64],
    columns: Sequence[str],
) -> pd.DataFrame:
    """Forecasts as a long frame.

    Parameters
    ----------
    panel : Panel
        The panel given to `AbstractForecaster.forecast_panel`.
    series, ends : array of int, shape (B,)
        The cutoffs forecast from.
    values : array, shape (B, H, C, K)
        Forecasts.
    columns : sequence of str, length K
        Their names.

    Returns
    -------
    DataFrame
        ``id_col, time_col`` and the columns; B * C * H rows, the channels of a joint panel as series of their own.
    """
    n, horizon, channels, _ = values.shape
    at = (panel.indptr[series] + ends)[:, None] + np.arange(horizon)
    times = np.repeat(panel.times[at][:, None], channels, axis=1)
    frame = pd.DataFrame(
        {
            panel.schema.id_col: np.repeat(panel.labels[series].reshape(-1), horizon),
            panel.schema.time_col: panel.stamps(times.reshape(-1)),
        }
    )
    flat = np.swapaxes(values, 1, 2).reshape(n * channels * horizon, -1)
    frame[list(columns)] = flat
    return frame.infer_objects()
