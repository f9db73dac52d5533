"""The checks behind the schema's `format` words. Each takes text and raises `FormatError`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

from hps.catalog.providers import NOT_AS_WRITTEN
from hps.errors import HpsError, UnitError
from hps.spec import gates
from hps.units import (
    RATE_UNITS,
    SIZE_UNITS,
    TIME_UNITS,
    parse_moment,
    parse_rate_mbps,
    parse_size_bytes,
    parse_time_s,
)

MAX_SIZE_BYTES = 1024 * 1024**4
MAX_RATE_MBPS = 10_000_000
MAX_TIME_S = 30 * 24 * 3600
# More digits than the parser of units reads.
_LONG = re.compile(r"\s*[0-9]{19}")
# Zero without a unit, or with half of one.
_NOTHING = re.compile(r"\s*0+(\.0+)?\s*[kKMGT]?\s*")
_NEGATIVE = re.compile(r"\s*-\s*[0-9.]")
# The account at the end of an address of Azure's, where its host does not name it.
_ACCOUNT = re.compile(r"/[a-z0-9]{3,24}/?")
_ENDPOINT_HINT = "http:// or https://, a host and perhaps a port, such as https://s3.example.org"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class FormatError(HpsError):
    """A text without a valid meaning for its key.

    `message` completes a sentence that begins with the key, and quotes nothing; `unit_error`, where
    there is one, says more and quotes the text.
    """

    def __init__(
        self, message: str, hint: str, rule: str, unit_error: UnitError | None = None
    ) -> None:
        super().__init__(message, hint)
        self.rule = rule
        self.unit_error = unit_error


def check_size(text: str) -> None:
    """A size of a byte or more, at most 1024 TiB."""
    size_bytes = (
        0 if _NOTHING.fullmatch(text) else _parsed(parse_size_bytes, text, "size", SIZE_UNITS)
    )
    if size_bytes < 1:
        raise FormatError("is a size of nothing", "expected at least one byte", "bad-size")
    if size_bytes > MAX_SIZE_BYTES:
        raise FormatError("is too large", "expected at most 1024TiB", "bad-size")


def check_rate(text: str) -> None:
    """A rate from 0, at most 10,000 Gbps."""
    if _parsed(parse_rate_mbps, text, "rate", RATE_UNITS) > MAX_RATE_MBPS:
        raise FormatError("is too large", "expected at most 10000Gbps", "bad-rate")


def check_time(text: str) -> None:
    """A time above 0, at most 30 days."""
    seconds = _parsed(parse_time_s, text, "time", TIME_UNITS)
    if not 0 < seconds <= MAX_TIME_S:
        what = "is longer than 30 days" if seconds else "is no time at all"
        raise FormatError(what, "expected a time above 0s, at most 720h", "bad-time")


def check_endpoint(text: str) -> None:
    """An address of a service: a scheme, a host and perhaps a port."""
    parts = _split_address(text)
    if "@" in parts.netloc:
        hint = "leave it out; credentials are named under access_key_id and secret_access_key"
        raise FormatError("holds a user name or password", hint, "secret-literal")
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(parts.hostname or ""):
        raise FormatError(
            "is not an address of a service", f"expected {_ENDPOINT_HINT}", "bad-endpoint"
        )
    if parts.path not in {"", "/"} or parts.query or parts.fragment or text[-1] in "?#":
        hint = f"expected {_ENDPOINT_HINT}; bucket and folder have keys of their own"
        raise FormatError("has more than a host and a port", hint, "bad-endpoint")


def check_service(text: str) -> None:
    """As `check_endpoint`, and there may be a path that could be an account of Azure's."""
    path = _split_address(text).path
    check_endpoint(text.removesuffix(path) if _ACCOUNT.fullmatch(path) else text)


def check_bucket(text: str) -> None:
    """The name of a bucket, by the rules that providers share."""
    if not _BUCKET.fullmatch(text) or ".." in text:
        hint = (
            "expected up to 63 small letters, digits, '.', '_' or '-', beginning with a letter or "
            "digit, without '..'; folders have a key of their own"
        )
        raise FormatError("is not the name of a bucket", hint, "bad-name")


def check_folder(text: str) -> None:
    """A folder in a bucket, with or without slashes around it."""
    inner = strip_slashes(text)
    hint = "expected folders separated by '/', such as experiments/team-a"
    if _CONTROL.search(inner):
        raise FormatError("holds a control character", hint, "bad-folder")
    if inner.startswith("-"):
        raise FormatError(
            "begins with '-'", f"{hint}, beginning with another character", "bad-folder"
        )
    if "$" in inner:
        # A command that was printed is pasted into a shell, which would fill it in.
        raise FormatError("holds '$'", f"{hint}; a variable is ${{NAME}}, in braces", "bad-folder")
    odd = NOT_AS_WRITTEN.search(inner)
    if odd:
        what = f"holds U+{ord(odd[0]):04X}, which rclone takes for another character"
        raise FormatError(what, hint, "bad-folder")
    parts = inner.split("/") if inner else []
    for wrong, name in (("", "'//'"), ("..", "'..'"), (".", "'.'")):
        if wrong in parts:
            raise FormatError(f"holds {name}", hint, "bad-folder")


def check_gate(text: str) -> None:
    """A gate, as `hps.spec.gates` reads it."""
    try:
        gates.parse(text)
    except gates.GateError as error:
        raise FormatError(error.message, error.hint, "bad-gate", error.unit_error) from None


def check_moment(text: str) -> None:
    """A time of day with its date and its zone."""
    try:
        parse_moment(text)
    except (ValueError, OverflowError):
        hint = f"expected {EXPECTED['hps-moment']}"
        raise FormatError("is no time with its zone", hint, "bad-moment") from None


def strip_slashes(folder: str) -> str:
    """A folder without the one slash that may stand at either end."""
    return folder.removeprefix("/").removesuffix("/")


FORMATS: Mapping[str, Callable[[str], None]] = MappingProxyType(
    {
        "hps-size": check_size,
        "hps-rate": check_rate,
        "hps-time": check_time,
        "hps-endpoint": check_endpoint,
        "hps-service": check_service,
        "hps-bucket": check_bucket,
        "hps-folder": check_folder,
        "hps-gate": check_gate,
        "hps-moment": check_moment,
    }
)
# The formats of a number with a unit.
UNIT_FORMATS = frozenset({"hps-size", "hps-rate", "hps-time"})
EXPECTED: Mapping[str, str] = MappingProxyType(
    {
        "hps-size": "a size such as 10MiB",
        "hps-rate": "a rate such as 20Mbps",
        "hps-time": "a time such as 30s",
        "hps-endpoint": _ENDPOINT_HINT,
        "hps-service": _ENDPOINT_HINT,
        "hps-bucket": "the name of a bucket",
        "hps-folder": "a folder such as experiments/team-a",
        "hps-gate": "a gate such as download.throughput.p50>=100Mbps",
        "hps-moment": "a time such as 2026-12-01T18:00:00Z",
    }
)


def _parsed(parse: Callable[[str], float], text: str, kind: str, units: str) -> float:
    if _NEGATIVE.match(text):
        raise FormatError("is negative", f"expected a {kind} above 0", f"bad-{kind}")
    if _LONG.match(text):
        return math.inf
    if _NOTHING.fullmatch(text) and kind != "rate":
        return 0
    try:
        return parse(text)
    except UnitError as error:
        hint = f"expected a number and a unit: {units}"
        raise FormatError(f"is not a {kind}", hint, f"bad-{kind}", error) from None


def _split_address(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        if re.search(r"\s", text) or parts.port == 0:
            raise ValueError(text)
    except ValueError:
        raise FormatError(
            "is not an address of a service", f"expected {_ENDPOINT_HINT}", "bad-endpoint"
        ) from None
    return parts
