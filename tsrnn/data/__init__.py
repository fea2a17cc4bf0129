"""Frames in: reading, checking, time axes, and the panel that the rest of the package works on."""

from tsrnn.data.calendar import Frequency as Frequency
from tsrnn.data.findings import findings as findings
from tsrnn.data.future import make_future_frame as make_future_frame
from tsrnn.data.io import read_csv as read_csv
from tsrnn.data.panel import Panel as Panel
from tsrnn.data.schema import Roles as Roles
from tsrnn.data.schema import Schema as Schema
from tsrnn.data.validation import DataError as DataError
from tsrnn.data.validation import DataWarning as DataWarning
