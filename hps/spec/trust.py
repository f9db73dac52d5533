"""Which variables of the environment an experiment that came over a network may use.

Whatever is filled in can be sent to a server that the experiment names itself, and is stored with
the results: so it gets at the settings that the shipped experiments have, and at those that
somebody named for the purpose. A secret is never filled in. Signatures made with one go to the
server that the experiment names, which can't tell the secret from them; still only secrets that are
for storage may be named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hps.secrecy import SECRET_PREFIX, VARIABLE_PREFIX, may_name_secret
from hps.spec.nodes import MapNode, ScalarNode, problem_at
from hps.spec.problems import Problem
from hps.spec.secret_values import SECRET_KEYS, is_safe_env_name

VARIABLES = frozenset(
    {
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "BUCKET",
        "CLOUDFLARE_ENDPOINT_URL",
        "CLOUDFLARE_REGION",
        "DLSPEED",
        "FOLDER",
        "SIZE",
        "ULSPEED",
    }
)
_PATH_KEY = "ca_cert"
_WHOLE_VARIABLE = re.compile(rf"\$\{{{VARIABLE_PREFIX}[A-Z0-9_]+(?::\?[^{{}}]*)?\}}")
_SALAD = re.compile(r"SALAD_[A-Z_]+_(ID|NAME)")
_RULE = "variable-not-allowed"


def may_fill_in(name: str) -> bool:
    """True for variables that `${…}` of such an experiment may name."""
    known = name in VARIABLES or _SALAD.fullmatch(name) is not None
    return known or name.startswith(VARIABLE_PREFIX)


def not_allowed(name: str, prefix: str) -> tuple[str, str, str]:
    """Message, hint and rule of the problem that the variable `name` may not be used."""
    message = f"an experiment from a network may not use the environment variable {name}"
    hint = f"pass the value as {prefix}…, or run a copy of the file from a path that you trust"
    return message, hint, _RULE


def check_paths(root: MapNode, file: str) -> Iterator[Problem]:
    """A problem for each path of this machine in `file`.

    Such an experiment can't read what it likes; a variable that was set for it may hold a path.
    """
    targets = root.get("targets")
    for _, target in targets.entries if isinstance(targets, MapNode) else ():
        node = target.get(_PATH_KEY) if isinstance(target, MapNode) else None
        if not isinstance(node, ScalarNode) or node.mark.file != file:
            continue
        if not _WHOLE_VARIABLE.fullmatch(node.text):
            message = "an experiment from a network may not name a file of this machine"
            hint = f"write ${{{VARIABLE_PREFIX}CA_CERT}}, pass the path by it, or use --set"
            yield problem_at(node.mark, message, rule="path-not-allowed", hint=hint)


def check_secret_names(root: MapNode, file: str) -> Iterator[Problem]:
    """A problem for each variable that a target in `file` may not take a secret from."""
    targets = root.get("targets")
    for _, target in targets.entries if isinstance(targets, MapNode) else ():
        if isinstance(target, MapNode):
            yield from (_problem(node) for node in _named(target) if _is_foreign(node, file))


def _named(target: MapNode) -> Iterator[ScalarNode]:
    for key in SECRET_KEYS:
        reference = target.get(key)
        name = reference.get("env") if isinstance(reference, MapNode) else None
        if isinstance(name, ScalarNode) and not name.broken:
            yield name


def _is_foreign(node: ScalarNode, file: str) -> bool:
    return node.mark.file == file and not may_name_secret(str(node.value))


def _problem(node: ScalarNode) -> Problem:
    shown = node.text if is_safe_env_name(node.text) else "that is named here"
    message, hint, rule = not_allowed(shown, SECRET_PREFIX)
    return problem_at(node.mark, message, rule=rule, hint=hint)
