"""The decision before the first trial: is this machine good enough?

facts -> round trips, bandwidth -> verdict
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from hps.catalog.failures import failure
from hps.model import Failure, NodeRules, ProbeSettings, Reading, Target, Unknown, known, unknown
from hps.node.bandwidth import STOPPED, RatePoint, Rates, nothing
from hps.node.facts import NodeFacts, readings_of
from hps.node.probe import speedtest, target
from hps.node.proxy import proxy_for
from hps.node.rtt import Rtt, measure_all
from hps.node.verdict import Check, Readings, Verdict, judge
from hps.results.record import reason_fields
from hps.targets.link import Bounded, Link
from hps.tools.rclone.remote import address_of

SWITCHED_OFF = "the probe is switched off"
NOT_MEASURED = "not measured"
_FETCH_TIMEOUT_S = 60.0
# rclone: for the names of some hundred thousand objects.
_FETCH_MOST_BYTES = 256 * 1024**2
# rclone: the folder is not there.
_NO_FOLDER = 3

Event = Callable[..., object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What was measured of the way to the target. `rtt` is that to its endpoint.

    `proxy` is the host of the proxy in the way; None: there is none.
    """

    settings: ProbeSettings
    target: str
    rates: Rates
    rtt: Rtt | Unknown
    rtt_hosts: Mapping[str, Rtt | Unknown]
    proxy: str | None

    def as_data(self) -> dict[str, object]:
        """As it is stored: null where unknown, with the reason."""
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
    """Whether the experiment runs here, and on what grounds.

    `failure` is what keeps it from running that no node can help: it is not held against this one.
    `away` is why a target can't be reached from here.
    """

    probed: Probed
    verdict: Verdict
    failure: Failure | None = None
    away: Failure | None = None

    @property
    def rejected(self) -> bool:
        """True where this node is turned down."""
        wanted = self.verdict.accepted or self.verdict.action == "continue"
        return self.failure is None and not wanted

    @property
    def runs(self) -> bool:
        """True where the experiment is to run here."""
        return self.failure is None and not self.rejected

    def as_data(self) -> dict[str, object]:
        """Its part of the run line."""
        data: dict[str, object] = {
            "probe": self.probed.as_data(),
            "verdict": asdict(self.verdict),
        }
        return data if self.away is None else data | reason_fields(self.away)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A node and its way to the target that is probed."""

    facts: NodeFacts
    target: Target
    link: Link
    event: Event = field(repr=False)


def decide(rules: NodeRules, candidate: Candidate) -> Admission:
    """Measure what the rules ask for, and judge. Never raises for a node that is no good."""
    probed = _probe(rules, candidate)
    readings = replace(
        readings_of(candidate.facts),
        upload_mbps=probed.rates.upload.mbps,
        download_mbps=probed.rates.download.mbps,
        rtt_s=_rtt_reading(probed.rtt),
    )
    verdict, why = judge(rules, readings), _of_no_node(candidate.target, probed.rates)
    if verdict.checks and why is None:
        candidate.event(
            "node_judged",
            accepted=verdict.accepted,
            action=verdict.action,
            reasons=list(verdict.reasons),
        )
    return Admission(probed=probed, verdict=verdict, failure=why)


def turn_down(rules: NodeRules, candidate: Candidate, why: Failure) -> Admission:
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
        rates=nothing(why),
        rtt=Unknown(reason=NOT_MEASURED),
        rtt_hosts={},
        proxy=_proxy_to(candidate.target),
    )
    candidate.event("node_judged", accepted=False, action=verdict.action, reasons=[why.reason])
    return Admission(probed=probed, verdict=verdict, away=why)


def has_rules(rules: NodeRules) -> bool:
    """True where the experiment turns nodes down."""
    return rules.on_reject != "continue" and bool(judge(rules, Readings()).checks)


def _of_no_node(target: Target, rates: Rates) -> Failure | None:
    """Why nothing was measured, where that is neither the node's fault nor that of its way."""
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
    """To the endpoint and the other hosts, before the bandwidth probe fills the link.

    Behind a proxy only the way to the proxy could be timed, or its answer to CONNECT, which waits
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
        return nothing(NOT_MEASURED)
    if rules.probe.method == "none":
        return nothing(SWITCHED_OFF)
    if candidate.link.stop.is_set():
        return nothing(STOPPED)
    if rules.probe.method == "speedtest":
        candidate.event("probe_started", method="speedtest")
        return speedtest.measure(candidate.link)
    return target.measure(candidate.link, rules.probe, candidate.event)


def fetch_journals(link: Link, wanted: str, into: Path) -> Failure | None:
    """Copy the journals below the link's folder that `wanted` names, such as `/machine/*.jsonl`.

    Returns why that failed.
    """
    call = link.call("copy", link.place(), str(into), f"--include={wanted}")
    bounded = Bounded(out=link.scratch / "fetch.out", most_bytes=_FETCH_MOST_BYTES)
    ended = link.run(
        call, timeout_s=_FETCH_TIMEOUT_S, name="fetch", stop=link.stop, sampler=bounded
    )
    if ended.ended == "exit" and ended.returncode in {0, _NO_FOLDER}:
        return None
    return bounded.failure or link.why("fetch", ended)


def _points(points: tuple[RatePoint, ...]) -> list[list[float]]:
    """Seconds since the first look, and bytes since then."""
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
