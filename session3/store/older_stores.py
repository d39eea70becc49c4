"""The least that is asked of a store, so that what was written for session3 3.4.1 works.

`load_session(id)` without a default, or with a KeyError for what is not there; `delete_session(session)` that needs a
session, and raises where there is none any more; `has_session(id)` that returns the session.
"""

from typing import TYPE_CHECKING, Any

from ..errors import StoreUnavailable

if TYPE_CHECKING:
    from ..Session import Session
    from .SessionStore import SessionStore


def load(store: "SessionStore", id: str) -> Any:
    """Return the session under an id, or None."""
    try:
        return store.load_session(id)
    except KeyError:
        return None


def knows(store: "SessionStore", id: str) -> bool:
    """Tell whether there is a session under an id."""
    try:
        found: object = store.has_session(id)
    except KeyError:
        return False
    return found if isinstance(found, bool) else found is not None


def delete(store: "SessionStore", session: "Session") -> None:
    """Delete a session; that it is gone already is no error."""
    try:
        store.delete_session(session)
    except (KeyError, FileNotFoundError):
        pass
    except StoreUnavailable:
        # A store of records looks for itself whether only the reply was lost.
        if store.deletes_by_id or session.id is None or knows(store, session.id):
            raise


def delete_under(store: "SessionStore", id: str) -> None:
    """Delete what is stored under an id, if there is something."""
    if store.deletes_by_id:
        store.delete_session(id)
    elif (session := load(store, id)) is not None:
        delete(store, session)
