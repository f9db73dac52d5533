"""Steps that would do the same on the wire are measured once, and the plan says so."""

from __future__ import annotations

from collections import Counter

from hps.model import Axis, Data, Matrix, Spec
from hps.plan.expand import expand
from tests.builders import MIB, axis, make_spec, step, steps

Entry = tuple[str, str, str]
ONE_GET = "one stream downloads the file as one plain GET, whatever the chunk size"
ONE_CHUNK = "the file is a single chunk and travels whole"
NOT_REPEATED = "the step it builds on is not repeated"
SETTINGS_ALIKE = "the settings of the step are the same in both cells"


def _done(spec: Spec) -> Counter[str]:
    """How often each kind of step is measured."""
    return Counter(operation.step.kind for operation in expand(spec).operations)


def _merged(spec: Spec) -> list[Entry]:
    """(step of cell, the cell that stands for it, why)."""
    return [
        (f"{entry.step} {_name(entry.cell)}", _name(entry.same_as), entry.reason)
        for entry in expand(spec).merged
    ]


def _name(cell: object) -> str:
    assert hasattr(cell, "values")
    return " ".join(str(value) for value in cell.values())


def test_one_stream_downloads_the_same_whatever_the_chunk_size() -> None:
    spec = make_spec(axis("chunk_size", 5 * MIB, 10 * MIB), axis("concurrency", 1))
    assert _merged(spec) == [
        ("download 10MiB 1", "5MiB 1", ONE_GET),
        ("verify 10MiB 1", "5MiB 1", NOT_REPEATED),
    ]
    assert _done(spec) == {"upload": 2, "download": 1, "verify": 1, "delete": 2}


def test_streams_beyond_the_number_of_chunks_change_nothing() -> None:
    spec = make_spec(axis("concurrency", 1, 2, 4, 16))
    reason = "the file has 2 chunks, so that no more can be in flight"
    moved = [entry for entry in _merged(spec) if entry[2] != NOT_REPEATED]
    assert moved == [
        ("upload 4", "2", reason),
        ("download 4", "2", reason),
        ("upload 16", "2", reason),
        ("download 16", "2", reason),
    ]
    assert _done(spec) == {"upload": 2, "download": 2, "verify": 2, "delete": 2}


def test_a_file_smaller_than_a_chunk_is_one_cell() -> None:
    spec = make_spec(
        axis("chunk_size", 5 * MIB, 64 * MIB),
        axis("concurrency", 4, 8),
        data=Data(size_bytes=4 * MIB),
        repetitions=3,
    )
    assert _done(spec) == {"upload": 3, "download": 3, "verify": 3, "delete": 3}
    assert {entry[1] for entry in _merged(spec)} == {"5MiB 4"}
    assert {entry[2] for entry in _merged(spec)} == {ONE_CHUNK, NOT_REPEATED}
    assert len(_merged(spec)) == 3 * 4


def test_files_at_once_beyond_their_number_change_nothing() -> None:
    spec = make_spec(axis("transfers", 1, 4, 8), data=Data(size_bytes=20 * MIB, files=2))
    reason = "2 at once is all there is to move"
    assert ("upload 8", "4", reason) in _merged(spec)
    assert _done(spec)["upload"] == 2


def test_each_download_keeps_the_upload_that_it_needs() -> None:
    same_upload = step("upload", chunk_size_bytes=10 * MIB, concurrency=2)
    spec = make_spec(
        axis("chunk_size", 5 * MIB, 10 * MIB),
        axis("concurrency", 2),
        steps=steps(same_upload, "download", "verify", "delete"),
    )
    assert _merged(spec) == []
    assert _done(spec) == {"upload": 2, "download": 2, "verify": 2, "delete": 2}


def test_an_upload_that_nothing_needs_is_merged_by_its_settings() -> None:
    same_upload = step("upload", chunk_size_bytes=10 * MIB, concurrency=2)
    spec = make_spec(axis("chunk_size", 5 * MIB, 10 * MIB), steps=steps(same_upload, "delete"))
    assert _merged(spec) == [
        ("upload 10MiB", "5MiB", "the settings of the step are the same in both cells"),
        ("delete 10MiB", "5MiB", NOT_REPEATED),
    ]
    assert _done(spec) == {"upload": 1, "delete": 1}


def test_other_data_is_never_the_same() -> None:
    axes: tuple[Axis, ...] = (
        axis("size", MIB, 2 * MIB),
        axis("files", 1, 2),
        axis("content", "random", "zeros"),
        axis("layout", "flat", "nested"),
    )
    for varied in axes:
        assert _merged(make_spec(varied)) == []


def test_http2_and_checksums_are_never_the_same() -> None:
    assert _merged(make_spec(axis("http2", False, True), axis("checksum", True, False))) == []


def test_a_pause_goes_with_its_cell() -> None:
    pause = step("pause", duration_s=1.0)
    spec = make_spec(
        axis("chunk_size", 10 * MIB, 25 * MIB),
        data=Data(size_bytes=MIB),
        steps=steps("upload", pause, "download", "delete"),
    )
    assert _done(spec) == {"upload": 1, "pause": 1, "download": 1, "delete": 1}


def test_every_repetition_and_warm_up_leaves_out_the_same() -> None:
    spec = make_spec(axis("concurrency", 2, 4), repetitions=3, warmup=2)
    assert _done(spec) == {"upload": 5, "download": 5, "verify": 5, "delete": 5}
    assert len(_merged(spec)) == 4


def test_what_is_left_to_the_tool_is_no_other_setting() -> None:
    """5 MiB x 4 is what rclone does of its own, and may be something else in its next version."""
    spec = make_spec(
        axis("chunk_size", 5 * MIB, "default"), axis("concurrency", 4, "default"), data=_of(300)
    )
    assert _merged(spec) == []


def test_nothing_told_is_the_same_by_whichever_name() -> None:
    knobs = ("chunk_size", "concurrency", "transfers", "http2", "checksum")
    entry = dict.fromkeys(knobs, "default")
    spec = make_spec(
        matrix=Matrix(axes=(axis("settings", "default"),), include=(entry,)), data=_of(300)
    )
    assert [entry for entry in _merged(spec) if entry[2] != NOT_REPEATED] == [
        ("upload default default default default default", "default", SETTINGS_ALIKE),
        ("download default default default default default", "default", SETTINGS_ALIKE),
    ]


def test_cells_that_leave_nothing_to_the_tool_keep_their_ids() -> None:
    """They are those of stored results, which a run of this version takes up."""
    (first, *_) = expand(make_spec(axis("chunk_size", 5 * MIB))).operations
    assert (first.operation_id, first.trial_id) == ("100084e64e39", "e24b4a2eb280")


def _of(size_mib: int) -> Data:
    return Data(size_bytes=size_mib * MIB, files=1, content="random", layout="flat")


def test_how_files_share_streams_is_not_presumed_where_transfers_is_left_to_the_tool() -> None:
    """A file of two chunks has two in flight; of a pool there may be more files at once."""
    data = Data(size_bytes=20 * MIB, files=5, content="random", layout="flat")
    spec = make_spec(
        axis("tool", "aws"), axis("concurrency", 4, 100), axis("transfers", "default"), data=data
    )
    assert _merged(spec) == []
