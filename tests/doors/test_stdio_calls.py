"""Calls of upstreams' tools on standard input and output, by clients of the newest protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.doors.shortcut import Answer
from app.doors.stdio import serve
from app.mcp_server import new_server
from app.progress import telling
from tests.cli.brain import brain
from tests.upstreams.conftest import PLAIN, RAW, until
from tests.upstreams.raw import TOOLS, Folder
from tests.upstreams.test_results import EXACT, RESULTS

from .test_stdio import ENVELOPE, OPENING, Talk, ended_well, message, talk, text

POLICY = """
version = 1
[scopes.up]
tools = ["up_echo", "up_exact", "plain_*"]
[lan]
scopes = ["up"]
"""


LIST = message("tools/list", 99, _meta=ENVELOPE)


def call(number: int, tool: str, meta: dict[str, Any] | None = None, **arguments: Any) -> bytes:
    return message("tools/call", number, name=tool, arguments=arguments, _meta=ENVELOPE | (meta or {}))


def the_long_way(line: bytes) -> bytes:
    """The same request, which is not plain any more."""
    return json.dumps({**json.loads(line), "more": 1}).encode() + b"\n"


def cancel(number: int) -> bytes:
    return message("notifications/cancelled", requestId=number)


@dataclass
class Brain:
    client: Talk
    raw: Folder

    def mode(self, words: str) -> None:
        (self.raw.path / "mode").write_text(words)

    def heard(self, method: str) -> list[dict[str, Any]]:
        """What the raw upstream was told."""
        told = [json.loads(line).get("message", {}) for line in self.raw.read("record").splitlines()]
        return [one for one in told if one.get("method") == method]

    async def hangs(self, number: int) -> None:
        """A call that its upstream has, and never answers."""
        self.mode("mute")
        before = len(self.heard("tools/call"))
        self.client.stdin.write(call(number, "up_echo", text="x"))

        async def arrived() -> bool:
            return len(self.heard("tools/call")) > before

        await until(arrived)
        self.mode("")


async def records(folder: Path, tool: str) -> list[dict[str, Any]]:
    """What is on record of it."""
    ran = await brain(folder, "audit", "search", "--json")
    found = [json.loads(line) for line in ran.out.splitlines()]
    return [one for one in found if one["name"] == tool]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Brain]:
    """Two upstreams are up, and the connection is one of the newest protocol."""
    raw = Folder(tmp_path / "raw")
    (tmp_path / "data").mkdir()
    raw.path.mkdir()
    (raw.path / "tools.json").write_text(json.dumps([*TOOLS, EXACT]))
    (tmp_path / "data/policy.toml").write_text(POLICY)
    (tmp_path / "data/upstreams.toml").write_text(
        "version = 1\n"
        f'[upstream.up]\ncommand = ["{sys.executable}", "-S", "{RAW}", "{raw.path}"]\n'
        f'[upstream.plain]\ncommand = ["{sys.executable}", "{PLAIN}"]\n'
    )
    async with talk(tmp_path) as client:
        for tool in ("up_echo", "plain_echo"):

            async def answers(tool: str = tool) -> bool:
                return not (await client.asks(call(0, tool, text="x")))["result"].get("isError")

            await until(answers)
        yield Brain(client, raw)


async def test_an_answer_is_the_same_as_by_the_longer_way(opened: Brain) -> None:
    odd = {"content": [], "structuredContent": {"a": "\ud800"}}
    # What is no number comes as null, and the SDK leaves it out.
    alike = [result for name, result in RESULTS.items() if name != "no number of importance"]
    for result in [*alike, odd]:
        (opened.raw.path / "exact").write_text(json.dumps(result))
        asked = call(1, "up_exact")
        first, second = await opened.client.asks(asked), await opened.client.asks(the_long_way(asked))
        assert first == second
        assert text(await opened.client.asks(call(2, "up_echo", text="y"))) == "y"


async def test_many_calls_at_once_are_answered_as_they_end(opened: Brain) -> None:
    client = opened.client
    client.stdin.write(call(1, "plain_slow", seconds=3))
    client.stdin.writelines(call(number, "up_echo", text=f"word {number}") for number in range(2, 202))
    answers = [await client.hears() for _ in range(200)]
    assert {one["id"]: text(one) for one in answers} == {number: f"word {number}" for number in range(2, 202)}
    assert (await client.hears())["id"] == 1


async def test_a_call_that_is_cancelled_is_not_answered_and_its_upstream_hears_of_it(opened: Brain) -> None:
    await opened.hangs(7)
    opened.client.stdin.write(cancel(7))
    number = opened.heard("tools/call")[-1]["id"]

    async def is_told() -> bool:
        return number in [one["params"]["requestId"] for one in opened.heard("notifications/cancelled")]

    await until(is_told)
    assert (await opened.client.asks(call(8, "up_echo", text="x")))["id"] == 8


async def test_calls_under_way_are_answered_when_the_input_ends(tmp_path: Path, opened: Brain) -> None:
    await opened.hangs(7)
    opened.client.stdin.close()
    answer = await opened.client.hears()
    assert answer == {"jsonrpc": "2.0", "id": 7, "error": {"code": -32000, "message": "Connection closed"}}
    assert ended_well(await opened.client.ends())
    assert [one["status"] for one in await records(tmp_path, "up_echo")].count(499) == 1


async def test_progress_is_told_before_the_answer(opened: Brain) -> None:
    opened.client.stdin.write(call(1, "plain_slow", {"progressToken": "how far"}, seconds=0))
    for step in range(4):
        told = {"progressToken": "how far", "progress": step, "total": 4, "message": f"step {step}"}
        heard = await opened.client.hears()
        assert (heard["method"], heard["params"]) == ("notifications/progress", told)
    assert text(await opened.client.hears()) == "done"


async def test_a_call_that_the_policy_denies_is_refused_and_on_record(tmp_path: Path, opened: Brain) -> None:
    answer = await opened.client.asks(call(1, "up_seen"))
    assert answer["result"]["isError"]
    assert answer == await opened.client.asks(the_long_way(call(1, "up_seen")))
    assert "up_seen" not in [one["params"]["name"] for one in opened.heard("tools/call")]
    assert [one["decision"] for one in await records(tmp_path, "up_seen")] == ["deny", "deny"]


async def test_the_state_of_a_question_is_sealed(opened: Brain) -> None:
    question = {"resultType": "input_required", "requestState": "state 1"}
    (opened.raw.path / "exact").write_text(json.dumps(question))
    before = len(opened.heard("tools/call"))
    answer = await opened.client.asks(call(1, "up_exact"))
    assert answer["result"]["resultType"] == "input_required"
    assert "state 1" not in answer["result"]["requestState"]
    assert len(opened.heard("tools/call")) == before + 1
    again = {**json.loads(call(2, "up_exact"))["params"], "requestState": answer["result"]["requestState"]}
    await opened.client.asks(message("tools/call", 2, **again))
    assert opened.heard("tools/call")[-1]["params"]["requestState"] == "state 1"


# What of the calls is answered by whom: the server in the test's own event loop.

left: ContextVar[str] = ContextVar("left", default="nothing")


@dataclass
class Wire:
    """The client's ends of a server that has a tool of its own, `own`."""

    writes: int
    reader: asyncio.StreamReader
    serving: asyncio.Future[None]

    async def asks(self, *lines: bytes) -> dict[str, Any]:
        os.write(self.writes, b"".join(lines))
        async with asyncio.timeout(20):
            answer: dict[str, Any] = json.loads(await self.reader.readuntil(b"\n"))
        return answer


@contextlib.asynccontextmanager
async def wire(answer: Answer, *, hanging: asyncio.Event | None = None) -> AsyncIterator[Wire]:
    """`own` says what is in the context of its call, or hangs, and sets `hanging` when it does."""
    server, ended = new_server(), asyncio.Event()

    @server.tool
    async def own() -> str:
        if hanging is not None and not hanging.is_set():
            hanging.set()
            await ended.wait()
        return left.get()

    (theirs, writes), (reads, outer) = os.pipe(), os.pipe()
    for fd in (theirs, outer):
        os.set_blocking(fd, False)
    reader = asyncio.StreamReader()
    with os.fdopen(reads, "rb", 0) as file:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), file
        )
        serving = asyncio.ensure_future(serve(server, (theirs, outer), answer))
        try:
            yield Wire(writes, reader, serving)
        finally:
            os.close(writes)
            await serving
            transport.close()
            for fd in (theirs, outer):
                os.close(fd)


def said(asked: dict[str, Any]) -> dict[str, Any]:
    result = {"content": [{"type": "text", "text": "by the shortcut"}], "resultType": "complete"}
    return {"jsonrpc": "2.0", "id": asked["id"], "result": result}


async def at_once(asked: dict[str, Any]) -> dict[str, Any] | None:
    return said(asked)


async def not_at_all(asked: dict[str, Any]) -> dict[str, Any] | None:
    return None


async def never(asked: dict[str, Any]) -> dict[str, Any] | None:
    await asyncio.Event().wait()
    return said(asked)


async def test_the_first_request_and_what_is_not_plain_take_the_long_way() -> None:
    async with wire(at_once) as client:
        assert text(await client.asks(call(1, "own"))) == "nothing"
        assert text(await client.asks(call(2, "own"))) == "by the shortcut"
        assert text(await client.asks(the_long_way(call(3, "own")))) == "nothing"
        newer = call(4, "own", {"io.modelcontextprotocol/protocolVersion": "2099-01-01"})
        assert (await client.asks(newer))["error"]["code"] == -32022
        assert (await client.asks(message("tools/call", 5, name="own", arguments={})))["error"]["code"] < 0


async def test_a_connection_of_an_older_protocol_never_takes_the_shortcut() -> None:
    async with wire(at_once) as client:
        await client.asks(OPENING)
        plain = message("tools/call", 1, name="own", arguments={})
        assert text(await client.asks(plain)) == "nothing"
        assert (await client.asks(call(2, "own")))["error"]["code"] == -32600


async def test_what_is_not_answered_takes_the_long_way_in_its_own_context() -> None:
    async def leaves(asked: dict[str, Any]) -> dict[str, Any] | None:
        left.set(f"left by {asked['id']}")
        return None

    async with wire(leaves) as client:
        assert text(await client.asks(call(1, "own"))) == "nothing"
        calls = (call(number, "own") for number in range(2, 12))
        answers = [await client.asks(*calls), *[await client.asks() for _ in range(9)]]
        assert {one["id"]: text(one) for one in answers} == {n: f"left by {n}" for n in range(2, 12)}


async def test_a_cancellation_reaches_whoever_has_the_call() -> None:
    hanging = asyncio.Event()
    async with wire(not_at_all, hanging=hanging) as client:
        await client.asks(LIST)
        os.write(client.writes, call(1, "own"))
        await hanging.wait()
        assert (await client.asks(cancel(1), call(2, "own")))["id"] == 2


async def test_a_call_that_is_cancelled_before_it_began_is_not_answered() -> None:
    async with wire(at_once) as client:
        await client.asks(call(1, "own"))
        assert (await client.asks(call(2, "own"), cancel(2), call(3, "own")))["id"] == 3


async def test_a_call_that_minds_no_cancellation_is_not_answered_either() -> None:
    began = asyncio.Event()

    async def stubborn(asked: dict[str, Any]) -> dict[str, Any] | None:
        if asked["id"] == 2:
            with contextlib.suppress(asyncio.CancelledError):
                began.set()
                await asyncio.Event().wait()
        return said(asked)

    async with wire(stubborn) as client:
        await client.asks(call(1, "own"))
        os.write(client.writes, call(2, "own"))
        await began.wait()
        assert (await client.asks(cancel(2), call(3, "own")))["id"] == 3


async def test_two_calls_of_the_same_number_are_both_answered() -> None:
    async with wire(at_once) as client:
        await client.asks(call(1, "own"))
        assert (await client.asks(call(2, "own"), call(2, "own")))["id"] == 2
        assert (await client.asks())["id"] == 2


async def test_every_call_under_way_is_answered_at_the_end() -> None:
    async with wire(never) as client:
        await client.asks(call(1, "own"))
        await client.asks(*(call(number, "own") for number in range(2, 12)), LIST)
    ends = [json.loads(line) async for line in client.reader]
    assert {one["id"]: one["error"]["code"] for one in ends} == dict.fromkeys(range(2, 12), -32000)


async def test_a_fault_costs_one_call() -> None:
    async def fails(asked: dict[str, Any]) -> dict[str, Any] | None:
        if asked["id"] == 2:
            raise ZeroDivisionError
        return {**said(asked), "result": {"a": "\ud800"}} if asked["id"] == 3 else said(asked)

    async with wire(fails) as client:
        await client.asks(call(1, "own"))
        for number in (2, 3):
            failed = await client.asks(call(number, "own"))
            assert failed["error"] == {"code": -32603, "message": "Internal server error"}
        assert text(await client.asks(call(4, "own"))) == "by the shortcut"


async def test_nothing_is_told_of_a_call_after_its_answer() -> None:
    tells = []

    async def tell_later(asked: dict[str, Any]) -> dict[str, Any] | None:
        tell = telling.get()
        assert tell is not None
        tells.append(tell)
        await tell({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}})
        return said(asked)

    async with wire(tell_later) as client:
        await client.asks(call(1, "own"))
        assert (await client.asks(call(2, "own")))["params"] == {"progress": 1}
        assert (await client.asks())["id"] == 2
        await tells[0]({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 2}})
        assert (await client.asks(LIST))["id"] == 99
