from tsrnn.anomaly import AnomalyDetector as AnomalyDetector
from tsrnn.data import DataError as DataError
from tsrnn.data import DataWarning as DataWarning
from tsrnn.data import Panel as Panel
from tsrnn.data import read_csv as read_csv
from tsrnn.data import read_table as read_table
from tsrnn.evaluation import backtest as backtest
from tsrnn.forecasting.baselines import Drift as Drift
from tsrnn.forecasting.baselines import HistoricAverage as HistoricAverage
from tsrnn.forecasting.baselines import Naive as Naive
from tsrnn.forecasting.baselines import SeasonalNaive as SeasonalNaive
from tsrnn.forecasting.forecaster import Forecaster as Forecaster
from tsrnn.forecasting.spec import load as load
from tsrnn.nn.distributions import NegativeBinomial as NegativeBinomial
from tsrnn.nn.distributions import Normal as Normal
from tsrnn.nn.distributions import StudentT as StudentT
from tsrnn.nn.networks import GRU as GRU
from tsrnn.nn.networks import LSTM as LSTM
from tsrnn.nn.networks import RNN as RNN
from tsrnn.nn.outputs import Point as Point
from tsrnn.nn.outputs import Quantiles as Quantiles
from tsrnn.report.plots import plot_forecasts as plot_forecasts
from tsrnn.training.optimizer import Optimizer as Optimizer
from tsrnn.training.state import Training as Training
from tsrnn.transforms import RobustScaler as RobustScaler
from tsrnn.transforms import StandardScaler as StandardScaler

__version__: str
