"""The tree of an experiment with its variables filled in, and what that made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hps.secrecy import may_name_secret
from hps.spec.characters import check_characters
from hps.spec.interpolate import Interpolator
from hps.spec.nodes import MapNode, Node, ScalarNode, as_mapping, problem_at
from hps.spec.problems import Problem
from hps.spec.secret_values import hide_secrets
from hps.spec.source import SpecText, decode, lines
from hps.spec.trust import check_paths, check_secret_names
from hps.spec.variables import odd_variable, refusing, secret_nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A tree without any `${…}`. `told`: see `Interpolator.told`."""

    root: MapNode
    told: Mapping[str, str]
    problems: tuple[Problem, ...]


def fill_in(root: MapNode, source: SpecText, env: Mapping[str, str]) -> Filled:
    """Every variable filled in, and a problem for each that may not be, or cannot."""
    problems: list[Problem] = []
    hidden = hide_secrets(root, problems)
    text_lines = lines(decode(source))
    quietly = Interpolator(env, source.name, text_lines)
    secrets = _secrets(hidden, quietly)
    problems.extend(_odd(secrets, env, trusted=source.trusted))
    refuse = refusing(secrets, trusted=source.trusted)
    interpolator = Interpolator(env, source.name, text_lines, refuse)
    filled = as_mapping(interpolator.fill(hidden))
    problems.extend(interpolator.problems)
    problems.extend(check_characters(filled))
    if not source.trusted:
        problems.extend(check_secret_names(filled, source.name))
        problems.extend(check_paths(filled, source.name))
    return Filled(root=filled, told=interpolator.told, problems=tuple(problems))


def _odd(
    secrets: Mapping[str, ScalarNode], env: Mapping[str, str], *, trusted: bool
) -> Iterator[Problem]:
    """A problem for each secret that is set, and is none as it is.

    Nothing is told of a variable that the experiment may not name.
    """
    for name, node in secrets.items():
        odd = odd_variable(name, env, is_key=True)
        if odd is not None and (trusted or may_name_secret(name)):
            yield problem_at(node.mark, odd.message, rule=odd.rule, hint=odd.hint)


def _secrets(root: Node, interpolator: Interpolator) -> dict[str, ScalarNode]:
    """The variables that secrets are taken from; their names may be filled in themselves."""
    filled = (interpolator.fill(node) for node in secret_nodes(root))
    return {str(node.value): node for node in filled if isinstance(node, ScalarNode)}
