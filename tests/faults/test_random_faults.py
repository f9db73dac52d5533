"""A tenth of all requests fails: a sweep of 100 operations ends, and what it says is true."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import pytest

from hps.prove.http_head import RequestHead
from tests.command import Record
from tests.conftest import ProxyFor
from tests.faults.trials import MIB, SIZE, sweep, trial_of
from tests.servers.faults import Action, Reset, Respond, Rule, Truncate
from tests.servers.proxy import RecordingProxy, Request, data_requests
from tests.servers.s3_server import S3Server

_TRIALS = 25
_SHARE = 0.1
_ERROR = b"<Error><Code>InternalError</Code><Message>Please try again.</Message></Error>"
_BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_ACTIONS: tuple[Action, ...] = (
    Reset(),
    Respond(status=500, body=_ERROR),
    Respond(status=503, body=_BUSY),
    Truncate(after_bytes=MIB // 2),
)


@dataclass(slots=True)
class _Dice:
    """Decides request by request, the same way each time as long as they come in the same order."""

    seed: int
    struck: list[tuple[float, Action]] = field(default_factory=list)

    def rules(self) -> tuple[Rule, ...]:
        chance = random.Random(self.seed)
        return tuple(
            Rule(match=self._struck(chance, action), action=action, times=None)
            for action in _ACTIONS
        )

    def _struck(self, chance: random.Random, action: Action) -> Callable[[RequestHead], bool]:
        # The rules are asked one after the other: each takes its part of what the others left.
        def struck(head: RequestHead) -> bool:
            cuts = isinstance(action, Truncate)
            if not trial_of(head) or (cuts and head.kind == "control"):
                return False
            if chance.random() >= _SHARE / len(_ACTIONS):
                return False
            self.struck.append((time.monotonic(), action))
            return True

        return struck


@pytest.mark.prove
def test_every_number_of_a_sweep_with_random_faults_is_right(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    dice = _Dice(seed=20)
    proxy = proxy_for(s3_server, rules=dice.rules())

    swept = sweep(
        tmp_path, s3_server, proxy_for, proxy=proxy, trials=_TRIALS, name="dice", timeout="60s"
    )

    results = [result for trial in swept.results for result in trial]
    assert len(results) == 4 * _TRIALS, swept.ran.err
    assert "Traceback" not in swept.ran.err
    assert len(dice.struck) >= 10
    assert swept.ran.code == int(any(result["status"] != "ok" for result in results))
    for result in results:
        _check(result, proxy, dice)
    for upload, download, verify, _ in swept.results:
        if download["status"] == "ok":
            assert (upload["status"], verify["status"]) == ("ok", "ok")


def _check(result: Record, proxy: RecordingProxy, dice: _Dice) -> None:
    start_s = _monotonic(result["started_at"])
    end_s = start_s + result["duration_s"]
    struck = [action for at_s, action in dice.struck if start_s <= at_s <= end_s]
    visible = [action for action in struck if not isinstance(action, Reset)]
    assert result["retries"] <= len(struck), result
    assert (result["reason"] == "") == (result["status"] == "ok")
    if result["status"] != "ok":
        assert struck or result["status"] == "skipped", result
        assert result["throughput_mbps"] is None
        return
    # Go repeats a GET or HEAD whose connection was reset, and tells nobody.
    assert result["retries"] >= len(visible), (result, struck)
    if result["step"] in {"upload", "download"}:
        _check_number(result, proxy, start_s, end_s)


def _check_number(result: Record, proxy: RecordingProxy, start_s: float, end_s: float) -> None:
    direction: Literal["up", "down"] = "up" if result["step"] == "upload" else "down"
    moved = [
        request
        for request in data_requests(proxy.requests(), direction)
        if start_s <= request.started_s <= end_s
    ]
    rate = SIZE * 8 / 1e6 / result["duration_s"]
    assert abs(result["throughput_mbps"] / rate - 1) < 1e-5  # both are rounded
    assert result["size_bytes"] == SIZE
    assert sum(request.body_bytes for request in moved) >= SIZE
    assert _whole(moved) == SIZE or direction == "down"
    assert max(request.ended_s for request in moved) <= end_s


def _whole(moved: list[Request]) -> int:
    """Bytes of the parts that were taken, each once."""
    taken = {r.part_number: r.body_bytes for r in moved if r.complete and r.status == 200}
    return sum(taken.values())


def _monotonic(moment: str) -> float:
    """A time of day as `time.monotonic()` had it."""
    return datetime.fromisoformat(moment).timestamp() - time.time() + time.monotonic()
