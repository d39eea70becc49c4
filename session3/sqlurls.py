"""URLs of PostgreSQL and MySQL or MariaDB, as the drivers and hosting providers write them.

>>> from session3.urlparts import split
>>> postgres(split("postgres://shop:secret@db1,db2:5433/shop?sslmode=require")).location
'db1,db2:5433/shop'
"""

from collections.abc import Callable, Mapping
from typing import Any

from .drivers import import_driver
from .mysqltls import take_tls
from .urlparts import Address, flag, one_of, positive, text, unquoted

#: How long a server is waited for, by the drivers' names; the URL may say otherwise. libpq has no limit for a reply: it
#: notices when the machine is gone (tcp_user_timeout is in ms, the others in seconds).
POSTGRES_LIMITS = {
    "connect_timeout": 10,
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
#: Seconds. No statement of ours takes as long, also where it waits for a lock (innodb_lock_wait_timeout, 50).
MYSQL_LIMITS = {"connect_timeout": 10, "read_timeout": 60, "write_timeout": 60}

#: What libpq knows of in releases 9 to 18, beside those. The library that is there may be older, and says so.
_LIBPQ = (
    "application_name", "channel_binding", "client_encoding", "dbname", "fallback_application_name",
    "gssdelegation", "gssencmode", "gsslib", "host", "hostaddr", "keepalives", "krbsrvname", "load_balance_hosts",
    "max_protocol_version", "min_protocol_version", "oauth_client_id", "oauth_client_secret", "oauth_issuer",
    "oauth_scope", "options", "passfile", "password", "port", "replication", "require_auth", "requirepeer",
    "scram_client_key", "scram_server_key", "service", "servicefile", "ssl_max_protocol_version",
    "ssl_min_protocol_version", "sslcert", "sslcertmode", "sslcompression", "sslcrl", "sslcrldir", "sslkey",
    "sslkeylogfile", "sslmode", "sslnegotiation", "sslpassword", "sslrootcert", "sslsni", "target_session_attrs",
    "user",
)  # fmt: skip
_LIBPQ_VALUES = {
    "sslmode": one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    # The others lead to servers that take no writes.
    "target_session_attrs": one_of("any", "read-write", "primary"),
}
_PSYCOPG2, _PSYCOPG = {"psycopg2": "psycopg2"}, {"psycopg": "psycopg[binary]"}
_PYMYSQL, _MYSQLDB = {"pymysql": "pymysql"}, {"MySQLdb": "mysqlclient"}
#: By what follows the '+' in a scheme: modules, in the order in which they are tried, and what pip calls them.
POSTGRES_DRIVERS = {"": _PSYCOPG2 | _PSYCOPG, "psycopg2": _PSYCOPG2, "psycopg": _PSYCOPG}
MYSQL_DRIVERS = {"": _PYMYSQL | _MYSQLDB, "pymysql": _PYMYSQL, "mysqldb": _MYSQLDB}

#: What providers and other libraries write, and means nothing here: we send UTF-8, reconnect, and notice a pooler.
_IGNORED = ("charset", "collation", "reconnect")
_IGNORED_BY_POSTGRES = ("pgbouncer", "supa")


class Opener:
    """Opens a driver's connections; `location` is what messages say of the server.

    `more`: settings that are made for each connection. `check` is shown each; it raises if that one will not do.
    """

    def __init__(
        self,
        location: str,
        driver: Any,
        settings: dict[str, Any],
        more: Callable[[], dict[str, Any]] = dict,
        check: Callable[[Any], object] = bool,
    ) -> None:
        self.location = location
        self._driver = driver
        self._settings = settings
        self._more = more
        self._check = check

    def __call__(self) -> Any:
        connection = self._driver.connect(**self._settings, **self._more())
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def postgres(address: Address) -> Opener:
    """Return what opens connections to the server, or the servers, of a URL."""
    hosts = [host for host, _ in address.hosts]
    settings = {"dbname": _database(address), "user": address.user, "password": address.password, **POSTGRES_LIMITS}
    if len(hosts) == 1:
        settings |= {"host": hosts[0] or None, "port": address.hosts[0][1]}
    elif hosts:
        settings |= {"host": ",".join(hosts), "port": ",".join(str(port or "") for _, port in address.hosts)}
    for name in POSTGRES_LIMITS:
        settings[name] = address.take(name, positive) or settings[name]
    if address.take("ssl", flag):
        settings["sslmode"] = "require"
    for name in _IGNORED_BY_POSTGRES:
        address.take(name, text)
    for name in _LIBPQ:
        given = address.take(name, _LIBPQ_VALUES.get(name, text))
        settings[name] = settings.get(name) if given is None else given
    address.refuse_options()
    if "," in str(settings["host"]) and settings["target_session_attrs"] is None:
        # One that is a standby is no server for sessions: libpq goes on to the next one.
        settings["target_session_attrs"] = "read-write"
    if not settings["dbname"] and not settings["service"]:
        raise address.error(f"a database is needed: {address.scheme}://host/database")
    address.refuse_leftovers()
    settings = {name: value for name, value in settings.items() if value is not None}
    driver = _driver(address, POSTGRES_DRIVERS, "postgres")
    _refuse_unknown(address, driver, settings)
    return Opener(_location(settings, "dbname"), driver, settings)


def _refuse_unknown(address: Address, driver: Any, settings: dict[str, Any]) -> None:
    """Refuse what this installation's libpq does not know: else each request would fail."""
    for name, value in settings.items():
        try:
            if driver.__name__ == "psycopg2":
                driver.extensions.parse_dsn(driver.extensions.make_dsn(**{name: value}))
            else:
                driver.conninfo.make_conninfo(**{name: value})
        except driver.Error:
            raise address.error(f"the option {name!r} is unknown to the libpq of {driver.__name__}") from None


def mysql(address: Address) -> Opener:
    """Return what opens connections to the server of a URL."""
    database = _database(address)
    settings: dict[str, Any] = {"charset": "utf8mb4", "user": address.user, "password": address.password}
    settings |= {name: address.take(name, positive) or limit for name, limit in MYSQL_LIMITS.items()}
    socket = address.take("unix_socket", text, "socket")
    if address.hosts and address.hosts[0][0].startswith("/"):
        socket, _ = address.one_host()
    elif address.hosts or socket is None:
        settings["host"], settings["port"] = address.one_host()
    for name in _IGNORED:
        address.take(name, text)
    tls = take_tls(address)
    address.refuse_options()
    if not database:
        raise address.error(f"a database is needed: {address.scheme}://host/database")
    address.refuse_leftovers()
    settings |= {"database": database, "unix_socket": socket}
    settings = {name: value for name, value in settings.items() if value is not None}
    driver = _driver(address, MYSQL_DRIVERS, "mysql")
    tls.settings(driver)  # a file that can't be read is no reason to fail each request
    return Opener(_location(settings, "database"), driver, settings, lambda: tls.settings(driver), tls.check)


def _driver(address: Address, drivers: Mapping[str, Mapping[str, str]], extra: str) -> Any:
    """Import the driver that the scheme names, or any. The extra brings the one that is tried first."""
    wanted = drivers[address.scheme.partition("+")[2]]
    return import_driver(wanted, extra if next(iter(wanted)) == next(iter(drivers[""])) else None)


def _database(address: Address) -> str:
    name = address.path[1:]
    if "/" in name:
        raise address.error(f"host and database are needed: {address.scheme}://host/database")
    return unquoted(name)


def _location(settings: dict[str, Any], database: str) -> str:
    hosts = str(settings.get("host") or settings.get("unix_socket") or "the default host").split(",")
    ports = str(settings.get("port", "")).split(",")
    ports += ports[:1] * (len(hosts) - len(ports))
    at = (f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=False))
    return f"{','.join(at)}/{settings.get(database, '')}"
