"""`hps report` from stored files to a page and pictures, as a person types it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.command import Ran, hps
from tests.disks import Mount
from tests.results.fleet import write_fleet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a fleet's results lie, as `hps run` stores them."""
    folder = tmp_path_factory.mktemp("work")
    write_fleet(folder / "hps-results", nodes=24, seed=4)
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> Ran:
    """A report with its pictures."""
    (folder / "figures").mkdir()
    return hps("report", "--pictures", "figures", "--picture-format", "svg", cwd=folder)


def test_it_prints_what_it_wrote_and_nothing_else(ran: Ran, folder: Path) -> None:
    assert (ran.code, ran.err) == (0, "")
    first, *pictures = ran.out.splitlines()
    assert first == "report.html"
    assert {folder / path for path in pictures} == set((folder / "figures").iterdir())
    assert {path.name for path in folder.iterdir()} >= {"report.html", "figures", "hps-results"}
    assert not [path for path in folder.rglob(".*") if path.suffix == ".html"]


def test_the_page_is_of_the_stored_results(ran: Ran, folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "24 nodes" in text
    assert "RTT 50 to 150 ms" in text, "classes of round-trip time are the default"


def test_pictures_are_images_with_their_titles(ran: Ran, folder: Path) -> None:
    names = {path.stem for path in (folder / "figures").iterdir()}
    assert {"rtt", "throughput", "correlation", "heatmap-upload", "ratios-download"} <= names
    for path in (folder / "figures").iterdir():
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert "Average Round-Trip Time (RTT)" in (folder / "figures/rtt.svg").read_text("utf-8")


def test_conditions_and_axes_are_those_of_compare(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "one.html"
    ran = hps(
        *("report", "hps-results", "--where", "step=download", "--by", "concurrency"),
        *("--strata", "", "-o", page),
        cwd=folder,
    )
    assert (ran.code, ran.out) == (0, f"{page}\n")
    text = page.read_text(encoding="utf-8")
    assert "Download" in text
    assert "Upload: " not in text
    assert "By class of nodes" not in text


@pytest.mark.parametrize("option", ["-o", "--pictures"])
def test_a_folder_that_is_not_there_is_said_before_any_work(folder: Path, option: str) -> None:
    target = "nowhere/report.html" if option == "-o" else "nowhere"
    ran = hps("report", option, target, cwd=folder)
    assert (ran.code, ran.out) == (2, "")
    assert "there is no folder nowhere to write to" in ran.err
    assert "mkdir nowhere" in ran.err


def test_a_mistake_in_the_question_is_named(folder: Path) -> None:
    ran = hps("report", "--by", "chunksize", cwd=folder)
    assert ran.code == 2
    assert "did you mean chunk_size?" in ran.err


def test_without_results_there_is_no_page(tmp_path: Path) -> None:
    ran = hps("report", "unknown-experiment", cwd=tmp_path)
    assert ran.code in {2, 5}
    assert ran.err
    assert list(tmp_path.iterdir()) == []


def test_what_can_not_be_written_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    name = "r" * 300 + ".html"
    ran = hps("report", "-o", tmp_path / name, cwd=folder)
    assert ran.code == 2
    assert "File name too long" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_can_not_be_written_to_is_said_before_any_work(
    folder: Path, mount: Mount
) -> None:
    locked = mount("locked", "size=1m,ro")
    for arguments, option in (
        (("-o", locked / "report.html"), "-o"),
        (("-o", folder / "page.html", "--pictures", locked), "--pictures"),
    ):
        ran = hps("report", "nothing-of-this-name", *arguments, cwd=folder)
        assert (ran.code, ran.out) == (2, "")
        assert f"cannot write to {locked}: Read-only file system" in ran.err
        assert option in ran.err
    assert not (folder / "page.html").exists()
