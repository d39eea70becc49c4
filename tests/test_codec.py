"""From sessions to payloads and back."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session3.backends import signed_cookies
from session3.ClassReferences import ClassReferences
from session3.codec import SessionCodec, UnknownClass
from session3.DictSession import DictSession
from session3.errors import DamagedRecord, SerializationError
from session3.seals import SignatureSeal
from session3.serializers import JSONSerializer, PickleSerializer
from session3.Session import Session
from session3.store.SignedCookieSessionStore import SignedCookieSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Bomb, Shop

codec = SessionCodec(PickleSerializer(), Session, None)


class OwnState(Session):
    """Returns its very `__dict__`, as many a class does."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


class NoDict(Session):
    def __getstate__(self) -> Any:
        return ("no", "dict")


class ReprSerializer:
    """Keeps no classes, as JSON does."""

    keeps_classes = False

    def dumps(self, value: Any) -> bytes:
        return repr(value).encode()

    def loads(self, data: bytes) -> Any:
        return eval(data, {})


def test_a_session_comes_back_as_its_class_with_its_state() -> None:
    shop = Shop("example1")
    shop.user, shop.visits = "alice", 3
    shop.cart.append(["tea"])
    token = shop.create_form_token()
    found = codec.load(codec.dump(shop))
    assert type(found) is Shop
    assert (found.user, found.visits, found.cart, found.has_form_token(token)) == ("alice", 3, [["tea"]], True)


def test_a_payload_holds_no_id_no_times_and_no_snapshot() -> None:
    """So the payload of a session that was only read, or moved to a new id, is the same."""
    one, other = Session("example1"), Session("example2")
    one._access_time, one._creation_time, one._expires = 1.0, 2.0, 3.0
    assert codec.dump(one) == codec.dump(other)
    assert b"example1" not in codec.dump(one)


def test_dumping_leaves_the_session_as_it_was() -> None:
    for session in (Shop("example1"), OwnState("example1")):
        session.user = "alice"
        before = dict(session.__dict__)
        codec.dump(session)
        assert session.__dict__ == before


def test_an_attribute_that_an_older_session_lacks_has_its_class_level_default() -> None:
    head, state = ClassReferences(PickleSerializer()).head(Shop), pickle.dumps({"user": "alice"})
    found = codec.load(head + state)
    assert isinstance(found, Shop) and found.theme == "light"
    assert found.user == "alice" and not found._form_tokens and found._csrf_token is None
    assert "theme" not in found.__dict__


def test_a_bare_session_as_session3_3_4_1_stored_it_loads_and_counts_as_changed() -> None:
    old = DictSession("example1234")
    old["cart"] = ["tea"]
    del old.__dict__["_csrf_token"]
    payload = pickle.dumps(old, 4)
    found = codec.load(payload)
    assert isinstance(found, DictSession) and found["cart"] == ["tea"] and found._csrf_token is None
    assert not codec.is_same(codec.dump(found), payload)


def test_a_payload_may_be_any_buffer() -> None:
    """Some drivers return a memoryview."""
    payload = codec.dump(DictSession("example1"))
    for buffer in (memoryview(payload), bytearray(payload)):
        assert isinstance(codec.load(buffer), DictSession)  # type: ignore[arg-type]
    for garbage in (None, 7, "text"):
        with pytest.raises(DamagedRecord):
            codec.load(garbage)  # type: ignore[arg-type]


def test_a_class_is_looked_up_again_when_its_module_has_another(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = codec.dump(Shop("example1"))
    codec.load(payload)
    another = type("Shop", (Shop,), {"__module__": Shop.__module__})
    monkeypatch.setattr(sys.modules[Shop.__module__], "Shop", another)
    assert type(codec.load(payload)) is another
    with pytest.raises(SerializationError, match="not the same object"):
        codec.dump(Shop("example1"))
    monkeypatch.delattr(sys.modules[Shop.__module__], "Shop")
    with pytest.raises(UnknownClass):
        codec.load(payload)


# -- is_same ---------------------------------------------------------------------------------------------------------


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_a_session_that_was_only_read_is_the_same(items: dict[Any, Any]) -> None:
    session = DictSession("example1")
    session.update(items)
    payload = codec.dump(session)
    assert codec.is_same(codec.dump(codec.load(payload)), payload)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_a_set_of_strings_that_was_only_read_is_the_same_under_any_hash_seed(seed: str) -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from session3.codec import SessionCodec; from session3.DictSession import DictSession\n"
        "from session3.serializers import PickleSerializer\n"
        "from session3.DictSession import DictSession; from session3.Session import Session\n"
        "session = DictSession('example1'); session['tags'] = {f'tag {n}' for n in range(100)}\n"
        "sys.stdout.buffer.write(SessionCodec(PickleSerializer(), Session, None).dump(session))"
    )
    run = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True)
    session = codec.load(run.stdout)
    assert isinstance(session, DictSession) and codec.is_same(codec.dump(session), run.stdout)
    session["tags"].add("another")
    assert not codec.is_same(codec.dump(session), run.stdout)


def test_a_nested_change_is_a_change() -> None:
    session = DictSession("example1")
    session["cart"] = {"lines": [["tea", 1]]}
    payload = codec.dump(session)
    session["cart"]["lines"][0][1] = 2
    assert not codec.is_same(codec.dump(session), payload)


def test_true_in_place_of_one_is_a_change() -> None:
    session = DictSession("example1")
    session["answer"] = 1
    payload = codec.dump(session)
    session["answer"] = True
    assert not codec.is_same(codec.dump(session), payload)


# -- what can't be dumped --------------------------------------------------------------------------------------------


def test_what_cannot_be_serialized_is_named_by_its_attribute() -> None:
    shop = Shop("example1")
    shop.callback = lambda: None  # type: ignore[attr-defined]
    with pytest.raises(SerializationError, match="attribute 'callback'") as error:
        codec.dump(shop)
    assert "example1" not in str(error.value) and isinstance(error.value, TypeError)
    assert error.value.__cause__ is not None


def test_what_cannot_be_serialized_is_named_by_its_item() -> None:
    session = DictSession("example1")
    session["fine"], session["lock"] = 1, [threading.Lock()]
    with pytest.raises(SerializationError, match="item 'lock'"):
        codec.dump(session)


def test_a_user_that_cannot_be_serialized_is_an_error_of_the_save_and_not_before() -> None:
    session = Session("example1")
    session.set_user(threading.Lock())
    with pytest.raises(SerializationError, match="attribute 'user'"):
        codec.dump(session)


def test_a_class_that_cannot_be_imported_by_name_is_an_error() -> None:
    class Local(Session):
        pass

    with pytest.raises(SerializationError, match="Local"):
        codec.dump(Local("example1"))


def test_a_getstate_that_returns_no_dict_is_an_error() -> None:
    with pytest.raises(SerializationError, match=r"NoDict\.__getstate__"):
        codec.dump(NoDict("example1"))


def test_a_class_of_main_is_warned_of_once_and_the_warning_says_why() -> None:
    Main = type("Main", (Session,), {"__module__": "__main__"})
    own = SessionCodec(ReprSerializer(), Session, None)
    own.dump(Main("example1"))  # keeps no classes, so nothing to warn of
    own = SessionCodec(PickleSerializer(), Session, None)
    with (
        pytest.warns(UserWarning, match=r"Main is defined in __main__: .* load only where"),
        pytest.raises(SerializationError),
    ):
        own.dump(Main("example1"))
    with pytest.raises(SerializationError):
        own.dump(Main("example1"))


# -- what can't be loaded --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, 5, "text", [], (), (Session,), (Session, {}), (dict, {}), ("Session", {}), (Session, None), Session],
)
def test_a_payload_that_is_no_session_is_damaged(value: object) -> None:
    with pytest.raises(DamagedRecord):
        codec.load(pickle.dumps(value))


@given(st.binary(max_size=60))
def test_garbage_is_damaged_or_names_an_unknown_class_and_raises_nothing_else(garbage: bytes) -> None:
    with pytest.raises((DamagedRecord, UnknownClass)):
        codec.load(garbage.replace(b"c", b"").replace(b"\x93", b"").replace(b"i", b""))


def test_every_prefix_of_a_payload_is_damaged() -> None:
    payload = codec.dump(Shop("example1"))
    for length in range(len(payload)):
        with pytest.raises(DamagedRecord):
            codec.load(payload[:length])


def test_a_class_that_is_gone_is_unknown_and_not_damage() -> None:
    payload = codec.dump(Shop("example1"))
    for gone in (payload.replace(b"Shop", b"Gone"), payload.replace(b"tests.sessions", b"tests.xessions")):
        with pytest.raises(UnknownClass, match=r"Gone|xessions"):
            codec.load(gone)


# -- what is no damage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serializer", [PickleSerializer(), JSONSerializer()], ids=["pickle", "JSON"])
def test_a_program_that_is_deep_in_calls_sees_no_damage(serializer: Any) -> None:
    own = SessionCodec(serializer, DictSession, None)
    session, nested = DictSession("example1"), ()
    for _ in range(40):
        nested = ({1: nested},)  # type: ignore[assignment]
    session["nested"] = nested
    payload, outcomes = own.dump(session), set()

    def load_below(calls: int) -> None:
        if calls:
            load_below(calls - 1)
        else:
            own.load(payload)

    for calls in range(sys.getrecursionlimit()):
        try:
            load_below(calls)
            outcomes.add("loaded")
        except RecursionError:
            outcomes.add("too deep")
    assert outcomes == {"loaded", "too deep"}


class Unloadable:
    """Is saved, and raises the same each time that it is loaded."""

    def __init__(self, how: str) -> None:
        self.how = how

    is_loadable = False

    def __setstate__(self, state: Any) -> None:
        if self.is_loadable:
            return
        if state["how"] == "recursion":
            self.__setstate__(state)
        os.stat("/nowhere/to/be/found")


@pytest.mark.parametrize("how", ["recursion", "file"])
@pytest.mark.parametrize(
    "options", [{}, {"secret_key": "a key of at least sixteen characters"}], ids=["plain", "sealed"]
)
def test_what_fails_by_itself_is_absent_and_stands_in_nobody_s_way(
    how: str, options: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = VolatileSessionStore(**options)
    for id in ("example1", "example2"):
        session = DictSession(id)
        session["item"] = Unloadable(how) if id == "example1" else 1
        with monkeypatch.context() as context:
            context.setattr(Unloadable, "is_loadable", True)
            store.save_session(session)
    assert store.load_session("example1") is None
    assert [id for id, _ in store.iter_sessions()] == ["example2"]
    assert "can't be unpickled: class tests.test_codec.Unloadable" in caplog.text and "damage" not in caplog.text


def test_what_is_nested_deeper_than_we_write_is_damaged() -> None:
    own = SessionCodec(JSONSerializer(), DictSession, None)
    for garbage in (b"[" * 100_000, b'{"data":' * 100_000, b'{"!tuple":[' * 100_000):
        with pytest.raises(DamagedRecord, match="nested too deep"):
            own.load(garbage)


@pytest.mark.parametrize("is_authentic", [True, False])
def test_where_memory_is_short_that_is_no_damage(is_authentic: bool) -> None:
    session = DictSession("example1")
    session["many"] = [[] for _ in range(1_000_000)]
    code = (
        f"import resource, sys; sys.path[:0] = {sys.path!r}\n"
        "from session3.codec import SessionCodec; from session3.DictSession import DictSession\n"
        "from session3.serializers import PickleSerializer\n"
        f"own = SessionCodec(PickleSerializer(), DictSession, None, {is_authentic})\n"
        "payload, pages = sys.stdin.buffer.read(), int(open('/proc/self/statm').read().split()[0])\n"
        "limit, none = pages * resource.getpagesize() + 2**24, resource.RLIM_INFINITY\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, none))\n"
        "try:\n    own.load(payload)\n"
        "except MemoryError:\n    resource.setrlimit(resource.RLIMIT_AS, (none, none))\n"
        "    print(len(own.load(payload)['many']))"
    )
    run = subprocess.run([sys.executable, "-c", code], input=codec.dump(session), capture_output=True, check=True)
    assert run.stdout == b"1000000\n"


def test_garbage_that_asks_for_memory_is_damaged() -> None:
    head = ClassReferences(PickleSerializer()).head(Shop)
    for length in (2**50, 2**62):
        garbage = b"\x80\x05\x96" + length.to_bytes(8, "little") + b"."  # a bytearray
        for payload in (garbage, head + garbage):
            with pytest.raises(DamagedRecord):
                codec.load(payload)


@pytest.fixture
def interrupted() -> Iterator[Any]:
    """A serializer whose loads are interrupted by a signal."""

    def handle(number: int, frame: Any) -> None:
        raise TimeoutError("the request takes too long")

    class Interrupted(JSONSerializer):
        is_sure = staticmethod(JSONSerializer.is_sure)  # so that a save does not load

        def loads(self, data: bytes) -> Any:
            signal.raise_signal(signal.SIGALRM)
            return super().loads(data)

    before = signal.signal(signal.SIGALRM, handle)
    yield Interrupted()
    signal.signal(signal.SIGALRM, before)


def test_what_a_signal_raises_is_no_damage_whoever_wrote(interrupted: Any) -> None:
    for seal, is_authentic in (
        (SignatureSeal("a key of at least sixteen characters"), False),
        (None, True),
        (None, False),
    ):
        own = SessionCodec(interrupted, DictSession, seal, is_authentic)
        with pytest.raises(TimeoutError):
            own.load(own.dump(DictSession("example1")))


def test_a_signal_ends_no_session_in_a_cookie(interrupted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION3_SECRET_KEY", "a key of at least sixteen characters")
    store, session = SignedCookieSessionStore(serializer=interrupted), DictSession(None)
    store.save_session(session)
    with pytest.raises(TimeoutError):
        store.load_session(session.id or "")
    monkeypatch.setattr(signed_cookies.SessionStore, "serializer", interrupted)
    own = signed_cookies.SessionStore()
    own.save()
    with pytest.raises(TimeoutError):
        signed_cookies.SessionStore(own.session_key).get("a")
    with pytest.raises(TimeoutError):
        own.decode(own.encode({}))


# -- other serializers, and seals ------------------------------------------------------------------------------------


def test_a_serializer_that_keeps_no_classes_revives_the_codecs_class() -> None:
    own = SessionCodec(ReprSerializer(), Shop, None)
    shop = Shop("example1")
    shop.visits = 3
    payload = own.dump(shop)
    assert b"Shop" not in payload
    found = own.load(payload)
    assert isinstance(found, Shop) and found.visits == 3 and own.is_same(own.dump(found), payload)


def test_without_a_seal_payloads_are_kept_as_they_are() -> None:
    assert not codec.is_sealed and codec.seal("key", b"payload") == codec.open("key", b"payload") == b"payload"


def test_nothing_is_unpickled_that_fails_its_seal() -> None:
    own = SessionCodec(PickleSerializer(), Session, SignatureSeal("a key of at least sixteen characters"))
    Bomb.exploded.clear()
    with pytest.raises(DamagedRecord):
        own.open("key", pickle.dumps(Bomb()))
    assert own.is_sealed and Bomb.exploded == []
