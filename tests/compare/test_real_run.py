"""From `hps run` on the embedded target to what is found, with nothing in between made up."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest

from tests.command import hps
from tests.compare.stored import cell_of, findings_of, one

SPEC = """\
api: hps/v1
name: real
targets: {local: {provider: embedded}}
data: {size: 10MiB}
matrix:
  chunk_size: [5MiB, 10MiB]
  concurrency: [1, 2]
repetitions: 2
warmup: 1
steps: [upload, download, verify, delete]
results: {target: local}
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a real run has stored."""
    folder = tmp_path_factory.mktemp("real")
    spec = folder / "real.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    ran = hps("run", spec, "--output", folder / "results")
    assert ran.code == 0, ran.err
    return folder / "results"


def test_a_real_run_is_compared(output: Path) -> None:
    (path,) = output.rglob("*.jsonl")
    stored = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = findings_of(output)
    assert [each.title for each in found.comparisons] == ["upload", "download"]
    for comparison in found.comparisons:
        assert (comparison.unit, comparison.units) == ("repetition", 2)
        assert comparison.decision.kind == "inconclusive"
        assert comparison.shared["provider"] == "embedded"
    counted = [
        line
        for line in stored
        if line["kind"] == "result" and not line["warmup"] and line["throughput_mbps"]
    ]
    assert found.provenance.results == len(counted)
    upload = one(found.comparisons, "upload")
    for cell in upload.cells:
        rates = [
            line["throughput_mbps"]
            for line in counted
            if line["step"] == "upload" and line["cell"] == cell.key
        ]
        if cell.same_as is None:
            assert cell.median_mbps == pytest.approx(median(rates))


def test_what_the_plan_merged_repeats_its_twin(output: Path) -> None:
    """A file of one chunk travels whole; one stream downloads whole, whatever the chunk size."""
    found = findings_of(output)
    same = {
        (comparison.title, *cell.key.values()): tuple(cell.same_as.values())
        for comparison in found.comparisons
        for cell in comparison.cells
        if cell.same_as is not None
    }
    assert same == {
        ("upload", "10MiB", 2): ("10MiB", 1),
        ("download", "10MiB", 1): ("5MiB", 1),
        ("download", "10MiB", 2): ("5MiB", 1),
    }
    assert len(one(found.comparisons, "download").pairs) == 1


def test_what_the_plan_merged_is_filled_in_elsewhere(output: Path) -> None:
    found = findings_of(output, by=("concurrency",), where=("chunk_size=10MiB",))
    download = one(found.comparisons, "download")
    twin = one(findings_of(output).comparisons, "download")
    small = cell_of(twin, chunk_size="5MiB", concurrency=1)
    assert [cell.median_mbps for cell in download.cells] == [small.median_mbps] * 2


def test_a_twin_that_is_in_another_panel_is_not_pointed_at(output: Path) -> None:
    """10 MiB and 2 streams were not measured: 5 MiB and 1 stream stand for it, not 5 MiB and 2."""
    found = findings_of(output, by=("chunk_size",))
    panel = one(found.comparisons, "download, concurrency 2")
    assert [cell.same_as for cell in panel.cells] == [None, None]
    twin = cell_of(one(found.comparisons, "download, concurrency 1"), chunk_size="5MiB")
    assert cell_of(panel, chunk_size="10MiB").median_mbps == twin.median_mbps
