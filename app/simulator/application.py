"""A self-hosted Access application of a stand-in team: what is in front of what, and how strictly."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from app.simulator.policies import ANYONE, Policy, Visitor, admits, opens


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
    options_preflight_bypass: bool = False
    managed_oauth: bool = False
    redirects: tuple[str, ...] = ()
    """Where Managed OAuth may send a code: whole addresses, or paths ending in `/*`."""
    redirects_on_this_machine: bool = True
    """Any address on localhost or loopback may be one too."""
    idle_seconds: float = 120.0
    """How long the origin may be silent: before its first body byte 524, after it the connection is cut."""

    aud: str = ""
    """Empty: the team's."""
    domains: tuple[str, ...] = ()
    """What it covers where a hostname has several: `host[/path]` with `*` for one segment or label."""
    policies: tuple[Policy, ...] | None = None
    """None: everyone whom the team knows may in."""

    def bypasses(self, path: str) -> bool:
        if self.policies is not None and opens(self.policies, ANYONE):
            return True
        return any(
            path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern
            for pattern in self.bypass
        )

    def admits(self, visitor: Visitor) -> bool:
        return self.policies is None or admits(self.policies, visitor)

    def answers_to(self, host_header: str) -> bool:
        """Whether a request's Host may mean this application. Loopback may: that is how one gets here."""
        return host_header.lower() == self.host.lower() or is_loopback(urlsplit(f"//{host_header}").hostname)

    @property
    def url(self) -> str:
        scheme = "http" if is_loopback(urlsplit(f"//{self.host}").hostname) else "https"
        return f"{scheme}://{self.host}"


class Applications(Protocol):
    """Which applications a team has, as its pages need to know."""

    def tagged(self, host: str, aud: str) -> Application | None:
        """The application of a login at `host`; `aud` is empty where the login names none."""
        ...

    def at(self, host: str) -> Application | None:
        """An application of the hostname that was asked, for what is the same for all of them there."""
        ...

    def auds(self) -> Sequence[str]: ...


def is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
