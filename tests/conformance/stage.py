"""The server under test, with an address for each way in that needs no login of the suite's own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastmcp import FastMCP

from app.doors.http import App
from app.simulator import SigningKey
from app.simulator.server import LoopbackServer, address, listen
from tests.house import PUBLIC, Clock, new_team, open_house

from .badge import Badge

WHO = "alice@example.com"
POLICY = f"""
version = 1

[[rule]]
name = "everything"
emails = ["{WHO}"]
scopes = ["mcp:tools:write"]
"""


@contextlib.asynccontextmanager
async def doors(folder: Path, mcp: FastMCP | None = None) -> AsyncIterator[dict[str, str]]:
    """MCP endpoints by way in, of one running server.

    `lan`: the LAN door. `tunnel`: the tunnel door with the assertion of somebody who may do everything.
    `edge`: the same through the simulated edge, over one more connection, as cloudflared would send it.
    """
    clock = Clock()
    team = new_team(clock, (SigningKey.generate(), SigningKey.generate()))
    token = team.token(WHO)
    async with open_house(folder, clock, team, policy=POLICY, mcp=mcp) as house:
        assert house.house.tunnel is not None
        async with (
            signed_in(house.house.tunnel, "cf-access-jwt-assertion", token) as tunnel,
            signed_in(house.access.edge, "cf-access-token", token) as edge,
        ):
            yield {"lan": f"{house.lan}/mcp", "tunnel": tunnel, "edge": edge}


@contextlib.asynccontextmanager
async def signed_in(app: App, header: str, token: str) -> AsyncIterator[str]:
    bound = listen("127.0.0.1", 0)
    here = address(bound)
    badge = Badge(app, here=here, public=PUBLIC, credential={header: token})
    server = await LoopbackServer.start(badge, bound)
    try:
        yield f"http://{here}/mcp"
    finally:
        await server.stop()
