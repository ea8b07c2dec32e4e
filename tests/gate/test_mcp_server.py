"""What of FastMCP's insides is relied on is there, and does what it is taken for."""

from __future__ import annotations

from fastmcp import FastMCP
from fastmcp.tools import Tool
from mcp_types import CallToolRequestParams

from app.mcp_server import answer_calls, completion_handler, is_own, lowlevel, new_server


async def told(text: str) -> str:
    return text


async def test_a_tool_of_its_own_is_known_as_such_and_another_is_not() -> None:
    server = new_server()
    assert not is_own(server, "told")
    server.add_tool(Tool.from_function(told))
    assert is_own(server, "told")
    assert (await server.get_tool("told")) is (await server.get_tool("told"))


async def test_others_are_found_and_never_in_the_place_of_an_own_one() -> None:
    server, other = new_server(), Tool.from_function(told, name="other")
    server.others = lambda name: other if name == "other" else None
    server.add_tool(Tool.from_function(told))
    assert await server.get_tool("other") is other
    own = await server.get_tool("told")
    assert own is not None
    assert own is not other
    assert await server.get_tool("nothing") is None


async def test_the_completion_handler_is_the_one_that_was_added() -> None:
    server = FastMCP("x")
    assert completion_handler(server) is None

    async def complete(*_: object) -> list[str]:
        return []

    server.add_completion_handler(complete)
    assert completion_handler(server) is complete


async def test_calls_are_answered_by_who_comes_first_and_the_rest_by_fastmcp() -> None:
    server = new_server()
    server.add_tool(Tool.from_function(told))
    mine = {"content": [], "isError": False, "resultType": "complete"}

    async def first(context: object, asked: CallToolRequestParams) -> dict[str, object] | None:
        return mine if asked.name == "mine" else None

    answer_calls(server, first)
    async with lowlevel(server) as (low, _):
        entry = low.get_request_handler("tools/call")
        assert entry is not None
        assert await entry.handler(None, CallToolRequestParams(name="mine")) is mine  # type: ignore[arg-type]
