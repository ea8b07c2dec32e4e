"""The authorization server of a whole house, over HTTP alone: the flow, its ends, who loses access when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastmcp.server.dependencies import get_http_headers

from app.mcp_server import new_server
from app.policy import denies
from app.simulator import SigningKey, Team
from tests.audit.tables import done_to
from tests.audit.waiting import until_true
from tests.house import PUBLIC, Clock, TestHouse, in_one_task, open_house

from . import flow
from .desk import answered, is_page, is_refused
from .flow import ALICE, BOB, READ, WRITE, Browser
from .holders import challenge_of

NOTE: dict[str, Any] = {"name": "create_note", "arguments": {"title": "a", "text": "b"}}


@pytest.fixture
async def house(tmp_path: Path, clock: Clock, team: Team) -> AsyncIterator[TestHouse]:
    async with in_one_task(open_house(tmp_path, clock, team, OAUTH_ENABLED="true")) as opened:
        yield opened


async def test_Q2_Q6_one_issuer_in_every_answer_and_a_token_for_one_place_and_no_more(
    house: TestHouse,
) -> None:
    browser, client = Browser(house, BOB), await flow.register(house)
    page = await flow.ask(browser, client, scope=f"{READ} {WRITE}")
    denied = answered(await flow.consent(browser, page, decision="deny"))
    assert (denied["error"], denied["iss"]) == ("access_denied", PUBLIC)
    page = await flow.ask(browser, client, scope=f"{READ} {WRITE}")
    assert answered(await flow.consent(browser, page))["iss"] == PUBLIC
    assert answered(await flow.ask(browser, client, response_type="token"))["iss"] == PUBLIC
    given = await flow.tokens(browser, client, scope=f"{READ} {WRITE}")
    assert given["scope"] == READ  # what Bob may have
    who = (await flow.call(house, given["access_token"])).json()["result"]["structuredContent"]
    assert (who["principal"], who["scopes"], who["client"]) == (BOB, [READ], client["client_id"])


async def test_Q10_every_end_is_the_servers_clock(house: TestHouse, clock: Clock) -> None:
    browser, client = Browser(house), await flow.register(house)
    page = await flow.ask(browser, client)
    clock.advance(601)
    assert is_page(await flow.consent(browser, page))
    code = await flow.code_for(browser, client)
    clock.advance(61)
    assert is_refused(await flow.exchange(house, client, code), "invalid_grant")
    given = await flow.tokens(browser, client)
    clock.advance(899)
    assert (await flow.call(house, given["access_token"])).status_code == 200
    clock.advance(1)
    assert (await flow.call(house, given["access_token"])).status_code == 401
    later = (await flow.refresh(house, client, given["refresh_token"])).json()
    clock.advance(30 * 86_400 + 1)
    assert is_refused(await flow.refresh(house, client, later["refresh_token"]), "invalid_grant")


async def test_O10_step_up_ends_in_a_token_with_old_and_new_scopes(house: TestHouse) -> None:
    browser, client = Browser(house), await flow.register(house)
    first = await flow.tokens(browser, client, scope=READ)
    refused = await flow.call(house, first["access_token"], **NOTE)
    assert refused.status_code == 403
    more = f"{first['scope']} {challenge_of(refused)['scope']}"
    second = await flow.tokens(browser, client, scope=more)
    assert second["scope"].split() == [READ, WRITE]
    for version in ("2025-11-25", flow.LATEST):
        made = await flow.call(house, second["access_token"], version=version, **NOTE)
        assert made.json()["result"].get("isError") in (None, False), made.text
    # The first consent goes on as it was, with no more than it had.
    again = (await flow.refresh(house, client, first["refresh_token"])).json()
    assert again["scope"] == READ
    assert (await flow.call(house, again["access_token"], **NOTE)).status_code == 403


async def test_O11_where_the_first_challenge_names_all_no_step_up_is_needed(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    opened = open_house(tmp_path, clock, team, OAUTH_ENABLED="true", OAUTH_CHALLENGE="full")
    async with in_one_task(opened) as house:
        browser, client = Browser(house), await flow.register(house)
        asked = challenge_of(await flow.call(house, "", headers={"Authorization": None}))["scope"]
        given = await flow.tokens(browser, client, scope=asked)
        for token in (given, (await flow.refresh(house, client, given["refresh_token"])).json()):
            assert (await flow.call(house, token["access_token"], **NOTE)).status_code == 200


async def test_N13_a_session_of_another_is_nothing(house: TestHouse) -> None:
    client = await flow.register(house)
    alice, bob = [await flow.tokens(Browser(house, who), client) for who in (ALICE, BOB)]
    hello: dict[str, Any] = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    opened = await flow.call(house, alice["access_token"], "initialize", version="2025-11-25", **hello)
    assert "mcp-session-id" not in opened.headers  # there is none that somebody could take
    theirs = {"Mcp-Session-Id": "of-alice"}
    answer = await flow.call(house, bob["access_token"], version="2025-11-25", headers=theirs)
    assert answer.json()["result"]["structuredContent"]["principal"] == BOB


async def test_N16_no_tool_and_so_no_upstream_sees_the_token(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    mcp, seen = new_server(), list[dict[str, str]]()

    @mcp.tool
    async def look() -> str:
        seen.append(get_http_headers(include_all=True))
        return "seen"

    async with in_one_task(open_house(tmp_path, clock, team, mcp=mcp, OAUTH_ENABLED="true")) as house:
        client = await flow.register(house)
        given = await flow.tokens(Browser(house), client, scope=WRITE)
        for version in ("2025-11-25", flow.LATEST):
            answer = await flow.call(house, given["access_token"], version=version, name="look", arguments={})
            assert answer.json()["result"]["content"][0]["text"] == "seen"
    assert len(seen) == 2
    for headers in seen:
        assert "authorization" not in headers
        assert given["access_token"] not in str(headers)


async def test_P5_P6_P7_headers_that_contradict_and_methods_that_are_not_there(house: TestHouse) -> None:
    token = (await flow.tokens(Browser(house), await flow.register(house)))["access_token"]
    contradicting: list[dict[str, str | None]] = [
        {"Mcp-Method": None},
        {"Mcp-Name": None},
        {"Mcp-Method": "tools/list"},
        {"Mcp-Name": "search"},
    ]
    for headers in contradicting:
        answer = await flow.call(house, token, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020), headers
    unsupported = await flow.call(house, token, "tools/list", headers={"MCP-Protocol-Version": "2099-01-01"})
    assert unsupported.status_code == 400
    answer = await flow.call(house, token, "no/such")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, -32601)


async def test_G2_only_a_good_assertion_gets_a_page_with_a_form(
    house: TestHouse, signing_keys: tuple[SigningKey, SigningKey, SigningKey], clock: Clock
) -> None:
    client, team, now = await flow.register(house), house.team, clock()
    bad = [
        team.token()[:-6] + "AAAAAA",
        team.token(key=signing_keys[2]),
        team.token(headers={"alg": "none"}),
        team.token(headers={"alg": "HS256"}),
        team.token(aud=["other"]),
        team.token(iss="https://other.cloudflareaccess.com"),
        team.token(exp=now - 120),
        team.token(nbf=now + 600),
        team.token(without=["exp"]),
    ]
    query = {"client_id": client["client_id"], "response_type": "code"}
    for assertion in bad:
        for method, path in (("GET", "/authorize"), ("POST", "/consent")):
            reply = await house.tunnel_request(method, path, token=assertion, params=query)
            assert is_page(reply, 401), reply.text
            assert "<form" not in reply.text


async def test_G4_new_keys_of_the_team_are_fetched_and_the_old_ones_last_through_an_outage(
    house: TestHouse, signing_keys: tuple[SigningKey, SigningKey, SigningKey], clock: Clock
) -> None:
    browser, client = Browser(house), await flow.register(house)
    assert (await flow.ask(browser, client)).status_code == 200
    clock.advance(120)
    house.team.rotate_keys(signing_keys[2])
    assert (await flow.ask(browser, client)).status_code == 200
    house.team.down()
    clock.advance(3600)
    assert (await flow.ask(browser, client)).status_code == 200


# Who loses access, and when


async def test_G21_a_person_who_is_taken_out_of_the_policy_is_out_within_a_second(house: TestHouse) -> None:
    browser, client = Browser(house), await flow.register(house)
    given = await flow.tokens(browser, client, scope=f"{READ} {WRITE}")
    waiting = await flow.code_for(browser, client, scope=READ)
    assert len(await tools(house, given["access_token"])) > 5
    policy = house.policy_file.read_text()
    house.write_policy(policy.replace(ALICE, "somebody@example.com"))  # moves the clock by one second
    assert await tools(house, given["access_token"]) == {"whoami"}
    refused = await flow.call(house, given["access_token"], name="search", arguments={"query": "a"})
    assert refused.json()["result"]["isError"] is True
    before = flow.state_of(house)
    assert is_refused(await flow.exchange(house, client, waiting), "invalid_grant")
    assert is_refused(await flow.refresh(house, client, given["refresh_token"]), "invalid_grant")
    assert flow.state_of(house) == before
    # Back in the policy, the same consent goes on.
    house.write_policy(policy)
    assert (await flow.refresh(house, client, given["refresh_token"])).status_code == 200


async def test_G21_a_lower_ceiling_narrows_the_live_token_and_the_next_refresh(house: TestHouse) -> None:
    browser, client = Browser(house), await flow.register(house)
    given = await flow.tokens(browser, client, scope=f"{READ} {WRITE}")
    policy = house.policy_file.read_text()
    house.write_policy(policy.replace('["mcp:tools:write", "notes:delete"]', '["mcp:tools:read"]'))
    assert (await flow.call(house, given["access_token"], **NOTE)).json()["result"]["isError"] is True
    assert (await flow.refresh(house, client, given["refresh_token"])).json()["scope"] == READ


@pytest.mark.parametrize("whom", ["person", "client", "door"])
async def test_G21_brain_deny_ends_tokens_refresh_and_exchange_within_a_second(
    house: TestHouse, whom: str
) -> None:
    browser, client = Browser(house), await flow.register(house)
    given = await flow.tokens(browser, client)
    waiting = await flow.code_for(browser, client)
    said = {"person": ALICE, "client": f"client:{client['client_id']}", "door": "door:tunnel"}
    target = denies.target(said[whom])
    await done_to(flow.file_of(house), f"INSERT INTO denies VALUES ('{target}', 0, 'test')")  # noqa: S608

    async def out() -> bool:
        return (await flow.call(house, given["access_token"])).status_code != 200

    await until_true(out, 1.0)
    before = flow.state_of(house)
    replies = [
        await flow.exchange(house, client, waiting),
        await flow.refresh(house, client, given["refresh_token"]),
    ]
    for reply in replies:
        assert (reply.status_code, "access_token" in reply.json()) == (503 if whom == "door" else 400, False)
    assert flow.state_of(house) == before
    await done_to(flow.file_of(house), "DELETE FROM denies")

    async def back_in() -> bool:
        return (await flow.call(house, given["access_token"])).status_code == 200

    await until_true(back_in, 2.0)
    assert (await flow.refresh(house, client, given["refresh_token"])).status_code == 200


async def tools(house: TestHouse, token: str) -> set[str]:
    answer = await flow.call(house, token, "tools/list")
    return {tool["name"] for tool in answer.json()["result"]["tools"]}
