"""A process beside the benchmark's own."""

from tests import processes


class Worker(processes.Worker):
    """Runs a function of workers.py."""

    module = "benchmarks.workers"
