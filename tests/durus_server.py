"""A Durus server of the tests' own."""

import sys
from collections.abc import Sequence

from session3.durusfiles import repair_file

from .private_server import PrivateServer


class DurusServer(PrivateServer):
    """`durus -s` on a file in its folder, mended at each start as the documentation says."""

    ready = "Ready on"

    def __init__(self) -> None:
        super().__init__()
        self.user = None  # it has nothing against root, and nobody may not reach a Python in root's home
        self.file = self.folder / "sessions.durus"

    @property
    def url(self) -> str:
        return f"durus://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        return (
            sys.executable, "-m", "durus", "-s",
            "--host", "127.0.0.1", "--port", str(self.port), "--file", str(self.file),
        )  # fmt: skip

    def start(self) -> None:
        repair_file(self.file)
        super().start()
