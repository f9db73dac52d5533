"""Checks of targets: names are declared, cells have a target, providers are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hps.catalog.providers import PROVIDERS, owner_of
from hps.spec.problems import Problem, quoted
from hps.spec.schema import Checked
from hps.spec.sweep import PlacedAxis, PlacedEntry, cell_target, target_names
from hps.spec.wording import describe, key_mark, near
from hps.spec.yaml_tree import MapNode, Node, ScalarNode, problem_at


def check_targets(
    checked: Checked, axes: tuple[PlacedAxis, ...], included: tuple[PlacedEntry, ...]
) -> Iterator[Problem]:
    """Every name of a target that is not declared, and cells that have no target."""
    names = target_names(checked)
    if not names:
        return
    for node in _references(checked, axes, included):
        if node.value not in names:
            hint = f"declared under 'targets': {', '.join(map(quoted, names))}"
            yield problem_at(
                node.mark,
                f"there is no target {describe(node)}",
                rule="unknown-target",
                hint=hint,
                suggestion=near(str(node.value), names),
            )
    yield from _unnamed(checked, axes, included)


def _references(
    checked: Checked, axes: tuple[PlacedAxis, ...], included: tuple[PlacedEntry, ...]
) -> Iterator[ScalarNode]:
    for path in (("results", "target"), ("node", "probe", "target")):
        node = checked.good(*path)
        if isinstance(node, ScalarNode):
            yield node
    for axis in axes:
        for row in axis.rows:
            pairs = zip(axis.knobs, row, strict=True)
            yield from (placed.node for knob, placed in pairs if knob == "target")
    for entry in included:
        if "target" in entry.values:
            yield entry.values["target"].node


def _unnamed(
    checked: Checked, axes: tuple[PlacedAxis, ...], included: tuple[PlacedEntry, ...]
) -> Iterator[Problem]:
    has_bad_name = any(("targets", name) in checked.bad for name in target_names(checked))
    if has_bad_name or cell_target(checked) is not None or not checked.is_good(("results",)):
        return
    names = ", ".join(target_names(checked))
    matrix = checked.root.get("matrix")
    has_axis = any("target" in axis.knobs for axis in axes)
    has_axis = has_axis or (isinstance(matrix, MapNode) and matrix.get("target") is not None)
    if not has_axis:
        mark = key_mark(checked.root, ("targets",))
        message = f"there are several targets ({names}), and nothing says which one data moves to"
        hint = f"add matrix.target: [{names}], or name the one for results under results.target"
        yield problem_at(mark, message, rule="target-required", hint=hint)
        return
    for entry in included:
        if "target" not in entry.values:
            message = f"this cell names none of the targets ({names})"
            yield problem_at(entry.node.mark, message, rule="target-required", hint="add 'target'")


# -------------------------------------------------------------------------------------------------
# Targets with another provider than that of their host, or with settings that it does not take.

# A bucket's name becomes part of a host name, which has no '_'; these providers accept it anyway.
_UNDERSCORES = frozenset({"gcs", "ceph", "other", "embedded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """A target whose provider is valid."""

    checked: Checked
    name: str
    provider: ScalarNode

    def key(self, name: str) -> Node | None:
        return self.checked.good("targets", self.name, name)


def check_providers(checked: Checked) -> Iterator[Problem]:
    """Warnings where a target names the wrong provider, and errors where that can't work."""
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
    """For these providers rclone ignores `force_path_style` (seen with 1.75)."""
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
    # The schema refuses them for an embedded target.
    if target.key("quirks") is not None and provider not in {"other", "embedded"}:
        yield problem_at(
            key_mark(target.checked.root, ("targets", target.name, "quirks")),
            f"target '{target.name}' has quirks, and those of provider '{provider}' are known",
            rule="needless-quirks",
            hint="leave them out, or write provider: other",
        )
