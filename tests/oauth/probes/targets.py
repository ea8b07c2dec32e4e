"""The two servers that are asked: the whole house, and FastMCP with its provider in memory."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import count
from pathlib import Path

import httpx2
import uvicorn
from fastmcp import FastMCP
from fastmcp.server.auth import require_scopes
from fastmcp.server.auth.providers.in_memory import InMemoryOAuthProvider
from mcp.server.auth.settings import ClientRegistrationOptions, RevocationOptions

from app.doors.sockets import listen
from app.settings.values import Tcp
from app.simulator import SigningKey
from app.simulator.server import address
from tests.house import HOST, PUBLIC, Clock, new_team, open_house

from .talk import READ, WRITE, Talk

TLS = ssl.create_default_context()  # made once: it takes longer than most questions
MINUTE = 60.0  # what a person may ask is counted by the minute


@dataclass
class Served:
    """A server that listens at `http`, and is configured to be PUBLIC."""

    name: str
    version: str
    http: str
    now: Callable[[], float]
    signed_in: Callable[[str], dict[str, str]]
    before: Callable[[], None] = lambda: None
    _networks: count[int] = field(default_factory=lambda: count(1))

    @asynccontextmanager
    async def conversation(self) -> AsyncIterator[Talk]:
        self.before()
        number = next(self._networks)
        sent = {"Host": HOST, "CF-Connecting-IP": f"198.18.{number // 250}.{number % 250 + 1}"}
        async with httpx2.AsyncClient(
            base_url=self.http, headers=sent, verify=TLS, trust_env=False, timeout=20
        ) as http:
            talk = Talk(http, PUBLIC, f"{PUBLIC}/mcp", self.now, self.signed_in)
            http.event_hooks = {"response": [talk.heard]}
            yield talk


@asynccontextmanager
async def ours(folder: Path, keys: tuple[SigningKey, SigningKey]) -> AsyncIterator[Served]:
    """People are signed in by the assertion that Access would send along."""
    clock = Clock()
    team = new_team(clock, keys)
    async with open_house(folder, clock, team, OAUTH_ENABLED="true") as house:
        yield Served(
            "Brain",
            version("brain-mcp"),
            house.tunnel,
            clock,
            lambda who: {"Cf-Access-Jwt-Assertion": team.token(who)},
            lambda: clock.advance(MINUTE),
        )


@asynccontextmanager
async def theirs() -> AsyncIterator[Served]:
    """Everything that it has is switched on. It knows no persons: whoever asks is let in."""
    scopes = [READ, WRITE, "notes:delete"]
    auth = InMemoryOAuthProvider(
        base_url=PUBLIC,
        client_registration_options=ClientRegistrationOptions(
            enabled=True, valid_scopes=scopes, default_scopes=[READ]
        ),
        revocation_options=RevocationOptions(enabled=True),
        required_scopes=[READ],
    )
    mcp: FastMCP = FastMCP("Other", auth=auth)

    @mcp.tool
    def list_notes() -> list[str]:
        return []

    @mcp.tool(auth=require_scopes(WRITE))
    def create_note(title: str, text: str) -> str:
        return title + text

    socket = listen(Tcp("127.0.0.1", 0))
    app = mcp.http_app(path="/mcp", stateless_http=True, json_response=True, allowed_hosts=[HOST])
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on"))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[socket])
    try:
        yield Served("FastMCP", version("fastmcp"), f"http://{address(socket)}", time.time, lambda _: {})
    finally:
        server.force_exit = True
        await server.shutdown(sockets=[socket])
