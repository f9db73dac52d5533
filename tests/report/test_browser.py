"""The page in real Chromium: drawn, sorted, filtered, small, dark, printed and attacked."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from hps.compare.comparison import Findings
from tests.report import seen
from tests.report.hostile import PAYLOAD
from tests.report.looking import Looking

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.prove
TABLE = "#cells"


def _column(page: Page, title: str) -> int:
    titles = page.locator(f"{TABLE} thead th").all_inner_texts()
    return [text.strip() for text in titles].index(title)


def _texts(page: Page, title: str) -> list[str]:
    """A column of the rows that are shown, from above to below."""
    place = _column(page, title) + 1
    cells = page.locator(f"{TABLE} tbody tr:not([hidden]) td:nth-child({place})")
    return [text.strip() for text in cells.all_inner_texts()]


def _numbers(page: Page, title: str) -> list[float]:
    return [float(text.replace(",", "")) for text in _texts(page, title) if text]


def _colour(page: Page, selector: str, name: str) -> str:
    script = "([s, n]) => getComputedStyle(document.querySelector(s)).getPropertyValue(n)"
    return str(page.evaluate(script, [selector, name]))


# --- opens -------------------------------------------------------------------------------------


def test_every_chart_is_drawn_without_a_complaint_or_a_request(
    look: Looking, page_path: Path, findings: Findings
) -> None:
    page = look.at(page_path)
    charts = page.locator("[data-chart]")
    assert charts.count() == len(seen.pictures(findings))
    for place in range(charts.count()):
        assert charts.nth(place).locator("svg .role-mark > *").count() > 0
    assert look.complaints == []
    assert look.requests == [page_path.as_uri()]


def test_the_answer_comes_before_everything_else(look: Looking, page_path: Path) -> None:
    page = look.at(page_path)
    sections = page.locator("main > section").evaluate_all("all => all.map(one => one.id)")
    assert sections == ["answer", "surety", "pictures", "table", "provenance"]
    card = page.locator(".card").first
    assert card.bounding_box()["y"] < 500  # type: ignore[index]
    assert "Winner" in card.inner_text()
    assert "10MiB" in card.inner_text()


def test_without_scripts_the_pictures_and_the_table_are_there(
    look: Looking, page_path: Path, findings: Findings
) -> None:
    page = look.at(page_path, scripts=False)
    pictures = page.locator("[data-chart] svg")
    assert pictures.count() == len(seen.pictures(findings))
    assert pictures.first.is_visible()
    assert page.locator(f"{TABLE} tbody tr").count() == 128
    assert not page.locator("#filter").is_visible()


def test_pointing_at_a_mark_says_what_it_is(look: Looking, page_path: Path) -> None:
    page = look.at(page_path)
    page.locator("[data-chart=rejected] .role-mark path").first.hover()
    tooltip = page.locator("#vg-tooltip-element")
    tooltip.wait_for(state="visible")
    assert "download too slow" in tooltip.inner_text()


# --- table -------------------------------------------------------------------------------------


def test_a_click_sorts_by_number_and_another_turns_it_round(look: Looking, page_path: Path) -> None:
    page = look.at(page_path)
    before = _numbers(page, "median")
    header = page.locator(f"{TABLE} thead th").nth(_column(page, "median"))
    assert header.get_attribute("aria-sort") is None
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert _numbers(page, "median") == sorted(before)
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert _numbers(page, "median") == sorted(before, reverse=True)


def test_the_keyboard_sorts_and_only_one_column_is_marked(look: Looking, page_path: Path) -> None:
    page = look.at(page_path)
    page.locator(f"{TABLE} thead button").nth(_column(page, "median")).press("Enter")
    page.locator(f"{TABLE} thead button").nth(_column(page, "chunk size")).press("Space")
    assert page.locator(f"{TABLE} [aria-sort]").count() == 1
    order = list(dict.fromkeys(_texts(page, "chunk size")))
    assert order == ["5MiB", "10MiB", "25MiB", "64MiB"]


@pytest.mark.parametrize("clicks", [1, 2])
def test_what_is_not_known_comes_last_either_way(
    look: Looking, page_path: Path, clicks: int
) -> None:
    page = look.at(page_path)
    for _ in range(clicks):
        page.locator(f"{TABLE} thead button").nth(_column(page, "ratio")).click()
    texts = _texts(page, "ratio")
    known = [text for text in texts if text]
    assert 0 < len(known) < len(texts)
    assert texts[: len(known)] == known


def test_the_filter_shows_rows_with_every_word(look: Looking, page_path: Path) -> None:
    page = look.at(page_path)
    assert page.locator("#shown").inner_text() == "128 of 128 rows"
    page.get_by_label("Show only rows with").fill("DOWNLOAD 25mib below")
    assert page.locator("#shown").inner_text() == "4 of 128 rows"
    assert set(_texts(page, "comparison")) == {"Download"}
    assert set(_texts(page, "chunk size")) == {"25MiB"}
    assert set(_texts(page, "nodes")) == {"RTT below 50 ms"}
    page.get_by_label("Show only rows with").fill("no such thing")
    assert page.locator("#shown").inner_text() == "0 of 128 rows"
    page.get_by_label("Show only rows with").fill("")
    assert page.locator("#shown").inner_text() == "128 of 128 rows"


# --- everyone ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_serious(
    look: Looking, page_path: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    )
    page = look.at(page_path, scheme=scheme, width=width)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 20
    serious = [
        (one["id"], [node["target"] for node in one["nodes"]])
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
    ]
    assert serious == []


def test_each_chart_says_what_is_to_be_seen(
    look: Looking, page_path: Path, findings: Findings
) -> None:
    page = look.at(page_path)
    for name, picture in seen.pictures(findings).items():
        chart = page.locator(f".chart:has([data-chart={name}])")
        assert chart.get_attribute("role") == "img"
        assert chart.get_attribute("aria-label") == picture.finding


def test_headings_go_down_one_at_a_time(look: Looking, page_path: Path) -> None:
    page = look.at(page_path)
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(one => +one.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("width", [320, 360, 768])
def test_a_narrow_screen_never_scrolls_sideways(look: Looking, page_path: Path, width: int) -> None:
    page = look.at(page_path, width=width)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    table = page.locator(".scroll.tall")
    assert table.evaluate("box => box.scrollWidth > box.clientWidth")
    assert table.get_attribute("tabindex") == "0", "it is reached by keyboard"


def test_charts_are_as_wide_as_a_phone_has_room(look: Looking, page_path: Path) -> None:
    page = look.at(page_path, width=360)
    box = page.locator("[data-chart=rtt] svg").bounding_box()
    assert box is not None
    assert 250 < box["width"] <= 328
    # Text keeps its size: the chart is drawn for the phone, and not shrunk to it.
    scale = page.locator("[data-chart=rtt] svg").evaluate(
        "svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width"
    )
    assert scale == pytest.approx(1, abs=0.02)


def test_dark_mode_reaches_page_and_charts(look: Looking, page_path: Path) -> None:
    colours = {}
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page = look.at(page_path, scheme=scheme)
        text = "[data-chart=rtt] svg .role-axis-label text"
        bar = "[data-chart=rtt] svg .role-mark path"
        colours[scheme] = (
            _colour(page, "body", "background-color"),
            _colour(page, "body", "color"),
            _colour(page, text, "fill"),
            _colour(page, bar, "fill"),
        )
        assert _colour(page, "[data-chart=rtt] svg", "background-color") == "rgba(0, 0, 0, 0)"
    assert colours["light"][0] == "rgb(255, 255, 255)"
    assert all(light != dark for light, dark in zip(*colours.values(), strict=True))


def test_print_is_dark_on_white_whatever_the_screen(look: Looking, page_path: Path) -> None:
    page = look.at(page_path, scheme="dark")
    page.emulate_media(media="print")
    assert _colour(page, "body", "background-color") == "rgb(255, 255, 255)"
    assert _colour(page, "body", "color") == "rgb(0, 0, 0)"
    assert not page.locator("nav").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


# --- attacked ----------------------------------------------------------------------------------


def test_text_from_results_stays_text(look: Looking, hostile_path: Path) -> None:
    page = look.at(hostile_path)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    page.locator("[data-chart=correlation] .role-mark path").nth(3).hover()
    page.locator("#vg-tooltip-element").wait_for(state="visible")
    assert "window.hacked=1" in page.locator("#vg-tooltip-element").inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert page.locator("[onerror], [onload], [onmouseover]").count() == 0
    assert page.locator("script").count() == 3
    assert look.complaints == []
    assert look.requests == [hostile_path.as_uri()]


def test_hostile_text_is_shown_as_it_is(look: Looking, hostile_path: Path) -> None:
    page = look.at(hostile_path)
    shown = page.locator("h1").inner_text()
    assert "<img src=x onerror=" in shown
    assert "{{ 7*7 }}" in shown
    assert "&lt;b&gt;" in shown
    for selector in (".card p", ".provenance dd", f"{TABLE} td", "figcaption h4"):
        text = page.locator(selector).first.text_content() or ""
        assert "</script></style><script>window.hacked=1" in text, selector


def test_the_payload_is_one_that_would_work(look: Looking, tmp_path: Path) -> None:
    """Unescaped it does run, so that the tests above can fail."""
    bare = tmp_path / "bare.html"
    bare.write_text(f"<!doctype html><p data-chart data-drawn>{PAYLOAD}</p>")
    page = look.at(bare)
    page.wait_for_function("window.hacked !== undefined")
