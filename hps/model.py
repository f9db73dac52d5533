"""Every noun of `hps` as a frozen value, in the order of the data's journey. No input or output.

Bytes, seconds and megabits a second everywhere; text with units exists only at the edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal

Owner = Literal["experiment", "node", "target", "tool", "hps"]
OWNERS: tuple[Owner, ...] = ("experiment", "node", "target", "tool", "hps")
Provider = Literal[
    "embedded", "cloudflare", "aws", "backblaze", "gcs", "azure", "wasabi", "tigris",
    "digitalocean", "scaleway", "storj", "ceph", "minio", "other",
]  # fmt: skip
Content = Literal["random", "zeros"]
Layout = Literal["flat", "nested"]
# Whether a tool is told what the knobs of a transfer say, or nothing.
Declared = Literal["declared", "default"]
OrderKind = Literal["declared", "shuffled", "random_blocks"]
Status = Literal["ok", "failed", "invalid", "skipped", "timeout", "interrupted"]
Direction = Literal["up", "down", "none"]
# By what it is known what a tool did: its own log or report, or its connections alone.
SeenBy = Literal["log", "sockets"]

# The knobs that may be axes, spelled as in the experiment file, in the order they are shown in.
KNOBS = (
    *("target", "tool", "size", "files", "content", "layout"),
    *("settings", "chunk_size", "concurrency", "transfers", "http2", "checksum"),
)
SIZE_KNOBS = frozenset({"size", "chunk_size"})
COUNT_KNOBS = frozenset({"files", "concurrency", "transfers"})
BOOLEAN_KNOBS = frozenset({"http2", "checksum"})
# The knobs that the settings of one step may override.
STEP_KNOBS = ("chunk_size", "concurrency", "transfers", "http2", "checksum")
# The value of such a knob where the tool is told nothing, and does as it comes.
DEFAULT = "default"

# One knob's value: bytes for sizes, a number for counts, true or false, or a name.
KnobValue = int | bool | str


# --- what a person wrote -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """The name of the environment variable that holds a secret; never the secret."""

    env: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bucket and folder on a provider. `folder` has no leading or trailing slash.

    `quirks` are rclone's switches for a server of one's own, as names and values. From `account` on
    the fields are Azure's, where a bucket is called a container.
    """

    name: str
    provider: Provider
    bucket: str = "hps"
    folder: str = ""
    endpoint: str | None = None
    region: str | None = None
    access_key_id: SecretRef | None = None
    secret_access_key: SecretRef | None = None
    session_token: SecretRef | None = None
    force_path_style: bool | None = None
    ca_cert: str | None = None
    quirks: tuple[tuple[str, bool | int], ...] = field(default_factory=tuple)
    account: str | None = None
    account_key: SecretRef | None = None
    sas_token: SecretRef | None = None
    tenant_id: SecretRef | None = None
    client_id: SecretRef | None = None
    client_secret: SecretRef | None = None
    authority: str | None = None

    @property
    def secrets(self) -> tuple[SecretRef, ...]:
        """The environment variables that hold its keys, as far as it names any."""
        of_s3 = (self.access_key_id, self.secret_access_key, self.session_token)
        of_azure = (self.account_key, self.sas_token)
        principal = (self.tenant_id, self.client_id, self.client_secret)
        return tuple(key for key in (*of_s3, *of_azure, *principal) if key is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """How a node is measured before any trial. `target` None: the results' target."""

    method: Literal["target", "speedtest", "none"] = "target"
    target: str | None = None
    duration_s: float = 5.0
    connections: int = 8
    rtt_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRules:
    """What a node must offer (None: anything will do) and what happens where it does not."""

    min_upload_mbps: float | None = None
    min_download_mbps: float | None = None
    max_rtt_s: float | None = None
    min_gpu_memory_bytes: int | None = None
    min_disk_bytes: int | None = None
    countries: tuple[str, ...] = ()
    on_reject: Literal["reallocate", "exit", "continue"] = "exit"
    on_unknown: Literal["reject", "accept"] = "reject"
    on_complete: Literal["exit", "reallocate"] = "exit"
    probe: ProbeSettings = field(default_factory=ProbeSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The payload of a trial: `files` files of `size_bytes` each."""

    size_bytes: int
    files: int = 1
    content: Content = "random"
    layout: Layout = "flat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis of the matrix: one knob, or several that vary together (`zip`).

    `rows` holds one tuple per point on the axis, one value per name in `knobs`.
    """

    knobs: tuple[str, ...]
    rows: tuple[tuple[KnobValue, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The sweep: the product of the axes, less `exclude` (matched in part), plus `include`."""

    axes: tuple[Axis, ...] = ()
    exclude: tuple[Mapping[str, KnobValue], ...] = ()
    include: tuple[Mapping[str, KnobValue], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """In which order trials run. The seed makes a random order the same on every machine."""

    kind: OrderKind = "random_blocks"
    seed: int = 0


# What whoever starts nodes tells them of their fleet: its name, its end, and, with the value
# `REJECT`, that a machine which has measured its share is one that is turned down.
FLEET_ENV, FLEET_UNTIL_ENV = "HPS_FLEET", "HPS_FLEET_UNTIL"
FLEET_AGAIN_ENV, REJECT = "HPS_FLEET_AGAIN", "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """How nodes divide an experiment. None: all cells for each, as many nodes, as long as may be.

    Each node measures `cells` of the cells, or one after the other for `for_s`. Once `nodes`
    machines have done that, or `until_s` after the first of them began, others have nothing to do.
    The seed is for ties. `together`: all begin at one instant, and measure the same cells in the
    same order; `starts_at` None: each node is told when.
    """

    nodes: int | None = None
    cells: int | None = None
    for_s: float | None = None
    until_s: float | None = None
    together: bool = False
    starts_at: datetime | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A kind of step and its settings: knobs by name in base units, and `timeout_s`, `duration_s`.

    `settings` never holds a key that the kind of step does not know. `added`: the plan has put it
    in, and not the experiment.
    """

    kind: str
    settings: Mapping[str, KnobValue | float] = field(default_factory=lambda: MappingProxyType({}))
    added: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsPlace:
    """Where results are stored: `<target's folder>/<folder>/` in the bucket of `target`."""

    target: str
    folder: str = "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One experiment, checked. `text` is the file as written, before any `${…}` was filled in.

    `thresholds` are gates as `hps.spec.gates` reads them, for the comparison of results.
    """

    api: str
    name: str
    description: str
    targets: Mapping[str, Target]
    data: Data
    matrix: Matrix
    steps: tuple[Step, ...]
    results: ResultsPlace
    node: NodeRules = field(default_factory=NodeRules)
    repetitions: int = 1
    warmup: int = 0
    order: Order = field(default_factory=Order)
    timeout_s: float | None = None
    source: str = ""
    text: str = ""
    sha256: str = ""
    overrides: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ()
    fleet: Fleet | None = None


# --- what will be done ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """Every knob of a cell with its value, defaults filled in.

    None: the tool's own. `settings` is `default` where all that no axis names are.
    """

    target: str
    size_bytes: int
    tool: str = "rclone"
    files: int = 1
    content: Content = "random"
    layout: Layout = "flat"
    settings: Declared = "declared"
    chunk_size_bytes: int | None = 10 * 1024**2
    concurrency: int | None = 4
    transfers: int | None = 4
    http2: bool | None = False
    checksum: bool | None = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One combination of the axes' values. `axes` maps each axis' knob to its canonical value."""

    axes: Mapping[str, str | int | bool]
    knobs: Knobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a cell asks of one transfer; None: the tool is not told.

    `concurrency` is chunks of one file in flight, `transfers` files in flight.
    """

    chunk_size_bytes: int | None
    concurrency: int | None
    transfers: int | None
    http2: bool | None
    checksum: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Settings):
    """How bytes move on the wire, as a tool is expected to do it: settings without a gap."""

    chunk_size_bytes: int
    concurrency: int
    transfers: int
    http2: bool
    checksum: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One step of one trial: one thing that will be done, and measured.

    `requested` is None for a step that moves no payload. `timeout_s` None: derived at run time.
    `why_not` says why the tool can't do it as asked: then it is skipped.
    """

    operation_id: str
    trial_id: str
    cell: Cell
    repetition: int
    warmup: bool
    step: Step
    step_index: int
    direction: Direction
    requested: Settings | None
    effective: Transfer | None
    depends_on: tuple[str, ...] = ()
    timeout_s: float | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A step of a cell that is not measured, since it would repeat `same_as` under another name."""

    cell: Mapping[str, str | int | bool]
    step: str
    step_index: int
    same_as: Mapping[str, str | int | bool]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will do, in order; a pure function of the spec (and its seed)."""

    spec: Spec
    cells: tuple[Cell, ...]
    operations: tuple[Operation, ...]
    merged: tuple[Merged, ...]


# --- what happened -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something was not done. `call` is the call of the S3 API that was refused, if any."""

    code: str
    owner: Owner
    text: str
    hint: str = ""
    call: str = ""

    @property
    def reason(self) -> str:
        """The text for people, followed by the hint where there is one."""
        return f"{self.text} ({self.hint})" if self.hint else self.text

    @property
    def is_of_the_experiment(self) -> bool:
        """True where another node would fail in the same way."""
        return self.owner == "experiment"

    @property
    def may_reject(self) -> bool:
        """True where another node may do better."""
        return self.owner in {"node", "target"}

    def with_text(self, text: str) -> Failure:
        return replace(self, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A `Transfer` as the tool applied it; None where that can't be known.

    What a tool was not told is known only where it was seen.
    """

    chunk_size_bytes: int | None
    concurrency: int | None
    transfers: int | None
    http2: bool | None
    checksum: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The evidence of what really ran; None where nothing could be seen.

    `chunk_size_bytes` is that of all chunks but each file's last; `connections` the most TCP
    connections that were open at once; `connection_samples` how often they were counted.
    """

    chunks: int | None = None
    chunk_size_bytes: int | None = None
    peak_in_flight: int | None = None
    connections: int | None = None
    connection_samples: int = 0
    bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was observed while an operation ran. `failure` says why the status is not `ok`.

    `tool` is what did it: a transfer tool, or this program itself. `first_payload_s` is by its
    connections. `cpu_s` and `peak_memory_bytes` are what its process used. Each is None where there
    was no process, or it was not seen. `proof` is None where
    no tool moved a payload. `disturbed` has the figures of `hps.node.starvation` where the machine
    was short of CPU.
    """

    status: Status
    failure: Failure | None = None
    started_at: str = ""
    duration_s: float = 0.0
    setup_s: float | None = None
    first_payload_s: float | None = None
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    effective: Applied | None = None
    observed: Observed = field(default_factory=Observed)
    proof: SeenBy | None = None
    retries: int | None = 0
    tool: str = "hps"
    tool_version: str = ""
    command: str | None = None
    disturbed: Mapping[str, float | None] | None = None
    extra: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


# --- what was measured or looked up, or why there is none ----------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`value` in the unit that its name gives; None: unknown, and `reason` says why.

    A failed measurement is never a number: no 0, no huge value, no bound in its place. Code and
    owner are those of `hps.catalog.failures`, empty where they are unknown.
    """

    value: float | str | None
    reason: str = ""
    reason_code: str = ""
    reason_owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Takes the place of a whole group of values where it could not be measured."""

    reason: str


def known(value: float | str) -> Reading:
    return Reading(value=value)


def unknown(reason: str) -> Reading:
    """A reading that failed, or was not attempted."""
    return Reading(value=None, reason=reason)


def failed(why: Failure) -> Reading:
    """A reading that failed, and whose fault that is."""
    return Reading(value=None, reason=why.reason, reason_code=why.code, reason_owner=why.owner)
