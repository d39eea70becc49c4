"""The list of the situations, in the order of the table."""

from . import (
    altered,
    bad_disks,
    cookies,
    exits,
    kills,
    late_saves,
    lost_updates,
    planted_ids,
    pools,
    replicas,
    restarts,
    signals,
    sweeps,
    threads,
)

SITUATIONS = [
    lost_updates, late_saves, kills, restarts, sweeps, bad_disks, altered, threads, planted_ids, signals, cookies,
    pools, exits, replicas,
]  # fmt: skip
