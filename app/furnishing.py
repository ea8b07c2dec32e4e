"""What the server itself offers: the Brain's tools and `whoami`, with the gate in front of them."""

from __future__ import annotations

from fastmcp import FastMCP
from mcp_types import ToolAnnotations

from app.gate import Gate, Whoami
from app.mcp_server import WITHOUT_NOTES, answer_calls, stamp
from app.notes import tools as note_tools
from app.notes.models import NoteStore
from app.straight import Straight


def furnish(server: FastMCP, store: NoteStore, gate: Gate, base_url: str, *, notes: bool = True) -> Straight:
    """The Brain's tools, and the gate in front of everything that `server` has. `notes`: those of notes.

    Returns what answers calls of upstreams' tools."""
    server.add_middleware(gate)
    straight = Straight(gate, server.name, stamp(server))
    answer_calls(server, straight)
    if notes:
        note_tools.register(server, store, gate.caller, base_url)
    else:
        server.instructions = WITHOUT_NOTES

    @server.tool(
        name="whoami",
        title="Who am I here",
        description="Who you are to this server, which scopes you have, and which tools you may call.",
        annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
    )
    async def whoami() -> Whoami:
        return await gate.whoami()

    return straight
