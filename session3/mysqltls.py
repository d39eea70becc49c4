"""What a URL says of TLS to MySQL or MariaDB, in each way of saying it, for PyMySQL and mysqlclient.

>>> from session3.urlparts import split
>>> take_tls(split("mysql://host/shop?ssl-mode=REQUIRED")).mode
'REQUIRED'
>>> take_tls(split("mysql://host/shop?ssl_ca=/etc/ca.pem")).mode
'VERIFY_CA'
"""

import json
import os
import ssl
from typing import Any, NamedTuple

from .errors import ConfigurationError
from .urlparts import Address, flag, text

_MODES = {
    "DISABLED": "DISABLED", "DISABLE": "DISABLED", "PREFERRED": "PREFERRED", "PREFER": "PREFERRED",
    "REQUIRED": "REQUIRED", "REQUIRE": "REQUIRED", "VERIFY_CA": "VERIFY_CA", "VERIFY_IDENTITY": "VERIFY_IDENTITY",
    "VERIFY_FULL": "VERIFY_IDENTITY",
}  # fmt: skip
_STRENGTH = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")


class TLS(NamedTuple):
    """`mode`: one of MySQL's own; None if the URL says nothing. The others are files, but `cipher`."""

    mode: str | None
    ca: str | None
    capath: str | None
    cert: str | None
    key: str | None
    cipher: str | None

    def settings(self, driver: Any) -> dict[str, Any]:
        """Return the driver's keywords. Raises ConfigurationError if a file can't be read."""
        if self.mode in (None, "PREFERRED"):
            return {}  # what is the driver's default
        if driver.__name__ != "pymysql":
            files = {name: value for name, value in self._asdict().items() if name != "mode" and value is not None}
            return {"ssl_mode": self.mode, "ssl": files} if files else {"ssl_mode": self.mode}
        return {"ssl_disabled": True} if self.mode == "DISABLED" else {"ssl": self._context()}

    def _context(self) -> ssl.SSLContext:
        for name in ("ca", "cert", "key"):
            file = getattr(self, name)
            if file is not None and not os.access(file, os.R_OK):
                raise ConfigurationError(f"the file that ssl_{name} of a mysql URL names can't be read")
        try:
            context = ssl.create_default_context(cafile=self.ca, capath=self.capath)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
            if self.cipher is not None:
                context.set_ciphers(self.cipher)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"a certificate, or a key, of a mysql URL can't be used: {error}") from None
        # Certificates that servers make for themselves are none by the letter.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.check_hostname = self.mode == "VERIFY_IDENTITY"
        context.verify_mode = ssl.CERT_NONE if self.mode == "REQUIRED" else ssl.CERT_REQUIRED
        return context

    def check(self, connection: Any) -> None:
        """Raise ConnectionError if TLS is asked for, and not there: a driver may go on without it."""
        if self.mode is None or _STRENGTH.index(self.mode) < _STRENGTH.index("REQUIRED"):
            return
        with connection.cursor() as cursor:
            cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
            row = cursor.fetchone()
        if row is None or not row[1]:
            raise ConnectionError(f"the server offers no TLS, and ssl_mode={self.mode} asks for it")


def take_tls(address: Address) -> TLS:
    """Take the options that are about TLS out of a URL's."""
    files = {
        name: address.take(f"ssl_{name}", text, f"ssl-{name}", f"ssl{name}")
        for name in ("ca", "capath", "cert", "key", "cipher")
    }
    asked = [address.take("ssl_mode", _mode, "ssl-mode", "sslmode"), address.take("ssl", _ssl)]
    if address.take("sslaccept", text) == "strict" or address.take("ssl_verify_identity", flag):
        asked.append("VERIFY_IDENTITY")
    if address.take("ssl_check_hostname", flag) and files["ca"]:
        asked.append("VERIFY_IDENTITY")
    if address.take("ssl_verify_cert", flag) or ((files["ca"] or files["capath"]) and "DISABLED" not in asked):
        asked.append("VERIFY_CA")
    if files["cert"] and "DISABLED" not in asked:
        asked.append("REQUIRED")
    modes = [mode for mode in asked if mode is not None]
    return TLS(max(modes, key=_STRENGTH.index) if modes else None, **files)


def _mode(address: Address, name: str, value: str) -> str:
    mode = _MODES.get(value.upper().replace("-", "_"))
    if mode is None:
        raise address.error(f"the option {name} must be one of: {', '.join(_STRENGTH)}")
    return mode


def _ssl(address: Address, name: str, value: str) -> str:
    """Read `true`, or what one provider writes: `{"rejectUnauthorized":true}`."""
    if not value.startswith("{"):
        return "REQUIRED" if flag(address, name, value) else "DISABLED"
    try:
        is_strict = json.loads(value).get("rejectUnauthorized", True)
    except ValueError:
        raise address.error(f"the option {name} must be true or false") from None
    return "VERIFY_IDENTITY" if is_strict else "REQUIRED"
