"""What a declared transfer comes to on the wire."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.catalog.tools import TOOL_FACTS, count_chunks, effective, explain, why_not
from hps.model import Direction, Knobs, Provider, SecretRef, Settings, Target, Transfer
from tests.builders import LOCAL, MIB, S3, make_transfer


@pytest.mark.parametrize(
    ("size_bytes", "chunks"),
    [(0, 1), (1, 1), (5 * MIB, 1), (5 * MIB + 1, 2), (10 * MIB, 2), (200 * MIB, 40)],
)
def test_chunks_of_5_mib(size_bytes: int, chunks: int) -> None:
    assert count_chunks(size_bytes, 5 * MIB) == chunks


@pytest.mark.parametrize(
    ("direction", "size_mib", "concurrency", "chunk_mib", "streams"),
    [
        ("up", 200, 10, 10, 10),
        ("down", 200, 10, 10, 10),
        ("up", 25, 10, 10, 3),
        ("down", 25, 10, 10, 3),
        ("up", 200, 1, 10, 1),
        ("down", 200, 1, 200, 1),
        ("up", 10, 4, 10, 1),
        ("down", 7, 4, 7, 1),
    ],
)
def test_effective(
    direction: Direction, size_mib: int, concurrency: int, chunk_mib: int, streams: int
) -> None:
    asked = make_transfer(concurrency=concurrency)
    applied = effective(_knobs(size_mib * MIB, 9), asked, direction)
    assert applied == make_transfer(chunk_size_bytes=chunk_mib * MIB, concurrency=streams)


def test_no_more_files_at_once_than_there_are() -> None:
    asked = make_transfer(transfers=8)
    assert effective(_knobs(MIB, 3), asked, "up").transfers == 3
    assert effective(_knobs(MIB, 30), asked, "up").transfers == 8


@given(
    st.sampled_from([*TOOL_FACTS]),
    st.sampled_from(["up", "down"]),
    st.integers(0, 500 * MIB),
    st.integers(1, 50),
    st.integers(5 * MIB, 100 * MIB),
    st.integers(1, 64),
    st.integers(1, 64),
)
def test_what_is_effective_is_effective_again(
    tool: str,
    direction: Direction,
    size_bytes: int,
    files: int,
    chunk: int,
    concurrency: int,
    transfers: int,
) -> None:
    asked = make_transfer(chunk_size_bytes=chunk, concurrency=concurrency, transfers=transfers)
    if size_bytes:
        knobs = _knobs(size_bytes, files, tool)
        once = effective(knobs, asked, direction)
        assert effective(knobs, once, direction) == once
        assert 1 <= once.concurrency <= count_chunks(size_bytes, once.chunk_size_bytes)


@pytest.mark.parametrize(
    ("direction", "size_mib", "files", "first", "second", "reason"),
    [
        (
            "up",
            8,
            1,
            {"chunk_size_bytes": 10 * MIB},
            {"chunk_size_bytes": 25 * MIB},
            "the file is a single chunk and travels whole",
        ),
        (
            "down",
            200,
            1,
            {"concurrency": 1},
            {"concurrency": 1, "chunk_size_bytes": 25 * MIB},
            "one stream downloads the file as one plain GET, whatever the chunk size",
        ),
        (
            "up",
            40,
            1,
            {"concurrency": 16},
            {"concurrency": 4},
            "the file has 4 chunks, so that no more can be in flight",
        ),
        (
            "up",
            40,
            2,
            {"transfers": 8},
            {"transfers": 2},
            "2 at once is all there is to move",
        ),
        (
            "up",
            40,
            2,
            {"concurrency": 16, "transfers": 8},
            {},
            "the file has 4 chunks, so that no more can be in flight; "
            "2 at once is all there is to move",
        ),
        ("up", 40, 1, {}, {}, ""),
    ],
)
def test_explain(
    direction: Direction,
    size_mib: int,
    files: int,
    first: dict[str, object],
    second: dict[str, object],
    reason: str,
) -> None:
    knobs = _knobs(size_mib * MIB, files)
    assert explain(knobs, make_transfer(**first), make_transfer(**second), direction) == reason


def test_s5cmd_waits_for_the_first_range_of_a_download() -> None:
    knobs, asked = _knobs(30 * MIB, 1, "s5cmd"), make_transfer(concurrency=8)
    assert effective(knobs, asked, "up").concurrency == 3
    assert effective(knobs, asked, "down").concurrency == 2
    said = "the file has 3 chunks, the first of which comes alone, so that no more can be in flight"
    assert explain(knobs, asked, make_transfer(concurrency=2), "down") == said


def test_s5cmd_downloads_range_after_range_and_compares_nothing() -> None:
    asked = make_transfer(concurrency=1)
    knobs = _knobs(40 * MIB, 1, "s5cmd")
    assert effective(knobs, asked, "down") == make_transfer(
        concurrency=1, transfers=1, checksum=False
    )
    unchecked = make_transfer(concurrency=1, checksum=False)
    said = "s5cmd compares no checksum of what it downloads"
    assert explain(knobs, asked, unchecked, "down") == said


@pytest.mark.parametrize(
    ("tool", "kind", "asked", "reason"),
    [
        ("s5cmd", "upload", make_transfer(), ""),
        ("s5cmd", "download", make_transfer(checksum=False), ""),
        ("s5cmd", "sync_up", make_transfer(), "s5cmd has no 'sync_up'"),
        (
            *("s5cmd", "download", make_transfer(chunk_size_bytes=7680 * 1024)),
            "s5cmd takes chunks of whole MiB, and not of 7680KiB",
        ),
        (
            *("s5cmd", "download", make_transfer(chunk_size_bytes=MIB)),
            "s5cmd takes chunks of at least 5MiB, and not of 1MiB",
        ),
        (
            *("s5cmd", "upload", make_transfer(checksum=False)),
            "s5cmd can't upload without checksums",
        ),
        (
            *("aws", "upload", make_transfer(chunk_size_bytes=MIB)),
            "aws uploads parts of at least 5MiB, and not of 1MiB",
        ),
        ("aws", "download", make_transfer(chunk_size_bytes=MIB), ""),
        ("aws", "download", make_transfer(http2=True), "aws speaks no HTTP/2"),
        ("rclone", "sync_up", make_transfer(chunk_size_bytes=7, checksum=False), ""),
    ],
)
def test_what_a_tool_cannot_do(tool: str, kind: str, asked: Transfer, reason: str) -> None:
    direction: Direction = "down" if kind == "download" else "up"
    assert why_not(_knobs(40 * MIB, 1, tool), kind, asked, direction, S3) == reason


@pytest.mark.parametrize("kind", ["upload", "download"])
def test_s5cmd_moves_two_of_several_files_even_where_it_is_told_one(kind: str) -> None:
    direction: Direction = "down" if kind == "download" else "up"
    said = "s5cmd moves at least 2 of several files at once"
    for files, transfers, reason in ((3, 1, said), (3, 2, ""), (1, 1, "")):
        asked = make_transfer(transfers=transfers)
        assert why_not(_knobs(40 * MIB, files, "s5cmd"), kind, asked, direction, S3) == reason


_IN_TURN = "aws can't move one file after the other: it moves chunks of each in turn"
_POOL = "aws has one pool for all files: "


@pytest.mark.parametrize(
    ("size_mib", "files", "transfers", "concurrency", "reason"),
    [
        (40, 1, 1, 4, ""),
        (40, 3, 1, 4, _IN_TURN),
        (40, 3, 1, 1, _IN_TURN),
        (10, 3, 1, 4, ""),
        (10, 3, 2, 4, ""),
        (40, 3, 2, 4, f"{_POOL}transfers x concurrency can't be 2 x 4"),
        (40, 3, 2, 1, f"{_POOL}of several at once it moves several chunks each"),
    ],
)
def test_aws_moves_several_files_only_of_one_chunk_each(
    size_mib: int, files: int, transfers: int, concurrency: int, reason: str
) -> None:
    asked = make_transfer(transfers=transfers, concurrency=concurrency)
    assert why_not(_knobs(size_mib * MIB, files, "aws"), "upload", asked, "up", S3) == reason


@pytest.mark.parametrize(
    ("folder", "files", "reason"),
    [
        ("a*b", 2, "s5cmd takes the * in the folder of 's3' for a pattern"),
        ("q?v=1", 2, "s5cmd takes the ? in the folder of 's3' for a pattern"),
        ("a*b", 1, ""),
        ("a[b]", 2, ""),
    ],
)
def test_a_folder_that_looks_like_a_pattern(folder: str, files: int, reason: str) -> None:
    target, asked = replace(S3, folder=folder), make_transfer(transfers=2)
    assert why_not(_knobs(MIB, files, "s5cmd"), "upload", asked, "up", target) == reason


@pytest.mark.parametrize(
    ("kind", "size_mib", "files", "transfers", "concurrency", "refused"),
    [
        ("upload", 40, 1, 4, 9, ""),
        ("upload", 40, 3, 2, 2, ""),
        ("upload", 40, 3, 2, 3, "2 x 3"),
        ("upload", 40, 3, 1, 1, ""),
        ("upload", 40, 3, 4, 1, "3 x 1"),
        ("upload", 40, 2, 8, 8, ""),  # as many as there are: 2 x 4
        ("download", 40, 2, 8, 3, ""),  # the first range comes alone: 2 x 3
        ("upload", 10, 30, 4, 10, ""),  # of one chunk each
        ("upload", 10, 1001, 4, 4, ""),
    ],
)
def test_s3parcp_has_one_number_for_files_at_once_and_chunks_of_each(
    kind: str, size_mib: int, files: int, transfers: int, concurrency: int, refused: str
) -> None:
    asked = make_transfer(transfers=transfers, concurrency=concurrency)
    direction: Direction = "down" if kind == "download" else "up"
    said = f"s3parcp has one number for both: transfers x concurrency can't be {refused}"
    knobs = _knobs(size_mib * MIB, files, "s3parcp")
    assert why_not(knobs, kind, asked, direction, S3) == (said if refused else "")


def test_s3parcp_lists_no_second_page() -> None:
    asked, said = make_transfer(), "s3parcp downloads no more than 1000 files of a folder"
    for files, reason in ((1000, ""), (1001, said)):
        assert why_not(_knobs(MIB, files, "s3parcp"), "download", asked, "down", S3) == reason


def test_s3parcp_signs_always_and_its_log_has_the_session_token() -> None:
    knobs, asked = _knobs(MIB, 1, "s3parcp"), make_transfer()
    public = replace(S3, access_key_id=None, secret_access_key=None)
    said = "s3parcp can't do without keys, and 's3' has none"
    assert why_not(knobs, "upload", asked, "up", public) == said
    brief = replace(S3, session_token=SecretRef(env="TOKEN"))
    said = "s3parcp would write the session token of 's3' to its log"
    assert why_not(knobs, "upload", asked, "up", brief) == ""
    assert why_not(knobs, "download", asked, "down", brief) == said


def test_s3parcp_is_not_for_a_server_without_attributes_nor_to_the_gpu() -> None:
    knobs, asked = _knobs(MIB, 1, "s3parcp"), make_transfer()
    said = "s3parcp asks for an object's attributes, which that server lacks"
    assert why_not(knobs, "download", asked, "down", LOCAL) == said
    assert (
        why_not(knobs, "download_to_gpu", asked, "down", S3) == "s3parcp has no 'download_to_gpu'"
    )


_GOOGLE = Target(
    name="g",
    provider="gcs",
    bucket="bucket",
    access_key_id=SecretRef(env="A"),
    secret_access_key=SecretRef(env="B"),
)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"chunk_size_bytes": 20 * MIB, "concurrency": 4}, ""),
        ({"chunk_size_bytes": None, "concurrency": None}, ""),
        ({"chunk_size_bytes": None, "concurrency": 1}, ""),
        (
            {"chunk_size_bytes": 5 * MIB, "concurrency": None},
            "gsutil moves a file by one request, whatever it is told, and not in chunks of 5MiB: "
            "try settings: default",
        ),
        (
            {"chunk_size_bytes": None, "concurrency": 4},
            "gsutil moves a file by one request, whatever it is told, and not in 4 chunks at once: "
            "try settings: default",
        ),
        ({"chunk_size_bytes": None, "concurrency": None, "http2": True}, "gsutil speaks no HTTP/2"),
    ],
)
def test_gsutil_is_told_nothing_of_chunks(asked: dict[str, object], reason: str) -> None:
    values = {"transfers": None, "http2": None, "checksum": None, **asked}
    requested = Settings(**values)  # type: ignore[arg-type]
    ways: tuple[tuple[str, Direction], ...] = (("upload", "up"), ("download", "down"))
    for kind, way in ways:
        assert why_not(_knobs(20 * MIB, 1, "gsutil"), kind, requested, way, _GOOGLE) == reason


@pytest.mark.parametrize(
    ("provider", "endpoint", "refused"),
    [
        ("gcs", None, ""),
        ("gcs", "https://storage.googleapis.com", ""),
        ("gcs", "http://storage.googleapis.com:80", ""),
        ("gcs", "https://storage.googleapis.com:8443", "'storage.googleapis.com:8443'"),
        ("aws", None, ""),
        ("aws", "https://s3.eu-west-1.amazonaws.com", ""),
        ("aws", "https://s3.cn-north-1.amazonaws.com.cn", ""),
        (
            *("aws", "https://s3.dualstack.eu-west-1.amazonaws.com"),
            "'s3.dualstack.eu-west-1.amazonaws.com'",
        ),
        ("cloudflare", "https://a.r2.cloudflarestorage.com", "'a.r2.cloudflarestorage.com'"),
        ("minio", "http://127.0.0.1:9000", "'127.0.0.1:9000'"),
        ("embedded", None, "those of the embedded server"),
    ],
)
def test_gsutil_signs_for_few_hosts(provider: Provider, endpoint: str | None, refused: str) -> None:
    target = replace(_GOOGLE, provider=provider, endpoint=endpoint)
    asked = make_transfer(chunk_size_bytes=20 * MIB)
    said = f"gsutil signs for Amazon's and Google's own hosts alone, and not for {refused}"
    reason = why_not(_knobs(20 * MIB, 1, "gsutil"), "upload", asked, "up", target)
    assert reason == (said if refused else "")


def test_gsutil_takes_patterns_for_what_they_match_also_of_one_file() -> None:
    asked = make_transfer(chunk_size_bytes=20 * MIB)
    target = replace(_GOOGLE, folder="a[1]")
    said = "gsutil takes the [ in the folder of 'g' for a pattern"
    assert why_not(_knobs(MIB, 1, "gsutil"), "upload", asked, "up", target) == said


def test_a_chunk_that_rclone_would_round_is_skipped_beside_tools_that_take_it() -> None:
    asked = make_transfer(chunk_size_bytes=5 * MIB + 1)
    said = f"rclone can't hold a chunk of {5 * MIB + 1}B exactly"
    assert why_not(_knobs(40 * MIB, 1), "upload", asked, "up", S3) == said
    assert why_not(_knobs(40 * MIB, 1), "download", asked, "down", S3) == ""
    assert why_not(_knobs(5 * MIB, 1), "upload", asked, "up", S3) == ""
    assert why_not(_knobs(40 * MIB, 1, "boto3"), "upload", asked, "up", S3) == ""


def _knobs(size_bytes: int, files: int, tool: str = "rclone") -> Knobs:
    return Knobs(target="t", tool=tool, size_bytes=size_bytes, files=files)


def test_a_signature_would_stand_on_azcopys_command_line() -> None:
    azure = Target(name="az", provider="azure", account="account", bucket="data")
    knobs = replace(_knobs(20 * MIB, 1), tool="azcopy")
    asked = make_transfer(transfers=1)
    key = SecretRef(env="A")
    for target in (replace(azure, account_key=key), replace(azure, sas_token=key)):
        assert "name a service principal" in why_not(knobs, "upload", asked, "up", target)
    principal = replace(azure, client_secret=key)
    assert why_not(knobs, "upload", asked, "up", principal) == ""
    assert why_not(knobs, "upload", asked, "up", S3) == (
        "azcopy speaks Azure's Blob API, and any S3 server does not"
    )


@pytest.mark.parametrize("tool", [name for name in TOOL_FACTS if name != "azcopy"])
def test_a_tool_is_asked_for_nothing_where_another_protocol_is_spoken(tool: str) -> None:
    azure = Target(name="az", provider="azure", account="account", bucket="data")
    knobs = replace(_knobs(20 * MIB, 1), tool=tool)
    why = why_not(knobs, "upload", make_transfer(transfers=2), "up", azure)
    assert why == ("" if tool == "rclone" else f"{tool} speaks S3, and Azure Blob Storage does not")
