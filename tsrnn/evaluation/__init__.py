"""Judging forecasts: metrics, folds, and the backtest that knows models by their contract only."""

from tsrnn.evaluation.backtest import BacktestEvent as BacktestEvent
from tsrnn.evaluation.backtest import BacktestInterrupted as BacktestInterrupted
from tsrnn.evaluation.backtest import BacktestResult as BacktestResult
from tsrnn.evaluation.backtest import backtest as backtest
from tsrnn.evaluation.summary import METRICS as METRICS
