"""One sweep, a fault for each of its trials: every fault is seen to leave the others alone.

A trial's requests are known by its folder: in the key, or in the prefix that is listed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hps.prove.http_head import RequestHead
from tests.command import Ran, Record, hps, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.servers.faults import Action, Rule
from tests.servers.proxy import RecordingProxy, Request
from tests.servers.s3_server import S3Server

MIB = 1024**2
SIZE = 6 * MIB
_TRIAL = re.compile(r"data/[\w-]+/[0-9TZ]+-[0-9a-f]+/([0-9a-f]{12})")
_SPEC = """\
api: hps/v1
name: {name}
{targets}
data: {{size: 6MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [2]{axes}}}
repetitions: {trials}
order: {{kind: declared}}
timeout: {timeout}
steps: {steps}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """A sweep that is over, and what the proxy saw of it."""

    ran: Ran
    proxy: RecordingProxy
    results: list[list[Record]]

    def trial(self, number: int) -> list[Record]:
        """The results of one trial, step by step."""
        return self.results[number]


class TrialRules:
    """Rules for each trial of a run, in the order in which trials are first heard of."""

    def __init__(self, rules: Sequence[Sequence[Rule]]) -> None:
        self._rules = rules
        self._seen: list[str] = []

    def all(self) -> tuple[Rule, ...]:
        """As the proxy takes them."""
        return tuple(
            Rule(match=self._of(number, rule.match), action=rule.action, times=rule.times)
            for number, own in enumerate(self._rules)
            for rule in own
        )

    def _of(
        self, number: int, match: Callable[[RequestHead], bool]
    ) -> Callable[[RequestHead], bool]:
        def of_trial(head: RequestHead) -> bool:
            trial = trial_of(head)
            if trial and trial not in self._seen:
                self._seen.append(trial)
            return bool(trial) and self._seen.index(trial) == number and match(head)

        return of_trial


def trial_of(head: RequestHead) -> str:
    """The id of the trial that a request belongs to, or nothing."""
    found = _TRIAL.search(f"{head.path} {head.query.get('prefix', '')}")
    return found[1] if found else ""


def trial_of_request(request: Request) -> str:
    """The same of what the proxy has recorded."""
    found = _TRIAL.search(f"{request.key} {request.query}")
    return found[1] if found else ""


def always(match: Callable[[RequestHead], bool], action: Action) -> Rule:
    """Every request that matches."""
    return Rule(match=match, action=action, times=None)


def sweep(
    folder: Path,
    server: S3Server,
    proxy_for: ProxyFor,
    *,
    rules: Sequence[Sequence[Rule]] = (),
    proxy: RecordingProxy | None = None,
    trials: int = 0,
    name: str = "faults",
    steps: str = "[upload, download, verify, delete]",
    timeout: str = "6s",
    axes: str = "",
) -> Swept:
    """Run a trial for each of `rules`, or `trials` of them; what comes of each.

    The targets are not tried first, and no failure ends the sweep: the faults are for the trials.
    """
    proxy = proxy or proxy_for(server, rules=TrialRules(rules).all())
    spec = folder / f"{name}.yaml"
    spec.write_text(
        _SPEC.format(
            name=name,
            targets=targets_yaml(proxy.endpoint, server),
            trials=trials or len(rules),
            timeout=timeout,
            steps=steps,
            axes=axes,
        )
    )
    to_the_end = ("--no-check", "--max-equal-failures", "0")
    arguments = (spec, "--output", folder / "out", "--format", "json", *to_the_end)
    ran = hps("run", *arguments, env=keys_of(server))
    return Swept(ran=ran, proxy=proxy, results=_by_trial(ran))


def _by_trial(ran: Ran) -> list[list[Record]]:
    trials: dict[int, list[Record]] = {}
    for record in ran.results() if ran.out else []:
        trials.setdefault(record["repetition"], []).append(record)
    return [trials[number] for number in sorted(trials)]
