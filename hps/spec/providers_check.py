"""Targets that name another provider than their host's, or what rclone does not do for theirs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hps.catalog.providers import PROVIDERS, owner_of
from hps.spec.nodes import MapNode, Node, ScalarNode, problem_at
from hps.spec.problems import Problem
from hps.spec.targets_check import target_names
from hps.spec.validate import Checked
from hps.spec.wording import key_mark

# Names of buckets are names of hosts, and those have no '_'; these take it all the same.
_UNDERSCORES = frozenset({"gcs", "ceph", "other", "embedded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """A target with a provider that there is."""

    checked: Checked
    name: str
    provider: ScalarNode

    def key(self, name: str) -> Node | None:
        """The value of one of its keys, where nothing is wrong with it."""
        return self.checked.good("targets", self.name, name)


def check_providers(checked: Checked) -> Iterator[Problem]:
    """Warnings where a provider is called by another's name, errors where that can't work."""
    for name in target_names(checked):
        provider = checked.good("targets", name, "provider")
        if isinstance(provider, ScalarNode) and provider.value in PROVIDERS:
            target = _Declared(checked=checked, name=name, provider=provider)
            yield from _of_another(target)
            yield from _odd_bucket(target)
            yield from _ignored_path_style(target)
            yield from _needless_quirks(target)


def _of_another(target: _Declared) -> Iterator[Problem]:
    endpoint, provider = target.key("endpoint"), str(target.provider.value)
    owner = owner_of(str(endpoint.value)) if isinstance(endpoint, ScalarNode) else None
    if owner in {None, provider, "embedded"}:
        return
    refuses = owner == "gcs" and not _leaves_encoding_unsigned(target)
    hint = f"write provider: {owner}"
    yield problem_at(
        target.provider.mark,
        f"the endpoint of target '{target.name}' is that of {PROVIDERS[str(owner)].title}, and its"
        f" provider is '{provider}'",
        rule="other-provider",
        hint=f"{hint}, with interoperability (HMAC) keys: Google answers 403 to what is signed for"
        " others"
        if refuses
        else f"{hint}: its limits, and what rclone has to mind, are known by that name",
        severity="error" if refuses else "warning",
    )


def _leaves_encoding_unsigned(target: _Declared) -> bool:
    quirks = target.key("quirks")
    switch = quirks.get("sign_accept_encoding") if isinstance(quirks, MapNode) else None
    return isinstance(switch, ScalarNode) and switch.value is False


def _odd_bucket(target: _Declared) -> Iterator[Problem]:
    bucket, provider = target.key("bucket"), str(target.provider.value)
    if isinstance(bucket, ScalarNode) and "_" in str(bucket.value) and provider not in _UNDERSCORES:
        yield problem_at(
            bucket.mark,
            f"the bucket of target '{target.name}' has '_' in its name, and provider '{provider}'"
            " takes no such name",
            rule="bad-name",
            hint="write the bucket's name as the provider shows it, perhaps with '-'",
        )


def _ignored_path_style(target: _Declared) -> Iterator[Problem]:
    """rclone has its own mind here, and no flag or setting changes it (seen with 1.75)."""
    style, facts = target.key("force_path_style"), PROVIDERS[str(target.provider.value)]
    if facts.path_style == "never" and isinstance(style, ScalarNode) and style.value is True:
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
    # The schema has it that an embedded target takes none.
    if target.key("quirks") is not None and provider not in {"other", "embedded"}:
        yield problem_at(
            key_mark(target.checked.root, ("targets", target.name, "quirks")),
            f"target '{target.name}' has quirks, and those of provider '{provider}' are known",
            rule="needless-quirks",
            hint="leave them out, or write provider: other",
        )
