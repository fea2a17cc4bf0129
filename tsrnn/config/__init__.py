"""Run files: YAML that says what to run, checked strictly, every complaint with the line it is about."""

from tsrnn.config.schema import BacktestConfig as BacktestConfig
from tsrnn.config.schema import DetectConfig as DetectConfig
from tsrnn.config.schema import RunFile as RunFile
from tsrnn.config.source import ConfigError as ConfigError
