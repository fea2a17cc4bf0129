"""Transforms of whole series in the frame wing: fitted on training rows only, invertible.

A new one is a frozen dataclass below `AbstractTransform` (or `AbstractPointwise`, if each value is transformed by
itself), named in `tsrnn.forecasting.spec.PARTS` and in the list of ``tests/test_transforms.py``.
"""

from tsrnn.transforms.base import AbstractTransform as AbstractTransform
from tsrnn.transforms.base import Fitted as Fitted
from tsrnn.transforms.difference import Difference as Difference
from tsrnn.transforms.pipeline import Chain as Chain
from tsrnn.transforms.pipeline import Covariates as Covariates
from tsrnn.transforms.power import BoxCox as BoxCox
from tsrnn.transforms.power import Log1p as Log1p
from tsrnn.transforms.power import YeoJohnson as YeoJohnson
from tsrnn.transforms.scale import MeanAbsScaler as MeanAbsScaler
from tsrnn.transforms.scale import MinMaxScaler as MinMaxScaler
from tsrnn.transforms.scale import RobustScaler as RobustScaler
from tsrnn.transforms.scale import SeasonalScaler as SeasonalScaler
from tsrnn.transforms.scale import StandardScaler as StandardScaler
