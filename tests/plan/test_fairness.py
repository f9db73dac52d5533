"""Tools that do not do the same for the same settings: what is added, and what a plan says."""

from __future__ import annotations

import pytest

from hps.model import KnobValue, Plan, Step
from hps.plan import fairness
from hps.plan.expand import expand
from tests.builders import MIB, axis, make_spec, step, steps

_COPY = steps("upload", "download", "delete")
_UNVERIFIED = (*steps("upload"), step("download", verify=False), *steps("delete"))


def _plan(kinds: tuple[Step, ...], *tools: str, **knobs: KnobValue) -> Plan:
    values: dict[str, KnobValue] = {"size": 20 * MIB, "chunk_size": 5 * MIB, "concurrency": 2}
    given = (axis(name, value) for name, value in (values | knobs).items())
    return expand(make_spec(axis("tool", *tools), *given, steps=kinds))


def _kinds(plan: Plan) -> list[str]:
    return [operation.step.kind for operation in plan.operations]


def test_what_a_tool_does_not_compare_is_verified_for_all() -> None:
    plan = _plan(_COPY, "rclone", "boto3")
    assert _kinds(plan) == [*("upload", "download", "verify", "delete")] * 2
    assert [step.added for step in plan.spec.steps] == [False, False, True, False]
    added = "Added: verify after each download, since boto3 compares nothing of a download"
    assert fairness.explain(plan)[0].startswith(added)


@pytest.mark.parametrize(
    ("kinds", "tools", "expected"),
    [
        (_COPY, ["rclone"], ["upload", "download", "delete"]),
        (_UNVERIFIED, ["s5cmd"], ["upload", "download", "delete"]),
        (steps("upload", "download", "list", "verify"), ["s5cmd"], None),
        (
            *(steps("upload", "download", "download", "verify"), ["s5cmd"]),
            ["upload", "download", "verify", "download", "verify"],
        ),
        (
            *((*steps("upload"), step("download", verify=True)), ["rclone"]),
            ["upload", "download", "verify"],
        ),
    ],
)
def test_it_is_added_where_it_is_missing_and_wanted(
    kinds: tuple[Step, ...], tools: list[str], expected: list[str] | None
) -> None:
    plan = _plan(kinds, *tools)
    assert _kinds(plan) == (expected or [step.kind for step in kinds])


def test_what_nobody_compares_is_said() -> None:
    plan = _plan(_UNVERIFIED, "s5cmd", "boto3", checksum=True)
    assert fairness.explain(plan) == (
        "Not verified: s5cmd and boto3 compare nothing of a download",
    )


@pytest.mark.parametrize(("checksum", "mixed"), [(True, True), (False, False)])
def test_a_sweep_that_mixes_checked_and_unchecked_downloads_says_so(
    checksum: bool, mixed: bool
) -> None:
    plan = _plan(_UNVERIFIED, "rclone", "boto3", checksum=checksum)
    said = any("their fair partner is checksum: false" in text for text in fairness.explain(plan))
    assert said == mixed


@pytest.mark.parametrize(
    ("tools", "concurrency", "chunk_size", "unequal"),
    [
        (["rclone", "boto3"], 1, 5 * MIB, True),
        (["rclone", "boto3"], 2, 5 * MIB, False),
        (["rclone", "boto3"], 1, 20 * MIB, False),
        (["rclone"], 1, 5 * MIB, False),
        (["boto3", "s5cmd"], 1, 5 * MIB, False),
    ],
)
def test_one_stream_is_one_get_or_range_after_range(
    tools: list[str], concurrency: int, chunk_size: int, unequal: bool
) -> None:
    plan = _plan(_COPY, *tools, concurrency=concurrency, chunk_size=chunk_size)
    said = [text for text in fairness.explain(plan) if "at concurrency 1" in text]
    text = (
        "Not the same at concurrency 1: rclone downloads a file by one GET, boto3 range after range"
    )
    assert said == [text] * unequal
