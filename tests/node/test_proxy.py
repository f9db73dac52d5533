"""The proxy that requests go through, by Go's rules; the real rclone has the last word."""

from __future__ import annotations

from pathlib import Path

import pytest

from hps.model import Target
from hps.node.probe import check
from hps.node.proxy import proxy_for
from hps.tools.rclone.remote import remote_of
from tests.servers.rclone_client import run_rclone
from tests.servers.web import Page, serve_web

_PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("address", "env", "proxy"),
    [
        ("https://s3.example.org", {}, None),
        ("https://s3.example.org", {"HTTPS_PROXY": _PROXY}, "proxy.example:3128"),
        ("https://s3.example.org", {"https_proxy": _PROXY}, "proxy.example:3128"),
        ("https://s3.example.org", {"HTTP_PROXY": _PROXY, "ALL_PROXY": _PROXY}, None),
        ("http://s3.example.org", {"http_proxy": _PROXY}, "proxy.example:3128"),
        ("http://s3.example.org", {"HTTPS_PROXY": _PROXY}, None),
        (
            "http://s3.example.org",
            {"HTTP_PROXY": "http://capitals:1", "http_proxy": _PROXY},
            "capitals:1",
        ),
        ("http://s3.example.org", {"HTTP_PROXY": "", "http_proxy": _PROXY}, "proxy.example:3128"),
        ("http://s3.example.org", {"HTTP_PROXY": "proxy.example:3128"}, "proxy.example:3128"),
        (
            "http://s3.example.org",
            {"HTTP_PROXY": "http://user:pass@proxy.example"},
            "proxy.example",
        ),
        ("http://s3.example.org", {"HTTP_PROXY": "http://[::2]:3128"}, "[::2]:3128"),
        ("", {"HTTP_PROXY": _PROXY}, None),
    ],
)
def test_which_variable_counts(address: str, env: dict[str, str], proxy: str | None) -> None:
    assert proxy_for(address, env) == proxy


# What NO_PROXY says of a host, and whether it is reached without the proxy.
_EXCEPTIONS = [
    ("s3.example.test", "", False),
    ("s3.example.test", "*", True),
    ("s3.example.test", "example.test", True),
    ("s3.example.test", "example.org, EXAMPLE.test ", True),
    ("s3.example.test", ".example.test", True),
    ("s3.example.test", "*.example.test", True),
    ("s3.example.test", ".s3.example.test", False),
    ("s3.example.test", "xample.test", False),
    ("s3.example.test", "s3.example.test:80", True),
    ("s3.example.test", "s3.example.test:443", False),
    ("s3.example.test", ":80,.", False),
    ("192.0.2.7", "192.0.2.7", True),
    ("192.0.2.7", "192.0.2.7:81", False),
    ("192.0.2.7", "192.0.2.0/24", True),
    ("192.0.2.7", "192.0.3.0/24", False),
    ("192.0.2.7", "2.7", False),
    ("[2001:db8::7]", "2001:db8::/32", True),
    ("[2001:db8::7]", "[2001:db8::7]:80", True),
    ("127.0.0.7", "", True),
    ("[::1]", "", True),
    ("localhost", "", True),
]


@pytest.mark.parametrize(("host", "no_proxy", "direct"), _EXCEPTIONS)
def test_exceptions(host: str, no_proxy: str, direct: bool) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        env = {"http_proxy": _PROXY, name: no_proxy}
        assert (proxy_for(f"http://{host}", env) is None) == direct


@pytest.mark.parametrize(("host", "no_proxy", "direct"), _EXCEPTIONS)
def test_rclone_goes_the_same_way(tmp_path: Path, host: str, no_proxy: str, direct: bool) -> None:
    remote = remote_of(
        Target(
            name="t",
            provider="other",
            bucket="bucket",
            endpoint=f"http://{host}",
            force_path_style=True,
        )
    )
    with serve_web(tmp_path, lambda _: Page(status=404), tls=False) as server:
        env = {**remote.env, "HTTP_PROXY": server.endpoint, "NO_PROXY": no_proxy}
        once = ("--retries=1", "--low-level-retries=1", "--contimeout=200ms", "--timeout=1s")
        run_rclone(["lsf", remote.path("x/"), *once], env=env, check=False)
        assert (server.asked == []) == direct


def test_the_first_question_to_an_endpoint_goes_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_web(tmp_path, lambda _: Page(status=501), tls=False) as server:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        here = Target(name="t", provider="other", bucket="bucket", endpoint=server.endpoint)
        assert check.ask(here, timeout_s=10.0).clock_offset_s is not None
