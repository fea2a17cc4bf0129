"""The command line, ``tsrnn``; `app` holds its commands."""

from tsrnn.cli import anomaly as anomaly
from tsrnn.cli import files as files
from tsrnn.cli.app import app as app
from tsrnn.cli.app import main as main
