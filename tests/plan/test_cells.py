"""The cells that a matrix makes, and their order."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hps.model import Axis, Cell, Data, KnobValue, Matrix
from hps.plan.cells import count_products, default_target, expand
from tests.builders import MIB, axis

DATA = Data(size_bytes=20 * MIB, files=2, content="zeros", layout="nested")
CHUNKS = axis("chunk_size", 5 * MIB, 10 * MIB)
STREAMS = axis("concurrency", 1, 4)


def _expand(*axes: Axis, **parts: tuple[Mapping[str, KnobValue], ...]) -> list[dict[str, object]]:
    matrix = Matrix(axes=axes, **parts)
    return [dict(cell.axes) for cell in expand(matrix, DATA, "r2")]


def test_without_axes_there_is_one_cell_with_the_data_and_the_defaults() -> None:
    (cell,) = expand(Matrix(), DATA, "r2")
    assert cell.axes == {}
    knobs = cell.knobs
    assert (knobs.target, knobs.size_bytes, knobs.files) == ("r2", 20 * MIB, 2)
    assert (knobs.content, knobs.layout, knobs.tool) == ("zeros", "nested", "rclone")
    assert (knobs.chunk_size_bytes, knobs.concurrency, knobs.transfers) == (10 * MIB, 4, 4)
    assert (knobs.http2, knobs.checksum) == (False, True)


def test_the_last_axis_varies_fastest() -> None:
    assert _expand(CHUNKS, STREAMS) == [
        {"chunk_size": "5MiB", "concurrency": 1},
        {"chunk_size": "5MiB", "concurrency": 4},
        {"chunk_size": "10MiB", "concurrency": 1},
        {"chunk_size": "10MiB", "concurrency": 4},
    ]
    assert _expand(STREAMS, CHUNKS) == [
        {"chunk_size": "5MiB", "concurrency": 1},
        {"chunk_size": "10MiB", "concurrency": 1},
        {"chunk_size": "5MiB", "concurrency": 4},
        {"chunk_size": "10MiB", "concurrency": 4},
    ]


def test_a_cell_has_its_axes_values_in_its_knobs() -> None:
    (cell,) = expand(Matrix(axes=(axis("size", MIB), axis("http2", True))), DATA, "r2")
    assert dict(cell.axes) == {"size": "1MiB", "http2": True}
    assert (cell.knobs.size_bytes, cell.knobs.http2) == (MIB, True)


def test_exclude_matches_in_part() -> None:
    assert _expand(CHUNKS, STREAMS, exclude=({"concurrency": 4},)) == [
        {"chunk_size": "5MiB", "concurrency": 1},
        {"chunk_size": "10MiB", "concurrency": 1},
    ]
    both = {"concurrency": 4, "chunk_size": 10 * MIB}
    assert {"chunk_size": "5MiB", "concurrency": 4} in _expand(CHUNKS, STREAMS, exclude=(both,))
    assert len(_expand(CHUNKS, STREAMS, exclude=(both,))) == 3


def test_exclude_knows_true_from_one() -> None:
    cells = _expand(axis("http2", False, True), axis("concurrency", 1), exclude=({"http2": 1},))
    assert len(cells) == 2


def test_include_comes_last_and_is_never_excluded() -> None:
    cells = _expand(
        STREAMS, exclude=({"concurrency": 4},), include=({"concurrency": 4, "transfers": 2},)
    )
    assert cells == [{"concurrency": 1}, {"concurrency": 4, "transfers": 2}]


def test_a_zip_is_one_axis_of_several_knobs() -> None:
    zipped = Axis(knobs=("size", "chunk_size"), rows=((20 * MIB, 5 * MIB), (200 * MIB, 25 * MIB)))
    assert _expand(zipped, STREAMS) == [
        {"size": "20MiB", "chunk_size": "5MiB", "concurrency": 1},
        {"size": "20MiB", "chunk_size": "5MiB", "concurrency": 4},
        {"size": "200MiB", "chunk_size": "25MiB", "concurrency": 1},
        {"size": "200MiB", "chunk_size": "25MiB", "concurrency": 4},
    ]
    assert count_products(Matrix(axes=(zipped, STREAMS))) == 4


@pytest.mark.parametrize(
    ("targets", "results", "target"),
    [
        (("a",), "a", "a"),
        (("a", "kept"), "kept", "a"),
        (("a", "b"), "c", None),
        (("a", "b", "kept"), "kept", None),
    ],
)
def test_cells_that_name_no_target(
    targets: tuple[str, ...], results: str, target: str | None
) -> None:
    assert default_target(targets, results) == target


def _axes(cells: tuple[Cell, ...]) -> list[dict[str, object]]:
    return [dict(cell.axes) for cell in cells]
