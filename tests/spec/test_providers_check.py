"""A provider that is called by another's name: refused where that can't work, else a warning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hps.catalog.providers import PROVIDERS, owner_of
from hps.spec.load import load_and_warn
from hps.spec.problems import SpecError
from hps.spec.source import SpecText
from tests.command import hps
from tests.spec.corpus import cases

_SPEC = """\
api: hps/v1
name: hosts
targets:
  t: {{provider: {provider}, endpoint: "{endpoint}", bucket: {bucket}, {more}
      access_key_id: {{env: A}}, secret_access_key: {{env: B}}}}
data: {{size: 5MiB}}
steps: [upload]
"""
_R2 = "https://0123.eu.r2.cloudflarestorage.com"
_GOOGLE = "https://storage.googleapis.com"


def _text(provider: str, endpoint: str, more: str = "", bucket: str = "b") -> str:
    return _SPEC.format(provider=provider, endpoint=endpoint, more=more, bucket=bucket)


def _warnings(provider: str, endpoint: str, more: str = "") -> list[tuple[str, int, str]]:
    source = SpecText(name="x.yaml", content=_text(provider, endpoint, more).encode())
    warnings = load_and_warn(source, env={}).warnings
    return [(one.severity, one.line, one.hint.partition(":")[2].split(":")[0]) for one in warnings]


_HOSTS = [
    (_R2, "cloudflare"),
    ("https://s3.eu-west-1.amazonaws.com", "aws"),
    ("https://bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com", "aws"),
    ("https://S3.us-west-004.BackblazeB2.com", "backblaze"),
    ("https://s3.eu-central-1.wasabisys.com:443", "wasabi"),
    ("https://fra1.digitaloceanspaces.com", "digitalocean"),
    ("https://s3.fr-par.scw.cloud", "scaleway"),
    ("https://t3.storage.dev", "tigris"),
    ("https://fly.storage.tigris.dev", "tigris"),
    ("https://gateway.storjshare.io", "storj"),
    ("https://gateway.us1.storjshare.io", "storj"),
    (_GOOGLE, "gcs"),
    ("https://mystorage.blob.core.windows.net", "azure"),
    ("https://mystorage.privatelink.blob.core.windows.net", "azure"),
    ("https://mystorage.z12.blob.storage.azure.net", "azure"),
    ("https://mystorage.queue.core.windows.net", None),
    ("https://minio.example.org", None),
    ("https://storage.googleapis.com.example.org", None),
    ("https://notwasabisys.com", None),
    ("http://127.0.0.1:9000", None),
]


@pytest.mark.parametrize(("endpoint", "owner"), _HOSTS)
def test_hosts_tell_whose_they_are(endpoint: str, owner: str | None) -> None:
    assert owner_of(endpoint) == owner
    if owner not in {None, "gcs", "azure"}:
        assert _warnings("other", endpoint) == [("warning", 4, f" {owner}")]
        assert _warnings(str(owner), endpoint) == []


def test_each_provider_with_hosts_has_one_above_and_each_a_good_example() -> None:
    assert {owner for _, owner in _HOSTS if owner} == {n for n, f in PROVIDERS.items() if f.host}
    specs = [case.load() for case in cases("valid")]
    assert {target.provider for spec in specs for target in spec.targets.values()} == set(PROVIDERS)


@pytest.mark.parametrize("facts", PROVIDERS.values(), ids=PROVIDERS.keys())
def test_a_provider_is_reached_at_a_host_of_its_own(facts: object) -> None:
    (name,) = [name for name, known in PROVIDERS.items() if known is facts]
    address = PROVIDERS[name].address.format(region=PROVIDERS[name].region, account="account")
    assert (owner_of(address) == name) == bool(address)
    assert bool(address) == (PROVIDERS[name].endpoint == "optional")


@pytest.mark.parametrize("provider", ["other", "aws", "minio"])
def test_google_by_another_name_is_refused(provider: str) -> None:
    with pytest.raises(SpecError) as caught:
        _warnings(provider, _GOOGLE)
    (problem,) = caught.value.problems
    assert (problem.rule, problem.line, problem.severity) == ("other-provider", 4, "error")
    assert "provider: gcs" in problem.hint


def test_google_by_hand_is_allowed_where_the_signature_is_right() -> None:
    assert len(_warnings("other", _GOOGLE, "quirks: {sign_accept_encoding: false},")) == 1
    with pytest.raises(SpecError):
        _warnings("other", _GOOGLE, "quirks: {sign_accept_encoding: true},")
    assert _warnings("gcs", _GOOGLE) == []


@pytest.mark.parametrize("provider", [n for n, f in PROVIDERS.items() if f.path_style == "never"])
def test_a_path_that_rclone_never_writes_is_refused(provider: str) -> None:
    endpoint = "https://s3.example.org"
    with pytest.raises(SpecError) as caught:
        _warnings(provider, endpoint, "force_path_style: true,")
    (problem,) = caught.value.problems
    assert (problem.rule, problem.line) == ("ignored-setting", 4)
    assert _warnings(provider, endpoint, "force_path_style: false,") == []


def test_a_warning_is_told_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "r2.yaml").write_text(_text("other", _R2))
    told = hps("validate", "--any-machine", "r2.yaml", cwd=tmp_path)
    warning, ok = told.out.splitlines()
    assert told.code == 0
    assert warning.startswith("r2.yaml:4:17: warning: ")
    assert ok == "r2.yaml: ok, 1 cell, 1 operation"

    as_json = hps("validate", "--any-machine", "--format", "json", "r2.yaml", cwd=tmp_path)
    (found,) = json.loads(as_json.out)
    assert (found["valid"], found["errors"]) == (True, [])
    assert [one["rule"] for one in found["warnings"]] == ["other-provider"]

    github = hps("validate", "--any-machine", "--format", "github", "r2.yaml", cwd=tmp_path)
    assert github.out.startswith("::warning file=r2.yaml,line=4")
    planned = hps("plan", "r2.yaml", cwd=tmp_path)
    assert (planned.code, "warning" in planned.out, "warning" in planned.err) == (0, False, True)


@pytest.mark.parametrize(
    ("provider", "bucket", "taken"),
    [
        ("cloudflare", "my_bucket", False),
        ("minio", "my_bucket", False),
        ("gcs", "my_bucket", True),
        ("other", "my_bucket", True),
        ("other", "My_Bucket", False),
        ("gcs", "MyBucket", False),
        ("cloudflare", "my-bucket.2", True),
    ],
)
def test_names_of_buckets_are_those_that_the_provider_takes(
    provider: str, bucket: str, taken: bool
) -> None:
    endpoint = {"cloudflare": _R2, "gcs": _GOOGLE}.get(provider, "http://127.0.0.1:9000")
    text = _text(provider, endpoint, bucket=bucket)
    source = SpecText(name="x.yaml", content=text.encode())
    if taken:
        load_and_warn(source, env={})
        return
    with pytest.raises(SpecError) as caught:
        load_and_warn(source, env={})
    (problem,) = caught.value.problems
    assert (problem.line, problem.rule) == (4, "bad-name")
    assert problem.hint
