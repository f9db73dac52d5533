"""Pages as files, and Chromium to look at them with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hps.compare.comparison import Findings
from hps.report import page
from tests.report.fleet import make_findings
from tests.report.hostile import make_hostile
from tests.report.looking import Looking

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


def written(findings: Findings, folder: Path) -> Path:
    """The page of these findings, as a file."""
    path = folder / "report.html"
    path.write_text(page.render(findings, version="1.2.3", made_at="2026-09-02 10:00 UTC"))
    return path


@pytest.fixture(scope="session")
def findings() -> Findings:
    """A fleet like the published one in size."""
    return make_findings(224)


@pytest.fixture(scope="session")
def page_path(findings: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page."""
    return written(findings, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def hostile_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page in which every text tries to become code."""
    return written(make_hostile(), tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; skips where it, or what drives it, is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for name in _CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found, args=list(_ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture
def look(browser: Browser) -> Iterator[Looking]:
    """Opens pages in windows that are closed when the test ends."""
    with _closing(Looking(browser)) as looking:
        yield looking


@contextmanager
def _closing(looking: Looking) -> Iterator[Looking]:
    try:
        yield looking
    finally:
        looking.close()
