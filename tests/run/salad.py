"""A node of SaladCloud as far as `hps` can tell, and runs on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.command import REPOSITORY, Ran, keys_of
from tests.contract.imds_document import excerpt
from tests.contract.metadata_server import MetadataService, Reply, api_of, served
from tests.servers.proxy import RecordingProxy
from tests.servers.s3_server import S3Server

_PATIENCE_S = 60.0
_POLL_S = 0.02


class _Service(MetadataService):
    """The service as its document says; it tells of the request for another node."""

    def __init__(self, proxy: RecordingProxy, *, silent: bool, code: int) -> None:
        super().__init__(api_of(excerpt()))
        self.asked, self.over = threading.Event(), threading.Event()
        self.requests_before = -1
        self._proxy, self._silent, self._code = proxy, silent, code

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if path != "/v1/reallocate":
            return super().answer(method, path, headers, body)
        if self.requests_before < 0:
            self.requests_before = len(self._proxy.requests())
        self.asked.set()
        if self._silent:
            self.over.wait(_PATIENCE_S)
        with self.lock:
            self.scripted = [self._code]
        return super().answer(method, path, headers, body)


class Node:
    """Where `hps` runs. `service.asked` is set once another node was asked for."""

    def __init__(self, service: _Service, url: str) -> None:
        self.service, self._url = service, url

    def env(self, server: S3Server) -> dict[str, str]:
        """What a container's environment has, and the keys of the server."""
        return {
            **keys_of(server),
            "SALAD_MACHINE_ID": "m-1",
            "SALAD_CONTAINER_GROUP_ID": "g-1",
            "HPS_METADATA_URL": self._url,
        }

    def run(self, spec: Path, server: S3Server, *options: str) -> Ran:
        """Run to the end; once another node was asked for, end it as the platform does."""
        with subprocess.Popen(
            [sys.executable, "-m", "hps", "run", str(spec), *options],
            env={**os.environ, **self.env(server)},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            threading.Thread(target=self._end_once_asked, args=(running,), daemon=True).start()
            out, err = running.communicate(timeout=2 * _PATIENCE_S)
        return Ran(code=running.returncode, out=out, err=err)

    def _end_once_asked(self, running: subprocess.Popen[str]) -> None:
        while running.poll() is None:
            if self.service.asked.wait(_POLL_S):
                running.send_signal(signal.SIGTERM)
                return


@contextmanager
def salad_node(proxy: RecordingProxy, *, silent: bool = False, code: int = 204) -> Iterator[Node]:
    """A node whose service gives `code` to the request for another one, or is `silent` to it.

    No request to it may break its document.
    """
    service = _Service(proxy, silent=silent, code=code)
    with served(service) as url:
        try:
            yield Node(service, url)
        finally:
            service.over.set()
    assert service.wrong == []
