"""Client → public edge with Access → a real cloudflared, its own check on → the tunnel door of the Brain."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from app.simulator import Application, Team
from app.simulator.world import World
from tests.audit.waiting import until
from tests.house import HOST, NIGHTLY, PUBLIC, TEAM, TestHouse
from tests.simulator.cloud import TUNNEL, Account, allow, service_auth
from tests.simulator.internet import somebody

from .cloudflared import connected

ALICE, BOB, MALLORY = "alice@example.com", "bob@example.com", "mallory@example.com"
PROGRAM = {"cf-access-client-id": NIGHTLY, "cf-access-client-secret": "secret"}
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
MCP = {"accept": "application/json, text/event-stream"}


@pytest.fixture
def application(account: Account, team: Team) -> Application:
    (token,) = team.service_tokens.values()
    team.service_tokens = {token.client_id: replace(token, id="nightly-id")}
    return account.protect(HOST, team.aud, allow(ALICE, BOB), service_auth("nightly-id"))


@pytest.fixture
async def online(
    world: World, account: Account, application: Application, house: TestHouse, tmp_path: Path
) -> AsyncIterator[None]:
    access = {"required": True, "teamName": TEAM, "audTag": [application.aud]}
    rule = {"hostname": HOST, "service": house.tunnel, "originRequest": {"access": access}}
    account.configure([rule, {"service": "http_status:404"}])
    async with connected(world, tmp_path / "cloudflared", TUNNEL, account.token()):
        yield


def caller(world: World, **headers: str) -> Client[Any]:
    def from_outside(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
        **_fastmcps: Any,
    ) -> httpx2.AsyncClient:
        client = somebody(world)
        client.headers.update(headers or {})
        return client

    transport = StreamableHttpTransport(f"{PUBLIC}/mcp", headers=headers, httpx_client_factory=from_outside)
    return Client(transport)


@contextlib.asynccontextmanager
async def logged_in(world: World, email: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with somebody(world) as browser:
        login = (await browser.get("/")).headers["location"]
        authorized = (await browser.post(login, data={"email": email})).headers["location"]
        await browser.get(authorized)
        yield browser


@pytest.mark.usefixtures("online")
async def test_a_person_and_a_program_use_the_tools_that_the_policy_gives_them(
    world: World, team: Team
) -> None:
    async with caller(world, **{"cf-access-token": team.token(ALICE)}) as alice:
        names = {tool.name for tool in await alice.list_tools()}
        assert {"search", "create_note", "delete_note"} <= names
        note = await alice.call_tool("create_note", {"title": "Through the tunnel", "text": "yes"})
        assert note.data
    async with caller(world, **PROGRAM) as program:
        names = {tool.name for tool in await program.list_tools()}
        assert "search" in names
        assert "create_note" not in names
        who = await program.call_tool("whoami", {})
        assert NIGHTLY in str(who.structured_content)


@pytest.mark.usefixtures("online")
async def test_a_person_logs_in_with_a_browser_and_sees_the_page(world: World) -> None:
    async with logged_in(world, BOB) as browser:
        page = await browser.get("/", headers={"accept": "text/html"})
        assert page.status_code == 200
        assert BOB in page.text


@pytest.mark.usefixtures("online")
async def test_nobody_gets_in_without_a_credential_or_with_a_forged_one(
    world: World, client: httpx2.AsyncClient, house: TestHouse
) -> None:
    forged = {"cf-access-jwt-assertion": house.team.token(ALICE), "cf-access-token": "not.a.token"}
    for headers in ({}, forged, PROGRAM | {"cf-access-client-secret": "guessed"}):
        for path in ("/mcp", "/mcp/", "/", "/healthz"):
            answer = await client.post(path, json=INITIALIZE, headers=MCP | headers)
            assert answer.status_code == 302, (path, headers)


@pytest.mark.usefixtures("online")
async def test_with_access_taken_away_by_hand_cloudflared_and_the_door_still_refuse(
    client: httpx2.AsyncClient, account: Account, house: TestHouse, world: World
) -> None:
    account.access.clear()
    assert (await client.post("/mcp", json=INITIALIZE, headers=MCP)).status_code == 403
    account.configure([{"service": house.tunnel}])
    (there,) = world.tunnels.connections(TUNNEL)
    await until(lambda: len(there.pushed) == 2)
    answer = await client.post("/mcp", json=INITIALIZE, headers=MCP)
    assert (answer.status_code, answer.headers["server"]) == (401, "cloudflare")


@pytest.mark.usefixtures("online")
async def test_a_request_for_another_host_is_not_answered_by_the_door(
    client: httpx2.AsyncClient, account: Account, house: TestHouse, world: World
) -> None:
    account.records["other.example.com"] = TUNNEL
    assert (await client.get("https://other.example.com/healthz")).status_code == 404
    account.configure([{"service": house.tunnel}])
    (there,) = world.tunnels.connections(TUNNEL)
    await until(lambda: len(there.pushed) == 2)
    assert (await client.get("https://other.example.com/healthz")).status_code == 421
