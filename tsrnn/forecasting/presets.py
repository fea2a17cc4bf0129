"""Forecasters as their papers have them: each a `Forecaster` with the parts and settings of one paper.

They are short for what could be written out by hand, so all that a `Forecaster` does, they do. Any parameter of
`Forecaster` can be given and then replaces the preset's. In a run file they stand as ``{type: DeepAR}``.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tsrnn.forecasting.forecaster import Forecaster
from tsrnn.nn import esrnn, segments
from tsrnn.nn.distributions import NegativeBinomial, StudentT
from tsrnn.nn.outputs import Point
from tsrnn.nn.recursive import Recursive
from tsrnn.training.optimizer import Optimizer
from tsrnn.training.state import Training
from tsrnn.transforms import BoxCox, MeanAbsScaler, StandardScaler

__all__ = ["ESRNN", "PRESETS", "DeepAR", "SegRNN"]


def DeepAR(
    horizon: int,
    *,
    counts: bool = False,
    hidden_size: int = 40,
    num_layers: int = 2,
    dropout: float = 0.1,
    lags: Sequence[int] | None = None,
    **parameters: Any,
) -> Forecaster:
    """A recursive LSTM that forecasts a distribution a step, in units of each window's mean, and draws paths.

    Parameters
    ----------
    horizon : int
        Steps ahead to forecast.
    counts : bool, default False
        Whether the data are counts: a `NegativeBinomial` instead of a `StudentT`.
    hidden_size, num_layers, dropout, lags
        As in `Recursive`; by default 40, 2, 0.1, and the last value and that of a season ago.
    **parameters
        Of `Forecaster`.

    Returns
    -------
    Forecaster
        Not fitted; its columns are called ``DeepAR``. Windows are drawn in proportion to the scale of their series.

    References
    ----------
    D. Salinas, V. Flunkert, J. Gasthaus and T. Januschowski (2020), DeepAR: probabilistic forecasting with
    autoregressive recurrent networks, International Journal of Forecasting 36.

    Examples
    --------
    >>> model = DeepAR(horizon=24, n_paths=100)
    >>> model.output, model.network.num_layers, model.n_paths
    (StudentT(point='median'), 2, 100)
    """
    network = Recursive("LSTM", hidden_size, num_layers, dropout, None if lags is None else tuple(lags))
    preset: dict[str, Any] = {
        "network": network,
        "output": NegativeBinomial() if counts else StudentT(),
        "transforms": None if counts else MeanAbsScaler(),
        "normalization": "mean",
        "optimizer": Optimizer(learning_rate=1e-3, clip_norm=10.0),
        "training": Training(sampling="scale"),
        "alias": "DeepAR",
    }
    return Forecaster(horizon=horizon, **preset | parameters)


def SegRNN(
    horizon: int, *, hidden_size: int = 128, segment_length: int = 24, dropout: float = 0.5, **parameters: Any
) -> Forecaster:
    """A GRU over segments, relative to the last value of each window, that learns a point by squared error.

    The paper has one series a channel (``channels="independent"`` in `Forecaster.fit`), 512 numbers in the state, and a
    history of 96 or 720 steps (``context_length``).

    Parameters
    ----------
    horizon : int
        Steps ahead to forecast.
    hidden_size, segment_length, dropout
        As in the network `tsrnn.SegRNN`; by default 128, 24 and 0.5.
    **parameters
        Of `Forecaster`.

    Returns
    -------
    Forecaster
        Not fitted.

    References
    ----------
    S. Lin, W. Lin, W. Wu, F. Zhao, R. Mo and H. Zhang (2023), SegRNN: segment recurrent neural network for long-term
    time series forecasting, arXiv 2308.11200.

    Examples
    --------
    >>> SegRNN(horizon=96, context_length=720).normalization
    'shift'
    """
    preset: dict[str, Any] = {
        "network": segments.SegRNN(hidden_size, segment_length, dropout),
        "output": Point("mse"),
        "season_length": 1,
        "normalization": "shift",
        "optimizer": Optimizer(learning_rate=1e-3),
    }
    return Forecaster(horizon=horizon, **preset | parameters)


def ESRNN(
    horizon: int,
    *,
    season_lengths: Sequence[int] | None = None,
    multiplicative: bool = True,
    hidden_size: int = 40,
    dilations: Sequence[int] | None = None,
    **parameters: Any,
) -> Forecaster:
    """Exponential smoothing and dilated LSTM layers in one, on logarithms of data that are above zero.

    Parameters
    ----------
    horizon : int
        Steps ahead to forecast.
    season_lengths : sequence of int, optional
        Steps in each season, ``(24, 168)`` for days and weeks of hours; by default that of the data's frequency.
    multiplicative : bool, default True
        Whether seasons and level multiply. That needs data above zero; others are refused, and want False.
    hidden_size : int, default 40
        Width of the recurrent state.
    dilations : sequence of int, optional
        As in the network `tsrnn.ESRNN`; by default 1, 4 and the lengths of the seasons, if these are given.
    **parameters
        Of `Forecaster`.

    Returns
    -------
    Forecaster
        Not fitted. Each series is standardized, after its logarithm is taken.

    References
    ----------
    S. Smyl (2020), A hybrid method of exponential smoothing and recurrent neural networks for time series forecasting,
    International Journal of Forecasting 36(1).

    Examples
    --------
    >>> ESRNN(horizon=48, season_lengths=(24, 168)).network.dilations
    (1, 4, 24, 168)
    """
    seasons = None if season_lengths is None else tuple(season_lengths)
    layers = tuple(dilations) if dilations is not None else (1, 4, *seasons) if seasons else (1, 2, 4, 8)
    preset: dict[str, Any] = {
        "network": esrnn.ESRNN(hidden_size, layers, season_lengths=seasons),
        "transforms": [BoxCox(power=0.0), StandardScaler()] if multiplicative else StandardScaler(),
        "normalization": "none",
        "optimizer": Optimizer(learning_rate=1e-2),
    }
    return Forecaster(horizon=horizon, **preset | parameters)


PRESETS: dict[str, Callable[..., Forecaster]] = {"DeepAR": DeepAR, "SegRNN": SegRNN, "ESRNN": ESRNN}
"""Every preset that a specification can name."""
