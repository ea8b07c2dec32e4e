from __future__ import annotations

import pytest
from fastmcp.exceptions import ToolError

from tests.house import NIGHTLY, TestHouse

MODES = ["auto", "legacy"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_writer_sees_every_tool_and_may_write(house: TestHouse, mode: str) -> None:
    async with house.client_as("alice@example.com", mode) as client:
        names = {tool.name for tool in await client.list_tools()}
        assert {"search", "create_note", "delete_note", "whoami"} <= names
        made = await client.call_tool("create_note", {"title": "Hello", "text": "world"})
        assert made.structured_content is not None
        assert made.structured_content["version"] == 1


@pytest.mark.parametrize("mode", MODES)
async def test_a_reader_lists_read_tools_and_is_refused_an_unlisted_one(house: TestHouse, mode: str) -> None:
    async with house.client_as("bob@example.com", mode) as client:
        names = {tool.name for tool in await client.list_tools()}
        assert "search" in names
        assert "create_note" not in names
        with pytest.raises(ToolError, match="not a tool that you may use"):
            await client.call_tool("create_note", {"title": "Hello", "text": "world"})


@pytest.mark.parametrize("mode", MODES)
async def test_a_service_token_gets_its_own_rule(house: TestHouse, mode: str) -> None:
    async with house.client_as(NIGHTLY, mode) as client:
        who = (await client.call_tool("whoami", {})).structured_content
        assert who is not None
        assert (who["kind"], who["rules"]) == ("service", ["nightly"])


@pytest.mark.parametrize("mode", MODES)
async def test_a_verified_stranger_is_left_with_whoami_alone(house: TestHouse, mode: str) -> None:
    async with house.client_as("eve@elsewhere.example", mode) as client:
        assert [tool.name for tool in await client.list_tools()] == ["whoami"]
        assert await client.list_resource_templates() == []
        who = (await client.call_tool("whoami", {})).structured_content
        assert who is not None
        assert "no rule" in who["why"]
        with pytest.raises(ToolError, match="not a tool that you may use"):
            await client.call_tool("search", {"query": "x"})


async def test_nobody_else_gets_anything(house: TestHouse) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"):
        for path in ("/", "/mcp", "/mcp/", "/healthz", "/metrics", "/.well-known/acme-challenge/x"):
            assert (await house.tunnel_request(method, path)).status_code == 401


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics"])
async def test_a_method_that_a_path_does_not_take_is_refused_in_words(house: TestHouse, path: str) -> None:
    reply = await house.lan_request("POST", path)
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD")
    wrong = {"error": "method_not_allowed", "error_description": "This path takes GET, HEAD."}
    assert reply.json() == wrong
