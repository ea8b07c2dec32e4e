"""Calls at the doors as bytes on the wire, with their HTTP status and headers, and the log they leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from tests.house import HOST, TestHouse

from .tables import Line, lines_in
from .waiting import until

ALICE, BOB = "alice@example.com", "bob@example.com"
ERAS = (HANDSHAKE_PROTOCOL_VERSIONS[-1], MODERN_PROTOCOL_VERSIONS[-1])
RAY = "8f00c0ffee00-FRA"


def file_of(house: TestHouse) -> Path:
    return house.policy_file.with_name("brain.db")


def request(
    house: TestHouse, method: str, *, who: str | None = None, speaking: str = ERAS[0], **params: Any
) -> httpx2.Request:
    """`who` None: at the LAN door."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": speaking,
        "Mcp-Method": method,
    }
    if speaking in MODERN_PROTOCOL_VERSIONS:
        if name := params.get("name") or params.get("uri"):
            headers["Mcp-Name"] = name
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": speaking,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    if who is not None:
        token = house.team.token(who) if "@" in who else house.team.service_token(who)
        headers |= {"Host": HOST, "Cf-Ray": RAY, "Cf-Access-Jwt-Assertion": token}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    door = house.lan if who is None else house.tunnel
    return house.http.build_request("POST", f"{door}/mcp", content=body, headers=headers)


async def ask(house: TestHouse, method: str, **more: Any) -> httpx2.Response:
    return await house.http.send(request(house, method, **more))


async def call(
    house: TestHouse, name: str, *, who: str | None = None, speaking: str = ERAS[0], **arguments: Any
) -> httpx2.Response:
    return await ask(house, "tools/call", who=who, speaking=speaking, name=name, arguments=arguments)


def record_now(house: TestHouse, answer: httpx2.Response) -> Line:
    """The one call of the request that has just been answered, as it is on the disk already."""
    (line,) = (line for line in lines_of(house, answer) if line["operation"] != "sign-in")
    return line


def lines_of(house: TestHouse, answer: httpx2.Response) -> list[Line]:
    request_id = answer.headers["X-Request-Id"]
    return [line for line in lines_in(file_of(house)) if line["request_id"] == request_id]


async def record_of(house: TestHouse, answer: httpx2.Response, operation: str = "tools/call") -> Line:
    """The same, when the records that may wait are on the disk too."""

    def there() -> list[Line]:
        return [line for line in lines_of(house, answer) if line["operation"] == operation]

    await until(lambda: bool(there()), 5)
    (line,) = there()
    return line


def structured(answer: httpx2.Response) -> dict[str, Any]:
    said: dict[str, Any] = answer.json()["result"]["structuredContent"]
    return said


def refused(answer: httpx2.Response) -> bool:
    return bool(answer.json()["result"].get("isError"))
