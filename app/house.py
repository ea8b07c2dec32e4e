"""What a running server is: built, and what its parts share while they are put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastmcp import FastMCP
from mcp.server.auth.middleware.auth_context import auth_context_var

from app.access.jwks import KeySet
from app.audit.events import Report
from app.audit.metrics import Observer
from app.audit.recorder import Request
from app.doors.http import App, LetIn
from app.doors.shortcut import Answer
from app.gate import Gate
from app.policy.file import PolicyFile
from app.principal import LAN
from app.settings import Settings
from app.store.denies import KillSwitch
from app.store.engine import Database
from app.upstreams.upstream import Upstream


@dataclass(frozen=True, slots=True)
class House:
    """A built server: the MCP object, what answers plain calls past it (None: nothing does), and one ASGI app
    for each door (None: the door is off)."""

    mcp: FastMCP
    answer: Answer | None
    gate: Gate
    policy: PolicyFile
    lan: App
    tunnel: App | None
    observer: Observer
    keys: KeySet | None
    upstreams: Callable[[], tuple[Upstream, ...]]


@dataclass(frozen=True, slots=True)
class Shared:
    """What the tunnel door and the authorization server have in common with the rest."""

    database: Database
    policy: PolicyFile
    kill_switch: KillSwitch
    report: Report
    count: Report
    now: Callable[[], float]


def who_asks(settings: Settings) -> Callable[[], Request]:
    """Who asks: on stdio whoever started us, over HTTP only whom a door let in."""
    local = Request(LAN)
    if settings.transport == "stdio":
        return lambda: local

    def of_door() -> Request:
        user = auth_context_var.get()
        if not isinstance(user, LetIn):
            raise PermissionError("a request that came through no door")
        return Request(user.principal, user.request_id, user.cf_ray, user.refuse_instead)

    return of_door
