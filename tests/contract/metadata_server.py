"""A metadata service built from its OpenAPI document; openapi-core checks every exchange."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

from .imds_document import Document

JSON, PROBLEM = "application/json", "application/problem+json"
HOST = "http://169.254.169.254"
Reply = tuple[int, str, bytes]


def api_of(document: Document) -> OpenAPI:
    """What checks against the document. It reads plain JSON by itself, but not problem+json."""
    return OpenAPI.from_dict(document, Config(extra_media_type_deserializers={PROBLEM: json.loads}))


class MetadataService:
    """Answers as the document says, or with the next of `scripted` status codes.

    `wrong` collects each request or answer that breaks the document; `seen` each operation.
    """

    def __init__(self, api: OpenAPI) -> None:
        self.api = api
        self.scripted: list[int] = []
        self.seen: list[str] = []
        self.bodies: list[Any] = []
        self.wrong: list[str] = []
        self.cost = 0
        self.lock = threading.Lock()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        with self.lock:
            self.seen.append(f"{method} {path}")
            kind = headers.get("Content-Type", "")
            request = MockRequest(
                HOST, method, path, headers=headers, data=body or None, content_type=kind
            )
            status, kind, said = self._reply(request, headers)
            response = MockResponse(said, status_code=status, content_type=kind)
            self._check(lambda: self.api.validate_response(request, response))
            return status, kind, said

    def _reply(self, request: MockRequest, headers: dict[str, str]) -> Reply:
        if any(name.lower().startswith("x-forwarded") for name in headers):
            return problem(403, "forwarded")
        if not self._check(lambda: self.api.validate_request(request)):
            return problem(400, "invalid-request")
        if self.scripted:
            code = self.scripted.pop(0)
            if code >= 400:
                return problem(code, "scripted")
        return self._good(request)

    def _good(self, request: MockRequest) -> Reply:
        self.bodies.append(json.loads(request.body) if request.body else None)
        match request.method, request.path:
            case "get", "/v1/status":
                return 200, JSON, b'{"ready": true, "started": true}'
            case "get", "/v1/deletion-cost":
                return 200, JSON, json.dumps({"deletion_cost": self.cost}).encode()
            case "put", "/v1/deletion-cost":
                self.cost = self.bodies[-1]["deletion_cost"]
        return 204, "", b""

    def _check(self, validate: Callable[[], object]) -> bool:
        try:
            validate()
        except OpenAPIError as error:
            self.wrong.append(f"{self.seen[-1]}: {error!r} {error.__cause__!r}")
            return False
        return True


def problem(status: int, code: str) -> Reply:
    content = {"status": status, "code": code, "detail": f"said {code}", "title": "Problem"}
    return status, PROBLEM, json.dumps(content).encode()


@contextmanager
def served(service: MetadataService) -> Iterator[str]:
    """The service on loopback; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = dict(self.headers.items())
            status, kind, said = service.answer(self.command, self.path, headers, body)
            self.send_response(status)
            if said:
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base's name)
            """Say nothing."""

    with running(Handler) as url:
        yield url


@contextmanager
def running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
