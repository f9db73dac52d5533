"""Servers that list what was not asked for, or report a removal that did not happen."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hps.prove.http_head import RequestHead
from tests.clean.bucket import Bucket
from tests.clean.killing import PATIENCE_S, cleaning
from tests.clean.site import TRIAL, Site, old_run
from tests.conftest import ProxyFor
from tests.servers.faults import Action, Respond, Rule, Stall
from tests.servers.proxy import RecordingProxy
from tests.servers.s3_server import S3Server

_STEPS = "[upload, list, download, verify, delete]"
_FOLDER = re.compile(r"data/[\w.-]+/[0-9TZ]+-[0-9a-f]+/[0-9a-f]{12}")
_DENIED = Respond(status=403, body=b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lying:
    """A site whose requests go through a proxy; its own client goes straight to the server."""

    site: Site
    proxy: RecordingProxy

    def play(self, match: Callable[[RequestHead], bool], action: Action) -> None:
        self.proxy.rules.append(Rule(match=match, action=action, times=None))

    def names(self) -> set[str]:
        return {key for key in self.site.bucket.names() if f"data/{self.site.name}/" in key}

    def begun(self) -> list[str]:
        return [key for key in self.site.bucket.begun() if self.site.name in key]


@pytest.fixture
def lying(tmp_path: Path, moto_server: S3Server, proxy_for: ProxyFor) -> _Lying:
    proxy = proxy_for(moto_server)
    site = Site(tmp_path, replace(moto_server, endpoint=proxy.endpoint))
    site.bucket = Bucket(server=moto_server)
    return _Lying(site=site, proxy=proxy)


def _lists_uploads(head: RequestHead) -> bool:
    return head.method == "GET" and "uploads" in head.query


def _lists_objects(head: RequestHead) -> bool:
    return head.method == "GET" and not head.key and "uploads" not in head.query


def _aborts(head: RequestHead) -> bool:
    return head.method == "DELETE" and "uploadId" in head.query


def _deletes(head: RequestHead) -> bool:
    return head.method == "DELETE" and "uploadId" not in head.query


def _completes(head: RequestHead) -> bool:
    return head.method == "POST" and "uploadId" in head.query


def _uploads(*entries: str) -> Respond:
    body = f"<ListMultipartUploadsResult>{''.join(entries)}</ListMultipartUploadsResult>"
    return Respond(status=200, body=body.encode())


def _everybodys_uploads(bucket: Bucket) -> Respond:
    """The answer of a server that ignores prefixes."""
    return _uploads(
        *(
            f"<Upload><Key>{key}</Key><UploadId>{upload}</UploadId>"
            "<Initiated>2020-01-01T00:00:00Z</Initiated></Upload>"
            for key, upload in bucket.uploads()
        )
    )


def test_no_upload_is_aborted_where_the_server_names_what_was_not_asked_for(lying: _Lying) -> None:
    site, run_id = lying.site, old_run()
    site.bucket.begin(site.made(run_id), "somebody/else", f"data/{site.name}2/{run_id}/x")
    begun = site.bucket.begun()
    lying.play(_lists_uploads, _everybodys_uploads(site.bucket))

    ran = site.clean("--older-than", "0s", "--yes")

    assert ran.code == 1, ran.err
    assert "lists uploads that it was not asked for" in ran.out
    assert site.bucket.begun() == begun
    assert not [request for request in lying.proxy.requests() if request.method == "DELETE"]


def test_objects_that_were_not_asked_for_are_nobodys(lying: _Lying) -> None:
    folder = f"data/{lying.site.name}/{old_run()}"
    keys = ("victim", f"{folder}x/{TRIAL}/0.bin", f"{folder}/../../{TRIAL}/0.bin", f"{folder}/0")
    entries = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    body = f"<ListBucketResult>{entries}</ListBucketResult>".encode()
    lying.play(_lists_objects, Respond(status=200, body=body))

    ran = lying.site.clean("--older-than", "0s", "--yes")

    assert ran.code == 0, ran.err
    assert "nothing is left" in ran.out
    assert not [request for request in lying.proxy.requests() if request.method == "DELETE"]


@pytest.mark.parametrize(
    ("match", "action", "told"),
    [
        (_aborts, _DENIED, "not removed: the server answered 403 AccessDenied to Abort"),
        (_aborts, Respond(status=204), "not removed: the server still lists what was aborted"),
        (_deletes, _DENIED, "not removed: the server answered 403 AccessDenied to DeleteObject"),
        (_deletes, Respond(status=204), "not removed: something of it is still there"),
        (_lists_objects, _DENIED, "can't be listed: the server answered 403 AccessDenied"),
        (_lists_uploads, _uploads("<Upload><UploadId>1</UploadId></Upload>"), "is not whole"),
    ],
    ids=["abort denied", "not aborted", "delete denied", "not deleted", "list denied", "no key"],
)
def test_what_is_not_done_is_told(
    match: Callable[[RequestHead], bool], action: Action, told: str, lying: _Lying
) -> None:
    run_id = old_run()
    lying.site.bucket.put(lying.site.made(run_id))
    lying.site.bucket.begin(lying.site.made(run_id, f"{TRIAL}/1.bin"))
    lying.play(match, action)

    ran = lying.site.clean("--older-than", "0s", "--yes")

    assert ran.code == 1, ran.err
    assert told in ran.out
    assert "Traceback" not in ran.err


def test_of_a_page_that_answers_everything_it_is_not_said_that_nothing_is_left(
    lying: _Lying,
) -> None:
    page = Respond(status=200, body=b"<html><body>Please log in.</body></html>")
    lying.play(lambda _: True, page)

    ran = lying.site.clean("--older-than", "0s", "--yes")

    assert ran.code == 1, ran.err
    assert "so it is no S3 server" in ran.out
    assert "nothing is left" not in ran.out


@pytest.mark.parametrize("action", [_DENIED, Respond(status=404), Respond(status=500)])
def test_who_may_only_list_is_told_what_is_left(action: Action, lying: _Lying) -> None:
    lying.play(lambda head: head.method == "HEAD", action)

    ran = lying.site.clean()

    assert ran.code == 0, ran.err
    assert "nothing is left" in ran.out


def test_a_run_tells_of_an_upload_that_it_may_not_abort(lying: _Lying) -> None:
    lying.play(_completes, _DENIED)
    lying.play(_aborts, _DENIED)

    ran = lying.site.run("--no-check")

    assert ran.code == 1, ran.err
    assert len(lying.begun()) == 1
    assert "403 AccessDenied to AbortMultipartUpload" in ran.err
    assert "some may be left behind, and `hps clean` lists it" in ran.err


@dataclass(slots=True)
class _Intruder:
    """Somebody who puts objects into the folder of each trial as soon as anything is sent there."""

    bucket: Bucket
    put: set[str] = field(default_factory=set)

    def __call__(self, head: RequestHead) -> bool:
        found = _FOLDER.search(head.key)
        if found and f"{found[0]}/x.txt" not in self.put:
            names = ("x.txt", "0.bin.bak", "00.binary", "x/0.bin", "10/0.bin", " 0.bin")
            for key in [f"{found[0]}/{name}" for name in names]:
                self.bucket.put(key)
                self.put.add(key)
        return False


@pytest.mark.parametrize("steps", [_STEPS, "[sync_up, list, sync_down, verify, delete]"])
def test_what_others_put_into_a_trials_folder_stays(steps: str, lying: _Lying) -> None:
    intruder = _Intruder(lying.site.bucket)
    lying.play(intruder, _DENIED)
    lying.site.spec.write_text(lying.site.spec.read_text().replace(_STEPS, steps))

    ran = lying.site.run()

    assert ran.code == 1, ran.err
    assert "listed 7 of 1 objects" in ran.err
    assert len(intruder.put) == 6
    assert lying.names() == intruder.put


@dataclass(slots=True)
class _Late:
    """A server that does what it was told after it was given up: once the next trial begins."""

    bucket: Bucket
    seen: list[str] = field(default_factory=list)

    def completes(self, head: RequestHead) -> bool:
        return _completes(head) and self.seen.index(head.key) == 0

    def __call__(self, head: RequestHead) -> bool:
        if head.direction == "up" and _FOLDER.search(head.key) and head.key not in self.seen:
            self.seen.append(head.key)
            if len(self.seen) == 2:
                self.bucket.put(self.seen[0])
        return False


def test_what_a_server_does_late_is_removed_at_the_end(lying: _Lying) -> None:
    late = _Late(lying.site.bucket)
    lying.play(late, _DENIED)
    lying.play(late.completes, Stall(seconds=600))
    lying.site.write("", repetitions=2, more="timeout: 5s\n")

    ran = lying.site.run()

    assert ran.code == 1, ran.err
    assert "stopped after its time-out of 5 s" in ran.err
    assert len(late.seen) == 2
    assert (lying.names(), lying.begun()) == (set(), [])


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_cleaning_that_was_ended_in_the_middle_is_started_again(
    number: signal.Signals, code: int, lying: _Lying
) -> None:
    site, middle = lying.site, threading.Event()
    runs = sorted((old_run(), old_run()))
    for run_id in runs:
        site.bucket.put(site.made(run_id))
        site.bucket.put(site.made(run_id, "somebody.txt"))
        site.bucket.begin(site.made(run_id), site.made(run_id, "somebody"))

    def deletes(head: RequestHead) -> bool:
        if _deletes(head):
            middle.set()
        return _deletes(head)

    lying.play(deletes, Stall(seconds=600))
    with cleaning(site) as running:
        assert middle.wait(PATIENCE_S)
        running.send_signal(number)
        out, err = running.communicate(timeout=PATIENCE_S)
    lying.proxy.rules.clear()
    ended = _left(lying, runs)
    again = site.clean("--older-than", "0s", "--yes")

    assert running.returncode == code, err
    assert b"Traceback" not in err
    assert b": removed" not in out
    assert ended == (2, [site.made(runs[1])])
    assert again.code == 0, again.err
    assert _left(lying, runs) == (0, [])
    assert len(lying.names()) == len(lying.begun()) == 2


def _left(lying: _Lying, runs: list[str]) -> tuple[int, list[str]]:
    """How many objects of these runs there are, and the keys of their uploads."""
    made = {lying.site.made(run_id) for run_id in runs}
    return len(lying.names() & made), [key for key in lying.begun() if key in made]
