"""The list of the situations, in the order of the table."""

from . import (
    altered,
    bad_disks,
    cookies,
    exits,
    interleavings,
    kills,
    late_saves,
    lost_updates,
    planted_ids,
    pools,
    power_cuts,
    replicas,
    restarts,
    signals,
    storms,
    sweeps,
    threads,
)

SITUATIONS = [
    lost_updates, late_saves, interleavings, storms, kills, restarts, sweeps, bad_disks, power_cuts,
    signals, exits, altered, threads, pools, replicas, planted_ids, cookies,
]  # fmt: skip
