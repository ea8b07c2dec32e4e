"""What is remembered of what was made at Cloudflare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from app.provision.found import Kind
from app.provision.named import Named
from app.tunnel.config import Topology


@dataclass(frozen=True)
class State:
    """`ids`: of everything that was made, by kind and name. `pending`: what was being made when there was
    no answer, so that it may be there or not. `team` and `auds` are what the server must accept.

    `told`: whom Access lets in since the last apply, None where an older version applied.
    `without_waf`: Cloudflare refused the firewall rule, which is not worth stopping for.
    """

    hostname: str
    account_id: str
    zone_id: str
    zone: str
    team: str
    topology: Topology
    auds: tuple[str, ...] = ()
    ids: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pending: tuple[str, str] | None = None
    without_waf: bool = False
    told: tuple[Named, ...] | None = None

    def with_id(self, kind: Kind, name: str, id: str) -> State:
        ids = {**self.ids, kind: {**self.ids.get(kind, {}), name: id}}
        return replace(self, ids=ids, pending=None)

    def without_id(self, kind: Kind, id: str) -> State:
        left = {name: known for name, known in self.ids.get(kind, {}).items() if known != id}
        return replace(self, ids={**self.ids, kind: left})

    def known(self, kind: Kind) -> tuple[str, ...]:
        return tuple(self.ids.get(kind, {}).values())
