"""A comparison as text: the answer first, in every format of tables, cut where it is long."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
from tabulate import tabulate_formats

from hps.compare.comparison import Decision
from hps.compare.gates import judge_all
from hps.report import as_text
from hps.spec.gates import parse
from tests.report.builders import (
    FAR,
    FAST,
    NEAR,
    SLOW,
    WIDE,
    cell,
    change,
    comparison,
    far,
    findings,
    key,
    node,
    pair,
)

SECTIONS = ["Answer", "Gates", "How sure", "Left out"]


def _lines(text: str, title: str) -> list[str]:
    """What stands below a title, each line that goes on put back together."""
    block = next(part for part in text.split("\n\n") if part.startswith(f"{title}\n"))
    return [line.strip() for line in block.replace("\n    ", " ").splitlines()[1:]]


def _table(text: str, title: str) -> list[list[str]]:
    block = next(part for part in text.split("\n\n") if part.startswith(f"{title}\n"))
    return [line.split() for line in block.splitlines()[1:]]


def test_the_answer_comes_first_then_gates_then_how_sure_then_who_was_left_out() -> None:
    found = findings(comparison(), far())
    text = as_text.render(found, judge_all([parse("failures<=5%")], found))
    titles = [line for line in text.splitlines() if line in SECTIONS]
    assert titles == SECTIONS
    assert text.splitlines()[0] == "Answer"
    assert text.endswith("\n")


def test_each_panel_has_its_answer_then_the_strata_then_notes() -> None:
    text = as_text.render(findings(comparison(), far()))
    assert _lines(text, "Answer") == [
        f"download, {NEAR}: {comparison().decision.text}",
        f"download, {FAR}: {far().decision.text}",
        *findings().sentences,
        *findings().notes,
    ]


def test_a_stratum_that_the_title_has_is_not_said_twice() -> None:
    text = as_text.render(findings(comparison(title=f"download ({NEAR})")))
    assert _lines(text, "Answer")[0].startswith(f"download ({NEAR}): chunk")


def test_how_sure_tells_the_rule_and_the_pairs() -> None:
    said = " ".join(_lines(as_text.render(findings(comparison(), far())), "How sure"))
    assert "The unit of sampling is the node; intervals hold at 95 %." in said
    assert "below 0.05, and matters from 5 % on." in said
    assert "The same for all: size=200MiB files=1." in said
    assert f"download, {NEAR}: 40 nodes; 3 pairs: different 2, alike 1, inconclusive 0" in said
    assert "1 pair without a test: 5 nodes: no test can succeed below 8" in said
    assert "effective concurrency differs" in said


def test_repetitions_are_named_where_they_are_the_unit() -> None:
    text = as_text.render(findings(comparison(unit="repetition")))
    assert "The unit of sampling is the repetition" in text
    assert _table(text, f"download, {NEAR}")[0][2] == "trials"


def test_the_cells_with_every_number() -> None:
    rows = _table(as_text.render(findings(comparison())), f"download, {NEAR}")
    header = " ".join(rows[0])
    assert header == (
        "chunk_size concurrency nodes ok not ok p10 p50 [low, high] p90 first last $/GB req/GB"
    )
    fast = "10MiB 8 40 120 0 120 200 [180, 220] 280 5 20 0.037 110"
    assert fast.split() in rows
    wide = "25MiB 32 40 115 5 122 204 [184, 224] 286 4.9 19.6 0.037 110"
    assert wide.split() in rows
    assert ["25MiB", "1", "="] in rows
    assert rows[-1][0] == "="
    assert "measured as chunk_size=10MiB concurrency=1" in " ".join(rows[-1])


def test_what_is_not_known_is_blank() -> None:
    unknown = cell(
        FAST,
        None,
        dollars_per_gb=None,
        requests_per_gb=None,
        ok=0,
        statuses=MappingProxyType({"timeout": 4}),
    )
    rows = _table(as_text.render(findings(comparison(cells=(unknown,)))), f"download, {NEAR}")
    assert rows[2] == ["10MiB", "8", "40", "0", "4"]


def test_pairs_are_turned_so_that_each_cell_stands_against_the_answer() -> None:
    turned = comparison(pairs=(pair(FAST, SLOW, 2.0), pair(WIDE, FAST, 1.02, verdict="alike")))
    text = as_text.render(findings(turned))
    rows = _table(text, f"download, {NEAR}: against chunk_size=10MiB concurrency=8")
    assert ["10MiB", "1", "0.5", "[0.476,", "0.526]", "Wilcoxon", "<0.001", "slower"] in rows
    assert ["25MiB", "32", "1.02", "[0.969,", "1.07]", "Wilcoxon", "<0.001", "alike"] in rows
    assert len(rows) == 4


def test_the_cell_that_all_pairs_share_is_what_they_are_against() -> None:
    against_slow = comparison(pairs=(pair(FAST, SLOW, 2.0), pair(WIDE, SLOW, 2.04)))
    text = as_text.render(findings(against_slow))
    assert f"download, {NEAR}: against chunk_size=10MiB concurrency=1\n" in text


def test_without_an_answer_pairs_are_against_the_fastest_cell() -> None:
    undecided = comparison(decision=Decision(kind="inconclusive", text="inconclusive"))
    text = as_text.render(findings(undecided))
    assert f"download, {NEAR}: against chunk_size=25MiB concurrency=32\n" in text


def test_without_any_rate_pairs_stand_by_themselves() -> None:
    cells = tuple(cell(key(concurrency=n), None) for n in (1, 2, 3, 4))
    pairs = (pair(cells[0].key, cells[1].key), pair(cells[2].key, cells[3].key))
    blind = comparison(cells=cells, pairs=pairs, decision=Decision(kind="no data", text="no data"))
    rows = _table(as_text.render(findings(blind)), f"download, {NEAR}: pair by pair")
    assert rows[2][:4] == ["10MiB", "1", "chunk_size=10MiB", "concurrency=2"]


def test_changes_stand_before_the_cells() -> None:
    first = change(reason="5 nodes: too few", notes=("tool version: 1.74 in the baseline",))
    changes = (first, change(None, key=WIDE, reason="not in the baseline", p_adjusted=None))
    text = as_text.render(findings(comparison(), changes=changes))
    rows = _table(text, f"download, {NEAR}: now against the baseline")
    assert ["10MiB", "8", "40", "0.97", "[0.96,", "0.98]", "0.4", "alike"] in rows
    assert ["25MiB", "32", "40", "not", "in", "the", "baseline"] in rows
    assert [" ".join(row) for row in rows[-2:]] == [
        "5 nodes: too few",
        "tool version: 1.74 in the baseline",
    ]
    assert text.index("now against") < text.index(f"download, {NEAR}: against")


def test_a_gate_is_a_line_with_its_worst_cell() -> None:
    found = findings(comparison(), thresholds={"sweep": ("failures<=1%",)})
    gates = judge_all([parse("throughput.p50>=50Mbps")], found)
    assert _lines(as_text.render(found, gates), "Gates") == [
        "PASS  throughput.p50>=50Mbps: in all 3 cells; the worst is "
        f"download, {NEAR}, chunk_size=10MiB concurrency=1: 100 Mbps",
        "FAIL  failures<=1% (of sweep): in 1 of 3 cells; the worst is "
        f"download, {NEAR}, chunk_size=25MiB concurrency=32: 4.17 %",
    ]


def test_who_was_left_out() -> None:
    lines = _lines(as_text.render(findings(comparison())), "Left out")
    assert lines[0].startswith("2 nodes rejected: 2 by min_download")
    text = " ".join(lines)
    assert "machine-1 (US): min_download: 31 Mbps is below 50 Mbps" in text
    wide = f"download, {NEAR}, chunk_size=25MiB concurrency=32: 3 failed, 2 invalid of 120 "
    assert f"{wide}(3 throttled (target)); 4.2 % [0 %, 3 %] fail" in text
    assert "3 operations not ok, by reason: 3 throttled (target)" in text
    assert "passed over in 1 file results/torn.jsonl: line 7 is torn" in text


def test_rejected_nodes_are_counted_by_their_codes_where_they_have_some() -> None:
    nodes = (
        node(1, code="refused", owner="target", checks=(), reasons=("1.2.3.4:9 refuses",)),
        node(2, code="refused", owner="target", reasons=("1.2.3.5:9 refuses",)),
        node(3, checks=(), reasons=("no route",)),
    )
    text = as_text.render(findings(comparison(), rejected=nodes))
    assert "3 nodes rejected: 2 by refused (target), 1 by no check that is known" in text


def test_nothing_left_out_is_not_mentioned() -> None:
    whole = comparison(cells=(cell(SLOW), cell(FAST)))
    clean = replace(findings().provenance, skipped_files={})
    text = as_text.render(findings(whole, rejected=(), provenance=clean))
    assert "Left out" not in text


def test_provenance_is_two_lines() -> None:
    text = as_text.render(findings(comparison())).splitlines()
    assert " ".join(text[-3:-1]).replace("   ", " ") == (
        "1,234 results of 45 runs on 45 nodes, 2026-11-01 to 2026-11-20; experiment sweep; "
        "spec 0123456789ab; from experiments/sweep.yaml"
    )
    assert text[-1] == "hps 0.4.0; tool rclone 1.75.2; prices Cloudflare R2 of 2026-08-03"


def test_prices_are_named_only_where_dollars_are_shown() -> None:
    free = cell(FAST, dollars_per_gb=None)
    assert "prices" not in as_text.render(findings(comparison(cells=(free,))))
    text = as_text.render(findings(comparison(provider="")))
    assert "Amazon S3 of " in text


def test_nothing_found_is_said() -> None:
    text = as_text.render(findings(notes=(), sentences=()))
    assert text.startswith("Answer\n  Nothing was found that could be compared.\n")
    assert "How sure" not in text


@pytest.mark.parametrize("table_format", tabulate_formats)
def test_every_format_of_tables_has_every_cell(table_format: str) -> None:
    found = findings(comparison(), far(), changes=(change(),))
    text = as_text.render(found, table_format=table_format)
    for word in ("10MiB", "25MiB", "concurrency", "Wilcoxon", "slower", "0.037"):
        assert word in text
    assert text.startswith("Answer\n")


def test_simple_tables_and_sentences_fit_into_120_columns() -> None:
    found = findings(comparison(), far(), changes=(change(),))
    text = as_text.render(found, judge_all([parse("cost<=0.01")], found))
    assert max(map(len, text.splitlines())) <= 120


def test_long_lists_are_cut() -> None:
    many = tuple(cell(key(concurrency=n), 100.0 + n) for n in range(1, 78))
    nodes = tuple(node(n) for n in range(45))
    panels = [comparison(cells=many, pairs=(), stratum=f"class {n}") for n in range(20)]
    text = as_text.render(findings(*panels, rejected=nodes))
    assert "… and 37 more" in text
    assert "… and the tables of 8 more" in text
    assert "class 11: chunk" in text
    assert text.count("machine-") == 8
    assert len(text.splitlines()) < 700


def test_text_that_a_terminal_would_obey_is_shown_as_a_box() -> None:
    hostile = node(1, machine_id="a\x1b]0;title\x07\nAnswer: none", reasons=("x\x1b[31m",))
    where = key("\x1b[2J")
    found = findings(comparison(cells=(cell(where),)), rejected=(hostile,))
    for table_format in ("simple", "tsv", "html"):
        text = as_text.render(found, table_format=table_format)
        assert "\x1b" not in text
        assert "\x07" not in text
        assert not any(line.startswith("Answer:") for line in text.splitlines())
