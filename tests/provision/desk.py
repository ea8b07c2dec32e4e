"""A stand-in account with its API running, and a folder of this machine: what provisioning works between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.policy.parse import parse
from app.provision import apply as provision
from app.provision.apply import Applied
from app.provision.cloudflare import Cloudflare, cloudflare
from app.provision.drift import Finding
from app.provision.files import TunnelFiles
from app.provision.plan import Plan, Step
from app.provision.wanted import Intent
from app.simulator.api import Account, ApiToken, Fault, Serving, serving
from app.tunnel.config import Topology

HOST = "brain.example.com"
DOOR = "http://127.0.0.1:8085"
PATIENCE = 5.0
POLICY = """
version = 1

[[rule]]
name = "family"
emails = ["alice@example.com", "bob@example.com"]
scopes = ["mcp:tools:write"]

[[rule]]
name = "contractors"
domains = ["contractor.example"]
scopes = ["mcp:tools:read"]
"""


@dataclass
class Desk:
    run: Serving
    files: TunnelFiles
    clock: list[float]
    token: str = field(repr=False, default="")
    patience: float = PATIENCE
    told: list[Step] = field(default_factory=list)

    @property
    def account(self) -> Account:
        return self.run.account

    def allow(self, token: ApiToken) -> None:
        """From now on the API is asked with this token."""
        self.token = self.account.issue(token)

    async def plan(self, intent: Intent | None = None) -> Plan:
        async with self.api() as api:
            return await provision.planned(api, self.files, intent or intended())

    async def apply(self, intent: Intent | None = None) -> Applied:
        async with self.api() as api:
            return await provision.apply(api, self.files, intent or intended(), self.told.append)

    async def drift(self, intent: Intent | None = None) -> list[str]:
        async with self.api() as api:
            return [str(one) for one in await provision.drift(api, self.files, intent or intended())]

    async def findings(self, intent: Intent | None = None) -> tuple[Finding, ...]:
        async with self.api() as api:
            return await provision.drift(api, self.files, intent or intended())

    async def down(self, *, hostname: str = "") -> None:
        async with self.api() as api:
            await provision.down(api, self.files, self.told.append, hostname=hostname)

    @contextlib.asynccontextmanager
    async def api(self, retries: int = 0) -> AsyncIterator[Cloudflare]:
        async with cloudflare(self.token, base=self.run.url, patience=self.patience, retries=retries) as api:
            yield api

    async def killed_at(self, fault: Fault, intent: Intent | None = None) -> bool:
        """An `apply` that dies at the call that meets the fault; False where no call does."""
        fault.hold = asyncio.Event()
        self.run.faults.append(fault)
        applying = asyncio.create_task(self.apply(intent))
        reached = asyncio.create_task(fault.reached.wait())
        await asyncio.wait({applying, reached}, return_when=asyncio.FIRST_COMPLETED)
        died = fault.reached.is_set()
        applying.cancel()
        reached.cancel()
        await asyncio.gather(applying, reached, return_exceptions=True)
        fault.hold.set()
        self.run.faults.remove(fault)
        return died


@contextlib.asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    clock = [1_800_000_000.0]
    account = Account(now=lambda: clock[0])
    async with serving(account) as run:
        yield Desk(run, TunnelFiles(folder / "tunnel"), clock, account.issue(ApiToken()))


def intended(
    policy: str = POLICY, *, topology: Topology = "access", hostname: str = HOST, waf: bool = True
) -> Intent:
    return Intent(hostname, DOOR, topology, parse(policy.encode()).rules, waf)


def holdings(account: Account) -> dict[str, Any]:
    """All that the account holds, by name: ids, times and AUD tags are different every time."""
    policies = {policy["id"]: policy["name"] for policy in account.policies.all()}
    tunnels = {tunnel["id"]: tunnel["name"] for tunnel in account.tunnels.all()}
    tokens = {token["id"]: token["name"] for token in account.service_tokens.all()}
    auds = {app["aud"]: app["name"] for app in account.apps.all()}
    known = {**policies, **tunnels, **tokens, **auds}
    zones = list(account.zones.values())
    found = {
        "policies": account.policies.all(),
        "applications": account.apps.all(),
        "service tokens": account.service_tokens.all(),
        "tunnels": [tunnel for tunnel in account.tunnels.all() if tunnel["deleted_at"] is None],
        "configurations": [
            kept["config"] for id, kept in account.configurations.items() if account.tunnel(id)
        ],
        "records": [record for zone in zones for record in zone.records.all()],
        "rules": [rule for zone in zones if zone.firewall for rule in zone.firewall["rules"]],
    }
    named = {kind: [_named(value, known) for value in values] for kind, values in found.items()}
    return {kind: sorted(values, key=repr) for kind, values in named.items()}


_CHANGING = {"account_tag", "id", "aud", "ref", "version", "client_id"}


def _named(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            name: _named(part, known)
            for name, part in value.items()
            if not name.endswith(("_at", "_on", "_updated"))
            and (name not in _CHANGING or (part in known and name == "id"))
        }
    if isinstance(value, list):
        return [_named(part, known) for part in value]
    if isinstance(value, str):
        for id, name in known.items():
            value = value.replace(id, f"<{name}>")
    return value
