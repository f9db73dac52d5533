"""Whether this is a node of SaladCloud, and how to leave it for another one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from hps.node.metadata import MetadataAnswer, MetadataClient

_NAMES = ("SALAD_MACHINE_ID", "SALAD_CONTAINER_GROUP_ID")


def on_salad(env: Mapping[str, str], client: MetadataClient, timeout_s: float = 1.0) -> bool:
    """True where SaladCloud's ids are set and its metadata service answers.

    `timeout_s` is for connecting, and again for the answer: elsewhere nobody is at that address.

    A machine id alone is no proof: people set one on their own machines.
    """
    if not all(env.get(name) for name in _NAMES):
        return False
    return _is_there(client.quick(timeout_s).status())


def leave(
    client: MetadataClient,
    reason: str,
    wait_s: float = 120.0,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Ask for another node, then wait up to `wait_s` for the end of this container.

    It waits whatever the service answers: a request may have arrived whose answer did not.
    Returns only where the end did not come, with a text on what happened; nothing of the
    experiment may run after that, and the exit code has to be other than 0, which alone makes
    SaladCloud choose another node.
    """
    answer = client.reallocate(reason)
    sleep(wait_s)
    asked = "another node was asked for" if answer.ok else "another node was asked for in vain"
    return f"{asked} ({answer.detail}); still here after {wait_s:g} s"


def _is_there(answer: MetadataAnswer) -> bool:
    """An error of the service itself shows that it is there; 404 or HTML come from others."""
    code = answer.status_code
    return answer.ok or (code is not None and (code in {403, 429} or code >= 500))
