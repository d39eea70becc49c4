"""One store, and one login, for a site that is half Quixote and half something else."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from session3.backends import for_store
from session3.backends.base import UpdateError
from session3.DictSession import DictSession
from session3.SessionManager import SessionManager
from session3.store.SQLiteSessionStore import SQLiteSessionStore

from ..sessions import Clock
from ..test_quixote import Site, log_in, quixote, session

WEEKS = 1_209_600  # seconds


class Shopper(DictSession):
    """What a Quixote application may add to a session."""

    theme = "light"

    def __init__(self, id: str | None) -> None:
        super().__init__(id)
        self.visits = 0


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Any]:
    with SQLiteSessionStore(tmp_path / "sessions", clock=clock) as store:
        yield store


@pytest.fixture
def make_site(store: Any) -> Iterator[Any]:
    def make(session_class: type[DictSession] = DictSession, **options: Any) -> Site:
        quixote.cleanup()
        return Site(SessionManager(store, session_class, **options))

    yield make
    quixote.cleanup()


@pytest.fixture
def site(make_site: Any) -> Any:
    """The half that is Quixote."""
    return make_site()


@pytest.fixture
def Other(store: Any) -> Any:
    """The sessions of the other half."""
    return for_store(store)


def items() -> str:
    return str(dict(session()))


def change(**items: Any) -> Any:
    return lambda: session().data.update(items)


class TestOfTheOther:
    """Sessions that the other half began."""

    @pytest.fixture
    def key(self, Other: Any) -> Any:
        other = Other()
        other["cart"] = ["tea"]
        other.save()
        return other.session_key

    def test_quixote_reads_it(self, site: Site, key: str) -> None:
        response = site.get(lambda: f"{type(session()).__name__} {session().id == key} {items()}", key)
        assert response.body == "DictSession True {'cart': ['tea']}"
        assert response.cookies == []

    def test_quixote_changes_it(self, site: Site, Other: Any, key: str) -> None:
        assert site.get(change(n=1), key).status == 200
        assert dict(Other(key).items()) == {"cart": ["tea"], "n": 1}
        site.get(lambda: session().data.pop("cart"), key)
        assert dict(Other(key).items()) == {"n": 1}

    def test_changes_of_both_at_once_survive(self, site: Site, Other: Any, key: str) -> None:
        early = Other(key)
        early["early"] = 1

        def page() -> None:
            within = Other(key)
            within["within"] = 2
            within.save()
            session()["page"] = 3

        assert site.get(page, key).status == 200
        early.save()
        expected = {"cart": ["tea"], "early": 1, "within": 2, "page": 3}
        assert dict(Other(key).items()) == expected
        assert dict(early.items()) == expected

    def test_a_nested_change_by_quixote(self, site: Site, Other: Any, key: str) -> None:
        site.get(lambda: session()["cart"].append("milk"), key)
        assert Other(key)["cart"] == ["tea", "milk"]

    def test_a_login_at_quixote_gives_it_another_key(self, site: Site, Other: Any, key: str) -> None:
        late = Other(key)
        late["n"] = 1
        new = site.get(log_in(), key).session_id
        assert new != key
        assert not Other().exists(key)
        assert dict(Other(new).items()) == {"cart": ["tea"]}
        with pytest.raises(UpdateError):
            late.save()
        assert site.get(lambda: f"{session().user} {items()}", new).body == "alice {'cart': ['tea']}"

    def test_a_logout_at_quixote_ends_it(self, site: Site, Other: Any, key: str) -> None:
        late = Other(key)
        late["n"] = 1
        site.get(lambda: quixote.get_session_manager().expire_session(), key)
        assert not Other().exists(key)
        assert dict(Other(key).items()) == {}
        for act in (late.save, late.cycle_key):
            with pytest.raises(UpdateError):
                act()
        assert site.get(items, key).body == "{}"

    def test_an_empty_session_of_the_other_is_nobody_to_quixote(self, site: Site, Other: Any) -> None:
        other = Other()
        other.create()
        assert site.get(items, other.session_key).body == "{}"

    def test_a_key_that_was_cycled(self, site: Site, Other: Any, key: str) -> None:
        other = Other(key)
        other.cycle_key()
        assert site.get(items, key).body == "{}"
        assert site.get(items, other.session_key).body == "{'cart': ['tea']}"


class TestOfQuixote:
    """Sessions that Quixote began."""

    @pytest.fixture
    def key(self, site: Site) -> str:
        return site.get(log_in(cart=["tea"])).session_id

    def test_the_other_reads_it(self, Other: Any, key: str) -> None:
        other = Other(key)
        assert other["cart"] == ["tea"]
        assert list(other.keys()) == ["cart"]  # the user is no item
        assert other.session_key == key
        assert Other().exists(key)

    def test_the_other_changes_it_and_the_user_stays(self, site: Site, Other: Any, key: str) -> None:
        other = Other(key)
        other["n"] = 1
        del other["cart"]
        other.save()
        assert site.get(lambda: f"{session().user} {items()}", key).body == "alice {'n': 1}"

    def test_the_other_clears_it_and_the_user_stays(self, site: Site, Other: Any, key: str) -> None:
        other = Other(key)
        other.clear()
        other.save()
        assert site.get(lambda: f"{session().user} {items()}", key).body == "alice {}"

    def test_the_other_cycles_its_key_and_the_user_stays(self, site: Site, Other: Any, key: str) -> None:
        other = Other(key)
        other["n"] = 1
        other.cycle_key()
        other.save()
        assert other.session_key != key
        assert site.get(lambda: str(session().user), key).body == "None"
        page = lambda: f"{session().user} {items()}"  # noqa: E731
        assert site.get(page, other.session_key).body == "alice {'cart': ['tea'], 'n': 1}"

    def test_the_other_logs_it_out(self, site: Site, Other: Any, key: str) -> None:
        other = Other(key)
        other.flush()
        assert site.get(lambda: f"{session().user} {items()}", key).body == "None {}"
        other["n"] = 1
        other.save()
        assert site.get(lambda: f"{session().user} {items()}", other.session_key).body == "None {'n': 1}"

    def test_the_other_logs_it_out_while_quixote_works(self, site: Site, Other: Any, key: str) -> None:
        def page() -> None:
            Other(key).flush()
            session()["n"] = 1

        assert site.get(page, key).status == 200
        assert not Other().exists(key)
        assert site.get(lambda: str(session().user), key).body == "None"

    def test_a_logout_makes_a_late_save_fail(self, site: Site, Other: Any, key: str) -> None:
        late, unchanged = Other(key), Other(key)
        late["n"] = 1
        assert unchanged["cart"] == ["tea"]
        site.get(lambda: quixote.get_session_manager().expire_session(), key)
        for each in (late, unchanged):
            with pytest.raises(UpdateError):
                each.save()
        assert not Other().exists(key)

    def test_a_login_while_the_other_works_stays(self, site: Site, Other: Any) -> None:
        key = site.get(change(n=1)).session_id
        other = Other(key)
        other["n"] = 2
        new = site.get(log_in(), key).session_id
        with pytest.raises(UpdateError):
            other.save()
        assert site.get(lambda: f"{session().user} {items()}", new).body == "alice {'n': 1}"

    def test_tokens_of_forms_stay(self, site: Site, Other: Any, key: str) -> None:
        made: list[str] = []
        site.get(lambda: made.extend([session().create_form_token(), session().get_csrf_token()]), key)
        other = Other(key)
        other["n"] = 1
        other.save()
        page = lambda: f"{session().has_form_token(made[0])} {session().get_csrf_token() == made[1]}"  # noqa: E731
        assert site.get(page, key).body == "True True"

    def test_attributes_of_a_subclass_stay(self, make_site: Any, Other: Any) -> None:
        site = make_site(Shopper)

        def page() -> None:
            session().theme, session().visits = "dark", 7

        key = site.get(page).session_id
        other = Other(key)
        assert dict(other.items()) == {}
        other["n"] = 1
        other.save()
        other = Other(key)
        other["n"] = 2
        other.cycle_key()

        def show() -> str:
            return f"{type(session()).__name__} {session().theme} {session().visits} {items()}"

        assert site.get(show, other.session_key).body == "Shopper dark 7 {'n': 2}"


class TestExpiry:
    def stored(self, Other: Any, expiry: Any) -> Any:
        other = Other()
        other["a"] = 1
        other.set_expiry(expiry)
        other.save()
        return other.session_key

    @pytest.mark.parametrize("expiry", [100, timedelta(seconds=100)], ids=str)
    def test_quixote_keeps_to_that_of_the_other(self, site: Site, Other: Any, clock: Clock, expiry: Any) -> None:
        key = self.stored(Other, expiry)
        clock.advance(90)
        assert "'a': 1" in site.get(items, key).body
        clock.advance(200)
        assert site.get(items, key).body == "{}"
        assert not Other().exists(key)

    @pytest.mark.parametrize("expiry", [100, timedelta(seconds=100)], ids=str)
    def test_a_change_by_quixote_does_not_make_it_last(self, site: Site, Other: Any, clock: Clock, expiry: Any) -> None:
        key = self.stored(Other, expiry)
        clock.advance(60)
        site.get(change(b=2), key)
        assert Other(key).get_expiry_age() == (100 if expiry == 100 else 40)
        clock.advance(30)
        assert Other(key)["b"] == 2
        clock.advance(200)
        assert not Other().exists(key)
        assert site.get(items, key).body == "{}"

    def test_the_age_of_a_cookie_holds_for_quixote(self, site: Site, Other: Any, clock: Clock) -> None:
        key = self.stored(Other, None)
        clock.advance(WEEKS - 10)
        assert site.get(items, key).body == "{'a': 1}"
        clock.advance(WEEKS + 10)
        assert site.get(items, key).body == "{}"

    def test_the_other_prolongs_a_session_of_quixote(self, make_site: Any, Other: Any, clock: Clock) -> None:
        site = make_site(idle_timeout=1000)
        key = site.get(log_in(a=1)).session_id
        other = Other(key)
        other.set_expiry(100)
        other.save()
        clock.advance(90)
        assert Other(key)["a"] == 1
        clock.advance(20)
        assert Other(key).get("a") is None
        assert site.get(lambda: str(session().user), key).body == "None"

    def test_the_other_shortens_a_login(self, site: Site, Other: Any, clock: Clock) -> None:
        key = site.get(log_in(a=1)).session_id
        other = Other(key)
        other.set_expiry(-1)
        other.save()
        assert site.get(lambda: str(session().user), key).body == "None"

    @pytest.mark.parametrize("expiry", [100, timedelta(seconds=100)], ids=str)
    def test_the_other_keeps_to_that_of_quixote(self, site: Site, Other: Any, clock: Clock, expiry: Any) -> None:
        def page() -> None:
            session()["a"] = 1
            session().set_expiry(expiry)

        key = site.get(page).session_id
        other = Other(key)
        assert other.get_expiry_age() == 100
        assert other.get_expiry_date().timestamp() == pytest.approx(clock() + 100, abs=1e-5)
        clock.advance(60)
        other["b"] = 2
        other.save()
        moved = 0 if isinstance(expiry, timedelta) else 60
        clock.advance(30 + moved)
        assert dict(Other(key).items()).keys() >= {"a", "b"}
        assert site.get(lambda: str(session()["b"]), key).body == "2"
        clock.advance(20 + moved)
        assert not Other().exists(key)
        assert site.get(items, key).body == "{}"

    @pytest.mark.parametrize("expiry", [300, 0, None, timedelta(seconds=300)], ids=str)
    def test_both_count_alike(self, site: Site, Other: Any, expiry: Any) -> None:
        """What one sets, both tell, before and after it was saved."""
        told: list[list[Any]] = []

        def tell(session: Any) -> None:
            found = [session.get_expiry_age(), session.get_expiry_date(), session.get_expire_at_browser_close()]
            told.append([*found, session.get("_session_expiry")])

        def page() -> None:
            session()["a"] = 1
            session().set_expiry(expiry)
            tell(session())

        other = Other()
        other["a"] = 1
        other.set_expiry(expiry)
        tell(other)
        other.save()
        key = site.get(page).session_id
        tell(Other(key))
        site.get(lambda: tell(session()), other.session_key)
        assert told == told[:1] * 4

    def test_zero_is_a_cookie_that_ends_with_the_browser(self, site: Site, Other: Any) -> None:
        def page() -> None:
            session()["a"] = 1
            session().set_expiry(0)

        response = site.get(page)
        assert "max-age" not in response.cookie and "expires" not in response.cookie
        assert Other(response.session_id).get_expire_at_browser_close()

    def test_quixote_takes_the_expiry_of_the_other_back(self, site: Site, Other: Any, clock: Clock) -> None:
        key = self.stored(Other, 100)
        site.get(lambda: session().set_expiry(None), key)
        assert Other(key).get_expiry_age() == WEEKS
        clock.advance(1000)
        assert Other(key)["a"] == 1

    def test_an_expiry_that_quixote_sets_as_an_item(self, site: Site, Other: Any, clock: Clock) -> None:
        key = site.get(log_in(a=1)).session_id
        site.get(change(_session_expiry=100), key)
        other = Other(key)
        assert other.get_expiry_age() == 100
        assert not other.get_expire_at_browser_close()
        other["b"] = 2
        other.save()
        clock.advance(90)
        assert Other(key)["a"] == 1
        clock.advance(20)
        assert Other(key).get("a") is None
        assert site.get(lambda: str(session().user), key).body == "None"
