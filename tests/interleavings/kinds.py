"""What requests do: each is a function that a browser's request runs, from its cookie to its answer."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from session3.backends.base import UpdateError
from session3.DictSession import DictSession
from session3.errors import FormTokenUsed, StoreUnavailable

if TYPE_CHECKING:
    from .story import Request

#: The form token that all double posts bring.
TOKEN = "the one and only"


class Visited(DictSession):
    """Has an attribute beside its items, and one that says how it merges."""

    hits = 0
    note: Any = None

    @classmethod
    def merge(cls, base: Any, mine: Any, theirs: Any) -> Any:
        merged: Any = super().merge(base, mine, theirs)
        merged.hits = mine.hits + theirs.hits - base.hits
        return merged


Act = Callable[["Request", Any], None]


def _by_manager(act: Act, renew: bool = False) -> Callable[["Request"], None]:
    def run(request: "Request") -> None:
        manager = request.world.renewing if renew else request.world.manager
        try:
            visit = manager.begin(request.send())
            request.came(visit.loaded is not None)
            act(request, visit)
            request.world.director.work()
            change = manager.finish(visit)
        except (FormTokenUsed, StoreUnavailable) as error:
            request.failed(error)
        else:
            request.answered(change is not None, None if change is None else change.value)

    return run


def _by_django(act: Callable[["Request", Any], None]) -> Callable[["Request"], None]:
    def run(request: "Request") -> None:
        sessions = request.world.django
        session = sessions(request.send())
        try:
            dict(session.items())
            request.came(session.session_key is not None)
            request.world.director.work()
            act(request, session)
        except (UpdateError, StoreUnavailable) as error:
            request.failed(error)
        else:
            # As Django's middleware does: an empty session's cookie is dropped, one that was saved sets it.
            is_set = session.modified and not session.is_empty()
            request.answered(is_set or session.is_empty(), session.session_key if is_set else None)

    return run


def _read(request: "Request", visit: Any) -> None:
    pass


def _item(request: "Request", visit: Any) -> None:
    visit.session[request.mark] = 1


def _attribute(request: "Request", visit: Any) -> None:
    visit.session.__dict__[f"note_{request.number}"] = 1


def _count(request: "Request", visit: Any) -> None:
    visit.session.hits += 1


def _post(request: "Request", visit: Any) -> None:
    if visit.session.has_form_token(TOKEN):
        visit.session.remove_form_token(TOKEN)
        visit.session[request.mark] = 1
        request.posted = True


def _last_post(request: "Request", visit: Any) -> None:
    """A form whose token was all that there was to keep."""
    if visit.session.has_form_token(TOKEN):
        visit.session.remove_form_token(TOKEN)
        visit.session.user = None
        visit.session.data.clear()
        request.posted = True


def _login(request: "Request", visit: Any) -> None:
    visit.session.set_user(request.mark)


def _login_by_form(request: "Request", visit: Any) -> None:
    _post(request, visit)
    _login(request, visit)


def _logout(request: "Request", visit: Any) -> None:
    visit.end_session()


def _logout_and_login(request: "Request", visit: Any) -> None:
    visit.end_session()
    visit.session = Visited(None)
    visit.session.set_user(request.mark)


def _cycle(request: "Request", visit: Any) -> None:
    visit.cycle_session(10)


def _cycle_and_item(request: "Request", visit: Any) -> None:
    visit.cycle_session(10)
    visit.session[request.mark] = 1


def _empty(request: "Request", visit: Any) -> None:
    visit.session.user = None
    visit.session.data.clear()


def _another_id(request: "Request", visit: Any) -> None:
    visit.session.id = None


def _django_save(request: "Request", session: Any) -> None:
    session[request.mark] = 1
    session.save()


def _django_login(request: "Request", session: Any) -> None:
    session["_auth_user_id"] = request.mark
    session.cycle_key()
    session.save()


def _django_cycle(request: "Request", session: Any) -> None:
    session.cycle_key(10)


def _django_flush(request: "Request", session: Any) -> None:
    session.flush()


def _at_once(twin: Any) -> None:
    """Run a coroutine that waits for nothing: here its calls of the store are steps, in no other thread."""
    for _ in twin.__await__():
        raise AssertionError("it waits")


def _django_asave(request: "Request", session: Any) -> None:
    _at_once(session.aset(request.mark, 1))
    _at_once(session.asave())


def _django_alogin(request: "Request", session: Any) -> None:
    _at_once(session.aset("_auth_user_id", request.mark))
    _at_once(session.acycle_key())
    _at_once(session.asave())


def _django_aflush(request: "Request", session: Any) -> None:
    _at_once(session.aflush())


def _reseal(request: "Request") -> None:
    request.world.store.reseal()
    request.answered(False, None)


#: What an operator does beside them.
OPERATIONS: dict[str, Callable[["Request"], None]] = {"reseal": _reseal}
KINDS: dict[str, Callable[["Request"], None]] = {
    "read": _by_manager(_read),
    "item": _by_manager(_item),
    "attribute": _by_manager(_attribute),
    "count": _by_manager(_count),
    "post": _by_manager(_post),
    "last post": _by_manager(_last_post),
    "login": _by_manager(_login),
    "login by form": _by_manager(_login_by_form),
    "logout": _by_manager(_logout),
    "logout and login": _by_manager(_logout_and_login),
    "renew": _by_manager(_read, renew=True),
    "renew and item": _by_manager(_item, renew=True),
    "cycle": _by_manager(_cycle),
    "cycle and item": _by_manager(_cycle_and_item),
    "empty": _by_manager(_empty),
    "another id": _by_manager(_another_id),
    "Django save": _by_django(_django_save),
    "Django login": _by_django(_django_login),
    "Django cycle": _by_django(_django_cycle),
    "Django flush": _by_django(_django_flush),
    "Django asave": _by_django(_django_asave),
    "Django alogin": _by_django(_django_alogin),
    "Django aflush": _by_django(_django_aflush),
}

ITEMS = {"item", "renew and item", "cycle and item", "Django save", "Django asave"}
POSTS = {"post", "last post", "login by form"}
LOGINS = {"login", "login by form", "logout and login", "Django login", "Django alogin"}
LOGOUTS = {"logout", "logout and login", "Django flush", "Django aflush"}
#: What takes a user off the session, whether or not that is called a logout.
PARTINGS = {*LOGOUTS, "empty", "last post"}
