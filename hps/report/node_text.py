"""A node for people: its facts, what was measured of its way to the target, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from hps.units import format_rate, format_size_rounded, format_time

Data = Mapping[str, Any]
_PLAIN = (
    ("machine", "machine_id"),
    ("instance", "instance_id"),
    ("container group", "container_group_id"),
    ("group name", "container_group_name"),
    ("project", "project_name"),
    ("organization", "organization_name"),
)
_CHECK_COLUMNS = ("check", "value", "bound", "outcome", "reason")


def render(data: Data) -> str:
    """A node's facts as a table; where it was probed, also what was measured and the verdict.

    `data` holds `node`, and where it was probed `probe` and `verdict`, as a run line does.
    """
    parts = [_table(_facts(data["node"]))]
    if "probe" in data:
        parts.append(_table(_probe(data["probe"])))
        parts.append(render_verdict(data["verdict"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def render_verdict(verdict: Data) -> str:
    """A line for each check with its value and bound, and what follows from all of them."""
    rows = [_check(check) for check in verdict["checks"]]
    table = tabulate(rows, headers=_CHECK_COLUMNS, tablefmt="plain", disable_numparse=True)
    outcome = "accepted" if verdict["accepted"] else f"rejected: {verdict['action']}"
    return f"{table if rows else 'no rules'}\n\n{outcome}"


def _facts(node: Data) -> Iterator[tuple[str, str]]:
    for title, name in _PLAIN:
        if node[name] is not None:
            yield title, node[name]
    missing = node["missing"]
    yield "country", node["country"] or _why(missing.get("country", ""))
    yield "system", f"{node['system']} {node['kernel']} {node['architecture']}"
    yield "cpu", _cpu(node)
    yield "memory", _shown(node["memory_bytes"], "", format_size_rounded)
    free_bytes, why = node["scratch_free_bytes"], missing.get("scratch_free_bytes", "")
    yield "free disk", _shown(free_bytes, why, format_size_rounded)
    yield "disk writes", _reading(node["disk"]["write_mb_per_s"], "{:.3g} MB/s".format)
    yield "disk reads", _reading(node["disk"]["read_mb_per_s"], "{:.3g} MB/s".format)
    yield from _tcp(node["tcp"])
    yield "rclone", node["rclone_version"] or _why("")
    yield "python", node["python_version"]
    yield from _gpus(node["gpu"])
    for name, value in node["environment"].items():
        yield name, value


def _cpu(node: Data) -> str:
    limit = f", {node['cpu_limit']:g} of them busy at most" if node["cpu_limit"] else ""
    return f"{node['cpu_model'] or 'unknown model'}, {node['cpu_count']} usable{limit}"


def _tcp(tcp: Data) -> Iterator[tuple[str, str]]:
    yield "tcp", tcp["congestion_control"] or _why("")
    for title, name in (
        ("tcp receives", "receive_buffer_bytes"),
        ("tcp sends", "send_buffer_bytes"),
    ):
        sizes = tcp[name]
        if sizes is not None:
            yield title, f"buffers of up to {format_size_rounded(sizes[-1])}"


def _gpus(gpu: Data) -> Iterator[tuple[str, str]]:
    for title in ("torch", "cuda", "driver"):
        if gpu[f"{title}_version"] is not None:
            yield title, gpu[f"{title}_version"]
    for one in gpu["gpus"]:
        memory = format_size_rounded(one["memory_bytes"])
        yield "gpu", f"{one['name']}, {memory}, compute capability {one['compute_capability']}"
    if not gpu["gpus"]:
        yield "gpu", "none" if gpu["looked"] and not gpu["reason"] else f"none: {gpu['reason']}"


def _probe(probe: Data) -> Iterator[tuple[str, str]]:
    if probe["proxied"]:
        yield "proxy", probe["proxy"]
    yield "upload", _reading(probe["upload_mbps"], format_rate)
    yield "download", _reading(probe["download_mbps"], format_rate)
    yield f"rtt to {probe['target']}", _rtt(probe["rtt"])
    for host, rtt in probe["rtt_hosts"].items():
        yield f"rtt to {host}", _rtt(rtt)


def _rtt(rtt: Data) -> str:
    if rtt["median_s"] is None:
        return _why(rtt["reason"])
    jitter = "" if rtt["jitter_s"] is None else f", jitter {format_time(rtt['jitter_s'])}"
    return f"{format_time(rtt['median_s'])}{jitter}"


def _reading(reading: Data, form: Callable[[float], str]) -> str:
    return _shown(reading["value"], reading["reason"], form)


def _shown(value: float | None, reason: str, form: Callable[[float], str]) -> str:
    return _why(reason) if value is None else form(value)


def _check(check: Data) -> Sequence[str]:
    value, unit = check["value"], check["unit"]
    return (
        check["name"],
        "unknown" if value is None else _with_unit(value, unit),
        _with_unit(check["bound"], unit),
        check["outcome"],
        check["reason"],
    )


def _with_unit(value: object, unit: str) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if not isinstance(value, int | float):
        return str(value)
    if unit == "bytes":
        return format_size_rounded(value)
    return format_rate(value) if unit == "Mbps" else format_time(value)


def _why(reason: str) -> str:
    return f"unknown: {reason}" if reason else "unknown"


def _table(rows: Iterator[tuple[str, str]]) -> str:
    return tabulate(list(rows), tablefmt="plain", disable_numparse=True)
