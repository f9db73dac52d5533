"""A tree without problems -> the values of a `Spec`."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from hps.model import NodeRules, Order, ProbeSettings, ResultsPlace, SecretRef, Target
from hps.spec.formats import strip_slashes
from hps.units import parse_rate_mbps, parse_size_bytes, parse_time_s

_CREDENTIALS = ("access_key_id", "secret_access_key", "session_token")
_PLAIN_TARGET_KEYS = ("provider", "bucket", "region", "force_path_style", "ca_cert")
_PLAIN_NODE_KEYS = ("on_reject", "on_unknown", "on_complete")


def build_targets(written: dict[str, Any]) -> MappingProxyType[str, Target]:
    """Each declared target by its name."""
    return MappingProxyType({name: _target(name, keys) for name, keys in written.items()})


def build_node(written: dict[str, Any]) -> NodeRules:
    """What a node must offer, in base units."""
    values: dict[str, Any] = {key: written[key] for key in _PLAIN_NODE_KEYS if key in written}
    for key in ("min_upload", "min_download"):
        if key in written:
            # 0 asks for nothing, and so nothing is probed for it.
            values[f"{key}_mbps"] = parse_rate_mbps(written[key]) or None
    for key in ("min_gpu_memory", "min_disk"):
        if key in written:
            values[f"{key}_bytes"] = parse_size_bytes(written[key])
    if "max_rtt" in written:
        values["max_rtt_s"] = parse_time_s(written["max_rtt"])
    countries = tuple(written.get("countries", ()))
    return NodeRules(countries=countries, probe=_probe(written.get("probe", {})), **values)


def build_order(written: dict[str, Any]) -> Order:
    """The order of trials."""
    return Order(
        kind=written.get("kind", Order().kind), seed=int(written.get("seed", Order().seed))
    )


def build_results(written: dict[str, Any], first_target: str) -> ResultsPlace:
    """Where results go: to the first target, unless another is named."""
    folder = strip_slashes(written.get("folder", "results"))
    return ResultsPlace(target=written.get("target", first_target), folder=folder)


def _target(name: str, written: dict[str, Any]) -> Target:
    values: dict[str, Any] = {key: written[key] for key in _PLAIN_TARGET_KEYS if key in written}
    for key in _CREDENTIALS:
        if key in written:
            values[key] = SecretRef(env=written[key]["env"])
    if "endpoint" in written:
        values["endpoint"] = written["endpoint"].rstrip("/")
    if "quirks" in written:
        values["quirks"] = tuple(written["quirks"].items())
    return Target(name=name, folder=strip_slashes(written.get("folder", "")), **values)


def _probe(written: dict[str, Any]) -> ProbeSettings:
    default = ProbeSettings()
    return ProbeSettings(
        method=written.get("method", default.method),
        target=written.get("target"),
        duration_s=float(written.get("seconds", default.duration_s)),
        connections=int(written.get("connections", default.connections)),
        rtt_hosts=tuple(written.get("rtt_hosts", ())),
    )
