"""A fleet that is ended for all: nobody begins any more, and who is at work ends before long."""

from __future__ import annotations

from pathlib import Path

import pytest

from hps.cli.run import Ended
from hps.errors import HpsError
from hps.redaction import Scrubber
from hps.run import fleet
from hps.run.run import Ending, Outcome
from tests.conftest import ProxyFor
from tests.run.sharing import CELLS, OwnFleet, run_here
from tests.servers.faults import Respond, Rule
from tests.servers.proxy import Request
from tests.servers.rclone_client import REMOTE, remote_environment, run_rclone
from tests.servers.s3_server import S3Server

_NAME = "mine"


def _end(own: OwnFleet, why: str = "enough is known") -> None:
    with own.results() as link:
        fleet.end_for_all(link, _NAME, why)


def _code(ending: Ending) -> int:
    return Ended(outcome=ending, stopped=None, scrubber=Scrubber({})).code


def test_a_node_that_begins_ends_at_once_and_says_why(s3_server: S3Server, tmp_path: Path) -> None:
    own = OwnFleet(tmp_path, s3_server, "{per_node: all}")
    _end(own, f"no money\x1b[2J is left, {'x' * 500}")

    late = own.node("late", HPS_FLEET=_NAME)
    assert (late.code, late.out) == (0, "")
    assert "no money\ufffd[2J is left, xxx" in late.err
    assert "x" * 200 not in late.err
    assert own.announced() == ["mine/over"]
    assert own.node("other", HPS_FLEET="another").code == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"why": 1}', '{"why": " "}', "[" * 4000])
def test_an_end_without_a_reason_is_one(text: str, s3_server: S3Server, tmp_path: Path) -> None:
    own = OwnFleet(tmp_path, s3_server, "{per_node: all}")
    (tmp_path / "over").write_text(text)
    place = f"{REMOTE}:{s3_server.bucket}/tests/results/{own.name}/.fleet/{_NAME}/over"
    run_rclone(["copyto", str(tmp_path / "over"), place], env=remote_environment(s3_server))

    ending, _ = run_here(own, "late", HPS_FLEET=_NAME)
    assert isinstance(ending, fleet.FleetOver)
    assert (ending.why, ending.everywhere) == ("it was ended for all", True)


def test_a_node_at_work_ends_after_its_operation_with_its_journal_stored(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "_ASK_EVERY_S", 0.0)
    proxy = proxy_for(s3_server)
    own = OwnFleet(tmp_path, s3_server, "{per_node: all}", proxy.endpoint)
    ending, listener = run_here(own, "node", then=lambda: _end(own), HPS_FLEET=_NAME)

    assert isinstance(ending, Outcome)
    assert ending.tally.over
    assert (ending.tally.counts, _code(ending)) == ({"ok": 1}, 0)
    assert ending.not_stored == ""
    assert listener.named("fleet_over")[0]["reason"] == "enough is known"
    assert own.announced() == ["mine/node/all", "mine/over"]
    asked = [request.method for request in _of_the_end(proxy.requests())]
    assert asked == ["GET", "PUT", "GET"]
    folder = [one for one in proxy.requests() if "/.fleet/" in one.key or ".fleet" in one.query]
    assert len(folder) == len(asked) + 1  # it announces itself, and nothing of the fleet is listed


def test_a_node_asks_once_a_minute_at_most(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    own = OwnFleet(tmp_path, s3_server, "{per_node: all}", proxy.endpoint)
    ending, listener = run_here(own, "node", then=lambda: _end(own), HPS_FLEET=_NAME)

    assert isinstance(ending, Outcome)
    assert len(listener.measured) == CELLS
    assert [one.method for one in _of_the_end(proxy.requests())] == ["PUT"]


def test_a_node_that_cannot_ask_goes_on_and_says_so_once(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "_ASK_EVERY_S", 0.0)
    denied = Rule(
        match=lambda head: head.method == "GET" and head.path.endswith("/over"),
        action=Respond(status=403),
        times=None,
    )
    proxy = proxy_for(s3_server, rules=(denied,))
    own = OwnFleet(tmp_path, s3_server, "{per_node: all}", proxy.endpoint)
    ending, listener = run_here(own, "node", HPS_FLEET=_NAME)

    assert _code(ending) == 0
    assert len(listener.measured) == CELLS
    assert len(_of_the_end(proxy.requests())) > 1
    assert len(listener.named("fleet_unknown")) == 1


def test_an_end_that_cannot_be_stored_is_an_error(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    denied = Rule(match=lambda head: head.method == "PUT", action=Respond(status=403), times=None)
    proxy = proxy_for(s3_server, rules=(denied,))
    own = OwnFleet(tmp_path, s3_server, "{per_node: all}", proxy.endpoint)
    with pytest.raises(HpsError, match="the fleet mine can't be ended"):
        _end(own)


def _of_the_end(requests: tuple[Request, ...] | list[Request]) -> list[Request]:
    return [request for request in requests if request.key.endswith("/over")]
