"""Nodes that share an experiment: each measures the cells that the fewest others do, then ends."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hps.cli.run import Ended
from hps.model import NodeRules
from hps.redaction import Scrubber
from hps.run import fleet
from hps.run.fleet import FleetOver
from hps.run.run import Outcome
from hps.tools.client import Listed
from tests.command import Ran
from tests.run.sharing import CELLS, OwnFleet, run_here
from tests.servers.rclone_client import REMOTE, remote_environment, run_rclone
from tests.servers.s3_server import S3Server


def _cells(ran: Ran) -> list[int]:
    (line,) = [record for record in ran.records() if record["kind"] == "run"]
    assert line["fleet"]["of"] == CELLS
    assert len(line["cells"]) == len(line["fleet"]["cells"])
    measured = {str(record["cell"]) for record in ran.results()}
    assert measured <= {str(cell) for cell in line["cells"]}
    cells: list[int] = line["fleet"]["cells"]
    return cells


def test_nodes_measure_all_cells_alike_and_end_once_enough_have(
    s3_server: S3Server, tmp_path: Path
) -> None:
    own = OwnFleet(tmp_path, s3_server, "{nodes: 4, per_node: {cells: 2}}")
    first = own.node("node-0")
    again, afresh = own.node("node-0"), own.node("node-0", "--fresh")
    assert (again.code, again.out) == (0, "")
    assert "this machine has measured its share" in again.err
    assert own.node("node-0", HPS_FLEET_AGAIN="reject").code == 3
    assert (afresh.code, _cells(afresh)) == (0, _cells(first))

    ran = [first, *(own.node(f"node-{number}") for number in range(1, 4))]
    assert [one.code for one in ran] == [0] * 4, ran[-1].err
    assert Counter(number for one in ran for number in _cells(one)) == dict.fromkeys(range(4), 2)
    assert sum(name.endswith("/node-0/back") for name in own.announced()) == 1
    assert len(own.announced()) == 10
    assert sum(name.endswith("/done") for name in own.announced()) == 4
    assert sum(name.endswith("/over") for name in own.announced()) == 1

    late = own.node("node-9")
    assert (late.code, late.out) == (0, "")
    assert "4 were wanted" in late.err
    assert len(own.announced()) == 10
    told = own.status("--format", "json")
    found = json.loads(told.out)
    assert found["states"] == {"done": 4, "at_work": 0, "lost": 0, "rejected": 0}
    assert (found["wanted"], found["covered"]) == (4, [2, 2, 2, 2])
    assert "4 have begun; 4 are wanted" in own.status().out


def test_fleets_of_one_experiment_are_told_apart_by_name(
    s3_server: S3Server, tmp_path: Path
) -> None:
    own = OwnFleet(tmp_path, s3_server, "{nodes: 1, per_node: all}")
    assert own.node("node-1", HPS_FLEET="first").code == 0
    other = own.node("node-1", HPS_FLEET="second")

    assert (other.code, _cells(other)) == (0, [0, 1, 2, 3])
    assert own.announced() == [
        *("first/node-1/all", "first/node-1/done", "first/over"),
        *("second/node-1/all", "second/node-1/done", "second/over"),
    ]


def test_nothing_begins_after_the_end_of_a_fleet(s3_server: S3Server, tmp_path: Path) -> None:
    own = OwnFleet(tmp_path, s3_server, "{until: 1h}")
    past, wrong = (
        own.node("a", HPS_FLEET_UNTIL="2026-01-01T00:00:00Z"),
        {
            "HPS_FLEET_UNTIL": "tomorrow",
            "HPS_FLEET": "A fleet",
        },
    )
    assert (past.code, past.out) == (0, "")
    assert "it has ended at 2026-01-01 00:00:00 UTC" in past.err
    for name, value in wrong.items():
        refused = own.node("a", **{name: value})
        assert refused.code == 2
        assert name in refused.err
    assert own.node("a").code == 0


@pytest.mark.parametrize("mistake", ["unreadable", "no bucket"])
def test_what_fails_on_every_node_is_not_started_for_ever(
    s3_server: S3Server, tmp_path: Path, mistake: str
) -> None:
    """A platform starts another node in place of one that failed: the end ends that, too."""
    own = OwnFleet(tmp_path, s3_server, "{until: 1h}")
    text = own.spec.read_text()
    wrong = {
        "unreadable": ("upload, delete", "uplaod"),
        "no bucket": (f"bucket: {s3_server.bucket}", "bucket: there-is-no-such-bucket"),
    }
    own.spec.write_text(text.replace(*wrong[mistake]))
    ends = {
        "2026-01-01T00:00:00Z": 0,
        f"{datetime.now(UTC) - timedelta(minutes=10):%Y-%m-%dT%H:%M:%SZ}": 2,
        f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}": 2,
    }
    for end, code in ends.items():
        ran = own.node("a", HPS_FLEET_UNTIL=end)
        assert ran.code == code, ran.err
        assert ("has ended at 2026-01-01 00:00:00 UTC" in ran.err) == (code == 0)
        assert ("uplaod" if mistake == "unreadable" else "NoSuchBucket") in ran.err


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_node_asks_for_another_where_that_would_have_something_to_do(everywhere: bool) -> None:
    over = FleetOver(fleet="f", why="it is", everywhere=everywhere)
    ended = Ended(outcome=over, stopped=None, scrubber=Scrubber({}))
    assert bool(ended.why_leave(NodeRules(on_complete="reallocate"))) is not everywhere
    assert ended.code == 0


@pytest.mark.parametrize("is_dead", [False, True], ids=["at work", "dead"])
def test_a_dead_node_counts_with_what_it_has_measured(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_dead: bool
) -> None:
    monkeypatch.setattr(fleet, "DEAD_S", 0.2 if is_dead else 600.0)
    own = OwnFleet(tmp_path, s3_server, "{per_node: {cells: 2}}")
    _, first = run_here(own, "first", most=2)
    assert not first.named("fleet_unknown")
    time.sleep(2.1)  # of the time of an object only the seconds are told
    second = run_here(own, "second")[1]

    assert len(first.cells) == len(second.cells) == 2
    assert len(first.measured) == 1
    taken_twice = set(first.cells) & set(second.cells)
    assert len(taken_twice) <= (1 if is_dead else 0)
    assert not first.measured & second.measured
    again = run_here(own, "first")[1]
    assert len(again.measured | first.measured) == 2  # it goes on with what it had taken
    assert isinstance(run_here(own, "first")[0], FleetOver)


def test_rejected_nodes_say_which_check_and_count_each_other(
    s3_server: S3Server, tmp_path: Path
) -> None:
    own = OwnFleet(tmp_path, s3_server, "{per_node: all}")
    rules = "node: {min_disk: 900TiB, on_reject: reallocate}\n"
    own.spec.write_text(own.spec.read_text() + rules)
    crowds = []
    for name in ("a", "b", "c"):
        ending, _ = run_here(own, name, HPS_FLEET="mine")
        assert isinstance(ending, Outcome)
        assert ending.decision.rejected
        crowds.append(ending.crowd)
        place = f"{REMOTE}:{s3_server.bucket}/tests/results/{own.name}"
        texts = [
            run_rclone(["cat", f"{place}/{key}"], env=remote_environment(s3_server)).stdout
            for key in (f".fleet/mine/{name}/rejected", f"{name}/{ending.journal.name}")
        ]
        (told,) = json.loads(texts[0])["verdict"]["checks"]
        assert (told["name"], told["outcome"], told["bound"]) == ("min_disk", "fail", 900 * 1024**4)
        assert 0 < told["value"] < told["bound"]
        assert json.loads(texts[1])["verdict"] == json.loads(texts[0])["verdict"]
    assert crowds == [0, 1, 2]


def test_what_the_names_of_objects_say() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    others = fleet.Others()
    for key, age_s in {
        ".fleet/mine/a/0.1": 500,
        "a/20261122T101530123Z-5f3a9c04b7d1.jsonl": 20,
        ".fleet/mine/b/2.3": 500,
        "b/20261122T101530123Z-5f3a9c04b7d1.jsonl": 400,
        ".fleet/mine/c/done": 900,
        ".fleet/mine/d/rejected": 900,
        ".fleet/other/e/0.1": 1,
        ".fleet/mine/f/77": 1,
        ".fleet/mine/g/../0": 1,
        "h.jsonl": 1,
        ".fleet/mine/b/back": 30,
    }.items():
        others.add(Listed(key=key, at=now - timedelta(seconds=age_s)), "mine", 4)

    assert others.shares == {"a": (0, 1), "b": (2, 3)}
    assert (others.done, others.rejected) == ({"c"}, {"d"})
    assert [others.is_alive(name, now) for name in ("a", "b", "c")] == [True, True, False]
    # Who comes back is heard of, and moves neither the fleet's beginning nor its end.
    assert set(others.announced) == {now - timedelta(seconds=500)}
