"""What of a Redis server would lose sessions, or refuse them: asked before the first request.

>>> unsuited({"role": "master", "maxmemory": "0", "maxmemory_policy": "allkeys-lru"})
>>> unsuited({"role": "master", "maxmemory": "1000", "maxmemory_policy": "allkeys-lru"})
'it deletes sessions to make room, since its maxmemory-policy is allkeys-lru; set it to noeviction'
"""

import contextlib
import logging
from collections.abc import Mapping
from functools import partial
from operator import methodcaller
from typing import Any

from . import redisclients as clients
from . import redisrecord

log = logging.getLogger("session3")


_TRIES = 1000  # names, until one belongs to a certain node; with a hash tag all belong to one


def problem(talk: clients.Talk, prefix: bytes, name: bytes) -> str | None:
    """Return why sessions under `prefix` are not safe, if so. Raises StoreUnavailable where a command is refused.

    `talk`: RedisSessionStore._talk. `name`: of a key that no session has; it is gone when this returns.
    """
    for probe in talk(partial(_probes, name)):
        talk(methodcaller("execute_command", "EVAL", redisrecord.CHECK.text, 1, probe, ""))
    for node in talk(clients.nodes):
        talk(partial(clients.scan, node, 0, clients.pattern_of(prefix), 1))
        settings = talk(partial(_settings, node))
        if "maxmemory_policy" not in settings:
            log.warning("a Redis server does not tell its maxmemory-policy; any but noeviction loses sessions")
        found = unsuited(settings)
        if found is not None:
            return found
    return None


def unsuited(settings: Mapping[str, str]) -> str | None:
    """Return why a server with these settings does not do, if so."""
    if settings.get("role", "master") == "slave":
        return "it is a replica that takes writes, which its primary never hears of"
    policy = settings.get("maxmemory_policy", "noeviction")
    if settings.get("maxmemory", "0") == "0" or policy == "noeviction":
        return None
    # Each session has a time to live, so that the policies which spare keys without one spare none.
    return f"it deletes sessions to make room, since its maxmemory-policy is {policy}; set it to noeviction"


def _probes(name: bytes, client: Any) -> list[bytes]:
    """Return names of keys, one on each server of a cluster."""
    if not clients.is_cluster(client):
        return [name]
    found: dict[str, bytes] = {}
    for n in range(_TRIES):
        probe = b"%s%d" % (name, n)
        found.setdefault(client.get_node_from_key(probe).name, probe)
        if len(found) == len(client.get_primaries()):
            break
    return list(found.values())


def _settings(node: Any, _: Any) -> dict[str, str]:
    """Return what the server tells of itself: some may neither see INFO nor CONFIG."""
    refused = clients.driver().ResponseError
    with contextlib.suppress(refused):
        return clients.info(node)
    with contextlib.suppress(refused):
        return {name: clients.setting(node, name.replace("_", "-")) for name in ("maxmemory", "maxmemory_policy")}
    return {}
