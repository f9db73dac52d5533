"""What the steps that move a payload share: run the tool, then read what it really did."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from hps import process
from hps.catalog.failures import Failure
from hps.connections import ConnectionCounter
from hps.model import Measurement, Operation, Status
from hps.record import utc_text
from hps.scrub import Scrubber
from hps.steps.context import StepContext
from hps.tools import evidence, rclone, rclone_log

T = TypeVar("T")


def measure(call: rclone.Invocation, operation: Operation, context: StepContext) -> Measurement:
    """Run one transfer and judge it by the tool's log and the connections seen."""
    counter = ConnectionCounter()
    ended = run_call(call, operation, context, sampler=counter)
    return judge(call, ended, counter, operation, context)


def judge(
    call: rclone.Invocation,
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
    call: rclone.Invocation,
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


def told(call: rclone.Invocation) -> rclone.Invocation:
    """The call with a log that tells of retries, as `measure_plain` reads it."""
    return replace(call, args=(*call.args, *rclone.TOLD))


def measure_plain(
    call: rclone.Invocation, operation: Operation, context: StepContext
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
