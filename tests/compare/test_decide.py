"""From panels to decisions: what wins, what is enough, what is not known, and in which words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import default_rng
from scipy import stats

from hps.compare import verdicts
from hps.compare.comparison import Comparison, Key, Pair, PanelCell, Rule
from hps.compare.decide import MOST_CELLS_WITH_ALL_PAIRS, compare
from tests.compare.built import draw_panel, make_cell, make_panel

RULE = Rule()


def _pair(found: Comparison, a: int, b: int) -> Pair:
    (pair,) = [p for p in found.pairs if (p.a["concurrency"], p.b["concurrency"]) == (a, b)]
    return pair


def test_a_winner_is_faster_than_every_other_cell() -> None:
    found = compare(draw_panel(default_rng(1), 60, {1: 0.6, 4: 1.0, 16: 1.3}), RULE)
    decision = found.decision
    assert (decision.kind, decision.cell) == ("winner", {"concurrency": 16})
    assert decision.runner_up == {"concurrency": 4}
    assert decision.text.startswith("concurrency 16 is the fastest: 27 %")
    assert "faster than concurrency 4, the next (95 % interval 2" in decision.text
    assert decision.text.endswith("60 nodes)")
    assert [pair.verdict for pair in found.pairs] == ["slower"] * 3
    assert all(pair.test == "Wilcoxon" and pair.needed is None for pair in found.pairs)


@pytest.mark.parametrize("effects", [{4: 1.0, 16: 1.03}, {4: 1.03, 16: 1.0}])
def test_a_winner_has_to_be_faster_by_what_matters(effects: dict[int, float]) -> None:
    panel = draw_panel(default_rng(2), 2000, effects, between=0.01)
    pair = compare(panel, RULE).pairs[0]
    assert pair.p_adjusted is not None
    assert pair.p_adjusted < 1e-6
    assert pair.verdict == "alike"
    assert compare(panel, RULE).decision.kind == "suffices"
    assert compare(panel, replace(RULE, min_effect=0.02)).decision.kind == "winner"


def test_of_cells_that_are_alike_the_least_demanding_is_enough() -> None:
    effects = {1: 0.5, 8: 1.0, 16: 1.01, 32: 1.0}
    found = compare(draw_panel(default_rng(3), 400, effects), RULE)
    assert (found.decision.kind, found.decision.cell) == ("suffices", {"concurrency": 8})
    assert found.decision.text.startswith("concurrency 8 suffices: concurrency 16, which comes")
    assert "gains" in found.decision.text
    assert "400 nodes" in found.decision.text


@pytest.mark.parametrize("unknown", ["chunk_size", "concurrency"])
def test_of_what_is_not_known_nobody_says_that_it_asks_for_least(unknown: str) -> None:
    chance = default_rng(4)
    link = chance.lognormal(5, 0.3, 400)
    known: Key = {"chunk_size": "64MiB", "concurrency": 16}
    keys: list[Key] = [{**known, unknown: "unknown"}, known]
    cells = [make_cell(key, link * chance.lognormal(0, 0.03, 400)) for key in keys]
    assert compare(make_panel(cells), RULE).decision.cell == known


def test_least_demanding_is_least_memory_then_fewest_requests() -> None:
    chance = default_rng(4)
    link = chance.lognormal(5, 0.3, 400)

    def cell(chunk: str, concurrency: int, requests: float = 22.0) -> PanelCell:
        mbps = link * chance.lognormal(0, 0.03, 400)
        key: Key = {"chunk_size": chunk, "concurrency": concurrency}
        return make_cell(key, mbps, requests_class_b=requests)

    # 40, 20 and 20 MiB in flight; the last with fewer requests.
    cells = [cell("5MiB", 8), cell("5MiB", 4, 42.0), cell("10MiB", 2, 22.0)]
    found = compare(make_panel(cells), RULE)
    assert found.decision.cell == {"chunk_size": "10MiB", "concurrency": 2}
    assert found.decision.text == (
        "no setting is faster than another by 5 % (400 nodes);"
        " chunk size 10MiB, concurrency 2 asks for least"
    )


@pytest.mark.parametrize(("files", "least"), [(2, (16, 1)), (100, (1, 4))])
def test_no_more_files_are_in_flight_than_there_are_or_may_be(
    files: int, least: tuple[int, int]
) -> None:
    """Of two files sixteen can't move at once; of a hundred files only as many as may."""
    chance = default_rng(4)
    link = chance.lognormal(5, 0.3, 400)
    cells = [
        make_cell(
            {"files": files, "transfers": transfers, "concurrency": concurrency},
            link * chance.lognormal(0, 0.03, 400),
        )
        for transfers, concurrency in ((16, 1), (1, 4))
    ]
    decision = compare(make_panel(cells), RULE).decision
    assert decision.kind == "suffices"
    assert decision.cell is not None
    assert (decision.cell["transfers"], decision.cell["concurrency"]) == least


def test_nothing_asks_for_less_where_all_ask_for_the_same() -> None:
    chance = default_rng(5)
    link = chance.lognormal(5, 0.3, 300)
    versions = ("1.70.3", "1.75.2")
    cells = [
        make_cell({"tool_version": v}, link * chance.lognormal(0, 0.03, 300)) for v in versions
    ]
    decision = compare(make_panel(cells), RULE).decision
    assert decision.kind == "suffices"
    assert decision.text == "no setting is faster than another by 5 % (300 nodes)"


def test_what_is_open_is_named_beside_what_is_enough() -> None:
    chance = default_rng(6)
    link = chance.lognormal(5, 0.3, 100)
    noisy = link * 0.9 * chance.lognormal(0, 0.6, 100)
    cells = [
        make_cell({"concurrency": 1}, link * 0.4 * chance.lognormal(0, 0.02, 100)),
        make_cell({"concurrency": 2}, noisy),
        make_cell({"concurrency": 8}, link * chance.lognormal(0, 0.02, 100)),
        make_cell({"concurrency": 16}, link * 1.01 * chance.lognormal(0, 0.02, 100)),
    ]
    decision = compare(make_panel(cells), RULE).decision
    assert decision.cell == {"concurrency": 8}
    assert decision.text.endswith("; open: concurrency 2")


def test_cells_that_are_alike_are_not_enough_where_nothing_is_slower_and_one_is_open() -> None:
    chance = default_rng(6)
    link = chance.lognormal(5, 0.3, 100)
    cells = [
        make_cell({"concurrency": 2}, link * 0.9 * chance.lognormal(0, 0.6, 100)),
        make_cell({"concurrency": 8}, link * chance.lognormal(0, 0.02, 100)),
        make_cell({"concurrency": 16}, link * 1.01 * chance.lognormal(0, 0.02, 100)),
    ]
    found = compare(make_panel(cells), RULE)
    assert [pair.verdict for pair in found.pairs] == ["inconclusive", "inconclusive", "alike"]
    assert found.decision.kind == "inconclusive"
    assert "concurrency 2" in found.decision.text


def test_too_little_is_inconclusive_and_says_what_would_decide() -> None:
    found = compare(draw_panel(default_rng(10), 12, {4: 1.0, 8: 1.08}, between=0.1), RULE)
    decision = found.decision
    assert (decision.kind, decision.cell) == ("inconclusive", None)
    assert decision.needed is not None
    assert decision.needed.more_units
    assert decision.text.startswith(f"inconclusive: {decision.needed.more_units} more nodes")
    question = " would decide whether concurrency 8 is 10 % faster than concurrency 4"
    assert f"{question} (now 5.7 %, 95 % interval -1.5 to 27 %, 12 nodes)" in decision.text
    assert found.pairs[0].verdict == "inconclusive"


def test_too_few_for_a_test_is_said_and_not_computed() -> None:
    decision = compare(draw_panel(default_rng(9), 4, {1: 0.5, 4: 1.0, 8: 1.0}), RULE).decision
    assert decision.kind == "inconclusive"
    assert "more nodes are needed to tell" in decision.text
    assert "no test can succeed below" in decision.text
    assert decision.needed is not None
    assert decision.needed.more_repetitions is None


def test_of_one_node_more_repetitions_are_asked_for() -> None:
    panel = draw_panel(default_rng(8), 12, {4: 1.0, 8: 1.08}, between=0.1)
    decision = compare(replace(panel, unit="repetition"), RULE).decision
    assert "more repetitions would decide" in decision.text
    assert "on each" not in decision.text
    assert decision.needed is not None
    assert decision.needed.more_repetitions is None


def test_one_cell_is_nothing_to_compare_with() -> None:
    decision = compare(draw_panel(default_rng(1), 20, {4: 1.0}), RULE).decision
    assert (decision.kind, decision.cell) == ("inconclusive", None)
    assert "only one cell" in decision.text


def test_nothing_ok_is_no_data() -> None:
    nothing = [np.nan] * 5
    cells = [
        make_cell({"concurrency": 1}, nothing, statuses={"failed": 4, "invalid": 1}),
        make_cell({"concurrency": 4}, nothing, statuses={"failed": 5}),
    ]
    found = compare(make_panel(cells), RULE)
    assert found.decision.kind == "no data"
    assert found.decision.text == "no data: no operation was ok (9 failed, 1 invalid)"
    assert (found.units, found.pairs) == (0, ())
    assert found.cells[0].median_mbps is None
    assert found.cells[0].failure_rate == 1.0


def test_a_cell_without_values_is_left_out_of_the_tests() -> None:
    panel = draw_panel(default_rng(1), 60, {4: 1.0, 16: 1.3})
    broken = make_cell({"concurrency": 64}, [np.nan] * 60, statuses={"timeout": 180})
    found = compare(replace(panel, cells=(*panel.cells, broken)), RULE)
    assert found.decision.cell == {"concurrency": 16}
    assert len(found.pairs) == 1
    assert found.cells[2].failure_rate == 1.0


def test_a_cell_that_repeats_another_is_left_out_of_the_tests() -> None:
    panel = draw_panel(default_rng(1), 60, {4: 1.0, 16: 1.3})
    again = replace(panel.cells[1], key={"concurrency": 64}, same_as={"concurrency": 16})
    found = compare(replace(panel, cells=(*panel.cells, again)), RULE)
    assert found.decision.kind == "winner"
    assert len(found.pairs) == 1
    assert found.cells[2].same_as == {"concurrency": 16}


def test_failures_of_the_cell_to_use_are_told() -> None:
    panel = draw_panel(default_rng(1), 60, {4: 1.0, 16: 1.3})
    often = replace(panel.cells[1], statuses={"ok": 150, "failed": 30, "interrupted": 7})
    found = compare(replace(panel, cells=(panel.cells[0], often)), RULE)
    assert found.decision.text.endswith("; 30 of 180 of its operations did not succeed")
    summary = found.cells[1]
    assert summary.failure_rate == pytest.approx(30 / 180)
    assert summary.failure_interval is not None
    assert summary.failure_interval.low < 30 / 180 < summary.failure_interval.high


def test_a_summary_is_over_the_units() -> None:
    mbps = np.array([10.0, 20.0, 30.0, 40.0, 50.0, np.nan])
    cell = compare(make_panel([make_cell({"concurrency": 4}, mbps)]), RULE).cells[0]
    assert (cell.units, cell.median_mbps, cell.min_mbps, cell.max_mbps) == (5, 30.0, 10.0, 50.0)
    assert cell.p10_mbps == pytest.approx(14.0)
    assert cell.p90_mbps == pytest.approx(46.0)
    assert cell.first_done_s == pytest.approx(1677.7 / 50)
    assert cell.last_done_s == pytest.approx(1677.7 / 10)
    assert cell.requests_per_gb == pytest.approx(22 / 0.2097152)
    assert cell.dollars_per_gb == pytest.approx(22 * 0.36e-6 / 0.2097152)


# --- pairs ---------------------------------------------------------------------------------------


def test_pairs_are_those_of_plain_python() -> None:
    panel = draw_panel(default_rng(11), 40, {1: 0.9, 4: 1.0, 8: 1.0, 16: 1.1})
    found = compare(panel, RULE)
    assert len(found.pairs) == 6
    p_values = {}
    for number, a in enumerate(panel.cells):
        for b in panel.cells[number + 1 :]:
            logs = np.log(a.mbps) - np.log(b.mbps)
            pair = _pair(found, int(a.key["concurrency"]), int(b.key["concurrency"]))
            assert pair.ratio == pytest.approx(float(np.exp(np.median(logs))))
            assert pair.p == pytest.approx(float(stats.wilcoxon(logs).pvalue))
            p_values[pair.p] = pair.p_adjusted
    # Holm, step by step.
    greatest = 0.0
    for place, p in enumerate(sorted(p for p in p_values if p is not None)):
        greatest = max(greatest, min(1.0, p * (6 - place)))
        assert p_values[p] == pytest.approx(greatest)


def test_units_that_differ_are_compared_unpaired() -> None:
    chance = default_rng(12)
    there, elsewhere = np.full(80, np.nan), np.full(80, np.nan)
    there[:40], elsewhere[40:] = chance.lognormal(5, 0.1, 40), chance.lognormal(5.5, 0.1, 40)
    cells = [make_cell({"country": "de"}, there), make_cell({"country": "us"}, elsewhere)]
    found = compare(make_panel(cells), RULE)
    (pair,) = found.pairs
    assert (pair.test, pair.verdict, pair.units) == ("Mann-Whitney", "slower", 40)
    assert pair.p == pytest.approx(
        float(stats.mannwhitneyu(there[:40], elsewhere[40:], method="auto").pvalue), rel=1e-6
    )
    assert found.units == 80


def test_a_few_units_in_common_do_not_make_a_pair() -> None:
    chance = default_rng(13)
    a, b = np.full(75, np.nan), np.full(75, np.nan)
    a[:40], b[35:] = chance.lognormal(5, 0.1, 40), chance.lognormal(5, 0.1, 40)
    cells = [make_cell({"date": "2026-01-01"}, a), make_cell({"date": "2026-01-02"}, b)]
    pair = compare(make_panel(cells), RULE).pairs[0]
    assert (pair.test, pair.ratio, pair.comparable) == ("none", None, False)
    b[10:] = chance.lognormal(5, 0.1, 65)
    cells[1] = make_cell({"date": "2026-01-02"}, b)
    pair = compare(make_panel(cells), RULE).pairs[0]
    assert (pair.test, pair.units) == ("Wilcoxon", 30)


def test_what_comes_first_does_so_within_units() -> None:
    """The slowest nodes lack the slower cell, which so has the higher median."""
    link = np.linspace(10, 100, 40)
    slower = np.where(link < 50, np.nan, link)
    chance = default_rng(15)
    cells = [
        make_cell({"concurrency": 4}, slower * chance.lognormal(0, 0.02, 40)),
        make_cell({"concurrency": 8}, link * 1.2 * chance.lognormal(0, 0.02, 40)),
    ]
    found = compare(make_panel(cells), RULE)
    assert (found.cells[0].median_mbps or 0) > (found.cells[1].median_mbps or 0)
    assert found.decision.cell == {"concurrency": 8}


def test_of_many_cells_the_pairs_that_people_ask_about_are_kept() -> None:
    effects = {number: 1.0 + 0.02 * (number == 30) for number in range(1, 51)}
    panel = draw_panel(default_rng(14), 20, effects)
    found = compare(panel, RULE)
    assert len(panel.cells) > MOST_CELLS_WITH_ALL_PAIRS
    best = max(found.cells, key=lambda cell: cell.median_mbps or 0).key["concurrency"]
    kept = {(pair.a["concurrency"], pair.b["concurrency"]) for pair in found.pairs}
    neighbours = {(number, number + 1) for number in range(1, 50)}
    with_best = {tuple(sorted((best, n))) for n in range(1, 51) if n != best}
    assert kept == neighbours | with_best
    # The correction is for all 1225 of them.
    logs = np.log(panel.cells[0].mbps) - np.log(panel.cells[1].mbps)
    assert found.pairs[0].p == pytest.approx(float(stats.wilcoxon(logs).pvalue))
    assert found.pairs[0].p_adjusted == 1.0


def test_what_is_too_much_to_test_makes_the_correction_stricter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    effects = {number: 1.0 + 0.2 * (number == 20) for number in range(1, 46)}
    panel = draw_panel(default_rng(16), 40, effects)
    everything = compare(panel, RULE)
    monkeypatch.setattr(verdicts, "_MOST_VALUES", 1)
    some = compare(panel, RULE)
    assert some.decision == everything.decision
    assert len(some.pairs) == len(everything.pairs) < 45 * 44 / 2
    of_everything = {(str(pair.a), str(pair.b)): pair for pair in everything.pairs}
    for pair in some.pairs:
        strict, full = pair.p_adjusted, of_everything[str(pair.a), str(pair.b)].p_adjusted
        assert strict is not None
        assert full is not None
        assert strict >= full or strict == pytest.approx(full)
        assert strict >= 900 * (pair.p or 0) or strict == 1.0


# --- simulated fleets ----------------------------------------------------------------------------


def _found_share(count: int, total: int) -> tuple[float, float]:
    """The share, and how far above its expectation chance alone may take it."""
    return count / total, 3 * (0.05 * 0.95 / total) ** 0.5


@pytest.mark.parametrize("cells", [2, 5])
def test_equal_cells_have_a_winner_in_at_most_alpha_of_all_fleets(cells: int) -> None:
    chance = default_rng(100 + cells)
    # The least effect that matters is next to nothing, so that significance alone protects.
    rule = replace(RULE, min_effect=1e-9)
    total = 150
    kinds = [
        compare(draw_panel(chance, 20, dict.fromkeys(range(1, cells + 1), 1.0)), rule).decision.kind
        for _ in range(total)
    ]
    share, error = _found_share(kinds.count("winner"), total)
    assert share <= RULE.alpha + error


def test_any_pair_of_equal_cells_differs_in_at_most_alpha_of_all_fleets() -> None:
    chance = default_rng(200)
    rule = replace(RULE, min_effect=1e-9)
    total = 150
    wrong = 0
    for _ in range(total):
        found = compare(draw_panel(chance, 16, {1: 1.0, 4: 1.0, 8: 1.0}), rule)
        wrong += any(pair.verdict in {"faster", "slower"} for pair in found.pairs)
    share, error = _found_share(wrong, total)
    assert 0 < share <= RULE.alpha + error


def test_what_is_asked_for_finds_a_real_winner() -> None:
    """Of fleets that are told "n more nodes would decide whether it is 10 % faster", and where it
    is, at least the share of `power` find it with n more."""
    chance = default_rng(300)
    effects = {1: 1.0, 4: 1.0, 8: 1.1}
    found = asked = 0
    while asked < 60:
        needed = compare(draw_panel(chance, 10, effects), RULE).decision.needed
        if needed is None or not needed.more_units or needed.effect > 0.105:
            continue
        asked += 1
        decision = compare(draw_panel(chance, 10 + needed.more_units, effects), RULE).decision
        found += (decision.kind, decision.cell) == ("winner", {"concurrency": 8})
    assert found / asked >= RULE.power - 3 * (0.1 * 0.9 / asked) ** 0.5


def test_an_effect_close_to_the_least_that_matters_is_planned_for_as_twice_of_it() -> None:
    found = compare(draw_panel(default_rng(10), 12, {4: 1.0, 8: 1.08}, between=0.1), RULE)
    (pair,) = found.pairs
    assert pair.ratio == pytest.approx(1 / 1.057, abs=0.001)
    assert pair.needed is not None
    assert pair.needed.effect == pytest.approx(0.1)
