"""A FastMCP file of somebody's own, with a tool that takes its time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastmcp import FastMCP

mcp = FastMCP("Slow")


def put_down(note: str, how: str) -> None:
    Path(note).write_text(how)


@mcp.tool
async def think(seconds: float, note: str) -> str:
    """Thinks for a while, and writes into the file `note` how it ended."""
    put_down(note, "thinking")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        put_down(note, "stopped")
        raise
    put_down(note, "done")
    return "thought"
