"""Whether a machine can carry an experiment."""

from __future__ import annotations

import pytest

from hps.spec.checks import Machine
from hps.spec.load import load
from hps.spec.problems import Problem, SpecError
from hps.spec.source import SpecText

MIB = 1024**2


def _problems(rest: str, memory_mib: int, disk_mib: int) -> tuple[Problem, ...]:
    content = (
        f"api: hps/v1\nname: case\ntargets: {{local: {{provider: embedded}}}}\n{rest}".encode()
    )
    machine = Machine(memory_bytes=memory_mib * MIB, disk_free_bytes=disk_mib * MIB)
    source = SpecText(name="a.yaml", content=content)
    load(source, env={})
    try:
        load(source, env={}, machine=machine)
    except SpecError as error:
        return error.problems
    return ()


def test_what_is_not_known_of_a_machine_is_not_none_of_it() -> None:
    rest = "data: {size: 1TiB}\nmatrix: {chunk_size: [1GiB]}\nsteps: [upload, download]\n"
    text = f"api: hps/v1\nname: case\ntargets: {{local: {{provider: embedded}}}}\n{rest}"
    source = SpecText(name="a.yaml", content=text.encode())
    load(source, env={}, machine=Machine(memory_bytes=None, disk_free_bytes=None))
    for machine, rule in (
        (Machine(memory_bytes=1, disk_free_bytes=None), "not-enough-memory"),
        (Machine(memory_bytes=None, disk_free_bytes=1), "not-enough-disk"),
    ):
        with pytest.raises(SpecError) as caught:
            load(source, env={}, machine=machine)
        assert {problem.rule for problem in caught.value.problems} == {rule}


def _upload(matrix: str, size: str = "1GiB", files: int = 8) -> str:
    return f"data: {{size: {size}, files: {files}}}\nmatrix: {matrix}\nsteps: [upload]\n"


@pytest.mark.parametrize(("memory_mib", "fits"), [(640, True), (639, False)])
def test_memory_is_chunks_in_flight(memory_mib: int, fits: bool) -> None:
    matrix = "{chunk_size: [16MiB], concurrency: [10], transfers: [4]}"
    assert (_problems(_upload(matrix), memory_mib, 10**6) == ()) is fits


@pytest.mark.parametrize(("memory_mib", "fits"), [(320, True), (319, False)])
def test_transfers_are_no_more_than_files(memory_mib: int, fits: bool) -> None:
    matrix = "{chunk_size: [16MiB], concurrency: [10], transfers: [64]}"
    assert (_problems(_upload(matrix, files=2), memory_mib, 10**6) == ()) is fits


@pytest.mark.parametrize(("memory_mib", "fits"), [(128, True), (127, False)])
def test_concurrency_is_no_more_than_chunks(memory_mib: int, fits: bool) -> None:
    matrix = "{chunk_size: [64MiB], concurrency: [16]}"
    assert (_problems(_upload(matrix, size="100MiB", files=1), memory_mib, 10**6) == ()) is fits


def test_each_chunk_size_that_is_too_much_is_named_with_both_figures() -> None:
    matrix = "{chunk_size: [8MiB, 32MiB, 64MiB], concurrency: [16], transfers: [1]}"
    problems = _problems(_upload(matrix), 256, 10**6)
    assert [(p.line, p.column, p.rule) for p in problems] == [
        (5, 29, "not-enough-memory"),
        (5, 36, "not-enough-memory"),
    ]
    assert "keeps 512 MiB" in problems[0].message
    assert "has 256 MiB" in problems[0].message


def test_downloads_take_no_memory_of_this_kind() -> None:
    rest = (
        "data: {size: 1GiB}\nsteps:\n  - upload: {concurrency: 1, chunk_size: 5MiB}\n"
        "  - download: {concurrency: 64, chunk_size: 64MiB}\n"
    )
    assert _problems(rest, 64, 10**6) == ()


def test_an_excluded_cell_takes_none() -> None:
    matrix = (
        "{chunk_size: [8MiB, 64MiB], concurrency: [1, 16], transfers: [1], "
        "exclude: [{chunk_size: 64MiB, concurrency: 16}]}"
    )
    assert _problems(_upload(matrix), 128, 10**6) == ()


@pytest.mark.parametrize(("disk_mib", "fits"), [(900, True), (899, False)])
def test_disk_is_every_payload_once_a_copy_and_what_is_served(disk_mib: int, fits: bool) -> None:
    rest = (
        "matrix: {size: [100MiB, 200MiB], concurrency: [1, 2], content: [random, zeros], "
        "exclude: [{size: 200MiB, content: zeros}, {size: 100MiB, content: zeros}], "
        "include: [{size: 200MiB, content: zeros}]}\nsteps: [upload, download]\n"
    )
    assert (_problems(rest, 10**6, disk_mib) == ()) is fits


def test_without_a_download_only_the_server_has_a_copy() -> None:
    rest = "data: {size: 100MiB}\nsteps: [upload]\n"
    assert _problems(rest, 10**6, 200) == ()
    assert [p.rule for p in _problems(rest, 10**6, 199)] == ["not-enough-disk"]


@pytest.mark.parametrize(
    ("tool", "kept"), [("rclone", "2 GiB"), ("s5cmd", "4 GiB"), ("obstore", "2 GiB")]
)
def test_memory_is_that_which_the_tool_takes(tool: str, kept: str) -> None:
    rest = _MEMORY.format(tool=tool)
    (problem,) = _problems(rest, memory_mib=1024, disk_mib=10**6)
    assert f"{tool} keeps {kept} of chunks in memory" in problem.message


@pytest.mark.parametrize("tool", ["boto3", "aws", "awscrt"])
def test_a_tool_that_keeps_no_chunks_needs_no_memory_for_them(tool: str) -> None:
    assert _problems(_MEMORY.format(tool=tool), memory_mib=1024, disk_mib=10**6) == ()


_MEMORY = (
    "data: {{size: 8GiB}}\n"
    "matrix: {{tool: [{tool}], chunk_size: [64MiB], concurrency: [32]}}\n"
    "steps: [upload: {{checksum: true}}]\n"
)
