"""What `make test` leaves to `make prove`, of parameters of which some are proof enough."""

from __future__ import annotations

from typing import Any

import pytest


def left_to_prove(*values: Any) -> list[Any]:
    """These parameters, marked: `[*quick, *left_to_prove(*others)]`; a tuple is one test's all."""
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.prove)
        for value in values
    ]
