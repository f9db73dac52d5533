"""Files up or down with obstore: `python -m hps.runners.obstore_copy --help`.

An upload is the library's own; a download is a loop of ranges here, for of several ranges of one
object at a time the library has none. Without a size of chunks it is the library's one GET.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from hps.runners import common
from hps.runners.common import CopyTask, pairs, report, report_failure, report_file

T = TypeVar("T")
# Of one request: a large object in one GET over a slow link lasts longer than its 30 s.
_REQUEST_TIMEOUT = timedelta(hours=1)
_STATUS = re.compile(r"status code: (\d{3})|status: (\d{3})|\b(?:error|status) (\d{3})\b")
_CODE = re.compile(r"<Code>([^<]*)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")


def main() -> int:
    """Copy; the exit code is 1 where that fails."""
    task = common.parse_arguments("Copy files with obstore.")
    try:
        _copy(_store(task), task)
    except (BaseError, OSError, ValueError) as error:
        return _report_error(error)
    return 0


def _store(task: CopyTask) -> S3Store:
    settings: dict[str, Any] = {
        **_address(task),
        "virtual_hosted_style_request": task.host_style,
        "skip_signature": task.unsigned,
        "client_options": {
            "allow_http": True,
            "connect_timeout": timedelta(seconds=common.CONNECT_TIMEOUT_S),
            "timeout": _REQUEST_TIMEOUT,
            **({} if task.http2 is None else {"http1_only": not task.http2}),
        },
        "retry_config": {"max_retries": common.MAX_RETRIES},
        **({"checksum_algorithm": "SHA256"} if task.checksum else {}),
    }
    return S3Store(task.bucket, **settings)


def _address(task: CopyTask) -> dict[str, str]:
    """An address with the bucket in its host's name has to be given whole."""
    given = os.environ.get("AWS_ENDPOINT_URL")
    if not given or not task.host_style:
        return {}
    address = urlsplit(given)
    return {"endpoint": f"{address.scheme}://{task.bucket}.{address.netloc}"}


def _copy(store: S3Store, task: CopyTask) -> None:
    files = list(pairs(task, lambda: _keys(store, task)))
    streams = 1 if task.files_at_once and task.streams is not None else task.streams

    def copy(pair: tuple[str, Path]) -> None:
        (_upload if task.way == "up" else _download)(store, task, *pair, streams)
        report_file(pair[1])

    _do_all(copy, files, at_once=(task.streams or 1) if task.files_at_once else 1)


def _upload(store: S3Store, task: CopyTask, key: str, path: Path, streams: int | None) -> None:
    settings: dict[str, Any] = {} if streams is None else {"max_concurrency": streams}
    if task.chunk_bytes is not None:
        settings |= {
            "use_multipart": path.stat().st_size > task.chunk_bytes,
            "chunk_size": task.chunk_bytes,
        }
    obstore.put(store, key, path, **settings)


def _download(store: S3Store, task: CopyTask, key: str, path: Path, streams: int | None) -> None:
    if task.chunk_bytes is None:
        _stream(store, key, path)
    else:
        _download_ranges(store, key, path, task.chunk_bytes, streams or 1)


def _stream(store: S3Store, key: str, path: Path) -> None:
    times, size_bytes = {"sent_at": time.time(), "sent_s": time.monotonic()}, 0
    with path.open("wb") as out:
        for data in obstore.get(store, key).stream():
            size_bytes += out.write(data)
    report(id=key, bytes=size_bytes, ended_s=time.monotonic(), **times)


def _download_ranges(store: S3Store, key: str, path: Path, chunk_bytes: int, streams: int) -> None:
    size_bytes = obstore.head(store, key)["size"]
    with path.open("wb") as out:

        def copy(start: int) -> None:
            sent_at, sent_s = time.time(), time.monotonic()
            length = min(chunk_bytes, size_bytes - start)
            data = obstore.get_range(store, key, start=start, length=length)
            times = {"sent_at": sent_at, "sent_s": sent_s, "ended_s": time.monotonic()}
            os.pwrite(out.fileno(), data, start)
            report(id=f"{key} {start}", bytes=length, **times)

        _do_all(copy, range(0, size_bytes, chunk_bytes), at_once=streams)


def _do_all(do: Callable[[T], None], items: Iterable[T], *, at_once: int) -> None:
    """So many at once; the first that fails ends it."""
    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(do, item) for item in items]
        try:
            for job in jobs:
                job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _keys(store: S3Store, task: CopyTask) -> Iterable[str]:
    for batch in obstore.list(store, prefix=f"{task.key}/"):
        yield from (entry["path"] for entry in batch)


def _report_error(error: Exception) -> int:
    """By the status and the code of S3's answer, which stand in the error's text."""
    text = str(error)
    status, code, message = _STATUS.search(text), _CODE.search(text), _MESSAGE.search(text)
    return report_failure(
        error,
        status=int(next(filter(None, status.groups()))) if status else 0,
        code=code[1] if code else "",
        message=(message[1] if code and message else "") or text,
    )


if __name__ == "__main__":
    sys.exit(main())
