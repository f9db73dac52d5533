"""A variable whose value is surely a mistake: every command that would use it ends first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Ran, hps, keys_of, target_text
from tests.conftest import ProxyFor
from tests.servers.proxy import RecordingProxy
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: odd-variables
targets:
{target}
data: {{size: 1MiB}}
steps: [upload, delete]
node: {{min_upload: 1kbps, on_reject: exit}}
"""
_BY_FILE = [
    ("validate", "FILE"),
    ("plan", "FILE"),
    ("run", "FILE", "--output", "OUT"),
    ("check", "FILE"),
    ("node", "FILE"),
    ("clean", "FILE", "--yes", "--output", "OUT"),
    ("results", "pull", "FILE", "--from", "FILE", "--cache", "OUT"),
]
_BY_NAME = [
    ("run", "@:x.yaml", "--output", "OUT"),
    ("validate", "@:x.yaml"),
    ("results", "pull", "--from", "@", "--cache", "OUT"),
]


@pytest.fixture
def proxy(s3_server: S3Server, proxy_for: ProxyFor) -> RecordingProxy:
    return proxy_for(s3_server)


def _refused(ran: Ran, proxy: RecordingProxy, name: str, what: str, value: str) -> None:
    told = ran.out + ran.err
    assert ran.code == 2, told
    assert f"the environment variable {name} {what}" in told
    assert value not in told
    assert "Traceback" not in told
    assert proxy.requests() == ()


@pytest.mark.parametrize("command", _BY_FILE, ids=" ".join)
def test_a_secret_that_an_experiment_names(
    s3_server: S3Server, proxy: RecordingProxy, tmp_path: Path, command: tuple[str, ...]
) -> None:
    spec = tmp_path / "odd.yaml"
    text = target_text("s3", proxy.endpoint, s3_server.bucket)
    spec.write_text(_SPEC.format(target=text))
    words = [{"FILE": str(spec), "OUT": str(tmp_path)}.get(word, word) for word in command]
    env = {**keys_of(s3_server), "TEST_SECRET": f"{s3_server.secret_access_key}\n"}
    ran = hps(*words, env=env)
    _refused(ran, proxy, "TEST_SECRET", "ends in a line break", s3_server.secret_access_key)
    assert "odd.yaml:" in ran.out + ran.err


@pytest.mark.parametrize("which", ["endpoint", "bucket", "folder"])
def test_where_a_target_is(
    s3_server: S3Server, proxy: RecordingProxy, tmp_path: Path, which: str
) -> None:
    value = {"endpoint": proxy.endpoint, "bucket": s3_server.bucket, "folder": "tests"}[which]
    spec = tmp_path / "odd.yaml"
    text = target_text("s3", proxy.endpoint, s3_server.bucket)
    spec.write_text(
        _SPEC.format(target=text.replace(f"{which}: {value}", f"{which}: ${{PLACE_OF_IT}}"))
    )
    env = {**keys_of(s3_server), "PLACE_OF_IT": f"'{value}'"}
    ran = hps("run", spec, "--output", tmp_path, env=env)
    _refused(ran, proxy, "PLACE_OF_IT", "stands in quotes", f"'{value}'")


def _r2(proxy: RecordingProxy, server: S3Server) -> dict[str, str]:
    return {
        "CLOUDFLARE_ENDPOINT_URL": proxy.endpoint,
        "CLOUDFLARE_ID": server.access_key_id,
        "CLOUDFLARE_KEY": server.secret_access_key,
        "CLOUDFLARE_REGION": "auto",
        "BUCKET": server.bucket,
        "FOLDER": "nothing-here",
    }


def _s3(proxy: RecordingProxy, server: S3Server) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": proxy.endpoint,
        "AWS_ACCESS_KEY_ID": server.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
        "AWS_SESSION_TOKEN": "token-of-a-session",
        "AWS_REGION": "us-east-1",
        "BUCKET": server.bucket,
        "FOLDER": "nothing-here",
    }


@pytest.mark.parametrize("command", _BY_NAME, ids=" ".join)
def test_the_keys_of_a_well_known_target(
    s3_server: S3Server, proxy: RecordingProxy, tmp_path: Path, command: tuple[str, ...]
) -> None:
    words = [word.replace("@", "r2").replace("OUT", str(tmp_path)) for word in command]
    secret = s3_server.secret_access_key
    env = {**_r2(proxy, s3_server), "CLOUDFLARE_KEY": f"{secret}\r"}
    ran = hps(*words, env=env)
    _refused(ran, proxy, "CLOUDFLARE_KEY", "ends in a carriage return", secret)


@pytest.mark.parametrize(
    ("target", "name"),
    [("r2", name) for name in ("CLOUDFLARE_ENDPOINT_URL", "CLOUDFLARE_ID", "CLOUDFLARE_REGION")]
    + [("s3", name) for name in ("AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_REGION", "FOLDER")]
    + [("r2", "BUCKET")],
)
def test_each_variable_of_a_well_known_target(
    s3_server: S3Server, proxy: RecordingProxy, tmp_path: Path, target: str, name: str
) -> None:
    env = {"r2": _r2, "s3": _s3}[target](proxy, s3_server)
    odd = f"{env[name]} "
    ran = hps("results", "pull", "--from", target, "--cache", tmp_path, env={**env, name: odd})
    _refused(ran, proxy, name, "ends in a blank", odd)


@pytest.mark.parametrize("name", ["EXPERIMENT", "HPS_OUTPUT"])
def test_what_is_run_and_where_its_results_go(tmp_path: Path, name: str) -> None:
    env = {"EXPERIMENT": "experiments/quickstart.yaml", "HPS_OUTPUT": str(tmp_path / "out")}
    ran = hps("run", env={**env, name: f"{env[name]}\r"})
    assert ran.code == 2
    assert f"the environment variable {name} ends in a carriage return" in ran.err
    assert list(tmp_path.iterdir()) == []
