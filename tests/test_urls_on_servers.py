"""URLs with several hosts, and of Unix sockets, on real servers."""

from typing import Any
from urllib.parse import quote

import pytest

from session3 import open_store

from .contract import stored
from .private_server import free_port
from .redis_server import RedisServer
from .test_urls_of_providers import without


def use(url: str) -> Any:
    with open_store(url) as store:
        store.setup(overwrite=True)
        store.check()
        assert store.load_session(stored(store).id).user == "alice"
    return store


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_of_several_hosts_the_one_that_is_there_is_used(postgres: Any, driver: str) -> None:
    pytest.importorskip(driver)
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{postgres.port}"
    url = postgres.url.replace("postgresql:", f"postgresql+{driver}:").replace(f"127.0.0.1:{postgres.port}", hosts)
    store = use(f"{url}?table=several_{driver}&application_name=several%20hosts")
    assert str(postgres.port) in repr(store)
    assert store._query("SELECT current_setting('application_name')", ()) == [("several hosts",)]
    store.close()


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_unix_socket_of_postgresql(postgres: Any, driver: str) -> None:
    pytest.importorskip(driver)
    if not hasattr(postgres, "folder"):
        pytest.skip("a server that was named has its sockets elsewhere")
    login, folder = "session3:open%20sesame", str(postgres.folder)
    for url in (
        f"postgresql+{driver}://{login}@{quote(folder, safe='')}:{postgres.port}/postgres?table=by_socket",
        f"postgresql+{driver}://{login}@/postgres?host={folder}&port={postgres.port}&table=by_socket",
    ):
        assert folder in repr(use(url))


@pytest.mark.parametrize(("database", "gone"), [("postgres", "psycopg2"), ("mariadb", "pymysql")])
def test_the_other_driver_alone_will_do(request: pytest.FixtureRequest, database: str, gone: str) -> None:
    if database == "mariadb":
        pytest.importorskip("MySQLdb", reason="needs mysqlclient: pip install mysqlclient")
    url = request.getfixturevalue(database).url + "?table=other_driver"
    code = (
        f"import session3; store = session3.open_store({url!r}); store.setup(overwrite=True); store.check()\n"
        "from session3.DictSession import DictSession\n"
        "store.save_session(DictSession('example1')); print(store.load_session('example1').id)"
    )
    assert without(gone, code) == "example1"


def test_a_unix_socket_of_mysql(mariadb: Any) -> None:
    if not hasattr(mariadb, "folder"):
        pytest.skip("a server that was named has its socket elsewhere")
    login, socket = "session3:open%20sesame", f"{mariadb.folder}/socket"
    use(f"mysql://{login}@/shop?unix_socket={socket}&table=by_socket")
    use(f"mysql://{login}@{quote(socket, safe='')}/shop?table=by_socket")


def test_a_unix_socket_of_redis() -> None:
    with RedisServer("--unixsocket", "socket", "--requirepass", "p/w") as server:
        server.folder.chmod(0o711)
        for scheme in ("unix", "redis+unix", "valkey+unix", "redis+socket"):
            use(f"{scheme}://:p%2Fw@{server.folder}/socket?db=2&prefix=socket:")
