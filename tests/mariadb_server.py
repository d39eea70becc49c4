"""A private MariaDB."""

from collections.abc import Sequence
from typing import Any

from .private_server import PrivateServer, find_program

MARIADBD = find_program("mariadbd") or find_program("mysqld")
INSTALL_DB = find_program("mariadb-install-db") or find_program("mysql_install_db")


class MariaDBServer(PrivateServer):
    ready = "ready for connections"
    password = "open sesame"

    def __init__(self, *options: str) -> None:
        super().__init__()
        self.options = options

    def prepare(self) -> None:
        assert INSTALL_DB is not None
        self.run(
            INSTALL_DB, "--no-defaults", f"--datadir={self.folder}/data", "--auth-root-authentication-method=normal",
            "--skip-test-db", f"--tmpdir={self.folder}",
        )  # fmt: skip
        (self.folder / "init.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS shop;\n"
            f"CREATE USER IF NOT EXISTS session3@'%' IDENTIFIED BY '{self.password}';\n"
            "GRANT ALL ON *.* TO session3@'%';\n"
        )

    def command(self) -> Sequence[str]:
        assert MARIADBD is not None
        return [
            MARIADBD, "--no-defaults", f"--datadir={self.folder}/data", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid",
            f"--tmpdir={self.folder}", f"--init-file={self.folder}/init.sql", "--skip-name-resolve",
            "--innodb-buffer-pool-size=32M", "--max-allowed-packet=16M",
            *self.options,
        ]  # fmt: skip

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "host": "127.0.0.1", "port": self.port, "user": "session3", "password": self.password, "database": "shop",
        }  # fmt: skip

    @property
    def url(self) -> str:
        return f"mysql://session3:open%20sesame@127.0.0.1:{self.port}/shop"
