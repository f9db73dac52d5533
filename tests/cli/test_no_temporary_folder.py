"""A machine on which no temporary file can be made: commands that need one say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.disks import hps_without_temporary_folder
from tests.results.fleet import write_fleet

_SPEC = """\
api: hps/v1
name: homeless
targets: {local: {provider: embedded}}
data: {size: 1MiB}
steps: [upload, delete]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment, and stored results."""
    folder = tmp_path_factory.mktemp("homeless")
    (folder / "homeless.yaml").write_text(_SPEC)
    write_fleet(folder / "stored", nodes=1)
    return folder


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_what_needs_none_works(folder: Path, command: str) -> None:
    ran = hps_without_temporary_folder(command, folder / "homeless.yaml")
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "homeless.yaml"),
        ("check", "homeless.yaml"),
        ("node",),
        ("node", "homeless.yaml"),
        ("results", "views"),
        ("results", "list", "--input", "stored"),
        ("compare", "stored"),
    ],
    ids=" ".join,
)
def test_what_needs_one_says_which_there_are_and_what_to_do(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    there = ("homeless.yaml", "stored")
    ran = hps_without_temporary_folder(
        *(folder / one if one in there else one for one in arguments)
    )
    assert ran.code == 1, ran.err
    assert "Traceback" not in ran.err
    assert "hps: no temporary folder can be made: " in ran.err
    assert "'/tmp'" in ran.err
    assert "name one that can be written, and has space, in TMPDIR" in ran.err
