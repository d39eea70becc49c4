"""The conformance suite, continued: where our back ends differ from Django's, or add to them."""

import math
import secrets
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from session3.errors import ConfigurationError, CookieTooLarge, SerializationError

from ..contract import HOSTILE
from .driven import CHANGED, NEPAL, READ, UNTOUCHED, UTC, WEEKS, Driven, Driver
from .stored import stored_for


class OurOwnMapping:
    async def test_length_and_iteration(self, at: Driver) -> None:
        session = await at.stored(a=1, b=2)
        await session.get("a")  # loaded, since operators have no async twins
        assert len(session.raw) == 2
        assert list(session.raw) == ["a", "b"]
        assert dict(session.raw) == {"a": 1, "b": 2}
        assert session.flags == READ
        session.raw.clear()
        assert len(session.raw) == 0 and list(session.raw) == []
        assert session.raw

    async def test_an_empty_session_is_false(self, at: Driver) -> None:
        """As of Django 6.1; what is stored is true."""
        session = at.new()
        assert not session.raw and session.flags == UNTOUCHED
        await session.set("a", 1)
        assert session.raw
        await session.pop("a")
        assert not session.raw
        assert (await at.stored(a=1)).raw

    async def test_it_is_its_items_beside_a_mapping_and_itself_beside_a_session(self, at: Driver) -> None:
        session, other = at.new(), at.new()
        await session.set("a", 1)
        await other.set("a", 1)
        assert session.raw == {"a": 1} == session.raw and session.raw != {"a": 2} and session.raw != [("a", 1)]
        assert session.raw != other.raw and len({session.raw, other.raw, session.raw}) == 2

    async def test_the_operators_of_a_dict(self, at: Driver) -> None:
        session = await at.stored(a=1, b=[2])
        await session.get("a")
        raw = session.raw
        assert raw | {"b": 3} == {"a": 1, "b": 3} and {"b": 3} | raw == {"b": [2], "a": 1}
        assert type(raw | raw) is type({} | raw) is type(raw.copy()) is dict
        assert session.flags == READ
        with pytest.raises(TypeError):
            raw | [("c", 4)]
        copied = raw.copy()
        copied["c"] = 4
        assert "c" not in raw and copied["b"] is raw["b"] and session.flags == READ
        raw |= [("c", 4)]
        assert raw is session.raw and raw["c"] == 4 and session.flags == CHANGED
        raw |= {"d": 5}
        assert raw == {"a": 1, "b": [2], "c": 4, "d": 5}

    def test_length_and_iteration_load(self, backend: Any) -> None:
        at = Driver(backend, is_async=False)
        stored = at.new()
        stored.raw.update({"a": 1, "b": 2})
        stored.raw.save()
        assert len(at.new(stored.key).raw) == 2
        session = at.new(stored.key)
        loads = session.count_loads()
        assert list(session.raw) == ["a", "b"]
        assert (len(loads), session.flags) == (1, READ)


class OurOwnExpiry:
    @pytest.mark.parametrize("value", ["2030-01-01", "60", b"60", [60], {}, 1j], ids=repr)
    async def test_what_is_no_expiry_is_refused(self, at: Driver, value: Any) -> None:
        session = await stored_for(at, 300)
        with pytest.raises(TypeError):
            await session.set_expiry(value)
        assert await session.get_expiry_age() == 300
        assert not session.raw.modified

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    async def test_what_never_comes_is_refused(self, at: Driver, value: float) -> None:
        session = await stored_for(at, 300)
        with pytest.raises(ValueError):
            await session.set_expiry(value)
        assert await session.get_expiry_age() == 300
        assert not session.raw.modified

    async def test_dates_are_in_utc(self, at: Driver) -> None:
        session = await at.stored(a=1)
        for value in (None, 300, 0, timedelta(seconds=300), at.time(300).astimezone(NEPAL)):
            await session.set_expiry(value)
            assert (await session.get_expiry_date()).tzinfo is UTC
        for given in ({"expiry": at.time(300).astimezone(NEPAL)}, {"modification": at.time(-50).astimezone(NEPAL)}):
            assert (await session.get_expiry_date(**given)).tzinfo is UTC

    @pytest.fixture
    def in_nepal(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setenv("TZ", "NPT-5:45")
        time.tzset()
        yield
        monkeypatch.undo()
        time.tzset()

    async def test_a_naive_datetime_is_local_time(self, at: Driver, in_nepal: None) -> None:
        session = await at.stored(a=1)
        naive = at.time(300).astimezone(NEPAL).replace(tzinfo=None)
        await session.set_expiry(naive)
        assert await session.get_expiry_age() == 300
        assert await session.get_expiry_date() == at.time(300)
        assert datetime.fromisoformat(await session.get("_session_expiry")).tzinfo is not None
        assert await session.get_expiry_age(expiry=naive) == 300
        assert await session.get_expiry_date(expiry=naive.isoformat()) == at.time(300)
        assert await session.get_expiry_age(modification=naive) == 0
        assert await session.get_expiry_date(modification=naive, expiry=60) == at.time(360)

    async def test_an_age_is_exact_at_any_moment(self, at: Driver) -> None:
        # Floats of today have steps of 0.2 microseconds; a rounding on the way would show as a second.
        session = at.new()
        for _ in range(100):
            at.backend.advance(0.123457)
            for seconds in (60, -60):
                await session.set_expiry(timedelta(seconds=seconds))
                assert await session.get_expiry_age() == seconds
                late = await session.get_expiry_date() - at.time(seconds)
                assert abs(late) <= timedelta(microseconds=1)


class OurOwnCoding:
    def test_another_secret_is_another_signature(self, backend: Any) -> None:
        encoded = backend.session_class().encode({"a": 1})
        backend.configure(secret_key="another secret of the very same site")
        assert backend.session_class().decode(encoded) == {}

    def test_a_list_of_secrets_may_be_changed_in_place(self, backend: Any) -> None:
        secrets = ["the first secret of a site in the tests"]
        backend.configure(secret_key=secrets)
        encoded = backend.session_class().encode({"a": 1})
        secrets.insert(0, "the second secret of a site in the tests")
        assert backend.session_class().decode(encoded) == {"a": 1}
        later = backend.session_class().encode({"a": 2})
        del secrets[1:]
        assert backend.session_class().decode(encoded) == {}
        assert backend.session_class().decode(later) == {"a": 2}

    def test_another_salt_is_another_signature_too(self, backend: Any) -> None:
        encoded = backend.session_class().encode({"a": 1})
        backend.configure(salt="another salt")
        assert backend.session_class().decode(encoded) == {}
        assert backend.session_class().decode(backend.session_class().encode({"a": 1})) == {"a": 1}


class OurOwnStored:
    # -- two requests at once ----------------------------------------------------------------------------------------

    async def test_changes_of_different_items_both_survive(self, at: Driver) -> None:
        session = await at.stored(a=1, b=1, gone=1)
        one, other = at.new(session.key), at.new(session.key)
        await one.set("a", 2)
        await one.pop("gone")
        await other.set("b", 2)
        await other.set("c", 3)
        await one.save()
        await other.save()
        assert await at.kept(session.key) == {"a": 2, "b": 2, "c": 3}
        assert dict(await other.items()) == {"a": 2, "b": 2, "c": 3}  # the later one sees both, too

    async def test_of_the_same_item_the_later_save_wins(self, at: Driver) -> None:
        session = await at.stored(a=1)
        one, other = at.new(session.key), at.new(session.key)
        await one.set("a", 2)
        await other.set("a", 3)
        await one.save()
        await other.save()
        assert await at.kept(session.key) == {"a": 3}

    async def test_a_save_without_a_change_undoes_nobodys(self, at: Driver) -> None:
        session = await at.stored(a=1)
        one, other = at.new(session.key), at.new(session.key)
        await one.set("a", 2)
        await other.get("a")
        await one.save()
        await other.save()
        assert await at.kept(session.key) == {"a": 2}

    async def test_who_saved_and_goes_on_loses_nothing_of_the_other(self, at: Driver) -> None:
        one = at.new()
        await one.set("a", 1)
        await one.save()
        other = at.new(one.key)
        await other.set("b", 2)
        await other.save()
        await one.set("a", 3)
        await one.save()
        await one.set("c", 4)
        await one.save()
        assert await at.kept(one.key) == {"a": 3, "b": 2, "c": 4}

    async def test_cycle_key_takes_along_what_the_other_saved(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.set("a", 2)
        other = at.new(session.key)
        await other.set("b", 2)
        await other.save()
        await session.cycle_key()
        await session.save()
        assert await at.kept(session.key) == {"a": 2, "b": 2}

    async def test_flush_deletes_what_the_other_saved(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.get("a")
        other = at.new(session.key)
        await other.set("b", 2)
        await other.save()
        await session.flush()
        assert await at.kept(other.key) == {}

    @pytest.mark.parametrize("change", [True, False], ids=["changed", "unchanged"])
    async def test_cycle_key_of_what_was_deleted_brings_nothing_back(self, at: Driver, change: bool) -> None:
        session = await at.stored(a=1)
        await session.get("a")
        if change:
            await session.set("a", 2)
        key = session.key
        await at.new(key).flush()
        with pytest.raises(at.backend.update_error):
            await session.cycle_key()
        assert not await session.exists(key)
        assert session.key is None or not await session.exists(session.key)

    # -- what is kept, and how ---------------------------------------------------------------------------------------

    async def test_any_value_that_pickles(self, at: Driver) -> None:
        values = [{1, 2}, (1, "a"), b"bytes", datetime(2030, 1, 1, tzinfo=timezone.utc), timedelta(1), 1j]
        session = await at.stored(values=values)
        assert await session.get("values") == values

    async def test_keys_need_not_be_text(self, at: Driver) -> None:
        session = at.new()
        await session.set(1, "one")
        await session.set((2, 3), "pair")
        await session.save()
        assert await at.kept(session.key) == {1: "one", (2, 3): "pair"}

    async def test_what_cannot_be_saved_leaves_what_is_stored(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.set("a", lambda: None)
        with pytest.raises(SerializationError):
            await session.save()
        assert await at.kept(session.key) == {"a": 1}
        await session.set("a", 2)
        await session.save()
        assert await at.kept(session.key) == {"a": 2}

    async def test_hostile_keys_are_nobodys(self, at: Driver) -> None:
        for key in HOSTILE:
            session = at.new(key)
            assert await session.exists(key) is False, ascii(key[:20])
            await session.delete(key)
            await session.delete()
            assert await session.load() == {}, ascii(key[:20])
            assert session.key is None
            await at.new(key).flush()
            session = at.new(key)
            await session.set("a", 1)
            await session.save()
            assert session.key != key
            assert await at.kept(session.key) == {"a": 1}

    async def test_what_has_expired_does_not_exist(self, at: Driver) -> None:
        session = await stored_for(at, 100)
        assert await session.exists(session.key)
        at.backend.advance(200)
        assert not await session.exists(session.key)

    @pytest.mark.parametrize("change", [True, False], ids=["changed", "unchanged"])
    async def test_a_request_that_runs_past_the_expiry_is_in_time(self, at: Driver, change: bool) -> None:
        # As with Django's database: it was not deleted.
        session = await stored_for(at, 100)
        assert await session.get("a") == 1
        if change:
            await session.set("a", 2)
        at.backend.advance(110)
        await session.save()
        assert (await at.kept(session.key))["a"] == 1 + change

    # -- settings ----------------------------------------------------------------------------------------------------

    async def test_settings_as_attributes_of_a_subclass(self, at: Driver) -> None:
        class Short(at.backend.session_class):  # type: ignore[misc, name-defined]
            cookie_age = 500
            expire_at_browser_close = True

        session = await at.stored(Short, a=1)
        assert session.raw.get_session_cookie_age() == 500
        assert await session.get_expiry_age() == 500
        assert await session.get_expire_at_browser_close() is True
        at.backend.advance(490)
        assert await session.get("a") == 1
        at.backend.advance(20)
        assert await at.new(session.key, Short).get("a") is None

    async def test_a_subclass_reads_what_its_base_class_wrote(self, at: Driver) -> None:
        class Other(at.backend.session_class):  # type: ignore[misc, name-defined]
            pass

        session = await at.stored(a=1)
        assert await at.new(session.key, Other).get("a") == 1

    def test_an_unknown_setting_is_refused(self, backend: Any) -> None:
        with pytest.raises(ConfigurationError, match="cookie_ages"):
            backend.configure(cookie_ages=5)


class OurOwnCookie:
    """The expiry of the data itself counts, too."""

    @pytest.mark.parametrize("expiry", [100, timedelta(seconds=100)], ids=str)
    async def test_it_lasts_so_long(self, at: Driver, expiry: Any) -> None:
        key = (await stored_for(at, expiry)).key
        at.backend.advance(90)
        assert (await at.kept(key))["a"] == 1
        at.backend.advance(20)
        session = at.new(key)
        assert await session.get("a") is None
        assert session.flags == CHANGED
        assert dict(await session.items()) == {}

    @pytest.mark.parametrize("expiry", [-5, timedelta(seconds=-5)], ids=str)
    async def test_it_may_have_passed_already(self, at: Driver, expiry: Any) -> None:
        assert await at.kept((await stored_for(at, expiry)).key) == {}

    async def test_each_save_starts_the_seconds_anew(self, at: Driver) -> None:
        session: Driven = await stored_for(at, 100)
        for _ in range(3):
            at.backend.advance(60)
            session = at.new(session.key)
            assert await session.get("a") == 1
            await session.save()
        at.backend.advance(110)
        assert await at.kept(session.key) == {}

    async def test_no_save_moves_a_moment(self, at: Driver) -> None:
        session = await stored_for(at, timedelta(seconds=100))
        at.backend.advance(60)
        await session.save()
        assert (await at.kept(session.key))["a"] == 1
        at.backend.advance(60)
        assert await at.kept(session.key) == {}

    async def test_zero_lasts_as_long_as_a_cookie(self, at: Driver) -> None:
        key = (await stored_for(at, 0)).key
        at.backend.advance(WEEKS - 10)
        assert (await at.kept(key))["a"] == 1
        at.backend.advance(20)
        assert await at.kept(key) == {}

    async def test_what_no_browser_would_keep_is_refused(self, at: Driver) -> None:
        session = await at.stored(a=1)
        key = session.key
        await session.set("noise", secrets.token_hex(4000))
        with pytest.raises(CookieTooLarge):
            await session.save()
        assert session.key == key
        assert await at.kept(key) == {"a": 1}

    async def test_settings_as_attributes_of_a_subclass(self, at: Driver) -> None:
        class Short(at.backend.session_class):  # type: ignore[misc, name-defined]
            cookie_age = 500

        session = await at.stored(Short, a=1)
        at.backend.advance(490)
        assert await session.get("a") == 1
        at.backend.advance(20)
        assert await at.new(session.key, Short).get("a") is None
