"""What a URL consists of, and errors that say which part is wrong and never show a password, or a piece of one.

>>> address = split("postgresql://shop:p%2Fw@db1:5433,[::1]/shop?table=t")
>>> address.scheme, address.user, address.password, address.hosts, address.path, address.options
('postgresql', 'shop', 'p/w', [('db1', 5433), ('::1', None)], '/shop', {'table': 't'})
>>> split("redis://:a/b@cache").refuse_leftovers()
Traceback (most recent call last):
    ...
session3.errors.ConfigurationError: redis: the port is no number from 1 to 65535; is a character of the password not...
"""

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from .errors import ConfigurationError

T = TypeVar("T")

Host = tuple[str, int | None]

HINT = "is a character of the password not quoted ('/' is %2F, '?' %3F, '#' %23, '@' %40, '[' %5B)?"


class Address(NamedTuple):
    """A URL, taken apart. What is quoted in `path` still is; `options` is what follows the '?', by name.

    `is_doubtful`: a password may have begun in it, and not ended where it seems to.
    """

    scheme: str
    user: str | None
    password: str | None
    hosts: list[Host]
    path: str
    options: dict[str, str]
    #: Options that were taken, for messages.
    known: list[str]
    is_doubtful: bool

    def error(self, problem: str) -> ConfigurationError:
        return ConfigurationError(f"{self.scheme}: {problem}" + (f"; {HINT}" if self.is_doubtful else ""))

    def refuse_leftovers(self) -> None:
        """Refuse an '@' behind the host: what is taken for the host is a piece of the password then."""
        if self.is_doubtful:
            raise ConfigurationError(
                f"{self.scheme}: an '@' is in what follows the host, and not quoted as %40; {HINT}"
            )

    def one_host(self) -> Host:
        if len(self.hosts) > 1:
            raise self.error("one host is all that it takes")
        if not self.hosts or not self.hosts[0][0]:
            raise self.error(f"the host is missing: {self.scheme}://host")
        return self.hosts[0]

    def take(self, name: str, read: Callable[["Address", str, str], T], *others: str) -> T | None:
        """Take an option that may have other names, too; None if it is not there."""
        self.known.append(name)
        found = [(known, self.options.pop(known)) for known in (name, *others) if known in self.options]
        if len(found) > 1:
            raise self.error(f"the option {name!r} is there twice")
        return read(self, *found[0]) if found else None

    def refuse_options(self, where: str = "") -> None:
        """Refuse the options that nobody took."""
        for name in self.options:
            shown = repr(name) if _is_clear(self, name) else "after '?'"
            raise self.error(f"{where}the option {shown} is unknown; known are: {', '.join(self.known) or 'none'}")


def _is_clear(address: Address, name: str) -> bool:
    """Tell whether an option's name can be shown: it may be a piece of a password."""
    return not address.is_doubtful and re.fullmatch("[A-Za-z][A-Za-z0-9_-]{0,40}", name) is not None


def split(url: object) -> Address:
    """Take a URL apart. Raises ConfigurationError."""
    if not isinstance(url, str):
        raise ConfigurationError(
            f"a store is named by a URL, a text such as 'sqlite:////var/lib/app/sessions.db', not by a"
            f" {type(url).__name__}"
        )
    url = url.strip()
    if re.search(r"[\t\r\n]", url):
        raise ConfigurationError("this is no URL: there is a tab or the end of a line in it")
    try:
        parts = urlsplit(url)
    except ValueError:
        # The error's own words can hold the password.
        raise ConfigurationError(f"this is no URL: its host, or a character in it, is malformed; {HINT}") from None
    # In a query it may mean something, if no password has begun before.
    is_doubtful = "@" in parts.path + parts.fragment or ("@" in parts.query and ":" in parts.netloc)
    login, _, rest = parts.netloc.rpartition("@")
    user, _, password = (unquoted(part) for part in login.partition(":"))
    address = Address(
        parts.scheme, user or None, password or None, [], parts.path, {}, [], is_doubtful and parts.netloc != ""
    )
    address.hosts.extend(_host(address, host) for host in rest.split(",") if rest)
    if parts.fragment:
        raise address.error("what follows the path, after '#', means nothing here; is it part of a password?")
    address.options.update(_options(address, parts.query))
    return address


def unquoted(text: str) -> str:
    """Return what a part of a URL says, its quotes resolved."""
    try:
        plain = unquote(text, errors="strict")
        plain.encode()  # half a pair of surrogates is none
    except UnicodeError:
        raise ConfigurationError("this is no URL: a character in it is not UTF-8") from None
    if "\0" in plain:
        raise ConfigurationError("this is no URL: a %00 is in it, which ends a text for some that read it")
    return plain


def _options(address: Address, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, _, value in (part.partition("=") for part in query.split("&") if part):
        name = unquoted(name)
        try:
            value = unquoted(value)  # a '+' stays one, as for libpq
        except ConfigurationError:
            shown = name if _is_clear(address, name) else "what follows '?'"
            raise address.error(f"{shown} must be characters that UTF-8 knows, and no %00") from None
        if name in options:
            shown = repr(name) if _is_clear(address, name) else "after '?'"
            raise address.error(f"the option {shown} is there twice")
        options[name] = value
    return options


def _host(address: Address, text: str) -> Host:
    in_brackets = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", text)
    name, port = in_brackets.groups() if in_brackets else (text.partition(":")[0], text.partition(":")[2])
    name = unquoted(name)
    if not in_brackets and not name.startswith("/"):
        name = name.lower()
        try:
            name.encode("idna")  # what no resolver can be asked for: the first request would tell, and not so plainly
        except UnicodeError:
            raise ConfigurationError(f"{address.scheme}: the host is no name of one; {HINT}") from None
    if not port:
        return name, None
    # What is there is not repeated: after a password with a '/' in it, it is the beginning of that.
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ConfigurationError(f"{address.scheme}: the port is no number from 1 to 65535; {HINT}")
    return name, int(port)


# -- values of options -----------------------------------------------------------------------------------------------


def text(_: Address, name: str, value: str) -> str:
    return value


def positive(address: Address, name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and 0 < int(value) < 2**31):
        raise address.error(f"the option {name} must be a whole number, 1 or more")
    return int(value)


def seconds(address: Address, name: str, value: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?", value) or not float(value):
        raise address.error(f"the option {name} must be a number of seconds, more than 0")
    return float(value)


_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def flag(address: Address, name: str, value: str) -> bool:
    if value.lower() not in _FLAGS:
        raise address.error(f"the option {name} must be true or false")
    return _FLAGS[value.lower()]


def mode(address: Address, name: str, value: str) -> int:
    """Read the mode of a file, as chmod takes it: 660 and 0660 are the same."""
    if not re.fullmatch("(0o?)?[0-7]{3}", value):
        raise address.error(f"the option {name} must be the mode of a file, such as 0660")
    return int(value.removeprefix("0o"), 8)


def one_of(*known: str) -> Callable[[Address, str, str], str]:
    def read(address: Address, name: str, value: str) -> str:
        if value not in known:
            raise address.error(f"the option {name} must be one of: {', '.join(known)}")
        return value

    return read
