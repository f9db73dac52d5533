"""While the results' bucket is away the sweep goes on; once it is back it gets everything."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from tests.command import Ran, hps, keys_of
from tests.conftest import ProxyFor
from tests.servers.faults import Action, Respond, Rule, Stall
from tests.servers.proxy import RecordingProxy
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

_PATIENCE_S = 120.0
_TRIALS = 9
_SPEC = """\
api: hps/v1
name: {name}
targets:
  data: {{provider: embedded}}
  store:
    provider: other
    endpoint: {endpoint}
    bucket: {bucket}
    folder: outage
    force_path_style: true
    access_key_id: {{env: TEST_KEY_ID}}
    secret_access_key: {{env: TEST_SECRET}}
data: {{size: 1MiB}}
matrix: {{target: [data]}}
repetitions: {trials}
steps: [upload, {{pause: {{duration: 1s}}}}]
results: {{target: store}}
"""


class _Running:
    """A run in a thread, and what is on disk of it."""

    def __init__(self, folder: Path, proxy: RecordingProxy, server: S3Server, name: str) -> None:
        self.folder = folder
        spec = folder / f"{name}.yaml"
        spec.write_text(
            _SPEC.format(name=name, endpoint=proxy.endpoint, bucket=server.bucket, trials=_TRIALS)
        )
        arguments = ("run", spec, "--output", folder / "out", "--format", "json")
        self.ran: list[Ran] = []
        self._thread = threading.Thread(
            target=lambda: self.ran.append(hps(*arguments, env=keys_of(server)))
        )
        self._thread.start()

    def wait_for_results(self, count: int) -> None:
        deadline_s = time.monotonic() + _PATIENCE_S
        while sum(text.count('"operation_id"') for text in self._journals()) < count:
            assert time.monotonic() < deadline_s, "the results did not come in time"
            assert self._thread.is_alive(), self.ran
            time.sleep(0.05)

    def end(self) -> Ran:
        self._thread.join(_PATIENCE_S)
        return self.ran[0]

    def _journals(self) -> list[str]:
        return [path.read_text() for path in (self.folder / "out").rglob("*.jsonl")]


@pytest.mark.prove
@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("failing", Respond(status=500, body=b"<Error><Code>InternalError</Code></Error>")),
        ("hanging", Stall(seconds=600)),
    ],
)
def test_an_outage_only_delays_the_results(
    name: str, action: Action, s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    running = _Running(tmp_path, proxy, s3_server, name)
    running.wait_for_results(1)
    proxy.rules.append(Rule(match=lambda _: True, action=action, times=None))
    # It is long enough for one sending at least, which comes every five seconds.
    running.wait_for_results(2 * _TRIALS - 3)
    proxy.rules.clear()
    ran = running.end()

    assert ran.code == 0, ran.err
    assert [record["status"] for record in ran.results()] == ["ok"] * 2 * _TRIALS
    assert "results_delayed" in ran.err
    (journal,) = (tmp_path / "out").rglob("*.jsonl")
    place = f"T:{s3_server.bucket}/outage/results/{name}/{journal.parent.name}/{journal.name}"
    sent = run_rclone(["cat", place], env=remote_environment(s3_server)).stdout
    assert [json.loads(line) for line in sent.splitlines()] == [
        json.loads(line) for line in journal.read_text().splitlines()
    ]
