from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app.simulator import Person, ServiceToken, SigningKey, Team
from tests.house import NIGHTLY, TEAM, Clock, TestHouse, in_one_task, open_house

CANARIES = ("canary-rule", "canary@example.com", "canary_tool", "canary-space", "canary-case@example.com")
POLICY = f"""
version = 1

[scopes."notes:delete"]
description = "Delete and restore notes"
tools = ["delete_note", "restore_note"]

[[rule]]
name = "family"
emails = ["alice@example.com"]
scopes = ["mcp:tools:write"]
spaces = ["main", "~"]

[[rule]]
name = "contractors"
domains = ["contractor.example"]
scopes = ["mcp:tools:read"]
spaces = ["public"]
limits = [{{ tool = "search", arg = "limit", max = 20 }}]

[[rule]]
name = "nightly job"
service_tokens = ["{NIGHTLY}"]
scopes = ["mcp:tools:read"]

[[rule]]
name = "operators"
emails = ["olga@example.com"]
scopes = ["brain:admin"]

[[rule]]
name = "canary-rule"
emails = ["canary@example.com"]
scopes = ["mcp:tools:write"]
spaces = ["canary-space"]

[[case]]
as = "canary-case@example.com"
tool = "search"
expect = "allow"
"""
PEOPLE = (
    "alice@example.com",
    "eve@contractor.example",
    "olga@example.com",
    "canary@example.com",
    "mary@elsewhere.example",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lived_in(
    tmp_path_factory: pytest.TempPathFactory, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> AsyncIterator[TestHouse]:
    """A house in which others have been before; what of them must not be shown is a canary."""
    clock = Clock()
    team = Team(
        TEAM,
        now=clock,
        people=[Person(email) for email in PEOPLE],
        service_tokens=[ServiceToken("nightly", NIGHTLY, "secret")],
        keys=signing_keys[:2],
    )
    folder = tmp_path_factory.mktemp("lived-in")
    async with in_one_task(open_house(folder, clock, team, policy=POLICY)) as house:
        async with house.client_as("canary@example.com") as client:
            await client.call_tool("canary_tool", raise_on_error=False)
            await client.call_tool("list_tags")
        async with house.client_as("alice@example.com") as client:
            await client.call_tool("list_spaces")
            await client.call_tool("canary_of_alice", raise_on_error=False)
        await house.tunnel_request("GET", "/canary-path")
        yield house
