"""Frames in: reading, checking, time axes, and the panel that the rest of the package works on."""

from tsrnn.data.calendar import Frequency as Frequency
from tsrnn.data.io import read_csv as read_csv
from tsrnn.data.io import read_table as read_table
from tsrnn.data.panel import Panel as Panel
from tsrnn.data.schema import Roles as Roles
from tsrnn.data.schema import Schema as Schema
from tsrnn.data.validation import DataError as DataError
