"""The visitors of the demo: each comes with a real MCP client, or with bare HTTP where none would get in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import httpx2
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError

from app.simulator import Running, SigningKey

NOTES = (
    {"title": "Tea", "text": "Green tea: 80 °C, two minutes.", "tags": ["kitchen"]},
    {"title": "Router", "text": "The spare key of the rack is behind the router.", "tags": ["house"]},
    {"title": "Reading list", "text": "- A Pattern Language\n- The Timeless Way of Building"},
)
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


@dataclass(frozen=True)
class Visitor:
    """Someone with a credential for Access. `writes`: what the demo's policy means for them."""

    who: str
    headers: Mapping[str, str]
    writes: bool


@dataclass(frozen=True)
class Outcome:
    """One row of the table. `expected` is whether it came out as the policy means it."""

    who: str
    rules: tuple[str, ...]
    tools: tuple[str, ...]
    create_note: str
    expected: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


async def seed(lan: str) -> None:
    """A few notes, written from the LAN, where no login is asked for."""
    async with Client(f"{lan}/mcp") as client:
        for note in NOTES:
            await client.call_tool("create_note", dict(note))


async def visit(visitor: Visitor, edge_url: str) -> Outcome:
    transport = StreamableHttpTransport(f"{edge_url}/mcp", headers=dict(visitor.headers))
    async with Client(transport) as client:
        me = (await client.call_tool("whoami")).structured_content or {}
        tools = tuple(tool.name for tool in await client.list_tools())
        wrote, words = await _create_note(client, visitor.who)
    expected = wrote == visitor.writes == ("create_note" in tools)
    return Outcome(visitor.who, tuple(me.get("rules", ())), tools, words, expected)


async def outsiders(edge: Running, door: str) -> list[Outcome]:
    """Those who have nothing: at the edge, past it, and past it with a token of their own making."""
    forged = edge.simulator.team.token(key=SigningKey.generate())
    host = edge.simulator.application.host
    return [
        await _knock("nobody", edge.edge_url, {}, (302, 401)),
        await _knock("nobody, straight at the tunnel door", door, {"Host": host}, (401,)),
        await _knock(
            "nobody, there with a forged assertion",
            door,
            {"Host": host, "Cf-Access-Jwt-Assertion": forged},
            (401,),
        ),
    ]


async def _create_note(client: Client[Any], who: str) -> tuple[bool, str]:
    try:
        await client.call_tool("create_note", {"title": f"Written by {who}", "text": "From the internet."})
    except ToolError as refusal:
        return False, str(refusal)
    return True, "allowed: the note is there"


async def _knock(who: str, url: str, headers: Mapping[str, str], expected: tuple[int, ...]) -> Outcome:
    wanted = {"accept": "application/json, text/event-stream", **headers}
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{url}/mcp", json=INITIALIZE, headers=wanted)
    words = f"{answer.status_code}: {_sentence(answer)}"
    return Outcome(who, (), (), words, answer.status_code in expected)


def _sentence(answer: httpx2.Response) -> str:
    if answer.has_redirect_location:
        return "Access asks for a login; the Brain never sees the request"
    try:
        return str(answer.json()["error_description"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip()[:80]
