"""Rules by group at the tunnel door, with CF_ACCESS_GET_IDENTITY on: the whole way to a tool."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from app.simulator import Person, Team
from tests.house import NIGHTLY, Clock, TestHouse, open_house

POLICY = f"""
version = 1

[[rule]]
name = "by-mail"
emails = ["bob@example.com"]
scopes = ["mcp:tools:read"]

[[rule]]
name = "editors"
groups = ["editors"]
scopes = ["mcp:tools:write"]

[[rule]]
name = "nightly"
service_tokens = ["{NIGHTLY}"]
scopes = ["mcp:tools:read"]
"""
WITHOUT_GROUPS = POLICY.replace('groups = ["editors"]', 'emails = ["alice@example.com"]')


def open_with_groups(
    folder: Path, clock: Clock, team: Team, policy: str = POLICY
) -> AbstractAsyncContextManager[TestHouse]:
    team.people["alice@example.com"] = Person("alice@example.com", groups=("eng", "editors"))
    return open_house(folder, clock, team, policy=policy, CF_ACCESS_GET_IDENTITY="true")


async def tools(house: TestHouse, token: str) -> set[str]:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    answer = await house.tunnel_request(
        "POST", "/mcp", token=token, json=call, headers={"Accept": "application/json, text/event-stream"}
    )
    assert answer.status_code == 200
    return {tool["name"] for tool in answer.json()["result"]["tools"]}


async def test_a_rule_by_group_gives_what_the_assertion_alone_would_not(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with open_with_groups(tmp_path, clock, team) as house:
        assert "create_note" in await tools(house, team.token("alice@example.com"))
        assert "create_note" not in await tools(house, team.token("bob@example.com"))


async def test_who_leaves_the_group_loses_its_tools_within_a_minute_in_the_same_session(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with open_with_groups(tmp_path, clock, team) as house:
        token = team.token("alice@example.com", groups=["editors"])
        assert "create_note" in await tools(house, token)
        team.people["alice@example.com"] = Person("alice@example.com", groups=("eng",))
        clock.advance(60)
        assert await tools(house, token) == {"whoami"}


@pytest.mark.parametrize("refused", [True, False])
async def test_an_outage_opens_nothing_and_stops_nobody_whose_rule_names_no_group(
    tmp_path: Path, clock: Clock, team: Team, refused: bool
) -> None:
    async with open_with_groups(tmp_path, clock, team) as house:
        await house.tunnel_request(token=team.token("bob@example.com"))  # the keys are there
        if refused:
            await house.access.refuse_access()
        else:
            team.identities.unavailable()
        assert await tools(house, team.token("alice@example.com")) == {"whoami"}
        assert "search" in await tools(house, team.token("bob@example.com"))
        assert "search" in await tools(house, team.service_token(NIGHTLY))


async def test_a_policy_without_groups_asks_for_nobody_until_one_with_groups_is_in_force(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with open_with_groups(tmp_path, clock, team, WITHOUT_GROUPS) as house:
        token = team.token("alice@example.com")
        assert "create_note" in await tools(house, token)
        assert team.identities.requests == 0
        house.write_policy(POLICY)
        assert "create_note" in await tools(house, token)
        assert team.identities.requests == 1


async def test_nothing_is_asked_unless_it_is_switched_on(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with open_house(tmp_path, clock, team, policy=POLICY) as house:
        assert await tools(house, team.token("alice@example.com")) == {"whoami"}
        assert team.identities.requests == 0
