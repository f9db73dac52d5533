"""`hps report --watch`: the page of a fleet that is at work, and the one that stays."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import hps
from tests.fleet.stored import StoredFleet
from tests.fleet.watching import PATIENCE_S, started, wait_for
from tests.servers.rclone_s3 import serve_s3

_REFRESH = '<meta http-equiv="refresh" content="60">'


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[StoredFleet]:
    """A fleet of which one node is wanted, and nothing stored of it."""
    with serve_s3(tmp_path / "served", live=True) as server:
        yield StoredFleet(
            server=server,
            served=tmp_path / "served",
            file=tmp_path / "stored.yaml",
            described="{nodes: 1, per_node: {cells: 2}}",
        )


def test_the_page_of_a_fleet_that_is_over_stays_as_it_is(
    stored: StoredFleet, tmp_path: Path
) -> None:
    stored.node("done-1", (0, 1))
    stored.turned_down("slow-1", 15.7)
    ran = hps("report", stored.file, "--watch", cwd=tmp_path, env=stored.env)
    assert (ran.code, ran.out) == (0, "report.html\n"), ran.err
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'http-equiv="refresh"' not in page
    assert "1 by min_upload (20Mbps): 1 would pass at 15Mbps" in page
    assert "as many as are wanted have measured their cells" in page
    assert list((tmp_path / "hps-cache" / "stored").glob("done-1/*.jsonl"))


def test_a_page_loads_itself_again_until_it_is_stopped(stored: StoredFleet, tmp_path: Path) -> None:
    page, file = tmp_path / "report.html", stored.write()
    with started("report", file, "--watch", env=stored.env, cwd=tmp_path) as watching:
        wait_for(page.exists)
        first = page.read_text(encoding="utf-8")
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=PATIENCE_S)
    assert (watching.returncode, out) == (130, "report.html\n"), err
    assert _REFRESH in first
    assert "no node has announced itself yet" in first
    assert 'http-equiv="refresh"' not in page.read_text(encoding="utf-8")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (("stored",), "where is the experiment 'stored'?"),
        (("a.yaml", "b.yaml"), "--watch is for one experiment"),
        ((), "EXPERIMENT"),
    ],
)
def test_it_has_to_know_where_the_nodes_store(
    tmp_path: Path, what: tuple[str, ...], words: str
) -> None:
    ran = hps("report", *what, "--watch", cwd=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


def test_a_mistake_in_the_question_ends_it_at_once(stored: StoredFleet, tmp_path: Path) -> None:
    ran = hps(
        *("report", stored.write(), "--watch", "--by", "chunksize"), cwd=tmp_path, env=stored.env
    )
    assert ran.code == 2
    assert "did you mean chunk_size?" in ran.err
