"""Sessions in Redis, or Valkey: a single server, one that Sentinel watches, or a cluster.

    RedisSessionStore(redis.Redis("cache.example"))
    RedisSessionStore(Sentinel([("cache1", 26379), ("cache2", 26379)]).master_for("sessions"))
    RedisSessionStore(redis.RedisCluster("cache.example"))

>>> from session3 import open_store
>>> open_store("redis://:secret@cache.example/2")
RedisSessionStore('redis://cache.example:6379/2', prefix='session3:')

One key for each session, and one round trip for each load, save, delete and touch; a touch does not send the data.
Redis deletes what has expired by itself, and a session without an expiry `default_ttl` seconds after its last save or
touch. Expiry goes by the server's clock: those of the machines in front of it never meet.

Threads: safe. Processes: safe, also after a fork. Crash: a save that returned is in the server's memory; what of it
survives a crash there is the server's to say (appendonly, save, replicas). One that may evict sessions (by a
maxmemory-policy other than noeviction) logs users out to make room: `check` says so. Needs Redis 5 or later.
"""

import math
from collections.abc import Callable, Hashable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

from ..datafaults import from_signal, pass_signals
from ..errors import ConfigurationError, DamagedRecord
from ..record import Record
from ..storesettings import span
from . import redischeck, redislimits, redisrecord
from . import redisclients as clients
from .failures import unavailable
from .RecordStore import NOBODYS_KEY, RecordStore
from .RedisConnections import RedisConnections
from .ServerClock import COMPARE_EVERY, Guess, ServerClock

T = TypeVar("T")

#: Seconds that a session without an expiry of its own lives after its last save or touch: two weeks.
DEFAULT_TTL = 14 * 86400.0

_SLACK = 1.0  # seconds that Redis keeps a record beyond its expiry; our own comparison is exact
_MAX_TTL = 100 * 365 * 86400.0  # a longer one may not fit into what Redis counts with


class RedisSessionStore(RecordStore):
    """Keeps each session under the key `prefix` + id. The prefix ends in a character that no id has, as ':' is.

    `client`: a redis.Redis or redis.RedisCluster without decode_responses; it is copied, with connections of its own
    that know no retries, up to its max_connections. `default_ttl`: seconds, for sessions without expiry. `timeout`:
    seconds after which a server that does not answer is reported as StoreUnavailable, unless the client's own timeouts
    are shorter, and for which a request waits while others have all connections.
    """

    is_thread_safe = True
    is_multiprocess_safe = True
    has_server_clock = True

    def __init__(
        self,
        client: Any,
        prefix: str = "session3:",
        *,
        default_ttl: float | timedelta = DEFAULT_TTL,
        timeout: float | timedelta = 2.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        clients.check(client)
        self._prefix = clients.prefix_of_keys(prefix)
        timeout, default_ttl = span("timeout", timeout), span("default_ttl", default_ttl)
        if default_ttl < 1:
            raise ConfigurationError("default_ttl must be a number of seconds, 1 or more")
        self.prefix, self.default_ttl, self.timeout = prefix, default_ttl, timeout
        self._given = client
        self._copy: Any = None
        self._turns = redislimits.turns(client, timeout)
        self._failures = clients.failures(client)
        self._server_clock = ServerClock(self.clock, 0 if clients.is_cluster(client) else COMPARE_EVERY)

    def __repr__(self) -> str:
        return f"RedisSessionStore({clients.place(self._given)!r}, prefix={self.prefix!r})"

    def place(self) -> Hashable | None:
        return self._talk(clients.identity), self._prefix

    def check(self) -> None:
        super().check()
        problem = redischeck.problem(self._talk, self._prefix, self._name(NOBODYS_KEY))
        if problem is not None:
            raise ConfigurationError(f"{self!r} is not safe for sessions: {problem}")

    def close(self) -> None:
        """Let go of the store's own connections; those of the client that it was given are not touched."""
        client, self._copy = self._copy, None
        if client is not None:
            clients.close(client)

    # -- the verbs ---------------------------------------------------------------------------------------------------

    def read(self, key: str) -> Record | None:
        value, lead = self._get(key)
        if value is None:
            # A script can make a replica say that it is one; and it tells damage from absence.
            value, lead = self._ask(redisrecord.READ, key, self._server_clock.guess())
        return None if value is None else self._unpack(key, value, lead)

    def insert(self, key: str, record: Record) -> bool:
        guess = self._server_clock.guess()
        value = redisrecord.pack(record, guess.lead)
        return bool(self._ask(redisrecord.INSERT, key, guess, value, self._ttl(record.expires))[0])

    def replace(self, key: str, record: Record, revision: int) -> bool:
        guess = self._server_clock.guess()
        value, head = redisrecord.pack(record, guess.lead), redisrecord.head(revision)
        return bool(self._ask(redisrecord.REPLACE, key, guess, value, self._ttl(record.expires), head)[0])

    def remove(self, key: str, revision: int | None = None) -> bool:
        head = b"" if revision is None else redisrecord.head(revision)
        return bool(self._ask(redisrecord.REMOVE, key, self._server_clock.guess(), head, "")[0])

    def touch(self, key: str, revision: int, accessed: float, expires: float | None) -> bool:
        guess = self._server_clock.guess()
        moved = "" if expires is None else repr(expires - guess.lead)
        arguments = redisrecord.head(revision), repr(accessed - guess.lead), moved, self._ttl(expires)
        return bool(self._ask(redisrecord.TOUCH, key, guess, *arguments)[0])

    def scan(self) -> Iterator[tuple[str, Record]]:
        for _, key, _, record in self._values():
            if record is not None:
                yield key, record

    def sweep(self, unused_for: float | None) -> tuple[int, int]:
        deleted = left = 0
        for node, key, value, record in self._values():
            if record is None:
                # Nobody knows how old it is: it goes when a session of now would.
                self._order(node, redisrecord.LIMIT, key, self._ttl(None))
            elif record.is_due(self.clock(), unused_for):
                # Its times are compared too: it may have been used since.
                deleted += self._order(node, redisrecord.REMOVE, key, redisrecord.times(value), "any")
            else:
                left += record.is_session(self.clock())
        return deleted, left

    def create(self) -> None:
        """There is nothing to create."""

    def clear(self) -> None:
        for node, keys in self._keys():
            self._pipe(node, [("DEL", self._name(key)) for key in keys])

    # -- expiry ------------------------------------------------------------------------------------------------------

    def _ttl(self, expires: float | None) -> int:
        """Return for how many milliseconds Redis is to keep a record."""
        seconds = self.default_ttl if expires is None else max(0.0, expires - self.clock()) + _SLACK
        return math.ceil(min(seconds, _MAX_TTL) * 1000)

    # -- the server --------------------------------------------------------------------------------------------------

    def _name(self, key: str) -> bytes:
        return self._prefix + key.encode()

    def _client(self) -> Any:
        client = self._copy
        if client is None:
            client = self._copy = redislimits.limited(self._given, self.timeout)
        return client

    def _talk(self, act: Callable[[Any], T]) -> T:
        """Return `act(client)`. All that goes to a server goes through here. Raises StoreUnavailable."""
        try:
            if self._turns is None:
                return self._try(act)
            turn = self._turns.take()
            try:
                return self._try(act)
            finally:
                self._turns.give(turn)
        except self._failures.all as error:
            pass_signals(error)  # a request's time limit may be an OSError, and redis-py makes its own of it
            raise unavailable(self, error) from error

    def _try(self, act: Callable[[Any], T]) -> T:
        try:
            return act(self._client())
        except self._failures.stale as error:
            if isinstance(error, self._failures.hopeless) or from_signal(error) is not None:
                raise
            # It died while it was idle, or led to what is a replica by now; its neighbours may have, too. Once more is
            # safe: a write whose reply was lost is known by its revision.
            clients.disconnect(self._client())
        return act(self._client())

    def _ask(self, script: redisrecord.Script, key: str, guess: Guess, *arguments: Any) -> tuple[Any, float]:
        """Run a script; return its result, and by how much our clock is ahead of the server's."""
        call = 1, self._name(key), guess.argument, *arguments

        def run(client: Any) -> Any:
            try:
                return client.execute_command("EVALSHA", script.sha, *call)
            except self._failures.forgot_script:
                return client.execute_command("EVAL", script.text, *call)

        reply = self._talk(run)
        if guess.server_now is None:
            return reply, guess.lead
        result, shift = redisrecord.answer(reply)
        return result, self._server_clock.learn(guess, shift)

    def _get(self, key: str) -> tuple[bytes | None, float]:
        """Return the value of a key and, as `_ask` does, how far our clock is ahead; None if a script has to tell.

        In one round trip, and for half of what a script costs: measured, 24 to 27 µs in place of 57.
        """
        guess, get = self._server_clock.guess(), ("GET", self._name(key))
        look: list[Any] = [get] if guess.server_now is None else [get, ("TIME",)]
        # A cluster's client sends a pipeline in steps of its own.
        replies = self._talk(lambda client: client.send(*look) if isinstance(client, RedisConnections) else [None])
        if not isinstance(replies[0], bytes) or isinstance(replies[-1], Exception):
            return None, 0.0
        if guess.server_now is None:
            return replies[0], guess.lead
        return replies[0], self._server_clock.learn(guess, redisrecord.shift(guess.server_now, replies[1]))

    def _unpack(self, key: str, value: bytes, lead: float) -> Record | None:
        try:
            return redisrecord.unpack(value, lead)
        except DamagedRecord as error:
            self._report_damage(key, error)
            return None

    # -- all of them -------------------------------------------------------------------------------------------------

    def _keys(self) -> Iterator[tuple[Any, list[str]]]:
        """Yield batches of our keys, each with the server that has them."""
        return clients.batches(self._talk, self._prefix)

    def _values(self) -> Iterator[tuple[Any, str, bytes, Record | None]]:
        """Yield (server, key, value, record) of all that is stored; the record is None where it is damaged."""
        for node, keys in self._keys():
            guess = self._server_clock.guess()
            look = ("EVAL", redisrecord.LOOK.text, 1, self._name(keys[0]), guess.argument)
            look, *values = self._pipe(node, [look, *(("GET", self._name(key)) for key in keys)])
            lead = self._server_clock.learn(guess, redisrecord.answer(look)[1])
            for key, value in zip(keys, values, strict=True):
                if value is not None:
                    yield node, key, value, self._unpack(key, value, lead)

    def _order(self, node: Any, script: redisrecord.Script, key: str, *arguments: bytes | str | int) -> int:
        [result] = self._pipe(node, [("EVAL", script.text, 1, self._name(key), "", *arguments)])
        return int(result)

    def _pipe(self, node: Any, commands: list[tuple[Any, ...]]) -> list[Any]:
        return self._talk(lambda _: clients.send_together(node, commands))
