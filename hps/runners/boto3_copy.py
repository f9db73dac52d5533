"""Files up or down with boto3: `python -m hps.runners.boto3_copy --help`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from s3transfer.futures import TransferFuture
from s3transfer.manager import TransferManager

from hps.runners import common
from hps.runners.common import CopyTask, pairs, report, report_failure, report_file

_WITH_PAYLOAD = ("PutObject", "UploadPart", "GetObject")


def main() -> int:
    """Copy; the exit code is 1 where that fails."""
    task = common.parse_arguments("Copy files with boto3.")
    client = _client(task)
    _watch(client)
    try:
        with create_transfer_manager(client, _settings(task)) as manager:
            _copy(client, manager, task)
    except (Boto3Error, BotoCoreError, ClientError, HTTPClientError, OSError) as error:
        return _report_error(error)
    return 0


def _settings(task: CopyTask) -> TransferConfig:
    if task.chunk_bytes is None and task.streams is None:
        return TransferConfig()  # which engine it takes is its own choice, too
    settings = TransferConfig(preferred_transfer_client="classic")
    if task.chunk_bytes is not None:
        settings.multipart_threshold = task.chunk_bytes + 1  # a file of one chunk travels whole
        settings.multipart_chunksize = task.chunk_bytes
    if task.streams is not None:
        settings.max_concurrency = task.streams
    return settings


def _client(task: CopyTask) -> Any:
    config = Config(
        s3={"addressing_style": "virtual" if task.host_style else "path"},
        connect_timeout=common.CONNECT_TIMEOUT_S,
        read_timeout=common.READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": common.MAX_RETRIES + 1},
        signature_version=UNSIGNED if task.unsigned else None,
        **_checksums(task),
        **({} if task.streams is None else {"max_pool_connections": task.streams}),
    )
    return boto3.client("s3", config=config)


def _checksums(task: CopyTask) -> dict[str, str]:
    """The kind of checksum by name: its default is another with each version, and scheme."""
    if task.checksum is None:
        return {}
    return {
        "request_checksum_calculation": "when_supported" if task.checksum else "when_required",
        "response_checksum_validation": "when_required",
    }


def _copy(client: Any, manager: TransferManager, task: CopyTask) -> None:
    under_way: list[tuple[Path, TransferFuture]] = []
    for key, path in pairs(task, lambda: _keys(client, task)):
        if task.way == "up":
            future = manager.upload(str(path), task.bucket, key)
        else:
            future = manager.download(task.bucket, key, str(path))
        under_way.append((path, future))
        if not task.files_at_once:
            _finish(*under_way.pop())
    for transfer in under_way:
        _finish(*transfer)


def _finish(path: Path, future: TransferFuture) -> None:
    future.result()
    report_file(path)


def _keys(client: Any, task: CopyTask) -> Iterator[str]:
    pages = client.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=task.bucket, Prefix=f"{task.key}/"):
        yield from (str(entry["Key"]) for entry in page.get("Contents", ()))


# --- what is seen of it --------------------------------------------------------------------------


class _Body:
    """An answer's body; reports its request once it has been read to its end, or is cut off."""

    def __init__(self, body: Any, line: dict[str, object]) -> None:
        self._body, self._line = body, line

    def read(self, size: int | None = None) -> bytes:
        try:
            data = bytes(self._body.read(size))
        except Exception:  # its library asks for the same range again
            self._report()
            raise
        self._line["bytes"] = int(str(self._line.get("bytes", 0))) + len(data)
        if not data:
            self._report()
        return data

    def _report(self) -> None:
        report(**self._line | {"ended_s": time.monotonic()})


def _watch(client: Any) -> None:
    """Report each request with payload: when it was sent, how often, and when it was over."""
    under_way = threading.local()

    def before_send(request: Any, event_name: str, **_: Any) -> None:
        if event_name.rpartition(".")[2] in _WITH_PAYLOAD:
            line = under_way.__dict__.setdefault("line", {"sent_at": time.time(), "tries": 0})
            line |= {"sent_s": time.monotonic(), "tries": line["tries"] + 1}
            part = _part(request.url) or _header(request, "Range")
            line["id"] = f"{urlsplit(request.url).path} {part}"
            line["bytes"] = _body_bytes(request)

    def after_call(model: Any, http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
        line = under_way.__dict__.pop("line", None)
        if line is None:
            return
        line |= {"call": model.name, "status": http_response.status_code}
        if "Body" in parsed:
            parsed["Body"] = _Body(parsed["Body"], line | {"bytes": 0})
        else:
            report(**line | {"ended_s": time.monotonic()})

    client.meta.events.register("before-send.s3", before_send)
    client.meta.events.register("after-call.s3", after_call)


def _body_bytes(request: Any) -> int:
    """Of a body that a checksum comes after, the length has a header of its own."""
    decoded = _header(request, "X-Amz-Decoded-Content-Length")
    return int(decoded or _header(request, "Content-Length") or 0)


def _header(request: Any, name: str) -> str:
    value = request.headers.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


def _part(url: str) -> str:
    return "".join(parse_qs(urlsplit(url).query).get("partNumber", ()))


def _report_error(error: Exception) -> int:
    if not isinstance(error, ClientError):
        return report_failure(error)
    answer, facts = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    return report_failure(
        status=facts.get("HTTPStatusCode", 0),
        code=answer.get("Code", ""),
        message=answer.get("Message", ""),
        call=error.operation_name,
        request=facts.get("RequestId", ""),
    )


if __name__ == "__main__":
    sys.exit(main())
