"""Many nodes that share an experiment: their own calls to real storage, and simulated operations.

Each node joins, stores its journal and leaves by the code of `hps.run.fleet`; only its operations
are waits. Of a fleet that would take an hour, a minute takes some seconds, and what nodes wait for,
and by how much their clocks are off, is scaled alike. The bucket's times have whole seconds.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise, repeat
from pathlib import Path
from random import Random
from statistics import median, pstdev

from tabulate import tabulate

from bench.scale.costs import tell
from bench.scale.fleet_node import Node, Shared, live
from hps.model import FLEET_ENV
from hps.plan import share
from hps.plan.expand import expand
from hps.process.stop import SignalStop
from hps.results.lock import RunLock
from hps.run import fleet
from hps.run.session import open_tools
from hps.spec.load import load
from hps.spec.source import SpecText
from tests.servers.moto_s3 import serve_moto
from tests.servers.proxy import RecordingProxy, Request
from tests.servers.rclone_s3 import serve_s3
from tests.servers.s3_server import S3Server

CELLS, SHARE = 48, 12
_WANTED = 0.8
_DYING = 0.15
_CLOCK_OFF_S = 3.0
# Of the nodes so many had begun, after so many minutes; the last of them are drawn.
_BEGUN = ((0.0, 0.0), (0.5, 10.0), (0.8, 20.0), (0.9, 40.0), (1.0, 50.0))
_WORK_MIN = 10.0
# Programs that reach for the storage at once.
_AT_ONCE = 4
# The bucket tells whole seconds.
_LEAST_DEAD_S = 4.0
_FLEET = "simulated"
_SPEC = """\
api: hps/v1
name: scale-fleet
targets:
  store:
    provider: other
    endpoint: {endpoint}
    bucket: {bucket}
    force_path_style: true
    access_key_id: {{env: SCALE_KEY_ID}}
    secret_access_key: {{env: SCALE_SECRET}}
matrix: {{size: {{range: {{from: 1MiB, to: {cells}MiB, step: 1MiB}}}}}}
fleet: {{nodes: {wanted}, per_node: {{cells: {share}}}}}
steps: [upload]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What is drawn of a node. `dies_after`: of its share it measures so much; None: all."""

    name: str
    begins_min: float
    dies_after: float | None
    clock_off_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A fleet that is over, on one server. `lag_s`: how late a node came to its turn, at most."""

    server: str
    nodes: tuple[Node, ...]
    requests: Counter[str]
    poll: Counter[str]
    is_over: bool
    lag_s: float

    def column(self) -> list[str]:
        """What `FACTS` name."""
        joined = [node for node in self.nodes if node.cells]
        ended = Counter(node.ended for node in self.nodes)
        covered = share.count((node.measured for node in self.nodes), CELLS)
        return [
            f"{len(joined):,} of {len(self.nodes):,}",
            *(f"{ended[how]:,}" for how in ("done", "died", "over")),
            *spread(covered),
            *per_node(self.requests, len(self.nodes)),
            *per_node(self.poll, 1),
            "yes" if self.is_over and min(covered) > 0 else "no",
            f"{self.lag_s:.1f} s",
        ]


# Kinds of requests, as they are counted.
KINDS = ("LIST", "GET", "HEAD", "PUT")
FACTS = (
    *("nodes that joined", "done", "died", "ended, or came, after the end of all"),
    *("nodes at a cell: least", "median", "most", "standard deviation"),
    *("requests of a node", *KINDS, "requests of a look at all", *KINDS),
    *("complete", "longest wait for a turn"),
)


def simulate(nodes: int, folder: Path) -> str:
    """A fleet of so many nodes on each server; a table, and what it says."""
    servers = {"rclone serve s3": serve_s3, "moto": serve_moto}
    columns = []
    for name, serve in servers.items():
        tell(f"a fleet of {nodes:,} nodes on {name}")
        with serve(folder / name.split()[0]) as server:
            columns.append(_simulate(name, server, nodes, folder).column())
    rows = list(zip(FACTS, *columns, strict=True))
    return (
        f"{CELLS} cells, {SHARE} for each node; {_DYING:.0%} are to die in the midst of them, and "
        f"{_WANTED:.0%} are wanted.\nAn hour takes {60 * minute_s(nodes):.0f} s; at most "
        f"{_AT_ONCE} at once reach for the storage.\nComplete: as many as were wanted were done, "
        "and each cell was measured.\n\n"
        + tabulate(rows, headers=["", *servers], tablefmt="github", disable_numparse=True)
    )


def minute_s(nodes: int) -> float:
    """How long a minute takes: so long that two processors keep up."""
    return max(0.5, 0.02 * nodes)


def draw(nodes: int, seed: int) -> list[Life]:
    """Nodes by when they begin, those that die, and how far their clocks are off."""
    chance = Random(seed)
    lives = []
    for number in range(nodes):
        dies_after = chance.random() if chance.random() < _DYING else None
        begins_min = _begins_min((number + chance.random()) / nodes)
        off_s = chance.uniform(-_CLOCK_OFF_S, _CLOCK_OFF_S)
        lives.append(
            Life(
                name=f"node-{number:04}",
                begins_min=begins_min,
                dies_after=dies_after,
                clock_off_s=off_s,
            )
        )
    return lives


def spread(covered: Sequence[int]) -> list[str]:
    """The least, the median and the most of some counts, and their standard deviation."""
    return [
        f"{min(covered):,}",
        f"{median(covered):g}",
        f"{max(covered):,}",
        f"{pstdev(covered):.1f}",
    ]


def per_node(requests: Counter[str], nodes: int) -> list[str]:
    """Requests for each node: of all kinds, then of each of `KINDS`."""
    counts = [requests.total(), *(requests[kind] for kind in KINDS)]
    return [f"{count / nodes:.3g}" for count in counts]


def kind_of(method: str, key: str) -> str:
    """A GET without a key lists a bucket."""
    return "LIST" if method == "GET" and not key else method


def _begins_min(part: float) -> float:
    """The minute by which so many of the nodes have begun, between the points of `_BEGUN`."""
    for (below, from_min), (above, to_min) in pairwise(_BEGUN):
        if part <= above:
            return from_min + (part - below) / (above - below) * (to_min - from_min)
    return _BEGUN[-1][1]


def _simulate(name: str, server: S3Server, nodes: int, folder: Path) -> Simulated:
    minute = minute_s(nodes)
    with RecordingProxy(server.host, server.port) as proxy, ExitStack() as stack:
        stack.enter_context(_scaled(minute))
        shared = _shared(stack, server, proxy, nodes, folder / f"of {name}")
        living = [_node(life, shared, minute) for life in draw(nodes, seed=1)]
        with ThreadPoolExecutor(nodes) as pool:
            list(pool.map(live, living, repeat(shared)))
        requests = _kinds(proxy.requests())
        proxy.clear()
        results = shared.tools.link("store", shared.folder, SignalStop())
        known = fleet.look(results, _FLEET, CELLS)
        return Simulated(
            server=name,
            nodes=tuple(living),
            requests=requests,
            poll=_kinds(proxy.requests()),
            is_over=known.over,
            lag_s=max(node.lag_s for node in living),
        )


def _kinds(requests: Sequence[Request]) -> Counter[str]:
    return Counter(kind_of(request.method, request.key) for request in requests)


def _shared(
    stack: ExitStack, server: S3Server, proxy: RecordingProxy, nodes: int, folder: Path
) -> Shared:
    text = _SPEC.format(
        endpoint=proxy.endpoint,
        bucket=server.bucket,
        cells=CELLS,
        wanted=math.ceil(_WANTED * nodes),
        share=SHARE,
    )
    env = {
        "SCALE_KEY_ID": server.access_key_id,
        "SCALE_SECRET": server.secret_access_key,
        FLEET_ENV: _FLEET,
    }
    spec = load(SpecText(name="fleet.yaml", content=text.encode()), env=env)
    return Shared(
        plan=expand(spec),
        env=env,
        tools=stack.enter_context(open_tools(spec, env)),
        lock=stack.enter_context(RunLock(folder)),
        turns=threading.BoundedSemaphore(_AT_ONCE),
        began_s=time.monotonic(),
        folder=f"{spec.results.folder}/{spec.name}",
    )


def _node(life: Life, shared: Shared, minute: float) -> Node:
    return Node(
        name=life.name,
        begins_s=shared.began_s + life.begins_min * minute,
        works_s=_WORK_MIN * minute,
        dies_after=life.dies_after,
        clock_off_s=life.clock_off_s * minute / 60,
    )


@contextmanager
def _scaled(minute: float) -> Iterator[None]:
    """What `hps` takes for a while, in the time of the simulation."""
    before = fleet.DEAD_S, fleet._ASK_EVERY_S
    fleet.DEAD_S = max(_LEAST_DEAD_S, fleet.DEAD_S / 60 * minute)
    fleet._ASK_EVERY_S = minute
    try:
        yield
    finally:
        fleet.DEAD_S, fleet._ASK_EVERY_S = before
