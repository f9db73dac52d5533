"""What to write in place of a value of the wrong kind, where its shape tells what was meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from hps.catalog.providers import PROVIDERS
from hps.model import KNOBS, SIZE_KNOBS
from hps.secrecy import is_called_like_a_secret
from hps.spec.formats import UNIT_FORMATS
from hps.spec.nodes import ListNode, MapNode, Node, Path, ScalarNode
from hps.spec.readings import bare, bare_text, readings
from hps.spec.secret_values import is_safe_env_name
from hps.spec.violation import RANGED, Violation
from hps.spec.wording import path_text
from hps.step_kinds import STEP_KINDS
from hps.units import spelled

# What people call a provider, and its name here.
PROVIDER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **{"r2": "cloudflare", "s3": "aws", "amazon": "aws", "b2": "backblaze"},
        **{"google": "gcs", "gs": "gcs", "spaces": "digitalocean", "rgw": "ceph"},
        "local": "embedded",
    }
)
# The unit that a number alone most likely has.
_FORMAT_UNITS: Mapping[str, str] = MappingProxyType(
    {"hps-size": "MiB", "hps-rate": "Mbps", "hps-time": "s"}
)
# The format of what a key holds that a mapping was left out around.
_KEY_FORMATS: Mapping[str, str] = MappingProxyType(
    {"size": "hps-size", "timeout": "hps-time", "duration": "hps-time"}
)
# The key that a number, or else a word, stands for in place of a mapping.
_KEYS: Mapping[Path, tuple[str, str]] = MappingProxyType(
    {
        **{("steps", kind): ("timeout", "") for kind in STEP_KINDS},
        ("steps", "pause"): ("duration", "duration"),
        ("steps", "load"): ("timeout", "method"),
        ("order",): ("seed", "kind"),
        ("data",): ("size", ""),
        ("node", "probe"): ("seconds", "method"),
    }
)
# What stands in [ ] and { } without quotes.
_WORD = re.compile(r"[A-Za-z0-9_./+-]{1,40}")
_ITEM = re.compile(r"[A-Za-z0-9_./+-][A-Za-z0-9_./+ -]{,39}")
_MAX_ITEMS = 8


def advice(violation: Violation) -> str:
    """What to write instead; nothing where the shape tells nothing."""
    node = violation.node
    if isinstance(node, MapNode):
        return _of_mapping(violation.path, node, str(violation.rules.get("format", "")))
    if isinstance(node, ListNode):
        return _of_list(violation.path)
    if not isinstance(node, ScalarNode) or node.secret or node.value is None:
        return ""
    if node.value is False and "countries" in violation.path:
        return 'write "NO", in quotes, for Norway: a program that reads YAML 1.1 makes false of NO'
    if violation.rules.get("type") == "object":
        return _as_mapping(violation, node)
    return _as_list(violation, node)


def unit(violation: Violation, node: ScalarNode) -> str:
    """What to write for a number that lacks its unit; nothing where the parser says it."""
    wanted, found = str(violation.rules.get("format")), bare(node)
    if found is None or wanted not in UNIT_FORMATS:
        return ""
    texts = readings(violation.path, wanted, found)
    if not node.filled_from and not node.unset:
        return spelled(texts) if texts else ""
    # What a variable holds is not shown.
    number = f"{found.number:f}"
    units = [text.removeprefix(number) for text in texts if text.startswith(number)]
    whole = node.text.strip()
    if not units or not whole.endswith(found.prefix):
        return ""
    return f"write {' or '.join(whole.removesuffix(found.prefix) + one for one in units)}"


def _of_mapping(path: Path, node: MapNode, wanted: str) -> str:
    name = node.get("env")
    if isinstance(name, ScalarNode) and node.names() == ("env",) and is_safe_env_name(name.text):
        return _from_environment(name.text, wanted)
    if _is_axis(path) and path[1] in RANGED and {"from", "to"} & set(node.names()):
        return f"write {path[1]}: {{range: {{{_written(path, node)}}}}}"
    return ""


def _from_environment(name: str, wanted: str) -> str:
    if is_called_like_a_secret(name):
        return "only what a target takes as a secret is named by {env: …}"
    one = _FORMAT_UNITS.get(wanted)
    number = f", or ${{{name}}}{one} where it holds a number alone" if one else ""
    return f"write ${{{name}}}{number}; {{env: …}} is for secrets"


def _written(path: Path, node: MapNode) -> str:
    """A range's entries as they stand, where they are plain, with units where they lack them."""
    words = [
        (name, _with_unit((*path, "range", name), _axis_format(path), _word(value)))
        for name, value in ((str(key.value), value) for key, value in node.entries)
    ]
    known = all(name and word for name, word in words)
    return ", ".join(f"{name}: {word}" for name, word in words) if known else "from: …, to: …"


def _of_list(path: Path) -> str:
    if path == ("targets",):
        return "write each target as NAME: {provider: …}"
    if path == ("matrix",):
        return "write each axis as KNOB: [value, value]"
    if path[-1] in KNOBS and path[0] in {"data", "steps"}:
        return f"to vary it, write {path[-1]}: [value, value] under 'matrix'"
    if path[-1] in KNOBS and path[1] in {"exclude", "include"}:
        return "write an entry for each value"
    return ""


def _as_mapping(violation: Violation, node: ScalarNode) -> str:
    """`order: shuffled` is meant as `order: {kind: shuffled}`."""
    path, word = violation.path, _word(node)
    key = _key_of(violation, word)
    if not word or not key:
        return ""
    if path == ("targets",):
        return f"write targets: {{NAME: {{provider: {word}}}}}"
    if key == "provider":
        word = PROVIDER_NAMES.get(word.lower(), word)
    word = _with_unit((*path, key), _KEY_FORMATS.get(key, ""), word)
    return f"write {path[-1]}: {{{key}: {word}}}"


def _key_of(violation: Violation, word: str) -> str:
    """The key that a single value most likely stands for."""
    path = tuple(step for step in violation.path if isinstance(step, str))
    if path[0] == "targets":
        return "provider" if word.lower() in {*PROVIDERS, *PROVIDER_NAMES} else ""
    if path == ("results",):
        targets = violation.root.get("targets")
        declared = targets.names() if isinstance(targets, MapNode) else ()
        return "target" if word in declared else "folder"
    of_number, of_word = _KEYS.get(path, ("", ""))
    return of_number if word[:1].isdigit() else of_word


def _as_list(violation: Violation, node: ScalarNode) -> str:
    """`upload, download` is meant as `[upload, download]`; a variable never gives a list."""
    path, is_list = violation.path, violation.rules.get("type") == "array"
    if not is_list and not _is_axis(path[:2]):
        return ""
    if "${" in node.text:
        several = isinstance(node.value, str) and re.search(r"[,\[\s]", node.value.strip())
        return _no_list(path) if is_list or several else ""
    text = node.text.strip().strip("[]")
    # A blank may stand before a unit.
    by = None if "," not in text and (is_list or "enum" in violation.rules) else ","
    words = [word.strip() for word in text.split(by)]
    many = is_list or (len(words) > 1 and _is_axis(path))
    if not many or len(words) > _MAX_ITEMS or not all(map(_ITEM.fullmatch, words)):
        return ""
    wanted = _axis_format(path) if _is_axis(path) else ""
    return f"write a list: [{', '.join(_with_unit(path, wanted, word) for word in words)}]"


def _no_list(path: Path) -> str:
    key = path_text(path if isinstance(path[-1], str) else path[:-1])
    return (
        "a variable gives one value and never a list; write the list out, with a ${…} for each, "
        f"or use --set {key}=[…]"
    )


def _with_unit(path: Path, wanted: str, word: str) -> str:
    """A word as it stands, or the likeliest that a number without its unit may mean."""
    found = bare_text(word) if wanted else None
    return next(iter(readings(path, wanted, found)), word) if found else word


def _axis_format(path: Path) -> str:
    return "hps-size" if path[1] in SIZE_KNOBS else ""


def _is_axis(path: Path) -> bool:
    return len(path) == 2 and path[0] == "matrix"


def _word(node: Node) -> str:
    """A value as written, where it can stand in braces as it is."""
    if not isinstance(node, ScalarNode) or node.secret or not _WORD.fullmatch(node.text):
        return ""
    return node.text
