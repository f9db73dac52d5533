"""Facts about each storage provider: its hosts, its limits, and how rclone treats it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from hps.model import Target

MIB = 1024**2
GIB = 1024**3
# What is spoken to a target: S3, or the REST API of Azure's Blob Storage.
Protocol = Literal["s3", "azure"]
PROTOCOL_NAMES: Mapping[Protocol, str] = MappingProxyType({"s3": "S3", "azure": "Azure's Blob API"})
# rclone writes characters that files can't have in names as these, and in a key it writes others
# for them: what is put into such a folder would lie elsewhere, and not be found again.
NOT_AS_WRITTEN = re.compile("[\u201b\u2400-\u2421]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFacts:
    """Limits of multipart uploads, and what a target on this provider must or may declare.

    `rclone_name`: what rclone calls it among those that speak S3.
    `endpoint`: whether a target names one.
    `address`: the endpoint of a target without one, perhaps with `{region}` or `{account}`.
    `host`: a pattern for the provider's hosts; empty for software that anybody may run.
    `region_in_host`: a pattern whose group is the region in the host of an endpoint.
    `region`: that of a target where neither it nor its host names one.
    `path_style`: "never" where rclone always writes the bucket into the host name, whatever
    `force_path_style` says.
    `settings`: more of rclone's settings, which this provider needs.
    `equal_parts`: all parts of an upload but the last have one size.
    `underscores`: it takes a bucket with '_' in its name, though no host name may have one.
    `other_names`: what people also write for it, in small letters.
    `keeps_uploads`: what was uploaded of an object in parts stays until it is completed or aborted.
    `keys_per_list`: the most objects that one answer lists.
    `lists_checksums`: of objects that came in parts, too, so that these are not asked for.
    `begins`: an upload in parts is begun by a request of its own.
    `looks_for_folder`: rclone first asks for an object with the very name of a folder.
    """

    title: str
    rclone_name: str = ""
    protocol: Protocol = "s3"
    endpoint: Literal["required", "optional", "never"]
    address: str = ""
    host: str = ""
    region_in_host: str = ""
    region: str | None = None
    path_style: Literal["usual", "never"] = "usual"
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    min_part_bytes: int = 5 * MIB
    max_part_bytes: int = 5 * GIB
    max_parts: int = 10_000
    equal_parts: bool = False
    underscores: bool = False
    other_names: tuple[str, ...] = ()
    keeps_uploads: bool = True
    keys_per_list: int = 1000
    lists_checksums: bool = False
    begins: bool = True
    looks_for_folder: bool = False

    def region_of(self, endpoint: str | None) -> str | None:
        """The region of an endpoint whose host names it, else the provider's usual one."""
        found = re.search(self.region_in_host, host_of(endpoint)) if self.region_in_host else None
        return found[1] if found else self.region


def host_of(endpoint: str | None) -> str:
    """The host of an address in small letters; empty where there is none."""
    return (urlsplit(endpoint or "").hostname or "").rstrip(".")


def owner_of(endpoint: str) -> str | None:
    """The provider whose host an endpoint has; None where anybody may run it."""
    host = host_of(endpoint)
    known = (name for name, facts in PROVIDERS.items() if facts.host)
    return next((name for name in known if re.fullmatch(PROVIDERS[name].host, host)), None)


# Limits: Amazon S3 "Multipart upload limits", Cloudflare R2 "Multipart upload", Backblaze B2
# "S3-compatible API", Google Cloud "XML API multipart uploads", Wasabi and DigitalOcean Spaces "S3
# API", Ceph `rgw_multipart_part_upload_limit` (all: 5 MiB to 5 GiB, 10,000 parts; R2: all parts but
# the last are equal), Scaleway "Managing multipart uploads" (1,000 parts), Azure "Scalability and
# performance targets for Blob storage" (50,000 blocks of at most 4000 MiB) and "Put Block" (the
# service itself drops what was not committed within a week). What rclone does with each: its files
# backend/s3/provider/*.yaml, and what it sent with 1.75.
PROVIDERS: Mapping[str, ProviderFacts] = MappingProxyType(
    {
        "embedded": ProviderFacts(
            title="the embedded server",
            rclone_name="Rclone",
            endpoint="never",
            underscores=True,
            other_names=("local",),
        ),
        "cloudflare": ProviderFacts(
            title="Cloudflare R2",
            rclone_name="Cloudflare",
            endpoint="required",
            host=r"(.+\.)?r2\.cloudflarestorage\.com",
            region="auto",
            equal_parts=True,
            other_names=("r2",),
        ),
        "aws": ProviderFacts(
            title="Amazon S3",
            rclone_name="AWS",
            endpoint="optional",
            address="https://s3.{region}.amazonaws.com",
            host=r"(.+\.)?amazonaws\.com(\.cn)?",
            region_in_host=r"\bs3(?:-fips)?[.-](?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-\d+)\.",
            region="us-east-1",
            path_style="never",
            other_names=("s3", "amazon"),
        ),
        "backblaze": ProviderFacts(
            title="Backblaze B2",
            rclone_name="Other",
            endpoint="required",
            host=r"(.+\.)?backblazeb2\.com",
            region_in_host=r"^s3\.([a-z0-9-]+)\.backblazeb2\.com$",
            other_names=("b2",),
        ),
        # With interoperability (HMAC) keys. Google changes Accept-Encoding on the way in, so that
        # no signature may cover it.
        "gcs": ProviderFacts(
            title="Google Cloud Storage",
            rclone_name="GCS",
            endpoint="optional",
            address="https://storage.googleapis.com",
            host=r"(.+\.)?storage\.googleapis\.com",
            path_style="never",
            underscores=True,
            other_names=("google", "gs"),
        ),
        "azure": ProviderFacts(
            title="Azure Blob Storage",
            other_names=("azureblob", "azurite"),
            protocol="azure",
            endpoint="optional",
            address="https://{account}.blob.core.windows.net",
            host=r".+\.blob\.(core\.(windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)"
            r"|storage\.azure\.net)",
            min_part_bytes=1,
            max_part_bytes=4000 * MIB,
            max_parts=50_000,
            keeps_uploads=False,
            keys_per_list=5000,
            lists_checksums=True,
            begins=False,
            looks_for_folder=True,
        ),
        "wasabi": ProviderFacts(
            title="Wasabi",
            rclone_name="Wasabi",
            endpoint="optional",
            address="https://s3.{region}.wasabisys.com",
            host=r"(.+\.)?wasabisys\.com",
            region_in_host=r"^s3\.([a-z0-9-]+)\.wasabisys\.com$",
            region="us-east-1",
            path_style="never",
        ),
        # rclone has no name for it. Newer buckets are reached by their host name alone.
        "tigris": ProviderFacts(
            title="Tigris",
            rclone_name="Other",
            endpoint="optional",
            address="https://t3.storage.dev",
            host=r"(.+\.)?(t3\.storage\.dev|fly\.storage\.tigris\.dev)",
            region="auto",
            settings=MappingProxyType({"FORCE_PATH_STYLE": "false", "LIST_VERSION": "2"}),
        ),
        "digitalocean": ProviderFacts(
            title="DigitalOcean Spaces",
            rclone_name="DigitalOcean",
            endpoint="required",
            host=r"(.+\.)?digitaloceanspaces\.com",
            path_style="never",
            other_names=("spaces",),
        ),
        "scaleway": ProviderFacts(
            title="Scaleway Object Storage",
            rclone_name="Scaleway",
            endpoint="required",
            host=r"(.+\.)?scw\.cloud",
            region_in_host=r"^s3\.([a-z0-9-]+)\.scw\.cloud$",
            path_style="never",
            max_parts=1000,
        ),
        # rclone makes any smaller part as large as one of Storj's segments.
        "storj": ProviderFacts(
            title="Storj",
            rclone_name="Storj",
            endpoint="optional",
            address="https://gateway.storjshare.io",
            host=r"(.+\.)?gateway(\..+)?\.storjshare\.io",
            path_style="never",
            min_part_bytes=64 * MIB,
        ),
        "ceph": ProviderFacts(
            title="Ceph",
            rclone_name="Ceph",
            endpoint="required",
            underscores=True,
            other_names=("rgw",),
        ),
        "minio": ProviderFacts(
            title="MinIO", rclone_name="Minio", endpoint="required", region="us-east-1"
        ),
        "other": ProviderFacts(
            title="any S3 server", rclone_name="Other", endpoint="required", underscores=True
        ),
    }
)
# rclone's switches for servers that speak S3 in their own way, as `other` takes them: all that it
# has but those for what is never done here, such as listing versions and locking objects.
QUIRKS = (
    "list_version",
    "list_url_encode",
    "sign_accept_encoding",
    "might_gzip",
    "use_accept_encoding_gzip",
    "use_already_exists",
    "use_data_integrity_protections",
    "use_multipart_etag",
    "use_multipart_uploads",
    "use_unsigned_payload",
    "use_x_id",
)


def region_of(target: Target) -> str | None:
    """The region that requests are signed for; None: the tool's own choice."""
    return target.region or PROVIDERS[target.provider].region_of(target.endpoint)


def address_of(target: Target) -> str | None:
    """Where a target is reached; the provider's own address where it names none."""
    known = {"region": region_of(target), "account": target.account}
    return target.endpoint or PROVIDERS[target.provider].address.format(**known) or None


def protocol_of(target: Target) -> Protocol:
    """What is spoken to a target."""
    return PROVIDERS[target.provider].protocol
