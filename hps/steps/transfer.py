"""What the steps that move a payload share: run the tool, then read what it really did."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from hps.catalog.failures import Failure
from hps.model import Measurement, Operation, Status
from hps.process import process
from hps.process.connections import ConnectionCounter
from hps.redaction import Scrubber
from hps.results.record import utc_text
from hps.steps.context import Places, StepContext
from hps.tools.rclone import command, evidence
from hps.tools.rclone import log as rclone_log

T = TypeVar("T")


def measure(call: command.Invocation, operation: Operation, context: StepContext) -> Measurement:
    """Run one transfer and judge it by the tool's log and the connections seen."""
    counter = ConnectionCounter()
    ended = run_call(call, operation, context, sampler=counter)
    return judge(call, ended, counter, operation, context)


def judge(
    call: command.Invocation,
    ended: process.Exit,
    counter: ConnectionCounter,
    operation: Operation,
    context: StepContext,
) -> Measurement:
    """What one transfer that has ended came to, by its log and its connections."""
    log = rclone_log.read(context.log)
    offers_http2 = context.offers_http2[operation.cell.knobs.target]
    effective = evidence.effective(log, operation, offers_http2=offers_http2)
    observed = evidence.observed(log, operation, counter)
    status, why = _judge_exit(ended, operation, context, log, log.last_error)
    if status == "ok":
        why = evidence.why_invalid(log, operation, effective, observed)
        status = "invalid" if why else "ok"
    return Measurement(
        status=status,
        failure=why,
        started_at=utc_text(ended.started_at),
        duration_s=ended.duration_s,
        setup_s=evidence.setup_s(log, operation, ended),
        effective=effective,
        observed=observed,
        retries=log.retries,
        tool_version=context.tool_version,
        command=call.shown(),
    )


def run_call(
    call: command.Invocation,
    operation: Operation,
    context: StepContext,
    *,
    sampler: process.Sampler | None = None,
) -> process.Exit:
    """Run one call of rclone within the operation's time-out; its output is in the scratch."""
    return process.run(
        call.command(context.binary, context.secrets),
        timeout_s=needed(operation.timeout_s),
        guard_process=context.guard,
        stdout=context.out,
        stderr=context.log,
        stop=context.stop,
        sampler=sampler,
    )


def told(call: command.Invocation) -> command.Invocation:
    """The call with a log that tells of retries, as `measure_plain` reads it."""
    return replace(call, args=(*call.args, *command.TOLD))


def measure_plain(
    call: command.Invocation, operation: Operation, context: StepContext
) -> Measurement:
    """Run a call that moves no payload and is `told`: only its time and its end count."""
    ended = run_call(call, operation, context)
    log = rclone_log.read(context.log)
    said = log.last_error or evidence.last_words(context.log)
    status, why = _judge_exit(ended, operation, context, log, said)
    return Measurement(
        status=status,
        failure=why,
        started_at=utc_text(ended.started_at),
        duration_s=ended.duration_s,
        retries=log.retries,
        tool_version=context.tool_version,
        command=call.shown(),
    )


def _judge_exit(
    ended: process.Exit,
    operation: Operation,
    context: StepContext,
    log: rclone_log.RcloneLog,
    said: str,
) -> tuple[Status, Failure | None]:
    # Reasons are cut to a length: half a secret would not be known for one any more.
    clean = Scrubber(context.secrets).text
    return evidence.judge_exit(
        ended,
        operation,
        clean(said),
        behind=clean(log.behind),
        crash=clean(log.crash),
        starved=context.kernel_kills.more(),
        repeated=evidence.repeated(log.retries, clean(log.trouble)),
        silent_s=log.silent_s,
    )


def needed(value: T | None) -> T:
    """The value of a field that the plan always fills in for this kind of step."""
    if value is None:
        raise AssertionError("the plan left out what this step needs")
    return value


# -------------------------------------------------------------------------------------------------
# upload: the payload's file, or all its files, to the trial's folder in the bucket.


def upload_call(operation: Operation, places: Places) -> command.Invocation:
    """A single file is named, so that nothing is listed."""
    source, key = places.payload(operation), places.key(operation)
    name = places.single_name(operation)
    return command.upload(
        places.remote(operation),
        f"{source}/{name}" if name else source,
        f"{key}/{name}" if name else key,
        needed(operation.requested),
        size_bytes=operation.cell.knobs.size_bytes,
        folder=name is None,
    )


def upload(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process."""
    return measure(upload_call(operation, context.places), operation, context)


# -------------------------------------------------------------------------------------------------
# download: what the trial uploaded, back to a folder of the trial's own.


def download_call(operation: Operation, places: Places) -> command.Invocation:
    """To the trial's own folder."""
    return into(places.local(operation), operation, places)


def into(local: str, operation: Operation, places: Places) -> command.Invocation:
    """To any folder. A single file is named, so that nothing is listed."""
    key, name = places.key(operation), places.single_name(operation)
    return command.download(
        places.remote(operation),
        f"{key}/{name}" if name else key,
        f"{local}/{name}" if name else local,
        needed(operation.requested),
        folder=name is None,
    )


def download(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process."""
    context.local(operation).mkdir(parents=True, exist_ok=True)
    return measure(download_call(operation, context.places), operation, context)


# -------------------------------------------------------------------------------------------------
# sync_up: make the trial's folder in the bucket equal to the payload's folder.


def sync_up_call(operation: Operation, places: Places) -> command.Invocation:
    """The destination is listed first."""
    return command.sync_up(
        places.remote(operation),
        places.payload(operation),
        places.own(operation),
        needed(operation.requested),
        size_bytes=operation.cell.knobs.size_bytes,
    )


def sync_up(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process."""
    return measure(sync_up_call(operation, context.places), operation, context)


# -------------------------------------------------------------------------------------------------
# sync_down: make a folder of the trial's own equal to the trial's folder in the bucket.


def sync_down_call(operation: Operation, places: Places) -> command.Invocation:
    """The source is listed first."""
    return command.sync_down(
        places.remote(operation),
        places.key(operation),
        places.local(operation),
        needed(operation.requested),
    )


def sync_down(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process."""
    context.local(operation).mkdir(parents=True, exist_ok=True)
    return measure(sync_down_call(operation, context.places), operation, context)
