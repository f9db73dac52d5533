"""A plan as a shell script: each operation's exact command, to be pasted and tried by hand.

Secrets are written as `"$NAME"`, and the run's own places as `$RUN_ID` and `$WORK`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from hps.data.shape import shape_of
from hps.model import Operation, Plan, SecretRef, Target
from hps.report.table import cell_name
from hps.run_folder import BY_HAND, run_folder
from hps.steps import CALLS, Places
from hps.targets import embedded
from hps.tools.files import make_files

_EMBEDDED_ADDRESS = "127.0.0.1:8333"


def render(plan: Plan, program_folder: str = "") -> str:
    """The whole script, see `parts`."""
    return "".join(parts(plan, program_folder)).removesuffix("\n")


def parts(plan: Plan, program_folder: str = "") -> Iterator[str]:
    """Yield the preparations, then each operation, for there may be many.

    `program_folder`, with the client's program, is put on the script's PATH.
    """
    targets = {name: _by_hand(target) for name, target in plan.spec.targets.items()}
    places = Places(
        targets=targets,
        data_folder=run_folder(plan.spec.name, BY_HAND).key,
        payload_root="$WORK/payload",
        local_root="$WORK/down",
    )
    path = [f"export PATH={shlex.quote(program_folder)}:$PATH"] if program_folder else []
    yield "\n".join([*path, *_preparations(plan, places), ""])
    for number, operation in enumerate(plan.operations, 1):
        yield "\n".join(["", *_operation(number, operation, places), ""])


def _by_hand(target: Target) -> Target:
    """The target; an embedded one with the address and keys of a server started by hand."""
    if target.provider != "embedded":
        return target
    return replace(
        target,
        endpoint=f"http://{_EMBEDDED_ADDRESS}",
        access_key_id=SecretRef(env=embedded.KEY_ID_ENV),
        secret_access_key=SecretRef(env=embedded.SECRET_ENV),
        force_path_style=True,
    )


def _preparations(plan: Plan, places: Places) -> Iterator[str]:
    yield f"# {plan.spec.name}: {len(plan.operations)} operations"
    # No fixed folder: in /tmp somebody else may have made it before.
    yield 'WORK="$(mktemp -d)" || exit'
    yield "export WORK RUN_ID=by-hand"
    embedded_ones = [t for t in plan.spec.targets.values() if t.provider == "embedded"]
    if embedded_ones:
        yield from _serve(embedded_ones)
    shapes = {shape_of(op.cell.knobs): op for op in plan.operations if op.requested is not None}
    for shape, operation in shapes.items():
        folder = places.payload(operation)
        folders = sorted({f"{folder}/{name}".rpartition("/")[0] for name in shape.names})
        quoted = " ".join(f'"{path}"' for path in folders)
        yield f"mkdir -p {quoted}"
        paths = tuple(f"{folder}/{name}" for name in shape.names)
        zeros = shape.content == "zeros"
        yield make_files(paths, shape.size_bytes, zeros=zeros).shown()


def _serve(targets: list[Target]) -> Iterator[str]:
    key, secret = embedded.KEY_ID_ENV, embedded.SECRET_ENV
    yield f"# In another shell, with {key} and {secret} set to 16 characters or more:"
    yield '#   SERVED="$(mktemp -d)"'
    for bucket in dict.fromkeys(target.bucket for target in targets):
        yield f'#   mkdir -p "$SERVED/{bucket}"'
    yield f"#   {embedded.shell_command('SERVED', _EMBEDDED_ADDRESS)}"


def _operation(number: int, operation: Operation, places: Places) -> Iterator[str]:
    trial = f"warm-up {operation.repetition + 1}" if operation.warmup else ""
    trial = trial or f"repetition {operation.repetition + 1}"
    name = cell_name(operation.cell.axes)
    yield f"# {number} {operation.operation_id} {operation.step.kind}, {name}, {trial}"
    call = CALLS.get(operation.step.kind)
    if call is not None:
        yield call(operation, places).shown()
    else:
        yield f"#   {operation.step.kind} is done by hps itself"
