"""Checks of targets: another provider than that of their host, and settings that do not fit it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from hps.catalog.providers import PROVIDERS, ProviderFacts, host_of, owner_of
from hps.spec.formats import FormatError, check_endpoint
from hps.spec.problems import Problem
from hps.spec.schema import Checked
from hps.spec.sweep import target_names
from hps.spec.wording import describe, key_mark, name_of
from hps.spec.yaml_tree import MapNode, Node, ScalarNode, problem_at


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """A target whose provider is valid."""

    checked: Checked
    name: str
    provider: ScalarNode

    @property
    def facts(self) -> ProviderFacts:
        return PROVIDERS[str(self.provider.value)]

    def key(self, name: str) -> Node | None:
        return self.checked.good("targets", self.name, name)

    def text(self, name: str) -> str:
        """The value of a key; empty where there is none that can be used."""
        node = self.key(name)
        return str(node.value) if isinstance(node, ScalarNode) else ""


def check_providers(checked: Checked) -> Iterator[Problem]:
    """Warnings where a target names the wrong provider, and errors where that can't work."""
    for name in target_names(checked):
        provider = checked.good("targets", name, "provider")
        if isinstance(provider, ScalarNode) and provider.value in PROVIDERS:
            target = _Declared(checked=checked, name=name, provider=provider)
            for check in (*_CHECKS, *(_OF_AZURE if provider.value == "azure" else _OF_S3)):
                yield from check(target)


def _of_another(target: _Declared) -> Iterator[Problem]:
    provider, owner = str(target.provider.value), owner_of(target.text("endpoint"))
    if owner in {None, provider, "embedded"}:
        return
    refused = _why_refused(target, str(owner))
    known = ": its limits, and what rclone has to mind, are known by that name"
    yield problem_at(
        target.provider.mark,
        f"the endpoint of target '{target.name}' is that of {PROVIDERS[str(owner)].title}, and its"
        f" provider is '{provider}'",
        rule="other-provider",
        hint=f"write provider: {owner}{refused or known}",
        severity="error" if refused else "warning",
    )


def _why_refused(target: _Declared, owner: str) -> str:
    """Why the endpoint's owner would refuse what is sent to it; empty where it may not."""
    if PROVIDERS[owner].protocol != target.facts.protocol:
        return ", with its account and its keys: what is spoken there is another protocol"
    if owner == "gcs" and not _leaves_encoding_unsigned(target):
        return (
            ", with interoperability (HMAC) keys: Google answers 403 to what is signed for others"
        )
    return ""


def _leaves_encoding_unsigned(target: _Declared) -> bool:
    quirks = target.key("quirks")
    switch = quirks.get("sign_accept_encoding") if isinstance(quirks, MapNode) else None
    return isinstance(switch, ScalarNode) and switch.value is False


def _odd_bucket(target: _Declared) -> Iterator[Problem]:
    bucket, provider = target.key("bucket"), str(target.provider.value)
    if target.facts.underscores:
        return
    if isinstance(bucket, ScalarNode) and "_" in str(bucket.value):
        yield problem_at(
            bucket.mark,
            f"the bucket of target '{target.name}' has '_' in its name, and provider '{provider}'"
            " takes no such name",
            rule="bad-name",
            hint="write the bucket's name as the provider shows it, perhaps with '-'",
        )


def _ignored_path_style(target: _Declared) -> Iterator[Problem]:
    """For these providers rclone ignores `force_path_style` (seen with 1.75)."""
    style = target.key("force_path_style")
    if target.facts.path_style == "never" and isinstance(style, ScalarNode) and style.value is True:
        yield problem_at(
            style.mark,
            f"rclone writes the bucket into the host name for provider '{target.provider.value}',"
            " whatever force_path_style says",
            rule="ignored-setting",
            hint="leave it out; a server that needs the bucket in the path is provider: other, or"
            " minio, with its endpoint",
        )


def _needless_quirks(target: _Declared) -> Iterator[Problem]:
    provider = str(target.provider.value)
    # The schema refuses them for an embedded target.
    if target.key("quirks") is not None and provider not in {"other", "embedded"}:
        yield problem_at(
            key_mark(target.checked.root, ("targets", target.name, "quirks")),
            f"target '{target.name}' has quirks, and those of provider '{provider}' are known",
            rule="needless-quirks",
            hint="leave them out, or write provider: other",
        )


def _more_than_a_host(target: _Declared) -> Iterator[Problem]:
    """The account in the path of an endpoint is Azure's alone."""
    endpoint = target.key("endpoint")
    try:
        check_endpoint(target.text("endpoint") or "https://none")
    except FormatError as error:
        message = f"{name_of(('targets', target.name, 'endpoint'))} {error.message}"
        message = f"{message}: {describe(endpoint)}"
        if endpoint is not None:
            yield problem_at(endpoint.mark, message, rule=error.rule, hint=error.hint)


# -------------------------------------------------------------------------------------------------
# Azure's: a container's name, one kind of credentials, and an endpoint of the account's.

_CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")
_PRINCIPAL = ("tenant_id", "client_id", "client_secret")
_WAYS = "account_key, sas_token, or tenant_id, client_id and client_secret"


def _odd_container(target: _Declared) -> Iterator[Problem]:
    bucket = target.key("bucket")
    if isinstance(bucket, ScalarNode) and not _CONTAINER.fullmatch(str(bucket.value)):
        yield problem_at(
            bucket.mark,
            f"the bucket of target '{target.name}' is a container of Azure's, and none has such a"
            " name",
            rule="bad-name",
            hint="expected 3 to 63 small letters, digits and single '-' between them",
        )


def _credentials(target: _Declared) -> Iterator[Problem]:
    """Of the three ways to be let in, a target names one, and all of it."""
    declared = target.checked.root.get("targets")
    node = declared.get(target.name) if isinstance(declared, MapNode) else None
    names = node.names() if isinstance(node, MapNode) else ()
    of_principal = [key for key in _PRINCIPAL if key in names]
    ways = [key for key in ("account_key", "sas_token") if key in names]
    mark = key_mark(target.checked.root, ("targets", target.name))
    missing = [key for key in _PRINCIPAL if key not in names]
    if of_principal and missing and not ways:
        message = f"target '{target.name}' names a service principal without {missing[0]}"
        yield problem_at(mark, message, rule="missing-key", hint=f"add {' and '.join(missing)}")
    elif len(ways) + bool(of_principal) != 1:
        what = "several kinds of credentials" if ways else "no credentials"
        message = f"target '{target.name}' names {what}"
        yield problem_at(mark, message, rule="credentials", hint=f"name one: {_WAYS}")


def _odd_account(target: _Declared) -> Iterator[Problem]:
    """The account stands in the endpoint's host, or, as with Azurite, in its path."""
    endpoint, account = target.key("endpoint"), target.text("account")
    if not isinstance(endpoint, ScalarNode) or not account:
        return
    address = str(endpoint.value)
    host, path = host_of(address), urlsplit(address).path.strip("/")
    in_host = not _is_bare(host) and (owner_of(address) != "azure" or _first(host) == account)
    if path == account or (not path and in_host):
        return
    own = f"https://{account}.blob.core.windows.net"
    yield problem_at(
        endpoint.mark,
        f"the endpoint of target '{target.name}' is not one of the account '{account}'",
        rule="bad-endpoint",
        hint=f"expected {own}, or, as Azurite has it, the account as the path:"
        f" http://127.0.0.1:10000/{account}",
    )


def _plain_authority(target: _Declared) -> Iterator[Problem]:
    authority = target.key("authority")
    if isinstance(authority, ScalarNode) and not str(authority.value).startswith("https:"):
        message = f"the authority of target '{target.name}' is asked for tokens without TLS"
        hint = "write https://: a client secret is sent to it"
        yield problem_at(authority.mark, message, rule="bad-endpoint", hint=hint)


def _first(host: str) -> str:
    return host.partition(".")[0]


def _is_bare(host: str) -> bool:
    """True for an IP address, and for a name of one word such as `localhost`."""
    try:
        return bool(ip_address(host))
    except ValueError:
        return "." not in host


_Check = Callable[[_Declared], Iterator[Problem]]
_CHECKS: tuple[_Check, ...] = (_of_another,)
_OF_S3: tuple[_Check, ...] = (
    _odd_bucket,
    _ignored_path_style,
    _needless_quirks,
    _more_than_a_host,
)
_OF_AZURE: tuple[_Check, ...] = (_odd_container, _credentials, _odd_account, _plain_authority)
