"""A target -> rclone's remote: settings in the environment of a child, never in a file.

rclone reads `RCLONE_CONFIG_<NAME>_<SETTING>`; with `RCLONE_CONFIG=/dev/null` no file is involved
and nothing secret stands on a command line or on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hps.catalog.providers import NOT_AS_WRITTEN, PROVIDERS, address_of, region_of
from hps.errors import HpsError
from hps.model import SecretRef, Target

_SECRETS = ("access_key_id", "secret_access_key", "session_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A target as rclone sees it. `env` is free of secrets; `secret_env` names where they are."""

    name: str
    root: str
    env: Mapping[str, str]
    secret_env: Mapping[str, SecretRef]
    ca_cert: str | None = None

    def path(self, *parts: str) -> str:
        """`name:bucket/folder/part/part`."""
        return f"{self.name}:" + "/".join(part for part in (self.root, *parts) if part)


def remote_of(target: Target) -> Remote:
    """The remote of a target. The embedded one must have been started: it needs an endpoint.

    Raises `HpsError` for a folder that rclone can't name.
    """
    _check_folder(target)
    facts = PROVIDERS[target.provider]
    own = {
        "TYPE": "s3",
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
    settings = {**facts.settings, **known, **quirks}
    # No shell can assign a variable with a dash in its name, and rclone would look for one.
    name = target.name.replace("-", "_")
    prefix = f"RCLONE_CONFIG_{name.upper()}_"
    secrets = {key: getattr(target, key) for key in _SECRETS if getattr(target, key) is not None}
    return Remote(
        name=name,
        root="/".join(part for part in (target.bucket, target.folder) if part),
        env={f"{prefix}{key}": value for key, value in settings.items()},
        secret_env={f"{prefix}{key.upper()}": reference for key, reference in secrets.items()},
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
