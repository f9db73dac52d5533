"""Which variables of the environment `${…}` may name, whoever wrote it.

What is filled in is shown by plans and stored with results, so that no secret may be: neither a
variable that the experiment itself takes a secret from, nor one that is called like a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from hps.odd_values import oddity
from hps.secrecy import VARIABLE_PREFIX, is_called_like_a_secret
from hps.spec.nodes import ListNode, MapNode, Node, ScalarNode
from hps.spec.problems import OVERRIDE_PREFIX
from hps.spec.secret_values import is_secret_key
from hps.spec.trust import may_fill_in, not_allowed

# They say where a run takes place, and not what it does.
_PLACE_NAME = re.compile(
    r"SALAD_[A-Z_]+_(?:ID|NAME)|HOSTNAME|(?:HOST|NODE|POD|MACHINE)_(?:ID|NAME)"
)
_RULE = "secret-filled-in"
_ODD_RULE = "odd-variable"
_SHOWN = "what is filled in is shown and stored with results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a variable may not be filled in, and what to do instead."""

    message: str
    hint: str
    rule: str


# Takes a variable's name, and whether it stands in the file (else in an override).
Refuse = Callable[[str, bool], Refusal | None]


def tells_the_place(name: str) -> bool:
    """True for variables that differ between the machines of one experiment."""
    return _PLACE_NAME.fullmatch(name) is not None


def secret_nodes(node: Node) -> Iterator[ScalarNode]:
    """Every `NAME` of an `{env: NAME}` below a key of a secret, misspelt ones too."""
    if isinstance(node, ListNode):
        for item in node.items:
            yield from secret_nodes(item)
    for key, value in node.entries if isinstance(node, MapNode) else ():
        name = value.get("env") if isinstance(value, MapNode) else None
        if is_secret_key(str(key.value)) and isinstance(name, ScalarNode):
            yield name
        else:
            yield from secret_nodes(value)


def refusing(secrets: Mapping[str, ScalarNode], *, trusted: bool) -> Refuse:
    """What `${…}` may not name. `secrets`: the variables of secrets, and where each is named."""

    def refuse(name: str, in_file: bool) -> Refusal | None:
        if name in secrets:
            return _holds_a_secret(name, secrets[name])
        if is_called_like_a_secret(name):
            return _is_called_like_one(name)
        if in_file and not trusted and not may_fill_in(name):
            message, hint, rule = not_allowed(name, VARIABLE_PREFIX)
            return Refusal(message=message, hint=hint, rule=rule)
        return None

    return refuse


def odd_variable(name: str, env: Mapping[str, str], *, is_key: bool = False) -> Refusal | None:
    """Why a variable can't be meant as it is; None for an ordinary one, and for an unset one."""
    odd = oddity(env.get(name, ""), is_key=is_key)
    if odd is None:
        return None
    message = f"the environment variable {name} {odd.what}"
    return Refusal(message=message, hint=odd.hint, rule=_ODD_RULE)


def _holds_a_secret(name: str, node: ScalarNode) -> Refusal:
    mark = node.mark
    place = mark.file if mark.file.startswith(OVERRIDE_PREFIX) else f"line {mark.line}"
    return Refusal(
        message=f"the environment variable {name} holds a secret, and would be filled in here",
        hint=f"{place} takes a secret from it, and {_SHOWN}; use another variable, or plain text",
        rule=_RULE,
    )


def _is_called_like_one(name: str) -> Refusal:
    return Refusal(
        message=f"the environment variable {name} is called like a secret",
        hint=f"{_SHOWN}; name a secret as {{env: {name}}} where a target takes it, and pass what "
        f"is none by another name, such as {VARIABLE_PREFIX}…",
        rule=_RULE,
    )
