"""What somebody may not use answers, byte for byte, like what is not there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.house import NIGHTLY

from .conftest import ALICE, Everything
from .wire import VERSIONS

pytestmark = pytest.mark.asyncio(loop_scope="module")

POLICY = """
[scopes.own]
tools = ["delete_*"]
resources = ["secret://*", "item://{number}"]
prompts = ["secret_poem"]
[[rule]]
emails = ["alice@example.com"]
scopes = ["mcp:tools:read"]
"""


def as_if(answer: dict[str, Any], name: str, missing: str) -> dict[str, Any]:
    """`answer` with one name in the place of another."""
    replaced: dict[str, Any] = json.loads(json.dumps(answer).replace(name, missing))
    return replaced


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("who", [ALICE, "eve@elsewhere.example", NIGHTLY])
async def test_a_denied_name_answers_like_a_missing_one(
    all_of_it: Everything, version: str, who: str
) -> None:
    all_of_it.policy(POLICY)
    caller = all_of_it.caller(version, who=who)
    pairs = [
        (
            await caller.call("delete_all", n=1),
            await caller.call("delete_nil", n=1),
            "delete_all",
            "delete_nil",
        ),
        *[
            (
                await caller.ask("resources/read", uri=uri),
                await caller.ask("resources/read", uri=missing),
                uri,
                missing,
            )
            for uri, missing in (("secret://one", "nobody://one"), ("item://7", "meti://7"))
        ],
        (
            await caller.ask("prompts/get", name="secret_poem"),
            await caller.ask("prompts/get", name="secret_rhyme"),
            "secret_poem",
            "secret_rhyme",
        ),
        *[
            (await caller.complete(ref, "theme"), await caller.complete(missing_ref, "theme"), "", "")
            for ref, missing_ref in (
                (
                    {"type": "ref/prompt", "name": "secret_poem"},
                    {"type": "ref/prompt", "name": "secret_rhyme"},
                ),
                (
                    {"type": "ref/resource", "uri": "item://{number}"},
                    {"type": "ref/resource", "uri": "meti://{number}"},
                ),
            )
        ],
    ]
    for denied, missing, name, other in pairs:
        assert as_if(denied, name, other) == missing if name else denied == missing
    assert all_of_it.ran == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_malformed_completion_is_an_error_and_completes_nothing(
    all_of_it: Everything, version: str
) -> None:
    all_of_it.policy(POLICY)
    caller = all_of_it.caller(version)
    argument = {"name": "theme", "value": ""}
    wrong: list[Any] = [{}, {"type": "ref/none", "name": "poem"}, {"type": "ref/prompt"}, "poem", None, [], 5]
    for ref in wrong:
        answer = await caller.ask("completion/complete", ref=ref, argument=argument)
        assert "error" in answer or answer["result"]["completion"]["values"] == []
    assert all_of_it.ran == []


def denials(everything: Everything, operation: str) -> float:
    labels = f'{{decision="deny",door="tunnel",operation="{operation}",reason=""}}'
    lines = everything.house.house.observer.text().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"brain_events_total{labels}"))


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("tools/call", {"name": "write", "arguments": {}}),
        ("resources/read", {"uri": "secret://one"}),
        ("prompts/get", {"name": "secret_poem"}),
        (
            "completion/complete",
            {
                "ref": {"type": "ref/prompt", "name": "secret_poem"},
                "argument": {"name": "theme", "value": ""},
            },
        ),
    ],
)
async def test_every_denial_is_counted_once(
    all_of_it: Everything, operation: str, params: dict[str, Any]
) -> None:
    all_of_it.policy(POLICY)
    before = denials(all_of_it, operation)
    await all_of_it.caller(VERSIONS[-1]).ask(operation, **params)
    assert denials(all_of_it, operation) == before + 1
    assert all_of_it.ran == []
