"""The other two transports of the LAN door, with a client that we did not write."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import SSETransport, StdioTransport
from fastmcp.exceptions import ToolError

from app.simulator import Team
from tests.house import Clock, open_house

from .brain import environ


async def makes_and_finds_a_note(client: Client[Any]) -> None:
    made = await client.call_tool("create_note", {"title": "Otter", "text": "swims in the river"})
    found = await client.call_tool("search", {"query": "river"})
    assert made.structured_content is not None
    assert found.structured_content is not None
    assert [result["id"] for result in found.structured_content["results"]] == [made.structured_content["id"]]


async def over_stdio(folder: Path, mode: Any) -> None:
    transport = StdioTransport(
        sys.executable,
        ["-m", "app.cli.main", "serve"],
        env=environ(MCP_TRANSPORT="stdio", DATA_DIR=str(folder)),
        cwd=str(folder.parent),
        keep_alive=False,
    )
    async with Client(transport, mode=mode) as client:
        who = (await client.call_tool("whoami", {})).structured_content
        assert who is not None
        assert (who["kind"], who["door"]) == ("lan", "lan")
        await makes_and_finds_a_note(client)


async def test_over_stdio_a_client_of_either_era_makes_and_finds_a_note(tmp_path: Path) -> None:
    await asyncio.gather(*(over_stdio(tmp_path / mode, mode) for mode in ("auto", "legacy")))


async def test_over_sse_a_client_makes_and_finds_a_note(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with (
        open_house(tmp_path, clock, team, MCP_TRANSPORT="sse") as house,
        Client(SSETransport(house.lan + "/sse"), mode="legacy") as client,
    ):
        assert "search" in {tool.name for tool in await client.list_tools()}
        await makes_and_finds_a_note(client)


async def test_over_sse_what_is_listed_may_be_called(tmp_path: Path, clock: Clock, team: Team) -> None:
    reads = 'version = 1\n[lan]\nscopes = ["mcp:tools:read"]\n'
    async with (
        open_house(tmp_path, clock, team, policy=reads, MCP_TRANSPORT="sse") as house,
        Client(SSETransport(house.lan + "/sse"), mode="legacy") as client,
    ):
        listed = {tool.name for tool in await client.list_tools()}
        assert "search" in listed
        assert not listed & {"create_note", "update_note", "append_note", "delete_note", "restore_note"}
        with pytest.raises(ToolError, match="not a tool that you may use"):
            await client.call_tool("create_note", {"title": "x", "text": "y"})


async def test_there_is_no_sse_through_the_tunnel(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with open_house(tmp_path, clock, team, MCP_TRANSPORT="sse") as house:
        for path in ("/sse", "/messages/", "/messages/?session_id=x"):
            for method in ("GET", "POST"):
                answer = await house.tunnel_request(method, path, token=team.token())
                assert answer.status_code == 404
