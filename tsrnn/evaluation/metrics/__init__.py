"""Accuracy of forecasts, in plain NumPy, over the last axis.

Every metric takes observed values ``y`` and forecasts with the horizon as their last axis, leaves out the
steps where ``y`` is missing (NaN), and gives one number for each leading index. A number that is not defined
(nothing observed, a scale of zero, a forecast that is itself missing) is NaN, never infinite.

`tsrnn.evaluation.backtest` aggregates them in one way: a number for each pair of series and cutoff, then the
mean over the cutoffs of a series, then the mean over series; so every series counts the same.

References
----------
R. J. Hyndman and A. B. Koehler (2006), Another look at measures of forecast accuracy, International Journal
of Forecasting 22(4). S. Makridakis, E. Spiliotis and V. Assimakopoulos (2020), The M4 Competition: 100,000
time series and 61 forecasting methods, International Journal of Forecasting 36(1). S. Makridakis, E.
Spiliotis and V. Assimakopoulos (2022), M5 accuracy competition: results, findings, and conclusions,
International Journal of Forecasting 38(4).
"""

from tsrnn.evaluation.metrics.point import bias as bias
from tsrnn.evaluation.metrics.point import mae as mae
from tsrnn.evaluation.metrics.point import mape as mape
from tsrnn.evaluation.metrics.point import mse as mse
from tsrnn.evaluation.metrics.point import rmse as rmse
from tsrnn.evaluation.metrics.point import smape as smape
from tsrnn.evaluation.metrics.point import wape as wape
from tsrnn.evaluation.metrics.probabilistic import calibration_error as calibration_error
from tsrnn.evaluation.metrics.probabilistic import coverage as coverage
from tsrnn.evaluation.metrics.probabilistic import crps as crps
from tsrnn.evaluation.metrics.probabilistic import crps_quantiles as crps_quantiles
from tsrnn.evaluation.metrics.probabilistic import msis as msis
from tsrnn.evaluation.metrics.probabilistic import pinball as pinball
from tsrnn.evaluation.metrics.probabilistic import winkler as winkler
from tsrnn.evaluation.metrics.probabilistic import wql as wql
from tsrnn.evaluation.metrics.scaled import mase as mase
from tsrnn.evaluation.metrics.scaled import msse as msse
from tsrnn.evaluation.metrics.scaled import rmsse as rmsse
from tsrnn.evaluation.metrics.scaled import seasonal_scale as seasonal_scale
