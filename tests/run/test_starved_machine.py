"""A measurement made while the machine had no time for it says so, and is told apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.command import hps

_SPEC = """\
api: hps/v1
name: starved
targets: {local: {provider: embedded}}
data: {size: 64MiB}
matrix: {chunk_size: [5MiB], concurrency: [2, 4]}
repetitions: 2
steps: [upload]
"""


@contextmanager
def _busy() -> Iterator[None]:
    """Four times as many busy processes as there are processors."""
    loop = (sys.executable, "-c", "while True: pass")
    hogs = [subprocess.Popen(loop) for _ in range(4 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


@pytest.mark.prove
@pytest.mark.skipif(
    not Path("/proc/pressure/cpu").exists(), reason="this kernel doesn't tell of pressure"
)
def test_what_a_starved_machine_measured_carries_it(tmp_path: Path) -> None:
    spec, output = tmp_path / "starved.yaml", tmp_path / "out"
    spec.write_text(_SPEC)
    with _busy():
        ran = hps("run", spec, "--output", output, "--format", "json")

    assert ran.code == 0, ran.err
    results = ran.results()
    assert all(result["disturbed"]["cpu_waiting_share"] > 0.25 for result in results), results
    (run_id,) = {result["run_id"] for result in results}
    shown = hps("results", "show", run_id, "--input", output)
    assert "4 of 4 measured while the machine was short of processor time" in shown.out, shown.err
    compared = hps("compare", "--input", output, "--format", "json")
    assert "4 of 4 measurements made while the machine was short" in compared.out, compared.err
    for apart in ("not disturbed", "disturbed=false"):
        left = hps("compare", "--input", output, "--where", apart)
        assert "no results of disturbed=false" in left.err or apart in left.err, left.err
    query = "SELECT count(*) AS n FROM results WHERE disturbed AND cpu_waiting_share > 0.25"
    (row,) = json.loads(hps("results", "query", query, "--input", output, "--format", "json").out)
    assert row["n"] == 4
