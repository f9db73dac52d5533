"""What each child is told of this process' environment: what it needs, and nothing else."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hps.tools.rclone.command import child_env
from tests.command import REPOSITORY, hps, keys_of, target_text
from tests.servers.rclone_s3 import find_rclone
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: children
targets:
{target}
  local: {{provider: embedded}}
results: {{target: s3}}
data: {{size: 100KiB}}
matrix: {{target: [s3, local]}}
steps: [upload, {{pause: {{duration: 2s}}}}, download, delete]
"""
# A shell that writes down what it was told has a few of its own.
_OF_A_SHELL = {"PWD", "OLDPWD", "SHLVL", "_"}
_ANY = {"PATH", "HOME", "TMPDIR", "RCLONE_CONFIG", "TZ", "LC_ALL", "HPS_CHILD"}
_FOREIGN = {
    "SOME_API_TOKEN": "a-token-of-others",
    "HPS_VAR_X": "x",
    "RCLONE_BWLIMIT": "1k",
    "PYTHONSTARTUP": "/nowhere",
    "GIT_DIR": "/nowhere",
    "AWS_SECRET_ACCESS_KEY": "a-key-of-others",
}


def _wrapper(program: str, folder: Path, said: Path) -> Path:
    path = folder / Path(program).name
    path.write_text(
        f'#!/bin/sh\necho "== $* ==" >>{shlex.quote(str(said))}\n'
        f'env | cut -d= -f1 >>{shlex.quote(str(said))}\nexec {shlex.quote(program)} "$@"\n'
    )
    path.chmod(0o755)
    return path


def _told(said: Path) -> dict[str, set[str]]:
    """The names that calls were told of, by their arguments."""
    calls = [call.split(" ==\n") for call in said.read_text().split("== ")[1:]]
    return {arguments: set(names.split()) - _OF_A_SHELL for arguments, names in calls}


def _environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
    return {**kept, **_FOREIGN, **more}


def test_the_tool_the_sender_the_server_and_the_guard(s3_server: S3Server, tmp_path: Path) -> None:
    target = target_text("s3", s3_server.endpoint, s3_server.bucket, folder=tmp_path.name)
    (tmp_path / "s.yaml").write_text(_SPEC.format(target=target))
    said, guards = tmp_path / "said", set()
    rclone = _wrapper(find_rclone(), tmp_path, said)
    with subprocess.Popen(
        [sys.executable, "-m", "hps", "run", tmp_path / "s.yaml", "--output", tmp_path / "out"],
        env=_environment(tmp_path, HPS_RCLONE=str(rclone), **keys_of(s3_server)),
        cwd=REPOSITORY,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as running:
        parent = psutil.Process(running.pid)
        while running.poll() is None:
            for child in parent.children():
                try:
                    if any(part.endswith("guard.py") for part in child.cmdline()):
                        guards.add(frozenset(child.environ()))
                except psutil.Error:
                    continue
    assert running.returncode == 0

    assert guards == {frozenset()}
    told = _told(said)
    for arguments, names in told.items():
        assert not names & set(_FOREIGN), arguments
        theirs = {name for name in names if name.startswith("RCLONE_CONFIG_")}
        assert names - theirs <= _ANY | {"RCLONE_AUTH_KEY"}, arguments
        assert ("RCLONE_AUTH_KEY" in names) == arguments.startswith("serve"), arguments
    served = next(names for arguments, names in told.items() if arguments.startswith("serve"))
    assert not [name for name in served if name.startswith("RCLONE_CONFIG_")]
    kinds = {arguments.split()[0] for arguments in told}
    assert {"version", "serve", "rcd", "copyto"} <= kinds


def test_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = subprocess.run(["which", "git"], capture_output=True, text=True, check=True)
    said, folder = tmp_path / "said", tmp_path / "bin"
    folder.mkdir()
    _wrapper(found.stdout.strip(), folder, said)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    ran = hps("validate", f"git+file://{tmp_path}/none.git@main#s.yaml", env=_FOREIGN)
    assert ran.code == 2
    for arguments, names in _told(said).items():
        assert not names & set(_FOREIGN), arguments
        own = {name for name in names if name.startswith("GIT_")}
        assert names - own <= {*_ANY, "SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY", "no_proxy"} | {
            name for name in os.environ if name.lower() in {"http_proxy", "https_proxy"}
        }


def test_speedtest_and_whatever_else_talks_to_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _FOREIGN.items():
        monkeypatch.setenv(name, value)
    allowed = _ANY | {"SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY", "no_proxy"}
    names = {name for name in child_env(None, {}) if "http" not in name.lower()}
    assert names <= allowed
