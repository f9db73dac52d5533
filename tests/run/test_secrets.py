"""The secret is in no place that anybody could read."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command import REPOSITORY, hps, targets_yaml
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: secrets
{targets}
data: {{size: 40MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [2]}}
repetitions: 2
steps: [upload, download, verify, delete]
"""


def _command_lines() -> bytes:
    """The arguments of every process of this machine that may be looked at."""
    texts = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            texts.append((path / "cmdline").read_bytes())
        except OSError:
            texts.append(b"")  # it has just ended
    return b"\n".join(texts)


def _files(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_good_run_shows_the_secret_nowhere(s3_server: S3Server, tmp_path: Path) -> None:
    spec, temporary = tmp_path / "s.yaml", tmp_path / "tmp"
    temporary.mkdir()
    spec.write_text(_SPEC.format(targets=targets_yaml(s3_server.endpoint, s3_server)))
    env = {
        **os.environ,
        "TEST_KEY_ID": s3_server.access_key_id,
        "TEST_SECRET": s3_server.secret_access_key,
        "TMPDIR": str(temporary),
    }
    command = [sys.executable, "-m", "hps", "run", str(spec), "--output", str(tmp_path / "out")]
    seen = []
    with subprocess.Popen(
        command,
        env=env,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        while running.poll() is None:
            seen += [_command_lines(), _files_that_stay(temporary)]
            time.sleep(0.05)
        assert running.stdout is not None
        seen.append(running.stdout.read())
    assert running.returncode == 0, seen[-1]
    seen.append(_files(tmp_path))

    everything = b"\n".join(seen)
    assert b"tool.log" in everything or b"multipart upload" in everything  # rclone's log was seen
    assert s3_server.secret_access_key.encode() not in everything
    assert s3_server.access_key_id.encode() not in _files(tmp_path)


@pytest.mark.prove
@pytest.mark.parametrize(("how", "code"), [("--check", 2), ("--no-check", 6)])
def test_a_failing_run_does_not_show_it_either(
    how: str, code: int, s3_server: S3Server, tmp_path: Path
) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(_SPEC.format(targets=targets_yaml(s3_server.endpoint, s3_server)))
    wrong = f"wrong/+{secrets.token_hex(16)}"

    ran = hps(
        "run",
        spec,
        how,
        "--output",
        tmp_path / "out",
        env={"TEST_KEY_ID": s3_server.access_key_id, "TEST_SECRET": wrong},
    )

    assert ran.code == code, ran.err  # unchecked, the results can't be stored with this key either
    assert "SignatureDoesNotMatch" in ran.err
    assert wrong not in ran.out + ran.err
    assert wrong.encode() not in _files(tmp_path)


def test_a_crash_does_not_show_it(tmp_path: Path) -> None:
    secret = f"crash{secrets.token_hex(16)}"
    program = (
        "import hps.cli.validate\n"
        "from hps.cli import main\n"
        "def crash(*_, **__):\n"
        f"    raise RuntimeError('it was ' + {secret!r})\n"
        "hps.cli.validate.check = crash\n"
        "import sys\n"
        "sys.argv = ['hps', 'plan', 'x.yaml']\n"
        "main.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MY_SECRET_KEY": secret},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 70
    assert "this is a bug of hps" in done.stderr
    assert "[MY_SECRET_KEY]" in done.stderr
    assert secret not in done.stdout + done.stderr


def test_an_unset_secret_is_named_before_anything_is_done(
    s3_server: S3Server, tmp_path: Path
) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(_SPEC.format(targets=targets_yaml(s3_server.endpoint, s3_server)))

    ran = hps("run", spec, "--output", tmp_path / "out", env={"TEST_KEY_ID": "x"})

    assert ran.code == 2
    assert "not set in the environment: TEST_SECRET" in ran.err
    assert not (tmp_path / "out").exists()


def _files_that_stay(folder: Path) -> bytes:
    texts = []
    try:
        paths = [*folder.rglob("*.log"), *folder.rglob("*.out")]
    except OSError:
        paths = []  # a folder has just been removed
    for path in paths:
        try:
            texts.append(path.read_bytes())
        except OSError:
            texts.append(b"")  # it has just been removed
    return b"\n".join(texts)
