"""Real servers as fixtures, and a guard that keeps tests away from a person's own files."""

from __future__ import annotations

import itertools
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest

from tests.disks import Mount, small_disks
from tests.servers.azurite import BlobServer, serve_azurite
from tests.servers.faults import Rule
from tests.servers.forward import FaultyForwardProxy, certificate_of_hosts
from tests.servers.minio_s3 import serve_minio
from tests.servers.moto_s3 import serve_moto
from tests.servers.nginx_tls import TlsFront, nginx_tls
from tests.servers.proxy import RecordingProxy
from tests.servers.rclone_s3 import find_rclone, serve_s3
from tests.servers.s3_server import S3Server

# The same examples in every run: a find is then that of a commit, and not of a day. `make fuzz`
# draws new ones. No deadline, for machines are shared.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("drawn", deadline=None)
hypothesis.settings.load_profile("repeatable")

_FOREIGN = ("SALAD_", "CLOUDFLARE_", "AWS_", "AZURE_", "AZCOPY_", "RCLONE_", "HPS_", "EXPERIMENT")
_NUMBERS = itertools.count()  # of folders: by chance alone two would have one name now and then
_PROGRAMS = (
    *("HPS_RCLONE", "HPS_S3PARCP", "HPS_MINIO", "HPS_GSUTIL", "HPS_KUBECTL"),
    *("HPS_SKY_PYTHON", "HPS_KUBECONFIG_TEST"),
)
_XDG = ("CONFIG", "CACHE", "DATA", "STATE", "RUNTIME")


# Files that take minutes begin first: else one processor waits for the last of them.
_LONG = ("tests/kills/test_kills.py", "tests/faults/", "tests/clean/", "tests/run/", "tests/kills/")


class Listening(Protocol):
    """Where a server can be reached, whatever it speaks."""

    @property
    def host(self) -> str:
        """Its name or address."""

    @property
    def port(self) -> int:
        """Its TCP port."""


class ProxyFor(Protocol):
    """Makes proxies that live until the test ends."""

    def __call__(
        self,
        server: Listening,
        *,
        min_data_s: float = 0.0,
        gather: int = 0,
        rules: tuple[Rule, ...] = (),
    ) -> RecordingProxy:
        """A running proxy in front of `server`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Within a file the order stays."""

    def place(item: pytest.Item) -> int:
        long = (number for number, begin in enumerate(_LONG) if item.nodeid.startswith(begin))
        return next(long, len(_LONG))

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home folder, and an environment without settings of the machine or its user.

    `HPS_RCLONE` and its like stay: they say what to test with.
    """
    home = tmp_path_factory.mktemp("home")
    kept = {name: os.environ[name] for name in _PROGRAMS if name in os.environ}
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
            patch.delenv(name)
        for name, program in kept.items():
            patch.setenv(name, program)
        patch.setenv("HOME", str(home))
        for kind in _XDG:
            patch.setenv(f"XDG_{kind}_{'DIR' if kind == 'RUNTIME' else 'HOME'}", str(home / kind))
        yield home


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new folder with a shorter path than pytest's own, since that of a socket has 107 bytes.

    No name begins like another, so that they can be looked for in a bucket.
    """
    name = f"t{next(_NUMBERS):04x}{secrets.token_hex(1)}"
    return tmp_path_factory.mktemp(name, numbered=False)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """A factory of small file systems, `mount("name", "size=1m")`; skips where there are none."""
    with small_disks(tmp_path) as mounted:
        yield mounted


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """What tests start can be interrupted, also where they themselves run in the background.

    A shell without job control lets such programs, and their children, ignore SIGINT; nohup does
    so with SIGHUP. Children begin without the handlers that are set here.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(scope="session")
def rclone_path() -> str:
    """The rclone program that tests use."""
    return find_rclone()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One `rclone serve s3` for all tests: use keys that no other test uses."""
    with serve_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One moto for all tests: use keys that no other test uses."""
    with serve_moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One MinIO for all tests: use keys that no other test uses. Skips where there is none."""
    with serve_minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlobServer]:
    """One Azurite for all tests: use keys that no other test uses."""
    with serve_azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(scope="session")
def azurite_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlobServer]:
    """As `azurite`, with TLS, so that it takes tokens."""
    with serve_azurite(tmp_path_factory.mktemp("azurite-tls"), tls=True) as server:
        yield server


@contextmanager
def proxies() -> Iterator[ProxyFor]:
    """A factory of recording proxies, which live as long as the block."""
    with ExitStack() as stack:

        def start(
            server: Listening,
            *,
            min_data_s: float = 0.0,
            gather: int = 0,
            rules: tuple[Rule, ...] = (),
        ) -> RecordingProxy:
            proxy = RecordingProxy(
                server.host, server.port, min_data_s=min_data_s, gather=gather, rules=rules
            )
            return stack.enter_context(proxy)

        yield start


@pytest.fixture
def proxy_for() -> Iterator[ProxyFor]:
    """A factory of recording proxies: `proxy_for(server, min_data_s=0.3, rules=(…,))`."""
    with proxies() as start:
        yield start


@pytest.fixture
def forward_for(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., tuple[FaultyForwardProxy, Path]]]:
    """A factory of forward proxies: `forward_for(server, rules=(…,))`, and a file to trust them by.

    They lead to the server from Google's and Amazon's hosts.
    """
    made = certificate_of_hosts(tmp_path_factory.mktemp("forward"))
    with ExitStack() as stack:

        def start(
            server: Listening,
            *,
            min_data_s: float = 0.0,
            gather: int = 0,
            rules: tuple[Rule, ...] = (),
        ) -> tuple[FaultyForwardProxy, Path]:
            proxy = FaultyForwardProxy(
                server.host,
                server.port,
                min_data_s=min_data_s,
                gather=gather,
                rules=rules,
                tls=made,
            )
            return stack.enter_context(proxy), made.cert

        yield start


@pytest.fixture
def tls_front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., TlsFront]]:
    """A factory of nginx fronts: `tls_front(endpoint, http2=True)`; skips where there is none."""
    with ExitStack() as stack:

        def start(upstream_endpoint: str, *, http2: bool = True) -> TlsFront:
            folder = tmp_path_factory.mktemp("nginx")
            return stack.enter_context(nginx_tls(upstream_endpoint, folder, http2=http2))

        yield start
