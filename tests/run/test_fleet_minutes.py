"""A node that measures for some minutes: it takes cells block by block, and says so each time."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hps.model import Spec
from hps.plan import share
from hps.results import journal
from hps.run.fleet import FleetOver
from hps.run.run import Outcome
from tests.command import hps, keys_of
from tests.run.sharing import CELLS, OwnFleet, run_here
from tests.servers.s3_server import S3Server

_MINUTES = "{nodes: 9, per_node: {minutes: 20}}"


def _hurried(spec: Spec) -> Spec:
    """With no time for more than the first block."""
    assert spec.fleet is not None
    return replace(spec, fleet=replace(spec.fleet, for_s=1e-6))


def test_it_announces_each_block_and_measures_all_that_fits(
    s3_server: S3Server, tmp_path: Path
) -> None:
    own = OwnFleet(tmp_path, s3_server, _MINUTES)
    ran = own.node("node", HPS_FLEET="mine")

    assert ran.code == 0, ran.err
    (line,) = [record for record in ran.records() if record["kind"] == "run"]
    assert (line["fleet"]["minutes"], line["fleet"]["of"]) == (20, CELLS)
    assert len(line["fleet"]["cells"]) == 1
    assert len({json.dumps(one["cell"]) for one in ran.results()}) == CELLS == len(line["cells"])
    blocks = [name.split("/")[2] for name in own.announced() if not name.endswith("done")]
    assert sorted(int(cell) for block in blocks for cell in block.split(".")) == [0, 1, 2, 3]
    assert len(blocks) >= 2
    found = json.loads(own.status("--format", "json").out or "{}")
    assert found == {} or found["covered"] == [0] * CELLS  # of another name
    told = hps("fleet", "status", own.spec, "--format", "json", env=_env(own))
    assert json.loads(told.out)["covered"] == [1] * CELLS


def _env(own: OwnFleet) -> dict[str, str]:
    return {**keys_of(own.server), "HPS_FLEET": "mine"}


def test_nodes_without_time_for_more_take_one_cell_each_and_cover_all(
    s3_server: S3Server, tmp_path: Path
) -> None:
    own = OwnFleet(tmp_path, s3_server, _MINUTES)
    ran = [run_here(own, f"node-{number}", change=_hurried) for number in range(CELLS)]

    assert Counter(size for _, seen in ran for size in seen.measured).most_common()[0][1] == 1
    assert len({size for _, seen in ran for size in seen.measured}) == CELLS
    assert sum(name.endswith("/done") for name in own.announced()) == CELLS


def test_one_that_comes_back_ends_its_block(s3_server: S3Server, tmp_path: Path) -> None:
    own = OwnFleet(tmp_path, s3_server, _MINUTES)
    stopped, first = run_here(own, "node", most=1)
    assert isinstance(stopped, Outcome)
    assert not any(name.endswith("/done") for name in own.announced())

    again, second = run_here(own, "node", change=_hurried)
    assert isinstance(again, Outcome)
    assert again.identity.run_id == stopped.identity.run_id
    assert second.measured == first.measured
    assert (again.tally.asked, again.tally.all_ok) == (1, True)
    assert any(name.endswith("/done") for name in own.announced())
    assert isinstance(run_here(own, "node")[0], FleetOver)


def test_one_whose_block_was_whole_takes_one_more_and_counts_the_time_before(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = OwnFleet(tmp_path, s3_server, _MINUTES)
    stopped, first = run_here(own, "node", most=2)
    assert isinstance(stopped, Outcome)
    before = [one for one in journal.read(stopped.journal).records if one["kind"] == "result"]
    measured_s = sum(float(str(one["duration_s"])) for one in before)
    asked, size = list[float](), share.block_size

    def seen(cells: int, spent_s: float, for_s: float) -> int:
        asked.append(spent_s)
        return size(cells, spent_s, for_s)

    monkeypatch.setattr(share, "block_size", seen)
    again, second = run_here(own, "node", change=_hurried)
    assert isinstance(again, Outcome)
    assert (again.tally.asked, len(second.measured)) == (2, 1)
    assert not first.measured & second.measured
    assert asked[0] >= measured_s > 0


def test_cells_that_are_alike_on_the_wire_are_measured_in_each(
    s3_server: S3Server, tmp_path: Path
) -> None:
    own = OwnFleet(tmp_path, s3_server, _MINUTES)
    text = own.spec.read_text()
    own.spec.write_text(
        text.replace("size: [1MiB, 2MiB, 3MiB, 4MiB]", "chunk_size: [5MiB, 6MiB], size: [1MiB]")
    )
    ran = own.node("node")
    assert ran.code == 0, ran.err
    steps: Any = Counter((one["step"], one["cell"]["chunk_size"]) for one in ran.results())
    assert set(steps.values()) == {1}
    assert len(steps) == 4


def test_the_plan_says_how_many_cells_fit(s3_server: S3Server, tmp_path: Path) -> None:
    own = OwnFleet(tmp_path, s3_server, "{nodes: 10, per_node: {minutes: 1}}")
    env = keys_of(s3_server)
    asked = hps("plan", own.spec, env=env).out
    assert "10 nodes, as many of 4 cells a node as fit into 1 m 0 s" in asked
    slow = hps("plan", own.spec, "--upload", "1Mbps", "--download", "1Mbps", env=env).out
    assert "10 nodes, about 2 of 4 cells a node, as many as fit into 1 m 0 s," in slow
    assert "5 nodes at each cell" in slow
    assert max(map(len, slow.splitlines())) <= 80
    both = own.spec.read_text().replace("{minutes: 1}", "{minutes: 1, cells: 2}")
    own.spec.write_text(both)
    refused = hps("validate", own.spec, env=env)
    assert refused.code == 2
    print(refused.out, refused.err)
    assert "per_node" in refused.out + refused.err
