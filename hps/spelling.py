"""How a text may look once a program has encoded it: in addresses, JSON, XML, shells and Go."""

from __future__ import annotations

import base64
import json
import re
from functools import lru_cache
from urllib.parse import quote, quote_plus

_LONGEST_RUN = re.compile(r"[A-Za-z0-9]+")
# A run of letters and digits that is long enough to tell a text that may hold the secret.
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


def fixed(text: str) -> set[str]:
    """The text itself, its most usual encodings, and those in which not even letters stay."""
    raw = _raw(text)
    spelled = {text, raw.hex(), raw.hex().upper(), quote(raw, safe=""), quote_plus(raw)}
    spelled |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    spelled |= {"".join(f"%{byte:{form}}" for byte in raw) for form in ("02x", "02X")}
    for offset in range(3):
        # The text may stand within a longer one, such as `id:secret`: only whole characters of
        # base64, six bits each, are always the same.
        encoded = base64.b64encode(bytes(offset) + raw).decode("ascii").rstrip("=")
        whole = encoded[(0, 2, 3)[offset] : (offset + len(raw)) * 8 // 6]
        if len(whole) >= _SHORTEST_BASE64:
            spelled |= {whole, whole.replace("+", "-").replace("/", "_")}
    return spelled


def needed_run(text: str) -> str:
    """Letters and digits that every spelling of `loose` has; empty where there are too few."""
    longest = max(_LONGEST_RUN.findall(text), key=len, default="")
    return longest if len(longest) >= _SHORTEST_RUN else ""


@lru_cache(maxsize=256)
def loose(text: str) -> re.Pattern[str]:
    """Every encoding that leaves letters and digits, mixed at will, once or again and again."""
    return re.compile("".join(map(_character, text)))


def _character(one: str) -> str:
    if one.isascii() and one.isalnum():
        return one
    forms = [*_QUOTES.get(one, ()), rf"\\{{0,8}}{re.escape(one)}", *_numbers(one)]
    if one in _LETTERS:
        forms.append(_BACKSLASHES + _LETTERS[one])
    if one in _ENTITIES:
        forms.append(f"&(?:amp;){{0,4}}{_ENTITIES[one]};")
    if one == " ":
        forms.append(r"\+")
    if not one.isascii():
        forms.append(re.escape(_raw(one).decode("latin-1")))  # as headers of HTTP are often read
    if _is_lone_surrogate(one):
        forms.append("\ufffd")
    return f"(?:{'|'.join(forms)}){'' if one.isprintable() else '?'}"


def _numbers(one: str) -> list[str]:
    raw, code = _raw(one), ord(one)
    forms = [
        "".join(f"%(?:25){{0,4}}{byte:02x}" for byte in raw),
        "".join(f"{_BACKSLASHES}x{byte:02x}" for byte in raw),
        "".join(f"{_BACKSLASHES}u{unit:04x}" for unit in _utf16(one)),
        f"{_BACKSLASHES}u0{{4}}{code:04x}",
        f"&(?:amp;){{0,4}}#(?:0{{0,6}}{code}|x0{{0,6}}{code:x});",
        *([f"{_BACKSLASHES}x{code:02x}"] if code < 0x100 else []),
    ]
    octal = "".join(f"{_BACKSLASHES}{byte:03o}" for byte in raw)
    return [*(f"(?i:{form})" for form in forms), rf"{_BACKSLASHES}U{code:08x}", octal]


def _utf16(one: str) -> list[int]:
    encoded = one.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(encoded[at : at + 2], "big") for at in range(0, len(encoded), 2)]


def _raw(text: str) -> bytes:
    """The bytes that a variable of the environment holds: some may be no text."""
    try:
        return text.encode("utf-8", _BYTES_ERRORS)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _is_lone_surrogate(one: str) -> bool:
    return "\ud800" <= one <= "\udfff"
