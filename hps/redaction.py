"""Keep secrets out of everything that is written: each value is replaced by its name.

Only texts that come from others are changed: from tools, servers, drivers and the author of the
experiment. Names of fields, ids, times, words of a fixed list and numbers are this program's own,
and stay even where a secret has the same value.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote

# -------------------------------------------------------------------------------------------------
# Which variables of the environment hold secrets: by their names, and by passwords in addresses.
# The same names may not be filled into an experiment, see `hps.spec.interpolate`.

# Any experiment may fill in variables with the first prefix, and name those with the second as
# secrets.
VARIABLE_PREFIX = "HPS_VAR_"
SECRET_PREFIX = "HPS_SECRET_"  # noqa: S105 - the beginning of a name
# The secrets of the shipped experiments and of the well-known targets.
STORAGE_SECRETS = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_STORAGE_KEY",
        "CLOUDFLARE_ID",
        "CLOUDFLARE_KEY",
    }
)
# Whole words, so that KEYBOARD, TOKENS, AUTHOR and PWD, the working folder, are none.
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:SECRETS?|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PASS|CREDENTIALS?|AUTH|COOKIE|BEARER|JWT"
    r"|PAT|(?:API|ACCESS)?KEY)(?:_?ID)?(?:_?[0-9]+)?$"
    r"|_PWD$|SECRET_|PASSWORD|(?:ACCESS|PRIVATE|API|SECRET)_?KEY",
    re.IGNORECASE,
)
_USER_INFO = re.compile(r"://(?P<user>[^/\s:@]*)(?P<colon>:?)(?P<password>[^/\s]*)@")
# A value that nobody declared as a secret may be an ordinary word: short ones stay.
_SHORTEST_GUESSED = 8


def may_name_secret(name: str) -> bool:
    """True for variables that hold keys of storage, whatever experiment names them."""
    return name in STORAGE_SECRETS or name.startswith(SECRET_PREFIX)


def is_called_like_a_secret(name: str) -> bool:
    """True for names of secrets; never for those that begin with HPS_VAR_."""
    if name.startswith(VARIABLE_PREFIX):
        return False
    return may_name_secret(name) or _SECRET_NAME.search(name) is not None


def secrets_in(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each secret of an environment as (the variable's name, the value).

    Values of variables that are called like secrets, and user names with passwords in addresses,
    such as those of proxies. A name may come more than once.
    """
    for name, value in env.items():
        if is_called_like_a_secret(name) and len(value) >= _SHORTEST_GUESSED:
            yield name, value
        for found in _USER_INFO.finditer(value):
            yield from ((name, text) for text in _of_address(found))


def _of_address(found: re.Match[str]) -> Iterator[str]:
    user, password = found["user"], found["password"]
    if found["colon"]:
        yield f"{user}:{password}"
        yield f"{unquote(user)}:{unquote(password)}"
    alone = password or user
    for text in dict.fromkeys((alone, unquote(alone))):
        if len(text) >= _SHORTEST_GUESSED:
            yield text


# -------------------------------------------------------------------------------------------------
# The forms that a text takes once a program has encoded it: in addresses, JSON, XML, shells, Go.

_LONGEST_RUN = re.compile(r"[A-Za-z0-9]+")
# Only a text with such a run of the secret's letters and digits is searched for encoded forms.
_SHORTEST_RUN = 3
_SHORTEST_BASE64 = 8
# One escape of a character, however often it was escaped again.
_BACKSLASHES = r"\\{1,8}"
_LETTERS = {"\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r"}
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
# Quotes within quotes of POSIX shells, CSV and rclone's connection strings.
_QUOTES = {'"': ('""',), "'": ("''", r"'\\''", "'\"'\"'")}
# In some programs' escapes a character is one number, in others it is that of each byte.
_BYTES_ERRORS = "surrogateescape"


def fixed_spellings(text: str) -> set[str]:
    """The text, its most usual encodings, and those that change letters too: hex, base64, %xx."""
    raw = _raw(text)
    spelled = {text, raw.hex(), raw.hex().upper(), quote(raw, safe=""), quote_plus(raw)}
    spelled |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    spelled |= {"".join(f"%{byte:{form}}" for byte in raw) for form in ("02x", "02X")}
    for offset in range(3):
        # The text may stand within a longer one, such as `id:secret`, at any of three offsets:
        # only the base64 characters whose six bits lie wholly inside the text are always the same.
        encoded = base64.b64encode(bytes(offset) + raw).decode("ascii").rstrip("=")
        whole = encoded[(0, 2, 3)[offset] : (offset + len(raw)) * 8 // 6]
        if len(whole) >= _SHORTEST_BASE64:
            spelled |= {whole, whole.replace("+", "-").replace("/", "_")}
    return spelled


def needed_run(text: str) -> str:
    """The longest run of letters and digits, which all that `loose` matches has; empty if short."""
    longest = max(_LONGEST_RUN.findall(text), key=len, default="")
    return longest if len(longest) >= _SHORTEST_RUN else ""


@lru_cache(maxsize=256)
def loose(text: str) -> re.Pattern[str]:
    """A pattern for encodings that leave letters and digits, in any mixture and any number."""
    return re.compile("".join(map(_character, text)))


def _character(char: str) -> str:
    if char.isascii() and char.isalnum():
        return char
    forms = [*_QUOTES.get(char, ()), rf"\\{{0,8}}{re.escape(char)}", *_numbers(char)]
    if char in _LETTERS:
        forms.append(_BACKSLASHES + _LETTERS[char])
    if char in _ENTITIES:
        forms.append(f"&(?:amp;){{0,4}}{_ENTITIES[char]};")
    if char == " ":
        forms.append(r"\+")
    if not char.isascii():
        forms.append(re.escape(_raw(char).decode("latin-1")))  # as headers of HTTP are often read
    if _is_lone_surrogate(char):
        forms.append("\ufffd")
    return f"(?:{'|'.join(forms)}){'' if char.isprintable() else '?'}"


def _numbers(char: str) -> list[str]:
    raw, code = _raw(char), ord(char)
    forms = [
        "".join(f"%(?:25){{0,4}}{byte:02x}" for byte in raw),
        "".join(f"{_BACKSLASHES}x{byte:02x}" for byte in raw),
        "".join(f"{_BACKSLASHES}u{unit:04x}" for unit in _utf16(char)),
        f"{_BACKSLASHES}u0{{4}}{code:04x}",
        f"&(?:amp;){{0,4}}#(?:0{{0,6}}{code}|x0{{0,6}}{code:x});",
        *([f"{_BACKSLASHES}x{code:02x}"] if code < 0x100 else []),
    ]
    octal = "".join(f"{_BACKSLASHES}{byte:03o}" for byte in raw)
    return [*(f"(?i:{form})" for form in forms), rf"{_BACKSLASHES}U{code:08x}", octal]


def _utf16(char: str) -> list[int]:
    encoded = char.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(encoded[at : at + 2], "big") for at in range(0, len(encoded), 2)]


def _raw(text: str) -> bytes:
    """The bytes of a variable in the environment, which need not be valid UTF-8."""
    try:
        return text.encode("utf-8", _BYTES_ERRORS)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _is_lone_surrogate(char: str) -> bool:
    return "\ud800" <= char <= "\udfff"


# -------------------------------------------------------------------------------------------------

_SHORTEST = 4  # shorter values would turn ordinary text into noise, and are no secrets
_SHORTEST_LINE = 8
# What makes a shared access signature of Azure's a secret: its other fields may stand in any order.
_SIGNATURE = re.compile(r"(?:^|[?&])sig=([^&\s]+)")
# Development servers have keys such as `test` and `minioadmin`.
_WORD = re.compile(r"[a-z]{1,16}")
# A text may have been cut within a secret: this much of its beginning or end is replaced, too.
_SHORTEST_PIECE = 8
_CUTS = "…"
# Every encoding that leaves letters as they are uses one of these.
_MARKS = "%\\&+'\""
# Ids of runs and times of day: this program's own, wherever they stand.
_OWN = re.compile(
    r"\b[0-9]{8}T[0-9]{9}Z(?:-[0-9a-f]{6,12})?\b"
    r"|\b[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z?)?\b"
)
_KEYS = "<keys>"
# The fields of a stored line that may hold texts from others; `*`: of any name. `<keys>`: there the
# names of the fields are foreign, too. All other fields are made by this program.
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
# The fields of an event that this program makes. Its other texts may come from anybody.
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
    variables that are called like secrets, and passwords in addresses, see `hps.redaction`.

    Two kinds of secrets stay: a lower-case word that stands in `public`, the text of an experiment,
    since everybody can read it there and names would be garbled without it; and a value that is one
    of `identities`, by which results are found. `words` are the names of such secrets.
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
            for encoded in fixed_spellings(value)
        }
        self._fixed = sorted(fixed.items(), key=lambda item: -len(item[0]))
        self._pieces = [
            (spelled, spelled[:_SHORTEST_PIECE], spelled[-_SHORTEST_PIECE:], label)
            for spelled, label in self._fixed
            if len(spelled) > _SHORTEST_PIECE
        ]
        self._runs = [
            (needed_run(value), value)
            for value in self._values
            if not (value.isascii() and value.isalnum())  # those that `loose` could find
        ]

    def text(self, text: str) -> str:
        for spelled, label in self._fixed:
            if spelled in text:
                text = _replaced(text, spelled, label)
        if not text.isascii() or any(mark in text for mark in _MARKS):
            text = self._without_encoded(text)
        return self._without_pieces(text)

    def record(self, record: Mapping[str, object]) -> dict[str, object]:
        """A stored line, or some fields of one, with secrets replaced in the fields of `FOREIGN`.

        All of it can be written: bytes that are no text become escapes.
        """
        return {_writable(key): self._within(item, _TREE.get(key)) for key, item in record.items()}

    def event(self, event: Mapping[str, object]) -> dict[str, object]:
        """An event with secrets replaced in all fields but `OWN_OF_AN_EVENT`."""
        own: _Tree = {}
        return {
            _writable(key): self._within(item, own if key in OWN_OF_AN_EVENT else _ALL)
            for key, item in event.items()
        }

    def data(self, value: object) -> object:
        """Foreign data with secrets replaced in every text within lists and mappings, keys too.

        What JSON can't hold, such as an exception, becomes its text; bytes that are no text become
        escapes.
        """
        return self._within(value, _ALL)

    def _within(self, value: object, tree: _Tree | None) -> object:
        """Replace secrets in the fields of the value that `tree` names; None: in none."""
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
                text = loose(value).sub(label, text)
        return text

    def _without_pieces(self, text: str) -> str:
        """Replace the beginning or the end of a secret that was cut before it came here."""
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
    """The text with a label for each `spelled` that is not part of an id of ours or a time."""
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
        for found in _SIGNATURE.finditer(value):
            yield name, unquote(found[1])
        # Programs often show one line of a text that has several.
        for line in value.splitlines():
            if len(line) >= _SHORTEST_LINE:
                yield name, line


def _is_word_of(text: str, value: str) -> bool:
    return _WORD.fullmatch(value) is not None and value in text


def _without_begin(text: str, value: str, label: str) -> str:
    """Replace `…secr` at the end of the text, or before an ellipsis."""
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
    """Replace `cret…` at the beginning of the text, or after an ellipsis."""
    mirrored = _without_begin(text[::-1], value[::-1], label[::-1])
    return mirrored[::-1]
