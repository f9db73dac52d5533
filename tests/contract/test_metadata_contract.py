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
from hps.node.salad import leave, on_salad

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
