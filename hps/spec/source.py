"""The text of an experiment file: read within bounds, decoded, and cut into lines."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from hps.errors import HpsError
from hps.spec.problems import Problem, SpecError, lines, visible

MAX_BYTES = 1024**2
STDIN = "<stdin>"
_TOO_LARGE_HINT = "an experiment file is at most 1 MiB; data does not belong in it"
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecText:
    """The raw bytes of an experiment file, and the name that problems call it by.

    One that came over a network is not `trusted`: see `hps.spec.interpolate`.
    """

    name: str
    content: bytes
    trusted: bool = True


def read_file(path: str) -> SpecText:
    """The file at `path`, of which no more than 1 MiB and a byte is ever read.

    Raises `HpsError` where it is missing, a folder, no regular file, unreadable or too large.
    """
    with _explained(path):
        # A pipe that nobody writes to would block here without O_NONBLOCK.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise _not_a_file(path, os.fstat(handle).st_mode)
            content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise HpsError(f"{path} is larger than 1 MiB", _TOO_LARGE_HINT)
    return SpecText(name=visible(path), content=content)


def read_stream(stream: IO[bytes] | None) -> SpecText:
    """What standard input holds, of which no more than 1 MiB and a byte is ever read.

    Raises `HpsError` where it is closed, unreadable or too large.
    """
    if stream is None:
        raise HpsError("standard input is closed", "pipe an experiment into it, or name a file")
    try:
        content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise HpsError(f"standard input cannot be read: {error.strerror}", "name a file") from None
    if len(content) > MAX_BYTES:
        raise HpsError("standard input holds more than 1 MiB", _TOO_LARGE_HINT)
    return SpecText(name=STDIN, content=content)


def decode(source: SpecText) -> str:
    """The text, without a byte order mark. Raises `SpecError` where it is no text for YAML."""
    if len(source.content) > MAX_BYTES:
        raise _at_byte(source, 0, "the file is larger than 1 MiB", _TOO_LARGE_HINT, "too-large")
    try:
        text = source.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(source, error.start) from None
    control = _CONTROL.search(text)
    if control is not None:
        raise _control_character(source, text, control.start())
    return text


def has_control(text: str) -> bool:
    """True for text with a character that YAML does not read."""
    return _CONTROL.search(text) is not None


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        hint = "check the path, and the folder that the command runs in"
        raise HpsError(f"there is no file {path}", hint) from None
    except IsADirectoryError:
        raise _not_a_file(path, stat.S_IFDIR) from None
    except PermissionError:
        hint = "make it readable for the user that runs hps"
        raise HpsError(f"{path} may not be read", hint) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no path"
        raise HpsError(f"{path!r} cannot be read: {reason}", "check the path") from None


def _not_a_file(path: str, mode: int) -> HpsError:
    if stat.S_ISDIR(mode):
        return HpsError(f"{path} is a folder", "name the experiment file inside it")
    return HpsError(f"{path} is not a regular file", "pipes and devices are not read; use a file")


def _not_utf8(source: SpecText, offset: int) -> SpecError:
    if source.content.startswith(_UTF16_MARKS):
        return _at_byte(source, 0, "the file is UTF-16", "save it as UTF-8", "not-utf8")
    message = f"byte {offset} (0x{source.content[offset]:02x}) is not UTF-8"
    return _at_byte(source, offset, message, "save the file as UTF-8", "not-utf8")


def _at_byte(source: SpecText, offset: int, message: str, hint: str, rule: str) -> SpecError:
    before = source.content[:offset]
    start_of_line = before.rfind(b"\n") + 1
    column = len(before[start_of_line:].decode("utf-8-sig", "replace")) + 1
    problem = Problem(
        file=source.name,
        line=before.count(b"\n") + 1,
        column=column,
        end_column=column + 1,
        message=message,
        hint=hint,
        rule=rule,
    )
    return SpecError([problem])


def _control_character(source: SpecText, text: str, index: int) -> SpecError:
    before = lines(text[:index])
    column = len(before[-1]) + 1
    problem = Problem(
        file=source.name,
        line=len(before),
        column=column,
        end_column=column + 1,
        message=f"there is a control character, U+{ord(text[index]):04X}",
        hint='delete it, or write it as an escape inside double quotes, such as "\\e"',
        rule="control-character",
    )
    return SpecError([problem])
