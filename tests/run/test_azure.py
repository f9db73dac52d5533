"""Whole runs on Azure's Blob Storage, played by Azurite: each kind of credentials, and clean-up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, quote

import pytest

from tests.command import AZURE_KEY_ENV, REPOSITORY, azure_target_text, hps
from tests.conftest import ProxyFor
from tests.secrets.watched import watch
from tests.servers.authority import Authority, serve_authority
from tests.servers.azurite import BlobServer
from tests.servers.faults import Rule, Stall

_SPEC = """\
api: hps/v1
name: {name}
targets:
{target}
{node}
data: {{size: 6MiB, files: 2}}
matrix: {{chunk_size: [5MiB], concurrency: [2]}}
steps: {steps}
"""
_ALL = "[upload, list, download, verify, delete, sync_up, sync_down, delete]"
# On a busy machine what one second shows is rightly unknown.
_RULES = "node: {min_upload: 1kbps, min_download: 1kbps, on_unknown: accept, probe: {seconds: 1}}"
_SAS = "sas_token: {env: TEST_SAS}"
_PATIENCE_S = 60.0


def _write(
    folder: Path, target: str, *, steps: str = _ALL, node: str = "", name: str = "azure"
) -> Path:
    spec = folder / "azure.yaml"
    spec.write_text(_SPEC.format(name=name, target=target, steps=steps, node=node))
    return spec


@pytest.fixture
def authority(azurite_tls: BlobServer, tmp_path: Path) -> Iterator[Authority]:
    """Who gives tokens, with the certificate of Azurite."""
    assert azurite_tls.ca_cert is not None
    with serve_authority(tmp_path, azurite_tls.ca_cert) as served:
        yield served


def _way(
    way: str, server: BlobServer, authority: Authority
) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """The lines of a target, the variables that it names, and what may be nowhere."""
    sas = server.sas()
    signature = parse_qs(sas)["sig"][0]
    ways: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
        "key": (f"account_key: {{env: {AZURE_KEY_ENV}}}", {AZURE_KEY_ENV: server.key}, ()),
        # As the portal shows it, with the mark before it.
        "signature": (_SAS, {"TEST_SAS": f"?{sas}"}, (signature, sas)),
        # Its tenant, which is no secret, stands in rclone's own log.
        "principal": (
            f"{authority.credentials}\n    authority: {authority.address}",
            authority.environment,
            (authority.client_secret,),
        ),
    }
    return ways[way]


@pytest.mark.parametrize("way", ["key", "signature", "principal"])
def test_a_run_by_each_kind_of_credentials_shows_none_of_them(
    way: str, azurite_tls: BlobServer, authority: Authority, tmp_path: Path
) -> None:
    """With the check before it, and a probe; all over TLS, since tokens need it."""
    credentials, env, hidden = _way(way, azurite_tls, authority)
    target = azure_target_text(
        "az",
        azurite_tls.endpoint,
        azurite_tls,
        credentials=credentials,
        ca_cert=authority.ca_cert,
    )
    name = f"azure-{way}"
    spec = _write(tmp_path, target, node=_RULES, name=name)

    seen = watch("run", spec, "--output", tmp_path / "out", env=env, folder=tmp_path)

    journal = next((tmp_path / "out").rglob("*.jsonl"))
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    results = [record for record in records if record["kind"] == "result"]
    assert [result["status"] for result in results] == ["ok"] * 8, seen.places["file stderr"]
    assert seen.code == 0
    assert records[0]["targets"]["az"]["account"] == azurite_tls.account
    ours = [key for key in azurite_tls.names() if name in key]
    assert sorted(Path(key).suffix for key in ours) == [".csv", ".jsonl", ".txt"]
    for secret in {azurite_tls.key, *hidden, *authority.given}:
        for spelled in (secret, quote(secret, safe="")):
            assert not [place for place, text in seen.places.items() if spelled in text]
    assert bool(authority.given) == (way == "principal")


@pytest.mark.parametrize(
    ("mistake", "code", "words"),
    [
        ("wrong key", "bad_credentials", "400 InvalidAuthenticationInfo"),
        ("no key at all", "bad_credentials", "the account key is no base64"),
        ("no such container", "no_such_bucket", "404 ContainerNotFound"),
        ("may not write", "no_permission", "403 AuthorizationPermissionMismatch"),
        ("expired", "no_permission", "403 AuthorizationFailure"),
        ("wrong secret", "bad_credentials", "AADSTS7000215: Invalid client secret provided"),
    ],
)
def test_mistakes_are_explained_before_anything_runs(
    mistake: str,
    code: str,
    words: str,
    azurite_tls: BlobServer,
    authority: Authority,
    tmp_path: Path,
) -> None:
    server, by_key = azurite_tls, f"account_key: {{env: {AZURE_KEY_ENV}}}"
    credentials, env = {
        "wrong key": (by_key, {AZURE_KEY_ENV: f"AAAA{server.key[4:]}"}),
        "no key at all": (by_key, {AZURE_KEY_ENV: "no key!"}),
        "no such container": (by_key, {AZURE_KEY_ENV: server.key}),
        "may not write": (_SAS, {"TEST_SAS": server.sas("rl")}),
        "expired": (_SAS, {"TEST_SAS": server.sas(valid_s=-60)}),
        "wrong secret": (
            f"{authority.credentials}\n    authority: {authority.address}",
            {**authority.environment, "TEST_CLIENT_SECRET": "another-secret"},
        ),
    }[mistake]
    server = replace(server, container="none") if mistake == "no such container" else server
    target = azure_target_text(
        "az", server.endpoint, server, credentials=credentials, ca_cert=authority.ca_cert
    )

    ran = hps("check", _write(tmp_path, target), "--format", "json", env=env)

    assert ran.code == 2, ran.err
    (first,) = [call for call in json.loads(ran.out)[0]["calls"] if call["name"] == "write"]
    assert first["reason_code"] == code
    assert words in first["reason"]


@pytest.mark.parametrize("moment", ["upload", "pause"])
def test_a_killed_run_leaves_nothing_that_is_not_cleaned_or_taken_up(
    moment: str, azurite: BlobServer, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    """Blocks that were not committed are no object, and nothing is there to be aborted."""
    slow = Rule(
        match=lambda head: head.kind == "part" and moment == "upload",
        action=Stall(seconds=60),
        times=4,  # each block of both files, in the first run alone
    )
    proxy = proxy_for(azurite, rules=(slow,))
    target = azure_target_text("az", f"{proxy.endpoint}/{azurite.account}", azurite)
    name = f"killed-{moment}"
    steps = f"[upload, {{pause: {{duration: {'20s' if moment == 'pause' else '1s'}}}}}, delete]"
    spec = _write(tmp_path, target, steps=steps, name=name)
    env = {AZURE_KEY_ENV: azurite.key}
    data = f"tests/data/{name}/"

    def uploaded() -> bool:
        return len([key for key in azurite.names() if key.startswith(data)]) == 2

    under_way = uploaded if moment == "pause" else lambda: slow.used == 4
    _kill(spec, tmp_path / "out", env, under_way)

    cleaned = hps(
        *("clean", spec, "--output", tmp_path / "out", "--older-than=0s", "--yes"), env=env
    )
    assert cleaned.code == 0, cleaned.err
    assert ("removed" in cleaned.out) == (moment == "pause")
    assert not [key for key in azurite.names() if key.startswith(data)]

    again = hps("run", spec, "--output", tmp_path / "out", "--format", "json", env=env)

    assert again.code == 0, again.err
    assert {record["status"] for record in again.results()} == {"ok"}
    assert not [key for key in azurite.names() if key.startswith(data)]


def _kill(spec: Path, output: Path, env: dict[str, str], under_way: Callable[[], bool]) -> None:
    """Run it until something is under way, then kill `hps` alone."""
    with subprocess.Popen(
        [sys.executable, "-m", "hps", "run", str(spec), "--output", str(output)],
        env={**os.environ, **env},
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        ends_s = time.monotonic() + _PATIENCE_S
        while not under_way():
            assert running.poll() is None
            assert time.monotonic() < ends_s, "it did not happen in time"
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
