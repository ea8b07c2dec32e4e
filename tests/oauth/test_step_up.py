"""Step-up: 403 and the scopes to ask for, where consent would help, and a plain refusal where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.simulator import SigningKey
from tests.gate.everything import ITEM, PROMPTS, RESOURCES, TEMPLATE, everything, remember_completions
from tests.house import Clock, new_team

from . import holders
from .holders import ALICE, BOB, LATEST, METADATA, READ, WRITE, Holders, challenge_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
VERSIONS = ["2025-03-26", "2025-06-18", "2025-11-25", LATEST]


@pytest.mark.parametrize("version", VERSIONS)
async def test_O1_O4_O6_a_call_beyond_the_token_asks_for_consent(at_home: Holders, version: str) -> None:
    token = await at_home.token(ALICE, (READ,))
    answers = [
        await at_home.call("create_note", token, version=version, title="a", text="b") for _ in range(2)
    ]
    for answer in answers:
        assert answer.status_code == 403
        assert challenge_of(answer) == {
            "error": "insufficient_scope",
            "error_description": answer.json()["error_description"],
            "scope": WRITE,
            "resource_metadata": METADATA,
        }
    assert answers[0].headers["www-authenticate"] == answers[1].headers["www-authenticate"]
    listed = await at_home.call("list_notes", token)
    assert listed.json()["result"]["structuredContent"]["notes"] == []  # nothing was made


async def test_O3_writing_implies_reading(at_home: Holders) -> None:
    answer = await at_home.call("list_notes", await at_home.token(ALICE, (WRITE,)))
    assert answer.status_code == 200
    assert not answer.json()["result"].get("isError")


@pytest.mark.parametrize("version", VERSIONS)
async def test_O9_O14_above_the_ceiling_there_is_nothing_to_ask_for(at_home: Holders, version: str) -> None:
    for scopes in ((READ,), (READ, WRITE)):  # the second: a token that says more than the person may
        token = await at_home.token(BOB, scopes)
        answer = await at_home.call("create_note", token, version=version, title="a", text="b")
        assert answer.status_code == 200
        assert answer.json()["result"]["isError"] is True
        assert "www-authenticate" not in answer.headers


async def test_O13_a_token_without_any_scope_is_asked_for_the_base(at_home: Holders) -> None:
    token = await at_home.token(ALICE, ())
    answer = await at_home.call("search", token, query="a")
    assert answer.status_code == 403
    assert challenge_of(answer)["scope"] == READ
    assert (await at_home.call("whoami", token)).status_code == 200


async def test_O12_lists_show_what_consent_could_open(at_home: Holders) -> None:
    token = await at_home.token(ALICE, (READ,))
    assert {"create_note", "delete_note", "search"} <= await tools(at_home, token)
    assert "create_note" not in await tools(at_home, await at_home.token(BOB, (READ,)))


async def test_O12_or_only_what_is_granted(
    tmp_path: Path, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> None:
    clock = Clock()
    team = new_team(clock, signing_keys[:2])
    async with holders.opened(tmp_path, clock, team, OAUTH_LIST="granted") as home:
        token = await home.token(ALICE, (READ,))
        assert "create_note" not in await tools(home, token)
        assert (await home.call("create_note", token, title="a", text="b")).status_code == 403


async def test_O2_all_scopes_that_would_do_are_in_one_challenge(at_home: Holders) -> None:
    policy = at_home.house.policy_file.read_text()
    own = '\n[scopes."notes:keep"]\ndescription = "Keep"\ntools = ["restore_note"]\n'
    at_home.house.write_policy(
        policy.replace('"notes:delete"]\n\n[[rule]]', '"notes:delete", "notes:keep"]\n\n[[rule]]') + own
    )
    token = await at_home.token(ALICE, (READ,))
    answer = await at_home.call("restore_note", token, id="x")
    assert challenge_of(answer)["scope"] == "notes:delete notes:keep"
    # One of the two is above the ceiling: it is not named.
    at_home.house.write_policy(policy + own)
    answer = await at_home.call("restore_note", token, id="x")
    assert challenge_of(answer)["scope"] == "notes:delete"
    at_home.house.write_policy(policy)


async def test_O9_arguments_that_no_consent_would_allow(at_home: Holders) -> None:
    policy = at_home.house.policy_file.read_text()
    limit = 'limits = [{ tool = "create_note", arg = "title", one_of = ["mine"] }]'
    at_home.house.write_policy(
        policy.replace('"notes:delete"]\n\n[[rule]]', f'"notes:delete"]\n{limit}\n\n[[rule]]')
    )
    token = await at_home.token(ALICE, (READ,))
    refused = await at_home.call("create_note", token, title="other", text="b")
    assert (refused.status_code, refused.json()["result"]["isError"]) == (200, True)
    assert (await at_home.call("create_note", token, title="mine", text="b")).status_code == 403
    at_home.house.write_policy(policy)


async def test_O5_a_header_that_names_another_tool_opens_nothing(at_home: Holders) -> None:
    token = await at_home.token(ALICE, (READ,))
    answer = await at_home.ask(
        "tools/call",
        token,
        name="create_note",
        arguments={"title": "a", "text": "b"},
        headers={"Mcp-Name": "search"},
    )
    assert answer.status_code == 400


async def test_O7_batches_are_refused_whole(at_home: Holders) -> None:
    token = await at_home.token(ALICE, (READ,))
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}},
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "create_note", "arguments": {"title": "a", "text": "b"}},
        },
    ]
    for version in VERSIONS:
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": version,
            "Authorization": f"Bearer {token}",
        }
        answer = await at_home.house.tunnel_request("POST", "/mcp", json=batch, headers=headers)
        assert answer.status_code == 400
    listed = await at_home.call("list_notes", token)
    assert listed.json()["result"]["structuredContent"]["notes"] == []


async def test_without_a_token_of_ours_there_is_never_a_challenge(at_home: Holders) -> None:
    answer = await at_home.ask(
        "tools/call",
        assertion=at_home.house.team.token(BOB),
        name="create_note",
        arguments={"title": "a", "text": "b"},
    )
    assert answer.status_code == 200
    assert answer.json()["result"]["isError"] is True


REST: list[tuple[str, dict[str, Any]]] = [
    ("resources/read", {"uri": RESOURCES[0]}),
    ("resources/read", {"uri": ITEM}),
    ("prompts/get", {"name": PROMPTS[0], "arguments": {}}),
    *(
        ("completion/complete", {"ref": ref, "argument": {"name": "a", "value": ""}})
        for ref in ({"type": "ref/prompt", "name": PROMPTS[0]}, {"type": "ref/resource", "uri": TEMPLATE})
    ),
]


@pytest.mark.parametrize("version", VERSIONS)
async def test_O8_resources_prompts_and_completions_step_up_too(
    tmp_path: Path, signing_keys: tuple[SigningKey, SigningKey, SigningKey], version: str
) -> None:
    clock = Clock()
    mcp, ran = everything()
    async with holders.opened(tmp_path, clock, new_team(clock, signing_keys[:2]), mcp=mcp) as home:
        remember_completions(mcp, ran)
        alice, eve = await home.token(ALICE, ()), await home.token("eve@example.com", ())
        for method, params in REST:
            answer = await home.ask(method, alice, version=version, **params)
            assert answer.status_code == 403, (method, answer.text)
            assert challenge_of(answer)["scope"] == READ
            answer = await home.ask(method, eve, version=version, **params)
            assert answer.status_code != 403
        assert ran == []
        for method, params in REST:
            answer = await home.ask(method, await home.token(ALICE, (READ,)), version=version, **params)
            assert answer.status_code == 200, (method, answer.text)
        assert len(ran) == len(REST)


async def tools(home: Holders, token: str) -> set[str]:
    answer = await home.ask("tools/list", token)
    return {tool["name"] for tool in answer.json()["result"]["tools"]}
