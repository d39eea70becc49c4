"""The section `operations`: load, save and a request that only reads, of each contender beside its floor."""

from collections.abc import Iterator
from pathlib import Path

from .by_hand import BY_HAND
from .contenders import CALLS, FAMILIES, Contender, Role
from .cores import apart
from .django_peers import DJANGO_PEERS
from .flask_peers import FLASK_PEERS
from .floors import FLOORS
from .in_one_function import OurDirectoryInOneFunction
from .measure import Effort, Figure, Regime, Times, assemble, figure, measure, ratio, rounds_of
from .other_peers import OTHER_PEERS
from .ours import OURS, VARIANTS
from .report import TARGETS, cell
from .sections import Bench, Chart, Outcome, Points, Table, Target

OPERATIONS = ("load", "save", "read_only")
KINDS: list[type[Contender]] = [
    *FLOORS, *BY_HAND, *OURS, *VARIANTS, OurDirectoryInOneFunction, *DJANGO_PEERS, *FLASK_PEERS, *OTHER_PEERS,
]  # fmt: skip
EFFORT, QUICK_EFFORT = Effort(400, 100), Effort(40, 12)

_NOTES = f"""\
A session of twelve keys, about 1 KiB. In a round, each operation of each contender gets one turn, in another order
each time: {CALLS} calls, of which the first is the sample "between other work", with the processor's caches full of
other things, as in a server; the median of the others is the sample "in a row". A cell shows the median in µs, p99 in
brackets, and the medians of the ratios to the floor of the same round and to the store by hand. A floor moves bytes.
A store by hand is the least on top of it that is one: it makes a dict of the bytes, compares and swaps when it saves,
and makes bytes of the dict again at the end of a read-only request, since nothing else tells that nothing inside it
changed. All others load the session's data, too; of them only ours compares and swaps. A read-only request is all that
a library does between the cookie and the answer. Targets are held between other work. Servers have other cores than we.
Django keeps its connections, and uses psycopg2, as we do; session3 3.4.1 runs in a process of its own, and is timed
there; starsessions is timed inside its event loop."""


def run(bench: Bench) -> Outcome:
    with apart(bench.servers):
        contenders, left_out = assemble(KINDS, bench)
        contenders.sort(key=lambda one: (FAMILIES.index(one.family), list(Role).index(one.role)))
        times = measure(contenders, OPERATIONS, QUICK_EFFORT if bench.is_quick else EFFORT, bench.progress)
    results = {regime: Results(contenders, times, regime) for regime in Regime}
    judged = results[Regime.BETWEEN]
    disk = f"Files are on {file_system(bench.folder)}."
    return Outcome(
        "Operations",
        "\n\n".join([_NOTES, f"{rounds_of(times)} {disk}", *left_out]),
        [result.table() for result in results.values()],
        list(judged.targets()),
        list(judged.charts()),
    )


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "an unknown file system"
    holding = [(len(point), kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(holding)[1]


class Results:
    """The samples of one regime, and what is made of them."""

    def __init__(self, contenders: list[Contender], times: Times, regime: Regime) -> None:
        self.contenders, self.regime = contenders, regime
        self._samples = {key: [regime.sample(turn) for turn in turns] for key, turns in times.items()}

    def figure(self, contender: Contender, operation: str) -> Figure:
        return figure(self._samples[contender.name, operation])

    def ratio(self, contender: Contender, other: Contender, operation: str) -> float:
        return ratio(self._samples[contender.name, operation], self._samples[other.name, operation])

    def of(self, family: str, role: Role) -> list[Contender]:
        return [one for one in self.contenders if one.family == family and one.role is role]

    def fastest_peer(self, family: str, operation: str) -> Contender | None:
        peers = self.of(family, Role.PEER)
        return min(peers, key=lambda peer: self.figure(peer, operation).median, default=None)

    # -- tables, targets and charts ----------------------------------------------------------------------------------

    def table(self) -> Table:
        head = [self.regime.value, *(operation.replace("_", "-") for operation in OPERATIONS)]
        return Table(
            head, [[one.name, *(self._cell(one, operation) for operation in OPERATIONS)] for one in self.contenders]
        )

    def _cell(self, contender: Contender, operation: str) -> str:
        shown = self.figure(contender, operation)
        ratios = [self.ratio(contender, floor, operation) for floor in self._floors(contender)]
        text = " ".join([f"{shown.median:.0f} ({shown.p99:.0f})", *(f"x{one:.2f}" for one in ratios)])
        limit = TARGETS.get(contender.name, {}).get(operation)
        if contender.role is Role.OURS and contender.family == "cookie" and operation == "read_only":
            return f"{text}, no Set-Cookie"
        if limit is None or self.regime is not Regime.BETWEEN:
            return text
        return cell(text, ratios[0], limit)

    def _floors(self, contender: Contender) -> list[Contender]:
        if contender.role is Role.FLOOR:
            return []
        floors = self.of(contender.family, Role.FLOOR)
        return floors if contender.role is Role.BY_HAND else [*floors, *self.of(contender.family, Role.BY_HAND)]

    def targets(self) -> Iterator[Target]:
        for family in FAMILIES:
            for ours in self.of(family, Role.OURS):
                for operation in OPERATIONS:
                    yield from self._targets(ours, operation)

    def _targets(self, ours: Contender, operation: str) -> Iterator[Target]:
        what = f"{ours.name}, {operation.replace('_', '-')}"
        limit = TARGETS[ours.name].get(operation)
        if limit is not None:
            [floor] = self.of(ours.family, Role.FLOOR)
            yield Target(f"{what}: to the floor", self.ratio(ours, floor, operation), limit)
        else:
            yield Target(f"{what}: Set-Cookie headers", 0, 0, "")  # each call has made sure
        if peer := self.fastest_peer(ours.family, operation):
            yield Target(f"{what}: to the fastest peer, {peer.name}", self.ratio(ours, peer, operation), 1.0)

    def charts(self) -> Iterator[Chart]:
        """Draw the ratios to the floor: a chart for each operation."""
        families = [family for family in FAMILIES if self.of(family, Role.FLOOR)]
        for operation in OPERATIONS:
            series: dict[str, Points] = {"by hand": [], "session3": [], "fastest peer": []}
            for x, family in enumerate(families):
                [floor] = self.of(family, Role.FLOOR)
                by_hand, ours = self.of(family, Role.BY_HAND), self.of(family, Role.OURS)
                peer = self.fastest_peer(family, operation)
                for points, those in zip(series.values(), (by_hand, ours, [peer] if peer else []), strict=True):
                    points.extend((x, self.ratio(one, floor, operation)) for one in those)
            title = f"{operation.replace('_', '-').capitalize()}, {self.regime.value}"
            yield Chart(
                f"operations-{operation.replace('_', '-')}",
                title,
                "",
                "times the floor",
                series,
                families,
                is_log_y=True,
            )
