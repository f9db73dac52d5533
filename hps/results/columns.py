"""The tables' columns as SQL: what is read of a stored line, and what the tables make of it.

Times are TIMESTAMP in UTC, sizes bytes, durations seconds, rates megabits a second; what a line
does not say is NULL. Shapes of the lines: `schemas/result.schema.json`.
"""

from __future__ import annotations

from collections.abc import Mapping

from hps.process import temporary
from hps.results import database

_TRANSFER = (
    "chunk_size_bytes BIGINT, concurrency BIGINT, transfers BIGINT, http2 BOOLEAN, checksum BOOLEAN"
)
# Type of each key of a line that is read, of either kind; all others are passed over.
LINE: Mapping[str, str] = {
    "kind": "VARCHAR",
    "run_id": "VARCHAR",
    "machine_id": "VARCHAR",
    "experiment": "VARCHAR",
    "spec_sha256": "VARCHAR",
    "started_at": "VARCHAR",
    "status": "VARCHAR",
    "reason": "VARCHAR",
    "reason_code": "VARCHAR",
    "reason_owner": "VARCHAR",
    # a run
    "spec_source": "VARCHAR",
    "source": "VARCHAR",
    "hps": "VARCHAR",
    "operations": "BIGINT",
    "overrides": "VARCHAR[]",
    "thresholds": "VARCHAR[]",
    "targets": "JSON",
    "merged": "JSON",
    "cells": "JSON",
    "node": (
        "STRUCT(country VARCHAR, kernel VARCHAR, cpu_count BIGINT, memory_bytes BIGINT,"
        " rclone_version VARCHAR, tcp STRUCT(congestion_control VARCHAR),"
        ' gpu STRUCT(gpus STRUCT("name" VARCHAR, memory_bytes BIGINT)[]))'
    ),
    "probe": (
        'STRUCT(upload_mbps STRUCT("value" DOUBLE), download_mbps STRUCT("value" DOUBLE),'
        " rtt STRUCT(median_s DOUBLE), proxied BOOLEAN)"
    ),
    "verdict": 'STRUCT(accepted BOOLEAN, "action" VARCHAR, reasons VARCHAR[], checks JSON)',
    # a result
    "operation_id": "VARCHAR",
    "trial_id": "VARCHAR",
    "cell": "JSON",
    "repetition": "BIGINT",
    "warmup": "BOOLEAN",
    "step": "VARCHAR",
    "step_index": "BIGINT",
    "tool": "VARCHAR",
    "tool_version": "VARCHAR",
    "target": "VARCHAR",
    "size_bytes": "BIGINT",
    "files": "BIGINT",
    "duration_s": "DOUBLE",
    "setup_s": "DOUBLE",
    "first_payload_s": "DOUBLE",
    "cpu_s": "DOUBLE",
    "peak_memory_bytes": "BIGINT",
    "throughput_mbps": "DOUBLE",
    "requested": (
        f"STRUCT(size_bytes BIGINT, content VARCHAR, layout VARCHAR, settings VARCHAR, {_TRANSFER})"
    ),
    "effective": f"STRUCT({_TRANSFER})",
    "observed": (
        "STRUCT(chunks BIGINT, chunk_size_bytes BIGINT, peak_in_flight BIGINT,"
        ' connections BIGINT, "bytes" BIGINT)'
    ),
    "proof": "VARCHAR",
    "retries": "BIGINT",
    "command": "VARCHAR",
    "disturbed": "STRUCT(cpu_waiting_share DOUBLE, throttled_share DOUBLE, steal_share DOUBLE)",
}

_STARTED_AT = "TRY_CAST(started_at AS TIMESTAMP)"
_NAMED = "run_id IS NOT NULL AND machine_id IS NOT NULL AND experiment IS NOT NULL"
_MEASURED = (
    f"{_NAMED} AND operation_id IS NOT NULL AND json_type(cell) = 'OBJECT' AND step IS NOT NULL"
    " AND step_index IS NOT NULL AND repetition IS NOT NULL AND warmup IS NOT NULL"
    " AND status IN ('ok', 'failed', 'invalid', 'skipped', 'timeout', 'interrupted')"
    " AND duration_s >= 0 AND isfinite(duration_s)"
    " AND (throughput_mbps IS NULL OR (throughput_mbps >= 0 AND isfinite(throughput_mbps)))"
)
# A size of chunks, or the word that it was left to the tool, which older lines don't have.
_NAMES_CHUNKS = "(requested.chunk_size_bytes IS NOT NULL OR requested.settings IS NOT NULL)"
# What makes a line one of a run or a result, and a row one of the tables.
IS_RUN = f"kind = 'run' AND {_NAMED} AND {_STARTED_AT} IS NOT NULL"
# Where a run that had ended was resumed; it adds no row.
IS_RESUME = f"kind = 'resume' AND {_NAMED} AND {_STARTED_AT} IS NOT NULL"
IS_RESULT = f"kind = 'result' AND {_MEASURED} AND {_NAMES_CHUNKS}"
IS_ROW: Mapping[str, str] = {
    "runs": f"{_NAMED} AND started_at IS NOT NULL",
    "results": f"{_MEASURED} AND (chunk_size_bytes IS NOT NULL OR settings IS NOT NULL)",
}

# Lines of older versions have neither; what is `ok` has both, and they are empty.
_REASON_CODE = "nullif(reason_code, '')"
_REASON_OWNER = "nullif(reason_owner, '')"
# A run that did not begin says something of its node only where the node, or its way to the target,
# was at fault: a mistake in the experiment, or a run that was stopped, is no verdict.
_IF_OF_NODE = (
    "CASE WHEN coalesce(reason_owner, '') NOT IN ('experiment', 'tool', 'hps') THEN {} END"
)

# A table: of each column the expression over a line that it is made with, and its meaning.
_Columns = Mapping[str, tuple[str, str]]
_COMMON: _Columns = {
    "run_id": ("run_id", "the run: sorts by time and never repeats"),
    "experiment": ("experiment", "the experiment's name"),
    "spec_sha256": ("spec_sha256", "digest of the experiment as written, and of --set"),
    "machine_id": ("machine_id", "the node"),
    "started_at": (_STARTED_AT, "when it began, UTC"),
    "reason_owner": (_REASON_OWNER, "whose fault that is: experiment, node, target, tool, hps"),
    "file": ("file", "where the run was found"),
}
_RUNS: _Columns = {
    "run_id": _COMMON["run_id"],
    "experiment": _COMMON["experiment"],
    "spec_sha256": _COMMON["spec_sha256"],
    "machine_id": _COMMON["machine_id"],
    "started_at": _COMMON["started_at"],
    "spec_source": ("coalesce(spec_source, source)", "where the experiment came from"),
    "spec_commit": (
        "nullif(regexp_extract(coalesce(spec_source, source),"
        r" '^git\+.*@([0-9a-f]{40})(#.*)?$', 1), '')",
        "the commit, where that was a git repository",
    ),
    "hps_version": ("hps", "the hps that ran it"),
    "status": ("status", "'failed' where it never began; else NULL"),
    "reason": ("reason", "why it never began"),
    "reason_code": (_REASON_CODE, "the same for programs, such as no_such_bucket"),
    "reason_owner": _COMMON["reason_owner"],
    "operations": ("operations", "how many the plan has; a run that was stopped has fewer results"),
    "accepted": (
        _IF_OF_NODE.format("verdict.accepted"),
        "the verdict on the node; NULL: none, or it was not at fault",
    ),
    "action": ('verdict."action"', "what followed: run, reallocate, exit, continue"),
    "reasons": (_IF_OF_NODE.format("verdict.reasons"), "why the node was rejected"),
    "checks": ("verdict.checks", "each rule: name, value, bound, unit, outcome, reason"),
    "rtt_s": ("probe.rtt.median_s", "median round trip to the target's endpoint"),
    "probe_upload_mbps": ('probe.upload_mbps."value"', "bandwidth up, before the first operation"),
    "probe_download_mbps": (
        'probe.download_mbps."value"',
        "bandwidth down, before the first operation",
    ),
    "proxied": ("probe.proxied", "true where a proxy was in the way to the target"),
    "country": ("node.country", "two letters (ISO 3166-1)"),
    "gpu": (
        "nullif(array_to_string([g.name for g in node.gpu.gpus], ', '), '')",
        "names of the GPUs, joined by commas",
    ),
    "gpu_memory_bytes": (
        "list_max([g.memory_bytes for g in node.gpu.gpus])",
        "memory of its largest GPU",
    ),
    "cpu_count": ("node.cpu_count", "CPUs that the run might use"),
    "memory_bytes": ("node.memory_bytes", "memory, or the container's limit"),
    "kernel": ("node.kernel", "the kernel's release"),
    "congestion_control": ("node.tcp.congestion_control", "TCP's congestion control"),
    "rclone_version": ("node.rclone_version", "the rclone that was there"),
    "thresholds": ("thresholds", "the experiment's own gates"),
    "overrides": ("overrides", "what --set changed"),
    "targets": ("targets", "the targets by name, without secrets"),
    "merged": ("merged", "steps that were not measured, since another cell's come to the same"),
    "file": _COMMON["file"],
    "cells": ("cells", "every cell, in the order declared"),
}
_RESULTS: _Columns = {
    "experiment": _COMMON["experiment"],
    "spec_sha256": _COMMON["spec_sha256"],
    "run_id": _COMMON["run_id"],
    "machine_id": _COMMON["machine_id"],
    "operation_id": ("operation_id", "the same in every run of the same plan"),
    "trial_id": ("trial_id", "all the steps of one repetition of one cell"),
    "cell": ("cell", "the value of each axis"),
    "repetition": ("repetition", "which repetition, from 0"),
    "warmup": ("warmup", "done first, and not counted"),
    "step": ("step", "upload, download, verify, …"),
    "step_index": ("step_index", "its place in the trial, from 0"),
    "tool": ("tool", "what did it"),
    "tool_version": ("tool_version", "its version"),
    "target": ("target", "the target"),
    "status": ("status", "ok, failed, invalid, skipped, timeout, interrupted"),
    "reason": ("reason", "why it is not ok"),
    "reason_code": (
        _REASON_CODE,
        "the same for programs, such as throttled; NULL where ok, or not stored",
    ),
    "reason_owner": _COMMON["reason_owner"],
    "size_bytes": ("size_bytes", "payload, all files together"),
    "files": ("files", "number of files"),
    "started_at": _COMMON["started_at"],
    "duration_s": ("duration_s", "wall time of the tool's process"),
    "setup_s": ("setup_s", "the part of it before the first request with payload"),
    "first_payload_s": ("first_payload_s", "when payload began to move; NULL: not seen"),
    "cpu_s": ("cpu_s", "processor time of the tool's process, all cores; NULL: not stored"),
    "peak_memory_bytes": ("peak_memory_bytes", "most memory of it at once; NULL: not stored"),
    "throughput_mbps": ("throughput_mbps", "size_bytes * 8 / 1e6 / duration_s; NULL where not ok"),
    "file_size_bytes": ("requested.size_bytes", "requested: size of each file"),
    "content": ("requested.content", "requested: random or zeros"),
    "layout": ("requested.layout", "requested: flat or nested"),
    "settings": (
        "requested.settings",
        "declared; default: of the next five, those that no axis names are the tool's own; NULL: as"
        " declared",
    ),
    "chunk_size_bytes": (
        "requested.chunk_size_bytes",
        "requested: part of an upload, range of a download; NULL: the tool's own",
    ),
    "concurrency": (
        "requested.concurrency",
        "requested: chunks of one file in flight; NULL: as above",
    ),
    "transfers": ("requested.transfers", "requested: files in flight; NULL: as above"),
    "http2": ("requested.http2", "requested: HTTP/2; NULL: as above"),
    "checksum": ("requested.checksum", "requested: checksums compared; NULL: as above"),
    "effective_chunk_size_bytes": ("effective.chunk_size_bytes", "as the tool applied it"),
    "effective_concurrency": (
        "effective.concurrency",
        "as the tool applied it; NULL: can't be told",
    ),
    "effective_transfers": ("effective.transfers", "as the tool applied it; NULL: can't be told"),
    "effective_http2": ("effective.http2", "as the tool applied it"),
    "effective_checksum": ("effective.checksum", "as the tool applied it"),
    "observed_chunks": ("observed.chunks", "chunks in the tool's log"),
    "observed_chunk_size_bytes": ("observed.chunk_size_bytes", "size of all but each file's last"),
    "observed_peak_in_flight": ("observed.peak_in_flight", "most chunks in flight at once"),
    "observed_connections": ("observed.connections", "most TCP connections with payload at once"),
    "observed_bytes": ('observed."bytes"', "bytes that the tool counted, repeats included"),
    "proof": (
        "proof",
        "by what that is known: log, the tool's own; sockets, its connections; NULL: not stored",
    ),
    "retries": ("retries", "requests that were repeated"),
    "command": ("command", "the tool's command line, without secrets"),
    "file": _COMMON["file"],
    "line": (
        "line",
        "its line in the file that the run stored it in; NULL in Parquet of older versions",
    ),
    "disturbed": (
        "disturbed IS NOT NULL",
        "the machine was short of processor time meanwhile; false: not, or not stored",
    ),
    "cpu_waiting_share": (
        "disturbed.cpu_waiting_share",
        "where disturbed: of the time, some process waited for a processor",
    ),
    "throttled_share": (
        "disturbed.throttled_share",
        "where disturbed: of the time, held back by the container's limit",
    ),
    "steal_share": (
        "disturbed.steal_share",
        "where disturbed: of the processors' time, kept by the host",
    ),
}
RUNS: Mapping[str, str] = {name: made for name, (made, _) in _RUNS.items()}
RESULTS: Mapping[str, str] = {name: made for name, (made, _) in _RESULTS.items()}
TABLES: Mapping[str, Mapping[str, str]] = {"runs": RUNS, "results": RESULTS}
# What the table of nodes has of a machine's newest run.
_NEWEST = (
    *("country", "gpu", "rtt_s", "probe_upload_mbps", "probe_download_mbps", "proxied"),
    *("accepted", "action", "reasons", "checks", "gpu_memory_bytes", "cpu_count", "memory_bytes"),
    *("kernel", "congestion_control", "rclone_version"),
)
_NODES: _Columns = {
    "machine_id": _COMMON["machine_id"],
    "runs": ("count(*)", "how many there are of it"),
    "first_seen": ("min(started_at)", "when its first run began, UTC"),
    "last_seen": ("max(started_at)", "when its latest run began, UTC"),
    **{name: (f"arg_max({name}, started_at)", _RUNS[name][1]) for name in _NEWEST},
    "experiments": ("list_sort(list_distinct(list(experiment)))", "what it ran"),
}


def no_lines() -> str:
    """A query with the columns of stored lines and no rows."""
    columns = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in LINE.items())
    return f"SELECT {columns}, NULL::VARCHAR AS file, NULL::BIGINT AS line WHERE false"


def no_rows(table: str) -> str:
    """A query with the columns of a table and no rows."""
    return f"SELECT {select(TABLES[table])} FROM ({no_lines()})"


def select(columns: Mapping[str, str]) -> str:
    """The columns as they stand behind SELECT: `expression AS "name", …`."""
    return ", ".join(f'{made} AS "{name}"' for name, made in columns.items())


_OF_NODES = select({name: made for name, (made, _) in _NODES.items()})
NODES = f"SELECT {_OF_NODES} FROM runs GROUP BY machine_id"


# -------------------------------------------------------------------------------------------------
# What the tables and their columns mean, for `hps results views`.

MEANING_OF_TABLES: Mapping[str, str] = {
    "runs": "a row for each run: one node that worked through one experiment, was rejected, or "
    "never began",
    "results": "a row for each operation: one step of one repetition of one cell",
    "nodes": "a row for each machine, with what its latest run says of it",
}
COLUMNS: Mapping[str, Mapping[str, str]] = {
    table: {name: meaning for name, (_, meaning) in columns.items()}
    for table, columns in (("runs", _RUNS), ("results", _RESULTS), ("nodes", _NODES))
}


# -------------------------------------------------------------------------------------------------
# The tables as they are, for people: each column with its type and its meaning.


def described() -> str:
    """A paragraph for each table and a line for each column."""
    with temporary.folder() as folder, database.opened(folder) as connection:
        for table in TABLES:
            connection.execute(f"CREATE VIEW {table} AS {no_rows(table)}")
        connection.execute(f"CREATE VIEW nodes AS {NODES}")
        parts = []
        for table, what in MEANING_OF_TABLES.items():
            columns = connection.execute(f"DESCRIBE {table}").fetchall()
            lines = [
                f"  {name:<28}{kind:<12}{COLUMNS[table].get(name, '')}"
                for name, kind, *_ in columns
            ]
            parts.append("\n".join([f"{table}: {what}", *lines]))
    return "\n\n".join(parts) + "\n"
