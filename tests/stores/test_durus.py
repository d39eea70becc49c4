"""Sessions in Durus: in its two kinds of files, and on a server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session3.durusfiles import DurusFile, open_sqlite
from session3.durusfiles import DurusServer as Server
from session3.store.DurusSessionStore import DurusSessionStore

from ..contract import (
    CrashContract,
    FileContract,
    IterationContract,
    ProcessContract,
    RecordContract,
    SealContract,
    SetupContract,
    SweepContract,
    ThreadContract,
)
from ..durus_server import DurusServer
from ..sessions import Clock


class OnFile:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Any:
        return DurusFile(str(tmp_path / "sessions"))


class OnSqlite:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Any:
        return DurusFile(str(tmp_path / "sessions"), sqlite=True)


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    if "SESSION3_TEST_DURUS_URL" in os.environ:
        yield os.environ["SESSION3_TEST_DURUS_URL"]
    else:
        server = DurusServer()
        with server:
            yield server.url


class OnServer:
    @pytest.fixture
    def source(self, server_url: str) -> Any:
        host, _, port = server_url.removeprefix("durus://").rpartition(":")
        source = Server(host, int(port))
        with DurusSessionStore(source) as store:
            store.clear()
        return source

    @pytest.fixture
    def store_url(self, server_url: str) -> str:
        return server_url


class OnOpenConnection:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Iterator[Any]:
        connection = open_sqlite(tmp_path / "sessions")
        yield connection
        connection.get_storage().close()


@pytest.fixture
def make_store(source: Any, clock: Clock) -> Iterator[Any]:
    made: list[DurusSessionStore] = []

    def make(**options: Any) -> DurusSessionStore:
        for earlier in made:
            earlier.close()  # a file is for one at a time
        made.append(DurusSessionStore(source, clock=clock, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(make_store: Any) -> Any:
    return make_store()


class Contracts(RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract):
    pass


class TestOnFile(OnFile, Contracts, SealContract):
    pass


class TestOnSqlite(OnSqlite, Contracts, SealContract):
    pass


class TestOnServer(OnServer, Contracts, SealContract, ProcessContract, CrashContract):
    pass


class TestOnOpenConnection(OnOpenConnection, Contracts, SealContract):
    pass


class TestFiles(FileContract):
    @pytest.fixture(params=[False, True], ids=["file", "sqlite"])
    def open_at(self, request: pytest.FixtureRequest, clock: Clock) -> Any:
        def open(path: Path, make_parent: bool = False) -> DurusSessionStore:
            if make_parent:
                path.parent.mkdir()
            return DurusSessionStore(DurusFile(str(path), sqlite=request.param), clock=clock)

        return open
