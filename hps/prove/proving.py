"""The proof of a tool's version: it moves files through a recording proxy, as a run would do it.

Embedded server <- proxy <- the tool, called, run and read by the code of the steps. There is an
upload and a download for each of some files: of several chunks, several or one at once, and of a
single chunk. The proxy speaks HTTP/1.1 alone, so that transfers over HTTP/2 are not tried.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from hps.catalog.providers import MIB
from hps.catalog.tools import TOOL_FACTS, effective
from hps.data.shape import shape_of
from hps.model import Cell, Direction, Knobs, Operation, Settings, Step, Target
from hps.process import process, temporary
from hps.process.sockets import ConnectionCounter
from hps.prove import certificate
from hps.prove.certificate import Certificate
from hps.prove.forward import ForwardFront
from hps.prove.front import Front
from hps.prove.judging import OnTheWire, Trial, TrialResult, compare
from hps.prove.recorder import data_requests
from hps.results.record import new_run_id
from hps.run_folder import run_folder
from hps.steps import transfer
from hps.steps.context import Places, RunStop, StepContext
from hps.targets import embedded
from hps.tools import TOOLS, exits
from hps.tools.base import Installed, Proof, Scheme

# Size of the file, chunk and concurrency. No tool does so of its own: it must have been told.
SHAPES: Sequence[tuple[int, int, int]] = (
    (26 * MIB, 6 * MIB, 3),
    (26 * MIB, 7 * MIB, 1),
    (4 * MIB, 6 * MIB, 3),
)
WAYS: Sequence[Direction] = ("up", "down")
_HOST = "127.0.0.1"
_TARGET = Target(name="proof", provider="embedded", bucket="hps")
_OWN_HOST = "storage.googleapis.com"
# An answer is held back for so long, and until none has come for the other, if too few are there.
_ANSWER_S = 0.3
_QUIET_S = 2.0
_TIMEOUT_S = 120.0
_OPERATION_ID = "0" * 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFindings:
    """What came of a proof. `left_out` says why there was none over TLS; empty: there was.

    `stopped`: not all was tried.
    """

    tool: str
    version: str
    results: tuple[TrialResult, ...]
    left_out: str = ""
    stopped: bool = False

    @property
    def schemes(self) -> frozenset[Scheme]:
        """Those over which it is proved: all or nothing, for a tool is called alike over each."""
        if self.stopped or any(result.wrong for result in self.results):
            return frozenset()
        return frozenset(result.trial.scheme for result in self.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all trials share: the server, its keys, a folder, and who ends a trial early."""

    client: Installed
    keys: Mapping[str, str]
    served: Target
    folder: Path
    guard: process.Guard
    stop: RunStop


@contextlib.contextmanager
def open_bench(client: Installed, stop: RunStop) -> Iterator[Bench]:
    """A server to prove tools with, for the length of a `with` block. Raises `HpsError`."""
    keys = embedded.new_keys()
    with process.Guard() as guard, temporary.folder("hps-prove-") as folder:
        guard.send("remove", str(folder))
        with embedded.serve(_TARGET, folder / "served", client.program, keys, guard) as served:
            yield Bench(
                client=client,
                keys=keys,
                served=replace(served, provider="other"),
                folder=folder,
                guard=guard,
                stop=stop,
            )


def prove(
    tool: str,
    installed: Installed,
    bench: Bench,
    tried: Callable[[TrialResult], None],
    *,
    schemes: Sequence[Scheme] = ("http", "https"),
    shapes: Sequence[tuple[int, int, int]] = SHAPES,
) -> ToolFindings:
    """Try a tool over each scheme; `tried` is called after each trial."""
    results: list[TrialResult] = []
    left_out = ""
    for scheme in schemes:
        made = _certificate(bench) if scheme == "https" else None
        if isinstance(made, str):
            left_out = made
            continue
        with _open_way(tool, bench, made) as (front, target):
            for trials in _pairs(tool, scheme, shapes):
                for result in _try_both(trials, installed, target, front, bench):
                    results.append(result)
                    tried(result)
    return ToolFindings(
        tool=tool,
        version=installed.version,
        results=tuple(results),
        left_out=left_out,
        stopped=bench.stop.is_set(),
    )


def _certificate(bench: Bench) -> Certificate | str:
    return certificate.make(bench.folder, _HOST, bench.guard, ("localhost", _OWN_HOST))


@contextlib.contextmanager
def _open_way(tool: str, bench: Bench, made: Certificate | None) -> Iterator[tuple[Front, Target]]:
    """The proxy, and the target that a tool reaches through it."""
    ca_cert = str(made.path) if made else None
    with contextlib.ExitStack() as stack:
        if not TOOL_FACTS[tool].only_at:
            front = stack.enter_context(_front(Front, bench.served, made))
            yield front, replace(bench.served, endpoint=front.endpoint, ca_cert=ca_cert)
            return
        # It signs for its own host, and so for none that the server knows.
        keyless = embedded.serve(
            _TARGET, bench.folder / "open", bench.client.program, {}, bench.guard
        )
        front = stack.enter_context(_front(ForwardFront, stack.enter_context(keyless), made))
        endpoint = f"{'https' if made else 'http'}://{_OWN_HOST}"
        own = replace(bench.served, provider="gcs", endpoint=endpoint, ca_cert=ca_cert)
        yield front, replace(own, force_path_style=None)


def _front(kind: type[Front], served: Target, made: Certificate | None) -> Front:
    address, tls = urlsplit(served.endpoint or ""), made.context if made else None
    front = kind(address.hostname or "", address.port or 80, host=_HOST, quiet_s=_QUIET_S, tls=tls)
    front.min_data_s = _ANSWER_S
    return front


def _pairs(
    tool: str, scheme: Scheme, shapes: Sequence[tuple[int, int, int]]
) -> Iterator[tuple[Trial, ...]]:
    """An upload, and the download of what it brought, for each shape."""
    for size_bytes, some_bytes, concurrency in shapes:
        chunk_bytes = size_bytes if TOOL_FACTS[tool].whole_only else some_bytes
        knobs = Knobs(target="proof", tool=tool, size_bytes=size_bytes)
        asked = Settings(
            chunk_size_bytes=chunk_bytes,
            concurrency=concurrency,
            transfers=1,
            http2=False,
            # Over TLS some send it after the body, which the embedded server does not take.
            checksum=scheme == "http" or False not in TOOL_FACTS[tool].uploads_checksum,
        )
        yield tuple(
            Trial(
                scheme=scheme,
                way=way,
                knobs=knobs,
                asked=asked,
                planned=effective(knobs, asked, way),
            )
            for way in WAYS
        )


# --- one pair of trials --------------------------------------------------------------------------


def _try_both(
    trials: Sequence[Trial], installed: Installed, target: Target, front: Front, bench: Bench
) -> Iterator[TrialResult]:
    """The second only where the first moved a file that there is to download."""
    context = _context(trials[0], installed, target, bench)
    payload = _make_payload(trials[0], context)
    for trial in trials:
        if bench.stop.is_set():
            return
        result = _try(trial, context, front)
        if trial.way == "down" and not result.wrong and not _is_equal(payload, trial, context):
            result = replace(result, wrong=("the bytes of the file are not those that were sent",))
        yield result
        if result.said is None:
            return


def _try(trial: Trial, context: StepContext, front: Front) -> TrialResult:
    operation, counter, tool = _operation(trial), ConnectionCounter(), TOOLS[trial.knobs.tool]
    if trial.way == "up":
        call = transfer.upload_call(operation, context.places)
    else:
        context.local(operation).mkdir(parents=True)
        call = transfer.download_call(operation, context.places)
    call = replace(call, access=replace(call.access, env={**call.access.env, **front.env}))
    front.clear()
    front.gather, front.refused_http2 = trial.planned.concurrency, False
    ended = transfer.run_call(call, operation, context, sampler=counter)
    wire = OnTheWire(
        requests=data_requests(front.requests(), "up" if trial.way == "up" else "down"),
        refused_http2=front.refused_http2,
    )
    ran = transfer.ran_of(operation, ended, counter, context)
    said = tool.read(ran)
    _, why = exits.judge(tool.name, ended, operation, said, lambda: tool.explain(ran))
    if why is None:
        return compare(trial, wire, said)
    wrong = ("it offered HTTP/2 and was told not to",) if front.refused_http2 else (why.reason,)
    return TrialResult(trial=trial, wire=wire, said=None, wrong=wrong)


def _operation(trial: Trial) -> Operation:
    kind = "upload" if trial.way == "up" else "download"
    return Operation(
        operation_id=_OPERATION_ID,
        trial_id=_OPERATION_ID,
        cell=Cell(axes={}, knobs=trial.knobs),
        repetition=0,
        warmup=False,
        step=Step(kind=kind),
        step_index=WAYS.index(trial.way),
        direction=trial.way,
        requested=trial.asked,
        effective=trial.planned,
        timeout_s=_TIMEOUT_S,
    )


def _context(trial: Trial, installed: Installed, target: Target, bench: Bench) -> StepContext:
    """Of a run of its own, so that no object is there already."""
    run_id, tool = new_run_id(datetime.now(UTC)), trial.knobs.tool
    scratch = bench.folder / run_id
    scratch.mkdir()
    return StepContext(
        binary=bench.client.program,
        tools={tool: installed},
        proofs={tool: Proof()},
        places=Places(
            targets={trial.knobs.target: target},
            data_folder=run_folder("proof", run_id).key,
            payload_root=str(scratch / "payload"),
            local_root=str(scratch / "down"),
        ),
        secrets=bench.keys,
        offers_http2={trial.knobs.target: None},
        payloads={},
        scratch=scratch,
        guard=bench.guard,
        stop=bench.stop,
    )


def _make_payload(trial: Trial, context: StepContext) -> Path:
    shape = shape_of(trial.knobs)
    path = Path(context.places.payload_root) / shape.folder_name / shape.names[0]
    path.parent.mkdir(parents=True)
    path.write_bytes(os.urandom(shape.size_bytes))
    return path


def _is_equal(payload: Path, trial: Trial, context: StepContext) -> bool:
    came = context.local(_operation(trial)) / payload.name
    return came.is_file() and filecmp.cmp(payload, came, shallow=False)
