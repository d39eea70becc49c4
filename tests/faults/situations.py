"""The list of the situations, in the order of the table."""

from . import (
    altered,
    bad_disks,
    cookies,
    interleavings,
    kills,
    late_saves,
    lost_updates,
    planted_ids,
    restarts,
    storms,
    sweeps,
    threads,
)

SITUATIONS = [
    lost_updates, late_saves, kills, restarts, sweeps, bad_disks, altered, threads, planted_ids, cookies,
    interleavings, storms,
]  # fmt: skip
