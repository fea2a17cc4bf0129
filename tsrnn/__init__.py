"""Recurrent neural networks for time series: forecasting, backtesting and anomaly scoring on jax.

The names below are loaded when first used, so that ``import tsrnn.data`` and ``tsrnn --help`` do not pay for jax. The
same list with types stands in ``__init__.pyi``; a test holds the two together.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("tsrnn")

_FACE = {
    "data": ("DataError", "DataWarning", "Panel", "read_csv", "read_table"),
    "forecasting.baselines": ("Drift", "HistoricAverage", "Naive", "Naive2", "SeasonalNaive"),
    "forecasting.classical": ("StatsForecast",),
    "forecasting.conformal": ("Conformal",),
    "forecasting.ensemble": ("Ensemble",),
    "forecasting.forecaster": ("Forecaster",),
    "forecasting.lags": ("LagRegressor",),
    "forecasting.online": ("RecurrentPredictor",),
    "forecasting.spec": ("load",),
    "nn.distributions": ("NegativeBinomial", "Normal", "StudentT"),
    "nn.esrnn": ("ESRNN",),
    "nn.networks": ("GRU", "LSTM", "RNN", "SLSTM", "MinGRU", "MinLSTM"),
    "nn.outputs": ("Point", "Quantiles"),
    "nn.recursive": ("Recursive",),
    "nn.segments": ("SegRNN",),
    "nn.seq2seq": ("Seq2Seq",),
    "training.optimizer": ("Optimizer",),
    "training.state": ("Training",),
    "transforms": ("RobustScaler", "StandardScaler"),
    "evaluation": ("BacktestResult", "backtest"),
    "report.plots": ("plot_forecasts",),
    "anomaly": ("AnomalyDetector",),
}
_HOME = {name: module for module, names in _FACE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tsrnn' has no attribute {name!r}")
    value = getattr(import_module(f"tsrnn.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
