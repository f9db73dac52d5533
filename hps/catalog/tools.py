"""What each tool can be asked for, and what it makes of a requested transfer.

Pure arithmetic, the same for plan and check. Shared by all: a file of one chunk travels whole, and
concurrency is never more than the number of chunks. What differs between tools is in `ToolFacts`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from urllib.parse import urlsplit

from hps.catalog.providers import GIB, MIB, PROTOCOL_NAMES, PROVIDERS, Protocol, address_of
from hps.model import Direction, Knobs, Provider, Settings, Target, Transfer
from hps.units import format_size

MOST_BYTES = 1 << 50
_BOTH = frozenset({True, False})
_ONLY_1 = frozenset({False})  # HTTP/1.1
_TRANSFERS = frozenset({"upload", "download", "download_to_gpu"})


def _rclone_rounds(size_bytes: int) -> int:
    """The size that rclone uses instead: it keeps three decimals of the largest unit that fits.

    `6000000B` becomes 5.722 MiB, which is 5999951 bytes (seen with rclone 1.70 to 1.75).
    """
    unit = next((2**power for power in (50, 40, 30, 20, 10) if size_bytes >= 2**power), 1)
    return int(round(size_bytes / unit, 3) * unit)


def _rclone_keeps(size_bytes: int) -> int:
    """The size nearest to this that has no more than three decimals: see `_rclone_rounds`."""
    step_bytes = MIB if size_bytes < GIB else GIB // 8
    return round(size_bytes / step_bytes) * step_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What a tool does of its own in one direction, where it is told nothing.

    For plans alone: what it really does is seen. A file below `whole_below_bytes` is one chunk.
    `transfers` is 1 where all files share the streams of one pool. `checksum` of a download: it
    compares those that the server has.
    """

    chunk_size_bytes: int
    concurrency: int
    whole_below_bytes: int = 0
    transfers: int = 1
    http2: bool = False
    checksum: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFacts:
    """What a tool can do, and the requests that it makes, as seen on the wire (`tests/wire`).

    `up`, `down`: what it does where it is told nothing.
    `steps`: the kinds of step that move payload and that it can do.
    `whole_at_one`: with a concurrency of 1 it downloads a file by one GET, not range after range.
    `first_alone`: it waits for a download's first range before it asks for the others.
    `chunk_unit_bytes`, `least_chunk_bytes`: a chunk is a multiple of one, and at least the other.
    `rounds`: the chunk size that it uses where a given one was asked for.
    `near_exact`: the nearest chunk size that it does not round; `exact`: which these are, in words.
    `chunks_in_memory`: so many times the chunks in flight of an upload are in memory (seen with
    chunks of 16 and 64 MiB).
    `least_part_bytes`: of a file uploaded in parts, each but the last is at least so long.
    `least_transfers`: so many of several files it moves at once, even if it is asked for fewer.
    `uploads_checksum`: the values that `checksum` may have for uploads.
    `compares_downloads`: it can compare a checksum of what it downloaded.
    `heads_after_upload`, `heads_before_download`: HEADs for each file, and for a single download.
    `heads_before_each`: HEADs for each file of a download, of one or of several.
    `heads_before_upload`: HEADs for an upload, of one file or of several.
    `lists_before_upload`, `lists_before_download`: lists for a single file.
    `attributes_before_download`: it asks for the attributes of each object.
    `most_listed`: of a folder it downloads no more files than this.
    `needs_keys`: it can't send a request that is not signed.
    `logs_token`: the log of its downloads has the session token in it.
    `heads_before_folder`, `lists_before_folder`: what it asks for before it lists a folder.
    `one_pool`: its files share one number of requests in flight, so that `transfers` and
    `concurrency` can't both be above 1, and several files at once have one chunk each.
    `one_by_one`: of several files, of several chunks each, it can move one after the other.
    `one_number`: its files at once and the chunks of each in flight are one and the same number.
    `http2`: the values that `http2` may have.
    `whole_only`: it moves each file by one request, whatever it is told.
    `begins_from_bytes`: of larger files it begins an upload by a request of its own, on a provider.
    `not_in_folders`: the characters that a target's folder of several files may not have.
    `not_in_keys`: those that it may not have at all.
    `only_at`: the hosts that it can sign for, on their usual ports, as a pattern; empty: any.
    `speaks`: to which kinds of target.
    `not_with`: why it does not work with a provider.
    `only_principal`: why it takes no other credentials of Azure's than a service principal's.
    `tick_s`: it ends a multiple of so many seconds after it began to work, done or not before.
    `walks_folders`: it lists folder by folder, with a HEAD for each object uploaded in parts.
    """

    up: Own
    down: Own
    steps: frozenset[str] = _TRANSFERS
    whole_at_one: bool = False
    first_alone: bool = False
    chunk_unit_bytes: int = 1
    least_chunk_bytes: int = 1
    rounds: Callable[[int], int] = int
    near_exact: Callable[[int], int] = int
    exact: str = "any size is exact"
    chunks_in_memory: int = 0
    least_part_bytes: int = 1
    least_transfers: int = 1
    one_pool: bool = False
    one_by_one: bool = True
    one_number: bool = False
    http2: frozenset[bool] = _BOTH
    uploads_checksum: frozenset[bool] = _BOTH
    compares_downloads: bool = False
    heads_after_upload: int = 0
    heads_before_download: int = 1
    heads_before_upload: int = 0
    lists_before_upload: int = 0
    lists_before_download: int = 0
    heads_before_each: int = 0
    attributes_before_download: bool = False
    most_listed: int | None = None
    needs_keys: bool = False
    logs_token: bool = False
    heads_before_folder: int = 0
    lists_before_folder: int = 0
    walks_folders: bool = False
    whole_only: bool = False
    begins_from_bytes: Mapping[Provider, int] = field(default_factory=lambda: MappingProxyType({}))
    not_in_folders: str = ""
    not_in_keys: str = ""
    only_at: str = ""
    speaks: frozenset[Protocol] = frozenset({"s3"})
    only_principal: str = ""
    tick_s: float = 0.0
    not_with: Mapping[Provider, str] = field(default_factory=lambda: MappingProxyType({}))


TOOL_FACTS: Mapping[str, ToolFacts] = MappingProxyType(
    {
        "rclone": ToolFacts(  # https://rclone.org/s3/, https://rclone.org/docs/
            up=Own(
                chunk_size_bytes=5 * MIB,
                concurrency=4,
                whole_below_bytes=200 * MIB + 1,
                transfers=4,
                http2=True,
                checksum=True,
            ),
            down=Own(
                chunk_size_bytes=64 * MIB,
                concurrency=4,
                whole_below_bytes=256 * MIB,
                transfers=4,
                http2=True,
                checksum=True,
            ),
            steps=_TRANSFERS | {"sync_up", "sync_down"},
            whole_at_one=True,
            rounds=_rclone_rounds,
            near_exact=_rclone_keeps,
            exact="whole MiB are exact, and eighths of a GiB from 1 GiB on",
            chunks_in_memory=1,
            compares_downloads=True,
            heads_after_upload=1,
            heads_before_download=2,
            walks_folders=True,
            speaks=frozenset({"s3", "azure"}),
        ),
        "s5cmd": ToolFacts(  # `s5cmd cp --help` of 2.3.0
            up=Own(
                chunk_size_bytes=50 * MIB, concurrency=5, transfers=256, http2=True, checksum=True
            ),
            down=Own(chunk_size_bytes=50 * MIB, concurrency=5, transfers=256, http2=True),
            first_alone=True,
            chunk_unit_bytes=MIB,
            least_chunk_bytes=5 * MIB,
            least_transfers=2,  # asked for one, it moves two (seen with 2.3.0)
            chunks_in_memory=2,
            uploads_checksum=frozenset({True}),
            not_in_folders="*?",
        ),
        "boto3": ToolFacts(  # TransferConfig of boto3 1.44
            up=Own(chunk_size_bytes=8 * MIB, concurrency=10, checksum=True),
            down=Own(chunk_size_bytes=8 * MIB, concurrency=10, checksum=True),
            first_alone=True,
            least_part_bytes=5 * MIB,
            one_pool=True,
            http2=_ONLY_1,
            heads_before_download=0,
        ),
        "obstore": ToolFacts(  # `put` and `get` of obstore 0.12: a download is one GET
            up=Own(chunk_size_bytes=5 * MIB, concurrency=12),
            down=Own(chunk_size_bytes=MOST_BYTES, concurrency=1),
            chunks_in_memory=1,
            one_pool=True,
            not_with=MappingProxyType(
                {"embedded": "obstore wants a range answered with 206, and that server says 200"}
            ),
        ),
        "awscrt": ToolFacts(  # `S3Client` of awscrt 0.38, which aims at 10 Gbps
            up=Own(chunk_size_bytes=8 * MIB, concurrency=25),
            down=Own(chunk_size_bytes=8 * MIB, concurrency=25),
            first_alone=True,
            least_part_bytes=5 * MIB,
            one_pool=True,
            http2=_ONLY_1,
            heads_before_download=0,
            not_with=MappingProxyType(
                {"embedded": "awscrt can't read that server's answer to the start of an upload"}
            ),
        ),
        "aws": ToolFacts(  # `aws help s3-config`
            up=Own(chunk_size_bytes=8 * MIB, concurrency=10, checksum=True),
            down=Own(chunk_size_bytes=8 * MIB, concurrency=10, checksum=True),
            first_alone=True,  # 2.9.19 does not wait, so that there may be one more
            least_part_bytes=5 * MIB,
            one_pool=True,
            one_by_one=False,
            http2=_ONLY_1,
        ),
        "s3parcp": ToolFacts(  # as many streams as there are processors, of whatever machine
            up=Own(chunk_size_bytes=40 * MIB, concurrency=8, transfers=8, http2=True),
            down=Own(chunk_size_bytes=40 * MIB, concurrency=8, transfers=8, http2=True),
            steps=frozenset({"upload", "download"}),  # of a running download it says nothing
            first_alone=True,
            least_part_bytes=5 * MIB,
            one_number=True,
            heads_before_upload=1,
            lists_before_upload=1,
            heads_before_download=0,
            lists_before_download=2,
            attributes_before_download=True,
            most_listed=1000,
            needs_keys=True,
            logs_token=True,
            not_with=MappingProxyType(
                {"embedded": "s3parcp asks for an object's attributes, which that server lacks"}
            ),
        ),
        "azcopy": ToolFacts(  # blocks by the size of the file, streams by the machine's processors
            up=Own(chunk_size_bytes=8 * MIB, concurrency=32),
            down=Own(chunk_size_bytes=8 * MIB, concurrency=32, checksum=True),
            steps=frozenset({"upload", "download"}),
            chunk_unit_bytes=MIB // 2,
            least_chunk_bytes=MIB // 2,
            one_pool=True,
            one_by_one=False,
            http2=_ONLY_1,
            compares_downloads=True,
            heads_after_upload=1,
            heads_before_download=4,  # two of them without a token: might anybody read it?
            heads_before_folder=4,
            lists_before_folder=1,
            not_in_folders="*",
            speaks=frozenset({"azure"}),
            only_principal="azcopy would take a signature on its command line alone, and takes no"
            " shared key: name a service principal",
            tick_s=2.0,
        ),
        "gsutil": ToolFacts(  # 5.38 with the XML API, which is the one for HMAC keys
            up=Own(chunk_size_bytes=MOST_BYTES, concurrency=1, checksum=True),
            down=Own(chunk_size_bytes=MOST_BYTES, concurrency=1, checksum=True),
            steps=frozenset({"upload", "download"}),  # of a running download it says nothing
            whole_only=True,
            http2=_ONLY_1,
            compares_downloads=True,
            heads_after_upload=1,
            heads_before_download=0,
            heads_before_each=1,
            walks_folders=True,
            begins_from_bytes=MappingProxyType({"gcs": 8 * MIB}),
            needs_keys=True,
            not_in_keys="*?[]",
            only_at=r"storage\.googleapis\.com|s3\.([a-z0-9-]+\.)?amazonaws\.com(\.cn)?",
        ),
    }
)


# Tools that people look for here, and why none of these is one.
NOT_TOOLS: Mapping[str, str] = MappingProxyType(
    {
        "gcloud": "gcloud is no package but 1.9 GiB from Google's own source, and with HMAC keys it"
        " sends one chunk at a time, whatever it is told; rclone, s5cmd and others reach a bucket"
        " of Google's, with provider: gcs",
    }
)


def is_exact(size_bytes: int) -> bool:
    """True where no tool rounds a chunk of this size."""
    return all(facts.rounds(size_bytes) == size_bytes for facts in TOOL_FACTS.values())


def near_exact(size_bytes: int) -> int:
    """A chunk size near to this that no tool rounds."""
    for facts in TOOL_FACTS.values():
        size_bytes = facts.near_exact(size_bytes)
    return size_bytes


def kept_in_memory_bytes(
    tool: str, chunk_size_bytes: int, in_flight: int, direction: Direction
) -> int:
    """The payload that a tool keeps in memory, with so many chunks in flight of all files."""
    kept = TOOL_FACTS[tool].chunks_in_memory if direction == "up" else 0
    return kept * chunk_size_bytes * in_flight


def spoken(facts: ToolFacts) -> str:
    """What a tool speaks, in words."""
    return " and ".join(name for kind, name in PROTOCOL_NAMES.items() if kind in facts.speaks)


def count_chunks(size_bytes: int, chunk_size_bytes: int) -> int:
    """How many chunks a file has; an empty file still is one request."""
    return max(1, -(-size_bytes // chunk_size_bytes))


def effective(knobs: Knobs, requested: Settings, direction: Direction) -> Transfer:
    """The transfer that a cell's tool makes of `requested`, for the files of the cell."""
    facts, asked = TOOL_FACTS[knobs.tool], _filled(knobs, requested, direction)
    chunks = count_chunks(knobs.size_bytes, asked.chunk_size_bytes)
    together = chunks - 1 if facts.first_alone and direction == "down" else chunks
    concurrency = max(1, min(asked.concurrency, together))
    one_get = facts.whole_at_one and direction == "down" and concurrency == 1
    can_compare = direction == "up" or facts.compares_downloads or requested.checksum is None
    compared = asked.checksum and can_compare
    return replace(
        asked,
        chunk_size_bytes=knobs.size_bytes if chunks == 1 or one_get else asked.chunk_size_bytes,
        concurrency=concurrency,
        transfers=min(asked.transfers, knobs.files),
        checksum=compared,
    )


def declared(requested: Settings, planned: Transfer) -> Settings:
    """What is planned of what was asked for; None: the tool is not told.

    Where it is not told the size of chunks, or how many files there are at once, nobody knows how
    many chunks there are to be in flight.
    """
    values, asked = asdict(planned), asdict(requested)
    if requested.chunk_size_bytes is None or requested.transfers is None:
        values["concurrency"] = requested.concurrency
    return Settings(**{name: None if asked[name] is None else values[name] for name in values})


def _filled(knobs: Knobs, requested: Settings, direction: Direction) -> Transfer:
    """What is asked for, and the tool's own where nothing is."""
    facts = TOOL_FACTS[knobs.tool]
    own = facts.up if direction == "up" else facts.down
    whole = requested.chunk_size_bytes is None and knobs.size_bytes < own.whole_below_bytes
    values = {
        "chunk_size_bytes": knobs.size_bytes if whole else own.chunk_size_bytes,
        **{name: getattr(own, name) for name in ("concurrency", "transfers", "http2", "checksum")},
    }
    asked = {name: value for name, value in asdict(requested).items() if value is not None}
    return Transfer(**(values | asked))


def why_not(
    knobs: Knobs, kind: str, requested: Settings, direction: Direction, target: Target
) -> str:
    """Why a cell's tool can't do what a step asks of it, at a target; empty where it can."""
    facts = TOOL_FACTS[knobs.tool]
    if kind not in facts.steps:
        return f"{knobs.tool} has no '{kind}'"
    provider = PROVIDERS[target.provider]
    if provider.protocol not in facts.speaks:
        return f"{knobs.tool} speaks {spoken(facts)}, and {provider.title} does not"
    if facts.only_principal and target.client_secret is None:
        return facts.only_principal
    if target.provider in facts.not_with:
        return facts.not_with[target.provider]
    patterns = facts.not_in_keys + (facts.not_in_folders if knobs.files > 1 else "")
    odd = next((char for char in patterns if char in target.folder), "")
    if odd:
        return f"{knobs.tool} takes the {odd} in the folder of '{target.name}' for a pattern"
    return (
        _wrong_host(knobs.tool, target)
        or _wrong_secrets(knobs.tool, direction, target)
        or _not_whole(knobs, requested)
        or _wrong_chunk(knobs, requested, direction)
        or _wrong_number(knobs, requested, direction)
        or _wrong_at_once(knobs, effective(knobs, requested, direction), requested)
        or _wrong_flags(knobs.tool, requested, direction)
    )


def _wrong_host(tool: str, target: Target) -> str:
    facts = TOOL_FACTS[tool]
    url = urlsplit(address_of(target) or "")
    usual = url.port in {None, 80 if url.scheme == "http" else 443}
    if not facts.only_at or (usual and re.fullmatch(facts.only_at, url.hostname or "")):
        return ""
    where = f"'{url.netloc}'" if url.netloc else f"those of {PROVIDERS[target.provider].title}"
    return f"{tool} signs for Amazon's and Google's own hosts alone, and not for {where}"


def _not_whole(knobs: Knobs, requested: Settings) -> str:
    """Of a tool that takes neither the size of chunks nor how many are in flight."""
    if not TOOL_FACTS[knobs.tool].whole_only:
        return ""
    chunk_bytes, streams = requested.chunk_size_bytes, requested.concurrency
    one = f"{knobs.tool} moves a file by one request, whatever it is told"
    if chunk_bytes is not None and count_chunks(knobs.size_bytes, chunk_bytes) > 1:
        return f"{one}, and not in chunks of {format_size(chunk_bytes)}: try settings: default"
    if chunk_bytes is None and (streams or 1) > 1:
        return f"{one}, and not in {streams} chunks at once: try settings: default"
    return ""


def _wrong_secrets(tool: str, direction: Direction, target: Target) -> str:
    facts = TOOL_FACTS[tool]
    if facts.needs_keys and target.access_key_id is None:
        return f"{tool} can't do without keys, and '{target.name}' has none"
    if facts.logs_token and direction == "down" and target.session_token is not None:
        return f"{tool} would write the session token of '{target.name}' to its log"
    return ""


def _wrong_number(knobs: Knobs, requested: Settings, direction: Direction) -> str:
    """Of tools whose one number is `transfers` and `concurrency`, or that list no second page."""
    facts, tool = TOOL_FACTS[knobs.tool], knobs.tool
    if facts.most_listed is not None and direction == "down" and knobs.files > facts.most_listed:
        return f"{tool} downloads no more than {facts.most_listed} files of a folder"
    if not facts.one_number or knobs.files == 1:
        return ""
    if None in {requested.transfers, requested.concurrency}:
        return ""  # the one that is told, or its own, is both
    planned = effective(knobs, requested, direction)
    number = max(planned.transfers, planned.concurrency)
    told = replace(requested, transfers=number, concurrency=number)
    if effective(knobs, told, direction) == planned:
        return ""
    both = f"{planned.transfers} x {planned.concurrency}"
    return f"{tool} has one number for both: transfers x concurrency can't be {both}"


def _wrong_chunk(knobs: Knobs, requested: Settings, direction: Direction) -> str:
    facts, chunk_bytes = TOOL_FACTS[knobs.tool], requested.chunk_size_bytes
    if chunk_bytes is None:
        return ""
    refused = f"and not of {format_size(chunk_bytes)}"
    if chunk_bytes % facts.chunk_unit_bytes:
        unit = format_size(facts.chunk_unit_bytes).removeprefix("1")
        return f"{knobs.tool} takes chunks of whole {unit}, {refused}"
    if chunk_bytes < facts.least_chunk_bytes:
        least = format_size(facts.least_chunk_bytes)
        return f"{knobs.tool} takes chunks of at least {least}, {refused}"
    in_parts = direction == "up" and count_chunks(knobs.size_bytes, chunk_bytes) > 1
    if in_parts and facts.rounds(chunk_bytes) != chunk_bytes:
        return f"{knobs.tool} can't hold a chunk of {format_size(chunk_bytes)} exactly"
    if in_parts and chunk_bytes < facts.least_part_bytes:
        least = format_size(facts.least_part_bytes)
        return f"{knobs.tool} uploads parts of at least {least}, {refused}"
    return ""


def _wrong_at_once(knobs: Knobs, planned: Transfer, requested: Settings) -> str:
    facts, tool = TOOL_FACTS[knobs.tool], knobs.tool
    # Where it is not told, also a pool's files share as many streams as it has.
    if knobs.files > 1 and (requested.transfers or facts.least_transfers) < facts.least_transfers:
        return f"{tool} moves at least {facts.least_transfers} of several files at once"
    in_chunks = count_chunks(knobs.size_bytes, planned.chunk_size_bytes) > 1
    alone = planned.transfers == 1 and requested.transfers is not None
    if in_chunks and knobs.files > 1 and alone and not facts.one_by_one:
        return f"{tool} can't move one file after the other: it moves chunks of each in turn"
    if not facts.one_pool or planned.transfers == 1:
        return ""
    return _wrong_pool(tool, planned, requested, in_chunks=in_chunks)


def _wrong_pool(tool: str, planned: Transfer, requested: Settings, *, in_chunks: bool) -> str:
    """Of several files at once that share one number of requests in flight."""
    if requested.concurrency is None:
        return f"{tool} has one pool for all files: transfers needs a concurrency, or to be default"
    if planned.concurrency > 1:
        both = f"{planned.transfers} x {planned.concurrency}"
        return f"{tool} has one pool for all files: transfers x concurrency can't be {both}"
    if in_chunks:
        return f"{tool} has one pool for all files: of several at once it moves several chunks each"
    return ""


def _wrong_flags(tool: str, requested: Settings, direction: Direction) -> str:
    facts = TOOL_FACTS[tool]
    if direction == "up" and requested.checksum not in {None, *facts.uploads_checksum}:
        without = "with" if requested.checksum else "without"
        return f"{tool} can't upload {without} checksums"
    if requested.http2 not in {None, *facts.http2}:
        return f"{tool} speaks {'no' if requested.http2 else 'nothing but'} HTTP/2"
    return ""


def explain(knobs: Knobs, requested: Settings, other: Settings, direction: Direction) -> str:
    """Why `requested` has the same effect as `other`: for each knob that differs, a reason.

    Empty where they do not differ.
    """
    sizes = [_filled(knobs, asked, direction).chunk_size_bytes for asked in (requested, other)]
    chunks, others = (count_chunks(knobs.size_bytes, size_bytes) for size_bytes in sizes)
    facts, reasons = TOOL_FACTS[knobs.tool], []
    one_stream = requested.concurrency == other.concurrency == 1
    if chunks == others == 1:
        reasons.append("the file is a single chunk and travels whole")
    elif facts.whole_at_one and one_stream and direction == "down":
        reasons.append("one stream downloads the file as one plain GET, whatever the chunk size")
    elif requested.concurrency != other.concurrency:
        has = "a single chunk" if chunks == 1 else f"{chunks} chunks"
        alone = ", the first of which comes alone" if facts.first_alone and chunks > 1 else ""
        alone = alone if direction == "down" else ""
        reasons.append(f"the file has {has}{alone}, so that no more can be in flight")
    if requested.transfers != other.transfers:
        reasons.append(f"{knobs.files} at once is all there is to move")
    if requested.checksum != other.checksum and direction == "down":
        reasons.append(f"{knobs.tool} compares no checksum of what it downloads")
    return "; ".join(reasons)
