"""Proving tools on this machine: what is tried as it is tried, and what is remembered of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hps.cli.output import print_error
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED, HpsError
from hps.process.stop import SignalStop, on_signals
from hps.prove import proving, text
from hps.prove.judging import TrialResult
from hps.prove.proving import ToolFindings
from hps.tools import CLIENT, TOOLS, proofs
from hps.tools.base import Installed

_NOT_TO_A_PROXY = ("NO_PROXY", "no_proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What came of each tool, and the exit code that this means."""

    findings: tuple[ToolFindings, ...]
    code: int


def prove_here(names: Iterable[str], env: Mapping[str, str]) -> Proved:
    """Prove each tool in the version that is here, and remember those that are proved.

    Raises `HpsError` where one is not here, or no proof can be begun or remembered.
    """
    wanted = {name: _installed(name, env) for name in names}
    for name, installed in wanted.items():
        proofs.prepare(name, installed.version, env)
    # What is tried stands on loopback, whatever proxy this machine has.
    os.environ.update(dict.fromkeys(_NOT_TO_A_PROXY, "127.0.0.1"))
    findings = []
    with on_signals() as stop, proving.open_bench(CLIENT.find(env), stop) as bench:
        for name, installed in wanted.items():
            print_error(f"hps: proving {name} {installed.version}: {installed.program}")
            found = proving.prove(name, installed, bench, _report)
            if stop.is_set():
                break
            _store(found, env)
            findings.append(found)
        return Proved(findings=tuple(findings), code=_code(findings, stop))


def _installed(name: str, env: Mapping[str, str]) -> Installed:
    found = TOOLS[name].find(env)
    if isinstance(found, Installed):
        return found
    raise HpsError(f"{name} can't be proved: {found.why}", found.how_to_get)


def _report(result: TrialResult) -> None:
    print_error(f"hps: {text.name_of(result)}: {'; '.join(result.wrong) or 'ok'}")


def _store(found: ToolFindings, env: Mapping[str, str]) -> None:
    """A proof that did not hold now is none any more, whatever was found before."""
    if found.schemes:
        at = datetime.now(UTC)
        path = proofs.remember(found.tool, found.version, found.schemes, at, env)
        print_error(f"hps: that is remembered in {path}")
    else:
        proofs.forget(found.tool, found.version, env)


def _code(findings: Sequence[ToolFindings], stop: SignalStop) -> int:
    if stop.is_set():
        return stop.exit_code
    return EXIT_OK if all(found.schemes for found in findings) else EXIT_OPERATION_FAILED
