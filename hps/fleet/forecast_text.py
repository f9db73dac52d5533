"""A forecast for people and for programs: what is unknown is said to be, with what would tell."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from hps.catalog.prices import PRICES
from hps.fleet.forecast import Forecast
from hps.plan.estimate import Requests
from hps.report.values import count_text, dollars_text
from hps.units import format_rate, format_size_rounded, format_time

_WIDTH = 80
_NAME = 12
_SPEEDS = "unknown: give --upload and --download, for example --upload 20Mbps"


def render(found: Forecast, remarks: Iterable[str] = ()) -> str:
    """Lines of at most 80 columns, with remarks below."""
    title = f"{found.experiment}: {found.nodes:,} nodes of the fleet {found.fleet}"
    asked = f"{found.asked:,} machines are asked for, by {found.engine}"
    facts = [
        ("cells", _cells(found)),
        *_share(found),
        ("a node", _node(found)),
        ("machines", _machines(found)),
        ("measured", _measured(found)),
        ("end", _end(found)),
        *(("price", _price(found, number)) for number in range(len(found.offers))),
        ("likely", _likely(found)),
        ("at most", most(found)),
    ]
    lines = [title, asked, "", *(line(name, text) for name, text in facts if text)]
    return "\n".join([*lines, *(_remark(text) for text in remarks)]) + "\n"


def as_data(found: Forecast) -> dict[str, object]:
    """The same for programs; null for what is unknown."""
    likely = found.likely_usd
    return {
        **asdict(found),
        "nodes_per_cell": found.nodes_per_cell,
        "likely_usd": None if likely is None else {"least": likely[0], "most": likely[1]},
        "most_usd": found.most_usd,
    }


def line(name: str, text: str) -> str:
    """A fact in lines of at most 80 columns."""
    wrapped = textwrap.wrap(text, _WIDTH - _NAME, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"{'' if n else name:<{_NAME}}{part}" for n, part in enumerate(wrapped))


def _remark(text: str) -> str:
    return textwrap.fill(f"! {text}", _WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _share(found: Forecast) -> list[tuple[str, str]]:
    """What one node measures, and all of them; nothing where nobody knows how much fits."""
    share = found.node.share
    if share is None:
        return []
    return [
        ("operations", _of_all(found, share.operations)),
        ("upload", _amount(found, share.up_bytes, found.upload_mbps)),
        ("download", _amount(found, share.down_bytes, found.download_mbps)),
        ("requests", _requests(share.requests, found.nodes)),
        ("bucket", _bucket(share.dollars, found.nodes)),
    ]


def _cells(found: Forecast) -> str:
    share = found.node.share
    if share is None:
        return f"as many of {found.cells:,} a node as fit into its time; {_SPEEDS}"
    if share.cells == found.cells:
        return f"every node measures all {found.cells:,}"
    each = f"{share.cells:,} of {found.cells:,} a node"
    return f"{each}, {count_text(found.nodes_per_cell)} nodes at each cell in the mean"


def _of_all(found: Forecast, of_node: float) -> str:
    return f"{count_text(of_node)} a node, {of_node * found.nodes:,.0f} in all"


def _amount(found: Forecast, of_node: float, mbps: float | None) -> str:
    each, all_nodes = format_size_rounded(of_node), format_size_rounded(of_node * found.nodes)
    rate = f", at {format_rate(mbps)}" if mbps and of_node else ""
    return f"{each} a node, {all_nodes} in all{rate}"


def _requests(each: Requests, nodes: int) -> str:
    return (
        f"{each.class_a * nodes:,} class A (write, list), {each.class_b * nodes:,} class B (read), "
        f"{each.free * nodes:,} delete"
    )


def _bucket(of_node: Mapping[str, float | None], nodes: int) -> str:
    parts = []
    for provider, dollars in of_node.items():
        prices = PRICES.get(provider)
        if dollars is None or prices is None:
            parts.append(f"unknown: {provider} has no known prices")
            continue
        assumed = f" ({prices.assumes})" if prices.assumes else ""
        price = f"{prices.title}'s list prices of {prices.as_of}{assumed}"
        parts.append(f"about {dollars_text(dollars * nodes)} at {price}")
    return ", and ".join(parts)


def _node(found: Forecast) -> str:
    duration_s = found.node.duration_s
    return _SPEEDS if duration_s is None else f"about {format_time(duration_s)} of work"


def _machines(found: Forecast) -> str:
    if (
        found.arrivals is None
        or found.times.half_nodes_s is None
        or found.times.most_nodes_s is None
    ):
        return f"unknown when they run: {found.engine} has published no figures"
    when = (
        f"half of the {found.nodes:,} that are wanted after {format_time(found.times.half_nodes_s)}"
    )
    rest = f"nine tenths after {format_time(found.times.most_nodes_s)}"
    return f"{when}, {rest}, by {found.arrivals.source}; those that are turned down come on top"


def _measured(found: Forecast) -> str:
    if found.node.duration_s is None:
        return _SPEEDS
    if found.arrivals is None:
        return "unknown, as it is when the machines run"
    if found.times.half_measured_s is None:
        return "less than half before the end"
    half = f"half after {format_time(found.times.half_measured_s)}"
    if found.times.most_measured_s is None:
        return f"{half}, less than nine tenths before the end"
    return f"{half}, nine tenths after {format_time(found.times.most_measured_s)}"


def _end(found: Forecast) -> str:
    if found.ends_in_s is None:
        return "none, until as many as are wanted have measured: give --max-hours, or until"
    return f"after {format_time(found.ends_in_s)}, wherever the nodes are by then"


def _price(found: Forecast, number: int) -> str:
    offer = found.offers[number]
    there = "" if offer.available is None else f", {offer.available:,} there now"
    return f"{offer.name}: {dollars_text(offer.usd_per_hour)} an hour{there} ({offer.source})"


def _likely(found: Forecast) -> str:
    """What the machines cost, where somebody has a price for them."""
    if not found.offers:
        return "unknown: no prices of machines are known"
    if found.likely_usd is None:
        return _SPEEDS
    least, most = (dollars_text(usd) for usd in found.likely_usd)
    amount = least if least == most else f"{least} to {most}"
    return f"{amount} for the machines, {format_time(found.times.billed_s or 0)} of them together"


def most(found: Forecast) -> str:
    """The most that its machines can cost, or why that isn't known."""
    if not found.offers:
        return "unknown: no prices of machines are known"
    if found.most_usd is None:
        return "there is no bound, for there is no end"
    longest = format_time(found.longest_s)
    return (
        f"{dollars_text(found.most_usd)}: {found.asked:,} machines until the end, and an operation "
        f"of at most {longest} that is under way then"
    )
