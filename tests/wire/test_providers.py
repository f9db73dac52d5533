"""What rclone makes of a target on each provider, as it goes over the wire.

A server that records stands in the way as an HTTP proxy, so that hosts may have any name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from hps.catalog.providers import PROVIDERS, QUIRKS
from hps.model import Target
from hps.tools.rclone.remote import remote_of
from tests.conftest import ProxyFor
from tests.servers.proxy import data_requests
from tests.servers.rclone_client import make_payload, remote_environment, run_rclone
from tests.servers.s3_server import S3Server
from tests.servers.web import Asked, Page, WebServer, serve_web

_EMPTY = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
_HOST = "s3.example.test"
_OF_S3 = {name: facts for name, facts in PROVIDERS.items() if facts.protocol == "s3"}
OTHERS = [name for name in _OF_S3 if name != "embedded"]


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[WebServer]:
    with serve_web(tmp_path, lambda _: Page(body=_EMPTY), tls=False) as server:
        yield server


def _list(recorder: WebServer, target: Target) -> Asked:
    """The request by which rclone lists a folder of the target."""
    remote = remote_of(target)
    env = {
        **remote.env,
        f"RCLONE_CONFIG_{target.name.upper()}_ACCESS_KEY_ID": "key",
        f"RCLONE_CONFIG_{target.name.upper()}_SECRET_ACCESS_KEY": "secret",
        "HTTP_PROXY": recorder.endpoint,
    }
    run_rclone(["lsf", remote.path("x/"), "--retries=1"], env=env)
    (asked,) = recorder.asked
    return asked


def _target(provider: str, **fields: object) -> Target:
    target = Target(name="t", provider="other", bucket="bucket", endpoint=f"http://{_HOST}")
    return replace(target, provider=provider, **fields)  # type: ignore[arg-type]


def _signed(asked: Asked) -> set[str]:
    found = re.search(r"SignedHeaders=([^,]+)", asked.headers["Authorization"])
    assert found
    return set(found[1].split(";"))


def _hosts_bucket(asked: Asked) -> bool:
    return urlsplit(asked.target).hostname == f"bucket.{_HOST}"


def test_for_google_the_signature_leaves_out_what_google_changes(recorder: WebServer) -> None:
    asked = _list(recorder, _target("gcs"))
    assert "host" in _signed(asked)
    assert "accept-encoding" not in _signed(asked)
    assert "Accept-Encoding" in asked.headers


def test_for_others_the_signature_covers_it_unless_a_quirk_says_no(recorder: WebServer) -> None:
    assert "accept-encoding" in _signed(_list(recorder, _target("other")))
    recorder.asked.clear()
    quirks = (("sign_accept_encoding", False),)
    assert "accept-encoding" not in _signed(_list(recorder, _target("other", quirks=quirks)))


@pytest.mark.parametrize("style", [True, False])
@pytest.mark.parametrize("provider", OTHERS)
def test_the_bucket_stands_where_the_target_says_or_that_is_known_to_be_ignored(
    recorder: WebServer, provider: str, style: bool
) -> None:
    asked = _list(recorder, _target(provider, force_path_style=style))
    ignored = style and PROVIDERS[provider].path_style == "never"
    assert _hosts_bucket(asked) == (not style or ignored)


@pytest.mark.parametrize("provider", OTHERS)
def test_region_and_endpoint_are_what_the_target_says(recorder: WebServer, provider: str) -> None:
    asked = _list(recorder, _target(provider, region="region-9"))
    assert "/region-9/s3/aws4_request" in asked.headers["Authorization"]
    assert (urlsplit(asked.target).hostname or "").endswith(_HOST)


def test_new_buckets_of_tigris_are_reached(recorder: WebServer) -> None:
    asked = _list(recorder, _target("tigris"))
    assert _hosts_bucket(asked)
    assert parse_qs(urlsplit(asked.target).query)["list-type"] == ["2"]
    assert "/auto/s3/aws4_request" in asked.headers["Authorization"]


@pytest.mark.parametrize(("version", "asks_for"), [(1, None), (2, ["2"])])
def test_the_version_of_listings_is_a_quirk(
    recorder: WebServer, version: int, asks_for: list[str] | None
) -> None:
    asked = _list(recorder, _target("other", quirks=(("list_version", version),)))
    assert parse_qs(urlsplit(asked.target).query).get("list-type") == asks_for


@pytest.mark.parametrize("encode", [True, False])
def test_the_encoding_of_listings_is_a_quirk(recorder: WebServer, encode: bool) -> None:
    asked = _list(recorder, _target("other", quirks=(("list_url_encode", encode),)))
    assert ("encoding-type=url" in asked.target) == encode


def test_quirks_are_switches_of_this_rclone_and_providers_are_its_own() -> None:
    described = json.loads(run_rclone(["config", "providers"]).stdout)
    (options,) = [one["Options"] for one in described if one["Name"] == "s3"]
    types = {option["Name"]: option["Type"] for option in options}
    assert {name: types.get(name) for name in QUIRKS if name != "list_version"} == dict.fromkeys(
        QUIRKS[1:], "Tristate"
    )
    assert types["list_version"] == "int"
    left_out = {name for name, kind in types.items() if kind == "Tristate"} - set(QUIRKS)
    assert left_out == {"list_versions_oldest_first", "object_lock_supported"}
    (provider,) = [option for option in options if option["Name"] == "provider"]
    known = {example["Value"] for example in provider["Examples"]}
    assert {facts.rclone_name for facts in _OF_S3.values()} <= known


def test_parts_smaller_than_those_of_storj_are_never_sent(
    moto_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    payload = make_payload(tmp_path / "payload", "12Mi")
    proxy = proxy_for(moto_server)
    for provider, parts in (("Other", 3), ("Storj", 1)):
        proxy.recorder.clear()
        env = remote_environment(moto_server, proxy.endpoint)
        env["RCLONE_CONFIG_T_PROVIDER"] = provider
        key = f"T:{moto_server.bucket}/parts-{provider}"
        chunks = ["--s3-chunk-size=5Mi", "--s3-upload-cutoff=5Mi", "--s3-no-head"]
        run_rclone(["copyto", str(payload), key, *chunks], env=env)
        assert len(data_requests(proxy.recorder.requests(), "up")) == parts
    assert PROVIDERS["storj"].min_part_bytes == 64 * 1024**2
