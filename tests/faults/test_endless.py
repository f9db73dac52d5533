"""A bucket whose list never ends: it is given up, and takes neither all memory nor all time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hps.errors import MachineError
from hps.model import SecretRef, Target
from hps.process.process import Guard
from hps.process.stop import SignalStop
from hps.results.pull import pull
from hps.run import resume
from hps.targets import copy
from hps.targets.bucket import AnswerBound, Link
from hps.targets.copy import BucketPlace
from tests.servers.web import Asked, Page, WebServer, serve_web

_KEYS_A_PAGE = 1000
_MACHINE = "machine-1"
_SECRETS = {"ID": "id", "SECRET": "secret"}
_LONG = "x" * 900


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[WebServer]:
    """One page of journals again and again, each time as the next one."""
    numbers = itertools.count()
    entries = "".join(
        f"<Contents><Key>results/fleet/{_MACHINE}/{key:03d}-{_LONG}.jsonl</Key><Size>1</Size>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for key in range(_KEYS_A_PAGE)
    )
    folder = f"<CommonPrefixes><Prefix>results/fleet/{_MACHINE}/</Prefix></CommonPrefixes>"

    def answer(asked: Asked) -> Page:
        token = f"<NextContinuationToken>{next(numbers)}</NextContinuationToken>"
        more = f"<IsTruncated>true</IsTruncated>{token}{entries}"
        inside = _MACHINE in asked.target or "delimiter=%2F" not in asked.target
        text = f"<ListBucketResult>{more if inside else folder}</ListBucketResult>"
        return Page(body=text.encode(), headers={"Content-Type": "application/xml"})

    with serve_web(tmp_path, answer, tls=False) as server:
        yield server


def _target(endpoint: str) -> Target:
    return Target(
        name="store",
        provider="other",
        endpoint=endpoint,
        bucket="some",
        folder="",
        access_key_id=SecretRef(env="ID"),
        secret_access_key=SecretRef(env="SECRET"),
        force_path_style=True,
    )


def test_journals_are_not_fetched_for_ever(
    endless: WebServer, rclone_path: str, tmp_path: Path
) -> None:
    with Guard() as guard:
        link = Link(
            target=_target(endless.endpoint),
            key="results/fleet",
            binary=rclone_path,
            secrets=_SECRETS,
            guard=guard,
            scratch=tmp_path,
            stop=SignalStop(),
        )
        wrong = resume.fetch_journals(link, f"/{_MACHINE}/*.jsonl", tmp_path / "into")

    assert wrong is not None
    assert wrong.code == "bad_answer"
    assert "has no end" in wrong.text


def test_results_are_not_pulled_for_ever(
    endless: WebServer, rclone_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "AnswerBound", partial(AnswerBound, most_bytes=200 * 1024**2))
    place = BucketPlace(
        folder="results",
        target=_target(endless.endpoint),
        binary=rclone_path,
        secrets=_SECRETS,
    )

    with pytest.raises(MachineError, match="has no end"):
        pull(place, tmp_path / "cache", (), lambda _: None)
