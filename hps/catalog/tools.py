"""What a declared transfer comes to on the wire: pure arithmetic, the same for plan and check.

The rules are rclone's, and its users': a file of one chunk travels whole; concurrency is never
more than the number of chunks; one stream downloads the whole file with one plain GET.
"""

from __future__ import annotations

from dataclasses import replace

from hps.model import Direction, Transfer


def count_chunks(size_bytes: int, chunk_size_bytes: int) -> int:
    """How many chunks a file has; an empty file still is one request."""
    return max(1, -(-size_bytes // chunk_size_bytes))


def effective(
    requested: Transfer, direction: Direction, *, size_bytes: int, files: int
) -> Transfer:
    """What `requested` comes to for `files` files of `size_bytes` each."""
    chunks = count_chunks(size_bytes, requested.chunk_size_bytes)
    concurrency = min(requested.concurrency, chunks)
    whole = chunks == 1 or (direction == "down" and concurrency == 1)
    return replace(
        requested,
        chunk_size_bytes=size_bytes if whole else requested.chunk_size_bytes,
        concurrency=concurrency,
        transfers=min(requested.transfers, files),
    )


def explain(
    requested: Transfer, other: Transfer, direction: Direction, *, size_bytes: int, files: int
) -> str:
    """Why `requested` comes to the same as `other`: the knobs that differ, and what became of them.

    Empty where they do not differ.
    """
    chunks = count_chunks(size_bytes, requested.chunk_size_bytes)
    reasons = []
    if chunks == 1 and count_chunks(size_bytes, other.chunk_size_bytes) == 1:
        reasons.append("the file is a single chunk and travels whole")
    elif direction == "down" and requested.concurrency == other.concurrency == 1:
        reasons.append("one stream downloads the file as one plain GET, whatever the chunk size")
    elif requested.concurrency != other.concurrency:
        has = "a single chunk" if chunks == 1 else f"{chunks} chunks"
        reasons.append(f"the file has {has}, so that no more can be in flight")
    if requested.transfers != other.transfers:
        reasons.append(f"{files} at once is all there is to move")
    return "; ".join(reasons)


def as_rclone_holds(size_bytes: int) -> int:
    """The size that rclone makes of one: it keeps three decimals of the largest unit that fits.

    `6000000B` becomes 5.722 MiB, which is 5999951 bytes (seen with rclone 1.70 to 1.75).
    """
    unit = next((2**power for power in (50, 40, 30, 20, 10) if size_bytes >= 2**power), 1)
    return int(round(size_bytes / unit, 3) * unit)
