"""`python -m bench.link` as a person runs it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from bench.link import EXIT_NO_LINK
from tests.bench.machine import WHY_NOT, needs_link
from tests.command import REPOSITORY

LINK = (sys.executable, "-m", "bench.link", "--rtt", "20ms", "--up", "100Mbps", "--down", "200Mbps")
_TIMEOUT_S = 120
_EXPERIMENT = """\
api: hps/v1
name: over-a-link
targets:
  r2:
    provider: cloudflare
    endpoint: ${CLOUDFLARE_ENDPOINT_URL:?where it is}
    access_key_id: {env: CLOUDFLARE_ID}
    secret_access_key: {env: CLOUDFLARE_KEY}
    bucket: ${BUCKET:?which}
    folder: ${FOLDER:?where in it}
data: {size: 6MiB}
matrix: {chunk_size: [5MiB], concurrency: [2]}
steps: [upload, download, verify, delete]
"""


def run(*arguments: str | Path, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run with these arguments added; `before` is a program that runs it."""
    return subprocess.run(
        [*before, *LINK, *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


def inhabitants(inode: int) -> list[int]:
    """Processes in this network namespace, or holding it open in a file."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            held = [folder / "ns" / "net", *(folder / "fd").iterdir()]
            if any(path.readlink() == Path(f"net:[{inode}]") for path in held):
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def wait_until_gone(pids: list[int], inodes: list[int]) -> None:
    """Until no such process is alive, and none is left in or holds these namespaces."""
    deadline_s = time.monotonic() + 60
    while any(map(psutil.pid_exists, pids)) or any(map(inhabitants, inodes)):
        assert time.monotonic() < deadline_s, "something is left"
        time.sleep(0.05)


@needs_link
@pytest.mark.parametrize("code", [0, 7])
def test_the_commands_exit_code_and_output_are_its_own(code: int) -> None:
    done = run("--", "sh", "-c", f"echo answer; echo event >&2; exit {code}")
    assert (done.returncode, done.stdout) == (code, "answer\n")
    assert done.stderr.startswith("event\n")
    assert re.search(r"^ *up +0 +0\.000", done.stderr, re.MULTILINE)


@needs_link
def test_a_command_that_a_signal_ended() -> None:
    assert run("--", "sh", "-c", "kill -9 $$").returncode == 128 + signal.SIGKILL


@needs_link
def test_a_command_that_is_not_there() -> None:
    done = run("--", "no-such-program")
    assert done.returncode == 127
    assert "no-such-program" in done.stderr


@needs_link
def test_counters_are_written_as_json(tmp_path: Path) -> None:
    place = tmp_path / "counters.json"
    script = (
        "import os, socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "[s.sendto(bytes(500), (os.environ['HPS_LINK_HOST'], 9)) for _ in range(10)]"
    )
    code = f"{script}; raise SystemExit(3)"
    assert (
        run("--counters", place, "--cc", "reno", "--", sys.executable, "-c", code).returncode == 3
    )
    written = json.loads(place.read_text())
    assert written["exit_code"] == 3
    assert written["settings"]["down_mbps"] == 200
    assert written["tcp"]["congestion_control"] == "reno"
    assert written["counters"]["up"]["delivered_bytes"] == 10 * 528


@pytest.mark.parametrize(
    "wrong",
    [
        ("--rtt", "80", "--", "true"),
        ("--rtt", "-1ms", "--", "true"),
        ("--up", "0Mbps", "--", "true"),
        ("--loss", "0.1", "--", "true"),
        ("--loss", "100%", "--", "true"),
        ("--queue", "50", "--", "true"),
        ("--queue", "100B", "--", "true"),
        ("--mtu", "9", "--", "true"),
        ("--seed", "x", "--", "true"),
        ("--counters", "/no/such/folder/file", "--", "true"),
        ("--check", "--", "true"),
        ("--check", "--s3"),
        ("--",),
        (),
    ],
)
def test_bad_settings_are_refused(wrong: tuple[str, ...]) -> None:
    done = run(*wrong)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


@needs_link
def test_a_congestion_control_that_the_kernel_has_not_is_refused() -> None:
    done = run("--cc", "none-such", "--", "true")
    assert done.returncode == 2
    assert "none-such" in done.stderr


@pytest.mark.skipif(not WHY_NOT, reason="this machine can make a link")
def test_a_machine_that_can_make_no_link_says_so() -> None:
    done = run("--", "echo", "ran")
    assert (done.returncode, done.stdout) == (EXIT_NO_LINK, "")
    assert done.stderr


@needs_link
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
@pytest.mark.parametrize("capability", ["sys_admin", "net_admin"])
def test_without_the_rights_there_is_no_link_and_no_loopback(capability: str) -> None:
    done = run("--", "echo", "ran", before=("setpriv", f"--bounding-set=-{capability}"))
    assert (done.returncode, done.stdout) == (EXIT_NO_LINK, "")
    assert "run as root" in done.stderr


@needs_link
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_without_tun_there_is_no_link_and_no_loopback() -> None:
    hide = 'mount -t tmpfs none /dev/net && exec "$@"'
    done = run("--", "echo", "ran", before=("unshare", "--mount", "sh", "-c", hide, "sh"))
    assert (done.returncode, done.stdout) == (EXIT_NO_LINK, "")
    assert "/dev/net/tun" in done.stderr


@contextmanager
def started(script: str) -> Iterator[tuple[subprocess.Popen[str], list[int], list[int]]]:
    """The link once its command has said so: processes, and the inodes of its two namespaces."""
    inodes = 'stat -Lc %i /proc/self/ns/net "$HPS_LINK_OUTSIDE"'
    with subprocess.Popen(
        [*LINK, "--", "sh", "-c", f"{inodes}; {script}"],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            found = [int(process.stdout.readline()) for _ in range(2)]
            assert process.stdout.readline() == "ready\n"
            children = psutil.Process(process.pid).children(recursive=True)
            yield process, [child.pid for child in children], found
        finally:
            process.kill()


@needs_link
def test_nothing_is_left_of_a_link_that_was_killed() -> None:
    stubborn = "trap '' TERM INT HUP; setsid sleep 600 & echo ready; while :; do sleep 1; done"
    with started(stubborn) as (process, children, inodes):
        assert len(children) >= 3
        assert all(map(inhabitants, inodes))
        process.kill()
        process.wait(60)
        wait_until_gone(children, inodes)


@needs_link
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_the_commands(number: signal.Signals) -> None:
    polite = "trap 'exit 42' TERM INT HUP; echo ready; while :; do sleep 0.05; done"
    with started(polite) as (process, children, inodes):
        process.send_signal(number)
        assert process.wait(60) == 42
        wait_until_gone(children, inodes)


@needs_link
def test_an_experiment_runs_against_the_s3_server_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    experiment, place = tmp_path / "link.yaml", tmp_path / "counters.json"
    experiment.write_text(_EXPERIMENT)
    hps = (sys.executable, "-m", "hps", "run", experiment, "--output", tmp_path / "results")
    done = run("--s3", "--counters", place, "--", *hps)
    assert done.returncode == 0, done.stderr
    counters = json.loads(place.read_text())["counters"]
    for way in ("up", "down"):
        assert counters[way]["delivered_bytes"] > 6 * 1024**2
    assert list(temporary.iterdir()) == []
