"""Optional parts of `hps`: what they need is installed with an extra, and named where it lacks."""

from __future__ import annotations

from importlib.util import find_spec

from hps.errors import HpsError

REPORT = ("duckdb", "scipy", "altair", "vl_convert", "jinja2")


def require_report() -> None:
    """Raises `HpsError` where the extra `report` is not installed, with what to type."""
    missing = [name for name in REPORT if find_spec(name) is None]
    if missing:
        raise HpsError(
            f"not installed: {', '.join(missing)}",
            "collecting, comparing and reporting need the extra 'report': pip install 'hps[report]'"
            " (in a checkout: pip install -c constraints.txt -e '.[report]')",
        )
