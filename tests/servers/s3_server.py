"""What a test needs to know of a running S3 server, whichever program it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running S3 server with one empty bucket.

    `provider` is the name that rclone knows its kind by. `ca_cert` is a PEM file, None without TLS.
    """

    endpoint: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    bucket: str
    provider: str
    ca_cert: Path | None = None

    @property
    def host(self) -> str:
        """The host name or address in `endpoint`."""
        return urlsplit(self.endpoint).hostname or ""

    @property
    def port(self) -> int:
        """The TCP port in `endpoint`."""
        return urlsplit(self.endpoint).port or 0
