"""A headless Chromium driven over a pipe by the DevTools protocol: no driver, no server, no port."""

import json
import os
import shutil
import subprocess
import sys
import threading
from queue import Queue

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# Chromium reads commands from descriptor 3 and answers on 4.
LAUNCHER = """
import fcntl, os, sys
for ours, theirs in zip([fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3]], (3, 4)):
    os.dup2(ours, theirs)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """A page in a browser of its own; `requests` and `complaints` are what it asked the network for and logged."""

    def __init__(self, url, folder):
        self.requests, self.complaints, self._n = [], [], 0
        to_browser, from_us = os.pipe()
        from_browser, to_us = os.pipe()
        flags = [
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ]
        flags += [f"--user-data-dir={folder}", "--window-size=1280,900"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(to_browser), str(to_us), CHROMIUM, *flags],
            pass_fds=[to_browser, to_us], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(to_us)
        self._out, self._in = os.fdopen(from_us, "wb", buffering=0), os.fdopen(from_browser, "rb")
        self._answers, self._loaded = Queue(), threading.Event()
        self._ears = threading.Thread(target=self._listen, daemon=True)
        self._ears.start()
        self._session = None
        try:
            self._open(url)
        except BaseException:
            self.close()
            raise

    def _open(self, url):
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Page.navigate", url=url)
        assert self._loaded.wait(timeout=60)

    def send(self, method, **params):
        self._n += 1
        message = {"id": self._n, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        answer = self._answers.get(timeout=60)
        assert answer["id"] == self._n
        assert "error" not in answer, answer
        return answer["result"]

    def run(self, script):
        """The value of an expression; promises are waited for."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def close(self):
        self._process.terminate()
        self._process.wait(timeout=30)
        self._out.close()
        self._ears.join(timeout=30)
        self._in.close()

    def _listen(self):
        text = b""
        while part := self._in.read1(1 << 20):
            *messages, text = (text + part).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers.put(message)
                else:
                    self._hear(message["method"], message["params"])

    def _hear(self, event, params):
        if event == "Page.loadEventFired":
            self._loaded.set()
        elif event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"])
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(params["args"])
