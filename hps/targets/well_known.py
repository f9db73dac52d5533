"""The targets that need no experiment: their whole description is in the environment.

| name  | variables |
|-------|-----------|
| `r2:` | `CLOUDFLARE_ENDPOINT_URL`, `CLOUDFLARE_ID`, `CLOUDFLARE_KEY`, and if wanted |
|       | `CLOUDFLARE_REGION` (auto), `BUCKET` (transcripts), `FOLDER` (high_performance_storage) |
| `s3:` | `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `BUCKET`, and if wanted |
|       | `AWS_ENDPOINT_URL` (Amazon's), `AWS_SESSION_TOKEN` (none), `FOLDER` (none) |

As in an experiment's `${NAME:-default}`, an empty variable counts as unset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from hps.catalog.providers import owner_of
from hps.errors import HpsError
from hps.model import Provider, SecretRef, Target
from hps.redaction import STORAGE_SECRETS
from hps.spec import odd_values
from hps.spec.formats import FormatError, check_bucket, check_endpoint, check_folder, strip_slashes

_REQUIRED = {
    "r2": ("CLOUDFLARE_ENDPOINT_URL", "CLOUDFLARE_ID", "CLOUDFLARE_KEY"),
    "s3": ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "BUCKET"),
}
_VARIABLES = {
    "r2": (*_REQUIRED["r2"], "CLOUDFLARE_REGION", "BUCKET", "FOLDER"),
    "s3": (*_REQUIRED["s3"], "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "FOLDER"),
}
KNOWN = tuple(_REQUIRED)


def missing(name: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that the target `name` needs, and that `env` lacks."""
    return tuple(variable for variable in _REQUIRED[name] if not env.get(variable))


def variables(name: str, env: Mapping[str, str]) -> dict[str, str]:
    """The variables of the target `name` that are set, with their values, secrets among them."""
    return {variable: env[variable] for variable in _VARIABLES[name] if env.get(variable)}


def target(name: str, env: Mapping[str, str]) -> Target:
    """A well-known target. Raises `HpsError` for a variable that is unset or not valid."""
    unset = missing(name, env)
    if unset:
        raise HpsError(
            f"not set in the environment: {', '.join(unset)}: '{name}:' needs it",
            f"export {unset[0]}=…, or pass -e {unset[0]} to the container",
        )
    for variable in _VARIABLES[name]:
        is_key = variable in STORAGE_SECRETS
        odd_values.checked(variable, env.get(variable, ""), is_key=is_key, needed_by=f"'{name}:'")
    return _r2(env) if name == "r2" else _s3(env)


def _r2(env: Mapping[str, str]) -> Target:
    return Target(
        name="r2",
        provider="cloudflare",
        endpoint=_endpoint("CLOUDFLARE_ENDPOINT_URL", env),
        region=env.get("CLOUDFLARE_REGION") or None,
        bucket=_checked("BUCKET", env.get("BUCKET") or "transcripts", check_bucket),
        folder=_folder(env.get("FOLDER") or "high_performance_storage"),
        access_key_id=SecretRef(env="CLOUDFLARE_ID"),
        secret_access_key=SecretRef(env="CLOUDFLARE_KEY"),
    )


def _s3(env: Mapping[str, str]) -> Target:
    endpoint = _endpoint("AWS_ENDPOINT_URL", env) if env.get("AWS_ENDPOINT_URL") else None
    return Target(
        name="s3",
        provider=cast("Provider", (owner_of(endpoint) or "other") if endpoint else "aws"),
        endpoint=endpoint,
        region=env["AWS_REGION"],
        bucket=_checked("BUCKET", env["BUCKET"], check_bucket),
        folder=_folder(env.get("FOLDER", "")),
        access_key_id=SecretRef(env="AWS_ACCESS_KEY_ID"),
        secret_access_key=SecretRef(env="AWS_SECRET_ACCESS_KEY"),
        session_token=SecretRef(env="AWS_SESSION_TOKEN") if env.get("AWS_SESSION_TOKEN") else None,
    )


def _endpoint(variable: str, env: Mapping[str, str]) -> str:
    return _checked(variable, env[variable], check_endpoint).rstrip("/")


def _folder(text: str) -> str:
    return strip_slashes(_checked("FOLDER", text, check_folder))


def _checked(variable: str, value: str, check: Callable[[str], None]) -> str:
    try:
        check(value)
    except FormatError as error:
        raise HpsError(f"the environment variable {variable} {error.message}", error.hint) from None
    return value
