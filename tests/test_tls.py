"""Connections with TLS, as URLs ask for them, to servers with certificates of a private authority."""

import os
import pwd
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from session3 import open_store
from session3.errors import StoreUnavailable

from .certificates import make_authority
from .contract import new_id, stored
from .mariadb_server import MARIADBD, MariaDBServer
from .postgres_server import INITDB, PostgresServer
from .private_server import PrivateServer, free_port
from .redis_server import RedisServer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority")
    make_authority(folder)
    return folder


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other")
    make_authority(folder)
    return folder


def give_certificate(server: PrivateServer, authority: Path) -> None:
    for name in ("ca.pem", "server.pem", "server.key"):
        copy = shutil.copy(authority / name, server.folder / name)
        os.chmod(copy, 0o600)
        if server.user is not None:
            os.chown(copy, pwd.getpwnam(server.user).pw_uid, -1)


class SecureRedis(RedisServer):
    def __init__(self, authority: Path, *options: str) -> None:
        super().__init__(
            "--tls-cert-file", "server.pem", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.pem",
            "--tls-auth-clients", "no", *options,
        )  # fmt: skip
        self.authority = authority

    def prepare(self) -> None:
        give_certificate(self, self.authority)

    def command(self) -> Sequence[str]:
        plain = list(super().command())
        plain[plain.index("--port")] = "--tls-port"
        return [plain[0], "--port", "0", *plain[1:]]


class SecurePostgres(PostgresServer):
    authority: Path

    def prepare(self) -> None:
        super().prepare()
        give_certificate(self, self.authority)

    def command(self) -> Sequence[str]:
        files = {"ssl": "on", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key", "ssl_ca_file": "ca.pem"}
        given = [f"{name}={self.folder / value if '.' in value else value}" for name, value in files.items()]
        return [*super().command(), *(part for one in given for part in ("-c", one))]


class SecureMariaDB(MariaDBServer):
    authority: Path

    def prepare(self) -> None:
        super().prepare()
        give_certificate(self, self.authority)

    def command(self) -> Sequence[str]:
        files = {"ssl-ca": "ca.pem", "ssl-cert": "server.pem", "ssl-key": "server.key"}
        return [*super().command(), *(f"--{name}={self.folder / file}" for name, file in files.items())]


@pytest.fixture(scope="module")
def secure_redis(authority: Path) -> Iterator[Any]:
    with SecureRedis(authority) as server:
        yield server


@pytest.fixture(scope="module")
def secure_postgres(authority: Path) -> Iterator[Any]:
    if INITDB is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    server = SecurePostgres()
    server.authority = authority
    with server:
        yield server


@pytest.fixture(scope="module")
def secure_mariadb(authority: Path) -> Iterator[Any]:
    if MARIADBD is None:
        pytest.skip("needs MariaDB: apt-get install mariadb-server")
    server = SecureMariaDB()
    server.authority = authority
    with server:
        yield server


def use(url: str) -> Any:
    store = open_store(url)
    with store:
        if "sql" in url:
            store.setup(overwrite=True)
        store.check()
        session = stored(store)
        assert store.load_session(session.id).user == "alice"
    return store


def refused(url: str, why: str) -> None:
    with open_store(url) as store, pytest.raises(StoreUnavailable, match=why):
        store.load_session(new_id())


def test_redis(secure_redis: Any, authority: Path, other_authority: Path) -> None:
    at = f"127.0.0.1:{secure_redis.port}/0"
    use(f"rediss://{at}?ssl_ca_certs={authority}/ca.pem")
    use(f"rediss://{at}?ssl_ca_certs={authority}/ca.pem&ssl_check_hostname=true")
    use(f"valkeys://{at}?ssl_cert_reqs=none")
    refused(f"rediss://{at}", "(?i)certificate")
    refused(f"rediss://{at}?ssl_ca_certs={other_authority}/ca.pem", "(?i)certificate")
    refused(f"redis://{at}", ".")


def test_a_cluster_of_redis(authority: Path) -> None:
    redis = pytest.importorskip("redis")
    options = ("--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", str(free_port()))
    with SecureRedis(authority, *options) as server:
        with redis.Redis("127.0.0.1", server.port, ssl=True, ssl_cert_reqs="none", ssl_check_hostname=False) as admin:
            admin.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            while admin.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                pass
        use(f"rediss+cluster://127.0.0.1:{server.port}?ssl_ca_certs={authority}/ca.pem")
        with pytest.raises(StoreUnavailable):
            open_store(f"rediss+cluster://127.0.0.1:{server.port}")


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_postgresql(secure_postgres: Any, authority: Path, other_authority: Path, driver: str) -> None:
    pytest.importorskip(driver)
    at = secure_postgres.url.replace("postgresql://", f"postgresql+{driver}://")
    for mode in ("require", "verify-ca", "verify-full"):
        store = use(f"{at}?sslmode={mode}&sslrootcert={authority}/ca.pem")
        assert store._query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", ()) == [(True,)]
    refused(f"{at}?sslmode=verify-full&sslrootcert={other_authority}/ca.pem", "(?i)certificate")
    store = use(f"{at}?sslmode=disable")
    assert store._query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", ()) == [(False,)]


@pytest.mark.parametrize("driver", ["pymysql", "mysqldb"])
def test_mysql(secure_mariadb: Any, authority: Path, other_authority: Path, driver: str) -> None:
    pytest.importorskip({"mysqldb": "MySQLdb"}.get(driver, driver), reason="needs mysqlclient: pip install mysqlclient")
    at = secure_mariadb.url.replace("mysql://", f"mysql+{driver}://")
    ca = f"ssl_ca={authority}/ca.pem"
    for query in (
        "ssl_mode=REQUIRED", "ssl-mode=required", "sslmode=require", "ssl=true", ca, f"{ca}&ssl_mode=VERIFY_CA",
        f"{ca}&ssl_mode=verify-full", f"{ca}&ssl_verify_identity=true", 'ssl={"rejectUnauthorized":false}',
    ):  # fmt: skip
        store = use(f"{at}?{query}")
        assert store._query("SHOW STATUS LIKE 'Ssl_cipher'", ())[0][1], query
    for query in (f"ssl_ca={other_authority}/ca.pem", 'ssl={"rejectUnauthorized":true}', "sslaccept=strict"):
        refused(f"{at}?{query}", "(?i)certificate|ssl|tls")
    store = use(f"{at}?ssl_mode=DISABLED")
    assert not store._query("SHOW STATUS LIKE 'Ssl_cipher'", ())[0][1]


@pytest.mark.parametrize("driver", ["pymysql", "mysqldb"])
def test_a_server_of_mysql_without_tls_is_not_taken_for_one_with_it(mariadb: Any, driver: str) -> None:
    pytest.importorskip({"mysqldb": "MySQLdb"}.get(driver, driver), reason="needs mysqlclient: pip install mysqlclient")
    at = mariadb.url.replace("mysql://", f"mysql+{driver}://")
    for query in ("ssl_mode=REQUIRED", "ssl=true", "ssl_verify_cert=true"):
        refused(f"{at}?{query}", "(?i)ssl|tls")
    use(f"{at}?table=plain&ssl_mode=PREFERRED")
