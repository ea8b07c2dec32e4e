"""What there is at Cloudflare for one hostname, as it was read. Objects are in the API's own form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from app.provision.marks import comment, is_ours, tunnel_name

Wire = Mapping[str, Any]
Kind = Literal["service-token", "policy", "application", "tunnel", "configuration", "waf-rule", "dns-record"]
# What must be there before what: nothing is reachable until the last, which is the first to go.
ORDER: tuple[Kind, ...] = (
    "service-token",
    "policy",
    "application",
    "tunnel",
    "configuration",
    "waf-rule",
    "dns-record",
)


@dataclass(frozen=True)
class Found:
    """`team` is the team name. `may_read_waf`: the API token sees the zone's custom rules.

    `objects` holds every object of the account (of the zone, of this hostname) that was to be seen, ours
    and others', each kind in the order of its making.
    """

    hostname: str
    account_id: str
    zone_id: str
    zone: str
    team: str
    identity_providers: tuple[Wire, ...] = ()
    groups: tuple[Wire, ...] = ()
    objects: Mapping[Kind, tuple[Wire, ...]] = field(default_factory=dict)
    ruleset_id: str = ""
    may_read_waf: bool = True

    def all(self, kind: Kind) -> tuple[Wire, ...]:
        return tuple(self.objects.get(kind, ()))

    def ours(self, kind: Kind) -> tuple[Wire, ...]:
        """Those that bear our mark; of several with one name the one in use first, then the oldest."""
        found = [value for value in self.all(kind) if self.is_ours(kind, value)]
        return tuple(sorted(found, key=lambda value: (-value.get("app_count", 0), _made(value))))

    def foreign(self, kind: Kind) -> tuple[Wire, ...]:
        return tuple(value for value in self.all(kind) if not self.is_ours(kind, value))

    def one(self, kind: Kind, name: str) -> Wire | None:
        """Ours, of this name."""
        return next((value for value in self.ours(kind) if name_of(kind, value) == name), None)

    def named(self, kind: Kind, id: str) -> Wire | None:
        return next((value for value in self.all(kind) if value["id"] == id), None)

    def is_ours(self, kind: Kind, value: Wire) -> bool:
        if kind == "tunnel":
            return bool(value["name"] == tunnel_name(self.hostname))
        if kind == "configuration":
            return True  # a tunnel has one, and it is ours as the tunnel is
        if kind == "waf-rule":
            return bool(value.get("description") == comment(self.hostname))
        if kind == "dns-record":
            points_to_us = any(value["content"] == target(tunnel) for tunnel in self.ours("tunnel"))
            return bool(value.get("comment") == comment(self.hostname)) or points_to_us
        return is_ours(value.get("name"), self.hostname)

    def with_object(self, kind: Kind, value: Wire) -> Found:
        """The same, where this object is now so."""
        others = self.all(kind)
        known = any(other["id"] == value["id"] for other in others)
        changed = [value if other["id"] == value["id"] else other for other in others]
        return self._with(kind, changed if known else [*others, value])

    def without_object(self, kind: Kind, id: str) -> Found:
        gone = self._with(kind, [value for value in self.all(kind) if value["id"] != id])
        return gone._with("configuration", []) if kind == "tunnel" else gone

    def _with(self, kind: Kind, values: Iterable[Wire]) -> Found:
        return replace(self, objects={**self.objects, kind: tuple(values)})


def name_of(kind: Kind, value: Wire) -> str:
    """What the object is called, in plans and in the state."""
    if kind == "waf-rule":
        return str(value.get("description"))
    return str(value["name"])


def target(tunnel: Wire) -> str:
    """Where a hostname's CNAME must point to be answered by the tunnel."""
    return f"{tunnel['id']}.cfargotunnel.com"


def _made(value: Wire) -> str:
    return str(value.get("created_at") or value.get("created_on") or "")
