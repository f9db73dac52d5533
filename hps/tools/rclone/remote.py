"""A target -> rclone's remote: settings in the environment of a child, never in a file.

rclone reads `RCLONE_CONFIG_<NAME>_<SETTING>`; with `RCLONE_CONFIG=/dev/null` no file is involved
and nothing secret stands on a command line or on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hps.catalog.providers import (
    NOT_AS_WRITTEN,
    PROVIDERS,
    Protocol,
    address_of,
    protocol_of,
    region_of,
)
from hps.errors import HpsError
from hps.model import SecretRef, Target

_MAX_SINGLE_PUT_BYTES = 5 * 1024**3
_MAX_SINGLE_PUT_BLOB_MIB = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What one of rclone's backends is called, and how it is told what all of them can do.

    `sizes`: flags for the size of chunks, and whether the file is one chunk that travels whole.
    `whole`: flags for one PUT, whatever the size. `unasked`: nothing is asked after an upload.
    `unlooked`: nothing is asked before an object is read.
    `log_flags`, `log_env`: the log has the requests that its library sends again.
    """

    name: str
    sizes: Callable[[int, bool], tuple[str, ...]]
    whole: tuple[str, ...]
    unasked: tuple[str, ...] = ()
    unlooked: tuple[str, ...] = ()
    log_flags: tuple[str, ...] = ()
    log_env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A target as rclone sees it. `env` is free of secrets; `secret_env` names where they are.

    `before` has the text that stands before a secret, by the variable that holds both.
    """

    name: str
    root: str
    backend: Backend
    env: Mapping[str, str]
    secret_env: Mapping[str, SecretRef]
    before: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ca_cert: str | None = None

    def path(self, *parts: str) -> str:
        """`name:bucket/folder/part/part`."""
        return f"{self.name}:" + "/".join(part for part in (self.root, *parts) if part)


def remote_of(target: Target) -> Remote:
    """The remote of a target. The embedded one must have been started: it needs an endpoint.

    Raises `HpsError` for a folder that rclone can't name.
    """
    _check_folder(target)
    # No shell can assign a variable with a dash in its name, and rclone would look for one.
    name = target.name.replace("-", "_")
    return _REMOTES[protocol_of(target)](target, name, f"RCLONE_CONFIG_{name.upper()}_")


def _root(target: Target) -> str:
    return "/".join(part for part in (target.bucket, target.folder) if part)


def _set(prefix: str, settings: Mapping[str, str | None]) -> dict[str, str]:
    return {f"{prefix}{key}": value for key, value in settings.items() if value is not None}


def _named(keys: Mapping[str, SecretRef | None]) -> dict[str, SecretRef]:
    return {name: reference for name, reference in keys.items() if reference is not None}


# -------------------------------------------------------------------------------------------------
# S3. https://rclone.org/s3/


def _s3_sizes(chunk_bytes: int, whole: bool) -> tuple[str, ...]:
    # rclone rounds to three decimals (10485761 becomes 10Mi), so that a cutoff just above the
    # file's size would make a multipart upload of one part.
    cutoff_bytes = _MAX_SINGLE_PUT_BYTES if whole else 0
    return (
        f"--s3-chunk-size={chunk_bytes}B",
        f"--s3-upload-cutoff={cutoff_bytes}B",  # default: one PUT up to 200 MiB
    )


_S3 = Backend(
    name="s3",
    sizes=_s3_sizes,
    whole=(f"--s3-upload-cutoff={_MAX_SINGLE_PUT_BYTES}B",),
    unasked=("--s3-no-head",),
    unlooked=("--s3-no-head-object",),
    log_flags=("--s3-sdk-log-mode=Retries",),
)


def _s3(target: Target, name: str, prefix: str) -> Remote:
    facts = PROVIDERS[target.provider]
    own = {
        "TYPE": _S3.name,
        "PROVIDER": facts.rclone_name,
        # rclone follows a bucket of Amazon's into its region, but not where an endpoint is set.
        "ENDPOINT": target.endpoint if facts.rclone_name == "AWS" else address_of(target),
        "REGION": region_of(target),
        "NO_CHECK_BUCKET": "true",
        "FORCE_PATH_STYLE": _lower(target.force_path_style),
        "USE_UNSIGNED_PAYLOAD": "true" if _can_not_trail(facts.rclone_name, target) else None,
    }
    known = {key: value for key, value in own.items() if value is not None}
    quirks = {key.upper(): str(value).lower() for key, value in target.quirks}
    keys = {
        f"{prefix}ACCESS_KEY_ID": target.access_key_id,
        f"{prefix}SECRET_ACCESS_KEY": target.secret_access_key,
        f"{prefix}SESSION_TOKEN": target.session_token,
    }
    return Remote(
        name=name,
        root=_root(target),
        backend=_S3,
        env=_set(prefix, {**facts.settings, **known, **quirks}),
        secret_env=_named(keys),
        ca_cert=target.ca_cert,
    )


def _check_folder(target: Target) -> None:
    odd = NOT_AS_WRITTEN.search(target.folder)
    if odd:
        raise HpsError(
            f"target '{target.name}': its folder holds U+{ord(odd[0]):04X}, which rclone takes for "
            "another character",
            "name a folder without it",
        )


def _can_not_trail(rclone_name: str, target: Target) -> bool:
    """True where rclone would send an object's checksum after its content, which needs TLS.

    Without TLS its S3 library reads the object twice to sign it, and can't where it is streamed.
    Parts of a multipart upload are signed either way.
    """
    return rclone_name == "AWS" and (target.endpoint or "").lower().startswith("http:")


def _lower(flag: bool | None) -> str | None:
    return None if flag is None else str(flag).lower()


# -------------------------------------------------------------------------------------------------
# Azure's Blob Storage. https://rclone.org/azureblob/
#
# A file of more than one chunk goes up as blocks, which one more request makes a blob. Each request
# is sent again by Azure's library, of which rclone's own log has nothing.

_WHOLE_BLOB = f"--azureblob-chunk-size={_MAX_SINGLE_PUT_BLOB_MIB}Mi"


def _azure_sizes(chunk_bytes: int, whole: bool) -> tuple[str, ...]:
    # What is no longer than a chunk goes up by one request; rounded, a chunk might be shorter.
    return (_WHOLE_BLOB if whole else f"--azureblob-chunk-size={chunk_bytes}B",)


_AZURE = Backend(
    name="azureblob",
    sizes=_azure_sizes,
    whole=(_WHOLE_BLOB,),
    log_env=MappingProxyType({"AZURE_SDK_GO_LOGGING": "all"}),
    unlooked=("--azureblob-no-head-object",),
)


def _azure(target: Target, name: str, prefix: str) -> Remote:
    address = str(address_of(target))
    principal = target.client_secret is not None
    settings = {
        "TYPE": _AZURE.name,
        "ACCOUNT": target.account,
        "ENDPOINT": address,
        "NO_CHECK_CONTAINER": "true",
        "ENV_AUTH": "true" if principal else None,
        # Only Microsoft's own authorities are known to its service that describes them.
        "DISABLE_INSTANCE_DISCOVERY": "true" if target.authority else None,
    }
    keys = {
        f"{prefix}KEY": target.account_key,
        f"{prefix}SAS_URL": target.sas_token,
        "AZURE_TENANT_ID": target.tenant_id,
        "AZURE_CLIENT_ID": target.client_id,
        "AZURE_CLIENT_SECRET": target.client_secret,
    }
    return Remote(
        name=name,
        root=_root(target),
        backend=_AZURE,
        env=_set(prefix, settings) | _set("", {"AZURE_AUTHORITY_HOST": target.authority}),
        secret_env=_named(keys),
        before={f"{prefix}SAS_URL": f"{address}/{target.bucket}?"},
        ca_cert=target.ca_cert,
    )


_REMOTES: Mapping[Protocol, Callable[[Target, str, str], Remote]] = MappingProxyType(
    {"s3": _s3, "azure": _azure}
)
