"""API tokens and what they may do, in the words of the dashboard's "Create custom token" page."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

TUNNEL = "Cloudflare Tunnel"
APPS = "Access: Apps and Policies"
ORGANIZATIONS = "Access: Organizations, Identity Providers, and Groups"
SERVICE_TOKENS = "Access: Service Tokens"
ZONE = "Zone"
DNS = "DNS"
WAF = "Zone WAF"

EVERY_PERMISSION = frozenset(
    {
        f"{TUNNEL}: Edit",
        f"{APPS}: Edit",
        f"{ORGANIZATIONS}: Read",
        f"{SERVICE_TOKENS}: Edit",
        f"{ZONE}: Read",
        f"{DNS}: Edit",
        f"{WAF}: Edit",
    }
)


@dataclass
class ApiToken:
    """`hidden` are ids of objects that a granular role keeps out of its sight: lists leave them out."""

    permissions: frozenset[str] = EVERY_PERMISSION
    status: str = "active"
    hidden: frozenset[str] = frozenset()
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    value: str = field(default_factory=lambda: secrets.token_urlsafe(30), repr=False)

    def may(self, subject: str, *, edit: bool) -> bool:
        allowed = {f"{subject}: Edit"} if edit else {f"{subject}: Edit", f"{subject}: Read"}
        return bool(self.permissions & allowed)
