"""Build the wheel, install it into a clean environment outside the repository, and use it there.

Run by `make test`; pytest does not collect this file.
"""

import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

FORECAST = """
import sys

import numpy as np
import pandas as pd

import tsrnn

assert tsrnn.__file__.startswith(sys.prefix), f"imported {tsrnn.__file__}, not the wheel in {sys.prefix}"

steps = np.arange(60)
df = pd.DataFrame(
    {
        "unique_id": np.repeat(["a", "b"], 60),
        "ds": np.tile(pd.date_range("2020-01-01", periods=60, freq="D"), 2),
        "y": np.concatenate([np.sin(steps / 3), 5 + np.cos(steps / 3)]),
    }
)
training = tsrnn.Training(max_steps=20)
forecast = tsrnn.Forecaster(tsrnn.GRU(hidden_size=8), horizon=3, training=training).fit(df).predict()
assert forecast["unique_id"].tolist() == ["a"] * 3 + ["b"] * 3, forecast
assert forecast["ds"].tolist() == 2 * list(pd.date_range("2020-03-01", periods=3, freq="D")), forecast
assert np.isfinite(forecast["GRU"]).all(), forecast
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="tsrnn-wheel-") as name:
        folder = Path(name).resolve()
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = folder.glob("*.whl")
        rooms = {Path(member).parts[0] for member in zipfile.ZipFile(wheel).namelist()}
        assert {room for room in rooms if not room.endswith(".dist-info")} == {"tsrnn"}, rooms

        venv.create(folder / "env", with_pip=True)
        python = folder / "env" / "bin" / "python"
        install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel]
        subprocess.run(install, check=True, cwd=folder)

        # -I: neither PYTHONPATH nor the working folder can lend the repository's own package.
        subprocess.run([python, "-I", "-c", FORECAST], check=True, cwd=folder)
        command = [python.with_name("tsrnn"), "--help"]
        usage = subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True).stdout
        found = subprocess.run([command[0], "doctor"], check=True, cwd=folder, capture_output=True, text=True).stdout
        if any(map(shutil.which, ("c++", "g++", "clang++"))):
            assert "kernels   in use" in found, found
        assert all(word in usage for word in ("backtest", "detect")), usage
    print(f"{wheel.name}: installed, fitted and forecast in a clean environment")


if __name__ == "__main__":
    main()
