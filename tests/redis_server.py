"""Redis servers that the tests start for themselves: one, a cluster of three, and a Sentinel."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import pytest
import redis

from .private_server import PrivateServer, find_program, free_port

#: A server to use in place of one of our own, where that will do.
URL_VARIABLE = "SESSION3_TEST_REDIS_URL"


def program() -> str:
    found = find_program("redis-server")
    if found is None:
        pytest.skip("needs redis-server: apt-get install redis-server")
    return found


class RedisServer(PrivateServer):
    """A server that keeps nothing on disk, with further options of redis-server."""

    ready = "Ready to accept connections"

    def __init__(self, *options: str) -> None:
        self.program = program()
        super().__init__()
        self.options = options
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        return [
            self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
            "--save", "", "--appendonly", "no", *self.options,
        ]  # fmt: skip

    def client(self, **options: Any) -> Any:
        return redis.Redis(port=self.port, host="127.0.0.1", **options)

    def __enter__(self) -> "RedisServer":
        super().__enter__()
        return self

    def wait_until_covered(self) -> None:
        """Wait until it knows the whole cluster that it is a node of."""
        deadline = time.monotonic() + 60
        with self.client() as client:
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                assert time.monotonic() < deadline, f"no cluster: {client.execute_command('CLUSTER INFO')}"


class RedisSentinel(RedisServer):
    """A Sentinel that watches a server under the name "sessions"."""

    ready = r"\+monitor master"

    def __init__(self, watched: RedisServer) -> None:
        super().__init__()
        self.watched = watched

    def prepare(self) -> None:
        # Not on the command line: a Sentinel writes into its file.
        file = self.folder / "sentinel.conf"
        file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor sessions 127.0.0.1 {self.watched.port} 1\n"
        )
        file.chmod(0o666)

    def command(self) -> Sequence[str]:
        return [self.program, str(self.folder / "sentinel.conf"), "--sentinel"]


@contextlib.contextmanager
def redis_cluster() -> Iterator[list[RedisServer]]:
    """Run a cluster of three servers."""
    with contextlib.ExitStack() as stack:
        servers: list[RedisServer] = []
        for _ in range(3):
            # Else the port of its bus would be 10,000 further, and may be none.
            node = RedisServer("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
            stack.enter_context(node)
            servers.append(node)
        cli = find_program("redis-cli") or "redis-cli"
        addresses = [f"127.0.0.1:{server.port}" for server in servers]
        servers[0].run(cli, "--cluster", "create", *addresses, "--cluster-yes")
        for server in servers:
            server.wait_until_covered()
        yield servers


class LossyProxy:
    """Stands between a client and a server, and loses a reply when it is told to."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        #: The reply to the next request that contains this is lost, and the connection with it.
        self.loses: bytes | None = None
        self.lost = 0
        self.connections = 0

    def __enter__(self) -> "LossyProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Closing alone does not wake who waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # Requests and replies of these tests are small, and one is answered before the next is sent.
        with connection, socket.create_connection(("127.0.0.1", self._server.port)) as server:
            while request := connection.recv(65536):
                server.sendall(request)
                reply = server.recv(65536)
                if self.loses is not None and self.loses in request:
                    self.loses = None
                    self.lost += 1
                    return
                connection.sendall(reply)
