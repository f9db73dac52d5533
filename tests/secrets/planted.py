"""The secrets of one test, and every way in which they might be written."""

from __future__ import annotations

import base64
import html
import json
import secrets
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """Variables with secrets in them, none like another's: `env` as a person would set it."""

    env: Mapping[str, str]
    values: tuple[str, ...]

    def spellings(self) -> Iterator[tuple[str, str]]:
        """Each secret by its name, in each of its spellings."""
        for value in self.values:
            yield from ((value, spelled) for spelled in spellings(value))

    def found_in(self, text: str) -> list[str]:
        """The spellings that a text holds: none should be there."""
        return sorted({spelled for _, spelled in self.spellings() if spelled in text})


def plant() -> Planted:
    """Fresh secrets, with the characters that encodings change wherever these may stand."""
    mark = secrets.token_hex(6)
    key_id = f"AKIA{mark}=+x"  # goes into a header, where no '/' may be
    word = f"wJ/+{mark}=X%2F&n\"F'E\\M$I 9"
    ticket = f"tok/{mark}+A%B&\"C'D\\E$F="
    other = f"ghp/{mark}+Q%R&\"S'T\\U$V W"
    password = f"p/{mark}+w%rd&x=$"
    quoted = quote(password, safe="")
    env = {
        "PLANTED_ID": key_id,
        "PLANTED_WORD": word,
        "PLANTED_TICKET": ticket,
        "SOME_API_TOKEN": other,
        "HTTP_PROXY": f"http://someone:{quoted}@127.0.0.1:9",
    }
    return Planted(env=env, values=(key_id, word, ticket, other, password))


def spellings(value: str) -> set[str]:
    """As other programs write it: made by their own rules, and not by those of `hps`."""
    raw = value.encode()
    quoted = {
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
        quote(quote(value, safe=""), safe=""),
    }
    return {
        value,
        *quoted,
        *map(_lower_escapes, quoted),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(value))[3:-3],
        shlex.quote(f"{value} ")[1:-2],
        html.escape(value),
        escape(value, {'"': "&#34;", "'": "&#39;"}),
        repr(value)[1:-1],
        ascii(value)[1:-1],
        raw.hex(),
        raw.decode("latin-1"),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
        base64.b64encode(b"id:" + raw).decode(),
        base64.b64encode(b"a" + raw + b"bc").decode(),
    }


def _lower_escapes(text: str) -> str:
    """Hex digits in the other case: only in the escapes, for letters of the value stay."""
    head, *rest = text.split("%")
    return head + "".join(f"%{one[:2].lower()}{one[2:]}" for one in rest)
