"""The client of the metadata service against the service's own OpenAPI document."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

pytest.importorskip("openapi_core", reason="openapi-core is not installed")

from openapi_core import OpenAPI

from hps.node.metadata import MetadataAnswer, MetadataClient
from hps.node.salad import SaladNode, leave, on_salad

from .imds_document import excerpt, published
from .metadata_server import MetadataService, api_of, running, served

ON_SALAD = {"SALAD_MACHINE_ID": "m", "SALAD_CONTAINER_GROUP_ID": "g"}


class Place:
    """The service, a client of it, and how long the client wished to sleep."""

    def __init__(self, service: MetadataService, url: str) -> None:
        self.service, self.url = service, url
        self.slept: list[float] = []
        self.client = MetadataClient(base_url=url, answer_timeout_s=20.0, sleep=self.slept.append)


@pytest.fixture(scope="module", params=["excerpt", "published"])
def api(request: pytest.FixtureRequest) -> OpenAPI:
    document = excerpt() if request.param == "excerpt" else published()
    if document is None:
        pytest.skip("SaladCloud's OpenAPI document is not at hand (HPS_IMDS_OPENAPI names it)")
    return api_of(document)


@pytest.fixture
def place(api: OpenAPI) -> Iterator[Place]:
    service = MetadataService(api)
    with served(service) as url:
        yield Place(service, url)
    assert service.wrong == []


def test_status(place: Place) -> None:
    answer = place.client.status()
    assert (answer.ok, answer.body) == (True, {"ready": True, "started": True})


def test_reallocate(place: Place) -> None:
    answer = place.client.reallocate("upload of 10 Mbps is less than 20 Mbps")
    assert answer == MetadataAnswer(ok=True, detail="answered 204", status_code=204)
    assert place.service.bodies == [{"reason": "upload of 10 Mbps is less than 20 Mbps"}]


@pytest.mark.parametrize("reason", ["", "x" * 5000, "ü" * 1001, '"quoted"\n'])
def test_any_reason_is_one_that_the_service_takes(place: Place, reason: str) -> None:
    assert place.client.reallocate(reason).ok


def test_deletion_cost(place: Place) -> None:
    for cost in (100, -(2**31), 2**31 - 1):
        assert place.client.set_deletion_cost(cost).ok
        assert place.client.deletion_cost().body == {"deletion_cost": cost}


def test_an_error_that_passes_is_tried_again(place: Place) -> None:
    place.service.scripted = [500, 429]
    assert place.client.reallocate("slow").ok
    assert place.slept == [1.0, 2.0]
    assert place.service.seen == ["POST /v1/reallocate"] * 3


def test_an_error_that_stays_is_a_value_after_three_tries(place: Place) -> None:
    place.service.scripted = [500] * 9
    answer = place.client.reallocate("slow")
    assert (answer.ok, answer.status_code) == (False, 500)
    assert answer.detail == "answered 500 Internal Server Error: scripted, said scripted, Problem"
    assert place.service.seen == ["POST /v1/reallocate"] * 3


@pytest.mark.parametrize("code", [400, 403, 404])
def test_a_refusal_is_not_tried_again(place: Place, code: int) -> None:
    place.service.scripted = [code]
    assert place.client.set_deletion_cost(1).status_code == code
    assert len(place.service.seen) == 1
    assert place.slept == []


def test_what_a_proxy_forwarded_is_refused(place: Place) -> None:
    """A relay that adds what proxies add: the service says 403, and the client says so."""
    port = int(place.url.rpartition(":")[2])

    class Relay(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            onward = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            onward.request("GET", self.path, headers={"Metadata": "true", "X-Forwarded-For": "x"})
            with onward.getresponse() as response:
                body = response.read()
                self.send_response(response.status)
            onward.close()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base's name)
            """Say nothing."""

    with running(Relay) as url:
        answer = MetadataClient(base_url=url, answer_timeout_s=20.0).status()
    assert (answer.ok, answer.status_code) == (False, 403)
    assert "forwarded" in answer.detail


def test_the_service_here_notices_a_wrong_request(place: Place) -> None:
    """Guards the tests above: without the header, or with a wrong body, `wrong` fills."""
    headers = {"Metadata": "true", "Content-Type": "application/json"}
    for sent, body in [({}, b""), (headers, b'{"reason": ""}'), (headers, b"{}")]:
        assert place.service.answer("POST", "/v1/reallocate", sent, body)[0] == 400
    assert len(place.service.wrong) == 3
    place.service.wrong.clear()


def test_on_salad(place: Place) -> None:
    assert on_salad(ON_SALAD, place.client, timeout_s=20.0)
    assert place.service.seen == ["GET /v1/status"]


@pytest.mark.parametrize("name", ["SALAD_MACHINE_ID", "SALAD_CONTAINER_GROUP_ID"])
def test_one_id_alone_is_not_salad(place: Place, name: str) -> None:
    assert not on_salad({name: "LOCAL_001"}, place.client)
    assert not on_salad({**ON_SALAD, name: ""}, place.client)
    assert place.service.seen == []


@pytest.mark.parametrize(("code", "there"), [(500, True), (429, True), (403, True), (404, False)])
def test_an_ill_service_is_still_there(place: Place, code: int, *, there: bool) -> None:
    place.service.scripted = [code]
    assert on_salad(ON_SALAD, place.client, timeout_s=20.0) is there
    assert place.slept == []


@pytest.mark.parametrize("scripted", [[], [403], [500] * 3])
def test_leaving_waits_whatever_the_service_answers(place: Place, scripted: list[int]) -> None:
    place.service.scripted = list(scripted)
    waited: list[float] = []
    text = leave(place.client, "slow", 77.0, waited.append)
    assert waited == [77.0]
    assert text.endswith("still here after 77 s")
    assert ("in vain" in text) is bool(scripted)
    assert set(place.service.seen) == {"POST /v1/reallocate"}


class _Waits:
    """Sleeps not at all; the stop comes in the sleep of this number."""

    def __init__(self, stopped_in: int = 99) -> None:
        self.slept: list[float] = []
        self._stopped_in = stopped_in

    def __call__(self, seconds: float) -> bool:
        self.slept.append(seconds)
        return len(self.slept) >= self._stopped_in


def _leave(place: Place, machine: str, crowd: int | None, waits: _Waits) -> list[str]:
    said: list[str] = []
    node = SaladNode(
        client=place.client,
        machine_id=machine,
        event=lambda name, **fields: said.append(str(fields.get("said", name))),
    )
    node.leave("slow", waits, crowd)
    return said


def test_nodes_of_a_crowd_wait_for_their_turns_each_for_another_time(place: Place) -> None:
    turns = []
    for machine in map(str, range(20)):
        waits = _Waits()
        _leave(place, machine, 10, waits)
        turn_s, end_s = waits.slept
        assert (0 <= turn_s <= 60, end_s) == (True, 120.0)
        turns.append(turn_s)
    assert max(turns) - min(turns) > 30
    assert len(set(turns)) == 20
    again, many = _Waits(), _Waits()
    _leave(place, "0", 10, again)
    _leave(place, "0", 1000, many)
    assert again.slept[0] == turns[0]
    assert 60 < many.slept[0] / (turns[0] / 60) <= 120.0001


@pytest.mark.parametrize("crowd", [0, None])
def test_one_alone_asks_at_once(crowd: int | None, place: Place) -> None:
    waits = _Waits()
    _leave(place, "m", crowd, waits)
    assert waits.slept == [120.0]


def test_a_busy_service_is_asked_less_and_less_often_and_not_for_ever(place: Place) -> None:
    place.service.scripted = [429, 503, 429, 500, 429, 429, 429]
    waits = _Waits()
    said = _leave(place, "m", 0, waits)
    *back_offs, _ = waits.slept
    assert place.service.seen == ["POST /v1/reallocate"] * 6
    assert all(most / 2 <= s <= most for s, most in zip(back_offs, [4, 8, 16, 32, 60], strict=True))
    assert "in vain" in said[-1]


def test_a_signal_ends_the_waiting_and_nothing_more_is_asked(place: Place) -> None:
    assert "a signal came first" in _leave(place, "m", 10, _Waits(stopped_in=1))[-1]
    assert place.service.seen == []
    place.service.scripted = [429, 429, 429]
    _leave(place, "m", 0, _Waits(stopped_in=1))
    assert place.service.seen == ["POST /v1/reallocate"]
