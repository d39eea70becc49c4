"""A private PostgreSQL."""

import glob
import signal
from collections.abc import Sequence
from typing import Any

from .private_server import PrivateServer, find_program

_FOLDERS = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)

INITDB = find_program("initdb", *_FOLDERS)
POSTGRES = find_program("postgres", *_FOLDERS)
PG_BASEBACKUP = find_program("pg_basebackup", *_FOLDERS)


class PostgresServer(PrivateServer):
    ready = "database system is ready to accept connections"
    stop_signal = signal.SIGINT  # at SIGTERM it waits until its clients are gone
    password = "open sesame"

    def __init__(self, *options: str) -> None:
        super().__init__()
        self.options = options

    def prepare(self) -> None:
        assert INITDB is not None
        (self.folder / "password").write_text(self.password)
        self.run(
            INITDB, "-D", "data", "-U", "session3", "--auth=scram-sha-256", "--pwfile=password", "--no-sync",
            "-E", "UTF8", "--locale=C",
        )  # fmt: skip

    def command(self) -> Sequence[str]:
        assert POSTGRES is not None
        return [
            POSTGRES, "-D", "data", "-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1",
            "-c", "shared_preload_libraries=pg_stat_statements", "-c", "shared_buffers=32MB", "-c", "log_timezone=UTC",
            *self.options,
        ]  # fmt: skip

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "session3",
            "password": self.password,
            "dbname": "postgres",
        }

    @property
    def url(self) -> str:
        return f"postgresql://session3:open%20sesame@127.0.0.1:{self.port}/postgres"


class Standby(PostgresServer):
    """A copy of a primary, which follows it until it is promoted."""

    ready = "database system is ready to accept read-only connections"

    def __init__(self, primary: Any) -> None:
        super().__init__("-c", "hot_standby=on", "-c", "max_standby_streaming_delay=100ms")
        self.primary = primary

    def prepare(self) -> None:
        assert PG_BASEBACKUP is not None
        to = self.primary.settings
        where = f"host={to['host']} port={to['port']} user={to['user']} password='{to['password']}'"
        self.run(PG_BASEBACKUP, "-d", where, "-D", "data", "-R", "-c", "fast", "--no-sync")

    def stop_following(self) -> None:
        """Let what happens on the primary from now on be seen when it is promoted, and not before."""
        self._ask("SELECT pg_wal_replay_pause()")

    def promote(self) -> None:
        assert self._ask("SELECT pg_promote(true, 60)") == (True,)

    def _ask(self, sql: str) -> Any:
        import psycopg2

        with psycopg2.connect(**self.settings) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            answer = cursor.fetchone()
        connection.close()
        return answer


PGBOUNCER = find_program("pgbouncer")


class PgBouncer(PrivateServer):
    """A pooler before a server, in transaction mode: each statement may meet another of two server processes."""

    ready = "process up"

    def __init__(self, server: Any) -> None:
        super().__init__()
        self.server = server

    def prepare(self) -> None:
        to = self.server.settings
        (self.folder / "ini").write_text(
            f"[databases]\npooled = host={to['host']} port={to['port']} dbname={to['dbname']} user={to['user']}"
            f" password='{to['password']}'\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nserver_round_robin = 1\n"
            "unix_socket_dir =\n"
        )

    def command(self) -> Sequence[str]:
        assert PGBOUNCER is not None
        return [PGBOUNCER, "ini"]

    @property
    def settings(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "user": "anybody", "dbname": "pooled"}
