"""Standard output is the answer: printed whole, and nobody has to read it to the end."""

from __future__ import annotations

import os
import re
import sys

from hps.commands import complaint
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED

# Results may be anybody's. A terminal obeys these, or shows text in another order; a lone surrogate
# is no text. What ends a line of CSV stays.
_OBEYED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)
_lost: list[str] = []


def answer(text: str, *, coloured: bool = False) -> None:
    """Print an answer; that nobody reads it any more (`hps compare … | head`) is no mistake.

    Control characters are printed as the escapes of JSON, unless the text is `coloured`: whoever
    does that has looked after the rest.
    """
    try:
        sys.stdout.write(text if coloured else _OBEYED.sub(_escaped, text))
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            _lost.append(f"the answer could not be printed: {error.strerror}")
            complaint.tell(f"hps: {_lost[-1]}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_code(code: int) -> int:
    """A command's exit code: one whose answer got lost has not succeeded."""
    return EXIT_OPERATION_FAILED if _lost and code == EXIT_OK else code


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
