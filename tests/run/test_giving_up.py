"""Keys that expire in the middle: the rest is left, what is done is kept, and it goes on later."""

from __future__ import annotations

import json
from pathlib import Path

from hps.prove.http_head import RequestHead
from tests.command import Ran, Record, hps, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.servers.faults import Rule
from tests.servers.mistakes import MISTAKES
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: expiring
{targets}
data: {{size: 1KiB}}
matrix: {{target: [s3], chunk_size: [5MiB]}}
repetitions: 6
order: {{kind: declared}}
steps: [upload, download, verify, delete]
"""
_EXPIRED = next(one for one in MISTAKES if one.name == "expired_token")


class _Expiry:
    """True for every request from the `after`th object on."""

    def __init__(self, after: int) -> None:
        self.after, self.keys = after, set[str]()

    def __call__(self, head: RequestHead) -> bool:
        if head.method == "PUT":
            self.keys.add(head.key)
        return len(self.keys) > self.after


def _run(spec: Path, out: Path, server: S3Server, *options: str) -> Ran:
    fixed = ("--output", out, "--format", "json", "--no-check")
    return hps("run", spec, *fixed, *options, env=keys_of(server))


def _stored(out: Path) -> list[Record]:
    [journal] = out.rglob("*.jsonl")
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    return [record for record in records if record["kind"] == "result"]


def test_the_rest_is_left_and_the_same_command_goes_on(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    expiry = Rule(match=_Expiry(2), action=_EXPIRED.answer, times=None)
    proxy = proxy_for(s3_server, rules=(expiry,))
    spec, out = tmp_path / "expiring.yaml", tmp_path / "out"
    spec.write_text(_SPEC.format(targets=targets_yaml(proxy.endpoint, s3_server)))

    ran = _run(spec, out, s3_server)
    stored = _stored(out)
    expiry.used, expiry.times = 0, 0  # new keys
    again = _run(spec, out, s3_server)

    assert ran.code == 2, ran.err
    uploads = [one for one in stored if one["step"] == "upload"]
    assert [one["status"] for one in uploads] == ["ok"] * 2 + ["failed"] * 3 + ["skipped"]
    assert {one["reason_code"] for one in uploads[2:]} == {"expired_credentials"}
    assert [one.get("given_up") for one in stored[-4:]] == [True] * 4
    assert "the same command goes on" in ran.err
    # What had been done is not done again, and all of the rest is.
    assert again.code == 0, again.err
    last = {one["operation_id"]: one["status"] for one in _stored(out)}
    assert len(last) == 24
    assert set(last.values()) == {"ok"}
    assert len(_stored(out)) == len(stored) + 16


def test_it_is_not_given_up_where_that_is_switched_off(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    expiry = Rule(match=_Expiry(0), action=_EXPIRED.answer, times=None)
    proxy = proxy_for(s3_server, rules=(expiry,))
    spec, out = tmp_path / "expiring.yaml", tmp_path / "out"
    spec.write_text(_SPEC.format(targets=targets_yaml(proxy.endpoint, s3_server)))

    ran = _run(spec, out, s3_server, "--max-equal-failures", "0")

    assert ran.code == 1
    uploads = [one["status"] for one in _stored(out) if one["step"] == "upload"]
    assert uploads == ["failed"] * 6
