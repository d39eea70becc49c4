"""What data raises, and what a signal's handler raises meanwhile: told apart, at every line of a load and a save."""

import functools
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import session3
from session3 import ids
from session3.backends import base, signed_cookies
from session3.codec import SessionCodec, UnknownClass
from session3.datafaults import is_of_signal, raises_again
from session3.DictSession import DictSession
from session3.errors import DamagedRecord, SerializationError
from session3.merge import PICKLED
from session3.record import Record
from session3.serializers import EncryptedSerializer, JSONSerializer, PickleSerializer, SignedSerializer
from session3.SessionManager import SessionManager
from session3.store import durusrecord
from session3.store.SignedCookieSessionStore import SignedCookieSessionStore

from .sessions import Address

SECRET = "a key of this test, long enough"
PACKAGE = str(Path(session3.__file__).parent)


class TimeLimit(Exception):
    """What a site raises in a request that takes too long."""


#: A time limit of each kind that something here catches for reasons of its own.
LIMITS = [TimeLimit, TimeoutError, ValueError, TypeError, AttributeError, ImportError, KeyError, RuntimeError]


class Interrupter:
    """Raises in the n-th line of this package that a call runs, and tells how many there are."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self.lines, self._at, self._act = 0, at, act

    def _trace(self, frame: Any, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith((PACKAGE, __file__)):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self._at:
                self._act()
        return self._trace

    def run(self, call: Callable[[], object]) -> object:
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            return call()
        finally:
            sys.settrace(before)


@pytest.fixture
def ring() -> Iterator[Callable[[type[Exception]], None]]:
    """A function that makes a handler of a signal raise, where it is called."""
    kind: type[Exception] = TimeLimit

    def handle(number: int, frame: Any) -> None:
        raise kind("this request takes too long")

    def make(raised: type[Exception]) -> None:
        nonlocal kind
        kind = raised
        signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    yield make
    signal.signal(signal.SIGUSR1, before)


def raise_at_once(kind: type[Exception]) -> None:
    raise kind("this request takes too long")


def sweep(call: Callable[[], object], act: Callable[[type[Exception]], None], kind: type[Exception], step: int) -> int:
    """Interrupt a call at every line; what it raises is what was raised, or it goes on as if nothing had been."""
    at = wrong = 0
    while True:
        at += step
        interrupter = Interrupter(at, functools.partial(act, kind))
        try:
            interrupter.run(call)
        except kind as error:
            assert "this request takes too long" in str(error), (at, error)
        except Exception as error:
            raise AssertionError(f"line {at}: {type(error).__name__}: {error}") from error
        else:
            if interrupter.lines < at:
                return at
            wrong += 1
            assert wrong == 0, f"line {at}: what was raised was swallowed"


def state() -> dict[Any, Any]:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))
    return {"cart": ["tea", 1.5, None], "at": moment, "price": Decimal("1.5"), 7: (UUID(int=1), {"a", "b"}, b"\0")}


def make_codec(serializer: Any, **keys: Any) -> SessionCodec:
    store: Any = session3.open_store("memory://", serializer=serializer, **keys)
    codec: SessionCodec = store.codec
    return codec


CODECS: dict[str, Callable[[], SessionCodec]] = {
    "pickle": lambda: make_codec(PickleSerializer()),
    "JSON": lambda: make_codec(JSONSerializer()),
    "signed pickle": lambda: make_codec(PickleSerializer(), secret_key=SECRET),
    "encrypted JSON": lambda: make_codec(JSONSerializer(), encryption_key=[SECRET, SECRET + "2"]),
    "SignedSerializer": lambda: make_codec(SignedSerializer(PickleSerializer(), SECRET)),
    "EncryptedSerializer": lambda: make_codec(EncryptedSerializer(JSONSerializer(), SECRET)),
}


@pytest.fixture(params=CODECS)
def codec(request: Any) -> SessionCodec:
    return CODECS[request.param]()


@pytest.fixture
def session() -> DictSession:
    made = DictSession(ids.make_id())
    made.data = state()
    return made


# -- the sweep -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("how", ["by a handler", "once"])
def test_at_no_line_of_a_load_or_a_save_is_a_time_limit_taken_for_damage(
    codec: SessionCodec, session: DictSession, kind: type[Exception], how: str, ring: Any
) -> None:
    act = ring if how == "by a handler" else raise_at_once
    if codec.serializer.keeps_classes:
        session["town"] = Address("Oslo")
    sealed = codec.seal("key", codec.dump(session))

    def save() -> None:
        codec.seal("key", codec.dump(session))

    def load() -> None:
        codec.load(codec.open("key", sealed))

    assert sweep(save, act, kind, 1) > 3 and sweep(load, act, kind, 1) > 3


@pytest.mark.parametrize("kind", [TimeLimit, ValueError])
def test_at_no_line_of_a_refusal_either(codec: SessionCodec, session: DictSession, kind: type[Exception]) -> None:
    """Where data is at fault, a time limit during the second look at it passes, too."""
    session.data = {"bad": lambda: None}

    def save() -> None:
        with pytest.raises(SerializationError):
            codec.dump(session)

    def load() -> None:
        with pytest.raises(DamagedRecord):
            codec.load(b"{[garbage")

    sweep(save, raise_at_once, kind, 23)
    sweep(load, raise_at_once, kind, 7)


@pytest.mark.parametrize("kind", [TimeLimit, TimeoutError, ValueError])
@pytest.mark.parametrize("scheme", ["memory", "directory", "sqlite", "cookie"])
def test_no_request_goes_on_without_its_session(
    scheme: str, kind: type[Exception], ring: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(scheme, tmp_path)
    manager = SessionManager(store, DictSession, on_unavailable="anonymous")
    visit: Any = manager.begin(None)
    visit.session.set_user("alice")
    change = manager.finish(visit)
    assert change is not None

    def begin() -> None:
        again: Any = manager.begin(change.value)
        assert again.session.user == "alice"

    assert sweep(begin, ring, kind, 1 if scheme in ("memory", "cookie") else 3) > 20
    assert not [record for record in caplog.records if "damage" in record.getMessage()]


def open_store(scheme: str, folder: Path) -> Any:
    if scheme == "cookie":
        return SignedCookieSessionStore(SECRET)
    return session3.open_store("memory://" if scheme == "memory" else f"{scheme}://{folder}/sessions")


@pytest.mark.parametrize("kind", LIMITS)
def test_djangos_texts_and_cookies_pass_a_time_limit_on(kind: type[Exception], ring: Any) -> None:
    class Own(signed_cookies.SessionStore):
        secret_key = SECRET

    own = Own()
    own["a"] = 1
    own.save()
    text = own.encode({"a": 1})

    def load() -> None:
        assert Own(own.session_key)["a"] == 1

    def decode() -> None:
        assert own.decode(text) == {"a": 1}

    assert sweep(load, ring, kind, 1) > 20 and sweep(decode, ring, kind, 1) > 10
    assert isinstance(own, base.SessionBase)


# -- the rule --------------------------------------------------------------------------------------------------------


class Flaky:
    """Raises as it is unpickled, for so many times."""

    left = 0
    error: type[Exception] = ConnectionError

    def __reduce__(self) -> Any:
        return _flaky, ()


def _flaky() -> None:
    if Flaky.left:
        Flaky.left -= 1
        raise Flaky.error("the other server is away")


def test_what_passes_by_itself_is_no_damage_and_is_not_hidden() -> None:
    codec = make_codec(PickleSerializer())
    payload = codec.dump(_with(Flaky()))
    for error in (ConnectionError, ImportError, ValueError):
        Flaky.left, Flaky.error = 1, error
        with pytest.raises(error, match="the other server is away"):
            codec.load(payload)
    assert codec.load(payload).__dict__["data"] == {"item": None}


def _with(item: Any) -> DictSession:
    session = DictSession(ids.make_id())
    session["item"] = item
    return session


def test_a_handler_that_raises_again_and_again_is_told_from_data(ring: Any) -> None:
    class Interrupted(JSONSerializer):
        def loads(self, data: bytes) -> Any:
            ring(ValueError)
            return super().loads(data)

    codec = SessionCodec(Interrupted(), DictSession, None)
    with pytest.raises(ValueError, match="takes too long"):
        codec.load(codec.dump(_with(1)))


@pytest.mark.parametrize("wrap", [lambda f: f, functools.partial, lambda f: Owner(f).handle, lambda f: Owner(f)])
def test_handlers_of_every_kind_are_known(wrap: Any) -> None:
    def handle(number: int, frame: Any) -> None:
        raise TimeLimit

    before = signal.signal(signal.SIGUSR1, wrap(handle))
    try:
        signal.raise_signal(signal.SIGUSR1)
    except TimeLimit as error:
        assert is_of_signal(error)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not is_of_signal(TimeLimit())


class Owner:
    def __init__(self, call: Any) -> None:
        self.call = call

    def handle(self, number: int, frame: Any) -> None:
        self.call(number, frame)

    __call__ = handle


def fails(*errors: Exception | None) -> Callable[[], None]:
    left = list(errors)

    def call() -> None:
        error = left.pop(0)
        if error is not None:
            raise error

    return call


@pytest.mark.parametrize(
    ("raised", "passes"),
    [
        (["data", "data"], None), (["other", None], "other"), (["data", "other", "data"], "other"),
        (["other", "data", "data"], "other"), (["other", "data", None], "other"), (["one", "two", "three"], "one"),
    ],
)  # fmt: skip
def test_who_raised_what(raised: list[str | None], passes: str | None) -> None:
    kinds = {"data": ValueError, "other": TimeLimit, "one": TimeLimit, "two": KeyError, "three": RuntimeError}
    errors = [kinds[name](name) if name else None for name in raised]
    call, answer = fails(*errors), ""
    try:
        try:
            call()
        except Exception as error:
            answer = "" if raises_again(error, call) else str(error)
    except Exception as error:
        answer = str(error)
    assert answer == (passes or "")


def test_damage_is_damage_as_before() -> None:
    codec = make_codec(PickleSerializer())
    for garbage in (b"", b"garbage", pickle.dumps(3), pickle.dumps([1])[:-2]):
        with pytest.raises(DamagedRecord):
            codec.load(garbage)
    with pytest.raises(UnknownClass):
        codec.load(codec.dump(DictSession("example1")).replace(b"DictSession", b"DictSossion"))


def test_a_merge_passes_it_on_too(ring: Any) -> None:
    def differs() -> bool:
        return PICKLED.differs([Address("Oslo")], [Address("Rome")])

    assert sweep(differs, ring, ValueError, 1) > 5


def test_a_time_limit_that_is_an_os_error_is_no_outage(ring: Any, tmp_path: Path) -> None:
    store, session = open_store("directory", tmp_path), _with(1)
    store.save_session(session)
    load = functools.partial(store.load_session, session.id)
    assert sweep(load, ring, TimeoutError, 1) > 20


@pytest.mark.parametrize("kind", [ValueError, TypeError, ImportError])
def test_a_record_that_durus_keeps_is_neither_damaged_nor_due(kind: type[Exception], ring: Any) -> None:
    pytest.importorskip("durus")
    found = durusrecord.pack(Record(b"payload", 1, 1.0, 1.0, 1.0))
    for look in (durusrecord.look, lambda found: durusrecord.is_due(found, 0, 9), durusrecord.unpack_whole):
        assert sweep(functools.partial(look, found), ring, kind, 1) > 3
    assert sweep(functools.partial(durusrecord.is_session, found, 2.0), ring, kind, 1) > 3
