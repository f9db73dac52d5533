"""Inputs changed at random: in their bytes, in their YAML tree, and in what is set beside them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Any

import yaml

from tests.fuzz.seeds import Input

# Each has been the end of some program that reads YAML.
_WORDS = (
    *(
        "",
        "~",
        "null",
        "true",
        "no",
        "0",
        "-0",
        "-1",
        "1e999",
        "0x7fffffffffffffff",
        "1_000",
        "0o7",
    ),
    *("9" * 30, "9" * 5000, "1" + "0" * 38, "1e38", "-9.9e-99", ".5", "1.", "+1", ".inf", ".nan"),
    *("10MiB", "0B", "1B", "999999999999999999TiB", "1024TiB", "5GiB", "1.5KiB", "10", "10 MB"),
    *(
        "1s",
        "0ms",
        "999999h",
        "10Mbps",
        "1MiB/s",
        "-5MiB",
        "1e3MiB",
        "10MIB",
        "\u0663MiB",
        "\uff11MiB",
    ),
    *(
        "${A}",
        "${BUCKET}",
        "${A:-x}",
        "${A:?x}",
        "${HPS_VAR_BYTES}",
        "${HPS_VAR_LONG}",
        "$${",
        "${",
    ),
    *("${HPS_VAR_YAML}", "${HPS_VAR_ESCAPE}", "${MY_KEY}", "${EMPTY:-1}", "${SIZE}MiB", "${a${b}}"),
    *("--config=/etc/passwd", "-", "--", "-x", "..", "../..", "/", "//", "a//b", ".", "~/.ssh"),
    *(
        ":s3,env_auth=true:b",
        "remote:path",
        "a b",
        "a\nb",
        "a,b:c=d",
        "$(id)",
        "`id`",
        ";",
        "|",
        "*",
    ),
    *("*a", "&a b", "&a [*a]", "!!python/object/apply:os.system [id]", "!!binary aGk=", "!x y"),
    *(
        "<<",
        "<<: *a",
        "? [a]",
        "? {a: b}\n: c",
        "- - - -",
        "[" * 60,
        "{" * 60,
        "%TAG ! x",
        "---",
        "...",
    ),
    *(
        "'",
        '"',
        "'''",
        '"\\e[31m"',
        '"\\u202e"',
        '"\\0"',
        '"\\ud800"',
        '"\\x85"',
        "|",
        ">-",
        "|9",
        "#",
    ),
    *("\ufeff", "\u2028", "\x85", "\x00", "\x1b[2J", "\u202e", "é", "😀", "ﬁ", "İ", "ß", "\ud7ff"),
    *("rclone", "upload", "download", "delete", "verify", "embedded", "aws", "cloudflare", "zip"),
    *("range", "exclude", "include", "target", "size", "chunk_size", "concurrency", "steps", "env"),
    *("https://a@b", "http://[::1", "https://x:99999", "http://x:0", "https://é", "https://[v1.x]"),
    *(
        "https://a:b@c",
        "http://:80",
        "https://x/?a",
        "p50>=1",
        "download.p50>1Mbps",
        "failures<=1%",
    ),
)
_BYTES = (
    b"\xff",
    b"\x00",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\r",
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**39, 10**41, 1.5, 1e308, -0.0, 1e-300),
    *(float("inf"), float("nan"), "", [], {}, [[]], [{}], {"": ""}, {"env": "A"}, {"range": {}}),
    *({"range": {"from": 1, "to": 10**9}}, {"range": {"from": "1B", "to": "1TiB", "step": "1B"}}),
    *({"range": {"from": 1, "to": 1024, "scale": "log2"}}, {"zip": {}}, {"zip": {"size": []}}),
    *(
        {"zip": {"size": ["1MiB"], "files": [1, 2]}},
        {"zip": {"zip": [1]}},
        [1, 1],
        ["a", None, [1]],
    ),
    *(list(range(200)), ["upload"] * 100, [{"pause": {"duration": "1s"}}], {"a": {"b": {"c": []}}}),
)

# Aliases of aliases make a small text a huge tree: of that the first part is changed, and written.
_MOST_PLACES = 1000
_MOST_PIECES = 5000

Draw = random.Random


def mutated(one: Input, others: Sequence[Input], draw: Draw) -> Input:
    """The input with one to six changes."""
    content = one.content
    if draw.random() < 0.4:
        content = _in_tree(content, others, draw)
    if draw.random() < 0.6:
        for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
            content = draw.choice(_OF_BYTES)(content, others, draw)
    overrides = one.overrides
    if draw.random() < 0.15:
        overrides = (*overrides, *(_override(draw) for _ in range(draw.choice((1, 1, 2)))))
    return replace(
        one,
        content=content[:20_000],
        overrides=overrides[:4],
        trusted=draw.random() < 0.8,
        has_machine=draw.random() < 0.2,
    )


def address(draw: Draw) -> str:
    """What EXPERIMENT might hold; never one that would be looked up in a network."""
    pieces = (
        "git+",
        "https",
        "http",
        "file",
        "://",
        "r2",
        "s3",
        ":",
        "@",
        "#",
        "/",
        "..",
        "-",
        "%2e",
    )
    made = [draw.choice((*pieces, *_WORDS)) for _ in range(draw.randrange(1, 8))]
    return "".join(made).replace("\x00", "")[:3000]


# --- bytes ---------------------------------------------------------------------------------------


def _delete(content: bytes, _: Sequence[Input], draw: Draw) -> bytes:
    begin, end = _span(content, draw)
    return content[:begin] + content[end:]


def _duplicate(content: bytes, _: Sequence[Input], draw: Draw) -> bytes:
    begin, end = _span(content, draw)
    return content[:end] + content[begin:end] * draw.choice((1, 1, 2, 30)) + content[end:]


def _swap(content: bytes, _: Sequence[Input], draw: Draw) -> bytes:
    lines = content.splitlines(keepends=True)
    if len(lines) > 1:
        one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _splice(content: bytes, others: Sequence[Input], draw: Draw) -> bytes:
    other = draw.choice(others).content
    begin, end = _span(other, draw)
    return _insert(content, other[begin:end], draw)


def _flip(content: bytes, _: Sequence[Input], draw: Draw) -> bytes:
    if not content:
        return content
    at = draw.randrange(len(content))
    return content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]


def _word(content: bytes, _: Sequence[Input], draw: Draw) -> bytes:
    return _insert(content, _some_word(draw).encode("utf-8", "surrogateescape"), draw)


def _byte(content: bytes, _: Sequence[Input], draw: Draw) -> bytes:
    return _insert(content, draw.choice(_BYTES), draw)


def _value(content: bytes, _: Sequence[Input], draw: Draw) -> bytes:
    """One `key: value` gets another value."""
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    key, colon, _rest = lines[at].partition(b": ")
    if colon:
        lines[at] = key + colon + _some_word(draw).encode("utf-8", "surrogateescape")
    return b"\n".join(lines)


def _indent(content: bytes, _: Sequence[Input], draw: Draw) -> bytes:
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    spaces = b" " * draw.randrange(9)
    lines[at] = spaces + (lines[at].lstrip() if draw.random() < 0.7 else b"\t" + lines[at])
    return b"\n".join(lines)


_OF_BYTES: tuple[Callable[[bytes, Sequence[Input], Draw], bytes], ...] = (
    *(
        _delete,
        _duplicate,
        _swap,
        _splice,
        _flip,
        _word,
        _word,
        _byte,
        _value,
        _value,
        _value,
        _indent,
    ),
)


def _span(content: bytes, draw: Draw) -> tuple[int, int]:
    begin = draw.randrange(len(content) + 1)
    return begin, min(len(content), begin + draw.choice((1, 2, 8, 40, 200)))


def _insert(content: bytes, piece: bytes, draw: Draw) -> bytes:
    at = draw.randrange(len(content) + 1)
    return content[:at] + piece + content[at:]


def _some_word(draw: Draw) -> str:
    return draw.choice(_WORDS)


# --- trees ---------------------------------------------------------------------------------------


def _in_tree(content: bytes, others: Sequence[Input], draw: Draw) -> bytes:
    """The same with some values, keys and branches changed; as it was where it is no YAML."""
    tree, other = _parsed(content), _parsed(draw.choice(others).content)
    if not isinstance(tree, dict):
        return content
    tree = copy.deepcopy(tree)
    for _ in range(draw.choice((1, 1, 2, 4))):
        _change(tree, other, draw)
    try:
        as_json = draw.random() < 0.2
        pieces = islice(_written(tree, 0, draw), _MOST_PIECES)
        written = json.dumps(tree) if as_json else "".join(pieces)
    except (TypeError, ValueError, RecursionError):
        return content  # a date, or a branch that was put into itself
    return written.encode("utf-8", "surrogateescape")


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@lru_cache(maxsize=1000)
def _parsed(content: bytes) -> Any:
    try:
        return yaml.load(content[:5000], Loader=_LOADER)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return None


def _written(tree: Any, indent: int, draw: Draw) -> Iterator[str]:
    """The tree as YAML, most of its texts without quotes: what that makes of them is a mutation."""
    if isinstance(tree, dict | list) and tree and indent < 40:
        yield "\n"
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield f"{' ' * indent}{'-' if isinstance(tree, list) else f'{key}:'} "
            yield from _written(value, indent + 2, draw)
    elif isinstance(tree, str) and draw.random() < 0.9:
        yield f"{tree}\n"
    else:
        yield f"{json.dumps(tree, default=str)}\n"


def _change(tree: Any, other: Any, draw: Draw) -> None:
    places = list(islice(_places(tree), _MOST_PLACES))
    if not places:
        return
    parent, key = draw.choice(places)
    kind = draw.randrange(8)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[draw.choice((_some_word(draw), "zip", "target", key))] = parent.pop(key)
    elif kind == 2:
        parent[key] = _branch(other, draw)
    elif kind == 3:
        parent[key] = [copy.deepcopy(parent[key]) for _ in range(draw.choice((1, 2, 30)))]
    elif kind == 4:
        parent[key] = {draw.choice(("range", "zip", "env", "size", "a")): parent[key]}
    elif kind == 5:
        parent[key] = copy.deepcopy(draw.choice(_VALUES))
    else:
        parent[key] = _some_word(draw)


def _branch(tree: Any, draw: Draw) -> Any:
    places = list(islice(_places(tree), _MOST_PLACES))
    if not places:
        return copy.deepcopy(draw.choice(_VALUES))
    parent, key = draw.choice(places)
    return copy.deepcopy(parent[key])


def _places(tree: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    if depth > 20:
        return
    entries = (
        list(tree.items())
        if isinstance(tree, dict)
        else list(enumerate(tree))
        if isinstance(tree, list)
        else []
    )
    for key, value in entries[:200]:
        yield tree, key
        yield from _places(value, depth + 1)


# --- overrides -----------------------------------------------------------------------------------

_KEYS = (
    *(
        "name",
        "data.size",
        "data.files",
        "matrix.concurrency",
        "matrix",
        "steps",
        "steps.0",
        "steps.99",
    ),
    *(
        "targets",
        "targets.local",
        "targets.s3.endpoint",
        "targets.s3.secret_access_key",
        "repetitions",
    ),
    *("a.b.c", "", ".", "a..b", "thresholds", "node.probe.seconds", "results.folder", "order.seed"),
)


def _override(draw: Draw) -> str:
    if draw.random() < 0.1:
        return _some_word(draw)
    word = _some_word(draw) if draw.random() < 0.7 else repr(draw.choice(_VALUES))
    return f"{draw.choice(_KEYS)}={word}"
