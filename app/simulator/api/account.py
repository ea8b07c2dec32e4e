"""What a Cloudflare account holds, as far as a tunnel with Access in front needs it.

A plain class: the API changes it, the edge reads it, tests do both. Dictionaries are wire forms.
"""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.simulator.api.collection import Collection, Wire
from app.simulator.api.permissions import ApiToken

TUNNEL_DOMAIN = "cfargotunnel.com"


@dataclass(frozen=True)
class Call:
    """One line of the journal. `status` 0: the connection was cut instead of an answer."""

    method: str
    path: str
    query: str
    body: Any
    status: int


@dataclass
class Zone:
    """A domain. `firewall` is the entry point ruleset of its custom rules, None until there is one."""

    id: str
    name: str
    records: Collection
    firewall: Wire | None = None


@dataclass
class Secret:
    """A service token's secret; `ends_at` where a rotation gave it an end."""

    value: str = field(repr=False)
    ends_at: float | None = None


class Account:
    """`now` is the clock; `lag` is by how many calls lists are behind."""

    def __init__(
        self, *, now: Callable[[], float], team: str = "acme", zones: tuple[str, ...] = ("example.com",)
    ) -> None:
        self.id = secrets.token_hex(16)
        self.name = "The stand-in account"
        self.now = now
        self.lag = 0
        self.journal: list[Call] = []
        self.tokens: dict[str, ApiToken] = {}
        self.organization: Wire | None = {
            "name": team,
            "auth_domain": f"{team}.cloudflareaccess.com",
            "session_duration": "24h",
            "is_ui_read_only": False,
            "deny_unmatched_requests": False,
            "created_at": self.timestamp(),
        }
        self.identity_providers = self._collection()
        self.groups = self._collection()
        self.policies = self._collection()
        self.applications = self._collection()
        self.service_tokens = self._collection()
        self.tunnels = self._collection()
        self.configurations: dict[str, Wire] = {}
        """By tunnel id: {"version", "config", …}, as the API answers it."""
        self.connections: dict[str, list[Wire]] = {}
        """By tunnel id. The edge keeps them: who is connected."""
        self.watchers: list[Callable[[str], None]] = []
        """Called with a tunnel's id when its configuration changed or it was deleted."""
        self.zones = {name: Zone(self.new_id(), name, self._collection()) for name in zones}
        self._secrets: dict[str, list[Secret]] = {}
        self._tunnel_secrets: dict[str, bytes] = {}

    def _collection(self) -> Collection:
        return Collection(lambda: len(self.journal))

    def new_id(self) -> str:
        """Zones, records, accounts have ids of 32 hex digits; Access and tunnels have UUIDs."""
        return secrets.token_hex(16)

    def new_uuid(self) -> str:
        return str(uuid.uuid4())

    def timestamp(self, seconds_from_now: float = 0) -> str:
        return instant(self.now() + seconds_from_now)

    # API tokens

    def issue(self, token: ApiToken) -> str:
        """The API token's value, from now on accepted."""
        self.tokens[token.value] = token
        return token.value

    # Tunnels

    def tunnel(self, tunnel_id: str) -> Wire | None:
        """A tunnel that is not deleted."""
        found = self.tunnels.get(tunnel_id)
        return found if found and found["deleted_at"] is None else None

    def tunnel_secret(self, tunnel_id: str) -> bytes | None:
        """What a connector of the tunnel proves itself with; None once it is deleted."""
        return self._tunnel_secrets.get(tunnel_id) if self.tunnel(tunnel_id) else None

    def keep_tunnel_secret(self, tunnel_id: str, secret: bytes) -> None:
        self._tunnel_secrets[tunnel_id] = secret

    def tunnel_token(self, tunnel_id: str) -> str | None:
        """For `cloudflared tunnel run --token-file`."""
        secret = self.tunnel_secret(tunnel_id)
        if secret is None:
            return None
        value = {"a": self.id, "t": tunnel_id, "s": base64.b64encode(secret).decode()}
        return base64.b64encode(json.dumps(value).encode()).decode()

    def tunnel_of(self, hostname: str) -> str | None:
        """The id of the tunnel that the hostname's proxied CNAME points to, whether or not it exists."""
        for zone in self.zones.values():
            for record in zone.records.all():
                target, _, domain = record["content"].partition(".")
                is_tunnel = record["type"] == "CNAME" and domain == TUNNEL_DOMAIN and record["proxied"]
                if record["name"] == hostname.lower() and is_tunnel:
                    return str(target)
        return None

    def configuration(self, tunnel_id: str) -> tuple[int, Wire] | None:
        """(version, config) that a connector of a remotely managed tunnel is sent; None before the first."""
        kept = self.configurations.get(tunnel_id)
        return (kept["version"], kept["config"]) if kept and self.tunnel(tunnel_id) else None

    # Service tokens

    def keep_secret(self, token_id: str, value: str, previous_ends_at: float | None = None) -> None:
        """The token's secret from now on; the ones before it end then, or now."""
        end = self.now() if previous_ends_at is None else previous_ends_at
        for before in self._secrets.setdefault(token_id, []):
            before.ends_at = end if before.ends_at is None else min(end, before.ends_at)
        self._secrets[token_id].append(Secret(value))

    def service_token(self, client_id: str, client_secret: str) -> Wire | None:
        """The live service token that these two headers prove."""
        now = self.now()
        for token in self.service_tokens.all():
            if token["client_id"] != client_id or seconds(token["expires_at"]) <= now:
                continue
            for secret in self._secrets.get(token["id"], []):
                alive = secret.ends_at is None or now < secret.ends_at
                if alive and secrets.compare_digest(secret.value.encode(), client_secret.encode()):
                    return token
        return None


def instant(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
