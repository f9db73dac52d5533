"""What tools that read Amazon's own variables have in their environment.

No file of settings and no service that knows keys is asked, and HOME is empty: nothing on a machine
changes what a tool does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from hps.catalog.providers import PROVIDERS, address_of, region_of
from hps.model import SecretRef, Target
from hps.tools.invocation import Access

_USUAL_REGION = "us-east-1"  # where a server does not care, something must be signed for


def access_to(target: Target, more: Mapping[str, str] | None = None) -> Access:
    """The address, region, keys and certificate of a target, and `more` variables of the tool's.

    Amazon's own address is left to the tool, which then follows a bucket into its region.
    """
    address = target.endpoint if target.provider == "aws" else address_of(target)
    region = region_of(target) or _USUAL_REGION
    env = {
        "HOME": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        **({"AWS_ENDPOINT_URL": address} if address else {}),
        **(dict.fromkeys(_CERTIFICATES, target.ca_cert) if target.ca_cert else {}),
        **(more or {}),
    }
    keys = {
        "AWS_ACCESS_KEY_ID": target.access_key_id,
        "AWS_SECRET_ACCESS_KEY": target.secret_access_key,
        "AWS_SESSION_TOKEN": target.session_token,
    }
    secret_env: dict[str, SecretRef] = {
        name: reference for name, reference in keys.items() if reference is not None
    }
    return Access(target=target.name, env=env, secret_env=secret_env, ca_cert=target.ca_cert)


def access_from_go(target: Target, address_name: str, *, http2: bool | None) -> Access:
    """For a program in Go, with HTTP/1.1 where HTTP/2 is not wanted.

    `address_name` is the variable that it takes the address from.
    """
    access = access_to(target, {"GODEBUG": "http2client=0"} if http2 is False else {})
    own = {"AWS_ENDPOINT_URL": address_name}
    env = {own.get(name, name): value for name, value in access.env.items()}
    return replace(access, env=env)


_CERTIFICATES = ("AWS_CA_BUNDLE", "SSL_CERT_FILE")


def is_host_style(target: Target) -> bool:
    """True where the bucket stands in the host's name, and not in the path."""
    return target.force_path_style is False or PROVIDERS[target.provider].path_style == "never"
