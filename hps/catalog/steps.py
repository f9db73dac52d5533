"""The kinds of step: which way bytes move, what may be set, and what must come before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hps.model import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class StepKind:
    """One kind of step.

    `settings` are the keys as written in the experiment file; `SETTING_FIELDS` has their names in
    `Step.settings`. `needs`: a step of one of these kinds has to come earlier in the trial.
    `asks_nothing`: it makes no request.
    """

    name: str
    direction: Direction
    settings: tuple[str, ...]
    needs: tuple[str, ...]
    summary: str
    asks_nothing: bool = False

    @property
    def needs_object(self) -> bool:
        """True where the step works on what was uploaded, so that it fails after a `delete`."""
        return self.needs == UPLOADS


UPLOADS = ("upload", "sync_up")
DOWNLOADS = ("download", "sync_down")

# What a setting is called in `Step.settings`, where that differs from the experiment file.
SETTING_FIELDS: Mapping[str, str] = MappingProxyType(
    {"chunk_size": "chunk_size_bytes", "timeout": "timeout_s", "duration": "duration_s"}
)

_TRANSFER = ("chunk_size", "concurrency", "transfers", "http2", "checksum", "timeout")
_DOWNLOAD = (*_TRANSFER[:-1], "verify", "timeout")

_KINDS = (
    StepKind(
        name="upload",
        direction="up",
        settings=_TRANSFER,
        needs=(),
        summary="Upload the files.",
    ),
    StepKind(
        name="download",
        direction="down",
        settings=_DOWNLOAD,
        needs=UPLOADS,
        summary="Download the files to a place of their own.",
    ),
    StepKind(
        name="sync_up",
        direction="up",
        settings=_TRANSFER,
        needs=(),
        summary="Bring the folder in the bucket in line with the local one.",
    ),
    StepKind(
        name="sync_down",
        direction="down",
        settings=_DOWNLOAD,
        needs=UPLOADS,
        summary="Bring a local folder in line with the one in the bucket.",
    ),
    StepKind(
        name="verify",
        direction="none",
        settings=("timeout",),
        needs=DOWNLOADS,
        asks_nothing=True,
        summary="Compare what was downloaded with what was uploaded, byte by byte.",
    ),
    StepKind(
        name="list",
        direction="none",
        settings=("timeout",),
        needs=UPLOADS,
        summary="List the objects that were uploaded.",
    ),
    StepKind(
        name="delete",
        direction="none",
        settings=("timeout",),
        needs=UPLOADS,
        summary="Delete the objects that were uploaded.",
    ),
    StepKind(
        name="pause",
        direction="none",
        settings=("duration",),
        needs=(),
        asks_nothing=True,
        summary="Wait, without moving anything.",
    ),
    StepKind(
        name="load",
        direction="none",
        settings=("method", "chunk_size", "timeout"),
        needs=UPLOADS + DOWNLOADS,
        asks_nothing=True,
        summary="Read the local files into GPU memory.",
    ),
    StepKind(
        name="download_to_gpu",
        direction="down",
        settings=("chunk_size", "concurrency", "http2", "timeout"),
        needs=UPLOADS,
        summary="Download the objects straight into GPU memory.",
    ),
)

STEP_KINDS: Mapping[str, StepKind] = MappingProxyType({kind.name: kind for kind in _KINDS})
