"""What an upstream answers to a call, and what becomes of it, for every pair of protocols."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastmcp.exceptions import ToolError
from mcp_types.version import LATEST_MODERN_VERSION

from app.simulator import Team
from tests.gate.wire import VERSIONS, text_of
from tests.golden import same_as_golden
from tests.house import Clock

from .conftest import ALICE, Upstreamed, raw_entry, until, upstreamed
from .test_at_the_doors import audit

HERE = Path(__file__).parent
RESULTS: dict[str, dict[str, Any]] = json.loads((HERE / "results.json").read_text())
ECHO = {"name": "echo", "inputSchema": {"type": "object"}}
EXACT = {"name": "exact", "inputSchema": {"type": "object"}}


@pytest.mark.parametrize(
    ("theirs", "promised"), [("modern", "nothing"), ("modern", "a list"), ("legacy", "nothing")]
)
async def test_a_result_is_passed_on_in_the_callers_protocol(
    tmp_path: Path, clock: Clock, team: Team, theirs: str, promised: str
) -> None:
    """Golden texts: an answer is changed only where that is meant."""
    (tmp_path / "raw").mkdir()
    exact = EXACT if promised == "nothing" else {**EXACT, "outputSchema": {"type": "array"}}
    (tmp_path / "raw" / "tools.json").write_text(json.dumps([ECHO, exact]))
    entries = lambda folder, web: raw_entry("url", folder, web)  # noqa: E731
    lines = []
    async with upstreamed(tmp_path, clock, team, entries, mode=theirs) as house:
        await until(house.echoes)
        for name, result in RESULTS.items():
            (house.raw.path / "exact").write_text(json.dumps(result))
            answers = {}
            for version in VERSIONS:
                answers[version] = await house.caller(ALICE, version).call("up_exact")
                assert await house.echoes()  # else it would be left alone after three that are not MCP
            lines += [name, *_told(answers), ""]
    assert same_as_golden(
        f"results-of-{theirs}-promising-{promised.replace(' ', '-')}.txt", "\n".join(lines), HERE / "golden"
    )


@contextlib.asynccontextmanager
async def exact_house(folder: Path, clock: Clock, team: Team) -> AsyncIterator[Upstreamed]:
    """With `up_exact`, whose result is in a file."""
    (folder / "raw").mkdir()
    (folder / "raw" / "tools.json").write_text(json.dumps([ECHO, EXACT]))
    async with upstreamed(folder, clock, team, lambda raw, web: raw_entry("url", raw, web)) as house:
        await until(house.echoes)
        yield house


async def test_the_state_of_a_question_is_sealed_and_comes_back_as_it_was(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with exact_house(tmp_path, clock, team) as house:
        question = {"resultType": "input_required", "requestState": "state 1"}
        (house.raw.path / "exact").write_text(json.dumps(question))
        call = {"name": "up_exact", "arguments": {"a": 1}}
        sealed = (await house.caller().ask("tools/call", **call))["result"]["requestState"]
        assert "state 1" not in sealed
        answers = {"who": {"action": "accept", "content": {"name": "Alice"}}}
        await house.caller().ask("tools/call", **call, requestState=sealed, inputResponses=answers)
        last = json.loads(house.raw.read("record").splitlines()[-1])["message"]["params"]
        assert (last["requestState"], last["inputResponses"]) == ("state 1", answers)
        other = {**call, "arguments": {"a": 2}}
        refused = await house.caller().ask("tools/call", **other, requestState=sealed)
        assert refused["error"]["message"] == "Invalid or expired requestState"


async def test_a_result_that_cannot_be_passed_on_is_an_error_and_on_record_as_one(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with exact_house(tmp_path, clock, team) as house:
        deep = f"{'[' * 500}{']' * 500}"  # more than the SDK writes
        (house.raw.path / "exact").write_text(f'{{"content": [], "structuredContent": {{"a": {deep}}}}}')
        for version in (VERSIONS[0], VERSIONS[-1]):  # more of them, and it is left alone for a while
            answer = await house.caller(ALICE, version).call("up_exact")
            assert answer["result"]["isError"] is True
            assert text_of(answer) == "The upstream `up` sent an answer that is not MCP."
        told = await audit(house, house.number + 2)
        assert {one["status"] for one in told if one["name"] == "up_exact"} == {502}


URL = {"mode": "url", "message": "Log in", "url": "https://example.com/login", "elicitationId": "1"}


@pytest.mark.parametrize("theirs", ["modern", "legacy"])
async def test_a_url_that_has_to_be_opened_first_reaches_the_client(
    tmp_path: Path, clock: Clock, team: Team, theirs: str
) -> None:
    secret = 'headers = { "X-Api-Key" = "upstream-key-5d1e8c" }'
    entries = lambda folder, web: raw_entry("url", folder, web, secret)  # noqa: E731
    async with upstreamed(tmp_path, clock, team, entries, mode=theirs) as house:
        await until(house.echoes)
        page = {**URL, "url": "https://example.com/?key=upstream-key-5d1e8c", "_meta": {}}
        told = {"elicitations": [{**URL, "url": "vscode://run/it"}, page]}  # one that is no page of the web
        for version in VERSIONS:
            answer = await house.caller(ALICE, version).call("up_refuse", code=-32042, data=told)
            error = answer["error"]
            assert (error["code"], error["message"]) == (-32042, "not on Sundays")
            [asked] = error["data"]["elicitations"]
            assert "upstream-key" not in asked["url"]
            assert {**asked, "url": URL["url"]} == URL
        records = await audit(house, house.number + len(VERSIONS))
        refused = [one for one in records if one["name"] == "up_refuse"]
        assert {(one["decision"], one["status"]) for one in refused} == {("allow", 200)}


@pytest.mark.parametrize(
    ("code", "data"),
    [
        (-32042, None),
        (-32042, {"elicitations": [{"url": 1}]}),
        (-32042, {"elicitations": []}),
        (-32042, {"elicitations": [{**URL, "url": "file:///etc/passwd"}]}),
        (-32042, {"elicitations": [{**URL, "url": "javascript:alert(1)//https://example.com"}]}),
        (-32043, {"elicitations": [URL]}),
    ],
)
async def test_every_other_error_of_an_upstream_is_told_in_its_words(
    tmp_path: Path, clock: Clock, team: Team, code: int, data: Any
) -> None:
    async with upstreamed(tmp_path, clock, team, lambda raw, web: raw_entry("url", raw, web)) as house:
        await until(house.echoes)
        for version in (VERSIONS[-2], VERSIONS[-1]):
            answer = await house.caller(ALICE, version).call("up_refuse", code=code, data=data)
            assert answer["result"]["isError"] is True
            assert text_of(answer) == "not on Sundays"


async def test_fastmcp_cannot_run_an_upstreams_tool_by_itself(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    """So there is no way to it that leads past the gate."""
    entries = lambda folder, web: raw_entry("url", folder, web)  # noqa: E731
    async with upstreamed(tmp_path, clock, team, entries) as house:
        await until(house.echoes)
        with pytest.raises(ToolError, match="Error calling tool 'up_echo'"):
            await house.house.house.mcp.call_tool("up_echo", {"text": "x"}, run_middleware=False)


def _told(answers: dict[str, Any]) -> list[str]:
    """Protocols that are told the same stand on one line."""
    told: dict[str, list[str]] = {}
    for version, answer in answers.items():
        if version == LATEST_MODERN_VERSION and "result" in answer:
            answer["result"]["_meta"]["io.modelcontextprotocol/serverInfo"].pop("version")
        said = answer.get("result", answer)
        told.setdefault(json.dumps(said), []).append(version)
    return [f"  {' '.join(versions)}: {text}" for text, versions in told.items()]
