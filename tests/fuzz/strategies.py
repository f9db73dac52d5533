"""Experiments that are good, and ones with a single mistake, for hypothesis."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Tree = dict[str, Any]

_S3: Tree = {
    "provider": "other",
    "endpoint": "https://s3.example.org",
    "bucket": "b",
    "access_key_id": {"env": "MY_ID"},
    "secret_access_key": {"env": "MY_SECRET"},
}
_STEPS = (
    *(["upload"], ["upload", "delete"], ["upload", "download"], ["upload", "list", "delete"]),
    *(["upload", "download", "verify", "delete"], ["sync_up", "sync_down", "verify"]),
    *(["upload", {"pause": {"duration": "2s"}}, "download"], [{"upload": {"timeout": "5m"}}]),
    *([{"upload": {"concurrency": 3}}, {"download": {"chunk_size": "8MiB"}}, "verify"],),
)
_AXES: Tree = {
    "size": ["5MiB", "20MiB", "64MiB", "1GiB", "0.5GiB", "100MB"],
    "files": [1, 2, 10, 100],
    "content": ["random", "zeros"],
    "layout": ["flat", "nested"],
    "chunk_size": ["5MiB", "8MiB", "10MiB", "25MiB", "128MiB"],
    "concurrency": [1, 2, 4, 10, 64],
    "transfers": [1, 4, 16],
    "checksum": [True, False],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """An experiment as a tree, as its text, and how many cells and trials a cell it declares."""

    tree: Tree
    text: str
    cells: int
    trials: int


@st.composite
def valid(draw: st.DrawFn) -> Experiment:
    """Any good experiment on an embedded or another target."""
    tree: Tree = {"api": "hps/v1", "name": draw(st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,62}\Z"))}
    tree["description"] = draw(_texts())
    tree["targets"] = draw(st.sampled_from([{"local": {"provider": "embedded"}}, {"s3": _S3}]))
    tree["data"] = {"size": draw(st.sampled_from(_AXES["size"]))}
    tree["steps"] = copy.deepcopy(draw(st.sampled_from(_STEPS)))
    axes = draw(st.dictionaries(st.sampled_from(sorted(_AXES)), st.none(), max_size=3))
    matrix = {
        knob: draw(st.lists(st.sampled_from(_AXES[knob]), min_size=1, max_size=4, unique=True))
        for knob in axes
    }
    matrix, cells = draw(_excluded(matrix))
    if matrix:
        tree["matrix"] = matrix
    tree["repetitions"] = draw(st.integers(1, 4))
    tree["warmup"] = draw(st.integers(0, 2))
    kinds = st.sampled_from(["declared", "shuffled", "random_blocks"])
    tree["order"] = {"kind": draw(kinds), "seed": draw(st.integers(0, 2**53 - 1))}
    trials = tree["repetitions"] + tree["warmup"]
    text = draw(_written(tree))
    return Experiment(tree=tree, text=text, cells=cells, trials=trials)


@st.composite
def _excluded(draw: st.DrawFn, matrix: Tree) -> tuple[Tree, int]:
    """Perhaps one value of one axis is excluded, where others remain."""
    cells = 1
    for values in matrix.values():
        cells *= len(values)
    longer = sorted(knob for knob, values in matrix.items() if len(values) > 1)
    if draw(st.booleans()) and longer:
        knob = draw(st.sampled_from(longer))
        without = cells // len(matrix[knob])
        return matrix | {"exclude": [{knob: draw(st.sampled_from(matrix[knob]))}]}, cells - without
    return matrix, cells


def _texts() -> st.SearchStrategy[str]:
    """What may stand in a description: no `${`, and no control characters."""
    letters = st.characters(exclude_categories=["Cc", "Cs", "Cf", "Cn", "Co", "Zl", "Zp"])
    return st.text(letters, max_size=60).filter(lambda text: "${" not in text)


@st.composite
def _written(draw: st.DrawFn, tree: Tree) -> str:
    """As JSON, which is YAML, or in block style; a comment may stand anywhere."""
    if draw(st.booleans()):
        return json.dumps(tree, ensure_ascii=False, indent=draw(st.sampled_from([None, 1])))
    comment = draw(st.sampled_from(["", "  # a comment: [not, closed"]))
    return "".join(_block(tree, 0, comment))


def _block(tree: Tree, indent: int, comment: str) -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield f"{' ' * indent}{key}:{comment}\n"
            yield from _block(value, indent + 2, comment)
        else:
            yield f"{' ' * indent}{key}: {json.dumps(value, ensure_ascii=False)}{comment}\n"


# --- one mistake ---------------------------------------------------------------------------------

Break = Callable[[Tree], object]
_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
)


def _set(*path: str, to: Any) -> Break:
    def change(tree: Tree) -> None:
        for step in path[:-1]:
            tree = tree.setdefault(step, {})
        tree[path[-1]] = to

    return change


def _each(*path: str, to: Iterable[Any]) -> tuple[Break, ...]:
    return tuple(_set(*path, to=one) for one in to)


def _target(key: str, values: Iterable[Any]) -> tuple[Break, ...]:
    return _each("targets", "a", to=[_S3 | {key: value} for value in values])


def _lack(key: str) -> Break:
    return lambda tree: tree.pop(key)


MISTAKES: tuple[Break, ...] = (
    *(_lack("api"), _lack("name"), _lack("targets"), _lack("steps")),
    *(
        _set("api", to="hps/v2"),
        _set("name", to="../x"),
        _set("name", to="-x"),
        _set("name", to="A"),
    ),
    *_each("data", "size", to=("20", "0B", "20MiBs", "-1MiB", "2000TiB", 20, None)),
    *_each("data", "files", to=(0, -1, 1_000_001, 1.5, "1", True, None)),
    *_each("repetitions", to=(0, 1001, "3", [3], 10**40, True)),
    *_each("warmup", to=(-1, 101, "x", {})),
    *_each("order", "seed", to=(-1, 2**53, "x")),
    *_each("steps", to=([], "upload", ["download"], ["uplaod"], [["upload"]], {})),
    _set("steps", to=["upload"] * 101),
    *_each("matrix", "concurrency", to=([], [0], [1, 1], [1025], ["1"], {})),
    *_each("matrix", "concurrency", "range", to=({}, {"from": 2, "to": 1})),
    *(_set("matrix", "exclude", to=[{"tool": "rclone"}]), _set("matrix", "colour", to=["red"])),
    *(_set("matrix", "include", to=[{"size": "x"}]), _set("matrix", "zip", to={"zip": {}})),
    *(
        _set("targets", "x y", to={"provider": "embedded"}),
        _set("targets", "a", to={"provider": "p"}),
    ),
    *_target("bucket", ("-x", "..", "a/b", "a b", "")),
    *_target("folder", ("-x", "..", "a//b", "a\nb", "$A")),
    *(
        _set("targets", "a", to=_S3 | {"endpoint": one})
        for one in ("x", "https://a:b@c", "file:///")
    ),
    *_target("region", ("a b", "a,b", "a\n", "")),
    *_target("access_key_id", ("x", {"env": "a b"}, {})),
    *(_set("results", to={"target": "nowhere"}), _set("unknown", to=1), _set("timeout", to="1")),
    *_each("description", to=("\x1b[2J", "a\u202eb", "\x00", "${NOT_SET}", "${")),
)


@st.composite
def nearly_valid(draw: st.DrawFn) -> str:
    """A good experiment with one mistake, which is none that could be taken for something good."""
    tree = copy.deepcopy(draw(valid()).tree)
    draw(st.sampled_from(MISTAKES))(tree)
    return json.dumps(tree, ensure_ascii=True, indent=draw(st.sampled_from([None, 1])))


@st.composite
def odd(draw: st.DrawFn) -> str:
    """A good experiment in which one value, anywhere, is another one: right or wrong."""
    tree = copy.deepcopy(draw(valid()).tree)
    parent: Any = tree
    while True:
        key = draw(st.sampled_from(_keys(parent)))
        below = parent[key]
        if not isinstance(below, dict | list) or not below or draw(st.booleans()):
            break
        parent = below
    parent[key] = draw(_ODD)
    return json.dumps(tree, indent=draw(st.sampled_from([None, 1])), allow_nan=True)


def _keys(parent: Any) -> list[Any]:
    return list(parent) if isinstance(parent, dict) else list(range(len(parent)))
