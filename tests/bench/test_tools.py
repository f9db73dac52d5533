"""`bench.tools`: experiments that `hps` runs as they are, and tables that say what it found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bench.link import EXIT_NO_LINK
from bench.node_run import target_yaml
from bench.settings import tls
from bench.stored import Stored
from bench.tools import cases, measure, table
from bench.tools.cases import EQUAL, NAMES, OWN, Case
from bench.tools.front import Front, rules
from bench.tools.measure import Options
from hps.model import Operation
from hps.plan.expand import expand
from hps.prove.http_head import parse_request
from hps.spec.load import load
from hps.spec.source import SpecText
from tests.bench.machine import WHY_NOT, needs_link
from tests.command import REPOSITORY
from tests.servers.child import ask
from tests.servers.web import Asked, Page, serve_web

MIB = 1024**2
_TIMEOUT_S = 300.0
_ENV = {"BUCKET": "hps", "FOLDER": "f", "CLOUDFLARE_ID": "THEKEYID", "CLOUDFLARE_KEY": "THESECRET"}


def _no_tls() -> str:
    try:
        tls.check()
    except tls.NoTlsError as error:
        return error.message
    return ""


needs_tls = pytest.mark.skipif(bool(_no_tls()), reason=_no_tls())

# --- which cases, and what `hps` is told ---------------------------------------------------------


def _operations(case: Case, seed: int = 0) -> tuple[Operation, ...]:
    """What `hps` makes of the experiment of a block, with every tool."""
    target = target_yaml("s3", "https://198.18.0.1:8443", None)
    text = case.text(target, NAMES, seed)
    return expand(load(SpecText(name="tools.yaml", content=text.encode()), env=_ENV)).operations


def test_each_tool_has_the_same_settings_once_and_its_own_once() -> None:
    operations = _operations(Case(link="10ms", size_bytes=200 * MIB, blocks=6))
    ups = [one for one in operations if one.step.kind == "upload"]
    assert [one.why_not for one in operations if one.why_not] == []
    told = {one.cell.knobs.tool: one.requested for one in ups if "settings" not in one.cell.axes}
    own = {one.cell.knobs.tool: one.requested for one in ups if "settings" in one.cell.axes}
    assert set(told) == set(own) == set(NAMES)
    for tool, asked in told.items():
        assert asked is not None
        assert (asked.chunk_size_bytes, asked.concurrency, asked.transfers) == (10 * MIB, 10, 1)
        assert asked.checksum == (tool == "s5cmd")
    for tool, asked in own.items():
        assert asked is not None
        assert (asked.chunk_size_bytes, asked.concurrency, asked.transfers) == (None, None, None)
        assert asked.checksum == (False if tool in {"boto3", "aws"} else None)


def test_of_many_files_ten_are_in_flight() -> None:
    case = Case(link="10ms", size_bytes=MIB, files=1000, blocks=2)
    first = next(one for one in _operations(case) if "settings" not in one.cell.axes)
    assert first.requested is not None
    assert (first.cell.knobs.files, first.requested.transfers) == (1000, 10)
    assert first.requested.concurrency == 1
    assert case.name == "10 ms, 300/300 Mbps, loss 0 %, cubic, 1,000 files of 1 MiB"


def test_the_order_is_another_for_another_seed() -> None:
    case = Case(link="10ms", size_bytes=200 * MIB, blocks=6)
    orders = {
        tuple(tuple(one.cell.axes.items()) for one in _operations(case, seed)) for seed in range(4)
    }
    assert len(orders) == 4


def test_large_files_go_over_the_first_link_in_a_third_of_the_blocks() -> None:
    sizes = ["200MiB", "1GiB", "1000x1MiB"]
    chosen = cases.choose(["10ms", "80ms"], sizes, 6, unkind=False)
    assert [(one.link, one.files, one.size_bytes // MIB, one.blocks) for one in chosen] == [
        ("10ms", 1, 200, 6),
        ("80ms", 1, 200, 6),
        ("10ms", 1, 1024, 2),
        ("10ms", 1000, 1, 2),
    ]
    assert cases.choose(["10ms"], sizes, 2, unkind=False)[-1].blocks == 1
    assert len({one.experiment for one in chosen}) == len(chosen)


def test_more_blocks_add_to_those_there_are() -> None:
    few, more = (Case(link="80ms", size_bytes=200 * MIB, blocks=count) for count in (3, 6))
    assert few.key({"rclone": "1"}, 2, 0) == more.key({"rclone": "1"}, 2, 0)
    assert few.key({"rclone": "1"}, 2, 0) != few.key({"rclone": "2"}, 2, 0)


def test_the_short_form_takes_two_to_three_minutes() -> None:
    (case,) = cases.choose(["10ms"], ["64MiB"], 1, unkind=False)
    assert case.blocks * case.block_s(len(NAMES) - 1) < 180


# --- what is measured ----------------------------------------------------------------------------


@needs_link
@needs_tls
def test_blocks_over_a_link_are_measured_once(tmp_path: Path) -> None:
    case = Case(link="10ms", size_bytes=31 * MIB, blocks=1)
    stored, said = Stored(tmp_path / "blocks.jsonl"), list[str]()
    options = Options(tools={"rclone": "1"}, seed=0, output=tmp_path, tries=1)
    first = measure.measure(case, options, stored, said.append)
    again = measure.measure(case, options, stored, said.append)
    assert (sum("block 1 of 1" in line for line in said), first) == (1, again)
    assert len(first[0]["transfers"]) == 4
    for one in first[0]["transfers"]:
        assert (one["status"], bool(one["why"])) == ("ok", one["void"])
        assert one["duration_s"] > 31 * MIB * 8 / 300e6
        assert one["cpu_s"] > 0


def _command(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run it as if this machine had no s3parcp."""
    return subprocess.run(
        [*before, sys.executable, "-m", "bench.tools", *arguments],
        env={**os.environ, "HPS_S3PARCP": "/nowhere"},
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


@needs_tls
def test_the_command_measures_what_is_here_and_names_the_rest(tmp_path: Path) -> None:
    arguments = ("--links", "loopback", "--sizes", "24MiB", "--blocks", "2")
    tools = ("--tools", "rclone", "s5cmd", "s3parcp", "--output", str(tmp_path))
    done = _command(*arguments, *tools)
    assert done.returncode == 0, done.stderr
    assert "**loopback, 24 MiB**, 2 blocks:" in done.stdout
    rows = [line.split("|") for line in done.stdout.splitlines() if "| up " in line]
    assert [(row[1].strip(), row[-2].strip()) for row in rows] == 2 * [
        ("rclone", "ok"),
        ("s5cmd", "ok"),
    ]
    assert "- Left out: s3parcp: " in done.stdout
    again = _command(*arguments, *tools)
    assert "block 1 of 2" in done.stderr
    assert "block 1 of 2" not in again.stderr
    assert again.stdout == done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--links", "9ms"), "no link '9ms'", id="link"),
        pytest.param(("--sizes", "5500kB"), "whole MiB", id="odd size"),
        pytest.param(("--sizes", "0x1MiB"), "whole MiB", id="no file"),
        pytest.param(("--sizes", "1000x"), "size", id="no size"),
        pytest.param(("--tools", "ftp"), "'ftp'", id="tool"),
        pytest.param(("--blocks", "0"), "at least 1", id="no block"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], said: str) -> None:
    done = _command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_without_a_link_nothing_is_measured_over_loopback() -> None:
    """As root without the rights, or as one who has none anyway."""
    setpriv = shutil.which("setpriv")
    if not WHY_NOT and setpriv is None:
        pytest.skip("no setpriv")
    drop = () if WHY_NOT or setpriv is None else (setpriv, "--bounding-set=-net_admin")
    done = _command("--short", before=drop)
    assert (done.returncode, done.stdout) == (EXIT_NO_LINK, "")
    assert "block" not in done.stderr


# --- the tables ----------------------------------------------------------------------------------

CASE = Case(link="10ms", size_bytes=31 * MIB, blocks=3)
UNKIND = Case(link="10ms", size_bytes=31 * MIB, blocks=3, unkind=True)
TOLD = {"rclone": "1.75.2", "s5cmd": "2.3.0"}


def _record(tool: str, step: str, duration_s: float, *, own: bool, **fields: Any) -> dict[str, Any]:
    """A line of results, with what the tables take of it."""
    return {
        "cell": {"tool": tool, **({"settings": "default"} if own else {})},
        "step": step,
        "status": "ok",
        "reason": "",
        "started_at": "2026-11-22T10:15:30.000000Z",
        "duration_s": duration_s,
        "throughput_mbps": 260 / duration_s,
        "first_payload_s": 0.25 if tool == "rclone" else None,
        "cpu_s": 0.5,
        "peak_memory_bytes": 40 * MIB,
        "retries": 1 if tool == "rclone" else None,
        "observed": {"chunks": 4, "chunk_size_bytes": 8 * MIB, "connections": 3},
        **fields,
    }


def _blocks(*, void: bool = False, **of_s5cmd: Any) -> list[dict[str, Any]]:
    """s5cmd takes twice as long up, half as long down; by itself both take as long as each other.

    `of_s5cmd` is what its upload on equal terms has of its own.
    """
    blocks = []
    for block in range(3):
        base_s = 10.0 + block
        records = [
            _record("rclone", "upload", base_s, own=False),
            _record("rclone", "download", base_s, own=False),
            _record("s5cmd", "upload", 2 * base_s, own=False, **of_s5cmd),
            _record("s5cmd", "download", base_s / 2, own=False),
            *(_record(tool, "upload", 5.0, own=True) for tool in TOLD),
            *(_record(tool, "download", 5.0, own=True) for tool in TOLD),
        ]
        transfers = [{**measure.transfer(record), "void": False} for record in records]
        if void:
            transfers[2] |= {"void": True, "why": "void: none idle", "mbps": None}
        blocks.append({"transfers": transfers, "kernel_drops": 0})
    return blocks


def _text(blocks: list[dict[str, Any]], case: Case = CASE) -> str:
    return table.text([(case, blocks)], TOLD, {"aws": "there is no aws"})


def _cells(text: str, *first: str) -> list[str]:
    """The rest of the only row that begins so."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    (row,) = [row for row in rows if row[: len(first)] == [*first]]
    return row[len(first) :]


def _failures(blocks: list[dict[str, Any]], case: Case = CASE) -> list[str]:
    return list(table.failures(case, blocks, list(TOLD)))


def test_the_table_has_rates_and_ratios_on_the_same_terms() -> None:
    text = _text(_blocks())
    # 260 Mbit in 20, 22 and 24 s: 13.0, 11.8 and 10.8 Mbps.
    found = ["11.9", "0.50 (0.50-0.50)", "-", "0.50", "40", "-", "ok"]
    assert _cells(text, "s5cmd", EQUAL, "up") == found
    assert _cells(text, "s5cmd", EQUAL, "down")[:2] == ["47.4", "2.00 (2.00-2.00)"]
    assert _cells(text, "s5cmd", OWN, "up")[:2] == ["52.0", "1.00 (1.00-1.00)"]
    assert _cells(text, "rclone", EQUAL, "up")[1:] == ["1", "0.25", "0.50", "40", "3", "ok"]
    assert "rclone 1.75.2, s5cmd 2.3.0." in text
    assert "- Left out: aws: there is no aws." in text
    assert max(map(len, text.splitlines())) <= 100
    assert _failures(_blocks()) == []


def test_what_a_tool_did_by_itself_is_said() -> None:
    text = _text(_blocks())
    said = "- s5cmd by itself: up 4 x 8 MiB over 3 connections, down 4 x 8 MiB over 3 connections."
    assert text.count(said) == 1
    unseen = _blocks()
    for one in unseen[-1]["transfers"]:
        one["observed"] = {"chunks": None, "chunk_size_bytes": None, "connections": 1}
    assert "- s5cmd by itself: up 1 connection, down 1 connection." in _text(unseen)


@pytest.mark.parametrize("status", ["failed", "timeout", "invalid"])
def test_a_transfer_that_failed_is_told(status: str) -> None:
    blocks = _blocks(status=status, reason="it said no")
    text = _text(blocks)
    assert _cells(text, "s5cmd", EQUAL, "up")[:2] == ["-", "-"]
    assert _cells(text, "s5cmd", EQUAL, "up")[-1] == status
    assert text.count(f"- s5cmd, equal, up, 3 of 3: {status}: it said no") == 1
    assert _failures(blocks) == [f"{CASE.name}, s5cmd, equal, up: {status}: it said no"] * 3


def test_what_a_tool_cannot_be_told_is_no_failure() -> None:
    blocks = _blocks(status="skipped", reason="it has one pool", cpu_s=None)
    assert _cells(_text(blocks), "s5cmd", EQUAL, "up") == [*"------", "skipped"]
    assert "- s5cmd, equal, up, 3 of 3: skipped: it has one pool" in _text(blocks)
    assert _failures(blocks) == []


def test_where_requests_are_made_to_fail_a_failure_is_a_finding() -> None:
    blocks = _blocks(status="failed", reason="503")
    assert "one request in 100 answered by 503:" in _text(blocks, UNKIND)
    assert _cells(_text(blocks, UNKIND), "s5cmd", EQUAL, "up")[-1] == "failed"
    assert _failures(blocks, UNKIND) == []
    assert len(_failures(_blocks(void=True), UNKIND)) == 3


def test_a_void_transfer_counts_for_nothing() -> None:
    blocks = _blocks(void=True)
    assert _cells(_text(blocks), "s5cmd", EQUAL, "up")[:2] == ["-", "-"]
    assert _cells(_text(blocks), "s5cmd", EQUAL, "up")[-1] == "void"
    assert len(_failures(blocks)) == 3


def test_packets_that_the_link_never_saw_are_told() -> None:
    blocks = _blocks()
    blocks[0]["kernel_drops"] = 7
    assert _failures(blocks) == [f"{CASE.name}: 7 packets were dropped before the link"]


# --- the front -----------------------------------------------------------------------------------


def test_one_data_request_in_a_hundred_is_refused() -> None:
    head = parse_request(b"PUT /b/k?partNumber=1&uploadId=7 HTTP/1.1\r\nHost: x\r\n\r\n")
    other = parse_request(b"HEAD /b/k HTTP/1.1\r\nHost: x\r\n\r\n")
    refused_by = {True: [99, 199], False: list[int]()}
    for unkind, refused in refused_by.items():
        front = Front("127.0.0.1", 9, host="127.0.0.1", rules=rules(unkind=unkind))
        assert not any(front.fault_for(other) for _ in range(150))
        answers = [front.fault_for(head) for _ in range(200)]
        assert [number for number, answer in enumerate(answers) if answer] == refused


def _as_the_server_answers(asked: Asked) -> Page:
    if asked.method == "POST":
        body = b"<InitiateMultipartUpload><UploadId>7</UploadId></InitiateMultipartUpload>"
        return Page(body=body)
    if "Range" in asked.headers:
        return Page(body=b"abc", headers={"Content-Range": "bytes 0-2/9"})
    return Page(body=b"abcdefghi")


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "body"),
    [
        pytest.param("GET", "/b/k", {"Range": "bytes=0-2"}, 206, b"abc", id="range"),
        pytest.param("GET", "/b/k", {}, 200, b"abcdefghi", id="whole"),
        pytest.param(
            "POST",
            "/b/k?uploads=",
            {},
            200,
            b"<InitiateMultipartUploadResult><UploadId>7</UploadId>"
            b"</InitiateMultipartUploadResult>",
            id="start of an upload",
        ),
        pytest.param(
            "POST",
            "/b/k?uploadId=7",
            {},
            200,
            b"<InitiateMultipartUpload><UploadId>7</UploadId></InitiateMultipartUpload>",
            id="anything else",
        ),
        pytest.param(
            *("GET", "/b/k?attributes=", {}, 200, b"<GetObjectAttributesResponse/>"),
            id="attributes",
        ),
    ],
)
def test_the_front_answers_as_s3_does(
    method: str, target: str, headers: dict[str, str], status: int, body: bytes, tmp_path: Path
) -> None:
    with serve_web(tmp_path, _as_the_server_answers, tls=False) as web:
        upstream = urlsplit(web.endpoint)
        host, port = upstream.hostname or "", upstream.port or 0
        with Front(host, port, host="127.0.0.1", rules=rules(unkind=False)) as front:
            assert ask(front.endpoint, method, target, headers=headers) == (status, body)
