"""A node behind a proxy: it works, its round trip is unknown, and its results say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Ran, hps, keys_of, target_text
from tests.conftest import ProxyFor
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: behind-proxy
targets:
{target}
node: {{max_rtt: 10s, min_upload: 1kbps, on_unknown: {on_unknown}, probe: {{seconds: 1}}}}
data: {{size: 1MiB}}
matrix: {{tool: [{tools}], settings: [default]}}
steps: [upload, delete]
"""
# A name that nobody knows but the proxy, which leads to the server.
_ENDPOINT = "http://s3.example.test"


def _run(
    folder: Path,
    server: S3Server,
    proxy: str,
    *,
    on_unknown: str,
    endpoint: str = _ENDPOINT,
    tools: str = "rclone",
) -> Ran:
    spec = folder / "proxied.yaml"
    target = target_text("s3", endpoint, server.bucket, folder=folder.name)
    spec.write_text(_SPEC.format(target=target, on_unknown=on_unknown, tools=tools))
    env = {
        **keys_of(server),
        "HTTP_PROXY": proxy.replace("http://", "http://user:password-of-proxy@"),
        "http_proxy": "http://127.0.0.1:1",
    }
    return hps("run", spec, "--output", folder / "out", "--format", "json", env=env)


@pytest.mark.prove
@pytest.mark.parametrize(("on_unknown", "code"), [("accept", 0), ("reject", 3)])
def test_the_round_trip_behind_a_proxy_is_unknown_and_the_experiment_says_what_follows(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path, on_unknown: str, code: int
) -> None:
    proxy = proxy_for(s3_server)
    ran = _run(tmp_path, s3_server, proxy.endpoint, on_unknown=on_unknown)
    assert ran.code == code, ran.err
    run = ran.records()[0]
    place = proxy.endpoint.removeprefix("http://")
    assert (run["probe"]["proxied"], run["probe"]["proxy"]) == (True, place)
    (check,) = [one for one in run["verdict"]["checks"] if one["name"] == "max_rtt"]
    assert check["outcome"] == "unknown"
    assert place in check["reason"]
    # What can be measured through it is.
    assert run["probe"]["upload_mbps"]["value"] > 0
    assert [one["status"] for one in ran.results()] == (["ok", "ok"] if code == 0 else [])
    assert "password-of-proxy" not in ran.err + "".join(
        path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()
    )


def test_what_is_on_this_machine_is_never_behind_a_proxy(
    s3_server: S3Server, tmp_path: Path
) -> None:
    ran = _run(
        tmp_path,
        s3_server,
        "http://127.0.0.1:1",
        on_unknown="reject",
        endpoint=s3_server.endpoint,
        tools="rclone, boto3, aws",
    )
    assert ran.code == 0, ran.err
    assert {one["tool"] for one in ran.results()} == {"rclone", "boto3", "aws"}
    probe = ran.records()[0]["probe"]
    assert (probe["proxied"], probe["proxy"]) == (False, None)
    assert len(probe["rtt"]["samples_s"]) == 10
