"""What a plan takes; `tests/wire/test_requests.py` holds the requests against the wire."""

from __future__ import annotations

import pytest

from hps.model import Data, NodeRules, Spec
from hps.plan.estimate import Requests, estimate, payload_bytes, requests
from hps.plan.expand import expand
from tests.builders import MIB, axis, make_operation, make_spec, step, steps


def _spec(**changes: object) -> Spec:
    """Two cells, three counted repetitions and a warm-up, 20 MiB both ways."""
    return make_spec(axis("concurrency", 1, 2), repetitions=3, warmup=1, **changes)


def test_counts_and_bytes() -> None:
    taken = estimate(expand(_spec()))
    assert (taken.cells, taken.trials, taken.operations) == (2, 8, 32)
    assert taken.operations_by_step == {"upload": 8, "download": 8, "verify": 8, "delete": 8}
    assert (taken.up_bytes, taken.down_bytes) == (8 * 20 * MIB, 8 * 20 * MIB)


def test_what_is_merged_takes_nothing() -> None:
    taken = estimate(expand(make_spec(axis("concurrency", 2, 4, 8))))
    assert (taken.cells, taken.trials, taken.operations) == (3, 1, 4)
    assert taken.up_bytes == 20 * MIB


def test_a_folder_is_all_its_files() -> None:
    assert payload_bytes(make_operation("upload", files=7, size=MIB)) == 7 * MIB
    assert payload_bytes(make_operation("delete", files=7, size=MIB)) == 0


def test_time_is_payload_by_bandwidth_pauses_and_overhead() -> None:
    pause = step("pause", duration_s=30.0)
    plan = expand(make_spec(steps=steps("upload", pause, "download", "delete")))
    taken = estimate(plan, upload_mbps=20.0, download_mbps=50.0)
    payload_mb = 20 * MIB * 8 / 1e6
    assert taken.duration_s == pytest.approx(payload_mb / 20 + payload_mb / 50 + 30 + 4 * 0.2)


def test_time_is_unknown_without_a_bandwidth_for_what_moves() -> None:
    assert estimate(expand(_spec())).duration_s is None
    assert estimate(expand(_spec()), upload_mbps=20.0).duration_s is None
    assert estimate(expand(_spec()), download_mbps=20.0).duration_s is None
    only_up = expand(_spec(steps=steps("upload")))
    assert estimate(only_up, upload_mbps=20.0).duration_s is not None


def test_the_bandwidth_that_a_node_must_offer_stands_in() -> None:
    rules = NodeRules(min_upload_mbps=20.0, min_download_mbps=50.0)
    taken = estimate(expand(_spec(node=rules)))
    assert (taken.upload_mbps, taken.download_mbps) == (20.0, 50.0)
    given = estimate(expand(_spec(node=rules)), upload_mbps=40.0)
    assert (given.upload_mbps, given.download_mbps) == (40.0, 50.0)
    assert given.duration_s is not None
    assert taken.duration_s is not None
    assert given.duration_s < taken.duration_s


def test_the_requests_of_a_plan_are_those_of_its_operations() -> None:
    plan = expand(_spec())
    up, down, verify, delete = plan.operations[:4]
    assert (requests(up), requests(down)) == (
        Requests(class_a=4, class_b=1),
        Requests(class_b=3),
    )
    assert (requests(verify), requests(delete)) == (
        Requests(),
        Requests(class_a=1, free=1),
    )
    # At one stream the download is one GET; at two, two ranges.
    assert estimate(plan).requests == Requests(class_a=8 * 5, class_b=8 * 1 + 4 * 3 + 4 * 4, free=8)


def test_a_plan_knows_which_upload_a_download_follows() -> None:
    folder = Data(size_bytes=20 * MIB, files=3)
    whole = step("upload", chunk_size_bytes=64 * MIB)
    in_parts = estimate(expand(make_spec(data=folder, steps=steps("upload", "download"))))
    all_whole = estimate(expand(make_spec(data=folder, steps=steps(whole, "download"))))
    # Each object that came in parts is looked at once more before it is downloaded.
    assert in_parts.requests.class_b == all_whole.requests.class_b + 3


@pytest.mark.parametrize(
    ("kind", "files", "layout", "class_a"),
    [
        ("list", 1000, "flat", 1),
        ("list", 1001, "flat", 2),
        ("list", 2500, "nested", 3),
        ("delete", 2500, "flat", 3),
        ("download", 2500, "flat", 3),
        ("download", 7, "nested", 1 + 7),
        ("download", 10_000, "nested", 1 + 10),
        ("download", 10_001, "nested", 1 + 10 * 2),
    ],
)
def test_lists_have_pages_and_a_walk_goes_into_folders(
    kind: str, files: int, layout: str, class_a: int
) -> None:
    operation = make_operation(kind, files=files, size=1, layout=layout)
    assert requests(operation).class_a == class_a
