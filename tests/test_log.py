"""Events: JSON for programs, lines for people, and no secret in either."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from hps import log
from hps.redaction import Scrubber


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_an_event_is_one_json_object_a_line_off_a_terminal() -> None:
    stream = io.StringIO()
    log.configure("auto", Scrubber({"KEY": "s3cr3t-value"}), stream)

    log.events().warning("operation_done", reason="it was\ns3cr3t-value", cell={"size": "1MiB"})

    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    event = json.loads(lines[0])
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "operation_done",
        "level": "warning",
        "reason": "it was\n[KEY]",
        "cell": {"size": "1MiB"},
    }


def test_people_get_a_line_that_starts_with_the_time() -> None:
    stream = io.StringIO()
    log.configure("text", Scrubber({"KEY": "s3cr3t-value"}), stream)

    log.events().info("run_started", journal="s3cr3t-value")

    assert "run_started" in stream.getvalue()
    assert "[KEY]" in stream.getvalue()
    assert "s3cr3t" not in stream.getvalue()


def test_events_go_to_what_standard_error_is_now(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", Scrubber({}))

    log.events().info("hello")

    captured = capsys.readouterr()
    assert json.loads(captured.err)["event"] == "hello"
    assert captured.out == ""
