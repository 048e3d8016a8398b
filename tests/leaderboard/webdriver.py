"""A browser driven through the W3C WebDriver protocol, with the standard library alone."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip


class Driver:
    """A running chromedriver; `browser` opens a session."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(600):
            try:
                call("GET", f"{self.address}/status")
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise RuntimeError("chromedriver did not start")

    def browser(self, *, scripts: bool = True, dark: bool = False, width: int = 1400) -> Browser:
        blocked = {} if scripts else {"profile.managed_default_content_settings.javascript": 2}
        scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        options = {
            "binary": CHROMIUM,
            "args": [*ARGUMENTS, scheme, f"--window-size={width},1000"],
            "prefs": blocked,
        }
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        session = call("POST", f"{self.address}/session", wanted)["sessionId"]
        return Browser(f"{self.address}/session/{session}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)


class Browser:
    """One session."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        call("DELETE", self.address)

    def open(self, path: Path) -> None:
        call("POST", f"{self.address}/url", {"url": path.as_uri()})

    def find(self, css: str) -> list[str]:
        found = call("POST", f"{self.address}/elements", {"using": "css selector", "value": css})
        return [element[ELEMENT] for element in found]

    def click(self, element: str) -> None:
        call("POST", f"{self.address}/element/{element}/click", {})

    def type(self, element: str, text: str) -> None:
        call("POST", f"{self.address}/element/{element}/value", {"text": text})

    def clear(self, element: str) -> None:
        call("POST", f"{self.address}/element/{element}/clear", {})

    def texts(self, css: str) -> list[str]:
        return [call("GET", f"{self.address}/element/{element}/text") for element in self.find(css)]

    def resize(self, width: int) -> None:
        """Give the page a width; a window cannot be made as narrow as a phone everywhere."""
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        command = {"cmd": "Emulation.setDeviceMetricsOverride", "params": size}
        call("POST", f"{self.address}/goog/cdp/execute", command)

    def run(self, script: str, *values: Any) -> Any:
        return call("POST", f"{self.address}/execute/sync", {"script": script, "args": list(values)})

    def wait(self, script: str, *values: Any) -> Any:
        call("POST", f"{self.address}/timeouts", {"script": 240_000})
        return call("POST", f"{self.address}/execute/async", {"script": script, "args": list(values)})


def call(method: str, address: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{method} {address}: {error.read().decode()[:500]}") from None
