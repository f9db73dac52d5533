"""Files up or down with awscrt's own S3 client: `python -m hps.runners.awscrt_copy --help`.

That is the engine behind `aws s3` with `preferred_transfer_client = crt`, here without the CLI, so
that the number of its connections can be told.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit
from xml.etree import ElementTree

from awscrt.auth import AwsCredentialsProvider
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientTlsContext, TlsConnectionOptions, TlsContextOptions
from awscrt.s3 import (
    S3ChecksumAlgorithm,
    S3ChecksumConfig,
    S3ChecksumLocation,
    S3Client,
    S3RequestTlsMode,
    S3RequestType,
    S3ResponseError,
    S3RetryConfig,
    create_default_s3_signing_config,
)

from hps.runners import common
from hps.runners.common import CopyTask, pairs, report_failure, report_file

_CRC32 = S3ChecksumConfig(S3ChecksumAlgorithm.CRC32, S3ChecksumLocation.HEADER)
_GBPS_OF_A_STREAM = 0.4  # by what it takes one connection to carry; the override has the last word


def main() -> int:
    """Copy; the exit code is 1 where that fails."""
    task = common.parse_arguments("Copy files with awscrt's S3 client.")
    try:
        _copy(_client(task), task)
    except (AwsCrtError, OSError) as error:
        return _report_error(error)
    return 0


def _client(task: CopyTask) -> S3Client:
    region = os.environ["AWS_REGION"]
    keys = AwsCredentialsProvider.new_environment()
    signing = create_default_s3_signing_config(region=region, credential_provider=keys)
    is_tls = _endpoint().scheme == "https"
    return S3Client(
        region=region,
        signing_config=None if task.unsigned else signing,
        tls_mode=S3RequestTlsMode.ENABLED if is_tls else S3RequestTlsMode.DISABLED,
        tls_connection_options=_tls() if is_tls else None,
        **_settings(task),
        retry_config=S3RetryConfig(max_retries=common.MAX_RETRIES),
        connect_timeout_ms=1000 * common.CONNECT_TIMEOUT_S,
    )


def _settings(task: CopyTask) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if task.chunk_bytes is not None:
        settings |= {
            "part_size": task.chunk_bytes,
            "multipart_upload_threshold": task.chunk_bytes,
        }
    if task.streams is not None:
        settings |= {
            "throughput_target_gbps": _GBPS_OF_A_STREAM * task.streams,
            "max_active_connections_override": task.streams,
        }
    return settings


def _tls() -> TlsConnectionOptions | None:
    path = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    if not path:
        return None
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(None, path)
    return ClientTlsContext(options).new_connection_options()


def _endpoint() -> SplitResult:
    amazon = f"https://s3.{os.environ['AWS_REGION']}.amazonaws.com"
    return urlsplit(os.environ.get("AWS_ENDPOINT_URL", amazon))


def _copy(client: S3Client, task: CopyTask) -> None:
    under_way: list[tuple[Path, Future[None]]] = []
    for key, path in pairs(task, lambda: _keys(client, task)):
        under_way.append((path, _begin(client, task, key, path)))
        if not task.files_at_once:
            _finish(*under_way.pop())
    for transfer in under_way:
        _finish(*transfer)


def _finish(path: Path, future: Future[None]) -> None:
    future.result()
    report_file(path)


def _begin(client: S3Client, task: CopyTask, key: str, path: Path) -> Future[None]:
    if task.way == "up":
        made = client.make_request(
            type=S3RequestType.PUT_OBJECT,
            request=_request(task, "PUT", key, length=path.stat().st_size),
            send_filepath=str(path),
            checksum_config=_CRC32 if task.checksum else None,
        )
    else:
        made = client.make_request(
            type=S3RequestType.GET_OBJECT,
            request=_request(task, "GET", key),
            recv_filepath=str(path),
        )
    future: Future[None] = made.finished_future
    return future


def _request(
    task: CopyTask, method: str, key: str, query: str = "", length: int = 0
) -> HttpRequest:
    host, path = _endpoint().netloc, quote(f"/{task.bucket}/{key}")
    if task.host_style:
        host, path = f"{task.bucket}.{host}", quote(f"/{key}")
    headers = HttpHeaders([("host", host)])
    if method == "PUT":
        headers.add("content-length", str(length))
    return HttpRequest(method, path + query, headers)


def _keys(client: S3Client, task: CopyTask) -> Iterator[str]:
    """Page by page, as a listing comes."""
    token = ""
    while True:
        query = f"?list-type=2&prefix={quote(f'{task.key}/', safe='')}"
        query += f"&continuation-token={quote(token, safe='')}" if token else ""
        body = bytearray()
        client.make_request(
            type=S3RequestType.DEFAULT,
            operation_name="ListObjectsV2",
            request=_request(task, "GET", "", query),
            on_body=lambda chunk, body=body, **_: body.extend(chunk),
        ).finished_future.result()
        page = ElementTree.fromstring(bytes(body))
        yield from (element.text or "" for element in page.iterfind("{*}Contents/{*}Key"))
        token = page.findtext("{*}NextContinuationToken") or ""
        if not token:
            return


def _report_error(error: AwsCrtError | OSError) -> int:
    if not isinstance(error, S3ResponseError):
        name = error.name if isinstance(error, AwsCrtError) else ""
        return report_failure(error, code=name)
    return report_failure(
        status=error.status_code,
        code=_text_of(error.body, "Code"),
        message=_text_of(error.body, "Message"),
        call=error.operation_name or "",
    )


def _text_of(body: bytes | None, name: str) -> str:
    try:
        return ElementTree.fromstring(body or b"").findtext(f"{{*}}{name}") or ""
    except ElementTree.ParseError:
        return ""  # an answer to HEAD, or a page of a proxy


if __name__ == "__main__":
    sys.exit(main())
