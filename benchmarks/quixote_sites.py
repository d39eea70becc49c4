"""Sites in Quixote, of any session manager. Nothing here may import session3: see sites.py."""

import sys
from contextlib import ExitStack, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from quixote import get_session
from quixote.directory import Directory
from quixote.publish import Publisher
from quixote.session import NullSessionManager, Session, SessionManager
from quixote.wsgi import QWIP

from . import sites
from .contenders import Servers


class Pages(Directory):  # type: ignore[misc]
    _q_exports = list(sites.PAGES)

    def plain(self) -> str:
        return sites.plain()

    def begin(self) -> str:
        session = get_session()
        session.set_user("zoe")  # without a user, Quixote and session3 3.4.1 keep no session
        return sites.begin(session)

    def read(self) -> str:
        return sites.read(get_session())

    def change(self) -> str:
        return sites.change(get_session())


@cache
def publisher() -> Any:
    """Return the one publisher that Quixote allows in a process."""
    with redirect_stdout(sys.stdout):  # its logger takes what is printed to stderr: undone
        return Publisher(Pages())


class QuixoteSite(sites.Site):
    framework = "Quixote"

    def _make_manager(self, folder: Path, servers: Servers, stack: ExitStack) -> Any:
        raise NotImplementedError

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.manager = self._make_manager(folder, servers, stack)
        super().__init__(QWIP(publisher()))

    def get(self, path: str) -> tuple[bytes, list[tuple[str, str]]]:
        publisher().set_session_manager(self.manager)
        return super().get(path)


class BareQuixote(QuixoteSite):
    name, family, is_bare = "Quixote without sessions", "", True

    def _make_manager(self, folder: Path, servers: Servers, stack: ExitStack) -> Any:
        return NullSessionManager()


class Kept(Session):  # type: ignore[misc]
    """Quixote's session, with items."""

    def __init__(self, id: str | None) -> None:
        super().__init__(id)
        self.data: dict[str, Any] = {}

    def update(self, items: dict[str, Any]) -> None:
        self.data.update(items)

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.data[key] = value


class QuixoteInMemory(QuixoteSite):
    name, family = "Quixote's in-memory manager", "memory"

    def _make_manager(self, folder: Path, servers: Servers, stack: ExitStack) -> Any:
        return SessionManager(Kept)
