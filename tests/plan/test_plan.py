"""The plan: ids that never change, orders that are the same everywhere, time-outs, dependencies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType

import pytest

from hps.model import Data, NodeRules, Order, OrderKind, Spec
from hps.plan.expand import expand
from tests.builders import MIB, axis, make_spec, step, steps
from tests.command import REPOSITORY

CHUNKS = axis("chunk_size", 5 * MIB, 10 * MIB)
Trial = tuple[bool, int, object, object]
SWEEP = make_spec(
    CHUNKS,
    axis("concurrency", 1, 2),
    repetitions=3,
    warmup=1,
    order=Order(kind="random_blocks", seed=7),
)
_PRINT_IDS = """\
import json
from hps.plan.expand import expand
from tests.plan.test_plan import SWEEP
print(json.dumps([operation.operation_id for operation in expand(SWEEP).operations]))
"""


def test_ids_are_those_of_results_that_are_stored_already() -> None:
    """If ids change, no stored result belongs to its plan any more, and no run can be resumed."""
    operations = expand(make_spec(axis("concurrency", 2, 4))).operations
    assert [operation.operation_id for operation in operations] == [
        "1b7fedaef206",
        "046b9efa3f5c",
        "25bece30a225",
        "fa088e205505",
    ]
    assert operations[0].trial_id == "c59b3d378f52"


def test_ids_are_unique_and_tell_trials_apart() -> None:
    spec = make_spec(CHUNKS, axis("concurrency", 1, 2), repetitions=3, warmup=2)
    operations = expand(spec).operations
    assert len({operation.operation_id for operation in operations}) == len(operations)
    trials = {
        (operation.warmup, operation.repetition, str(operation.cell.axes))
        for operation in operations
    }
    assert len({operation.trial_id for operation in operations}) == len(trials)


@pytest.mark.parametrize(
    "changed",
    [
        make_spec(name="other"),
        make_spec(axis("files", 2)),
        make_spec(steps=steps(step("upload", concurrency=3))),
        make_spec(steps=steps("list", "upload")),
    ],
)
def test_what_is_another_operation_has_another_id(changed: Spec) -> None:
    before = {operation.operation_id for operation in expand(make_spec()).operations}
    after = {o.operation_id for o in expand(changed).operations if o.step.kind == "upload"}
    assert after
    assert not after & before


def test_ids_do_not_depend_on_order_or_on_repetitions() -> None:
    few = make_spec(CHUNKS, repetitions=2)
    many = make_spec(CHUNKS, repetitions=5, order=Order(kind="shuffled", seed=3))
    assert _ids(few) < _ids(many)


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_a_fresh_process_makes_the_same_plan(hash_seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PRINT_IDS],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    here = [operation.operation_id for operation in expand(SWEEP).operations]
    assert json.loads(done.stdout) == here


@pytest.mark.parametrize(
    ("kind", "counted"),
    [
        ("declared", ["5 2", "5 4", "10 2", "10 4"] * 2),
        ("shuffled", ["5 2", "10 2", "10 4", "10 4", "5 4", "5 2", "10 2", "5 4"]),
        ("random_blocks", ["10 2", "10 4", "5 4", "5 2", "5 2", "10 4", "10 2", "5 4"]),
    ],
)
def test_orders_are_those_of_runs_that_are_stored_already(
    kind: OrderKind, counted: list[str]
) -> None:
    spec = make_spec(
        CHUNKS,
        axis("concurrency", 2, 4),
        steps=steps("upload"),
        data=Data(size_bytes=40 * MIB),
        repetitions=2,
        order=Order(kind=kind, seed=42),
    )
    order = [f"{str(chunk).removesuffix('MiB')} {n}" for _, _, chunk, n in _trials(spec)]
    assert order == counted


def _sweep(kind: OrderKind, *, seed: int = 1, streams: tuple[int, ...] = (1, 2, 3, 4)) -> Spec:
    return make_spec(
        axis("concurrency", *streams),
        steps=steps("upload"),
        data=Data(size_bytes=100 * MIB),
        repetitions=6,
        warmup=2,
        order=Order(kind=kind, seed=seed),
    )


@pytest.mark.parametrize("kind", ["declared", "shuffled", "random_blocks"])
def test_every_cell_is_repeated_and_warm_ups_come_first(kind: OrderKind) -> None:
    trials = _trials(_sweep(kind))
    assert [trial[0] for trial in trials] == [True] * 8 + [False] * 24
    assert set(Counter(trials).values()) == {1}
    assert len(set(trials)) == 32


def test_a_block_holds_each_cell_once_in_an_order_of_its_own() -> None:
    trials = _trials(_sweep("random_blocks"))
    blocks = [trials[start : start + 4] for start in range(0, 32, 4)]
    for number, block in enumerate(blocks):
        assert {trial[1] for trial in block} == {number if number < 2 else number - 2}
        assert sorted(str(trial[3]) for trial in block) == ["1", "2", "3", "4"]
    assert len({tuple(trial[3] for trial in block) for block in blocks}) > 1


def test_a_shuffle_mixes_repetitions() -> None:
    counted = [trial[1] for trial in _trials(_sweep("shuffled"))[8:]]
    assert counted != sorted(counted)


@pytest.mark.parametrize("kind", ["shuffled", "random_blocks"])
def test_another_seed_is_another_order(kind: OrderKind) -> None:
    assert _trials(_sweep(kind, seed=1)) != _trials(_sweep(kind, seed=2))
    assert _trials(_sweep(kind, seed=1)) == _trials(_sweep(kind, seed=1))


@pytest.mark.parametrize("kind", ["declared", "shuffled", "random_blocks"])
def test_a_new_cell_leaves_the_order_of_the_others(kind: OrderKind) -> None:
    more = _trials(_sweep(kind, streams=(1, 2, 8, 3, 4)))
    assert [trial for trial in more if trial[3] != 8] == _trials(_sweep(kind))


def test_the_steps_of_a_trial_stay_together_in_order() -> None:
    operations = expand(make_spec(CHUNKS, repetitions=3, order=Order(kind="shuffled"))).operations
    for start in range(0, len(operations), 4):
        trial = operations[start : start + 4]
        assert len({operation.trial_id for operation in trial}) == 1
        assert [o.step.kind for o in trial] == ["upload", "download", "verify", "delete"]
        assert [o.step_index for o in trial] == [0, 1, 2, 3]


def test_what_each_step_builds_on() -> None:
    kinds = ("upload", "download", "verify", "list", "pause", "delete", "sync_up", "sync_down")
    spec = make_spec(
        steps=steps(*(k if k != "pause" else step("pause", duration_s=1.0) for k in kinds))
    )
    operations = expand(spec).operations
    by_id = {operation.operation_id: operation.step.kind for operation in operations}
    built_on = {
        operation.step.kind: [by_id[needed] for needed in operation.depends_on]
        for operation in operations
    }
    assert built_on == {
        "upload": [],
        "download": ["upload"],
        "verify": ["download", "upload"],
        "list": ["upload"],
        "pause": [],
        "delete": ["upload"],
        "sync_up": [],
        "sync_down": ["sync_up"],
    }


@pytest.mark.parametrize(
    ("changes", "kind", "timeout_s"),
    [
        # 60 s, half a second a file, and the payload at 1 Mbps.
        ({}, "upload", 60 + 0.5 + 167.8),
        # The same at the 80 Mbps of a slow disk.
        ({}, "verify", 60 + 0.5 + 2.1),
        ({"data": Data(size_bytes=MIB, files=10)}, "download", 60 + 5 + 83.9),
        # The payload at a quarter of what the node must offer.
        ({"node": NodeRules(min_upload_mbps=20.0)}, "upload", 60 + 0.5 + 33.6),
        ({"node": NodeRules(min_upload_mbps=20.0)}, "download", 60 + 0.5 + 167.8),
        ({"node": NodeRules(min_download_mbps=80.0)}, "download", 60 + 0.5 + 8.4),
        # A node that may be slower than that is given the time.
        (
            {"node": NodeRules(min_upload_mbps=20.0, on_reject="continue")},
            "upload",
            60 + 0.5 + 167.8,
        ),
        ({"timeout_s": 7.0}, "upload", 7.0),
        ({"timeout_s": 7.0, "steps": steps(step("upload", timeout_s=3.0))}, "upload", 3.0),
        ({"timeout_s": 7.0, "steps": steps(step("pause", duration_s=90.0))}, "pause", 150.0),
    ],
)
def test_time_outs(changes: dict[str, object], kind: str, timeout_s: float) -> None:
    operations = expand(make_spec(**changes)).operations
    (found,) = (operation.timeout_s for operation in operations if operation.step.kind == kind)
    assert found == pytest.approx(timeout_s, abs=0.05)


def test_the_settings_of_a_step_win_over_the_cell() -> None:
    upload = step("upload", chunk_size_bytes=5 * MIB, http2=True)
    plan = expand(make_spec(axis("concurrency", 3), steps=steps(upload, "download")))
    up, down = plan.operations
    assert up.requested is not None
    assert down.requested is not None
    assert (up.requested.chunk_size_bytes, up.requested.concurrency) == (5 * MIB, 3)
    assert (up.requested.http2, down.requested.http2) == (True, False)
    assert down.requested.chunk_size_bytes == 10 * MIB


def test_twice_the_cells_are_twice_the_work() -> None:
    small, large = _large(streams=5), _large(streams=10)
    assert len(expand(large).operations) == 2 * len(expand(small).operations) == 2_000
    ratio = _count_calls(lambda: expand(large)) / _count_calls(lambda: expand(small))
    assert 1.9 < ratio < 2.1


def _large(*, streams: int) -> Spec:
    return make_spec(
        axis("concurrency", *range(2, 2 + streams)),
        axis("chunk_size", *(number * MIB for number in range(5, 55))),
        data=Data(size_bytes=10_000 * MIB),
        order=Order(kind="random_blocks"),
    )


def _count_calls(work: Callable[[], object]) -> int:
    """How many Python functions are called: the same on every machine, unlike time."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def _ids(spec: Spec) -> set[str]:
    return {operation.operation_id for operation in expand(spec).operations}


def _trials(spec: Spec) -> list[Trial]:
    """(warm-up, repetition, chunk size, concurrency) of each trial, in order."""
    seen: dict[str, Trial] = {}
    for operation in expand(spec).operations:
        axes = operation.cell.axes
        trial = (
            operation.warmup,
            operation.repetition,
            axes.get("chunk_size"),
            axes.get("concurrency"),
        )
        seen.setdefault(operation.trial_id, trial)
    return list(seen.values())
