"""Requests in the middle of a switch of the serializer, the seal, the keys or hash_ids, with `accepts`.

The session was written in the older way; readers, writers, logins, logouts, renewals and a reseal meet over it.
"""

from typing import Any

import pytest

from session3.Accepted import Accepted
from session3.serializers import JSONSerializer, PickleSerializer
from session3.store.VolatileSessionStore import VolatileSessionStore
from tests.sessions import Clock

from .kinds import KINDS, OPERATIONS, Visited
from .stepping import stepping
from .stories import every_pair, only_first, some_triples
from .story import World

Memory = stepping(VolatileSessionStore)
OLD, NEW = "the old key, long enough", "the new key, long enough"

#: How the store was, and how it is.
SWITCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "signed": ({}, {"secret_key": NEW, "accepts": [Accepted(secret_key=None)]}),
    "another key": ({"secret_key": OLD}, {"secret_key": [NEW, OLD]}),
    "JSON and encrypted": (
        {"secret_key": OLD},
        {
            "encryption_key": NEW,
            "serializer": JSONSerializer(),
            "accepts": [Accepted(serializer=PickleSerializer(), secret_key=OLD)],
        },
    ),
    "hashed": ({"secret_key": OLD}, {"secret_key": OLD, "hash_ids": True, "accepts": [Accepted(hash_ids=False)]}),
    "signed and hashed": (
        {},
        {"secret_key": NEW, "hash_ids": True, "accepts": [Accepted(hash_ids=False, secret_key=None)]},
    ),
}
#: What meets a switch: who reads, changes, moves and ends, and who writes anew.
MEETING = ["read", "item", "post", "login", "logout", "renew", "reseal"]


def switched(switch: str, start: str) -> World:
    was, now = SWITCHES[switch]
    clock = Clock(1e9)
    store = Memory(clock=clock, session_class=Visited, **now)
    older = VolatileSessionStore(clock=clock, session_class=Visited, **was)
    older._records = store._records
    return World(store, start, older)


@pytest.mark.parametrize("switch", SWITCHES)
def test_two_requests_in_the_middle_of_a_switch_break_no_promise(switch: str) -> None:
    assert not only_first(every_pair(switched(switch, "a user"), kinds=MEETING))


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("start", ["a cart", "a user"])
def test_nor_do_three(switch: str, start: str) -> None:
    kinds = [*KINDS, *OPERATIONS]
    assert not only_first(some_triples(switched(switch, start), seconds=0.5, seed=1, kinds=kinds))


def test_the_sweep_sees_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """To write anew without a look at what others wrote meanwhile loses their changes."""

    def write_anew(self: Any, key: str, payload: bytes, revision: int) -> bool:
        record = self.read(key)
        anew = record._replace(payload=self.codec.seal(key, payload))
        return bool(self.replace(key, anew, record.revision))

    monkeypatch.setattr(VolatileSessionStore, "_write_anew", write_anew)
    assert only_first(every_pair(switched("signed", "a user"), kinds=["item", "reseal"]))
