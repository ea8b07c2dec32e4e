"""The servers under load, each a process of its own: `python -m bench.servers stock|ours|silent PORT TOOLS`.

`stock` is FastMCP as its documentation starts it, with no authentication; `ours` is the whole Brain with
the same tools added; `silent` is `ours` with an audit log that keeps nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from fastmcp import FastMCP
from mcp_types import ToolAnnotations


def add_tools(server: FastMCP, count: int) -> None:
    """`echo`, the tool that is called, and others that are only there."""

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def echo(text: str) -> str:
        """Says what it was told."""
        return text

    for number in range(count - 1):

        async def other(text: str, times: int = 1, loud: bool = False) -> str:
            """Another tool that nobody calls."""
            return text * times

        server.tool(other, name=f"other_{number}")


def stock(port: int, tools: int) -> None:
    server = FastMCP("stock")
    add_tools(server, tools)
    server.run("http", host="127.0.0.1", port=port)


class Silent:
    """An audit store that keeps nothing: what the server costs without its audit log."""

    async def append(self, stamped: Sequence[tuple[int, Any]]) -> None:
        return None

    async def join(self, connection: Any, stamped: Sequence[tuple[int, Any]]) -> None:
        return None

    async def prune(self, at: int, *, older_than: int, keep_bytes: int) -> int:
        return 0


def ours(tools: int, *, audited: bool) -> None:
    """Settings come from the environment, as for `brain serve`."""
    import uvloop

    from app import settings
    from app.audit.lines import configure
    from app.doors.sockets import listen
    from app.mcp_server import new_server
    from app.server import build, run

    read = settings.from_process("/dev/null")
    configure("warning", "text")

    async def serve() -> None:
        server = new_server()
        add_tools(server, tools)
        sockets = [listen(read.lan_door)]
        if read.tunnel_door is not None:
            sockets.append(listen(read.tunnel_door))
        async with build(read, mcp=server, records=None if audited else Silent()) as house:
            await run(house, sockets)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


if __name__ == "__main__":
    flavour, port, tools = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if flavour == "stock":
        stock(port, tools)
    else:
        ours(tools, audited=flavour != "silent")
