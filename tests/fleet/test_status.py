"""`hps fleet status`: what a bucket says of a fleet, whatever else lies in it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hps.catalog.failures import failure
from hps.errors import HpsError, MachineError
from hps.fleet import status as looking
from hps.fleet import text
from hps.fleet.progress import NodeProgress, time_to_end
from hps.fleet.status import FleetStatus, open_fleet
from hps.plan.expand import expand
from hps.process.stop import NEVER, SignalStop
from hps.run.fleet import DEAD_S
from hps.targets.copy import fetch, place_of
from tests.command import hps
from tests.conftest import ProxyFor
from tests.fleet.stored import OLD_S, STEPS, StoredFleet
from tests.servers.rclone_s3 import serve_s3

_THROTTLED = failure("throttled", "the endpoint answered 503 SlowDown")


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[StoredFleet]:
    """A bucket of this test's own, with nothing in it."""
    with serve_s3(tmp_path / "served", live=True) as server:
        file = tmp_path / "stored.yaml"
        yield StoredFleet(server=server, served=tmp_path / "served", file=file)


def _look(stored: StoredFleet, *, details: bool | None = None) -> FleetStatus:
    with open_fleet(stored.spec, stored.env, NEVER, details=details) as observer:
        return observer.look()


def _fill(stored: StoredFleet) -> None:
    """Two done, two at work, one lost, three turned down; six are wanted."""
    stored.node("done-1", (0, 1))
    stored.node("done-2", (2, 3), wrong={1: _THROTTLED})
    stored.node("work-1", (0, 1), done=2)
    stored.node("work-2", (2, 3), done=4, wrong={0: _THROTTLED, 2: failure("timeout", "too slow")})
    stored.node("lost-1", (0, 2), done=1, age_s=OLD_S)
    stored.turned_down("slow-1", 15.7)
    stored.turned_down("slow-2", 11.2)
    stored.turned_down("slow-and-far", 3.0, rtt_s=0.41)


def test_an_empty_bucket_has_a_status(stored: StoredFleet) -> None:
    found = _look(stored)
    assert (found.nodes, found.progress.planned, found.why_over) == ((), 0, "")
    assert "no node has announced itself yet" in text.as_text(found)


def test_it_says_how_far_the_nodes_are(stored: StoredFleet) -> None:
    _fill(stored)
    found = _look(stored)
    counts = {state: found.count(state) for state in looking.STATES}
    assert counts == {"done": 2, "at_work": 2, "lost": 1, "rejected": 3}
    assert found.covered == (2, 2, 2, 2)
    whole = 2 * STEPS
    assert (found.progress.done, found.progress.planned) == (2 * whole + 2 + 4, 6 * whole)
    assert not found.progress.is_estimate
    nodes = {node.machine_id: node.progress for node in found.nodes}
    assert (nodes["work-2"].done, nodes["work-2"].planned, nodes["lost-1"].done) == (4, whole, 1)
    assert found.progress.left_s is None
    assert found.progress.why_not_left == "2 more nodes have yet to begin"


def test_it_says_which_check_turns_down_and_which_bound_would_let_pass(stored: StoredFleet) -> None:
    _fill(stored)
    upload, rtt = _look(stored).turned_down
    assert (upload.check, upload.bound, upload.nodes, upload.alone) == (
        "min_upload",
        "20Mbps",
        3,
        2,
    )
    assert [asdict(one) for one in upload.relaxed] == [
        {"bound": "15Mbps", "nodes": 1},
        {"bound": "11Mbps", "nodes": 2},
    ]
    assert (rtt.check, rtt.bound, rtt.nodes, rtt.alone) == ("max_rtt", "300ms", 1, 0)


def test_it_says_in_words_what_failed_of_late(stored: StoredFleet) -> None:
    _fill(stored)
    stored.not_begun("away-1", "unreachable", "no route to host")
    stored.not_begun("away-2", "unreachable", "no route to host")
    by_code = {one.code: one for one in _look(stored).failures}
    assert set(by_code) == {"throttled", "timeout", "unreachable"}
    assert (by_code["throttled"].nodes, by_code["throttled"].operations) == (2, 2)
    assert "503 SlowDown" in by_code["throttled"].reason
    assert (by_code["unreachable"].began, by_code["unreachable"].nodes) == (False, 2)


def test_a_rate_is_of_the_last_minutes_and_the_time_left_follows(stored: StoredFleet) -> None:
    stored.described = "{per_node: {cells: 2}}"
    stored.node("old", (0, 1), age_s=3600)
    for number in range(4):
        stored.node(f"work-{number}", (0, 1), done=3)
    progress = _look(stored).progress
    assert progress.window_s == 600.0
    assert progress.per_min == pytest.approx(12 / 10)
    begun = expand(stored.spec, only=(0, 1)).operations[:3]
    moved = sum(one.cell.knobs.size_bytes for one in begun if one.requested is not None)
    assert progress.bytes_per_min == pytest.approx(4 * moved / 10)
    assert progress.left_s == pytest.approx(4 * 3 / 1.2 * 60, rel=0.1)


def test_the_time_left_is_that_of_the_nodes_that_are_still_wanted() -> None:
    nodes = [NodeProgress(planned=10, done=done) for done in (9, 7, 0)]
    assert time_to_end(nodes, None, 1.0) == (14 * 60, "")
    assert time_to_end(nodes, 2, 1.0) == (4 / (2 / 3) * 60, "")
    assert time_to_end(nodes, 4, 1.0) == (None, "1 more node has yet to begin")
    assert time_to_end(nodes, 2, 0.0) == (None, "nothing was done of late")
    assert time_to_end([], 2, 1.0) == (None, "no node is at work")
    unknown = [*nodes, NodeProgress(planned=10, done=None)]
    assert time_to_end(unknown, 2, 1.0) == (None, "how far the nodes are is not known")


def test_what_is_stopped_fetches_no_more(
    stored: StoredFleet, tmp_path: Path, proxy_for: ProxyFor
) -> None:
    stored.endpoint = proxy_for(stored.server, min_data_s=20.0).endpoint
    _fill(stored)
    stop = SignalStop()
    stop.handle(signal.SIGTERM, None)
    place = place_of(stored.spec, None, stored.env)
    with pytest.raises(MachineError, match="stopped"):
        fetch(place, tmp_path / "into", lambda _: None, rules=("+ **",), stop=stop)


def test_a_clock_that_is_ahead_moves_nothing_into_the_future(stored: StoredFleet) -> None:
    stored.node("old", (0, 1), age_s=3600)
    stored.node("ahead", (0, 1), done=3, ahead_s=7200, wrong={2: _THROTTLED})
    found = _look(stored)
    failed_at = found.failures[0].at
    assert failed_at is not None
    assert failed_at <= stored.now + timedelta(seconds=1)
    assert found.progress.per_min == pytest.approx(3 / 10)
    assert found.count("at_work") == 1


def test_another_fleet_of_the_same_experiment_is_not_counted(stored: StoredFleet) -> None:
    stored.node("mine", (0, 1), done=1)
    stored.node("mine", (0, 1), done=6, fleet="another")
    found = _look(stored)
    assert found.progress.done == 1
    assert found.journals.listed == 2


def test_journals_of_the_machines_of_other_fleets_are_not_read(stored: StoredFleet) -> None:
    stored.node("mine", (0, 1), done=1)
    path = stored.node("foreign", (0, 1), done=6, fleet="another")
    path.write_text(path.read_text() * 10)
    stored.put(".fleet/another/foreign/0.1", "{}")
    found = _look(stored, details=True)
    assert (found.journals.listed, found.progress.done, len(found.nodes)) == (1, 1, 1)


def test_without_details_progress_is_estimated_by_sizes(stored: StoredFleet) -> None:
    _fill(stored)
    found = _look(stored, details=False)
    assert found.journals.read == 0
    assert found.progress.is_estimate
    nodes = {node.machine_id: node.progress.done for node in found.nodes}
    assert nodes["done-1"] == 2 * STEPS
    assert 0 <= int(str(nodes["work-1"])) <= int(str(nodes["work-2"])) <= 2 * STEPS
    assert "--details reads all" in text.as_text(found).replace("\n", " ")


def test_without_details_and_without_a_node_that_is_done_nothing_is_made_up(
    stored: StoredFleet,
) -> None:
    stored.node("work-1", (0, 1), done=2)
    found = _look(stored, details=False)
    assert found.progress.done is None
    assert "how many are done is not known" in text.as_text(found)


def test_of_many_bytes_only_what_is_short_is_read_unasked(
    stored: StoredFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(stored)
    monkeypatch.setattr(looking, "MOST_BYTES_UNASKED", 12_000)
    unasked, asked = _look(stored), _look(stored, details=True)
    assert unasked.journals.read == 3
    assert (unasked.journals.is_whole, unasked.progress.is_estimate) == (False, True)
    assert unasked.turned_down == asked.turned_down
    assert asked.journals.is_whole


def test_a_fleet_is_over_once_enough_are_done(stored: StoredFleet) -> None:
    stored.described = "{nodes: 1, per_node: {cells: 2}}"
    stored.node("work-1", (0, 1), done=2)
    assert _look(stored).why_over == ""
    stored.node("done-1", (0, 1))
    assert _look(stored).why_over == "as many as are wanted have measured their cells"


def test_a_fleet_is_over_once_its_time_is_and_nobody_is_at_work(stored: StoredFleet) -> None:
    stored.described = "{until: 10m}"
    stored.node("work-1", (0, 1), done=2, age_s=700.0)
    stored.node("work-2", (0, 1), done=2)
    assert _look(stored).why_over == ""
    (path,) = stored.results.glob("work-2/*.jsonl")
    path.unlink()
    stored.announce("work-2", "0.1", age_s=DEAD_S + 60)
    assert _look(stored).why_over == "its time is over"


def test_a_fleet_that_was_ended_for_all_is_over_for_the_reason_given(stored: StoredFleet) -> None:
    stored.node("work-1", (0, 1), done=2)
    stored.put(f".fleet/{stored.fleet}/over", json.dumps({"why": "money is spent"}))
    assert _look(stored).why_over == "money is spent"


def test_only_what_has_changed_is_fetched_and_not_too_often(
    stored: StoredFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(stored)
    fetched: list[list[str]] = []
    with open_fleet(stored.spec, stored.env, NEVER) as observer:
        bring = observer.bring

        def counted(journals: Any) -> Path:
            fetched.append([item.key.partition("/")[0] for item in journals])
            return bring(journals)

        observer.bring = counted
        first = observer.look()
        stored.node("work-1", (0, 1), done=3)
        early = observer.look()
        monkeypatch.setattr(looking, "READ_EVERY_S", 0.0)
        later, again = observer.look(), observer.look()
    assert [len(names) for names in fetched] == [8, 1]
    assert fetched[1] == ["work-1"]
    assert early.progress.done == first.progress.done
    assert later.progress.done == again.progress.done == int(str(first.progress.done)) + 1


@pytest.mark.parametrize("count", [300])
def test_a_look_at_many_nodes_is_a_few_requests(
    tmp_path: Path, proxy_for: ProxyFor, count: int
) -> None:
    with serve_s3(tmp_path / "served") as server:
        proxy = proxy_for(server)
        stored = StoredFleet(
            server=server,
            served=tmp_path / "served",
            file=tmp_path / "stored.yaml",
            endpoint=proxy.endpoint,
        )
        for number in range(count):
            stored.node(f"node-{number:04d}", (0, 1), done=number % 6)
        _look(stored, details=False)
        listed = [(seen.method, seen.key) for seen in proxy.requests()]
        proxy.clear()
        found = _look(stored, details=True)
        read = proxy.requests()
    assert len(listed) <= 4, listed
    assert found.count("at_work") == count
    assert sum(seen.key.endswith(".jsonl") for seen in read) == count
    assert len(read) <= count + 8


# --- what else may lie in a bucket ---------------------------------------------------------------

_BAD = {
    "no-json": b"}{\n\xff\xfe\n",
    "torn": b'{"kind": "run", "machine_id": "x"',
    "empty": b"",
    "deep": b"[" * 100_000 + b"\n",
    "numbers": b'{"kind": "run", "run_id": 1e999, "verdict": 7}\n',
    "nul": b"\0" * 4096,
}


def _odd_run(stored: StoredFleet, machine: str, **fields: object) -> None:
    """A journal whose run line has other fields than a run has."""
    path = stored.turned_down(machine, 10.0)
    line = json.loads(path.read_text()) | fields
    path.write_text(json.dumps(line) + "\n")


def test_whatever_lies_in_the_bucket_there_is_a_status(stored: StoredFleet) -> None:
    _fill(stored)
    for name, content in _BAD.items():
        stored.put(f"{name}/20261122T101530123Z-5f3a9c04b7d1.jsonl", content)
        stored.put(f".fleet/{stored.fleet}/{name}/0.1", "")
    check = {"name": 3, "value": [1], "bound": {"a": 1}, "unit": None, "outcome": "fail"}
    _odd_run(stored, "odd-1", verdict={"accepted": False, "checks": [check, 7, None]})
    _odd_run(stored, "odd-2", verdict={"accepted": False, "checks": "all"}, fleet=[1])
    _odd_run(stored, "odd-3", started_at="0001-01-01T00:00:00+23:59", operations=2**62)
    stored.put(f".fleet/{stored.fleet}/ahead/0.1", "", age_s=-1e7)
    stored.put("not-ours.jsonl", "x")
    stored.put("a/b/c/d.jsonl", "x")
    stored.put("{a,b}[c]*/x.jsonl", "x")
    stored.put(f".fleet/{stored.fleet}/{'m' * 200}/done", "")
    ran = hps("fleet", "status", stored.file, env=stored.env)
    assert (ran.code, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines())) <= 80
    assert {"Traceback", "nan", "inf"}.isdisjoint(ran.out.split())


def test_a_journal_that_is_far_too_large_is_not_read(
    stored: StoredFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.node("work-1", (0, 1), done=2)
    stored.put("huge/20261122T101530123Z-5f3a9c04b7d1.jsonl", b"x" * 200_000)
    monkeypatch.setattr(looking, "MOST_JOURNAL_BYTES", 100_000)
    found = _look(stored, details=True)
    assert (found.journals.read, found.journals.too_large) == (1, 1)
    assert "1 are too large to be a node's" in text.as_text(found)


def test_operations_in_the_far_past_and_future_are_no_rate(stored: StoredFleet) -> None:
    for machine, at in (("past", "0001-01-01T00:00:00Z"), ("future", "9999-12-31T23:59:59Z")):
        path = stored.node(machine, (0, 1), done=3)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        text_of = "".join(json.dumps(line | {"started_at": at}) + "\n" for line in lines)
        path.write_text(text_of)
    found = _look(stored)
    assert found.progress.done == 6
    assert text.as_text(found)


# --- as a command --------------------------------------------------------------------------------


def test_the_document_has_all_that_it_had_and_more(stored: StoredFleet) -> None:
    _fill(stored)
    ran = hps("fleet", "status", stored.file, "--format", "json", env=stored.env)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    before = {"fleet", "experiment", "wanted", "states", "covered", "began_at", "ends_at", "nodes"}
    assert before < set(found)
    assert set(found["nodes"][0]) >= {"machine_id", "state", "cells", "seen_at"}
    assert found["operations"]["done"] == 18
    assert found["turned_down"][0]["relaxed"][0] == {"bound": "15Mbps", "nodes": 1}
    assert found["failures"][0]["at"].endswith("Z")


def test_only_the_keys_of_the_results_are_needed(stored: StoredFleet) -> None:
    _fill(stored)
    other = """\
  other: {provider: aws, region: us-east-1, bucket: b,
          access_key_id: {env: NOT_HERE}, secret_access_key: {env: NOT_HERE_EITHER}}
results: {target: store}
node:"""
    content = stored.file.read_text().replace("matrix: {", "matrix: {target: [store, other], ")
    stored.file.write_text(content.replace("node:", other, 1))
    ran = hps("fleet", "status", stored.file, env=stored.env | {"HPS_FLEET": stored.fleet})
    assert ran.code == 0, ran.err
    assert "8 have begun" in ran.out
    refused = hps("fleet", "status", stored.file, env={})
    assert refused.code == 2
    assert "TEST_KEY_ID" in refused.err


@pytest.mark.parametrize("long", [False, True])
def test_every_line_of_it_fits_80_columns(stored: StoredFleet, long: bool) -> None:
    if long:
        stored.name = "x" * 63
        stored.described = "{nodes: 100000, until: 40h}"
    _fill(stored)
    stored.not_begun("m" * 200, "unreachable", "y" * 5000)
    found = _look(stored)
    shown = text.as_text(found)
    assert max(map(len, shown.splitlines())) <= 80
    assert len(text.as_line(found).rstrip("\n")) <= 80
    assert "15Mbps" in shown


def test_a_bucket_that_is_away_is_an_error_in_words(stored: StoredFleet) -> None:
    stored.endpoint = "http://127.0.0.1:9"
    with pytest.raises(HpsError, match="can't be listed"):
        _look(stored)
