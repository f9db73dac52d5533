"""What a fleet will take, how soon, and what it may cost, before a machine is asked for. Pure.

What isn't known is None, and never guessed: a time without a bandwidth, a price without an offer,
when machines come of an engine that has published no figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from hps.fleet.engine import FleetRequest, Offer
from hps.model import Fleet, NodeRules, Plan, Spec
from hps.plan import share
from hps.plan.estimate import Estimate, Requests, estimate
from hps.plan.expand import expand

# So many nodes choose their cells as real ones do, and stand for the others.
_MOST_SHARES = 50
_MOST_OPERATIONS = 50_000
_MOST_MACHINES = 1000
_STEPS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineArrivals:
    """How soon machines that are asked for run: (share of them, seconds). `source`: who says so."""

    source: str
    points: tuple[tuple[float, float], ...]

    def find_s(self, wanted: float) -> float | None:
        """When such a share of them is there, in between in proportion; None where nobody knows."""
        before = (0.0, 0.0)
        for point in self.points:
            if wanted <= point[0]:
                part = (wanted - before[0]) / (point[0] - before[0])
                return before[1] + part * (point[1] - before[1])
            before = point
        return None


ARRIVALS: Mapping[str, MachineArrivals] = MappingProxyType(
    {
        "saladcloud": MachineArrivals(
            source="SaladCloud's own test of 100 replicas over a week",
            points=((0.5, 600.0), (0.8, 1200.0), (0.9, 2400.0)),
        )
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShare:
    """What one node measures: the mean of those that share the cells."""

    cells: int
    operations: float
    up_bytes: float
    down_bytes: float
    requests: Requests
    dollars: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeWork:
    """What one node does, and for how long, with the probe.

    `share` None: as much as fits into its time, and nobody knows how fast it is.
    """

    share: NodeShare | None
    duration_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetTimes:
    """In seconds from the start of the machines, if none is turned down; None where unknown.

    `half_*_s` and `most_*_s`: when half and nine tenths of the nodes that are wanted run, or of
    their measurements are stored. `billed_s`: running seconds of all machines together.
    """

    half_nodes_s: float | None
    most_nodes_s: float | None
    half_measured_s: float | None
    most_measured_s: float | None
    billed_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is to be expected of a fleet of `nodes` that are wanted and `asked` for.

    `longest_s`: what the longest operation may take; one that is under way at the end is not cut
    short.
    """

    engine: str
    experiment: str
    fleet: str
    nodes: int
    asked: int
    cells: int
    node: NodeWork
    upload_mbps: float | None
    download_mbps: float | None
    arrivals: MachineArrivals | None
    times: FleetTimes
    ends_in_s: float | None
    longest_s: float
    offers: tuple[Offer, ...]

    @property
    def nodes_per_cell(self) -> float | None:
        return None if self.node.share is None else self.nodes * self.node.share.cells / self.cells

    @property
    def likely_usd(self) -> tuple[float, float] | None:
        """With the cheapest and with the dearest machine; None where a time or price is unknown."""
        billed_s, prices = self.times.billed_s, [offer.usd_per_hour for offer in self.offers]
        if billed_s is None or not prices:
            return None
        return billed_s / 3600 * min(prices), billed_s / 3600 * max(prices)

    @property
    def most_usd(self) -> float | None:
        """With the dearest machine, each of them until the end; None: unknown, or without end."""
        if self.ends_in_s is None or not self.offers:
            return None
        hours = (self.ends_in_s + self.longest_s) / 3600
        return self.asked * hours * find_price(self.offers)


def find_price(offers: Sequence[Offer]) -> float:
    """Of the dearest of them: which one a machine will be is not known before."""
    return max(offer.usd_per_hour for offer in offers)


def find_longest_s(plan: Plan) -> float:
    """What one operation may take at most, whichever it is."""
    return max((operation.timeout_s or 0.0 for operation in plan.operations), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """Of a node; None: what the experiment asks of it, and where it asks nothing, unknown."""

    upload_mbps: float | None = None
    download_mbps: float | None = None

    def estimate(self, plan: Plan) -> Estimate:
        """What a plan takes at that."""
        return estimate(plan, upload_mbps=self.upload_mbps, download_mbps=self.download_mbps)


ANY_BANDWIDTH = Bandwidth()


def forecast(
    request: FleetRequest,
    engine: str,
    offers: tuple[Offer, ...],
    bandwidth: Bandwidth = ANY_BANDWIDTH,
    *,
    ends_in_s: float | None = None,
    starts_in_s: float | None = None,
) -> Forecast:
    """What is to be expected. `starts_in_s`: all nodes that are there by then begin together."""
    whole = _whole(request.spec, bandwidth)
    arrivals = ARRIVALS.get(engine)
    node = _node(request, whole, bandwidth)
    times = _Times(request, arrivals, node.duration_s, ends_in_s=ends_in_s, starts_in_s=starts_in_s)
    return Forecast(
        engine=engine,
        experiment=request.spec.name,
        fleet=request.fleet,
        nodes=request.nodes,
        asked=request.asked,
        cells=whole.cells,
        node=node,
        upload_mbps=whole.upload_mbps,
        download_mbps=whole.download_mbps,
        arrivals=arrivals,
        times=times.find(),
        ends_in_s=ends_in_s,
        longest_s=find_longest_s(expand(request.spec)),
        offers=offers,
    )


def _whole(spec: Spec, bandwidth: Bandwidth) -> Estimate:
    """Of one node that measures all cells."""
    is_timed = spec.fleet is not None and spec.fleet.for_s is not None
    return bandwidth.estimate(expand(spec, apart=is_timed))


def _node(request: FleetRequest, whole: Estimate, bandwidth: Bandwidth) -> NodeWork:
    fleet, probe_s = request.spec.fleet or Fleet(), _probe_s(request.spec.node)
    each = min(whole.cells, fleet.cells or whole.cells)
    if fleet.for_s is not None:
        if not whole.duration_s:
            return NodeWork(share=None, duration_s=fleet.for_s + probe_s)
        each = min(whole.cells, max(1, int(fleet.for_s / whole.duration_s * whole.cells)))
    found = _estimates(request, whole, each, bandwidth)
    known = [one.duration_s for one in found if one.duration_s is not None]
    duration_s = sum(known) / len(found) + probe_s if len(known) == len(found) else None
    if fleet.for_s is not None and each < whole.cells:
        duration_s = fleet.for_s + probe_s
    return NodeWork(share=_mean(found), duration_s=duration_s)


def _estimates(
    request: FleetRequest, whole: Estimate, each: int, bandwidth: Bandwidth
) -> Sequence[Estimate]:
    """Of the first nodes, whose cells are chosen as they do that themselves."""
    spec, fleet = request.spec, request.spec.fleet or Fleet()
    if each == whole.cells:
        return [whole]
    most = _MOST_OPERATIONS * whole.cells // (each * whole.operations or 1)
    most = 1 if fleet.together else max(1, min(_MOST_SHARES, request.nodes, most))
    shares: list[tuple[int, ...]] = []
    for number in range(most):
        chance = Random(f"{fleet.seed} {number}")  # noqa: S311 - no secret
        covered = share.count(shares, whole.cells)
        shares.append(share.least_covered(covered, each, chance))
    is_timed = fleet.for_s is not None
    return [bandwidth.estimate(expand(spec, only=cells, apart=is_timed)) for cells in shares]


def _mean(found: Sequence[Estimate]) -> NodeShare:
    nodes = len(found)

    def mean(value: Callable[[Estimate], float]) -> float:
        return sum(map(value, found)) / nodes

    total = sum((one.requests for one in found), Requests())
    return NodeShare(
        cells=found[0].cells,
        operations=mean(lambda one: one.operations),
        up_bytes=mean(lambda one: one.up_bytes),
        down_bytes=mean(lambda one: one.down_bytes),
        requests=Requests(
            class_a=round(total.class_a / nodes),
            class_b=round(total.class_b / nodes),
            free=round(total.free / nodes),
        ),
        dollars=_mean_dollars(found),
    )


def _mean_dollars(found: Sequence[Estimate]) -> dict[str, float | None]:
    total: dict[str, float | None] = {}
    for one in found:
        for provider, dollars in one.dollars.items():
            before = total.get(provider, 0.0)
            is_unknown = dollars is None or before is None
            total[provider] = None if is_unknown else (before or 0) + (dollars or 0) / len(found)
    return total


def _probe_s(rules: NodeRules) -> float:
    """How long a node measures its bandwidth at most before anything else."""
    ways = (rules.min_upload_mbps is not None) + (rules.min_download_mbps is not None)
    return 0.0 if rules.probe.method == "none" else ways * rules.probe.duration_s


class _Times:
    """When the machines of a fleet come, and what they have done by then."""

    def __init__(
        self,
        request: FleetRequest,
        arrivals: MachineArrivals | None,
        work_s: float | None,
        *,
        ends_in_s: float | None,
        starts_in_s: float | None,
    ) -> None:
        self._share = request.nodes / request.asked
        self._arrivals, self._work_s = arrivals, work_s
        self._ends_in_s, self._starts_in_s = ends_in_s, starts_in_s
        # Each stands for as many of those that are asked for.
        self._count = min(request.asked, _MOST_MACHINES)
        self._weight = request.asked / self._count
        self._wanted = request.nodes

    def find(self) -> FleetTimes:
        """All that is known."""
        arrivals, work_s = self._arrivals, self._work_s
        machines = [] if arrivals is None else self._machines(arrivals)
        known = bool(machines) and work_s is not None
        return FleetTimes(
            half_nodes_s=self._arrived_s(0.5),
            most_nodes_s=self._arrived_s(0.9),
            half_measured_s=self._measured_s(machines, work_s, 0.5) if known and work_s else None,
            most_measured_s=self._measured_s(machines, work_s, 0.9) if known and work_s else None,
            billed_s=self._billed_s(arrivals, machines, work_s) if arrivals and work_s else None,
        )

    def _arrived_s(self, part: float) -> float | None:
        """When such a part of the nodes that are wanted runs."""
        return self._arrivals.find_s(part * self._share) if self._arrivals else None

    def _machines(self, arrivals: MachineArrivals) -> list[float]:
        """When each machine comes, of those of which that is known, and that aren't late."""
        numbers = range(1, self._count + 1)
        found = (arrivals.find_s(number / self._count) for number in numbers)
        return [at_s for at_s in found if at_s is not None and not self._is_late(at_s)]

    def _is_late(self, at_s: float) -> bool:
        return self._starts_in_s is not None and at_s > self._starts_in_s

    def _begins_s(self, at_s: float) -> float:
        return max(at_s, self._starts_in_s or 0.0)

    def _measured_s(self, machines: Sequence[float], work_s: float, part: float) -> float | None:
        """When such a part of all measurements is stored; None where the end comes before."""

        def measured(at_s: float) -> float:
            begun = (at_s - self._begins_s(one) for one in machines)
            done = sum(max(0.0, min(1.0, passed_s / work_s)) for passed_s in begun)
            return self._weight * done / self._wanted

        low_s, high_s = 0.0, self._begins_s(machines[-1]) + work_s
        if measured(high_s) < part:
            return None
        for _ in range(_STEPS):
            middle_s = (low_s + high_s) / 2
            is_enough = measured(middle_s) >= part
            low_s, high_s = (low_s, middle_s) if is_enough else (middle_s, high_s)
        return None if self._ends_in_s is not None and high_s > self._ends_in_s else high_s

    def _billed_s(
        self, arrivals: MachineArrivals, machines: Sequence[float], work_s: float
    ) -> float | None:
        """All machines together: each until it is done, enough others are, or the end has come.

        Those of which nobody knows when they come count as coming with the last that are known.
        """
        done_s = self._starts_in_s or arrivals.find_s(self._share)
        if done_s is None:
            return None
        over_s = min(done_s + work_s, self._ends_in_s or math.inf)
        last_s, unknown = arrivals.points[-1][1], 0
        if not self._is_late(last_s):
            unknown = sum(
                arrivals.find_s(number / self._count) is None
                for number in range(1, self._count + 1)
            )
        come = (*machines, *([last_s] * unknown))
        ends = ((at_s, min(self._begins_s(at_s) + work_s, over_s)) for at_s in come)
        return self._weight * sum(max(0.0, end_s - at_s) for at_s, end_s in ends)
