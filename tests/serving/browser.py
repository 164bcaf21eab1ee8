"""A real browser without a window, driven over its own protocol.

Here: starting it, opening a page, what it asked for and complained about. Not here: what a page should be.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
SECONDS = 60


class Page:
    """One page. `asked` are the addresses it wanted, `complaints` what its console said was wrong."""

    def __init__(self, line: ClientConnection) -> None:
        self._line = line
        self._number = 0
        self.asked: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Network", "Runtime", "Log", "Page"):
            self._tell(f"{domain}.enable")

    def open(self, address: str) -> None:
        """Go there."""
        self._tell("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is."""
        answer = self._tell("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def resize(self, width: int, height: int, *, dots: int) -> None:
        """Let the window have so many pixels, each of so many dots a side in its picture."""
        size = {"width": width, "height": height, "deviceScaleFactor": dots}
        self._tell("Emulation.setDeviceMetricsOverride", **size, mobile=False)

    def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self._tell("Page.captureScreenshot", format="png")["data"])

    def wait_for(self, expression: str) -> Any:
        """The value of an expression as soon as it is true."""
        deadline = time.monotonic() + SECONDS
        while not (found := self.value(expression)):
            assert time.monotonic() < deadline, (expression, self.complaints, self.value("document.body.innerText"))
            time.sleep(0.1)
        return found

    def _tell(self, method: str, **arguments: Any) -> Any:
        self._number += 1
        self._line.send(json.dumps({"id": self._number, "method": method, "params": arguments}))
        while (message := json.loads(self._line.recv(timeout=SECONDS))).get("id") != self._number:
            self._note(message["method"], message["params"])
        return message["result"]

    def _note(self, event: str, about: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.asked.append(about["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(about["exceptionDetails"]["text"])
        elif event == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.complaints.append(about["entry"]["text"])


@contextmanager
def blank_page(folder: Path) -> Iterator[Page]:
    """An empty page of a browser whose profile is in `folder`; the test is skipped where there is no browser."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    command = [program, *OPTIONS, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    with (folder / "stderr").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        port = _port(folder)
        with connect(_page_of(port), max_size=None, ping_interval=None) as line:
            yield Page(line)
    finally:
        process.terminate()
        process.wait(SECONDS)


def _port(folder: Path) -> int:
    deadline = time.monotonic() + SECONDS
    while not (found := re.search(r"ws://127\.0\.0\.1:(\d+)/", (folder / "stderr").read_text())):
        assert time.monotonic() < deadline, (folder / "stderr").read_text()
        time.sleep(0.1)
    return int(found[1])


def _page_of(port: int) -> str:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=SECONDS) as answer:
        pages: list[dict[str, str]] = json.load(answer)
    return next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
