"""One file up or down: `obstore_copy.py up|down|stream BUCKET KEY FILE CHUNK_BYTES CONCURRENCY`.

`down` reads ranges, so many at a time; `stream` reads what `obstore.get` gives. Endpoint and keys
come from the environment, as obstore reads them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

obstore = import_module("obstore")
# Of one request; the default, 30 s, is too short for a large object in one GET over a slow link.
_TIMEOUT = "1h"


def main() -> None:
    """Copy, and end with an exception where that fails."""
    way, bucket, key, file = sys.argv[1:5]
    chunk_bytes, concurrency = map(int, sys.argv[5:7])
    store = import_module("obstore.store").S3Store(
        bucket,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "timeout": _TIMEOUT},
    )
    if way == "up":
        obstore.put(
            store, key, Path(file), chunk_size=chunk_bytes, max_concurrency=concurrency
        )  # fmt: skip
    elif way == "down":
        asyncio.run(_download(store, key, Path(file), chunk_bytes, concurrency))
    else:
        _stream(store, key, Path(file), chunk_bytes)


async def _download(
    store: Any, key: str, file: Path, chunk_bytes: int, concurrency: int
) -> None:  # fmt: skip
    size_bytes = (await obstore.head_async(store, key))["size"]
    turns = asyncio.Semaphore(concurrency)
    with file.open("wb") as out:

        async def copy(start: int) -> None:
            async with turns:
                length = min(chunk_bytes, size_bytes - start)
                data = await obstore.get_range_async(store, key, start=start, length=length)
                os.pwrite(out.fileno(), data, start)

        await asyncio.gather(*map(copy, range(0, size_bytes, chunk_bytes)))


def _stream(store: Any, key: str, file: Path, chunk_bytes: int) -> None:
    with file.open("wb") as out:
        for piece in obstore.get(store, key).stream(min_chunk_size=chunk_bytes):
            out.write(piece)


if __name__ == "__main__":
    main()
