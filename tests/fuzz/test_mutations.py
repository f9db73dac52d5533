"""Mutated experiments, and every input that was once a find: no crash, no hang, little memory."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.fuzz import campaign
from tests.fuzz.mutate import address, mutated
from tests.fuzz.seeds import Input, found, from_json, seeds, variants
from tests.fuzz.target import feed, feed_address, feed_journal

# `make prove` feeds 100,000 with the same seed; `make fuzz` takes new ones, and longer.
_SECONDS = 30
_INPUTS = 2_000


def test_nothing_that_was_mutated_is_a_find(capsys: pytest.CaptureFixture[str]) -> None:
    done = campaign.run(seconds=_SECONDS, inputs=_INPUTS, workers=2, seed=campaign.SEED)
    with capsys.disabled():
        print(f"\n{done.summary()}")
    assert [find.what for find in done.finds] == []
    assert done.inputs > 0


@pytest.mark.parametrize("number", range(len(found())))
def test_what_was_found_once_is_none_any_more(number: int) -> None:
    for one in variants(found()[number]):
        feed(one)


def test_every_seed_as_it_is() -> None:
    for one in seeds():
        feed(one)


def test_an_input_is_kept_as_text() -> None:
    one = Input(content=bytes(range(256)), overrides=("a=\udcff",), trusted=False)
    assert from_json(one.as_json()) == one


def test_the_same_seed_makes_the_same_inputs() -> None:
    first, second = (
        [mutated(known, seeds(), draw) for known in seeds()[:20]]
        for draw in (random.Random(1), random.Random(1))
    )
    assert first == second


@pytest.mark.parametrize(
    "what", ["", "\x00", "a:b@c", "git+", "https://", "r2:", "s3:..", ":", "x" * 5000, "\udcff"]
)
def test_an_address_is_understood_or_refused(what: str) -> None:
    draw = random.Random(repr(what))
    for _ in range(200):
        feed_address(what + address(draw))


def _line(draw: random.Random) -> bytes:
    values: tuple[object, ...] = (
        None,
        1e308,
        -1,
        10**30,
        "x",
        "\x1b[2J",
        [],
        {},
        True,
        "ok",
        "result",
        "run",
        "\u202e",
    )
    names = (
        "kind",
        "operation_id",
        "run_id",
        "status",
        "cell",
        "started_at",
        "duration_s",
        "reason",
    )
    record = {name: draw.choice(values) for name in names if draw.random() < 0.8}
    record["kind"] = draw.choice(("result", "result", "resume", draw.choice(values)))
    line = json.dumps(record).encode() + b"\n"
    at = draw.randrange(len(line))
    kinds = (line, line[:at], line[:at] + b"\xff\x00" + line[at:], b"[]\n", b"\n", b"[" * 400)
    return draw.choice(kinds)


def test_a_journal_is_read_or_refused(tmp_path: Path) -> None:
    draw, run_id = random.Random(7), "20261122T101530123Z-5f3a9c"
    path = tmp_path / f"{run_id}.jsonl"
    begins = json.dumps({"kind": "run", "run_id": run_id}).encode() + b"\n"
    for _ in range(300):
        lines = [_line(draw) for _ in range(draw.randrange(6))]
        path.write_bytes(draw.choice((b"", begins)) + b"".join(lines))
        feed_journal(path)
