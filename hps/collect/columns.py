"""The tables' columns as SQL: what is read of a stored line, and what the tables make of it.

Times are TIMESTAMP in UTC, sizes bytes, durations seconds, rates megabits a second; what a line
does not say is NULL. Shapes of the lines: `schemas/result.schema.json`.
"""

from __future__ import annotations

from collections.abc import Mapping

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
    "throughput_mbps": "DOUBLE",
    "requested": f"STRUCT(size_bytes BIGINT, content VARCHAR, layout VARCHAR, {_TRANSFER})",
    "effective": f"STRUCT({_TRANSFER})",
    "observed": (
        "STRUCT(chunks BIGINT, chunk_size_bytes BIGINT, peak_in_flight BIGINT,"
        ' connections BIGINT, "bytes" BIGINT)'
    ),
    "retries": "BIGINT",
    "command": "VARCHAR",
    "disturbed": ("STRUCT(cpu_waiting_share DOUBLE, throttled_share DOUBLE, steal_share DOUBLE)"),
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
# What makes a line one of a run or a result, and a row one of the tables.
IS_RUN = f"kind = 'run' AND {_NAMED} AND {_STARTED_AT} IS NOT NULL"
# A run that was ended went on here; its results say the rest.
IS_RESUME = f"kind = 'resume' AND {_NAMED} AND {_STARTED_AT} IS NOT NULL"
IS_RESULT = f"kind = 'result' AND {_MEASURED} AND requested.chunk_size_bytes IS NOT NULL"
IS_ROW: Mapping[str, str] = {
    "runs": f"{_NAMED} AND started_at IS NOT NULL",
    "results": f"{_MEASURED} AND chunk_size_bytes IS NOT NULL",
}

# Lines of older versions have neither; what is `ok` has both, and they are empty.
_REASON_CODE = "nullif(reason_code, '')"
_REASON_OWNER = "nullif(reason_owner, '')"
# A run that did not begin says something of its node only where the node, or its way to the target,
# was at fault: a mistake in the experiment, or a run that was stopped, is no verdict.
_HELD = "CASE WHEN coalesce(reason_owner, '') NOT IN ('experiment', 'tool', 'hps') THEN {} END"

# Each column of a table and the expression over a line that it is made with.
RUNS: Mapping[str, str] = {
    "run_id": "run_id",
    "experiment": "experiment",
    "spec_sha256": "spec_sha256",
    "machine_id": "machine_id",
    "started_at": _STARTED_AT,
    "spec_source": "coalesce(spec_source, source)",
    "spec_commit": (
        "nullif(regexp_extract(coalesce(spec_source, source),"
        r" '^git\+.*@([0-9a-f]{40})(#.*)?$', 1), '')"
    ),
    "hps_version": "hps",
    "status": "status",
    "reason": "reason",
    "reason_code": _REASON_CODE,
    "reason_owner": _REASON_OWNER,
    "operations": "operations",
    "accepted": _HELD.format("verdict.accepted"),
    "action": 'verdict."action"',
    "reasons": _HELD.format("verdict.reasons"),
    "checks": "verdict.checks",
    "rtt_s": "probe.rtt.median_s",
    "probe_upload_mbps": 'probe.upload_mbps."value"',
    "probe_download_mbps": 'probe.download_mbps."value"',
    "proxied": "probe.proxied",
    "country": "node.country",
    "gpu": "nullif(array_to_string([g.name for g in node.gpu.gpus], ', '), '')",
    "gpu_memory_bytes": "list_max([g.memory_bytes for g in node.gpu.gpus])",
    "cpu_count": "node.cpu_count",
    "memory_bytes": "node.memory_bytes",
    "kernel": "node.kernel",
    "congestion_control": "node.tcp.congestion_control",
    "rclone_version": "node.rclone_version",
    "thresholds": "thresholds",
    "overrides": "overrides",
    "targets": "targets",
    "merged": "merged",
    "file": "file",
    "cells": "cells",
}
RESULTS: Mapping[str, str] = {
    "experiment": "experiment",
    "spec_sha256": "spec_sha256",
    "run_id": "run_id",
    "machine_id": "machine_id",
    "operation_id": "operation_id",
    "trial_id": "trial_id",
    "cell": "cell",
    "repetition": "repetition",
    "warmup": "warmup",
    "step": "step",
    "step_index": "step_index",
    "tool": "tool",
    "tool_version": "tool_version",
    "target": "target",
    "status": "status",
    "reason": "reason",
    "reason_code": _REASON_CODE,
    "reason_owner": _REASON_OWNER,
    "size_bytes": "size_bytes",
    "files": "files",
    "started_at": _STARTED_AT,
    "duration_s": "duration_s",
    "setup_s": "setup_s",
    "throughput_mbps": "throughput_mbps",
    "file_size_bytes": "requested.size_bytes",
    "content": "requested.content",
    "layout": "requested.layout",
    "chunk_size_bytes": "requested.chunk_size_bytes",
    "concurrency": "requested.concurrency",
    "transfers": "requested.transfers",
    "http2": "requested.http2",
    "checksum": "requested.checksum",
    "effective_chunk_size_bytes": "effective.chunk_size_bytes",
    "effective_concurrency": "effective.concurrency",
    "effective_transfers": "effective.transfers",
    "effective_http2": "effective.http2",
    "effective_checksum": "effective.checksum",
    "observed_chunks": "observed.chunks",
    "observed_chunk_size_bytes": "observed.chunk_size_bytes",
    "observed_peak_in_flight": "observed.peak_in_flight",
    "observed_connections": "observed.connections",
    "observed_bytes": 'observed."bytes"',
    "retries": "retries",
    "command": "command",
    "file": "file",
    "line": "line",
    "disturbed": "disturbed IS NOT NULL",
    "cpu_waiting_share": "disturbed.cpu_waiting_share",
    "throttled_share": "disturbed.throttled_share",
    "steal_share": "disturbed.steal_share",
}
TABLES: Mapping[str, Mapping[str, str]] = {"runs": RUNS, "results": RESULTS}
NODES = """
SELECT machine_id,
  count(*) AS runs,
  min(started_at) AS first_seen,
  max(started_at) AS last_seen,
  arg_max(country, started_at) AS country,
  arg_max(gpu, started_at) AS gpu,
  arg_max(rtt_s, started_at) AS rtt_s,
  arg_max(probe_upload_mbps, started_at) AS probe_upload_mbps,
  arg_max(probe_download_mbps, started_at) AS probe_download_mbps,
  arg_max(proxied, started_at) AS proxied,
  arg_max(accepted, started_at) AS accepted,
  arg_max(action, started_at) AS action,
  arg_max(reasons, started_at) AS reasons,
  arg_max(checks, started_at) AS checks,
  arg_max(gpu_memory_bytes, started_at) AS gpu_memory_bytes,
  arg_max(cpu_count, started_at) AS cpu_count,
  arg_max(memory_bytes, started_at) AS memory_bytes,
  arg_max(kernel, started_at) AS kernel,
  arg_max(congestion_control, started_at) AS congestion_control,
  arg_max(rclone_version, started_at) AS rclone_version,
  list_sort(list_distinct(list(experiment))) AS experiments
FROM runs GROUP BY machine_id
"""


def no_lines() -> str:
    """A query with the columns of lines, and none of them."""
    columns = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in LINE.items())
    return f"SELECT {columns}, NULL::VARCHAR AS file, NULL::BIGINT AS line WHERE false"


def no_rows(table: str) -> str:
    """A query with the columns of a table, and no rows."""
    return f"SELECT {select(TABLES[table])} FROM ({no_lines()})"


def select(columns: Mapping[str, str]) -> str:
    """`expression AS "name", …`."""
    return ", ".join(f'{made} AS "{name}"' for name, made in columns.items())
