"""Runs: a run file in, a folder with everything it gave out."""

from tsrnn.runs.backtest import run_backtest as run_backtest
from tsrnn.runs.detect import fit_model as fit_model
from tsrnn.runs.detect import run_detect as run_detect
from tsrnn.runs.detect import run_score as run_score
from tsrnn.runs.folder import RunInterrupted as RunInterrupted
