"""What a server says to folders and to missing objects is what the result says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hps.prove.http_head import RequestHead
from tests.command import Record, hps, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.servers.faults import Action, Reset, Rule
from tests.servers.s3_answers import call_of, refusal
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: said
{targets}
data: {{size: 1KiB, files: {files}}}
matrix: {{target: [s3], chunk_size: [5MiB]}}
steps: {steps}
"""
_DENIED = refusal(403, "AccessDenied", "Access Denied")
_BAD = refusal(400, "AuthorizationHeaderMalformed", "the region 'x' is wrong; expecting 'eu-1'")
_UP = ("PutObject", "HeadObject", "ListObjectsV2")


def _results(
    folder: Path, server: S3Server, proxy_for: ProxyFor, rule: Rule, *, files: int, steps: str
) -> dict[str, Record]:
    proxy = proxy_for(server, rules=(rule,))
    spec = folder / "said.yaml"
    targets = targets_yaml(proxy.endpoint, server)
    spec.write_text(_SPEC.format(targets=targets, files=files, steps=steps))
    options = ("--no-check", "--output", folder / "out", "--format", "json")
    ran = hps("run", spec, *options, env=keys_of(server))
    return {record["step"]: record for record in ran.results()}


def _at(*calls: str) -> Callable[[RequestHead], bool]:
    return lambda head: call_of(head) in calls


@pytest.mark.prove
@pytest.mark.parametrize("step", ["upload", "sync_up"])
@pytest.mark.parametrize(
    ("answer", "says", "code"),
    [
        (_DENIED, "403 AccessDenied", "no_permission"),
        (_BAD, "another region: eu-1", "wrong_region"),
        (Reset(), "the connection was reset", "connection_lost"),
    ],
)
def test_a_folder_that_goes_up(
    step: str,
    answer: Action,
    says: str,
    code: str,
    s3_server: S3Server,
    proxy_for: ProxyFor,
    tmp_path: Path,
) -> None:
    rule = Rule(match=_at(*_UP), action=answer, times=None)
    results = _results(tmp_path, s3_server, proxy_for, rule, files=2, steps=f"[{step}]")

    assert results[step]["status"] == "failed"
    assert says in results[step]["reason"]
    assert results[step]["reason_code"] == code


@pytest.mark.parametrize(("up", "down"), [("upload", "download"), ("sync_up", "sync_down")])
def test_a_folder_that_comes_down(
    up: str, down: str, s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    rule = Rule(match=_at("GetObject"), action=_DENIED, times=None)
    results = _results(tmp_path, s3_server, proxy_for, rule, files=2, steps=f"[{up}, {down}]")

    assert results[up]["status"] == "ok", results[up]["reason"]
    assert "403 AccessDenied to GetObject" in results[down]["reason"]
    assert results[down]["reason_owner"] == "experiment"


def test_an_object_that_is_missing_fails_the_download(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    heads: list[str] = []

    def after_the_upload(head: RequestHead) -> bool:
        """The object is gone after the upload; of its folder the server lists nothing wrong."""
        call = call_of(head)
        heads.extend([call] if call == "HeadObject" else [])
        return len(heads) > 1 and call in {"HeadObject", "GetObject"}

    gone = refusal(404, "NoSuchKey", "The specified key does not exist.")
    rule = Rule(match=after_the_upload, action=gone, times=None)
    results = _results(tmp_path, s3_server, proxy_for, rule, files=1, steps="[upload, download]")

    assert results["upload"]["status"] == "ok", results["upload"]["reason"]
    assert results["download"]["status"] == "failed"
    assert results["download"]["reason_code"] == "not_found"
