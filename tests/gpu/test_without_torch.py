"""The steps to the GPU where torch is not installed: a failed result that says what to do."""

from __future__ import annotations

from pathlib import Path

from tests.command import hps

_SPEC = """\
api: hps/v1
name: without-torch
targets: {local: {provider: embedded}}
data: {size: 1MiB}
steps: [upload, load, download_to_gpu, download, verify, delete]
"""
_TORCH = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"


def test_only_the_steps_to_the_gpu_fail(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(_TORCH)  # found before one that is installed
    spec = tmp_path / "spec.yaml"
    spec.write_text(_SPEC)

    ran = hps(
        "run", spec, "--output", tmp_path, "--format", "json", env={"PYTHONPATH": str(tmp_path)}
    )

    assert ran.code == 1, ran.err
    failed = {record["step"]: record for record in ran.results() if record["status"] != "ok"}
    assert set(failed) == {"load", "download_to_gpu"}
    for record in failed.values():
        assert record["status"] == "failed"
        assert record["reason"] == "torch is not installed: pip install 'hps[gpu]'"
        assert record["throughput_mbps"] is None
