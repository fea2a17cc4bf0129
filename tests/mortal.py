"""Models for tests of engines, in a module that workers can import."""

import os
import signal
import time
import uuid
from pathlib import Path

from tsrnn import Drift


class Mortal(Drift):
    """`Drift` that writes down each fit, and whose worker is killed once, in the fit of that number."""

    def __init__(self, *, horizon, folder, last_fit=None):
        super().__init__(horizon=horizon)
        self.folder = folder
        self.last_fit = last_fit

    def _fit(self, panel):
        folder = Path(self.folder)
        (folder / f"{os.getpid()}-{uuid.uuid4().hex}.fit").touch()
        died = folder / "died"
        if self.last_fit is not None and not died.exists() and len(list(folder.glob("*.fit"))) >= self.last_fit:
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Slow(Drift):
    """`Drift` that writes down each fit, and takes its time."""

    def __init__(self, *, horizon, folder):
        super().__init__(horizon=horizon)
        self.folder = folder

    def _fit(self, panel):
        (Path(self.folder) / f"{os.getpid()}-{uuid.uuid4().hex}.fit").touch()
        time.sleep(600)


class Doomed(Drift):
    """`Drift` that no worker survives."""

    def _fit(self, panel):
        os.kill(os.getpid(), signal.SIGKILL)
