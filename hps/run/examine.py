"""The targets of an experiment tried without running anything: what `hps check` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hps import log, session
from hps.catalog.failures import Failure
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED, EXIT_USAGE
from hps.model import Spec
from hps.plan import expand
from hps.probe.check import TargetCheck, Waiting
from hps.run.preflight import check_targets
from hps.running import configure_log
from hps.scrub import Scrubber
from hps.stop import on_signals
from hps.surroundings import opened


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTargets:
    """What each target was found to be, free of secrets, and the exit code that this comes to."""

    checked: tuple[TargetCheck, ...]
    code: int


def check_here(
    spec: Spec, env: Mapping[str, str], log_style: log.Format, wait_s: float
) -> CheckedTargets:
    """Try the targets from this machine. Raises `HpsError` where it can't begin."""
    scrubber = configure_log(spec, env, log_style)
    run_id = session.identify(spec, env, datetime.now(UTC)).run_id
    with on_signals() as stop, opened(spec, env) as tools:
        waiting = Waiting(most_s=wait_s, sleep=stop.wait, event=log.events().warning)
        found = check_targets(expand(spec), run_id, tools, stop, waiting, embedded=True)
        code = stop.exit_code if stop.is_set() else _code(found.checked)
    return CheckedTargets(checked=tuple(_clean(one, scrubber) for one in found.checked), code=code)


def _code(checked: tuple[TargetCheck, ...]) -> int:
    wrong = [one.failure for one in checked if one.failure is not None]
    if any(why.is_of_the_experiment for why in wrong):
        return EXIT_USAGE
    return EXIT_OPERATION_FAILED if wrong else EXIT_OK


def _clean(one: TargetCheck, scrubber: Scrubber) -> TargetCheck:
    def clean(why: Failure | None) -> Failure | None:
        return None if why is None else why.told(scrubber.text(why.text))

    calls = tuple(replace(call, failure=clean(call.failure)) for call in one.calls)
    return replace(one, calls=calls)
