"""What passes through and back: progress, cancellation, errors, pictures, resources, prompts."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from app.simulator import Team
from tests.gate.wire import text_of
from tests.house import HOST, Clock

from .conftest import ALICE, PLAIN, Upstreamed, raw_entry, until, upstreamed

MODES = ("auto", "legacy")


def entry(kind: str) -> Any:
    to = {"python": f'python = "{PLAIN}:mcp"', "command": f'command = ["{sys.executable}", "{PLAIN}"]'}
    return lambda folder, web: f"version = 1\n[upstream.up]\n{to[kind]}\n"


@pytest.fixture(params=["python", "command"])
async def plain(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock, team: Team
) -> AsyncIterator[Upstreamed]:
    async with upstreamed(tmp_path, clock, team, entry(request.param)) as opened:

        async def is_up() -> bool:
            return "up_echo" in await opened.caller().names("tool")

        await until(is_up)
        yield opened


@pytest.mark.parametrize("mode", MODES)
async def test_everything_comes_through_as_it_was(plain: Upstreamed, mode: str) -> None:
    async with plain.house.client_as(ALICE, mode=mode) as client:
        picture = (await client.call_tool("up_picture")).content[0]
        assert (picture.type, picture.mime_type, picture.data) == ("image", "image/png", "iVBORw0KGgo=")
        structured = await client.call_tool("up_write", {"text": "x"})
        assert structured.structured_content is not None
        assert structured.structured_content["written"] >= 1
        refused = await client.call_tool("up_fails", raise_on_error=False)
        assert refused.is_error
        assert [block.text for block in refused.content] == ["no", "never"]
        *links, held = (await client.call_tool("up_link")).content
        web = ["https://example.com/page", "https://up/example.com/api/7"]  # no resource of its, and one
        assert [str(link.uri) for link in links] == ["data://up/one", *web]
        assert str(held.resource.uri) == "data://up/one"
        for uri, text in (("data://up/one", "the first"), ("item://up/7", "item 7")):
            assert (await client.read_resource(uri))[0].text == text
        assert (await client.read_resource("data://up/bytes"))[0].blob == "AAE="
        prompt = await client.get_prompt("up_poem", {"theme": "sea"})
        assert prompt.messages[0].content.text == "A poem about sea, please."
    for ref, there in (
        ({"type": "ref/prompt", "name": "up_poem"}, "poem"),
        ({"type": "ref/resource", "uri": "item://up/{number}"}, "item://{number}"),
    ):
        answer = await plain.caller().complete(ref, "theme")
        assert answer["result"]["completion"]["values"] == [f"{there} theme "]


@pytest.mark.parametrize("mode", MODES)
async def test_progress_reaches_whoever_asked_for_it(plain: Upstreamed, mode: str) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total, message))

    async with plain.house.client_as(ALICE, mode=mode) as client:
        answer = await client.call_tool("up_slow", {"seconds": 0.2}, progress_handler=progress)
        assert answer.data == "done"
    assert told == [(step, 4, f"step {step}") for step in range(4)]


async def test_a_question_of_an_upstream_reaches_whoever_calls_and_their_answer_it(plain: Upstreamed) -> None:
    async def answer(message: str, kind: Any, params: Any, context: Any) -> dict[str, str]:
        assert message == "Who are you?"
        return {"name": "Alice"}

    token = plain.house.team.token(ALICE)
    headers = {"Host": HOST, "Cf-Access-Jwt-Assertion": token}
    transport = StreamableHttpTransport(f"{plain.house.tunnel}/mcp", headers=headers)
    async with Client(transport, elicitation_handler=answer) as client:
        assert (await client.call_tool("up_asks")).content[0].text == "hello Alice, state 1"
    async with plain.house.client_as(ALICE, mode="legacy") as client:
        refused = await client.call_tool("up_asks", raise_on_error=False)
        assert refused.is_error
        assert "the protocol of your client has none" in refused.content[0].text


async def test_hanging_up_cancels_the_call_at_the_upstream(plain: Upstreamed) -> None:
    async def call(client: Client[Any]) -> None:
        await client.call_tool("up_slow", {"seconds": 3})

    async with plain.house.client_as(ALICE) as client:
        before = (await client.call_tool("up_count")).data
        work = asyncio.create_task(call(client))

        async def inside() -> bool:
            return any(one.calls for one in plain.house.house.upstreams())

        await until(inside)
        work.cancel()

        async def outside() -> bool:
            return not any(one.calls for one in plain.house.house.upstreams())

        assert await until(outside) < 2.5
        await asyncio.sleep(3)
        assert (await client.call_tool("up_count")).data == before


@pytest.mark.parametrize("kind", ["command", "url"])
async def test_an_upstream_of_the_old_protocol_is_told_nothing_that_does_not_hold(
    tmp_path: Path, clock: Clock, team: Team, kind: str
) -> None:
    """It cannot ask our callers anything; the newer protocol asks by the answer, which is passed on."""
    entries = lambda folder, web: raw_entry(kind, folder, web)  # noqa: E731
    async with upstreamed(tmp_path, clock, team, entries, mode="legacy") as house:
        await until(house.echoes)
        said = [
            json.loads(line)["message"] for line in house.raw.read("record").splitlines() if "message" in line
        ]
        hello = next(message for message in said if message.get("method") == "initialize")
        assert hello["params"]["capabilities"] == {}
        assert hello["params"]["clientInfo"]["name"] == "brain-mcp"


async def test_an_upstreams_own_refusal_is_told_in_its_words(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    entries = lambda folder, web: raw_entry("url", folder, web)  # noqa: E731
    async with upstreamed(tmp_path, clock, team, entries) as house:
        answer = await house.call("up_echo", text="no such thing", fail=True)
        assert answer["result"]["isError"] is True
        assert text_of(answer) == "no such thing"
