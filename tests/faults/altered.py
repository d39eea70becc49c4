"""Somebody who can write to the store changes what is in it; payloads are signed."""

import logging
import pickle
import random
from typing import Any

from session3.DictSession import DictSession

from ..sessions import Bomb
from .cases import SECRET, Case, Figures, Kind

SITUATION = "300 bit flips in a signed payload, and malicious pickles in its place"
ID = "session-of-all"


def applies(kind: Kind) -> bool:
    return True


def run(case: Case, long: bool) -> Figures:
    flips = 300 if long else 40
    if not case.kind.has_records:
        return _flip_cookies(case, flips)
    store = case.emptied(secret_key=SECRET)
    session = DictSession(ID)
    session["cart"] = ["tea", "milk"] * 20
    store.save_session(session)
    good = store.read(ID)
    assert good is not None
    Bomb.exploded.clear()
    taken = silent = 0
    bombs = [pickle.dumps(Bomb(), protocol) for protocol in (2, 4, 5)] + [pickle.dumps((Bomb(), {}), 5)]
    for payload in [*(_flipped(good.payload) for _ in range(flips)), *bombs, b"", good.payload[:-1]]:
        current = store.read(ID)
        store.replace(ID, good._replace(payload=payload, revision=current.revision + 1), current.revision)
        store._reported.clear()  # else each key is logged once
        with _counting() as logged:
            taken += store.load_session(ID) is not None
        silent += not logged.count
    current = store.read(ID)
    store.replace(ID, good._replace(revision=current.revision + 1), current.revision)
    is_back = store.load_session(ID)["cart"] == session["cart"]
    store.close()
    text = f"{taken} taken, {len(Bomb.exploded)} run, {silent} not logged of {flips + len(bombs)}"
    return Figures(text, taken == silent == 0 and not Bomb.exploded and is_back)


def _flip_cookies(case: Case, flips: int) -> Figures:
    store, session, taken = case.open(), DictSession(None), 0
    session["cart"] = ["tea", "milk"] * 20
    store.save_session(session)
    for _ in range(flips):
        cookie = _flipped(str(session.id).encode()).decode("latin-1")
        taken += store.load_session(cookie) is not None
    return Figures(f"{taken} taken of {flips}", taken == 0)


def _flipped(data: bytes) -> bytes:
    flipped = bytearray(data)
    flipped[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(flipped)


class _counting(logging.Handler):
    """Counts the warnings of the logger "session3"."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1

    def __enter__(self) -> "_counting":
        logging.getLogger("session3").addHandler(self)
        return self

    def __exit__(self, *exception: Any) -> None:
        logging.getLogger("session3").removeHandler(self)
