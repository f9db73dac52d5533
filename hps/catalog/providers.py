"""What is known of each storage provider: limits, and the names that rclone knows it by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MIB = 1024**2
GIB = 1024**3
# rclone writes characters that files can't have in names as these, and in a key it writes others
# for them: what is put into such a folder would lie elsewhere, and not be found again.
NOT_AS_WRITTEN = re.compile("[\u201b\u2400-\u2421]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFacts:
    """Limits of multipart uploads, and what a target on this provider must or may declare.

    `endpoint` says whether a target must name one; `region` is used where it names none.
    """

    rclone_name: str
    endpoint: Literal["required", "optional", "never"]
    region: str | None = None
    min_part_bytes: int = 5 * MIB
    max_part_bytes: int = 5 * GIB
    max_parts: int = 10_000
    equal_parts: bool = False


# Limits: Amazon S3 "Multipart upload limits", Cloudflare R2 "Multipart upload", Backblaze B2
# "S3-compatible API" (all: 5 MiB to 5 GiB, 10,000 parts; R2: all parts but the last are equal).
PROVIDERS: Mapping[str, ProviderFacts] = {
    "embedded": ProviderFacts(rclone_name="Rclone", endpoint="never"),
    "cloudflare": ProviderFacts(
        rclone_name="Cloudflare", endpoint="required", region="auto", equal_parts=True
    ),
    "aws": ProviderFacts(rclone_name="AWS", endpoint="optional", region="us-east-1"),
    "backblaze": ProviderFacts(rclone_name="Other", endpoint="required"),
    "minio": ProviderFacts(rclone_name="Minio", endpoint="required", region="us-east-1"),
    "other": ProviderFacts(rclone_name="Other", endpoint="required"),
}
