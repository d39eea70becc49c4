"""Sessions without a server-side store: each in its own cookie, signed.

>>> from session3.DictSession import DictSession
>>> store = SignedCookieSessionStore("a key of at least sixteen characters")
>>> session = DictSession(None)
>>> session["cart"] = ["tea"]
>>> store.save_session(session)
>>> store.load_session(session.id)["cart"]
['tea']

A save makes the cookie's value, and that is the session's id from then on. Whoever holds the cookie can read what is
in it (`serializer=EncryptedSerializer(JSONSerializer(), key)` hides it), but not change it.

Threads, processes: safe, since nothing is shared. For the same reason two parallel requests don't merge: the browser
keeps the cookie of the answer that comes last. And a logout only makes the browser forget: a cookie that was copied
before stays good until it expires. So set `idle_timeout` or `absolute_timeout` on the manager, or use a store on the
server where that is not enough.
"""

import contextlib
import logging
import string
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .. import ids, secretkeys
from ..Accepted import AS_NOW, Accepted, check_accepts, given
from ..codec import SessionCodec, UnknownClass
from ..cookies import check_size
from ..DictSession import DictSession
from ..errors import ConfigurationError, DamagedRecord
from ..olderways import OlderWay, make_ways, revive
from ..record import pack_expires, unpack_expires
from ..secretkeys import Secret
from ..serializers import JSONSerializer, Serializer
from ..Session import Session
from ..Snapshot import Snapshot
from ..storesettings import check_clock
from ..tokens import MAX_TOKEN, TokenSigner
from ..tuples import maker
from .SessionStore import SessionStore

log = logging.getLogger("session3")

_MIN_TOKEN = 32  # characters; a signature alone has more
_ALPHABET = (string.ascii_letters + string.digits + "-_.").encode()
_TIMES = struct.Struct(">ddd")  # created, accessed, expires
_KEY = "cookie"  # what an encrypted payload is bound to, in place of a record's key


class _Opened(NamedTuple):
    plain: bytes  # but for a seal of its own where older ways are accepted
    created: float
    accessed: float
    expires: float | None
    is_outdated: bool
    ways: tuple[OlderWay, ...]  # in which it may be, besides the present one


_opened = maker(_Opened)


class _Older(NamedTuple):
    signer: TokenSigner | None  # None: as now
    ends: float
    ways: tuple[OlderWay, ...]


class SignedCookieSessionStore(SessionStore):
    """`secret_key`: one or a list, newest first; by default the environment variable SESSION3_SECRET_KEY.

    `salt`: another one, another kind of cookie. `serializer`: JSON by default, since a cookie has to be small, and
    since with pickle a lost key would let its finder run code. `session_class`: what JSON is revived as.
    `attributes_size`: bytes reserved for the cookie's name and attributes (SessionManager counts the real ones
    besides). `accepts`: older ways that are still read, a list of Accepted with another serializer or secret_key.
    `clock`: seconds since the epoch.
    """

    is_multiprocess_safe = True
    is_thread_safe = True
    is_in_cookie = True
    deletes_by_id = True

    def __init__(
        self,
        secret_key: Secret | Sequence[Secret] | None = None,
        *,
        salt: str = "session3.cookie",
        serializer: Serializer | None = None,
        session_class: type[Session] = DictSession,
        attributes_size: int = 80,
        accepts: Sequence[Accepted] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_clock(clock)
        self.clock = clock
        json = JSONSerializer() if serializer is None else serializer
        self.codec = SessionCodec(json, session_class, None, is_authentic=True)
        self._signer = TokenSigner(secretkeys.find(secret_key, "a cookie store"), salt=salt, clock=clock)
        self._attributes_size = attributes_size
        self._accepts = [self._older(each, salt) for each in check_accepts(accepts)]

    def __repr__(self) -> str:
        return "SignedCookieSessionStore()"

    # -- the contract ------------------------------------------------------------------------------------------------

    def load_session(self, id: str, default: Any = None) -> Any:
        opened = self._open(id)
        if opened is None:
            return default
        try:
            if self._accepts:
                session, plain, is_outdated = revive(self.codec, opened.ways, _KEY, opened.plain)
                opened = opened._replace(plain=plain, is_outdated=opened.is_outdated or is_outdated)
            else:
                session = self.codec.load(opened.plain)
        except (DamagedRecord, UnknownClass) as error:
            log.warning("%r: session %s was signed by us, and can't be loaded: %s", self, ids.short_hash(id), error)
            return default
        session._creation_time = opened.created
        session._clock = self.clock
        self._remember(session, id, opened)
        return session

    def save_session(self, session: Session) -> None:
        """Make the cookie's value, and leave it in `session.id`; an unchanged session keeps the one it has.

        One that was not signed with the newest key is made again, so that the older keys can be dropped some day.

        Raises CookieTooLarge, and leaves the session as it was, if a browser would drop the cookie.
        """
        plain, snapshot = self.codec.dump(session), self._snapshot_of(session)
        if snapshot is not None and self._is_current(session, plain, snapshot):
            return
        self.codec.check(session, plain)
        accessed = max(session._access_time, self.clock())
        opened = _Opened(plain, session._creation_time, accessed, session._expires, False, ())
        token = self._seal(opened)
        check_size(token, self._attributes_size)
        self._remember(session, token, opened)

    def delete_session(self, session: Session | str) -> None:
        """Forget the session here; the cookie itself is the browser's to drop."""
        if isinstance(session, Session):
            session._snapshot = None

    def has_session(self, id: str) -> bool:
        return self._open(id) is not None

    def delete_expired_sessions(self) -> tuple[int, int]:
        return 0, 0  # there is nothing here to delete

    # -- asked by the manager ----------------------------------------------------------------------------------------

    def accepts_cookie(self, value: str) -> bool:
        if not (_MIN_TOKEN <= len(value) <= MAX_TOKEN and value.isascii()):
            return False
        # Asked in each request: a regular expression takes three times as long.
        return not value.encode().translate(None, _ALPHABET)

    def revives(self, session_class: type[Session]) -> bool:
        return self.codec.revives(session_class)

    def is_changed(self, session: Session) -> bool:
        snapshot = self._snapshot_of(session)
        return snapshot is None or not self.codec.is_same(self.codec.dump(session), snapshot.payload)

    def create_session(self, session: Session) -> bool:
        self.save_session(session)
        return True

    def move_session(self, session: Session, new_id: str, grace: float | None = None) -> bool:
        """Make a new cookie; the old one stays good until it expires, since nothing is kept that could revoke it."""
        session._snapshot = None
        return self.create_session(session)

    # -- cookies -----------------------------------------------------------------------------------------------------

    def _seal(self, opened: _Opened) -> str:
        times = _TIMES.pack(opened.created, opened.accessed, pack_expires(opened.expires))
        return self._signer.sign(times + self.codec.seal(_KEY, opened.plain))

    def _open(self, id: str) -> _Opened | None:
        """Return what is in a live cookie that we signed, or None."""
        try:
            token, is_outdated, ways = self._verified(id)
            created, accessed, expires = _TIMES.unpack_from(token)
            payload = token[_TIMES.size :]
            if self.codec.is_sealed and not self._accepts:
                payload, is_newest = self.codec.opened(_KEY, payload)
                is_outdated = not is_newest
        except (DamagedRecord, struct.error) as error:
            log.info("%r: cookie %s was not taken: %s", self, ids.short_hash(str(id)), error)
            return None
        if expires <= self.clock():
            return None
        return _opened((payload, created, accessed, unpack_expires(expires), is_outdated, ways))

    def _verified(self, id: str) -> tuple[bytes, bool, tuple[OlderWay, ...]]:
        """Return what is in a token, whether an older signer made it, and what older ways go with that signer."""
        now = self.clock() if self._accepts else 0.0
        open_ones = [each for each in self._accepts if now < each.ends]
        try:
            return (
                self._signer.open(id, MAX_TOKEN)[0],
                False,
                tuple(way for each in open_ones if each.signer is None for way in each.ways),
            )
        except DamagedRecord:
            for each in open_ones:
                with contextlib.suppress(DamagedRecord):
                    if each.signer is not None:
                        return each.signer.open(id, MAX_TOKEN)[0], True, each.ways
            raise

    def _older(self, accepted: Accepted, salt: str) -> _Older:
        if accepted.hash_ids is not None or accepted.encryption_key is not AS_NOW or accepted.secret_key is None:
            raise ConfigurationError(
                "Accepted: of a cookie the serializer or the secret_key was otherwise; it was always signed, and what "
                "hides it is an EncryptedSerializer"
            )
        secret = given(accepted.secret_key)
        signer = None if secret is None else TokenSigner(secret, salt=salt, clock=self.clock)
        inner = [] if accepted.serializer is None else [replace(accepted, secret_key=None)]
        return _Older(signer, accepted.ends, make_ways(inner, self.codec))

    def _is_current(self, session: Session, plain: bytes, snapshot: Snapshot) -> bool:
        """Tell whether the cookie that the browser has says it all, and is signed with the newest key."""
        if (
            snapshot.is_outdated
            or session._expires != snapshot.expires
            or not self.codec.is_same(plain, snapshot.payload)
        ):
            return False
        return not self._signer.is_outdated(session.id or "")

    def _snapshot_of(self, session: Session) -> Snapshot | None:
        snapshot = session._snapshot
        return snapshot if snapshot is not None and snapshot.store is self and snapshot.id == session.id else None

    def _remember(self, session: Session, token: str, opened: _Opened) -> None:
        session.id = token
        session._access_time = opened.accessed
        session._expires = opened.expires
        session._snapshot = Snapshot(self, token, _KEY, opened.plain, 0, opened.accessed, opened.expires)
        session._snapshot.is_outdated = opened.is_outdated
