"""What a run tells SaladCloud of itself: that it is under way, and that it wants another node.

Elsewhere all of this does nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from hps.node.metadata import MetadataClient, client_from
from hps.node.salad import leave, on_salad

# Instances with a lower cost are deleted first; where nobody sets one it is 0.
COST_WHILE_RUNNING = 100
# Of little use, so that a service in trouble may not hold a run up.
_COST_TIMEOUT_S = 2.0
_LEAVE_WAIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SaladNode:
    """This node as SaladCloud knows it. `client` None: it is another kind of node."""

    client: MetadataClient | None
    event: Callable[..., object] = field(repr=False)

    @classmethod
    def found(cls, env: Mapping[str, str], event: Callable[..., object]) -> SaladNode:
        """Look whether this is one; takes about a second at most."""
        client = client_from(env)
        return cls(client=client if on_salad(env, client) else None, event=event)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """For the length of a `with` block, deleting this instance costs more than others."""
        before = self._raise_cost()
        try:
            yield
        finally:
            if before is not None:
                self._set_cost(before)

    def leave(self, reason: str, wait: Callable[[float], object]) -> None:
        """Ask for another node and wait for the end; `wait` returns early where it comes.

        Nothing of the experiment may run afterwards.
        """
        if self.client is None:
            return

        def pause(seconds: float) -> None:
            wait(seconds)

        self.event("node_leaving", reason=reason)
        client = replace(self.client, sleep=pause)
        said = leave(client, reason, wait_s=_LEAVE_WAIT_S, sleep=pause)
        self.event("node_left", said=said)

    def _raise_cost(self) -> int | None:
        """The cost to go back to; None where it was not raised."""
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
