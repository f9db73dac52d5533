"""The kinds of steps. A new kind is a module with a function that fits `Perform`, listed here.

A kind that runs a tool also has the function for its command line in `CALLS`.
"""

from __future__ import annotations

from collections.abc import Mapping

from hps.steps import download_to_gpu, load, objects, pause, transfer, verify
from hps.steps.context import Call, Perform, Places, StepContext

__all__ = ["CALLS", "STEPS", "Call", "Perform", "Places", "StepContext"]

STEPS: Mapping[str, Perform] = {
    "upload": transfer.upload,
    "download": transfer.download,
    "sync_up": transfer.sync_up,
    "sync_down": transfer.sync_down,
    "verify": verify.perform,
    "list": objects.list_objects,
    "delete": objects.delete,
    "pause": pause.perform,
    "load": load.perform,
    "download_to_gpu": download_to_gpu.perform,
}
CALLS: Mapping[str, Call] = {
    "upload": transfer.upload_call,
    "download": transfer.download_call,
    "sync_up": transfer.sync_up_call,
    "sync_down": transfer.sync_down_call,
    "list": objects.list_call,
    "delete": objects.delete_call,
    "download_to_gpu": download_to_gpu.call,
}
