"""Persistent web sessions for Python: a SessionManager, and stores that anyone can plug in.

>>> import session3
>>> from session3.DictSession import DictSession
>>> store = session3.open_store("memory://")
>>> session = DictSession("example1")
>>> session["cart"] = ["tea"]
>>> store.save_session(session)
>>> store.load_session("example1")["cart"]
['tea']

The classes live in the modules that bear their names: session3.SessionManager.SessionManager,
session3.store.SQLiteSessionStore.SQLiteSessionStore, and so on. They are not repeated here, since a class of a
module's name would hide the module.
"""

from .urls import open_store

__version__ = "4.0.0a1"
__all__ = ["__version__", "open_store"]
