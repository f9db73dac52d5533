"""One module per kind of step. A new kind is a module that fits `Perform`, listed here.

A kind that runs a tool also has its command line in `CALLS`.
"""

from __future__ import annotations

from collections.abc import Mapping

from hps.steps import (
    delete,
    download,
    download_to_gpu,
    list_files,
    load,
    pause,
    sync_down,
    sync_up,
    upload,
    verify,
)
from hps.steps.context import Call, Perform, Places, StepContext

__all__ = ["CALLS", "STEPS", "Call", "Perform", "Places", "StepContext"]

STEPS: Mapping[str, Perform] = {
    "upload": upload.perform,
    "download": download.perform,
    "sync_up": sync_up.perform,
    "sync_down": sync_down.perform,
    "verify": verify.perform,
    "list": list_files.perform,
    "delete": delete.perform,
    "pause": pause.perform,
    "load": load.perform,
    "download_to_gpu": download_to_gpu.perform,
}
CALLS: Mapping[str, Call] = {
    "upload": upload.call,
    "download": download.call,
    "sync_up": sync_up.call,
    "sync_down": sync_down.call,
    "list": list_files.call,
    "delete": delete.call,
    "download_to_gpu": download_to_gpu.call,
}
