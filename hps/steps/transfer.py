"""The steps that move a payload: run the cell's tool, then read what it really did."""

from __future__ import annotations

from hps.catalog.tools import count_chunks
from hps.errors import MissingProgramError
from hps.model import Measurement, Operation
from hps.process import process
from hps.process.sockets import ConnectionCounter
from hps.redaction import Scrubber
from hps.results.record import utc_text
from hps.steps.context import Places, StepContext, needed
from hps.tools import TOOLS, exits
from hps.tools.base import Evidence, Installed, Job, Missing, Movement, Ran, Tool
from hps.tools.invocation import Invocation

# What a tool may write: in all, and for each request with payload.
_OUTPUT_BYTES = 64 << 20
_OUTPUT_OF_A_CHUNK_BYTES = 16 << 10


def upload(operation: Operation, context: StepContext) -> Measurement:
    """Copy the payload's files to the trial's folder in the bucket."""
    return measure(upload_call(operation, context.places), operation, context)


def download(operation: Operation, context: StepContext) -> Measurement:
    """Copy what the trial uploaded to a local folder of the trial's own."""
    context.local(operation).mkdir(parents=True, exist_ok=True)
    return measure(download_call(operation, context.places), operation, context)


def sync_up(operation: Operation, context: StepContext) -> Measurement:
    """Make the trial's folder in the bucket equal to the payload's folder."""
    return measure(sync_up_call(operation, context.places), operation, context)


def sync_down(operation: Operation, context: StepContext) -> Measurement:
    """Make a local folder of the trial's own equal to the trial's folder in the bucket."""
    context.local(operation).mkdir(parents=True, exist_ok=True)
    return measure(sync_down_call(operation, context.places), operation, context)


def upload_call(operation: Operation, places: Places) -> Invocation:
    """A single file is named, so that nothing is listed."""
    return _call("upload", operation, places, places.payload(operation))


def download_call(operation: Operation, places: Places) -> Invocation:
    """To the trial's own folder."""
    return _call("download", operation, places, places.local(operation))


def sync_up_call(operation: Operation, places: Places) -> Invocation:
    """The destination is listed first."""
    return _call("sync_up", operation, places, places.payload(operation))


def sync_down_call(operation: Operation, places: Places) -> Invocation:
    """The source is listed first."""
    return _call("sync_down", operation, places, places.local(operation))


def job_of(movement: Movement, operation: Operation, places: Places, local: str) -> Job:
    """To or from any local folder. A single file that is copied is named: nothing is listed."""
    knobs = operation.cell.knobs
    is_sync = movement in {"sync_up", "sync_down"}
    return Job(
        movement=movement,
        target=places.target(operation),
        folder=places.own(operation),
        local=local,
        name=None if is_sync else places.single_name(operation),
        settings=needed(operation.requested),
        size_bytes=knobs.size_bytes,
        files=knobs.files,
    )


def _call(movement: Movement, operation: Operation, places: Places, local: str) -> Invocation:
    return tool_of(operation).call(job_of(movement, operation, places, local))


def tool_of(operation: Operation) -> Tool:
    """The tool that the operation's cell names."""
    return TOOLS[operation.cell.knobs.tool]


def measure(call: Invocation, operation: Operation, context: StepContext) -> Measurement:
    """Run one transfer and judge it by the tool's log and the connections seen."""
    counter = ConnectionCounter()
    ended = run_call(call, operation, context, sampler=counter)
    return judge(call, ended, counter, operation, context)


def judge(
    call: Invocation,
    ended: process.Exit,
    counter: ConnectionCounter,
    operation: Operation,
    context: StepContext,
) -> Measurement:
    """The measurement of a transfer that has ended, by its log and its connections."""
    tool, installed = TOOLS[call.tool], _installed(call.tool, context)
    ran = ran_of(operation, ended, counter, context)
    seen = _evidence(tool, ran, context)
    starved = context.kernel_kills.more()
    status, why = exits.judge(
        tool.name, ended, operation, seen, lambda: tool.explain(ran), starved=starved
    )
    if status == "ok" and seen.wrong is not None:
        status, why = "invalid", seen.wrong
    return Measurement(
        status=status,
        failure=why,
        started_at=utc_text(ended.started_at),
        duration_s=ended.duration_s,
        setup_s=seen.setup_s,
        first_payload_s=counter.first_payload_s,
        cpu_s=ended.cpu_s,
        peak_memory_bytes=ended.peak_memory_bytes,
        effective=seen.effective,
        observed=seen.observed,
        proof=None if operation.requested is None else seen.proof,
        retries=seen.retries,
        tool=tool.name,
        tool_version=installed.version,
        command=call.shown(str(context.scratch)),
        extra={} if seen.moved_s is None else {"moved_s": round(seen.moved_s, 6)},
    )


def _evidence(tool: Tool, ran: Ran, context: StepContext) -> Evidence:
    """What is known of the call; of a transfer by a version that nobody has proved: by connections.

    What a flood holds is no log, and reading it could take longer than the transfer.
    """
    seen = Evidence(proof="sockets") if ran.ended.ended == "flooded" else tool.read(ran)
    if ran.operation.requested is None:
        return seen
    target = context.places.target(ran.operation)
    return seen if context.proofs[tool.name].covers(target) else seen.by_sockets()


def ran_of(
    operation: Operation, ended: process.Exit, counter: ConnectionCounter, context: StepContext
) -> Ran:
    """What a tool's own reader is given of the transfer."""
    return Ran(
        operation=operation,
        ended=ended,
        out=context.out,
        log=context.log,
        counter=counter,
        offers_http2=context.offers_http2[operation.cell.knobs.target],
        # Reasons are cut to a length: half a secret would not be known for one any more.
        clean=Scrubber(context.secrets).text,
    )


def run_call(
    call: Invocation,
    operation: Operation,
    context: StepContext,
    *,
    sampler: process.Sampler | None = None,
) -> process.Exit:
    """Run one call within the operation's time-out; its output is in the scratch.

    Raises `MissingProgramError` where the tool isn't on this machine.
    """
    program = _installed(call.tool, context).program
    call.write_files(context.scratch)
    return process.run(
        call.command(program, context.secrets, context.scratch),
        timeout_s=needed(operation.timeout_s),
        guard_process=context.guard,
        stdout=context.out,
        stderr=context.log,
        stop=context.stop,
        sampler=sampler,
        most_output_bytes=_most_output_bytes(operation),
    )


def _most_output_bytes(operation: Operation) -> int:
    """Far more than any tool writes of so many requests; s5cmd's trace has 3 KB of each."""
    knobs, asked = operation.cell.knobs, operation.effective
    chunks = count_chunks(knobs.size_bytes, asked.chunk_size_bytes) if asked else 1
    return _OUTPUT_BYTES + knobs.files * chunks * _OUTPUT_OF_A_CHUNK_BYTES


def _installed(tool: str, context: StepContext) -> Installed:
    found = context.tools[tool]
    if isinstance(found, Missing):
        raise MissingProgramError(found.why, found.how_to_get)
    return found
