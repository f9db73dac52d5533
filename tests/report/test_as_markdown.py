"""A summary for pull requests: gates first, the rest folded away, and nothing taken for markup."""

from __future__ import annotations

import re

import pytest

from hps.compare.gates import judge_all
from hps.report import as_markdown
from hps.report.as_markdown import escaped
from hps.spec.gates import parse
from tests.report.builders import NEAR, cell, change, comparison, far, findings, key, node

HOSTILE = (
    "a|b</td><script>alert(1)</script>`x` [y](javascript:z) @team #12 https://evil.test\n\n# h"
)


def _rows(text: str, first_column: str) -> list[list[str]]:
    """The cells of the table whose header begins with this column."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {first_column}"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def test_gates_come_first_with_their_outcome_in_words() -> None:
    found = findings(comparison())
    gates = judge_all([parse("throughput>=50Mbps"), parse("failures<=1%")], found)
    text = as_markdown.render(found, gates)
    assert text.startswith("## hps compare: 1 failed, 1 passed\n\n| outcome")
    rows = _rows(text, "outcome")
    assert rows[2][:4] == ["PASS", "throughput&gt;=50Mbps", "--gate", "in all 3 cells"]
    assert rows[3][:4] == ["FAIL", "failures&lt;=1%", "--gate", "in 1 of 3 cells"]
    assert rows[3][4].endswith("concurrency=32: 4.17 %")
    assert text.index("| outcome") < text.index("### Answer")


def test_without_gates_the_answer_comes_first() -> None:
    text = as_markdown.render(findings(comparison(), far()))
    assert text.startswith(f"## hps compare\n\n### Answer\n\n- download, {NEAR}: chunk size 10MiB")
    assert "outcome" not in text.split("<details>")[0].split("**")[0]


def test_every_table_has_the_same_number_of_cells_in_each_row() -> None:
    text = as_markdown.render(findings(comparison(), far(), changes=(change(),)))
    blocks = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    assert len(blocks) == 5
    for block in blocks:
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1


def test_what_backs_the_answer_is_folded_away() -> None:
    text = as_markdown.render(findings(comparison(), far()))
    titles = re.findall(r"<details><summary>(.*)</summary>\n\n", text)
    assert titles == ["How sure", "Pairs", "Left out", "Where the numbers come from"]
    assert text.count("<details>") == text.count("\n\n</details>") == 4
    assert "machine-1" in text.split("<summary>Left out")[1]


@pytest.mark.parametrize("text", [HOSTILE, "|", "\\|", "<b>", "&lt;", "a\r\nb", "\x1b[31m", "$x$"])
def test_untrusted_text_is_shown_and_not_obeyed(text: str) -> None:
    shown = escaped(text)
    assert "<" not in shown
    assert re.search(r"(?<!\\)(?:\\\\)*[|`$\[\]*]", shown) is None
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert "@team" not in shown
    assert "#12" not in shown
    assert "https://" not in shown


def test_hostile_ids_break_no_table_and_add_no_markup() -> None:
    cells = (cell(key(HOSTILE)), cell())
    hostile = node(1, machine_id=HOSTILE, reasons=(HOSTILE,), country=HOSTILE)
    found = findings(comparison(cells=cells, title=HOSTILE), rejected=(hostile,))
    text = as_markdown.render(found, judge_all([parse("cost<=0.01")], found))
    assert "<script" not in text
    assert "@team" not in text
    assert "\n# h" not in text
    tags = set(re.findall(r"</?[a-z]+>", text))
    assert tags == {"<details>", "</details>", "<summary>", "</summary>", "<sub>", "</sub>"}
    widths = {len(row) for row in _rows(text, "chunk")}
    assert widths == {12}


def test_a_large_comparison_fits_into_a_comment() -> None:
    many = tuple(cell(key(concurrency=n), 100.0 + n) for n in range(1, 200))
    panels = [comparison(cells=many, pairs=(), stratum=f"class {n}") for n in range(60)]
    nodes = tuple(node(n) for n in range(10_000))
    text = as_markdown.render(findings(*panels, rejected=nodes))
    assert len(text) < 65_536
    assert "… and the tables of 52 more" in text
