"""What a request carries past the door, and that nobody ever gets somebody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp import FastMCP
from fastmcp.server.dependencies import get_access_token, get_http_request
from mcp.server.auth.middleware.auth_context import get_access_token as sdk_access_token

from app.simulator import Team
from tests.house import HOST, Clock, TestHouse, in_one_task, open_house

from .raw import WHOAMI, message

PEOPLE = 200
POLICY = """
version = 1

[lan]
scopes = ["*"]

[[rule]]
name = "everybody"
any_person = true
scopes = ["mcp:tools:write"]
"""
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass
class Meeting:
    """A tool that nobody leaves before all are in it."""

    here: int = 0
    all_here: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> list[str]:
        """Who the caller is, before and after the meeting."""
        before = caller()
        self.here += 1
        if self.here == PEOPLE:
            self.all_here.set()
        await self.all_here.wait()
        return [*before, *caller()]


def caller() -> tuple[str, str]:
    known, sdk = get_access_token(), sdk_access_token()
    assert known is not None
    assert sdk is not None
    return str(known.subject), str(sdk.subject)


def everything_seen() -> str:
    """All that a tool could read about its request."""
    request = get_http_request()
    token = get_access_token()
    assert token is not None
    return json.dumps(
        {
            "headers": [(name, value) for name, value in request.headers.items()],
            "cookies": request.cookies,
            "token": token.model_dump(mode="json"),
            "scope": {name: repr(value) for name, value in request.scope.items()},
        }
    )


@pytest.fixture
async def talkative(tmp_path: Path, clock: Clock, team: Team) -> AsyncIterator[TestHouse]:
    mcp = FastMCP("Talkative")
    mcp.tool(everything_seen)
    meeting = Meeting()
    mcp.tool(meeting.__call__, name="meet")
    mcp.tool(meeting.all_here.set, name="end_meeting")
    async with in_one_task(open_house(tmp_path, clock, team, policy=POLICY, mcp=mcp)) as house:
        yield house


def call(name: str) -> bytes:
    return message("tools/call", name=name, arguments={})


def result(answer: httpx2.Response) -> Any:
    return answer.json()["result"]["structuredContent"]


SECRETS = {
    "Cookie": "CF_Authorization=s3cret-cookie; other=s3cret-other",
    "Authorization": "Bearer s3cret-bearer",
    "Proxy-Authorization": "Basic s3cret-basic",
}


async def test_no_credential_reaches_the_server_behind_the_tunnel_door(talkative: TestHouse) -> None:
    token = talkative.team.token()
    headers = {
        **JSON,
        **SECRETS,
        "Cf-Access-Authenticated-User-Email": "eve@example.com",
        "Cf-Access-Client-Secret": "s3cret-client",
        "X-Harmless": "harmless",
    }
    answer = await talkative.tunnel_request(
        "POST", "/mcp", token=token, headers=headers, content=call("everything_seen")
    )
    seen = result(answer)["result"]
    assert "harmless" in seen
    assert "s3cret" not in seen
    assert "cf-access" not in seen.lower()
    assert "eve@" not in seen
    for part in token.split("."):
        assert part not in seen


async def test_no_credential_reaches_the_server_behind_the_lan_door(talkative: TestHouse) -> None:
    headers = {**JSON, **SECRETS, "X-Harmless": "harmless"}
    answer = await talkative.lan_request("POST", "/mcp", headers=headers, content=call("everything_seen"))
    seen = result(answer)["result"]
    assert "harmless" in seen
    assert "s3cret" not in seen


async def test_two_hundred_people_at_once_each_get_only_their_own(house: TestHouse) -> None:
    people = [f"person{number}@example.com" for number in range(PEOPLE)]
    old, new = people[::2], people[1::2]
    answers, modern = await asyncio.gather(
        together(house, old, WHOAMI), together(house, new, modern_whoami(), modern=True)
    )
    assert [result(answer)["principal"] for answer in answers] == old
    assert [result(answer)["principal"] for answer in modern] == new


async def test_two_hundred_people_inside_one_tool_at_once_stay_themselves(talkative: TestHouse) -> None:
    people = [f"person{number}@example.com" for number in range(PEOPLE)]
    answers = await together(talkative, people, call("meet"))
    assert [result(answer)["result"] for answer in answers] == [[person] * 4 for person in people]


async def test_people_who_hang_up_leave_nothing_behind_for_others(talkative: TestHouse) -> None:
    people = [f"person{number}@example.com" for number in range(50)]
    waiting = asyncio.create_task(together(talkative, people, call("meet")))
    await talkative.tunnel_request(token=talkative.team.token())
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await together(talkative, people[:1], call("end_meeting"))
    answers = await together(talkative, people[::-1], WHOAMI)
    assert [result(answer)["principal"] for answer in answers] == people[::-1]


def modern_whoami() -> bytes:
    return message("tools/call", name="whoami", arguments={}, _meta=META)


async def together(
    house: TestHouse, people: list[str], body: bytes, *, modern: bool = False
) -> list[httpx2.Response]:
    """One request of each, all at the same time, each on a connection of its own."""
    era = {"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "whoami"}
    headers = {**JSON, "Host": HOST, **(era if modern else {})}
    limits = httpx2.Limits(max_connections=PEOPLE)
    async with httpx2.AsyncClient(trust_env=False, timeout=20, limits=limits) as http:
        return await asyncio.gather(
            *(
                http.post(
                    f"{house.tunnel}/mcp",
                    content=body,
                    headers={**headers, "Cf-Access-Jwt-Assertion": house.team.token(person)},
                )
                for person in people
            )
        )
