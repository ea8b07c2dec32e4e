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
RULES = ("include", "exclude", "require")  # the lists of a policy


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
        self.apps = self._collection()
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

    # What the edge asks (app/simulator/tenant.py)

    @property
    def account_tag(self) -> str:
        return self.id

    @property
    def zone(self) -> str:
        """The first domain's name."""
        return next(iter(self.zones))

    def resolves(self, host: str) -> bool:
        """Whether there is any DNS record for `host`."""
        return any(
            record["name"] == host.lower() for zone in self.zones.values() for record in zone.records.all()
        )

    def tunnel_of(self, host: str) -> str | None:
        """The id in a proxied CNAME to `<id>.cfargotunnel.com`, whether that tunnel exists or not."""
        for zone in self.zones.values():
            for record in zone.records.all():
                target, _, domain = record["content"].partition(".")
                is_tunnel = record["type"] == "CNAME" and domain == TUNNEL_DOMAIN and record["proxied"]
                if record["name"] == host.lower() and is_tunnel:
                    return str(target)
        return None

    def secret_of(self, tunnel_id: str) -> str | None:
        """The tunnel's secret in base64, or None where there is no such tunnel (any more)."""
        secret = self._tunnel_secrets.get(tunnel_id)
        return base64.b64encode(secret).decode() if secret and self.tunnel(tunnel_id) else None

    def configuration_of(self, tunnel_id: str) -> tuple[int, Wire] | None:
        """(version, config) that a connector is sent; None before the first, or where it has its own."""
        kept = self.configurations.get(tunnel_id)
        return (kept["version"], kept["config"]) if kept and self.tunnel(tunnel_id) else None

    def policies_of(self, app_id: str) -> list[Wire]:
        """An application's policies in its order; under `group` stand the group's own lists, not its id."""
        application = self.apps.get(app_id)
        links = (
            sorted(application["policies"], key=lambda link: int(link["precedence"])) if application else []
        )
        found = [policy for link in links if (policy := self.policies.get(link["id"]))]
        return [
            policy | {part: [self._resolved(rule) for rule in policy[part]] for part in RULES}
            for policy in found
        ]

    def _resolved(self, rule: Wire) -> Wire:
        return {"group": self.groups.get(rule["group"]["id"]) or {}} if "group" in rule else rule

    # Tunnels

    def tunnel(self, tunnel_id: str) -> Wire | None:
        """A tunnel that is not deleted."""
        found = self.tunnels.get(tunnel_id)
        return found if found and found["deleted_at"] is None else None

    def keep_tunnel_secret(self, tunnel_id: str, secret: bytes) -> None:
        self._tunnel_secrets[tunnel_id] = secret

    def tunnel_token(self, tunnel_id: str) -> str | None:
        """For `cloudflared tunnel run --token-file`."""
        if (secret := self.secret_of(tunnel_id)) is None:
            return None
        value = {"a": self.id, "t": tunnel_id, "s": secret}
        return base64.b64encode(json.dumps(value).encode()).decode()

    # Service tokens

    def keep_secret(self, token_id: str, value: str, previous_ends_at: float | None = None) -> None:
        """The token's secret from now on; the one before it ends then, or now, and all older ones now."""
        older = self._secrets.setdefault(token_id, [])
        for secret in older:
            secret.ends_at = self.now()
        if older and previous_ends_at is not None:
            older[-1].ends_at = previous_ends_at
        older.append(Secret(value))

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
