"""Tools side by side: what is each one's own keeps none apart, and what nobody verified is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compare.stored import Record, findings_of, rewrite
from tests.results.fleet import grid, write_fleet

_VERSIONS = {"rclone": "1.75.2", "boto3": "1.44.5", "s5cmd": "2.3.0"}


def _fleet(
    folder: Path, *, checksums: dict[str, bool] | None = None, verified: bool = True
) -> None:
    """Four nodes that ran all three tools."""

    def by_its_tool(record: Record) -> Record:
        if record["kind"] != "result":
            return record
        tool = record["cell"]["tool"]
        if record["step"] == "verify":
            checked = {"tool": "hps", "tool_version": "", "throughput_mbps": None}
            return record | checked | ({} if verified else {"step": "list"})
        record |= {"tool": tool, "tool_version": _VERSIONS[tool]}
        if checksums:
            record["cell"]["checksum"] = checksums[tool]
            for settings in (record["requested"], record["effective"]):
                settings["checksum"] = checksums[tool]
        return record

    steps = ("upload", "download", "verify")
    write_fleet(folder, 4, grid(tool=[*_VERSIONS], concurrency=[4]), steps=steps)
    rewrite(folder, by_its_tool)


def _notes(folder: Path, about: str, **asked: object) -> list[str]:
    return [note for note in findings_of(folder, **asked).notes if about in note]


@pytest.mark.parametrize(
    "checksums", [None, {"rclone": False, "boto3": False, "s5cmd": True}], ids=["alike", "own"]
)
def test_tools_are_compared_though_each_has_a_version_and_a_checksum_of_its_own(
    checksums: dict[str, bool] | None, tmp_path: Path
) -> None:
    _fleet(tmp_path, checksums=checksums)
    found = findings_of(tmp_path, by=("tool",))
    assert [one.title for one in found.comparisons] == ["upload", "download"]
    for one in found.comparisons:
        assert sorted(str(cell.key["tool"]) for cell in one.cells) == sorted(_VERSIONS)
    (versions,) = _notes(tmp_path, "tool version goes with the tool", by=("tool",))
    assert versions.endswith(": 1.44.5 (boto3), 1.75.2 (rclone), 2.3.0 (s5cmd)")
    own = _notes(tmp_path, "checksum goes with the tool", by=("tool",))
    text = "checksum goes with the tool: false (boto3, rclone), true (s5cmd)"
    assert own == ([text] if checksums else [])


def test_a_tool_with_two_versions_is_compared_with_each(tmp_path: Path) -> None:
    _fleet(tmp_path)
    first = min(path.parent.name for path in tmp_path.rglob("*.jsonl"))

    def older(record: Record) -> Record:
        is_of_it = record.get("tool") == "rclone" and record["machine_id"] == first
        return record | ({"tool_version": "1.74.0"} if is_of_it else {})

    rewrite(tmp_path, older)
    titles = {one.title for one in findings_of(tmp_path, by=("tool",)).comparisons}
    assert {"upload, tool version 1.74.0", "upload, tool version 1.75.2"} <= titles


def test_downloads_that_nobody_compared_are_counted(tmp_path: Path) -> None:
    _fleet(tmp_path, verified=True)
    assert _notes(tmp_path, "not verified") == []
    unverified = tmp_path / "unverified"
    _fleet(unverified, verified=False)
    notes = _notes(unverified, "not verified")
    assert [note.split(" not verified")[0] for note in notes] == [
        f"{4 * 3} downloads by {tool}" for tool in ("boto3", "s5cmd")
    ]
