"""What session3 3.4.1 wrote into shelves and into Durus: read as it is, rewritten session by session, swept by age."""

import base64
import dbm.dumb
import pickle
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from session3.Accepted import Accepted
from session3.DictSession import DictSession
from session3.durusfiles import DurusFile, open_file
from session3.errors import StoreExists
from session3.Session import Session
from session3.store.DurusSessionStore import DurusSessionStore
from session3.store.ShelveSessionStore import ShelveSessionStore

from ..contract import new_id, stored
from ..sessions import Bomb, Clock

#: Written by 3.4.1: alice's session oldsession0, made at 1e9 and used 100 seconds later, in protocols 4 and 3.
VALUES = [
    b"\x80\x04\x95\xcd\x00\x00\x00\x00\x00\x00\x00\x8c\x14session3.DictSession\x94\x8c\x0bDictSession\x94\x93\x94)\x81\x94}"
    b"\x94(\x8c\x02id\x94\x8c\x0boldsession0\x94\x8c\x04user\x94\x8c\x05alice\x94\x8c\x0f_remote_address\x94\x8c\t127.0.0.1"
    b"\x94\x8c\x0e_creation_time\x94GA\xcd\xcde\x00\x00\x00\x00\x8c\x0c_access_time\x94GA\xcd\xcde2\x00\x00\x00\x8c\x0c_form"
    b"_tokens\x94]\x94\x8c\x04data\x94}\x94\x8c\x04cart\x94]\x94\x8c\x03tea\x94asub.",
    b"\x80\x03csession3.DictSession\nDictSession\nq\x00)\x81q\x01}q\x02(X\x02\x00\x00\x00idq\x03X\x0b\x00\x00\x00oldsession0"
    b"q\x04X\x04\x00\x00\x00userq\x05X\x05\x00\x00\x00aliceq\x06X\x0f\x00\x00\x00_remote_addressq\x07X\t\x00\x00\x00127.0.0"
    b".1q\x08X\x0e\x00\x00\x00_creation_timeq\tGA\xcd\xcde\x00\x00\x00\x00X\x0c\x00\x00\x00_access_timeq\nGA\xcd\xcde2\x00"
    b"\x00\x00X\x0c\x00\x00\x00_form_tokensq\x0b]q\x0cX\x04\x00\x00\x00dataq\r}q\x0eX\x04\x00\x00\x00cartq\x0f]q\x10X\x03"
    b"\x00\x00\x00teaq\x11asub.",
]
#: A file of Durus that 3.4.1 wrote, with oldsession0 and oldsession1.
DURUS = (
    "c-jm0aP@K1HRNJI1p-i-5luV^N=GqZ0=EXH<do8)(qg@W)S}|d;*!+7lK7O&<Pxp`INt@tEo9KEn3J8bN;jn^Au%Dr!&Apohvn0Z?yn4%S**EGi#egD"
    "&c|X?Gle!OTQux>bmh^bGk^9xa+>z!$CE!(t~^Ovcg04adG!R*H4I!5+&7hOG?e%yd8W-vRIH9xbPrHWXLF8L3{NQBD96y_B7PYyfTGa&j8qR0aVX7?"
    "#irjR+2rf*oyTOzBb%_`X|RTFdxp8PUH3X|#lnWXJ&wwgcPKR}R(VD!9c0`Yd^R9-s`>k5``gc-aq^zpth0HJ#Hpw&;m^LCdG(x=Uv}cGevF8B`lai0"
    "zx+$ya$o<&oDUz|eCL*l_21spXY0oKA}Ct%{anE>8B2EX1pQP|jg~fHu6?!2YIeOy@LEYWlRc#~73P#U&Wus5h^mcSzo^QsdG_gJFW%ghzIN}=`QP6b"
    "YE8a>QZZ@EvCm=g($~c$`8f5n_XK%I3LR^CTqvCUk$G~p&jx5HI6`Sl%-~^EB`J7f{ZIQHHW1*+^_tC|TRG*rc#HRyDa`3ADs~Os`k^UrT(d8lMBTP@"
    "YvO-nUpiT-Yl6P9^}U&M*E@QvEAccrc<XoGG!W*zT(wx%BK_6dNlssx<v)ur{&TzWNWEdN+`gAvmKLh9?a4LqHF#4i%|1=ZFiFGQjqzyGu^n3iuF83>"
    "+?vYo<#Ob5($^{aKSif>Wq$XLoG_2sD_?8D=IhVz@>R%nYzbZ(w5R&Qvc21WUA4=Kp1SW}%i6^^XFWS{_uTL9DO=|0T`SRSJ7eRqYtp*P|KYnAu$C=d"
    "7rpCbK@)e6!7-L#o4Cf~0Z)2v>pkYX`Ae?)^s%Sa$s#G%0QygEk^"
)  # fmt: skip
ID = "oldsession0"
USED = 1e9 + 100


@pytest.fixture
def clock() -> Clock:
    return Clock(1e9 + 200)


class Place:
    """A store on what 3.4.1 left, opened again and again."""

    def __init__(self, folder: Path, clock: Clock, kind: str) -> None:
        self.path, self.clock, self.kind = folder / "s", clock, kind
        self.made: list[Any] = []
        if kind == "durus":
            pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
            self.path.write_bytes(zlib.decompress(base64.b85decode(DURUS)))
        else:
            with dbm.dumb.open(str(self.path), "c") as old:
                old[ID] = VALUES[kind == "protocol 3"]
                old["oldsession1"] = VALUES[0].replace(b"oldsession0", b"oldsession1")

    def open(self, **options: Any) -> Any:
        for earlier in self.made:
            earlier.close()
        if self.kind == "durus":
            self.made.append(DurusSessionStore(DurusFile(str(self.path)), clock=self.clock, **options))
        else:
            self.made.append(ShelveSessionStore(self.path, clock=self.clock, **options))
        return self.made[-1]


@pytest.fixture(params=["protocol 4", "protocol 3", "durus"])
def place(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Any:
    place = Place(tmp_path, clock, request.param)
    yield place
    for store in place.made:
        store.close()


@pytest.mark.parametrize("options", [{}, {"hash_ids": True}], ids=["plain", "hashed"])
def test_nobody_is_logged_out(place: Place, options: dict[str, Any]) -> None:
    store = place.open(**options)
    session = store.load_session(ID)
    assert type(session) is DictSession and session.user == "alice" and dict(session) == {"cart": ["tea"]}
    assert (session.get_creation_time(), session.get_access_time()) == (1e9, USED)
    assert store.has_session(ID) and store.load_session("oldsession2") is None
    assert len(list(store.iter_sessions())) == 2
    with pytest.raises(StoreExists):
        store.setup()


@pytest.mark.parametrize("options", [{}, {"hash_ids": True}], ids=["plain", "hashed"])
def test_a_save_rewrites_it(place: Place, options: dict[str, Any]) -> None:
    store = place.open(**options)
    session, other = store.load_session(ID), store.load_session(ID)
    session["n"] = 1
    store.save_session(session)
    other["m"] = 2
    store.save_session(other)
    assert dict(place.open(**options).load_session(ID)) == {"cart": ["tea"], "n": 1, "m": 2}
    assert len(list(place.open(**options).iter_sessions())) == 2


def test_a_touch_moves_its_access_time(place: Place, clock: Clock) -> None:
    store = place.open()
    session = store.load_session(ID)
    session._set_access_time(60)
    store.save_session(session)
    session = place.open().load_session(ID)
    assert session.get_access_time() == clock() and dict(session) == {"cart": ["tea"]}
    assert place.open().delete_old_sessions(1) == (1, 1)


@pytest.mark.parametrize("options", [{}, {"hash_ids": True}], ids=["plain", "hashed"])
def test_a_login_and_a_logout_end_it(place: Place, options: dict[str, Any]) -> None:
    store = place.open(**options)
    session = store.load_session(ID)
    assert store.move_session(session, new_id())
    assert store.load_session(ID) is None and store.was_rotated(ID) and store.load_session(session.id).user == "alice"
    store.delete_session("oldsession1")
    store = place.open(**options)
    assert not store.has_session("oldsession1") and len(list(store.iter_sessions())) == 1


def test_an_id_that_is_taken_is_not_given_again(place: Place) -> None:
    store = place.open()
    assert not store.create_session(DictSession(ID))
    session = DictSession(ID)
    session.set_user("bob")
    store.save_session(session)
    assert place.open().load_session(ID).user == "bob"


def test_it_is_swept_by_age_and_cleared(place: Place, clock: Clock) -> None:
    store = place.open()
    assert store.delete_expired_sessions() == (0, 2)
    clock.advance(1000)
    stored(store)
    assert store.delete_old_sessions(10) == (2, 1)
    assert not place.open().has_session(ID)


def test_overwrite_takes_it(place: Place) -> None:
    place.open().setup(overwrite=True)
    assert not place.open().has_session(ID) and list(place.open().iter_sessions()) == []


@pytest.mark.parametrize("option", ["secret_key", "encryption_key"])
def test_it_is_not_opened_where_a_key_is_set(place: Place, clock: Clock, option: str, caplog: Any) -> None:
    if option == "encryption_key":
        pytest.importorskip("cryptography", reason="needs cryptography: pip install 'session3[crypto]'")
    options = {option: "0123456789abcdef0123456789abcdef"}
    store = place.open(**options)
    for _ in range(2):
        assert store.load_session(ID) is None and not store.has_session(ID)
    assert caplog.text.count("not read where a key is set") == 1 and "damaged" not in caplog.text
    assert list(store.iter_sessions()) == []
    assert place.open().load_session(ID).user == "alice"
    clock.advance(1000)
    assert place.open(**options).delete_old_sessions(10) == (2, 0)


@pytest.mark.parametrize("option", ["secret_key", "encryption_key"])
def test_it_is_opened_where_what_bears_no_seal_is_accepted_and_sealed_at_its_next_save(
    place: Place, clock: Clock, option: str
) -> None:
    if option == "encryption_key":
        pytest.importorskip("cryptography", reason="needs cryptography: pip install 'session3[crypto]'")
    options = {option: "0123456789abcdef0123456789abcdef"}
    unsealed: Any = {option: None}
    accepts = {"accepts": [Accepted(until=clock() + 100, **unsealed)]}
    store = place.open(**options, **accepts)
    session = store.load_session(ID)
    assert session.user == "alice" and store.has_session("oldsession1")
    session["n"] = 1
    store.save_session(session)
    clock.advance(1000)
    for more in ({}, accepts):
        store = place.open(**options, **more)
        assert dict(store.load_session(ID)) == {"cart": ["tea"], "n": 1} and store.load_session("oldsession1") is None


# -- what else may be there ------------------------------------------------------------------------------------------


def test_a_value_of_another_key_and_what_is_no_session_stay(tmp_path: Path, clock: Clock) -> None:
    others = {"mine": VALUES[0], "bomb": pickle.dumps(Bomb()), "set": pickle.dumps({Session}), "text": b"\x80\x04text"}
    with dbm.dumb.open(str(tmp_path / "s"), "c") as old:
        for key, value in others.items():
            old[key] = value
    Bomb.exploded.clear()
    store = ShelveSessionStore(tmp_path / "s", clock=clock)
    clock.advance(1e6)
    assert [store.load_session(key) for key in others] == [None] * 4 and list(store.iter_sessions()) == []
    assert store.delete_old_sessions(10) == (0, 0)
    store.setup(overwrite=True)
    assert sorted(store._shelf.keys()) == sorted(key.encode() for key in others) and Bomb.exploded == []


@pytest.mark.parametrize("flavour", ["dbm.gnu", "dbm.ndbm"])
def test_other_flavours(tmp_path: Path, clock: Clock, flavour: str) -> None:
    module: Any = pytest.importorskip(flavour, reason=f"this Python has no {flavour}; Debian's has it")
    with module.open(str(tmp_path / "s"), "c") as old:
        old[ID] = VALUES[0]
    store = ShelveSessionStore(tmp_path / "s", clock=clock)
    session = store.load_session(ID)
    session["n"] = 1
    store.save_session(session)
    assert dict(store.load_session(ID)) == {"cart": ["tea"], "n": 1}


def test_a_class_that_is_missing_is_told(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    from durus.persistent_dict import PersistentDict

    shop = ModuleType("shop")
    shop.CartSession = type("CartSession", (DictSession,), {"__module__": "shop"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop", shop)
    connection = open_file(tmp_path / "s")
    connection.get_root()["sessions"] = PersistentDict({ID: shop.CartSession(ID)})
    connection.commit()
    connection.get_storage().close()
    monkeypatch.delitem(sys.modules, "shop")
    with DurusSessionStore(DurusFile(str(tmp_path / "s")), clock=clock) as store:
        for _ in range(2):
            assert store.load_session(ID) is None and list(store.iter_sessions()) == []
        session = stored(store)
        assert store.load_session(session.id).user == "alice"
        assert store.delete_expired_sessions() == (0, 1)
    assert caplog.text.count("No module named 'shop'") == 1


def test_somebody_elses_sessions_in_durus_stay(tmp_path: Path, clock: Clock) -> None:
    pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    connection = open_file(tmp_path / "s")
    connection.get_root()["sessions"] = ["not", "ours"]
    connection.commit()
    connection.get_storage().close()
    with DurusSessionStore(DurusFile(str(tmp_path / "s")), clock=clock) as store:
        stored(store)
        store.setup(overwrite=True)
        assert store.delete_old_sessions(0) == (0, 0)
    connection = open_file(tmp_path / "s")
    assert connection.get_root()["sessions"] == ["not", "ours"]
    connection.get_storage().close()
