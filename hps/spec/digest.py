"""What tells one experiment from another: a digest of all that was declared, and of no secret."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence


def digest(content: bytes, overrides: Sequence[str], told: Mapping[str, str]) -> str:
    """SHA-256 of the file as written, of the overrides, and of what the environment filled in.

    `told` holds the values that are not the defaults in the file: without overrides, and with every
    default in place, the digest is that of the file.
    """
    whole = hashlib.sha256(content)
    for override in overrides:
        whole.update(b"\0" + override.encode(errors="surrogateescape"))
    for name, value in sorted(told.items()):
        # Neither arguments nor variables hold a NUL, so that nothing else makes the same bytes.
        whole.update(b"\0\0" + f"{name}={value}".encode(errors="surrogateescape"))
    return whole.hexdigest()
