"""The whole server in the test's own event loop: real sockets, a stand-in team, and a clock in hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from fastmcp import Client, FastMCP
from fastmcp.client.transports import StreamableHttpTransport

from app import settings as app_settings
from app.doors.sockets import listen
from app.house import House
from app.server import build, web_server
from app.settings.values import Tcp
from app.simulator import Application, Person, Running, ServiceToken, SigningKey, Simulator, Team, running
from app.simulator.server import address

PUBLIC = "https://brain.example.com"
HOST = "brain.example.com"
TEAM = "acme"
NIGHTLY = "0123456789abcdef.access"
START = 1_800_000_000.0

Held = TypeVar("Held")

POLICY = f"""
version = 1

[scopes."notes:delete"]
description = "Delete and restore notes"
tools = ["delete_note", "restore_note"]

[[rule]]
name = "writers"
emails = ["alice@example.com"]
scopes = ["mcp:tools:write", "notes:delete"]

[[rule]]
name = "readers"
emails = ["bob@example.com"]
scopes = ["mcp:tools:read"]

[[rule]]
name = "nightly"
service_tokens = ["{NIGHTLY}"]
scopes = ["mcp:tools:read"]
"""


class Clock:
    """Seconds since the epoch; moves only when told to."""

    def __init__(self, at: float = START) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class TestHouse:
    """A running server. `lan` and `tunnel` are `http://…` addresses of its doors."""

    __test__ = False

    house: House
    clock: Clock
    team: Team
    access: Running
    lan: str
    tunnel: str
    policy_file: Path
    http: httpx2.AsyncClient = field(repr=False)

    async def lan_request(self, method: str = "GET", path: str = "/healthz", **more: Any) -> httpx2.Response:
        return await self.http.request(method, self.lan + path, **more)

    async def tunnel_request(
        self,
        method: str = "GET",
        path: str = "/healthz",
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx2.Response:
        """As cloudflared would send it: the public Host, and the assertion where there is one."""
        sent = {"Host": HOST, **(headers or {})}
        if token is not None:
            sent["Cf-Access-Jwt-Assertion"] = token
        return await self.http.request(method, self.tunnel + path, headers=sent, **more)

    def lan_client(self, mode: Any = "auto", path: str = "/mcp") -> Client[Any]:
        return Client(self.lan + path, mode=mode)

    def client_as(self, who: str, mode: Any = "auto", path: str = "/mcp") -> Client[Any]:
        """FastMCP's client at the tunnel door, as a person (e-mail) or a service token."""
        token = self.team.token(who) if "@" in who else self.team.service_token(who)
        headers = {"Host": HOST, "Cf-Access-Jwt-Assertion": token}
        return Client(StreamableHttpTransport(self.tunnel + path, headers=headers), mode=mode)

    def write_policy(self, text: str) -> None:
        """A new policy file, and enough time for it to be noticed."""
        self.policy_file.write_text(text)
        self.clock.advance(1.0)


def new_team(clock: Callable[[], float], keys: tuple[SigningKey, SigningKey]) -> Team:
    people = [Person("alice@example.com", "Alice"), Person("bob@example.com", "Bob")]
    tokens = [ServiceToken("nightly", NIGHTLY, "secret")]
    return Team(TEAM, now=clock, people=people, service_tokens=tokens, keys=keys)


@contextlib.asynccontextmanager
async def open_house(
    folder: Path,
    clock: Clock,
    team: Team,
    *,
    policy: str | None = POLICY,
    mcp: FastMCP | None = None,
    bind: str = "127.0.0.1",
    **variables: str,
) -> AsyncIterator[TestHouse]:
    """`variables` are settings by name; `policy` None means that there is no policy file.

    `bind` is where the LAN door listens.
    """
    policy_file = folder / "policy.toml"
    if policy is not None:
        policy_file.write_text(policy)
    lan, tunnel = listen(Tcp(bind, 0)), listen(Tcp("127.0.0.1", 0))
    async with running(Simulator(team, Application(origin=address(tunnel), host=HOST))) as access:
        environ = {
            "MCP_TRANSPORT": "http",
            "DATA_DIR": str(folder),
            "CF_ACCESS_TEAM": TEAM,
            "CF_ACCESS_AUD": team.aud,
            "CF_ACCESS_CERTS_URL": access.certs_url,
            "BASE_URL": PUBLIC,
            # The clock stands still, so no bucket would ever fill again.
            "RATE_LIMIT": "0",
            "RATE_LIMIT_ATTEMPTS": "0",
            **variables,
        }
        async with (
            build(app_settings.read(environ), now=clock, mcp=mcp) as house,
            httpx2.AsyncClient(trust_env=False, timeout=20) as http,
        ):
            server = web_server(house, [lan, tunnel])
            server.config.load()
            server.lifespan = server.config.lifespan_class(server.config)
            await server.startup(sockets=[lan, tunnel])
            try:
                yield TestHouse(
                    house,
                    clock,
                    team,
                    access,
                    f"http://{address(lan)}",
                    f"http://{address(tunnel)}",
                    policy_file,
                    http,
                )
            finally:
                server.force_exit = True
                for connection in list(server.server_state.connections):
                    connection.shutdown()
                await server.shutdown(sockets=[lan, tunnel])
                await asyncio.sleep(0)  # closed transports report it in the next turn of the loop


@contextlib.asynccontextmanager
async def in_one_task(context: contextlib.AbstractAsyncContextManager[Held]) -> AsyncIterator[Held]:
    """Enters and leaves `context` in a task of its own: pytest does the two in different tasks."""
    opened: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def hold() -> None:
        try:
            async with context as held:
                opened.set_result(held)
                await done.wait()
        except BaseException as problem:
            if opened.done():
                raise
            opened.set_exception(problem)

    task = asyncio.create_task(hold())
    try:
        yield await opened
    finally:
        done.set()
        await task
