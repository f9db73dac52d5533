"""A tool that makes less of the streams that were asked for is found by what it does, not says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Record, hps, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.servers.proxy import RecordingProxy, data_requests, peak_in_flight
from tests.servers.rclone_s3 import find_rclone
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: held
{targets}
data: {{size: {size}, files: {files}}}
matrix: {{chunk_size: [5MiB], concurrency: [8], transfers: [4]}}
steps: [upload]
"""
_TOOL = """\
#!/bin/sh
for given; do
  shift
  case $given in FLAG=*) given=FLAG=2 ;; esac
  set -- "$@" "$given"
done
exec RCLONE "$@"
"""


def _tool(folder: Path, flag: str) -> dict[str, str]:
    """An rclone that makes 2 of any number, and nothing of it in its log."""
    path = folder / "rclone"
    path.write_text(_TOOL.replace("FLAG", flag).replace("RCLONE", find_rclone()))
    path.chmod(0o755)
    return {"HPS_RCLONE": str(path)} if flag else {}


def _upload(
    size: str,
    files: int,
    proxy: RecordingProxy,
    server: S3Server,
    folder: Path,
    env: dict[str, str],
) -> tuple[Record, int]:
    """The result, and how many requests were really in flight at once."""
    spec = folder / "held.yaml"
    targets = targets_yaml(proxy.endpoint, server)
    spec.write_text(_SPEC.format(targets=targets, size=size, files=files))
    run = ("run", spec, "--output", folder, "--format", "json")
    ran = hps(*run, env={**keys_of(server), **env})
    assert ran.out, ran.err
    (result,) = ran.results()
    seen = [one for one in proxy.requests() if one.key.startswith("tests/data/")]
    return result, peak_in_flight(data_requests(seen, "up"))


@pytest.mark.prove
@pytest.mark.parametrize(
    ("flag", "size", "files", "reason"),
    [
        ("--s3-upload-concurrency", "80MiB", 1, "2 streams a file, not 8"),
        ("--transfers", "1MiB", 12, "2 files at once, not 4"),
    ],
)
def test_fewer_at_once_than_asked_for_is_no_number(
    flag: str,
    size: str,
    files: int,
    reason: str,
    s3_server: S3Server,
    proxy_for: ProxyFor,
    tmp_path: Path,
) -> None:
    proxy = proxy_for(s3_server, min_data_s=1.2)
    result, most = _upload(size, files, proxy, s3_server, tmp_path, _tool(tmp_path, flag))
    assert most == 2
    assert (result["status"], result["reason_code"]) == ("invalid", "not_as_declared")
    assert result["reason"] == reason


@pytest.mark.prove
@pytest.mark.parametrize(("size", "files"), [("80MiB", 1), ("1MiB", 12)])
def test_as_many_as_asked_for_are_proved_by_what_was_seen(
    size: str, files: int, s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    in_flight = 8 if files == 1 else 4
    proxy = proxy_for(s3_server, min_data_s=1.5)
    result, most = _upload(size, files, proxy, s3_server, tmp_path, {})
    assert (result["status"], result["reason"], most) == ("ok", "", in_flight)
    applied = result["effective"]["concurrency" if files == 1 else "transfers"]
    assert applied == in_flight
