"""Transforms of whole series in the frame wing: fitted on training rows only, invertible."""

from tsrnn.transforms.scale import RobustScaler as RobustScaler
from tsrnn.transforms.scale import StandardScaler as StandardScaler
