"""Django's session API over any store of ours: `for_store`; and in a signed cookie: `signed_cookies`."""

from .StoredSession import for_store

__all__ = ["for_store"]
