"""The client of SaladCloud's API: when it repeats, how it waits, and what it says of failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hps.errors import HpsError
from hps.fleet.salad import SaladCloud
from hps.fleet.salad.client import REQUESTS_PER_MINUTE, ApiError, SaladClient
from tests.servers.salad import ORGANIZATION, SaladSimulation
from tests.servers.web import Page, serve_web

_QUOTAS = f"/organizations/{ORGANIZATION}/quotas"
_AVAILABLE = f"/organizations/{ORGANIZATION}/availability/sce-gpu-availability"
_CLASSES: dict[str, object] = {"gpu_classes": ["00000000-0000-0000-0000-000000000001"]}


@pytest.fixture
def client(cloud: SaladCloud) -> SaladClient:
    return cloud.client


def test_an_answer_comes_at_once(
    client: SaladClient, salad: SaladSimulation, slept: list[float]
) -> None:
    assert "container_groups_quotas" in client.ask("GET", _QUOTAS)
    assert (salad.asked, slept) == ([("GET", _QUOTAS)], [])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_too_many_requests_are_waited_out_ever_longer(
    client: SaladClient, salad: SaladSimulation, slept: list[float], method: str
) -> None:
    path, body = (_QUOTAS, None) if method == "GET" else (_AVAILABLE, _CLASSES)
    salad.fail(method, path, "429", times=6)
    assert client.ask(method, path, body)
    assert len(slept) == 6
    for number, pause_s in enumerate(slept):
        longest_s = min(30.0, 2.0**number)
        assert longest_s / 2 <= pause_s <= longest_s
    assert len(set(slept)) == 6


def test_too_many_requests_are_given_up_in_the_end(
    client: SaladClient, salad: SaladSimulation, slept: list[float]
) -> None:
    salad.fail("GET", _QUOTAS, "429", times=99)
    with pytest.raises(ApiError, match="429") as raised:
        client.ask("GET", _QUOTAS)
    assert "try again in a few minutes" in raised.value.hint
    assert len(salad.asked) == len(slept) + 1 == 9


def test_no_more_is_waited_than_was_agreed(salad: SaladSimulation, client: SaladClient) -> None:
    now_s = [0.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    salad.fail("GET", _QUOTAS, "429", times=99)
    hurried = replace(client, patience_s=4.0, sleep=sleep, clock=lambda: now_s[0])
    with pytest.raises(ApiError, match="429"):
        hurried.ask("GET", _QUOTAS)
    assert 0 < now_s[0] <= 4.0


@pytest.mark.parametrize("kind", ["html", "503", "silent", "broken"])
def test_what_only_reads_is_repeated(
    client: SaladClient, salad: SaladSimulation, slept: list[float], kind: str
) -> None:
    salad.fail("GET", _QUOTAS, kind)
    assert "container_groups_quotas" in replace(client, timeout_s=0.3).ask("GET", _QUOTAS)
    assert (len(salad.asked), len(slept)) == (2, 1)


@pytest.mark.parametrize("kind", ["html", "503", "silent", "broken"])
def test_a_post_is_never_repeated_blindly(
    client: SaladClient, salad: SaladSimulation, kind: str
) -> None:
    salad.fail("POST", _AVAILABLE, kind)
    with pytest.raises(ApiError) as raised:
        replace(client, timeout_s=0.3).ask("POST", _AVAILABLE, _CLASSES)
    assert (raised.value.is_uncertain, raised.value.exit_code) == (True, 1)
    assert len(salad.asked) == 1


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "SALAD_API_KEY"), (403, "key"), (404, "project"), (400, "HPS_FLEET")]
)
def test_a_refusal_is_final_and_says_what_to_do(
    client: SaladClient, salad: SaladSimulation, slept: list[float], status: int, hint: str
) -> None:
    detail = f"Refused.\x1b[31m\nThe key {salad.key} won't do. " + "x" * 5000
    salad.fail("GET", _QUOTAS, str(status), detail=detail)
    with pytest.raises(ApiError) as raised:
        client.ask("GET", _QUOTAS)
    error = raised.value
    assert (error.status, error.is_uncertain, slept) == (status, False, [])
    assert error.exit_code == 2
    assert "SaladCloud (GET quotas): " in error.message
    assert "Refused." in error.message
    assert "[SALAD_API_KEY]" in error.message
    assert hint in error.hint
    assert salad.key not in error.message + error.hint
    assert error.message.isprintable()
    assert len(error.message) < 700


def test_html_is_no_text_for_people(client: SaladClient, salad: SaladSimulation) -> None:
    salad.fail("POST", _AVAILABLE, "html")
    with pytest.raises(ApiError, match="502 Bad Gateway: HTML instead of JSON") as raised:
        client.ask("POST", _AVAILABLE, _CLASSES)
    assert "nginx" not in raised.value.message


def test_requests_stay_below_the_limit_of_a_minute(client: SaladClient) -> None:
    now_s = [100.0]
    sent_s: list[float] = []

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    paced = replace(client, sleep=sleep, clock=lambda: now_s[0])
    for _ in range(2 * REQUESTS_PER_MINUTE + 5):
        paced._pace()
        sent_s.append(now_s[0])
        now_s[0] += 0.01
    for number, at_s in enumerate(sent_s):
        within = [one for one in sent_s[: number + 1] if one > at_s - 60.0]
        assert len(within) <= REQUESTS_PER_MINUTE
    assert sent_s[-1] - sent_s[0] < 125.0


def test_redirects_are_not_followed(tmp_path: Path, client: SaladClient) -> None:
    page = Page(status=302, headers={"Location": "https://example.com/"})
    with serve_web(tmp_path, lambda _: page, tls=False) as server:
        moved = replace(client, base_url=server.endpoint)
        with pytest.raises(ApiError, match="302") as raised:
            moved.ask("GET", "/quotas")
    assert "SALAD_API_URL" in raised.value.hint
    assert len(server.asked) == 1


def test_an_endless_answer_is_cut(tmp_path: Path, client: SaladClient) -> None:
    page = Page(body=b'{"a": "' + b"x" * (33 * 1024**2) + b'"}')
    with serve_web(tmp_path, lambda _: page, tls=False) as server:
        flooded = replace(client, base_url=server.endpoint, timeout_s=20.0)
        with pytest.raises(ApiError, match="more than 32 MiB"):
            flooded.ask("POST", "/quotas", {})


@pytest.mark.parametrize("body", [b"[1]", b"[" * 100_000, b"\xff\xfe", b"null", b"{"])
def test_odd_answers_are_errors(tmp_path: Path, client: SaladClient, body: bytes) -> None:
    with serve_web(tmp_path, lambda _: Page(body=body), tls=False) as server:
        odd = replace(client, base_url=server.endpoint)
        with pytest.raises(ApiError, match="no JSON"):
            odd.ask("POST", "/quotas", {})


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"SALAD_API_KEY": ""}, "SALAD_API_KEY is not set"),
        ({"SALAD_API_KEY": "secret-123 \nX-Evil: 1"}, "SALAD_API_KEY has characters"),
        ({"SALAD_API_URL": "http://api.salad.com"}, "SALAD_API_URL: the address is http"),
        ({"SALAD_API_URL": "https://me:secret-123@api.salad.com"}, "SALAD_API_URL: the address"),
        ({"SALAD_API_URL": "ftp://api.salad.com"}, "SALAD_API_URL"),
        ({"SALAD_ORGANIZATION": ""}, "SALAD_ORGANIZATION is not set"),
        ({"SALAD_PROJECT": ""}, "SALAD_PROJECT is not set"),
        ({"SALAD_PROJECT": "../../x"}, "SALAD_PROJECT is '../../x'"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    salad: SaladSimulation, env: dict[str, str], named: str
) -> None:
    with pytest.raises(HpsError, match=named) as raised:
        SaladCloud.open(salad.env(**env))
    assert raised.value.hint
    assert "secret-123" not in raised.value.message + raised.value.hint
    assert salad.asked == []


def test_options_come_before_variables_and_the_key_is_never_shown(salad: SaladSimulation) -> None:
    found = SaladCloud.open(salad.env(), organization="mine", project="other")
    assert (found.organization, found.project) == ("mine", "other")
    assert salad.key not in repr(found)
    assert SaladCloud.open(salad.env(SALAD_API_URL="")).client.base_url.startswith("https://")


def test_an_answer_that_never_comes_is_not_waited_for_long(
    client: SaladClient, salad: SaladSimulation
) -> None:
    salad.fail("POST", _AVAILABLE, "silent")
    with pytest.raises(ApiError, match=r"was not read within 0\.2 s"):
        replace(client, timeout_s=0.2).ask("POST", _AVAILABLE, _CLASSES)
