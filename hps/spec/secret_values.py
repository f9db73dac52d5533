"""Secrets that were written into an experiment file: found, refused, and never shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hps.model import Spec
from hps.spec.problems import Problem
from hps.spec.yaml_tree import ListNode, MapNode, Node, ScalarNode, problem_at, scalar_leaves

SECRET_KEYS = (
    *("access_key_id", "secret_access_key", "session_token"),
    *("account_key", "sas_token", "tenant_id", "client_id", "client_secret"),
)
MASK = "***"

# Wider than SECRET_KEYS, since a misspelt key holds a secret as well.
_SUSPICIOUS = (
    r"(?:secret|token|passw|credential|(?:acces{1,2}|account|storage)[_-]?key|key[_-]?id"
    r"|connection[_-]?string|(?<![a-z])sas(?![a-z]))"
)
_SECRET_KEY = re.compile(_SUSPICIOUS, re.IGNORECASE)
_KEY_IN_LINE = re.compile(
    _SUSPICIOUS + r"[\w.-]{0,64}+[\"']?+\s{0,99}+(?:[:=]\s{0,99}|$)", re.IGNORECASE
)
_REFERENCE = re.compile(r"\{\s*env\s*:\s*(?P<name>[A-Z_][A-Z0-9_]*)\s*\}")
_ENV_LINE = re.compile(r"\s*[\"']?env[\"']?\s*:\s*(?P<name>[A-Z_][A-Z0-9_]*)\s*(#.*)?")
_USER_INFO = re.compile(r"(?<=://)[^/\s\"']*@")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
_AWS_KEY_ID = re.compile(r"A(KIA|SIA)[A-Z0-9]{12,}")


def is_secret_key(name: str) -> bool:
    """True for keys that hold a secret, or are named as if they did."""
    return _SECRET_KEY.search(name) is not None


def is_safe_env_name(text: str) -> bool:
    """True for what is surely the name of a variable, and not a secret."""
    return _ENV_NAME.fullmatch(text) is not None and not _AWS_KEY_ID.fullmatch(text)


def hide_secrets(node: Node, problems: list[Problem]) -> Node:
    """The tree with secrets marked as such; adds a problem for each that is written out."""
    if isinstance(node, ListNode):
        return replace(node, items=tuple(hide_secrets(item, problems) for item in node.items))
    if isinstance(node, ScalarNode):
        return node
    entries = []
    for key, value in node.entries:
        secret = is_secret_key(str(key.value))
        hidden = _hide(key, value, problems) if secret else hide_secrets(value, problems)
        entries.append((key, hidden))
    return replace(node, entries=tuple(entries))


def mask_lines(text_lines: Sequence[str], root: Node | None) -> list[str]:
    """The lines of a file with every secret masked, whether or not the file could be parsed."""
    masked = list(text_lines)
    for leaf in _secret_leaves(root) if root is not None else ():
        first, last = leaf.mark.line - 1, leaf.mark.end_line - 1
        for index in range(first, min(last + 1, len(masked))):
            begin = leaf.mark.column - 1 if index == first else 0
            masked[index] = masked[index][:begin] + MASK
    return list(_mask_text(masked))


def mask_text(text: str) -> str:
    """One line of text with every secret masked."""
    return next(_mask_text([text]))


def _hide(key: ScalarNode, value: Node, problems: list[Problem]) -> Node:
    if isinstance(value, ScalarNode):
        if value.value is not None and not value.broken and key.value in SECRET_KEYS:
            problems.append(_literal(key, value))
        return replace(value, secret=True, broken=value.value is not None)
    if isinstance(value, ListNode):
        return replace(value, items=tuple(_hide_all(item) for item in value.items))
    entries = []
    for inner, below in value.entries:
        entries.append((inner, _hide_env(inner, below, problems)))
    return replace(value, entries=tuple(entries))


def _hide_env(key: ScalarNode, value: Node, problems: list[Problem]) -> Node:
    if key.value != "env" or not isinstance(value, ScalarNode):
        return _hide_all(value)
    if is_safe_env_name(value.text):
        return value
    if _AWS_KEY_ID.fullmatch(value.text):
        problems.append(_literal(key, value))
        return replace(value, secret=True, broken=True)
    return replace(value, secret=True)


def _hide_all(node: Node) -> Node:
    if isinstance(node, ScalarNode):
        return replace(node, secret=True)
    if isinstance(node, ListNode):
        return replace(node, items=tuple(_hide_all(item) for item in node.items))
    return replace(node, entries=tuple((key, _hide_all(value)) for key, value in node.entries))


def _literal(key: ScalarNode, value: ScalarNode) -> Problem:
    variable = _VARIABLE.search(value.text)
    name = variable[1] if variable and is_safe_env_name(variable[1]) else "NAME"
    kept = "a secret is named in the file, never written or filled into it"
    hint = f"write {key.value}: {{env: {name}}}, with the name of an environment variable; {kept}"
    if key.value == "env":
        hint = f"write the name of an environment variable that holds it; {kept}"
    what = "a secret is filled in" if variable else "a secret is written out"
    where = "" if key.value == "env" else f" as '{key.value}'"
    return problem_at(value.mark, f"{what}{where}", rule="secret-literal", hint=hint)


def _secret_leaves(node: Node) -> Iterator[ScalarNode]:
    """Every value below a key of a secret that is not surely the name of a variable."""
    if isinstance(node, ListNode):
        for item in node.items:
            yield from _secret_leaves(item)
    elif isinstance(node, MapNode):
        for key, value in node.entries:
            if is_secret_key(str(key.value)):
                leaves = scalar_leaves(value)
                yield from (leaf for leaf in leaves if not is_safe_env_name(leaf.text))
            else:
                yield from _secret_leaves(value)


def _mask_text(text_lines: Sequence[str]) -> Iterator[str]:
    below: int | None = None
    for line in text_lines:
        indent = len(line) - len(line.lstrip())
        continues = indent > (below or 0) or not line.strip() or line.lstrip().startswith(":")
        if below is not None and continues:
            yield line if _is_safe_line(line) else line[:indent] + MASK
            continue
        found = _KEY_IN_LINE.search(line)
        below = indent if found else None
        yield _USER_INFO.sub(f"{MASK}@", _mask_line(line, found))


def _mask_line(line: str, found: re.Match[str] | None) -> str:
    end = len(line.rstrip())
    while found is not None and found.end() < end:
        reference = _REFERENCE.match(line, found.end())
        if reference is None or not is_safe_env_name(reference["name"]):
            return line[: found.end()] + MASK
        found = _KEY_IN_LINE.search(line, reference.end())
    return line


def _is_safe_line(line: str) -> bool:
    named = _ENV_LINE.fullmatch(line)
    return not line.strip() or (named is not None and is_safe_env_name(named["name"]))


# -------------------------------------------------------------------------------------------------
# Which environment variables an experiment takes its secrets from.


def secret_env_names(spec: Spec) -> tuple[str, ...]:
    """The name of every variable that a target of the spec names, once each, in order."""
    references = (reference for target in spec.targets.values() for reference in target.secrets)
    return tuple(dict.fromkeys(reference.env for reference in references))
