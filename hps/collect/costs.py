"""The requests that an operation makes, by the settings that its result has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hps import wire
from hps.analyze.names import UNKNOWN
from hps.estimate import Requests, requests
from hps.model import Cell, Knobs, Operation, Step, Transfer
from hps.step_kinds import STEP_KINDS
from hps.units import parse_size_bytes

Values = Mapping[str, str | int | bool]
_NEEDED = ("size", "files", "chunk_size", "concurrency", "transfers")


def payload_bytes(values: Values) -> int:
    """The bytes that one operation moves.

    0 where its result does not say, or not what it takes to know the requests: then nothing for
    each GB is known, and not that there is none.
    """
    size, files = values["size"], values["files"]
    return _bytes(size) * files if isinstance(files, int) and _all_known(values) else 0


def requests_of(step: str, values: Values) -> Requests:
    """Those of one operation where nothing has to be repeated, its chunks as in the upload.

    None at all for steps that move nothing over the network, or that this version doesn't know.
    """
    direction = STEP_KINDS[step].direction if step in STEP_KINDS else "none"
    if direction == "none" or not _all_known(values):
        return Requests()
    return requests(_operation(step, direction, values))


def _all_known(values: Values) -> bool:
    return UNKNOWN not in (values[name] for name in _NEEDED)


def _operation(step: str, direction: Literal["up", "down"], values: Values) -> Operation:
    """One with these settings, and nothing else to it."""
    asked = Transfer(
        chunk_size_bytes=_bytes(values["chunk_size"]),
        concurrency=int(values["concurrency"]),
        transfers=int(values["transfers"]),
        http2=bool(values["http2"]),
        checksum=bool(values["checksum"]),
    )
    knobs = Knobs(
        target=str(values["target"]),
        size_bytes=_bytes(values["size"]),
        files=int(values["files"]),
        layout="nested" if values["layout"] == "nested" else "flat",
        chunk_size_bytes=asked.chunk_size_bytes,
    )
    return Operation(
        operation_id="",
        trial_id="",
        cell=Cell(axes={}, knobs=knobs),
        repetition=0,
        warmup=False,
        step=Step(kind=step),
        step_index=0,
        direction=direction,
        requested=asked,
        effective=wire.effective(asked, direction, size_bytes=knobs.size_bytes, files=knobs.files),
    )


def _bytes(value: str | int | bool) -> int:
    return parse_size_bytes(value) if isinstance(value, str) and value != UNKNOWN else 0
