"""`bench.tools`: each tool does on the wire what it is told, and numbers mean what they say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bench.stored import Stored
from bench.tools import cases, catalogue, measure, programs, table
from bench.tools.findings import Findings
from bench.tools.front import Front
from bench.tools.moving import Mover
from bench.tools.programs import AWS_1, AWS_2, Program, Programs
from bench.tools.seen import Seen, differences, expected, see
from bench.tools.tool import Task, Terms, Tool
from hps.errors import HpsError
from tests.bench.machine import needs_link
from tests.command import REPOSITORY
from tests.servers.recorder import Request
from tests.servers.s3_server import S3Server
from tests.servers.web import Asked, Page, serve_web

MIB = 1024**2
TERMS = Terms(chunk_bytes=5 * MIB, concurrency=4)
NAMES = ("rclone", "s5cmd", "AWS CLI, classic", "AWS CLI, CRT", "boto3", "obstore", "obstore.get")
KEY = "tools/x/0.bin"
_TIMEOUT_S = 300.0


def _installed() -> list[Tool]:
    return catalogue.tools(programs.find(REPOSITORY / programs.VENV, None))


@pytest.fixture(scope="module")
def installed() -> dict[str, Tool]:
    return {tool.name: tool for tool in _installed()}


@pytest.fixture(scope="module")
def mover(installed: dict[str, Tool]) -> Iterator[Mover]:
    """Two chunks more than may be in flight, and a shorter one."""
    with measure.open_mover(None, 31 * MIB, TERMS, installed["rclone"], _TIMEOUT_S) as opened:
        yield opened


@pytest.mark.parametrize("name", NAMES)
def test_a_tool_does_what_it_is_told(name: str, installed: dict[str, Tool], mover: Mover) -> None:
    if name not in installed:
        pytest.skip("not installed: python -m bench.tools does that, but for an AWS CLI 2")
    tool = installed[name]
    moved = mover.both_ways(tool, gathered=True)
    assert tuple(moved) == tool.ways
    assert [done.why for done in moved.values()] == [""] * len(tool.ways)
    told = expected(TERMS, 31 * MIB)
    if name == "AWS CLI, CRT":  # at least 10, so all 7
        told = replace(told, in_flight=7)
    if name == "obstore.get":
        told = replace(told, chunks=1, chunk_bytes=31 * MIB, in_flight=1)
    off = [text for one in moved.values() for text in differences(one.seen, told, gathered=True)]
    assert off == []


def test_nothing_is_left_on_the_server(installed: dict[str, Tool], mover: Mover) -> None:
    mover.both_ways(installed["rclone"])
    served = mover.scratch / "served"
    assert [path for path in served.rglob("*") if path.is_file()] == []


def test_a_failed_transfer_says_why_and_has_no_key_in_it(
    installed: dict[str, Tool], mover: Mover
) -> None:
    gone = replace(mover.place.server, bucket="gone", secret_access_key="a" * 40)
    broken = replace(mover, place=replace(mover.place, server=gone))
    with pytest.raises(HpsError, match="can't be deleted") as raised:
        broken.both_ways(installed["rclone"])
    assert gone.access_key_id not in str(raised.value)


@needs_link
def test_blocks_over_a_link_are_measured_once(installed: dict[str, Tool], tmp_path: Path) -> None:
    case = cases.Case(link=cases.LINKS["10ms"], size_bytes=31 * MIB, blocks=1)
    stored = Stored(tmp_path / "tools.jsonl")
    said: list[str] = []
    tools = [installed["rclone"]]
    first = measure.compare(case, tools, TERMS, seed=0, stored=stored, tell=said.append)
    again = measure.compare(case, tools, TERMS, seed=0, stored=stored, tell=said.append)
    assert (len(said), first) == (1, again)
    for transfer in first[0]["transfers"]:
        assert transfer["why"] == ""
        assert transfer["seen"]["in_flight"] == TERMS.concurrency
        assert transfer["duration_s"] > 31 * MIB * 8 / 300e6
        assert transfer["cpu_s"] > 0


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.tools", *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


def test_the_command_measures_what_is_installed_and_names_the_rest(tmp_path: Path) -> None:
    wanted = programs.stamp_of(programs.REQUIREMENTS)
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / programs.STAMP).write_text(wanted)  # as if it were installed
    done = _command(
        *("--links", "loopback", "--sizes", "24MiB", "--chunk", "5MiB", "--concurrency", "4"),
        *("--blocks", "2", "--venv", str(venv), "--output", str(tmp_path / "tools.jsonl")),
    )
    assert done.returncode == 0, done.stderr
    assert "installing" not in done.stderr
    assert "| 8 x 5 MiB, 4 at once" not in done.stdout
    assert done.stdout.count("7 x 5 MiB, 4 at once") == 2
    assert "**loopback, 24 MiB**, 2 blocks" in done.stdout
    for name in ("s5cmd", AWS_1, "boto3", "obstore"):
        assert f"- Left out: {name}: " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--links", "9ms"), "no link '9ms'", id="link"),
        pytest.param(("--chunk", "4MiB"), "at least 5", id="small chunk"),
        pytest.param(("--chunk", "5500kB"), "whole MiB", id="odd chunk"),
        pytest.param(("--sizes", "90MiB"), "too few chunks", id="small file"),
        pytest.param(("--concurrency", "0"), "at least one", id="nothing in flight"),
        pytest.param(("--links", "loopback", "--aws", "true"), "no AWS CLI 2", id="aws"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], said: str) -> None:
    done = _command(*arguments, "--venv", "/dev/null/venv")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
