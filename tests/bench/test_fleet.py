"""`bench.fleet`: nodes as they were published, what is resumed, and a real fleet of two."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.fleet import __main__ as program
from bench.fleet import table
from bench.fleet.bucket import Bucket
from bench.fleet.draw import LEAST_MBPS, MOST_MBPS, Node, draw, histogram, published
from bench.fleet.gather import Seen, see
from bench.fleet.measure import EXPERIMENT
from bench.link import EXIT_NO_LINK
from bench.stored import Stored
from hps.report.pictures import correlation
from tests.bench.machine import WHY_NOT, needs_link
from tests.command import REPOSITORY

MANY = 4000
NODE = Node(number=0, seed=1, rtt_ms=80.0, up_mbps=130.0, down_mbps=400.0)
TOLD = {"rclone": "1.75.2"}
NAMES = {"rtt_ms": "rtt_ms", "download_mbps": "down_mbps", "upload_mbps": "up_mbps"}
# A journal's lines: of the run, and what all its results have.
_OF_ALL = {
    "run_id": "20261122T101530123Z-5f3a9c04b7d1",
    "machine_id": "fleet-1-000",
    "experiment": "fleet",
    "spec_sha256": "0" * 64,
    "started_at": "2026-11-22T10:15:30.123000Z",
}
_RUN = {
    "kind": "run",
    **_OF_ALL,
    "verdict": {"accepted": True},
    "probe": {
        "rtt": {"median_s": 0.0812},
        "upload_mbps": {"value": 120.0},
        "download_mbps": {"value": None},
    },
}
_OF_RESULTS: dict[str, object] = {
    **_OF_ALL,
    "kind": "result",
    "warmup": False,
    "reason": "",
    "cell": {},
    "effective": None,
    "observed": None,
    "duration_s": 1.0,
    **dict.fromkeys(("step_index", "repetition", "retries"), 0),
}


@pytest.fixture(scope="module")
def many() -> dict[str, Any]:
    """Arrays of what was drawn, by the names of the published histograms."""
    nodes = draw(MANY, seed=7)
    return {
        name: np.array([getattr(node, field) for node in nodes]) for name, field in NAMES.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_means_are_the_published_ones(many: dict[str, Any], name: str) -> None:
    """Within four standard errors, and what reading bins off a figure may be off by."""
    standard_error = many[name].std(ddof=1) / MANY**0.5
    assert abs(many[name].mean() - published()[name]["mean"]) < 4 * standard_error + 1.0


@pytest.mark.parametrize("name", NAMES)
def test_values_follow_the_published_histogram(many: dict[str, Any], name: str) -> None:
    one = histogram(name)
    edges = one.start + one.width * np.arange(len(one.counts) + 1)
    seen, _ = np.histogram(many[name], edges)
    assert seen.sum() == MANY
    expected = MANY * np.array(one.counts) / sum(one.counts)
    filled = expected > 0
    assert not seen[~filled].sum()
    assert stats.chisquare(seen[filled], expected[filled]).pvalue > 1e-4


def test_the_trend_is_the_published_one(many: dict[str, Any]) -> None:
    """r within four standard errors after Fisher's transform; the line as far as bins tell it."""
    line = published()["trend"]
    fitted = correlation.fit(many["download_mbps"], many["upload_mbps"])
    assert fitted is not None
    assert abs(np.arctanh(fitted.r) - np.arctanh(line["r"])) < 4 / (MANY - 3) ** 0.5
    standard_error = fitted.residual_sd / fitted.sum_squares_x**0.5
    assert abs(fitted.slope - line["slope"]) < 4 * standard_error + 0.01
    at_mean = fitted.intercept + fitted.slope * fitted.mean_x
    mean_error = fitted.residual_sd / MANY**0.5
    assert abs(at_mean - (line["intercept"] + line["slope"] * fitted.mean_x)) < 4 * mean_error + 1


def test_a_draw_depends_on_the_seed_and_the_number_alone() -> None:
    assert draw(3, seed=5) == draw(9, seed=5)[:3]
    assert draw(3, seed=5)[0].rtt_ms != draw(3, seed=6)[0].rtt_ms
    assert len({node.machine_id for node in draw(20, seed=5)}) == 20


def test_no_link_is_faster_than_this_machine_carries(many: dict[str, Any]) -> None:
    assert (NODE.link.up_mbps, NODE.link.down_mbps, NODE.capped) == (130.0, MOST_MBPS, True)
    assert min(many["upload_mbps"].min(), many["download_mbps"].min()) >= LEAST_MBPS


def _store(bucket: Bucket, text: str = "{}\n") -> None:
    path = bucket.root / "hps" / "fleet" / "results" / EXPERIMENT / NODE.machine_id / "run.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_a_node_is_skipped_where_it_is_listed_and_in_the_bucket(tmp_path: Path) -> None:
    bucket, stored = Bucket(root=tmp_path / "bucket"), Stored(tmp_path / "nodes.jsonl")
    case = program.case_of(NODE, 20, TOLD)
    _store(bucket)
    assert program.find(case, bucket, stored) is None, "a run that came to no end"
    stored.add({"case": case, "outcome": "ran"})
    again = Stored(tmp_path / "nodes.jsonl")
    assert program.find(case, bucket, again) is not None
    for other in (
        program.case_of(NODE, 200, TOLD),
        program.case_of(NODE, 20, {"rclone": "1.75.1"}),
    ):
        assert program.find(other, bucket, again) is None
    bucket.forget(EXPERIMENT, NODE.machine_id)
    assert program.find(case, bucket, again) is None, "its results are gone"


def test_a_journal_is_seen_without_what_is_not_ok(tmp_path: Path) -> None:
    results = [
        {"operation_id": "a", "step": "upload", "status": "ok", "throughput_mbps": 99.0},
        {"operation_id": "b", "step": "download", "status": "invalid", "throughput_mbps": 150.0},
    ]
    path = tmp_path / "run.jsonl"
    path.write_text(
        "".join(
            json.dumps(record) + "\n"
            for record in [_RUN, *({**_OF_RESULTS, **one} for one in results)]
        )
    )
    seen = see(path)
    assert seen.rtt_ms == pytest.approx(81.2)
    assert (seen.probe_up_mbps, seen.probe_down_mbps) == (120.0, None)
    assert (seen.up_mbps, seen.down_mbps) == (99.0, None)


def _seen(node: Node, up_mbps: float | None, down_mbps: float | None) -> Seen:
    return Seen(
        machine_id=node.machine_id,
        accepted=up_mbps is not None,
        rtt_ms=node.rtt_ms,
        probe_up_mbps=node.up_mbps,
        probe_down_mbps=node.down_mbps,
        up_mbps=up_mbps,
        down_mbps=down_mbps,
    )


def test_the_table_has_the_means_the_line_and_the_counts() -> None:
    nodes = draw(8, seed=3)
    downs = [100.0 + 20 * number for number in range(7)]
    seen = {
        node.machine_id: _seen(node, 10 + down / 2, down)
        for node, down in zip(nodes[:7], downs, strict=True)
    }
    seen[nodes[7].machine_id] = _seen(nodes[7], None, None)
    health = {"kernel_drops": 0, "most_late_s": 0.001, "void": ""}
    entries = [{"outcome": "ran", **health}] * 7 + [{"outcome": "rejected", **health}]
    text = table.text(nodes, entries, seen, 20)
    row = next(line for line in text.splitlines() if line.startswith("| `hps`, 20 MiB"))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert (cells[1], cells[3], cells[4]) == ("7", "160.0", "90.0")
    assert cells[5].startswith("10.0 + 0.500 (± 0.000)")
    assert cells[6] == "1.00"
    assert "rejected by the filters (20 Mbps up, 50 Mbps down): 1" in text


@pytest.mark.prove
@needs_link
def test_a_real_fleet_of_two(tmp_path: Path) -> None:
    """One node that runs and one that the published filters reject, in one bucket."""
    ran = subprocess.run(
        [sys.executable, "-m", "bench.fleet", "--nodes", "2", "--size", "5", "--seed", "4353",
         "--output", str(tmp_path)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    folder = tmp_path / "2x5MiB-seed4353"
    entries = [json.loads(line) for line in (folder / "nodes.jsonl").read_text().splitlines()]
    assert [entry["outcome"] for entry in entries] == ["ran", "rejected"]
    first, second = (
        see(next((folder / "cache" / EXPERIMENT / entry["machine_id"]).glob("*.jsonl")))
        for entry in entries
    )
    assert first.accepted
    assert first.up_mbps is not None
    assert first.down_mbps is not None
    assert (second.accepted, second.up_mbps, second.down_mbps) == (False, None, None)
    assert (folder / "report.html").stat().st_size > 10_000
    assert "rejected by the filters (20 Mbps up, 50 Mbps down): 1" in ran.stdout
    bucket, stored = Bucket(root=folder / "bucket"), Stored(folder / "nodes.jsonl")
    assert all(program.find(entry["case"], bucket, stored) for entry in entries)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
def test_without_the_rights_no_node_runs_and_the_code_says_so(tmp_path: Path) -> None:
    before = [] if WHY_NOT else ["setpriv", "--bounding-set=-sys_admin"]
    ran = subprocess.run(
        [*before, sys.executable, "-m", "bench.fleet", "--nodes", "1", "--output", str(tmp_path)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (EXIT_NO_LINK, "")
    assert not list(tmp_path.rglob("*.jsonl"))
