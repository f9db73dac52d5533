"""The page as text: whole, the same each time, small for any fleet, and nothing in it runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hps.catalog.prices import PRICES
from hps.compare.comparison import Findings, Needed, NeverBegan, Reason
from hps.report import page
from tests.report.fleet import make_findings, nothing
from tests.report.hostile import CHANGE, PAYLOAD

MOST_BYTES = 5_000_000


class _Elements(HTMLParser):
    """All elements of a page with their attributes, and what stands in scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def _rendered(findings: Findings) -> str:
    return page.render(findings, version="1.2.3", made_at="2026-09-02 10:00 UTC")


def test_nothing_is_fetched_and_no_policy_would_allow_it(page_path: Path) -> None:
    elements = _Elements(page_path.read_text(encoding="utf-8")).found
    addresses = [
        str(attributes[name])
        for _, attributes in elements
        for name in ("src", "href", "action", "data", "srcset")
        if name in attributes
    ]
    assert all(address.startswith(("#", "data:,")) for address in addresses)
    (policy,) = [a["content"] for _, a in elements if a.get("http-equiv")]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    assert {tag for tag, _ in elements} & {"iframe", "object", "embed", "form", "base"} == set()


def test_the_page_says_its_language_and_fits_a_phone(page_path: Path) -> None:
    elements = _Elements(page_path.read_text(encoding="utf-8")).found
    assert ("html", {"lang": "en"}) in elements
    assert any(attributes.get("name") == "viewport" for _, attributes in elements)
    assert {"header", "nav", "main"} <= {tag for tag, _ in elements}


@pytest.mark.prove
def test_a_fleet_of_ten_thousand_nodes_has_a_small_page() -> None:
    findings = make_findings(10_000, rejected=3_000)
    text = _rendered(findings)
    assert len(text.encode()) < MOST_BYTES
    assert "10,000 nodes" in text
    assert "2,800 more are not shown" in text


@pytest.mark.prove
def test_thousands_of_cells_have_a_small_page_too() -> None:
    findings = make_findings(50)
    cells = tuple(
        replace(findings.comparisons[0].cells[0], key={"node": f"node-{place:05d}"})
        for place in range(10_000)
    )
    many = replace(findings.comparisons[0], cells=cells, pairs=())
    text = _rendered(replace(findings, by=("node",), comparisons=(many,)))
    assert len(text.encode()) < MOST_BYTES
    assert "8,000 more rows are left out" in text


def test_the_same_findings_make_the_same_page(findings: Findings, page_path: Path) -> None:
    assert _rendered(findings) == page_path.read_text(encoding="utf-8")


def test_where_nothing_counts_the_page_says_so() -> None:
    text = _rendered(nothing())
    assert "No result counts." in text
    assert "No round-trip times" in text
    assert "<figure>" not in text


def test_nothing_at_all_makes_a_page() -> None:
    bare = replace(nothing(), comparisons=())
    assert "Nothing was found that could be compared." in _rendered(bare)


# --- untrusted text ----------------------------------------------------------------------------


def test_hostile_text_adds_no_element_and_no_attribute(page_path: Path, hostile_path: Path) -> None:
    hostile = _Elements(hostile_path.read_text(encoding="utf-8"))
    plain = _Elements(page_path.read_text(encoding="utf-8"))
    assert {tag for tag, _ in hostile.found} <= {tag for tag, _ in plain.found}
    attributes = {name for _, attributes in hostile.found for name in attributes}
    assert not any(name.startswith("on") for name in attributes)
    assert attributes <= {name for _, attributes in plain.found for name in attributes}
    assert len([tag for tag, _ in hostile.found if tag == "script"]) == 3


def test_data_in_a_script_is_the_data_that_went_in() -> None:
    data = {"text": PAYLOAD, "list": [1.5, None, True, "</SCRIPT>"]}
    text = page.embedded(data)
    assert json.loads(text) == data
    assert not re.search("[<>&\u2028\u2029]", text)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_json_is_an_error_here_and_not_in_a_browser(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        page.embedded([number])


# --- parts -------------------------------------------------------------------------------------


def test_every_cell_is_in_the_table_with_its_numbers(findings: Findings) -> None:
    table = page.table(findings)
    assert len(table.rows) == sum(len(one.cells) for one in findings.comparisons)
    row = dict(zip(table.columns, table.rows[5], strict=True))
    cell = findings.comparisons[0].cells[5]
    assert row["chunk size"].text == cell.key["chunk_size"]
    assert row["concurrency"].rank == cell.key["concurrency"]
    assert row["median"].rank == cell.median_mbps
    assert row["p90"].rank == cell.p90_mbps
    assert row["last done"].rank == cell.last_done_s
    assert row["$/GB"].rank == cell.dollars_per_gb
    chosen = [row for row in table.rows if row[table.columns.index("verdict")].text == "chosen"]
    assert len(chosen) == sum(one.decision.cell is not None for one in findings.comparisons)


def test_a_cell_is_judged_against_the_chosen_one(findings: Findings) -> None:
    whole = findings.comparisons[0]
    table = page.table(replace(findings, comparisons=(whole,)))
    for row in table.rows:
        entry = dict(zip(table.columns, row, strict=True))
        if entry["verdict"].text == "slower":
            ratio = entry["ratio"].rank
            assert isinstance(ratio, float)
            assert ratio < 1


def test_how_sure_is_said_of_the_chosen_cell_against_the_next(findings: Findings) -> None:
    first, second = page.sureties(findings)
    assert (first.name, second.name) == ("Upload", "Download")
    whole = findings.comparisons[0]
    chosen = next(cell for cell in whole.cells if cell.key == whole.decision.cell)
    assert first.median.startswith(f"{chosen.median_mbps:.1f} Mbps [")
    assert "% faster [" in first.ahead
    bad = sum(cell.statuses.get("failed", 0) for cell in whole.cells)
    assert first.failed.startswith(f"{bad} of 10,752 (")
    assert second.failed == "0 of 10,752 (0 %)"


def test_an_open_question_says_what_would_decide_it(findings: Findings) -> None:
    decision = replace(
        findings.comparisons[0].decision,
        kind="inconclusive",
        text="inconclusive: 12 more nodes would decide",
        cell=None,
        needed=Needed(effect=0.05, more_units=12, more_repetitions=4),
    )
    open_ = replace(findings.comparisons[0], decision=decision)
    asked = replace(findings, comparisons=(open_,))
    (answer,), (surety,) = page.answers(asked), page.sureties(asked)
    assert (answer.word, answer.settings) == ("Inconclusive", ())
    assert answer.text == "12 more nodes would decide."
    assert "12 more nodes" in surety.needed
    assert "4 more repetitions" in surety.needed


def test_classes_are_told_apart_from_the_whole(findings: Findings) -> None:
    classes = page.classes(findings)
    assert len(classes) == 6
    assert {one.stratum for one in classes[:3]} == {
        "RTT below 50 ms",
        "RTT 50 to 150 ms",
        "RTT above 150 ms",
    }
    alone = tuple(one for one in findings.comparisons if one.stratum)
    assert page.classes(replace(findings, comparisons=alone)) == []
    assert len(page.answers(replace(findings, comparisons=alone))) == 6


def test_changes_against_a_baseline_are_listed(findings: Findings) -> None:
    change = replace(CHANGE, notes=("tool version: 1.74 then, 1.75 now",))
    gone = replace(change, ratio=None, interval=None, reason="not measured now")
    text = _rendered(replace(findings, changes=(change, gone)))
    assert "20 % slower [-30 to -10 %]" in text
    assert "tool version: 1.74 then, 1.75 now" in text
    assert "not measured now" in text


def test_who_was_left_out_is_said(findings: Findings) -> None:
    omitted = page.omitted(findings)
    assert omitted.sentences[0].startswith("14 nodes rejected: 14 download too slow")
    assert "Upload: 20 failed of 10,752 results, without a rate." in omitted.sentences
    assert len(omitted.nodes) == 14
    assert dict(omitted.files) == dict(findings.provenance.skipped_files)


def test_runs_that_could_not_begin_are_said_and_reject_nobody(findings: Findings) -> None:
    mistake = NeverBegan(
        code="bad_credentials", owner="experiment", runs=200, nodes=200, text="403 <b>Denied"
    )
    changed = replace(findings, rejected=(), never_began=(mistake,))
    said = "200 runs could not begin, their experiment&#39;s mistake (bad_credentials)"
    text = _rendered(changed)
    assert f"{said}: 403 &lt;b&gt;Denied." in text
    assert "No node was rejected." in text


def test_results_that_are_not_ok_are_said_by_reason(findings: Findings) -> None:
    upload, *others = findings.comparisons
    known = Reason(code="throttled", owner="target", count=20)
    first = replace(upload.cells[0], reasons=(known,))
    changed = replace(upload, cells=(first, *upload.cells[1:]))
    omitted = page.omitted(replace(findings, comparisons=(changed, *others)))
    said = "Upload: 20 failed of 10,752 results, without a rate. By reason: 20 throttled (target)."
    assert said in omitted.sentences


def test_where_the_numbers_come_from_is_said(findings: Findings) -> None:
    facts = {fact.name: fact.values for fact in page.facts(findings)}
    known = findings.provenance
    assert facts["experiments"] == known.experiments
    assert facts["specs"] == known.specs
    assert facts["tools"] == known.tools
    assert facts["measured"] == ("2026-08-30 08:12 UTC to 2026-09-01 19:40 UTC",)
    assert "size 200MiB" in facts["the same for all"]


def test_prices_are_those_of_the_provider_with_their_date(findings: Findings) -> None:
    priced = [
        replace(one, shared={**one.shared, "provider": "cloudflare"})
        for one in findings.comparisons
    ]
    facts = page.facts(replace(findings, comparisons=tuple(priced)))
    (prices,) = [fact.values for fact in facts if fact.name == "prices"]
    title = PRICES["cloudflare"]
    assert prices == (f"{title.title} of {title.as_of}",)


def test_a_fleet_at_work_is_at_its_top_and_it_loads_itself_again() -> None:
    facts = [("nodes", "3 have begun"), ("", PAYLOAD), ("cells", "4")]
    text = page.render(
        nothing(), version="1.2.3", made_at="2026-09-02 10:00 UTC", fleet=facts, refresh_s=60
    )
    metas = [a for tag, a in _Elements(text).found if tag == "meta"]
    assert {"http-equiv": "refresh", "content": "60"} in metas
    assert text.index('id="fleet"') < text.index('id="answer"')
    assert text.count("<dt>nodes</dt><dd>3 have begun</dd><dd>") == 1
    assert PAYLOAD not in text
    assert 'http-equiv="refresh"' not in _rendered(nothing())
