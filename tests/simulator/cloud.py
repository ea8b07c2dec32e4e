"""A small account: DNS, tunnels and Access applications as plain values that a test changes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.simulator.application import Application
from app.simulator.policies import Policy

TUNNEL = "6ff42ae2-765d-4adf-8112-31c55c1551ef"
ZONE = "example.com"
EVERYONE: tuple[dict[str, Any], ...] = ({"everyone": {}},)


@dataclass
class Account:
    """`records` are proxied CNAMEs: hostname → tunnel id."""

    account_tag: str = "a" * 32
    zone: str = ZONE
    records: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    configurations: dict[str, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)
    access: list[Application] = field(default_factory=list)

    def resolves(self, host: str) -> bool:
        return host in self.records

    def tunnel_of(self, host: str) -> str | None:
        return self.records.get(host)

    def secret_of(self, tunnel_id: str) -> str | None:
        return self.secrets.get(tunnel_id)

    def configuration_of(self, tunnel_id: str) -> tuple[int, Mapping[str, Any]] | None:
        return self.configurations.get(tunnel_id)

    def applications(self) -> list[Application]:
        return self.access

    # For the tests

    def add_tunnel(self, tunnel_id: str = TUNNEL) -> None:
        self.secrets[tunnel_id] = base64.b64encode(tunnel_id.encode()).decode()

    def token(self, tunnel_id: str = TUNNEL, secret: str | None = None) -> str:
        """What `cloudflared tunnel run` takes."""
        parts = {"a": self.account_tag, "t": tunnel_id, "s": secret or self.secrets[tunnel_id]}
        return base64.b64encode(json.dumps(parts).encode()).decode()

    def route(self, tunnel_id: str = TUNNEL, **services: str) -> None:
        """A next configuration: hostname (with `_` for `.`) → service, and the catch-all."""
        rules = [{"hostname": name.replace("_", "."), "service": to} for name, to in services.items()]
        self.configure([*rules, {"service": "http_status:404"}], tunnel_id)

    def configure(self, ingress: list[dict[str, Any]], tunnel_id: str = TUNNEL) -> None:
        version = self.configurations[tunnel_id][0] + 1 if tunnel_id in self.configurations else 1
        self.configurations[tunnel_id] = version, {"ingress": ingress, "warp-routing": {"enabled": False}}

    def protect(self, domain: str, aud: str, *policies: Policy, **more: Any) -> Application:
        application = Application("", aud=aud, domains=(domain,), policies=policies, **more)
        self.access.append(application)
        return application


def allow(*emails: str) -> Policy:
    return Policy("allow", tuple({"email": {"email": email}} for email in emails))


def bypass() -> Policy:
    return Policy("bypass", EVERYONE)


def service_auth(token_id: str) -> Policy:
    return Policy("non_identity", ({"service_token": {"token_id": token_id}},))
