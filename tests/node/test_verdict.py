from __future__ import annotations

import json
import math
from dataclasses import asdict

import pytest

from hps.model import NodeRules, Reading, known, unknown
from hps.node.verdict import Outcome, Readings, judge

GIB = 1024**3
RULES = NodeRules(
    min_upload_mbps=20.0,
    min_download_mbps=50.0,
    max_rtt_s=0.3,
    min_gpu_memory_bytes=8 * GIB,
    min_disk_bytes=20 * GIB,
    countries=("de", "US"),
)
GOOD = Readings(
    upload_mbps=known(25.0),
    download_mbps=known(50.0),
    rtt_s=known(0.3),
    gpu_memory_bytes=known(24 * GIB),
    disk_bytes=known(20 * GIB),
    country=known("DE"),
)


def test_a_good_node_runs() -> None:
    verdict = judge(RULES, GOOD)
    assert (verdict.accepted, verdict.action, verdict.reasons) == (True, "run", ())
    assert [(check.name, check.outcome, check.unit) for check in verdict.checks] == [
        ("min_upload", "pass", "Mbps"),
        ("min_download", "pass", "Mbps"),
        ("max_rtt", "pass", "s"),
        ("min_gpu_memory", "pass", "bytes"),
        ("min_disk", "pass", "bytes"),
        ("countries", "pass", ""),
    ]


def test_without_rules_there_is_nothing_to_check() -> None:
    verdict = judge(NodeRules(), Readings())
    assert (verdict.accepted, verdict.action, verdict.checks) == (True, "run", ())


@pytest.mark.parametrize(
    ("rules", "readings", "reason"),
    [
        (
            NodeRules(min_upload_mbps=20.0),
            Readings(upload_mbps=known(9.98765432)),
            "min_upload: 9.98765 Mbps is less than 20 Mbps",
        ),
        (
            NodeRules(min_download_mbps=50.0),
            Readings(download_mbps=known(30.0)),
            "min_download: 30 Mbps is less than 50 Mbps",
        ),
        (
            NodeRules(max_rtt_s=0.3),
            Readings(rtt_s=known(0.31)),
            "max_rtt: 0.31 s is more than 0.3 s",
        ),
        (
            NodeRules(min_disk_bytes=20 * GIB),
            Readings(disk_bytes=known(GIB)),
            "min_disk: 1 GiB is less than 20 GiB",
        ),
        (
            NodeRules(min_gpu_memory_bytes=8 * GIB),
            Readings(gpu_memory_bytes=Reading(value=0, reason="no GPU: no driver")),
            "min_gpu_memory: 0 B is less than 8 GiB (no GPU: no driver)",
        ),
        (
            NodeRules(countries=("DE", "NO")),
            Readings(country=known("fr")),
            "countries: FR is not in DE, NO",
        ),
    ],
)
def test_a_failed_check_says_why(rules: NodeRules, readings: Readings, reason: str) -> None:
    verdict = judge(rules, readings)
    assert not verdict.accepted
    assert verdict.reasons == (reason,)
    assert [check.outcome for check in verdict.checks] == ["fail"]


@pytest.mark.parametrize("on_reject", ["reallocate", "exit", "continue"])
def test_what_follows_a_rejection_is_declared(on_reject: str) -> None:
    rules = NodeRules(min_upload_mbps=20.0, on_reject=on_reject)  # type: ignore[arg-type]
    verdict = judge(rules, Readings(upload_mbps=known(1.0)))
    assert (verdict.accepted, verdict.action) == (False, on_reject)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, "99999", None])
@pytest.mark.parametrize(("on_unknown", "accepted"), [("reject", False), ("accept", True)])
def test_an_unknown_is_no_number(
    bad: float | str | None, on_unknown: str, *, accepted: bool
) -> None:
    rules = NodeRules(min_upload_mbps=0.0, max_rtt_s=1e9, on_unknown=on_unknown)  # type: ignore[arg-type]
    reading = Reading(value=bad, reason="the bucket did not answer")
    verdict = judge(rules, Readings(upload_mbps=reading, rtt_s=reading))
    assert verdict.accepted is accepted
    assert [(check.outcome, check.value) for check in verdict.checks] == [("unknown", None)] * 2
    line = f"min_upload: unknown, the bucket did not answer (on_unknown: {on_unknown})"
    assert verdict.reasons[0] == line


def test_a_failure_is_not_excused_by_accepted_unknowns() -> None:
    rules = NodeRules(min_upload_mbps=20.0, max_rtt_s=0.3, on_unknown="accept")
    verdict = judge(rules, Readings(upload_mbps=known(1.0), rtt_s=unknown("no answer")))
    outcomes: list[Outcome] = [check.outcome for check in verdict.checks]
    assert (verdict.accepted, outcomes) == (False, ["fail", "unknown"])


def test_a_reading_that_was_never_taken_is_unknown() -> None:
    verdict = judge(RULES, Readings())
    assert {check.outcome for check in verdict.checks} == {"unknown"}
    assert {check.reason for check in verdict.checks} == {"not measured"}


def test_a_verdict_is_json() -> None:
    stored = json.loads(json.dumps(asdict(judge(RULES, GOOD)), allow_nan=False))
    assert stored["checks"][5]["bound"] == ["de", "US"]
    assert stored["action"] == "run"
