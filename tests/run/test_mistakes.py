"""An operator's mistake is never held against a node; what only this node meets is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("openapi_core", reason="openapi-core is not installed")

from tests.command import Ran, hps, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.run.salad import salad_node
from tests.servers.faults import Rule, Stall
from tests.servers.mistakes import ELSEWHERE, MISTAKES
from tests.servers.proxy import RecordingProxy
from tests.servers.s3_answers import Mistake, hides_missing_keys, refusal
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: {name}
{targets}
{node}
data: {{size: 10MiB}}
matrix: {{target: [s3], chunk_size: [5MiB], concurrency: [1]}}
steps: [upload, download, delete]
"""
_RULES = "node: {min_upload: 1Mbps, on_reject: reallocate, probe: {target: s3, seconds: 1}}"
# Only a run meets them: a preflight ends no upload, and need not ask for an object's head.
_IN_THE_MIDDLE = ("head_400", "head_301", "small_parts", "unequal_parts_r2")
_AT_ONCE = [mistake for mistake in MISTAKES if mistake.name not in _IN_THE_MIDDLE]
_LATER = [mistake for mistake in MISTAKES if mistake.name in _IN_THE_MIDDLE]


def _name(mistake: Mistake) -> str:
    return mistake.name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """How a run ended, whether another node was asked for, and what is stored on this machine."""

    ran: Ran
    reallocated: bool
    journals: tuple[Path, ...]

    def failures(self) -> set[tuple[str, str]]:
        """Code and owner of all that was printed or stored as JSON."""
        texts = [self.ran.out, self.ran.err, *(path.read_text() for path in self.journals)]
        lines = [line for text in texts for line in text.splitlines() if line.startswith("{")]
        return {pair for line in lines for pair in _failures(json.loads(line))}


def _failures(value: object) -> Iterator[tuple[str, str]]:
    """Code and owner of every failure in a record, at any depth."""
    if isinstance(value, dict):
        if value.get("reason_code"):
            yield value["reason_code"], value["reason_owner"]
        for inner in value.values():
            yield from _failures(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _failures(inner)


def _spec(folder: Path, proxy: RecordingProxy, server: S3Server, node: str = _RULES) -> Path:
    """Data goes through the proxy, results straight to the server."""
    path = folder / "mistakes.yaml"
    targets = targets_yaml(proxy.endpoint, server)
    path.write_text(_SPEC.format(name=f"m-{folder.name}"[:60], targets=targets, node=node))
    return path


def _on_node(folder: Path, proxy: RecordingProxy, server: S3Server) -> _Left:
    spec = _spec(folder, proxy, server)
    options = ("--output", str(folder / "out"), "--format", "json", "--wait", "1s")
    with salad_node(proxy) as node:
        ran = node.run(spec, server, *options)
        asked = node.service.asked.is_set()
    assert "Traceback" not in ran.err
    return _Left(ran=ran, reallocated=asked, journals=tuple(folder.rglob("*.jsonl")))


@pytest.mark.prove
@pytest.mark.parametrize("mistake", _AT_ONCE, ids=_name)
def test_a_mistake_ends_the_run_before_a_byte_moves(
    mistake: Mistake, s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server, rules=(mistake.rule(),))

    left = _on_node(tmp_path, proxy, s3_server)

    assert left.ran.code == 2, left.ran.err
    assert not left.reallocated
    assert (mistake.code, "experiment") in left.failures(), left.ran.err
    assert mistake.says in left.ran.err
    # The preflight's own: ten requests at most, and none that carries a payload.
    requests = proxy.requests()
    assert len(requests) <= 10
    assert sum(r.body_bytes for r in requests if r.direction == "up") < 1024**2


@pytest.mark.prove
@pytest.mark.parametrize("mistake", _LATER, ids=_name)
def test_a_mistake_that_only_a_run_meets_is_not_held_against_the_node(
    mistake: Mistake, s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server, rules=(mistake.rule(),))

    left = _on_node(tmp_path, proxy, s3_server)

    assert left.ran.code in {1, 2}, left.ran.err
    assert not left.reallocated
    assert (mistake.code, "experiment") in left.failures(), left.ran.err
    assert mistake.says in left.ran.err


@pytest.mark.prove
@pytest.mark.parametrize("mistake", ELSEWHERE, ids=_name)
def test_what_another_node_may_not_meet_rejects_this_one(
    mistake: Mistake, s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server, rules=(mistake.rule(),))

    left = _on_node(tmp_path, proxy, s3_server)

    assert left.ran.code == 3, left.ran.err
    assert left.reallocated
    assert (mistake.code, mistake.owner) in left.failures(), left.ran.err


def test_a_port_that_refuses_this_node_alone_rejects_it(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    with proxy.refusing():
        left = _on_node(tmp_path, proxy, s3_server)

    assert left.ran.code == 3, left.ran.err
    assert left.reallocated
    assert ("refused", "target") in left.failures()


@pytest.mark.prove
def test_a_server_that_never_answers_rejects_the_node(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    silent = Rule(match=lambda head: True, action=Stall(seconds=120), times=None)
    proxy = proxy_for(s3_server, rules=(silent,))

    left = _on_node(tmp_path, proxy, s3_server)

    assert left.ran.code == 3, left.ran.err
    assert left.reallocated
    assert ("timeout", "target") in left.failures()


def _without_rules(folder: Path, proxy: RecordingProxy, server: S3Server) -> Ran:
    spec = _spec(folder, proxy, server, node="")
    return hps("run", spec, "--output", folder / "out", "--wait", "1s", env=keys_of(server))


@pytest.mark.parametrize("name", ["slow_down", "skewed", "bad_gateway"])
def test_without_rules_what_is_nobodys_mistake_fails_the_run(
    name: str, s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    (met,) = [mistake for mistake in ELSEWHERE if mistake.name == name]
    ran = _without_rules(tmp_path, proxy_for(s3_server, rules=(met.rule(),)), s3_server)
    assert ran.code == 1, ran.err


def test_without_rules_a_refused_port_fails_the_run(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    with proxy.refusing():
        ran = _without_rules(tmp_path, proxy, s3_server)
    assert ran.code == 1, ran.err


def test_without_rules_a_mistake_is_one_too(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server, rules=(MISTAKES[0].rule(),))
    assert _without_rules(tmp_path, proxy, s3_server).code == 2


def test_a_target_that_is_away_for_a_moment_is_waited_for(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    spec = _spec(tmp_path, proxy, s3_server, node="")
    with ExitStack() as away:
        away.enter_context(proxy.refusing())
        back = threading.Timer(3.0, away.close)
        back.start()
        ran = hps(
            "run", spec, "--output", tmp_path / "out", "--wait", "60s", env=keys_of(s3_server)
        )
        back.join()
    assert ran.code == 0, ran.err


@pytest.mark.prove
def test_a_policy_that_hides_missing_keys_is_enough(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    denied = refusal(403, "AccessDenied", "Access Denied")
    proxy = proxy_for(s3_server, rules=(hides_missing_keys(denied),))

    left = _on_node(tmp_path, proxy, s3_server)

    assert left.ran.code == 0, left.ran.err
    assert left.failures() == set()
