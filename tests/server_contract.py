"""What the SQL stores on servers promise beside the contract; the fixtures are those of their test files."""

import threading
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from session3 import open_store
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, PayloadTooLarge, StoreExists, StoreNotSetUp, StoreUnavailable

from .contract import HOSTILE, new_id, run_threads, stored
from .processes import Worker, run_together
from .sessions import Clock


class ServerSQLContract:
    """Fixtures: `connect()` opens a connection, `store_class`, `store` on a table of its own, `count_statements`."""

    # -- setup -------------------------------------------------------------------------------------------------------

    def test_a_table_that_is_missing_names_the_command(self, store_class: Any, connect: Any) -> None:
        with store_class(connect, "never_made") as store:
            with pytest.raises(StoreNotSetUp, match="session3 setup URL"):
                store.load_session(new_id())
            with pytest.raises(StoreNotSetUp, match="session3 setup URL"):
                stored(store)
            with pytest.raises(StoreNotSetUp, match="session3 setup URL"):
                store.delete_old_sessions(1)
            with pytest.raises(StoreNotSetUp, match="session3 setup URL"):
                store.check()

    def test_a_table_of_another_shape_names_what_differs(self, store: Any, store_class: Any, connect: Any) -> None:
        table = store._name + "_other"
        store._change(f"CREATE TABLE {table} (id varchar(9), payload varchar(9), colour varchar(9))", ())
        try:
            with store_class(connect, table) as other:
                for act in (other.setup, other.check, lambda: other.load_session(new_id())):
                    with pytest.raises(StoreNotSetUp, match=r"accessed, colour, created, .*revision"):
                        act()
        finally:
            store._change(f"DROP TABLE {table}", ())

    def test_setup_can_overwrite_a_table_of_another_shape(self, store: Any) -> None:
        store._change(f"ALTER TABLE {store._name} DROP COLUMN forward", ())
        store.setup(overwrite=True)
        assert store.has_session(stored(store).id)

    def test_setup_at_the_same_time(self, store: Any, store_class: Any, connect: Any) -> None:
        store._change(f"DROP TABLE {store._name}", ())
        barrier = threading.Barrier(4)

        def set_up(_: str) -> None:
            with store_class(connect, store._name) as other:
                barrier.wait()
                other.setup()

        run_threads(set_up, "abcd")
        assert store.has_session(stored(store).id)

    @pytest.mark.parametrize("table", ["", "a b", 'a"b', "a`b", "a;b", "a.b.c", "é", "1a", "a'--", "a" * 64, "a%s"])
    def test_a_hostile_name_of_a_table_is_refused(self, store_class: Any, connect: Any, table: str) -> None:
        with pytest.raises(ConfigurationError, match="a table's name"):
            store_class(connect, table)

    # -- connections -------------------------------------------------------------------------------------------------

    def test_a_bare_connection_serves_threads_one_by_one(self, store: Any, store_class: Any, connect: Any) -> None:
        connection = connect()
        try:
            bare = store_class(connection, store._name)
            session = stored(bare)

            def add(name: str) -> None:
                for n in range(25):
                    loaded = bare.load_session(session.id)
                    loaded[f"{name}{n}"] = n
                    bare.save_session(loaded)

            run_threads(add, "abcd")
            assert len(store.load_session(session.id)) == 100  # committed: another connection sees it
        finally:
            connection.close()

    def test_a_connection_with_an_open_transaction_is_refused(self, store_class: Any, connect: Any) -> None:
        connection = connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute("BEGIN")
            with pytest.raises(ConfigurationError, match="a connection of their own"):
                store_class(connection)
        finally:
            connection.close()

    def test_what_is_no_connection_is_refused(self, store_class: Any) -> None:
        with pytest.raises(ConfigurationError, match="DB-API connection"):
            store_class("a name")

    def test_a_server_out_of_reach_is_named_without_its_password(self, unreachable_url: str) -> None:
        store = open_store(unreachable_url)
        with pytest.raises(StoreUnavailable) as error:
            store.load_session(new_id())
        assert "127.0.0.1" in str(error.value) and ":9/" in str(error.value)
        assert "open" not in str(error.value) and "sesame" not in f"{error.value} {store!r}"
        assert "\n" not in str(error.value)

    def test_a_connection_that_the_server_closed_is_replaced(self, store: Any, close_connections: Any) -> None:
        session = stored(store)
        for _ in range(3):
            close_connections()
            loaded = store.load_session(session.id)
            loaded["n"] = 1 + loaded.get("n", 0)
            close_connections()
            store.save_session(loaded)
        assert store.load_session(session.id)["n"] == 3
        close_connections()
        store.delete_session(session.id)
        assert not store.has_session(session.id)

    def test_setup_replaces_a_connection_that_the_server_closed(self, store: Any, close_connections: Any) -> None:
        assert not store.has_session(new_id())
        for _ in range(2):
            close_connections()
            store.setup()
        assert store.has_session(stored(store).id)

    def test_a_call_is_tried_once_more_and_no_more(
        self, store: Any, close_connections: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = stored(store)
        execute, tries = store._execute, []

        def die(*arguments: Any) -> Any:
            tries.append(arguments)
            assert len(tries) < 10
            close_connections()
            return execute(*arguments)

        monkeypatch.setattr(store, "_execute", die)
        with pytest.raises(StoreUnavailable):
            store.load_session(session.id)
        assert len(tries) == 2

    def test_four_processes_lose_no_update(self, store: Any, store_url: str) -> None:
        session = stored(store)
        workers = [Worker("add_keys", store_url, session.id, name, 200) for name in "abcd"]
        try:
            assert run_together(*workers) == [200] * 4
        finally:
            for worker in workers:
                worker.__exit__()
        assert len(store.load_session(session.id)) == 800

    def test_a_connection_is_used_as_we_need_it_however_it_was_opened(
        self, store: Any, store_class: Any, odd_connects: Any
    ) -> None:
        for name, connect in odd_connects.items():
            with store_class(connect, store._name) as odd:
                use_all_of(odd, store, name)

    # -- what it costs -----------------------------------------------------------------------------------------------

    def test_each_call_is_one_statement(self, store: Any, count_statements: Any, clock: Clock) -> None:
        self.use_each_call_once(store, clock)  # some drivers prepare what they run
        session = stored(store, data={"words": {"a", "b"}})
        loaded = store.load_session(session.id)
        assert count_statements(lambda: store.load_session(session.id)) == 1
        assert count_statements(lambda: store.load_session(new_id())) == 1
        assert count_statements(lambda: store.save_session(loaded)) == 0
        loaded["n"] = 1
        assert count_statements(lambda: store.save_session(loaded)) == 1
        clock.advance(100)
        loaded._set_access_time(60)
        assert count_statements(lambda: store.save_session(loaded)) == 1
        assert count_statements(lambda: store.delete_session(loaded)) == 1
        other = stored(store)
        assert count_statements(lambda: store.delete_session(other.id)) == 1
        assert count_statements(lambda: stored(store)) == 1
        for id in HOSTILE:
            assert count_statements(lambda id=id: store.load_session(id)) == 0

    def use_each_call_once(self, store: Any, clock: Clock) -> None:
        for by_id in (True, False):
            session = stored(store)
            session["n"] = 1
            store.save_session(session)
            clock.advance(100)
            session._set_access_time(60)
            store.save_session(session)
            store.delete_session(session.id if by_id else store.load_session(session.id))

    # -- sizes and times ---------------------------------------------------------------------------------------------

    def test_five_megabytes_come_back(self, store: Any) -> None:
        session = stored(store, data={"blob": bytes(range(256)) * 20_000})
        assert store.load_session(session.id)["blob"] == bytes(range(256)) * 20_000

    @pytest.mark.parametrize("ages", [datetime.max.replace(tzinfo=timezone.utc).timestamp(), 1e18])
    def test_times_beyond_the_servers_calendar(self, store: Any, clock: Clock, ages: float) -> None:
        session = stored(store, _expires=ages)
        loaded = store.load_session(session.id)
        assert loaded._expires > clock() + 5000 * 365 * 86400
        clock.advance(100)
        loaded._set_access_time(60)
        loaded._expires = ages
        store.save_session(loaded)  # a touch
        assert store.delete_old_sessions(ages / 60) == (0, 1)
        assert store.has_session(session.id)
        forgotten = stored(store, _expires=-ages)
        assert not store.has_session(forgotten.id)
        assert store.delete_expired_sessions() == (1, 1)

    def test_clocks_a_day_apart_agree(self, store_class: Any, connect: Any, store: Any) -> None:
        with (
            store_class(connect, store._name, clock=Clock(1e9)) as here,
            store_class(connect, store._name, clock=Clock(1e9 + 86_400)) as there,
        ):
            session = stored(here, _creation_time=1e9, _access_time=1e9, _expires=1e9 + 60)
            assert there.load_session(session.id)._expires == pytest.approx(1e9 + 86_460, abs=5)
            assert there.delete_old_sessions(1) == (0, 1)
            assert there.delete_expired_sessions() == (0, 1)
            there_now = 1e9 + 86_400
            other = stored(there, _creation_time=there_now, _access_time=there_now, _expires=there_now - 1)
            assert not here.has_session(other.id)
            assert here.delete_expired_sessions() == (1, 1)
            loaded = there.load_session(session.id)
            assert loaded.get_creation_age() == pytest.approx(0, abs=5)

    def test_setup_refuses_and_overwrites(self, store: Any) -> None:
        stored(store)
        with pytest.raises(StoreExists, match="overwrite=True"):
            store.setup()
        store.setup(overwrite=True)
        assert list(store.iter_sessions()) == []


class CutOffContract:
    """Fixtures beside those above: `cut_off()` lets the next statement end in a TimeoutError before its reply is read,
    as the signal that ends a request does.
    """

    @pytest.mark.parametrize("act", ["load_session", "has_session", "delete_session", "setup"])
    def test_no_other_request_gets_the_reply(self, store: Any, cut_off: Any, act: str) -> None:
        alice, bob = stored(store), stored(store)
        cut_off()
        with pytest.raises(TimeoutError):
            getattr(store, act)(*([] if act == "setup" else [alice.id]))
        for _ in range(3):
            assert store.load_session(bob.id).id == bob.id
            assert store.load_session(new_id()) is None

    def test_nor_on_a_connection_that_is_just_being_set_up(self, store: Any, cut_off: Any) -> None:
        session = stored(store)
        store.close()
        cut_off()
        with pytest.raises(StoreUnavailable):
            store.load_session(session.id)
        assert store.load_session(session.id).id == session.id

    def test_a_bare_connection_is_not_used_again(
        self, store: Any, store_class: Any, connect: Any, cut_off: Any
    ) -> None:
        session = stored(store)
        bare = store_class(connect(), store._name)
        cut_off()
        with pytest.raises(TimeoutError):
            bare.load_session(session.id)
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                bare.load_session(session.id)

    def test_what_was_not_even_sent_costs_no_connection(self, store_class: Any, connect: Any, store: Any) -> None:
        connection = connect()
        try:
            bare = store_class(connection, store._name)
            with pytest.raises(UnicodeEncodeError):
                bare.read("\ud800")
            assert bare.has_session(stored(bare).id)
        finally:
            connection.close()


class RestartContract:
    """For a server that the test may kill: the fixture `server` is one of its own, `own_store` a store on it."""

    @pytest.mark.parametrize("end", ["kill", "stop"])
    def test_a_restart_costs_at_most_one_request(self, server: Any, own_store: Any, end: str) -> None:
        session = stored(own_store, data={"n": 1})
        getattr(server, end)()
        with pytest.raises(StoreUnavailable):
            own_store.load_session(session.id)
        with pytest.raises(StoreUnavailable):
            own_store.save_session(DictSession(new_id()))
        server.start()
        loaded = own_store.load_session(session.id)
        loaded["n"] += 1
        own_store.save_session(loaded)
        assert own_store.load_session(session.id)["n"] == 2


def refused(store: Any, size: int, error: type[Exception] = PayloadTooLarge) -> str:
    """Save a session that is too large; return the error's text, after checking that the old one is still there."""
    session = stored(store, data={"kept": True})
    session["blob"] = bytes(size)
    with pytest.raises(error) as caught:
        store.save_session(session)
    assert dict(store.load_session(session.id)) == {"kept": True}
    return str(caught.value)


def use_all_of(store: Any, other: Any, why: str) -> None:
    """Use each part of a record with characters of many kinds, and see that `other` reads the same."""
    for user in ("Zo\u00eb", "\u65e5\u672c \U0001f36b", "o'bri\\en|x"):
        data = {"bytes": bytes(range(256)), "gbk": b"\xbf' OR 1=1 -- \x95\\", "text": user}
        session = stored(store, data=data)
        session.set_user(user)
        old, new = session.id, new_id()
        assert store.move_session(session, new), why
        for one in (store, other):
            assert one.was_rotated(old) and not one.has_session(old), why
            loaded = one.load_session(new)
            assert (loaded.user, loaded.data) == (user, data), why
            assert [id for id, _ in one.iter_sessions()] == [new], why
        store.delete_session(new)
        assert store.delete_old_sessions(1) == (0, 0), why
        store.clear()


def fail_once(
    monkeypatch: pytest.MonkeyPatch, owner: type[Any], name: str, first: Callable[..., object] = lambda *_: None
) -> None:
    """Let the next call of a driver's method end in a TimeoutError; `first` is what it does before."""

    original = getattr(owner, name)

    def fail(*arguments: Any, **_: Any) -> None:
        monkeypatch.setattr(owner, name, original)
        first(*arguments)
        raise TimeoutError

    monkeypatch.setattr(owner, name, fail)
