"""session3's stores: the store alone, and with the manager around it."""

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from session3 import open_store, plainjson
from session3.DictSession import DictSession
from session3.errors import StoreExists
from session3.SessionManager import SessionManager
from session3.store.MySQLSessionStore import MySQLSessionStore

from .contenders import DATA, SECRET, Contender, Role, Servers


def prepared(store: Any, stack: ExitStack) -> Any:
    """Set a store up, if an earlier section has not done it on this server; it is closed with the stack."""
    stack.enter_context(store)
    with suppress(StoreExists):
        store.setup()
    return store


class Ours(Contender):
    """A store of ours; what it loads is a session object, and its save compares and swaps."""

    role = Role.OURS

    @classmethod
    def open(cls, folder: Path, servers: Servers) -> Any:
        raise NotImplementedError

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.store = prepared(self.open(folder, servers), stack)
        self.manager = SessionManager(self.store, DictSession)
        visit = self.manager.begin(None)
        visit.session.update(DATA)  # type: ignore[union-attr]
        change = self.manager.finish(visit)
        assert change is not None and change.value is not None
        self.cookie = change.value
        self.session = self.store.load_session(self.cookie)

    def load(self) -> Any:
        return self.store.load_session(self.cookie)

    def save(self, number: int) -> None:
        self.session["visits"] = number
        self.store.save_session(self.session)

    def read_only(self) -> None:
        # The assertion: no Set-Cookie.
        visit = self.manager.begin(self.cookie)
        visit.session["name"]  # type: ignore[index]
        assert self.manager.finish(visit) is None


class OurDirectory(Ours):
    name, family = "session3 Directory", "files"

    @classmethod
    def open(cls, folder: Path, servers: Servers) -> Any:
        return open_store(f"directory://{folder}/ours")


class OurSQLite(Ours):
    name, family = "session3 SQLite", "SQLite"

    @classmethod
    def open(cls, folder: Path, servers: Servers) -> Any:
        return open_store(f"sqlite://{folder}/ours.db")


class OurPostgres(Ours):
    name, family = "session3 Postgres", "Postgres"

    @classmethod
    def open(cls, folder: Path, servers: Servers) -> Any:
        return open_store(servers.postgres.url)


class OurMySQL(Ours):
    name, family = "session3 MySQL", "MySQL"

    @classmethod
    def open(cls, folder: Path, servers: Servers) -> Any:
        return open_store(servers.mariadb.url)


class OurRedis(Ours):
    name, family = "session3 Redis", "Redis"

    @classmethod
    def open(cls, folder: Path, servers: Servers) -> Any:
        return open_store(servers.redis.url)


class OurDurus(Ours):
    name, family = "session3 Durus", "Durus"

    @classmethod
    def open(cls, folder: Path, servers: Servers) -> Any:
        return open_store(f"durus://{folder}/ours.durus")


class OurCookie(Ours):
    name, family = "session3 cookie", "cookie"

    @classmethod
    def open(cls, folder: Path, servers: Servers) -> Any:
        return open_store("cookie://", secret_key=SECRET)

    def visits(self) -> int:
        self.cookie = self.session.id  # which a save makes
        return super().visits()


class OurMySQLInC(OurMySQL):
    """Over a driver written in C, where one is installed."""

    name, role = "session3 MySQL, on mysqlclient", Role.VARIANT

    @classmethod
    def open(cls, folder: Path, servers: Servers) -> Any:
        import MySQLdb

        return MySQLSessionStore(lambda: MySQLdb.connect(**servers.mariadb.settings))


class OurCookieByPython(OurCookie):
    """As it is where the extra json is not installed."""

    name, role = "session3 cookie, without msgspec", Role.VARIANT

    def turn(self, operation: str, number: int) -> list[float]:
        has, plainjson.HAS_MSGSPEC = plainjson.HAS_MSGSPEC, False
        try:
            return super().turn(operation, number)
        finally:
            plainjson.HAS_MSGSPEC = has


OURS: list[type[Ours]] = [OurDirectory, OurSQLite, OurPostgres, OurMySQL, OurRedis, OurDurus, OurCookie]
VARIANTS: list[type[Ours]] = [OurMySQLInC, OurCookieByPython]
