"""What people meet at the gate: limits told and kept, whoami, and a policy that changes under them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.house import NIGHTLY

from .conftest import ALICE, Everything
from .wire import VERSIONS, Caller, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVE = "eve@elsewhere.example"
LIMITED = """
[[rule]]
name = "few"
emails = ["alice@example.com", "bob@example.com"]
scopes = ["mcp:tools:read"]
limits = [{ tool = "look", arg = "n", max = 5 }, { tool = "look", arg = "q", matches = "[a-z]+" }]
[[rule]]
name = "all"
emails = ["bob@example.com"]
scopes = ["mcp:tools:read"]
"""


async def description(caller: Caller, tool: str) -> str:
    listed = (await caller.ask("tools/list"))["result"]["tools"]
    return next(str(entry["description"]) for entry in listed if entry["name"] == tool)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_limited_tool_is_listed_with_its_limits_for_whom_they_are(
    all_of_it: Everything, version: str
) -> None:
    all_of_it.policy(LIMITED)
    told = "Does look.\n\nFor you: n must be at most 5 and q must match [a-z]+."
    alice, bob = all_of_it.caller(version), all_of_it.caller(version, who="bob@example.com")
    assert await description(alice, "look") == told
    assert await description(bob, "look") == "Does look."
    assert await description(alice, "list_things") == "Does list_things."


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        ({"n": 5, "q": "abc"}, True),
        ({}, True),  # the defaults of the tool keep to the limits
        ({"n": 6}, False),
        ({"n": "5"}, False),
        ({"n": None}, False),
        ({"n": True}, False),
        ({"q": "ABC"}, False),
        ({"q": "a\n"}, False),
        ({"n": 5, "q": ["abc"]}, False),
        ({"n": 10**400}, False),
    ],
)
async def test_a_call_outside_its_limits_never_runs(
    all_of_it: Everything, arguments: dict[str, Any], runs: bool
) -> None:
    all_of_it.policy(LIMITED)
    for version in (VERSIONS[0], VERSIONS[-1]):
        all_of_it.ran.clear()
        await all_of_it.caller(version).call("look", **arguments)
        assert (all_of_it.ran == ["look"]) is runs


async def test_a_denial_by_limits_says_what_would_do(all_of_it: Everything) -> None:
    all_of_it.policy(LIMITED)
    answer = await all_of_it.caller(VERSIONS[-1]).call("look", n=9, q="X")
    assert answer["result"]["isError"]
    assert text_of(answer) == (
        "Not allowed with these arguments: few: n must be at most 5; few: q must match [a-z]+."
    )
    await all_of_it.caller(VERSIONS[-1], who="bob@example.com").call("look", n=9, q="X")
    assert all_of_it.ran == ["look"]


async def whoami(caller: Caller) -> dict[str, Any]:
    told: dict[str, Any] = (await caller.call("whoami"))["result"]["structuredContent"]
    return told


WHO = """
[scopes.own]
description = "Own"
tools = ["delete_*"]
[lan]
scopes = ["own"]
[[rule]]
name = "people"
emails = ["alice@example.com"]
scopes = ["mcp:tools:write"]
[[rule]]
name = "firm"
domains = ["example.com"]
scopes = ["own"]
[[rule]]
name = "nightly"
service_tokens = ["0123456789abcdef.access"]
scopes = ["own"]
"""


async def test_wrong_arguments_are_named_without_their_values(all_of_it: Everything) -> None:
    all_of_it.policy(WHO)
    answer = await all_of_it.caller(VERSIONS[-1]).call("look", n="secret", extra=1)
    assert answer["result"]["isError"]
    said = text_of(answer)
    assert said.startswith("Wrong arguments: n: Input should be a valid integer")
    assert said.endswith("Correct them and call again.")
    assert "secret" not in said
    assert "http" not in said


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
async def test_whoami_tells_a_person_what_the_policy_knows(all_of_it: Everything, version: str) -> None:
    all_of_it.policy(WHO)
    told = await whoami(all_of_it.caller(version, who="ALICE@Example.com"))
    assert {"write", "look", "delete_all", "whoami"} <= set(told.pop("tools"))
    assert told == {
        "principal": ALICE,
        "kind": "person",
        "door": "tunnel",
        "client": None,
        "scopes": ["mcp:tools:read", "mcp:tools:write", "own"],
        "rules": ["people", "firm"],
        "why": "people: e-mail is alice@example.com; firm: e-mail is of example.com",
    }


async def test_whoami_tells_a_service_which_rule_names_it(all_of_it: Everything) -> None:
    all_of_it.policy(WHO)
    told = await whoami(all_of_it.caller(VERSIONS[-1], who=NIGHTLY))
    assert (told["kind"], told["principal"], told["rules"]) == ("service", NIGHTLY, ["nightly"])
    assert set(told["tools"]) == {"delete_preview", "delete_one", "delete_all", "delete_note", "whoami"}


async def test_whoami_tells_the_lan_that_it_is_the_lan(all_of_it: Everything) -> None:
    all_of_it.policy(WHO)
    told = await whoami(all_of_it.caller(VERSIONS[-1], "lan"))
    assert (told["kind"], told["principal"], told["door"], told["scopes"]) == ("lan", "lan", "lan", ["own"])
    assert told["why"] == "lan: came in by the LAN door"


async def test_whoami_tells_a_stranger_that_no_rule_names_them(all_of_it: Everything) -> None:
    all_of_it.policy(WHO)
    told = await whoami(all_of_it.caller(VERSIONS[-1], who=EVE))
    assert (told["principal"], told["scopes"], told["rules"], told["tools"]) == (EVE, [], [], ["whoami"])
    assert "no rule of the policy names you" in told["why"]


async def test_a_change_of_the_policy_counts_for_the_next_request(all_of_it: Everything) -> None:
    all_of_it.policy("[[rule]]\nany_person = true\nscopes = ['mcp:tools:write']")
    caller = all_of_it.caller(VERSIONS[-1])
    assert "write" in await caller.names("tool")
    all_of_it.policy("[[rule]]\nany_person = true\nscopes = ['mcp:tools:read']")
    assert "write" not in await caller.names("tool")
    await caller.call("write")
    assert all_of_it.ran == []


async def test_a_broken_policy_leaves_everybody_what_they_had(all_of_it: Everything) -> None:
    all_of_it.policy("[[rule]]\nany_person = true\nscopes = ['mcp:tools:write']")
    caller = all_of_it.caller(VERSIONS[-1])
    before = await caller.names("tool")
    all_of_it.policy("[[rule]]\nany_person = true\nscopes = ['mcp:tools:reed']")
    assert await caller.names("tool") == before
    all_of_it.house.policy_file.unlink()
    all_of_it.house.clock.advance(1)
    assert await caller.names("tool") == before


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_listed_may_be_kept_for_a_second_and_by_nobody_else(
    all_of_it: Everything, version: str
) -> None:
    all_of_it.policy(WHO)
    for method in ("tools/list", "resources/list", "resources/templates/list", "prompts/list"):
        result = (await all_of_it.caller(version).ask(method))["result"]
        assert result.get("cacheScope", "private") == "private"
        assert result.get("ttlMs", 0) <= 1000


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_header_that_names_another_tool_than_the_body_opens_nothing(
    all_of_it: Everything, version: str
) -> None:
    all_of_it.policy("[[rule]]\nany_person = true\nscopes = ['mcp:tools:read']")
    caller = all_of_it.caller(version)
    caller.headers = {"Mcp-Name": "look", "Mcp-Method": "tools/call"}
    answer = await caller.call("write")
    assert "error" in answer or answer["result"]["isError"]
    assert all_of_it.ran == []


async def test_many_at_once_are_each_told_who_they_are(all_of_it: Everything) -> None:
    all_of_it.policy(WHO)
    people = [f"person{number}@example.com" for number in range(60)]

    async def told(number: int, email: str) -> str:
        return str((await whoami(all_of_it.caller(VERSIONS[number % len(VERSIONS)], who=email)))["principal"])

    assert await asyncio.gather(*(told(number, email) for number, email in enumerate(people))) == people
