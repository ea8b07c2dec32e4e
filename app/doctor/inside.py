"""The checks that need nothing but this machine and Access, each after what it rests on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.doctor import doors, keys, policy, provisioning, storage, tunnel, upstreams
from app.doctor.checks import Check, Question, Verdict, checked, fine, unasked, wrong
from app.doctor.storage import Free, free_bytes
from app.doctor.web import Web
from app.policy.check import Tool
from app.provision.files import TunnelFiles
from app.settings import Settings, base
from app.settings.values import Unix, is_loopback
from app.store.audit import Search as AuditSearch
from app.store.audit import SqlAudit
from app.store.engine import Database, sqlite_path
from app.tunnel.answers import Answer
from app.tunnel.binary import CloudflaredMissing, CloudflaredRefused, Search
from app.tunnel.exposed import exposed

NEWEST = 200  # records of the audit log that are looked at


@dataclass(frozen=True)
class Machine:
    """What the doctor finds here. `web` asks as from outside; `here` on this machine, `door` too, by the
    socket of the tunnel door. `unseen`: what names of tools begin with that nobody knows yet. `metrics`:
    where a cloudflared may say how it is. `folder`: DATA_DIR/tunnel.
    """

    env_file: Path
    now: Callable[[], float]
    tools: Sequence[Tool]
    web: Web
    here: Web
    door: Web
    find: Callable[[], Search]
    configurations: Sequence[Path] = ()
    metrics: Sequence[str] = ()
    free: Free = free_bytes
    unseen: Sequence[str] = ()


@dataclass
class Inside:
    settings: Settings
    machine: Machine
    certs: keys.Certs = field(default_factory=keys.Certs)
    connectors: Mapping[str, Answer] | None = None

    @property
    def database_file(self) -> Path:
        return sqlite_path(self.settings.database_url)

    async def told(self) -> Verdict:
        settings = self.settings
        door = "the LAN alone"
        if settings.tunnel_door is not None:
            door = f"{settings.base_url}, topology {'oauth' if settings.oauth_enabled else 'access'}"
        return fine(f"complete: {door}", *settings.warnings)

    async def disk(self) -> Verdict:
        return storage.disk(self.settings.data_dir, self.machine.free)

    async def database(self) -> Verdict:
        return await asyncio.to_thread(storage.database, self.database_file)

    async def audit(self) -> Verdict:
        key = self.settings.data_dir / "audit.key"
        return await asyncio.to_thread(storage.audit, self.database_file, key)

    async def denies(self) -> Verdict:
        return await storage.denies(self.database_file)

    async def secrets(self) -> Verdict:
        return storage.modes(self.settings.data_dir, self.machine.env_file)

    async def policy(self) -> Verdict:
        on = self.settings.tunnel_door is not None
        tools, unseen = self.machine.tools, self.machine.unseen
        return policy.policy(self.settings.policy_file, tools, unseen, tunnel=on)

    async def cases(self) -> Verdict:
        return policy.cases(self.settings.policy_file, self.machine.tools)

    async def access_keys(self) -> Verdict:
        return await keys.signing_keys(self.settings, self.machine.web, self.machine.now, self.certs)

    async def clock(self) -> Verdict:
        return keys.clock(self.certs)

    async def assertions(self) -> Verdict:
        if not await asyncio.to_thread(storage.has_tables, self.database_file):
            return unasked("there is no audit log yet")
        opened = Database(self.database_file)
        try:
            newest = await SqlAudit(opened, b"").newest(AuditSearch(), NEWEST)
        finally:
            await opened.close()
        return keys.assertions(newest, self.machine.now())

    async def oauth_keys(self) -> Verdict:
        if not self.settings.oauth_enabled:
            return unasked("OAUTH_ENABLED is false")
        return storage.oauth_keys(self.settings.data_dir, self.machine.now())

    async def lan_door(self) -> Verdict:
        if self.settings.transport == "stdio":
            return unasked("MCP_TRANSPORT=stdio has no doors")
        return await doors.lan_door(self.settings, self.machine.here)

    async def ready(self) -> Verdict:
        return await doors.ready(self.settings, self.machine.here)

    async def upstreams(self) -> Verdict:
        return await upstreams.upstreams(
            self.settings.upstreams_file, doors.lan_url(self.settings), self.machine.here
        )

    async def lan_door_closed(self) -> Verdict:
        return await doors.not_for_the_tunnel(self.settings, self.machine.here)

    async def tunnel_door(self) -> Verdict:
        return await doors.tunnel_door(self.settings, self.machine.door)

    async def cloudflared(self) -> Verdict:
        try:
            search = await asyncio.to_thread(self.machine.find)
        except (CloudflaredMissing, CloudflaredRefused) as problem:
            return tunnel.refused(problem)
        return tunnel.program(search, runs=bool(await self._connectors()))

    async def configuration(self) -> Verdict:
        files, port = self.machine.configurations, self.settings.lan_door.port
        return tunnel.configuration(files, exposed(self.settings), port)

    async def connector(self) -> Verdict:
        return tunnel.connector(await self._connectors())

    async def provisioned(self) -> Verdict:
        return provisioning.kept(TunnelFiles(self.settings.data_dir / "tunnel"), self.settings)

    async def _connectors(self) -> Mapping[str, Answer]:
        if self.connectors is None:
            self.connectors = await tunnel.ready(self.machine.metrics, self.machine.here)
        return self.connectors


def inside(settings: Settings, machine: Machine) -> list[Question]:
    asks = Inside(settings, machine)

    def by_tunnel(ask: Callable[[], Awaitable[Verdict]]) -> Callable[[], Awaitable[Verdict]]:
        return ask if settings.tunnel_door is not None else _no_tunnel

    def exposed_only(ask: Callable[[], Awaitable[Verdict]]) -> Callable[[], Awaitable[Verdict]]:
        return _on_this_machine if is_loopback(base(settings).hostname or "") else by_tunnel(ask)

    return [
        Question("settings", asks.told),
        Question("disk", asks.disk),
        Question("database", asks.database, ("disk",)),
        Question("audit log", asks.audit, ("database",)),
        Question("kill switch", asks.denies, ("database",)),
        Question("secrets", asks.secrets),
        Question("policy", asks.policy),
        Question("policy cases", asks.cases, ("policy",)),
        Question("Access keys", by_tunnel(asks.access_keys)),
        Question("clock", by_tunnel(asks.clock)),
        Question("assertions", by_tunnel(asks.assertions), ("database",)),
        Question("OAuth keys", asks.oauth_keys),
        Question("LAN door", asks.lan_door),
        Question("server is ready", asks.ready, ("LAN door",)),
        Question("upstreams", asks.upstreams, ("LAN door",)),
        Question("LAN door closed", asks.lan_door_closed, ("LAN door",)),
        Question("tunnel door", by_tunnel(asks.tunnel_door), ("LAN door",)),
        Question("cloudflared", exposed_only(asks.cloudflared)),
        Question("cloudflared config", exposed_only(asks.configuration)),
        Question("connector", exposed_only(asks.connector), ("cloudflared",)),
        Question("provisioned", exposed_only(asks.provisioned)),
    ]


def settings_invalid(problems: Sequence[str]) -> Check:
    """The only check where there are no settings to go by."""
    first, *others = problems
    verdict = wrong("there is nothing else to ask before they are right", first, *others)
    return checked("inside", "settings", verdict)


def socket_of(settings: Settings) -> Path | None:
    """Where the tunnel door is a unix socket."""
    return settings.tunnel_door.path if isinstance(settings.tunnel_door, Unix) else None


async def _no_tunnel() -> Verdict:
    return unasked("the tunnel door is off (CF_ACCESS_TEAM)")


async def _on_this_machine() -> Verdict:
    return unasked("BASE_URL is this machine: nothing is exposed")
