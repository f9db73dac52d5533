"""Links at the same time: never more than the machine carries, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench import grid
from bench.settings import cases
from bench.settings.side_by_side import CaseError, measured
from hps.errors import HpsError

SLOW, FAST = (cases.make(grid.make(10, (mbps, mbps), 0.0)) for mbps in (50, 300))
_WAIT_S = 60.0


class NoLinkError(HpsError):
    """As where a link can't be made."""

    exit_code = 77


def _met(folder: Path, wait_s: float, case: cases.Case) -> Mapping[str, Any]:
    """How many were at work at the most; ends with the second, or when the time is over."""
    mine = folder / str(os.getpid())
    mine.touch()
    until_s, most = time.monotonic() + wait_s, 1
    while most < 2 and time.monotonic() < until_s:
        time.sleep(0.05)
        most = max(most, len(list(folder.iterdir())))
    time.sleep(1.0 if most > 1 else 0.0)  # the other has to see it too
    mine.unlink()
    return {"case": case.name, "most": most}


def _fail(folder: Path, case: cases.Case) -> Mapping[str, Any]:
    if case == FAST:
        raise NoLinkError("no link can be made here")
    return _stay(folder, case)


def _stay(folder: Path, case: cases.Case) -> Mapping[str, Any]:
    """Ends only by a signal, and then tidies up."""
    mine = folder / case.machine_id
    mine.touch()
    try:
        time.sleep(_WAIT_S)
    finally:
        mine.unlink()
    return {}


def test_those_that_fit_are_measured_at_the_same_time(tmp_path: Path) -> None:
    done = list(measured([SLOW, SLOW], partial(_met, tmp_path, _WAIT_S), most_mbps=100))
    assert [entry["most"] for _, entry in done] == [2, 2]


@pytest.mark.parametrize(("pair", "most_mbps"), [([SLOW, SLOW], 0), ([SLOW, FAST], 300)])
def test_those_that_do_not_fit_wait(
    tmp_path: Path, pair: list[cases.Case], most_mbps: float
) -> None:
    done = list(measured(pair, partial(_met, tmp_path, 4.0), most_mbps=most_mbps))
    assert [(case, entry["case"], entry["most"]) for case, entry in done] == [
        (case, case.name, 1) for case in pair
    ]


def test_one_that_fails_ends_the_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CaseError, match="10 ms, 300/300 Mbps") as raised:
        list(measured([SLOW, FAST], partial(_fail, tmp_path), most_mbps=1000))
    assert raised.value.exit_code == 77
    assert "no link can be made here" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


_PROGRAM = """\
import sys
from functools import partial
from pathlib import Path
from bench import leaving
from bench.settings.side_by_side import measured
from tests.bench.test_side_by_side import FAST, SLOW, _stay

call = partial(_stay, Path(sys.argv[1]))
sys.exit(leaving.told(lambda: len(list(measured([SLOW, FAST], call, most_mbps=1000)))))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all(tmp_path: Path, number: int, code: int) -> None:
    program = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(tmp_path)])
    until_s = time.monotonic() + _WAIT_S
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until_s:
        time.sleep(0.05)
    program.send_signal(number)
    assert program.wait(_WAIT_S) == code
    assert list(tmp_path.iterdir()) == []
