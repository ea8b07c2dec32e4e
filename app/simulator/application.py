"""The one self-hosted Access application of a stand-in team: what is in front of what, and how strictly."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass
class Application:
    """Fields may be changed while the edge runs; the next request sees them.

    `origin` is `host:port` or `unix:/path`. `host` is the public hostname; empty means the edge's own
    address. The flags are named as in Cloudflare's API where it has them.
    """

    origin: str
    host: str = ""
    access_url: str = ""
    name: str = "Brain"
    bypass: tuple[str, ...] = ()
    """Paths with a Bypass policy, exact or ending in `*`: nobody is asked, nothing is added or removed."""
    strip_access_headers: bool = True
    """Off: a client's own `Cf-Access-*` headers reach the origin beside the edge's."""
    service_auth_401_redirect: bool = False
    strict_service_token_auth: bool = False
    managed_oauth: bool = False
    idle_seconds: float = 120.0
    """How long the origin may be silent: before its first body byte 524, after it the connection is cut."""

    def bypasses(self, path: str) -> bool:
        return any(
            path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern
            for pattern in self.bypass
        )

    def answers_to(self, host_header: str) -> bool:
        """Whether a request's Host may mean this application. Loopback may: that is how one gets here."""
        return host_header.lower() == self.host.lower() or is_loopback(urlsplit(f"//{host_header}").hostname)

    @property
    def url(self) -> str:
        scheme = "http" if is_loopback(urlsplit(f"//{self.host}").hostname) else "https"
        return f"{scheme}://{self.host}"


def is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
