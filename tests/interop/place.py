"""A Brain with the inner OAuth server behind the edge, as the topology `oauth` has it: Access covers the
pages of people, and everything that programs need bypasses it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from app import settings as app_settings
from app.doors.http import App, Message, Receive, Scope, Send
from app.oauth.models import ACCESS_SECONDS
from app.server import build
from app.simulator import Application, Running, SigningKey, Simulator, Team, running
from app.simulator.server import LoopbackServer, address, listen
from tests.cli.brain import brain
from tests.house import POLICY, TEAM, Clock, new_team

from .browser import Person

PROGRAMS = ("/mcp", "/mcp/", "/token", "/register", "/revoke", "/introspect", "/jwks", "/.well-known/*")
WHO = "alice@example.com"


@dataclass
class Recorder:
    """What reaches the tunnel door, and how it is answered: `POST /mcp 403`."""

    app: App
    seen: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.seen.append(f"{scope['method']} {scope['path']} {message['status']}")
            await send(message)

        await self.app(scope, receive, noted)


@dataclass
class Place:
    """`url`: what a person gives their client. `person`: whoever sits at the browser."""

    folder: Path
    clock: Clock
    team: Team
    access: Running
    wire: Recorder
    person: Person

    @property
    def issuer(self) -> str:
        return self.access.edge_url

    @property
    def url(self) -> str:
        return f"{self.issuer}/mcp"

    def count(self, *wanted: str) -> int:
        return sum(self.wire.seen.count(one) for one in wanted)

    def expire(self) -> None:
        """All access tokens that are out are over; refresh tokens are not."""
        self.clock.advance(ACCESS_SECONDS + 1)

    async def operator(self, *words: str) -> str:
        """A `brain …` command beside the running server."""
        ran = await brain(self.folder, *words, stdin=b"", **environment(self.folder, self.access))
        assert ran.code == 0, ran.err
        return ran.out


def environment(folder: Path, access: Running) -> dict[str, str]:
    """Settings of a Brain whose public address is the edge's."""
    return {
        "MCP_TRANSPORT": "http",
        "DATA_DIR": str(folder),
        "CF_ACCESS_TEAM": TEAM,
        "CF_ACCESS_AUD": access.simulator.team.aud,
        "CF_ACCESS_CERTS_URL": access.certs_url,
        "BASE_URL": access.edge_url,
        "OAUTH_ENABLED": "true",
        "RATE_LIMIT": "0",
        "RATE_LIMIT_ATTEMPTS": "0",
    }


@contextlib.asynccontextmanager
async def edge(clock: Clock, origin: str) -> AsyncIterator[tuple[Team, Running]]:
    """The edge in front of `origin` (host:port), with its own address as the public one."""
    team = new_team(clock, (SigningKey.generate(), SigningKey.generate()))
    async with running(Simulator(team, Application(origin=origin, bypass=PROGRAMS))) as access:
        yield team, access


@contextlib.asynccontextmanager
async def place(folder: Path, **variables: str) -> AsyncIterator[Place]:
    """`variables` are settings by name. The clock stands still from now on."""
    clock = Clock(float(int(time.time())))
    (folder / "policy.toml").write_text(POLICY)
    bound = listen("127.0.0.1", 0)
    async with edge(clock, address(bound)) as (team, access):
        settings = app_settings.read({**environment(folder, access), **variables})
        async with build(settings, now=clock) as house:
            assert house.tunnel is not None
            wire = Recorder(house.tunnel)
            server = await LoopbackServer.start(wire, bound)
            try:
                async with Person.at_a_browser(WHO) as person:
                    yield Place(folder, clock, team, access, wire, person)
            finally:
                await server.stop()


def as_program(folder: Path) -> dict[str, str]:
    """The environment of a program that opens browsers: they are `python -m tests.interop.browser URL`."""
    root = Path(__file__).parents[2]
    return {
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(root),
        "BROWSER": f"{sys.executable} -m tests.interop.browser",
        "BROWSER_LOG": str(folder / "browser.jsonl"),
        "BROWSER_PERSON": WHO,
    }
