"""One file up or down with boto3: `boto3_copy.py up|down BUCKET KEY FILE CHUNK_BYTES CONCURRENCY`.

Endpoint and keys come from the environment, as botocore reads them.
"""

from __future__ import annotations

import sys
from importlib import import_module


def main() -> None:
    """Copy, and end with an exception where that fails."""
    way, bucket, key, file = sys.argv[1:5]
    chunk_bytes, concurrency = map(int, sys.argv[5:7])
    transfer, config = import_module("boto3.s3.transfer"), import_module("botocore.config")
    client = import_module("boto3").client(
        "s3",
        config=config.Config(
            s3={"addressing_style": "path"},
            max_pool_connections=concurrency,
        ),
    )
    settings = transfer.TransferConfig(
        multipart_threshold=chunk_bytes,
        multipart_chunksize=chunk_bytes,
        max_concurrency=concurrency,
        preferred_transfer_client="classic",
    )
    if way == "up":
        client.upload_file(file, bucket, key, Config=settings)
    else:
        client.download_file(bucket, key, file, Config=settings)


if __name__ == "__main__":
    main()
