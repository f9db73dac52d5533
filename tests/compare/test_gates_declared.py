"""`thresholds:` of an experiment: stored in each run line, and judged from the newest run."""

from __future__ import annotations

from pathlib import Path

import pytest

from hps.compare.comparing import find
from hps.compare.selection import Question
from tests.command import hps
from tests.compare.one_real_run import SPEC, Record, store

_GATES = """\
thresholds:
  - download.throughput.p50 >= ${FLOOR:-1}Mbps
  - failures<=1%
"""


def _run(folder: Path, spec: str, **env: str) -> list[Record]:
    (folder / "sweep.yaml").write_text(spec)
    ran = hps("run", folder / "sweep.yaml", "--output", folder, "--format", "json", env=env)
    assert ran.code == 0, ran.err
    return ran.records()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """A run of an experiment with thresholds, one of them filled in."""
    return _run(tmp_path_factory.mktemp("guarded"), SPEC + _GATES, FLOOR="2")


def test_a_run_stores_its_thresholds_filled_in(guarded: list[Record]) -> None:
    assert guarded[0]["thresholds"] == ["download.throughput.p50 >= 2Mbps", "failures<=1%"]


def test_without_thresholds_the_list_is_empty(tmp_path: Path) -> None:
    run, *_ = _run(tmp_path, SPEC)
    assert run["thresholds"] == []


def test_the_newest_run_says_what_is_judged(guarded: list[Record], tmp_path: Path) -> None:
    rates = {1: 100.0, 2: 200.0}
    store(tmp_path, guarded, rates=rates, day=3, thresholds=["failures<=3%"], nodes=2)
    store(tmp_path, guarded, rates=rates, day=1, thresholds=["failures<=1%"], nodes=2)
    found = find([tmp_path], Question())
    assert found.thresholds == {"sweep": ("failures<=3%",)}
    store(tmp_path, guarded, rates=rates, day=4, thresholds=[], nodes=2)
    assert find([tmp_path], Question()).thresholds == {}
