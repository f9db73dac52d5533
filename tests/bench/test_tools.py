"""`bench.tools`: each tool does on the wire what it is told, and numbers mean what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bench.link import EXIT_NO_LINK
from bench.stored import Stored
from bench.tools import cases, catalogue, measure, programs, table
from bench.tools.findings import Findings
from bench.tools.front import Front
from bench.tools.moving import Mover
from bench.tools.programs import AWS_1, AWS_2, Program, Programs
from bench.tools.seen import Seen, differences, expected, see
from bench.tools.tool import Task, Terms, Tool
from hps.errors import HpsError
from hps.tools.rclone import command
from tests.bench.machine import WHY_NOT, needs_link
from tests.command import REPOSITORY
from tests.servers.child import ask
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
    assert (sum("block 1 of 1" in line for line in said), first) == (1, again)
    for transfer in first[0]["transfers"]:
        assert transfer["why"] == "" or transfer["void"]
        assert 1 <= transfer["seen"]["in_flight"] <= TERMS.concurrency
        assert transfer["duration_s"] > 31 * MIB * 8 / 300e6
        assert transfer["cpu_s"] > 0


def _command(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run it with nothing on PATH, so that no AWS CLI of this machine takes part."""
    return subprocess.run(
        [*before, sys.executable, "-m", "bench.tools", *arguments],
        env={**os.environ, "PATH": "", "HPS_RCLONE": command.find_binary(os.environ)},
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


def test_the_command_measures_what_is_installed_and_names_the_rest(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / programs.STAMP).write_text(programs.wanted_stamp())  # as if it were installed
    done = _command(
        *("--links", "loopback", "--sizes", "24MiB", "--chunk", "5MiB", "--concurrency", "4"),
        *("--blocks", "2", "--venv", str(venv), "--output", str(tmp_path / "tools.jsonl")),
    )
    assert done.returncode == 0, done.stderr
    assert "installing" not in done.stderr
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
    assert "on the wire" not in done.stderr


def test_an_aws_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HpsError, match="is no AWS CLI 2"):
        programs.find(tmp_path, "true")


def _program(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_programs_are_found_with_their_versions(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    _program(tmp_path / "bin/s5cmd", "v2.3.0-991c9fb")
    _program(tmp_path / "bin/aws", "aws-cli/1.46.3 Python/3.11.7 Linux/6.1 botocore/1.43.62")
    second = _program(tmp_path / "aws2", "aws-cli/2.36.7 Python/3.14.0 Linux/6.1 exe/x86_64")
    found = programs.find(tmp_path, str(second))
    assert found.found["s5cmd"].version == "2.3.0"
    assert found.found[AWS_1].version == "1.46.3"
    assert found.found[AWS_2] == Program(path=str(second), version="2.36.7")
    assert set(found.missing) == {"boto3", "obstore"}
    names = [tool.name for tool in catalogue.tools(found)]
    assert names == ["rclone", "s5cmd", "AWS CLI, classic", "AWS CLI, CRT"]


def _found(*names: str) -> Programs:
    return Programs(found={name: Program(path=f"/bin/{name}", version="1") for name in names})


def _task(tmp_path: Path, way: Any = "up") -> Task:
    server = S3Server(
        endpoint="http://198.18.0.1:9000",
        access_key_id="THEKEYID",
        secret_access_key="THESECRET",
        bucket="b",
        provider="Rclone",
    )
    file = tmp_path / "file"
    file.touch()
    return Task(way=way, file=file, key=KEY, server=server, terms=TERMS, home=tmp_path)


@pytest.mark.parametrize("way", ["up", "down"])
def test_keys_are_in_the_environment_alone(way: str, tmp_path: Path) -> None:
    every = _found("rclone", "s5cmd", AWS_2, "boto3", "obstore")
    for tool in catalogue.tools(every):
        command = tool.command(_task(tmp_path, way))
        written = (tmp_path / "aws-config").read_text()
        assert not any("THEKEYID" in text or "THESECRET" in text for text in command.argv)
        assert "THE" not in written
        assert command.env["AWS_SECRET_ACCESS_KEY"] == "THESECRET"
        assert "http_proxy" not in {name.lower() for name in command.env}


def test_the_crt_is_told_a_rate_that_makes_so_many_connections(tmp_path: Path) -> None:
    crt = catalogue.tools(_found("rclone", AWS_2))[-1]
    crt.command(replace(_task(tmp_path), terms=Terms(chunk_bytes=8 * MIB, concurrency=20)))
    settings = (tmp_path / "aws-config").read_text().splitlines()
    assert {"  multipart_chunksize = 8388608", "  target_bandwidth = 1000000000"} <= set(settings)
    assert "  preferred_transfer_client = crt" in settings


def _request(number: int, body_bytes: int, started_s: float, **fields: Any) -> Request:
    values: dict[str, Any] = {
        "sequence": number,
        "method": "PUT",
        "key": KEY,
        "kind": "part",
        "direction": "up",
        "query": "",
        "part_number": number,
        "range": None,
        "body_bytes": body_bytes,
        "started_s": started_s,
        "ended_s": started_s + 1,
        "client_port": 4000 + number,
        "status": 200,
        "complete": True,
    }
    return Request(**{**values, **fields})


PARTS = [_request(1, 10, 0.0), _request(2, 10, 0.5), _request(3, 4, 1.2)]


def test_the_parts_of_one_object_are_seen() -> None:
    other = _request(4, 7, 0.0, key="tools/y/0.bin")
    failed = _request(2, 10, 0.4, status=503, client_port=4002)
    seen = see([*PARTS, other, failed], "up", KEY)
    assert seen == Seen(chunks=3, chunk_bytes=10, bytes=24, in_flight=3, connections=3, again=1)
    twice = see([*PARTS, _request(6, 10, 5.0, part_number=1)], "up", KEY)
    assert (twice.chunks, twice.bytes, twice.again) == (3, 24, 1)
    assert see(PARTS, "up", KEY).in_flight == 2
    assert see(PARTS, "down", KEY) == Seen(
        chunks=0, chunk_bytes=0, bytes=0, in_flight=0, connections=0, again=0
    )
    assert see([*PARTS, _request(5, 9, 3.0)], "up", KEY).chunk_bytes == 0


TOLD = expected(TERMS, 31 * MIB)


def test_what_is_expected_follows_from_the_terms() -> None:
    assert (TOLD.chunks, TOLD.chunk_bytes, TOLD.in_flight) == (7, 5 * MIB, 4)
    assert TOLD.text == "7 x 5 MiB, 4 at once"
    assert expected(TERMS, 12 * MIB).in_flight == 3
    assert expected(TERMS, 3 * MIB).chunk_bytes == 3 * MIB


@pytest.mark.parametrize(
    ("seen", "gathered", "off"),
    [
        pytest.param(TOLD, True, [], id="as told"),
        pytest.param(replace(TOLD, in_flight=3), False, [], id="quicker than the next"),
        pytest.param(replace(TOLD, in_flight=3), True, ["3 at once for 4"], id="too few"),
        pytest.param(replace(TOLD, in_flight=5), False, ["5 at once for 4"], id="too many"),
        pytest.param(replace(TOLD, connections=5), True, [], id="a spare connection"),
        pytest.param(replace(TOLD, chunks=4), False, ["4 x 5 MiB for 7 x 5 MiB"], id="chunks"),
        pytest.param(
            replace(TOLD, chunk_bytes=0), True, ["7 x several sizes for 7 x 5 MiB"], id="sizes"
        ),
        pytest.param(replace(TOLD, bytes=5), True, ["5 bytes for 32505856"], id="bytes"),
        pytest.param(replace(TOLD, again=2), True, ["2 came again"], id="again"),
    ],
)
def test_what_is_not_as_told_is_said(seen: Seen, gathered: bool, off: list[str]) -> None:
    assert list(differences(seen, TOLD, gathered=gathered)) == off


LINK = cases.LINKS["10ms"]
CASE = cases.Case(link=LINK, size_bytes=31 * MIB, blocks=3)


def _transfer(tool: str, way: str, duration_s: float, **fields: Any) -> dict[str, Any]:
    values = {
        "tool": tool,
        "way": way,
        "duration_s": duration_s,
        "cpu_s": 0.5,
        "why": "",
        "void": False,
    }
    return {**values, "seen": asdict(TOLD), **fields}


def _findings(**of_s5cmd: Any) -> Findings:
    """s5cmd takes twice as long up, half as long down."""
    blocks = [
        {
            "transfers": [
                _transfer("rclone", "up", 10.0 + block),
                _transfer("rclone", "down", 10.0 + block),
                _transfer("s5cmd", "up", 20.0 + 2 * block, **of_s5cmd),
                _transfer("s5cmd", "down", 5.0 + block / 2),
            ],
            "kernel_drops": 0,
        }
        for block in range(3)
    ]
    way = {"duration_s": 1.0, "cpu_s": 0.5, "seen": asdict(TOLD), "why": ""}
    return Findings(
        terms=TERMS,
        tools=catalogue.tools(_found("rclone", "s5cmd")),
        checks=[
            {"name": name, "start_s": 0.2, "size_bytes": 31 * MIB, "up": way, "down": way}
            for name in ("rclone", "s5cmd")
        ],
        measured=[(CASE, blocks)],
    )


def _rows(found: Findings) -> list[list[str]]:
    lines = table.text(found, {}).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_has_rates_shares_and_ratios_within_blocks() -> None:
    found = _findings()
    rows = [row for row in _rows(found) if row[0] == "s5cmd"]
    # 260 Mbit in 20, 22 and 24 s: 13.0, 11.8 and 10.8 Mbps, of 300 less headers.
    assert rows[1] == ["s5cmd", "11.9", "4 %", "0.50 (0.50 to 0.50)",
                       "47.4", "16 %", "2.00 (2.00 to 2.00)", "4", "0.50, 0.50"]  # fmt: skip
    assert rows[0][3:] == ["7 x 5 MiB, 4 at once", "7 x 5 MiB, 4 at once", "0.20"]
    assert list(found.failures()) == []


def test_a_tool_on_other_terms_has_no_ratio_and_is_a_failure() -> None:
    found = _findings(seen=asdict(replace(TOLD, in_flight=9)))
    row = [row for row in _rows(found) if row[0] == "s5cmd"][1]
    assert (row[1], row[3], row[6], row[7]) == ("11.9", "", "2.00 (2.00 to 2.00)", "4 to 9")
    said = "- On other terms: s5cmd, up: 9 at once for 4."
    assert table.text(found, {}).count(said) == 1
    assert len(list(found.failures())) == 3
    assert all("s5cmd, up: 9 at once for 4" in line for line in found.failures())


def test_a_tool_that_cannot_be_told_is_no_failure() -> None:
    found = _findings(seen=asdict(replace(TOLD, in_flight=9)))
    first, second = found.tools
    found = replace(found, tools=[first, replace(second, untold="concurrency")])
    assert list(found.failures()) == []
    assert [row for row in _rows(found) if row[0] == "s5cmd"][1][3] == ""
    assert "- s5cmd can't be told concurrency." in table.text(found, {})


def test_a_transfer_that_failed_is_told() -> None:
    found = _findings(why="exit 1: no")
    row = [row for row in _rows(found) if row[0] == "s5cmd"][1]
    assert (row[1], row[3]) == ("failed", "")
    assert len(list(found.failures())) == 3


def test_packets_that_the_link_never_saw_are_told() -> None:
    found = _findings()
    found.measured[0][1][0]["kernel_drops"] = 7  # type: ignore[index]
    assert list(found.failures()) == [f"{CASE.name}: 7 packets were dropped before the link"]


def test_large_files_go_over_the_first_link_in_a_third_of_the_blocks() -> None:
    sizes = [200 * MIB, 1024 * MIB]
    chosen = cases.choose(["10ms", "80ms"], sizes, 6, everywhere=False)
    assert [(case.link, case.size_bytes // MIB, case.blocks) for case in chosen] == [
        (LINK, 200, 6),
        (cases.LINKS["80ms"], 200, 6),
        (LINK, 1024, 2),
    ]
    assert {case.blocks for case in cases.choose(["10ms"], sizes, 6, everywhere=True)} == {6}
    assert cases.choose(["10ms"], sizes, 2, everywhere=False)[-1].blocks == 1


def test_each_tool_has_one_turn_in_a_block_in_an_order_by_chance() -> None:
    orders = [tuple(cases.order(NAMES, CASE, block, 0)) for block in range(8)]
    assert all(sorted(order) == sorted(NAMES) for order in orders)
    assert len(set(orders)) > 1
    assert orders == [tuple(cases.order(NAMES, CASE, block, 0)) for block in range(8)]


def test_the_full_form_takes_under_25_minutes() -> None:
    terms = Terms(chunk_bytes=10 * MIB, concurrency=10)
    links = ["10ms", "80ms", "150ms"]
    chosen = cases.choose(links, [200 * MIB, 1024 * MIB], 3, everywhere=False)
    assert sum(case.blocks * case.block_s(terms, 6) for case in chosen) < 24 * 60


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
    ],
)
def test_the_front_answers_as_s3_does(
    method: str, target: str, headers: dict[str, str], status: int, body: bytes, tmp_path: Path
) -> None:
    with serve_web(tmp_path, _as_the_server_answers, tls=False) as web:
        upstream = urlsplit(web.endpoint)
        host, port = upstream.hostname or "", upstream.port or 0
        with Front(host, port, host="127.0.0.1") as front:
            assert ask(front.endpoint, method, target, headers=headers) == (status, body)
            (request,) = front.requests()
    assert (request.status, request.complete) == (status, True)


def test_the_framing_of_a_body_is_no_payload(tmp_path: Path) -> None:
    framed = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    with serve_web(tmp_path, lambda _: Page(), tls=False) as web:
        upstream = urlsplit(web.endpoint)
        host, port = upstream.hostname or "", upstream.port or 0
        with Front(host, port, host="127.0.0.1") as front:
            headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "3"}
            ask(front.endpoint, "PUT", "/b/k?partNumber=1&uploadId=7", framed, headers=headers)
            (request,) = front.requests()
    assert request.body_bytes == 3
