"""Payloads that were written in another way than a store's own: told apart, read, and explained.

The own way goes first. What bears its seal, or claims to, is read in no weaker way; what another seal opens was written
by who has its key; and what no seal opens is read only if an unsealed way is accepted, and it has the looks of that.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .Accepted import Accepted, given
from .ClassReferences import MARK
from .codec import SessionCodec, Unfit
from .errors import ConfigurationError, DamagedRecord, SerializationError
from .seals import Seal, looks_signed, make_seal
from .serializers import PickleSerializer, SealedSerializer
from .Session import Session


class OlderWay(NamedTuple):
    """One Accepted, ready for use."""

    codec: SessionCodec
    ends: float
    is_other_serializer: bool


class Revived(NamedTuple):
    """A session, its payload as the store's own codec writes it, and whether the record should be written anew."""

    session: Session
    payload: bytes
    is_outdated: bool


def make_ways(accepts: Sequence[Accepted], own: SessionCodec) -> tuple[OlderWay, ...]:
    """Return what is made of a store's `accepts`. Raises ConfigurationError for a way that can't be told apart."""
    return tuple(_make_way(each, own) for each in accepts if each.serializer is not None or each.says_seal)


def _make_way(accepted: Accepted, own: SessionCodec) -> OlderWay:
    serializer = own.serializer if accepted.serializer is None else accepted.serializer
    seal: Seal | None = own.own_seal
    if accepted.says_seal:
        seal = make_seal(given(accepted.secret_key), given(accepted.encryption_key))
    elif isinstance(serializer, SealedSerializer):
        seal = None  # it brings its own
    codec = SessionCodec(serializer, own.session_class, seal, own.is_authentic)
    if not codec.is_sealed and own.is_sealed and own.claims(b"") is None and not codec.can_tell:
        raise ConfigurationError(
            f"Accepted: {type(serializer).__name__} can't be told from what this store encrypts; "
            "give it a method recognizes(data) -> bool"
        )
    return OlderWay(codec, accepted.ends, accepted.serializer is not None)


def revive(own: SessionCodec, ways: Sequence[OlderWay], key: str, sealed: bytes) -> Revived:
    """Return the session of a sealed payload. Raises DamagedRecord, Unfit or UnknownClass."""
    failure: DamagedRecord | None = None
    for way, plain, is_newest in _candidates(own, ways, key, sealed):
        try:
            if way is None:
                return Revived(own.load(plain), plain, not is_newest)
            return _converted(own, way, plain)
        except Unfit:
            raise
        except DamagedRecord as error:
            failure = failure or error
    raise failure or DamagedRecord("it is in none of the ways that this store reads")


def renewed(own: SessionCodec, ways: Sequence[OlderWay], key: str, sealed: bytes) -> bytes | None:
    """Return the plain payload in the own way of one in an older way; None: it is in the own one, by the newest key.

    Only where the serializer was another is it decoded. Raises DamagedRecord or UnknownClass where it can't be read.
    """
    for way, plain, is_newest in _candidates(own, ways, key, sealed):
        if way is not None:
            return _converted(own, way, plain).payload if way.is_other_serializer else plain
        told = own.recognizes(plain)
        if told or (told is None and _is_own(own, plain)):
            return None if is_newest else plain
    raise DamagedRecord("it is in none of the ways that this store reads")


def _is_own(own: SessionCodec, plain: bytes) -> bool:
    try:
        own.load(plain)
    except DamagedRecord:
        return False
    return True


def _candidates(
    own: SessionCodec, ways: Sequence[OlderWay], key: str, sealed: bytes
) -> Iterator[tuple[OlderWay | None, bytes, bool]]:
    """Yield in which ways to decode it: one, but for serializers that can't tell what is theirs."""
    plain, is_newest, failure, told = sealed, True, None, None
    try:
        plain, is_newest = own.opened(key, sealed)
        told = own.recognizes(plain)
    except DamagedRecord as error:
        failure = error
    if failure is None and told is not False:
        yield None, plain, is_newest
        if told:
            return
    for way in ways:
        if way.codec.is_sealed and (opened := _opened(way.codec, key, sealed)) is not None:
            yield way, opened, False
    if own.is_sealed and (failure is None or own.claims(sealed)):
        raise failure or DamagedRecord("its seal holds, but it is in none of the ways that this store reads")
    for way in ways:
        told = None if way.codec.is_sealed else way.codec.recognizes(sealed)
        if told or (told is None and not way.codec.is_sealed and own.claims(sealed) is False):
            yield way, sealed, False
    if failure is not None:
        raise failure
    yield None, plain, is_newest


def _opened(codec: SessionCodec, key: str, sealed: bytes) -> bytes | None:
    try:
        opened = codec.open(key, sealed)
    except DamagedRecord:
        return None
    return None if codec.recognizes(opened) is False else opened


def _converted(own: SessionCodec, way: OlderWay, plain: bytes) -> Revived:
    session = way.codec.load(plain)
    if not way.is_other_serializer:
        return Revived(session, plain, True)
    try:
        payload = own.dump(session)
    except SerializationError as error:
        raise Unfit(f"was written in an older way, and does not fit into the present one: {error}") from error
    return Revived(own.load(payload), payload, True)


def likely(codec: SessionCodec, sealed: bytes) -> str:
    """Return what is likely the matter with a payload that can't be read, where its looks tell."""
    is_signed, form = looks_signed(sealed), _form_of(sealed)
    if not codec.is_sealed:
        if is_signed:
            return "it is signed, but this store has no secret_key"
        if form and codec.recognizes(sealed) is False:
            return f"it is {form}, which is not what this store's serializer writes: see accepts="
        return "" if form else "it may be encrypted, but this store has no encryption_key"
    wanted = "encrypted" if codec.claims(b"") is None else "signed"
    if form:
        return f"it is {form} and not {wanted}, as this store asks for: see accepts="
    if is_signed == (wanted == "signed"):
        return f"if it was {wanted} with an older key, list that one, too: [new, old]"
    return f"it is not {wanted}, as this store asks for, but sealed in another way: see accepts="


def _form_of(data: bytes) -> str:
    if data.startswith(MARK) or PickleSerializer().recognizes(data):
        return "a pickle"
    return "JSON" if data.startswith(b"{") else ""
