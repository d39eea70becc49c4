"""`open_store(url)`."""

import os
import traceback
from pathlib import Path
from typing import Any

import pytest

from session3 import open_store
from session3.errors import ConfigurationError, SessionError
from session3.Session import Session
from session3.store.DirectorySessionStore import DirectorySessionStore
from session3.store.RecordStore import RecordStore
from session3.store.RedisSessionStore import RedisSessionStore
from session3.store.ShelveSessionStore import ShelveSessionStore
from session3.store.SQLiteSessionStore import SQLiteSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore

PLACES = [("directory", DirectorySessionStore), ("shelve", ShelveSessionStore), ("sqlite", SQLiteSessionStore)]


@pytest.mark.parametrize(("scheme", "store_class"), PLACES)
@pytest.mark.parametrize("slashes", ["://", ":///"])
def test_a_path_after_three_slashes_or_four_is_absolute(
    scheme: str, store_class: type[Any], slashes: str, tmp_path: Path
) -> None:
    with open_store(f"{scheme}{slashes}{tmp_path}/here") as store:
        assert isinstance(store, store_class)
        session = Session("example1")
        session.set_user("alice")
        store.save_session(session)
        assert store.load_session("example1").user == "alice"
    assert any(name.startswith("here") for name in os.listdir(tmp_path))


@pytest.mark.parametrize(("scheme", "store_class"), PLACES)
def test_a_path_with_a_dot_is_relative(
    scheme: str, store_class: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    for path in ("./one", "../two"):
        with open_store(f"{scheme}:///{path}") as store:
            store.save_session(Session("example1"))
    assert any(name.startswith("one") for name in os.listdir(tmp_path / "inner"))
    assert any(name.startswith("two") for name in os.listdir(tmp_path))


def test_a_dot_alone_is_the_working_directory_and_not_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("directory:///.")
    assert isinstance(store, DirectorySessionStore) and Path(store.directory) == tmp_path


def test_a_path_may_be_quoted(tmp_path: Path) -> None:
    store = open_store(f"directory://{tmp_path}/a%20b%3Fc")
    assert isinstance(store, DirectorySessionStore) and store.directory == f"{tmp_path}/a b?c"


def test_memory_is_a_new_store_each_time() -> None:
    one, other = open_store("memory://"), open_store("memory://")
    assert isinstance(one, VolatileSessionStore) and one is not other


def test_sqlite_without_a_path_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite://") as store:
        store.save_session(Session("example1"))
        assert store.has_session("example1") and not store.is_multiprocess_safe
    assert os.listdir(tmp_path) == []


def test_options_reach_the_store(tmp_path: Path) -> None:
    store = open_store(f"directory://{tmp_path}", hash_ids=True, on_conflict="raise")
    assert isinstance(store, RecordStore) and store.hash_ids and store.on_conflict == "raise"


def test_an_unknown_scheme_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown scheme 'mongo'; known are: cookie, directory, .*sqlite"):
        open_store("mongo://host/path")


WRONG = [
    ("", "scheme"),
    ("sessions.db", "scheme"),
    ("/var/lib/sessions", "scheme"),
    ("directory://", "path is missing"),
    ("directory:///", "path is missing"),
    ("directory:////", "path is missing"),
    ("shelve://", "path is missing"),
    ("sqlite:///", "path is missing"),
    ("directory://relative/path", "three slashes"),
    ("sqlite://sessions.db", "three slashes"),
    ("sqlite:sessions.db", "three slashes"),
    ("directory:./sessions", "three slashes"),
    ("shelve:sessions", "three slashes"),
    ("sqlite:///sessions.db?timeout=5", "follows the path"),
    ("sqlite://?mode=ro", "follows the path|three slashes"),
    ("directory:///sessions#1", "follows the path"),
    ("memory://host", "no host and no path"),
    ("memory:///path", "no host and no path"),
    ("memory://?a=b", "means nothing"),
    ("directory:///nul%00byte", "directory"),
    ("sqlite://[x", "no URL"),
    ("redis://", "host is missing"),
    ("redis:///0", "host is missing"),
    ("redis://:hidden@/0", "host is missing"),
    ("redis://user:hidden@host:port/0", "port"),
    ("redis://user:hidden@host:65536/0", "port"),
    ("redis://user:hidden@host:0/0", "port"),
    ("rediss://user:hidden@host:0/0", "port"),
    ("postgresql://user:hidden@host:0/shop", "port"),
    ("mysql://user:hidden@host:0/shop", "port"),
    ("redis://user:hidden@a..b/0", "no name of one"),
    ("redis+cluster://user:hidden@a..b/0", "no name of one"),
    ("postgresql://user:hidden@a..b/shop", "no name of one"),
    (f"mysql://user:hidden@{'a' * 64}/shop", "no name of one"),
    ("durus://a..b:2972", "no name of one"),
    ("redis://user:hidden@host/0?prefix=\udcff", "prefix must be characters that UTF-8 knows"),
    ("redis://user:hidden@host/zero", "number"),
    ("redis://user:hidden@host/0/1", "number"),
    ("redis://user:hidden@host/-1", "number"),
    ("redis://user:hidden@host/0?prefiks=a", "'prefiks' is unknown; known are: prefix"),
    ("redis://user:hidden@host/0?prefix=a", r"prefix must end in .*\?prefix=name:"),
    ("redis://user:hidden@host/0?prefix=a&prefix=b", "'prefix' is there twice"),
    ("redis://user:hidden@host/0?prefix=", "prefix must not be empty"),
    ("redis://user:hidden@host/0#1", "'#'"),
    ("redis://user:hidden@[host/0", "no URL"),
    ("redis://user:hidden\u2100@host/0", "no URL"),
    ("redis://user:hid/hidden@host/0", "number"),
    ("redis://user:1/hidden@host/0", "number"),
    ("redis://user:1?hidden@host/0", "unknown"),
    ("redis://user:1?hidden=@host/0", "unknown"),
    ("redis://user:1#hidden@host/0", "'#'"),
    ("rediss://:hidden@/0", "host is missing"),
    ("mysql://user:hidden@host/shop?read_timeout=0", "read_timeout must be a whole number"),
    ("mysql://user:hidden@host/shop?read_timeout=1.5", "read_timeout must be a whole number"),
    ("mysql://user:hidden@host/shop?tcp_user_timeout=1", "'tcp_user_timeout' is unknown"),
    ("postgresql://user:hidden@host/shop?connect_timeout=", "connect_timeout must be a whole number"),
    ("postgresql://user:hidden@host/shop?read_timeout=1", "'read_timeout' is unknown"),
]


@pytest.mark.parametrize(("url", "part"), WRONG)
def test_a_wrong_url_is_an_error_that_says_which_part(url: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for store in (DirectorySessionStore, ShelveSessionStore, SQLiteSessionStore):
        monkeypatch.setattr(store, "__init__", lambda *args, **options: pytest.fail(f"opens {args[1:]}"))
    with pytest.raises(ConfigurationError, match=part) as error:
        open_store(url)
    assert {ValueError, SessionError} <= set(type(error.value).__mro__)
    assert "hidden" not in "".join(traceback.format_exception(error.value)).replace(f"open_store({url!r})", "")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://cache", "RedisSessionStore('redis://cache:6379/0', prefix='session3:')"),
        ("redis://user:hid%2Fden@cache:7000/3", "RedisSessionStore('redis://cache:7000/3', prefix='session3:')"),
        ("redis://:hidden@[::1]:7000/", "RedisSessionStore('redis://::1:7000/0', prefix='session3:')"),
        ("redis://cache/1?prefix=shop%3A", "RedisSessionStore('redis://cache:6379/1', prefix='shop:')"),
        ("rediss://cache/1", "RedisSessionStore('rediss://cache:6379/1', prefix='session3:')"),
    ],
)
def test_a_url_of_redis(url: str, shown: str) -> None:
    store = open_store(url, default_ttl=60)
    assert isinstance(store, RedisSessionStore)
    assert repr(store) == shown
    given = store._client().connection_pool.connection_kwargs
    assert (given.get("username"), given.get("password")) in ((None, None), ("user", "hid/den"), (None, "hidden"))
    assert ("hid" in url) == bool(given.get("password"))


@pytest.mark.parametrize(
    ("url", "limits"),
    [
        ("mysql://host/shop", {"connect_timeout": 10, "read_timeout": 60, "write_timeout": 60}),
        ("mysql://host/shop?read_timeout=5&table=t", {"connect_timeout": 10, "read_timeout": 5, "write_timeout": 60}),
        ("postgresql://host/shop", {"connect_timeout": 10, "tcp_user_timeout": 30_000, "keepalives_idle": 30}),
        (
            "postgresql://host/shop?connect_timeout=2&tcp_user_timeout=500",
            {"connect_timeout": 2, "tcp_user_timeout": 500},
        ),
    ],
)
def test_a_server_is_not_waited_for_without_limit(url: str, limits: dict[str, int]) -> None:
    pytest.importorskip("pymysql" if url.startswith("mysql") else "psycopg2")
    store: Any = open_store(url)
    assert limits.items() <= store._opener._settings.items()
