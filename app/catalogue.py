"""What a policy can be about before anything runs."""

from __future__ import annotations

from typing import Any, cast

from app.furnishing import furnish
from app.gate import Gate
from app.mcp_server import new_server
from app.operations import known
from app.policy.check import Tool


async def catalogue(*, notes: bool = True) -> tuple[Tool, ...]:
    """Every tool of our own that a policy can name, without a database."""
    server, nothing = new_server(), cast(Any, None)
    gate = Gate(server, request=nothing, policy=nothing, denies=nothing, recorder=nothing)
    furnish(server, nothing, gate, "", notes=notes)
    return tuple(known(tool) for tool in await server.list_tools(run_middleware=False))
