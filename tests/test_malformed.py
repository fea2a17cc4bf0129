"""Every malformed table and run file, through the front door, gets the message kept in ``malformed/messages.yaml``."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tsrnn.cli import app

HERE = Path(__file__).parent / "malformed"
MESSAGES = yaml.safe_load((HERE / "messages.yaml").read_text(encoding="utf-8"))


pytestmark = pytest.mark.usefixtures("environment")


def arguments(name: str) -> list[str]:
    """A table is backtested by ``run.yaml``; a run file with a ``data.path`` or models too, others are for detect."""
    if name.endswith(".csv"):
        return ["backtest", "run.yaml", "--set", f"data.path={name}"]
    if name.startswith("yaml/detect"):
        return ["detect", "csv/infinity.csv", "--config", name]
    return ["backtest", name]


def test_each_file_has_its_message():
    files = {str(path.relative_to(HERE).as_posix()) for path in HERE.glob("*/*")}
    assert files == set(MESSAGES)


@pytest.mark.parametrize("name", MESSAGES)
def test_message(name, tmp_path, monkeypatch):
    monkeypatch.chdir(HERE)
    result = CliRunner().invoke(app, [*arguments(name), "--out", str(tmp_path / "out")])
    assert result.stderr.replace(f"{HERE}/", "").rstrip("\n") == MESSAGES[name].rstrip("\n")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert not any(tmp_path.iterdir())


def test_run_file_itself_is_sound(tmp_path, monkeypatch):
    monkeypatch.chdir(HERE)
    sound = tmp_path / "sound.csv"
    sound.write_text((HERE / "csv" / "infinity.csv").read_text(encoding="utf-8").replace("inf", "16"), encoding="utf-8")
    result = CliRunner().invoke(
        app, ["backtest", "run.yaml", "--set", f"data.path={sound}", "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.stderr
