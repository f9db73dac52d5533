"""Classes of nodes: an answer for each, and a sentence where the answers differ."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from hps.compare.comparison import Comparison, Decision
from hps.compare.selection import sentences
from tests.compare.stored import findings_of, one
from tests.results.fleet import Cell, SimNode, grid, write_fleet


def _draw(chance: Random, number: int) -> SimNode:
    """Every second node is near."""
    return SimNode(
        machine_id=f"node-{number:04d}",
        rtt_s=0.02 if number % 2 else 0.3,
        download_mbps=chance.lognormvariate(5, 0.3),
        country="de" if number % 2 else "jp",
    )


def _streams_help_from_afar(node: SimNode, cell: Cell, step: str) -> float:
    """Near, 8 streams fill the link; from afar even 32 do not."""
    streams = int(cell["concurrency"])
    near = node.rtt_s is not None and node.rtt_s < 0.05
    return min(1.0, 0.5 + streams / 16) if near else streams / 64


def test_near_and_far_nodes_have_answers_of_their_own(tmp_path: Path) -> None:
    write_fleet(
        tmp_path,
        80,
        grid(concurrency=[1, 8, 32]),
        steps=("download",),
        draw=_draw,
        effect=_streams_help_from_afar,
        spread=0.05,
    )
    found = findings_of(tmp_path, by=("concurrency",), strata=("rtt",))
    near = one(found.comparisons, "download", "RTT below 50 ms")
    far = one(found.comparisons, "download", "RTT above 150 ms")
    assert (near.decision.kind, near.decision.cell) == ("suffices", {"concurrency": 8})
    assert (far.decision.kind, far.decision.cell) == ("winner", {"concurrency": 32})
    assert (near.units, far.units) == (40, 40)
    assert found.sentences == (
        "download, by RTT: below 50 ms, concurrency 8 suffices; above 150 ms, use concurrency 32",
    )


def test_several_kinds_of_class_are_each_told(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"draw": _draw, "effect": _streams_help_from_afar, "spread": 0.05}
    write_fleet(tmp_path, 60, grid(concurrency=[1, 8, 32]), steps=("download",), **settings)
    found = findings_of(tmp_path, by=("concurrency",), strata=("rtt", "country"))
    assert [sentence.partition(":")[0] for sentence in found.sentences] == [
        "download, by RTT",
        "download, by country",
    ]
    assert "de, concurrency 8 suffices; jp, use concurrency 32" in found.sentences[1]


def _comparison(stratum: str, decision: Decision) -> Comparison:
    return Comparison(
        title="upload",
        shared={},
        step="upload",
        direction="up",
        unit="node",
        units=10,
        stratum=stratum,
        cells=(),
        pairs=(),
        decision=decision,
    )


def test_nothing_is_said_where_the_answers_agree_or_are_not_known() -> None:
    eight = Decision(kind="suffices", text="", cell={"concurrency": 8})
    also = Decision(kind="winner", text="", cell={"concurrency": 8})
    unknown = Decision(kind="inconclusive", text="")
    near, far = "RTT below 50 ms", "RTT above 150 ms"
    assert sentences([_comparison(near, eight), _comparison(far, also)]) == ()
    assert sentences([_comparison(near, eight), _comparison(far, unknown)]) == ()
    assert sentences([_comparison("", eight), _comparison(far, also)]) == ()


def test_what_is_not_known_is_told_beside_what_differs() -> None:
    decisions = {
        "RTT below 50 ms": Decision(kind="suffices", text="", cell={"concurrency": 8}),
        "RTT 50 to 150 ms": Decision(kind="inconclusive", text=""),
        "RTT above 150 ms": Decision(kind="winner", text="", cell={"concurrency": 32}),
    }
    (sentence,) = sentences([_comparison(*item) for item in decisions.items()])
    assert "; 50 to 150 ms, inconclusive;" in sentence
