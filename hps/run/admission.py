"""The decision before the first trial: are the targets usable, and is this node accepted?

facts -> round trips, bandwidth -> verdict -> the line that a run begins with, or is resumed with
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from hps import __version__
from hps.catalog.failures import failure
from hps.catalog.providers import address_of
from hps.model import (
    Failure,
    NodeRules,
    Plan,
    ProbeSettings,
    Reading,
    Spec,
    Target,
    Unknown,
    known,
    unknown,
)
from hps.node import facts as node_facts
from hps.node.bandwidth import STOPPED, RatePoint, Rates, no_rates
from hps.node.facts import NodeFacts, readings_of
from hps.node.probe import speedtest, target
from hps.node.probe.check import Waiting, check_all
from hps.node.probe.checked import TargetCheck
from hps.node.proxy import proxy_for
from hps.node.rtt import Rtt, measure_all
from hps.node.verdict import Check, Readings, Verdict, judge
from hps.process.stop import SignalStop
from hps.results.record import (
    Record,
    RunIdentity,
    failed_record,
    reason_fields,
    resume_record,
    run_record,
)
from hps.run.resume import ThisRun
from hps.run.session import Preflight, Session, Tools
from hps.run_folder import CHECK, PROBE, run_folder
from hps.steps.context import RunStop
from hps.targets.bucket import Link

SWITCHED_OFF = "the probe is switched off"
NOT_MEASURED = "not measured"

Event = Callable[..., object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What was measured of the way to the target. `rtt` is that to its endpoint.

    `proxy` is the host of the proxy on the way; None where there is none.
    """

    settings: ProbeSettings
    target: str
    rates: Rates
    rtt: Rtt | Unknown
    rtt_hosts: Mapping[str, Rtt | Unknown]
    proxy: str | None

    def as_data(self) -> dict[str, object]:
        """The JSON that is stored: null where unknown, with the reason."""
        return {
            "method": self.settings.method,
            "target": self.target,
            "connections": self.settings.connections,
            "proxied": self.proxy is not None,
            "proxy": self.proxy,
            "upload_mbps": asdict(self.rates.upload.mbps),
            "download_mbps": asdict(self.rates.download.mbps),
            "upload_points": _points(self.rates.upload.points),
            "download_points": _points(self.rates.download.points),
            "rtt": _rtt_data(self.rtt),
            "rtt_hosts": {host: _rtt_data(rtt) for host, rtt in self.rtt_hosts.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether the experiment runs here, and why.

    `failure` is why it can't run on any node, so that it is no reason to reject this one. `away` is
    why a target can't be reached from here.
    """

    probed: Probed
    verdict: Verdict
    failure: Failure | None = None
    away: Failure | None = None

    @property
    def rejected(self) -> bool:
        wanted = self.verdict.accepted or self.verdict.action == "continue"
        return self.failure is None and not wanted

    @property
    def runs(self) -> bool:
        return self.failure is None and not self.rejected

    def as_data(self) -> dict[str, object]:
        """The probe and the verdict, as fields of the run line."""
        data: dict[str, object] = {
            "probe": self.probed.as_data(),
            "verdict": asdict(self.verdict),
        }
        return data if self.away is None else data | reason_fields(self.away)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A node, and its link to the target that is probed."""

    facts: NodeFacts
    target: Target
    link: Link
    event: Event = field(repr=False)


def admit(session: Session, this: ThisRun, store: Callable[[Record], None]) -> Admission:
    """Judge the node, and store the line that a run begins with, or is resumed with."""
    spec, started_at, before = session.plan.spec, session.started_at, this.before
    facts = collect_facts(session.env, session.tools, measure_disk=not session.stop.is_set())
    decision = _decide_here(session, this.identity, facts)
    known = {"hps": __version__, "node": asdict(facts), **decision.as_data()}
    if session.member is not None:
        known["fleet"] = session.member.as_data()
    if decision.failure is not None and before is None:
        why = decision.failure
        store(failed_record(this.identity, spec, why, started_at=started_at, facts=known))
        return decision
    names = {"run_id": this.identity.run_id, "journal": str(this.journal)}
    if before is None:
        store(run_record(this.identity, session.plan, started_at=started_at, facts=known))
        session.listener.event("run_started", **names)
        return decision
    remaining = sum(task.recorded for task in this.tasks)
    store(resume_record(this.identity, started_at=started_at, remaining=remaining, facts=known))
    operations = len(session.plan.operations)
    session.listener.event("run_resumed", **names, left=remaining, of=operations)
    return decision


def _decide_here(session: Session, identity: RunIdentity, facts: NodeFacts) -> Admission:
    """Decide; nothing is measured of a node that can't reach a target."""
    spec, tools, why = session.plan.spec, session.tools, session.preflight.failure
    stop, event = session.stop, session.listener.event
    if why is None:
        return decide(spec, identity, facts, tools, stop, event)
    candidate = _candidate(session.preflight.target, identity, facts, tools, stop, event)
    return _reject(spec.node, candidate, why)


def collect_facts(env: Mapping[str, str], tools: Tools, *, measure_disk: bool = True) -> NodeFacts:
    return node_facts.collect(
        env, tools.scratch, tools.version, measure_disk=measure_disk, look_for_gpu=True
    )


def decide(
    spec: Spec,
    identity: RunIdentity,
    facts: NodeFacts,
    tools: Tools,
    stop: RunStop,
    event: Event,
) -> Admission:
    """Probe this node as the experiment says, and judge it.

    Never raises for a node that is no good.
    """
    name = spec.node.probe.target or spec.results.target
    return _decide(spec.node, _candidate(name, identity, facts, tools, stop, event))


def can_reject(rules: NodeRules, why: Failure) -> bool:
    """True where another node may do better, and the experiment's rules ask for one."""
    has_rules = rules.on_reject != "continue" and bool(judge(rules, Readings()).checks)
    return why.may_reject and has_rules


def _candidate(
    target: str,
    identity: RunIdentity,
    facts: NodeFacts,
    tools: Tools,
    stop: RunStop,
    event: Event,
) -> Candidate:
    data_folder = run_folder(identity.experiment, identity.run_id).key
    return Candidate(
        facts=facts,
        target=tools.targets[target],
        link=tools.link(target, f"{data_folder}/{PROBE}", stop),
        event=event,
    )


def _decide(rules: NodeRules, candidate: Candidate) -> Admission:
    """Measure what the rules ask for, and judge."""
    probed = _probe(rules, candidate)
    readings = replace(
        readings_of(candidate.facts),
        upload_mbps=probed.rates.upload.mbps,
        download_mbps=probed.rates.download.mbps,
        rtt_s=_rtt_reading(probed.rtt),
    )
    verdict, why = judge(rules, readings), _why_on_no_node(candidate.target, probed.rates)
    if verdict.checks and why is None:
        candidate.event(
            "node_judged",
            accepted=verdict.accepted,
            action=verdict.action,
            reasons=list(verdict.reasons),
        )
    return Admission(probed=probed, verdict=verdict, failure=why)


def _reject(rules: NodeRules, candidate: Candidate, why: Failure) -> Admission:
    """The verdict on a node from which a target can't be reached."""
    check = Check(
        name="reach",
        value=None,
        bound=(str(address_of(candidate.target)),),
        unit="",
        outcome="fail",
        reason=why.reason,
        reason_code=why.code,
        reason_owner=why.owner,
    )
    verdict = Verdict(
        accepted=False, action=rules.on_reject, reasons=(f"reach: {why.reason}",), checks=(check,)
    )
    probed = Probed(
        settings=rules.probe,
        target=candidate.target.name,
        rates=no_rates(why),
        rtt=Unknown(reason=NOT_MEASURED),
        rtt_hosts={},
        proxy=_proxy_to(candidate.target),
    )
    candidate.event("node_judged", accepted=False, action=verdict.action, reasons=[why.reason])
    return Admission(probed=probed, verdict=verdict, away=why)


def _why_on_no_node(target: Target, rates: Rates) -> Failure | None:
    """Why nothing was measured, where that would be so on any node; else None."""
    for reading in (rates.download.mbps, rates.upload.mbps):
        if reading.reason_code:
            text = f"target '{target.name}': {reading.reason}"
            why = failure(reading.reason_code, text, hint="")
            if not why.may_reject:
                return why
    return None


def _probe(rules: NodeRules, candidate: Candidate) -> Probed:
    proxy = _proxy_to(candidate.target)
    rtt, hosts = _round_trips(rules, candidate, proxy)
    return Probed(
        settings=rules.probe,
        target=candidate.target.name,
        rates=_rates(rules, candidate),
        rtt=rtt,
        rtt_hosts=hosts,
        proxy=proxy,
    )


def _proxy_to(probed: Target) -> str | None:
    return proxy_for(address_of(probed) or "", os.environ)


def _round_trips(
    rules: NodeRules, candidate: Candidate, proxy: str | None
) -> tuple[Rtt | Unknown, Mapping[str, Rtt | Unknown]]:
    """Measure to the endpoint and the other hosts, before the bandwidth probe fills the link.

    Behind a proxy only a connect to the proxy could be timed, or its answer to CONNECT, which waits
    for its own look-up and connection: neither is a round trip to the target.
    """
    hosts = rules.probe.rtt_hosts
    if candidate.link.stop.is_set():
        return Unknown(reason=STOPPED.text), {}
    if not (hosts or judge(rules, Readings()).checks):
        return Unknown(reason=NOT_MEASURED), {}
    endpoint = str(address_of(candidate.target))
    direct = (*hosts, endpoint) if proxy is None else hosts
    candidate.event("round_trips_started", hosts=list(direct))
    measured = measure_all(direct)
    behind = Unknown(reason=f"behind the proxy {proxy}, no round trip to the target can be timed")
    return measured.get(endpoint, behind), {host: measured[host] for host in hosts}


def _rates(rules: NodeRules, candidate: Candidate) -> Rates:
    if rules.min_upload_mbps is None and rules.min_download_mbps is None:
        return no_rates(NOT_MEASURED)
    if rules.probe.method == "none":
        return no_rates(SWITCHED_OFF)
    if candidate.link.stop.is_set():
        return no_rates(STOPPED)
    if rules.probe.method == "speedtest":
        candidate.event("probe_started", method="speedtest")
        return speedtest.measure(candidate.link)
    return target.measure(candidate.link, rules.probe, candidate.event)


def _points(points: tuple[RatePoint, ...]) -> list[list[float]]:
    """Seconds and bytes since the first point."""
    if not points:
        return []
    first = points[0]
    return [
        [round(point.t_s - first.t_s, 3), point.bytes_total - first.bytes_total] for point in points
    ]


def _rtt_data(rtt: Rtt | Unknown) -> dict[str, object]:
    if isinstance(rtt, Rtt):
        return {**asdict(rtt), "reason": ""}
    return {
        "median_s": None,
        "jitter_s": None,
        "samples_s": [],
        "failures": None,
        "address": None,
        "reason": rtt.reason,
    }


def _rtt_reading(rtt: Rtt | Unknown) -> Reading:
    return known(rtt.median_s) if isinstance(rtt, Rtt) else unknown(rtt.reason)


# -------------------------------------------------------------------------------------------------
# Before anything is measured: can every target of the plan be used, and if not, whose fault is it?
#
# targets of the plan -> each checked -> what follows: the run begins, a mistake, another node


def used_targets(plan: Plan) -> tuple[str, ...]:
    """The targets that operations use, in the order of the experiment."""
    names = {operation.cell.knobs.target for operation in plan.operations}
    return tuple(name for name in plan.spec.targets if name in names)


def _probed_target(spec: Spec) -> tuple[str, ...]:
    """The target that bandwidth is measured to, if any."""
    rules = spec.node
    asked = rules.min_upload_mbps is not None or rules.min_download_mbps is not None
    by_target = asked and rules.probe.method == "target"
    return (rules.probe.target or spec.results.target,) if by_target else ()


def check_targets(
    plan: Plan,
    run_id: str,
    tools: Tools,
    stop: SignalStop,
    waiting: Waiting,
    *,
    embedded: bool = False,
) -> Preflight:
    """Check each target that the plan uses, the one that is probed, and that of the results.

    Embedded targets, which this program itself starts, are checked only with `embedded`.
    """
    used = used_targets(plan)
    names = dict.fromkeys((*used, *_probed_target(plan.spec), plan.spec.results.target))
    folder = run_folder(plan.spec.name, run_id).key
    links = {
        name: (tools.link(name, f"{folder}/{CHECK}{number}", stop), tools.targets[name])
        for number, name in enumerate(names)
        if embedded or plan.spec.targets[name].provider != "embedded"
    }
    checked = check_all(links, multipart=_multipart_targets(plan), patient=used, waiting=waiting)
    return preflight_of(checked, used, plan.spec.results.target)


def preflight_of(checked: tuple[TargetCheck, ...], used: Sequence[str], results: str) -> Preflight:
    """What follows from the checks: a mistake anywhere comes first, then a target that is away.

    Of a target that no data moves to, only a mistake keeps a run from beginning: what a probe that
    fails means is for the experiment's rules.
    """
    wrong = [(check.target, check.failure) for check in checked if check.failure is not None]
    in_order = sorted(wrong, key=lambda pair: not pair[1].is_of_the_experiment)
    for name, why in in_order:
        if name in used or why.is_of_the_experiment:
            named = replace(why, text=f"target '{name}': {why.text}")
            return Preflight(checked=checked, failure=named, target=name)
    away = next((why for name, why in wrong if name == results), None)
    return Preflight(checked=checked, away=away)


def _multipart_targets(plan: Plan) -> frozenset[str]:
    """The targets of multipart uploads."""
    return frozenset(
        operation.cell.knobs.target
        for operation in plan.operations
        if operation.direction == "up"
        and operation.effective is not None
        and operation.effective.chunk_size_bytes < operation.cell.knobs.size_bytes
    )
