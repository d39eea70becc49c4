"""URLs as hosting providers, other libraries and people write them."""

import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from session3 import open_store
from session3.drivers import import_driver
from session3.errors import ConfigurationError, MissingDriver
from session3.store.RedisSessionStore import RedisSessionStore
from session3.store.SQLiteSessionStore import SQLiteSessionStore

from .servers import environment

POSTGRES: list[tuple[str, dict[str, Any], str]] = [
    (
        "postgres://u:p@h:5432/db",
        {"host": "h", "port": 5432, "dbname": "db", "user": "u", "password": "p"},
        "h:5432/db",
    ),
    ("postgresql+psycopg2://u:p@h/db?sslmode=require", {"sslmode": "require"}, "h/db"),
    ("postgresql+psycopg://u:p@h/db", {"host": "h", "dbname": "db"}, "h/db"),
    (
        "postgres://h/db?sslmode=verify-full&sslrootcert=/ca&sslcert=/c&sslkey=/k&application_name=my%20shop",
        {
            "sslmode": "verify-full",
            "sslrootcert": "/ca",
            "sslcert": "/c",
            "sslkey": "/k",
            "application_name": "my shop",
        },
        "h/db",
    ),
    ("postgres://h/db?ssl=true", {"sslmode": "require"}, "h/db"),
    ("postgres://h/db?options=-c%20geqo%3Doff", {"options": "-c geqo=off"}, "h/db"),
    (
        "postgresql://u:p@h1:5432,h2:5433/db?target_session_attrs=primary",
        {"host": "h1,h2", "port": "5432,5433", "target_session_attrs": "primary"},
        "h1:5432,h2:5433/db",
    ),
    # Of several the one that takes writes.
    ("postgresql://h1,h2:5433/db", {"port": ",5433", "target_session_attrs": "read-write"}, "h1,h2:5433/db"),
    ("postgresql:///db?host=h1,h2", {"host": "h1,h2", "target_session_attrs": "read-write"}, "h1,h2/db"),
    # Of a pooler, which the store notices by itself.
    ("postgresql://u.x:p@h:6543/db?pgbouncer=true&supa=base-pooler.x", {"user": "u.x", "port": 6543}, "h:6543/db"),
    ("postgresql://u:p@h/db?sslmode=require&options=endpoint%3Dx", {"options": "endpoint=x"}, "h/db"),
    ("postgresql://[::1]:5433/db", {"host": "::1", "port": 5433}, "::1:5433/db"),
    ("postgresql:///db?host=/run/postgresql", {"host": "/run/postgresql"}, "/run/postgresql/db"),
    ("postgresql://u@%2Frun%2FPostgreSQL/db", {"host": "/run/PostgreSQL", "user": "u"}, "/run/PostgreSQL/db"),
    ("postgresql:///db?user=u@azure&password=p", {"user": "u@azure", "password": "p"}, "the default host/db"),
    ("postgresql://h/?dbname=db&port=5433", {"dbname": "db", "port": "5433"}, "h:5433/db"),
    ("postgresql://?service=shop", {"service": "shop"}, "the default host/"),
    ("postgresql://h/a%2Fb%40c", {"dbname": "a/b@c"}, "h/a/b@c"),
    ("postgres://u:p+w%2Bx%20y@h/db?application_name=a+b", {"password": "p+w+x y", "application_name": "a+b"}, "h/db"),
    ("postgres://@/db", {"dbname": "db"}, "the default host/db"),
    ("postgresql://u:p@/db?host=/cloudsql/a:b:c", {"host": "/cloudsql/a:b:c", "password": "p"}, "/cloudsql/a:b:c/db"),
    ("postgresql://u:%C3%A9@h/db", {"password": "é"}, "h/db"),
    ("  postgresql://h/db\n", {"host": "h"}, "h/db"),
]


@pytest.mark.parametrize(("url", "expected", "location"), POSTGRES)
def test_a_url_of_postgresql(url: str, expected: dict[str, Any], location: str) -> None:
    store: Any = open_store(url)
    found = store._opener._settings
    assert expected.items() <= found.items()
    assert found["connect_timeout"] == 10 and found["keepalives_idle"] == 30
    assert f"<PostgresSessionStore {location}, table session3>" == repr(store)
    import psycopg2.extensions

    parsed = psycopg2.extensions.parse_dsn(psycopg2.extensions.make_dsn(**found))
    assert {name: str(value) for name, value in expected.items()}.items() <= parsed.items()


def test_every_keyword_of_libpq_is_known() -> None:
    pq: Any = pytest.importorskip("psycopg").pq
    names = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    special = {"sslmode": "require", "target_session_attrs": "any", "connect_timeout": "5", "tcp_user_timeout": "5"}
    special |= {f"keepalives_{name}": "5" for name in ("idle", "interval", "count")}
    for name in names:
        value = special.get(name, "1")
        store: Any = open_store(f"postgresql+psycopg://h/db?{name}={value}")
        assert str(store._opener._settings[name]) == value


MYSQL: list[tuple[str, dict[str, Any]]] = [
    ("mysql+pymysql://u:p@h/db?charset=utf8", {"charset": "utf8mb4", "host": "h", "user": "u", "password": "p"}),
    ("mariadb://h:3307/db?reconnect=true", {"host": "h", "port": 3307, "database": "db"}),
    ("mysql://u@/db?unix_socket=/run/my.sock", {"unix_socket": "/run/my.sock"}),
    ("mysql:///db?unix_socket=/run/my.sock", {"unix_socket": "/run/my.sock"}),
    ("mysql://u@%2Frun%2FMy.sock/db", {"unix_socket": "/run/My.sock", "user": "u"}),
]


@pytest.mark.parametrize(("url", "expected"), MYSQL)
def test_a_url_of_mysql(url: str, expected: dict[str, Any]) -> None:
    store: Any = open_store(url)
    assert expected.items() <= store._opener._settings.items()
    assert store._opener._settings["read_timeout"] == 60
    assert "host" in expected or "host" not in store._opener._settings


REDIS: list[tuple[str, dict[str, Any], str]] = [
    (
        "rediss://:p@h:6380/1?ssl_cert_reqs=none",
        {"password": "p", "db": 1, "ssl_cert_reqs": "none"},
        "rediss://h:6380/1",
    ),
    ("rediss://h?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/ca", {"ssl_ca_certs": "/ca"}, "rediss://h:6379/0"),
    ("redis://h?db=3&client_name=shop&protocol=3", {"db": 3, "client_name": "shop", "protocol": 3}, "redis://h:6379/3"),
    ("redis://h/0?socket_timeout=0.5&socket_keepalive=true", {"socket_timeout": 0.5}, "redis://h:6379/0"),
    ("unix:///run/redis.sock?db=3", {"path": "/run/redis.sock", "db": 3}, "unix:///run/redis.sock?db=3"),
    ("redis+unix://u:p@/run/Redis.sock", {"path": "/run/Redis.sock", "username": "u"}, "unix:///run/Redis.sock?db=0"),
    ("redis+socket:///run/r.sock?virtual_host=4", {"db": 4}, "unix:///run/r.sock?db=4"),
    ("valkey://h/1", {"host": "h", "db": 1}, "redis://h:6379/1"),
    ("valkeys://h/1", {"host": "h", "db": 1}, "rediss://h:6379/1"),
]


@pytest.mark.parametrize(("url", "expected", "place"), REDIS)
def test_a_url_of_redis(url: str, expected: dict[str, Any], place: str) -> None:
    store: Any = open_store(url)
    assert expected.items() <= store._given.connection_pool.connection_kwargs.items()
    assert repr(store) == f"RedisSessionStore({place!r}, prefix='session3:')"
    assert expected.items() - {("socket_timeout", 0.5)} <= store._client().connection_pool.connection_kwargs.items()


def test_a_url_of_sentinel() -> None:
    store: Any = open_store("rediss+sentinel://u:p@h1:26380,h2/mymaster/2?sentinel_password=s&ssl_cert_reqs=none")
    pool = store._given.connection_pool
    assert pool.service_name == "mymaster"
    assert {"username": "u", "password": "p", "db": 2}.items() <= pool.connection_kwargs.items()
    sentinels = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in sentinels] == [("h1", 26380), ("h2", 26379)]
    assert {one["password"] for one in sentinels} == {"s"} and {one["ssl_cert_reqs"] for one in sentinels} == {"none"}


def test_a_limit_of_connections_in_the_url_is_the_clients() -> None:
    store: Any = open_store("redis://h?max_connections=7&timeout=3")
    assert isinstance(store, RedisSessionStore)
    assert store.timeout == 3 and store._client()._turns.limit == 7


def test_options_of_the_store_stand_in_the_url(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/s?timeout=2.5&hash_ids=true&durable=yes&on_conflict=last")
    assert isinstance(store, SQLiteSessionStore)
    assert (store.timeout, store.hash_ids, store.durable, store.on_conflict) == (2.5, True, True, "last")
    store = open_store(f"sqlite:///{tmp_path}/s?timeout=2.5", timeout=5)  # what the program says goes first
    assert isinstance(store, SQLiteSessionStore) and store.timeout == 5
    for url in ("postgresql://h/db?table=t", "mysql://h/db?table=t"):
        assert "table t>" in repr(open_store(url))
    redis: Any = open_store("redis://h?default_ttl=60&prefix=shop%3A")
    assert (redis.default_ttl, redis.prefix) == (60, "shop:")


def test_a_name_of_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/%E9t%E9+1.db")
    assert isinstance(store, SQLiteSessionStore)
    with store:
        store.setup()
    assert os.fsencode(store.filename).endswith(b"/\xe9t\xe9+1.db") and os.path.exists(store.filename)


WRONG = [
    ("postgresql://h/db?sslmode=no-verify", "sslmode must be one of"),
    ("postgresql://h/db?target_session_attrs=standby", "target_session_attrs must be one of: any, read-write, primary"),
    ("postgresql://h/db?colour=red", "'colour' is unknown"),
    ("postgresql://h", "database is needed"),
    ("postgresql+asyncpg://h/db", r"unknown scheme 'postgresql\+asyncpg'"),
    ("mysql://h1:3306,h2:3307/db", "one host"),
    ("mysql:///db", "host is missing"),
    ("mysql://h/db?ssl_mode=strict", "ssl_mode must be one of: DISABLED"),
    ("mysql://h/db?ssl_ca=/nowhere/hidden.pem", "the file that ssl_ca"),
    ("redis://h1,h2/0", "one host"),
    ("redis://h/0?ssl_cert_reqs=none", "rediss"),
    ("rediss://h/0?ssl_cert_reqs=never", "must be one of: none"),
    ("redis+sentinel://h1,h2", "name of the service"),
    ("redis+sentinel:///mymaster", "hosts are missing"),
    ("redis+sentinel://h/mymaster/x", "must be a number"),
    ("redis+unix://", "path of the socket"),
    ("redis+cluster://h/2", "one database"),
    ("redis://h/0?max_connections=0", "max_connections must be a whole number"),
    ("redis://h/0?timeout=soon", "timeout must be a number of seconds"),
    ("sqlite:///s?durable=maybe", "durable must be true or false"),
    ("sqlite:///s?table=t", "'table' is unknown"),
    ("sqlite:///s?default_ttl=5", "'default_ttl' is unknown; known are: timeout, "),
    ("durus://h1,h2", "one host"),
    ("postgresql://user:hidden%E9@h/db", "not UTF-8"),
    ("redis://h/0?prefix=%FF:", "prefix must be characters that UTF-8 knows"),
    ("postgresql://user:hidden%00@h/db", "%00"),
    ("postgresql://h/d%00b", "%00"),
    ("postgresql://h/db?options=%00", "options must be characters that UTF-8 knows, and no %00"),
    ("postgresql://user:hidden\udcff@h/db", "not UTF-8"),
    ("mysql://h%00/db", "%00"),
    ("redis://h/0\nredis://other/0", "end of a line"),
    # What a character of a password that is not quoted makes of a URL.
    *(
        (f"{scheme}://user:hid{mark}den@host:1234/shop", "not quoted")
        for scheme in ("postgresql", "mysql")
        for mark in "/#?["
    ),
    *(
        (f"{scheme}://user:12{mark}hidden@host/shop", "not quoted")
        for scheme in ("postgresql", "mysql")
        for mark in "/#?"
    ),
    *((f"{scheme}://user:12{mark}hidden@host", "not quoted") for scheme in ("postgresql", "mysql") for mark in "/#?"),
    *((f"redis+sentinel://user:1{mark}hidden@host/shop", "not quoted") for mark in "/#?["),
    ("mysql://user:hid@hid/den@host/shop", "not quoted"),
]


@pytest.mark.parametrize(("url", "part"), WRONG)
def test_what_is_wrong_is_told(url: str, part: str) -> None:
    with pytest.raises(ConfigurationError, match=part) as error:
        open_store(url)
    said = "".join(traceback.format_exception(error.value)).replace(f"open_store({url!r})", "")
    assert "hidden" not in said and "hid@" not in said


#: Letters that no message has, and whatever may stand in a password.
PASSWORDS = st.text("QXZ7/?#@[]:%&=+;, \\'\"", min_size=4, max_size=16)
SCHEMES = [
    "postgresql",
    "postgres",
    "mysql",
    "mariadb",
    "redis",
    "rediss",
    "valkey",
    "redis+sentinel",
    "durus",
    "memory",
]


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=300)
@given(PASSWORDS)
@example("QX/Q@Z7X")
@example("7/QXZ7")
@example("Q?prefix=XZ7Q:")
@example("7#QXZ7")
@example("Q@XZ7Q/X")
def test_no_piece_of_a_password_is_ever_shown(scheme: str, password: str) -> None:
    url = f"{scheme}://user:{password}@db.example:1234/5"
    pieces = {password[n : n + 4] for n in range(len(password) - 3)}
    secret = {piece for piece in pieces if set(piece) & set("QXZ7")}
    try:
        said = repr(open_store(url))
    except ConfigurationError as error:
        assert error.__context__ is None or error.__suppress_context__
        said = str(error)
    assert not {piece for piece in secret if piece in said}, said


@pytest.mark.parametrize("url", [Path("/tmp/sessions.db"), b"redis://h:hidden@h/0", None, 7, ["redis://:hidden@h"]])
def test_what_is_no_text_is_refused_with_the_name_of_its_type(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"not by a {type(url).__name__}") as error:
        open_store(url)
    assert "hidden" not in str(error.value)


# -- drivers as installed --------------------------------------------------------------------------------------------

FINDER = """
import sys
class Gone:
    def __init__(self, *names): self.names = names
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Gone(*sys.argv[1].split(",")))
"""


def without(names: str, code: str, *paths: Path) -> str:
    """Run code where some packages are not installed, and others come from `paths` first; return what it prints."""
    start = "".join(f"import sys; sys.path.insert(0, {str(path)!r})\n" for path in paths)
    done = subprocess.run(
        [sys.executable, "-c", start + FINDER + code, names],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


OPEN = """
import session3
try:
    print(session3.open_store("{url}")._opener._driver.__name__)
except ImportError as error:
    print(type(error).__name__, error, repr(error.__cause__))
"""

MISSING = "{} is not installed; run: pip install '{}'"


@pytest.mark.parametrize(
    ("url", "missing", "said"),
    [
        ("postgresql://h/db", "nothing", "psycopg2"),
        ("postgresql://h/db", "psycopg2", "psycopg"),
        ("postgresql://h/db", "psycopg", "psycopg2"),
        ("postgresql+psycopg://h/db", "psycopg2", "psycopg"),
        ("postgresql+psycopg2://h/db", "psycopg2", "MissingDriver psycopg2 is not installed"),
        ("postgresql://h/db", "psycopg2,psycopg", f"MissingDriver {MISSING.format('psycopg2', 'session3[postgres]')}"),
        ("postgresql+psycopg://h/db", "psycopg", f"MissingDriver {MISSING.format('psycopg', 'psycopg[binary]')}"),
        ("mysql://h/db", "nothing", "pymysql"),
        ("mysql+mysqldb://h/db", "MySQLdb", f"MissingDriver {MISSING.format('mysqlclient', 'mysqlclient')}"),
        ("mysql://h/db", "pymysql,MySQLdb", f"MissingDriver {MISSING.format('pymysql', 'session3[mysql]')}"),
    ],
)
def test_the_driver_is_the_one_that_is_installed(url: str, missing: str, said: str) -> None:
    assert without(missing, OPEN.format(url=url)).startswith(said)


@pytest.mark.parametrize(
    ("url", "module", "others"),
    [
        ("postgresql://h/db", "psycopg2", "psycopg"),
        ("mysql://h/db", "pymysql", "MySQLdb"),
        ("redis://h/0", "redis", "nothing"),
        ("durus://h:1", "durus", "nothing"),
    ],
)
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("import something_of_its_own", "No module named 'something_of_its_own'"),
        ("from . import _speedups", "_speedups"),
        ("raise ImportError('libpq.so.5: cannot open shared object file')", "libpq.so.5"),
    ],
)
def test_a_driver_that_fails_by_itself_is_not_called_missing(
    url: str, module: str, others: str, line: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text(line)
    said = without(others, OPEN.format(url=url), tmp_path)
    assert "is installed, but can't be imported" in said and why in said and "not installed;" not in said
    assert said.endswith("ImportError") or "Error(" in said  # the cause is chained


def test_a_broken_driver_gives_way_to_another(tmp_path: Path) -> None:
    (tmp_path / "psycopg2").mkdir()
    (tmp_path / "psycopg2" / "__init__.py").write_text("raise ImportError('libpq.so.5: cannot open')")
    assert without("nothing", OPEN.format(url="postgresql://h/db"), tmp_path) == "psycopg"


def test_encryption_whose_library_fails_is_not_called_missing(tmp_path: Path) -> None:
    (tmp_path / "cryptography").mkdir()
    (tmp_path / "cryptography" / "__init__.py").write_text("import _cffi_backend_of_another_python")
    code = "import session3\ntry: session3.open_store('memory://', encryption_key='k' * 32)\n"
    code += "except ImportError as error: print(error)"
    assert "installed, but can't be imported: No module named '_cffi_backend" in without("nothing", code, tmp_path)


def test_the_first_driver_that_is_there_is_taken() -> None:
    assert import_driver({"no_such_module": "none", "math": "math"}, "all").__name__ == "math"
    with pytest.raises(MissingDriver, match="none is not installed"):
        import_driver({"no_such_module": "none", "neither_this_one": "other"}, "all")
