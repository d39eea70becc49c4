"""The conformance suite, continued: what is kept, under a key on a server, or signed in the browser's cookie."""

from datetime import timedelta
from typing import Any

import pytest

from .driven import CHANGED, READ, SPOILED, UNTOUCHED, WEEKS, Driven, Driver, spoiled

#: Keys as a client may send them, each of a length that is valid.
CHOSEN = [
    "chosenbytheclient", "a" * 32, "../../../../etc/passwd", "a b c d e f g h", "'; DROP TABLE x; --", "C:\\windows\\x",
    "12345678", "A" * 32, "\u00e9" * 8, "a\0b\0c\0d\0", "a" * 40,
]  # fmt: skip

#: What JSON brings back as it was.
VALUES: list[Any] = [
    None, True, 0, -1, 2**70, 1.5, "", "\u00e9\u65e5\U0001f600", "\0\n'\"", "x" * 100_000, [], {}, [[None], {"a": [1]}],
]  # fmt: skip


class StoredContract:
    """What is kept on the server, under a key that is all the browser gets."""

    # -- create ------------------------------------------------------------------------------------------------------

    async def test_create_saves_an_empty_session_under_a_new_key(self, at: Driver) -> None:
        session = at.new()
        assert await session.create() is None
        assert len(session.key) == 32 and set(session.key) <= set(at.backend.valid_key_chars)
        assert session.flags == CHANGED
        assert await session.exists(session.key)
        assert await at.kept(session.key) == {}

    async def test_create_keeps_what_was_set_before(self, at: Driver) -> None:
        session = at.new()
        await session.set("a", 1)
        await session.create()
        assert await at.kept(session.key) == {"a": 1}

    async def test_create_again_is_another_session(self, at: Driver) -> None:
        session = at.new()
        await session.create()
        first = session.key
        await session.create()
        assert session.key != first
        assert await session.exists(first) and await session.exists(session.key)

    async def test_create_of_a_session_that_was_not_loaded_is_empty(self, at: Driver) -> None:
        session = await at.stored(a=1)
        first, loads = session.key, session.count_loads()
        await session.create()
        assert loads == []
        assert session.key != first
        assert await at.kept(session.key) == {}
        assert await at.kept(first) == {"a": 1}

    async def test_create_takes_no_key_that_is_taken(self, at: Driver) -> None:
        taken = (await at.stored(a=1)).key
        session = at.new()
        keys = iter([taken, taken, "f" * 32])

        def new_key() -> Any:
            return next(keys)

        async def anew_key() -> Any:
            return next(keys)

        session.raw._get_new_session_key = new_key
        session.raw._aget_new_session_key = anew_key
        await session.set("b", 2)
        await session.create()
        assert session.key == "f" * 32
        assert await at.kept(taken) == {"a": 1}
        assert await at.kept(session.key) == {"b": 2}

    # -- save --------------------------------------------------------------------------------------------------------

    async def test_save_without_a_key_creates(self, at: Driver) -> None:
        session = at.new()
        await session.set("a", 1)
        session.raw.modified = False
        assert await session.save() is None
        assert len(session.key) == 32
        assert session.flags == CHANGED  # so that its cookie is sent
        assert await at.kept(session.key) == {"a": 1}

    async def test_save_of_nothing_creates_too(self, at: Driver) -> None:
        session = at.new()
        await session.save()
        assert await session.exists(session.key)
        assert session.flags == CHANGED

    async def test_save_again(self, at: Driver) -> None:
        session = await at.stored(a=1)
        key = session.key
        for n in range(3):
            await session.set("a", n)
            await session.save()
            assert session.key == key
            assert await at.kept(key) == {"a": n}

    async def test_save_of_a_session_that_has_a_key_leaves_the_flag(self, at: Driver) -> None:
        for change in (False, True):
            session = await at.stored(a=1)
            if change:
                await session.set("a", 2)
            await session.save()
            assert session.flags == (True, change)

    async def test_save_loads_what_was_not_loaded(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.save()
        assert await at.kept(session.key) == {"a": 1}

    async def test_a_removed_item_stays_removed(self, at: Driver) -> None:
        session = await at.stored(a=1, b=2)
        await session.pop("a")
        await session.save()
        assert await at.kept(session.key) == {"b": 2}

    async def test_clear_and_save_leaves_an_empty_session(self, at: Driver) -> None:
        session = await at.stored(a=1)
        session.raw.clear()
        await session.save()
        assert await session.exists(session.key)
        assert await at.kept(session.key) == {}

    async def test_clear_and_fill_and_save(self, at: Driver) -> None:
        session = await at.stored(a=1, b=1)
        session.raw.clear()
        await session.set("b", 2)
        await session.save()
        assert await at.kept(session.key) == {"b": 2}

    async def test_a_nested_change_is_saved(self, at: Driver) -> None:
        session = await at.stored(cart={"tea": [1]})
        (await session.get("cart"))["tea"].append(2)
        await session.save()
        assert await at.kept(session.key) == {"cart": {"tea": [1, 2]}}

    async def test_what_is_loaded_is_a_copy(self, at: Driver) -> None:
        session = await at.stored(cart=[1])
        (await session.get("cart")).append(2)
        assert await at.kept(session.key) == {"cart": [1]}

    async def test_what_was_saved_is_a_copy(self, at: Driver) -> None:
        session = at.new()
        cart = [1]
        await session.set("cart", cart)
        await session.save()
        cart.append(2)
        assert await at.kept(session.key) == {"cart": [1]}

    async def test_values_come_back(self, at: Driver) -> None:
        session = at.new()
        for n, value in enumerate(VALUES):
            await session.set(f"value {n}", value)
        await session.save()
        found = list((await at.kept(session.key)).values())
        assert found == VALUES
        assert [type(value) for value in found] == [type(value) for value in VALUES]

    async def test_keys_of_items_come_back(self, at: Driver) -> None:
        session = at.new()
        await session.update({"": 1, "a b": 2, "\u00e9": 3, "_private": 4, "user": 5, "id": 6, "data": 7})
        await session.save()
        assert await at.kept(session.key) == {
            "": 1, "a b": 2, "\u00e9": 3, "_private": 4, "user": 5, "id": 6, "data": 7
        }  # fmt: skip

    async def test_sessions_are_apart(self, at: Driver) -> None:
        one, other = await at.stored(a=1), await at.stored(a=2)
        await one.set("a", 3)
        await one.save()
        assert await at.kept(other.key) == {"a": 2}
        await one.delete()
        assert await at.kept(other.key) == {"a": 2}

    # -- save(must_create=True) --------------------------------------------------------------------------------------

    async def test_must_create_without_a_key(self, at: Driver) -> None:
        session = at.new()
        await session.set("a", 1)
        await session.save(must_create=True)
        assert await at.kept(session.key) == {"a": 1}

    async def test_must_create_under_a_key_that_is_free(self, at: Driver) -> None:
        session = at.new("b" * 32)
        loads = session.count_loads()
        await session.save(must_create=True)
        assert (loads, session.key) == ([], "b" * 32)
        assert await session.exists("b" * 32)
        assert await at.kept("b" * 32) == {}

    async def test_must_create_under_a_key_that_is_taken(self, at: Driver) -> None:
        stored = await at.stored(a=1)
        for loaded in (False, True):
            session = at.new(stored.key)
            if loaded:
                await session.set("a", 2)
            with pytest.raises(at.backend.create_error):
                await session.save(must_create=True)
            assert await at.kept(stored.key) == {"a": 1}

    # -- a session that was deleted meanwhile ------------------------------------------------------------------------

    @pytest.mark.parametrize("change", [True, False], ids=["changed", "unchanged"])
    async def test_a_late_save_brings_nothing_back(self, at: Driver, change: bool) -> None:
        session = await at.stored(a=1)
        await session.get("a")
        await at.new().delete(session.key)
        if change:
            await session.set("a", 2)
        with pytest.raises(at.backend.update_error):
            await session.save()
        assert not await session.exists(session.key)
        assert await at.kept(session.key) == {}

    async def test_a_late_save_of_who_created_it(self, at: Driver) -> None:
        session = at.new()
        await session.set("a", 1)
        await session.save()
        await at.new(session.key).flush()
        await session.set("a", 2)
        with pytest.raises(at.backend.update_error):
            await session.save()
        assert not await session.exists(session.key)

    async def test_a_save_after_its_own_delete(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.set("a", 2)
        await session.delete()
        with pytest.raises(at.backend.update_error):
            await session.save()

    # -- a key that was set by hand ----------------------------------------------------------------------------------

    @pytest.mark.parametrize("change", [True, False], ids=["changed", "unchanged"])
    async def test_a_save_goes_to_the_key_that_was_set(self, at: Driver, change: bool) -> None:
        session, other = await at.stored(a=1), await at.stored(b=1)
        key = session.key
        await session.get("a")
        if change:
            await session.set("a", 2)
        session.raw._session_key = other.key
        await session.save()
        assert session.key == other.key
        assert await at.kept(other.key) == {"a": 1 + change}
        assert await at.kept(key) == {"a": 1}

    async def test_a_save_to_a_key_that_was_set_and_is_free(self, at: Driver) -> None:
        session = await at.stored(a=1)
        key = session.key
        await session.set("a", 2)
        session.raw._session_key = "f" * 32
        with pytest.raises(at.backend.update_error):
            await session.save()
        assert await at.kept(key) == {"a": 1}

    async def test_a_save_without_the_key_that_was_there(self, at: Driver) -> None:
        session = await at.stored(a=1)
        key = session.key
        await session.set("a", 2)
        session.raw._session_key = None
        await session.save()
        assert session.key not in (None, key)
        assert await at.kept(session.key) == {"a": 2}
        assert await at.kept(key) == {"a": 1}

    # -- keys that a client chose ------------------------------------------------------------------------------------

    async def test_a_key_that_a_client_chose_is_not_taken(self, at: Driver) -> None:
        for key in CHOSEN:
            session = at.new(key)
            assert session.key == key
            await session.set("a", 1)
            assert (session.key, session.flags) == (None, CHANGED), ascii(key)
            await session.save()
            assert session.key != key
            assert len(session.key) == 32
            assert await at.kept(key) == {}
            assert await at.kept(session.key) == {"a": 1}

    @pytest.mark.parametrize("key", ["chosenbytheclient", "a" * 32])
    async def test_a_save_that_comes_first_creates_nothing_there_either(self, at: Driver, key: str) -> None:
        session = at.new(key)
        with pytest.raises(at.backend.update_error):
            await session.save()
        assert not await session.exists(key)

    @pytest.mark.parametrize("key", ["chosenbytheclient", "a" * 32])
    async def test_cycle_key_and_flush_of_a_key_that_a_client_chose(self, at: Driver, key: str) -> None:
        session = at.new(key)
        await session.flush()
        assert session.key is None
        session = at.new(key)
        await session.cycle_key()
        assert session.key not in (None, key)
        assert not await session.exists(key)
        assert await session.exists(session.key)

    # -- load and exists ---------------------------------------------------------------------------------------------

    async def test_load(self, at: Driver) -> None:
        session = await at.stored(a=1)
        assert await session.load() == {"a": 1}
        assert session.flags == UNTOUCHED
        assert not hasattr(session.raw, "_session_cache")

    async def test_load_of_what_is_missing(self, at: Driver) -> None:
        session = at.new("a" * 32)
        assert await session.load() == {}
        assert session.key is None
        assert session.flags == UNTOUCHED

    async def test_what_is_missing_is_an_empty_session_without_a_key(self, at: Driver) -> None:
        session = at.new("a" * 32)
        assert not session.raw.is_empty()
        assert await session.get("a") is None
        assert session.key is None
        assert session.flags == READ
        assert session.raw.is_empty()

    async def test_exists(self, at: Driver) -> None:
        session = await at.stored(a=1)
        assert await session.exists(session.key) is True
        assert await session.exists("a" * 32) is False
        assert session.flags == UNTOUCHED

    # -- delete ------------------------------------------------------------------------------------------------------

    async def test_delete_of_itself(self, at: Driver) -> None:
        session = await at.stored(a=1)
        key, loads = session.key, session.count_loads()
        assert await session.delete() is None
        assert (loads, session.key, session.flags) == ([], key, UNTOUCHED)
        assert not await session.exists(key)
        assert await at.kept(key) == {}

    async def test_delete_leaves_the_items_in_hand(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.get("a")
        await session.delete()
        assert dict(await session.items()) == {"a": 1}

    async def test_delete_of_another(self, at: Driver) -> None:
        session, other = await at.stored(a=1), await at.stored(a=2)
        await session.delete(other.key)
        assert await at.kept(session.key) == {"a": 1}
        assert not await session.exists(other.key)

    async def test_delete_of_what_is_not_there(self, at: Driver) -> None:
        await at.new().delete()
        await at.new().delete("a" * 32)
        await at.new("a" * 32).delete()
        session = await at.stored(a=1)
        await session.delete("")
        assert await session.exists(session.key)
        await session.delete()
        await session.delete()

    # -- flush -------------------------------------------------------------------------------------------------------

    async def test_flush(self, at: Driver) -> None:
        session = await at.stored(a=1)
        key, loads = session.key, session.count_loads()
        assert await session.flush() is None
        assert (loads, session.key, session.flags) == ([], None, CHANGED)
        assert session.raw.is_empty()
        assert dict(await session.items()) == {}
        assert not await session.exists(key)

    async def test_what_comes_after_a_flush_has_another_key(self, at: Driver) -> None:
        session = await at.stored(a=1)
        key = session.key
        await session.get("a")
        await session.flush()
        await session.set("b", 2)
        await session.save()
        assert session.key not in (None, key)
        assert await at.kept(session.key) == {"b": 2}
        assert await at.kept(key) == {}

    async def test_flush_of_a_new_session(self, at: Driver) -> None:
        session = at.new()
        await session.set("a", 1)
        await session.flush()
        assert session.flags == CHANGED
        assert session.raw.is_empty()

    async def test_flush_of_what_is_gone(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.get("a")
        await at.new().delete(session.key)
        await session.flush()
        assert session.key is None

    # -- cycle_key ---------------------------------------------------------------------------------------------------

    async def test_cycle_key(self, at: Driver) -> None:
        session = await at.stored(a=1)
        key = session.key
        assert await session.cycle_key() is None
        assert session.key != key and len(session.key) == 32
        assert session.flags == CHANGED
        assert dict(await session.items()) == {"a": 1}
        assert not await session.exists(key)
        assert await at.kept(key) == {}
        assert await at.kept(session.key) == {"a": 1}

    async def test_cycle_key_with_changes_that_were_not_saved(self, at: Driver) -> None:
        session = await at.stored(a=1, b=1)
        await session.set("a", 2)
        await session.set_expiry(300)
        await session.cycle_key()
        await session.save()
        assert await at.kept(session.key) == {"a": 2, "b": 1, "_session_expiry": 300}

    async def test_cycle_key_of_a_new_session(self, at: Driver) -> None:
        session = at.new()
        await session.set("a", 1)
        await session.cycle_key()
        assert await at.kept(session.key) == {"a": 1}

    @pytest.mark.parametrize("items", [{}, {"b": 2}], ids=["empty", "filled"])
    async def test_cycle_key_of_a_session_that_was_cleared_unread(self, at: Driver, items: dict[str, int]) -> None:
        session = await at.stored(a=1)
        key = session.key
        session.raw.clear()
        await session.update(items)
        await session.cycle_key()
        assert not await session.exists(key)
        assert await at.kept(key) == {}
        assert session.key != key
        assert await at.kept(session.key) == items

    async def test_cycle_key_and_on(self, at: Driver) -> None:
        session = await at.stored(a=1)
        keys = [session.key]
        for n in range(3):
            await session.cycle_key()
            await session.set("a", n)
            await session.save()
            keys.append(session.key)
        assert len(set(keys)) == 4
        assert [await session.exists(key) for key in keys] == [False, False, False, True]
        assert await at.kept(session.key) == {"a": 2}

    async def test_an_old_key_is_nobodys_after_cycle_key(self, at: Driver) -> None:
        session = await at.stored(a=1)
        key = session.key
        rival = at.new(key)
        await rival.set("b", 1)
        await session.cycle_key()
        with pytest.raises(at.backend.update_error):
            await rival.save()
        late = at.new(key)
        await late.set("c", 1)
        assert late.key is None
        assert await at.kept(session.key) == {"a": 1}


class ClearContract:
    """clear_expired, where the back end keeps what has expired."""

    async def test_expired_sessions_go_and_others_stay(self, at: Driver) -> None:
        kept = [await at.stored(a=1), await self.stored_for(at, timedelta(seconds=1000)), await self.stored_for(at, 0)]
        gone = await self.stored_for(at, timedelta(seconds=100))
        at.backend.advance(200)
        await at.new().clear_expired()
        assert [await at.new().exists(session.key) for session in [*kept, gone]] == [True, True, True, False]
        for session in kept:
            assert (await at.kept(session.key))["a"] == 1

    async def test_it_is_for_the_class(self, at: Driver) -> None:
        session = await self.stored_for(at, timedelta(seconds=100))
        at.backend.advance(200)
        await Driven(at.backend.session_class, at.is_async).clear_expired()
        assert not await session.exists(session.key)
        await Driven(at.backend.session_class, at.is_async).clear_expired()

    async def test_the_age_of_a_cookie_expires(self, at: Driver) -> None:
        old = await at.stored(a=1)
        at.backend.advance(WEEKS + 10)
        young = await at.stored(a=1)
        await at.new().clear_expired()
        assert [await young.exists(session.key) for session in (old, young)] == [False, True]

    async def stored_for(self, at: Driver, expiry: Any) -> Driven:
        return await stored_for(at, expiry)


async def stored_for(at: Driver, expiry: Any) -> Driven:
    """Return a session that holds a=1 and was saved with an expiry."""
    session = at.new()
    await session.set("a", 1)
    await session.set_expiry(expiry)
    await session.save()
    return at.new(session.key)


class ExpiringContract:
    """What has expired is not found, whichever way its expiry was set."""

    @pytest.mark.parametrize("expiry", [100, timedelta(seconds=100)], ids=str)
    async def test_it_lasts_so_long(self, at: Driver, expiry: Any) -> None:
        session = await stored_for(at, expiry)
        at.backend.advance(90)
        assert (await at.kept(session.key))["a"] == 1
        at.backend.advance(20)
        assert await session.get("a") is None
        assert session.key is None

    @pytest.mark.parametrize("expiry", [None, 0])
    async def test_it_lasts_as_long_as_a_cookie(self, at: Driver, expiry: Any) -> None:
        session = await stored_for(at, expiry)
        at.backend.advance(WEEKS - 10)
        assert (await at.kept(session.key))["a"] == 1
        at.backend.advance(20)
        assert await session.get("a") is None
        assert session.key is None

    @pytest.mark.parametrize("expiry", [-5, timedelta(seconds=-5), timedelta(days=-400)], ids=str)
    async def test_it_may_have_passed_already(self, at: Driver, expiry: Any) -> None:
        session = await stored_for(at, expiry)
        assert session.key is not None
        assert await session.get("a") is None
        assert session.key is None

    async def test_an_expiry_in_the_past_ends_a_session_that_is_stored(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.set_expiry(-1)
        await session.save()
        assert await at.kept(session.key) == {}

    async def test_another_expiry_takes_the_place_of_the_first(self, at: Driver) -> None:
        session = await stored_for(at, 100)
        await session.set_expiry(1000)
        await session.save()
        at.backend.advance(900)
        session = at.new(session.key)
        await session.set_expiry(None)
        await session.save()
        at.backend.advance(WEEKS - 10)
        assert await at.kept(session.key) == {"a": 1}

    @pytest.mark.parametrize("change", [True, False], ids=["changed", "unchanged"])
    async def test_each_save_starts_the_seconds_anew(self, at: Driver, change: bool) -> None:
        for expiry, seconds in ((100, 60), (None, WEEKS - 100)):
            session = await stored_for(at, expiry)
            for n in range(3):
                at.backend.advance(seconds)
                session = at.new(session.key)
                assert await session.get("a") is not None
                if change:
                    await session.set("a", n)
                await session.save()
            at.backend.advance(seconds + 200)
            assert await at.kept(session.key) == {}

    async def test_no_save_moves_a_moment(self, at: Driver) -> None:
        session = await stored_for(at, timedelta(seconds=100))
        at.backend.advance(60)
        await session.set("a", 2)
        await session.save()
        assert (await at.kept(session.key))["a"] == 2
        at.backend.advance(60)
        assert await at.kept(session.key) == {}

    async def test_reading_does_not_prolong(self, at: Driver) -> None:
        session = await stored_for(at, 100)
        at.backend.advance(60)
        assert (await at.kept(session.key))["a"] == 1
        at.backend.advance(60)
        assert await at.kept(session.key) == {}

    async def test_what_comes_after_has_another_key(self, at: Driver) -> None:
        session = await stored_for(at, 100)
        key = session.key
        at.backend.advance(200)
        await session.set("b", 2)
        await session.save()
        assert session.key not in (None, key)
        assert await at.kept(session.key) == {"b": 2}
        assert await at.kept(key) == {}

    async def test_cycle_key_keeps_the_expiry(self, at: Driver) -> None:
        session = await stored_for(at, 100)
        await session.cycle_key()
        at.backend.advance(90)
        assert (await at.kept(session.key))["a"] == 1
        at.backend.advance(20)
        assert await at.kept(session.key) == {}

    async def test_the_setting(self, at: Driver) -> None:
        at.backend.configure(cookie_age=500)
        session = await at.stored(a=1)
        at.backend.advance(490)
        assert await at.kept(session.key) == {"a": 1}
        at.backend.advance(20)
        assert await at.kept(session.key) == {}

    async def test_the_age_of_a_cookie_in_a_subclass(self, at: Driver) -> None:
        class Short(at.backend.session_class):  # type: ignore[misc, name-defined]
            def get_session_cookie_age(self) -> int:
                return 30

        session = await at.stored(Short, a=1)
        at.backend.advance(25)
        assert await session.get("a") == 1
        session = at.new(session.key, Short)
        at.backend.advance(10)
        assert await session.get("a") is None


class CookieContract:
    """Sessions that are kept in the browser, signed."""

    async def test_the_key_is_what_was_signed(self, at: Driver) -> None:
        session = at.new()
        await session.set("a", 1)
        session.raw.modified = False
        assert session.key is None
        assert await session.save() is None
        assert session.flags == CHANGED
        assert isinstance(session.key, str)
        assert await at.kept(session.key) == {"a": 1}

    async def test_each_save_signs_anew(self, at: Driver) -> None:
        session = await at.stored(a=1)
        first = session.key
        await session.set("a", 2)
        assert session.key == first
        await session.save()
        assert session.key != first
        assert await at.kept(session.key) == {"a": 2}
        assert await at.kept(first) == {"a": 1}  # whoever kept it has it

    async def test_a_save_without_a_change_is_a_new_cookie_too(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.save()
        assert session.flags == CHANGED
        session = await at.stored(a=1)
        await session.save(must_create=True)
        assert await at.kept(session.key) == {"a": 1}

    async def test_it_fits_into_a_cookie(self, at: Driver) -> None:
        session = await at.stored(text='\u00e9\u65e5;," \n', many=["tea"] * 500)
        assert set(session.key) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:=")
        assert len(session.key) < 400
        assert await at.kept(session.key) == {"text": '\u00e9\u65e5;," \n', "many": ["tea"] * 500}

    @pytest.mark.parametrize("spoil", SPOILED)
    async def test_a_bad_signature_is_an_empty_session(self, at: Driver, spoil: str) -> None:
        key = (await at.stored(user="alice")).key
        other = (await at.stored(user="mallory")).key
        session = at.new(spoiled(key, other)[spoil])
        assert await session.get("user") is None
        assert session.flags == CHANGED  # so that another cookie takes its place
        assert dict(await session.items()) == {}
        await session.set("a", 1)
        await session.save()
        assert await at.kept(session.key) == {"a": 1}

    async def test_an_old_signature_is_an_empty_session(self, at: Driver) -> None:
        key = (await at.stored(a=1)).key
        at.backend.advance(WEEKS - 5)
        assert await at.kept(key) == {"a": 1}
        at.backend.advance(10)
        session = at.new(key)
        assert await session.get("a") is None
        assert session.flags == CHANGED

    async def test_the_setting_of_the_age(self, at: Driver) -> None:
        at.backend.configure(cookie_age=500)
        key = (await at.stored(a=1)).key
        at.backend.advance(495)
        assert await at.kept(key) == {"a": 1}
        at.backend.advance(10)
        assert await at.kept(key) == {}

    async def test_load(self, at: Driver) -> None:
        session = await at.stored(a=1)
        assert await session.load() == {"a": 1}
        assert session.flags == UNTOUCHED
        session = at.new("nonsense")
        assert await session.load() == {}
        assert session.flags == (False, True)

    async def test_create(self, at: Driver) -> None:
        session = at.new()
        assert await session.create() is None
        assert (session.key, session.flags) == (None, (False, True))

    async def test_nothing_exists(self, at: Driver) -> None:
        session = await at.stored(a=1)
        assert await session.exists(session.key) is False
        assert await session.exists("a" * 32) is False
        assert await session.exists() is False

    async def test_delete(self, at: Driver) -> None:
        for loaded in (True, False):
            session = await at.stored(a=1)
            loads = session.count_loads()
            if loaded:
                await session.get("a")
            assert await session.delete() is None
            assert (session.key, session.raw.modified, len(loads)) == (None, True, loaded)
            assert dict(await session.items()) == {}
            assert session.raw.is_empty()

    async def test_flush(self, at: Driver) -> None:
        session = await at.stored(a=1)
        loads = session.count_loads()
        await session.flush()
        assert (session.key, session.flags, loads) == (None, CHANGED, [])
        assert session.raw.is_empty()
        await session.set("b", 2)
        await session.save()
        assert await at.kept(session.key) == {"b": 2}

    async def test_cycle_key_saves_anew(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.set("b", 2)
        first = session.key
        await session.cycle_key()
        assert session.key != first
        assert session.flags == CHANGED
        assert await at.kept(session.key) == {"a": 1, "b": 2}

    async def test_there_is_nothing_to_clear(self, at: Driver) -> None:
        session = await at.stored(a=1)
        at.backend.advance(WEEKS + 10)
        assert await session.clear_expired() is None
        assert await Driven(at.backend.session_class, at.is_async).clear_expired() is None

    async def test_another_secret_is_another_signature(self, at: Driver) -> None:
        key = (await at.stored(a=1)).key
        at.backend.configure(secret_key="another secret of the very same site")
        assert await at.kept(key) == {}
