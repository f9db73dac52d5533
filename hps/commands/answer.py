"""Standard output is the answer: printed whole, and without what a terminal would obey."""

from __future__ import annotations

import re
import sys

# Results may be anybody's. A terminal obeys these, or shows text in another order; a lone surrogate
# is no text. What ends a line of CSV stays.
_OBEYED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)


def answer(text: str, *, coloured: bool = False) -> None:
    """Print an answer.

    Control characters are printed as the escapes of JSON, unless the text is `coloured`: whoever
    does that has looked after the rest.
    """
    sys.stdout.write(text if coloured else _OBEYED.sub(_escaped, text))
    sys.stdout.flush()


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
