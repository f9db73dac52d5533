"""The part of the environment that may be stored: an allow-list of names, secrets taken out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from hps.secrecy import VARIABLE_PREFIX

# What this program itself reads, but for secrets. Their beginning is no rule: for a service that is
# called `hps` Kubernetes sets HPS_PORT, HPS_SERVICE_HOST and more in each container.
OWN_NAMES = (
    "HPS_CACHE",
    "HPS_COUNTRY",
    "HPS_LOG",
    "HPS_METADATA_URL",
    "HPS_OUTPUT",
    "HPS_RCLONE",
)
SALAD_NAMES = (
    "SALAD_MACHINE_ID",
    "SALAD_INSTANCE_ID",
    "SALAD_CONTAINER_GROUP_ID",
    "SALAD_CONTAINER_GROUP_NAME",
    "SALAD_PROJECT_ID",
    "SALAD_PROJECT_NAME",
    "SALAD_ORGANIZATION_ID",
    "SALAD_ORGANIZATION_NAME",
)
ALLOWED_NAMES = frozenset(
    {
        *OWN_NAMES,
        *SALAD_NAMES,
        "BUCKET",
        "CLOUDFLARE_REGION",
        "DLSPEED",
        "EXPERIMENT",
        "FOLDER",
        "SIZE",
        "ULSPEED",
    }
)
MAX_VALUE_CHARACTERS = 1000
_SECRET_WORD = re.compile(
    r"AUTH|BEARER|CERT|COOKIE|CRED|JWT|KEY|PASS|PRIVATE|PWD|SECRET|SESSION|SIGNATURE|TOKEN"
)
# Shorter values are too likely to be part of something harmless.
_MIN_SECRET_CHARACTERS = 8


def stored_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The allowed names of `env` that are set, sorted, with their values made harmless.

    Addresses lose user, password, query and fragment; a value that holds the value of a variable
    with a secret's name is replaced by `***`.
    """
    secrets = [
        value
        for name, value in env.items()
        if is_secret_name(name) and len(value) >= _MIN_SECRET_CHARACTERS
    ]
    return {name: _harmless(env[name], secrets) for name in sorted(env) if is_allowed(name)}


def is_allowed(name: str) -> bool:
    """True for the names that may be stored; HPS_VAR_… are there to be filled in."""
    if name in ALLOWED_NAMES:
        return True
    return name.startswith(VARIABLE_PREFIX) and not is_secret_name(name)


def is_secret_name(name: str) -> bool:
    """True where a name sounds like that of a secret, or of an access key's id."""
    if name in ALLOWED_NAMES:
        return False
    return _SECRET_WORD.search(name.upper()) is not None or "ID" in name.upper().split("_")


def _harmless(value: str, secrets: list[str]) -> str:
    if any(secret in value for secret in secrets):
        return "***"
    return (_bare_address(value) if "://" in value else value)[:MAX_VALUE_CHARACTERS]


def _bare_address(value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        return "***"
    # The fragment of a git+https address is the path of the experiment: it is kept.
    fragment = parts.fragment if parts.scheme.startswith("git+") else ""
    return parts._replace(
        netloc=parts.netloc.rpartition("@")[2], query="", fragment=fragment
    ).geturl()
