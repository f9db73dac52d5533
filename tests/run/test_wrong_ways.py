"""The way to a target is wrong in the file or the environment: on no node will it be better."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hps.catalog.failures import failure
from hps.model import Target
from hps.node.probe.check import explain_connection
from hps.node.probe.checked import TriedCall
from tests.command import Ran, hps, keys_of, target_text
from tests.conftest import ProxyFor
from tests.run.salad import salad_node
from tests.servers.faults import Respond, Rule, Say
from tests.servers.proxy import RecordingProxy
from tests.servers.rclone_s3 import serve_s3
from tests.servers.s3_answers import refusal
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: {name}
targets:
{target}
{node}
data: {{size: 10MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [1]}}
steps: [upload, download, delete]
"""
_RULES = "node: {min_upload: 1Mbps, on_reject: reallocate, probe: {seconds: 1}}"
_ELSEWHERE = "http://s3.elsewhere.test"


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serve_s3(tmp_path_factory.mktemp("tls"), tls=True) as server:
        yield server


def _spec(folder: Path, target: str) -> Path:
    path = folder / "ways.yaml"
    path.write_text(_SPEC.format(name=f"w-{folder.name}"[:60], target=target, node=_RULES))
    return path


def _assert_not_held_against_the_node(
    folder: Path, proxy: RecordingProxy, target: str, env: dict[str, str], code: str, says: str
) -> None:
    """A run with the usual patience on a node that can ask for another."""
    server = S3Server(
        endpoint="", access_key_id="k", secret_access_key="s", bucket="bucket", provider=""
    )
    spec = _spec(folder, target)
    with salad_node(proxy) as node:
        with _more(env):
            ran = node.run(spec, server, "--output", str(folder / "out"))
        asked = node.service.asked.is_set()
    _assert_told(ran, code, says)
    assert not asked


def _assert_told(ran: Ran, code: str, says: str) -> None:
    assert ran.code == 2, ran.err
    assert "target_away" not in ran.err
    assert "Traceback" not in ran.err
    assert f'"{code}"' in ran.err
    assert says in ran.err.splitlines()[-1], ran.err


@contextmanager
def _more(env: dict[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        yield


@pytest.mark.parametrize(
    ("endpoint", "code", "says"),
    [
        (lambda tls, _: tls.endpoint, "bad_certificate", "`ca_cert`"),
        (lambda tls, _: tls.endpoint.replace("https", "http"), "bad_endpoint", "endpoint"),
        (lambda _, moto: moto.endpoint.replace("http", "https"), "bad_endpoint", "no TLS"),
    ],
    ids=["self-signed", "http-to-https", "https-to-http"],
)
def test_the_endpoint(
    tls_server: S3Server,
    moto_server: S3Server,
    proxy_for: ProxyFor,
    tmp_path: Path,
    endpoint: Callable[[S3Server, S3Server], str],
    code: str,
    says: str,
) -> None:
    target = target_text("s3", endpoint(tls_server, moto_server), "bucket")
    proxy = proxy_for(moto_server)
    _assert_not_held_against_the_node(tmp_path, proxy, target, {}, code, says)


def test_a_server_that_sends_on_to_https(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    sent_on = Respond(status=301, headers={"Location": "https://127.0.0.1:9/"})
    proxy = proxy_for(s3_server, rules=(Rule(match=lambda _: True, action=sent_on, times=None),))
    target = target_text("s3", proxy.endpoint, "bucket")
    says = "write https:// in the endpoint"
    _assert_not_held_against_the_node(tmp_path, proxy, target, {}, "bad_endpoint", says)


@pytest.mark.prove
@pytest.mark.parametrize(
    ("address", "proxy_address"),
    [
        (_ELSEWHERE, lambda _, __: "http://127.0.0.1:9"),
        (_ELSEWHERE, lambda _, __: "not an address"),
        (_ELSEWHERE, lambda tls, _: tls.endpoint.replace("https", "http")),
        (_ELSEWHERE.replace("http", "https"), lambda _, plain: plain.endpoint),
    ],
    ids=["refuses", "is-none", "speaks-https", "tunnels-nothing"],
)
def test_the_proxy(
    tls_server: S3Server,
    s3_server: S3Server,
    proxy_for: ProxyFor,
    tmp_path: Path,
    address: str,
    proxy_address: Callable[[S3Server, S3Server], str],
) -> None:
    named = proxy_address(tls_server, s3_server)
    env = {"HTTP_PROXY": named, "HTTPS_PROXY": named}
    target, proxy = target_text("s3", address, "bucket"), proxy_for(s3_server)
    _assert_not_held_against_the_node(tmp_path, proxy, target, env, "bad_proxy", "HTTP_PROXY")


def test_what_is_no_http_at_all(s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path) -> None:
    banner = Say(raw=b"SSH-2.0-OpenSSH_9.6\r\n", early=True)
    proxy = proxy_for(s3_server, rules=(Rule(match=lambda _: True, action=banner, times=None),))
    target = target_text("s3", proxy.endpoint, "bucket")
    _assert_not_held_against_the_node(tmp_path, proxy, target, {}, "bad_endpoint", "endpoint")


_PROBED = """\
api: hps/v1
name: {name}
targets:
{targets}
node: {{min_upload: 1Mbps, on_reject: reallocate, probe: {{target: probed, seconds: 1}}}}
results: {{target: s3}}
data: {{size: 10MiB}}
matrix: {{target: [s3], chunk_size: [5MiB], concurrency: [1]}}
steps: [upload, download, delete]
"""


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_target_that_is_only_probed(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path, command: str
) -> None:
    good = target_text("s3", s3_server.endpoint, "bucket")
    wrong = target_text("probed", s3_server.endpoint, "no-such")
    spec = tmp_path / "probed.yaml"
    spec.write_text(_PROBED.format(name=f"w-{tmp_path.name}"[:60], targets=f"{good}\n{wrong}"))
    with salad_node(proxy_for(s3_server)) as node:
        env = {**node.env(s3_server), "HPS_OUTPUT": str(tmp_path / "out")}
        ran = hps(command, spec, env=env, cwd=tmp_path)
        assert not node.service.asked.is_set()
    assert ran.code == 2, ran.err
    assert "404 NoSuchBucket" in ran.out + ran.err
    assert "probe_started" not in ran.err


def test_what_a_check_could_not_delete_is_told_by_a_run(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    denied = refusal(403, "AccessDenied", "Access Denied")
    rule = Rule(match=lambda head: head.method == "DELETE", action=denied, times=None)
    proxy = proxy_for(s3_server, rules=(rule,))
    spec = _spec(tmp_path, target_text("s3", proxy.endpoint, "bucket"))
    ran = hps("run", spec, "--output", tmp_path / "out", env=keys_of(s3_server))
    assert ran.code == 2, ran.err
    events = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    (left,) = [one["key"] for one in events if one["event"] == "clean_up_failed"]
    proxy.rules.clear()
    cleaned = hps(
        "clean",
        spec,
        "--older-than",
        "0s",
        "--yes",
        "--output",
        tmp_path / "out",
        env=keys_of(s3_server),
    )
    assert "1 object" in cleaned.out, cleaned.out + cleaned.err + left


@pytest.mark.parametrize("command", ["run", "check", "clean", "node"])
@pytest.mark.parametrize("which", ["missing", "folder", "junk"])
def test_a_ca_cert_that_is_none(
    tls_server: S3Server, tmp_path: Path, command: str, which: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "junk").write_text("no certificate")
    path = tmp_path / which
    spec = _spec(tmp_path, target_text("s3", tls_server.endpoint, "bucket", ca_cert=path))
    ran = hps(command, spec, env=keys_of(tls_server), cwd=tmp_path)
    assert ran.code == 2, ran.err
    assert f"target 's3': its ca_cert {path}: " in ran.err
    assert "Traceback" not in ran.err


_R2 = Target(
    name="r2", provider="cloudflare", endpoint="https://a.r2.cloudflarestorage.com", bucket="b"
)


@pytest.mark.parametrize(
    ("target", "env", "code"),
    [
        (_R2, {}, "tls"),
        (_R2, {"HTTPS_PROXY": "http://10.0.0.1:3128"}, "bad_certificate"),
        (_R2, {"SSL_CERT_FILE": "/etc/own.pem"}, "bad_certificate"),
        (replace(_R2, ca_cert="own.pem"), {}, "bad_certificate"),
        (replace(_R2, provider="other", endpoint="https://s3.test"), {}, "bad_certificate"),
    ],
)
def test_a_certificate_that_is_not_trusted_for_a_host_of_a_provider_is_of_the_way(
    monkeypatch: pytest.MonkeyPatch, target: Target, env: dict[str, str], code: str
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    tried = TriedCall(
        name="write", duration_s=0.1, failure=failure("bad_certificate", "signed by X")
    )
    why = explain_connection(tried, target).failure
    assert why is not None
    assert why.code == code


def test_a_bucket_in_the_name_of_the_host(tmp_path: Path, s3_server: S3Server) -> None:
    target = target_text("s3", "http://s3.invalid", "bucket").replace("style: true", "style: false")
    ran = hps("check", _spec(tmp_path, target), env=keys_of(s3_server), cwd=tmp_path)
    assert "Traceback" not in ran.err
    if ran.code == 2:  # servers of names were asked, and know that there is no such name
        assert "force_path_style: true" in " ".join(ran.out.split())
