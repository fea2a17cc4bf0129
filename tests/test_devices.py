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


@pytest.mark.slow
def test_the_script_of_the_page_on_two_hosts(tmp_path, monkeypatch):
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    (tmp_path / "shared").mkdir()
    script = tmp_path / "train.py"
    script.write_text(PYTHON[1] + "import numpy\nnumpy.savez(rank, *jax.tree.leaves(model.params_))\n")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "", "PYTHONPATH": str(ROOT)}
    hosts = [
        subprocess.Popen([sys.executable, "-W", "error", script, address, "2", rank], cwd=tmp_path, env=environment,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for rank in "01"
    ]  # fmt: skip
    said = [host.communicate(timeout=300)[0] for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], "\n".join(said)

    first, second = (list(np.load(tmp_path / f"{rank}.npz").values()) for rank in "01")
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    monkeypatch.chdir(tmp_path)
    df, spread = tsrnn.read_csv("datasets/co2_weekly.csv"), tsrnn.load("shared/model")
    assert pd.read_csv("shared/losses.csv")["step"].tolist() == [40]  # written once

    resumed = tsrnn.Forecaster(**spread.get_params(deep=False)).fit(df)
    alone = resumed.set_params(training__checkpoint=None, training__log=None)
    for a, b in zip(jax.tree.leaves(resumed.params_), first, strict=True):
        np.testing.assert_array_equal(a, b)  # the checkpoint of two processes is one's too
    for a, b in zip(jax.tree.leaves(alone.fit(df).params_), first, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
