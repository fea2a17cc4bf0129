"""Several devices, and several processes: each in processes of their own, as both are fixed before JAX begins."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

import tsrnn
from tests import several_devices
from tsrnn.training.optimizer import Optimizer

ROOT = Path(__file__).resolve().parents[1]


def test_on_eight_devices():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/several_devices.py"]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | flags, cwd=ROOT, check=False)
    assert ran.returncode == 0, ran.stdout


PYTHON = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "devices.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_runs_on_one_device():
    for block in PYTHON[0], PYTHON[2]:
        exec(compile(block, "devices.md", "exec"), {})


ON_HOSTS = """
import numpy as np
from tests import several_devices as plain
from tsrnn.training.optimizer import Optimizer

constant = Optimizer(schedule="constant")
for steps in (10, 20):
    options = {"checkpoint": "shared/plain", "checkpoint_every": 10, "max_steps": steps}
    resumed, history = plain.train(None, optimizer=constant, **options)
    assert history.steps == steps
members = [params for params, _ in plain.members(None)]
np.savez(rank, *jax.device_get(jax.tree.leaves([model.params_, resumed, members])))
plain.DATA += int(rank)
try:
    plain.train(None)
except ValueError as error:
    assert "the processes hold different data" in str(error)
else:
    raise AssertionError("different data were taken")
"""


@pytest.mark.slow
def test_the_script_of_the_page_on_two_hosts(tmp_path, monkeypatch):
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    (tmp_path / "shared").mkdir()
    script = tmp_path / "train.py"
    script.write_text(PYTHON[1] + ON_HOSTS)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "", "PYTHONPATH": str(ROOT)}
    hosts = [
        subprocess.Popen([sys.executable, "-W", "error", script, address, "2", rank], cwd=tmp_path, env=environment,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for rank in "01"
    ]  # fmt: skip
    said = [host.communicate(timeout=600)[0] for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], "\n".join(said)

    first, second = (list(np.load(tmp_path / f"{rank}.npz").values()) for rank in "01")
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    monkeypatch.chdir(tmp_path)
    df, spread = tsrnn.read_csv("datasets/co2_weekly.csv"), tsrnn.load("shared/model")
    assert pd.read_csv("shared/losses.csv")["step"].tolist() == [40]  # written once
    again = tsrnn.Forecaster(**spread.get_params(deep=False)).fit(df)
    several_devices.close(again.params_, spread.params_)  # the checkpoint of two processes is one's too
    alone = [
        again.set_params(training__checkpoint=None, training__log=None).fit(df).params_,
        several_devices.train(1, optimizer=Optimizer(schedule="constant"), max_steps=20)[0],
        [params for params, _ in several_devices.members(1)],
    ]
    several_devices.close(alone, jax.tree.unflatten(jax.tree.structure(alone), first))
