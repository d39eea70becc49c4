"""The section `whole_request`: what sessions add to a request, in Quixote, Flask and Django."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from session3 import open_store
from session3.DictSession import DictSession
from session3.SessionManager import SessionManager

from .contenders import CALLS, Servers
from .cores import apart
from .django_sites import DJANGO_SITES
from .flask_sites import FLASK_SITES
from .measure import Effort, Regime, Times, assemble, difference, figure, measure, rounds_of
from .ours import OURS, prepared
from .quixote_sites import BareQuixote, QuixoteInMemory, QuixoteSite
from .report import cell
from .sections import Bench, Chart, Outcome, Points, Table, Target
from .sites import Site
from .upstream import Upstream

OPERATIONS = {"read_only": "read-only", "changed": "changed"}
EFFORT, QUICK_EFFORT = Effort(400, 100), Effort(40, 12)
JUDGED = Regime.IN_A_ROW

#: What our sites are held to: at most so many µs added by a request of each operation.
ADDED = {"read_only": 30.0, "changed": 60.0}
#: And at most so many times what session3 3.4.1 adds.
OF_UPSTREAM = {"read_only": 0.06, "changed": 0.12}
HELD = ("Quixote, session3 Directory", "Quixote, session3 SQLite")
UPSTREAM = "Quixote, session3 3.4.1 Directory"

_NOTES = f"""\
A request goes through WSGI, without a socket, with a cookie, to a page that reads a key of the session or to one that
changes a key. "Added" is the median of the differences of each round to the same framework without sessions: for
session3 3.4.1, which has a process of its own, to Quixote in that process. Rounds are as in the operations: {CALLS}
calls a turn, of which the first is "between other work" and the others are "in a row". Django and Flask have no
middleware but that of sessions; Django keeps its connections. Medians in µs, p99 in brackets. A request is work enough
for the caches to be full of its own: targets are held in a row."""


class Ours(QuixoteSite):
    """A site on a store of ours."""

    def _open(self, folder: Path, servers: Servers) -> Any:
        raise NotImplementedError

    def _make_manager(self, folder: Path, servers: Servers, stack: ExitStack) -> Any:
        return SessionManager(prepared(self._open(folder, servers), stack), DictSession)


class OursInMemory(Ours):
    name, family = "Quixote, session3 in memory", "memory"

    def _open(self, folder: Path, servers: Servers) -> Any:
        return open_store("memory://")


class OursShelve(Ours):
    name, family = "Quixote, session3 Shelve", "files"

    def _open(self, folder: Path, servers: Servers) -> Any:
        return open_store(f"shelve://{folder}/ours")


def _site_on(kind: type[Any]) -> type[Ours]:
    """Return the site on the store of a contender."""

    class Site(Ours):
        name, family = f"Quixote, {kind.name}", kind.family

        def _open(self, folder: Path, servers: Servers) -> Any:
            return kind.open(folder, servers)

    return Site


class _InUpstream(Site):
    """A site in the process of session3 3.4.1, which both of them share."""

    framework = "Quixote, beside session3 3.4.1"
    family = "files"
    subject: str

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.child = Upstream(folder, stack)

    def turn(self, operation: str, number: int) -> list[float]:
        return self.child.turn(self.subject, operation, number)


class UpstreamSite(_InUpstream):
    name, subject = UPSTREAM, "site"


class BareUpstream(_InUpstream):
    name, subject, is_bare = "Quixote without sessions, beside session3 3.4.1", "bare", True


SITES: list[type[Site]] = [
    BareQuixote, QuixoteInMemory, OursInMemory, *map(_site_on, OURS), OursShelve, BareUpstream, UpstreamSite,
    *FLASK_SITES, *DJANGO_SITES,
]  # fmt: skip


def run(bench: Bench) -> Outcome:
    with apart(bench.servers):
        sites, left_out = assemble(SITES, bench)
        times = measure(sites, list(OPERATIONS), QUICK_EFFORT if bench.is_quick else EFFORT, bench.progress)
    results = {regime: Results(sites, times, regime) for regime in Regime}
    judged = results[JUDGED]
    return Outcome(
        "Whole request",
        "\n\n".join([_NOTES, rounds_of(times), *left_out]),
        [result.table() for result in results.values()],
        list(judged.targets()),
        [judged.chart()],
    )


class Results:
    """The samples of one regime, and what is made of them."""

    def __init__(self, sites: list[Site], times: Times, regime: Regime) -> None:
        self.sites, self.regime = sites, regime
        self._samples = {key: [regime.sample(turn) for turn in turns] for key, turns in times.items()}
        self._bare = {site.framework: site for site in sites if site.is_bare}

    def added(self, site: Site, operation: str) -> float:
        """Return the µs that its sessions add to a request."""
        bare = self._bare[site.framework]
        return difference(self._samples[site.name, operation], self._samples[bare.name, operation])

    def table(self) -> Table:
        head = [self.regime.value]
        for shown in OPERATIONS.values():
            head += [f"{shown} request", "added"]
        return Table(head, [[site.name, *self._cells(site)] for site in self.sites])

    def _cells(self, site: Site) -> Iterator[str]:
        for operation in OPERATIONS:
            whole = figure(self._samples[site.name, operation])
            yield f"{whole.median:.0f} ({whole.p99:.0f})"
            added = self.added(site, operation)
            if site.is_bare:
                yield ""
            elif site.name in HELD and self.regime is JUDGED:
                yield cell(f"{added:.0f}", added, ADDED[operation])
            else:
                yield f"{added:.0f}"

    def targets(self) -> Iterator[Target]:
        by_name = {site.name: site for site in self.sites}
        for site in [by_name[name] for name in HELD if name in by_name]:
            for operation, shown in OPERATIONS.items():
                what, added = f"{site.name}, {shown}: added", self.added(site, operation)
                yield Target(what, added, ADDED[operation], "µs")
                if UPSTREAM in by_name:
                    upstream = self.added(by_name[UPSTREAM], operation)
                    yield Target(f"{what}, to session3 3.4.1", added / upstream, OF_UPSTREAM[operation])

    def chart(self) -> Chart:
        sites = [site for site in self.sites if not site.is_bare]
        series: dict[str, Points] = {
            # A logarithm has no place for what noise has made less than nothing.
            shown: [(x, max(1.0, self.added(site, operation))) for x, site in enumerate(sites)]
            for operation, shown in OPERATIONS.items()
        }
        title = f"Added to a request, {self.regime.value}"
        return Chart("whole-request", title, "", "µs", series, [site.name for site in sites], is_log_y=True)
