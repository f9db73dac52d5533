"""SaladCloud: the cost of deleting an instance while a run is at work, and asking for another node.

On other nodes all of this does nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from hps.node.metadata import MetadataAnswer, MetadataClient, client_from

# -------------------------------------------------------------------------------------------------
# Whether this is a node of SaladCloud, and how to leave it for another node.

_NAMES = ("SALAD_MACHINE_ID", "SALAD_CONTAINER_GROUP_ID")


def on_salad(env: Mapping[str, str], client: MetadataClient, timeout_s: float = 1.0) -> bool:
    """True where SaladCloud's ids are set and its metadata service answers.

    `timeout_s` is for connecting, and again for the answer: on other nodes nothing is at that
    address. A machine id alone is no proof: people set one on their own machines.
    """
    if not all(env.get(name) for name in _NAMES):
        return False
    return _is_there(client.quick(timeout_s).status())


def leave(
    client: MetadataClient,
    reason: str,
    wait_s: float = 120.0,
    sleep: Callable[[float], object] = time.sleep,
) -> str:
    """Ask for another node, then wait up to `wait_s` for the end of this container.

    It waits whatever the service answers: a request may have arrived although its answer did not.
    Returns what happened, where the end did not come. Nothing of the experiment may run after
    that, and the exit code must not be 0, for only then does SaladCloud choose another node.
    """
    answer = client.reallocate(reason)
    sleep(wait_s)
    asked = "another node was asked for" if answer.ok else "another node was asked for in vain"
    return f"{asked} ({answer.detail}); still here after {wait_s:g} s"


def _is_there(answer: MetadataAnswer) -> bool:
    """An error of the service shows that it is there; 404 or HTML come from other servers."""
    code = answer.status_code
    return answer.ok or (code is not None and (code in {403, 429} or code >= 500))


# -------------------------------------------------------------------------------------------------

# Instances with a lower cost are deleted first; the default is 0.
COST_WHILE_RUNNING = 100
# Short, so that a service in trouble does not delay a run.
_COST_TIMEOUT_S = 2.0
_LEAVE_WAIT_S = 120.0
# SaladCloud takes few requests for other nodes a minute, of a whole organisation: its example is
# ten. So many seconds are for each node of a fleet that was rejected lately.
_TURN_S = 6.0
_MOST_TURNS_S = 120.0
_BACK_OFFS_S = (4.0, 8.0, 16.0, 32.0, 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaladNode:
    """This node for SaladCloud. `client` is None on any other node."""

    client: MetadataClient | None
    machine_id: str = ""
    event: Callable[..., object] = field(repr=False)

    @classmethod
    def find(cls, env: Mapping[str, str], event: Callable[..., object]) -> SaladNode:
        """Look whether this is a node of SaladCloud; takes a few seconds at most."""
        client = client_from(env)
        found = client if on_salad(env, client) else None
        return cls(client=found, machine_id=env.get(_NAMES[0], ""), event=event)

    @contextlib.contextmanager
    def protected(self) -> Iterator[None]:
        """For the length of a `with` block, deleting this instance costs more than others."""
        before = self._raise_cost()
        try:
            yield
        finally:
            if before is not None:
                self._set_cost(before)

    def leave(self, reason: str, wait: Callable[[float], bool], crowd: int | None = None) -> None:
        """Ask for another node and wait for the end; `wait` sleeps, and returns True once stopped.

        `crowd` is how many other nodes of a fleet were rejected lately; None: it is of no fleet.
        Where some were, it waits for a random time first, at most two minutes, and a service that
        is busy is asked less and less often. Nothing of the experiment may run afterwards.
        """
        if self.client is None:
            return
        chance = Random(self.machine_id)  # noqa: S311 - no secret
        turn_s = chance.uniform(0, min(_MOST_TURNS_S, _TURN_S * (crowd or 0)))
        self.event("node_leaving", reason=reason, wait_s=round(turn_s, 1))
        if turn_s and wait(turn_s):
            self.event("node_left", said="another node was not asked for: a signal came first")
            return
        client = replace(self.client, sleep=wait)
        if crowd is not None:
            back_offs_s = tuple(seconds * chance.uniform(0.5, 1) for seconds in _BACK_OFFS_S)
            client = replace(client, back_offs_s=back_offs_s)
        self.event("node_left", said=leave(client, reason, wait_s=_LEAVE_WAIT_S, sleep=wait))

    def _raise_cost(self) -> int | None:
        """Raise the cost; returns the cost to set afterwards, None where it was not raised."""
        if self.client is None:
            return None
        answer = self.client.quick(_COST_TIMEOUT_S).deletion_cost()
        before = answer.body["deletion_cost"] if answer.ok else 0
        if not self._set_cost(COST_WHILE_RUNNING):
            return None
        # A run that was killed has left its own cost behind.
        return before if isinstance(before, int) and before < COST_WHILE_RUNNING else 0

    def _set_cost(self, cost: int) -> bool:
        if self.client is None:
            return False
        answer = self.client.quick(_COST_TIMEOUT_S).set_deletion_cost(cost)
        if not answer.ok:
            self.event("deletion_cost_not_set", cost=cost, reason=answer.detail)
        return answer.ok
