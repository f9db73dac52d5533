"""The record of a run that never began, for its experiment could not be read or was refused.

It is stored as `<folder>/results/failed/<machine_id>/<run_id>.jsonl` in the bucket of `r2:`, whose
variables nodes have even where they have nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from hps import __version__
from hps.catalog.failures import KINDS
from hps.errors import HpsError
from hps.node import facts as node_facts
from hps.process.temporary import Workplace, open_workplace
from hps.redaction import Scrubber, secrets_in
from hps.results.record import FORMAT, Record, RunIdentity, new_run_id, utc_text
from hps.spec.source import SpecText
from hps.targets import bucket, well_known
from hps.tools import CLIENT

TARGET = "r2"
UNKNOWN_EXPERIMENT = "unknown"
_REASON_CHARACTERS = 4000
# Where the file can't be read as YAML, a line that looks like its name is used.
_NAME = re.compile(rb"^name:[ \t]*([a-z0-9][a-z0-9._-]{0,62})[ \t]*\r?(?:#.*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRun:
    """What is known of the run. `source` is where the experiment was to come from.

    `code` is empty where it did not arrive: whether the address or the network is at fault is
    unknown.
    """

    experiment: str
    spec_sha256: str
    source: str
    reason: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Where the record is stored; or why it could not be."""

    place: str = ""
    error: str = ""


def describe(source: SpecText | None, name: str, reason: str) -> FailedRun:
    """A run whose experiment, from `name`, was refused, or could not be read (`source` None)."""
    content = source.content if source is not None else b""
    named = _NAME.search(content)
    return FailedRun(
        experiment=named[1].decode("ascii") if named else UNKNOWN_EXPERIMENT,
        spec_sha256=hashlib.sha256(content).hexdigest(),
        source=name,
        reason=reason,
        code="" if source is None else "bad_experiment",
    )


def is_wanted(env: Mapping[str, str]) -> bool:
    """True where the environment names the bucket for results."""
    return not well_known.missing(TARGET, env)


def store(failed: FailedRun, env: Mapping[str, str]) -> Stored:
    """Store the record. Never raises: an error is a value, for something else failed before."""
    scrubber = Scrubber(dict(secrets_in(env)))
    clean = replace(
        failed,
        source=scrubber.text(failed.source),
        reason=scrubber.text(failed.reason)[:_REASON_CHARACTERS],
    )
    try:
        with open_workplace("storing the failure", timeout_s=bucket.SMALL_FILE_TIMEOUT_S) as place:
            return _store(clean, env, place)
    except (HpsError, OSError) as error:
        return Stored(error=scrubber.text(str(error)))


def _store(failed: FailedRun, env: Mapping[str, str], place: Workplace) -> Stored:
    target = bucket.find_well_known(TARGET, env, place)
    facts = node_facts.collect(
        env,
        place.folder,
        CLIENT.find(env).version,
        measure_disk=False,
        look_for_gpu=False,
    )
    record = Scrubber(dict(secrets_in(env))).record(_record(failed, facts, datetime.now(UTC)))
    path = place.folder / f"{record['run_id']}.jsonl"
    path.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    key = f"results/failed/{facts.machine_id}/{path.name}"
    wrong = target.put(path, key)
    if wrong is not None:
        return Stored(error=wrong.reason)
    return Stored(place=target.name(key))


def _record(failed: FailedRun, facts: node_facts.NodeFacts, now: datetime) -> Record:
    """A run line without a plan, and without file and overrides, which may contain a secret."""
    identity = RunIdentity(
        run_id=new_run_id(now),
        machine_id=facts.machine_id,
        experiment=failed.experiment,
        spec_sha256=failed.spec_sha256,
    )
    return {
        "kind": "run",
        "format": FORMAT,
        **asdict(identity),
        "status": "failed",
        "reason": failed.reason,
        "reason_code": failed.code,
        "reason_owner": KINDS[failed.code].owner if failed.code else "",
        "started_at": utc_text(now),
        "source": failed.source,
        "hps": __version__,
        "node": asdict(facts),
    }
