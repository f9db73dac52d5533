"""`bench.truth`: what is off is found, and a real run over a real link is as reported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bench import grid
from bench.stored import Stored
from bench.truth import cases, table
from bench.truth.compare import checks
from bench.truth.measure import measure
from bench.truth.seen import Seen, see, see_probe
from bench.truth.watch import Life, Look
from tests.bench.machine import needs_link
from tests.command import hps
from tests.servers.proxy import Request

MIB = 1024**2
TRIAL = "0123456789ab"
SEEN = Seen(
    bytes=25 * MIB,
    chunk_sizes=(10 * MIB, 10 * MIB, 5 * MIB),
    peak_in_flight=2,
    connections=2,
    repeats=0,
    duration_s=10.0,
    payload_s=9.0,
    wire_s=8.8,
    link_bytes=25 * MIB + 4000,
)
RECORD: Mapping[str, Any] = {
    "step": "upload",
    "status": "ok",
    "reason": "",
    "size_bytes": 25 * MIB,
    "duration_s": 10.02,
    "setup_s": 1.02,
    "throughput_mbps": 25 * MIB * 8 / 1e6 / 10.02,
    "retries": 0,
    "effective": {"chunk_size_bytes": 10 * MIB, "concurrency": 2},
    "observed": {
        "chunks": 3,
        "chunk_size_bytes": 10 * MIB,
        "peak_in_flight": 2,
        "connections": 2,
    },
}


def _off(record: Mapping[str, Any], seen: Seen = SEEN) -> set[str]:
    return {check.what for check in checks(record, seen) if not check.good}


def _reported(**fields: Any) -> dict[str, Any]:
    return {**RECORD, **fields}


def _observed(**fields: Any) -> dict[str, Any]:
    return _reported(observed={**RECORD["observed"], **fields})


def test_what_is_as_reported_is_not_off() -> None:
    assert _off(RECORD) == set()


@pytest.mark.parametrize(
    ("record", "off"),
    [
        pytest.param(_reported(status="invalid"), {"ok"}, id="status"),
        pytest.param(_observed(chunks=4), {"chunks"}, id="chunks"),
        pytest.param(_observed(chunk_size_bytes=5 * MIB), {"chunk size"}, id="chunk size"),
        pytest.param(_observed(peak_in_flight=3), {"in flight"}, id="streams"),
        pytest.param(_observed(connections=1), {"connections"}, id="connections"),
        pytest.param(_observed(connections=None), {"connections"}, id="connections unseen"),
        pytest.param(_reported(retries=1), {"retries"}, id="retries"),
        pytest.param(
            _reported(effective={"chunk_size_bytes": 10 * MIB, "concurrency": 4}),
            {"effective concurrency"},
            id="effective",
        ),
        pytest.param(_reported(throughput_mbps=21.5), {"Mbps"}, id="throughput"),
        pytest.param(_reported(throughput_mbps=None), {"Mbps"}, id="no throughput"),
        pytest.param(_reported(duration_s=9.7), {"duration", "payload Mbps"}, id="a shorter time"),
        pytest.param(
            _reported(setup_s=1.8),
            {"payload Mbps", "no faster than the link carried it"},
            id="a later start",
        ),
        pytest.param(_reported(size_bytes=24 * MIB), {"bytes", "payload Mbps"}, id="bytes"),
    ],
)
def test_what_is_not_as_reported_is_off(record: Mapping[str, Any], off: set[str]) -> None:
    assert off <= _off(record)


@pytest.mark.parametrize(
    ("seen", "off"),
    [
        pytest.param(replace(SEEN, link_bytes=20 * MIB), "bytes on the link", id="too few"),
        pytest.param(replace(SEEN, link_bytes=30 * MIB), "bytes on the link", id="too many"),
        pytest.param(
            replace(SEEN, wire_s=9.5), "no faster than the link carried it", id="rclone's own 100 %"
        ),
        pytest.param(
            replace(SEEN, chunk_sizes=(10 * MIB, 8 * MIB, 7 * MIB)), "chunk size", id="unequal"
        ),
        pytest.param(replace(SEEN, repeats=1), "retries", id="a part twice"),
    ],
)
def test_what_was_seen_otherwise_is_off(seen: Seen, off: str) -> None:
    assert off in _off(RECORD, seen)


def test_an_upload_may_begin_with_hashing_and_a_download_may_not() -> None:
    """2 x 10 MiB are 0.1 s of it, and 2 % of 9 s nearly 0.2 s."""
    record = _reported(duration_s=10.0, setup_s=0.75, throughput_mbps=25 * MIB * 8 / 1e7)
    assert _off(record) == set()
    assert _off({**record, "step": "download"}) == {"payload Mbps"}
    assert _off({**record, "setup_s": 0.7}) == {"payload Mbps"}


def _request(number: int, start_s: float, end_s: float, **fields: Any) -> Request:
    values: dict[str, Any] = {
        "sequence": number,
        "method": "PUT",
        "key": f"link/data/truth/run/{TRIAL}/0.bin",
        "kind": "part",
        "direction": "up",
        "query": "",
        "part_number": number,
        "range": None,
        "body_bytes": 5 * MIB,
        "started_s": start_s,
        "ended_s": end_s,
        "client_port": 4000 + number % 2,
        "version": "HTTP/1.1",
        "status": 200,
        "complete": True,
    }
    return Request(**{**values, **fields})


def _look(t_s: float, up_bytes: int) -> Look:
    packets = up_bytes // grid.SEGMENT_BYTES
    return Look(
        t_s=t_s,
        up_bytes=up_bytes + grid.HEAD_BYTES * packets,
        up_packets=packets,
        down_bytes=40 * packets,
        down_packets=packets,
    )


UP = Life(
    argv=("rclone", "copyto", "/tmp/payload/0.bin", f"s3:hps/run/{TRIAL}/0.bin", "-vv"),
    start_s=100.0,
    end_s=110.0,
    progress=((102.0, 5 * MIB), (105.0, 15 * MIB)),
)
DOWN = replace(
    UP, argv=("rclone", "copyto", f"s3:hps/run/{TRIAL}/0.bin", "/tmp/down/0.bin"), start_s=111.0
)
LOOKS = [_look(99 + second, MIB + max(0, second - 3) * 2 * MIB) for second in range(11)]
REQUESTS = [
    _request(1, 102.0, 105.0),
    _request(2, 102.5, 106.0),
    _request(3, 105.5, 109.0),
    _request(4, 102.0, 103.0, key="link/data/truth/run/another/0.bin"),
    _request(5, 101.0, 101.5, kind="control", direction="none", method="POST"),
    _request(6, 112.0, 115.0, kind="range", direction="down", method="GET", range=(0, 9)),
]


def test_an_operation_is_put_together_from_what_was_seen() -> None:
    seen = see(TRIAL, "up", requests=REQUESTS, looks=LOOKS, lives=[DOWN, UP], one_way_s=0.1)
    assert seen is not None
    assert seen.bytes == 15 * MIB
    assert seen.chunk_sizes == (5 * MIB,) * 3
    assert seen.chunk_bytes == 5 * MIB
    assert (seen.peak_in_flight, seen.connections, seen.repeats) == (2, 2, 0)
    assert seen.duration_s == pytest.approx(10)
    assert seen.payload_s == pytest.approx(110 - 101.9)
    assert seen.wire_s == pytest.approx(109 - 101.9)
    assert seen.link_bytes == pytest.approx(14 * MIB, abs=grid.SEGMENT_BYTES)
    # At 105 s rclone's statistics had all 15 MiB; the link had delivered 6 of the 14.
    assert seen.premature_share == pytest.approx(6 / 14, rel=1e-3)


def test_the_way_down_has_its_own_process_and_requests() -> None:
    down = replace(DOWN, end_s=116.0)
    looks = [replace(_look(t_s, 0), down_bytes=10 if t_s > 113 else 0) for t_s in (110, 114, 117)]
    seen = see(TRIAL, "down", requests=REQUESTS, looks=looks, lives=[UP, down], one_way_s=0)
    assert seen is not None
    assert (len(seen.chunk_sizes), seen.link_bytes) == (1, 10)
    assert seen.duration_s == pytest.approx(5)


def test_a_part_that_is_sent_twice_is_a_repeat() -> None:
    again = [*REQUESTS, _request(3, 109.1, 109.5)]
    seen = see(TRIAL, "up", requests=again, looks=LOOKS, lives=[UP], one_way_s=0)
    assert seen is not None
    assert (seen.repeats, seen.bytes) == (1, 20 * MIB)


@pytest.mark.parametrize(
    ("requests", "lives"), [([], [UP]), (REQUESTS, []), (REQUESTS, [DOWN]), (REQUESTS[3:], [UP])]
)
def test_what_nothing_was_seen_of_is_off(requests: list[Request], lives: list[Life]) -> None:
    seen = see(TRIAL, "up", requests=requests, looks=LOOKS, lives=lives, one_way_s=0)
    assert seen is None
    case = {**_case(seen=None), "kernel_drops": 0}
    assert len(table.what_is_off([case])) == 1
    assert "OFF" in table.text([case])


def _case(*, seen: Seen | None = SEEN, record: Mapping[str, Any] = RECORD) -> dict[str, Any]:
    return {
        "name": "a link",
        "limits_mbps": {"up": 30.0, "down": 30.0},
        "others": [],
        "operations": [{"reported": record, "seen": None if seen is None else asdict(seen)}],
        "probe": None,
        "kernel_drops": 0,
        "mean_late_s": 0.0,
        "most_late_s": 0.0,
        "void": [],
        "least_idle_cores": 0.8,
    }


def test_the_table_says_ok_or_off() -> None:
    bad = _case(record=_observed(connections=1))
    assert table.what_is_off([_case()]) == []
    assert "OFF" not in table.text([_case()])
    assert table.what_is_off([_case(), bad]) == ["a link, upload: connections: 1 reported, 2 seen"]
    assert "1, not 2" in table.text([_case(), bad])
    assert "1 of 2 transfers" in table.text([_case(), bad])


def test_steps_that_fail_and_packets_that_vanish_are_off() -> None:
    case = {**_case(), "others": ["verify failed: other bytes"], "kernel_drops": 3}
    assert len(table.what_is_off([case])) == 2
    assert table.what_is_off([{**_case(), "operations": []}]) == ["nothing was measured"]


def test_the_probe_is_held_against_what_the_link_carried() -> None:
    probe = {"upload_mbps": {"value": 9.7}, "download_mbps": {"value": 20.0}}
    case = {
        **_case(),
        "case": {"link": {"rtt_s": 0.08}},
        "probe": {
            "reported": {**probe, "rtt": {"median_s": 0.081}},
            "carried_mbps": {"up": 10.0, "down": 25.0},
        },
    }
    assert table.what_is_off([case]) == ["a link, probe, down: 20 reported, 25 seen"]


def test_the_probe_is_seen_where_it_counted() -> None:
    """Half of ten seconds count; the link carried 2 MiB a second in them, 1 before."""
    life = Life(argv=("rclone", "hashsum", "crc32"), start_s=100.0, end_s=110.25)
    points = [(float(second), 0) for second in range(2)]
    points += [(float(second), 100 * second * second) for second in range(2, 11)]
    looks = [
        replace(_look(t_s, 0), down_bytes=int(carried * MIB))
        for t_s, carried in [(99.0, 0), (100.0, 0), (105.0, 5), (110.0, 15), (111.0, 15)]
    ]
    mbps = see_probe(points, "down", looks=looks, lives=[life])
    assert mbps == pytest.approx(10 * MIB * 8 / 1e6 / 5, rel=1e-3)
    assert see_probe(points, "up", looks=looks, lives=[life]) is None


def test_every_case_is_a_good_experiment(tmp_path: Path) -> None:
    env = dict.fromkeys(["BUCKET", "FOLDER", "CLOUDFLARE_ID", "CLOUDFLARE_KEY"], "hps")
    chosen = [*cases.full(), *cases.short()]
    paths = [tmp_path / f"{number}.yaml" for number in range(len(chosen))]
    for path, case in zip(paths, chosen, strict=True):
        path.write_text(cases.spec_text(case, "http://198.18.0.1:9000"))
    ran = hps("validate", *paths, env=env)
    assert ran.code == 0, ran.out[-1000:] + ran.err
    assert len({case.name for case in cases.full()}) == 24


def test_what_is_stored_is_found_again(tmp_path: Path) -> None:
    path, (case, other) = tmp_path / "a" / "truth.jsonl", cases.short()
    Stored(path).add({"case": case.key, "name": case.name})
    with path.open("a") as stream:
        stream.write('{"case": cut o')
    found = Stored(path).find(case.key)
    assert found == json.loads(json.dumps({"case": case.key, "name": case.name}))
    assert Stored(path).find(other.key) is None
    assert Stored(path, fresh=True).find(case.key) is None


@pytest.mark.prove
@needs_link
def test_a_real_run_is_as_reported() -> None:
    """Counts and bytes, not times: a busy machine could disturb those."""
    measured = measure(cases.make(grid.make(20, (100, 100), 0.0), (4,), aim_s=2.0))
    up, down = (one for one in table.judge(measured))
    exact = {"ok", "bytes", "chunks", "chunk size", "effective chunk size", "in flight",
             "effective concurrency", "connections", "retries", "bytes on the link"}  # fmt: skip
    for one in (up, down):
        assert one.seen is not None
        assert [
            check.text() for check in one.checks if check.what in exact and not check.good
        ] == []
    assert up.seen is not None
    assert up.seen.premature_share is not None
