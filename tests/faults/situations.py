"""The list of the situations, in the order of the table."""

from . import (
    altered,
    bad_disks,
    cookies,
    interruptions,
    kills,
    late_saves,
    lost_updates,
    planted_ids,
    power_cuts,
    restarts,
    signals,
    sweeps,
    threads,
)

SITUATIONS = [
    lost_updates, late_saves, kills, restarts, sweeps, bad_disks, power_cuts, interruptions, altered, threads,
    planted_ids, signals, cookies,
]  # fmt: skip
