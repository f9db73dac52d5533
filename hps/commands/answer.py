"""Standard output is the answer: printed whole, and nobody has to read it to the end."""

from __future__ import annotations

import os
import sys


def answer(text: str) -> None:
    """Print an answer; that nobody reads it any more (`hps compare … | head`) is no mistake."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"hps: the answer could not be printed: {error.strerror}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
