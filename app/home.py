"""The page at `/` put together: where each of its facts comes from in a running server."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from math import isfinite

from fastmcp import FastMCP

from app.access.jwks import KeySet
from app.audit.log import AuditLog
from app.doors.home import home
from app.doors.http import App
from app.operations import known
from app.pages.connect import lan_snippets, tunnel_snippets
from app.pages.facts import Sources, ToolText, gather
from app.pages.grants import Grants
from app.pages.home import Address
from app.policy.file import PolicyFile
from app.principal import Door, Principal
from app.settings import Settings
from app.store.activity import activity, calls_of
from app.store.denies import KillSwitch, SqlDenies
from app.store.engine import Database

GrantsOf = Callable[[Principal], Awaitable[Grants | None]]

ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Parts:
    """What of the server the page tells of. `keys` is asked late: they come with the tunnel door."""

    server: FastMCP
    policy: PolicyFile
    kill_switch: KillSwitch
    audit: AuditLog
    database: Database
    keys: Callable[[], KeySet | None]
    now: Callable[[], float]


def home_page(parts: Parts, settings: Settings, *, grants: GrantsOf | None = None) -> App:
    """The app of `/`, for both doors. `grants`: where the inner OAuth server is on."""
    sources = Sources(
        policy=parts.policy.current,
        policy_problem=lambda: parts.policy.problem,
        denies=parts.kill_switch.current,
        tools=lambda: listed_tools(parts.server),
        calls=partial(calls_of, parts.database),
        activity=lambda: activity(parts.database, parts.now()),
        shut_off=SqlDenies(parts.database).list,
        audit_healthy=lambda: parts.audit.healthy,
        key_age=lambda: _age(parts.keys()),
        addresses=addresses(settings),
        grants=grants,
    )
    return home(partial(gather, sources))


def addresses(settings: Settings) -> dict[Door, Address]:
    """Where clients connect by each door that is on. Never taken from a request."""
    host, note = settings.lan_door.host, ""
    if host in ANY_ADDRESS:
        host = _name_on_the_lan(settings.lan_hosts)
    elif host in LOOPBACK:
        note = "This address is for programs on the machine of the server. MCP_HOST opens it to the LAN."
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.lan_door.port}/mcp"
    found: dict[Door, Address] = {"lan": Address(url, lan_snippets(url), note)}
    if settings.tunnel_door is not None:
        found["tunnel"] = Address(
            f"{settings.base_url.rstrip('/')}/mcp",
            tunnel_snippets(settings.base_url, oauth=settings.oauth_enabled),
        )
    return found


def _name_on_the_lan(hosts: frozenset[str]) -> str:
    """Of the names that the LAN door goes by, the one that other machines most likely know."""
    name = socket.gethostname().lower()
    liked = (f"{name.partition('.')[0]}.local", name, *sorted(hosts - set(LOOPBACK)))
    return next((one for one in liked if one in hosts), name)


async def listed_tools(server: FastMCP) -> tuple[ToolText, ...]:
    listed = await server.list_tools(run_middleware=False)
    return tuple(
        ToolText(
            known(tool),
            tool.title or "",
            tool.description or "",
        )
        for tool in listed
    )


def _age(keys: KeySet | None) -> float | None:
    return keys.age if keys is not None and isfinite(keys.age) else None
