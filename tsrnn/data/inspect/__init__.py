"""Look into a strange CSV file: what is in it, what is odd about it, and the lines that read it."""

from tsrnn.data.inspect.axis import TimeColumn as TimeColumn
from tsrnn.data.inspect.axis import words as words
from tsrnn.data.inspect.columns import Column as Column
from tsrnn.data.inspect.inspection import Inspection as Inspection
from tsrnn.data.inspect.inspection import inspect_csv as inspect_csv
