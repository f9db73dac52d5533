"""Is what lies on the device what was made? SHA-256 of each file, after a trip back to the host."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from hps.gpu.device import Device
from hps.gpu.reading import pieces
from hps.gpu.ring import bytes_of
from hps.payload import Payload

_BUFFER_BYTES = 16 * 1024**2


def difference(device: Device, memory: Any, payload: Payload, check: Callable[[], None]) -> str:
    """Which files on the device are not those of the payload; empty where all are.

    `memory` holds the files one after another. `check` is called between pieces, and may raise.
    """
    size_bytes, names = payload.shape.size_bytes, payload.shape.names
    buffer = device.buffer(min(_BUFFER_BYTES, size_bytes), page_locked=True)
    wrong = []
    for number, name in enumerate(names):
        file = memory[number * size_bytes : (number + 1) * size_bytes]
        if _sha256(file, buffer, check) != payload.sha256[name]:
            wrong.append(name)
    if not wrong:
        return ""
    return f"{len(wrong)} of {len(names)} files differ on {device.name}: {wrong[0]}"


def _sha256(file: Any, buffer: Any, check: Callable[[], None]) -> str:
    digest, view = hashlib.sha256(), bytes_of(buffer)
    for first, last in pieces(0, int(file.numel()), int(buffer.numel())):
        check()
        buffer[: last - first].copy_(file[first:last])  # returns when the bytes are there
        digest.update(view[: last - first])
    return digest.hexdigest()
