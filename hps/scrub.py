"""Keep secrets out of everything that is written: each value is replaced by its name.

Only in what others said: tools, servers, drivers, whoever wrote the experiment. Names of fields,
ids, times, words of a fixed list and numbers are this program's own, and stay what they are even
where a secret is called the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from hps import spelling
from hps.secrecy import secrets_in

_SHORTEST = 4  # shorter values would turn ordinary text into noise, and are no secrets
_SHORTEST_LINE = 8
# Development servers have keys such as `test` and `minioadmin`.
_WORD = re.compile(r"[a-z]{1,16}")
# So much of a secret's beginning or end gives it away where a text was cut off in the middle.
_SHORTEST_PIECE = 8
_CUTS = "…"
# What the encodings that leave letters as they are can't do without.
_MARKS = "%\\&+'\""
# Ids of runs and times of day, which are ours wherever they stand.
_OWN = re.compile(
    r"\b[0-9]{8}T[0-9]{9}Z(?:-[0-9a-f]{6,12})?\b"
    r"|\b[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z?)?\b"
)
_KEYS = "<keys>"
# The fields of a stored line that may hold what others said; `*`: of any name. `<keys>`: there the
# names of the fields are foreign, too. Whatever is not named here is made by this program.
FOREIGN = (
    *("reason", "command", "source", "spec", "spec_source", "overrides"),
    "targets.*.endpoint",
    *("node.kernel", "node.cpu_model", "node.environment.*", "node.missing.*"),
    *("node.disk.*.reason", "node.gpu.reason", "node.gpu.gpus.name"),
    *("probe.proxy", "probe.upload_mbps.reason", "probe.download_mbps.reason"),
    *("probe.rtt.address", "probe.rtt.reason"),
    *(f"probe.rtt_hosts.{_KEYS}", "probe.rtt_hosts.*.address", "probe.rtt_hosts.*.reason"),
    *("verdict.reasons", "verdict.checks.bound", "verdict.checks.reason"),
)
# Of an event: the fields that hold only what is ours. An event's other texts may be anybody's.
OWN_OF_AN_EVENT = frozenset(
    {
        *("event", "level", "timestamp", "run_id", "finished_by", "unfinished_run"),
        *("operation_id", "step", "cell", "status", "reason_code", "reason_owner", "action"),
        *("direction", "method", "names", "rules", "target", "content", "layout", "what"),
    }
)


class Scrubber:
    """Replaces secrets by their names in text and in JSON-like data, however they are encoded.

    It knows the `secrets` it is given, by name, and those in this process' environment: values of
    variables that are called like secrets, and passwords in addresses, see `hps.secrecy`.

    A lower-case word that stands in `public`, the text of an experiment, is left: everybody can
    read it there, and names would be garbled without it. So is what is one of `identities`, by
    which results are found. `words` are the names of such secrets.
    """

    def __init__(
        self, secrets: Mapping[str, str], *, public: str = "", identities: Collection[str] = ()
    ) -> None:
        given = list(_known(secrets))
        words = {item for item in given if _is_word_of(public, item[1]) or item[1] in identities}
        self.words = tuple(sorted(name for name, _ in words))
        # Longest first: a secret that contains another must not leave its tail behind.
        known = sorted((item for item in given if item not in words), key=lambda it: -len(it[1]))
        self._values: dict[str, str] = {}
        for name, value in known:
            self._values.setdefault(value, f"[{name}]")
        fixed = {
            encoded: label
            for value, label in self._values.items()
            for encoded in spelling.fixed(value)
        }
        self._fixed = sorted(fixed.items(), key=lambda item: -len(item[0]))
        self._pieces = [
            (spelled, spelled[:_SHORTEST_PIECE], spelled[-_SHORTEST_PIECE:], label)
            for spelled, label in self._fixed
            if len(spelled) > _SHORTEST_PIECE
        ]
        self._runs = [
            (spelling.needed_run(value), value)
            for value in self._values
            if not (value.isascii() and value.isalnum())  # no encoding changes such a one
        ]

    def text(self, text: str) -> str:
        """The text without any secret."""
        for spelled, label in self._fixed:
            if spelled in text:
                text = _replaced(text, spelled, label)
        if not text.isascii() or any(mark in text for mark in _MARKS):
            text = self._without_encoded(text)
        return self._without_pieces(text)

    def record(self, record: Mapping[str, object]) -> dict[str, object]:
        """A stored line, or a part of one under its own name: without secrets where it is foreign.

        All of it can be written: bytes that are no text are escapes.
        """
        return {_writable(key): self._within(item, _TREE.get(key)) for key, item in record.items()}

    def event(self, event: Mapping[str, object]) -> dict[str, object]:
        """The same of an event."""
        own: _Tree = {}
        return {
            _writable(key): self._within(item, own if key in OWN_OF_AN_EVENT else _ALL)
            for key, item in event.items()
        }

    def data(self, value: object) -> object:
        """Foreign data: every text within lists and mappings, keys too.

        Whatever is no JSON, an exception say, becomes its text; bytes that are no text, escapes.
        """
        return self._within(value, _ALL)

    def _within(self, value: object, tree: _Tree | None) -> object:
        """`tree` says which fields of the value are foreign; None: none of them."""
        if value is None or isinstance(value, bool | int | float):
            return value
        below = tree or {}
        if isinstance(value, Mapping):
            foreign_keys = tree is _ALL or _KEYS in below
            return {
                self._text(str(key), foreign=foreign_keys): self._within(
                    item, _ALL if tree is _ALL else below.get(str(key), below.get("*"))
                )
                for key, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self._within(item, tree) for item in value]
        return self._text(str(value), foreign=tree is _ALL)

    def _text(self, text: str, *, foreign: bool) -> str:
        return _writable(self.text(text) if foreign else text)

    def _without_encoded(self, text: str) -> str:
        for run, value in self._runs:
            if run in text:
                label = self._values[value].replace("\\", r"\\")
                text = spelling.loose(value).sub(label, text)
        return text

    def _without_pieces(self, text: str) -> str:
        """Without what is left of a secret where somebody cut a text before it came here."""
        for spelled, begin, end, label in self._pieces:
            if begin in text:
                text = _without_begin(text, spelled, label)
            if end in text:
                text = _without_end(text, spelled, label)
        return text


_Tree = dict[str, "_Tree"]
_ALL: _Tree = {"*": {}}


def _tree(paths: Iterable[str]) -> _Tree:
    """`a.b` -> `{"a": {"b": _ALL}}`."""
    tree: _Tree = {}
    for path in paths:
        *above, last = path.split(".")
        place = tree
        for name in above:
            place = place.setdefault(name, {})
        place[last] = _ALL
    return tree


_TREE = _tree(FOREIGN)


def _writable(text: str) -> str:
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _replaced(text: str, spelled: str, label: str) -> str:
    """The text with a label for each `spelled`, but for those within what is ours."""
    own = [found.span() for found in _OWN.finditer(text)]
    if not own:
        return text.replace(spelled, label)
    parts, done = [], 0
    at = text.find(spelled)
    while at >= 0:
        end = at + len(spelled)
        if not any(start <= at and end <= stop for start, stop in own):
            parts += [text[done:at], label]
            done = end
        at = text.find(spelled, end)
    return "".join([*parts, text[done:]])


def _known(secrets: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in (*secrets.items(), *secrets_in(os.environ)):
        if len(value) >= _SHORTEST:
            yield name, value
        # Of a text of several lines often one is shown.
        for line in value.splitlines():
            if len(line) >= _SHORTEST_LINE:
                yield name, line


def _is_word_of(text: str, value: str) -> bool:
    return _WORD.fullmatch(value) is not None and value in text


def _without_begin(text: str, value: str, label: str) -> str:
    """`…secr` at the end, or before an ellipsis, is taken away."""
    begin = text.find(value[:_SHORTEST_PIECE])
    while begin >= 0:
        end = begin
        while end < len(text) and end - begin < len(value) and text[end] == value[end - begin]:
            end += 1
        after = begin + 1
        if end == len(text) or text.startswith(_CUTS, end):
            text = text[:begin] + label + text[end:]
            after = begin + len(label)  # the name may begin as the secret does
        begin = text.find(value[:_SHORTEST_PIECE], after)
    return text


def _without_end(text: str, value: str, label: str) -> str:
    """`cret…` at the beginning, or after an ellipsis, is taken away."""
    mirrored = _without_begin(text[::-1], value[::-1], label[::-1])
    return mirrored[::-1]
