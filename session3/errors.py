"""Everything that session3 raises, in one tree under SessionError.

Absence is never an error: a session that is missing, expired or damaged is the `default` of `load_session`.

>>> issubclass(MissingDriver, ImportError)
True
"""


class SessionError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(SessionError, ValueError):
    """An option, a URL or a key that can't work; the message says which part."""


class MissingDriver(SessionError, ImportError):
    """A store's driver is not installed, and the message says how it is; or it can't be imported.

    `package`: what pip is to install, unless there is an `extra` that brings it.
    """

    def __init__(self, package: str, extra: str | None, failure: ImportError | None = None) -> None:
        name = package.partition("[")[0]
        if failure is None:
            wanted = package if extra is None else f"session3[{extra}]"
            super().__init__(f"{name} is not installed; run: pip install '{wanted}'")
        else:
            why = " ".join(str(failure).split()) or type(failure).__name__
            super().__init__(f"{name} is installed, but can't be imported: {why}")


class SerializationError(SessionError, TypeError):
    """A session holds something that the store's serializer can't write; the stored record stays as it was."""


class NotSerializable(SerializationError):
    """A serializer met a value that would not come back as it went in; `path` says where: `cart[3].price`."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path.removeprefix(".")
        self.why = why
        super().__init__(f"{self.path or 'the value'}: {why}")


class StoreError(SessionError):
    """Base of what goes wrong between us and a store."""


class StoreUnavailable(StoreError):
    """The store can't be reached, read or written; the cause is chained. Never means "no such session"."""


class StoreNotSetUp(StoreUnavailable):
    """The store's server is there, but not what `setup()` makes in it, or it is of another shape."""


class PayloadTooLarge(StoreError):
    """A session is larger than the store takes; the stored record stays as it was."""


class CookieTooLarge(PayloadTooLarge):
    """A session in a cookie is larger than browsers keep; nothing was set. The message has both sizes."""


class LockTimeout(StoreError):
    """The lock on a session was held by others for longer than this request would wait."""


class StoreExists(StoreError):
    """`setup()` met a store that holds sessions, and was not told to overwrite it."""


class SessionDeleted(StoreError):
    """The session was deleted while a request worked on it; nothing was written."""


class SessionConflict(StoreError):
    """The session was changed elsewhere, and the changes were not to be, or could not be, merged."""


class FormTokenUsed(SessionConflict):
    """Two requests used the same form token at the same time, and this one was second; nothing was written."""


class VisitFinished(SessionError, RuntimeError):
    """A request has ended, and something was asked that had to be decided before: a logout, a new id, a cookie."""


class DamagedRecord(SessionError):
    """A record that can't be opened, fails its seal or can't be decoded. Stays inside the stores: absent to callers."""
