"""Documents that run: the README's example and commands, the notebooks, and every run file."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
import yaml
from nbclient import NotebookClient
from typer.testing import CliRunner

from tsrnn.anomaly.base import Flag
from tsrnn.cli import app
from tsrnn.config import DetectConfig
from tsrnn.runs.detect import build_detector

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_example_runs_and_prints_the_frame_it_shows(monkeypatch, capsys):
    code, shown = re.search(r"```python\n(.*?)```\n+```text\n(.*?)```", README, re.DOTALL).groups()
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {})
    plt.close("all")
    printed = capsys.readouterr().out.split()
    numbers = re.compile(r"-?\d+\.\d+")
    # Another processor may round otherwise: names, stamps and rows are equal, the numbers close.
    assert [numbers.sub("#", word) for word in printed] == [numbers.sub("#", word) for word in shown.split()]
    for ours, theirs in zip(printed, shown.split(), strict=True):
        if numbers.fullmatch(ours):
            assert float(ours) == pytest.approx(float(theirs), rel=0.05)


def test_the_commands_in_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= set(re.findall(r"make ([a-z-]+)", README)) <= targets
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path


INSPECTED = [
    (document, *block)
    for document in ("README.md", "docs/inspect.md")
    for block in re.findall(
        r"```sh\ntsrnn inspect (\S+)\n```\n+```text\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL
    )
]


@pytest.mark.parametrize(("document", "file", "shown"), INSPECTED, ids=lambda value: value[:40])
def test_inspect_prints_what_the_documents_show(document, file, shown, shared_data, monkeypatch):
    monkeypatch.chdir(shared_data)
    result = CliRunner().invoke(app, ["inspect", file])
    assert [line.rstrip() for line in result.stdout.splitlines()] == shown.splitlines()


def test_the_python_of_the_page_on_inspect_runs(monkeypatch, capsys):
    page = (ROOT / "docs" / "inspect.md").read_text(encoding="utf-8")
    monkeypatch.chdir(ROOT)
    exec(compile(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], "inspect.md", "exec"), {})
    assert "tsrnn detect datasets/pump_sensors.csv --time-col timestamp" in capsys.readouterr().out


def test_the_documents_show_three_inspections():
    assert [document for document, _, _ in INSPECTED] == ["README.md", "docs/inspect.md", "docs/inspect.md"]


def test_the_commands_in_the_page_on_anomalies_have_their_options():
    page = (ROOT / "docs" / "anomaly.md").read_text(encoding="utf-8")
    commands = re.findall(r"^(?:.*\| )?tsrnn anomaly (\w+) (.*)$", page, re.MULTILINE)
    assert {command for command, _ in commands} == {"fit", "score", "eval", "watch"}
    for command, arguments in commands:
        shown = CliRunner().invoke(app, ["anomaly", command, "--help"]).stdout
        assert all(option in shown for option in re.findall(r"(?<= )-{1,2}[\w-]+", arguments)), arguments
    settings = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    build_detector(DetectConfig.model_validate(settings))
    assert all(f"`{flag.name}`" in page for flag in Flag)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.name)
def test_notebooks_run(path):
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert not [o for o in outputs if o["output_type"] == "error"]


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("[!_]*.py")), ids=lambda p: p.name)
def test_benchmarks_say_how_to_run_them(script):
    usage = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True).stdout
    assert "--quick" in usage
    assert "--json" in usage
    assert f"python benchmarks/{script.name}" in usage
    assert script.name in (ROOT / "benchmarks" / "README.md").read_text()
