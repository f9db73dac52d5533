"""What object storage costs: list prices of requests and of traffic out, each with its date.

Prices are those of the standard storage class, in US dollars, before free allowances and taxes.
Storing is left out: an experiment deletes what it uploads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

GB = 1_000_000_000
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """One provider's list prices. `as_of` is the day (ISO 8601) on which they were in force.

    Class A requests write and list, class B requests read; deletes are free. `egress_per_gb` is
    for payload that leaves the provider, per 10**9 bytes. `assumes` is what a bill may differ by.
    """

    title: str
    as_of: str
    source: str
    class_a_per_million: float
    class_b_per_million: float
    egress_per_gb: float
    assumes: str = ""


# By provider. The others are one's own hardware, nobody knows whose, or have a list that has not
# been read with its date.
PRICES: Mapping[str, Prices] = MappingProxyType(
    {
        "cloudflare": Prices(
            title="Cloudflare R2",
            as_of="2026-08-03",
            source="https://developers.cloudflare.com/r2/pricing/",
            class_a_per_million=4.50,
            class_b_per_million=0.36,
            egress_per_gb=0.0,
        ),
        "aws": Prices(
            title="Amazon S3",
            as_of="2025-10-28",
            source="https://aws.amazon.com/s3/pricing/",
            class_a_per_million=5.00,
            class_b_per_million=0.40,
            egress_per_gb=0.09,
            assumes="us-east-1, to the internet, the first 10 TB of a month",
        ),
        "backblaze": Prices(
            title="Backblaze B2",
            as_of="2025-01-01",
            source="https://www.backblaze.com/cloud-storage/transaction-pricing",
            class_a_per_million=0.0,
            class_b_per_million=0.40,
            egress_per_gb=0.01,
            assumes="beyond three times what is stored; lists, $4 per million, are left out",
        ),
    }
)


def dollars(provider: str, class_a: float, class_b: float, down_bytes: float) -> float | None:
    """What requests, and payload that is downloaded, cost. None: the provider has no prices."""
    prices = PRICES.get(provider)
    if prices is None:
        return None
    requests = class_a * prices.class_a_per_million + class_b * prices.class_b_per_million
    return requests / _MILLION + down_bytes / GB * prices.egress_per_gb


def dollars_per_gb(
    provider: str, class_a: float, class_b: float, size_bytes: float, direction: str
) -> float | None:
    """What one operation costs for each 10**9 bytes of payload that it moves.

    `class_a` and `class_b` are its requests, `size_bytes` its payload, and `direction` is `up`,
    `down` or `none`. None where it moves nothing, or the provider has no prices.
    """
    if size_bytes <= 0:
        return None
    cost = dollars(provider, class_a, class_b, size_bytes if direction == "down" else 0)
    return None if cost is None else cost / size_bytes * GB


def requests_per_gb(class_a: float, class_b: float, size_bytes: float) -> float | None:
    """How many requests, of both classes, move 10**9 bytes of payload. None: nothing moves."""
    return None if size_bytes <= 0 else (class_a + class_b) / size_bytes * GB
