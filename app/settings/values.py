"""How the text of a variable becomes a value. Each raises ValueError with what the value must be."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Tcp:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


def one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.lower()

    return parse


def flag(text: str) -> bool:
    if text.lower() in ("true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off", ""):
        return False
    raise ValueError("must be true or false")


def plain(text: str) -> str:
    return text


def host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+|\[[0-9A-Fa-f:.]+\]", text):
        raise ValueError("must be an address or a host name, like 127.0.0.1")
    return text.strip("[]")


def port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ValueError("must be a port, 1 to 65535")
    return int(text)


def networks(text: str) -> tuple[Network, ...]:
    parts = names(text)
    try:
        return tuple(ipaddress.ip_network(part) for part in parts)
    except ValueError as problem:
        raise ValueError(f"must be networks like 192.168.0.0/16, comma separated ({problem})") from None


def hosts(text: str) -> frozenset[str]:
    parts = [part.strip("[]").lower() for part in names(text)]
    for part in parts:
        if not re.fullmatch(r"[a-z0-9._-]+", part) and not _is_ipv6(part):
            raise ValueError(f"must be names or addresses, without scheme or port ({part})")
    return frozenset(parts)


def names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def door(text: str) -> Tcp | Unix | None:
    if not text:
        return None
    if text.startswith("unix:"):
        if not text[5:]:
            raise ValueError("must be HOST:PORT or unix:PATH")
        return Unix(Path(text[5:]).expanduser().absolute())
    address, colon, number = text.rpartition(":")
    if not colon or not address:
        raise ValueError("must be HOST:PORT or unix:PATH, like 127.0.0.1:8085")
    return Tcp(host(address), port(number))


def team(text: str) -> str:
    """One DNS label, or one label and `.fed`: nothing that could turn the issuer into another host."""
    if text and not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.fed)?", text):
        raise ValueError(
            "must be the team name alone, like `acme` for https://acme.cloudflareaccess.com, in lower case"
        )
    return text


def aud(text: str) -> frozenset[str]:
    tags = names(text)
    for tag in tags:
        if not re.fullmatch(r"[0-9a-f]{64}", tag):
            raise ValueError(
                "must be AUD tags of 64 hex digits, comma separated "
                "(Cloudflare One → Access → the application → Overview)"
            )
    return frozenset(tags)


def base_url(text: str) -> str:
    if not text:
        return ""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        host, url = None, urlsplit("")
    if (
        url.scheme not in ("http", "https")
        or not host
        or not re.fullmatch(r"[A-Za-z0-9.:-]+", host)
        or url.path not in ("", "/")
        or url.query
        or url.fragment
        or "@" in url.netloc
        or url.netloc.endswith(":")
    ):
        raise ValueError("must be https://host, without a path")
    if url.scheme == "http" and not is_loopback(host):
        raise ValueError("must be https (http is for loopback only)")
    return f"{url.scheme}://{url.netloc.lower()}"


def certs_url(text: str) -> str:
    if not text:
        return ""
    url = _split(text)
    if not url.hostname or url.scheme not in ("http", "https") or "@" in url.netloc:
        raise ValueError("must be an https URL")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError("must be https (http is for loopback only)")
    return text


def database_url(text: str) -> str:
    if text.startswith(("postgresql://", "postgres://")):
        raise ValueError("PostgreSQL is not supported by this version yet; use sqlite:///PATH")
    if text and not text.startswith("sqlite:///"):
        raise ValueError("must be sqlite:///PATH")
    return text


def loopback_url(text: str) -> str:
    url = _split(text)
    cloudflare = (url.scheme, url.netloc) == ("https", "api.cloudflare.com")
    loopback = url.scheme in ("http", "https") and is_loopback(url.hostname or "")
    if text and not cloudflare and not loopback:
        raise ValueError("must be a loopback URL, or left out for Cloudflare's own API")
    return text


def _split(text: str) -> SplitResult:
    """Nothing at all of a URL that cannot be taken apart."""
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return urlsplit("")
    return url


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def signing_algorithm(text: str) -> str:
    if text.upper() not in ("RS256", "ES256"):
        raise ValueError("must be RS256 or ES256")
    return text.upper()


def client_hosts(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """(allowed, denied)"""
    parts = [part.lower() for part in names(text)]
    for part in parts:
        if not re.fullmatch(r"!?(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*", part):
            raise ValueError(
                f"must be host names like claude.ai, *.example.com or !bad.example, comma separated ({part})"
            )
    denied = frozenset(part[1:] for part in parts if part.startswith("!"))
    return frozenset(part for part in parts if not part.startswith("!")), denied


def arguments(text: str) -> frozenset[str]:
    for part in names(text):
        if not re.fullmatch(r"[\w./-]+\.\w+", part):
            raise ValueError("must be tool.argument names, comma separated, like search.query")
    return frozenset(names(text))


def whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ValueError("must be a whole number, 0 or more")
    return int(text)


def some(text: str) -> int:
    if not whole(text):
        raise ValueError("must be a whole number, 1 or more")
    return whole(text)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
