"""What was left to a tool is a value of its own: compared, chosen by, and drawn where it can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from hps.compare.selection import condition
from hps.errors import HpsError
from hps.report.pictures import streams
from hps.report.pictures.picture import FILES, Picture
from tests.compare.stored import Record, findings_of, one, rewrite
from tests.results.fleet import grid, write_fleet

_KNOBS = ("chunk_size_bytes", "concurrency", "transfers", "http2", "checksum")


def _fleet(folder: Path) -> None:
    """Each node ran concurrency 4, 8, and 2; of the last the tool was told nothing."""

    def untold(record: Record) -> Record:
        if record["kind"] != "result":
            return record
        is_told = record["cell"]["concurrency"] != 2
        record["requested"]["settings"] = "declared" if is_told else "default"
        if not is_told:
            record["cell"] = {"settings": "default"}
            record["requested"] |= dict.fromkeys(_KNOBS)
        return record

    write_fleet(folder, 6, grid(concurrency=[4, 8, 2]), steps=("upload",))
    rewrite(folder, untold)


def test_settings_are_compared_though_each_has_knobs_of_its_own(tmp_path: Path) -> None:
    _fleet(tmp_path)
    found = findings_of(tmp_path, by=("settings", "concurrency"))
    keys = [dict(cell.key) for cell in one(found.comparisons, "upload").cells]
    assert keys == [
        {"settings": "default", "concurrency": "default"},
        {"settings": "declared", "concurrency": 4},
        {"settings": "declared", "concurrency": 8},
    ]
    (note,) = [note for note in found.notes if note.startswith("chunk size goes")]
    assert note == "chunk size goes with the settings: 10MiB (declared)"


@pytest.mark.parametrize(
    ("where", "left"),
    [
        ("concurrency=default", {"default"}),
        ("concurrency!=default", {4, 8}),
        ("concurrency=default,8", {"default", 8}),
        ("concurrency!=default,8", {4}),
        ("checksum=default", {"default"}),
        ("settings=declared", {4, 8}),
        ("concurrency>4", {8}),
    ],
)
def test_what_was_left_to_the_tool_can_be_chosen(
    where: str, left: set[int | str], tmp_path: Path
) -> None:
    _fleet(tmp_path)
    found = findings_of(tmp_path, by=("settings", "concurrency"), where=(where,))
    assert {cell.key["concurrency"] for cell in one(found.comparisons, "upload").cells} == left


def test_the_tools_own_is_no_number() -> None:
    with pytest.raises(HpsError, match="concurrency> takes a number"):
        condition("concurrency>default")


def test_it_has_no_place_among_numbers(tmp_path: Path) -> None:
    _fleet(tmp_path)
    found = findings_of(tmp_path, by=("settings", "concurrency"))
    pictures = [drawn for drawn in streams.draw(found, FILES) if isinstance(drawn, Picture)]
    assert all("default" not in str(layer) for picture in pictures for layer in picture.layers)
