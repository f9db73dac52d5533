"""Which proxy requests go through, by the rules of Go, in which the tools are written."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

_PORTS = {"http": 80, "https": 443}
_Ip = IPv4Address | IPv6Address


def proxy_for(address: str, env: Mapping[str, str]) -> str | None:
    """`host:port` of the proxy between here and an address; None: there is none.

    It is without the proxy's user and password. Variables in capitals come first, and what is on
    this machine is never reached through a proxy.
    """
    url = _split(address)
    if url is None or url.scheme not in _PORTS or not url.hostname:
        return None
    proxy = _parse_proxy(_variable(f"{url.scheme}_proxy", env))
    port = url.port or _PORTS[url.scheme]
    if proxy is None or _is_direct(url.hostname, port, _variable("no_proxy", env)):
        return None
    return proxy


def _variable(name: str, env: Mapping[str, str]) -> str:
    return env.get(name.upper()) or env.get(name, "")


def _parse_proxy(text: str) -> str | None:
    """An address without a scheme is one of http; None where it can't be read."""
    url = _split(text)
    if text and (url is None or not url.scheme or not url.netloc):
        url = _split(f"http://{text}")
    if url is None or not url.hostname:
        return None
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{host}:{url.port}" if url.port else host


def _split(address: str) -> SplitResult | None:
    try:
        url = urlsplit(address)
        _ = url.port
    except ValueError:
        return None
    return url


def _is_direct(host: str, port: int, no_proxy: str) -> bool:
    ip = _parse_ip(host)
    if host == "localhost" or (ip is not None and ip.is_loopback):
        return True
    entries = [entry.strip().lower() for entry in no_proxy.split(",")]
    return any(entry == "*" or _names(entry, host, ip, port) for entry in entries if entry)


def _names(entry: str, host: str, ip: _Ip | None, port: int) -> bool:
    """True where an entry of NO_PROXY means this host: a network, an address, or a domain."""
    if "/" in entry and _is_network(entry):
        return ip is not None and ip in ip_network(entry, strict=False)
    name, entry_port = _split_port(entry)
    if entry_port not in {"", str(port)}:
        return False
    if ip is not None:
        return _parse_ip(name) == ip
    domain = name.removeprefix("*")
    # A dot in front means what is below a domain, and no dot the domain itself as well.
    if domain.startswith("."):
        return host.endswith(domain)
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _split_port(entry: str) -> tuple[str, str]:
    """An address of version 6 has a port only where it stands in brackets."""
    name, colon, port = entry.rpartition(":")
    if not colon or (":" in name and not name.endswith("]")):
        return entry, ""
    return name.removeprefix("[").removesuffix("]"), port


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _parse_ip(text: str) -> _Ip | None:
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip
