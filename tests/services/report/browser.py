"""A headless Chromium, driven over a pipe in the DevTools protocol.

    with browser(tmp_path) as chromium:
        seen = chromium.open(path, width=360)
        seen.messages, seen.requests, seen.value("document.title")

Nothing is listened on, and no driver is needed. Where there is no Chromium, and none
can be installed, the test skips and says so.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import debian

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
_PATIENCE = 60.0  # seconds for one answer; the machine may be busy


class BrowserError(Exception):
    """Chromium did not do what it was asked to."""


@dataclass
class Page:
    """A page that was opened, and what the browser had to say about it."""

    session: str
    chromium: "Chromium"
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def value(self, script: str) -> Any:
        """Return what an expression is worth in the page."""
        said = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        return said["result"].get("value")

    def screenshot(self) -> bytes:
        """Return what the window shows, as PNG."""
        taken = self.ask("Page.captureScreenshot")
        return base64.b64decode(taken["data"])

    def printed(self) -> bytes:
        """Return the page as PDF, on the paper that it asks for."""
        made = self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(made["data"])

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command of the protocol and return the answer."""
        return self.chromium.ask(method, self.session, **params)

    def note(self, event: dict[str, Any]) -> None:
        """Remember what is of interest."""
        method, params = event["method"], event["params"]
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Log.entryAdded":
            self.messages.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.messages.append(params["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.messages.append(json.dumps(params["args"]))


class Chromium:
    """A running browser."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        """Talk over two pipes; a message ends in a zero byte."""
        self._to, self._from = to_browser, from_browser
        self._read = b""
        self._number = 0
        self._pages: dict[str, Page] = {}

    def open(self, path: Path, *, width: int, scheme: str = "light") -> Page:
        """Return the page at `path`, loaded in a window of `width` CSS pixels."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(attached["sessionId"], self)
        self._pages[page.session] = page
        for domain in ("Page", "Network", "Log", "Runtime"):
            page.ask(f"{domain}.enable")
        page.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        page.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        page.ask("Page.navigate", url=path.as_uri())
        self._until(lambda said: said.get("method") == "Page.loadEventFired")
        return page

    def ask(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Send a command and return the answer."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda said: said.get("id") == number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE
        while True:
            said = self._next(deadline)
            page = self._pages.get(said.get("sessionId", ""))
            if page is not None and "method" in said:
                page.note(said)
            if wanted(said):
                return said

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._read:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._from], [], [], left)[0]:
                raise BrowserError("no answer in time")
            chunk = os.read(self._from, 1 << 20)
            if not chunk:
                raise BrowserError("the browser has ended")
            self._read += chunk
        message, _, self._read = self._read.partition(b"\0")
        said: dict[str, Any] = json.loads(message)
        return said


@contextmanager
def browser(directory: Path) -> Iterator[Chromium]:
    """Run a browser with a new profile in `directory`, or skip the test."""
    command = [_program(), *_FLAGS, f"--user-data-dir={directory / 'profile'}"]
    # It reads commands from descriptor 3 and answers on 4.
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    shell = f'exec "$@" 3<&{to_read} 4>&{from_write}'
    with (directory / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(to_read, from_write),
            stdout=log,
            stderr=log,
        )
    os.close(to_read)
    os.close(from_write)
    chromium = Chromium(to_write, from_read)
    try:
        yield chromium
        chromium.ask("Browser.close")
    finally:
        os.close(to_write)
        os.close(from_read)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _program() -> str:
    """Return the path of Chromium; install Debian's if that is possible."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        found = debian.program("chromium", serves=False)
    if found is None:
        pytest.skip("no chromium here, and it cannot be installed")
    return found
