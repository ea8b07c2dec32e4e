"""What every client relies on before it is a client: methods, paths, and how long a list may be kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.house import TestHouse

ACCEPT = {"Accept": "application/json, text/event-stream"}
NEWEST = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": NEWEST,
    "io.modelcontextprotocol/clientCapabilities": {},
}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def newest(method: str) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": META}}
    return {"json": body, "headers": {**ACCEPT, "MCP-Protocol-Version": NEWEST, "Mcp-Method": method}}


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_both_paths_answer_at_once_at_both_doors(house: TestHouse, path: str) -> None:
    token = house.team.token("alice@example.com")
    for answer in (
        await house.lan_request("POST", path, json=INITIALIZE, headers=ACCEPT),
        await house.tunnel_request("POST", path, token=token, json=INITIALIZE, headers=ACCEPT),
        await house.lan_request("POST", path, **newest("server/discover")),
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert "mcp-session-id" not in answer.headers
        assert answer.json()["result"]["capabilities"]["tools"] is not None


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_there_is_no_standing_stream(house: TestHouse, path: str) -> None:
    token = house.team.token("alice@example.com")
    assert (await house.lan_request("GET", path, headers=ACCEPT)).status_code == 405
    assert (await house.tunnel_request("GET", path, token=token, headers=ACCEPT)).status_code == 405


@pytest.mark.parametrize(
    "method", ["tools/list", "resources/list", "resources/templates/list", "prompts/list"]
)
async def test_a_list_may_be_kept_for_a_second_and_for_one_person(house: TestHouse, method: str) -> None:
    result = (await house.lan_request("POST", "/mcp", **newest(method))).json()["result"]
    assert (result["cacheScope"], result["ttlMs"]) == ("private", 1000)
