"""The demo in a real browser: headless Chromium, driven through a pipe by the DevTools protocol."""

import json
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .servers import PATIENCE, DemoServer

pytest.importorskip("quixote", reason="needs Quixote: pip install 'session3[quixote]'")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

OPTIONS = [
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-quic", "--disable-sync", "--disable-background-networking", "--disable-component-update",
    "--no-first-run", "--no-proxy-server",
]  # fmt: skip


class Chromium:
    """A browser with one page. It reads commands from its file descriptor 3 and answers on 4, as JSON ended by NUL."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        self._process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null', "sh", CHROMIUM, *OPTIONS,
             f"--user-data-dir={profile}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        # A browser that hangs is ended, and the test fails as its pipe closes.
        self._deadline = threading.Timer(PATIENCE, self._process.kill)
        self._deadline.start()
        self._last = 0
        self._session: dict[str, str] = {}
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        self.ask("Page.enable")

    def close(self) -> None:
        try:
            self._session = {}
            self.ask("Browser.close")
            self._process.wait()
        finally:
            self._deadline.cancel()
            self._process.kill()
            self._process.communicate()

    def ask(self, method: str, **parameters: Any) -> Any:
        """Give a command, and return its result."""
        assert self._process.stdin is not None
        self._last += 1
        command = {"id": self._last, "method": method, "params": parameters, **self._session}
        self._process.stdin.write(json.dumps(command).encode() + b"\0")
        self._process.stdin.flush()
        while True:
            message = self._receive()
            if message.get("id") == self._last:
                assert "error" not in message, message
                return message["result"]

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        text = bytearray()
        while (byte := self._process.stdout.read(1)) != b"\0":
            assert byte, "Chromium has gone"
            text += byte
        message: dict[str, Any] = json.loads(text)
        return message

    def _wait_for_page(self) -> None:
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def open(self, url: str) -> None:
        answer = self.ask("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        self._wait_for_page()

    def evaluate(self, script: str) -> Any:
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def type(self, label: str, text: str) -> None:
        """Type into the field that bears this label."""
        self.evaluate(f"[...document.querySelectorAll('label')].find({_reads(label)}).control.focus()")
        self.ask("Input.insertText", text=text)

    def click(self, text: str) -> None:
        """Click the link or button that reads so, and wait for the next page."""
        # Only after the answer to this command: a click itself may already load the page, and drop the answer.
        self.evaluate(
            f"setTimeout(() => [...document.querySelectorAll('a, button')].find({_reads(text)}).click()), undefined"
        )
        self._wait_for_page()

    @property
    def text(self) -> str:
        text: str = self.evaluate("document.body.innerText")
        return text


def _reads(text: str) -> str:
    return f"it => it.textContent.trim() === {json.dumps(text)}"


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Chromium]:
    browser = Chromium(tmp_path / "profile")
    yield browser
    browser.close()


@pytest.mark.parametrize("store_url", ["sqlite:///./sessions.db", "cookie://"])
def test_a_login_and_a_count_survive_a_restart(
    chromium: Chromium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store_url: str
) -> None:
    monkeypatch.setenv("SESSION3_SECRET_KEY", secrets.token_urlsafe(32))  # for cookie://
    with DemoServer(tmp_path, store_url) as server:
        chromium.open(server.url)
        assert "Sessions that last" in chromium.text
        chromium.click("Log in")
        chromium.type("Your name", "Zoë")
        chromium.click("Log in")
        assert "Hello, Zoë" in chromium.text
        chromium.click("Count")
        chromium.click("Count")
        chromium.type("Item", "tea")
        chromium.click("Add")
        assert "counted to 2" in chromium.text
    with DemoServer(tmp_path, store_url, server.port):
        chromium.open(server.url)
        assert "Hello, Zoë" in chromium.text
        assert "counted to 2" in chromium.text
        assert "tea" in chromium.text
        assert chromium.evaluate("document.cookie") == ""  # no script can read the session's cookie
        chromium.click("Count")
        assert "counted to 3" in chromium.text
        chromium.click("Log out")
        assert "Sessions that last" in chromium.text
